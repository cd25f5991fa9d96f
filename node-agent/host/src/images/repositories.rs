//! Which of the store's blobs are a registry's, and of which repositories of it.
//!
//! Knows: `registry/repositories/NAMESPACE/NAME/KIND/HEX`, a small file for each link, and that what is linked stays. Refuses to
//! know: who may read a repository, and HTTP.
//!
//! A link is made before its content gets its place, both under the writers' lock: a link of which the content is not there is
//! none, and content is never there for nobody.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::reference::valid_digest;
use super::{ImageError, ImageStore};
use crate::files;

/// Bytes of a link at most: a descriptor of a referrer is the longest.
const LINK: u64 = 64 << 10;

/// What a link says of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It is a blob.
    Blob,
    /// It is a manifest, of the media type that the link says.
    Manifest,
    /// It is elsewhere, in the repository that the link says; this keeps nothing here.
    Elsewhere,
}

impl Link {
    fn folder(self) -> &'static str {
        match self {
            Link::Blob => "blobs",
            Link::Manifest => "manifests",
            Link::Elsewhere => "elsewhere",
        }
    }
}

/// A repository of the store's registry: a namespace, and a name there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Repository {
    /// Reads `namespace/name`; none if it is no such thing.
    pub fn parse(text: &str) -> Option<Repository> {
        let (namespace, name) = text.split_once('/')?;
        let component = |part: &str| {
            let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
            let bytes = part.as_bytes();
            edge(bytes.first()) && edge(bytes.last()) && part.bytes().all(plain)
        };
        let fits = component(namespace) && component(name) && text.len() <= 255;
        fits.then(|| Repository { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl std::fmt::Display for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl ImageStore {
    fn repositories(&self) -> PathBuf {
        self.root.join("registry/repositories")
    }

    fn repository(&self, of: &Repository) -> PathBuf {
        self.repositories().join(&of.namespace).join(&of.name)
    }

    /// Has what is kept for a namespace be of the one with this uid: what another one of the name had is let go.
    ///
    /// # Errors
    /// When the disk does.
    pub fn of_namespace(&self, namespace: &str, uid: &str) -> Result<(), ImageError> {
        let owner = self.root.join("registry/owners").join(namespace);
        let is_its = |owner: &Path| fs::read_to_string(owner).is_ok_and(|known| known == uid);
        if is_its(&owner) {
            return Ok(());
        }
        let _lock = self.lock()?;
        let others = self.repositories().join(namespace);
        if owner.exists() && !is_its(&owner) && others.exists() {
            files::remove_tree(&others)?;
        }
        fs::create_dir_all(self.root.join("registry/owners"))?;
        files::replace(&owner, uid.as_bytes(), 0o644, true)?;
        Ok(())
    }

    /// Where a registry keeps what is being sent to it; what is there at a start is nobody's.
    pub fn uploads(&self) -> PathBuf {
        self.root.join("registry/uploads")
    }

    /// How many bytes more may be written where the images are.
    ///
    /// # Errors
    /// When the disk does not say.
    pub fn left(&self) -> io::Result<u64> {
        self.room().map(|room| room.bytes)
    }

    /// Where content of a repository is, and how many bytes it has; none if the repository has no such content.
    ///
    /// # Errors
    /// When the disk does.
    pub fn linked(
        &self,
        of: &Repository,
        link: Link,
        digest: &str,
    ) -> io::Result<Option<(PathBuf, u64)>> {
        let Some(at) = self.link_path(of, link, digest) else { return Ok(None) };
        let path = self.blob_path(digest);
        match (fs::symlink_metadata(at), fs::metadata(&path)) {
            (Ok(_), Ok(meta)) => Ok(Some((path, meta.len()))),
            (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// What a link says: of a manifest its media type.
    ///
    /// # Errors
    /// When the disk does.
    pub fn link_text(&self, of: &Repository, link: Link, digest: &str) -> io::Result<String> {
        let at = self.link_path(of, link, digest).ok_or(io::ErrorKind::NotFound)?;
        read_link(&at)
    }

    fn link_path(&self, of: &Repository, link: Link, digest: &str) -> Option<PathBuf> {
        let digest = valid_digest(digest)?;
        let hex = digest.trim_start_matches("sha256:");
        Some(self.repository(of).join(link.folder()).join(hex))
    }

    /// Takes a whole file in as content of that digest, which the caller has checked, and links it.
    ///
    /// # Errors
    /// When the disk does; the file is then where it was.
    pub fn keep(
        &self,
        file: &Path,
        digest: &str,
        of: &Repository,
        link: (Link, &str),
    ) -> Result<(), ImageError> {
        File::open(file)?.sync_all()?;
        let _lock = self.lock()?;
        self.write_link(of, link, digest)?;
        let path = self.blob_path(digest);
        match path.exists() {
            true => fs::remove_file(file)?,
            false => {
                fs::rename(file, &path)?;
                sync_folder(&path)?;
            }
        }
        Ok(())
    }

    /// The same of what is in memory.
    ///
    /// # Errors
    /// When the disk does.
    pub fn keep_bytes(
        &self,
        bytes: &[u8],
        digest: &str,
        of: &Repository,
        link: (Link, &str),
    ) -> Result<(), ImageError> {
        let _lock = self.lock()?;
        self.write_link(of, link, digest)?;
        let path = self.blob_path(digest);
        if !path.exists() {
            files::replace(&path, bytes, 0o644, true)?;
        }
        Ok(())
    }

    /// Links content that the store has; whether it has it.
    ///
    /// # Errors
    /// When the disk does.
    pub fn link_there(
        &self,
        of: &Repository,
        link: (Link, &str),
        digest: &str,
    ) -> Result<bool, ImageError> {
        if valid_digest(digest).is_none() {
            return Ok(false);
        }
        let _lock = self.lock()?;
        if !self.blob_path(digest).exists() {
            return Ok(false);
        }
        self.write_link(of, link, digest)?;
        Ok(true)
    }

    /// Notes where content is that is not here.
    ///
    /// # Errors
    /// When the disk does.
    pub fn note_elsewhere(&self, of: &Repository, digest: &str, place: &str) -> io::Result<()> {
        self.write_link(of, (Link::Elsewhere, place), digest)
    }

    fn write_link(&self, of: &Repository, link: (Link, &str), digest: &str) -> io::Result<()> {
        let at = self.link_path(of, link.0, digest).ok_or(io::ErrorKind::InvalidInput)?;
        if let Some(folder) = at.parent() {
            fs::create_dir_all(folder)?;
        }
        files::replace(&at, link.1.as_bytes(), 0o644, true)
    }

    /// Takes a link away; whether there was one. Its content goes when nobody needs it.
    ///
    /// # Errors
    /// When the disk does.
    pub fn unlink(&self, of: &Repository, link: Link, digest: &str) -> io::Result<bool> {
        let Some(at) = self.link_path(of, link, digest) else { return Ok(false) };
        match fs::remove_file(at) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Notes that one manifest is about another one, as a descriptor in JSON.
    ///
    /// # Errors
    /// When the disk does.
    pub fn refer(
        &self,
        of: &Repository,
        subject: &str,
        digest: &str,
        descriptor: &str,
    ) -> io::Result<()> {
        let folder = self.referrers_path(of, subject).ok_or(io::ErrorKind::InvalidInput)?;
        fs::create_dir_all(&folder)?;
        let name = valid_digest(digest).ok_or(io::ErrorKind::InvalidInput)?;
        let at = folder.join(name.trim_start_matches("sha256:"));
        files::replace(&at, descriptor.as_bytes(), 0o644, true)
    }

    /// Descriptors of the manifests that are about another one, no more than so many; of those that are still there.
    ///
    /// # Errors
    /// When the disk does.
    pub fn referrers(
        &self,
        of: &Repository,
        subject: &str,
        most: usize,
    ) -> io::Result<Vec<String>> {
        let Some(folder) = self.referrers_path(of, subject) else { return Ok(Vec::new()) };
        let mut names = names_in(&folder)?;
        names.sort_unstable();
        let mut all = Vec::new();
        for name in names.into_iter().take(most) {
            if self.linked(of, Link::Manifest, &format!("sha256:{name}"))?.is_some() {
                all.push(read_link(&folder.join(name))?);
            }
        }
        Ok(all)
    }

    fn referrers_path(&self, of: &Repository, subject: &str) -> Option<PathBuf> {
        let subject = valid_digest(subject)?;
        let hex = subject.trim_start_matches("sha256:");
        Some(self.repository(of).join("referrers").join(hex))
    }

    /// All repositories that have something.
    ///
    /// # Errors
    /// When the disk does.
    pub fn all_repositories(&self) -> io::Result<Vec<Repository>> {
        let mut all = Vec::new();
        for namespace in names_in(&self.repositories())? {
            for name in names_in(&self.repositories().join(&namespace))? {
                all.push(Repository { namespace: namespace.clone(), name });
            }
        }
        Ok(all)
    }

    /// What a repository has of a kind that it has had for that long at least, as digests.
    ///
    /// # Errors
    /// When the disk does.
    pub fn links_of(
        &self,
        of: &Repository,
        link: Link,
        since: Duration,
    ) -> io::Result<Vec<String>> {
        let folder = self.repository(of).join(link.folder());
        let mut all = Vec::new();
        for name in names_in(&folder)? {
            let Ok(meta) = fs::symlink_metadata(folder.join(&name)) else { continue };
            let age = SystemTime::now().duration_since(meta.modified()?).unwrap_or_default();
            if age >= since {
                all.push(format!("sha256:{name}"));
            }
        }
        Ok(all)
    }

    /// Everything that some repository has: what no sweep takes away.
    pub(super) fn linked_blobs(&self) -> io::Result<HashSet<PathBuf>> {
        let mut all = HashSet::new();
        for one in self.all_repositories()? {
            for link in [Link::Blob, Link::Manifest] {
                for name in names_in(&self.repository(&one).join(link.folder()))? {
                    all.insert(self.root.join("blobs/sha256").join(name));
                }
            }
        }
        Ok(all)
    }
}

/// Names in a folder, none if it is not there; what is being written there does not count.
fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| !name.starts_with('.')).collect())
}

fn read_link(at: &Path) -> io::Result<String> {
    let meta = fs::metadata(at)?;
    if meta.len() > LINK {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a link is too large"));
    }
    fs::read_to_string(at)
}

fn sync_folder(of: &Path) -> io::Result<()> {
    match of.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::reference::digest_of;

    /// Red when blobs of a registry are swept, when one repository's are another one's, or when they stay for nobody.
    #[test]
    fn what_a_repository_has_is_its_own_and_stays_as_long_as_it_has_it() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let [one, other] = ["shop/app", "other/app"].map(|name| Repository::parse(name).unwrap());
        let digest = digest_of(b"content");
        let file = root.path().join("file");
        std::fs::write(&file, b"content").unwrap();
        store.keep(&file, &digest, &one, (Link::Blob, "")).unwrap();
        assert!(!file.exists());
        store.collect(&HashSet::new()).unwrap();
        let (path, size) = store.linked(&one, Link::Blob, &digest).unwrap().unwrap();
        assert_eq!((std::fs::read(path).unwrap(), size), (b"content".to_vec(), 7));
        assert_eq!(store.linked(&other, Link::Blob, &digest).unwrap(), None);
        assert_eq!(store.linked(&one, Link::Manifest, &digest).unwrap(), None);
        assert!(store.link_there(&other, (Link::Blob, ""), &digest).unwrap());
        assert!(!store.link_there(&other, (Link::Blob, ""), &digest_of(b"nothing")).unwrap());
        assert_eq!(store.all_repositories().unwrap().len(), 2);
        for repository in [&one, &other] {
            assert!(store.unlink(repository, Link::Blob, &digest).unwrap());
            assert!(!store.unlink(repository, Link::Blob, &digest).unwrap());
        }
        store.collect(&HashSet::new()).unwrap();
        assert!(!store.blob_path(&digest).exists());
    }

    /// Red when whoever makes a namespace of a name that was another's finds what that had.
    #[test]
    fn a_namespace_has_nothing_of_another_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = ImageStore::open(folder.path()).unwrap();
        let of = Repository::parse("shop/app").unwrap();
        let digest = digest_of(b"content");
        store.of_namespace("shop", "first").unwrap();
        store.keep_bytes(b"content", &digest, &of, (Link::Blob, "")).unwrap();
        store.of_namespace("shop", "first").unwrap();
        assert!(store.linked(&of, Link::Blob, &digest).unwrap().is_some());
        store.of_namespace("shop", "second").unwrap();
        assert!(store.linked(&of, Link::Blob, &digest).unwrap().is_none());
    }

    #[test]
    fn repositories_are_two_words_and_lead_nowhere() {
        for bad in ["a", "a/b/c", "../b", "a/..", "a/", "/b", "A/b", "a/b ", "a/.b", "a\\/b"] {
            assert_eq!(Repository::parse(bad), None, "{bad}");
        }
        assert_eq!(Repository::parse("shop/my-app.v1_x").unwrap().to_string(), "shop/my-app.v1_x");
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let one = Repository::parse("shop/app").unwrap();
        for bad in ["sha256:../../x", "md5:aa", ""] {
            assert_eq!(store.linked(&one, Link::Blob, bad).unwrap(), None);
            assert!(!store.unlink(&one, Link::Blob, bad).unwrap());
        }
    }

    #[test]
    fn referrers_are_those_that_are_there() {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        let one = Repository::parse("shop/app").unwrap();
        let (subject, about) = (digest_of(b"subject"), digest_of(b"about"));
        store.refer(&one, &subject, &about, "{}").unwrap();
        assert!(store.referrers(&one, &subject, 10).unwrap().is_empty());
        store.keep_bytes(b"about", &about, &one, (Link::Manifest, "x/y")).unwrap();
        assert_eq!(store.referrers(&one, &subject, 10).unwrap(), ["{}"]);
        assert_eq!(store.link_text(&one, Link::Manifest, &about).unwrap(), "x/y");
        assert!(store.referrers(&one, &about, 10).unwrap().is_empty());
    }
}
