//! Content that is got piece by piece.
//!
//! Knows: that it goes on where it was cut off, how much it may be, and whether it was what it should be. Refuses to know:
//! where the pieces go.

use bytes::Bytes;
use http::{Method, StatusCode, header};
use hyper::body::Incoming;
use sha2::{Digest, Sha256};

use crate::client::{differs, text};
use crate::http::Ask;
use crate::reference::written;
use crate::{Client, Error, Result};

/// How often a blob is asked for again that came to an end too early.
const TRIES: usize = 5;

/// Content of a digest, under way. It is that content if [`Blob::next`] has come to its end, and not before.
pub struct Blob {
    client: Client,
    repository: String,
    digest: String,
    size: Option<u64>,
    hash: Sha256,
    got: u64,
    tries: usize,
    /// The answer that is being read, and how much of it is there already.
    body: Option<(Incoming, u64)>,
    ended: bool,
}

impl Blob {
    pub(crate) async fn open(
        client: Client,
        repository: &str,
        digest: &str,
        size: Option<u64>,
    ) -> Result<Blob> {
        let (repository, digest) = (repository.to_owned(), digest.to_owned());
        let (hash, body) = (Sha256::new(), None);
        let (got, tries, ended) = (0, 0, false);
        let mut blob = Blob { client, repository, digest, size, hash, got, tries, body, ended };
        loop {
            match blob.ask().await {
                Ok(()) => return Ok(blob),
                Err(Error::Unreachable { .. }) if blob.tries + 1 < TRIES => blob.tries += 1,
                Err(other) => return Err(other),
            }
        }
    }

    /// How many bytes it has, if that is known or said.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The next piece; nothing when all of it was given and had the digest.
    ///
    /// # Errors
    /// When it is not what it should be, or the registry is not there any more.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.ended {
            return Ok(None);
        }
        loop {
            let cut = match self.piece().await {
                Ok(Some(piece)) => return Ok(Some(piece)),
                Ok(None) if self.size.is_none_or(|size| size == self.got) => return self.end(),
                Ok(None) => Error::Answer(format!(
                    "{} has {} bytes, and should have {}",
                    self.digest,
                    self.got,
                    self.size.unwrap_or_default()
                )),
                Err(error @ Error::Unreachable { .. }) => error,
                Err(other) => return Err(other),
            };
            self.body = None;
            self.tries += 1;
            if self.tries >= TRIES {
                return Err(cut);
            }
        }
    }

    fn end(&mut self) -> Result<Option<Bytes>> {
        self.ended = true;
        match written(self.hash.clone()) == self.digest {
            true => Ok(None),
            false => Err(differs(&self.digest)),
        }
    }

    /// The next piece of this answer that is new.
    async fn piece(&mut self) -> Result<Option<Bytes>> {
        if self.body.is_none() {
            self.ask().await?;
        }
        loop {
            let Some((body, skip)) = &mut self.body else { return Ok(None) };
            let Some(mut piece) = self.client.asker.piece(body).await? else { return Ok(None) };
            // Who knows no ranges begins anew: what is there is not given again.
            let known = (*skip).min(piece.len() as u64);
            *skip -= known;
            let piece = piece.split_off(known as usize);
            if piece.is_empty() {
                continue;
            }
            if let Some(size) = self.size.filter(|size| self.got + piece.len() as u64 > *size) {
                return Err(Error::Answer(format!(
                    "{} has more bytes than the {size} that it should have",
                    self.digest
                )));
            }
            self.hash.update(&piece);
            self.got += piece.len() as u64;
            return Ok(Some(piece));
        }
    }

    async fn ask(&mut self) -> Result<()> {
        let mut ask = Ask::of(Method::GET).with(header::ACCEPT, "*/*");
        if self.got > 0 {
            ask = ask.with(header::RANGE, &format!("bytes={}-", self.got));
        }
        let path = format!("/v2/{}/blobs/{}", self.repository, self.digest);
        let answer = self.client.asker.ask(&self.repository, &path, &ask).await?;
        let begins_there = answer.status() == StatusCode::PARTIAL_CONTENT;
        if self.size.is_none() && !begins_there {
            self.size = text(answer.headers(), "content-length").and_then(|size| size.parse().ok());
        }
        let skip = if begins_there { 0 } else { self.got };
        self.body = Some((answer.into_body(), skip));
        Ok(())
    }
}
