//! From a host and a path to an endpoint. Knows the admitted Routes and the endpoints of their services; refuses to know HTTP
//! and how either is learned. Readers never wait: the table is replaced as a whole, endpoints in place.

use super::actions::Actions;
use super::admit::{Verdicts, claimed};
use super::annotations::{Balance, Options};
use super::route::RouteInfo;
use super::sticky;
use crate::model::{Model, Protocol, names_port, serving};
use arc_swap::ArcSwap;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use leme_client::Key;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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
    fn take(&self, balance: Balance, client: u64) -> Option<Choice> {
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

    fn find(&self, id: u128, balance: Balance) -> Option<Choice> {
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

    fn len(&self) -> usize {
        self.endpoints.load().len()
    }
}

/// A number for a client's address, the same in every process.
fn number_of(client: IpAddr) -> u64 {
    let number = match client {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    };
    scatter(number as u64) ^ scatter((number >> 64) as u64)
}

/// Spreads numbers evenly: the last step of SplitMix64.
fn scatter(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A service and which of its endpoints' ports.
type PoolKey = (Key, Option<PortRef>);

/// A port reference that can be a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PortRef {
    Number(i32),
    Name(String),
}

impl PortRef {
    fn of(port: &IntOrString) -> PortRef {
        match port {
            IntOrString::Int(number) => PortRef::Number(*number),
            IntOrString::String(name) => PortRef::Name(name.clone()),
        }
    }

    fn reference(&self) -> IntOrString {
        match self {
            PortRef::Number(number) => IntOrString::Int(*number),
            PortRef::Name(name) => IntOrString::String(name.clone()),
        }
    }
}

/// The pools of every service that a Route names.
#[derive(Default)]
pub(super) struct Pools {
    pools: BTreeMap<PoolKey, Arc<Pool>>,
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

    fn get(
        &mut self,
        model: &Model,
        key: PoolKey,
        old: &mut BTreeMap<PoolKey, Arc<Pool>>,
    ) -> Arc<Pool> {
        let make = || old.remove(&key).unwrap_or_else(|| new_pool(model, &key));
        self.pools.entry(key.clone()).or_insert_with(make).clone()
    }
}

fn new_pool(model: &Model, (service, port): &PoolKey) -> Arc<Pool> {
    let pool = Pool::default();
    pool.store(endpoints(model, service, port.as_ref()));
    Arc::new(pool)
}

/// The TCP endpoints of a service, in order: of the named port, or of every port.
fn endpoints(model: &Model, service: &Key, port: Option<&PortRef>) -> Vec<SocketAddr> {
    let reference = port.map(PortRef::reference);
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

/// One admitted Route.
pub(super) struct Entry {
    path: String,
    services: Vec<(u32, Arc<Pool>)>,
    turns: AtomicU64,
    /// What its annotations ask for.
    pub(super) options: Options,
    /// What happens to headers.
    pub(super) actions: Actions,
    /// The cookie that keeps clients with their endpoint, unless there is none.
    cookie: Option<String>,
}

impl Entry {
    /// The next endpoint for a client: services by weight, then each service's endpoints as the Route asks.
    pub(super) fn pick(&self, client: IpAddr) -> Option<Choice> {
        self.choose(self.options.balance, client)
    }

    /// Another endpoint, after one that did not answer.
    pub(super) fn pick_other(&self, client: IpAddr) -> Option<Choice> {
        match self.options.balance {
            Balance::Source => self.choose(Balance::RoundRobin, client),
            balance => self.choose(balance, client),
        }
    }

    fn choose(&self, balance: Balance, client: IpAddr) -> Option<Choice> {
        let client = if balance == Balance::Source { number_of(client) } else { 0 };
        if let [(weight, pool)] = &self.services[..] {
            return if *weight > 0 { pool.take(balance, client) } else { None };
        }
        let active = |(weight, pool): &&(u32, Arc<Pool>)| *weight > 0 && pool.len() > 0;
        let total: u64 =
            self.services.iter().filter(active).map(|(weight, _)| u64::from(*weight)).sum();
        // Multiples of the golden ratio fill the unit interval evenly, so weights hold over short runs too.
        let turn = match balance {
            Balance::Source => scatter(client),
            _ => self.turns.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        };
        let mut point = ((turn >> 32) * total) >> 32;
        for (weight, pool) in self.services.iter().filter(active) {
            match point.checked_sub(u64::from(*weight)) {
                Some(rest) => point = rest,
                None => return pool.take(balance, client),
            }
        }
        None
    }

    /// Whether a client at `address` may use this Route.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        self.options.allow.as_ref().is_none_or(|list| list.holds(address))
    }

    /// The endpoint that a client's cookie names, also of a service without weight.
    pub(super) fn kept(&self, id: u128) -> Option<Choice> {
        self.services.iter().find_map(|(_, pool)| pool.find(id, self.options.balance))
    }

    /// The cookie's name, where there is more than one endpoint to choose from.
    pub(super) fn cookie(&self) -> Option<&str> {
        let several = || self.services.iter().map(|(_, pool)| pool.len()).sum::<usize>() > 1;
        self.cookie.as_deref().filter(|_| several())
    }

    /// Where `path` leads at the application.
    pub(super) fn rewritten(&self, path: &str) -> Option<String> {
        let target = self.options.rewrite.as_deref()?;
        let rest = path.strip_prefix(&self.path).filter(|_| path.starts_with('/'))?;
        let rest = if target == "/" { rest.strip_prefix('/').unwrap_or(rest) } else { rest };
        Some(format!("{target}{rest}"))
    }

    /// Whether `path` is this Route's or below it, at a segment boundary.
    fn matches(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix(&self.path) else { return false };
        rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/') || self.path.is_empty()
    }
}

fn cookie(route: &RouteInfo) -> Option<String> {
    let named = route.options.cookie_name.clone();
    let (namespace, name) = &route.key;
    let name = named.unwrap_or_else(|| sticky::name_of(namespace, name));
    (!route.options.no_cookie).then_some(name)
}

/// Everything that is served.
#[derive(Default)]
pub(super) struct Table {
    exact: HashMap<String, Vec<Entry>>,
    wildcard: HashMap<String, Vec<Entry>>,
}

impl Table {
    /// The table of the admitted `routes`. `pools` keeps what is still used and forgets the rest.
    pub(super) fn build(
        routes: &BTreeMap<Key, RouteInfo>,
        verdicts: &Verdicts,
        model: &Model,
        pools: &mut Pools,
    ) -> Table {
        let mut table = Table::default();
        let mut old = std::mem::take(&mut pools.pools);
        for route in
            routes.values().filter(|route| matches!(verdicts.get(&route.key), Some(Ok(()))))
        {
            let port = route.port.as_ref().map(PortRef::of);
            let services = route.services.iter().map(|(name, weight)| {
                let key = ((route.key.0.clone(), name.clone()), port.clone());
                (*weight, pools.get(model, key, &mut old))
            });
            let entry = Entry {
                path: route.path.clone(),
                services: services.collect(),
                turns: AtomicU64::new(0),
                cookie: cookie(route),
                options: route.options.clone(),
                actions: route.actions.clone(),
            };
            let hosts = if route.wildcard { &mut table.wildcard } else { &mut table.exact };
            hosts.entry(claimed(route).to_owned()).or_default().push(entry);
        }
        for entries in table.exact.values_mut().chain(table.wildcard.values_mut()) {
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.path.len()));
        }
        table
    }

    /// The Route for a lower-case host without port, and a path: the longest path of the exact host, else of the wildcard.
    pub(super) fn find(&self, host: &str, path: &str) -> Option<&Entry> {
        let of = |entries: &'_ Vec<Entry>| entries.iter().position(|entry| entry.matches(path));
        if let Some(entries) = self.exact.get(host)
            && let Some(index) = of(entries)
        {
            return entries.get(index);
        }
        let entries = self.wildcard.get(host.split_once('.')?.1)?;
        entries.get(of(entries)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ServiceInfo, SliceInfo};
    use crate::router::admit::{Policy, judge};
    use serde_json::{Value, json};

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn model() -> Model {
        let mut model = Model::default();
        for (service, last) in [("a", 1), ("b", 2), ("c", 3)] {
            let slice = json!({"addressType": "IPv4",
                "ports": [{"name": "http", "port": 8080}, {"name": "admin", "port": 9090}],
                "endpoints": [{"addresses": [format!("10.244.0.{last}")]}]});
            let slice = SliceInfo::of(&serde_json::from_value(slice).unwrap());
            model.put_service(("n".into(), service.into()), ServiceInfo::default());
            model.put_slice(("n".into(), service.into()), Some(service.into()), slice);
        }
        model
    }

    fn table(specs: &[Value], model: &Model, pools: &mut Pools) -> Table {
        annotated(json!({}), specs, model, pools)
    }

    fn annotated(annotations: Value, specs: &[Value], model: &Model, pools: &mut Pools) -> Table {
        let mut routes = BTreeMap::new();
        for (index, spec) in specs.iter().enumerate() {
            let name = format!("r{index}");
            let object = json!({"metadata": {"name": name, "namespace": "n", "annotations": annotations},
                "spec": spec});
            let route = RouteInfo::of(&serde_json::from_value(object).unwrap(), "");
            routes.insert(route.key.clone(), route);
        }
        let verdicts = judge(&routes, &Policy { wildcards: true, ..Policy::default() });
        Table::build(&routes, &verdicts, model, pools)
    }

    fn to(service: &str) -> Value {
        json!({"name": service})
    }

    #[test]
    fn longest_path_at_a_segment_boundary() {
        let port = json!({"targetPort": "http"});
        let specs = [
            json!({"host": "x.test", "to": to("a"), "port": port}),
            json!({"host": "x.test", "path": "/b", "to": to("b"), "port": port}),
            json!({"host": "x.test", "path": "/b/c/", "to": to("c"), "port": port}),
            json!({"host": "any.wild.test", "wildcardPolicy": "Subdomain", "to": to("c"), "port": port}),
        ];
        let table = table(&specs, &model(), &mut Pools::default());
        for (host, path, last) in [
            ("x.test", "/", Some(1)),
            ("x.test", "/bc", Some(1)),
            ("x.test", "/b", Some(2)),
            ("x.test", "/b/x", Some(2)),
            ("x.test", "/b/c", Some(2)),
            ("x.test", "/b/c/d", Some(3)),
            ("x.test", "*", Some(1)),
            ("y.test", "/", None),
            ("q.wild.test", "/z", Some(3)),
            ("wild.test", "/z", None),
            ("test", "/", None),
            ("", "/", None),
        ] {
            let found = table.find(host, path).and_then(|entry| entry.pick(CLIENT));
            let found = found.map(|choice| choice.address);
            let expected = last.map(|last| SocketAddr::from(([10, 244, 0, last], 8080)));
            assert_eq!(found, expected, "{host}{path}");
        }
    }

    #[test]
    fn weights_and_ports() {
        let model = model();
        let specs = [
            json!({"host": "w.test", "to": {"name": "a", "weight": 5}, "port": {"targetPort": 8080},
                "alternateBackends": [{"name": "b", "weight": 1}, {"name": "none", "weight": 9},
                    {"name": "c", "weight": 0}]}),
            json!({"host": "zero.test", "to": {"name": "a", "weight": 0}}),
            json!({"host": "miss.test", "to": to("a"), "port": {"targetPort": "nope"}}),
        ];
        let mut pools = Pools::default();
        let table = table(&specs, &model, &mut pools);
        let entry = table.find("w.test", "/").unwrap();
        let mut counts = BTreeMap::new();
        for _ in 0..60 {
            *counts.entry(entry.pick(CLIENT).unwrap().address.to_string()).or_insert(0) += 1;
        }
        assert!((8..=12).contains(&counts["10.244.0.2:8080"]), "{counts:?}");
        assert_eq!(counts.len(), 2, "{counts:?}");
        assert_eq!(table.find("zero.test", "/").unwrap().pick(CLIENT).map(|c| c.id), None);
        assert_eq!(table.find("miss.test", "/").unwrap().pick(CLIENT).map(|c| c.id), None);
    }

    #[test]
    fn endpoints_change_in_place() {
        let mut model = model();
        let mut pools = Pools::default();
        let specs = [json!({"host": "x.test", "to": to("a"), "port": {"targetPort": "http"}})];
        let table = table(&specs, &model, &mut pools);
        model.remove_slice(&("n".into(), "a".into()));
        pools.refresh(&model, &BTreeSet::from([("n".into(), "a".into())]));
        assert_eq!(table.find("x.test", "/").unwrap().pick(CLIENT).map(|c| c.id), None);
    }

    /// Which endpoints 60 clients get, one request each, all under way at once.
    fn chosen(balance: &str) -> BTreeMap<SocketAddr, usize> {
        let annotations = json!({"haproxy.router.openshift.io/balance": balance});
        let spec = json!({"host": "x.test", "to": to("a"), "alternateBackends": [to("b"), to("c")],
            "port": {"targetPort": "http"}});
        let table = annotated(annotations, &[spec], &model(), &mut Pools::default());
        let entry = table.find("x.test", "/").unwrap();
        let clients = (0..60u8).map(|n| IpAddr::from([192, 0, 2, n]));
        let choices: Vec<Choice> = clients.map(|client| entry.pick(client).unwrap()).collect();
        if balance == "source" {
            for (n, choice) in choices.iter().enumerate() {
                let again = entry.pick([192, 0, 2, n as u8].into()).unwrap();
                assert_eq!(again.address, choice.address);
            }
        }
        let mut counts = BTreeMap::new();
        for choice in choices {
            *counts.entry(choice.address).or_default() += 1;
        }
        counts
    }

    #[test]
    fn every_balance_reaches_every_endpoint() {
        for balance in ["roundrobin", "random", "source", "leastconn"] {
            let counts = chosen(balance);
            assert!(
                counts.len() == 3 && counts.values().all(|count| *count > 3),
                "{balance}: {counts:?}"
            );
        }
    }

    #[test]
    fn the_least_loaded_is_next() {
        let mut model = model();
        let slice = json!({"addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": ["10.244.0.8"]}, {"addresses": ["10.244.0.9"]}]});
        let slice = SliceInfo::of(&serde_json::from_value(slice).unwrap());
        model.put_slice(("n".into(), "d".into()), Some("d".into()), slice);
        let annotations = json!({"haproxy.router.openshift.io/balance": "leastconn"});
        let spec = json!({"host": "x.test", "to": to("d")});
        let mut pools = Pools::default();
        let table = annotated(annotations, &[spec], &model, &mut pools);
        let entry = table.find("x.test", "/").unwrap();
        let busy = entry.pick(CLIENT).unwrap();
        for _ in 0..4 {
            assert_ne!(entry.pick(CLIENT).unwrap().address, busy.address);
        }
        // A refresh forgets nothing.
        pools.refresh(&model, &BTreeSet::from([("n".into(), "d".into())]));
        assert_ne!(entry.pick(CLIENT).unwrap().address, busy.address);
        assert_eq!(entry.kept(busy.id).unwrap().address, busy.address);
    }

    #[test]
    fn rewrites() {
        for (path, target, asked, expected) in [
            ("/app", "/", "/app", Some("/")),
            ("/app", "/", "/app/x/y", Some("/x/y")),
            ("/app", "/new", "/app/x", Some("/new/x")),
            ("/app", "/new/", "/app/x", Some("/new//x")),
            ("", "/new", "/x", Some("/new/x")),
            ("/", "/new", "/x", Some("/newx")),
            ("", "/", "/x", Some("/x")),
            ("", "/new", "*", None),
        ] {
            let annotations = json!({"haproxy.router.openshift.io/rewrite-target": target});
            let spec = json!({"host": "x.test", "path": path, "to": to("a")});
            let table = annotated(annotations, &[spec], &model(), &mut Pools::default());
            let entry = table.find("x.test", asked).unwrap();
            assert_eq!(entry.rewritten(asked).as_deref(), expected, "{path} {target} {asked}");
        }
    }
}
