//! Pods that room has been made for: they have no node yet, and count on the one that they are nominated for.
//!
//! Invariant: what the API says of a pod counts when it says something new; until then, what was decided here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::cluster::PodKey;
use crate::pod::PodInfo;

#[derive(Debug)]
struct Nominated {
    node: String,
    /// What the API said last.
    told: Option<String>,
    info: Arc<PodInfo>,
}

/// The nominated pods.
#[derive(Debug, Default)]
pub(crate) struct Nominations {
    pods: BTreeMap<PodKey, Nominated>,
    on: HashMap<String, Vec<PodKey>>,
}

impl Nominations {
    /// The node of a pod.
    pub(crate) fn node(&self, key: &PodKey) -> Option<&str> {
        self.pods.get(key).map(|one| one.node.as_str())
    }

    /// Nominates a pod for a node.
    pub(crate) fn set(&mut self, info: &Arc<PodInfo>, node: &str) {
        self.remove(&info.key);
        let told = info.nominated.clone();
        let nominated = Nominated { node: node.to_owned(), told, info: info.clone() };
        self.on.entry(node.to_owned()).or_default().push(info.key.clone());
        self.pods.insert(info.key.clone(), nominated);
    }

    /// Takes in what the API says of a pod that waits.
    pub(crate) fn told(&mut self, info: &Arc<PodInfo>) {
        match (self.pods.get_mut(&info.key), &info.nominated) {
            (Some(known), told) if known.told == *told => known.info = info.clone(),
            (_, Some(node)) => self.set(info, node),
            (_, None) => self.remove(&info.key),
        }
    }

    /// Forgets a pod.
    pub(crate) fn remove(&mut self, key: &PodKey) {
        let Some(old) = self.pods.remove(key) else { return };
        if let Some(keys) = self.on.get_mut(&old.node) {
            keys.retain(|one| one != key);
            if keys.is_empty() {
                self.on.remove(&old.node);
            }
        }
    }

    /// The pods that are nominated for a node.
    pub(crate) fn on(&self, node: &str) -> impl Iterator<Item = &Arc<PodInfo>> {
        let keys = self.on.get(node).into_iter().flatten();
        keys.filter_map(|key| self.pods.get(key)).map(|one| &one.info)
    }

    /// Whether any are nominated for a node.
    pub(crate) fn are_on(&self, node: &str) -> bool {
        !self.on.is_empty() && self.on.contains_key(node)
    }
}
