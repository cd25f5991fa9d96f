//! Endpoints of services with a selector: who answers, on which ports, and who would if it were ready.
//!
//! Alone writes: Endpoints of services with a selector. Never touches `default/kubernetes` nor Endpoints of services
//! without one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, ObjectReference, Pod, Service,
    ServicePort,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::common::{Labels, matches};
use crate::pods;

const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");
const HEADLESS: &str = "service.kubernetes.io/headless";

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The service; `None` once it is gone.
    pub service: Option<Arc<Service>>,
    /// Pods of its namespace.
    pub pods: Vec<Arc<Pod>>,
    /// The Endpoints of the same name.
    pub endpoints: Option<Arc<Endpoints>>,
}

/// Whether this is the API server's own service, whose endpoints it writes itself.
pub fn is_own(meta: &ObjectMeta) -> bool {
    meta.namespace.as_deref() == Some("default") && meta.name.as_deref() == Some("kubernetes")
}

/// The selector of a service that wants endpoints.
pub fn selector(service: &Service) -> Option<&Labels> {
    let spec = service.spec.as_ref()?;
    let external = spec.type_.as_deref() == Some("ExternalName");
    spec.selector.as_ref().filter(|selector| !selector.is_empty() && !external)
}

/// Whether the service has no address of its own.
pub fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

/// Whether pods count before they are ready.
pub fn publishes_unready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses).unwrap_or(false)
}

/// The pod's host name, if DNS is to know it under this service.
pub fn host_name(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let name = spec.hostname.as_ref().filter(|name| !name.is_empty())?;
    (spec.subdomain == service.metadata.name).then(|| name.clone())
}

/// The reference to a pod that endpoints carry.
pub fn pod_reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// What to do for one service.
pub fn plan(seen: &Observed, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(service) = &seen.service else {
        let left = seen
            .endpoints
            .as_ref()
            .filter(|left| !is_own(&left.metadata) && is_managed(&left.metadata));
        if let Some(left) = left {
            plan.act(Action::delete(ObjectRef::to(left.as_ref())));
        }
        return plan;
    };
    let Some(selector) = selector(service) else { return plan };
    if is_own(&service.metadata) || service.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let wanted = pods_of(service, selector, &seen.pods);
    let subsets = Some(subsets(service, &wanted)).filter(|subsets| !subsets.is_empty());
    let labels = labels(service);
    match &seen.endpoints {
        None => plan.act(Action::create(&Endpoints {
            metadata: ObjectMeta {
                name: service.metadata.name.clone(),
                namespace: service.metadata.namespace.clone(),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            subsets,
        })),
        Some(old) => {
            let same_subsets = old.subsets.as_deref().unwrap_or_default()
                == subsets.as_deref().unwrap_or_default();
            if !same_subsets || old.metadata.labels.as_ref() != Some(&labels) {
                let mut new = old.as_ref().clone();
                new.subsets = subsets;
                new.metadata.labels = Some(labels);
                plan.act(Action::update(&new));
            }
        }
    }
    plan
}

fn is_managed(meta: &ObjectMeta) -> bool {
    meta.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY.0)).map(String::as_str)
        == Some(MANAGED_BY.1)
}

fn labels(service: &Service) -> Labels {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    labels
}

fn pods_of<'a>(service: &Service, selector: &Labels, all: &'a [Arc<Pod>]) -> Vec<&'a Pod> {
    let unready = publishes_unready(service);
    all.iter()
        .map(Arc::as_ref)
        .filter(|pod| matches(selector, pod.metadata.labels.as_ref()))
        .filter(|pod| !pods::is_terminal(pod) && (unready || !pods::is_deleting(pod)))
        .collect()
}

/// The address of the service's first family.
fn address_of<'a>(pod: &'a Pod, service: &Service) -> Option<&'a str> {
    let families = service.spec.as_ref().and_then(|spec| spec.ip_families.as_ref());
    let v6 = families.and_then(|list| list.first()).map(String::as_str) == Some("IPv6");
    pods::addresses(pod)
        .into_iter()
        .find(|text| text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6() == v6))
}

/// The ports a pod offers for a service: name, number, protocol, application's protocol.
pub(crate) type PortKey = Vec<(String, i32, String, Option<String>)>;

/// The ports of a service as this pod has them; a port it does not name is left out.
pub(crate) fn port_key(ports: &[ServicePort], pod: &Pod) -> PortKey {
    let key = ports.iter().filter_map(|port| {
        let number = pods::target_port(port, pod.spec.as_ref())?;
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        Some((port.name.clone().unwrap_or_default(), number, protocol, port.app_protocol.clone()))
    });
    key.collect()
}

fn subsets(service: &Service, wanted: &[&Pod]) -> Vec<EndpointSubset> {
    let spec = service.spec.clone().unwrap_or_default();
    let ports = spec.ports.unwrap_or_default();
    let mut groups: BTreeMap<PortKey, (Vec<EndpointAddress>, Vec<EndpointAddress>)> =
        BTreeMap::new();
    for pod in wanted {
        let Some(ip) = address_of(pod, service) else { continue };
        let mut key = port_key(&ports, pod);
        key.sort();
        if key.is_empty() && !ports.is_empty() {
            continue;
        }
        let address = EndpointAddress {
            ip: ip.to_owned(),
            hostname: host_name(pod, service),
            node_name: Some(pods::node_name(pod).to_owned()).filter(|node| !node.is_empty()),
            target_ref: Some(pod_reference(pod)),
        };
        let group = groups.entry(key).or_default();
        if publishes_unready(service) || pods::is_ready(pod) {
            group.0.push(address);
        } else {
            group.1.push(address);
        }
    }
    groups.into_iter().map(|(key, (ready, unready))| subset(key, ready, unready)).collect()
}

fn subset(
    key: PortKey,
    ready: Vec<EndpointAddress>,
    unready: Vec<EndpointAddress>,
) -> EndpointSubset {
    let sorted = |mut list: Vec<EndpointAddress>| {
        list.sort_by(|a, b| {
            (a.ip.parse::<IpAddr>().ok(), &a.ip).cmp(&(b.ip.parse::<IpAddr>().ok(), &b.ip))
        });
        Some(list).filter(|list| !list.is_empty())
    };
    let ports: Vec<EndpointPort> = key
        .into_iter()
        .map(|(name, port, protocol, app_protocol)| EndpointPort {
            name: Some(name).filter(|name| !name.is_empty()),
            port,
            protocol: Some(protocol),
            app_protocol,
        })
        .collect();
    EndpointSubset {
        addresses: sorted(ready),
        not_ready_addresses: sorted(unready),
        ports: Some(ports).filter(|ports| !ports.is_empty()),
    }
}

/// What a service with a selector waits for, as `leme why` and Events word it: `None` if somebody answers.
pub fn nobody_answers(service: &Service, all: &[Arc<Pod>]) -> Option<String> {
    let selector = selector(service)?;
    let wanted = pods_of(service, selector, all);
    let ready =
        wanted.iter().filter(|pod| publishes_unready(service) || pods::is_ready(pod)).count();
    match (wanted.len(), ready) {
        (0, _) => Some(format!("no pod matches the selector {}", json!(selector))),
        (some, 0) => Some(format!("none of {some} pods is ready")),
        _ => None,
    }
}
