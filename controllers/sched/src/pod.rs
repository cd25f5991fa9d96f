//! A pod as the scheduler sees it: parsed once, small.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Affinity, Container, NodeSelector, Pod, PodAffinityTerm, PodSpec, PreferredSchedulingTerm,
    Toleration, TopologySpreadConstraint, Volume,
};
use leme_plan::common::Labels;
use leme_plan::pods;

use crate::census::{Class, Pull};
use crate::cluster::PodKey;
use crate::profile::{Chosen, Profile, Spreading};
use crate::resources::{Resources, of_pod};
use crate::selector::{Selector, Term, Who};

/// A port on the host: protocol, number, address.
pub(crate) type HostPort = (String, i32, String);

/// A constraint on how pods are spread.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) key: String,
    pub(crate) max_skew: i32,
    /// Whether no node is better than one that breaks it.
    pub(crate) hard: bool,
    pub(crate) who: Who,
    pub(crate) min_domains: i32,
    /// Whether only nodes count that the pod asks for, and only those whose taints it tolerates.
    pub(crate) honors_affinity: bool,
    pub(crate) honors_taints: bool,
}

/// A disk that some pods cannot share: its name, and whether all who have it only read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) name: String,
    pub(crate) read_only: bool,
    /// Whether readers can share it.
    pub(crate) shared_by_readers: bool,
}

/// What a pod asks of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodInfo {
    /// Namespace and name.
    pub key: PodKey,
    /// uid.
    pub uid: String,
    /// Amounts it asks for.
    pub requests: Resources,
    /// Amounts that scoring takes it to use: CPU and memory.
    pub(crate) weight: (i64, i64),
    pub(crate) class: Arc<Class>,
    pub(crate) node_selector: Vec<(String, String)>,
    pub(crate) required: Option<NodeSelector>,
    pub(crate) preferred: Vec<PreferredSchedulingTerm>,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) ports: Vec<HostPort>,
    pub(crate) spread: Vec<Spread>,
    /// Whether it does not say itself how to spread.
    pub(crate) spread_by_default: bool,
    pub(crate) near: Vec<Term>,
    pub(crate) apart: Vec<Term>,
    /// Liked terms, and disliked ones with a weight below zero.
    pub(crate) likes: Vec<(i32, Term)>,
    /// Names of images, with what upstream counts them as.
    pub(crate) images: Vec<String>,
    /// Its claims, by name in its namespace.
    pub(crate) claims: Vec<String>,
    pub(crate) disks: Vec<Disk>,
    /// Greater goes first.
    pub priority: i32,
    /// Whether it waits for room and takes none from others.
    pub(crate) never_preempts: bool,
    /// The node that room was made on for it.
    pub nominated: Option<String>,
    pub(crate) started: Option<Timestamp>,
    /// Whether it goes because a pod of a higher priority needs its room.
    pub(crate) preempted: bool,
    pub(crate) generation: Option<i64>,
    /// Under which name it asks for a scheduler.
    pub(crate) scheduler: String,
    /// What counts for it when it is given a node.
    pub(crate) profile: Chosen,
}

