//! Which kinds a server serves, learned from its discovery documents: two aggregated ones, asked for again only when they
//! have changed, or one for each group and version from servers that have no others.
//!
//! Knows: the documents. Refuses to know: any kind by name, and what whoever asks does with the answer.

mod documents;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::{join_all, try_join};
use http::{HeaderValue, Method, StatusCode, header};
use kube::client::Body;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use crate::client::Client;
use crate::error::{Error, Meaning};
use crate::served::ApiResource;
use documents::{ResourceList, Root};

/// The aggregated documents, newest first, then the plain ones.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// Which kinds are worth remembering.
pub type Keep = fn(&ApiResource) -> bool;

/// What a server serves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Served {
    /// Every kind: groups in the server's order, each with its preferred version first.
    pub kinds: Vec<Arc<ApiResource>>,
    /// The groups and versions of which nothing can be said now, and why: what is behind another server that is away.
    pub unread: BTreeMap<String, String>,
}

/// Asks one server what it serves.
pub struct Discovery {
    client: Client,
    keep: Keep,
    core: Mutex<Option<Known>>,
    groups: Mutex<Option<Known>>,
}

/// What a document said, by the entity tag that its server gave it.
struct Known {
    etag: HeaderValue,
    served: Arc<Served>,
}

impl Discovery {
    /// Asks through `client` for kinds that `keep` keeps.
    pub fn new(client: Client, keep: Keep) -> Discovery {
        Discovery { client, keep, core: Mutex::default(), groups: Mutex::default() }
    }

    /// What is served now. Costs two requests without content where nothing has changed.
    pub async fn ask(&self) -> Result<Served, Error> {
        let core = self.root("/api", &self.core);
        let (core, groups) = try_join(core, self.root("/apis", &self.groups)).await?;
        let mut served = (*core).clone();
        served.kinds.extend(groups.kinds.iter().cloned());
        served.unread.extend(groups.unread.iter().map(|(of, why)| (of.clone(), why.clone())));
        Ok(served)
    }

    async fn root(&self, path: &str, known: &Mutex<Option<Known>>) -> Result<Arc<Served>, Error> {
        let mut known = known.lock().await;
        let mut request =
            self.client.request(&Method::GET, path).header(header::ACCEPT, AGGREGATED);
        if let Some(known) = &*known {
            request = request.header(header::IF_NONE_MATCH, &known.etag);
        }
        let request = request.body(Body::empty()).map_err(|error| Error::transport(&error))?;
        let (head, body) = self.client.send(request).await?;
        if let (StatusCode::NOT_MODIFIED, Some(known)) = (head.status, &*known) {
            return Ok(known.served.clone());
        }
        let root: Root = parse(&body)?;
        if !root.is_aggregated() {
            // What these documents say may change without their tag.
            *known = None;
            return self.one_by_one(&root).await.map(Arc::new);
        }
        let mut served = Served::default();
        root.read(&mut served);
        served.kinds.retain(|kind| (self.keep)(kind));
        let served = Arc::new(served);
        let etag = head.headers.get(header::ETAG).cloned();
        *known = etag.map(|etag| Known { etag, served: served.clone() });
        Ok(served)
    }

    /// The kinds of the older documents: one that lists the versions, one for each of them.
    async fn one_by_one(&self, root: &Root) -> Result<Served, Error> {
        let versions = root.versions();
        let documents = versions.iter().map(|(path, _)| self.client.read::<ResourceList>(path));
        let mut served = Served::default();
        for ((_, version), document) in versions.iter().zip(join_all(documents).await) {
            match document {
                Ok(document) => document.read(version, &mut served),
                // It has gone since the groups were told.
                Err(error) if error.is_not_found() => {}
                Err(error) if is_away(&error) => {
                    served.unread.insert(version.clone(), error.message().to_owned());
                }
                Err(error) => return Err(error),
            }
        }
        served.kinds.retain(|kind| (self.keep)(kind));
        Ok(served)
    }
}

/// Whether a kind is served by now: of all documents the one that says so is read.
pub async fn is_served(client: &Client, kind: &ApiResource) -> Result<bool, Error> {
    let path = format!("/apis/{}", kind.api_version());
    let Some(list) = client.find::<ResourceList>(&path).await? else { return Ok(false) };
    Ok(list.names().any(|name| name == kind.plural))
}

/// Whether the server answers, but not for what is behind it.
fn is_away(error: &Error) -> bool {
    matches!(error, Error::Status { code: 500..=599, .. }) && error.meaning() == Meaning::Other
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|error| Error::Transport(format!("bad discovery document: {error}")))
}

#[cfg(test)]
mod tests;
