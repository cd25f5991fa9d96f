//! Ports of this node that lead to pods. Knows which addresses and ports, and words the rules for them; refuses to know whose the
//! pods are and when they come and go.
//!
//! A port without an address answers on every address of this host, its loopback included, but not on those of other nodes that
//! live on the same host: these have ports of their own.

use super::PodNetworkConfig;
use crate::model::Protocol;
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// A port of the node that leads to a port of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostPort {
    /// The address it answers on; none is every address.
    address: Option<Ipv4Addr>,
    protocol: Protocol,
    port: u16,
    pod_port: u16,
}

impl HostPort {
    /// A port as pods name it: `address` is `hostIP`, where empty and `0.0.0.0` mean every address; `protocol` is `TCP`, `UDP` or
    /// `SCTP`. An error says what cannot be had.
    pub fn new(address: &str, protocol: &str, port: u16, pod_port: u16) -> Result<HostPort> {
        let address = match address.parse() {
            _ if address.is_empty() => None,
            Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => None,
            Ok(IpAddr::V4(v4)) => Some(v4),
            _ => {
                bail!("host port {port}: this node has no host address {address:?}, only IPv4 ones")
            }
        };
        let Some(protocol) = Protocol::parse(Some(protocol)) else {
            bail!("host port {port}: unknown protocol {protocol:?}");
        };
        Ok(HostPort { address, protocol, port, pod_port })
    }

    /// Whether one connection could mean both.
    pub(super) fn clashes(&self, other: &HostPort) -> bool {
        let apart =
            self.address.is_some() && other.address.is_some() && self.address != other.address;
        self.protocol == other.protocol && self.port == other.port && !apart
    }

    pub(super) fn is_udp(&self) -> bool {
        self.protocol == Protocol::Udp
    }

    /// Whether a datagram to `address` and `port` is for this one, on a host with the addresses `own`.
    pub(super) fn covers(&self, address: Ipv4Addr, port: u16, own: &[Ipv4Addr]) -> bool {
        let here = || address.is_loopback() || own.contains(&address);
        self.port == port && self.address.map_or_else(here, |wanted| wanted == address)
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = self.address.map(|ip| ip.to_string()).unwrap_or_default();
        write!(f, "{address}:{}/{}", self.port, self.protocol.name())
    }
}

/// The ports of pods, by their address.
pub(super) type Mapped = BTreeMap<Ipv4Addr, Vec<HostPort>>;

/// The sets and chains for `mapped`, inside a table. Empty sets cost one look-up for a new connection to this host.
pub(super) fn rules(config: &PodNetworkConfig, mapped: &Mapped) -> String {
    let (mut bound, mut any, mut pods) = (Vec::new(), Vec::new(), Vec::new());
    for (pod, ports) in mapped.iter().filter(|(_, ports)| !ports.is_empty()) {
        pods.push(format!("{pod} . {pod}"));
        for HostPort { address, protocol, port, pod_port } in ports {
            let key = format!("{} . {port}", protocol.name());
            match address {
                Some(address) => bound.push(format!("{address} . {key} : {pod} . {pod_port}")),
                None => any.push(format!("{key} : {pod} . {pod_port}")),
            }
        }
    }
    let (cluster, gateway, bridge) = (config.cluster_cidr, config.gateway(), &config.bridge);
    let mut script = String::new();
    let mut set = |declaration: &str, elements: &[String]| {
        let elements = match elements.is_empty() {
            true => String::new(),
            false => format!("elements = {{ {} }}; ", elements.join(", ")),
        };
        let _ = writeln!(script, "{declaration}; {elements}}}");
    };
    set("map bound { typeof ip daddr . meta l4proto . th dport : ip daddr . th dport", &bound);
    set("map any { typeof meta l4proto . th dport : ip daddr . th dport", &any);
    set("set mapped { type ipv4_addr . ipv4_addr", &pods);
    script
        + &format!(
            "chain host-ports {{
fib daddr type != local return
ip daddr {}/{} ip daddr != {gateway} return
dnat ip to ip daddr . meta l4proto . th dport map @bound
dnat ip to meta l4proto . th dport map @any
}}
chain host-ports-in {{ type nat hook prerouting priority dstnat - 1; policy accept; jump host-ports; }}
chain host-ports-out {{ type nat hook output priority -101; policy accept; jump host-ports; }}
chain host-ports-back {{ type nat hook postrouting priority srcnat - 1; policy accept;
ct status dnat ip saddr . ip daddr @mapped masquerade fully-random
ct status dnat oifname \"{bridge}\" ip saddr 127.0.0.0/8 masquerade fully-random
}}
",
            cluster.0, cluster.1
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(address: &str, protocol: &str, port: u16) -> HostPort {
        HostPort::new(address, protocol, port, 80).unwrap()
    }

    #[test]
    fn clashes() {
        let any = port("", "TCP", 80);
        assert_eq!(any, port("0.0.0.0", "TCP", 80));
        for (other, clash) in [
            (port("", "TCP", 80), true),
            (port("192.0.2.1", "TCP", 80), true),
            (port("", "UDP", 80), false),
            (port("", "TCP", 81), false),
        ] {
            assert_eq!(any.clashes(&other), clash, "{other}");
            assert_eq!(other.clashes(&any), clash, "{other}");
        }
        assert!(!port("192.0.2.1", "TCP", 80).clashes(&port("192.0.2.2", "TCP", 80)));
        for (address, protocol) in [("::", "TCP"), ("::1", "TCP"), ("node", "TCP"), ("", "DCCP")] {
            assert!(HostPort::new(address, protocol, 80, 80).is_err(), "{address} {protocol}");
        }
    }
}
