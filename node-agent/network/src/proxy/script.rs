//! Words the rules for `nft`: the table, what fills it, and the difference between two fillings. Pure.
//!
//! The shape decides the speed. There is no chain per service: `services` sends a destination to a chain for its number of
//! slots, which draws a slot and finds the endpoint in one flat map. A change is a few elements, whatever the cluster's size.

use super::desired::{Backend, Frontend, Rules};
use super::{Cidr, ProxyConfig};
use crate::nft;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Up to this many endpoints a drawing frontend has exactly one slot for each.
const EXACT: usize = 64;
/// Slot counts for sticky and node-port frontends and for many endpoints: the first with four slots per endpoint, else the last.
const COARSE: [usize; 3] = [64, 512, 4096];
/// Elements per `add element`.
const BATCH: usize = 1000;

/// Elements of the table's sets and maps: set name -> key -> value (empty for plain sets).
type Elements = BTreeMap<&'static str, BTreeMap<String, String>>;

/// What the table holds.
pub(super) struct Programmed {
    slots: BTreeMap<Frontend, Vec<Backend>>,
    elements: Elements,
}

impl Programmed {
    /// Fills slots for `rules`, leaving in place what `before` had in place.
    pub(super) fn from(rules: &Rules, before: Option<&Programmed>) -> Programmed {
        let mut slots = BTreeMap::new();
        let mut elements = Elements::new();
        for (frontend, target) in rules.frontends() {
            let (destination, services, slot_map, exact) = match frontend {
                Frontend::Cluster(ip, protocol, port) => {
                    let exact = !target.sticky;
                    (format!("{ip} . {} . {port}", protocol.name()), "services", "slots", exact)
                }
                Frontend::Node(protocol, port) => {
                    (format!("{} . {port}", protocol.name()), "nodeports", "nodeslots", false)
                }
            };
            if target.backends.is_empty() {
                if matches!(frontend, Frontend::Cluster(..)) {
                    elements.entry("silent").or_default().insert(destination, String::new());
                }
                continue;
            }
            let count = slot_count(target.backends.len(), exact);
            let held = before.and_then(|before| before.slots.get(&frontend)).map(Vec::as_slice);
            let filled = fill(held.unwrap_or_default(), &target.backends, count);
            for (slot, (ip, port)) in filled.iter().enumerate() {
                let value = format!("{ip} . {port}");
                elements.entry(slot_map).or_default().insert(format!("{destination} . {slot}"), value);
                elements.entry("hairpin").or_default().insert(format!("{ip} . {ip}"), String::new());
            }
            let chain = chain(frontend, target.sticky, count);
            elements.entry(services).or_default().insert(destination, format!("goto {chain}"));
            slots.insert(frontend, filled);
        }
        Programmed { slots, elements }
    }
}

fn slot_count(backends: usize, exact: bool) -> usize {
    if exact && backends <= EXACT {
        return backends;
    }
    let last = COARSE[COARSE.len() - 1];
    COARSE.into_iter().find(|count| *count >= backends * 4).unwrap_or(last)
}

fn chain(frontend: Frontend, sticky: bool, count: usize) -> String {
    let prefix = if matches!(frontend, Frontend::Node(..)) { "node-" } else { "" };
    let how = if sticky { "stick" } else { "draw" };
    format!("{prefix}{how}-{count}")
}

/// Spreads `backends` evenly over `count` slots, moving as few of the slots `held` before as that takes.
fn fill(held: &[Backend], backends: &BTreeSet<Backend>, count: usize) -> Vec<Backend> {
    let backends: Vec<Backend> = backends.iter().copied().take(count).collect();
    let (share, extra) = (count / backends.len(), count % backends.len());
    let mut left: BTreeMap<Backend, usize> = BTreeMap::new();
    for (index, backend) in backends.iter().enumerate() {
        left.insert(*backend, share + usize::from(index < extra));
    }
    let mut slots: Vec<Option<Backend>> = vec![None; count];
    for (slot, backend) in slots.iter_mut().zip(held) {
        if let Some(room) = left.get_mut(backend).filter(|room| **room > 0) {
            *room -= 1;
            *slot = Some(*backend);
        }
    }
    // Round robin over the rest, so that neighbouring slots differ.
    let mut rest = Vec::new();
    while left.values().any(|room| *room > 0) {
        for (backend, room) in left.iter_mut().filter(|(_, room)| **room > 0) {
            *room -= 1;
            rest.push(*backend);
        }
    }
    let mut rest = rest.into_iter();
    slots.into_iter().filter_map(|slot| slot.or_else(|| rest.next())).collect()
}

