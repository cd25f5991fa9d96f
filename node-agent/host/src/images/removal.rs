//! Images that go, and what no other needs with them.
//!
//! Knows: which files an index needs. Refuses to know: when something is to go.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use super::index::Index;
use super::{ImageError, ImageStore, Lock};
use crate::files;

impl ImageStore {
    /// Removes an image, all its tags with it; absent is fine. Layers in `in_use` stay on disk until a later
    /// [`ImageStore::collect`].
    pub fn remove(&self, reference: &str, in_use: &HashSet<PathBuf>) -> Result<(), ImageError> {
        let lock = self.lock()?;
        let mut index = self.index()?;
        let Some(id) = index.find(reference) else { return Ok(()) };
        index.images.remove(&id);
        index.tags.retain(|_, tagged| *tagged != id);
        self.write_index(&lock, &index)?;
        self.sweep(&lock, &index, in_use)
    }

    /// Removes blobs and layers that no image needs.
    pub fn collect(&self, in_use: &HashSet<PathBuf>) -> Result<(), ImageError> {
        let lock = self.lock()?;
        self.sweep(&lock, &self.index()?, in_use)
    }

    pub(super) fn sweep(
        &self,
        _lock: &Lock,
        index: &Index,
        in_use: &HashSet<PathBuf>,
    ) -> Result<(), ImageError> {
        let (mut blobs, mut layers) = (HashSet::new(), in_use.clone());
        // What builds work with, and what the steps of earlier ones have left.
        let known = self.all_known()?.into_iter().filter_map(|(_, known)| known.layer);
        let kept = known.flat_map(|layer| [layer.digest, layer.chain]).chain(self.pinned());
        for name in kept {
            blobs.insert(self.blob_path(&name));
            layers.insert(self.layer_path(&name));
        }
        for (id, image) in &index.images {
            blobs.extend([self.blob_path(id), self.blob_path(&image.manifest)]);
            for layer in &image.layers {
                blobs.insert(self.blob_path(&layer.digest));
                layers.insert(self.layer_path(&layer.chain));
            }
        }
        blobs.extend(self.linked_blobs()?);
        for entry in fs::read_dir(self.root.join("blobs/sha256"))?.flatten() {
            if !blobs.contains(&entry.path()) {
                files::remove_file(&entry.path())?;
            }
        }
        for entry in fs::read_dir(self.root.join("layers"))?.flatten() {
            if !layers.contains(&entry.path()) {
                files::remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }
}
