//! Pods that no node could take, and which of them a change of the cluster may help.
//!
//! Knows: what each of them asks for. Refuses to know: when it is looked at again (queue), who asks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::case::Case;
use crate::cluster::{Cluster, PodKey};
use crate::node::NodeState;
use crate::pod::PodInfo;
use crate::selector::Namespaces;
use crate::volumes::VolumeFacts;

/// A pod that waits for the cluster to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Parked {
    /// What it asks for.
    pub info: PodInfo,
    /// What its volumes said.
    pub volumes: VolumeFacts,
}

/// A change that may help pods that claim volumes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VolumeChange {
    /// A claim, by namespace and name.
    Claim(String, String),
    /// A volume, or what decides about volumes, which any claim may be bound to.
    Volume,
}

type Place = (Reverse<i32>, u64);

/// The pods set aside, by priority and then in the order in which they came. Every pod is in it at most once.
#[derive(Debug, Default)]
pub struct Parking {
    pods: BTreeMap<Place, Parked>,
    places: HashMap<PodKey, Place>,
    /// Those that hang on where other pods are.
    social: BTreeSet<Place>,
    next: u64,
}

impl Parking {
    /// Sets a pod aside.
    pub fn park(&mut self, parked: Parked) {
        let key = parked.info.key.clone();
        self.remove(&key);
        let place = (Reverse(parked.info.priority), self.next);
        self.next += 1;
        if parked.info.is_social() {
            self.social.insert(place);
        }
        self.pods.insert(place, parked);
        self.places.insert(key, place);
    }

    /// Takes a pod back.
    pub fn remove(&mut self, key: &PodKey) -> Option<Parked> {
        let place = self.places.remove(key)?;
        self.social.remove(&place);
        self.pods.remove(&place)
    }

    /// Whether no pod is set aside.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// Whether the pod of this name is set aside.
    pub fn has(&self, key: &PodKey) -> bool {
        self.places.contains_key(key)
    }

    /// Whether the pod is set aside and asks for the same now.
    pub fn holds(&self, info: &PodInfo) -> bool {
        let place = self.places.get(&info.key);
        place.and_then(|place| self.pods.get(place)).is_some_and(|parked| parked.info.asks_as(info))
    }

    /// Takes back the pods that these nodes can take, all together, with the node that each was counted on.
    pub fn take_fitting(
        &mut self,
        cluster: &mut Cluster,
        nodes: &BTreeSet<String>,
    ) -> Vec<(PodInfo, String)> {
        let found = nodes.iter().filter_map(|name| cluster.by_name.get(name).copied());
        let existing = found.map(|index| (index, &cluster.nodes[index]));
        let mut room: Vec<(usize, NodeState)> = existing
            .filter(|(_, node)| node.exists)
            .map(|(index, node)| (index, node.clone()))
            .collect();
        let mut fitting = Vec::new();
        for parked in self.pods.values() {
            if room.is_empty() {
                break;
            }
            if let Some(node) = take(&mut room, parked, cluster) {
                fitting.push((parked.info.clone(), node));
            }
        }
        fitting.iter().for_each(|(info, _)| drop(self.remove(&info.key)));
        fitting
    }

    /// Takes back the pods whose volumes have changed.
    pub fn take_claiming(&mut self, changes: &BTreeSet<VolumeChange>) -> Vec<PodInfo> {
        let helped = |info: &PodInfo| {
            let of = |claim: &String| VolumeChange::Claim(info.key.0.clone(), claim.clone());
            let volume = !info.claims.is_empty() && changes.contains(&VolumeChange::Volume);
            volume || info.claims.iter().any(|claim| changes.contains(&of(claim)))
        };
        self.take(|parked| helped(&parked.info))
    }

    /// Takes back the pods to which it matters that these pods are not placed any more, or that those are now.
    pub fn take_related(
        &mut self,
        cluster: &Cluster,
        gone: &[Arc<PodInfo>],
        come: &[Arc<PodInfo>],
    ) -> Vec<PodInfo> {
        let all = &cluster.namespaces;
        let matters = |info: &PodInfo| {
            gone.iter().any(|other| going_helps(info, other, all))
                || come.iter().any(|other| coming_helps(info, other, all))
        };
        // Another's terms may keep off a pod that has none.
        if gone.iter().any(|other| !other.apart.is_empty()) {
            return self.take(|parked| matters(&parked.info));
        }
        let places: Vec<Place> = self.social.iter().copied().collect();
        self.take_of(places, |parked| matters(&parked.info))
    }

    /// Takes back the pods that hang on where other pods are: nodes or namespaces have changed.
    pub fn take_social(&mut self) -> Vec<PodInfo> {
        let places: Vec<Place> = self.social.iter().copied().collect();
        self.take_of(places, |_| true)
    }

