//! The endpoints of services, chosen among by turn, by client or by load. Knows what is under way; refuses to know Routes. Readers
//! never wait: endpoints are replaced in place.

use super::annotations::Balance;
use super::limits::Clients;
use super::sender::Sender;
use super::stats::Stats;
use super::sticky;
use super::tls::backend::Trust;
use super::trouble::Said;
use crate::model::{Model, Protocol, names_port, serving};
use arc_swap::ArcSwap;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use leme_client::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The endpoints of one port of a service.
#[derive(Default)]
pub(super) struct Pool {
    endpoints: ArcSwap<Vec<Endpoint>>,
    next: AtomicUsize,
    /// Told when an endpoint has one request less.
    freed: Arc<Notify>,
}

#[derive(Clone)]
struct Endpoint {
    address: SocketAddr,
    /// What a client's cookie says of it.
    id: u128,
    /// Whether it speaks HTTP/2 without being asked.
    http2: bool,
    /// Requests under way, where they are counted.
    active: Arc<AtomicUsize>,
    stats: Arc<Stats>,
    /// The pod that it is, if it is one.
    pod: Arc<str>,
}

impl Endpoint {
    fn chosen(&self, held: Option<Held>) -> Choice {
        let stats = Arc::clone(&self.stats);
        Choice { address: self.address, id: self.id, http2: self.http2, stats, sender: None, held }
    }

    /// Unless it has as many requests as it may.
    fn within(&self, limit: usize, freed: &Arc<Notify>) -> Option<Choice> {
        let more = |active: usize| (active < limit).then_some(active + 1);
        self.active.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        let count = Arc::clone(&self.active);
        Some(self.chosen(Some(Held { count, freed: Some(Arc::clone(freed)) })))
    }
}

/// A request that counts as under way until this is dropped.
pub(super) struct Held {
    count: Arc<AtomicUsize>,
    freed: Option<Arc<Notify>>,
}

impl Held {
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Held {
        count.fetch_add(1, Ordering::Relaxed);
        Held { count: Arc::clone(count), freed: None }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        if let Some(freed) = &self.freed {
            freed.notify_waiters();
        }
    }
}

/// An endpoint: its address, its pod, and what counts it.
pub(super) type Counters = (SocketAddr, Arc<str>, Arc<Stats>);

/// Where a request goes.
pub(super) struct Choice {
    pub(super) address: SocketAddr,
    pub(super) id: u128,
    /// Whether HTTP/2 is spoken there without being asked.
    pub(super) http2: bool,
    /// What counts it.
    pub(super) stats: Arc<Stats>,
    /// Through what it is spoken to, if that is TLS.
    pub(super) sender: Option<Arc<Sender>>,
    /// To be kept until the answer has ended.
    pub(super) held: Option<Held>,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) balance: Balance,
    /// Requests that an endpoint may have at once.
    pub(super) limit: Option<usize>,
}

impl Pool {
    pub(super) fn take(&self, manner: Manner, client: u64) -> Option<Choice> {
        let endpoints = self.endpoints.load();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let first = turn.checked_rem(endpoints.len())?;
        let preferred = match manner.balance {
            Balance::RoundRobin => first,
            Balance::Random => scatter(turn as u64) as usize % endpoints.len(),
            // The highest product of client and endpoint: when one leaves, only its own clients move.
            Balance::Source => {
                let product =
                    |(_, endpoint): &(usize, &Endpoint)| scatter(endpoint.id as u64 ^ client);
                endpoints.iter().enumerate().max_by_key(product)?.0
            }
            Balance::LeastConn => {
                let load = |at: &usize| endpoints[*at].active.load(Ordering::Relaxed);
                (first..endpoints.len()).chain(0..first).min_by_key(load)?
            }
        };
        match manner.limit {
            None => endpoints.get(preferred).map(|endpoint| self.chosen(endpoint, manner)),
            Some(limit) => {
                let (before, after) = endpoints.split_at(preferred);
                let mut all = after.iter().chain(before);
                all.find_map(|endpoint| endpoint.within(limit, &self.freed))
            }
        }
    }

    pub(super) fn find(&self, id: u128, manner: Manner) -> Option<Choice> {
        let endpoints = self.endpoints.load();
        let endpoint = endpoints.iter().find(|endpoint| endpoint.id == id)?;
        match manner.limit {
            None => Some(self.chosen(endpoint, manner)),
            Some(limit) => endpoint.within(limit, &self.freed),
        }
    }

    fn chosen(&self, endpoint: &Endpoint, manner: Manner) -> Choice {
        let counts = manner.balance == Balance::LeastConn;
        endpoint.chosen(counts.then(|| Held::new(&endpoint.active)))
    }

    /// What tells when an endpoint has one request less.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// Replaces the endpoints; those that stay keep their count.
    fn store(&self, found: Found) {
        let held = self.endpoints.load();
        let endpoint = |(address, (http2, pod)): (SocketAddr, (bool, Arc<str>))| {
            let at = held.binary_search_by_key(&address, |endpoint| endpoint.address);
            let old = at.ok().and_then(|at| held.get(at));
            let active = old.map(|old| Arc::clone(&old.active)).unwrap_or_default();
            let stats = old.map(|old| Arc::clone(&old.stats)).unwrap_or_default();
            Endpoint { address, id: sticky::id_of(address), http2, active, stats, pod }
        };
        self.endpoints.store(Arc::new(found.into_iter().map(endpoint).collect()));
    }

