//! What is served at a time: the kinds, and the documents that tell clients of them.
//!
//! Knows: that the documents follow the kinds. Refuses to know: who changes them; a set takes the place of another, whole.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::HeaderMap;
use leme_kinds::Kinds;
use leme_meta::Status;

use crate::answer::Answer;
use crate::api::Api;
use crate::discovery::Discovery;
use crate::query::Query;
use crate::{openapi, openapi_v2};

/// A set of kinds, with its documents. Those that take long are made when first asked for.
pub(crate) struct Served {
    pub kinds: Arc<Kinds>,
    pub discovery: Discovery,
    openapi: OnceLock<openapi::Documents>,
    openapi_v2: OnceLock<(Bytes, Bytes)>,
}

impl Served {
    /// `address` is where the server is, as discovery tells it.
    pub fn new(kinds: Arc<Kinds>, address: &str) -> Served {
        let scale = |kind: &_| {
            Api::strategy(kind).scale.map_or("autoscaling/v1", |scale| scale.api_version)
        };
        Served {
            discovery: Discovery::new(&kinds, scale, address),
            kinds,
            openapi: OnceLock::new(),
            openapi_v2: OnceLock::new(),
        }
    }

    /// A document of `/openapi`, by the segments after it.
    pub fn openapi(
        &self,
        segments: &[&str],
        headers: &HeaderMap,
        query: &Query,
    ) -> Result<Answer, Status> {
        let documents = || self.openapi.get_or_init(|| openapi::Documents::new(&self.kinds));
        match segments {
            ["v2"] => {
                let made = self.openapi_v2.get_or_init(|| openapi_v2::documents(&self.kinds));
                Ok(openapi_v2::document(made, headers))
            }
            ["v3"] => Ok(documents().index(headers)),
            ["v3", path @ ..] => documents().document(headers, &path.join("/"), query),
            _ => Err(Status::no_such_path()),
        }
    }
}
