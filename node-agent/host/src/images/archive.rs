//! What comes in: docker archives and OCI layouts, as tar streams (compressed or not) or directories.
//!
//! Knows: these formats. Refuses to know: the store's layout. Nothing is believed before its digest is checked.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Component, Path, PathBuf};

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::ImageError;
use super::guard::Guard;
use super::reference::{Reference, digest_of, valid_digest};
use super::stream::{damaged, decompress, open_archive};
use super::unpack::{Limits, open_inside};
use crate::files::hex;

/// Largest JSON document read.
const MAX_JSON: u64 = 8 << 20;
/// Most files in an archive, most images in it, deepest index in an index.
const MAX_FILES: usize = 20_000;
const MAX_IMAGES: usize = 1_000;
const MAX_NESTING: usize = 4;

/// An image found, with everything it names.
pub(super) struct Found {
    /// References that it came with, in full.
    pub(super) references: Vec<String>,
    /// The configuration's text.
    pub(super) config: Vec<u8>,
    /// The manifest's text, if it came with one.
    pub(super) manifest: Option<Vec<u8>>,
    /// Layer files from the bottom up, with the digest that the manifest gives them, if any.
    pub(super) layers: Vec<(String, Option<String>)>,
}

/// A directory with the archive's files in it, or the layout directory itself.
pub(super) struct Source {
    root: PathBuf,
    /// Name in the archive -> name in the directory; empty for a layout directory.
    names: HashMap<PathBuf, PathBuf>,
    /// Name for images that come with a bare tag.
    base: Option<String>,
}

impl Source {
    pub(super) fn directory(root: &Path, base: Option<String>) -> Source {
        Source { root: root.to_owned(), names: HashMap::new(), base }
    }

    /// Copies an archive's files into `staging`, where there is so much room.
    pub(super) fn stage(
        archive: impl Read,
        staging: &Path,
        base: Option<String>,
        limits: Limits,
        room: Limits,
    ) -> Result<Source, ImageError> {
        let mut names = HashMap::new();
        let mut links: Vec<(PathBuf, PathBuf)> = Vec::new();
        let mut archive = tar::Archive::new(Guard::new(open_archive(archive, limits.bytes)?));
        let most = room.entries.min(MAX_FILES as u64);
        let mut left = room.bytes;
        for entry in archive.entries()? {
            let mut entry = entry.map_err(damaged)?;
            let name = plain(&entry.path()?)
                .ok_or_else(|| ImageError::Invalid("an archive entry leaves the archive".into()))?;
            let kind = entry.header().entry_type();
            if (names.len() + links.len()) as u64 >= most {
                return Err(ImageError::Invalid("the archive holds too many files".into()));
            }
            if kind.is_symlink() || kind.is_hard_link() {
                let target = entry.link_name()?.unwrap_or_default().into_owned();
                let above = name.parent().filter(|_| kind.is_symlink()).unwrap_or(Path::new(""));
                links.push((name.clone(), fold(&above.join(target))));
            } else if kind.is_file() {
                let stored = PathBuf::from(names.len().to_string());
                // Before it is written: what is refused afterwards has filled the disk.
                let full = || room.exceeded("archive", staging);
                left = left.checked_sub(entry.size()).ok_or_else(full)?;
                let mut file = File::create_new(staging.join(&stored))?;
                io::copy(&mut entry, &mut file)?;
                names.insert(name, stored);
            }
        }
        for (name, target) in links {
            if let Some(stored) = names.get(&target).cloned() {
                names.insert(name, stored);
            }
        }
        Ok(Source { root: staging.to_owned(), names, base })
    }

