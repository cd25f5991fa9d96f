//! The cluster: controllers, scheduler and nodes take turns until nobody has anything to do; then time may pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use leme_plan::{Plan, pods};
use leme_sched::{
    Budget, PodInfo, PodKey, Queue, Storage, Unschedulable, VolumeFacts, attachment, volume_limits,
};
use serde_json::json;

use crate::api::Api;
use crate::controllers::{Controllers, Fault};
use crate::execute::Note;
use crate::kinds::by_kind;
use crate::node::FakeNode;

/// More rounds than any cluster of a script needs: reaching it means that controllers fight.
const ROUNDS: usize = 500;

/// A simulated cluster.
pub struct Cluster {
    /// The objects.
    pub api: Api,
    pub(crate) nodes: BTreeMap<String, FakeNode>,
    pub(crate) notes: Vec<Note>,
    /// What was told last, by the uid of whom it is about and the reason.
    pub(crate) told: BTreeMap<(String, String), String>,
    pub(crate) controllers: Controllers,
    /// When the cluster began.
    pub(crate) midnight: Timestamp,
    scheduler: leme_sched::Cluster,
    known_pods: Vec<PodKey>,
    known_nodes: Vec<String>,
    /// What happens to the controllers after this many more actions, once.
    pub fault: Option<(Fault, usize)>,
}

impl Cluster {
    /// A cluster with the namespaces that every cluster has, at midnight.
    pub fn new() -> Cluster {
        let midnight = "2026-01-01T00:00:00Z".parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let mut cluster = Cluster {
            api: Api::new(midnight),
            nodes: BTreeMap::new(),
            notes: Vec::new(),
            told: BTreeMap::new(),
            controllers: Controllers::new(false),
            midnight,
            scheduler: leme_sched::Cluster::default(),
            known_pods: Vec::new(),
            known_nodes: Vec::new(),
            fault: None,
        };
        for name in ["default", "kube-system", "kube-node-lease"] {
            // What Gateways need is there: scripts are about other things, all but one.
            let made = match name {
                "kube-system" => json!({ leme_meta::gateway::MADE: "true" }),
                _ => json!({}),
            };
            let namespace = json!({ "metadata": { "name": name, "annotations": made } });
            if let Some(kind) = by_kind("", "v1", "Namespace") {
                cluster.must(|api| api.create(kind, "", namespace));
            }
        }
        cluster.settle();
        cluster
    }

    /// A write of the simulation itself, which cannot be refused.
    pub(crate) fn must<T>(
        &mut self,
        write: impl FnOnce(&mut Api) -> Result<T, leme_meta::Status>,
    ) -> T {
        match write(&mut self.api) {
            Ok(done) => done,
            Err(status) => panic!("the simulation's own write was refused: {status}"),
        }
    }

    /// Lets everybody act until nobody does.
    pub fn settle(&mut self) {
        for _ in 0..ROUNDS {
            let before = self.api.revision;
            let looked = self.run_controllers();
            self.schedule();
            self.run_nodes();
            if !looked && self.api.revision == before {
                return;
            }
        }
        panic!(
            "the cluster does not settle: {:?}",
            self.notes.iter().rev().take(10).collect::<Vec<_>>()
        );
    }