impl PodInfo {
    /// Reads a pod.
    pub fn read(pod: &Pod) -> PodInfo {
        let none = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&none);
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let requests = of_pod(spec, false);
        let weight = of_pod(spec, true);
        let nodes = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone());
        let nodes = nodes.unwrap_or_default();
        let status = pod.status.as_ref();
        let deleting = pods::is_deleting(pod);
        let info = PodInfo {
            key: (namespace.clone(), pod.metadata.name.clone().unwrap_or_default()),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            requests,
            weight: (weight.cpu, weight.memory),
            node_selector: spec.node_selector.clone().unwrap_or_default().into_iter().collect(),
            required: nodes.required_during_scheduling_ignored_during_execution,
            preferred: nodes
                .preferred_during_scheduling_ignored_during_execution
                .unwrap_or_default(),
            tolerations: spec.tolerations.clone().unwrap_or_default(),
            ports: host_ports(spec),
            spread: spec
                .topology_spread_constraints
                .iter()
                .flatten()
                .map(|one| spread(one, &namespace, &labels))
                .collect(),
            images: images(spec),
            claims: pods::claims(pod).map(str::to_owned).collect(),
            disks: spec.volumes.iter().flatten().filter_map(disk).collect(),
            priority: spec.priority.unwrap_or(0),
            never_preempts: spec.preemption_policy.as_deref() == Some("Never"),
            nominated: status
                .and_then(|status| status.nominated_node_name.clone())
                .filter(|node| !node.is_empty()),
            started: status.and_then(|status| status.start_time.as_ref()).map(|time| time.0),
            preempted: deleting
                && pods::condition(pod, "DisruptionTarget").is_some_and(|one| {
                    one.status == "True" && one.reason.as_deref() == Some("PreemptionByScheduler")
                }),
            generation: pod.metadata.generation,
            scheduler: spec.scheduler_name.clone().unwrap_or_default(),
            ..PodInfo::default()
        };
        let class = Arc::new(Class { namespace, labels, deleting });
        PodInfo { class, ..info }.with_terms(spec.affinity.as_ref())
    }

    fn with_terms(mut self, affinity: Option<&Affinity>) -> PodInfo {
        let Some(affinity) = affinity else { return self };
        let read =
            |term: &PodAffinityTerm| Term::read(term, &self.class.namespace, &self.class.labels);
        let (mut near, mut apart, mut likes) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(pods) = &affinity.pod_affinity {
            let required =
                pods.required_during_scheduling_ignored_during_execution.iter().flatten();
            near.extend(required.map(read));
            let preferred =
                pods.preferred_during_scheduling_ignored_during_execution.iter().flatten();
            likes.extend(preferred.map(|one| (one.weight, read(&one.pod_affinity_term))));
        }
        if let Some(pods) = &affinity.pod_anti_affinity {
            let required =
                pods.required_during_scheduling_ignored_during_execution.iter().flatten();
            apart.extend(required.map(read));
            let preferred =
                pods.preferred_during_scheduling_ignored_during_execution.iter().flatten();
            likes.extend(preferred.map(|one| (-one.weight, read(&one.pod_affinity_term))));
        }
        (self.near, self.apart, self.likes) = (near, apart, likes);
        self
    }

    /// Whether the pod's object says the same of it as when it was read.
    pub(crate) fn is_still(&self, pod: &Pod) -> bool {
        let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
        let labels = pod.metadata.labels.as_ref();
        pod.metadata.uid.as_deref() == Some(&self.uid)
            && pod.metadata.generation == self.generation
            && pods::is_deleting(pod) == self.class.deleting
            && started.map(|time| time.0) == self.started
            && labels.map_or(self.class.labels.is_empty(), |labels| *labels == self.class.labels)
    }

    /// What counts of it once it is placed, with the class that all of its kind share: there are many of these.
    pub(crate) fn placed(&self, class: Arc<Class>) -> PodInfo {
        PodInfo {
            key: self.key.clone(),
            uid: self.uid.clone(),
            requests: self.requests.clone(),
            weight: self.weight,
            class,
            ports: self.ports.clone(),
            near: self.near.clone(),
            apart: self.apart.clone(),
            likes: self.likes.clone(),
            claims: self.claims.clone(),
            disks: self.disks.clone(),
            priority: self.priority,
            started: self.started,
            preempted: self.preempted,
            generation: self.generation,
            ..PodInfo::default()
        }
    }

    /// Whether it asks for what the other asks for, which is the same pod at another time.
    pub(crate) fn asks_as(&self, other: &PodInfo) -> bool {
        (&self.uid, self.generation, &self.class, &self.requests)
            == (&other.uid, other.generation, &other.class, &other.requests)
            && self.tolerations == other.tolerations
            && self.node_selector == other.node_selector
            && self.required == other.required
    }

    /// What counts for it when it is given a node.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The same pod, to be given a node by this profile.
    pub fn under(mut self, profile: &Arc<Profile>) -> PodInfo {
        self.profile = Chosen(profile.clone());
        self
    }

    /// The same pod, spread as the scheduler does with pods that do not say how: by zones and nodes, as far as it can,
    /// apart from those that its Services and its owner select.
    pub fn spread_by_default(mut self, selector: &Selector) -> PodInfo {
        if !self.spread.is_empty() || selector.is_empty() {
            return self;
        }
        let who = Who::within(&self.class.namespace, selector.clone());
        if let Spreading::By(list) = &self.profile.spreading {
            let each = list.iter().map(|one| {
                let spread = spread(one, &self.class.namespace, &self.class.labels);
                Spread { who: who.clone(), ..spread }
            });
            self.spread = each.collect();
            return self;
        }
        let by = |key: &str, max_skew: i32| Spread {
            key: key.to_owned(),
            max_skew,
            hard: false,
            who: who.clone(),
            min_domains: 1,
            honors_affinity: true,
            honors_taints: false,
        };
        self.spread = vec![by(crate::topology::HOSTNAME, 3), by(ZONE, 5)];
        self.spread_by_default = true;
        self
    }

    /// What its terms do to others, once it is placed.
    pub(crate) fn pulls(&self) -> impl Iterator<Item = (Pull, Term)> + '_ {
        let apart = self.apart.iter().map(|term| (Pull::Repels, term.clone()));
        let near = self.near.iter().map(|term| (Pull::Needs, term.clone()));
        let likes = self.likes.iter().map(|(weight, term)| (Pull::Likes(*weight), term.clone()));
        apart.chain(near).chain(likes)
    }

    /// Whether what it asks for hangs on where other pods are.
    pub(crate) fn is_social(&self) -> bool {
        !(self.near.is_empty() && self.apart.is_empty())
            || self.spread.iter().any(|spread| spread.hard)
    }
}

