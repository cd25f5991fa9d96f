//! Watches of what pods refer to: one per object, ended when no pod refers to it.
//!
//! Knows: which part of each kind is kept. Refuses to know: what it is used for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolume, PersistentVolumeClaim, Secret, Service,
};
use k8s_openapi::api::storage::v1::{CSIDriver, VolumeAttachment};
use leme_client::{Client, Event as Seen, Resource, Scope, follow_as};
use leme_node_core::csi::{self, CsiVolume};
use leme_node_core::lookup::{Content, Key, Kind, PersistentSource, ServiceFacts, ServicePort};
use leme_node_core::token::TokenOf;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::task::AbortOnDropHandle;

use crate::csi::Csi;
use crate::event::Event;

/// The group of drivers and attachments.
const STORAGE: &str = "storage.k8s.io/v1";
/// Annotation of a claim that names its volume for good.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";

/// No token is older than this, however long it is good.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);
/// The pauses between vain requests for a token.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// A watch; dropping it ends it.
pub type Watch = AbortOnDropHandle<()>;

/// Starts the watch of one key.
pub fn watch(client: &Client, csi: &Arc<Csi>, key: Key, to: UnboundedSender<Event>) -> Watch {
    let (client, csi) = (client.clone(), csi.clone());
    let namespaced = |kind: &str, plural: &str| Resource::namespaced("v1", kind, plural);
    let task = async move {
        match key.kind {
            Kind::ConfigMap => {
                one(
                    client,
                    scope(namespaced("ConfigMap", "configmaps"), &key),
                    key,
                    to,
                    config_map,
                )
                .await;
            }
            Kind::Secret => {
                one(client, scope(namespaced("Secret", "secrets"), &key), key, to, secret).await
            }
            Kind::Claim => {
                let claims = namespaced("PersistentVolumeClaim", "persistentvolumeclaims");
                one(client, scope(claims, &key), key, to, claim).await;
            }
            Kind::Volume => {
                let volumes = Resource::cluster("v1", "PersistentVolume", "persistentvolumes");
                one(client, scope(volumes, &key), key, to, volume).await;
            }
            Kind::Token => token(client, key, to).await,
            Kind::Services => {
                services(client, namespaced("Service", "services"), key, to).await;
            }
            Kind::Driver => {
                let drivers = Resource::cluster(STORAGE, "CSIDriver", "csidrivers");
                one(client, scope(drivers, &key), key, to, driver).await;
            }
            Kind::Attachment => {
                let attached = Resource::cluster(STORAGE, "VolumeAttachment", "volumeattachments");
                // There is none before the volume is attached.
                let own = format!("metadata.name={},spec.nodeName={}", key.name, csi.node);
                one(client, Scope { fields: own, ..Scope::all(attached) }, key, to, attachment)
                    .await;
            }
            Kind::Plugin => {
                let tell = |socket: Option<String>| {
                    to.send(Event::Source(key.clone(), socket.map(Content::Plugin))).is_ok()
                };
                csi.follow(key.name.clone(), tell).await;
            }
        }
    };
    AbortOnDropHandle::new(tokio::spawn(task))
}

