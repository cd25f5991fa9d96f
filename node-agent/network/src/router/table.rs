//! From a host and a path to an endpoint. Knows the admitted Routes; refuses to know HTTP and how they are learned. Readers never
//! wait: the table is replaced as a whole.

use super::actions::Actions;
use super::admit::{Verdicts, claimed};
use super::annotations::{Balance, Options, RewriteTarget, Speaks};
use super::gateway::{Gateways, Judged};
use super::pools::{Choice, Counters, Manner, Pool, Pools, State, number_of, scatter};
use super::route::{Origin, RouteInfo};
use super::sender::Sender;
use super::tls::certificate::Certificate;
use super::tls::{Insecure, Termination, Tls};
use crate::model::Model;
use http::StatusCode;
use leme_client::Key;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

mod cookies;
mod gateways;

use cookies::{cookie, cookie_further};
use gateways::Maker;

/// One admitted Route.
pub(super) struct Entry {
    path: String,
    /// Whether the path is meant to the letter.
    exact: bool,
    services: Vec<Behind>,
    turns: AtomicU64,
    /// What its annotations ask for.
    pub(super) options: Options,
    /// What happens to headers.
    pub(super) actions: Actions,
    /// The cookie that keeps clients with their endpoint, unless there is none.
    cookie: Option<String>,
    /// What browsers are told of that cookie besides.
    pub(super) cookie_further: &'static str,
    balance: Balance,
    /// How requests without TLS are sent to where it is spoken, if they are.
    pub(super) redirects: Option<StatusCode>,
    /// What is remembered of it.
    pub(super) state: Arc<State>,
    /// Where its TLS ends, if it has any.
    pub(super) termination: Option<Termination>,
    /// What it was made of, and its name.
    pub(super) origin: Origin,
    pub(super) key: Key,
    certificate: Option<Certificate>,
    /// When the Route came, among those of its host.
    age: (String, String),
}

/// A service behind a Route.
struct Behind {
    name: String,
    weight: u32,
    pool: Arc<Pool>,
    /// Through what it is spoken to, if that is TLS.
    sender: Option<Arc<Sender>>,
}

impl Behind {
    /// One whose TLS cannot be spoken is not spoken to without.
    fn of(
        route: &RouteInfo,
        (name, weight): &(String, u32),
        model: &Model,
        pools: &mut Pools,
    ) -> Option<Behind> {
        let tls = route.tls.as_ref();
        let sender = match (tls.and_then(|tls| tls.trust.as_ref()), route.options.speaks) {
            (Some(trust), _) => Some(pools.sender(trust)),
            _ if tls.is_some_and(Tls::by_service) => {
                Some(pools.service_sender((&route.key.0, name))?)
            }
            (None, Speaks::Tls) => Some(pools.trusting_sender()?),
            (None, _) => None,
        };
        let service = (route.key.0.clone(), name.clone());
        let pool = pools.get(model, (route.key.clone(), service, route.port.clone()));
        Some(Behind { name: name.clone(), weight: *weight, pool, sender })
    }

    fn is_active(&self) -> bool {
        self.weight > 0 && self.pool.len() > 0
    }

    fn take(&self, manner: Manner, client: u64) -> Option<Choice> {
        let choice = self.pool.take(manner, client)?;
        Some(Choice { sender: self.sender.clone(), ..choice })
    }
}

impl Entry {
    fn of(route: &RouteInfo, model: &Model, pools: &mut Pools) -> Entry {
        let tls = route.tls.as_ref();
        let services =
            route.services.iter().filter_map(|service| Behind::of(route, service, model, pools));
        let services = services.collect();
        let passes = tls.is_some_and(|tls| !tls.ends_here());
        let usual = if passes { Balance::Source } else { Balance::default() };
        // Each in the code of those who are known for it.
        let code = match route.origin {
            Origin::Route | Origin::Gateway(_) => StatusCode::FOUND,
            Origin::Ingress { .. } => StatusCode::PERMANENT_REDIRECT,
        };
        let redirects = tls.is_some_and(|tls| tls.insecure == Insecure::Redirect);
        let mut options = route.options.clone();
        if passes {
            // Nobody sees requests there.
            options.limits.requests.clear();
        }
        Entry {
            path: route.path.clone(),
            exact: route.origin == Origin::Ingress { exact: true },
            services,
            turns: AtomicU64::new(0),
            cookie: cookie(route),
            cookie_further: cookie_further(route),
            options,
            actions: route.actions.clone(),
            balance: route.options.balance.unwrap_or(usual),
            redirects: redirects.then_some(code),
            state: pools.state(&route.key),
            termination: tls.map(|tls| tls.termination),
            origin: route.origin,
            key: route.key.clone(),
            certificate: tls.and_then(|tls| tls.certificate.clone()),
            age: route.age.clone(),
        }
    }

