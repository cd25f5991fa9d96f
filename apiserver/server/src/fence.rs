//! Writes of a leader happen only while it leads.
//!
//! Knows: the header by which a request says under which Lease it is made, and that the Lease is asked just before the
//! write. Refuses to know: how leaders are elected.
//!
//! On one server the Lease changes hands only when no write is between being asked and being stored, so that nothing of the
//! old leader is stored after the new one has begun. Where two servers share a store, what was asked for at one of them may
//! still be on its way to the store when the other one writes the Lease: as long as one write takes.

use http::HeaderMap;
use leme_kinds::Kind;
use leme_meta::{Gvr, Status};
use leme_registry::json;
use serde_json::Value;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::answer::read_failed;
use crate::api::Api;
use crate::request::ResourceRequest;

/// The header: namespace and name of a Lease, and who holds it as far as the client knows.
const HEADER: &str = "leme-lease";

/// Under which Lease a request is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    namespace: String,
    name: String,
    holder: String,
}

impl Fence {
    /// What a request says.
    pub fn read(headers: &HeaderMap) -> Result<Option<Fence>, Status> {
        let Some(value) = headers.get(HEADER) else { return Ok(None) };
        let mut parts = value.to_str().unwrap_or("").splitn(3, '/').map(str::to_owned);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(namespace), Some(name), Some(holder)) if !holder.is_empty() => {
                Ok(Some(Fence { namespace, name, holder }))
            }
            _ => Err(Status::bad_request(format!("{HEADER}: NAMESPACE/NAME/HOLDER expected"))),
        }
    }
}

/// Held while a Lease may not change hands, or while it does.
#[derive(Default)]
pub(crate) struct Turnstile(RwLock<()>);

/// What is held while a write is stored.
pub(crate) enum Pass<'a> {
    /// Whoever it is may write.
    Anybody,
    /// The leader writes.
    Leader(#[allow(dead_code)] RwLockReadGuard<'a, ()>),
    /// The leader changes.
    Change(#[allow(dead_code)] RwLockWriteGuard<'a, ()>),
}

const GROUP: &str = "coordination.k8s.io";
const KIND: &str = "Lease";

fn leases() -> Result<&'static std::sync::Arc<Kind>, Status> {
    leme_kinds::by_kind(GROUP, "v1", KIND).ok_or_else(Status::no_such_path)
}

fn holder(lease: &Value) -> &str {
    json::text(lease, &["spec", "holderIdentity"])
}

/// Whether a write gives a Lease to another holder, or to nobody.
fn changes_leader(kind: &Kind, old: Option<&Value>, new: Option<&Value>) -> bool {
    // Every write asks.
    kind.kind == KIND && kind.group == GROUP && old.map(holder) != new.map(holder)
}

impl Api {
    /// Lets a write pass that makes `new` of what was `old`, or refuses it because its Lease is another's by now.
    pub(crate) async fn pass(
        &self,
        request: &ResourceRequest,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> Result<Pass<'_>, Status> {
        let pass = if changes_leader(&request.kept.kind, old, new) {
            Pass::Change(self.turnstile.0.write().await)
        } else if request.fence.is_some() {
            Pass::Leader(self.turnstile.0.read().await)
        } else {
            return Ok(Pass::Anybody);
        };
        if let Some(fence) = &request.fence {
            self.still_leads(fence, &request.gvr()).await?;
        }
        Ok(pass)
    }

    async fn still_leads(&self, fence: &Fence, of: &Gvr) -> Result<(), Status> {
        let Fence { namespace, name, holder: asked } = fence;
        let entry = self.store.get(&leases()?.key(namespace, name)).await.map_err(read_failed)?;
        let lease = entry.and_then(|entry| serde_json::from_slice::<Value>(&entry.value).ok());
        match lease.as_ref().map(holder) {
            Some(now) if now == asked => Ok(()),
            now => {
                let now = now.filter(|now| !now.is_empty()).unwrap_or("nobody");
                let why = format!("the lease {namespace}/{name} is held by {now}, not by {asked}");
                Err(Status::conflict(of, name, &why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_named_whole_or_refused() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, http::HeaderValue::from_static(text));
            Fence::read(&headers)
        };
        let fence = read("kube-system/kube-scheduler/host_1/2").unwrap().unwrap();
        assert_eq!((&*fence.namespace, &*fence.name), ("kube-system", "kube-scheduler"));
        assert_eq!(fence.holder, "host_1/2");
        assert_eq!(Fence::read(&HeaderMap::new()).unwrap(), None);
        for bad in ["", "a/b", "a/b/"] {
            assert_eq!(read(bad).unwrap_err().code, 400, "{bad:?}");
        }
    }
}
