//! A data directory that was begun and of which nothing came: what was made for it goes again.
//!
//! Knows: which directories were there before. Refuses to know: what is kept in one.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow};
use leme_host::mounts::mounts_below;
use leme_host::removal::remove_unmounted;

use crate::cluster::encryption;

/// What was made for a data directory that was not there.
#[derive(Debug)]
pub struct Fresh {
    root: PathBuf,
    /// Directories that were made, the deepest first.
    made: Vec<PathBuf>,
    /// Whether keys lay beside it, of a cluster of before.
    had_keys: bool,
    /// How an empty directory that was there before was protected.
    before: Option<Permissions>,
}

impl Fresh {
    /// Makes the directory, and those above it.
    pub(super) fn make(root: &Path) -> io::Result<Fresh> {
        let root = std::path::absolute(root)?;
        let made: Vec<PathBuf> =
            root.ancestors().take_while(|path| !path.exists()).map(Path::to_owned).collect();
        let before = fs::metadata(&root).ok().map(|found| found.permissions());
        let had_keys = encryption::beside(&root).is_some_and(|path| path.exists());
        let fresh = Fresh { root, made, had_keys, before };
        let make = || {
            fs::create_dir_all(&fresh.root)?;
            fs::set_permissions(&fresh.root, Permissions::from_mode(0o700))
        };
        match make() {
            Ok(()) => Ok(fresh),
            Err(error) => {
                fresh.remove_made();
                Err(error)
            }
        }
    }

    /// Takes away what has been made since. Images that somebody has loaded meanwhile are worth more than an empty place.
    ///
    /// # Errors
    /// When something is left.
    pub fn undo(self) -> Result<()> {
        let shown = self.root.display();
        let look = || format!("look into {shown}");
        let mounts = mounts_below(&self.root).with_context(look)?;
        let is_used = mounts.iter().any(|mount| *mount != self.root);
        if is_used || self.root.join("images").join("index.json").exists() {
            return Ok(());
        }
        if !self.had_keys {
            encryption::forget(&self.root)?;
        }
        for entry in fs::read_dir(&self.root).with_context(look)? {
            let path = entry.with_context(look)?.path();
            remove_unmounted(&path).with_context(|| format!("remove {}", path.display()))?;
        }
        if let Some(before) = &self.before {
            fs::set_permissions(&self.root, before.clone())
                .with_context(|| format!("unprotect {shown}"))?;
        }
        self.remove_made();
        Ok(())
    }

    /// Why nothing came of it, once what was made is gone; and what is left, if something is.
    pub fn given_up(fresh: Option<Fresh>, why: Error) -> Error {
        match fresh.map_or(Ok(()), Fresh::undo) {
            Ok(()) => why,
            Err(left) => anyhow!("{why:#} (and what was made for it stays: {left:#})"),
        }
    }

    /// Removes the directories that were made, as far as they are empty.
    fn remove_made(&self) {
        for path in &self.made {
            if fs::remove_dir(path).is_err() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::data::DataDir;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        entries.map(|entry| name(entry).unwrap()).collect()
    }

    /// Red when what was begun stays, and when more goes than was made.
    #[test]
    fn what_was_begun_goes_and_what_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/b");
        let (data, fresh) = DataDir::begin(&root).unwrap();
        fs::create_dir_all(data.pki()).unwrap();
        fs::write(data.pki().join("ca.crt"), "x").unwrap();
        fresh.unwrap().undo().unwrap();
        assert_eq!(names(folder.path()), Vec::<String>::new());

        let (_, fresh) = DataDir::begin(&root).unwrap();
        fs::write(folder.path().join("a/other"), "x").unwrap();
        fresh.unwrap().undo().unwrap();
        assert_eq!(names(&folder.path().join("a")), ["other"]);

        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
        let (_, fresh) = DataDir::begin(&root).unwrap();
        fresh.unwrap().undo().unwrap();
        assert_eq!(names(&root), Vec::<String>::new());
        assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o755);

        // Where a cluster was, nothing is fresh; nor is a place of no use where images are.
        let (data, fresh) = DataDir::begin(&root).unwrap();
        assert!(DataDir::begin(&root).unwrap().1.is_none());
        fs::create_dir_all(data.images()).unwrap();
        fs::write(data.images().join("index.json"), "{}").unwrap();
        fresh.unwrap().undo().unwrap();
        assert!(DataDir::exists(&root).unwrap());
    }
}
