//! A node whose runtime does at once what it is told: the pod machine of the node agent over a map of containers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, Pod, PodStatus};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use leme_kinds::Kind;
use leme_meta::local_path::{MANAGED_BY, REMOVED, ROOT};

use leme_node_core::pod::{Effect, Event, Observed, PodMachine};
use leme_node_core::probe::Outcome;
use leme_node_core::refuse::Policy;
use leme_plan::common::without_finalizer;
use leme_plan::snapshot::{BEING_DELETED, VolumeSnapshotContent};
use leme_plan::{ObjectRef, local_path, node, pods};
use leme_registry::{DeleteOptions, Target};
use serde_json::json;

use crate::cluster::Cluster;
use crate::container::{image_of, nanos, status};
use crate::kinds::by_kind;

const LEASES: &str = "kube-node-lease";
const RENEW: SignedDuration = SignedDuration::from_secs(10);

struct Local {
    machine: PodMachine,
    seen: String,
    /// Running containers: id to name, attempt and start.
    containers: BTreeMap<String, (String, u32, Timestamp)>,
}

/// A simulated node.
pub(crate) struct FakeNode {
    name: String,
    address: String,
    subnet: usize,
    alive: bool,
    renewed: Option<Timestamp>,
    local: BTreeMap<String, Local>,
    ids: u32,
    /// Pods whose containers end a second after their start, by the beginning of their names.
    pub(crate) crashing: Vec<String>,
    /// Pods whose probes fail, by the beginning of their names.
    pub(crate) unready: Vec<String>,
}

fn row<K: k8s_openapi::Resource>() -> &'static Kind {
    match by_kind(K::GROUP, K::VERSION, K::KIND) {
        Some(kind) => kind,
        None => panic!("no kind {} in the table", K::KIND),
    }
}

impl FakeNode {
    pub(crate) fn new(name: &str, number: usize) -> FakeNode {
        FakeNode {
            name: name.to_owned(),
            address: format!("192.168.0.{number}"),
            subnet: number,
            alive: true,
            renewed: None,
            local: BTreeMap::new(),
            ids: 0,
            crashing: Vec::new(),
            unready: Vec::new(),
        }
    }

    /// Power off: everything on the node is lost and nobody is told.
    pub(crate) fn kill(&mut self) {
        self.alive = false;
        self.local.clear();
    }

    /// Power on.
    pub(crate) fn start(&mut self) {
        self.alive = true;
        self.renewed = None;
    }

    /// Everything the node does now.
    pub(crate) fn run(&mut self, cluster: &mut Cluster) {
        if !self.alive || cluster.api.typed_get::<Node>("", &self.name).is_none() {
            return;
        }
        self.heartbeat(cluster);
        self.wipe(cluster);
        self.keep_snapshots(cluster);
        self.attach(cluster);
        let now = cluster.api.now;
        let all = cluster.api.typed::<Pod>(None);
        let mine: Vec<Arc<Pod>> =
            all.into_iter().filter(|pod| pods::node_name(pod) == self.name).collect();
        let uids: Vec<String> =
            mine.iter().map(|pod| pod.metadata.uid.clone().unwrap_or_default()).collect();
        for (uid, pod) in uids.iter().zip(&mine) {
            let version = pod.metadata.resource_version.clone().unwrap_or_default();
            let local = self.local.entry(uid.clone()).or_insert_with(|| Local {
                machine: PodMachine::new(
                    pod.clone(),
                    &Observed::default(),
                    &Policy::default(),
                    now,
                ),
                seen: String::new(),
                containers: BTreeMap::new(),
            });
            if local.seen != version {
                local.seen = version;
                self.event(cluster, uid, Event::Spec(pod.clone()));
            }
        }
        let known: Vec<String> = self.local.keys().cloned().collect();
        for uid in known {
            if !uids.contains(&uid) {
                self.event(cluster, &uid, Event::Gone);
                continue;
            }
            self.crash_due(cluster, &uid);
            let due = self.local.get(&uid).and_then(|local| local.machine.next_wake());
            if due.is_some_and(|due| due <= now) {
                self.event(cluster, &uid, Event::Wake);
            }
            self.report(cluster, &uid);
        }
    }

    /// Says which released volumes it has wiped, if it holds volumes.
    fn wipe(&mut self, cluster: &mut Cluster) {
        let Some(node) = cluster.api.typed_get::<Node>("", &self.name) else { return };
        let said = |name: &str| node.metadata.annotations.as_ref().and_then(|all| all.get(name));
        if said(ROOT).is_none() {
            return;
        }
        let volumes = cluster.api.typed::<PersistentVolume>(None);
        let released = volumes.iter().filter(|volume| {
            let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
            local_path::node_of(volume) == Some(&self.name) && phase == Some("Released")
        });
        let releases: Vec<String> = released.map(|one| local_path::release_of(one)).collect();
        let wiped = releases.join(",");
        if said(REMOVED).map_or("", String::as_str) != wiped {
            let changes = json!({ "metadata": { "annotations": { REMOVED: wiped } } });
            let name = self.name.clone();
            cluster.must(|api| api.patch(row::<Node>(), "", &name, Target::Main, &changes));
        }
    }

