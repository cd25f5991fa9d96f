//! Content that is on its way in.
//!
//! Knows: files that grow, how much of each was heard and its hash by now, and the bounds of all. Refuses to know: HTTP's words,
//! and who may push.
//!
//! An upload is a file that nobody else sees; it becomes content when its digest is right, and is gone with the process.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use leme_distribution::reference::written;
use leme_host::files::random_hex;
use leme_host::images::{ImageStore, Link, Repository};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use crate::Sent;
use crate::answer::{Code, Refusal};

/// Bounds of uploads.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Uploads at once, in all.
    pub uploads: usize,
    /// The same of one person, and of one namespace.
    pub of_one: usize,
    /// How long one may take in all.
    pub age: Duration,
    /// How long one may rest between two requests.
    pub rest: Duration,
    /// How long one may be silent in a request.
    pub silence: Duration,
    /// Bytes of one at most.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            uploads: 256,
            of_one: 64,
            age: Duration::from_secs(6 * 60 * 60),
            rest: Duration::from_secs(10 * 60),
            silence: Duration::from_secs(60),
            bytes: 64 << 30,
        }
    }
}

/// How often it is looked at how much room is left, in bytes.
const LOOK_EVERY: u64 = 8 << 20;

/// One upload.
pub(crate) struct Upload {
    path: PathBuf,
    file: File,
    hash: Sha256,
    /// Bytes that it has.
    pub size: u64,
}

struct Entry {
    repository: Repository,
    who: String,
    began: Instant,
    heard: Instant,
    size: u64,
    upload: Arc<tokio::sync::Mutex<Upload>>,
    path: PathBuf,
}

/// All of them.
pub(crate) struct Uploads {
    store: ImageStore,
    limits: Limits,
    all: Mutex<HashMap<String, Entry>>,
}