    pub(super) fn open(&self, name: &str) -> Result<File, ImageError> {
        let missing = || ImageError::Invalid(format!("{name} is missing"));
        let wanted = plain(Path::new(name)).ok_or_else(missing)?;
        let stored = if self.names.is_empty() {
            wanted
        } else {
            self.names.get(&wanted).cloned().ok_or_else(missing)?
        };
        open_inside(&self.root, &stored).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(),
            _ => ImageError::Io(error),
        })
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let mut bytes = Vec::new();
        self.open(name)?.take(MAX_JSON + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_JSON {
            return Err(ImageError::Invalid(format!("{name} is too large")));
        }
        Ok(bytes)
    }

    fn has(&self, name: &str) -> bool {
        self.open(name).is_ok()
    }

    /// A blob of an OCI layout, its digest checked.
    fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ImageError> {
        let digest = descriptor.digest().to_string();
        let bytes = self.read(&blob_name(&digest)?)?;
        if digest_of(&bytes) != digest {
            return Err(ImageError::Invalid(format!(
                "the content of {digest} does not match its digest"
            )));
        }
        Ok(bytes)
    }

    /// All images in the source.
    pub(super) fn images(&self) -> Result<Vec<Found>, ImageError> {
        let found = if self.has("manifest.json") {
            self.docker_images()?
        } else if self.has("index.json") {
            let index: ImageIndex = parse("index.json", &self.read("index.json")?)?;
            let mut found = Vec::new();
            self.oci_images(&index, None, 0, &mut found)?;
            found
        } else {
            return Err(ImageError::Invalid(
                "neither a docker archive nor an OCI layout (no manifest.json, no index.json)"
                    .into(),
            ));
        };
        if found.is_empty() {
            return Err(ImageError::Invalid("no image for this machine in it".into()));
        }
        Ok(found)
    }

    fn docker_images(&self) -> Result<Vec<Found>, ImageError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Item {
            config: String,
            #[serde(default)]
            repo_tags: Option<Vec<String>>,
            #[serde(default)]
            layers: Option<Vec<String>>,
        }
        let items: Vec<Item> = parse("manifest.json", &self.read("manifest.json")?)?;
        if items.len() > MAX_IMAGES {
            return Err(ImageError::Invalid("too many images".into()));
        }
        let mut found = Vec::new();
        for item in items {
            let tags = item.repo_tags.unwrap_or_default();
            found.push(Found {
                references: tags.iter().map(|tag| full(tag)).collect::<Result<_, _>>()?,
                config: self.read(&item.config)?,
                manifest: None,
                layers: item
                    .layers
                    .unwrap_or_default()
                    .into_iter()
                    .map(|layer| (layer, None))
                    .collect(),
            });
        }
        Ok(found)
    }

    fn oci_images(
        &self,
        index: &ImageIndex,
        inherited: Option<&str>,
        depth: usize,
        found: &mut Vec<Found>,
    ) -> Result<(), ImageError> {
        for descriptor in index.manifests() {
            if found.len() > MAX_IMAGES || depth > MAX_NESTING {
                return Err(ImageError::Invalid("too many images".into()));
            }
            if !for_this_machine(descriptor) {
                continue;
            }
            let own = self.annotated_reference(descriptor)?;
            let reference = own.as_deref().or(inherited);
            let bytes = self.blob(descriptor)?;
            let kind = descriptor.media_type().to_string();
            if kind.contains("index") || kind.contains("manifest.list") {
                let nested: ImageIndex = parse("an index", &bytes)?;
                self.oci_images(&nested, reference, depth + 1, found)?;
                continue;
            }
            let manifest: ImageManifest = parse("a manifest", &bytes)?;
            let mut layers = Vec::new();
            for layer in manifest.layers() {
                let digest = layer.digest().to_string();
                layers.push((blob_name(&digest)?, Some(digest)));
            }
            found.push(Found {
                references: reference.map(|r| r.to_owned()).into_iter().collect(),
                config: self.blob(manifest.config())?,
                manifest: Some(bytes),
                layers,
            });
        }
        Ok(())
    }

    fn annotated_reference(&self, descriptor: &Descriptor) -> Result<Option<String>, ImageError> {
        let annotation =
            |key: &str| descriptor.annotations().as_ref().and_then(|map| map.get(key)).cloned();
        if let Some(name) = annotation("io.containerd.image.name") {
            return full(&name).map(Some);
        }
        match annotation("org.opencontainers.image.ref.name") {
            Some(name) if name.contains(['/', ':']) => full(&name).map(Some),
            Some(tag) => match &self.base {
                Some(base) => full(&format!("{base}:{tag}")).map(Some),
                None => Ok(None),
            },
            None => Ok(None),
        }
    }
}

