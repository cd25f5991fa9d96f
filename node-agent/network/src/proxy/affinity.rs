//! Which client stays with which endpoint: the part of the table that the kernel fills by itself. Words the rules that fill it,
//! reads it and takes out what no longer holds; what holds is said by whoever asks.

use super::Cidr;
use super::desired::{Backend, Frontend};
use crate::model::Protocol;
use crate::nft;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt::Write;
use std::net::Ipv4Addr;

/// The map of clients in the table.
pub(super) const MAP: &str = "affinity";

/// Clients that can be bound to an endpoint; more are led as if each connection were their first.
const CLIENTS: usize = 65_536;

/// A client that stays with an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bond {
    client: Ipv4Addr,
    /// What the client connected to.
    pub(super) asked: (Ipv4Addr, Protocol, u16),
    pub(super) backend: Backend,
    /// Seconds that a bond lasts, and that this one still does.
    timeout: u64,
    left: u64,
}

/// The bonds of a table; none when there is no such table.
pub(super) async fn list(table: &str) -> Result<Vec<Bond>> {
    let Some(text) = nft::map(table, MAP).await? else { return Ok(Vec::new()) };
    let listed: Value = serde_json::from_str(&text).context("nft answers no JSON")?;
    let objects = listed["nftables"].as_array().into_iter().flatten();
    let elements = objects.filter_map(|object| object["map"]["elem"].as_array()).flatten();
    Ok(elements.filter_map(bond).collect())
}

fn bond(element: &Value) -> Option<Bond> {
    let key = &element[0]["elem"];
    let parts = key["val"]["concat"].as_array()?;
    let [client, address, protocol, port] = &parts[..] else { return None };
    let [ip, backend_port] = &element[1]["concat"].as_array()?[..] else { return None };
    let number = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    Some(Bond {
        client: client.as_str()?.parse().ok()?,
        asked: (address.as_str()?.parse().ok()?, protocol_of(protocol)?, number(port)?),
        backend: (ip.as_str()?.parse().ok()?, number(backend_port)?),
        timeout: key["timeout"].as_u64()?,
        left: key["expires"].as_u64().unwrap_or(0),
    })
}

/// A protocol by its name or, where the machine has no list of names, by its number.
fn protocol_of(value: &Value) -> Option<Protocol> {
    let all = [(Protocol::Tcp, 6), (Protocol::Udp, 17), (Protocol::Sctp, 132)];
    let same = |(protocol, number): &&(Protocol, u64)| {
        value == protocol.name() || value.as_u64() == Some(*number)
    };
    all.iter().find(same).map(|(protocol, _)| *protocol)
}

/// The statements that put these bonds into a table that has none.
pub(super) fn restore(table: &str, bonds: &[Bond]) -> String {
    bonds.iter().filter(|bond| bond.left > 0).fold(String::new(), |mut script, bond| {
        let (timeout, left) = (bond.timeout, bond.left);
        let timing = format!("timeout {timeout}s expires {left}s");
        let _ = writeln!(script, "add element ip {table} {MAP} {{ {} }}", bond.element(&timing));
        script
    })
}

/// The statements that take these bonds out. Each is added first: one that expired by itself in between would fail the whole.
pub(super) fn remove(table: &str, bonds: &[&Bond]) -> String {
    let mut script = String::new();
    for bond in bonds {
        let timing = format!("timeout {}s", bond.timeout);
        let _ = writeln!(script, "add element ip {table} {MAP} {{ {} }}", bond.element(&timing));
        let _ = writeln!(script, "delete element ip {table} {MAP} {{ {} }}", bond.key());
    }
    script
}

impl Bond {
    fn key(&self) -> String {
        let (address, protocol, port) = self.asked;
        format!("{} . {address} . {} . {port}", self.client, protocol.name())
    }

    fn element(&self, timing: &str) -> String {
        format!("{} {timing} : {} . {}", self.key(), self.backend.0, self.backend.1)
    }
}

