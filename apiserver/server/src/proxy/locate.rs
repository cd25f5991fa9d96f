//! Where a proxied request goes.
//!
//! Knows: the forms of a name with scheme and port, how pods, services and nodes say their address, which addresses are
//! nobody's to be proxied to. Refuses to know: HTTP.

use leme_meta::quote;
use std::net::{IpAddr, SocketAddr};

use leme_kinds::Kind;
use leme_meta::Status;
use leme_registry::json;
use serde_json::Value;

use super::dial;
use crate::api::Api;
use crate::node_proxy::Endpoint;
use crate::request::ResourceRequest;
use crate::table;

/// How a connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Plain,
    /// TLS with whatever certificate the backend shows: pods have none that anybody could check.
    Tls,
    /// TLS with the cluster's authority on both sides.
    Agent,
}

/// A backend. Its addresses were checked after its name was resolved, and are what is dialled: a name that resolves to
/// something else a moment later makes no difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) transport: Transport,
    pub(super) host: String,
    pub(super) port: u16,
    /// Whom a certificate that is checked must name.
    pub(super) name: String,
    pub(super) addresses: Vec<SocketAddr>,
}

impl Destination {
    fn of(transport: Transport, ip: IpAddr, port: u16) -> Destination {
        let addresses = vec![SocketAddr::new(ip, port)];
        let host = ip.to_string();
        Destination { transport, name: host.clone(), host, port, addresses }
    }

    /// Host and port as a URL has them.
    pub(super) fn authority(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// Splits `name`, `name:port` or `scheme:name:port`.
fn split(id: &str) -> Option<(&str, &str, &str)> {
    let parts: Vec<&str> = id.split(':').collect();
    let (scheme, name, port) = match parts.as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme, name, port] => (*scheme, *name, *port),
        _ => return None,
    };
    (!name.is_empty() && matches!(scheme, "" | "http" | "https")).then_some((scheme, name, port))
}

fn transport(scheme: &str) -> (Transport, u16) {
    if scheme == "https" { (Transport::Tls, 443) } else { (Transport::Plain, 80) }
}

