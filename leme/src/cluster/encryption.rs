//! The keys that a cluster's Secrets are encrypted with: where they lie, and that they are made with a new cluster.
//!
//! Knows: the configuration's file, beside the data directory and never in it, so that a copy of the data shows nothing.
//! Refuses to know: ciphers.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leme_host::mounts::mounts_below;
use leme_kinds::Kinds;
use leme_store::encryption::{Config, Encrypted, Rewritten};
use leme_store::{ROOT, Store};

use crate::cluster::data::{DataDir, write_private};
use crate::documents;

/// What a new cluster encrypts.
const RESOURCES: [&str; 7] = [
    "secrets",
    "routes.route.openshift.io",
    "buildconfigs.build.openshift.io",
    "oauthclients.oauth.openshift.io",
    "templateinstances.template.openshift.io",
    "oauthaccesstokens.oauth.openshift.io",
    "oauthauthorizetokens.oauth.openshift.io",
];
/// What the name of the file ends in that is made with a new cluster.
const ENDING: &str = ".encryption.yaml";
/// Where random numbers come from.
const RANDOM: &str = "/dev/urandom";
/// Bytes of a key.
const KEY: usize = 32;

/// Encrypts what a store keeps, if the cluster is one that does. `named` is the configuration that the command line
/// names; a store of its own that is not there yet belongs to a new cluster.
///
/// # Errors
/// One line with the next step: no cluster shall run without its keys, as if its Secrets were lost.
pub fn config(data: &DataDir, named: Option<&Path>, is_new: bool) -> Result<Option<Config>> {
    let Some(path) = chosen(data, named, is_new)? else { return Ok(None) };
    let shown = path.display();
    ensure!(
        path.try_exists().with_context(|| format!("look for {shown}"))?,
        "{shown} is not there, which holds the keys of this cluster's Secrets: put it back, or name it with --encryption-provider-config; without it they cannot be read, and a new cluster is begun with another --data-dir"
    );
    let real = path.canonicalize().with_context(|| format!("resolve {shown}"))?;
    ensure!(
        !real.starts_with(data.root()),
        "{shown} is in the data directory: who has a copy of that would have the keys as well; keep it somewhere else"
    );
    let document = documents::only(&path, "EncryptionConfiguration")?;
    let config = Config::read(&document).map_err(|why| anyhow!("{shown}: {why}"))?;
    write_private(&marker(data.root()), &real.display().to_string())?;
    Ok(Some(config))
}

fn chosen(data: &DataDir, named: Option<&Path>, is_new: bool) -> Result<Option<PathBuf>> {
    if let Some(named) = named {
        let named = std::path::absolute(named).context("find the encryption configuration")?;
        return Ok(Some(named));
    }
    match fs::read_to_string(marker(data.root())) {
        Ok(path) => return Ok(Some(path.trim().into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).context("read where the encryption configuration is"),
    }
    if !is_new {
        return Ok(None);
    }
    let Some(path) = beside(data.root()) else {
        tracing::warn!(
            "Secrets are kept in the clear: what lies beside the data directory does not last as long as that, which is a mount of its own; name a file with --encryption-provider-config"
        );
        return Ok(None);
    };
    if !path.exists() {
        write_private(&path, &made()?)
            .context("make the key of this cluster's Secrets beside its data (or name another place with --encryption-provider-config)")?;
    }
    Ok(Some(path))
}

/// The text of a new configuration.
fn made() -> Result<String> {
    let mut key = [0; KEY];
    File::open(RANDOM).and_then(|mut random| random.read_exact(&mut key)).context(RANDOM)?;
    let resources: String = RESOURCES.iter().map(|name| format!("  - {name}\n")).collect();
    let key = STANDARD.encode(key);
    Ok(format!(
        "# The key of this cluster's Secrets: without it they cannot be read. Keep a copy, and keep it apart from the data.\n\
         apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources:\n{resources}  \
         providers:\n  - secretbox:\n      keys:\n      - name: key1\n        secret: {key}\n  - identity: {{}}\n"
    ))
}

/// Where the configuration lies that is made with a new cluster; nowhere if the data directory is a mount point.
pub fn beside(root: &Path) -> Option<PathBuf> {
    let is_mount = mounts_below(root).is_ok_and(|mounts| mounts.iter().any(|mount| mount == root));
    let name = root.file_name().filter(|_| !is_mount)?;
    let mut name = name.to_os_string();
    name.push(ENDING);
    Some(root.with_file_name(name))
}

fn marker(root: &Path) -> PathBuf {
    root.join("encryption")
}

/// Removes the keys that were made with a cluster that is to be forgotten; those that somebody named are theirs.
///
/// # Errors
/// When they stay.
pub fn forget(root: &Path) -> Result<()> {
    let Ok(path) = fs::read_to_string(marker(root)) else { return Ok(()) };
    let path = PathBuf::from(path.trim());
    if beside(root).as_ref() != Some(&path) {
        return Ok(());
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("remove {}: {error}", path.display())
        }
        _ => Ok(()),
    }
}

