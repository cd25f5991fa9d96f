//! Words the rules for `nft`: the table, what fills it, and the difference between two fillings. Pure.
//!
//! The shape decides the speed. There is no chain per service: `services` sends a destination to a chain for its number of
//! slots, which draws a slot and finds the endpoint in one flat map. A change is a few elements, whatever the cluster's size.
//!
//! A client that stays with its endpoint is in a map that the kernel fills: after the endpoint is chosen, the first packet of a
//! connection writes or renews the entry, which the next connection finds before anything is drawn.

use super::affinity::{self, Bond};
use super::desired::{Backend, Frontend, Rules, Target};
use super::{Cidr, ProxyConfig};
use crate::model::Protocol;
use crate::nft;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Up to this many endpoints a drawing frontend has exactly one slot for each.
const EXACT: usize = 64;
/// Slot counts for node-port frontends and for many endpoints: the first with four slots per endpoint, else the last.
const COARSE: [usize; 3] = [64, 512, 4096];
/// Elements per `add element`.
const BATCH: usize = 1000;

/// What one frontend put into the table.
struct Part {
    target: Target,
    slots: Vec<Backend>,
}

/// What the table holds. Parts that stay are shared between one state and the next, so that a change costs what it changes.
#[derive(Default)]
pub(super) struct Programmed {
    parts: BTreeMap<Frontend, Arc<Part>>,
    /// How many frontends lead to an endpoint.
    hairpin: BTreeMap<Ipv4Addr, usize>,
    /// How many frontends remember their clients for so many seconds.
    remembering: BTreeMap<(Protocol, u32), usize>,
}

/// UDP frontends and all that they lead to.
pub(super) type Current = BTreeMap<Frontend, BTreeSet<Backend>>;

/// Elements by set and key; values are empty in plain sets.
type Elements = BTreeMap<(&'static str, String), String>;

impl Programmed {
    /// Fills slots for `rules`, leaving in place what `before` had in place.
    pub(super) fn from(rules: &Rules, before: Option<&Programmed>) -> Programmed {
        let none = Programmed::default();
        let before = before.unwrap_or(&none);
        let mut next = Programmed::default();
        for (frontend, target) in rules.frontends() {
            let held = before.parts.get(&frontend);
            let part = match held {
                Some(held) if held.target == *target => held.clone(),
                _ => Arc::new(Part::new(frontend, target, held.map(Arc::as_ref))),
            };
            next.parts.insert(frontend, part);
        }
        let mut hairpin = before.hairpin.clone();
        let mut remembering = before.remembering.clone();
        for (frontend, held, part) in changes(before, &next) {
            let key = |part: &Part| part.target.sticky.map(|s| (frontend.protocol(), s));
            if let Some(key) = part.and_then(key) {
                *remembering.entry(key).or_default() += 1;
            }
            if let Some(key) = held.and_then(key) {
                *remembering.entry(key).or_default() -= 1;
            }
            for (ip, _) in part.iter().flat_map(|part| &part.target.backends) {
                *hairpin.entry(*ip).or_default() += 1;
            }
            for (ip, _) in held.iter().flat_map(|part| &part.target.backends) {
                *hairpin.entry(*ip).or_default() -= 1;
            }
        }
        hairpin.retain(|_, count| *count > 0);
        next.hairpin = hairpin;
        remembering.retain(|_, count| *count > 0);
        next.remembering = remembering;
        next
    }

    /// Whether a client may stay with its endpoint.
    pub(super) fn holds(&self, bond: &Bond) -> bool {
        let (address, protocol, port) = bond.asked;
        let cluster = self.parts.get(&Frontend::Cluster(address, protocol, port));
        let part = cluster.or_else(|| self.parts.get(&Frontend::Node(protocol, port)));
        let target = part.map(|part| &part.target).filter(|target| target.sticky.is_some());
        target.is_some_and(|target| target.backends.contains(&bond.backend))
    }
}

/// Whether clients may be bound to what `next` does not have any more.
pub(super) fn unbinds(held: &Programmed, next: &Programmed) -> bool {
    changes(held, next).iter().any(|(_, held, _)| held.is_some_and(|p| p.target.sticky.is_some()))
}

/// The UDP frontends that differ, with what they lead to in `next`.
pub(super) fn udp_changes(held: &Programmed, next: &Programmed) -> Current {
    let mut current = Current::new();
    for (frontend, _, new) in changes(held, next) {
        if frontend.protocol() == Protocol::Udp {
            let backends = new.map(|new| new.target.backends.clone());
            current.insert(frontend, backends.unwrap_or_default());
        }
    }
    current
}

/// The frontends that differ, with the part before and after.
fn changes<'a>(
    before: &'a Programmed,
    after: &'a Programmed,
) -> Vec<(Frontend, Option<&'a Part>, Option<&'a Part>)> {
    let mut changes = Vec::new();
    for (frontend, part) in &after.parts {
        match before.parts.get(frontend) {
            Some(held) if Arc::ptr_eq(held, part) => {}
            held => changes.push((*frontend, held.map(Arc::as_ref), Some(part.as_ref()))),
        }
    }
    for (frontend, held) in &before.parts {
        if !after.parts.contains_key(frontend) {
            changes.push((*frontend, Some(held.as_ref()), None));
        }
    }
    changes
}

