//! What Gateways add to the table: entries for the backends of their routes, and whether a host is theirs to answer or a Route's.
//! Pure.

use super::super::actions::Actions;
use super::super::admit::claimed;
use super::super::annotations::{Balance, Options, Speaks};
use super::super::gateway::{AttachedRoute, Closeness, Host, Kind, Make, RuleSpec, ServiceKey};
use super::super::pools::{Pool, Pools, State};
use super::super::route::{Origin, RouteInfo};
use super::{Behind, Entry, Table};
use crate::model::Model;
use leme_client::Key;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

impl Entry {
    /// A backend of a rule of a Gateway's route, which is known by `key`.
    fn of_backend(
        key: Key,
        route: &AttachedRoute,
        (rule, at): (&RuleSpec, usize),
        pool: Arc<Pool>,
        state: Arc<State>,
    ) -> Entry {
        let mut options = Options { no_cookie: true, ..Options::default() };
        if let Some(patience) = rule.patience {
            options.timeout = patience.unwrap_or(FOREVER);
        }
        if route.kind == Kind::Grpc {
            options.speaks = Speaks::Http2;
        }
        let backend = rule.backends.get(at);
        let own = backend.map(|backend| &backend.filters);
        let all = || std::iter::once(&rule.filters).chain(own);
        let actions = Actions {
            request: all().flat_map(|filters| filters.request.clone()).collect(),
            response: all().flat_map(|filters| filters.response.clone()).collect(),
        };
        let name = backend.map(|backend| backend.to.service().to_owned()).unwrap_or_default();
        Entry {
            path: String::new(),
            exact: false,
            services: vec![Behind { name, weight: 1, pool, sender: None }],
            turns: AtomicU64::new(0),
            options,
            actions,
            cookie: None,
            cookie_further: "",
            balance: Balance::default(),
            redirects: None,
            state,
            termination: None,
            origin: Origin::Gateway(route.kind),
            key,
            certificate: None,
            age: (String::new(), route.meta.uid().to_owned()),
        }
    }
}

/// As long as an application likes to begin its answer: some 24 days.
const FOREVER: Duration = Duration::from_millis(2_147_483_647);

/// Makes what rules of Gateways' routes lead to.
pub(super) struct Maker<'a> {
    pub(super) model: &'a Model,
    pub(super) pools: &'a mut Pools,
    pub(super) all: &'a mut Vec<Arc<Entry>>,
}

impl Make for Maker<'_> {
    fn pool(&mut self, of: Key, (service, port): &ServiceKey) -> Arc<Pool> {
        self.pools.get(self.model, (of, service.clone(), port.clone()))
    }

    fn entry(
        &mut self,
        of: Key,
        route: &AttachedRoute,
        rule: (&RuleSpec, usize),
        to: &ServiceKey,
    ) -> Arc<Entry> {
        let (pool, state) = (self.pool(of.clone(), to), self.pools.state(&of));
        let entry = Arc::new(Entry::of_backend(of, route, rule, pool, state));
        self.all.push(Arc::clone(&entry));
        entry
    }
}

impl Table {
    /// The hosts that a Route claims, as the Gateway API writes them.
    pub(in crate::router) fn host_of(route: &RouteInfo) -> Host {
        match (route.wildcard, claimed(route)) {
            (true, domain) => Host::Below(domain.to_owned()),
            (false, "") => Host::Any,
            (false, host) => Host::Named(host.to_owned()),
        }
    }

    /// Whether a request at a port, for a host, is for the Gateways there to answer: no Route has a host that is as close.
    pub(in crate::router) fn is_for_gateways(&self, port: u16, host: &str) -> bool {
        if !self.shared.contains(&port) {
            return true;
        }
        if self.gateways.is_empty() {
            return false;
        }
        match (self.gateways.closeness(port, host), self.closeness(host)) {
            (Some(theirs), Some(routes)) => theirs > routes,
            (_, routes) => routes.is_none() && self.gateways.listens(port, host),
        }
    }

    /// How close the host of a Route is to a name, if one is for it.
    fn closeness(&self, host: &str) -> Option<Closeness> {
        let all = [&self.plain, &self.secure, &self.tunnels];
        if all.iter().any(|hosts| hosts.exact.contains_key(host)) {
            return Some(Closeness::Named);
        }
        let domain = host.split_once('.').map(|(_, domain)| domain);
        let below = |domain: &&str| all.iter().any(|hosts| hosts.wildcard.contains_key(*domain));
        match domain.filter(below) {
            Some(domain) => Some(Closeness::Below(domain.len())),
            None => all.iter().any(|hosts| !hosts.any.is_empty()).then_some(Closeness::Any),
        }
    }
}
