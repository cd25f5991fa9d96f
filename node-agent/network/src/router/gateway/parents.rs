//! Which listeners a route is attached to, and what it is told of that. Pure: one route and the listeners of one parent.

use super::hosts::Host;
use super::judge::{Attached, ByGateway, Listening, Routed, Seen};
use super::kinds::ParentRef;
use super::listeners::{Trouble, trouble};
use super::rules::RouteInfo;

/// Attaches a route to those of its parent's listeners that it means and that take it.
pub(super) fn attach<'a>(
    seen: &Seen<'a>,
    route: &'a RouteInfo,
    parent: &ParentRef,
    listeners: &mut [Listening<'a>],
) -> Result<(), Trouble> {
    let mut meant: Vec<&mut Listening<'a>> = listeners
        .iter_mut()
        .filter(|one| parent.section_name.as_ref().is_none_or(|name| *name == one.info.name))
        .filter(|one| parent.port.is_none_or(|port| port == one.info.port))
        .collect();
    if meant.is_empty() {
        let message = "the Gateway has no listener of this name and port";
        return Err(trouble("NoMatchingParent", message));
    }
    let namespace = &route.meta.key.0;
    let labels = seen.namespaces.get(namespace);
    meant.retain(|one| {
        one.info.kinds.contains(&route.kind)
            && one.info.allows(&one.gateway.meta.key.0, namespace, labels)
    });
    if meant.is_empty() {
        let message = format!(
            "no listener takes routes of the kind {} out of the namespace {namespace}",
            route.kind.name()
        );
        return Err(trouble("NotAllowedByListeners", message));
    }
    if let Some(why) = unusable(route) {
        return Err(trouble("UnsupportedValue", why));
    }
    let mut any = false;
    for listener in meant {
        let common = route.hosts().iter().filter_map(|host| host.common(&listener.info.host));
        let mut hosts: Vec<Host> = common.collect();
        hosts.sort();
        hosts.dedup();
        any |= !hosts.is_empty();
        match listener.attached.iter_mut().find(|one| std::ptr::eq(one.route, route)) {
            // Two of its parents are the same listener.
            Some(known) => known.hosts = hosts,
            None if hosts.is_empty() => {}
            None => listener.attached.push(Attached { route, hosts }),
        }
    }
    match any {
        true => Ok(()),
        false => {
            let message = "no listener has a host in common with the route";
            Err(trouble("NoMatchingListenerHostname", message))
        }
    }
}

/// Why nothing of a route can be carried out.
fn unusable(route: &RouteInfo) -> Option<String> {
    if let Some(why) = &route.broken {
        return Some(why.clone());
    }
    let all: Option<Vec<&str>> = route.refusals().collect();
    all?.first().map(|why| (*why).to_owned())
}

/// Routes of which no host is left are not accepted.
pub(super) fn refuse_the_lost(
    routes: &mut [Routed<'_>],
    listeners: &[Listening<'_>],
    all: &ByGateway,
) {
    for route in routes {
        let info = route.info;
        for parent in route.parents.iter_mut().filter(|parent| parent.accepted.is_ok()) {
            let namespace = parent.to.namespace.clone().unwrap_or(info.meta.key.0.clone());
            let range = all.get(&(namespace, parent.to.name.clone())).cloned().unwrap_or_default();
            let at = &listeners[range];
            let mut mine = at.iter().flat_map(|one| &one.attached);
            let left = mine.any(|one| std::ptr::eq(one.route, info) && !one.hosts.is_empty());
            if !left {
                let message = "its hosts are held by others that are older";
                parent.accepted = Err(trouble("HostAlreadyClaimed", message));
            }
        }
    }
}
