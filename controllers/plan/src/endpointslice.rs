//! EndpointSlices of services with a selector, at most a hundred endpoints each, changed as little as possible.
//!
//! Alone writes: slices labelled as managed by it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::common::{Labels, matches};
use crate::endpoints::{
    PortKey, host_name, is_headless, is_own, pod_reference, port_key, publishes_unready, selector,
};
use crate::pods;
use crate::report::{Report, Shown, Waiting};

/// Label that names the service of a slice.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: (&str, &str) =
    ("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io");
const HEADLESS: &str = "service.kubernetes.io/headless";
const ZONE: &str = "topology.kubernetes.io/zone";
const MAX_ENDPOINTS: usize = 100;

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The service; `None` once it is gone (its slices go with it by ownerReference).
    pub service: Option<Arc<Service>>,
    /// Pods of its namespace.
    pub pods: Vec<Arc<Pod>>,
    /// The slices that carry its name.
    pub slices: Vec<Arc<EndpointSlice>>,
    /// Nodes by name, for their zones.
    pub nodes: BTreeMap<String, Arc<Node>>,
}

/// What to do for one service.
pub fn plan(seen: &Observed, _now: Timestamp) -> Plan {
    let Some(service) = &seen.service else { return Plan::default() };
    let own = is_own(&service.metadata) || service.metadata.deletion_timestamp.is_some();
    let Some(selector) = selector(service).filter(|_| !own) else { return Plan::default() };
    let about = ObjectRef::to(service.as_ref());
    let mut plan = Plan { report: Report::about(about), ..Plan::default() };
    if let Some(why) = crate::endpoints::nobody_answers(service, &seen.pods) {
        plan.wait(Waiting::new("NoEndpoints", why, Shown::Status));
    }
    let families = families(service);
    let mine: Vec<&EndpointSlice> =
        seen.slices.iter().map(Arc::as_ref).filter(|slice| is_managed(slice)).collect();
    for slice in mine.iter().filter(|slice| !families.contains(&slice.address_type.as_str())) {
        plan.act(Action::delete(ObjectRef::to(*slice)));
    }
    let pods: Vec<&Pod> = seen
        .pods
        .iter()
        .map(Arc::as_ref)
        .filter(|pod| matches(selector, pod.metadata.labels.as_ref()) && !pods::is_terminal(pod))
        .collect();
    for family in families {
        let wanted = wanted(service, family, &pods, &seen.nodes);
        let old: Vec<&EndpointSlice> =
            mine.iter().copied().filter(|slice| slice.address_type == family).collect();
        reconcile(service, family, wanted, old, &mut plan);
    }
    plan
}

fn is_managed(slice: &EndpointSlice) -> bool {
    slice.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY.0)).map(String::as_str)
        == Some(MANAGED_BY.1)
}

fn families(service: &Service) -> Vec<&str> {
    let listed = service.spec.as_ref().and_then(|spec| spec.ip_families.as_ref());
    let listed: Vec<&str> = listed.into_iter().flatten().map(String::as_str).collect();
    if listed.is_empty() { vec!["IPv4"] } else { listed }
}

type Wanted = BTreeMap<PortKey, BTreeMap<String, Endpoint>>;

/// The endpoints of one family by their ports, and there by the uid of their pod.
fn wanted(
    service: &Service,
    family: &str,
    pods: &[&Pod],
    nodes: &BTreeMap<String, Arc<Node>>,
) -> Wanted {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.clone()).unwrap_or_default();
    let mut wanted = Wanted::new();
    for pod in pods {
        let address = pods::addresses(pod).into_iter().find(|text| {
            text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6() == (family == "IPv6"))
        });
        let Some(address) = address else { continue };
        let key = port_key(&ports, pod);
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        wanted.entry(key).or_default().insert(uid, endpoint(service, pod, address, nodes));
    }
    wanted
}

