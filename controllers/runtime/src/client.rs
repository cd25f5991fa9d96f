//! Requests as JSON over the client, and what an error means to a controller.

use http::{Method, Request};
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a request was not answered with what was asked for.
#[derive(Debug)]
pub enum Refused {
    /// 404.
    NotFound(String),
    /// 409: the object exists, or is not as it was.
    Conflict(String),
    /// 410: the revision asked for is too old.
    Gone,
    /// 403 because the namespace is being deleted.
    Terminating(String),
    /// Anything else, in the server's words.
    Other(String),
}

impl Refused {
    /// The server's words.
    pub fn message(&self) -> &str {
        match self {
            Refused::NotFound(text)
            | Refused::Conflict(text)
            | Refused::Terminating(text)
            | Refused::Other(text) => text,
            Refused::Gone => "the revision is too old",
        }
    }
}

impl From<kube::Error> for Refused {
    fn from(error: kube::Error) -> Refused {
        let kube::Error::Api(status) = &error else { return Refused::Other(error.to_string()) };
        let message = status.message.clone();
        match status.code {
            404 => Refused::NotFound(message),
            409 => Refused::Conflict(message),
            410 => Refused::Gone,
            403 if message.contains("being terminated") => Refused::Terminating(message),
            _ => Refused::Other(message),
        }
    }
}

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
    ) -> Result<T, Refused> {
        let bytes = match body {
            Some(body) => {
                serde_json::to_vec(body).map_err(|error| Refused::Other(error.to_string()))?
            }
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::CONTENT_TYPE, media_type)
            .body(bytes)
            .map_err(|error| Refused::Other(error.to_string()))?;
        Ok(self.client.request(request).await?)
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Value, Refused> {
        self.read(path).await
    }

    /// GET of what is wanted as something else than a value.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refused> {
        self.call(Method::GET, path, JSON, None).await
    }

    /// POST.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Refused> {
        self.call(Method::POST, path, JSON, Some(body)).await
    }

    /// PUT.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, Refused> {
        self.call(Method::PUT, path, JSON, Some(body)).await
    }

    /// JSON merge patch.
    pub async fn merge(&self, path: &str, body: &Value) -> Result<Value, Refused> {
        self.call(Method::PATCH, path, "application/merge-patch+json", Some(body)).await
    }

    /// Whether an object of that uid exists and is not being deleted, asked at the API itself.
    pub async fn is_live(&self, path: &str, uid: &str) -> Result<bool, Refused> {
        match self.get(path).await {
            Ok(object) => {
                let meta = &object["metadata"];
                Ok((uid.is_empty() || meta["uid"] == uid) && meta["deletionTimestamp"].is_null())
            }
            Err(Refused::NotFound(_)) => Ok(false),
            Err(other) => Err(other),
        }
    }
}

const JSON: &str = "application/json";
