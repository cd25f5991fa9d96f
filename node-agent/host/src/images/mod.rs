//! The node's images: content-addressed blobs, unpacked layers, and one index that is replaced whole.
//!
//! `blobs/sha256/HEX` configurations, manifests and layers; `layers/HEX` unpacked, named by chain id; `index.json` what
//! is there; `registry` which blobs are a registry's; `lock` held by whoever changes something. A reader takes no lock: it reads
//! the index when asked, so that another process's `load` is seen at once. Knows: the store. Refuses to know: pods, HTTP.

mod archive;
mod building;
mod guard;
mod index;
mod known;
mod looks;
mod parts;
mod plain;
mod pulling;
mod removal;
mod repositories;
mod room;
mod stream;
pub mod unpack;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci_spec::image::ImageConfiguration;
use rustix::fs::{FlockOperation, flock};

use crate::files;
use archive::{Found, Measured, Source};
pub use archive::{for_this_machine, machine};
pub use building::{BuiltImage, BuiltLayer};
use index::{Index, Stored, StoredLayer, chain_id, make_manifest, read_config};
pub use known::Known;
pub use leme_distribution::reference;
pub use parts::Parts;
pub use plain::{is_archive, unpack_archive};
pub use pulling::{EVERYBODY, Pulling};
use reference::{Reference, digest_of};
pub use repositories::{Link, Repository};
pub use unpack::{Attributes, Limits};

/// Why an image could not be loaded or read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The image itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The disk, or the stream.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// An image on this node.
#[derive(Clone, Debug)]
pub struct ImageRecord {
    /// Digest of the configuration, `sha256:...`.
    pub id: String,
    /// `name:tag` references.
    pub tags: Vec<String>,
    /// `name@sha256:...` references, those first that it came from registries as.
    pub digests: Vec<String>,
    /// Those that it came from registries as.
    pub pulled: Vec<String>,
    /// Whom registries have shown it to.
    pub shown: BTreeSet<String>,
    /// The configuration.
    pub config: ImageConfiguration,
    /// Unpacked layers, the topmost first.
    pub layers: Vec<PathBuf>,
    /// Bytes on disk before unpacking.
    pub size: u64,
}

/// The store. Cheap to clone; many processes may have the same one open.
#[derive(Clone, Debug)]
pub struct ImageStore {
    root: PathBuf,
    limits: Limits,
    attributes: Attributes,
}

impl ImageStore {
    /// Opens the store, making it where it is missing.
    pub fn open(root: &Path) -> Result<ImageStore, ImageError> {
        for directory in ["blobs/sha256", "layers", "staging"] {
            fs::create_dir_all(root.join(directory))?;
        }
        let (limits, attributes) = (Limits::default(), Attributes::Machine);
        Ok(ImageStore { root: fs::canonicalize(root)?, limits, attributes })
    }

    /// As [`ImageStore::open`], for the root of a user namespace.
    pub fn open_in_namespace(root: &Path) -> Result<ImageStore, ImageError> {
        Ok(ImageStore { attributes: Attributes::Namespace, ..ImageStore::open(root)? })
    }

    /// The store as it is, to be read: nothing is made where it is missing, and there are no images then.
    pub fn to_read(root: &Path) -> ImageStore {
        let (limits, attributes) = (Limits::default(), Attributes::Machine);
        ImageStore { root: root.to_owned(), limits, attributes }
    }

    /// Where the store is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The same store with other bounds on what it takes in.
    pub fn with_limits(mut self, limits: Limits) -> ImageStore {
        self.limits = limits;
        self
    }

    /// Loads every image of a docker archive or OCI layout: a tar file (also gzip or zstd) or a layout directory.
    /// Returns the references, or ids of images that have none.
    pub fn load(&self, path: &Path) -> Result<Vec<String>, ImageError> {
        let stem =
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let base = Some(stem.split('.').next().unwrap_or_default().to_ascii_lowercase())
            .filter(|s| !s.is_empty());
        if fs::metadata(path)?.is_dir() {
            let lock = self.lock()?;
            let source = Source::directory(path, base);
            return self.import(&lock, &source, source.images()?);
        }
        self.load_archive(File::open(path)?, base)
    }

    /// As [`ImageStore::load`], from a stream.
    pub fn load_reader(&self, archive: impl Read) -> Result<Vec<String>, ImageError> {
        self.load_archive(archive, None)
    }

    fn load_archive(
        &self,
        archive: impl Read,
        base: Option<String>,
    ) -> Result<Vec<String>, ImageError> {
        let lock = self.lock()?;
        let room = self.room()?;
        let staging = self.root.join("staging").join(files::random_hex(8)?);
        fs::create_dir_all(&staging)?;
        let loaded = Source::stage(archive, &staging, base, self.limits, room)
            .and_then(|source| self.import(&lock, &source, source.images()?));
        let _ = files::remove_tree(&staging);
        loaded
    }

