//! Services of the type LoadBalancer: they are told the nodes' addresses, where each node opens their ports.
//!
//! Knows: which nodes count, and who has a port first. Refuses to know: how packets get anywhere.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Endpoints, Node, Service, ServicePort, ServiceSpec};
use leme_meta::ports;
use serde_json::{Value, json};

use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::report::{Report, Shown, Waiting};

/// Label of nodes that no load balancer leads to.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The old way to say who may come.
const RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
/// Where pods ask a node for names.
const NAMES: i32 = 53;
const FAILED: &str = "SyncLoadBalancerFailed";

/// What is seen.
#[derive(Debug, Default)]
pub struct Observed {
    /// The service.
    pub service: Option<Arc<Service>>,
    /// All services that are balanced here, in any namespace.
    pub balanced: Vec<Arc<Service>>,
    /// All nodes.
    pub nodes: Vec<Arc<Node>>,
    /// The Endpoints of the API, which may be on a node.
    pub api: Option<Arc<Endpoints>>,
}

/// Whether a service is balanced here: somebody else's class is somebody else's work.
pub fn is_balanced(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.is_some_and(|spec| {
        spec.type_.as_deref() == Some("LoadBalancer") && spec.load_balancer_class.is_none()
    }) && service.metadata.deletion_timestamp.is_none()
}

/// The addresses of a node that load balancers lead to.
pub fn addresses(node: &Node) -> Vec<&str> {
    let excluded = node.metadata.labels.as_ref().is_some_and(|all| all.contains_key(EXCLUDED));
    let status = node.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    let ready = conditions.any(|one| one.type_ == "Ready" && one.status == "True");
    if excluded || !ready || node.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let all = status.and_then(|status| status.addresses.as_ref()).into_iter().flatten();
    let inside = all.filter(|one| one.type_ == "InternalIP" && !one.address.contains(':'));
    inside.map(|one| one.address.as_str()).collect()
}

/// What to do for one service.
pub fn plan(seen: &Observed, _now: Timestamp) -> Plan {
    let Some(service) = &seen.service else { return Plan::default() };
    let about = ObjectRef::to(service.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    let told = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let told = json!(told.and_then(|told| told.ingress.as_ref()));
    let is_type = service.spec.as_ref().and_then(|spec| spec.type_.as_deref());
    if !is_balanced(service) {
        // What another class was told is not ours to take back.
        if is_type != Some("LoadBalancer") && !told.is_null() {
            plan.act(Action::status(about, json!({ "loadBalancer": null })));
        }
        return plan;
    }
    let mut wanted: Vec<&str> = seen.nodes.iter().flat_map(|node| addresses(node)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    if let Err(why) = may_have(service, seen, &wanted) {
        let message = format!("Error syncing load balancer: failed to ensure load balancer: {why}");
        plan.wait(Waiting::new(FAILED, message, Shown::Warning));
        wanted.clear();
    } else if wanted.is_empty() {
        let message = "There are no available nodes for LoadBalancer";
        plan.wait(Waiting::new("UnAvailableLoadBalancer", message, Shown::Warning));
    }
    let points: Vec<Value> = wanted.iter().map(|ip| json!({ "ip": ip, "ipMode": "VIP" })).collect();
    let points = if points.is_empty() { Value::Null } else { Value::Array(points) };
    if told != points {
        let has = !points.is_null();
        plan.act(Action::status(about.clone(), json!({ "loadBalancer": { "ingress": points } })));
        if has {
            plan.act(Action::normal(about, "EnsuredLoadBalancer", "Ensured load balancer"));
        }
    }
    plan
}

/// Whether a service may have its ports on these addresses, else why not. What is asked for and not carried out opens nothing.
fn may_have(service: &Service, seen: &Observed, addresses: &[&str]) -> Result<(), String> {
    let none = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&none);
    let annotated = service.metadata.annotations.as_ref();
    if spec.load_balancer_source_ranges.as_ref().is_some_and(|ranges| !ranges.is_empty())
        || annotated.is_some_and(|all| all.contains_key(RANGES))
    {
        return Err("spec.loadBalancerSourceRanges: who may come is not limited here".to_owned());
    }
    if let Some(ip) = spec.load_balancer_ip.as_deref().filter(|ip| !ip.is_empty())
        && !addresses.contains(&ip)
    {
        return Err(format!("spec.loadBalancerIP: {ip} is no address of a node that is ready"));
    }
    for port in spec.ports.iter().flatten() {
        let number = port.port;
        if number == NAMES
            || number == i32::from(ports::AGENT)
            || seen.nodes.iter().any(|node| agent_port(node) == Some(number))
        {
            return Err(format!("port {number}/{} is the nodes' own", protocol(port)));
        }
        if api_ports(seen).any(|api| api == number) && protocol(port) == "TCP" {
            return Err(format!("port {number}/TCP is the API's"));
        }
        if u16::try_from(number).is_ok_and(|port| ports::OF_NODES.contains(&port)) {
            return Err(format!("port {number}/{} may be some Service's nodePort", protocol(port)));
        }
    }
    let older = seen.balanced.iter().filter(|other| age(other) < age(service));
    for other in older {
        let theirs = other.spec.as_ref().and_then(|spec| spec.ports.as_ref());
        for port in spec.ports.iter().flatten() {
            if theirs.into_iter().flatten().any(|their| same(port, their)) {
                let (port, protocol) = (port.port, protocol(port));
                let namespace = other.metadata.namespace.as_deref().unwrap_or("");
                let name = other.metadata.name.as_deref().unwrap_or("");
                return Err(format!(
                    "port {port}/{protocol} is taken by service {namespace}/{name}"
                ));
            }
        }
    }
    Ok(())
}

/// The ports at which the API listens.
fn api_ports(seen: &Observed) -> impl Iterator<Item = i32> + '_ {
    let subsets = seen.api.iter().flat_map(|api| api.subsets.iter().flatten());
    subsets.flat_map(|subset| subset.ports.iter().flatten()).map(|port| port.port)
}

