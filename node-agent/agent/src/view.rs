//! What the kubelet API shows of the pods.
//!
//! Knows: names, ids, attempts, the pods with their statuses. Refuses to know: machines. The loop writes, requests read.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::api::core::v1::Pod;
use leme_node_core::pod::{PodMachine, Slot};
use tokio::sync::watch;

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerView {
    /// Name.
    pub name: String,
    /// The running container.
    pub running: Option<String>,
    /// Attempt of the newest container; `None` if there was none.
    pub attempt: Option<u32>,
}

/// A pod.
#[derive(Clone, Debug)]
pub struct PodView {
    /// UID.
    pub uid: String,
    /// As in the API.
    pub pod: Arc<Pod>,
    /// The sandbox, while there is one with network.
    pub sandbox: Option<String>,
    /// Its containers.
    pub containers: Vec<ContainerView>,
}

type Map = HashMap<(String, String), PodView>;

/// All pods of the node.
#[derive(Clone, Debug)]
pub struct Views {
    map: Arc<RwLock<Map>>,
    version: Arc<watch::Sender<u64>>,
}

impl Default for Views {
    fn default() -> Self {
        Self { map: Arc::default(), version: Arc::new(watch::Sender::new(0)) }
    }
}

fn key(pod: &Pod) -> (String, String) {
    let meta = &pod.metadata;
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

impl Views {
    /// Shows a pod as it is now.
    pub fn set(&self, machine: &PodMachine) {
        let containers: Vec<ContainerView> = machine.slots().iter().map(container).collect();
        let pod = machine.pod();
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let sandbox = machine.sandbox().map(str::to_owned);
        let view = PodView { uid, pod: pod.clone(), sandbox, containers };
        let old = map.insert(key(pod), view.clone());
        drop(map);
        if old.is_none_or(|old| old.containers != view.containers) {
            self.version.send_modify(|v| *v += 1);
        }
    }

    /// Shows it no longer, unless another pod has taken its name.
    pub fn remove(&self, pod: &Pod) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let key = key(pod);
        if map.get(&key).is_some_and(|v| Some(&v.uid) == pod.metadata.uid.as_ref()) {
            map.remove(&key);
        }
        drop(map);
        self.version.send_modify(|v| *v += 1);
    }

    /// A pod by name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<PodView> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All pods.
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.values().map(|v| v.pod.clone()).collect()
    }

    /// Wakes up at each change of a container.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}

fn container(slot: &Slot) -> ContainerView {
    ContainerView {
        name: slot.name.clone(),
        running: slot.running().map(|r| r.id.clone()),
        attempt: slot.next.checked_sub(1),
    }
}
