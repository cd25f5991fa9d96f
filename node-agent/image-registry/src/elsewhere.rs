//! Images of a stream that are in other registries, given through this one.
//!
//! Knows: who asks there as whom, and that what was given is kept. Refuses to know: how registries are spoken to.
//!
//! A manifest is kept when its digest is right. A blob goes on to who asks piece by piece, and into a file beside; it is kept
//! when all of it has come and has its digest.

use std::io;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use leme_distribution::{Blob, Client, Credentials, Error, IMAGES, Reference};
use leme_host::files::random_hex;
use leme_host::images::{ImageStore, Link, Repository};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::Registry;
use crate::answer::{Code, DIGEST, Outcome, Refusal, empty};
use crate::blobs;
use crate::image::Manifest;
use crate::manifests::Kept;
use crate::streams::Event;

/// What another registry says instead of what was asked for.
fn refused(error: &Error, code: Code) -> Refusal {
    match error {
        Error::NotFound(why) | Error::Unauthorized(why) | Error::Denied(why) => {
            Refusal::new(code, format!("the image is elsewhere: {why}"))
        }
        other => {
            let refusal = Refusal::own("get an image that is elsewhere", other);
            refusal.with_status(StatusCode::BAD_GATEWAY)
        }
    }
}

impl Registry {
    /// Those who may be asked for what a reference means, in their order.
    async fn clients(&self, of: &Repository, image: &Reference) -> Result<Vec<Client>, Refusal> {
        let mut logins = Credentials::default();
        let secrets = self.secrets(of).await?;
        for secret in secrets["items"].as_array().into_iter().flatten() {
            for file in [".dockerconfigjson", ".dockercfg"] {
                let text = secret["data"][file].as_str().unwrap_or_default();
                let read = STANDARD.decode(text).ok().and_then(|text| Credentials::read(&text));
                logins.and(read.unwrap_or_default());
            }
        }
        let mut all = Vec::new();
        for endpoint in self.registries.endpoints(image) {
            let nobody =
                Client::new(&endpoint).map_err(|error| refused(&error, Code::ManifestUnknown))?;
            let own = logins.of(&image.name).chain(endpoint.login.clone());
            all.extend(own.map(Some).chain([None]).map(|login| nobody.for_login(login)));
        }
        Ok(all)
    }

    /// The manifest of an image that is elsewhere.
    pub(crate) async fn manifest_from_elsewhere(
        &self,
        of: &Repository,
        event: &Event,
    ) -> Result<Kept, Refusal> {
        let unknown = || Refusal::new(Code::ManifestUnknown, "manifest unknown");
        // What should be here and is not is nowhere.
        if self.own_repository(&event.reference).is_some() {
            return Err(unknown());
        }
        let image = Reference::parse(&event.reference).ok_or_else(unknown)?;
        let by = if event.image.is_empty() { image.by() } else { &event.image };
        let (_, repository) = image.parts();
        let mut last = None;
        for client in self.clients(of, &image).await? {
            match client.manifest(repository, by, IMAGES).await {
                Ok(found) => {
                    let kept = Kept {
                        digest: found.digest,
                        media_type: found.media_type,
                        bytes: found.bytes,
                    };
                    return self.keep_manifest(of, &image.name, kept).await;
                }
                Err(error) => last = last.or(Some(error)),
            }
        }
        Err(last.map_or_else(unknown, |error| refused(&error, Code::ManifestUnknown)))
    }

    /// Keeps a manifest, and where what it names is.
    async fn keep_manifest(
        &self,
        of: &Repository,
        from: &str,
        kept: Kept,
    ) -> Result<Kept, Refusal> {
        let manifest = Manifest::read(&kept.media_type, &kept.bytes)?;
        let (store, of, from) = (self.store.clone(), of.clone(), from.to_owned());
        crate::blocking(move || {
            let disk = |error| Refusal::disk("keep a manifest", &error);
            for blob in manifest.layers.iter().chain(&manifest.config) {
                store.note_elsewhere(&of, &blob.digest, &from).map_err(disk)?;
            }
            for one in &manifest.manifests {
                store.note_elsewhere(&of, &one.digest, &from).map_err(disk)?;
            }
            let link = (Link::Manifest, manifest.media_type.as_str());
            store.keep_bytes(&kept.bytes, &kept.digest, &of, link)?;
            Ok(Kept { media_type: manifest.media_type, ..kept })
        })
        .await
    }

