//! What a pod's volumes ask of nodes.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::pod::PodInfo;
use crate::testing::{cluster, merge, node, place, pod};
use crate::volumes::{Promise, Storage, VolumeFacts};

#[derive(Default)]
struct Fake {
    claims: Vec<Arc<PersistentVolumeClaim>>,
    volumes: Vec<Arc<PersistentVolume>>,
    classes: Vec<Arc<StorageClass>>,
}

impl Storage for Fake {
    fn claim(&self, _: &str, name: &str) -> Option<Arc<PersistentVolumeClaim>> {
        self.claims.iter().find(|one| one.metadata.name.as_deref() == Some(name)).cloned()
    }

    fn volume(&self, name: &str) -> Option<Arc<PersistentVolume>> {
        self.volumes.iter().find(|one| one.metadata.name.as_deref() == Some(name)).cloned()
    }

    fn class(&self, name: &str) -> Option<Arc<StorageClass>> {
        self.classes.iter().find(|one| one.metadata.name.as_deref() == Some(name)).cloned()
    }

    fn volumes(&self) -> Vec<Arc<PersistentVolume>> {
        self.volumes.clone()
    }
}

impl Fake {
    fn claim(mut self, name: &str, extra: Value) -> Fake {
        let mut claim = json!({"metadata": {"name": name, "namespace": "n"},
            "spec": {"storageClassName": "late", "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}}}});
        merge(&mut claim, extra);
        self.claims.push(Arc::new(serde_json::from_value(claim).unwrap()));
        self
    }

    fn bound(self, name: &str, volume: &str) -> Fake {
        self.claim(name, json!({"spec": {"volumeName": volume}, "status": {"phase": "Bound"}}))
    }

    /// A free volume of so much that only this node reaches.
    fn volume(mut self, name: &str, node: &str, size: &str, extra: Value) -> Fake {
        let mut volume = json!({"metadata": {"name": name}, "status": {"phase": "Available"},
            "spec": {"storageClassName": "late", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": size},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}}}});
        merge(&mut volume, extra);
        self.volumes.push(Arc::new(serde_json::from_value(volume).unwrap()));
        self
    }

    fn class(mut self, mode: &str, provisioner: &str) -> Fake {
        let class = json!({"metadata": {"name": "late"}, "provisioner": provisioner, "volumeBindingMode": mode});
        self.classes.push(Arc::new(serde_json::from_value(class).unwrap()));
        self
    }
}

fn claiming(claims: &[&str]) -> Value {
    let volumes: Vec<Value> = claims
        .iter()
        .map(|claim| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}}))
        .collect();
    json!({"spec": {"volumes": volumes}})
}

fn two() -> Cluster {
    cluster(&[node("a", "9", json!({})), node("b", "9", json!({}))])
}

/// The node, or the reasons.
fn check(cluster: &mut Cluster, storage: &Fake, claims: &[&str], expected: &str) -> VolumeFacts {
    let pod = pod("p", claiming(claims));
    let facts = VolumeFacts::of(&pod, storage);
    let got = cluster.schedule(&PodInfo::read(&pod), &facts);
    cluster.forget(&("n".to_owned(), "p".to_owned()));
    let got = got.unwrap_or_else(|why| {
        why.to_string().trim_start_matches("0/2 nodes are available: ").to_owned()
    });
    assert_eq!(got, expected);
    facts
}

#[test]
fn bound_claims_say_where() {
    let storage = Fake::default().bound("data", "v").bound("lost", "none");
    let storage = storage.volume("v", "b", "1Gi", json!({}));
    check(&mut two(), &storage, &["data"], "b");
    check(&mut two(), &storage, &["none"], "persistentvolumeclaim \"none\" not found. not found");
    check(
        &mut two(),
        &storage,
        &["lost"],
        "2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s).",
    );
    let elsewhere = Fake::default().bound("data", "v").volume("v", "c", "1Gi", json!({}));
    check(
        &mut two(),
        &elsewhere,
        &["data"],
        "2 node(s) didn't match PersistentVolume's node affinity.",
    );
}

#[test]
fn claims_that_wait_for_a_pod_are_promised_a_volume() {
    let storage = || {
        Fake::default()
            .claim("data", json!({}))
            .claim("logs", json!({}))
            .volume("small", "b", "1Gi", json!({}))
            .volume("large", "b", "9Gi", json!({}))
            .volume("other", "a", "1Gi", json!({}))
    };
    let unbound = "pod has unbound immediate PersistentVolumeClaims. not found";
    check(&mut two(), &storage(), &["data"], unbound);
    check(&mut two(), &storage().class("Immediate", "x"), &["data"], unbound);
    let late = storage().class("WaitForFirstConsumer", "kubernetes.io/no-provisioner");
    let facts = check(&mut two(), &late, &["data", "logs"], "b");
    let labels = [("kubernetes.io/hostname".to_owned(), "b".to_owned())].into();
    let bind =
        |claim: &str, volume: &str| Promise::Bind { claim: claim.into(), volume: volume.into() };
    assert_eq!(
        facts.promises("b", Some(&labels)),
        Some(vec![bind("data", "small"), bind("logs", "large")])
    );
    let empty = Fake::default()
        .claim("data", json!({}))
        .class("WaitForFirstConsumer", "kubernetes.io/no-provisioner");
    check(
        &mut two(),
        &empty,
        &["data"],
        "2 node(s) didn't find available persistent volumes to bind.",
    );
    let made = Fake::default().claim("data", json!({})).class("WaitForFirstConsumer", "maker");
    let facts = check(&mut two(), &made, &["data"], "a");
    assert_eq!(facts.promises("a", None), Some(vec![Promise::Make { claim: "data".into() }]));
}

/// Red when a pod's room is given away while its volume is made.
#[test]
fn room_is_kept_while_a_volume_is_made() {
    let storage = Fake::default().claim("data", json!({})).class("WaitForFirstConsumer", "maker");
    let mut one = cluster(&[node("a", "1", json!({}))]);
    let waiting = pod("p", claiming(&["data"]));
    let (info, facts) = (PodInfo::read(&waiting), VolumeFacts::of(&waiting, &storage));
    assert_eq!(one.schedule(&info, &facts).unwrap(), "a");
    let promises = one.promises(&info, &facts, "a");
    let plan = crate::promised(&waiting, "a", &promises, &storage);
    assert_eq!(plan.actions.len(), 1);
    assert!(!one.is_placed(&info.key, "p"));
    let other = PodInfo::read(&pod("q", json!({})));
    assert!(one.schedule(&other, &VolumeFacts::default()).is_err());
    assert_eq!(one.schedule(&info, &VolumeFacts::default()).unwrap(), "a");
    assert!(one.promises(&info, &VolumeFacts::default(), "a").is_empty());
}

#[test]
fn a_claim_that_is_promised_to_a_node_stays_there() {
    let annotated =
        json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "b"}}});
    let storage = Fake::default().claim("data", annotated).class("WaitForFirstConsumer", "maker");
    check(&mut two(), &storage, &["data"], "b");
}

