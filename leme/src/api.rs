//! Calls to the API in terms of kinds and JSON: what every verb of the command line is made of.
//!
//! Knows: the namespace that is meant, where warnings are said. Refuses to know: any kind by name, and how requests are made.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use http::Method;
pub use leme_client::query::query;
use leme_client::{Ask, Body, Client, Error};
pub use leme_client::{JSON, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::discovery::Served;
use crate::resource::ApiResource;
use crate::say;

/// So many different warnings are told.
const MOST_TOLD: usize = 1_000;
/// What kubectl asks for when it prints.
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// A connection and the namespace that is meant when none is said.
#[derive(Clone)]
pub struct Api {
    /// The client.
    pub client: Client,
    /// Namespace of the command.
    pub namespace: String,
    /// The kinds that the server serves, once somebody has asked.
    served: Arc<OnceCell<Served>>,
}

/// Tells a warning of the server, each once: many answers have the same.
fn warn(warning: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() < MOST_TOLD && told.insert(warning.to_owned()) {
        say::note(format_args!("Warning: {warning}"));
    }
}

/// Result of a call.
pub type Result<T> = std::result::Result<T, Error>;

impl Api {
    /// Speaks through `client`; what has a namespace and says none is in `namespace`.
    pub fn new(client: Client, namespace: String) -> Api {
        let client = client.named("leme").on_warning(warn);
        Api { client, namespace, served: Arc::default() }
    }

    /// The same where the kinds served are known beforehand.
    pub fn with_kinds(client: Client, namespace: String, served: Served) -> Api {
        Api { served: Arc::new(OnceCell::from(served)), ..Api::new(client, namespace) }
    }

    /// The kinds that the server serves: asked once.
    pub async fn served(&self) -> Result<&Served> {
        self.served.get_or_try_init(|| Served::ask(&self.client)).await
    }

    /// Sends a request with a JSON body, or none, and reads a JSON answer.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        self.client.call(method, path, content_type, body).await
    }

    /// GET of a path, whatever is behind it.
    pub async fn raw(&self, path: &str) -> Result<Vec<u8>> {
        let request = self.client.request(&Method::GET, path).body(Body::empty());
        let request = request.map_err(|error| Error::transport(&error))?;
        Ok(self.client.send(request).await?.1)
    }

    /// GET of a path.
    pub async fn get(&self, path: &str, accept: &str) -> Result<Value> {
        let method = &Method::GET;
        self.client.ask(Ask { method, path, content_type: JSON, accept, body: None }).await
    }

    /// GET of one object, `None` if it is not there.
    pub async fn find(
        &self,
        kind: &ApiResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>> {
        self.client.find(&kind.object(namespace, name, "")).await
    }

    /// The items of a list, with `apiVersion` and `kind` filled in, and the list's resourceVersion. Without a namespace:
    /// those of all.
    pub async fn list(
        &self,
        kind: &ApiResource,
        namespace: Option<&str>,
        query: &str,
    ) -> Result<(Vec<Value>, String)> {
        let path = format!("{}{query}", kind.collection(namespace.unwrap_or_default()));
        let mut list = self.get(&path, JSON).await?;
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or("").to_owned();
        let mut items = match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        items.iter_mut().for_each(|item| say_kind(kind, item));
        Ok((items, version))
    }
}

/// Fills in what servers leave out of the items of lists.
pub fn say_kind(kind: &ApiResource, object: &mut Value) {
    if object.is_object() && object.get("kind").is_none() {
        object["kind"] = kind.kind.as_str().into();
        object["apiVersion"] = kind.api_version().into();
    }
}
