//! What is served at a time: the kinds, and the documents that tell clients of them.
//!
//! Knows: that the documents follow the kinds. Refuses to know: who changes them; a set takes the place of another, whole.

use std::sync::{Arc, OnceLock};

use http::HeaderMap;
use leme_kinds::{Kind, Kinds};
use leme_meta::Status;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::answer::{self, Answer};
use crate::api::Api;
use crate::discovery::Discovery;
use crate::query::Query;
use crate::{openapi, openapi_v2};

/// A set of kinds, with its documents. They are made when first asked for.
pub(crate) struct Served {
    pub kinds: Arc<Kinds>,
    /// Where the server is, as discovery tells it.
    address: String,
    discovery: OnceLock<Discovery>,
    openapi: openapi::Documents,
    openapi_v2: OnceLock<(openapi::Document, openapi::Document)>,
    over: CancellationToken,
    _over: DropGuard,
}

impl Served {
    /// `address` is where the server is, as discovery tells it.
    pub fn new(kinds: Arc<Kinds>, address: &str) -> Served {
        Served::with(kinds, address, None)
    }

    /// What is served of these kinds after this set: the documents of kinds that stay are made once.
    pub fn after(&self, kinds: Arc<Kinds>) -> Served {
        Served::with(kinds, &self.address, Some(&self.openapi))
    }

    fn with(kinds: Arc<Kinds>, address: &str, before: Option<&openapi::Documents>) -> Served {
        let over = CancellationToken::new();
        Served {
            address: address.to_owned(),
            discovery: OnceLock::new(),
            openapi: openapi::Documents::new(&kinds, before),
            kinds,
            openapi_v2: OnceLock::new(),
            _over: over.clone().drop_guard(),
            over,
        }
    }

    /// Cancelled as soon as nobody holds the set any more.
    pub fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    /// The documents of discovery.
    pub fn discovery(&self) -> &Discovery {
        self.discovery.get_or_init(|| {
            let scale = |kind: &Kind| {
                Api::strategy(kind).scale.map_or("autoscaling/v1", |scale| scale.api_version)
            };
            Discovery::new(&self.kinds, scale, &self.address)
        })
    }

    /// A document of `/openapi`, by the segments after it.
    pub fn openapi(
        &self,
        segments: &[&str],
        headers: &HeaderMap,
        query: &Query,
    ) -> Result<Answer, Status> {
        match segments {
            ["v2"] => {
                let made = self.openapi_v2.get_or_init(|| openapi_v2::documents(&self.kinds));
                Ok(openapi_v2::document(made, headers))
            }
            ["v3"] => Ok(self.openapi.index(&self.kinds, headers)),
            ["v3", path @ ..] => {
                self.openapi.document(&self.kinds, headers, &path.join("/"), query)
            }
            _ => Ok(answer::page_not_found()),
        }
    }
}
