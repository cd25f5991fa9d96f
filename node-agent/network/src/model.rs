//! What this crate needs of Services and EndpointSlices, kept current by watches. Knows how to reduce the API's objects to a
//! few fields and which services a change touched; refuses to know what rules, names or routes are made of them.

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use leme_client::{Client, Error, Event, Events, Key, Known, Resource, Scope, Step, follow_as};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

/// How long changes are gathered after the first one.
const COALESCE: Duration = Duration::from_millis(2);

/// A transport protocol that services and host ports carry.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    pub(crate) fn parse(text: Option<&str>) -> Option<Protocol> {
        match text {
            None | Some("TCP") => Some(Protocol::Tcp),
            Some("UDP") => Some(Protocol::Udp),
            Some("SCTP") => Some(Protocol::Sctp),
            Some(_) => None,
        }
    }

    /// The name in nftables, SRV records and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServicePort {
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) node_port: Option<u16>,
    /// What is spoken there.
    pub(crate) app_protocol: Option<String>,
}

/// A service, reduced.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct ServiceInfo {
    pub(crate) cluster_ips: Vec<Ipv4Addr>,
    /// Addresses at which a load balancer lets connections through to this node as they come.
    pub(crate) balanced: Vec<Ipv4Addr>,
    pub(crate) headless: bool,
    pub(crate) external_name: Option<String>,
    pub(crate) ports: Vec<ServicePort>,
    /// How many seconds a client keeps its endpoint after its last connection, if at all.
    pub(crate) sticky: Option<u32>,
    /// Somebody else carries its traffic, or nobody.
    pub(crate) unproxied: bool,
    /// internalTrafficPolicy Local.
    pub(crate) internal_local: bool,
    /// externalTrafficPolicy Local.
    pub(crate) external_local: bool,
}

/// A port that the endpoints of a slice listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlicePort {
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    /// HTTP/2 is spoken there without TLS and without being asked: what `appProtocol` says.
    pub(crate) http2: bool,
}

/// What `appProtocol` is for HTTP/2 without TLS: in Kubernetes' words, and as it was written before there were any.
const HTTP2: [&str; 2] = ["kubernetes.io/h2c", "h2c"];

/// An endpoint, reduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointInfo {
    pub(crate) address: Ipv4Addr,
    pub(crate) ready: bool,
    /// Going away but still answering: used when nothing is ready.
    pub(crate) draining: bool,
    pub(crate) hostname: Option<String>,
    pub(crate) node: Option<String>,
    /// The pod that it is.
    pub(crate) pod: Option<String>,
}

/// An endpoint slice, reduced.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct SliceInfo {
    pub(crate) ports: Vec<SlicePort>,
    pub(crate) endpoints: Vec<EndpointInfo>,
}

/// Services with one of these labels are not this node's to carry.
const UNPROXIED: [&str; 2] =
    ["service.kubernetes.io/headless", "service.kubernetes.io/service-proxy-name"];
/// The default of `sessionAffinityConfig.clientIP.timeoutSeconds`, and its largest value: a day.
const AFFINITY_SECONDS: (u32, u32) = (10_800, 86_400);

/// How long a client keeps its endpoint.
fn sticky(spec: &ServiceSpec) -> Option<u32> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref();
    let asked = config.and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    let asked = asked.and_then(|seconds| u32::try_from(seconds).ok());
    Some(asked.filter(|seconds| *seconds > 0).unwrap_or(AFFINITY_SECONDS.0).min(AFFINITY_SECONDS.1))
}

/// The addresses of a load balancer whose packets arrive with them.
fn balanced(service: &Service) -> Vec<Ipv4Addr> {
    let is_type = service.spec.as_ref().and_then(|spec| spec.type_.as_deref());
    let status = service.status.as_ref().filter(|_| is_type == Some("LoadBalancer"));
    let told = status.and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let arriving = told.into_iter().flatten().filter(|one| one.ip_mode.as_deref() != Some("Proxy"));
    let addresses = arriving.filter_map(|one| one.ip.as_deref()?.parse::<Ipv4Addr>().ok());
    // Nobody is led away from what a node says to itself.
    addresses
        .filter(|one| !(one.is_loopback() || one.is_unspecified() || one.is_link_local()))
        .collect()
}

fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port > 0)
}