fn full(text: &str) -> Result<String, ImageError> {
    let reference = Reference::parse(text);
    reference
        .map(|r| r.full())
        .ok_or_else(|| ImageError::Invalid(format!("bad image reference {text:?}")))
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| ImageError::Invalid(format!("{name}: {error}")))
}

/// The architecture of this machine, as images name it.
pub fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Whether an image is for this machine, as far as its descriptor says.
pub fn for_this_machine(descriptor: &Descriptor) -> bool {
    descriptor.platform().as_ref().is_none_or(|platform| {
        platform.os().to_string() == "linux" && platform.architecture().to_string() == machine()
    })
}

fn blob_name(digest: &str) -> Result<String, ImageError> {
    let digest = valid_digest(digest)
        .ok_or_else(|| ImageError::Invalid(format!("unsupported digest {digest}")))?;
    Ok(format!("blobs/sha256/{}", digest.trim_start_matches("sha256:")))
}

/// A relative path without `.`; `None` if it climbs.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!clean.as_os_str().is_empty()).then_some(clean)
}

/// Takes `x/..` out of a link's target. It is looked up among names, never in the file system.
fn fold(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}

/// A reader that hashes what passes.
pub(super) struct Hashing<R> {
    inner: R,
    hash: Sha256,
    /// Bytes so far.
    pub(super) length: u64,
}

impl<R> Hashing<R> {
    pub(super) fn new(inner: R) -> Hashing<R> {
        Hashing { inner, hash: Sha256::new(), length: 0 }
    }

    pub(super) fn digest(self) -> String {
        format!("sha256:{}", hex(&self.hash.finalize()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hash.update(&buffer[..length]);
        self.length += length as u64;
        Ok(length)
    }
}

/// What a layer file is: digest and size as stored, digest of the tar stream in it.
pub(super) struct Measured {
    pub(super) digest: String,
    pub(super) size: u64,
    /// Bytes of the tar stream in it: about what it takes when it is unpacked.
    pub(super) unpacked: u64,
    pub(super) diff_id: String,
    pub(super) compressed: bool,
}

/// Reads a layer file through once, and again if it is compressed.
pub(super) fn measure(file: &mut File, limit: u64) -> io::Result<Measured> {
    let mut stored = Hashing::new(&mut *file);
    let mut start = [0u8; 4];
    let mut filled = 0;
    while filled < start.len() {
        match stored.read(&mut start[filled..])? {
            0 => break,
            length => filled += length,
        }
    }
    let compressed = start.starts_with(&[0x1f, 0x8b]) || start == [0x28, 0xb5, 0x2f, 0xfd];
    io::copy(&mut stored, &mut io::sink())?;
    let size = stored.length;
    let digest = stored.digest();
    file.rewind()?;
    let (unpacked, diff_id) = if compressed {
        let mut inner = Hashing::new(decompress(&mut *file, limit)?);
        io::copy(&mut inner, &mut io::sink())?;
        (inner.length, inner.digest())
    } else {
        (size, digest.clone())
    };
    file.rewind()?;
    Ok(Measured { digest, size, unpacked, diff_id, compressed })
}

/// Copies a file to a name that appears only when it is whole.
pub(super) fn store_file(from: &mut File, target: &Path, temporary: &Path) -> io::Result<()> {
    let mut file = File::create_new(temporary)?;
    io::copy(from, &mut file)?;
    file.flush()?;
    std::fs::rename(temporary, target)
}
