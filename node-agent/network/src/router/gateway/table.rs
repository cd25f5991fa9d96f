//! From a port, a host and a request's head to the rule of a route. Pure: what is judged goes in, and the answer to one request
//! comes out. Readers never wait: the table is replaced as a whole.

use super::super::pools::Pool;
use super::super::table::Entry;
use super::super::tls::certificate::Certificate;
use super::filters::MirrorTo;
use super::hosts::{Closeness, HostMap};
use super::judge::{Judged, Listening, Routed};
use super::listeners::{Protocol, Trouble};
use super::matches::{Head, Match, Rank};
use super::resolve::ServiceKey;
use super::rule::{Backend, Copy, Rule};
use super::rules::{RouteInfo, RuleSpec};
use leme_client::Key;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A match of a rule, and where it stands among others.
struct Candidate {
    rank: (Rank, (String, String), usize, usize),
    asks: Match,
    rule: Arc<Rule>,
}

/// A listener, or several of one namespace that are the same.
#[derive(Default)]
struct Served {
    protocol: Option<Protocol>,
    certificates: Vec<Certificate>,
    hosts: HostMap<Vec<Candidate>>,
}

/// The listeners of a namespace's Gateways at a port.
#[derive(Default)]
struct Group(HostMap<Served>);

/// A port.
#[derive(Default)]
struct Port {
    groups: Vec<Group>,
    /// Which group answers for a host: that of a route, and of a listener where there is no route.
    routed: HostMap<usize>,
    listened: HostMap<usize>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub(in crate::router) enum Decision<'a> {
    /// No Gateway answers for the host.
    Elsewhere,
    /// It came on a connection for another listener.
    Misdirected,
    /// No rule is for it.
    Nothing,
    /// This rule is for it.
    Rule(&'a Arc<Rule>),
}

/// Everything that Gateways serve.
#[derive(Default)]
pub(in crate::router) struct Gateways {
    ports: HashMap<u16, Port>,
}

/// Makes what a rule leads to, which is known by the key `of`.
pub(in crate::router) trait Make {
    /// The endpoints of a Service's port.
    fn pool(&mut self, of: Key, to: &ServiceKey) -> Arc<Pool>;
    /// The backend of a rule at a place.
    fn entry(
        &mut self,
        of: Key,
        route: &RouteInfo,
        rule: (&RuleSpec, usize),
        to: &ServiceKey,
    ) -> Arc<Entry>;
}

impl Gateways {
    /// The table of what is judged.
    pub(in crate::router) fn build(judged: &Judged<'_>, make: &mut dyn Make) -> Gateways {
        let mut rules: HashMap<*const RouteInfo, Vec<Option<Arc<Rule>>>> = HashMap::new();
        for routed in &judged.routes {
            rules.insert(std::ptr::from_ref(routed.info), rules_of(routed, make));
        }
        let mut gateways = Gateways::default();
        let mut groups: HashMap<(u16, &str), usize> = HashMap::new();
        for listener in &judged.listeners {
            let Some(protocol) = listener.served() else { continue };
            let namespace = listener.gateway.meta.key.0.as_str();
            let port = gateways.ports.entry(listener.info.port).or_default();
            let group = *groups.entry((listener.info.port, namespace)).or_insert_with(|| {
                port.groups.push(Group::default());
                port.groups.len() - 1
            });
            port.add(group, listener, protocol, &rules);
        }
        let tables = gateways.ports.values_mut().flat_map(|port| &mut port.groups);
        for served in tables.flat_map(|group| group.0.values_mut()) {
            for candidates in served.hosts.values_mut() {
                candidates.sort_by(|a, b| a.rank.cmp(&b.rank));
            }
        }
        gateways
    }

    /// Whether there are none.
    pub(in crate::router) fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// How close the host of a Gateway's route is to a name at a port, if one is for it.
    pub(in crate::router) fn closeness(&self, port: u16, host: &str) -> Option<Closeness> {
        self.ports.get(&port)?.routed.closest(host).map(|(closeness, _)| closeness)
    }

    /// Whether a listener at a port is for a host.
    pub(in crate::router) fn listens(&self, port: u16, host: &str) -> bool {
        self.ports.get(&port).is_some_and(|port| port.serving(host).is_some())
    }

    /// What becomes of a request for a host. `asked` is the host that the connection's TLS was made for.
    pub(in crate::router) fn decide(
        &self,
        port: u16,
        asked: Option<&str>,
        host: &str,
        head: &Head<'_>,
    ) -> Decision<'_> {
        let Some(port) = self.ports.get(&port) else { return Decision::Elsewhere };
        let Some(served) = port.serving(host) else { return Decision::Elsewhere };
        if let Some(asked) = asked
            && port.serving(asked).is_some_and(|other| !std::ptr::eq(other, served))
        {
            return Decision::Misdirected;
        }
        if served.protocol == Some(Protocol::Tls) {
            return Decision::Misdirected;
        }
        for (_, candidates) in served.hosts.all(host) {
            if let Some(found) = candidates.iter().find(|one| one.asks.is_for(head)) {
                return Decision::Rule(&found.rule);
            }
        }
        Decision::Nothing
    }