    /// Takes the writers' lock and clears what a killed writer left.
    fn lock(&self) -> Result<Lock, ImageError> {
        let file = File::options().create(true).append(true).open(self.root.join("lock"))?;
        flock(&file, FlockOperation::LockExclusive).map_err(io::Error::from)?;
        for entry in fs::read_dir(self.root.join("staging"))?.flatten() {
            let _ = files::remove_tree(&entry.path());
        }
        for directory in ["layers", "blobs/sha256"] {
            for entry in fs::read_dir(self.root.join(directory))?.flatten() {
                if entry.file_name().to_string_lossy().starts_with(".new-") {
                    let path = entry.path();
                    let _ = if path.is_dir() {
                        files::remove_tree(&path)
                    } else {
                        files::remove_file(&path)
                    };
                }
            }
        }
        Ok(Lock { _file: file })
    }

    /// Takes in what a source holds, or leaves nothing of it: a disk that is full is not filled by what nobody can use.
    fn import(
        &self,
        lock: &Lock,
        source: &Source,
        found: Vec<Found>,
    ) -> Result<Vec<String>, ImageError> {
        let mut made = Vec::new();
        self.import_all(lock, source, found, &mut made).inspect_err(|_| {
            for path in &made {
                // What cannot be removed now is swept when an image is removed.
                let _ = files::remove_tree(path);
            }
        })
    }

    fn import_all(
        &self,
        lock: &Lock,
        source: &Source,
        found: Vec<Found>,
        made: &mut Vec<PathBuf>,
    ) -> Result<Vec<String>, ImageError> {
        let mut index = self.index()?;
        let mut loaded = Vec::new();
        for found in found {
            let references = found.references.clone();
            let (id, stored) = self.import_one(source, found, &index, made)?;
            let known = index.images.entry(id.clone()).or_insert(stored.clone());
            known.names.extend(stored.names);
            for reference in &references {
                index.tags.insert(reference.clone(), id.clone());
            }
            loaded.extend(if references.is_empty() { vec![id] } else { references });
        }
        // The layers must be on disk before anything says that they are.
        rustix::fs::syncfs(File::open(&self.root)?).map_err(io::Error::from)?;
        self.write_index(lock, &index)?;
        Ok(loaded)
    }

    fn import_one(
        &self,
        source: &Source,
        found: Found,
        index: &Index,
        made: &mut Vec<PathBuf>,
    ) -> Result<(String, Stored), ImageError> {
        let id = digest_of(&found.config);
        let config = read_config(&found.config)?;
        let diff_ids = config.rootfs().diff_ids();
        if diff_ids.len() != found.layers.len() {
            return Err(ImageError::Invalid(format!(
                "image {id} names {} layers in its configuration and {} in its manifest",
                diff_ids.len(),
                found.layers.len()
            )));
        }
        let (mut layers, mut measured) = (Vec::<StoredLayer>::new(), Vec::new());
        for ((name, digest), diff_id) in found.layers.iter().zip(diff_ids) {
            let chain = chain_id(layers.last().map(|layer| layer.chain.as_str()), diff_id);
            if let Some(measure) = self.believed(index, digest.as_deref(), &chain, diff_id) {
                layers.push(StoredLayer { digest: measure.digest.clone(), chain });
                measured.push(measure);
                continue;
            }
            let mut file = source.open(name)?;
            let measure = archive::measure(&mut file, self.limits.bytes)?;
            if digest.as_ref().is_some_and(|digest| *digest != measure.digest)
                || measure.diff_id != *diff_id
            {
                return Err(ImageError::Invalid(format!(
                    "the content of layer {name} does not match its digest"
                )));
            }
            let lower: Vec<PathBuf> =
                layers.iter().rev().map(|layer| self.layer_path(&layer.chain)).collect();
            made.extend(self.store_blob_file(&measure, &mut file)?);
            made.extend(self.unpack_layer(&chain, &measure, &lower)?);
            layers.push(StoredLayer { digest: measure.digest.clone(), chain });
            measured.push(measure);
        }
        let manifest = match found.manifest {
            Some(manifest) => manifest,
            None => make_manifest(&id, found.config.len(), &measured)?,
        };
        let manifest_digest = digest_of(&manifest);
        let size = measured.iter().map(|layer| layer.size).sum::<u64>()
            + (found.config.len() + manifest.len()) as u64;
        made.extend(self.store_blob(&id, &found.config)?);
        made.extend(self.store_blob(&manifest_digest, &manifest)?);
        let names =
            found.references.iter().filter_map(|r| Reference::parse(r)).map(|r| r.name).collect();
        let (pulled, shown) = (BTreeSet::new(), BTreeSet::new());
        Ok((id, Stored { manifest: manifest_digest, names, layers, size, pulled, shown }))
    }

