//! Source to image: a Dockerfile out of the scripts of a builder's image and of the source.
//!
//! Knows: labels, scripts, ignored files, environment files, what an earlier image may give. Refuses to know: how the
//! Dockerfile is carried out.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use leme_executor::{Build, Dockerfile, Secret};
use oci_spec::image::ImageConfiguration;

use crate::image::INPUT_SECRETS;
use crate::task::{Task, text, within};
use crate::{Failed, say};

/// Labels that say where a builder has its scripts, newest first.
const SCRIPTS: [&str; 2] = ["io.openshift.s2i.scripts-url", "io.s2i.scripts-url"];
const DESTINATION: [&str; 2] = ["io.openshift.s2i.destination", "io.s2i.destination"];
const ASSEMBLE_USER: [&str; 2] = ["io.openshift.s2i.assemble-user", "io.s2i.assemble-user"];
/// The user of a builder whose image says none.
const USER: &str = "1001";

fn label(config: &ImageConfiguration, names: &[&str]) -> Option<String> {
    let labels = config.config().as_ref()?.labels().as_ref()?;
    names.iter().find_map(|name| labels.get(*name)).filter(|text| !text.is_empty()).cloned()
}

/// What a builder's image says of how it is used.
struct Builder {
    /// Where its scripts are, in it.
    scripts: String,
    /// Where source and artifacts go.
    destination: String,
    /// Who assembles.
    user: String,
}

/// Lays the context of a source build out.
pub(crate) fn lay_out(
    task: &Task,
    source: &Path,
    image: &str,
    config: &ImageConfiguration,
    before: Option<&str>,
) -> Result<Build, Failed> {
    let context = task.work.join("s2i");
    let upload = context.join("upload");
    fs::create_dir_all(&upload).map_err(Failed::generic)?;
    fs::rename(source, upload.join("src")).map_err(Failed::generic)?;
    let source = upload.join("src");
    let given = text(task.strategy().1, "/scripts");
    let url = if given.is_empty() { label(config, &SCRIPTS) } else { Some(given.to_owned()) };
    let in_image = url.as_deref().and_then(|url| url.strip_prefix("image://"));
    if let Some(url) = url.as_deref().filter(|_| in_image.is_none()) {
        return Err(Failed::generic(format!(
            "scripts are taken from the image (image://...) and from .s2i/bin of the source; {url:?} is neither"
        )));
    }
    let own = source.join(".s2i/bin");
    let has_own = own.join("assemble").is_file() || own.join("run").is_file();
    let Some(scripts) =
        in_image.map(str::to_owned).or_else(|| has_own.then(|| "/tmp/scripts".to_owned()))
    else {
        return Err(Failed::generic(format!(
            "{image} does not say where its scripts are (label {}), and the source has none in .s2i/bin",
            SCRIPTS[0]
        )));
    };
    let user = label(config, &ASSEMBLE_USER)
        .or_else(|| config.config().as_ref()?.user().clone().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| USER.to_owned());
    let destination = label(config, &DESTINATION).unwrap_or_else(|| "/tmp".to_owned());
    let builder = Builder { scripts, destination, user };
    let with_scripts = has_own.then(|| scripts_of(&own));
    let environment = environment(&source)?;
    let (secrets, mounts) = mounted(task, &builder.destination)?;
    let dockerfile =
        dockerfile(&builder, image, before, with_scripts.as_deref(), &environment, &mounts);
    say("Generated Dockerfile of the source build");
    fs::write(context.join("Dockerfile"), &dockerfile).map_err(Failed::generic)?;
    ignore(&source, &context).map_err(Failed::generic)?;
    Ok(Build {
        context,
        dockerfile: Dockerfile::Path("Dockerfile".into()),
        secrets,
        ..Build::default()
    })
}

/// The names of the scripts that the source brings.
fn scripts_of(own: &Path) -> Vec<String> {
    let entries = fs::read_dir(own).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names
        .filter(|name| ["assemble", "run", "save-artifacts", "usage"].contains(&name.as_str()))
        .collect();
    names.sort();
    names
}

/// The text of a file of the source, unless a link is on the way to it: links of the source lead where this program may read.
fn plain(source: &Path, relative: &str) -> Option<String> {
    let mut path = source.to_owned();
    for part in Path::new(relative) {
        path.push(part);
        let found = fs::symlink_metadata(&path).ok()?;
        if found.is_symlink() {
            say(&format!("warning: {relative} is left out: there is a link on the way to it"));
            return None;
        }
    }
    fs::read_to_string(path).ok()
}

/// Variables of `.s2i/environment`.
fn environment(source: &Path) -> Result<Vec<(String, String)>, Failed> {
    let Some(text) = plain(source, ".s2i/environment") else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for line in
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let wrong = || Failed::generic(".s2i/environment: a line is no NAME=VALUE");
        let (name, value) = line.split_once('=').ok_or_else(wrong)?;
        all.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(all)
}

/// Files of secrets that are input, and where they are while the source is assembled: they are in no layer.
fn mounted(task: &Task, destination: &str) -> Result<(Vec<Secret>, String), Failed> {
    let (mut secrets, mut mounts) = (Vec::new(), String::new());
    for one in task.list("/spec/source/secrets") {
        let from = Path::new(INPUT_SECRETS).join(text(one, "/secret/name"));
        let base = Path::new(destination).join("src");
        let directory = text(one, "/destinationDir");
        let into = within(&base, directory)
            .ok_or_else(|| Failed::generic(format!("{directory:?} leads out of the source")))?;
        for entry in fs::read_dir(from).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("..") {
                continue;
            }
            let id = format!("input-{}", secrets.len());
            let content = fs::read(entry.path()).map_err(Failed::generic)?;
            let target = into.join(&name);
            let _ = write!(
                mounts,
                "--mount=type=secret,id={id},target={},mode=0444 ",
                target.display()
            );
            secrets.push(Secret { id, content });
        }
    }
    Ok((secrets, mounts))
}

