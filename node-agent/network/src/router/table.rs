//! From a host and a path to an endpoint. Knows the admitted Routes and the endpoints of their services; refuses to know HTTP
//! and how either is learned. Readers never wait: the table is replaced as a whole, endpoints in place.

use super::admit::{Verdicts, claimed};
use super::route::RouteInfo;
use crate::model::{Key, Model, Protocol, names_port, serving};
use arc_swap::ArcSwap;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The endpoints of one port of a service.
#[derive(Default)]
pub(super) struct Pool {
    endpoints: ArcSwap<Vec<SocketAddr>>,
    next: AtomicUsize,
}

impl Pool {
    fn take(&self) -> Option<SocketAddr> {
        let endpoints = self.endpoints.load();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        endpoints.get(turn.checked_rem(endpoints.len())?).copied()
    }

    fn is_empty(&self) -> bool {
        self.endpoints.load().is_empty()
    }
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
            pool.endpoints.store(Arc::new(endpoints(model, service, port.as_ref())));
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
    pool.endpoints.store(Arc::new(endpoints(model, service, port.as_ref())));
    Arc::new(pool)
}

/// The TCP endpoints of a service: of the named port, or of every port.
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
    /// How long an endpoint may take to begin its answer.
    pub(super) timeout: Duration,
}

impl Entry {
    /// The next endpoint: services by weight, then each service's endpoints in turn.
    pub(super) fn pick(&self) -> Option<SocketAddr> {
        if let [(weight, pool)] = &self.services[..] {
            return if *weight > 0 { pool.take() } else { None };
        }
        let active = |(weight, pool): &&(u32, Arc<Pool>)| *weight > 0 && !pool.is_empty();
        let total: u64 =
            self.services.iter().filter(active).map(|(weight, _)| u64::from(*weight)).sum();
        // Multiples of the golden ratio fill the unit interval evenly, so weights hold over short runs too.
        let turn = self.turns.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut point = ((turn >> 32) * total) >> 32;
        for (weight, pool) in self.services.iter().filter(active) {
            match point.checked_sub(u64::from(*weight)) {
                Some(rest) => point = rest,
                None => return pool.take(),
            }
        }
        None
    }

    /// Whether `path` is this Route's or below it, at a segment boundary.
    fn matches(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix(&self.path) else { return false };
        rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/') || self.path.is_empty()
    }
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
                timeout: route.timeout,
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
        let mut routes = BTreeMap::new();
        for (index, spec) in specs.iter().enumerate() {
            let name = format!("r{index}");
            let object = json!({"metadata": {"name": name, "namespace": "n"}, "spec": spec});
            let route = RouteInfo::of(&serde_json::from_value(object).unwrap(), "");
            routes.insert(route.key.clone(), route);
        }
        let verdicts = judge(&routes, &Policy { wildcards: true });
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
            let found = table.find(host, path).and_then(Entry::pick);
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
            *counts.entry(entry.pick().unwrap().to_string()).or_insert(0) += 1;
        }
        assert!((8..=12).contains(&counts["10.244.0.2:8080"]), "{counts:?}");
        assert_eq!(counts.len(), 2, "{counts:?}");
        assert_eq!(table.find("zero.test", "/").unwrap().pick(), None);
        assert_eq!(table.find("miss.test", "/").unwrap().pick(), None);
    }

    #[test]
    fn endpoints_change_in_place() {
        let mut model = model();
        let mut pools = Pools::default();
        let specs = [json!({"host": "x.test", "to": to("a"), "port": {"targetPort": "http"}})];
        let table = table(&specs, &model, &mut pools);
        model.remove_slice(&("n".into(), "a".into()));
        pools.refresh(&model, &BTreeSet::from([("n".into(), "a".into())]));
        assert_eq!(table.find("x.test", "/").unwrap().pick(), None);
    }
}