/// Where it is written that a frontend remembers its clients, and the chain that does so.
pub(super) fn remembered(frontend: Frontend, seconds: u32) -> ((&'static str, String), String) {
    let place = match frontend {
        Frontend::Cluster(ip, protocol, port) => {
            let set = match protocol {
                Protocol::Tcp => "sticky-tcp",
                Protocol::Udp => "sticky-udp",
                Protocol::Sctp => "sticky-sctp",
            };
            (set, format!("{ip} . {port}"))
        }
        Frontend::Node(protocol, port) => {
            let set = match protocol {
                Protocol::Tcp => "stickyports-tcp",
                Protocol::Udp => "stickyports-udp",
                Protocol::Sctp => "stickyports-sctp",
            };
            (set, port.to_string())
        }
    };
    (place, chain((frontend.protocol(), seconds)))
}

/// The chain that remembers clients of this protocol for so many seconds.
pub(super) fn chain((protocol, seconds): (Protocol, u32)) -> String {
    format!("remember-{}-{seconds}", protocol.name())
}

/// The chain that binds a client to the endpoint it was led to, or goes on doing so.
pub(super) fn add_chain(table: &str, (protocol, seconds): (Protocol, u32)) -> String {
    format!(
        "add chain ip {table} {chain} {{ meta l4proto {protocol} update @{map} {{ \
         ip saddr . ct original ip daddr . meta l4proto . ct original proto-dst timeout {seconds}s : \
         ip daddr . th dport }}; }}\n",
        chain = chain((protocol, seconds)),
        protocol = protocol.name(),
        map = MAP,
    )
}

/// The maps, and what decides, at the first packet of a connection that was led somewhere, whether its client is remembered.
pub(super) fn rules(service_cidr: Option<Cidr>) -> String {
    let mut maps = format!(
        "map {MAP} {{ typeof ip saddr . ip daddr . meta l4proto . th dport : ip daddr . th dport; \
         flags dynamic,timeout; size {CLIENTS}; }}\n"
    );
    let mut rules = String::new();
    let outside = service_cidr
        .map_or(String::new(), |(ip, len)| format!("ct original ip daddr != {ip}/{len} "));
    for protocol in ["tcp", "udp", "sctp"] {
        let _ =
            writeln!(maps, "map sticky-{protocol} {{ type ipv4_addr . inet_service : verdict; }}");
        let _ = writeln!(maps, "map stickyports-{protocol} {{ type inet_service : verdict; }}");
        let _ = writeln!(
            rules,
            "meta l4proto {protocol} ct original ip daddr . ct original proto-dst vmap @sticky-{protocol}
meta l4proto {protocol} {outside}ct original proto-dst vmap @stickyports-{protocol}"
        );
    }
    format!("{maps}chain remember {{\n{rules}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bonds_are_read_and_written() {
        let element = |protocol: Value| {
            json!([{"elem": {"val": {"concat": ["10.244.0.9", "10.96.0.1", protocol, 80]},
                "timeout": 10, "expires": 4}}, {"concat": ["10.244.0.2", 8080]}])
        };
        let read = bond(&element(json!("tcp"))).unwrap();
        assert_eq!(bond(&element(json!(6))), Some(read.clone()));
        assert_eq!(bond(&element(json!("icmp"))), None);
        assert_eq!(bond(&json!([])), None);
        assert_eq!(
            restore("t", std::slice::from_ref(&read)),
            "add element ip t affinity { 10.244.0.9 . 10.96.0.1 . tcp . 80 timeout 10s expires 4s : 10.244.0.2 . 8080 }\n"
        );
        let gone = remove("t", &[&read]);
        assert!(
            gone.ends_with("delete element ip t affinity { 10.244.0.9 . 10.96.0.1 . tcp . 80 }\n"),
            "{gone}"
        );
    }
}
