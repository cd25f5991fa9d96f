//! What issuers tell of themselves, over HTTPS.
//!
//! Knows: where the keys are said to be, and that no answer is larger than a bound. Refuses to know: what keys are for. A
//! redirect is never followed.

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::Value;

use crate::config::Of;

/// Bytes of an answer at most.
const LARGEST: usize = 1 << 20;

/// Asks one issuer.
pub(crate) struct Client {
    client: legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<Value>,
}

impl Client {
    /// One that believes these authorities (PEM), or those of the machine.
    pub fn new(authority: &str) -> Result<Client, String> {
        let tls = leme_trust::of(authority)?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        Ok(Client { client: legacy::Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// The keys of an issuer, by where it says that they are.
    pub async fn keys(&self, of: &Of) -> Result<Vec<Value>, String> {
        let discovered: Discovered = self.document(&of.discovery).await?;
        if discovered.issuer != of.url {
            return Err(format!(
                "issuer did not match the issuer returned by provider, expected {:?} got {:?}",
                of.url, discovered.issuer
            ));
        }
        Ok(self.document::<Keys>(&discovered.jwks_uri).await?.keys)
    }

    async fn document<T: for<'de> Deserialize<'de>>(&self, url: &str) -> Result<T, String> {
        let wrong = |why: &dyn std::fmt::Display| format!("{url}: {why}");
        let uri: Uri = url.parse().map_err(|error| wrong(&error))?;
        if uri.scheme_str() != Some("https") {
            return Err(wrong(&"URL scheme must be https"));
        }
        let request = Request::get(uri).header("accept", "application/json");
        let request = request.body(Empty::new()).map_err(|error| wrong(&error))?;
        let answer =
            self.client.request(request).await.map_err(|error| match error.is_connect() {
                true => wrong(&format_args!("cannot connect: {}", source(&error))),
                false => wrong(&error),
            })?;
        if answer.status() != StatusCode::OK {
            return Err(wrong(&answer.status()));
        }
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| wrong(&error))?.to_bytes();
        serde_json::from_slice(&body).map_err(|error| wrong(&error))
    }
}

/// What is behind an error.
fn source(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
