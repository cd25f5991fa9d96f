//! The endpoints of services, chosen among by turn, by client or by load. Knows what is under way; refuses to know Routes. Readers
//! never wait: endpoints are replaced in place.

use super::annotations::Balance;
use super::forward::Sender;
use super::sticky;
use super::tls::backend::Trust;
use crate::model::{Model, Protocol, names_port, serving};
use arc_swap::ArcSwap;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use leme_client::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The endpoints of one port of a service.
#[derive(Default)]
pub(super) struct Pool {
    endpoints: ArcSwap<Vec<Endpoint>>,
    next: AtomicUsize,
}

#[derive(Clone)]
struct Endpoint {
    address: SocketAddr,
    /// What a client's cookie says of it.
    id: u128,
    /// Requests under way, where they are counted.
    active: Arc<AtomicUsize>,
}

/// A request that counts as under way until this is dropped.
pub(super) struct Held(Arc<AtomicUsize>);

impl Held {
    fn new(count: &Arc<AtomicUsize>) -> Held {
        count.fetch_add(1, Ordering::Relaxed);
        Held(count.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where a request goes.
pub(super) struct Choice {
    pub(super) address: SocketAddr,
    pub(super) id: u128,
    /// To be kept until the answer has ended.
    pub(super) held: Option<Held>,
}

impl Pool {
    pub(super) fn take(&self, balance: Balance, client: u64) -> Option<Choice> {
        let endpoints = self.endpoints.load();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let first = turn.checked_rem(endpoints.len())?;
        let endpoint = match balance {
            Balance::RoundRobin => endpoints.get(first),
            Balance::Random => endpoints.get(scatter(turn as u64) as usize % endpoints.len()),
            // The highest product of client and endpoint: when one leaves, only its own clients move.
            Balance::Source => {
                endpoints.iter().max_by_key(|endpoint| scatter(endpoint.id as u64 ^ client))
            }
            Balance::LeastConn => {
                let (before, after) = endpoints.split_at(first);
                let load = |endpoint: &&Endpoint| endpoint.active.load(Ordering::Relaxed);
                after.iter().chain(before).min_by_key(load)
            }
        }?;
        let held = (balance == Balance::LeastConn).then(|| Held::new(&endpoint.active));
        Some(Choice { address: endpoint.address, id: endpoint.id, held })
    }

    pub(super) fn find(&self, id: u128, balance: Balance) -> Option<Choice> {
        let endpoints = self.endpoints.load();
        let endpoint = endpoints.iter().find(|endpoint| endpoint.id == id)?;
        let held = (balance == Balance::LeastConn).then(|| Held::new(&endpoint.active));
        Some(Choice { address: endpoint.address, id, held })
    }

    /// Replaces the endpoints; those that stay keep their count.
    fn store(&self, addresses: Vec<SocketAddr>) {
        let held = self.endpoints.load();
        let endpoint = |address: SocketAddr| {
            let at = held.binary_search_by_key(&address, |endpoint| endpoint.address);
            let old = at.ok().and_then(|at| held.get(at)).cloned();
            let new = || Endpoint { address, id: sticky::id_of(address), active: Arc::default() };
            old.unwrap_or_else(new)
        };
        self.endpoints.store(Arc::new(addresses.into_iter().map(endpoint).collect()));
    }

    pub(super) fn len(&self) -> usize {
        self.endpoints.load().len()
    }
}

/// A number for a client's address, the same in every process.
pub(super) fn number_of(client: IpAddr) -> u64 {
    let number = match client {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    };
    scatter(number as u64) ^ scatter((number >> 64) as u64)
}

/// Spreads numbers evenly: the last step of SplitMix64.
pub(super) fn scatter(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A service and which of its endpoints' ports.
pub(super) type PoolKey = (Key, Option<PortRef>);

/// A port reference that can be a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PortRef {
    Number(i32),
    Name(String),
    /// A port of the Service itself, not of its endpoints.
    Service(ServicePort),
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ServicePort {
    Number(i32),
    Name(String),
}

impl PortRef {
    pub(super) fn of(port: &IntOrString) -> PortRef {
        match port {
            IntOrString::Int(number) => PortRef::Number(*number),
            IntOrString::String(name) => PortRef::Name(name.clone()),
        }
    }

    /// As an endpoint's port is referred to; `None` if the Service has no such port.
    fn reference(&self, model: &Model, service: &Key) -> Option<IntOrString> {
        match self {
            PortRef::Number(number) => Some(IntOrString::Int(*number)),
            PortRef::Name(name) => Some(IntOrString::String(name.clone())),
            PortRef::Service(wanted) => {
                let ports = &model.service(service)?.ports;
                let is = |port: &&crate::model::ServicePort| match wanted {
                    ServicePort::Number(number) => i32::from(port.port) == *number,
                    ServicePort::Name(name) => port.name == *name,
                };
                let found = ports.iter().filter(|port| port.protocol == Protocol::Tcp).find(is)?;
                Some(IntOrString::String(found.name.clone()))
            }
        }
    }
}

/// The pools of every service that a Route names.
#[derive(Default)]
pub(super) struct Pools {
    pools: BTreeMap<PoolKey, Arc<Pool>>,
    /// Through what applications are spoken to in TLS, by who certifies them.
    senders: BTreeMap<Vec<u8>, Arc<Sender>>,
    /// What the table before had, while one is made.
    old: BTreeMap<PoolKey, Arc<Pool>>,
    old_senders: BTreeMap<Vec<u8>, Arc<Sender>>,
}

impl Pools {
    /// Recomputes the pools of the `changed` services.
    pub(super) fn refresh(&self, model: &Model, changed: &BTreeSet<Key>) {
        for ((service, port), pool) in
            self.pools.iter().filter(|((key, _), _)| changed.contains(key))
        {
            pool.store(endpoints(model, service, port.as_ref()));
        }
    }

    /// A new table is made: what is not asked for until [`Pools::end`] is forgotten then.
    pub(super) fn begin(&mut self) {
        self.old = std::mem::take(&mut self.pools);
        self.old_senders = std::mem::take(&mut self.senders);
    }

    /// The table is made.
    pub(super) fn end(&mut self) {
        self.old.clear();
        self.old_senders.clear();
    }

    pub(super) fn get(&mut self, model: &Model, key: PoolKey) -> Arc<Pool> {
        let make = || self.old.remove(&key).unwrap_or_else(|| new_pool(model, &key));
        self.pools.entry(key.clone()).or_insert_with(make).clone()
    }

    /// Through what the applications are spoken to in TLS that somebody certifies.
    pub(super) fn sender(&mut self, trust: &Trust) -> Arc<Sender> {
        let id = trust.id();
        let make = || self.old_senders.remove(&id).unwrap_or_else(|| Arc::new(Sender::new(trust)));
        self.senders.entry(id.clone()).or_insert_with(make).clone()
    }
}

fn new_pool(model: &Model, (service, port): &PoolKey) -> Arc<Pool> {
    let pool = Pool::default();
    pool.store(endpoints(model, service, port.as_ref()));
    Arc::new(pool)
}

/// The TCP endpoints of a service, in order: of the named port, or of every port.
fn endpoints(model: &Model, service: &Key, port: Option<&PortRef>) -> Vec<SocketAddr> {
    let reference = match port.map(|port| port.reference(model, service)) {
        None => None,
        Some(Some(reference)) => Some(reference),
        Some(None) => return Vec::new(),
    };
    let mut found = BTreeSet::new();
    let everyone: Vec<_> = model.slices(service).flat_map(|slice| &slice.endpoints).collect();
    let chosen = serving(&everyone);
    for slice in model.slices(service) {
        let named = |p: &&crate::model::SlicePort| {
            p.protocol == Protocol::Tcp && reference.as_ref().is_none_or(|r| names_port(r, p))
        };
        for port in slice.ports.iter().filter(named) {
            let usable =
                slice.endpoints.iter().filter(|e| chosen.iter().any(|c| std::ptr::eq(*c, *e)));
            found.extend(usable.map(|e| SocketAddr::from((e.address, port.port))));
        }
    }
    found.into_iter().collect()
}