fn endpoint(
    service: &Service,
    pod: &Pod,
    address: &str,
    nodes: &BTreeMap<String, Arc<Node>>,
) -> Endpoint {
    let serving = pods::is_ready(pod);
    let terminating = pods::is_deleting(pod);
    let node = Some(pods::node_name(pod)).filter(|node| !node.is_empty());
    let zone = node
        .and_then(|name| nodes.get(name))
        .and_then(|node| node.metadata.labels.as_ref())
        .and_then(|labels| labels.get(ZONE));
    Endpoint {
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(publishes_unready(service) || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: host_name(pod, service),
        node_name: node.map(str::to_owned),
        target_ref: Some(pod_reference(pod)),
        zone: zone.cloned(),
        ..Endpoint::default()
    }
}

fn labels(service: &Service) -> Labels {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone().unwrap_or_default());
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    labels
}

pub(crate) fn key_of(slice: &EndpointSlice) -> PortKey {
    let ports = slice.ports.iter().flatten().map(|port| {
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        (
            port.name.clone().unwrap_or_default(),
            port.port.unwrap_or(0),
            protocol,
            port.app_protocol.clone(),
        )
    });
    ports.collect()
}

pub(crate) fn ports_of(key: &PortKey) -> Option<Vec<EndpointPort>> {
    let ports = key.iter().map(|(name, port, protocol, app_protocol)| EndpointPort {
        name: Some(name.clone()),
        port: Some(*port),
        protocol: Some(protocol.clone()),
        app_protocol: app_protocol.clone(),
    });
    (!key.is_empty()).then(|| ports.collect())
}

/// Keeps each endpoint where it is, fills what has room, and uses slices that are not needed any more for what is new
/// before it creates or deletes any.
fn reconcile(
    service: &Service,
    family: &str,
    mut wanted: Wanted,
    old: Vec<&EndpointSlice>,
    plan: &mut Plan,
) {
    if wanted.is_empty() {
        // One slice without ports says that the service is known and nobody answers.
        wanted.insert(PortKey::default(), BTreeMap::new());
    }
    let labels = labels(service);
    let (gone, kept): (Vec<&EndpointSlice>, Vec<&EndpointSlice>) =
        old.into_iter().partition(|slice| !wanted.contains_key(&key_of(slice)));
    let mut surplus: Vec<EndpointSlice> = gone.into_iter().cloned().collect();
    let mut fresh: Vec<EndpointSlice> = Vec::new();
    for (key, endpoints) in wanted {
        let same: Vec<&EndpointSlice> =
            kept.iter().copied().filter(|slice| key_of(slice) == key).collect();
        let (filled, rest) = fill(&same, endpoints);
        let none_yet = same.is_empty() && rest.is_empty();
        let has_endpoints = !rest.is_empty() || filled.iter().any(|slice| !is_empty(slice));
        for (index, (before, mut slice)) in same.into_iter().zip(filled).enumerate() {
            // Without any endpoint the first slice stays, empty.
            if is_empty(&slice) && (has_endpoints || index > 0) {
                surplus.push(slice);
                continue;
            }
            slice.metadata.labels = Some(labels.clone());
            if *before != slice {
                plan.act(Action::update(&slice));
            }
        }
        for chunk in rest.chunks(MAX_ENDPOINTS) {
            fresh.push(new_slice(service, family, &key, &labels, chunk));
        }
        if none_yet {
            fresh.push(new_slice(service, family, &key, &labels, &[]));
        }
    }
    for new in fresh {
        match surplus.pop() {
            Some(mut used) => {
                used.endpoints = new.endpoints;
                used.ports = new.ports;
                used.metadata.labels = new.metadata.labels;
                plan.act(Action::update(&used));
            }
            None => plan.act(Action::create(&new)),
        }
    }
    for slice in surplus {
        plan.act(Action::delete(ObjectRef::to(&slice)));
    }
}

