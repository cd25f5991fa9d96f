//! What each plan gets to see, and in which order plans run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Service,
    ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use leme_kinds::{builtin, by_kind};
use leme_meta::gvk::split_api_version;
use leme_plan::gc::{Dependent, Owner};
use leme_plan::{
    ObjectRef, endpoints, endpointslice, gc, mirroring, namespace, node, pod_gc, pods,
    service_account, volume,
};
use serde_json::Value;

use crate::cluster::Cluster;

pub(crate) fn place(meta: &ObjectMeta) -> (String, String) {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

fn meta(object: &Value) -> ObjectMeta {
    serde_json::from_value(object["metadata"].clone()).unwrap_or_default()
}

impl Cluster {
    /// Every controller, every key, once.
    pub(crate) fn controllers(&mut self) {
        self.namespaces();
        self.replication();
        self.deployments();
        self.configs();
        self.replica_sets();
        self.daemon_sets();
        self.stateful_sets();
        self.workloads();
        self.services();
        self.volumes();
        self.node_life();
        self.garbage();
    }

    fn namespaces(&mut self) {
        for found in self.api.typed::<Namespace>(None) {
            let name = found.metadata.name.clone().unwrap_or_default();
            let seen = service_account::Observed {
                namespace: Some(found.clone()),
                has_default: self.api.typed_get::<ServiceAccount>(&name, "default").is_some(),
                root_ca: None,
                published: None,
            };
            let plan = service_account::plan(&seen, self.api.now);
            self.run_plan("accounts", &name, &plan);
            if !namespace::needs_content(&found) {
                continue;
            }
            let rows = builtin().filter(|kind| kind.namespaced() && kind.is_kept());
            let content = rows.map(|kind| namespace::Content {
                api_version: kind.api_version(),
                kind: kind.kind.to_string(),
                resource: format!("{}.{}", kind.plural, kind.group),
                objects: Ok(self.api.list(kind, Some(&name)).into_iter().map(meta).collect()),
            });
            let seen = namespace::Observed {
                namespace: Some(found),
                content: content.collect(),
                unread: BTreeMap::new(),
            };
            let plan = namespace::plan(&seen, self.api.now);
            self.run_plan("namespaces", &name, &plan);
        }
    }

    fn services(&mut self) {
        let nodes: BTreeMap<_, _> = self
            .api
            .typed::<Node>(None)
            .into_iter()
            .map(|node| (place(&node.metadata).1, node))
            .collect();
        for found in self.api.typed::<Service>(None) {
            let (space, name) = place(&found.metadata);
            let pods = self.api.typed::<Pod>(Some(&space));
            let seen = endpoints::Observed {
                service: Some(found.clone()),
                pods: pods.clone(),
                endpoints: self.api.typed_get::<Endpoints>(&space, &name),
            };
            let plan = endpoints::plan(&seen, self.api.now);
            self.run_plan("endpoints", &name, &plan);
            let named = |slice: &EndpointSlice| {
                let labels = slice.metadata.labels.as_ref();
                labels.and_then(|labels| labels.get(endpointslice::SERVICE_NAME)) == Some(&name)
            };
            let slices = self.api.typed::<EndpointSlice>(Some(&space));
            let slices: Vec<_> = slices.into_iter().filter(|slice| named(slice)).collect();
            let mirrored = mirroring::Observed {
                service: Some(found.clone()),
                endpoints: self.api.typed_get::<Endpoints>(&space, &name),
                slices: slices.clone(),
            };
            let plan = mirroring::plan(&mirrored, self.api.now);
            self.run_plan("mirroring", &name, &plan);
            let seen = endpointslice::Observed {
                service: Some(found),
                pods,
                slices,
                nodes: nodes.clone(),
            };
            let plan = endpointslice::plan(&seen, self.api.now);
            self.run_plan("slices", &name, &plan);
        }
        for left in self.api.typed::<Endpoints>(None) {
            let (space, name) = place(&left.metadata);
            if self.api.typed_get::<Service>(&space, &name).is_none() {
                let seen =
                    endpoints::Observed { service: None, pods: Vec::new(), endpoints: Some(left) };
                let plan = endpoints::plan(&seen, self.api.now);
                self.run_plan("endpoints", &name, &plan);
            }
        }
    }

    fn volumes(&mut self) {
        for found in self.api.typed::<PersistentVolumeClaim>(None) {
            let (space, name) = place(&found.metadata);
            let seen = volume::ClaimObserved {
                claim: Some(found),
                volumes: self.api.typed::<PersistentVolume>(None),
                pods: self.api.typed::<Pod>(Some(&space)),
            };
            let plan = volume::plan_claim(&seen, self.api.now);
            self.run_plan("claims", &name, &plan);
        }
        for found in self.api.typed::<PersistentVolume>(None) {
            let named =
                found.spec.as_ref().and_then(|spec| spec.claim_ref.clone()).unwrap_or_default();
            let claim = self.api.typed_get::<PersistentVolumeClaim>(
                named.namespace.as_deref().unwrap_or(""),
                named.name.as_deref().unwrap_or(""),
            );
            let (_, name) = place(&found.metadata);
            let plan = volume::plan_volume(
                &volume::VolumeObserved { volume: Some(found), claim },
                self.api.now,
            );
            self.run_plan("volumes", &name, &plan);
        }
    }

    /// Takes in signs of life: a lease that changed, or a node that was not there before.
    pub(crate) fn watch_nodes(&mut self) {
        let now = self.api.now;
        for found in self.api.typed::<Node>(None) {
            let (_, name) = place(&found.metadata);
            let lease = self.api.typed_get::<Lease>("kube-node-lease", &name);
            let renewed =
                lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref().map(|time| time.0));
            let sign = format!("{renewed:?}");
            let known = self.heard.entry(name).or_insert_with(|| (sign.clone(), now));
            if known.0 != sign {
                *known = (sign, now);
            }
        }
    }

    fn silence(&self, name: &str) -> std::time::Duration {
        let heard = self.heard.get(name).map_or(self.api.now, |known| known.1);
        std::time::Duration::try_from(self.api.now.duration_since(heard)).unwrap_or_default()
    }

    fn node_life(&mut self) {
        let nodes = self.api.typed::<Node>(None);
        let all_dark = !nodes.iter().any(|one| {
            node::ready_status(one) == "True" && self.silence(&place(&one.metadata).1) < node::GRACE
        });
        for found in &nodes {
            let (_, name) = place(&found.metadata);
            let bound =
                self.api.typed::<Pod>(None).into_iter().filter(|pod| pods::node_name(pod) == name);
            let seen = node::Observed {
                node: found.clone(),
                heard: self.heard.get(&name).map_or(self.api.now, |known| known.1),
                pods: bound.collect(),
                all_dark,
            };
            let plan = node::plan(&seen, self.api.now);
            self.run_plan("nodes", &name, &plan);
        }
        self.pod_gc(&nodes.iter().map(|one| place(&one.metadata).1).collect::<Vec<_>>());
    }

    fn pod_gc(&mut self, nodes: &[String]) {
        self.gone.retain(|name, _| !nodes.contains(name));
        let mut orphans: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for pod in self.api.typed::<Pod>(None) {
            let name = pods::node_name(&pod).to_owned();
            let orphaned =
                if name.is_empty() { pods::is_deleting(&pod) } else { !nodes.contains(&name) };
            if orphaned {
                orphans.entry(name).or_default().push(pod);
            }
        }
        for (name, pods) in orphans {
            let now: Timestamp = self.api.now;
            let gone_since =
                (!name.is_empty()).then(|| *self.gone.entry(name.clone()).or_insert(now));
            let plan = pod_gc::plan(&pod_gc::Observed { pods, gone_since, verified: true }, now);
            self.run_plan("pod-gc", &name, &plan);
        }
    }

    fn garbage(&mut self) {
        let mut all: Vec<(ObjectRef, ObjectMeta)> = Vec::new();
        for kind in builtin().filter(|kind| kind.is_kept()) {
            all.extend(
                self.api
                    .list(kind, None)
                    .into_iter()
                    .map(|object| (ObjectRef::of_value(object), meta(object))),
            );
        }
        let mut graph = gc::Graph::default();
        let at = |target: &ObjectRef| {
            (0, format!("{}/{}", target.kind, target.namespace), target.name.clone())
        };
        for (target, found) in &all {
            graph.observe(at(target), None, Some(found));
        }
        for (target, found) in &all {
            if !gc::concerns(found) {
                continue;
            }
            let references = found.owner_references.iter().flatten();
            let owners = references.map(|owner| self.owner(target, owner)).collect();
            let owned = |meta: &ObjectMeta| {
                meta.owner_references.iter().flatten().any(|owner| owner.uid == target.uid)
            };
            let dependents = all
                .iter()
                .filter(|(_, meta)| owned(meta))
                .map(|(target, meta)| Dependent { target: target.clone(), meta: meta.clone() });
            let seen = gc::Observed {
                target: target.clone(),
                meta: found.clone(),
                owners,
                dependents: dependents.collect(),
                circle: graph.on_circle(&at(target), &target.uid),
            };
            let plan = gc::plan(&seen, self.api.now);
            self.run_plan("garbage", &target.name, &plan);
        }
    }

    fn owner(&self, dependent: &ObjectRef, owner: &OwnerReference) -> Owner {
        let (group, version) = split_api_version(&owner.api_version);
        let Some(kind) = by_kind(group, version, &owner.kind) else {
            return Owner::Unknown(format!("no kind {}", owner.kind));
        };
        let namespace = if kind.namespaced() { dependent.namespace.as_str() } else { "" };
        let found = self.api.get(kind, namespace, &owner.name);
        match found.filter(|found| found["metadata"]["uid"] == owner.uid.as_str()) {
            None => Owner::Absent,
            Some(found) => {
                let meta = meta(found);
                let waits = leme_plan::common::has_finalizer(&meta, gc::FOREGROUND);
                Owner::Present { foreground: meta.deletion_timestamp.is_some() && waits }
            }
        }
    }
}