    /// Its endpoints.
    pub(super) fn counted(&self) -> Vec<Counters> {
        let endpoints = self.endpoints.load();
        let one = |one: &Endpoint| (one.address, Arc::clone(&one.pod), Arc::clone(&one.stats));
        endpoints.iter().map(one).collect()
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

/// A Route, a service, and which of its endpoints' ports: what is counted of endpoints is each Route's own.
pub(super) type PoolKey = (Key, Key, Option<PortRef>);

/// Endpoints: whether they speak HTTP/2 without being asked, and which pod they are.
type Found = BTreeMap<SocketAddr, (bool, Arc<str>)>;

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
    /// Whom Services are certified by.
    services_by: Option<Trust>,
    states: BTreeMap<Key, Arc<State>>,
    old_states: BTreeMap<Key, Arc<State>>,
}

/// What is remembered of a Route, whatever becomes of the table.
#[derive(Default)]
pub(super) struct State {
    pub(super) stats: Arc<Stats>,
    pub(super) clients: Clients,
    pub(super) said: Said,
}

impl Pools {
    /// Recomputes the pools of the `changed` services.
    pub(super) fn refresh(&self, model: &Model, changed: &BTreeSet<Key>) {
        for ((_, service, port), pool) in
            self.pools.iter().filter(|((_, key, _), _)| changed.contains(key))
        {
            pool.store(endpoints(model, service, port.as_ref()));
        }
    }

    /// A new table is made: what is not asked for until [`Pools::end`] is forgotten then.
    pub(super) fn begin(&mut self) {
        self.old = std::mem::take(&mut self.pools);
        self.old_senders = std::mem::take(&mut self.senders);
        self.old_states = std::mem::take(&mut self.states);
    }

    /// The table is made.
    pub(super) fn end(&mut self) {
        self.old.clear();
        self.old_senders.clear();
        self.old_states.clear();
    }

    pub(super) fn get(&mut self, model: &Model, key: PoolKey) -> Arc<Pool> {
        let make = || self.old.remove(&key).unwrap_or_else(|| new_pool(model, &key));
        self.pools.entry(key.clone()).or_insert_with(make).clone()
    }

    /// What is remembered of a Route.
    pub(super) fn state(&mut self, route: &Key) -> Arc<State> {
        let old = self.old_states.remove(route);
        self.states.entry(route.clone()).or_insert_with(|| old.unwrap_or_default()).clone()
    }

    /// Those of a cluster in which Services are certified by somebody.
    pub(super) fn certified_by(services_by: Option<Trust>) -> Pools {
        Pools { services_by, ..Pools::default() }
    }

    /// Through what a Service is spoken to that the service authority certifies.
    pub(super) fn service_sender(
        &mut self,
        (namespace, name): (&str, &str),
    ) -> Option<Arc<Sender>> {
        let trust = self.services_by.as_ref()?.of_name(format!("{name}.{namespace}.svc"));
        Some(self.sender(&trust))
    }

    /// Through what applications are spoken to in TLS whoever certifies them.
    pub(super) fn trusting_sender(&mut self) -> Option<Arc<Sender>> {
        match Trust::in_anybody() {
            Ok(trust) => Some(self.sender(&trust)),
            Err(error) => {
                tracing::error!(error, "no TLS to applications");
                None
            }
        }
    }

    /// Through what the applications are spoken to in TLS that somebody certifies.
    pub(super) fn sender(&mut self, trust: &Trust) -> Arc<Sender> {
        let id = trust.id();
        let make =
            || self.old_senders.remove(&id).unwrap_or_else(|| Arc::new(Sender::encrypted(trust)));
        self.senders.entry(id.clone()).or_insert_with(make).clone()
    }
}

fn new_pool(model: &Model, (_, service, port): &PoolKey) -> Arc<Pool> {
    let pool = Pool::default();
    pool.store(endpoints(model, service, port.as_ref()));
    Arc::new(pool)
}

/// The TCP endpoints of a service: of the named port, or of every port.
fn endpoints(model: &Model, service: &Key, port: Option<&PortRef>) -> Found {
    let reference = match port.map(|port| port.reference(model, service)) {
        None => None,
        Some(Some(reference)) => Some(reference),
        Some(None) => return BTreeMap::new(),
    };
    let mut found = BTreeMap::new();
    let everyone: Vec<_> = model.slices(service).flat_map(|slice| &slice.endpoints).collect();
    let chosen = serving(&everyone);
    for slice in model.slices(service) {
        let named = |p: &&crate::model::SlicePort| {
            p.protocol == Protocol::Tcp && reference.as_ref().is_none_or(|r| names_port(r, p))
        };
        for port in slice.ports.iter().filter(named) {
            let usable =
                slice.endpoints.iter().filter(|e| chosen.iter().any(|c| std::ptr::eq(*c, *e)));
            found.extend(usable.map(|e| {
                let pod = e.pod.as_deref().unwrap_or("").into();
                (SocketAddr::from((e.address, port.port)), (port.http2, pod))
            }));
        }
    }
    found
}
