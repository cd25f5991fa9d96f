//! Source out of Git, by the node's own `git`, which is told nothing of the node and asks nobody.
//!
//! Knows: what a source secret may hold, which commands are given. Refuses to know: the protocol.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::task::Task;
use crate::{Failed, say};

/// Variables of the pod that git is given.
const PASSED: [&str; 9] = [
    "PATH",
    "GIT_SSL_NO_VERIFY",
    "GIT_LFS_SKIP_SMUDGE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

fn failed(why: impl std::fmt::Display) -> Failed {
    Failed::new("FetchSourceFailed", "Failed to fetch the input source.", why)
}

/// A way to call git.
struct Git {
    home: PathBuf,
    env: Vec<(String, String)>,
}

/// What a commit says of itself.
pub(crate) struct Commit {
    pub(crate) hash: String,
    pub(crate) message: String,
    author: (String, String),
    committer: (String, String),
    date: String,
}

impl Commit {
    /// As a build's revision has it.
    pub(crate) fn revision(&self) -> Value {
        let person = |(name, email): &(String, String)| json!({ "name": name, "email": email });
        json!({
            "commit": self.hash, "message": self.message, "author": person(&self.author),
            "committer": person(&self.committer),
        })
    }
}

/// Clones what a build names into its input; what was cloned.
pub(crate) fn clone(task: &Task, secret: Option<&Path>) -> Result<Commit, Failed> {
    let source = task.build.pointer("/spec/source/git").unwrap_or(&Value::Null);
    let of = |field: &str| source.get(field).and_then(Value::as_str).unwrap_or("");
    let uri = of("uri");
    let git = Git::new(task, source, secret)?;
    say(&format!("Cloning {:?} ...", shown(uri)));
    let commit = task.text("/spec/revision/git/commit");
    let wanted = if commit.is_empty() { of("ref") } else { commit };
    let into = task.inputs();
    let into = into.as_os_str();
    if wanted.is_empty() {
        git.run(
            None,
            &args(
                &[
                    "clone",
                    "--quiet",
                    "--recurse-submodules",
                    "--depth=1",
                    "--shallow-submodules",
                    "--",
                    uri,
                ],
                into,
            ),
        )?;
    } else {
        git.run(None, &args(&["clone", "--quiet", "--no-checkout", "--", uri], into))?;
        let inside = Some(task.inputs());
        let inside = inside.as_deref();
        // A ref that no branch or tag has, such as one of a change that is asked for, has to be fetched by its name.
        let known = |name: &str| {
            git.run(inside, &words(&["rev-parse", "--quiet", "--verify", name])).is_ok()
        };
        let candidates = [format!("origin/{wanted}^{{commit}}"), format!("{wanted}^{{commit}}")];
        let found = candidates.into_iter().find(|name| !wanted.starts_with('-') && known(name));
        let target = match found {
            Some(name) => name,
            None => {
                git.run(inside, &words(&["fetch", "--quiet", "--", "origin", wanted]))?;
                "FETCH_HEAD".to_owned()
            }
        };
        git.run(inside, &words(&["checkout", "--quiet", "--detach", &target, "--"]))?;
        git.run(inside, &words(&["submodule", "--quiet", "update", "--init", "--recursive"]))?;
    }
    let commit = git.commit(&task.inputs())?;
    say(&format!("\tCommit:\t{} ({})", commit.hash, commit.message));
    say(&format!("\tAuthor:\t{} <{}>", commit.author.0, commit.author.1));
    say(&format!("\tDate:\t{}", commit.date));
    Ok(commit)
}

/// A URL without whom it is asked as.
pub(crate) fn shown(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let (place, path) =
        rest.split_once('/').map_or((rest, None), |(place, path)| (place, Some(path)));
    let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
    // Of ssh the name is part of the place.
    let place = if scheme == "ssh" && !place.contains(':') { place } else { host };
    path.map_or_else(|| format!("{scheme}://{place}"), |path| format!("{scheme}://{place}/{path}"))
}

fn words<'a>(words: &[&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(|word| OsStr::new(*word)).collect()
}

fn args<'a>(first: &[&'a str], last: &'a OsStr) -> Vec<&'a OsStr> {
    let mut all = words(first);
    all.push(last);
    all
}

