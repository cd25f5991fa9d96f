//! Which listeners and routes are served. Pure: Gateways, routes and what they refer to go in; what is served, and what each is
//! told, comes out. The oldest claim decides whose a host is, whatever kind of object makes it.

use super::super::tls::certificate::Certificate;
use super::claims::{Claim, Claims, Owner, What};
use super::hosts::Host;
use super::kinds::{GROUP, GrantSpec, Kind, ParentRef, Reference};
use super::listeners::{ClassInfo, GatewayInfo, ListenerInfo, Protocol, Trouble, trouble};
use super::parents::{attach, refuse_the_lost};
use super::resolve::{Resolved, certificates, refs};
use super::rules::{RouteInfo, is_gateway};
use crate::model::Model;
use leme_client::Key;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Everything that decides.
#[derive(Clone, Copy)]
pub(in crate::router) struct Seen<'a> {
    pub(in crate::router) classes: &'a BTreeMap<Key, ClassInfo>,
    pub(in crate::router) gateways: &'a BTreeMap<Key, GatewayInfo>,
    pub(in crate::router) routes: &'a BTreeMap<(Kind, Key), RouteInfo>,
    pub(in crate::router) grants: &'a BTreeMap<Key, GrantSpec>,
    /// The labels of namespaces.
    pub(in crate::router) namespaces: &'a BTreeMap<String, BTreeMap<String, String>>,
    pub(in crate::router) certificates: &'a BTreeMap<Key, Result<Certificate, String>>,
    pub(in crate::router) model: &'a Model,
    /// Where Gateways are reached.
    pub(in crate::router) address: Option<IpAddr>,
    /// Whether a port speaks TLS or not, as is asked, or why it does not.
    pub(in crate::router) open: &'a dyn Fn(u16, bool) -> Result<(), String>,
    /// The ports that Routes and Ingresses are served at.
    pub(in crate::router) shared: &'a BTreeSet<u16>,
}

/// A host that a Route or an Ingress holds.
pub(in crate::router) struct Held {
    pub(in crate::router) key: Key,
    pub(in crate::router) age: (String, String),
    pub(in crate::router) host: Host,
}

/// A route at a listener, and the hosts that it answers there.
#[derive(Clone, Debug)]
pub(in crate::router) struct Attached<'a> {
    pub(in crate::router) route: &'a RouteInfo,
    pub(in crate::router) hosts: Vec<Host>,
}

/// A listener, judged.
pub(in crate::router) struct Listening<'a> {
    pub(in crate::router) gateway: &'a GatewayInfo,
    pub(in crate::router) info: &'a ListenerInfo,
    pub(in crate::router) accepted: Result<(), Trouble>,
    pub(in crate::router) conflict: Option<Trouble>,
    pub(in crate::router) resolved: Result<(), Trouble>,
    /// Whether others of its Gateway have hosts in common with it.
    pub(in crate::router) overlaps: bool,
    pub(in crate::router) certificates: Vec<Certificate>,
    /// How many routes are attached.
    pub(in crate::router) count: usize,
    pub(in crate::router) attached: Vec<Attached<'a>>,
    /// Whether its Gateway is served at all.
    usable: bool,
}

impl Listening<'_> {
    /// What it speaks, if it is served.
    pub(in crate::router) fn served(&self) -> Option<Protocol> {
        let protocol = self.info.protocol.as_ref().ok().copied()?;
        let certified = protocol != Protocol::Https || !self.certificates.is_empty();
        (self.usable && self.accepted.is_ok() && !self.info.kinds.is_empty() && certified)
            .then_some(protocol)
    }
}

/// What is said of a route to one of its parents.
pub(in crate::router) struct Parent<'a> {
    pub(in crate::router) to: &'a ParentRef,
    pub(in crate::router) accepted: Result<(), Trouble>,
}

/// A route, judged.
pub(in crate::router) struct Routed<'a> {
    pub(in crate::router) info: &'a RouteInfo,
    pub(in crate::router) parents: Vec<Parent<'a>>,
    /// Where the requests of each rule go; of a rule that is none, nowhere.
    pub(super) backends: Resolved,
    /// Who gets copies.
    pub(super) mirrors: Resolved,
}

/// Everything, judged.
#[derive(Default)]
pub(in crate::router) struct Judged<'a> {
    pub(in crate::router) gateways: Vec<&'a GatewayInfo>,
    pub(in crate::router) listeners: Vec<Listening<'a>>,
    pub(in crate::router) routes: Vec<Routed<'a>>,
    /// The Routes and rules of Ingresses whose host an older one here holds, and who holds it.
    pub(in crate::router) lost: Vec<(Key, String)>,
}