impl ServiceInfo {
    pub(crate) fn of(service: &Service) -> ServiceInfo {
        let Some(spec) = &service.spec else { return ServiceInfo::default() };
        if spec.type_.as_deref() == Some("ExternalName") {
            return ServiceInfo { external_name: spec.external_name.clone(), ..Default::default() };
        }
        let one = spec.cluster_ip.clone().into_iter();
        let ips: BTreeSet<String> = spec.cluster_ips.iter().flatten().cloned().chain(one).collect();
        let labels = service.metadata.labels.as_ref();
        let ports = spec.ports.iter().flatten().filter_map(|port| {
            Some(ServicePort {
                name: port.name.clone().unwrap_or_default(),
                protocol: Protocol::parse(port.protocol.as_deref())?,
                port: port_number(port.port)?,
                node_port: port.node_port.and_then(port_number),
                app_protocol: port.app_protocol.clone(),
            })
        });
        ServiceInfo {
            headless: ips.contains("None"),
            cluster_ips: ips.iter().filter_map(|ip| ip.parse().ok()).collect(),
            balanced: balanced(service),
            external_name: None,
            ports: ports.collect(),
            sticky: sticky(spec),
            unproxied: labels
                .is_some_and(|labels| UNPROXIED.iter().any(|l| labels.contains_key(*l))),
            internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
            external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
        }
    }
}

impl SliceInfo {
    pub(crate) fn of(slice: &EndpointSlice) -> SliceInfo {
        if slice.address_type != "IPv4" {
            return SliceInfo::default();
        }
        let ports = slice.ports.iter().flatten().filter_map(|port| {
            Some(SlicePort {
                name: port.name.clone().unwrap_or_default(),
                protocol: Protocol::parse(port.protocol.as_deref())?,
                port: port_number(port.port?)?,
                http2: port.app_protocol.as_deref().is_some_and(|one| HTTP2.contains(&one)),
            })
        });
        let endpoints = slice.endpoints.iter().flatten().filter_map(endpoint);
        SliceInfo { ports: ports.collect(), endpoints: endpoints.collect() }
    }
}

/// An endpoint that traffic may be sent to. Loopback, link-local and other special addresses are refused: whoever may write an
/// endpoint must not reach this host's own services or a cloud's metadata through it.
fn endpoint(endpoint: &Endpoint) -> Option<EndpointInfo> {
    let address: Ipv4Addr = endpoint.addresses.first()?.parse().ok()?;
    let special = address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_unspecified()
        || address.is_broadcast();
    if special {
        return None;
    }
    let pod = endpoint.target_ref.as_ref().filter(|one| one.kind.as_deref() == Some("Pod"));
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|c| c.ready).unwrap_or(true);
    let terminating = conditions.and_then(|c| c.terminating).unwrap_or(false);
    let serving = conditions.and_then(|c| c.serving).unwrap_or(ready);
    Some(EndpointInfo {
        address,
        ready,
        draining: serving && terminating,
        hostname: endpoint.hostname.clone(),
        node: endpoint.node_name.clone(),
        pod: pod.and_then(|pod| pod.name.clone()),
    })
}

/// Services and their endpoint slices.
#[derive(Default)]
pub(crate) struct Model {
    services: BTreeMap<Key, ServiceInfo>,
    /// By service, then by slice name.
    slices: BTreeMap<Key, BTreeMap<String, SliceInfo>>,
    /// Which service a slice belongs to.
    owners: BTreeMap<Key, Key>,
    dirty: BTreeSet<Key>,
}

impl Model {
    pub(crate) fn service(&self, key: &Key) -> Option<&ServiceInfo> {
        self.services.get(key)
    }

    pub(crate) fn slices(&self, key: &Key) -> impl Iterator<Item = &SliceInfo> {
        self.slices.get(key).into_iter().flat_map(BTreeMap::values)
    }

    /// The TCP ports that load balancers have on this node.
    pub(crate) fn balanced_ports(&self) -> BTreeSet<u16> {
        let balanced = self.services.values().filter(|service| !service.balanced.is_empty());
        let ports = balanced.flat_map(|service| &service.ports);
        ports.filter(|port| port.protocol == Protocol::Tcp).map(|port| port.port).collect()
    }

    pub(crate) fn put_service(&mut self, key: Key, info: ServiceInfo) {
        if self.services.get(&key) != Some(&info) {
            self.services.insert(key.clone(), info);
            self.dirty.insert(key);
        }
    }

    pub(crate) fn remove_service(&mut self, key: &Key) {
        if self.services.remove(key).is_some() {
            self.dirty.insert(key.clone());
        }
    }

    pub(crate) fn put_slice(&mut self, slice: Key, service: Option<String>, info: SliceInfo) {
        let owner = service.map(|name| (slice.0.clone(), name));
        if self.owners.get(&slice) != owner.as_ref() {
            self.remove_slice(&slice);
        }
        let Some(owner) = owner else { return };
        let held = self.slices.entry(owner.clone()).or_default();
        if held.get(&slice.1) != Some(&info) {
            held.insert(slice.1.clone(), info);
            self.dirty.insert(owner.clone());
        }
        self.owners.insert(slice, owner);
    }

    pub(crate) fn remove_slice(&mut self, slice: &Key) {
        let Some(owner) = self.owners.remove(slice) else { return };
        if let Some(held) = self.slices.get_mut(&owner) {
            held.remove(&slice.1);
            if held.is_empty() {
                self.slices.remove(&owner);
            }
        }
        self.dirty.insert(owner);
    }