/// An address that traffic may be proxied to: one that means the same from everywhere. Loopback is the server's own,
/// link-local the machine's surroundings (cloud metadata among them).
fn allowed(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(local || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

fn not_allowed() -> Status {
    Status::bad_request("address not allowed")
}

fn port_number(port: &str) -> Result<u16, Status> {
    port.parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| dial::unreachable(&format!("dial tcp: lookup tcp/{port}: unknown port")))
}

impl Api {
    pub(super) async fn locate(&self, request: &ResourceRequest) -> Result<Destination, Status> {
        let id = &request.name;
        let what = &*request.kind.singular;
        let Some((scheme, name, port)) = split(id) else {
            return Err(Status::bad_request(format!(
                "invalid {what} request {id}",
                id = quote(&id)
            )));
        };
        self.catch_up(None).await?;
        let object = self.object(&request.kind, &request.namespace, name)?;
        match what {
            "pod" => of_pod(&object, scheme, port),
            "service" => self.of_service(request, &object, (scheme, name, port)),
            "node" => of_node(&object, scheme, port).await,
            _ => Err(Status::no_such_path()),
        }
    }

    fn object(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Value, Status> {
        let object = self.cache.get(&kind.prefix(None), &kind.key(namespace, name));
        let object = object.ok_or_else(|| Status::not_found(&kind.gvr(), name))?;
        table::decoded(&object)
    }

    fn of_service(
        &self,
        request: &ResourceRequest,
        service: &Value,
        (scheme, name, port): (&str, &str, &str),
    ) -> Result<Destination, Status> {
        let port_name = match port.parse::<i64>() {
            Err(_) => port,
            Ok(number) => {
                let ports = json::list(service, &["spec", "ports"]);
                let found = ports.iter().find(|port| json::int(port, &["port"]) == Some(number));
                let found = found.ok_or_else(|| {
                    Status::unavailable(format!(
                        "no service port {number} found for service {name}",
                        name = quote(&name)
                    ))
                })?;
                json::text(found, &["name"])
            }
        };
        let row =
            |plural| leme_kinds::by_resource("", "v1", plural).ok_or_else(Status::no_such_path);
        let endpoints = self.object(row("endpoints")?, &request.namespace, name)?;
        let nobody = |name: &str| {
            Status::unavailable(format!(
                "no endpoints available for service {name}",
                name = quote(&name)
            ))
        };
        let subsets = json::list(&endpoints, &["subsets"]);
        if subsets.is_empty() {
            return Err(nobody(name));
        }
        let pods = row("pods")?;
        let pod_has = |address: &Value| self.pod_has(pods, &request.namespace, address);
        let (ip, port) =
            choose(subsets, port_name, random(), pod_has).ok_or_else(|| nobody(&request.name))?;
        if !allowed(ip) {
            return Err(not_allowed());
        }
        Ok(Destination::of(transport(scheme).0, ip, port))
    }

    /// Whether an endpoint's address is that of a pod of the same namespace: anybody who may write Endpoints could
    /// otherwise have the server speak to anything.
    fn pod_has(&self, pods: &Kind, namespace: &str, address: &Value) -> bool {
        let target = json::text(address, &["targetRef", "name"]);
        let foreign = json::text(address, &["targetRef", "namespace"]);
        if !foreign.is_empty() && foreign != namespace {
            return false;
        }
        let ip = json::text(address, &["ip"]);
        if !target.is_empty() {
            return self.object(pods, namespace, target).is_ok_and(|pod| has_ip(&pod, ip));
        }
        let (prefix, of_namespace) = (pods.prefix(None), pods.prefix(Some(namespace)));
        let snapshot = self.cache.snapshot(&prefix);
        snapshot.is_some_and(|snapshot| {
            let mut objects = snapshot.range(&of_namespace, "");
            objects.any(|pod| table::decoded(pod).is_ok_and(|pod| has_ip(&pod, ip)))
        })
    }
}

fn random() -> usize {
    usize::from(uuid::Uuid::new_v4().as_bytes()[0])
}

fn has_ip(pod: &Value, ip: &str) -> bool {
    let ips = json::list(pod, &["status", "podIPs"]).iter().map(|one| json::text(one, &["ip"]));
    !ip.is_empty() && ips.chain([json::text(pod, &["status", "podIP"])]).any(|own| own == ip)
}

/// An address of a subset that has the port, beginning at a random one.
fn choose(
    subsets: &[Value],
    port_name: &str,
    seed: usize,
    valid: impl Fn(&Value) -> bool,
) -> Option<(IpAddr, u16)> {
    let from_seed = |count: usize| (0..count).map(move |index| (seed + index) % count);
    for subset in from_seed(subsets.len()).filter_map(|index| subsets.get(index)) {
        let ports = json::list(subset, &["ports"]);
        let found = ports.iter().find(|port| json::text(port, &["name"]) == port_name);
        let port = found
            .and_then(|port| json::int(port, &["port"]))
            .and_then(|port| u16::try_from(port).ok());
        let Some(port) = port else { continue };
        let addresses = json::list(subset, &["addresses"]);
        let usable = from_seed(addresses.len())
            .filter_map(|index| addresses.get(index))
            .filter(|address| valid(address))
            .find_map(|address| json::text(address, &["ip"]).parse::<IpAddr>().ok());
        if let Some(ip) = usable {
            return Some((ip, port));
        }
    }
    None
}

fn of_pod(pod: &Value, scheme: &str, port: &str) -> Result<Destination, Status> {
    let (transport, usual) = transport(scheme);
    let first = json::list(pod, &["spec", "containers"])
        .iter()
        .flat_map(|container| json::list(container, &["ports"]))
        .find_map(|port| json::int(port, &["containerPort"]))
        .and_then(|port| u16::try_from(port).ok());
    let ips = json::list(pod, &["status", "podIPs"]);
    let ip = ips
        .first()
        .map_or_else(|| json::text(pod, &["status", "podIP"]), |one| json::text(one, &["ip"]));
    let ip = ip.parse::<IpAddr>().ok().filter(|ip| allowed(*ip)).ok_or_else(not_allowed)?;
    let port = if port.is_empty() { first.unwrap_or(usual) } else { port_number(port)? };
    Ok(Destination::of(transport, ip, port))
}

async fn of_node(node: &Value, scheme: &str, port: &str) -> Result<Destination, Status> {
    let agent = Endpoint::of_node(node)?;
    let (transport, port) = if port.is_empty() || port == agent.port().to_string() {
        (Transport::Agent, agent.port())
    } else {
        (transport(scheme).0, port_number(port)?)
    };
    let host = agent.host().to_owned();
    let found = tokio::net::lookup_host((host.as_str(), port)).await;
    let addresses: Vec<SocketAddr> =
        found.map_err(|error| Status::bad_request(format!("lookup {host}: {error}")))?.collect();
    if addresses.is_empty() {
        return Err(Status::bad_request("no addresses for hostname"));
    }
    if !addresses.iter().all(|address| allowed(address.ip())) {
        return Err(not_allowed());
    }
    Ok(Destination { transport, host, port, name: agent.name().to_owned(), addresses })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_may_have_a_scheme_and_a_port() {
        for (id, parts) in [
            ("a", Some(("", "a", ""))),
            ("a:80", Some(("", "a", "80"))),
            ("a:web", Some(("", "a", "web"))),
            ("https:a:443", Some(("https", "a", "443"))),
            ("https:a:", Some(("https", "a", ""))),
            ("ftp:a:21", None),
            (":80", None),
            ("a:b:c:d", None),
        ] {
            assert_eq!(split(id), parts, "{id}");
        }
    }

    /// CVE-2022-3294 and the rule for pods: red when `allowed` is always true.
    #[test]
    fn nothing_is_proxied_to_loopback_or_link_local_addresses() {
        for (ip, fine) in [
            ("10.244.0.7", true),
            ("8.8.8.8", true),
            ("fd00::7", true),
            ("127.0.0.1", false),
            ("127.8.8.8", false),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.1.1", false),
        ] {
            assert_eq!(allowed(ip.parse().unwrap()), fine, "{ip}");
        }
    }

    #[tokio::test]
    async fn pods_and_nodes_with_forbidden_addresses_are_refused() {
        let pod = |ip: &str| {
            json!({ "spec": { "containers": [{ "ports": [{ "containerPort": 8080 }] }] },
                    "status": { "podIP": ip } })
        };
        let found = of_pod(&pod("10.0.0.1"), "", "").unwrap();
        assert_eq!(
            (found.authority().as_str(), found.transport),
            ("10.0.0.1:8080", Transport::Plain)
        );
        let found = of_pod(&pod("fd00::1"), "https", "9").unwrap();
        assert_eq!((found.authority().as_str(), found.transport), ("[fd00::1]:9", Transport::Tls));
        for ip in ["127.0.0.1", "169.254.169.254", ""] {
            let refused = of_pod(&pod(ip), "", "").unwrap_err();
            assert_eq!((refused.code, refused.message.as_str()), (400, "address not allowed"));
        }
        let node = |address: &str| {
            json!({ "metadata": { "name": "n" }, "status": {
                "addresses": [{ "type": "InternalIP", "address": address }],
                "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } } } })
        };
        let found = of_node(&node("10.0.0.9"), "", "").await.unwrap();
        assert_eq!((found.port, found.transport), (10250, Transport::Agent));
        let found = of_node(&node("10.0.0.9"), "", "9100").await.unwrap();
        assert_eq!((found.port, found.transport), (9100, Transport::Plain));
        // A name is resolved before it is judged.
        for address in ["127.0.0.1", "localhost", "169.254.1.1"] {
            let refused = of_node(&node(address), "", "").await.unwrap_err();
            assert_eq!(refused.message, "address not allowed", "{address}");
        }
    }

    #[test]
    fn an_endpoint_is_chosen_by_port_name_among_the_valid() {
        let subsets = json!([
            { "addresses": [{ "ip": "10.0.0.1" }], "ports": [{ "name": "a", "port": 1 }] },
            { "addresses": [{ "ip": "10.0.0.2" }, { "ip": "10.0.0.3" }],
              "ports": [{ "name": "b", "port": 2 }] },
        ]);
        let subsets = subsets.as_array().unwrap();
        for seed in 0..4 {
            let chosen = choose(subsets, "b", seed, |one| one["ip"] == "10.0.0.3").unwrap();
            assert_eq!(chosen, ("10.0.0.3".parse().unwrap(), 2));
        }
        assert_eq!(choose(subsets, "c", 0, |_| true), None);
        assert_eq!(choose(subsets, "a", 0, |_| false), None);
    }
}