/// The Gateways that are served here, the oldest first.
fn ours<'a>(seen: &Seen<'a>) -> Vec<&'a GatewayInfo> {
    let class = |gateway: &GatewayInfo| {
        let class = seen.classes.get(&(String::new(), gateway.class.clone()));
        class.is_some_and(|class| class.ours && class.refused.is_none())
    };
    let mut all: Vec<&GatewayInfo> =
        seen.gateways.values().filter(|gateway| class(gateway)).collect();
    all.sort_by_key(|gateway| &gateway.meta.age);
    all
}

/// The ports that Gateways ask for, and whether TLS is spoken there.
pub(in crate::router) fn wanted(seen: &Seen<'_>) -> BTreeMap<u16, bool> {
    let mut ports = BTreeMap::new();
    for gateway in ours(seen).into_iter().filter(|gateway| is_usable(seen, gateway).is_ok()) {
        let conflicts = conflicts(&gateway.listeners);
        for (listener, conflict) in gateway.listeners.iter().zip(conflicts) {
            if let (Ok(protocol), None) = (&listener.protocol, conflict) {
                ports.entry(listener.port).or_insert(protocol.is_secure());
            }
        }
    }
    ports
}

/// Whether a Gateway can be where it asks to be.
pub(in crate::router) fn is_usable(seen: &Seen<'_>, gateway: &GatewayInfo) -> Result<(), Trouble> {
    if gateway.refused.is_some() {
        return Err(trouble("Invalid", "the Gateway is not accepted"));
    }
    let Some(own) = seen.address else {
        return Err(trouble("AddressNotAssigned", "this router has no address"));
    };
    let own = own.to_string();
    match gateway.addresses.iter().find(|address| **address != own) {
        None => Ok(()),
        Some(other) => {
            let message = format!("spec.addresses: {other} is not the router's, which is {own}");
            Err(trouble("AddressNotUsable", message))
        }
    }
}

/// For each listener of a Gateway what of it another has as well.
fn conflicts(listeners: &[ListenerInfo]) -> Vec<Option<Trouble>> {
    let conflict = |(index, one): (usize, &ListenerInfo)| {
        let own = one.protocol.as_ref().ok()?;
        let others = listeners.iter().enumerate().filter(|(other, _)| *other != index);
        let others = others.filter_map(|(_, other)| Some((other, other.protocol.as_ref().ok()?)));
        for (other, protocol) in others.filter(|(other, _)| other.port == one.port) {
            if protocol.is_secure() != own.is_secure() {
                let message = format!("listener {} speaks another protocol there", other.name);
                return Some(trouble("ProtocolConflict", message));
            }
            if other.host == one.host {
                let message = format!("listener {} has the same hosts there", other.name);
                return Some(trouble("HostnameConflict", message));
            }
        }
        None
    };
    listeners.iter().enumerate().map(conflict).collect()
}

/// Judges everything together. `held` are the hosts of Routes and Ingresses.
pub(in crate::router) fn judge<'a>(seen: &Seen<'a>, held: &'a [Held]) -> Judged<'a> {
    let gateways = ours(seen);
    let mut listeners: Vec<Listening<'a>> = Vec::new();
    for gateway in &gateways {
        listeners.extend(listening(seen, gateway));
    }
    let by_gateway = index(&listeners);
    let mut routes: Vec<&RouteInfo> = seen.routes.values().collect();
    routes.sort_by_key(|route| &route.meta.age);
    let mut judged: Vec<Routed<'a>> = Vec::new();
    for route in routes {
        let parents = route.parents.iter().filter(|parent| is_gateway(parent));
        let mut told = Vec::new();
        for parent in parents {
            let namespace = parent.namespace.clone().unwrap_or(route.meta.key.0.clone());
            let Some(range) = by_gateway.get(&(namespace, parent.name.clone())) else { continue };
            let at = &mut listeners[range.clone()];
            told.push(Parent { to: parent, accepted: attach(seen, route, parent, at) });
        }
        if told.is_empty() {
            continue;
        }
        let (backends, mirrors) = refs(seen, route);
        judged.push(Routed { info: route, parents: told, backends, mirrors });
    }
    let lost = settle(seen, held, &mut listeners);
    refuse_the_lost(&mut judged, &listeners, &by_gateway);
    count(&mut listeners);
    Judged { gateways, listeners, routes: judged, lost }
}

/// Which listeners are of a Gateway.
pub(super) type ByGateway = BTreeMap<Key, std::ops::Range<usize>>;