    /// Where connections for a host are given as they come; `None` if TLS ends here or nobody is there.
    pub(in crate::router) fn tunnel(&self, port: u16, host: &str) -> Option<Option<&Arc<Rule>>> {
        let served = self.ports.get(&port)?.serving(host)?;
        if served.protocol != Some(Protocol::Tls) {
            return None;
        }
        let (_, candidates) = served.hosts.closest(host)?;
        Some(candidates.first().map(|one| &one.rule))
    }

    /// The certificate that is shown for a host: the one that is for it, else the listener's first.
    pub(in crate::router) fn certificate(&self, port: u16, host: &str) -> Option<&Certificate> {
        let served = self.ports.get(&port)?.serving(host)?;
        let fits = |one: &&Certificate| one.is_for(host);
        served.certificates.iter().find(fits).or(served.certificates.first())
    }
}

impl Port {
    /// The listener for a host: of those of the namespace whose route is the closest, the closest.
    fn serving(&self, host: &str) -> Option<&Served> {
        let (_, group) = self.routed.closest(host).or_else(|| self.listened.closest(host))?;
        self.groups.get(*group)?.0.closest(host).map(|(_, served)| served)
    }

    fn add(
        &mut self,
        group: usize,
        listener: &Listening<'_>,
        protocol: Protocol,
        rules: &HashMap<*const RouteInfo, Vec<Option<Arc<Rule>>>>,
    ) {
        self.listened.entry(&listener.info.host, || group);
        for attached in &listener.attached {
            for host in &attached.hosts {
                self.routed.entry(host, || group);
            }
        }
        let Some(Group(listeners)) = self.groups.get_mut(group) else { return };
        let served = listeners.entry(&listener.info.host, Served::default);
        served.protocol.get_or_insert(protocol);
        served.certificates.extend(listener.certificates.iter().cloned());
        for attached in &listener.attached {
            let of = rules.get(&std::ptr::from_ref(attached.route));
            for (index, rule) in of.into_iter().flatten().enumerate() {
                let Some(rule) = rule else { continue };
                for (number, asks) in rule.spec.matches.iter().enumerate() {
                    let age = attached.route.meta.age.clone();
                    let rank = (asks.rank(), age, index, number);
                    for host in &attached.hosts {
                        let (asks, rule, rank) = (asks.clone(), Arc::clone(rule), rank.clone());
                        let all = served.hosts.entry(host, Vec::new);
                        let twice =
                            |one: &Candidate| one.rank == rank && Arc::ptr_eq(&one.rule, &rule);
                        // A route may be attached to two listeners that are the same.
                        if !all.iter().rev().any(twice) {
                            all.push(Candidate { rank, asks, rule });
                        }
                    }
                }
            }
        }
    }
}

fn rules_of(routed: &Routed<'_>, make: &mut dyn Make) -> Vec<Option<Arc<Rule>>> {
    let refs = routed.backends.iter().zip(&routed.mirrors);
    let rules = routed.info.rules.iter().zip(refs).enumerate();
    type Refs = [Result<ServiceKey, Trouble>];
    type Read = Result<Arc<RuleSpec>, String>;
    let one = |(index, (rule, (backends, mirrors))): (usize, (&Read, (&Vec<_>, &Vec<_>)))| {
        let (backends, mirrors): (&Refs, &Refs) = (backends, mirrors);
        let spec = rule.as_ref().ok()?;
        let (namespace, name) = &routed.info.meta.key;
        let known = format!("{}/{name}/{index}", routed.info.kind.name().to_ascii_lowercase());
        let of = |what: String| (namespace.clone(), format!("{known}/{what}"));
        let mut all: Vec<Backend> = Vec::new();
        for (at, (written, to)) in spec.backends.iter().zip(backends).enumerate() {
            let to = to.as_ref().ok();
            let entry = to.map(|to| make.entry(of(at.to_string()), routed.info, (spec, at), to));
            all.push(Backend { weight: written.weight, entry });
        }
        let mut pools = mirrors.iter();
        let mut copies = |written: &[MirrorTo]| -> Vec<Copy> {
            let found = written.iter().zip(pools.by_ref()).filter_map(|(mirror, to)| {
                let pool = make.pool(of("copies".to_owned()), to.as_ref().ok()?);
                Some(Copy { of: mirror.of, some: mirror.some, pool })
            });
            found.collect()
        };
        let own = copies(&spec.filters.mirrors);
        let of_backends = spec.backends.iter().map(|one| copies(&one.filters.mirrors)).collect();
        let key = routed.info.meta.key.clone();
        Some(Arc::new(Rule::new(key, Arc::clone(spec), all, own, of_backends)))
    };
    rules.map(one).collect()
}

/// The Services that routes lead to.
pub(in crate::router) fn services(judged: &Judged<'_>) -> BTreeSet<Key> {
    let refs =
        judged.routes.iter().flat_map(|one| one.info.rules.iter().map(move |rule| (one, rule)));
    let mut all = BTreeSet::new();
    for (routed, rule) in refs {
        let Ok(rule) = rule else { continue };
        let copies = rule.filters.mirrors.iter().map(|one| &one.to);
        let backends = rule.backends.iter().flat_map(|one| {
            std::iter::once(&one.to).chain(one.filters.mirrors.iter().map(|copy| &copy.to))
        });
        for to in copies.chain(backends) {
            let namespace = to.namespace.clone().unwrap_or(routed.info.meta.key.0.clone());
            all.insert((namespace, to.name.clone()));
        }
    }
    all
}
