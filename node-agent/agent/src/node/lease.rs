//! The node's Lease, by which the cluster knows that it lives.
//!
//! Knows: how it is renewed, that it belongs to the Node. Refuses to know: when.

use std::sync::Arc;

use http::Method;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use leme_client::{Client, Error, JSON, Resource};
use tokio::sync::Mutex;

use super::{nodes, write};

const NAMESPACE: &str = "kube-node-lease";
/// How long it lasts: four times as long as until it is renewed.
const LEASE_SECONDS: i32 = 40;

/// Renews the lease.
pub async fn renew(
    client: Client,
    name: &str,
    known: Arc<Mutex<Option<Lease>>>,
) -> Result<(), String> {
    let leases = Resource::namespaced("coordination.k8s.io/v1", "Lease", "leases");
    let path = leases.object(NAMESPACE, name, "");
    let mut slot = known.lock().await;
    let text = |error: Error| error.to_string();
    let known = match slot.take() {
        Some(lease) => Some(lease),
        None => client.find(&path).await.map_err(text)?,
    };
    let fresh = known.is_none();
    let mut lease = known.unwrap_or_else(|| Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        spec: None,
    });
    own(&mut lease, &client, name).await.map_err(text)?;
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = Some(name.to_owned());
    spec.lease_duration_seconds = Some(LEASE_SECONDS);
    spec.renew_time = Some(MicroTime(Timestamp::now()));
    // After a conflict the next try reads it again.
    let (method, path) = match fresh {
        true => (Method::POST, leases.collection(NAMESPACE)),
        false => (Method::PUT, path),
    };
    *slot = Some(write(&client, method, &path, JSON, &lease).await.map_err(text)?);
    Ok(())
}

/// Makes the Node the lease's owner, so that it goes with it; a lease is often there first.
async fn own(lease: &mut Lease, client: &Client, name: &str) -> Result<(), Error> {
    let owners = lease.metadata.owner_references.get_or_insert_default();
    if owners.iter().any(|owner| owner.kind == "Node" && owner.name == name) {
        return Ok(());
    }
    let Some(uid) = client
        .find::<Node>(&nodes().object("", name, ""))
        .await?
        .and_then(|node| node.metadata.uid)
    else {
        return Ok(());
    };
    owners.push(OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: name.to_owned(),
        uid,
        ..OwnerReference::default()
    });
    Ok(())
}
