//! `leme image push` and `leme image login`: images given to registries, and who one is there.
//!
//! Knows: the order in which an image is given, and docker's file of logins. Refuses to know: how registries are spoken to.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leme_distribution::{Client, Content, Credentials, Error, Login, Reference, Registries};
use leme_host::images::{ImageStore, Parts};
use serde_json::{Value, json};

use crate::cluster::data::DataDir;
use crate::cluster::registry;
use crate::say;

/// Bytes of a password, or of a file of logins, at most.
const TEXT: u64 = 1 << 20;

/// Adds where the registry of the cluster is whose data directory this is.
pub fn with_own(mut registries: Registries, data: &DataDir) -> Registries {
    let authority = std::fs::read_to_string(data.pki().join("ca.crt")).unwrap_or_default();
    if !authority.is_empty() {
        registries.set_own(&registry::host(), &registry::usual_url(data), &authority);
    }
    registries
}

/// Gives an image to the registry that its name names.
pub async fn push(
    (image, to): (&str, &str),
    registries: Registries,
    logins: &Credentials,
    data_dir: &Path,
) -> Result<()> {
    let wanted = Reference::parse(to).with_context(|| format!("{to:?} names no image"))?;
    let data = DataDir::look(data_dir)?;
    let data = data.with_context(|| format!("there is no image in {}", data_dir.display()))?;
    let parts = ImageStore::to_read(&data.images()).parts(image)?;
    let parts = parts.with_context(|| format!("there is no image {image}: see leme image ls"))?;
    let (name, repository) = wanted.parts();
    let endpoint = with_own(registries, &data).registry(name);
    let nobody = Client::new(&endpoint)?;
    let known = logins.of(&wanted.name).chain(endpoint.login.clone());
    let mut refused = None;
    for login in known.map(Some).chain([None]) {
        match give(&nobody.for_login(login), repository, wanted.by(), &parts).await {
            Ok(digest) => return say::line(format_args!("pushed {}: {digest}", wanted.full())),
            Err(error) if error.is_refusal() => refused = refused.or(Some(error)),
            Err(error) => return Err(error).with_context(|| format!("push {to}")),
        }
    }
    match refused {
        Some(error) => Err(error).with_context(|| format!("push {to}")),
        None => bail!("push {to}: nobody was asked"),
    }
}

async fn give(client: &Client, repository: &str, by: &str, parts: &Parts) -> Result<String, Error> {
    for (digest, size, path) in &parts.blobs {
        client.push_blob(repository, digest, *size, &Content::File(path.clone())).await?;
    }
    let manifest = parts.manifest.clone().into();
    client.push_manifest(repository, by, &parts.media_type, manifest).await
}

/// Who one is to a registry from now on.
pub async fn login(
    registry: &str,
    user: &str,
    authfile: Option<PathBuf>,
    registries: Registries,
    data_dir: &Path,
) -> Result<()> {
    let mut password = String::new();
    std::io::stdin().take(TEXT).read_to_string(&mut password).context("read the password")?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    ensure!(!password.is_empty(), "there is no password on standard input");
    ensure!(!user.contains(':'), "a user's name has no colon");
    let registries = match DataDir::look(data_dir) {
        Ok(Some(data)) => with_own(registries, &data),
        _ => registries,
    };
    let login = Login { user: user.to_owned(), password };
    let client = Client::new(&registries.registry(registry))?.for_login(Some(login.clone()));
    client.check().await.with_context(|| format!("log in to {registry}"))?;
    let path = match authfile.or_else(super::usual_logins) {
        Some(path) => path,
        None => bail!("there is no home directory: name a file with --authfile"),
    };
    let shown = path.display().to_string();
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => b"{}".to_vec(),
        Err(error) => return Err(error).with_context(|| format!("read {shown}")),
    };
    let new = with_login(&text, registry, &login);
    let new = new.with_context(|| format!("{shown} holds no logins as docker keeps them"))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    leme_host::files::replace(&path, new.as_bytes(), 0o600, true)
        .with_context(|| format!("write {shown}"))?;
    say::line(format_args!("logged in to {registry}: {shown}"))
}

/// A file of logins with one more; none if it is no such file.
fn with_login(text: &[u8], registry: &str, login: &Login) -> Option<String> {
    let mut file: Value = serde_json::from_slice(text).ok()?;
    let auths = file.as_object_mut()?.entry("auths").or_insert(json!({})).as_object_mut()?;
    let auth = STANDARD.encode(format!("{}:{}", login.user, login.password));
    auths.insert(registry.to_owned(), json!({ "auth": auth }));
    serde_json::to_string_pretty(&file).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_added_and_the_others_stay() {
        let login = Login { user: "ana".to_owned(), password: "p:w".to_owned() };
        let text = with_login(
            br#"{"credsStore": "x", "auths": {"r.io": {"auth": "eDp5"}}}"#,
            "q.io",
            &login,
        );
        let text = text.unwrap();
        let read = Credentials::read(text.as_bytes()).unwrap();
        assert_eq!(read.of("q.io/a").next(), Some(login.clone()));
        assert_eq!(read.of("r.io/a").next().unwrap().user, "x");
        assert!(text.contains("credsStore"));
        for bad in [&b"[]"[..], b"", b"{\"auths\": []}"] {
            assert_eq!(with_login(bad, "q.io", &login), None);
        }
    }
}