impl Part {
    fn new(frontend: Frontend, target: &Target, held: Option<&Part>) -> Part {
        let held = held.map_or(&[][..], |held| &held.slots);
        let count = slot_count(target.backends.len(), exact(frontend));
        Part { target: target.clone(), slots: fill(held, &target.backends, count) }
    }

    fn add_to(&self, elements: &mut Elements, frontend: Frontend) {
        let (destination, services, slot_map) = match frontend {
            Frontend::Cluster(ip, protocol, port) => {
                (format!("{ip} . {} . {port}", protocol.name()), "services", "slots")
            }
            Frontend::Node(protocol, port) => {
                (format!("{} . {port}", protocol.name()), "nodeports", "nodeslots")
            }
        };
        if self.slots.is_empty() {
            // A node port without endpoints is an ordinary port on which nobody listens.
            if matches!(frontend, Frontend::Cluster(..)) {
                elements.insert(("silent", destination), String::new());
            }
            return;
        }
        for (slot, (ip, port)) in self.slots.iter().enumerate() {
            elements
                .insert((slot_map, format!("{destination} . {slot}")), format!("{ip} . {port}"));
        }
        let chain = chain(frontend, self.slots.len());
        elements.insert((services, destination), format!("goto {chain}"));
        if let Some(seconds) = self.target.sticky {
            let (place, chain) = affinity::remembered(frontend, seconds);
            elements.insert(place, format!("goto {chain}"));
        }
    }
}

/// Whether a frontend gets exactly one slot per endpoint.
fn exact(frontend: Frontend) -> bool {
    matches!(frontend, Frontend::Cluster(..))
}

fn slot_count(backends: usize, exact: bool) -> usize {
    if exact && backends <= EXACT {
        return backends;
    }
    let last = COARSE[COARSE.len() - 1];
    COARSE.into_iter().find(|count| *count >= backends * 4).unwrap_or(last)
}

fn chain(frontend: Frontend, count: usize) -> String {
    let prefix = if matches!(frontend, Frontend::Node(..)) { "node-" } else { "" };
    format!("{prefix}draw-{count}")
}

