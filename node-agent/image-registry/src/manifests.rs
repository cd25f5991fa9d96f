//! Manifests: what a tag or a digest means, and what was pushed.
//!
//! Knows: what must be there before a manifest may be, what a stream must be told, what refers to what. Refuses to know: how
//! the API is asked, and what an Image says.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use leme_distribution::reference::digest_of;
use leme_host::images::{ImageStore, Link, Repository};
use serde_json::{Value, json};

use crate::answer::{
    Code, DIGEST, FILTERS, Outcome, Refusal, SUBJECT, empty, with_bytes, with_json,
};
use crate::auth::Who;
use crate::blobs::parameter;
use crate::image::{Manifest, Named};
use crate::route::By;
use crate::{Registry, Sent, streams};

/// Bytes of a manifest, or of a configuration that is read.
pub(crate) const DOCUMENT: usize = 4 << 20;
/// Referrers that are told at most.
const REFERRERS: usize = 1000;
/// Tags that are told at a time.
const PAGE: usize = 1000;
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A manifest as it is kept.
pub(crate) struct Kept {
    pub digest: String,
    pub media_type: String,
    pub bytes: Bytes,
}

fn unknown() -> Refusal {
    Refusal::new(Code::ManifestUnknown, "manifest unknown")
}

/// Reads a manifest of a repository.
fn read(store: &ImageStore, of: &Repository, digest: &str) -> Result<Option<Kept>, Refusal> {
    let disk = |error| Refusal::disk("read a manifest", &error);
    let found = store.linked(of, Link::Manifest, digest).map_err(disk)?;
    let Some((path, size)) = found.filter(|(_, size)| *size <= DOCUMENT as u64) else {
        return Ok(None);
    };
    let media_type = store.link_text(of, Link::Manifest, digest).map_err(disk)?;
    let bytes = std::fs::read(path).map_err(disk)?;
    debug_assert_eq!(bytes.len() as u64, size);
    Ok(Some(Kept { digest: digest.to_owned(), media_type, bytes: bytes.into() }))
}

impl Registry {
    /// A manifest by its tag or its digest.
    pub(crate) async fn manifest(&self, of: &Repository, by: &By, method: &Method) -> Outcome {
        let Kept { digest, media_type, bytes } = self.find_manifest(of, by).await?;
        let length = bytes.len().to_string();
        let quoted = format!("\"{digest}\"");
        let said = [
            (header::CONTENT_TYPE, &*media_type),
            (header::CONTENT_LENGTH, &length),
            (header::ETAG, &quoted),
            (DIGEST, &digest),
        ];
        let bytes = if *method == Method::HEAD { Bytes::new() } else { bytes };
        Ok(with_bytes(StatusCode::OK, &said, bytes))
    }

    async fn find_manifest(&self, of: &Repository, by: &By) -> Result<Kept, Refusal> {
        if let By::Digest(digest) = by
            && let Some(kept) = self.kept(of, digest).await?
        {
            return Ok(kept);
        }
        if let By::Digest(digest) = by
            && let Some(event) = self.named_elsewhere(of, digest).await?
        {
            return self.manifest_from_elsewhere(of, &event).await;
        }
        let stream = self.known_stream(of).await?;
        let event = match by {
            By::Tag(tag) => streams::of_tag(&stream, tag),
            By::Digest(digest) => streams::of_image(&stream, digest),
        };
        let event = event.ok_or_else(unknown)?;
        if let Some(kept) = self.kept(of, &event.image).await? {
            return Ok(kept);
        }
        // A tag may mean another stream's image: who may read the one may read what it means.
        if let Some(other) = self.own_repository(&event.reference)
            && other != *of
        {
            self.adopt(of, &other, &event.image).await?;
            return self.kept(of, &event.image).await?.ok_or_else(unknown);
        }
        self.manifest_from_elsewhere(of, &event).await
    }

    async fn kept(&self, of: &Repository, digest: &str) -> Result<Option<Kept>, Refusal> {
        let (store, of, digest) = (self.store.clone(), of.clone(), digest.to_owned());
        crate::blocking(move || read(&store, &of, &digest)).await
    }

    /// The repository of this registry that a reference names.
    pub(crate) fn own_repository(&self, reference: &str) -> Option<Repository> {
        let rest = reference.strip_prefix(&self.host)?.strip_prefix('/')?;
        let name = rest.split_once('@').map_or(rest, |(name, _)| name);
        Repository::parse(name.rsplit_once(':').map_or(name, |(name, _)| name))
    }

