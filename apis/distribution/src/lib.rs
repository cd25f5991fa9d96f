//! Registries of images, for who asks them.
//!
//! Knows: OCI's distribution protocol: references, endpoints and mirrors, logins, challenges, manifests, blobs, tags, and
//! what is pushed. Refuses to know: what an image holds, and where it is kept here.
//!
//! Each answer is bounded in bytes and in the time between two pieces of it; what a registry sends elsewhere for is got there
//! without what the registry was shown; content that is asked for by its digest is given on only as far as it may still have it.

mod blob;
mod challenge;
mod client;
mod config;
pub mod credentials;
mod http;
mod push;
pub mod reference;

pub use blob::Blob;
pub use client::{Client, Described, Manifest};
pub use config::{Endpoint, Registries};
pub use credentials::{Credentials, Login};
pub use push::Content;
pub use reference::Reference;

/// What an image may be, for [`Client::manifest`]: a manifest or an index, as OCI or docker writes it.
pub const IMAGES: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// Why a registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It wants to know who asks, or does not know who does (401).
    #[error("{0}")]
    Unauthorized(String),
    /// Who asks may not (403).
    #[error("{0}")]
    Denied(String),
    /// It has no such thing (404).
    #[error("{0}")]
    NotFound(String),
    /// Nobody could be asked.
    #[error("cannot reach {registry}: {why}")]
    Unreachable {
        /// Which registry.
        registry: String,
        /// Why.
        why: String,
    },
    /// Its certificate is not one that is believed.
    #[error("cannot reach {registry}: {why}")]
    Untrusted {
        /// Which registry.
        registry: String,
        /// Why.
        why: String,
    },
    /// What it answers makes no sense, or is too much, or not what was asked for.
    #[error("{0}")]
    Answer(String),
    /// What is pushed could not be read here.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Error {
    /// Whether the registry said no: to somebody else, or of something else, it may say yes.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Error::Unauthorized(_) | Error::Denied(_) | Error::NotFound(_))
    }
}

/// The result of asking a registry.
pub type Result<T> = std::result::Result<T, Error>;
