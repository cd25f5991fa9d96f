//! What a registry is asked for.
//!
//! Knows: the paths of the protocol, and that a manifest has the digest that it is asked for by. Refuses to know: connections.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, Uri, header};
use hyper::body::Incoming;
use serde::Deserialize;

use crate::http::{Ask, Asker, encoded};
use crate::reference::{digest_of, valid_digest};
use crate::{Blob, Endpoint, Error, Login, Result};

/// Pages of tags that are turned.
const PAGES: usize = 1000;
/// Tags that are asked for at a time.
const PAGE: usize = 1000;

/// A manifest, or an index of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type, as the registry says.
    pub media_type: String,
    /// What it is.
    pub bytes: Bytes,
    /// The digest of that.
    pub digest: String,
}

/// What a registry says of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its media type.
    pub media_type: String,
    /// Its digest, if that is said.
    pub digest: Option<String>,
    /// Its bytes, if that is said.
    pub size: Option<u64>,
}

/// Asks one registry, as somebody. Cheap to clone; clones share connections and tokens.
#[derive(Clone)]
pub struct Client {
    pub(crate) asker: Arc<Asker>,
}

impl Client {
    /// For an endpoint, as nobody, whatever login the endpoint has.
    ///
    /// # Errors
    /// When what it says of TLS cannot be carried out.
    pub fn new(endpoint: &Endpoint) -> Result<Client> {
        Ok(Client { asker: Arc::new(Asker::new(endpoint)?) })
    }

    /// The same endpoint, over the same connections, as somebody.
    pub fn for_login(&self, login: Option<Login>) -> Client {
        Client { asker: Arc::new(self.asker.for_login(login)) }
    }

    /// Who asks.
    pub fn login(&self) -> Option<&Login> {
        self.asker.login.as_ref()
    }

    /// Whether there is a registry that knows who asks.
    ///
    /// # Errors
    /// When there is none, or it does not.
    pub async fn check(&self) -> Result<()> {
        self.asker.ask("", "/v2/", &Ask::of(Method::GET)).await.map(drop)
    }

    /// A manifest, by a tag or by its digest, as one of the media types of `accept` (such as [`crate::IMAGES`]).
    ///
    /// # Errors
    /// When there is none, or it is not what it should be.
    pub async fn manifest(
        &self,
        repository: &str,
        reference: &str,
        accept: &str,
    ) -> Result<Manifest> {
        let ask = Ask::of(Method::GET).with(header::ACCEPT, accept);
        let path = format!("/v2/{repository}/manifests/{reference}");
        let answer = self.asker.ask(repository, &path, &ask).await?;
        let media_type = media_type(answer.headers());
        let bytes = self.asker.read(answer.into_body()).await?;
        let digest = digest_of(&bytes);
        if valid_digest(reference).is_some_and(|asked| asked != digest) {
            return Err(differs(reference));
        }
        Ok(Manifest { media_type, bytes, digest })
    }

    /// What the registry says of a manifest, without it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn head_manifest(
        &self,
        repository: &str,
        reference: &str,
        accept: &str,
    ) -> Result<Described> {
        let ask = Ask::of(Method::HEAD).with(header::ACCEPT, accept);
        let path = format!("/v2/{repository}/manifests/{reference}");
        let answer = self.asker.ask(repository, &path, &ask).await?;
        let headers = answer.headers();
        let digest = text(headers, "docker-content-digest").and_then(valid_digest);
        let size = text(headers, "content-length").and_then(|size| size.parse().ok());
        Ok(Described { media_type: media_type(headers), digest, size })
    }

    /// The content of a digest, piece by piece; of `size` bytes, if that is known.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn blob(&self, repository: &str, digest: &str, size: Option<u64>) -> Result<Blob> {
        Blob::open(self.clone(), repository, digest, size).await
    }

    /// Whether the content of a digest is there for a repository.
    ///
    /// # Errors
    /// When that is not told.
    pub async fn has_blob(&self, repository: &str, digest: &str) -> Result<bool> {
        let path = format!("/v2/{repository}/blobs/{digest}");
        match self.asker.ask(repository, &path, &Ask::of(Method::HEAD)).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound(_)) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Tags of a repository, no more than so many.
    ///
    /// # Errors
    /// When there is no such repository, or what is answered are no tags.
    pub async fn tags(&self, repository: &str, most: usize) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Tags {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let base: Uri = self.asker.url.parse().map_err(|error| self.asker.wrong(error))?;
        let mut path = format!("/v2/{repository}/tags/list?n={}", most.clamp(1, PAGE));
        let mut all = Vec::new();
        for _ in 0..PAGES {
            let answer = self.asker.ask(repository, &path, &Ask::of(Method::GET)).await?;
            let next = next_page(&base, &answer);
            let bytes = self.asker.read(answer.into_body()).await?;
            let Tags { tags } =
                serde_json::from_slice(&bytes).map_err(|error| self.asker.wrong(error))?;
            all.extend(tags.unwrap_or_default());
            match next {
                Some(next) if all.len() < most => path = next,
                _ => break,
            }
        }
        all.truncate(most);
        Ok(all)
    }
}

/// The path of the page after one, if that is at the same registry.
fn next_page(base: &Uri, answer: &Response<Incoming>) -> Option<String> {
    let link = text(answer.headers(), "link")?;
    let (to, rest) = link.split_once('<')?.1.split_once('>')?;
    if !rest.contains("next") {
        return None;
    }
    let path = match to.parse::<Uri>().ok().filter(|to| to.host().is_some()) {
        Some(to) if to.authority() == base.authority() => to.path_and_query()?.to_string(),
        Some(_) => return None,
        None => to.to_owned(),
    };
    // What is before `/v2` belongs to the endpoint.
    path.find("/v2/").map(|at| path[at..].to_owned())
}

pub(crate) fn differs(digest: &str) -> Error {
    Error::Answer(format!("the content of {digest} does not match its digest"))
}

/// A digest as a part of a query.
pub(crate) fn query(digest: &str) -> String {
    format!("digest={}", encoded(digest))
}

pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn media_type(headers: &HeaderMap) -> String {
    let type_ = text(headers, "content-type").unwrap_or_default();
    type_.split(';').next().unwrap_or_default().trim().to_owned()
}
