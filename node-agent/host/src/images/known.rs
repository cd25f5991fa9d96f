//! What the steps of earlier builds have left, by keys, and what goes first when there is too much of it.
//!
//! Knows: files named by keys, and that the time of each is when it was last of use. Refuses to know: what a key is made of.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::building::BuiltLayer;
use super::{ImageError, ImageStore};
use crate::files;

/// What a step has left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its layer; none if it changed nothing.
    pub layer: Option<BuiltLayer>,
    /// When it was made.
    pub created: String,
}

/// Something that may go.
enum Old {
    Step(PathBuf),
    Image(String),
}

impl ImageStore {
    fn known_path(&self, key: &str) -> PathBuf {
        self.root.join("known").join(key.trim_start_matches("sha256:"))
    }

    /// What a step has left, if all of it is here; it counts as used now.
    pub fn known(&self, key: &str) -> Option<Known> {
        let path = self.known_path(key);
        let known: Known = files::read_json(&path).ok()??;
        let whole = known.layer.as_ref().is_none_or(|layer| self.has_layer(layer));
        whole.then(|| touch(&path)).map(|()| known)
    }

    /// Remembers what a step has left.
    ///
    /// # Errors
    /// When the disk does.
    pub fn remember(&self, key: &str, known: &Known) -> Result<(), ImageError> {
        let path = self.known_path(key);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(files::write_json(&path, known)?)
    }

    /// Says that an image was used now.
    pub fn used(&self, id: &str) {
        touch(&self.blob_path(id));
    }

    /// All that steps have left.
    pub(super) fn all_known(&self) -> io::Result<Vec<(PathBuf, Known)>> {
        let all = match fs::read_dir(self.root.join("known")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            all => all?,
        };
        let read = |path: PathBuf| {
            let known = files::read_json(&path).ok().flatten()?;
            Some((path, known))
        };
        Ok(all.flatten().filter_map(|entry| read(entry.path())).collect())
    }

    /// Brings the store back to so many bytes of layers: steps and images go that were not used for the longest time, but for
    /// what somebody has pinned. For a store of builds alone, which has no image that only it has.
    ///
    /// # Errors
    /// When the disk does.
    pub fn trim(&self, bytes: u64) -> Result<(), ImageError> {
        let lock = self.lock()?;
        let blobs = fs::read_dir(self.root.join("blobs/sha256"))?.flatten();
        let mut all: u64 = blobs.map(|entry| size(&entry.path())).sum();
        if all <= bytes {
            return Ok(());
        }
        let mut index = self.index()?;
        let mut old: Vec<(SystemTime, Old, Vec<String>)> = Vec::new();
        for (path, known) in self.all_known()? {
            let layers = known.layer.into_iter().map(|layer| layer.digest).collect();
            old.push((used(&path), Old::Step(path), layers));
        }
        for (id, image) in &index.images {
            let layers = image.layers.iter().map(|layer| layer.digest.clone()).collect();
            old.push((used(&self.blob_path(id)), Old::Image(id.clone()), layers));
        }
        let pinned = self.pinned();
        let mut sizes = BTreeMap::new();
        let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
        for digest in old.iter().flat_map(|(.., layers)| layers.iter().collect::<BTreeSet<_>>()) {
            *uses.entry(digest).or_default() += 1;
            sizes.entry(digest.as_str()).or_insert_with(|| size(&self.blob_path(digest)));
        }
        // What nobody knows of goes in any case.
        all = all.min(sizes.values().sum());
        let mut order: Vec<usize> = (0..old.len()).collect();
        order.sort_by_key(|at| old[*at].0);
        let mut gone = HashSet::new();
        for at in order {
            let (_, what, layers) = &old[at];
            let held = match what {
                Old::Image(id) => pinned.contains(id),
                Old::Step(_) => layers.iter().any(|layer| pinned.contains(layer)),
            };
            if all <= bytes || held {
                continue;
            }
            gone.insert(at);
            let layers = layers.iter().filter(|layer| !pinned.contains(*layer));
            for digest in layers.collect::<BTreeSet<_>>() {
                let left = uses.entry(digest).or_default();
                *left = left.saturating_sub(1);
                if *left == 0 {
                    all -= sizes.get(digest.as_str()).copied().unwrap_or(0);
                }
            }
        }
        for (_, what, _) in gone.iter().map(|at| &old[*at]) {
            match what {
                Old::Step(path) => files::remove_file(path)?,
                Old::Image(id) => {
                    index.images.remove(id);
                    index.tags.retain(|_, tagged| tagged != id);
                }
            }
        }
        self.write_index(&lock, &index)?;
        self.sweep(&lock, &index, &HashSet::new())
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

fn used(path: &Path) -> SystemTime {
    fs::metadata(path).and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn touch(path: &Path) {
    let now = FileTimes::new().set_modified(SystemTime::now());
    // Whoever cannot say so is taken for older than it is.
    let _ = File::options().append(true).open(path).and_then(|file| file.set_times(now));
}