/// The label of zones.
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";

fn spread(one: &TopologySpreadConstraint, namespace: &str, labels: &Labels) -> Spread {
    let keys = one.match_label_keys.as_ref();
    let pods = Selector::with_match_keys(one.label_selector.as_ref(), keys, labels);
    Spread {
        key: one.topology_key.clone(),
        max_skew: one.max_skew,
        hard: one.when_unsatisfiable == "DoNotSchedule",
        who: Who::within(namespace, pods),
        min_domains: one.min_domains.unwrap_or(1),
        honors_affinity: one.node_affinity_policy.as_deref() != Some("Ignore"),
        honors_taints: one.node_taints_policy.as_deref() == Some("Honor"),
    }
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|one| is_sidecar(one));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|one| one.ports.iter().flatten());
    let host_network = spec.host_network == Some(true);
    let taken = ports.filter_map(|port| {
        let number = port.host_port.or(host_network.then_some(port.container_port))?;
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        let address = port.host_ip.clone().filter(|address| !address.is_empty());
        (number > 0).then(|| (protocol, number, address.unwrap_or_else(|| "0.0.0.0".to_owned())))
    });
    taken.collect()
}

/// The images of containers and volumes, each with a tag.
fn images(spec: &PodSpec) -> Vec<String> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.image.as_ref());
    let named = containers
        .map(|one| one.image.as_deref().unwrap_or(""))
        .chain(volumes.map(|one| one.reference.as_deref().unwrap_or("")));
    let tagged = |name: &str| match (name.rfind(':'), name.rfind('/')) {
        (Some(colon), slash) if slash.is_none_or(|slash| colon > slash) => name.to_owned(),
        _ => format!("{name}:latest"),
    };
    named.map(tagged).collect()
}

/// A volume that two pods cannot have on one node.
fn disk(volume: &Volume) -> Option<Disk> {
    if let Some(disk) = &volume.gce_persistent_disk {
        let name = format!("gce/{}", disk.pd_name);
        let read_only = disk.read_only == Some(true);
        return Some(Disk { name, read_only, shared_by_readers: true });
    }
    if let Some(disk) = &volume.aws_elastic_block_store {
        let name = format!("aws/{}", disk.volume_id);
        return Some(Disk { name, read_only: false, shared_by_readers: false });
    }
    if let Some(disk) = &volume.iscsi {
        let name = format!("iscsi/{}", disk.iqn);
        let read_only = disk.read_only == Some(true);
        return Some(Disk { name, read_only, shared_by_readers: true });
    }
    let disk = volume.rbd.as_ref()?;
    let (pool, image) = (disk.pool.as_deref().unwrap_or("rbd"), &disk.image);
    let name = format!("rbd/{}/{pool}/{image}", disk.monitors.join(","));
    Some(Disk { name, read_only: disk.read_only == Some(true), shared_by_readers: true })
}