impl Git {
    fn new(task: &Task, source: &Value, secret: Option<&Path>) -> Result<Git, Failed> {
        let home = task.work.join("git");
        fs::create_dir_all(&home).map_err(failed)?;
        let mut config = String::from(
            "[protocol \"file\"]\n\tallow = never\n[protocol \"ext\"]\n\tallow = never\n[core]\n\thooksPath = /dev/null\n\
             [init]\n\ttemplateDir =\n[advice]\n\tdetachedHead = false\n[safe]\n\tdirectory = *\n",
        );
        let mut env: Vec<(String, String)> = PASSED
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .collect();
        for (name, field) in
            [("HTTP_PROXY", "httpProxy"), ("HTTPS_PROXY", "httpsProxy"), ("NO_PROXY", "noProxy")]
        {
            if let Some(value) = source.get(field).and_then(Value::as_str) {
                for name in [name.to_owned(), name.to_lowercase()] {
                    env.retain(|(own, _)| *own != name);
                    env.push((name, value.to_owned()));
                }
            }
        }
        let uri = source.get("uri").and_then(Value::as_str).unwrap_or("");
        if let Some(secret) = secret {
            config += &credentials(secret, &home, uri, &mut env)?;
        }
        fs::write(home.join("config"), config).map_err(failed)?;
        env.extend([
            ("HOME".to_owned(), home.to_string_lossy().into_owned()),
            ("GIT_CONFIG_GLOBAL".to_owned(), home.join("config").to_string_lossy().into_owned()),
            ("GIT_CONFIG_NOSYSTEM".to_owned(), "1".to_owned()),
            ("GIT_TERMINAL_PROMPT".to_owned(), "0".to_owned()),
            ("GIT_ASKPASS".to_owned(), "true".to_owned()),
            ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
        ]);
        if !env.iter().any(|(name, _)| name == "PATH") {
            env.push(("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()));
        }
        Ok(Git { home, env })
    }

    fn run(&self, inside: Option<&Path>, args: &[&OsStr]) -> Result<String, Failed> {
        let mut command = Command::new("git");
        command.args(args).env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        command.current_dir(inside.unwrap_or(&self.home)).stdin(std::process::Stdio::null());
        let output = command.output().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => failed("this node has no git: install it on the node"),
            _ => failed(format!("git: {error}")),
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(failed(said.trim_end()))
    }

    fn commit(&self, inside: &Path) -> Result<Commit, Failed> {
        let format = "--format=%H%x00%an%x00%ae%x00%cn%x00%ce%x00%ad%x00%s";
        let said = self.run(Some(inside), &words(&["log", "-1", format]))?;
        let mut parts = said.trim_end_matches('\n').splitn(7, '\0').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        Ok(Commit {
            hash: next(),
            author: (next(), next()),
            committer: (next(), next()),
            date: next(),
            message: next(),
        })
    }
}

/// What a source secret adds to git's configuration.
fn credentials(
    secret: &Path,
    home: &Path,
    uri: &str,
    env: &mut Vec<(String, String)>,
) -> Result<String, Failed> {
    let read = |name: &str| fs::read_to_string(secret.join(name)).ok();
    let mut config = String::new();
    if let Some(key) = read("ssh-privatekey") {
        let path = home.join("ssh-privatekey");
        fs::write(&path, key.trim_end().to_owned() + "\n").map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let hosts = match secret.join("known_hosts").exists() {
            true => format!("-o UserKnownHostsFile={}", secret.join("known_hosts").display()),
            false => "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null".to_owned(),
        };
        let command = format!("ssh -F none -i {} {hosts} -o BatchMode=yes", path.display());
        env.push(("GIT_SSH_COMMAND".to_owned(), command));
    }
    if secret.join("ca.crt").exists() {
        config += &format!("[http]\n\tsslCAInfo = {}\n", secret.join("ca.crt").display());
    }
    // Only a whole configuration of the user's own comes after this, for the containers that it runs in are theirs.
    if secret.join(".gitconfig").exists() {
        config += &format!("[include]\n\tpath = {}\n", secret.join(".gitconfig").display());
    }
    if let Some(password) = read("password").or_else(|| read("token")) {
        let user = read("username").unwrap_or_else(|| "builder".to_owned());
        if let Some((scheme, rest)) = uri.split_once("://") {
            let host = rest.split('/').next().unwrap_or("");
            let host = host.rsplit('@').next().unwrap_or("");
            let entry =
                format!("{scheme}://{}:{}@{host}\n", coded(user.trim()), coded(password.trim()));
            let path = home.join("credentials");
            fs::write(&path, entry).map_err(failed)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
            config += &format!("[credential]\n\thelper = store --file={}\n", path.display());
        }
    }
    Ok(config)
}

/// A text as a part of a URL.
fn coded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls_are_not_shown() {
        for (uri, expected) in [
            ("https://ana:pw@git.test:8443/a/b.git", "https://git.test:8443/a/b.git"),
            ("https://token@git.test/a@b", "https://git.test/a@b"),
            ("ssh://git@git.test/a", "ssh://git@git.test/a"),
            ("git@git.test:a.git", "git@git.test:a.git"),
        ] {
            assert_eq!(shown(uri), expected);
        }
    }
}