    /// A manifest that an index names which is elsewhere.
    pub(crate) async fn named_elsewhere(
        &self,
        of: &Repository,
        digest: &str,
    ) -> Result<Option<Event>, Refusal> {
        let Some(from) = self.place_of(of, digest).await else { return Ok(None) };
        Ok(Some(Event { image: digest.to_owned(), reference: format!("{from}@{digest}") }))
    }

    /// Where content is that is not here.
    async fn place_of(&self, of: &Repository, digest: &str) -> Option<String> {
        let (store, of, digest) = (self.store.clone(), of.clone(), digest.to_owned());
        let read = move || Ok(store.link_text(&of, Link::Elsewhere, &digest).ok());
        crate::blocking(read).await.ok().flatten()
    }

    /// A blob of an image that is elsewhere.
    pub(crate) async fn blob_from_elsewhere(
        &self,
        of: &Repository,
        digest: &str,
        method: &Method,
    ) -> Outcome {
        let from = self.place_of(of, digest).await.ok_or_else(blobs::unknown)?;
        let image = Reference::parse(&from).ok_or_else(blobs::unknown)?;
        let (_, repository) = image.parts();
        let mut last = None;
        for client in self.clients(of, &image).await? {
            match client.blob(repository, digest, None).await {
                Ok(blob) => return Ok(self.pass_on(of, digest, blob, method).await),
                Err(error) => last = last.or(Some(error)),
            }
        }
        Err(last.map_or_else(blobs::unknown, |error| refused(&error, Code::BlobUnknown)))
    }

    async fn pass_on(
        &self,
        of: &Repository,
        digest: &str,
        blob: Blob,
        method: &Method,
    ) -> crate::Answer {
        let said = [(header::CONTENT_TYPE, "application/octet-stream"), (DIGEST, digest)];
        let mut answer = empty(StatusCode::OK, &said);
        if let Some(size) = blob.size().and_then(|size| size.to_string().parse().ok()) {
            answer.headers_mut().insert(header::CONTENT_LENGTH, size);
        }
        if *method == Method::HEAD {
            return answer;
        }
        let beside = Beside::open(&self.store, of, digest).await;
        let passing = Passing { blob, beside, passed: 0 };
        let pieces = futures::stream::try_unfold(passing, |mut passing| async move {
            let piece = passing.next().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>(piece.map(|piece| (Frame::data(piece), passing)))
        });
        *answer.body_mut() = StreamBody::new(pieces).boxed_unsync();
        answer
    }
}

/// Content on its way to who asks.
struct Passing {
    blob: Blob,
    beside: Option<Beside>,
    passed: u64,
}

impl Passing {
    /// The next piece; the last one only when all of it has the digest, for nobody asks for more then.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = self.blob.next().await?;
        if let Some(piece) = &piece {
            self.passed += piece.len() as u64;
            if let Some(beside) = self.beside.take() {
                self.beside = beside.add(piece).await;
            }
        }
        let is_last = piece.is_none() || self.blob.size() == Some(self.passed);
        if is_last
            && self.blob.next().await?.is_none()
            && let Some(beside) = self.beside.take()
        {
            beside.keep().await;
        }
        Ok(piece)
    }
}

/// A file in which content is kept that is passed on; gone if it does not become content.
struct Beside {
    store: ImageStore,
    of: Repository,
    digest: String,
    path: PathBuf,
    file: File,
}

impl Beside {
    async fn open(store: &ImageStore, of: &Repository, digest: &str) -> Option<Beside> {
        let path = store.uploads().join(random_hex(16).ok()?);
        let file = File::create(&path).await.ok()?;
        let (store, of, digest) = (store.clone(), of.clone(), digest.to_owned());
        Some(Beside { store, of, digest, path, file })
    }

    /// Without room for it nothing is kept, and who asks gets it all the same.
    async fn add(mut self, piece: &Bytes) -> Option<Beside> {
        let fits = self.store.left().is_ok_and(|left| left > piece.len() as u64);
        (fits && self.file.write_all(piece).await.is_ok()).then_some(self)
    }

    async fn keep(mut self) {
        if self.file.flush().await.is_err() {
            return;
        }
        let kept = crate::blocking(move || {
            Ok(self.store.keep(&self.path, &self.digest, &self.of, (Link::Blob, ""))?)
        });
        if let Err(refusal) = kept.await {
            tracing::debug!(why = refusal.message, "content that was passed on is not kept");
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It is elsewhere by now if it was kept.
        let _ = std::fs::remove_file(&self.path);
    }
}
