//! Which address and port leads to which endpoints. Pure: knows services and slices, refuses to know nftables.

use crate::model::{EndpointInfo, Model, Protocol, ServiceInfo, ServicePort, serving};
use leme_client::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// What clients connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Frontend {
    /// The cluster address of a service, or one of its load balancer.
    Cluster(Ipv4Addr, Protocol, u16),
    /// A port on every address of the node.
    Node(Protocol, u16),
}

impl Frontend {
    /// The transport protocol.
    pub(super) fn protocol(self) -> Protocol {
        let (Frontend::Cluster(_, protocol, _) | Frontend::Node(protocol, _)) = self;
        protocol
    }
}

/// Where a connection is sent.
pub(super) type Backend = (Ipv4Addr, u16);

/// The endpoints behind a frontend; none means refuse.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Target {
    pub(super) backends: BTreeSet<Backend>,
    /// How many seconds a client keeps its endpoint after its last connection, if at all.
    pub(super) sticky: Option<u32>,
}

/// What of the node matters to rules.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) node_name: String,
    /// Addresses served by this node itself: no rules for them.
    pub(super) local_addresses: BTreeSet<Ipv4Addr>,
}

/// All frontends, with the service each belongs to.
#[derive(Default)]
pub(super) struct Rules {
    by_service: BTreeMap<Key, BTreeMap<Frontend, Target>>,
}

impl Rules {
    /// Recomputes one service.
    pub(super) fn update(&mut self, model: &Model, key: &Key, scope: &Scope) {
        let rules = desired(model, key, scope);
        if rules.is_empty() {
            self.by_service.remove(key);
        } else {
            self.by_service.insert(key.clone(), rules);
        }
    }

    /// Rules made of these frontends.
    #[cfg(test)]
    pub(super) fn test(all: &[(Frontend, Target)]) -> Rules {
        let all = all.iter().cloned().collect();
        Rules { by_service: BTreeMap::from([(Key::default(), all)]) }
    }

    /// Every frontend. Should two services claim one, the first by name has it.
    pub(super) fn frontends(&self) -> BTreeMap<Frontend, &Target> {
        let mut all = BTreeMap::new();
        for (frontend, target) in self.by_service.values().flatten() {
            all.entry(*frontend).or_insert(target);
        }
        all
    }
}

/// The rules of one service.
pub(super) fn desired(model: &Model, key: &Key, scope: &Scope) -> BTreeMap<Frontend, Target> {
    let Some(service) = model.service(key).filter(|service| !service.unproxied) else {
        return BTreeMap::new();
    };
    let mut rules = BTreeMap::new();
    for port in &service.ports {
        let cluster = target(model, key, service, port, local(service.internal_local, scope));
        for &ip in service.cluster_ips.iter().filter(|ip| !scope.local_addresses.contains(ip)) {
            rules.insert(Frontend::Cluster(ip, port.protocol, port.port), cluster.clone());
        }
        let outside = service.balanced.iter().filter(|ip| !scope.local_addresses.contains(ip));
        for &ip in outside {
            let target = target(model, key, service, port, local(service.external_local, scope));
            rules.insert(Frontend::Cluster(ip, port.protocol, port.port), target);
        }
        if let Some(node_port) = port.node_port {
            let node = target(model, key, service, port, local(service.external_local, scope));
            rules.insert(Frontend::Node(port.protocol, node_port), node);
        }
    }
    rules
}

fn local(only: bool, scope: &Scope) -> Option<&str> {
    only.then_some(scope.node_name.as_str())
}