/// The transaction that replaces whatever is there.
pub(super) fn full(config: &ProxyConfig, next: &Programmed) -> String {
    let mut script = nft::drop_table(&config.table);
    script.push_str(&table(config));
    for (set, elements) in &next.elements {
        add(&mut script, &config.table, set, elements.iter());
    }
    script
}

/// The transaction that leads from `held` to `next`; empty when they are equal.
pub(super) fn difference(table: &str, held: &Programmed, next: &Programmed) -> String {
    let mut script = String::new();
    let none = BTreeMap::new();
    let sets: BTreeSet<_> = held.elements.keys().chain(next.elements.keys()).collect();
    let mut added = String::new();
    for set in sets {
        let before = held.elements.get(set).unwrap_or(&none);
        let after = next.elements.get(set).unwrap_or(&none);
        let gone = before.iter().filter(|(key, value)| after.get(*key) != Some(*value));
        remove(&mut script, table, set, gone.map(|(key, _)| key));
        add(&mut added, table, set, after.iter().filter(|(k, v)| before.get(*k) != Some(*v)));
    }
    script + &added
}

fn add<'a>(
    script: &mut String,
    table: &str,
    set: &str,
    elements: impl Iterator<Item = (&'a String, &'a String)>,
) {
    let element = |(key, value): (&String, &String)| {
        if value.is_empty() { key.clone() } else { format!("{key} : {value}") }
    };
    batches(script, "add", table, set, elements.map(element));
}

fn remove<'a>(script: &mut String, table: &str, set: &str, keys: impl Iterator<Item = &'a String>) {
    batches(script, "delete", table, set, keys.cloned());
}

fn batches(script: &mut String, verb: &str, table: &str, set: &str, all: impl Iterator<Item = String>) {
    let all: Vec<String> = all.collect();
    for batch in all.chunks(BATCH) {
        let _ = writeln!(script, "{verb} element ip {table} {set} {{ {} }}", batch.join(", "));
    }
}

/// The table without elements.
fn table(config: &ProxyConfig) -> String {
    let text = |(ip, len): Cidr| format!("{ip}/{len}");
    let (pods, cluster) = (text(config.pod_cidr), text(config.cluster_cidr));
    let name = &config.table;
    let unknown = config.service_cidr.map_or(String::new(), |cidr| {
        let locals: Vec<_> = config.local_addresses.iter().map(|ip| ip.to_string()).collect();
        let but = match locals.is_empty() {
            true => String::new(),
            false => format!("ip daddr != {{ {} }} ", locals.join(", ")),
        };
        format!("ip daddr {} {but}goto refuse", text(cidr))
    });
    let slot_key = "numgen random mod 65536 : ip daddr . th dport";
    let mut script = format!(
        "table ip {name} {{
map services {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
map slots {{ typeof ip daddr . meta l4proto . th dport . {slot_key}; }}
map nodeports {{ type inet_proto . inet_service : verdict; }}
map nodeslots {{ typeof meta l4proto . th dport . {slot_key}; }}
set silent {{ type ipv4_addr . inet_proto . inet_service; }}
set hairpin {{ type ipv4_addr . ipv4_addr; }}
"
    );
    for count in (1..=EXACT).chain(COARSE.into_iter().skip(1)) {
        let pick = format!("numgen random mod {count}");
        let _ = writeln!(script, "{}", pick_chain(&format!("draw-{count}"), "ip daddr . ", &pick, "slots"));
    }
    for count in COARSE {
        let (hash, draw) = (format!("jhash ip saddr mod {count}"), format!("numgen random mod {count}"));
        let _ = writeln!(script, "{}", pick_chain(&format!("stick-{count}"), "ip daddr . ", &hash, "slots"));
        let _ = writeln!(script, "{}", pick_chain(&format!("node-stick-{count}"), "", &hash, "nodeslots"));
        let _ = writeln!(script, "{}", pick_chain(&format!("node-draw-{count}"), "", &draw, "nodeslots"));
    }
    let nat = "ip daddr . meta l4proto . th dport vmap @services
fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @nodeports";
    let refuse = format!("ip daddr . meta l4proto . th dport @silent goto refuse\n{unknown}");
    let _ = write!(
        script,
        "chain refuse {{
meta l4proto tcp reject with tcp reset
reject with icmp type port-unreachable
}}
chain from-pods {{ type nat hook prerouting priority dstnat; policy accept;
{nat}
}}
chain from-host {{ type nat hook output priority -100; policy accept;
{nat}
}}
chain return-path {{ type nat hook postrouting priority srcnat; policy accept;
oifname \"lo\" return
ct status dnat ip saddr . ip daddr @hairpin masquerade fully-random
ct status dnat ip saddr != {cluster} ip daddr != {pods} masquerade fully-random
}}
chain forwarded {{ type filter hook forward priority filter; policy accept;
{refuse}
}}
chain sent {{ type filter hook output priority filter; policy accept;
{refuse}
}}
}}
"
    );
    script
}

