//! Who somebody is to registries: what docker's configuration says, as pull secrets carry it.
//!
//! Knows: `.dockerconfigjson` and `.dockercfg`, and which entry is for which image. Refuses to know: Secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password, or a token.
    pub password: String,
}

impl Login {
    /// What tells this login from others, and nothing of its password.
    pub fn mark(&self) -> String {
        let digest = Sha256::digest(format!("{}\0{}", self.user, self.password));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Logins by registries, or by paths in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials(Vec<(String, Login)>);

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
}

impl Credentials {
    /// What a `.dockerconfigjson` (with `auths`) or a `.dockercfg` (without) says. Entries that cannot be read are left out.
    pub fn read(text: &[u8]) -> Option<Credentials> {
        let document: Map<String, Value> = serde_json::from_slice(text).ok()?;
        let auths = match document.get("auths") {
            Some(Value::Object(auths)) => auths.clone(),
            Some(_) => return None,
            None => document,
        };
        let entries = auths.into_iter();
        let entries = entries.filter_map(|(at, entry)| Some((place(&at), login(&entry)?)));
        Some(Credentials(entries.collect()))
    }

    /// One login for one registry.
    pub fn one(registry: &str, login: Login) -> Credentials {
        Credentials(vec![(place(registry), login)])
    }

    /// All of these and others, which come later.
    pub fn and(&mut self, others: Credentials) {
        self.0.extend(others.0);
    }

    /// Logins for an image's name (`docker.io/library/x`), those of longer paths first.
    pub fn of(&self, name: &str) -> impl Iterator<Item = Login> {
        let (host, _) = name.split_once('/').unwrap_or((name, ""));
        let fits = |place: &str| {
            let (own, path) = place.split_once('/').unwrap_or((place, ""));
            is_host(own, host)
                && (path.is_empty()
                    || name[host.len()..].strip_prefix('/').is_some_and(|rest| begins(rest, path)))
        };
        let mut fitting: Vec<&(String, Login)> =
            self.0.iter().filter(|(place, _)| fits(place)).collect();
        fitting.sort_by_key(|(place, _)| std::cmp::Reverse(place.len()));
        fitting.into_iter().map(|(_, login)| login.clone()).collect::<Vec<_>>().into_iter()
    }
}

/// Whether a path is another one, or below it.
fn begins(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a host is meant, of which parts may be `*`.
fn is_host(pattern: &str, host: &str) -> bool {
    let (mut own, mut other) = (pattern.split('.'), host.split('.'));
    loop {
        match (own.next(), other.next()) {
            (None, None) => return true,
            (Some(own), Some(other)) if own == "*" || own == other => {}
            _ => return false,
        }
    }
}

/// `https://index.docker.io/v1/` is `docker.io`, and no scheme counts.
fn place(text: &str) -> String {
    let text = text.trim_start_matches("https://").trim_start_matches("http://");
    let text = text.trim_end_matches('/');
    let text = text.strip_suffix("/v1").or_else(|| text.strip_suffix("/v2")).unwrap_or(text);
    let (host, path) = text.split_once('/').map_or((text, None), |(host, path)| (host, Some(path)));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    };
    path.map_or_else(|| host.to_owned(), |path| format!("{host}/{path}"))
}

fn login(entry: &Value) -> Option<Login> {
    let Entry { username, password, auth } = Entry::deserialize(entry).ok()?;
    if !username.is_empty() {
        return Some(Login { user: username, password });
    }
    let decoded = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    let password = password.trim_end_matches('\0').to_owned();
    (!user.is_empty()).then(|| Login { user: user.to_owned(), password })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(credentials: &Credentials, name: &str) -> Vec<String> {
        credentials.of(name).map(|login| format!("{}:{}", login.user, login.password)).collect()
    }

    #[test]
    fn both_files_are_read() {
        let auth = STANDARD.encode("ana:p:w");
        let new = format!(
            r#"{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{auth}"}}, "broken": {{"auth": "*"}}}}}}"#
        );
        let old = r#"{"quay.io": {"username": "rui", "password": "pw", "email": "x"}}"#;
        let mut all = Credentials::read(new.as_bytes()).unwrap();
        assert_eq!(users(&all, "docker.io/library/x"), ["ana:p:w"]);
        all.and(Credentials::read(old.as_bytes()).unwrap());
        assert_eq!(users(&all, "quay.io/a/b"), ["rui:pw"]);
        assert!(users(&all, "ghcr.io/a").is_empty());
        for bad in ["", "[]", r#"{"auths": []}"#] {
            assert_eq!(Credentials::read(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn longer_paths_come_first_and_parts_of_words_do_not_count() {
        let text = r#"{"r.io": {"username": "all", "password": ""}, "r.io/team": {"username": "team", "password": ""},
            "*.r.io": {"username": "below", "password": ""}, "r.io:5000": {"username": "port", "password": ""}}"#;
        let all = Credentials::read(text.as_bytes()).unwrap();
        assert_eq!(users(&all, "r.io/team/app"), ["team:", "all:"]);
        assert_eq!(users(&all, "r.io/teams/app"), ["all:"]);
        assert_eq!(users(&all, "eu.r.io/app"), ["below:"]);
        assert_eq!(users(&all, "a.eu.r.io/app"), Vec::<String>::new());
        assert_eq!(users(&all, "r.io:5000/app"), ["port:"]);
    }

    #[test]
    fn no_password_is_shown() {
        let login = Login { user: "ana".to_owned(), password: "s3cret".to_owned() };
        assert!(!format!("{:?}", Credentials::one("r.io", login)).contains("s3cret"));
    }
}