/// Keeps a token good for as long as somebody wants it: another comes when four fifths of its time are over, or a day.
async fn token(client: Client, key: Key, to: UnboundedSender<Event>) {
    let Some(wanted) = TokenOf::of(&key) else { return };
    let mut pause = FIRST_PAUSE;
    let mut had = false;
    loop {
        let wait = match request_token(&client, &key.namespace, &wanted).await {
            Ok(token) => {
                had = true;
                pause = FIRST_PAUSE;
                if to.send(Event::Source(key.clone(), Some(Content::Token(Ok(token))))).is_err() {
                    return;
                }
                let life = Duration::from_secs(wanted.seconds.max(0).unsigned_abs());
                (life * 4 / 5).min(FRESH)
            }
            Err(error) => {
                // The one that is there may still be good.
                let content = Content::Token(Err(error));
                if !had && to.send(Event::Source(key.clone(), Some(content))).is_err() {
                    return;
                }
                let next = (pause * 2).min(LAST_PAUSE);
                std::mem::replace(&mut pause, next)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

pub(crate) async fn request_token(
    client: &Client,
    namespace: &str,
    wanted: &TokenOf,
) -> Result<String, String> {
    let TokenOf { account, pod: (pod, uid), seconds, audience } = wanted;
    let audiences = if audience.is_empty() { json!([]) } else { json!([audience]) };
    let asked = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {
            "audiences": audiences, "expirationSeconds": seconds,
            "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid },
        },
    });
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    let made = client.post(&path, &asked).await.map_err(|error| error.to_string())?;
    let token = made["status"]["token"].as_str();
    token.map(str::to_owned).ok_or_else(|| "the answer holds no token".to_owned())
}

/// What a key is about: one object, or all of a namespace if it has no name.
fn scope(resource: Resource, key: &Key) -> Scope {
    let named = Some(&key.name).filter(|name| !name.is_empty());
    let fields = named.map(|name| format!("metadata.name={name}")).unwrap_or_default();
    Scope { namespace: key.namespace.clone(), fields, ..Scope::all(resource) }
}

/// Follows one object by name.
async fn one<K: DeserializeOwned + Send + 'static>(
    client: Client,
    scope: Scope,
    key: Key,
    to: UnboundedSender<Event>,
    keep: fn(K) -> Content,
) {
    let mut events = follow_as::<K>(client, scope);
    let mut found = false;
    while let Some(event) = events.next().await {
        // What fails is told where it fails, and tried again there.
        let Ok(event) = event else { continue };
        let content = match event {
            Seen::Begin => {
                found = false;
                continue;
            }
            Seen::Listed(_, object) | Seen::Changed(_, object) => {
                found = true;
                Some(keep(object))
            }
            Seen::Gone(_) => None,
            Seen::Complete(_) if !found => None,
            Seen::Complete(_) | Seen::Seen(_) => continue,
        };
        if to.send(Event::Source(key.clone(), content)).is_err() {
            return;
        }
    }
}

/// Follows the services of a namespace, or the one that is named.
async fn services(client: Client, resource: Resource, key: Key, to: UnboundedSender<Event>) {
    let mut events = follow_as::<Service>(client, scope(resource, &key));
    let mut known: BTreeMap<String, ServiceFacts> = BTreeMap::new();
    let mut listing = true;
    while let Some(event) = events.next().await {
        let Ok(event) = event else { continue };
        match event {
            Seen::Begin => {
                listing = true;
                known.clear();
            }
            Seen::Listed(head, service) | Seen::Changed(head, service) => {
                match service_facts(&service) {
                    Some(facts) => known.insert(head.key.1, facts),
                    None => known.remove(&head.key.1),
                };
            }
            Seen::Gone(head) => {
                known.remove(&head.key.1);
            }
            Seen::Complete(_) => listing = false,
            Seen::Seen(_) => continue,
        }
        if !listing {
            let content = Content::Services(known.values().cloned().collect());
            if to.send(Event::Source(key.clone(), Some(content))).is_err() {
                return;
            }
        }
    }
}

fn config_map(object: ConfigMap) -> Content {
    let text = object.data.into_iter().flatten().map(|(k, v)| (k, v.into_bytes()));
    let binary = object.binary_data.into_iter().flatten().map(|(k, v)| (k, v.0));
    Content::Data(text.chain(binary).collect())
}

fn secret(object: Secret) -> Content {
    Content::Data(object.data.into_iter().flatten().map(|(k, v)| (k, v.0)).collect())
}

fn claim(object: PersistentVolumeClaim) -> Content {
    // The phase is the last step of a binding: the scheduler does not wait for it either.
    let annotations = object.metadata.annotations.as_ref();
    let bound = annotations.is_some_and(|all| all.contains_key(BIND_COMPLETED))
        || object.status.and_then(|s| s.phase).is_some_and(|p| p == "Bound");
    let volume = object.spec.and_then(|s| s.volume_name).filter(|n| bound && !n.is_empty());
    Content::Claim(volume)
}

fn volume(object: PersistentVolume) -> Content {
    if let Some(volume) = CsiVolume::persistent(&object) {
        return Content::Volume(volume.map(|volume| PersistentSource::Csi(Box::new(volume))));
    }
    let name = object.metadata.name.clone().unwrap_or_default();
    let made = crate::storage::is_own(&object);
    let source = crate::storage::source_of(&object).filter(|_| made);
    let spec = object.spec.unwrap_or_default();
    Content::Volume(match (spec.host_path, spec.local) {
        (Some(host), _) => {
            let kind = host.type_.unwrap_or_default();
            Ok(PersistentSource::HostPath { path: host.path, kind })
        }
        (None, Some(local)) => Ok(PersistentSource::Local { path: local.path, made, source }),
        (None, None) => Err(format!(
            "persistentvolume {name:?} is neither hostPath nor local nor of a CSI driver: other volume types are not supported"
        )),
    })
}

fn driver(object: CSIDriver) -> Content {
    Content::Driver(csi::wishes(&object))
}

fn attachment(object: VolumeAttachment) -> Content {
    Content::Attachment(csi::attachment(&object))
}

fn service_facts(service: &Service) -> Option<ServiceFacts> {
    let spec = service.spec.as_ref()?;
    let ip = spec.cluster_ip.clone().filter(|ip| !ip.is_empty() && ip != "None")?;
    let ports = spec.ports.iter().flatten().map(|p| ServicePort {
        name: p.name.clone().unwrap_or_default(),
        port: p.port,
        protocol: p.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
    });
    Some(ServiceFacts {
        name: service.metadata.name.clone().unwrap_or_default(),
        ip,
        ports: ports.collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Red when a pod is told that its claim is not bound between the last two steps of the binding.
    #[test]
    fn a_claim_is_bound_once_its_volume_is_named_for_good() {
        for (annotations, volume, phase, bound) in [
            (json!({}), json!(null), "Pending", None),
            (json!({}), json!("v"), "Pending", None),
            (json!({ BIND_COMPLETED: "yes" }), json!("v"), "Pending", Some("v")),
            (json!({}), json!("v"), "Bound", Some("v")),
            (json!({ BIND_COMPLETED: "yes" }), json!(null), "Bound", None),
        ] {
            let object = json!({ "metadata": { "annotations": annotations },
                "spec": { "volumeName": volume }, "status": { "phase": phase } });
            let found = claim(serde_json::from_value(object.clone()).unwrap());
            assert_eq!(found, Content::Claim(bound.map(str::to_owned)), "{object}");
        }
    }
}