fn index(listeners: &[Listening<'_>]) -> ByGateway {
    let mut all = ByGateway::new();
    for (at, listener) in listeners.iter().enumerate() {
        let range = all.entry(listener.gateway.meta.key.clone()).or_insert(at..at);
        range.end = at + 1;
    }
    all
}

fn listening<'a>(seen: &Seen<'a>, gateway: &'a GatewayInfo) -> Vec<Listening<'a>> {
    let usable = is_usable(seen, gateway).is_ok();
    let conflicts = conflicts(&gateway.listeners);
    let one = |(info, conflict): (&'a ListenerInfo, Option<Trouble>)| {
        let mut accepted = info.protocol.clone().map(|_| ());
        if let Some(conflict) = &conflict {
            accepted = Err(conflict.clone());
        }
        if let (Ok(()), Ok(protocol), true) = (&accepted, &info.protocol, usable) {
            accepted = (seen.open)(info.port, protocol.is_secure())
                .map_err(|why| trouble("PortUnavailable", format!("port {}: {why}", info.port)));
        }
        let (certificates, refs) = certificates(seen, gateway, info);
        let resolved = info.other_kinds.clone().map_or(refs, Err);
        let shares = |other: &&ListenerInfo| {
            other.name != info.name
                && other.port == info.port
                && other.protocol == Ok(Protocol::Https)
                && other.host.common(&info.host).is_some()
        };
        let overlaps =
            info.protocol == Ok(Protocol::Https) && gateway.listeners.iter().any(|o| shares(&o));
        let (count, attached) = (0, Vec::new());
        Listening {
            gateway,
            info,
            accepted,
            conflict,
            resolved,
            overlaps,
            certificates,
            count,
            attached,
            usable,
        }
    };
    gateway.listeners.iter().zip(conflicts).map(one).collect()
}

/// Settles whose each host is, and takes hosts that are somebody else's from listeners and routes. Gives the others that lose.
fn settle<'a>(
    seen: &Seen<'a>,
    held: &'a [Held],
    listeners: &mut [Listening<'a>],
) -> Vec<(Key, String)> {
    let mut claims = Vec::new();
    let at = |port: u16| if seen.shared.contains(&port) { None } else { Some(port) };
    for (index, listener) in listeners.iter().enumerate() {
        if listener.served().is_none() {
            continue;
        }
        let (port, meta) = (at(listener.info.port), &listener.gateway.meta);
        let owner = Owner::Namespace(meta.key.0.as_str());
        if listener.info.host != Host::Any {
            let host = listener.info.host.clone();
            claims.push(Claim { age: &meta.age, port, host, owner, what: What::Listener(index) });
        }
        for attached in &listener.attached {
            for host in &attached.hosts {
                let what = What::Route(index, attached.route);
                let age = &attached.route.meta.age;
                claims.push(Claim { age, port, host: host.clone(), owner, what });
            }
        }
    }
    if claims.is_empty() {
        return Vec::new();
    }
    for one in held {
        let what = What::Elsewhere(&one.key);
        let (age, host) = (&one.age, one.host.clone());
        claims.push(Claim { age, port: None, host, owner: Owner::Elsewhere, what });
    }
    let mut lost = Vec::new();
    for (claim, winner) in Claims::settle(claims) {
        match claim.what {
            What::Listener(index) => {
                let message = format!("{} is held by {winner}, which is older", claim.host);
                let conflict = trouble("HostnameConflict", message);
                listeners[index].accepted = Err(conflict.clone());
                listeners[index].conflict = Some(conflict);
            }
            What::Route(index, route) => {
                let attached = listeners[index].attached.iter_mut();
                for one in attached.filter(|one| std::ptr::eq(one.route, route)) {
                    one.hosts.retain(|host| *host != claim.host);
                }
            }
            What::Elsewhere(key) => lost.push((key.clone(), winner)),
        }
    }
    lost
}

fn count(listeners: &mut [Listening<'_>]) {
    for listener in listeners {
        listener.attached.retain(|one| !one.hosts.is_empty());
        listener.count = listener.attached.len();
    }
}

/// Whether what is in another namespace allows to be referred to.
pub(super) fn is_granted(
    seen: &Seen<'_>,
    (kind, namespace): (Kind, &str),
    (target, to): (&'static str, &Reference),
    there: &str,
) -> bool {
    namespace == there
        || seen.grants.iter().filter(|(key, _)| key.0 == there).any(|(_, grant)| {
            let from = grant.from.iter().any(|from| {
                from.group == GROUP && from.kind == kind.name() && from.namespace == namespace
            });
            let named = |name: &Option<String>| {
                name.as_ref().is_none_or(|name| name.is_empty() || *name == to.name)
            };
            from && grant
                .to
                .iter()
                .any(|one| one.group.is_empty() && one.kind == target && named(&one.name))
        })
}