fn pick_chain(name: &str, prefix: &str, pick: &str, map: &str) -> String {
    format!("chain {name} {{ dnat ip to {prefix}meta l4proto . th dport . {pick} map @{map}; }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backends(last: &[u8]) -> BTreeSet<Backend> {
        last.iter().map(|n| (std::net::Ipv4Addr::new(10, 244, 0, *n), 80)).collect()
    }

    fn spread(slots: &[Backend]) -> BTreeMap<u8, usize> {
        let mut counts = BTreeMap::new();
        for (ip, _) in slots {
            *counts.entry(ip.octets()[3]).or_default() += 1;
        }
        counts
    }

    #[test]
    fn slots_are_even_and_stay() {
        let three = fill(&[], &backends(&[1, 2, 3]), 64);
        assert_eq!(spread(&three), BTreeMap::from([(1, 22), (2, 21), (3, 21)]));
        let two = fill(&three, &backends(&[1, 3]), 64);
        assert_eq!(spread(&two), BTreeMap::from([(1, 32), (3, 32)]));
        // Only the slots of the one that left changed hands.
        let moved = three.iter().zip(&two).filter(|(before, after)| before != after);
        assert!(moved.clone().all(|(before, _)| before.0.octets()[3] == 2), "{:?}", moved.count());
        assert_eq!(fill(&two, &backends(&[1, 3]), 64), two);
    }

    fn config() -> ProxyConfig {
        ProxyConfig {
            table: "leme-script-test".into(),
            node_name: "node".into(),
            node_ip: [10, 244, 0, 1].into(),
            pod_cidr: ([10, 244, 0, 0].into(), 24),
            cluster_cidr: ([10, 244, 0, 0].into(), 16),
            service_cidr: Some(([10, 96, 0, 0].into(), 16)),
            local_addresses: vec![[10, 96, 0, 10].into()],
        }
    }

    #[tokio::test]
    async fn the_kernel_takes_the_table() {
        let elements = "services|10.96.0.1 . tcp . 80|goto draw-1
slots|10.96.0.1 . tcp . 80 . 0|10.244.0.2 . 8080
services|10.96.0.2 . sctp . 80|goto stick-4096
nodeports|udp . 30053|goto node-draw-64
nodeslots|udp . 30053 . 63|10.244.0.2 . 53
hairpin|10.244.0.2 . 10.244.0.2|
silent|10.96.0.3 . udp . 53|";
        let mut next = Programmed { slots: BTreeMap::new(), elements: Elements::new() };
        for line in elements.lines() {
            let [set, key, value] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
            next.elements.entry(set).or_default().insert(key.into(), value.into());
        }
        nft::dry_run(&full(&config(), &next)).await.unwrap();
    }

    #[test]
    fn more_backends_than_slots() {
        let many: BTreeSet<Backend> =
            (0..5000u32).map(|n| (std::net::Ipv4Addr::from(0x0af4_0000 + n), 80)).collect();
        let count = slot_count(many.len(), true);
        assert_eq!(count, 4096);
        assert_eq!(fill(&[], &many, count).len(), 4096);
        assert_eq!((slot_count(3, true), slot_count(65, true), slot_count(16, false)), (3, 512, 64));
    }
}