    /// The next endpoint for a client: services by weight, then each service's endpoints as the Route asks.
    pub(super) fn pick(&self, client: IpAddr) -> Option<Choice> {
        self.choose(self.balance, client)
    }

    /// Another endpoint, after one that did not answer.
    pub(super) fn pick_other(&self, client: IpAddr) -> Option<Choice> {
        match self.balance {
            Balance::Source => self.choose(Balance::RoundRobin, client),
            balance => self.choose(balance, client),
        }
    }

    /// Its endpoints, each with the name of its service.
    pub(super) fn endpoints(&self) -> Vec<(String, Counters)> {
        let all = self.services.iter().flat_map(|one| {
            one.pool.counted().into_iter().map(|endpoint| (one.name.clone(), endpoint))
        });
        all.collect()
    }

    /// The uid of what it was made of.
    pub(super) fn uid(&self) -> &str {
        &self.age.1
    }

    fn manner(&self, balance: Balance) -> Manner {
        Manner { balance, limit: self.options.endpoint_limit }
    }

    /// Waits until an endpoint that had as many requests as it may has one less.
    pub(super) fn freed(&self) -> impl Future<Output = ()> + '_ {
        // Made here: what is told from now on is not missed.
        let all: Vec<_> = self.services.iter().map(|one| Box::pin(one.pool.freed())).collect();
        async move {
            let _ = futures::future::select_all(all).await;
        }
    }

    /// Whether there is an endpoint at all.
    pub(super) fn has_endpoints(&self) -> bool {
        self.services.iter().any(Behind::is_active)
    }

    fn choose(&self, balance: Balance, client: IpAddr) -> Option<Choice> {
        let client = if balance == Balance::Source { number_of(client) } else { 0 };
        let manner = self.manner(balance);
        if let [only] = &self.services[..] {
            return if only.weight > 0 { only.take(manner, client) } else { None };
        }
        let active = || self.services.iter().filter(|one| one.is_active());
        let total: u64 = active().map(|one| u64::from(one.weight)).sum();
        // Multiples of the golden ratio fill the unit interval evenly, so weights hold over short runs too.
        let turn = match balance {
            Balance::Source => scatter(client),
            _ => self.turns.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        };
        let mut point = ((turn >> 32) * total) >> 32;
        for one in active() {
            match point.checked_sub(u64::from(one.weight)) {
                Some(rest) => point = rest,
                None => return one.take(manner, client),
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
        let manner = self.manner(self.balance);
        self.services.iter().find_map(|one| {
            let choice = one.pool.find(id, manner)?;
            Some(Choice { sender: one.sender.clone(), ..choice })
        })
    }

    /// The cookie's name, where there is more than one endpoint to choose from.
    pub(super) fn cookie(&self) -> Option<&str> {
        let several = || self.services.iter().map(|one| one.pool.len()).sum::<usize>() > 1;
        self.cookie.as_deref().filter(|_| several())
    }

    /// Where `path` leads at the application.
    pub(super) fn rewritten(&self, path: &str) -> Option<String> {
        let target = match self.options.rewrite.as_ref()? {
            RewriteTarget::Prefix(target) => target.as_str(),
            RewriteTarget::Whole(target) => return Some(target.clone()),
        };
        let rest = path.strip_prefix(&self.path).filter(|_| path.starts_with('/'))?;
        let rest = if target == "/" { rest.strip_prefix('/').unwrap_or(rest) } else { rest };
        Some(format!("{target}{rest}"))
    }

    /// Whether `path` is this Route's or below it, at a segment boundary.
    fn matches(&self, path: &str) -> bool {
        if self.exact {
            return path == self.path;
        }
        let Some(rest) = path.strip_prefix(&self.path) else { return false };
        rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/') || self.path.is_empty()
    }
}

/// Routes by their host.
#[derive(Default)]
struct Hosts {
    exact: HashMap<String, Vec<Arc<Entry>>>,
    wildcard: HashMap<String, Vec<Arc<Entry>>>,
    /// What answers whatever the host.
    any: Vec<Arc<Entry>>,
}

impl Hosts {
    fn add(&mut self, route: &RouteInfo, entry: &Arc<Entry>) {
        let hosts = match (route.wildcard, claimed(route)) {
            (true, domain) => self.wildcard.entry(domain.to_owned()).or_default(),
            (false, "") => &mut self.any,
            (false, host) => self.exact.entry(host.to_owned()).or_default(),
        };
        hosts.push(Arc::clone(entry));
    }

    fn sort(&mut self) {
        let all = self.exact.values_mut().chain(self.wildcard.values_mut());
        for entries in all.chain(std::iter::once(&mut self.any)) {
            entries.sort_by_key(|entry| std::cmp::Reverse((entry.path.len(), entry.exact)));
        }
    }

    /// What has the longest path of the exact host, else of the wildcard, else of what answers whatever the host.
    fn find(&self, host: &str, path: &str) -> Option<&Arc<Entry>> {
        let of =
            |entries: &'_ Vec<Arc<Entry>>| entries.iter().position(|entry| entry.matches(path));
        if let Some(entries) = self.exact.get(host)
            && let Some(index) = of(entries)
        {
            return entries.get(index);
        }
        let wild = host.split_once('.').and_then(|(_, domain)| self.wildcard.get(domain));
        if let Some(entries) = wild
            && let Some(index) = of(entries)
        {
            return entries.get(index);
        }
        self.any.get(of(&self.any)?)
    }

    /// All Routes of the exact host, else of the wildcard.
    fn all(&self, host: &str) -> Option<&[Arc<Entry>]> {
        let wild = || self.wildcard.get(host.split_once('.')?.1);
        self.exact.get(host).or_else(wild).map(Vec::as_slice)
    }
}

/// Everything that is served.
#[derive(Default)]
pub(super) struct Table {
    /// What answers requests without TLS.
    plain: Hosts,
    /// What answers requests whose TLS ends here.
    secure: Hosts,
    /// Who is given connections as they come.
    tunnels: Hosts,
    /// Each once.
    pub(super) all: Vec<Arc<Entry>>,
    /// Whether everything that is to be served is known.
    pub(super) is_complete: bool,
    /// What Gateways serve, here and at ports of their own.
    pub(super) gateways: Gateways,
    /// The ports that all share.
    shared: BTreeSet<u16>,
}

impl Table {
    /// The table of the admitted `routes`. `pools` keeps what is still used and forgets the rest.
    pub(super) fn build<'a>(
        routes: impl Iterator<Item = &'a RouteInfo>,
        verdicts: &Verdicts,
        (judged, shared): (&Judged<'_>, &BTreeSet<u16>),
        model: &Model,
        pools: &mut Pools,
    ) -> Table {
        let mut table = Table { is_complete: true, shared: shared.clone(), ..Table::default() };
        pools.begin();
        for route in routes.filter(|route| matches!(verdicts.get(&route.key), Some(Ok(())))) {
            let tls = route.tls.as_ref();
            let insecure = tls.map_or(Insecure::Allow, |tls| tls.insecure);
            let passes = tls.is_some_and(|tls| !tls.ends_here());
            let entry = Arc::new(Entry::of(route, model, pools));
            table.all.push(Arc::clone(&entry));
            if insecure != Insecure::Refuse {
                table.plain.add(route, &entry);
            }
            match tls {
                Some(_) if passes => table.tunnels.add(route, &entry),
                Some(_) => table.secure.add(route, &entry),
                None => {}
            }
        }
        let mut maker = Maker { model, pools, all: &mut table.all };
        table.gateways = Gateways::build(judged, &mut maker);
        pools.end();
        [&mut table.plain, &mut table.secure].into_iter().for_each(Hosts::sort);
        table
    }

    /// The Route for a lower-case host without port, and a path, of a request that came with TLS or without.
    pub(super) fn find(&self, secure: bool, host: &str, path: &str) -> Option<&Arc<Entry>> {
        let hosts = if secure { &self.secure } else { &self.plain };
        hosts.find(host, path).filter(|entry| self.may_answer(entry, host))
    }

    /// Whether a host is of the entry's namespace, or of none: what a namespace leaves open of its host is nobody else's to
    /// answer.
    fn may_answer(&self, entry: &Entry, host: &str) -> bool {
        let all = [&self.plain, &self.secure, &self.tunnels];
        let exact = all.iter().find_map(|hosts| hosts.exact.get(host));
        let wild = || {
            let (_, domain) = host.split_once('.')?;
            all.iter().find_map(|hosts| hosts.wildcard.get(domain))
        };
        // All of a host are of one namespace.
        let owner = exact.or_else(wild).and_then(|entries| entries.first());
        owner.is_none_or(|owner| owner.key.0 == entry.key.0)
    }

    /// The Route that is given the connections for a host.
    pub(super) fn tunnel(&self, host: &str) -> Option<&Arc<Entry>> {
        // A host that is named itself is not its domain's.
        if !self.tunnels.exact.contains_key(host) && self.secure.exact.contains_key(host) {
            return None;
        }
        self.tunnels.all(host)?.first().filter(|entry| self.may_answer(entry, host))
    }

    /// Of a host whose TLS ends here, the certificate that the oldest Route with one brings, if any does.
    pub(super) fn certificate(&self, host: &str) -> Option<Option<&Certificate>> {
        let all = self.secure.all(host)?;
        if !all.first().is_some_and(|entry| self.may_answer(entry, host)) {
            return None;
        }
        let with_one = all.iter().filter(|entry| entry.certificate.is_some());
        let oldest = with_one.min_by_key(|entry| &entry.age);
        Some(oldest.and_then(|entry| entry.certificate.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ServiceInfo, SliceInfo};
    use crate::router::admit::{Policy, judge};
    use serde_json::{Value, json};
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::SocketAddr;

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
        let verdicts = judge(routes.values(), &Policy { wildcards: true, ..Policy::default() });
        let gateways = (&Judged::default(), &BTreeSet::new());
        Table::build(routes.values(), &verdicts, gateways, model, pools)
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
            let found = table.find(false, host, path).and_then(|entry| entry.pick(CLIENT));
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
        let entry = table.find(false, "w.test", "/").unwrap();
        let mut counts = BTreeMap::new();
        for _ in 0..60 {
            *counts.entry(entry.pick(CLIENT).unwrap().address.to_string()).or_insert(0) += 1;
        }
        assert!((8..=12).contains(&counts["10.244.0.2:8080"]), "{counts:?}");
        assert_eq!(counts.len(), 2, "{counts:?}");
        assert_eq!(table.find(false, "zero.test", "/").unwrap().pick(CLIENT).map(|c| c.id), None);
        assert_eq!(table.find(false, "miss.test", "/").unwrap().pick(CLIENT).map(|c| c.id), None);
    }

    #[test]
    fn endpoints_change_in_place() {
        let mut model = model();
        let mut pools = Pools::default();
        let specs = [json!({"host": "x.test", "to": to("a"), "port": {"targetPort": "http"}})];
        let table = table(&specs, &model, &mut pools);
        model.remove_slice(&("n".into(), "a".into()));
        pools.refresh(&model, &BTreeSet::from([("n".into(), "a".into())]));
        assert_eq!(table.find(false, "x.test", "/").unwrap().pick(CLIENT).map(|c| c.id), None);
    }

    /// Which endpoints 60 clients get, one request each, all under way at once.
    fn chosen(balance: &str) -> BTreeMap<SocketAddr, usize> {
        let annotations = json!({"haproxy.router.openshift.io/balance": balance});
        let spec = json!({"host": "x.test", "to": to("a"), "alternateBackends": [to("b"), to("c")],
            "port": {"targetPort": "http"}});
        let table = annotated(annotations, &[spec], &model(), &mut Pools::default());
        let entry = table.find(false, "x.test", "/").unwrap();
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
        let entry = table.find(false, "x.test", "/").unwrap();
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
            let entry = table.find(false, "x.test", asked).unwrap();
            assert_eq!(entry.rewritten(asked).as_deref(), expected, "{path} {target} {asked}");
        }
    }
}
