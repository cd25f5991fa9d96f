//! Layers and images that are made here, in place of being loaded or pulled.
//!
//! Knows: that what is made by a step is the layer, so that it need not be unpacked again. Refuses to know: Dockerfiles.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci_spec::image::{ImageManifest, MediaType};
use serde::{Deserialize, Serialize};

use super::archive::{Measured, Source};
use super::index::{Index, Stored, StoredLayer, chain_id};
use super::reference::{Reference, digest_of};
use super::{ImageError, ImageStore};
use crate::files;

/// A layer of an image, as it lies in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltLayer {
    /// The digest of its blob.
    pub digest: String,
    /// Bytes of its blob.
    pub size: u64,
    /// How its blob is packed, as manifests name it.
    pub media_type: String,
    /// The digest of the tar file in it.
    pub diff_id: String,
    /// The name of it with all below it.
    pub chain: String,
}

/// An image to be taken in.
#[derive(Clone, Copy, Debug)]
pub struct BuiltImage<'a> {
    /// Its configuration.
    pub config: &'a [u8],
    /// Its manifest.
    pub manifest: &'a [u8],
    /// Its layers from the bottom up, all of them in the store.
    pub layers: &'a [BuiltLayer],
    /// References that mean it from now on.
    pub tags: &'a [String],
}

impl ImageStore {
    /// The text of an image's configuration.
    ///
    /// # Errors
    /// When it is not there.
    pub fn config_text(&self, id: &str) -> Result<Vec<u8>, ImageError> {
        Ok(fs::read(self.blob_path(id))?)
    }

    /// The layers of an image, from the bottom up.
    ///
    /// # Errors
    /// When the image is not there as a whole.
    pub fn layers_of(&self, id: &str) -> Result<Vec<BuiltLayer>, ImageError> {
        let index = self.index()?;
        let missing = || ImageError::Invalid(format!("image {id} is not in the index"));
        let stored = index.images.get(id).ok_or_else(missing)?;
        let manifest: ImageManifest =
            serde_json::from_slice(&fs::read(self.blob_path(&stored.manifest))?)
                .map_err(|error| ImageError::Invalid(format!("manifest of {id}: {error}")))?;
        let config = super::read_config(&self.config_text(id)?)?;
        let diff_ids = config.rootfs().diff_ids();
        if diff_ids.len() != stored.layers.len() || manifest.layers().len() != diff_ids.len() {
            return Err(ImageError::Invalid(format!("image {id} does not agree with itself")));
        }
        let all = stored.layers.iter().zip(diff_ids).zip(manifest.layers());
        let layer = |((layer, diff_id), told): ((&StoredLayer, &String), _)| {
            let size = fs::metadata(self.blob_path(&layer.digest))?.len();
            Ok(BuiltLayer {
                digest: layer.digest.clone(),
                size,
                media_type: media_type(told),
                diff_id: diff_id.clone(),
                chain: layer.chain.clone(),
            })
        };
        all.map(layer).collect()
    }

    /// Where a layer is unpacked.
    pub fn unpacked(&self, layer: &BuiltLayer) -> PathBuf {
        self.layer_path(&layer.chain)
    }

    /// Whether a layer is here as a whole.
    pub fn has_layer(&self, layer: &BuiltLayer) -> bool {
        self.layer_path(&layer.chain).is_dir() && self.blob_path(&layer.digest).is_file()
    }

    /// Takes in a directory as a layer on top of `below`, and the blob that was packed out of it: both are moved. What is
    /// there already stays, and what was given then is left to the caller.
    ///
    /// # Errors
    /// When the disk does.
    pub fn take_layer(
        &self,
        below: Option<&BuiltLayer>,
        directory: &Path,
        blob: &Path,
        mut layer: BuiltLayer,
    ) -> Result<BuiltLayer, ImageError> {
        layer.chain = chain_id(below.map(|below| below.chain.as_str()), &layer.diff_id);
        let _lock = self.lock()?;
        for (from, to) in
            [(directory, self.layer_path(&layer.chain)), (blob, self.blob_path(&layer.digest))]
        {
            if !to.exists() {
                fs::rename(from, to)?;
            }
        }
        Ok(layer)
    }

    /// Takes in an image whose layers are here; its id.
    ///
    /// # Errors
    /// When a layer is not here, or the disk fails.
    pub fn take_built(&self, image: BuiltImage<'_>) -> Result<String, ImageError> {
        let BuiltImage { config, manifest, layers, tags } = image;
        let (id, manifest_digest) = (digest_of(config), digest_of(manifest));
        let lock = self.lock()?;
        if let Some(layer) = layers.iter().find(|layer| !self.has_layer(layer)) {
            return Err(ImageError::Invalid(format!("layer {} is missing", layer.digest)));
        }
        let (mut names, mut tagged) = (BTreeSet::new(), Vec::new());
        for tag in tags {
            let reference = Reference::parse(tag)
                .ok_or_else(|| ImageError::Invalid(format!("bad image reference {tag:?}")))?;
            tagged.push(reference.full());
            names.insert(reference.name);
        }
        self.store_blob(&id, config)?;
        self.store_blob(&manifest_digest, manifest)?;
        let size = layers.iter().map(|layer| layer.size).sum::<u64>();
        let size = size + (config.len() + manifest.len()) as u64;
        let stored = |layer: &BuiltLayer| StoredLayer {
            digest: layer.digest.clone(),
            chain: layer.chain.clone(),
        };
        let layers = layers.iter().map(stored).collect();
        let (pulled, shown) = (BTreeSet::new(), BTreeSet::new());
        let mut index = self.index()?;
        let image = Stored { manifest: manifest_digest, names, layers, size, pulled, shown };
        let before = index.images.get(&id).cloned();
        let known = index.images.entry(id.clone()).or_insert(image.clone());
        known.manifest.clone_from(&image.manifest);
        known.names.extend(image.names);
        let mut changed = before.as_ref() != Some(known);
        for tag in tagged {
            changed |= index.tags.insert(tag, id.clone()).as_ref() != Some(&id);
        }
        // A build that changes nothing writes nothing.
        if changed {
            rustix::fs::syncfs(fs::File::open(&self.root)?).map_err(io::Error::from)?;
            self.write_index(&lock, &index)?;
        }
        Ok(id)
    }

