//! The index of the store and the documents it points at.
//!
//! Knows: their form. Refuses to know: files.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ImageError;
use super::archive::Measured;
use super::reference::{Reference, valid_digest};
use crate::files;

/// Which images there are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    /// Full tag -> image id.
    pub(super) tags: BTreeMap<String, String>,
    /// Image id -> image.
    pub(super) images: BTreeMap<String, Stored>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) manifest: String,
    /// Repository names it is known under, for `name@digest`.
    pub(super) names: BTreeSet<String>,
    pub(super) layers: Vec<StoredLayer>,
    pub(super) size: u64,
    /// What it came from registries as, `name@digest`: of an image for several machines that is the digest of them all.
    #[serde(default)]
    pub(super) pulled: BTreeSet<String>,
    /// Whom registries have shown it to: names, each with the mark of a login, or `*` for everybody.
    #[serde(default)]
    pub(super) shown: BTreeSet<String>,
}

/// From the bottom up in an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredLayer {
    pub(super) digest: String,
    pub(super) chain: String,
}

impl Stored {
    /// By which digests it is known: of a name that it came under, as it came.
    pub(super) fn digests(&self) -> Vec<String> {
        let came = |name: &&String| {
            self.pulled.iter().any(|came| came.split_once('@').is_some_and(|(own, _)| own == *name))
        };
        let others = self.names.iter().filter(|name| !came(name));
        let others = others.map(|name| format!("{name}@{}", self.manifest));
        self.pulled.iter().cloned().chain(others).collect()
    }
}

impl Index {
    /// The id of the image that a reference means.
    pub(super) fn find(&self, reference: &str) -> Option<String> {
        if let Some(id) = valid_digest(reference) {
            return self.images.contains_key(&id).then_some(id);
        }
        if let Some(parsed) = Reference::parse(reference) {
            let found = match &parsed.digest {
                Some(digest) => self
                    .images
                    .iter()
                    .find(|(id, image)| {
                        let own = image.manifest == *digest || *id == digest;
                        (own && image.names.contains(&parsed.name))
                            || image.pulled.contains(&parsed.full())
                    })
                    .map(|(id, _)| id.clone()),
                None => self.tags.get(&parsed.full()).cloned(),
            };
            if found.is_some() {
                return found;
            }
        }
        // The beginning of an id, if it is long enough not to be a word and means one image.
        let hex = reference.len() >= 12 && reference.bytes().all(|b| b.is_ascii_hexdigit());
        let mut matches =
            self.images.keys().filter(|id| hex && id["sha256:".len()..].starts_with(reference));
        matches.next().cloned().filter(|_| matches.next().is_none())
    }
}

/// Reads a configuration.
pub(super) fn read_config(bytes: &[u8]) -> Result<ImageConfiguration, ImageError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ImageError::Invalid(format!("image configuration: {error}")))
}

/// Names a layer together with all below it.
pub(super) fn chain_id(below: Option<&str>, diff_id: &str) -> String {
    match below {
        None => diff_id.to_owned(),
        Some(below) => {
            format!("sha256:{}", files::hex(&Sha256::digest(format!("{below} {diff_id}"))))
        }
    }
}

/// A manifest for an image that came without one, so that it has a digest to be named by.
pub(super) fn make_manifest(
    config: &str,
    config_size: usize,
    layers: &[Measured],
) -> Result<Vec<u8>, ImageError> {
    let kind = |compressed: bool| match compressed {
        true => "application/vnd.oci.image.layer.v1.tar+gzip",
        false => "application/vnd.oci.image.layer.v1.tar",
    };
    let layers: Vec<serde_json::Value> = layers
        .iter()
        .map(|layer| {
            serde_json::json!({"mediaType": kind(layer.compressed), "digest": layer.digest, "size": layer.size})
        })
        .collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
        "layers": layers,
    });
    Ok(serde_json::to_vec(&manifest).map_err(io::Error::from)?)
}