    /// Takes the snapshots of its volumes, and lets go of those whose snapshots go.
    fn keep_snapshots(&mut self, cluster: &mut Cluster) {
        let row = row::<VolumeSnapshotContent>();
        for content in cluster.api.typed::<VolumeSnapshotContent>(None) {
            let (meta, name) = (&content.metadata, content.metadata.name.clone());
            let label = meta.labels.as_ref().and_then(|all| all.get(MANAGED_BY));
            let Some(name) = name.filter(|_| label == Some(&self.name)) else { continue };
            let marked =
                meta.annotations.as_ref().is_some_and(|all| all.contains_key(BEING_DELETED));
            let taken =
                content.status.as_ref().is_some_and(|status| status.ready_to_use == Some(true));
            let (part, changes) = match meta.deletion_timestamp.is_some() {
                true if marked => {
                    (Target::Main, without_finalizer(meta, leme_plan::snapshot::CONTENT))
                }
                false if !taken => {
                    let nanos = nanos(cluster.api.now);
                    let status = json!({ "readyToUse": true, "snapshotHandle": name,
                        "restoreSize": 1_i64 << 30, "creationTime": nanos });
                    (Target::Status, json!({ "status": status }))
                }
                _ => continue,
            };
            cluster.must(|api| api.patch(row, "", &name, part, &changes));
        }
    }

    /// What attaches volumes to it does so at once.
    fn attach(&mut self, cluster: &mut Cluster) {
        for one in cluster.api.typed::<VolumeAttachment>(None) {
            let attached = one.status.as_ref().is_some_and(|status| status.attached);
            let Some(name) = one.metadata.name.clone().filter(|_| !attached) else { continue };
            if one.spec.node_name == self.name {
                let row = row::<VolumeAttachment>();
                let changes = json!({ "status": { "attached": true } });
                cluster.must(|api| api.patch(row, "", &name, Target::Status, &changes));
            }
        }
    }

    fn heartbeat(&mut self, cluster: &mut Cluster) {
        let now = cluster.api.now;
        if self.renewed.is_some_and(|last| now.duration_since(last) < RENEW) {
            return;
        }
        self.renewed = Some(now);
        let spec = json!({
            "holderIdentity": self.name, "leaseDurationSeconds": 40,
            "renewTime": leme_meta::time::micros(now),
        });
        let name = self.name.clone();
        if cluster.api.typed_get::<Lease>(LEASES, &name).is_some() {
            let changes = json!({ "spec": spec });
            cluster.must(|api| api.patch(row::<Lease>(), LEASES, &name, Target::Main, &changes));
        } else {
            let lease = json!({ "metadata": { "name": name, "namespace": LEASES }, "spec": spec });
            cluster.must(|api| api.create(row::<Lease>(), LEASES, lease));
        }
        let ready = cluster.api.typed_get::<Node>("", &name);
        if ready.is_some_and(|found| node::ready_status(&found) != "True") {
            let time = leme_plan::common::time_text(now);
            let good = |kind: &str, status: &str, reason: &str| {
                json!({ "type": kind, "status": status, "reason": reason, "message": "",
                    "lastHeartbeatTime": time, "lastTransitionTime": time })
            };
            let conditions = [
                good("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                good("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                good("PIDPressure", "False", "KubeletHasSufficientPID"),
                good("Ready", "True", "KubeletReady"),
            ];
            let addresses = json!([{ "type": "InternalIP", "address": self.address }]);
            let changes = json!({ "status": { "conditions": conditions, "addresses": addresses } });
            cluster.must(|api| api.patch(row::<Node>(), "", &name, Target::Status, &changes));
        }
    }

    /// Ends the running containers of pods whose names begin so; how many.
    pub(crate) fn crash(&mut self, cluster: &mut Cluster, prefix: &str, code: i32) -> usize {
        let mut ended = 0;
        let uids: Vec<String> = self.local.keys().cloned().collect();
        for uid in uids {
            let Some(local) = self.local.get(&uid) else { continue };
            if !local.machine.pod().metadata.name.as_deref().unwrap_or("").starts_with(prefix) {
                continue;
            }
            let ids: Vec<String> = local.containers.keys().cloned().collect();
            for id in ids {
                ended += 1;
                self.exit(cluster, &uid, &id, code);
            }
            self.report(cluster, &uid);
        }
        ended
    }

    fn crash_due(&mut self, cluster: &mut Cluster, uid: &str) {
        let now = cluster.api.now;
        let Some(local) = self.local.get(uid) else { return };
        let name = local.machine.pod().metadata.name.as_deref().unwrap_or("");
        if !self.crashing.iter().any(|prefix| name.starts_with(prefix)) {
            return;
        }
        let old = local.containers.iter().filter(|(_, (.., started))| *started < now);
        let ids: Vec<String> = old.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.exit(cluster, uid, &id, 1);
        }
    }