/// The slices with what is wanted of their endpoints, topped up; and what did not fit.
fn fill(
    slices: &[&EndpointSlice],
    mut wanted: BTreeMap<String, Endpoint>,
) -> (Vec<EndpointSlice>, Vec<Endpoint>) {
    let mut filled: Vec<EndpointSlice> = slices.iter().map(|slice| (*slice).clone()).collect();
    for slice in &mut filled {
        let kept = slice
            .endpoints
            .iter()
            .flatten()
            .filter_map(|one| wanted.remove(one.target_ref.as_ref()?.uid.as_ref()?));
        slice.endpoints = Some(kept.collect());
    }
    let mut rest = wanted.into_values();
    for slice in &mut filled {
        let endpoints = slice.endpoints.get_or_insert_default();
        let room = MAX_ENDPOINTS.saturating_sub(endpoints.len());
        endpoints.extend(rest.by_ref().take(room));
        // None are kept as null, and shall be no change.
        slice.endpoints.take_if(|none| none.is_empty());
    }
    (filled, rest.collect())
}

fn is_empty(slice: &EndpointSlice) -> bool {
    slice.endpoints.as_ref().is_none_or(Vec::is_empty)
}

fn new_slice(
    service: &Service,
    family: &str,
    key: &PortKey,
    labels: &Labels,
    endpoints: &[Endpoint],
) -> EndpointSlice {
    let owner = ObjectRef::to(service);
    EndpointSlice {
        address_type: family.to_owned(),
        endpoints: (!endpoints.is_empty()).then(|| endpoints.to_vec()),
        ports: ports_of(key),
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", owner.name)),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels.clone()),
            owner_references: Some(vec![owner.controller_ref()]),
            ..ObjectMeta::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The plan for some ready pods, carried out on the slices by hand: sizes of the slices and what was done.
    fn check(
        slices: &mut Vec<EndpointSlice>,
        pods: std::ops::Range<u32>,
        done: &str,
        sizes: &[usize],
    ) {
        let service: Service = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "n", "uid": "s"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }))
        .unwrap();
        let pods = pods.map(|number| {
            let pod = json!({
                "metadata": {"name": format!("p{number}"), "namespace": "n", "uid": format!("{number:04}"), "labels": {"app": "web"}},
                "status": {"podIP": format!("10.0.{}.{}", number / 250, number % 250 + 1),
                    "conditions": [{"type": "Ready", "status": "True"}]},
            });
            Arc::new(serde_json::from_value(pod).unwrap())
        });
        let seen = Observed {
            service: Some(Arc::new(service)),
            pods: pods.collect(),
            slices: slices.iter().cloned().map(Arc::new).collect(),
            nodes: BTreeMap::new(),
        };
        let mut said = Vec::new();
        for action in plan(&seen, Timestamp::UNIX_EPOCH).actions {
            match action {
                Action::Create { object, .. } => {
                    said.push("create");
                    let mut slice: EndpointSlice = serde_json::from_value(object.0).unwrap();
                    slice.metadata.name = Some(format!("web-{}", slices.len()));
                    slices.push(slice);
                }
                Action::Update { object, .. } => {
                    said.push("update");
                    let new: EndpointSlice = serde_json::from_value(object.0).unwrap();
                    let old = slices.iter_mut().find(|one| one.metadata.name == new.metadata.name);
                    *old.unwrap() = new;
                }
                Action::Delete { target, .. } => {
                    said.push("delete");
                    slices.retain(|one| one.metadata.name.as_deref() != Some(&target.name));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(said.join(" "), done);
        assert_eq!(
            slices.iter().map(|slice| slice.endpoints.iter().flatten().count()).collect::<Vec<_>>(),
            sizes
        );
    }

    #[test]
    fn a_hundred_a_slice_with_the_fewest_changes() {
        let mut slices = Vec::new();
        check(&mut slices, 0..0, "create", &[0]);
        check(&mut slices, 0..0, "", &[0]);
        check(&mut slices, 0..150, "update create", &[100, 50]);
        check(&mut slices, 0..160, "update", &[100, 60]);
        check(&mut slices, 100..160, "delete", &[60]);
        check(&mut slices, 0..0, "update", &[0]);
        // Nobody answers on any port any more.
        assert_eq!(slices[0].ports.as_ref().map_or(0, Vec::len), 0);
        check(&mut slices, 0..1, "update", &[1]);
        assert_eq!(slices[0].ports.as_ref().map_or(0, Vec::len), 1);
    }
}