/// Spreads `backends` evenly over `count` slots, moving as few of the slots `held` before as that takes.
fn fill(held: &[Backend], backends: &BTreeSet<Backend>, count: usize) -> Vec<Backend> {
    let backends: Vec<Backend> = backends.iter().copied().take(count).collect();
    if backends.is_empty() {
        return Vec::new();
    }
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

/// The transaction that replaces whatever is there. Of the clients that were bound before, those in `bonds` stay so if they may.
pub(super) fn full(config: &ProxyConfig, next: &Programmed, bonds: Vec<Bond>) -> String {
    let fill = difference(&config.table, &Programmed::default(), next);
    let bonds: Vec<Bond> = bonds.into_iter().filter(|bond| next.holds(bond)).collect();
    let kept = affinity::restore(&config.table, &bonds);
    nft::drop_table(&config.table) + &table(config) + &fill + &kept
}

/// The transaction that leads from `held` to `next`; empty when they are equal.
pub(super) fn difference(table: &str, held: &Programmed, next: &Programmed) -> String {
    let (mut before, mut after) = (Elements::new(), Elements::new());
    for (frontend, old, new) in changes(held, next) {
        old.into_iter().for_each(|part| part.add_to(&mut before, frontend));
        new.into_iter().for_each(|part| part.add_to(&mut after, frontend));
    }
    let hairpin = |ip: &Ipv4Addr| (("hairpin", format!("{ip} . {ip}")), String::new());
    before.extend(held.hairpin.keys().filter(|ip| !next.hairpin.contains_key(ip)).map(hairpin));
    after.extend(next.hairpin.keys().filter(|ip| !held.hairpin.contains_key(ip)).map(hairpin));
    let gone = before.iter().filter(|(key, value)| after.get(key) != Some(value));
    let come = after.iter().filter(|(key, value)| before.get(key) != Some(value));
    let with_value = |key: &String, value: &String| match value.is_empty() {
        true => key.clone(),
        false => format!("{key} : {value}"),
    };
    let removed = gone.map(|((set, key), _)| (*set, key.clone()));
    let added = come.map(|((set, key), value)| (*set, with_value(key, value)));
    let mut script = statements("delete", table, removed);
    for key in held.remembering.keys().filter(|key| !next.remembering.contains_key(key)) {
        let _ = writeln!(script, "delete chain ip {table} {}", affinity::chain(*key));
    }
    for key in next.remembering.keys().filter(|key| !held.remembering.contains_key(key)) {
        script += &affinity::add_chain(table, *key);
    }
    script + &statements("add", table, added)
}

/// One statement per set and batch of elements.
fn statements(
    verb: &str,
    table: &str,
    elements: impl Iterator<Item = (&'static str, String)>,
) -> String {
    let mut sets: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (set, element) in elements {
        sets.entry(set).or_default().push(element);
    }
    let mut script = String::new();
    for (set, elements) in sets {
        for batch in elements.chunks(BATCH) {
            let _ = writeln!(script, "{verb} element ip {table} {set} {{ {} }}", batch.join(", "));
        }
    }
    script
}

/// The table without elements.
fn table(config: &ProxyConfig) -> String {
    let slot_key = "numgen random mod 65536 : ip daddr . th dport";
    format!(
        "table ip {name} {{
map services {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
map slots {{ typeof ip daddr . meta l4proto . th dport . {slot_key}; }}
map nodeports {{ type inet_proto . inet_service : verdict; }}
map nodeslots {{ typeof meta l4proto . th dport . {slot_key}; }}
set silent {{ type ipv4_addr . inet_proto . inet_service; }}
set hairpin {{ type ipv4_addr . ipv4_addr; }}
{remember}{picks}{hooks}}}
",
        name = config.table,
        remember = affinity::rules(config.service_cidr),
        picks = pick_chains(),
        hooks = hooks(config),
    )
}

/// A chain for every way to draw an endpoint among so many slots.
fn pick_chains() -> String {
    let mut script = String::new();
    let mut chain = |name: String, prefix: &str, pick: &str, map: &str| {
        let key = format!("{prefix}meta l4proto . th dport . {pick}");
        let _ = writeln!(script, "chain {name} {{ dnat ip to {key} map @{map}; }}");
    };
    for count in (1..=EXACT).chain(COARSE.into_iter().skip(1)) {
        let draw = format!("numgen random mod {count}");
        chain(format!("draw-{count}"), "ip daddr . ", &draw, "slots");
    }
    for count in COARSE {
        let draw = format!("numgen random mod {count}");
        chain(format!("node-draw-{count}"), "", &draw, "nodeslots");
    }
    script
}

/// Where the kernel enters the table.
///
/// On the way back, a connection from an endpoint to itself must come from this host, and so must one from outside the cluster
/// to an endpoint elsewhere: else the answer would not pass here. `hairpin` doubles as the set of endpoints, so that what
/// other programs translate is left alone.
fn hooks(config: &ProxyConfig) -> String {
    let text = |(ip, len): Cidr| format!("{ip}/{len}");
    let unknown = config.service_cidr.map_or(String::new(), |cidr| {
        let locals: Vec<_> = config.local_addresses.iter().map(|ip| ip.to_string()).collect();
        let but = match locals.is_empty() {
            true => String::new(),
            false => format!("ip daddr != {{ {} }} ", locals.join(", ")),
        };
        format!("ip daddr {} {but}goto refuse", text(cidr))
    });
    let nat = "dnat ip to ip saddr . ip daddr . meta l4proto . th dport map @affinity
ip daddr . meta l4proto . th dport vmap @services
fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @nodeports";
    let refuse = format!("ip daddr . meta l4proto . th dport @silent goto refuse\n{unknown}");
    format!(
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
ct status dnat ip daddr . ip daddr @hairpin ip saddr != {cluster} ip daddr != {pods} masquerade fully-random
}}
chain received {{ type filter hook input priority filter; policy accept;
ct state new ct status dnat jump remember
}}
chain forwarded {{ type filter hook forward priority filter; policy accept;
ct state new ct status dnat jump remember
{refuse}
}}
chain sent {{ type filter hook output priority filter; policy accept;
ct state new ct status dnat jump remember
{refuse}
}}
",
        cluster = text(config.cluster_cidr),
        pods = text(config.pod_cidr),
    )
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
        let target = |last: &[u8], sticky| Target { backends: backends(last), sticky };
        let vip = |last| Ipv4Addr::new(10, 96, 0, last);
        let (draw, silent, stick) =
            (target(&[1, 2], None), target(&[], None), target(&[2], Some(60)));
        let wanted = [
            (Frontend::Cluster(vip(1), Protocol::Tcp, 80), draw.clone()),
            (Frontend::Cluster(vip(2), Protocol::Sctp, 80), stick),
            (Frontend::Cluster(vip(3), Protocol::Udp, 53), silent),
            (Frontend::Node(Protocol::Udp, 30053), draw),
        ];
        let first = Programmed::from(&Rules::test(&wanted), None);
        nft::dry_run(&full(&config(), &first, Vec::new())).await.unwrap();
    }

    #[test]
    fn a_change_costs_what_it_changes() {
        let target = |last: &[u8]| Target { backends: backends(last), sticky: None };
        let frontend = |last| Frontend::Cluster(Ipv4Addr::new(10, 96, 0, last), Protocol::Tcp, 80);
        let state = |held, all: &[(u8, &[u8])]| {
            let all: Vec<_> = all.iter().map(|(f, t)| (frontend(*f), target(t))).collect();
            Programmed::from(&Rules::test(&all), held)
        };
        let first = state(None, &[(1, &[1, 2]), (2, &[1]), (3, &[])]);
        assert_eq!(
            difference("t", &first, &state(Some(&first), &[(1, &[2, 1]), (2, &[1]), (3, &[])])),
            ""
        );
        // One endpoint less in one service; the address stays, another service leads to it.
        let second = state(Some(&first), &[(1, &[2]), (2, &[1]), (3, &[])]);
        assert_eq!(
            difference("t", &first, &second),
            "delete element ip t services { 10.96.0.1 . tcp . 80 }\n\
             delete element ip t slots { 10.96.0.1 . tcp . 80 . 0, 10.96.0.1 . tcp . 80 . 1 }\n\
             add element ip t services { 10.96.0.1 . tcp . 80 : goto draw-1 }\n\
             add element ip t slots { 10.96.0.1 . tcp . 80 . 0 : 10.244.0.2 . 80 }\n"
        );
        let third = state(Some(&second), &[(1, &[2]), (3, &[])]);
        assert_eq!(
            difference("t", &second, &third),
            "delete element ip t hairpin { 10.244.0.1 . 10.244.0.1 }\n\
             delete element ip t services { 10.96.0.2 . tcp . 80 }\n\
             delete element ip t slots { 10.96.0.2 . tcp . 80 . 0 }\n"
        );
        let last = state(Some(&third), &[]);
        assert!(last.hairpin.is_empty());
        let gone = difference("t", &third, &last);
        assert!(gone.contains("delete element ip t silent { 10.96.0.3 . tcp . 80 }"), "{gone}");
    }

    #[test]
    fn more_backends_than_slots() {
        let many: BTreeSet<Backend> =
            (0..5000u32).map(|n| (std::net::Ipv4Addr::from(0x0af4_0000 + n), 80)).collect();
        let count = slot_count(many.len(), true);
        assert_eq!(count, 4096);
        assert_eq!(fill(&[], &many, count).len(), 4096);
        assert_eq!(
            (slot_count(3, true), slot_count(65, true), slot_count(16, false)),
            (3, 512, 64)
        );
    }
}