    fn exit(&mut self, cluster: &mut Cluster, uid: &str, id: &str, code: i32) {
        let now = cluster.api.now;
        let Some(local) = self.local.get_mut(uid) else { return };
        let Some((name, attempt, started)) = local.containers.remove(id) else { return };
        let image = image_of(local.machine.pod(), &name);
        let status = status(id, (&name, &image), attempt, started, Some((now, code)));
        self.event(cluster, uid, Event::Exited(status));
    }

    /// Takes an event in and does what follows from it, and from that, and so on.
    fn event(&mut self, cluster: &mut Cluster, uid: &str, event: Event) {
        let now = cluster.api.now;
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let Some(local) = self.local.get_mut(uid) else { return };
            let pod = local.machine.pod().clone();
            for effect in local.machine.step(event, now) {
                match effect {
                    Effect::DeleteFromApi => {
                        self.report(cluster, uid);
                        delete(cluster, &pod);
                    }
                    Effect::Forget => {
                        self.local.remove(uid);
                    }
                    Effect::Emit(notice) => {
                        let about = ObjectRef::to(pod.as_ref());
                        cluster.note(&about, notice.warning, notice.reason, &notice.message);
                    }
                    other => events.extend(self.carry_out(uid, other, now)),
                }
            }
        }
    }

    /// The answer to an effect on the runtime.
    fn carry_out(&mut self, uid: &str, effect: Effect, now: Timestamp) -> Option<Event> {
        self.ids += 1;
        let number = self.ids;
        let local = self.local.get_mut(uid)?;
        Some(match effect {
            Effect::PrepareVolumes => Event::Volumes(Ok(())),
            Effect::RunSandbox { attempt } => {
                let address = format!("10.0.{}.{}", self.subnet, number % 250 + 1);
                Event::Sandbox(Ok((format!("sandbox-{number}-{attempt}"), address)))
            }
            Effect::StartContainer { name, attempt, .. } => {
                let id = format!("{name}-{number}");
                let image = image_of(local.machine.pod(), &name);
                local.containers.insert(id.clone(), (name.clone(), attempt, now));
                Event::Started {
                    result: Ok(status(&id, (&name, &image), attempt, now, None)),
                    name,
                }
            }
            Effect::StopContainer { id, .. } => {
                let (name, attempt, started) = local.containers.remove(&id)?;
                let image = image_of(local.machine.pod(), &name);
                Event::Exited(status(&id, (&name, &image), attempt, started, Some((now, 0))))
            }
            Effect::Probe { name, id, kind, .. } => {
                let pod = local.machine.pod().metadata.name.as_deref().unwrap_or("");
                let fails = self.unready.iter().any(|prefix| pod.starts_with(prefix));
                let outcome = match fails {
                    true => Outcome::Failure("HTTP probe failed with statuscode: 503".to_owned()),
                    false => Outcome::Success,
                };
                Event::Probed { name, id, kind, outcome }
            }
            Effect::TearDown { .. } => Event::TornDown(Ok(())),
            _ => return None,
        })
    }

    fn report(&mut self, cluster: &mut Cluster, uid: &str) {
        let now = cluster.api.now;
        let Some(local) = self.local.get_mut(uid) else { return };
        let fresh = local.machine.status(&self.address, now);
        let meta = local.machine.pod().metadata.clone();
        let (space, name) = (meta.namespace.unwrap_or_default(), meta.name.unwrap_or_default());
        let Some(stored) = cluster.api.get(row::<Pod>(), &space, &name) else { return };
        if stored["metadata"]["uid"] != uid {
            return;
        }
        // Times that nobody has set are null there.
        let known: PodStatus = serde_json::from_value(stored["status"].clone()).unwrap_or_default();
        if fresh != known {
            let mut body = stored.clone();
            body["status"] = serde_json::to_value(fresh).unwrap_or_default();
            cluster.must(|api| api.update(row::<Pod>(), &space, &name, Target::Status, body));
        }
    }
}

fn delete(cluster: &mut Cluster, pod: &Pod) {
    let (space, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
    let options = DeleteOptions {
        grace_period_seconds: Some(0),
        uid: pod.metadata.uid.clone(),
        ..DeleteOptions::default()
    };
    // Gone already is as good.
    let _ = cluster.api.delete(row::<Pod>(), space.unwrap_or(""), name.unwrap_or(""), &options);
}
