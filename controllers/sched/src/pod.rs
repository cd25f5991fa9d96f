//! A pod as the scheduler sees it: parsed once, small.

use k8s_openapi::api::core::v1::{NodeSelector, Pod, PreferredSchedulingTerm, Toleration};
use leme_plan::common::controller_of;

use crate::cluster::PodKey;
use crate::resources::{Resources, of_pod};

/// A port on the host.
pub(crate) type HostPort = (String, i32, String);

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
    pub(crate) node_selector: Vec<(String, String)>,
    pub(crate) required: Option<NodeSelector>,
    pub(crate) preferred: Vec<PreferredSchedulingTerm>,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) ports: Vec<HostPort>,
    /// uid of the controller, for spreading.
    pub(crate) owner: Option<String>,
    /// Greater goes first.
    pub priority: i32,
}

impl PodInfo {
    /// Reads a pod.
    pub fn read(pod: &Pod) -> PodInfo {
        let spec = pod.spec.clone().unwrap_or_default();
        let requests = of_pod(&spec, false);
        let weight = of_pod(&spec, true);
        let host_network = spec.host_network == Some(true);
        let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
        let ports = ports
            .filter_map(|port| {
                let number = port.host_port.or(host_network.then_some(port.container_port))?;
                let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
                (number > 0).then(|| (protocol, number, port.host_ip.clone().unwrap_or_default()))
            })
            .collect();
        let affinity =
            spec.affinity.and_then(|affinity| affinity.node_affinity).unwrap_or_default();
        PodInfo {
            key: (
                pod.metadata.namespace.clone().unwrap_or_default(),
                pod.metadata.name.clone().unwrap_or_default(),
            ),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            requests,
            weight: (weight.cpu, weight.memory),
            node_selector: spec.node_selector.unwrap_or_default().into_iter().collect(),
            required: affinity.required_during_scheduling_ignored_during_execution,
            preferred: affinity
                .preferred_during_scheduling_ignored_during_execution
                .unwrap_or_default(),
            tolerations: spec.tolerations.unwrap_or_default(),
            ports,
            owner: controller_of(&pod.metadata).map(|owner| owner.uid.clone()),
            priority: spec.priority.unwrap_or(0),
        }
    }
}
