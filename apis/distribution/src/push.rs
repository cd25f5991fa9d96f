//! What is given to a registry.
//!
//! Knows: uploads, whole and in chunks, and how one goes on that was cut off. Refuses to know: what is in them.

use std::io::SeekFrom;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::TryStreamExt;
use http::{Method, Response, StatusCode, Uri, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::client::{query, text};
use crate::http::{Ask, Body, Moved, encoded};
use crate::reference::valid_digest;
use crate::{Client, Error, Result};

/// How often an upload goes on that was cut off.
const TRIES: usize = 5;
/// Bytes of a chunk, where a registry takes no more at once and says nothing of it.
const CHUNK: u64 = 16 << 20;
/// Bytes of a chunk at most, whatever a registry says is the least.
const LARGEST: u64 = 1 << 30;
/// Bytes that are read from a file at a time.
const PIECE: usize = 64 << 10;

/// What is pushed.
#[derive(Clone, Debug)]
pub enum Content {
    /// What is in memory.
    Bytes(Bytes),
    /// What is in a file.
    File(PathBuf),
}

impl Content {
    /// So many bytes of it from some byte on, as they are sent.
    async fn part(&self, from: u64, most: u64, moved: &Moved) -> std::io::Result<Body> {
        let moved = Arc::clone(moved);
        let count = move |piece: &Bytes| {
            moved.fetch_add(piece.len() as u64, Ordering::Relaxed);
        };
        match self {
            Content::Bytes(all) => {
                let to = from.saturating_add(most).min(all.len() as u64) as usize;
                let part = all.slice((from as usize).min(to)..to);
                count(&part);
                Ok(crate::http::little(part))
            }
            Content::File(path) => {
                let mut file = tokio::fs::File::open(path).await?;
                file.seek(SeekFrom::Start(from)).await?;
                let pieces = ReaderStream::with_capacity(file.take(most), PIECE);
                let frames = pieces.inspect_ok(count).map_ok(Frame::data);
                Ok(StreamBody::new(frames).boxed_unsync())
            }
        }
    }
}

/// An upload under way.
struct Upload {
    repository: String,
    digest: String,
    size: u64,
    /// Where the registry wants the next of it.
    at: Uri,
}

impl Client {
    /// Gives a repository content of a digest and size, unless it has it.
    ///
    /// # Errors
    /// When the registry does not take it, or it cannot be read here.
    pub async fn push_blob(
        &self,
        repository: &str,
        digest: &str,
        size: u64,
        content: &Content,
    ) -> Result<()> {
        if self.has_blob(repository, digest).await? {
            return Ok(());
        }
        let path = format!("/v2/{repository}/blobs/uploads/");
        let ask = Ask::of(Method::POST).with(header::CONTENT_LENGTH, "0");
        let begun = self.asker.ask(repository, &path, &ask).await?;
        let least =
            text(begun.headers(), "oci-chunk-min-length").and_then(|least| least.parse().ok());
        let at = self.place(&path, &begun)?;
        let (repository, digest) = (repository.to_owned(), digest.to_owned());
        let mut upload = Upload { repository, digest, size, at };
        match self.whole(&mut upload, content).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let chunk = least.unwrap_or(CHUNK).clamp(1, LARGEST);
                self.chunked(&mut upload, content, chunk, 0, TRIES).await
            }
            Err(Error::Unreachable { .. }) => self.resume(&mut upload, content).await,
            Err(other) => Err(other),
        }
    }

    /// All at once; not, if the registry takes less at a time.
    async fn whole(&self, upload: &mut Upload, content: &Content) -> Result<bool> {
        let to = with_digest(&upload.at, &upload.digest)
            .ok_or_else(|| self.asker.wrong("no address"))?;
        let answer = self.put(upload, &to, Method::PUT, content, (0, upload.size)).await?;
        Ok(answer.status() != StatusCode::PAYLOAD_TOO_LARGE)
    }

    /// From where the registry says that it has it to.
    async fn resume(&self, upload: &mut Upload, content: &Content) -> Result<()> {
        let from = match self.stands(upload).await {
            // What was cut off was the answer alone.
            Err(Error::NotFound(_))
                if self.has_blob(&upload.repository, &upload.digest).await? =>
            {
                return Ok(());
            }
            other => other?,
        };
        let left = upload.size.saturating_sub(from).max(1);
        self.chunked(upload, content, left, from, TRIES).await
    }

    /// In chunks of that size, from there on.
    async fn chunked(
        &self,
        upload: &mut Upload,
        content: &Content,
        chunk: u64,
        from: u64,
        tries: usize,
    ) -> Result<()> {
        let (mut from, mut tries) = (from, tries);
        while from < upload.size {
            let (at, most) = (upload.at.clone(), chunk.min(upload.size - from));
            match self.put(upload, &at, Method::PATCH, content, (from, most)).await {
                Ok(answer) if answer.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                    return Err(self.asker.wrong("it takes no chunk of that size"));
                }
                Ok(answer) => {
                    upload.at = self.asker.next(&at, &answer)?;
                    from += most;
                }
                Err(error @ Error::Unreachable { .. }) => {
                    tries = tries.checked_sub(1).ok_or(error)?;
                    from = self.stands(upload).await?;
                }
                Err(other) => return Err(other),
            }
        }
        let to = with_digest(&upload.at, &upload.digest)
            .ok_or_else(|| self.asker.wrong("no address"))?;
        self.put(upload, &to, Method::PUT, content, (upload.size, 0)).await.map(drop)
    }

    /// How many bytes of an upload the registry has.
    async fn stands(&self, upload: &mut Upload) -> Result<u64> {
        let (ask, body) = (Ask::of(Method::GET), crate::http::little(Bytes::new()));
        let moved = AtomicU64::new(0);
        let at = upload.at.clone();
        let answer = self.asker.send(&upload.repository, &at, &ask, body, &moved).await?;
        if answer.headers().contains_key(header::LOCATION) {
            upload.at = self.asker.next(&at, &answer)?;
        }
        let range = text(answer.headers(), "range").unwrap_or_default();
        let last = range.rsplit_once('-').and_then(|(_, last)| last.parse::<u64>().ok());
        // A range of nothing cannot be written: what says 0-0 may be none, and one byte is sent again at worst.
        let has = last.filter(|last| *last > 0).map_or(0, |last| last + 1);
        match has <= upload.size {
            true => Ok(has),
            false => Err(self.asker.wrong("it has more of an upload than was sent")),
        }
    }

    async fn put(
        &self,
        upload: &Upload,
        to: &Uri,
        method: Method,
        content: &Content,
        (from, most): (u64, u64),
    ) -> Result<Response<Incoming>> {
        let mut ask = Ask::of(method)
            .with(header::CONTENT_TYPE, "application/octet-stream")
            .with(header::CONTENT_LENGTH, &most.to_string());
        if ask.method == Method::PATCH {
            ask = ask.with(header::CONTENT_RANGE, &format!("{from}-{}", from + most - 1));
        }
        let moved = Moved::default();
        let body = content.part(from, most, &moved).await?;
        self.asker.send(&upload.repository, to, &ask, body, &moved).await
    }

    /// Where an upload that was begun goes on.
    fn place(&self, path: &str, begun: &Response<Incoming>) -> Result<Uri> {
        let from: Uri =
            format!("{}{path}", self.asker.url).parse().map_err(|error| self.asker.wrong(error))?;
        self.asker.next(&from, begun)
    }

    /// Gives a repository content that another one of the same registry has; not, if the registry does not do that.
    ///
    /// # Errors
    /// When who asks may not push.
    pub async fn mount(&self, repository: &str, digest: &str, from: &str) -> Result<bool> {
        let path = format!(
            "/v2/{repository}/blobs/uploads/?mount={}&from={}",
            encoded(digest),
            encoded(from)
        );
        let ask = Ask::of(Method::POST).with(header::CONTENT_LENGTH, "0");
        let answer = self.asker.ask(repository, &path, &ask).await?;
        if answer.status() == StatusCode::CREATED {
            return Ok(true);
        }
        // An upload was begun instead, which nobody goes on with.
        if let Ok(at) = self.place(&path, &answer) {
            let (ask, body) = (Ask::of(Method::DELETE), crate::http::little(Bytes::new()));
            let _ = self.asker.send(repository, &at, &ask, body, &AtomicU64::new(0)).await;
        }
        Ok(false)
    }

    /// Gives a repository a manifest under a tag or its digest, once it has what the manifest names; the digest of it.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn push_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<String> {
        let own = crate::reference::digest_of(&bytes);
        let path = format!("/v2/{repository}/manifests/{reference}");
        let mut ask = Ask::of(Method::PUT).with(header::CONTENT_TYPE, media_type);
        ask.body = bytes;
        let answer = self.asker.ask(repository, &path, &ask).await?;
        if answer.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Err(self.asker.wrong("the manifest is too large for it"));
        }
        let said = text(answer.headers(), "docker-content-digest").and_then(valid_digest);
        match said.is_none_or(|said| said == own) {
            true => Ok(own),
            false => Err(crate::client::differs(&own)),
        }
    }
}

/// Where an upload is ended.
fn with_digest(at: &Uri, digest: &str) -> Option<Uri> {
    let joint = if at.query().is_some() { '&' } else { '?' };
    format!("{at}{joint}{}", query(digest)).parse().ok()
}