impl Uploads {
    /// None yet; what another process has left is taken away.
    pub fn open(store: ImageStore, limits: Limits) -> io::Result<Uploads> {
        let folder = store.uploads();
        if folder.exists() {
            leme_host::removal::remove_tree(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(Uploads { store, limits, all: Mutex::default() })
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one; its name.
    pub async fn begin(&self, repository: &Repository, who: &str) -> Result<String, Refusal> {
        self.forget_old();
        let full = || {
            let why = "too many uploads are under way";
            Refusal::new(Code::TooManyRequests, why)
        };
        if !self.may_begin((who, repository), 1) {
            return Err(full());
        }
        let id = random_hex(16).map_err(|error| Refusal::disk("begin an upload", &error))?;
        let path = self.store.uploads().join(&id);
        let made = tokio::fs::OpenOptions::new().write(true).create_new(true).open(&path).await;
        let file = made.map_err(|error| Refusal::disk("begin an upload", &error))?;
        let upload = Upload { path: path.clone(), file, hash: Sha256::new(), size: 0 };
        let now = Instant::now();
        let entry = Entry {
            repository: repository.clone(),
            who: who.to_owned(),
            began: now,
            heard: now,
            size: 0,
            upload: Arc::new(tokio::sync::Mutex::new(upload)),
            path,
        };
        self.all().insert(id.clone(), entry);
        // Several may have begun at once.
        if !self.may_begin((who, repository), 0) {
            self.end(&id);
            return Err(full());
        }
        Ok(id)
    }

    /// Whether so many more may be begun, in all and by somebody or in a namespace: whoever has many accounts has them there.
    fn may_begin(&self, (who, of): (&str, &Repository), more: usize) -> bool {
        let all = self.all();
        let is_own =
            |entry: &&Entry| entry.who == who || entry.repository.namespace == of.namespace;
        let own = all.values().filter(is_own).count();
        all.len() + more <= self.limits.uploads && own + more <= self.limits.of_one
    }

    /// Takes away what is too old, or has rested for too long; nobody who sends is disturbed but by age.
    fn forget_old(&self) {
        let (age, rest) = (self.limits.age, self.limits.rest);
        let old: Vec<String> = {
            let all = self.all();
            let is_old = |entry: &Entry| {
                let rests = entry.upload.try_lock().is_ok() && entry.heard.elapsed() > rest;
                entry.began.elapsed() > age || rests
            };
            all.iter().filter(|(_, entry)| is_old(entry)).map(|(id, _)| id.clone()).collect()
        };
        old.iter().for_each(|id| self.end(id));
    }

    /// Takes one away.
    pub fn end(&self, id: &str) {
        let entry = self.all().remove(id);
        if let Some(entry) = entry {
            // It may be content by now.
            let _ = std::fs::remove_file(entry.path);
        }
    }

    /// How much of an upload there is, for who asks meanwhile.
    pub fn size(&self, id: &str, repository: &Repository) -> Result<u64, Refusal> {
        let all = self.all();
        let entry = all.get(id).filter(|entry| entry.repository == *repository);
        entry.map(|entry| entry.size).ok_or_else(unknown)
    }

    /// An upload, to be gone on with by nobody else meanwhile.
    fn take(
        &self,
        id: &str,
        repository: &Repository,
    ) -> Result<tokio::sync::OwnedMutexGuard<Upload>, Refusal> {
        self.forget_old();
        let all = self.all();
        let entry = all.get(id).filter(|entry| entry.repository == *repository);
        let upload = Arc::clone(&entry.ok_or_else(unknown)?.upload);
        let busy =
            |_| Refusal::new(Code::BlobUploadInvalid, "somebody else goes on with the upload");
        upload.try_lock_owned().map_err(busy)
    }

    fn heard(&self, id: &str, size: u64) {
        if let Some(entry) = self.all().get_mut(id) {
            (entry.heard, entry.size) = (Instant::now(), size);
        }
    }

    /// Adds to an upload, from the byte on that is said; how many bytes it has then. What came before an error stays.
    pub async fn add(
        &self,
        id: &str,
        repository: &Repository,
        from: Option<u64>,
        body: Sent,
    ) -> Result<u64, Refusal> {
        let mut upload = self.take(id, repository)?;
        if from.is_some_and(|from| from != upload.size) {
            let why = format!("the upload goes on at byte {}", upload.size);
            let refusal = Refusal::new(Code::BlobUploadInvalid, why);
            return Err(refusal.with_status(http::StatusCode::RANGE_NOT_SATISFIABLE));
        }
        let added = self.receive(&mut upload, body).await;
        self.heard(id, upload.size);
        added.map(|()| upload.size)
    }

    async fn receive(&self, upload: &mut Upload, mut body: Sent) -> Result<(), Refusal> {
        let mut looked = u64::MAX;
        loop {
            let frame = tokio::time::timeout(self.limits.silence, body.frame()).await;
            let cut = |why: String| Refusal::new(Code::BlobUploadInvalid, why);
            let frame = match frame {
                Err(_) => return Err(cut("nothing came for too long".to_owned())),
                Ok(None) => break,
                Ok(Some(Err(error))) => return Err(cut(format!("the request broke off: {error}"))),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(piece) = frame.into_data() else { continue };
            if upload.size / LOOK_EVERY != looked {
                looked = upload.size / LOOK_EVERY;
                let left =
                    self.store.left().map_err(|error| Refusal::disk("see the disk", &error))?;
                if left < LOOK_EVERY {
                    return Err(Refusal::full());
                }
            }
            if upload.size + piece.len() as u64 > self.limits.bytes {
                return Err(Refusal::new(Code::SizeInvalid, "the content is too large"));
            }
            write(upload, &piece).await.map_err(|error| Refusal::disk("keep an upload", &error))?;
        }
        upload.file.flush().await.map_err(|error| Refusal::disk("keep an upload", &error))
    }

    /// Makes content of an upload, if it has the digest; the upload is over in any case but a disk's.
    pub async fn finish(
        &self,
        id: &str,
        repository: &Repository,
        digest: &str,
    ) -> Result<(), Refusal> {
        let upload = self.take(id, repository)?;
        if written(upload.hash.clone()) != digest {
            self.end(id);
            let why = "the content does not match the digest";
            return Err(Refusal::new(Code::DigestInvalid, why));
        }
        let (store, path) = (self.store.clone(), upload.path.clone());
        let (of, digest) = (repository.clone(), digest.to_owned());
        crate::blocking(move || Ok(store.keep(&path, &digest, &of, (Link::Blob, ""))?)).await?;
        self.end(id);
        Ok(())
    }
}

/// Writes a piece, all of it or nothing.
async fn write(upload: &mut Upload, piece: &Bytes) -> io::Result<()> {
    let written = async {
        upload.file.write_all(piece).await?;
        // An error of a write comes with the next one, or with this.
        upload.file.flush().await
    };
    if let Err(error) = written.await {
        upload.file.set_len(upload.size).await?;
        upload.file.seek(io::SeekFrom::Start(upload.size)).await?;
        return Err(error);
    }
    upload.hash.update(piece);
    upload.size += piece.len() as u64;
    Ok(())
}

fn unknown() -> Refusal {
    Refusal::new(Code::BlobUploadUnknown, "blob upload unknown to registry")
}
