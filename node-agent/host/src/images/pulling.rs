//! Images that come from elsewhere: a place for what is under way, and how it becomes an image.
//!
//! Knows: that what a killed process left there is nobody's. Refuses to know: registries.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::archive::Source;
use super::{ImageError, ImageRecord, ImageStore};
use crate::files;

/// A layout that is being filled; gone when this is dropped.
#[derive(Debug)]
pub struct Pulling {
    root: PathBuf,
    /// Locked as long as somebody fills it.
    _lock: File,
}

impl Pulling {
    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a blob lies in it.
    pub fn blob(&self, digest: &str) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
    }

    /// Keeps what has these digests or names in the store as long as this is there.
    ///
    /// # Errors
    /// When the disk does.
    pub fn pin<'a>(&self, names: impl Iterator<Item = &'a str>) -> io::Result<()> {
        let mut file = File::options().create(true).append(true).open(self.root.join(PINS))?;
        // At once, so that nobody reads a part of a line.
        let lines: String = names.flat_map(|name| [name, "\n"]).collect();
        file.write_all(lines.as_bytes())
    }
}

/// What somebody has pinned, a name a line.
const PINS: &str = "pins";

impl Drop for Pulling {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next one.
        let _ = files::remove_tree(&self.root);
    }
}

impl ImageStore {
    /// A place for an image of so many bytes.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn pulling(&self, bytes: u64) -> Result<Pulling, ImageError> {
        let all = self.root.join("pulling");
        fs::create_dir_all(&all)?;
        // Whoever has it sweeps where this begins.
        let _lock = self.lock()?;
        for entry in fs::read_dir(&all)?.flatten() {
            let lock = File::options().append(true).open(entry.path().join("lock"));
            let is_used = lock
                .is_ok_and(|lock| flock(lock, FlockOperation::NonBlockingLockExclusive).is_err());
            if !is_used {
                let _ = files::remove_tree(&entry.path());
            }
        }
        self.fits("of the image", bytes)?;
        // It has its lock before anybody sees it.
        let hidden = self.root.join("staging").join(files::random_hex(8)?);
        fs::create_dir_all(hidden.join("blobs/sha256"))?;
        let lock = File::options().create(true).append(true).open(hidden.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(io::Error::from)?;
        let root = all.join(files::random_hex(8)?);
        fs::rename(&hidden, &root)?;
        Ok(Pulling { root, _lock: lock })
    }

    /// What is pinned by anybody.
    pub(super) fn pinned(&self) -> BTreeSet<String> {
        let all = fs::read_dir(self.root.join("pulling")).into_iter().flatten().flatten();
        let texts = all.filter_map(|entry| fs::read_to_string(entry.path().join(PINS)).ok());
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// Lends a blob that is there to a layout; whether it is there.
    ///
    /// # Errors
    /// When the disk does.
    pub fn lend_blob(&self, digest: &str, into: &Path) -> Result<bool, ImageError> {
        match fs::hard_link(self.blob_path(digest), into) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The id of an image that came as `name@digest`; a tag means it from now on, and it was shown to one more.
    ///
    /// # Errors
    /// When the index cannot be read or written.
    pub fn know_as(
        &self,
        reference: &str,
        came_as: &str,
        by: &str,
    ) -> Result<Option<String>, ImageError> {
        let lock = self.lock()?;
        let mut index = self.index()?;
        let found = index.images.iter_mut().find(|(_, image)| image.pulled.contains(came_as));
        let Some((id, image)) = found else { return Ok(None) };
        let id = id.clone();
        let mut changed = image.shown.insert(shown(came_as, by));
        if !reference.contains('@') && index.tags.get(reference) != Some(&id) {
            index.tags.insert(reference.to_owned(), id.clone());
            changed = true;
        }
        if changed {
            self.write_index(&lock, &index)?;
        }
        Ok(Some(id))
    }

    /// Takes in the one image of a layout, which came as `name@digest` and was shown to whoever has the mark `by`; its id.
    ///
    /// # Errors
    /// When it is not what its digests say, or does not fit.
    pub fn take_pulled(
        &self,
        pulling: Pulling,
        came_as: &str,
        by: &str,
    ) -> Result<String, ImageError> {
        let lock = self.lock()?;
        let source = Source::directory(pulling.root(), None);
        let taken = self.import(&lock, &source, source.images()?)?;
        let mut index = self.index()?;
        let id = taken.first().and_then(|one| index.tags.get(one).or(Some(one))).cloned();
        let none = || ImageError::Invalid("there is no image in it".to_owned());
        let id = id.ok_or_else(none)?;
        let image = index.images.get_mut(&id).ok_or_else(none)?;
        image.pulled.insert(came_as.to_owned());
        image.shown.insert(shown(came_as, by));
        if let Some((name, _)) = came_as.split_once('@') {
            image.names.insert(name.to_owned());
        }
        self.write_index(&lock, &index)?;
        Ok(id)
    }
}

/// Everybody, among the marks of logins.
pub const EVERYBODY: &str = "*";

fn shown(came_as: &str, by: &str) -> String {
    let name = came_as.split_once('@').map_or(came_as, |(name, _)| name);
    format!("{name} {by}")
}

impl ImageRecord {
    /// Whether a registry has shown what has a name there to whoever has one of these marks, or to everybody.
    pub fn was_shown(&self, name: &str, mut marks: impl Iterator<Item = String>) -> bool {
        self.shown.contains(&shown(name, EVERYBODY))
            || marks.any(|mark| self.shown.contains(&shown(name, &mark)))
    }

    /// Whether what has a name here came from its registry, and was not loaded by hand.
    pub fn came_from_registry(&self, name: &str) -> bool {
        self.pulled.iter().any(|came| came.split_once('@').is_some_and(|(own, _)| own == name))
    }
}