#[test]
fn zones() {
    let zoned = |name: &str, zone: &str| {
        node(name, "9", json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}))
    };
    let reached = |zones: &str| {
        let mut storage = Fake::default().bound("data", "v").volume(
            "v",
            "",
            "1Gi",
            json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zones}}}),
        );
        let volume = Arc::make_mut(&mut storage.volumes[0]);
        volume.spec.as_mut().unwrap().node_affinity = None;
        storage
    };
    let all = || cluster(&[zoned("a", "x"), zoned("b", "y")]);
    check(&mut all(), &reached("y"), &["data"], "b");
    check(&mut all(), &reached("w__y"), &["data"], "b");
    check(&mut all(), &reached("z"), &["data"], "2 node(s) had no available volume zone.");
    check(&mut two(), &reached("z"), &["data"], "a");
}

#[test]
fn claims_that_one_pod_alone_uses() {
    let storage = |mode: &str| {
        let mut storage = Fake::default().bound("data", "v").volume("v", "a", "1Gi", json!({}));
        let claim = Arc::make_mut(&mut storage.claims[0]);
        claim.spec.as_mut().unwrap().access_modes = Some(vec![mode.to_owned()]);
        storage
    };
    let mut all = two();
    place(&mut all, "user", "a", claiming(&["data"]));
    check(&mut all, &storage("ReadWriteOnce"), &["data"], "a");
    check(
        &mut all,
        &storage("ReadWriteOncePod"),
        &["data"],
        "1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode, \
            1 node(s) didn't match PersistentVolume's node affinity.",
    );
}

#[test]
fn no_more_volumes_than_a_node_can_attach() {
    let storage = Fake::default().bound("one", "v").bound("two", "w");
    let free = |mut storage: Fake, name: &str| {
        storage = storage.volume(name, "", "1Gi", json!({}));
        Arc::make_mut(storage.volumes.last_mut().unwrap()).spec.as_mut().unwrap().node_affinity =
            None;
        storage
    };
    let storage = free(free(storage, "v"), "w");
    let mut all = two();
    for (claim, handle) in [("one", "1"), ("two", "2")] {
        all.set_attachment(("n".into(), claim.into()), Some(("csi.test".into(), handle.into())));
    }
    all.set_volume_limits("a", [("csi.test".to_owned(), 1)].into());
    all.set_volume_limits("b", [("csi.test".to_owned(), 0)].into());
    check(&mut all, &storage, &["one"], "a");
    place(&mut all, "user", "a", claiming(&["one"]));
    check(&mut all, &storage, &["one"], "a");
    check(&mut all, &storage, &["two"], "2 node(s) exceed max volume count.");
    all.set_volume_limits("b", [("other.test".to_owned(), 0)].into());
    check(&mut all, &storage, &["two"], "b");
}

#[test]
fn disks_that_cannot_be_shared() {
    let disk = |source: Value| json!({"spec": {"volumes": [merged(json!({"name": "d"}), source)]}});
    let gce = |read_only: bool| {
        disk(json!({"gcePersistentDisk": {"pdName": "x", "readOnly": read_only}}))
    };
    let aws = || disk(json!({"awsElasticBlockStore": {"volumeID": "x", "readOnly": true}}));
    let check = |there: Value, comes: Value, expected: &str| {
        let mut one = cluster(&[node("a", "9", json!({}))]);
        place(&mut one, "user", "a", there);
        let got = one.schedule(&PodInfo::read(&pod("p", comes)), &VolumeFacts::default());
        assert_eq!(got.unwrap_or_else(|why| why.to_string()), expected);
    };
    const NOT: &str = "0/1 nodes are available: 1 node(s) had no available disk.";
    check(gce(true), gce(true), "a");
    check(gce(true), gce(false), NOT);
    check(aws(), aws(), NOT);
    check(aws(), gce(false), "a");
}

fn merged(mut one: Value, extra: Value) -> Value {
    merge(&mut one, extra);
    one
}