/// The store with what it keeps encrypted.
pub fn around(store: Arc<dyn Store>, config: Config, kinds: &Arc<Kinds>) -> Arc<Encrypted> {
    Arc::new(Encrypted::new(store, config, |name| prefixes(kinds, name)))
}

/// Under which prefixes the resources of a name of a configuration lie.
fn prefixes(kinds: &Kinds, name: &str) -> Vec<String> {
    let (plural, group) = name.split_once('.').unwrap_or((name, ""));
    let of_group = |wanted: &str| {
        kinds
            .iter()
            .filter(|kind| &*kind.group == wanted && (plural == "*" || &*kind.plural == plural))
            .map(|kind| kind.prefix(None))
            .collect::<Vec<String>>()
    };
    match (plural, group) {
        ("*", "*") => vec![ROOT.to_owned()],
        // Those of the core group have no prefix of their own.
        (_, "") => of_group(""),
        ("*", group) => vec![format!("{ROOT}{group}/")],
        (plural, group) => {
            let known = of_group(group);
            let own = format!("{ROOT}{group}/{plural}/");
            if known.is_empty() { vec![own] } else { known }
        }
    }
}

/// Writes again what is still kept otherwise than the configuration says: once a cluster is up, the keys behind the first
/// are needed no more. What none of its keys opens keeps the cluster down, unless that is wanted.
///
/// # Errors
/// When something cannot be opened, or the store cannot be asked.
pub async fn settle(store: &Encrypted, ignore_lost: bool) -> Result<()> {
    let Rewritten { written, unreadable, first } =
        store.rewrite().await.context("encrypt again what was written before")?;
    if let Some(first) = first {
        ensure!(
            ignore_lost,
            "{unreadable} objects cannot be decrypted, such as {first}: put back the key that they were encrypted with, or start with --encryption-ignore-lost-keys, which leaves them out of lists until they are deleted"
        );
        tracing::error!(unreadable, %first, "objects are left out that no key of the configuration opens");
    }
    if written > 0 {
        tracing::warn!(written, "objects were written again, as the encryption configuration says");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> (tempfile::TempDir, DataDir) {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("data")).unwrap();
        (dir, data)
    }

    #[test]
    fn a_new_cluster_has_a_key_that_no_copy_of_its_data_holds() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, data) = begun();
        assert!(config(&data, None, true).unwrap().is_some());
        let file = dir.path().join("data.encryption.yaml");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        // Another start has the same; without it none is made up.
        let before = fs::read_to_string(&file).unwrap();
        assert!(config(&data, None, false).unwrap().is_some());
        assert_eq!(fs::read_to_string(&file).unwrap(), before);
        fs::rename(&file, dir.path().join("moved.yaml")).unwrap();
        let why = config(&data, None, false).err().unwrap().to_string();
        assert!(why.contains("put it back") && !why.contains('\n'), "{why}");
        assert!(config(&data, Some(&dir.path().join("moved.yaml")), false).unwrap().is_some());
        // Who named it keeps it.
        forget(data.root()).unwrap();
        assert!(dir.path().join("moved.yaml").exists());
    }

    #[test]
    fn a_cluster_of_before_stays_as_it_is_and_what_was_made_goes_with_it() {
        let (dir, data) = begun();
        assert!(config(&data, None, false).unwrap().is_none());
        assert!(!dir.path().join("data.encryption.yaml").exists());
        config(&data, None, true).unwrap();
        forget(data.root()).unwrap();
        assert!(!dir.path().join("data.encryption.yaml").exists());
    }

    #[test]
    fn a_key_in_the_data_directory_is_refused() {
        let (dir, data) = begun();
        config(&data, None, true).unwrap();
        let inside = data.root().join("keys.yaml");
        fs::copy(dir.path().join("data.encryption.yaml"), &inside).unwrap();
        let link = dir.path().join("link.yaml");
        std::os::unix::fs::symlink(&inside, &link).unwrap();
        for path in [inside, link] {
            let why = config(&data, Some(&path), false).err().unwrap().to_string();
            assert!(why.contains("is in the data directory"), "{why}");
        }
    }

    #[test]
    fn names_of_resources_lie_where_their_kinds_do() {
        let kinds = Kinds::builtin();
        let cases = [
            ("secrets", vec!["/registry/secrets/"]),
            ("deployments.apps", vec!["/registry/apps/deployments/"]),
            ("*.apps", vec!["/registry/apps/"]),
            ("*.*", vec!["/registry/"]),
            ("databases.example.com", vec!["/registry/example.com/databases/"]),
        ];
        for (name, expected) in cases {
            assert_eq!(prefixes(kinds, name), expected, "{name}");
        }
        let core = prefixes(kinds, "*.");
        assert!(core.contains(&"/registry/pods/".to_owned()));
        assert!(!core.iter().any(|one| one.contains("apps")));
    }
}
