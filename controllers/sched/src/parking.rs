//! Pods that no node could take, and which of them a change of the cluster may help.
//!
//! Knows: what each of them asks for. Refuses to know: when it is looked at again (queue), who asks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::cluster::{Cluster, PodKey};
use crate::filter::VolumeFacts;
use crate::pod::PodInfo;

/// A pod that waits for the cluster to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Parked {
    /// What it asks for.
    pub info: PodInfo,
    /// What its volumes said.
    pub volumes: VolumeFacts,
    /// Its claims, by name in its namespace.
    pub claims: Vec<String>,
}

/// A change that may help pods that claim volumes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VolumeChange {
    /// A claim, by namespace and name.
    Claim(String, String),
    /// A volume, which any claim may be bound to.
    Volume,
}

type Place = (Reverse<i32>, u64);

/// The pods set aside, by priority and then in the order in which they came. Every pod is in it at most once.
#[derive(Debug, Default)]
pub struct Parking {
    pods: BTreeMap<Place, Parked>,
    places: HashMap<PodKey, Place>,
    next: u64,
}

impl Parking {
    /// Sets a pod aside.
    pub fn park(&mut self, parked: Parked) {
        let key = parked.info.key.clone();
        self.remove(&key);
        let place = (Reverse(parked.info.priority), self.next);
        self.next += 1;
        self.pods.insert(place, parked);
        self.places.insert(key, place);
    }

    /// Takes a pod back.
    pub fn remove(&mut self, key: &PodKey) -> Option<Parked> {
        self.pods.remove(&self.places.remove(key)?)
    }

    /// Whether the pod is set aside and asks for the same now.
    pub fn holds(&self, info: &PodInfo) -> bool {
        let place = self.places.get(&info.key);
        place.and_then(|place| self.pods.get(place)).is_some_and(|parked| parked.info == *info)
    }

    /// Takes back the pods that these nodes have room for, all together, with the node that each was counted on.
    pub fn take_fitting(
        &mut self,
        cluster: &Cluster,
        nodes: &BTreeSet<String>,
    ) -> Vec<(PodInfo, String)> {
        let mut room = cluster.room(nodes);
        let mut fitting = Vec::new();
        for parked in self.pods.values() {
            if room.is_empty() {
                break;
            }
            if let Some(node) = room.take(&parked.info, &parked.volumes) {
                fitting.push((parked.info.clone(), node));
            }
        }
        fitting.iter().for_each(|(info, _)| drop(self.remove(&info.key)));
        fitting
    }

    /// Takes back the pods whose volumes have changed.
    pub fn take_claiming(&mut self, changes: &BTreeSet<VolumeChange>) -> Vec<PodInfo> {
        let helped = |parked: &&Parked| {
            let (namespace, _) = &parked.info.key;
            let of = |claim: &String| VolumeChange::Claim(namespace.clone(), claim.clone());
            let volume = !parked.claims.is_empty() && changes.contains(&VolumeChange::Volume);
            volume || parked.claims.iter().any(|claim| changes.contains(&of(claim)))
        };
        let all: Vec<PodInfo> =
            self.pods.values().filter(helped).map(|parked| parked.info.clone()).collect();
        all.iter().for_each(|info| drop(self.remove(&info.key)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{Node, Pod};
    use serde_json::json;

    fn parked(name: &str, cpu: &str, priority: i32, claims: &[&str]) -> Parked {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "n", "uid": name},
            "spec": {"priority": priority,
                "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
        }))
        .unwrap();
        let blocked = (!claims.is_empty()).then(|| "unbound".to_owned());
        Parked {
            info: PodInfo::read(&pod),
            volumes: VolumeFacts { blocked, ..VolumeFacts::default() },
            claims: claims.iter().map(|claim| (*claim).to_owned()).collect(),
        }
    }

    fn cluster(nodes: &[(&str, &str)]) -> Cluster {
        let mut cluster = Cluster::default();
        for (name, cpu) in nodes {
            let node: Node = serde_json::from_value(json!({
                "metadata": {"name": name},
                "status": {"allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "10"}},
            }))
            .unwrap();
            cluster.set_node(name, Some(&node));
        }
        cluster
    }

    fn names(infos: Vec<PodInfo>) -> Vec<String> {
        infos.into_iter().map(|info| info.key.1).collect()
    }

    /// Red when every parked pod is taken back, as after any end of a pod.
    #[test]
    fn only_as_many_come_back_as_there_is_room_for() {
        let mut parking = Parking::default();
        for (name, cpu, priority) in
            [("a", "2", 0), ("b", "1", 0), ("c", "1", 5), ("d", "1", 0), ("e", "9", 9)]
        {
            parking.park(parked(name, cpu, priority, &[]));
        }
        parking.park(parked("v", "1", 9, &["data"]));
        let cluster = cluster(&[("x", "2"), ("y", "2"), ("z", "9")]);
        let changed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut take = |nodes: &[&str]| {
            let found = parking.take_fitting(&cluster, &changed(nodes));
            found
                .into_iter()
                .map(|(info, node)| format!("{}:{node}", info.key.1))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            take(&["x"]),
            ["c:x", "b:x"],
            "the greatest priority first, then what still fits"
        );
        assert_eq!(take(&["gone"]), [""; 0]);
        assert_eq!(take(&["x", "y"]), ["a:x", "d:y"]);
        assert_eq!(take(&["z"]), ["e:z"]);
        assert_eq!(
            take(&["x", "y", "z"]),
            [""; 0],
            "what waits for a volume is not helped by a node"
        );
    }

    #[test]
    fn a_volume_helps_those_that_claim_it() {
        let mut parking = Parking::default();
        parking.park(parked("a", "1", 0, &["data"]));
        parking.park(parked("b", "1", 0, &["logs"]));
        parking.park(parked("c", "1", 0, &[]));
        let claim =
            |name: &str| BTreeSet::from([VolumeChange::Claim("n".to_owned(), name.to_owned())]);
        assert!(parking.take_claiming(&claim("other")).is_empty());
        assert_eq!(names(parking.take_claiming(&claim("data"))), ["a"]);
        assert_eq!(names(parking.take_claiming(&BTreeSet::from([VolumeChange::Volume]))), ["b"]);
        let same = parked("c", "1", 0, &[]).info;
        assert!(parking.holds(&same));
        assert!(!parking.holds(&parked("c", "2", 0, &[]).info), "asks for something else now");
        parking.remove(&same.key);
        assert!(!parking.holds(&same));
    }
}