    fn blob_path(&self, digest: &str) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
    }

    fn layer_path(&self, chain: &str) -> PathBuf {
        self.root.join("layers").join(chain.trim_start_matches("sha256:"))
    }

    /// Where the blob is now, if it was not there before.
    fn store_blob(&self, digest: &str, bytes: &[u8]) -> io::Result<Option<PathBuf>> {
        let path = self.blob_path(digest);
        if path.exists() {
            return Ok(None);
        }
        files::replace(&path, bytes, 0o644, false).map(|()| Some(path))
    }

    fn store_blob_file(
        &self,
        measure: &Measured,
        file: &mut File,
    ) -> Result<Option<PathBuf>, ImageError> {
        let path = self.blob_path(&measure.digest);
        if path.exists() {
            return Ok(None);
        }
        self.fits(&measure.digest, measure.size)?;
        let temporary =
            self.root.join("blobs/sha256").join(format!(".new-{}", files::random_hex(8)?));
        if let Err(error) = archive::store_file(file, &path, &temporary) {
            let _ = files::remove_file(&temporary);
            return Err(error.into());
        }
        Ok(Some(path))
    }

    /// Where the layer is now, if it was not there before.
    fn unpack_layer(
        &self,
        chain: &str,
        Measured { digest, unpacked, .. }: &Measured,
        lower: &[PathBuf],
    ) -> Result<Option<PathBuf>, ImageError> {
        let target = self.layer_path(chain);
        if target.exists() {
            return Ok(None);
        }
        self.fits(digest, *unpacked)?;
        let limits = self.room()?;
        let temporary = self.root.join("layers").join(format!(".new-{}", files::random_hex(8)?));
        fs::create_dir(&temporary)?;
        rustix::fs::chmod(&temporary, rustix::fs::Mode::from_raw_mode(0o755))
            .map_err(io::Error::from)?;
        let unpacked = stream::decompress(File::open(self.blob_path(digest))?, self.limits.bytes)
            .and_then(|stream| {
                unpack::unpack_for(self.attributes, stream, &temporary, lower, limits)
            })
            .and_then(|()| fs::rename(&temporary, &target));
        unpacked.map_err(|error| {
            let _ = files::remove_tree(&temporary);
            ImageError::Invalid(format!("layer {digest}: {error}"))
        })?;
        Ok(Some(target))
    }

    fn index(&self) -> Result<Index, ImageError> {
        Ok(files::read_json(&self.root.join("index.json"))?.unwrap_or_default())
    }

    fn write_index(&self, _lock: &Lock, index: &Index) -> Result<(), ImageError> {
        let text = serde_json::to_vec_pretty(index).map_err(io::Error::from)?;
        Ok(files::replace(&self.root.join("index.json"), &text, 0o644, true)?)
    }

    /// The image that a reference means: a name with or without tag, a digest, an id.
    pub fn resolve(&self, reference: &str) -> Result<Option<ImageRecord>, ImageError> {
        let index = self.index()?;
        match index.find(reference) {
            Some(id) => self.record(&index, &id).map(Some),
            None => Ok(None),
        }
    }

    /// All images. One whose configuration cannot be read is left out and named in the log.
    pub fn list(&self) -> Result<Vec<ImageRecord>, ImageError> {
        let index = self.index()?;
        let mut records = Vec::new();
        for id in index.images.keys() {
            match self.record(&index, id) {
                Ok(record) => records.push(record),
                Err(error) => tracing::warn!(image = %id, %error, "image cannot be read"),
            }
        }
        Ok(records)
    }

    fn record(&self, index: &Index, id: &str) -> Result<ImageRecord, ImageError> {
        let stored = index
            .images
            .get(id)
            .ok_or_else(|| ImageError::Invalid(format!("image {id} is not in the index")))?;
        Ok(ImageRecord {
            id: id.to_owned(),
            tags: index
                .tags
                .iter()
                .filter(|(_, tagged)| *tagged == id)
                .map(|(tag, _)| tag.clone())
                .collect(),
            digests: stored.digests(),
            pulled: stored.pulled.iter().cloned().collect(),
            shown: stored.shown.clone(),
            config: read_config(&fs::read(self.blob_path(id))?)?,
            layers: stored.layers.iter().rev().map(|layer| self.layer_path(&layer.chain)).collect(),
            size: stored.size,
        })
    }
}

/// Proof that the store's writers' lock is held.
struct Lock {
    _file: File,
}