fn target(
    model: &Model,
    key: &Key,
    service: &ServiceInfo,
    port: &ServicePort,
    node: Option<&str>,
) -> Target {
    let here = |endpoint: &&EndpointInfo| node.is_none() || endpoint.node.as_deref() == node;
    let mut candidates: Vec<(&EndpointInfo, u16)> = Vec::new();
    for slice in model.slices(key) {
        let listens =
            slice.ports.iter().filter(|p| p.name == port.name && p.protocol == port.protocol);
        for slice_port in listens {
            candidates.extend(slice.endpoints.iter().filter(here).map(|e| (e, slice_port.port)));
        }
    }
    let endpoints: Vec<_> = candidates.iter().map(|(endpoint, _)| *endpoint).collect();
    let chosen = serving(&endpoints);
    let used = |endpoint: &EndpointInfo| chosen.iter().any(|other| std::ptr::eq(*other, endpoint));
    let backends = candidates.iter().filter(|(endpoint, _)| used(endpoint));
    Target {
        backends: backends.map(|(endpoint, port)| (endpoint.address, *port)).collect(),
        sticky: service.sticky,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SliceInfo;
    use serde_json::{Value, json};

    fn key() -> Key {
        ("ns".into(), "web".into())
    }

    fn model(service: Value, slices: &[Value]) -> Model {
        let mut model = Model::default();
        let labels = service["labels"].clone();
        let service = json!({ "metadata": {"labels": labels}, "spec": service });
        let service = serde_json::from_value(service).unwrap();
        model.put_service(key(), ServiceInfo::of(&service));
        for (index, slice) in slices.iter().enumerate() {
            let slice = serde_json::from_value(slice.clone()).unwrap();
            let name = ("ns".into(), format!("web-{index}"));
            model.put_slice(name, Some("web".into()), SliceInfo::of(&slice));
        }
        model
    }

    fn show(rules: &BTreeMap<Frontend, Target>) -> Vec<String> {
        let backend = |(ip, port): &Backend| format!("{ip}:{port}");
        rules
            .iter()
            .map(|(frontend, target)| {
                let to: Vec<_> = target.backends.iter().map(backend).collect();
                let sticky = target.sticky.map(|s| format!(" sticky {s}")).unwrap_or_default();
                match frontend {
                    Frontend::Cluster(ip, protocol, port) => {
                        format!("{}:{ip}:{port} -> {}{sticky}", protocol.name(), to.join(","))
                    }
                    Frontend::Node(protocol, port) => {
                        format!("{}:*:{port} -> {}{sticky}", protocol.name(), to.join(","))
                    }
                }
            })
            .collect()
    }

    #[track_caller]
    fn check(service: Value, slices: &[Value], expected: &[&str]) {
        let scope = Scope {
            node_name: "here".into(),
            local_addresses: BTreeSet::from([Ipv4Addr::new(10, 96, 0, 10)]),
        };
        assert_eq!(show(&desired(&model(service, slices), &key(), &scope)), expected);
    }

    fn slice(port: Value, endpoints: Value) -> Value {
        json!({"addressType": "IPv4", "ports": [port], "endpoints": endpoints})
    }

    #[test]
    fn ready_endpoints_of_all_slices() {
        let http = json!({"name": "http", "protocol": "TCP", "port": 8080});
        check(
            json!({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
                "ports": [{"name": "http", "port": 80}, {"name": "dns", "protocol": "UDP", "port": 53}]}),
            &[
                slice(
                    http.clone(),
                    json!([
                        {"addresses": ["10.244.0.2"], "conditions": {"ready": true}},
                        {"addresses": ["10.244.0.3"], "conditions": {"ready": false}},
                        {"addresses": ["10.244.0.4"]},
                    ]),
                ),
                slice(http, json!([{"addresses": ["10.244.1.2"], "conditions": {"ready": true}}])),
                slice(
                    json!({"name": "dns", "protocol": "UDP", "port": 5353}),
                    json!([{"addresses": ["10.244.0.2"]}]),
                ),
            ],
            &[
                "tcp:10.96.0.1:80 -> 10.244.0.2:8080,10.244.0.4:8080,10.244.1.2:8080",
                "udp:10.96.0.1:53 -> 10.244.0.2:5353",
            ],
        );
    }

    #[test]
    fn special_addresses_are_never_endpoints() {
        check(
            json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}),
            &[slice(
                json!({"port": 80}),
                json!([{"addresses": ["127.0.0.1"]}, {"addresses": ["169.254.169.254"]},
                    {"addresses": ["0.0.0.0"]}, {"addresses": ["not an address"]}, {"addresses": []}]),
            )],
            &["tcp:10.96.0.1:80 -> "],
        );
    }

    #[test]
    fn draining_endpoints_serve_only_when_nothing_is_ready() {
        let draining = json!({"addresses": ["10.244.0.3"],
            "conditions": {"ready": false, "serving": true, "terminating": true}});
        let service = json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80}]});
        let alone = slice(json!({"port": 80}), json!([draining]));
        check(service.clone(), &[alone], &["tcp:10.96.0.1:80 -> 10.244.0.3:80"]);
        let both = slice(json!({"port": 80}), json!([draining, {"addresses": ["10.244.0.4"]}]));
        check(service, &[both], &["tcp:10.96.0.1:80 -> 10.244.0.4:80"]);
    }

    #[test]
    fn node_ports_and_local_policies() {
        let slices = [slice(
            json!({"port": 80}),
            json!([{"addresses": ["10.244.0.2"], "nodeName": "here"},
                {"addresses": ["10.244.1.2"], "nodeName": "there"}]),
        )];
        check(
            json!({"type": "NodePort", "clusterIP": "10.96.0.1", "sessionAffinity": "ClientIP",
                "externalTrafficPolicy": "Local", "ports": [{"port": 80, "nodePort": 30080}]}),
            &slices,
            &[
                "tcp:10.96.0.1:80 -> 10.244.0.2:80,10.244.1.2:80 sticky 10800",
                "tcp:*:30080 -> 10.244.0.2:80 sticky 10800",
            ],
        );
    }

    #[test]
    fn nothing_for_headless_external_and_local_services() {
        let slices = [slice(json!({"port": 80}), json!([{"addresses": ["10.244.0.2"]}]))];
        for spec in [
            json!({"clusterIP": "None", "ports": [{"port": 80}]}),
            json!({"type": "ExternalName", "externalName": "example.org", "ports": [{"port": 80}]}),
            json!({"clusterIP": "10.96.0.10", "ports": [{"port": 53}]}),
            // Red when the labels are not looked at.
            json!({"labels": {"service.kubernetes.io/headless": ""}, "clusterIP": "10.96.0.1", "ports": [{"port": 80}]}),
            json!({"labels": {"service.kubernetes.io/service-proxy-name": "other"}, "clusterIP": "10.96.0.1",
                "ports": [{"port": 80}]}),
            json!({"clusterIP": "fd00::1", "ports": [{"port": 53}]}),
            json!({"clusterIP": "10.96.0.1", "ports": [{"port": 0}, {"port": 70000}]}),
        ] {
            check(spec, &slices, &[]);
        }
    }

    #[test]
    fn clients_stay_as_long_as_the_service_says() {
        for (asked, kept) in
            [(json!(null), 10_800), (json!(7), 7), (json!(0), 10_800), (json!(99_999), 86_400)]
        {
            check(
                json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80}], "sessionAffinity": "ClientIP",
                    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": asked}}}),
                &[],
                &[&format!("tcp:10.96.0.1:80 ->  sticky {kept}")],
            );
        }
    }

    #[test]
    fn a_gone_service_leaves_nothing() {
        let mut model = model(json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}), &[]);
        let mut rules = Rules::default();
        rules.update(&model, &key(), &Scope::default());
        assert_eq!(rules.frontends().len(), 1);
        model.remove_service(&key());
        rules.update(&model, &key(), &Scope::default());
        assert!(rules.frontends().is_empty());
    }
}