    /// What a layer is that an image has brought before, under the same digest and on top of the same others: it was measured
    /// then.
    pub(super) fn believed(
        &self,
        index: &Index,
        digest: Option<&str>,
        chain: &str,
        diff_id: &str,
    ) -> Option<Measured> {
        let digest = digest?;
        let mut layers = index.images.values().flat_map(|image| &image.layers);
        let known = layers.any(|layer| layer.digest == digest && layer.chain == chain);
        let size = fs::metadata(self.blob_path(digest)).ok()?.len();
        let (digest, diff_id) = (digest.to_owned(), diff_id.to_owned());
        // Only a manifest tells a digest, so that none is made which would tell how it is packed.
        let measured = Measured { digest, size, unpacked: 0, diff_id, compressed: true };
        Some(measured).filter(|_| known && self.layer_path(chain).is_dir())
    }

    /// Takes in the one image of a layout under these names, whatever it calls itself; its id.
    ///
    /// # Errors
    /// When it is not what its digests say, or does not fit.
    pub fn load_as(&self, layout: &Path, tags: &[String]) -> Result<String, ImageError> {
        let bad = |tag: &String| ImageError::Invalid(format!("bad image reference {tag:?}"));
        let named = |tag: &String| Reference::parse(tag).ok_or_else(|| bad(tag));
        let names = tags.iter().map(named).collect::<Result<Vec<_>, _>>()?;
        let source = Source::directory(layout, None);
        let lock = self.lock()?;
        let mut found = source.images()?;
        let Some(mut one) = found.pop().filter(|_| found.is_empty()) else {
            return Err(ImageError::Invalid("there is not one image in it".to_owned()));
        };
        let id = digest_of(&one.config);
        let mut index = self.index()?;
        let Some(known) = index.images.get_mut(&id) else {
            one.references = names.iter().map(Reference::full).collect();
            self.import(&lock, &source, vec![one])?;
            return Ok(id);
        };
        // All of it is here, and was believed then.
        for name in &names {
            known.names.insert(name.name.clone());
            index.tags.insert(name.full(), id.clone());
        }
        self.write_index(&lock, &index)?;
        Ok(id)
    }

    /// Lays an image out as a layout directory, whose blobs are those of the store; `into` is on its disk, and is made.
    ///
    /// # Errors
    /// When the image is not there as a whole, or the disk fails.
    pub fn lay_out(&self, id: &str, tag: Option<&str>, into: &Path) -> Result<(), ImageError> {
        let layers = self.layers_of(id)?;
        let index = self.index()?;
        let missing = || ImageError::Invalid(format!("image {id} is not in the index"));
        let stored = index.images.get(id).ok_or_else(missing)?;
        let blobs = into.join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        let all = layers.iter().map(|layer| layer.digest.as_str());
        for digest in all.chain([id, stored.manifest.as_str()]).collect::<BTreeSet<_>>() {
            let from = self.blob_path(digest);
            fs::hard_link(&from, blobs.join(digest.trim_start_matches("sha256:")))?;
        }
        let mut descriptor = serde_json::json!({
            "mediaType": MediaType::ImageManifest.to_string(),
            "digest": stored.manifest,
            "size": fs::metadata(self.blob_path(&stored.manifest))?.len(),
        });
        if let Some(tag) = tag {
            let names = serde_json::json!({"io.containerd.image.name": tag});
            descriptor["annotations"] = names;
        }
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [descriptor]});
        let text = serde_json::to_vec(&index).map_err(io::Error::from)?;
        files::replace(
            &into.join("oci-layout"),
            br#"{"imageLayoutVersion":"1.0.0"}"#,
            0o644,
            false,
        )?;
        Ok(files::replace(&into.join("index.json"), &text, 0o644, false)?)
    }
}

/// OCI's name of how a layer is packed.
fn media_type(told: &oci_spec::image::Descriptor) -> String {
    let told = told.media_type().to_string();
    let packed = ["gzip", "zstd"].into_iter().find(|by| told.ends_with(by));
    match packed {
        Some(by) => format!("application/vnd.oci.image.layer.v1.tar+{by}"),
        None => "application/vnd.oci.image.layer.v1.tar".to_owned(),
    }
}