/// The port at which a node's agent is asked.
fn agent_port(node: &Node) -> Option<i32> {
    let endpoints = node.status.as_ref()?.daemon_endpoints.as_ref()?;
    Some(endpoints.kubelet_endpoint.as_ref()?.port)
}

/// Who came first.
fn age(service: &Service) -> (Option<Timestamp>, &str) {
    let meta = &service.metadata;
    let created = meta.creation_timestamp.as_ref().map(|time| time.0);
    (created, meta.uid.as_deref().unwrap_or(""))
}

fn protocol(port: &ServicePort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

fn same(one: &ServicePort, other: &ServicePort) -> bool {
    one.port == other.port && protocol(one) == protocol(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, second: u8, spec: Value, told: Value) -> Arc<Service> {
        let mut object = json!({"metadata": {"name": name, "namespace": "n", "uid": name,
            "creationTimestamp": format!("2026-01-01T00:00:0{second}Z")},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
            "status": {"loadBalancer": {"ingress": told}}});
        for (field, value) in spec.as_object().unwrap() {
            object["spec"][field] = value.clone();
        }
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn node(ip: &str, ready: &str, labels: Value) -> Arc<Node> {
        let object = json!({"metadata": {"name": ip, "labels": labels},
            "status": {"addresses": [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": "h"}],
                "conditions": [{"type": "Ready", "status": ready}]}});
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn planned(
        one: &Arc<Service>,
        others: &[Arc<Service>],
        nodes: &[Arc<Node>],
    ) -> (Vec<Value>, String) {
        let mut balanced = others.to_vec();
        balanced.push(one.clone());
        let api = json!({"metadata": {"name": "kubernetes", "namespace": "default"},
            "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 6443}]}]});
        let api = Some(Arc::new(serde_json::from_value(api).unwrap()));
        let seen = Observed { service: Some(one.clone()), balanced, nodes: nodes.to_vec(), api };
        let plan = plan(&seen, Timestamp::UNIX_EPOCH);
        let patches = plan.actions.into_iter().filter_map(|action| match action {
            Action::Patch { patch, .. } => Some(patch["status"]["loadBalancer"].clone()),
            _ => None,
        });
        let why = plan.report.waiting.first().map_or("", |one| one.message.as_str()).to_owned();
        (patches.collect(), why)
    }

    /// Red when a node that is not ready is told of, and when what is told already is written again.
    #[test]
    fn services_are_told_the_nodes_that_are_ready() {
        let nodes = [
            node("10.0.0.2", "True", json!({})),
            node("10.0.0.1", "True", json!({})),
            node("10.0.0.3", "Unknown", json!({})),
            node("10.0.0.4", "True", json!({EXCLUDED: ""})),
        ];
        let both =
            json!([{"ip": "10.0.0.1", "ipMode": "VIP"}, {"ip": "10.0.0.2", "ipMode": "VIP"}]);
        let fresh = service("a", 1, json!({}), Value::Null);
        assert_eq!(planned(&fresh, &[], &nodes), (vec![json!({"ingress": both})], String::new()));
        assert_eq!(
            planned(&service("a", 1, json!({}), both.clone()), &[], &nodes).0,
            Vec::<Value>::new()
        );
        let (patches, why) = planned(&service("a", 1, json!({}), both.clone()), &[], &nodes[2..]);
        assert_eq!(patches, [json!({"ingress": null})]);
        assert!(why.contains("no available nodes"), "{why}");
        let other = json!({"loadBalancerClass": "x.io/y"});
        assert_eq!(
            planned(&service("a", 1, other, both.clone()), &[], &nodes).0,
            Vec::<Value>::new()
        );
        let no_more = json!({"type": "ClusterIP"});
        assert_eq!(planned(&service("a", 1, no_more, both), &[], &nodes).0, [Value::Null]);
    }

    /// Red when what limits who may come is passed over, and when two services open one port.
    #[test]
    fn what_cannot_be_had_opens_nothing() {
        let nodes = [node("10.0.0.1", "True", json!({}))];
        let check = |spec: Value, others: &[Arc<Service>], expected: &str| {
            let (patches, why) = planned(&service("b", 2, spec, Value::Null), others, &nodes);
            assert!(patches.is_empty() && why.contains(expected), "{why}");
        };
        check(json!({"loadBalancerSourceRanges": ["10.0.0.0/8"]}), &[], "loadBalancerSourceRanges");
        check(json!({"loadBalancerIP": "10.0.0.9"}), &[], "10.0.0.9 is no address");
        // Red when a Service takes from all pods what names are, or from the API what nodes say.
        for (port, protocol) in
            [(53, "UDP"), (53, "TCP"), (10250, "TCP"), (30080, "TCP"), (6443, "TCP")]
        {
            let ports = json!({"ports": [{"port": port, "protocol": protocol}]});
            check(ports, &[], &format!("port {port}/{protocol} "));
        }
        let older = [service("a", 1, json!({}), Value::Null)];
        check(json!({}), &older, "port 80/TCP is taken by service n/a");
        let younger = [service("c", 3, json!({}), Value::Null)];
        let udp = service("b", 2, json!({"ports": [{"port": 80, "protocol": "UDP"}]}), Value::Null);
        assert_eq!(planned(&udp, &older, &nodes).0.len(), 1);
        let first = service("b", 2, json!({}), Value::Null);
        assert_eq!(planned(&first, &younger, &nodes).0.len(), 1);
    }
}