    fn take(&mut self, helped: impl Fn(&Parked) -> bool) -> Vec<PodInfo> {
        let places: Vec<Place> = self.pods.keys().copied().collect();
        self.take_of(places, helped)
    }

    fn take_of(&mut self, places: Vec<Place>, helped: impl Fn(&Parked) -> bool) -> Vec<PodInfo> {
        let parked = places.iter().filter_map(|place| self.pods.get(place));
        let all: Vec<PodInfo> =
            parked.filter(|parked| helped(parked)).map(|parked| parked.info.clone()).collect();
        all.iter().for_each(|info| drop(self.remove(&info.key)));
        all
    }
}

/// Takes a pod in, if one of the nodes can have it; gives that node's name.
fn take(room: &mut [(usize, NodeState)], parked: &Parked, cluster: &mut Cluster) -> Option<String> {
    let info = &parked.info;
    if parked.volumes.blocked.is_some()
        || !room.iter().any(|(_, node)| crate::filter::has_room(node, info))
    {
        return None;
    }
    let case = Case::new(info, &parked.volumes, &mut cluster.ground());
    let (_, node) = room.iter_mut().find(|(index, node)| {
        crate::filter::has_room(node, info) && cluster.refuses_as(node, *index, &case).is_none()
    })?;
    node.add(&Arc::new(info.clone()));
    Some(node.name.clone())
}

/// Whether a pod may have a node now that another has gone.
fn going_helps(info: &PodInfo, other: &PodInfo, all: &Namespaces) -> bool {
    let (mine, theirs) = (&info.class, &other.class);
    let is = |who: &crate::selector::Who| who.is(&theirs.namespace, &theirs.labels, all);
    info.apart.iter().any(|term| is(&term.who))
        || info.spread.iter().any(|spread| spread.hard && is(&spread.who))
        || other.apart.iter().any(|term| term.who.is(&mine.namespace, &mine.labels, all))
}

/// Whether a pod may have a node now that another has one.
fn coming_helps(info: &PodInfo, other: &PodInfo, all: &Namespaces) -> bool {
    let theirs = &other.class;
    let is = |who: &crate::selector::Who| who.is(&theirs.namespace, &theirs.labels, all);
    info.near.iter().any(|term| is(&term.who))
        || info.spread.iter().any(|spread| spread.hard && is(&spread.who))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{Node, Pod};
    use serde_json::{Value, json};

    fn parked(name: &str, cpu: &str, priority: i32, claims: &[&str]) -> Parked {
        let volumes: Vec<Value> = claims
            .iter()
            .map(|claim| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}}))
            .collect();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "n", "uid": name},
            "spec": {"priority": priority, "volumes": volumes,
                "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
        }))
        .unwrap();
        let blocked = (!claims.is_empty()).then(|| "unbound".to_owned());
        Parked {
            info: PodInfo::read(&pod),
            volumes: VolumeFacts { blocked, ..VolumeFacts::default() },
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
        let mut cluster = cluster(&[("x", "2"), ("y", "2"), ("z", "9")]);
        let changed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut take = |nodes: &[&str]| {
            let found = parking.take_fitting(&mut cluster, &changed(nodes));
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

    fn pod(name: &str, app: &str, affinity: Value) -> Arc<PodInfo> {
        Arc::new(PodInfo::read(
            &serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"app": app}},
                "spec": {"containers": [], "affinity": affinity},
            }))
            .unwrap(),
        ))
    }

    /// Red when pods that hang on others are taken back by whatever pod comes or goes.
    #[test]
    fn only_related_pods_come_back() {
        let term = |app: &str| {
            json!({"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": app}}}]})
        };
        let near = pod("near", "x", json!({"podAffinity": term("db")}));
        let apart = pod("apart", "x", json!({"podAntiAffinity": term("web")}));
        let plain = pod("plain", "plain", Value::Null);
        let (db, web, other) = (
            pod("db", "db", Value::Null),
            pod("web", "web", Value::Null),
            pod("other", "other", Value::Null),
        );
        let keeps_off = pod("keeps", "other", json!({"podAntiAffinity": term("plain")}));
        let check = |gone: &[&Arc<PodInfo>], come: &[&Arc<PodInfo>], expected: &[&str]| {
            let mut parking = Parking::default();
            for info in [&near, &apart, &plain] {
                let info = (**info).clone();
                parking.park(Parked { info, volumes: VolumeFacts::default() });
            }
            let all =
                |list: &[&Arc<PodInfo>]| list.iter().map(|one| (*one).clone()).collect::<Vec<_>>();
            let taken = parking.take_related(&Cluster::default(), &all(gone), &all(come));
            assert_eq!(names(taken), expected);
        };
        check(&[&other, &db], &[&other, &web], &[]);
        check(&[], &[&db], &["near"]);
        check(&[&web], &[], &["apart"]);
        check(&[&keeps_off], &[], &["plain"]);
    }
}