    /// Lets time pass, second by second.
    pub fn tick(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.api.now =
                self.api.now.checked_add(SignedDuration::from_secs(1)).unwrap_or(self.api.now);
            self.settle();
        }
    }

    /// The scheduler, which runs in the controllers' process, loses all it remembers.
    pub(crate) fn forget(&mut self) {
        self.told.clear();
        self.scheduler = leme_sched::Cluster::default();
        self.known_pods.clear();
        self.known_nodes.clear();
    }

    /// The name of every controller, and how many actions each has wanted so far.
    pub fn acted(&self) -> Vec<(&'static str, usize)> {
        let acted = &self.controllers.acted;
        let names = self.controllers.names().into_iter();
        names.map(|name| (name, acted.get(name).copied().unwrap_or(0))).collect()
    }

    fn schedule(&mut self) {
        let nodes = self.api.typed::<Node>(None);
        let names: Vec<String> =
            nodes.iter().map(|node| node.metadata.name.clone().unwrap_or_default()).collect();
        for name in std::mem::replace(&mut self.known_nodes, names.clone()) {
            if !names.contains(&name) {
                self.scheduler.set_node(&name, None);
            }
        }
        for (name, node) in names.iter().zip(&nodes) {
            self.scheduler.set_node(name, Some(node));
        }
        self.show_attachments(&names);
        let pods = self.api.typed::<Pod>(None);
        let key = |pod: &Pod| {
            let meta = &pod.metadata;
            (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
        };
        let keys: Vec<PodKey> = pods.iter().map(|pod| key(pod)).collect();
        for known in std::mem::replace(&mut self.known_pods, keys.clone()) {
            if !keys.contains(&known) {
                self.scheduler.set_pod(&known, None);
            }
        }
        let mut queue = Queue::default();
        let mut waiting = BTreeMap::new();
        for (key, pod) in keys.into_iter().zip(pods) {
            self.scheduler.set_pod(&key, Some(&pod));
            if pods::node_name(&pod).is_empty() && pods::is_active(&pod) {
                let priority = pod.spec.as_ref().and_then(|spec| spec.priority);
                queue.add(key.clone(), priority.unwrap_or(0), self.api.now);
                waiting.insert(key, pod);
            }
        }
        while let Some(key) = queue.pop(self.api.now) {
            let Some(pod) = waiting.get(&key) else { continue };
            let facts = VolumeFacts::of(pod, &self.api);
            let info = PodInfo::read(pod);
            let plans = match self.scheduler.schedule(&info, &facts) {
                Ok(node) => {
                    let promises = self.scheduler.promises(&info, &facts, &node);
                    vec![match promises.is_empty() {
                        true => leme_sched::bind(pod, &node),
                        false => leme_sched::promised(pod, &node, &promises, &self.api),
                    }]
                }
                Err(why) => self.turn_away(pod, &info, &facts, why),
            };
            for plan in &plans {
                let _ = self.execute(plan);
            }
            if self
                .api
                .typed_get::<Pod>(&key.0, &key.1)
                .is_none_or(|pod| pods::node_name(&pod).is_empty())
            {
                self.scheduler.forget(&key);
            }
        }
    }

    /// Shows the scheduler which volumes of drivers claims have, and how many nodes can attach.
    fn show_attachments(&mut self, nodes: &[String]) {
        for name in nodes {
            let node = self.api.typed_get::<CSINode>("", name);
            self.scheduler.set_volume_limits(name, volume_limits(node.as_deref()));
        }
        for claim in self.api.typed::<PersistentVolumeClaim>(None) {
            let meta = &claim.metadata;
            let (space, name) = (meta.namespace.clone(), meta.name.clone());
            let (space, name) = (space.unwrap_or_default(), name.unwrap_or_default());
            let found = attachment(&space, &name, &self.api);
            self.scheduler.set_attachment((space, name), found);
        }
    }

    /// Says why no node takes the pod, and makes others go if that helps.
    fn turn_away(
        &mut self,
        pod: &Pod,
        info: &PodInfo,
        facts: &VolumeFacts,
        mut why: Unschedulable,
    ) -> Vec<Plan> {
        let budgets = self.api.typed::<PodDisruptionBudget>(None);
        let budgets: Vec<Budget> = budgets.iter().filter_map(|one| Budget::read(one)).collect();
        let made = self.scheduler.preempt(info, facts, &mut why, &budgets);
        let nominated = self.scheduler.nominated(&info.key);
        let mut plans = vec![leme_sched::unschedulable(pod, &why, nominated, self.api.now)];
        if let Some(made) = made {
            for victim in made.victims.iter().filter(|victim| !victim.going) {
                if let Some(victim) = self.api.typed_get::<Pod>(&victim.key.0, &victim.key.1) {
                    plans.push(leme_sched::preempted(&victim, pod, &made.node, self.api.now));
                }
            }
            for key in &made.displaced {
                let other = self.api.typed_get::<Pod>(&key.0, &key.1);
                plans.extend(other.map(|other| leme_sched::unnominated(&other)));
            }
        }
        plans
    }

    fn run_nodes(&mut self) {
        let names: Vec<String> = self.nodes.keys().cloned().collect();
        for name in names {
            // Taken out while it works, so that it can use the cluster.
            if let Some(mut node) = self.nodes.remove(&name) {
                node.run(self);
                self.nodes.insert(name, node);
            }
        }
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Cluster::new()
    }
}

impl Storage for Api {
    fn claim(&self, namespace: &str, name: &str) -> Option<Arc<PersistentVolumeClaim>> {
        self.typed_get(namespace, name)
    }

    fn volume(&self, name: &str) -> Option<Arc<PersistentVolume>> {
        self.typed_get("", name)
    }

    fn class(&self, name: &str) -> Option<Arc<StorageClass>> {
        self.typed_get("", name)
    }

    fn volumes(&self) -> Vec<Arc<PersistentVolume>> {
        self.typed(None)
    }
}
