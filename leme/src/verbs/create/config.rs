//! ConfigMaps and Secrets as `leme create` makes them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::pair;
use crate::args::{ConfigArgs, RegistryArgs, TlsArgs};

/// Keys with their bytes.
type Entries = BTreeMap<String, Vec<u8>>;

/// A ConfigMap; what is no text is kept beside the texts.
pub fn config_map(args: &ConfigArgs) -> Result<Value> {
    let mut object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": args.name}});
    for (key, bytes) in entries(args)? {
        match String::from_utf8(bytes) {
            Ok(text) => object["data"][key] = text.into(),
            Err(error) => object["binaryData"][key] = STANDARD.encode(error.as_bytes()).into(),
        }
    }
    Ok(object)
}

/// A Secret of any type.
pub fn secret(args: &ConfigArgs) -> Result<Value> {
    Ok(of(&args.name, args.type_.as_deref(), entries(args)?))
}

/// A Secret of a certificate.
pub fn tls(args: &TlsArgs) -> Result<Value> {
    let mut entries = Entries::new();
    for (key, path, head) in
        [("tls.crt", &args.cert, "CERTIFICATE-----"), ("tls.key", &args.key, "PRIVATE KEY-----")]
    {
        let bytes = read(path)?;
        let text = String::from_utf8_lossy(&bytes);
        ensure!(text.contains(head), "{}: failed to find any PEM data of a {key}", path.display());
        entries.insert(key.to_owned(), bytes);
    }
    Ok(of(&args.name, Some("kubernetes.io/tls"), entries))
}

/// A Secret for a registry.
pub fn registry(args: &RegistryArgs) -> Result<Value> {
    let config = match &args.from_file {
        Some(path) => read(path)?,
        None => {
            let user = args.docker_username.as_deref().unwrap_or("");
            let password = args.docker_password.as_deref().unwrap_or("");
            let mut entry = json!({"username": user, "password": password,
                "auth": STANDARD.encode(format!("{user}:{password}"))});
            if let Some(email) = &args.docker_email {
                entry["email"] = email.as_str().into();
            }
            json!({"auths": {args.docker_server.as_str(): entry}}).to_string().into_bytes()
        }
    };
    let entries = Entries::from([(".dockerconfigjson".to_owned(), config)]);
    Ok(of(&args.name, Some("kubernetes.io/dockerconfigjson"), entries))
}

fn of(name: &str, type_: Option<&str>, entries: Entries) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
    for (key, bytes) in entries {
        object["data"][key] = STANDARD.encode(bytes).into();
    }
    if let Some(type_) = type_ {
        object["type"] = type_.into();
    }
    object
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("read {}", path.display()))
}

fn entries(args: &ConfigArgs) -> Result<Entries> {
    let mut entries = Entries::new();
    for text in &args.from_literal {
        let (key, value) = pair(text)?;
        add(&mut entries, key, value.trim_matches(['\'', '"']).as_bytes().to_vec())?;
    }
    for text in &args.from_file {
        let (key, path) = match text.split_once('=') {
            Some((key, path)) => (Some(key), Path::new(path)),
            None => (None, Path::new(text)),
        };
        match key {
            None if path.is_dir() => directory(&mut entries, path)?,
            Some(_) if path.is_dir() => {
                bail!("cannot give a key name for a directory path: {}", path.display())
            }
            key => add(&mut entries, key.map_or_else(|| base(path), Ok)?, read(path)?)?,
        }
    }
    for path in &args.from_env_file {
        let text = String::from_utf8(read(path)?)
            .map_err(|_| anyhow::anyhow!("{} is not UTF-8", path.display()))?;
        for line in text.lines().map(str::trim_start) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.split_once('=') {
                Some((key, value)) => add(&mut entries, key, value.as_bytes().to_vec())?,
                // A name alone takes the value that it has here.
                None => {
                    let value = std::env::var(line).unwrap_or_default();
                    add(&mut entries, line, value.into_bytes())?;
                }
            }
        }
    }
    Ok(entries)
}

fn directory(entries: &mut Entries, path: &Path) -> Result<()> {
    let shown = path.display();
    for entry in std::fs::read_dir(path).with_context(|| format!("read {shown}"))? {
        let path = entry.with_context(|| format!("read {shown}"))?.path();
        let named = base(&path).is_ok_and(is_key);
        if path.is_file() && named {
            add(entries, base(&path)?, read(&path)?)?;
        }
    }
    Ok(())
}

fn base(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.with_context(|| format!("{} has no name to make a key of", path.display()))
}

fn is_key(key: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    !key.is_empty() && key != "." && !key.starts_with("..") && key.chars().all(known)
}

fn add(entries: &mut Entries, key: &str, value: Vec<u8>) -> Result<()> {
    ensure!(is_key(key), "{key:?} is not a valid key name");
    let known = entries.insert(key.to_owned(), value);
    ensure!(known.is_none(), "cannot add key {key:?}, another key by that name already exists");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn maps_hold_texts_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("text"), "a\nb").unwrap();
        std::fs::write(path("bytes"), [0xff]).unwrap();
        std::fs::write(path("env"), "# none\nA=1\n\nB=x=y\n").unwrap();
        let made = check(&format!("configmap m --from-literal k=v=w --from-file {}", path("text")))
            .unwrap();
        assert_eq!(made["data"], json!({"k": "v=w", "text": "a\nb"}));
        let made = check(&format!("cm m --from-file x={}", path("bytes"))).unwrap();
        assert_eq!(made["binaryData"], json!({"x": "/w=="}));
        let made = check(&format!("cm m --from-env-file {}", path("env"))).unwrap();
        assert_eq!(made["data"], json!({"A": "1", "B": "x=y"}));
        let made = check(&format!("cm m --from-file {}", folder.path().display())).unwrap();
        assert_eq!(made["data"].as_object().unwrap().len(), 2);
        assert!(
            check("cm m --from-literal k=v --from-literal k=w")
                .unwrap_err()
                .contains("already exists")
        );
        assert!(check("cm m --from-literal a/b=v").unwrap_err().contains("not a valid key name"));
        assert!(check("cm m --from-file /no/such").unwrap_err().starts_with("read /no/such"));
    }

    #[test]
    fn secrets_have_types() {
        let made = check("secret generic s --from-literal k=v --type t").unwrap();
        assert_eq!((&made["data"]["k"], &made["type"]), (&json!("dg=="), &json!("t")));
        let made = check(
            "secret docker-registry s --docker-username u --docker-password p --docker-server r.io",
        )
        .unwrap();
        let text = made["data"][".dockerconfigjson"].as_str().unwrap();
        let config: Value = serde_json::from_slice(&STANDARD.decode(text).unwrap()).unwrap();
        assert_eq!(config["auths"]["r.io"]["auth"], "dTpw");
        assert_eq!(made["type"], "kubernetes.io/dockerconfigjson");
        let folder = tempfile::tempdir().unwrap();
        let pem = folder.path().join("pem");
        std::fs::write(&pem, "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n").unwrap();
        let pem = pem.display();
        assert_eq!(
            check(&format!("secret tls s --cert {pem} --key {pem}")).unwrap()["type"],
            "kubernetes.io/tls"
        );
        assert!(
            check("secret tls s --cert /dev/null --key /dev/null").unwrap_err().contains("PEM")
        );
    }
}
