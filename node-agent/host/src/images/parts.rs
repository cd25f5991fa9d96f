//! What an image consists of, for who gives it on.
//!
//! Knows: its manifest and the blobs that this names. Refuses to know: to whom it is given.

use std::fs;
use std::io;
use std::path::PathBuf;

use oci_spec::image::ImageManifest;

use super::reference::{Reference, valid_digest};
use super::{ImageError, ImageStore};

/// An image as it is given on.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Its manifest.
    pub manifest: Vec<u8>,
    /// The media type of that.
    pub media_type: String,
    /// Digest, bytes and place of its layers and its configuration.
    pub blobs: Vec<(String, u64, PathBuf)>,
}

impl ImageStore {
    /// What an image consists of; nothing if there is no such image.
    ///
    /// # Errors
    /// When it cannot be read, or is not whole.
    pub fn parts(&self, reference: &str) -> Result<Option<Parts>, ImageError> {
        let index = self.index()?;
        let stored = index.find(reference).and_then(|id| index.images.get(&id));
        let Some(stored) = stored else { return Ok(None) };
        let manifest = fs::read(self.blob_path(&stored.manifest))?;
        let read: ImageManifest = serde_json::from_slice(&manifest)
            .map_err(|error| ImageError::Invalid(format!("its manifest: {error}")))?;
        let usual = "application/vnd.oci.image.manifest.v1+json".to_owned();
        let media_type = read.media_type().as_ref().map_or(usual, ToString::to_string);
        let mut blobs = Vec::new();
        for one in read.layers().iter().chain([read.config()]) {
            let digest = one.digest().to_string();
            let known = valid_digest(&digest)
                .ok_or_else(|| ImageError::Invalid(format!("unsupported digest {digest}")))?;
            let path = self.blob_path(&known);
            let missing = || ImageError::Invalid(format!("its blob {known} is not there"));
            if !path.exists() {
                return Err(missing());
            }
            blobs.push((known, one.size(), path));
        }
        Ok(Some(Parts { manifest, media_type, blobs }))
    }

    /// Has a tag mean an image that is there; whether there is such an image.
    ///
    /// # Errors
    /// When the tag is none, or the index cannot be read or written.
    pub fn tag(&self, reference: &str, tag: &str) -> Result<bool, ImageError> {
        let named = Reference::parse(tag).filter(|named| named.digest.is_none());
        let named = named.ok_or_else(|| ImageError::Invalid(format!("{tag:?} is no tag")))?;
        let lock = self.lock()?;
        let mut index = self.index()?;
        let Some(id) = index.find(reference) else { return Ok(false) };
        let image =
            index.images.get_mut(&id).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        image.names.insert(named.name.clone());
        index.tags.insert(named.full(), id);
        self.write_index(&lock, &index)?;
        Ok(true)
    }
}
