//! Watches of what pods refer to: one per object, ended when no pod refers to it.
//!
//! Knows: which part of each kind is kept. Refuses to know: what it is used for.

use std::collections::BTreeMap;
use std::fmt::Debug;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolume, PersistentVolumeClaim, Secret, Service,
};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use leme_node_core::lookup::{Content, Key, Kind, PersistentSource, ServiceFacts, ServicePort};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::task::AbortOnDropHandle;

use crate::event::Event;

/// A watch; dropping it ends it.
pub type Watch = AbortOnDropHandle<()>;

/// Starts the watch of one key.
pub fn watch(client: &Client, key: Key, to: UnboundedSender<Event>) -> Watch {
    let client = client.clone();
    let task = async move {
        let namespace = key.namespace.clone();
        match key.kind {
            Kind::ConfigMap => {
                follow(Api::<ConfigMap>::namespaced(client, &namespace), key, to, config_map).await;
            }
            Kind::Secret => {
                follow(Api::<Secret>::namespaced(client, &namespace), key, to, secret).await;
            }
            Kind::Claim => {
                let api = Api::<PersistentVolumeClaim>::namespaced(client, &namespace);
                follow(api, key, to, claim).await;
            }
            Kind::Volume => {
                follow(Api::<PersistentVolume>::all(client), key, to, volume).await;
            }
            Kind::Services => services(Api::namespaced(client, &namespace), key, to).await,
        }
    };
    AbortOnDropHandle::new(tokio::spawn(task))
}

/// Follows one object by name.
async fn follow<K>(api: Api<K>, key: Key, to: UnboundedSender<Event>, keep: fn(K) -> Content)
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let selector = format!("metadata.name={}", key.name);
    let config = watcher::Config::default().fields(&selector);
    let mut stream = watcher(api, config).default_backoff().boxed();
    let mut found = false;
    while let Some(event) = stream.next().await {
        let content = match event {
            Ok(watcher::Event::Init) => {
                found = false;
                continue;
            }
            Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                found = true;
                Some(keep(object))
            }
            Ok(watcher::Event::Delete(_)) => None,
            Ok(watcher::Event::InitDone) if !found => None,
            Ok(watcher::Event::InitDone) => continue,
            Err(error) => {
                tracing::debug!(object = %key.describe(), %error, "watch failed, trying again");
                continue;
            }
        };
        if to.send(Event::Source(key.clone(), content)).is_err() {
            return;
        }
    }
}

/// Follows the services of a namespace, or the one that is named.
async fn services(api: Api<Service>, key: Key, to: UnboundedSender<Event>) {
    let mut config = watcher::Config::default();
    if !key.name.is_empty() {
        config = config.fields(&format!("metadata.name={}", key.name));
    }
    let mut stream = watcher(api, config).default_backoff().boxed();
    let mut known: BTreeMap<String, ServiceFacts> = BTreeMap::new();
    let mut listing = true;
    while let Some(event) = stream.next().await {
        match event {
            Ok(watcher::Event::Init) => {
                listing = true;
                known.clear();
            }
            Ok(watcher::Event::InitApply(service) | watcher::Event::Apply(service)) => {
                let name = service.metadata.name.clone().unwrap_or_default();
                match service_facts(&service) {
                    Some(facts) => known.insert(name, facts),
                    None => known.remove(&name),
                };
            }
            Ok(watcher::Event::Delete(service)) => {
                known.remove(service.metadata.name.as_deref().unwrap_or_default());
            }
            Ok(watcher::Event::InitDone) => listing = false,
            Err(error) => {
                tracing::debug!(namespace = %key.namespace, %error, "watch of services failed, trying again");
                continue;
            }
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
    let bound = object.status.and_then(|s| s.phase).is_some_and(|p| p == "Bound");
    let volume = object.spec.and_then(|s| s.volume_name).filter(|n| bound && !n.is_empty());
    Content::Claim(volume)
}

fn volume(object: PersistentVolume) -> Content {
    let name = object.metadata.name.clone().unwrap_or_default();
    let spec = object.spec.unwrap_or_default();
    Content::Volume(match (spec.host_path, spec.local) {
        (Some(source), _) => {
            Ok(PersistentSource { path: source.path, kind: source.type_.unwrap_or_default() })
        }
        (None, Some(source)) => {
            Ok(PersistentSource { path: source.path, kind: "Directory".to_owned() })
        }
        (None, None) => Err(format!(
            "persistentvolume {name:?} is neither hostPath nor local: other volume types are not supported"
        )),
    })
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