    /// Gives a repository an image of another one, with all that it names.
    async fn adopt(&self, of: &Repository, from: &Repository, digest: &str) -> Result<(), Refusal> {
        let (store, of, from) = (self.store.clone(), of.clone(), from.clone());
        let mut left = vec![digest.to_owned()];
        crate::blocking(move || {
            // An index names manifests, and those name no others.
            for _ in 0..2 {
                for digest in std::mem::take(&mut left) {
                    let Some(kept) = read(&store, &from, &digest)? else { continue };
                    let manifest = Manifest::read(&kept.media_type, &kept.bytes)?;
                    for blob in manifest.layers.iter().chain(&manifest.config) {
                        let there = store.linked(&from, Link::Blob, &blob.digest);
                        if there.map_err(|error| Refusal::disk("read a blob", &error))?.is_some() {
                            store.link_there(&of, (Link::Blob, ""), &blob.digest)?;
                        }
                    }
                    left.extend(manifest.manifests.iter().map(|one| one.digest.clone()));
                    store.link_there(&of, (Link::Manifest, &kept.media_type), &digest)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Takes in a manifest, and tells the API of it.
    pub(crate) async fn put_manifest(
        &self,
        of: &Repository,
        by: &By,
        (who, headers): (&Who, &HeaderMap),
        body: Sent,
    ) -> Outcome {
        let large = |error| match error {
            Ok(()) => Refusal::new(Code::SizeInvalid, "the manifest is too large"),
            Err(error) => {
                Refusal::new(Code::ManifestInvalid, format!("the request broke off: {error}"))
            }
        };
        let read = tokio::time::timeout(self.silence, Limited::new(body, DOCUMENT).collect()).await;
        let read =
            read.map_err(|_| Refusal::new(Code::ManifestInvalid, "nothing came for too long"))?;
        let bytes = read.map_err(|error| {
            large(if error.is::<http_body_util::LengthLimitError>() { Ok(()) } else { Err(error) })
        })?;
        let bytes = bytes.to_bytes();
        let digest = digest_of(&bytes);
        if matches!(by, By::Digest(asked) if *asked != digest) {
            let why = "the manifest does not match the digest";
            return Err(Refusal::new(Code::DigestInvalid, why));
        }
        let type_ = headers.get(header::CONTENT_TYPE).and_then(|type_| type_.to_str().ok());
        let manifest = Manifest::read(type_.unwrap_or_default(), &bytes)?;
        let config = self.take_in(of, &digest, &manifest, bytes).await?;
        let image = manifest.image(&self.host, of, &digest, config.as_ref());
        match by {
            By::Tag(tag) => self.map(of, who, tag, image).await?,
            By::Digest(_) => self.tell_of(&image).await?,
        }
        let place = format!("/v2/{of}/manifests/{digest}");
        let mut said = vec![(header::LOCATION, &*place), (DIGEST, &digest)];
        if let Some(subject) = &manifest.subject {
            said.push((SUBJECT, subject));
        }
        Ok(empty(StatusCode::CREATED, &said))
    }

    /// Keeps a manifest if all that it names is there; the configuration of an image.
    async fn take_in(
        &self,
        of: &Repository,
        digest: &str,
        manifest: &Manifest,
        bytes: Bytes,
    ) -> Result<Option<Value>, Refusal> {
        let (store, of, digest) = (self.store.clone(), of.clone(), digest.to_owned());
        let manifest = manifest.clone();
        crate::blocking(move || {
            let blobs = manifest.layers.iter().filter(|layer| !layer.foreign);
            let blobs = blobs.chain(&manifest.config).map(|one| (Link::Blob, one));
            let manifests = manifest.manifests.iter().map(|one| (Link::Manifest, one));
            for (link, one) in blobs.chain(manifests) {
                must_have(&store, &of, link, one)?;
            }
            let config = match manifest.config.as_ref().filter(|_| manifest.is_image()) {
                Some(config) => Some(document(&store, &of, config)?),
                None => None,
            };
            store.keep_bytes(&bytes, &digest, &of, (Link::Manifest, &manifest.media_type))?;
            if let Some(subject) = &manifest.subject {
                let told = manifest.descriptor(&digest, bytes.len()).to_string();
                let noted = store.refer(&of, subject, &digest, &told);
                noted.map_err(|error| Refusal::disk("keep a manifest", &error))?;
            }
            Ok(config)
        })
        .await
    }

    /// Takes a manifest away, unless a stream still means it.
    pub(crate) async fn delete_manifest(&self, of: &Repository, by: &By) -> Outcome {
        let By::Digest(digest) = by else {
            let why = "tags are the image stream's: delete its imagestreamtag";
            return Err(Refusal::new(Code::Unsupported, why));
        };
        if let Some(stream) = self.stream(of).await?
            && streams::of_image(&stream, digest).is_some()
        {
            let why = format!("the image stream {of} still refers to the manifest");
            return Err(Refusal::new(Code::Denied, why));
        }
        let (store, of, digest) = (self.store.clone(), of.clone(), digest.clone());
        crate::blocking(move || {
            let gone = store.unlink(&of, Link::Manifest, &digest);
            match gone.map_err(|error| Refusal::disk("delete a manifest", &error))? {
                true => Ok(empty(StatusCode::ACCEPTED, &[])),
                false => Err(unknown()),
            }
        })
        .await
    }

    /// The tags of a repository, a page of them.
    pub(crate) async fn tags(&self, of: &Repository, query: &str) -> Outcome {
        let stream = self.known_stream(of).await?;
        let mut all = streams::tags(&stream);
        if let Some(last) = parameter(query, "last") {
            all.retain(|tag| *tag > last);
        }
        let most = match parameter(query, "n").map(|n| n.parse::<usize>()) {
            None => PAGE,
            Some(Ok(most)) => most.min(PAGE),
            Some(Err(_)) => {
                let why = "n must be a number";
                return Err(
                    Refusal::new(Code::Unsupported, why).with_status(StatusCode::BAD_REQUEST)
                );
            }
        };
        let more = all.len() > most;
        all.truncate(most);
        let body = json!({ "name": of.to_string(), "tags": all });
        let mut answer = with_json(StatusCode::OK, "application/json", &body);
        if let Some(last) = all.last().filter(|_| more) {
            let next = format!("</v2/{of}/tags/list?n={most}&last={last}>; rel=\"next\"");
            if let Ok(next) = next.parse() {
                answer.headers_mut().insert(header::LINK, next);
            }
        }
        Ok(answer)
    }

    /// What is about a manifest.
    pub(crate) async fn referrers(&self, of: &Repository, subject: &str, query: &str) -> Outcome {
        let (store, of, subject) = (self.store.clone(), of.clone(), subject.to_owned());
        let all = crate::blocking(move || {
            let found = store.referrers(&of, &subject, REFERRERS);
            found.map_err(|error| Refusal::disk("read referrers", &error))
        });
        let all = all.await?;
        let mut told: Vec<Value> =
            all.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
        let wanted = parameter(query, "artifactType").filter(|wanted| !wanted.is_empty());
        if let Some(wanted) = &wanted {
            told.retain(|one| one["artifactType"] == **wanted);
        }
        let body = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": told });
        let mut answer = with_json(StatusCode::OK, INDEX, &body);
        if wanted.is_some() {
            let by = header::HeaderValue::from_static("artifactType");
            answer.headers_mut().insert(FILTERS, by);
        }
        Ok(answer)
    }
}

fn must_have(store: &ImageStore, of: &Repository, link: Link, one: &Named) -> Result<(), Refusal> {
    let disk = |error| Refusal::disk("read a blob", &error);
    if let Some((_, size)) = store.linked(of, link, &one.digest).map_err(disk)? {
        return match size == one.size {
            true => Ok(()),
            false => Err(Refusal::new(
                Code::ManifestInvalid,
                format!("{} has {size} bytes, and not {}", one.digest, one.size),
            )),
        };
    }
    let why = format!("{} is not in the repository", one.digest);
    Err(Refusal::new(Code::ManifestBlobUnknown, why))
}

/// A configuration of a repository.
fn document(store: &ImageStore, of: &Repository, config: &Named) -> Result<Value, Refusal> {
    let wrong = |why: &str| Refusal::new(Code::ManifestInvalid, format!("its configuration {why}"));
    let disk = |error| Refusal::disk("read a blob", &error);
    let found = store.linked(of, Link::Blob, &config.digest).map_err(disk)?;
    let (path, size) = found.ok_or_else(|| wrong("is not there"))?;
    if size > DOCUMENT as u64 {
        return Err(wrong("is too large"));
    }
    let bytes = std::fs::read(path).map_err(disk)?;
    serde_json::from_slice(&bytes).map_err(|_| wrong("is no JSON"))
}