/// Makes what `.s2iignore` leaves out be left out.
fn ignore(source: &Path, context: &Path) -> std::io::Result<()> {
    let Some(text) = plain(source, ".s2iignore") else { return Ok(()) };
    let mut patterns = String::new();
    for line in
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (mark, pattern) = line.strip_prefix('!').map_or(("", line), |rest| ("!", rest));
        let _ = writeln!(patterns, "{mark}upload/src/{}", pattern.trim_start_matches('/'));
    }
    fs::write(context.join("Dockerfile.dockerignore"), patterns)
}

/// A text between double quotes, as a Dockerfile reads it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        if matches!(letter, '"' | '\\' | '$') {
            out.push('\\');
        }
        out.push(if letter == '\n' { ' ' } else { letter });
    }
    out + "\""
}

fn dockerfile(
    builder: &Builder,
    image: &str,
    before: Option<&str>,
    own: Option<&[String]>,
    environment: &[(String, String)],
    mounts: &str,
) -> String {
    let Builder { scripts, destination, user } = builder;
    let has = |name: &str| own.is_some_and(|own| own.iter().any(|one| one == name));
    let of = |name: &str| match has(name) {
        true => format!("/tmp/scripts/{name}"),
        false => format!("{scripts}/{name}"),
    };
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    if let Some(before) = before {
        line(&format!("FROM {before} AS cached"));
        let save = of("save-artifacts");
        if own.is_some() {
            line("COPY upload/src/.s2i/bin /tmp/scripts");
        }
        line("USER 0");
        line(&format!(
            "RUN mkdir -p /tmp/artifacts-of-before && chown {user} /tmp/artifacts-of-before"
        ));
        line(&format!("USER {user}"));
        line(&format!(
            "RUN if [ -s {save} ]; then {save} > /tmp/artifacts-of-before/artifacts.tar; else : > \
             /tmp/artifacts-of-before/artifacts.tar; fi"
        ));
    }
    line(&format!("FROM {image}"));
    for (name, value) in environment {
        line(&format!("ENV {name}={}", quoted(value)));
    }
    line("USER 0");
    if own.is_some() {
        line("COPY upload/src/.s2i/bin /tmp/scripts");
    }
    line(&format!("COPY --chown={user}:0 upload/src {destination}/src"));
    if before.is_some() {
        line(&format!(
            "COPY --from=cached --chown={user}:0 /tmp/artifacts-of-before/artifacts.tar {destination}/artifacts.tar"
        ));
        line(&format!(
            "RUN mkdir -p {destination}/artifacts && if [ -s {destination}/artifacts.tar ]; then tar -xf \
             {destination}/artifacts.tar -C {destination}/artifacts; fi && rm {destination}/artifacts.tar && chown -R {user}:0 \
             {destination}/artifacts"
        ));
    }
    line(&format!("USER {user}"));
    line(&format!("RUN {mounts}{}", of("assemble")));
    line(&format!("CMD {}", of("run")));
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Red when a link in the source shows what the builder may read: its token, its environment.
    #[test]
    fn no_link_of_the_source_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("src");
        fs::create_dir_all(source.join(".s2i")).unwrap();
        fs::write(folder.path().join("secret"), "A=hush\n").unwrap();
        symlink("../../secret", source.join(".s2i/environment")).unwrap();
        assert!(environment(&source).unwrap().is_empty());
        fs::remove_dir_all(source.join(".s2i")).unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        fs::write(folder.path().join("out/environment"), "A=hush\n").unwrap();
        symlink("../out", source.join(".s2i")).unwrap();
        assert!(environment(&source).unwrap().is_empty());
        fs::remove_file(source.join(".s2i")).unwrap();
        fs::create_dir(source.join(".s2i")).unwrap();
        fs::write(source.join(".s2i/environment"), "# a\nA=b\n").unwrap();
        assert_eq!(environment(&source).unwrap(), [("A".to_owned(), "b".to_owned())]);
        fs::write(source.join(".s2i/environment"), "secret-word\n").unwrap();
        assert!(!environment(&source).unwrap_err().to_string().contains("secret-word"));
    }

    fn builder() -> Builder {
        let text = |text: &str| text.to_owned();
        Builder { scripts: text("/usr/libexec/s2i"), destination: text("/tmp"), user: text("1001") }
    }

    #[test]
    fn a_builders_scripts_are_run() {
        let env = [("A".to_owned(), "x \"$y\"".to_owned())];
        let said = dockerfile(&builder(), "r/python@sha256:1", None, None, &env, "");
        assert_eq!(
            said,
            "FROM r/python@sha256:1\nENV A=\"x \\\"\\$y\\\"\"\nUSER 0\n\
             COPY --chown=1001:0 upload/src /tmp/src\nUSER 1001\nRUN /usr/libexec/s2i/assemble\nCMD /usr/libexec/s2i/run\n"
        );
    }

    /// Red when a script of the source does not come before the image's, or what an earlier build saved is not taken.
    #[test]
    fn own_scripts_and_artifacts_come_first() {
        let own = ["assemble".to_owned()];
        let said = dockerfile(&builder(), "r/b", Some("r/app"), Some(&own), &[], "--mount=m ");
        assert!(said.starts_with("FROM r/app AS cached\n"), "{said}");
        assert!(said.contains("\nRUN --mount=m /tmp/scripts/assemble\n"), "{said}");
        assert!(said.contains("/usr/libexec/s2i/save-artifacts"), "{said}");
        assert!(said.ends_with("CMD /usr/libexec/s2i/run\n"), "{said}");
    }
}
