//! Directories that are volumes, and those that are snapshots of them.
//!
//! Knows: where they are, how one begins as a copy of another. Refuses to know: the API. Everything here blocks.
//!
//! Invariant: what is under its name is whole. A copy is made under another name, which no volume can have.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};
use leme_host::removal::remove_tree;
use leme_host::replica::copy_tree;
use leme_meta::local_path::Source;

use crate::volumes::component;

/// What the name of a copy begins with that is not whole.
const UNFINISHED: &str = ".copy-";

/// One copy is made at a time: two of the same would be in each other's way.
static COPYING: Mutex<()> = Mutex::new(());

/// Where the volumes of a node are.
pub fn volumes(data: &Path) -> PathBuf {
    data.join("storage")
}

/// Where its snapshots are.
pub fn snapshots(data: &Path) -> PathBuf {
    data.join("snapshots")
}

/// Whether a volume's directory is there.
pub fn has_volume(data: &Path, name: &str) -> bool {
    component(name).is_ok_and(|name| volumes(data).join(name).exists())
}

/// A volume's directory, which is made when it is first needed: empty, for whoever has the volume to write to, or as a copy.
pub fn volume(data: &Path, name: &str, source: Option<&Source>) -> anyhow::Result<PathBuf> {
    let path = volumes(data).join(component(name)?);
    if path.exists() {
        return Ok(path);
    }
    match source {
        Some(Source::Snapshot(snapshot)) => {
            copy(&snapshots(data).join(component(snapshot)?), &path)
                .with_context(|| format!("restore snapshot {snapshot}"))?;
        }
        Some(Source::Volume(other)) if has_volume(data, other) => {
            copy(&volumes(data).join(other), &path)
                .with_context(|| format!("copy volume {other}"))?;
        }
        // What nobody has used holds nothing.
        Some(Source::Volume(_)) | None => make(&path)?,
    }
    Ok(path)
}

/// Takes a snapshot of a volume, unless it is there already.
pub fn take(
    data: &Path,
    volume_name: &str,
    source: Option<&Source>,
    snapshot: &str,
) -> anyhow::Result<()> {
    let from = volume(data, volume_name, source)?;
    let to = snapshots(data).join(component(snapshot)?);
    if to.exists() { Ok(()) } else { copy(&from, &to) }
}

/// Whether a snapshot is there.
pub fn has_snapshot(data: &Path, name: &str) -> bool {
    component(name).is_ok_and(|name| snapshots(data).join(name).exists())
}

/// Takes a snapshot away; fine if it is not there.
pub fn remove_snapshot(data: &Path, name: &str) -> anyhow::Result<()> {
    let path = snapshots(data).join(component(name)?);
    remove_tree(&path).with_context(|| format!("remove snapshot {name}"))
}

fn make(path: &Path) -> anyhow::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        made => made.with_context(|| format!("make {}", path.display()))?,
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))
        .with_context(|| format!("set mode of {}", path.display()))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let _alone = COPYING.lock().unwrap_or_else(PoisonError::into_inner);
    if to.exists() {
        return Ok(());
    }
    if !from.exists() {
        bail!("it is not on this node");
    }
    let name = to.file_name().and_then(|name| name.to_str()).context("a copy has a name")?;
    let unfinished = to.with_file_name(format!("{UNFINISHED}{name}"));
    // What an earlier try has left.
    remove_tree(&unfinished)?;
    let copied = copy_tree(from, &unfinished).and_then(|()| fs::rename(&unfinished, to));
    if copied.is_err() {
        remove_tree(&unfinished)?;
    }
    Ok(copied?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        for folder in [volumes(data.path()), snapshots(data.path())] {
            fs::create_dir(folder).unwrap();
        }
        data
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path.join("f")).unwrap_or_default()
    }

    /// Red when a snapshot follows its volume, or a volume that was there is filled again.
    #[test]
    fn a_volume_begins_as_what_it_was_copied_from() {
        let node = node();
        let data = node.path();
        let first = volume(data, "first", None).unwrap();
        assert_eq!(fs::metadata(&first).unwrap().permissions().mode() & 0o777, 0o777);
        fs::write(first.join("f"), "one").unwrap();
        take(data, "first", None, "s").unwrap();
        fs::write(first.join("f"), "two").unwrap();
        take(data, "first", None, "s").unwrap();
        let restored = volume(data, "restored", Some(&Source::Snapshot("s".into()))).unwrap();
        let cloned = volume(data, "cloned", Some(&Source::Volume("first".into()))).unwrap();
        assert_eq!((read(&restored).as_str(), read(&cloned).as_str()), ("one", "two"));
        fs::write(restored.join("f"), "three").unwrap();
        volume(data, "restored", Some(&Source::Snapshot("s".into()))).unwrap();
        assert_eq!(read(&restored), "three");
        remove_snapshot(data, "s").unwrap();
        let late = volume(data, "late", Some(&Source::Snapshot("s".into()))).unwrap_err();
        assert!(format!("{late:#}").contains("restore snapshot s: it is not on this node"));
        let unused = volume(data, "unused", Some(&Source::Volume("never".into()))).unwrap();
        assert!(fs::read_dir(unused).unwrap().next().is_none());
    }

    /// Red when a copy that was cut short counts as whole, or a name leads elsewhere.
    #[test]
    fn what_is_not_whole_is_made_anew() {
        let node = node();
        let data = node.path();
        fs::write(volume(data, "v", None).unwrap().join("f"), "all").unwrap();
        let half = snapshots(data).join(format!("{UNFINISHED}s"));
        fs::create_dir(&half).unwrap();
        fs::write(half.join("junk"), "").unwrap();
        take(data, "v", None, "s").unwrap();
        assert!(!half.exists() && !snapshots(data).join("s/junk").exists());
        for name in ["..", "a/b", "", ".copy-s"] {
            assert!(take(data, "v", None, name).is_err() && remove_snapshot(data, name).is_err());
            assert!(volume(data, name, None).is_err(), "{name}");
        }
    }
}