    /// The services changed since the last call.
    pub(crate) fn take_dirty(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.dirty)
    }
}

/// A [`Model`] kept current.
pub(crate) struct Feed {
    pub(crate) model: Model,
    services: Events<Service>,
    slices: Events<EndpointSlice>,
    known_services: Known,
    known_slices: Known,
    delivered: bool,
}

impl Feed {
    pub(crate) fn new(client: &Client) -> Feed {
        let services = Resource::namespaced("v1", "Service", "services");
        let slices = Resource::namespaced("discovery.k8s.io/v1", "EndpointSlice", "endpointslices");
        Feed {
            model: Model::default(),
            services: follow_as(client.clone(), Scope::all(services)),
            slices: follow_as(client.clone(), Scope::all(slices)),
            known_services: Known::default(),
            known_slices: Known::default(),
            delivered: false,
        }
    }

    /// Waits until something changed and both lists are complete; returns the services it touched. The first answer names every
    /// service and may be empty. Cancelling loses nothing.
    pub(crate) async fn next(&mut self) -> BTreeSet<Key> {
        while !self.synced() || (self.delivered && self.model.dirty.is_empty()) {
            self.one().await;
        }
        // What arrives together is applied together.
        let deadline = tokio::time::Instant::now() + COALESCE;
        while tokio::time::Instant::now() < deadline {
            let _ = tokio::time::timeout_at(deadline, self.one()).await;
        }
        self.delivered = true;
        self.model.take_dirty()
    }

    fn synced(&self) -> bool {
        self.known_services.is_complete() && self.known_slices.is_complete()
    }

    async fn one(&mut self) {
        tokio::select! {
            Some(event) = self.services.next() => self.service_event(event),
            Some(event) = self.slices.next() => self.slice_event(event),
            // Watches never end; should they, waiting beats spinning.
            else => std::future::pending().await,
        }
    }

    fn service_event(&mut self, event: Result<Event<Service>, Error>) {
        match event.map(|event| self.known_services.step(event)) {
            Ok(Step::Put(key, service)) => self.model.put_service(key, ServiceInfo::of(&service)),
            Ok(Step::Gone(keys)) => keys.iter().for_each(|key| self.model.remove_service(key)),
            Ok(Step::Nothing) => {}
            Err(error) => tracing::debug!(%error, "watching services"),
        }
    }

    fn slice_event(&mut self, event: Result<Event<EndpointSlice>, Error>) {
        match event.map(|event| self.known_slices.step(event)) {
            Ok(Step::Put(key, slice)) => {
                let labels = slice.metadata.labels.as_ref();
                let owner = labels.and_then(|labels| labels.get("kubernetes.io/service-name"));
                self.model.put_slice(key, owner.cloned(), SliceInfo::of(&slice));
            }
            Ok(Step::Gone(keys)) => keys.iter().for_each(|key| self.model.remove_slice(key)),
            Ok(Step::Nothing) => {}
            Err(error) => tracing::debug!(%error, "watching endpoint slices"),
        }
    }
}

/// The endpoints among `all` that traffic goes to: the ready ones, else those that drain.
pub(crate) fn serving<'a>(all: &[&'a EndpointInfo]) -> Vec<&'a EndpointInfo> {
    let ready: Vec<_> = all.iter().copied().filter(|endpoint| endpoint.ready).collect();
    if !ready.is_empty() {
        return ready;
    }
    all.iter().copied().filter(|endpoint| endpoint.draining).collect()
}

/// Whether a route's or probe's port reference names this port.
pub(crate) fn names_port(reference: &IntOrString, port: &SlicePort) -> bool {
    match reference {
        IntOrString::Int(number) => *number == i32::from(port.port),
        IntOrString::String(name) => *name == port.name || *name == port.port.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_follow_their_service() {
        let key = |name: &str| ("ns".to_owned(), name.to_owned());
        let slice = SliceInfo {
            ports: vec![SlicePort {
                name: "p".into(),
                protocol: Protocol::Tcp,
                port: 1,
                http2: false,
            }],
            ..Default::default()
        };
        let mut model = Model::default();
        model.put_slice(key("s"), Some("a".into()), slice.clone());
        assert_eq!(model.take_dirty(), [key("a")].into());
        model.put_slice(key("s"), Some("a".into()), slice.clone());
        assert_eq!(model.take_dirty(), [].into(), "nothing changed");
        model.put_slice(key("s"), Some("b".into()), slice.clone());
        assert_eq!(model.take_dirty(), [key("a"), key("b")].into());
        assert_eq!((model.slices(&key("a")).count(), model.slices(&key("b")).count()), (0, 1));
        model.put_slice(key("s"), None, slice);
        assert_eq!(model.slices(&key("b")).count(), 0);
    }
}
