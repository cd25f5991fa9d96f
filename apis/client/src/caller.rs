//! Requests as JSON.

use http::{Method, Request};
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Meaning};

/// Plain objects.
pub const JSON: &str = "application/json";
/// A list of operations.
pub const JSON_PATCH: &str = "application/json-patch+json";
/// An object that is laid over another.
pub const MERGE_PATCH: &str = "application/merge-patch+json";
/// The same where the server knows how lists are merged.
pub const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";

/// The client, for JSON.
#[derive(Clone)]
pub struct Caller {
    client: Client,
}

impl Caller {
    /// Speaks through `client`.
    pub fn new(client: Client) -> Caller {
        Caller { client }
    }

    /// The client itself.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// One request with an optional JSON body.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: Option<&Value>,
    ) -> Result<T, Error> {
        let bytes = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| Error::transport(&error))?,
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::ACCEPT, JSON)
            .header(http::header::CONTENT_TYPE, media_type)
            .body(bytes)
            .map_err(|error| Error::transport(&error))?;
        Ok(self.client.request(request).await?)
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        self.read(path).await
    }

    /// GET of what is wanted as something else than a value.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.call(Method::GET, path, JSON, None).await
    }

    /// POST.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.call(Method::POST, path, JSON, Some(body)).await
    }

    /// PUT.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.call(Method::PUT, path, JSON, Some(body)).await
    }

    /// JSON merge patch.
    pub async fn merge(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.call(Method::PATCH, path, MERGE_PATCH, Some(body)).await
    }

    /// Whether an object of that uid exists and is not being deleted, asked at the API itself.
    pub async fn is_live(&self, path: &str, uid: &str) -> Result<bool, Error> {
        match self.get(path).await {
            Ok(object) => {
                let meta = &object["metadata"];
                Ok((uid.is_empty() || meta["uid"] == uid) && meta["deletionTimestamp"].is_null())
            }
            Err(error) if error.meaning() == Meaning::NotFound => Ok(false),
            Err(other) => Err(other),
        }
    }
}
