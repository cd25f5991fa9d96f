//! Which Routes are served. Pure: the oldest Route of a host decides whose the host is; what this router does not do is refused
//! with a reason rather than half served.

use super::route::{Origin, RouteInfo};
use super::tls::Tls;
use leme_client::Key;
use std::collections::{BTreeMap, BTreeSet};

/// What the router allows.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    /// Routes of the policy `Subdomain` are served.
    pub(super) wildcards: bool,
    /// The domain of the cluster's own names, such as `cluster.local`.
    pub(super) cluster_domain: String,
    /// The domain below which hosts are made up for Routes that name none.
    pub(super) route_domain: String,
    /// Whether somebody certifies Services.
    pub(super) service_authority: bool,
}

/// Why a Route is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// The verdict on each Route.
pub(super) type Verdicts = BTreeMap<Key, Result<(), Refusal>>;

/// Judges all Routes together.
pub(super) fn judge<'a>(routes: impl Iterator<Item = &'a RouteInfo>, policy: &Policy) -> Verdicts {
    let mut by_age: Vec<&RouteInfo> = routes.collect();
    by_age.sort_by(|a, b| (&a.age, &a.key).cmp(&(&b.age, &b.key)));
    let mut claims = Claims::default();
    let mut verdicts = Verdicts::new();
    for route in by_age {
        let verdict = alone(route, policy).and_then(|()| claims.claim(route));
        verdicts.insert(route.key.clone(), verdict);
    }
    verdicts
}

/// Who holds which host, and which path of it.
#[derive(Default)]
struct Claims<'a> {
    owners: BTreeMap<(bool, &'a str), &'a str>,
    paths: BTreeMap<(bool, &'a str, &'a str, bool), &'a str>,
    /// The oldest Route with TLS of a host, and whether its TLS ends here.
    encrypted: BTreeMap<(bool, &'a str), (&'a str, bool)>,
}

impl<'a> Claims<'a> {
    fn claim(&mut self, route: &'a RouteInfo) -> Result<(), Refusal> {
        let host = (route.wildcard, claimed(route));
        let (namespace, name) = &route.key;
        // A rule for whatever host is nobody's: it answers what no other does.
        let is_named = !host.1.is_empty();
        if is_named && self.owners.get(&host).is_some_and(|owner| owner != namespace) {
            let message = format!(
                "a route in another namespace holds {} and is older than {}",
                route.host,
                shown(name)
            );
            return Err(Refusal { reason: "HostAlreadyClaimed", message });
        }
        let exact = route.origin == Origin::Ingress { exact: true };
        let path = (host.0, host.1, route.path.as_str(), exact);
        if let Some(older) = self.paths.get(&path) {
            let host = if is_named { route.host.as_str() } else { "every host" };
            let message = format!("{} already exposes {host} and is older", of_kind(older));
            return Err(Refusal { reason: "HostAlreadyClaimed", message });
        }
        // A connection is given away by its host alone.
        if let Some(tls) = &route.tls {
            let ends_here = tls.ends_here();
            if let Some((older, theirs)) = self.encrypted.get(&host)
                && !(ends_here && *theirs)
            {
                let message =
                    format!("{} already exposes {} and is older", of_kind(older), route.host);
                return Err(Refusal { reason: "HostAlreadyClaimed", message });
            }
            self.encrypted.entry(host).or_insert((name, ends_here));
        }
        self.owners.insert(host, namespace);
        self.paths.insert(path, name);
        Ok(())
    }
}

/// The name of a Route, or of the Ingress that a rule is of.
fn shown(name: &str) -> &str {
    let rule = name.strip_prefix("ingress/").and_then(|rule| rule.rsplit_once('/'));
    rule.map_or(name, |(ingress, _)| ingress)
}

fn of_kind(name: &str) -> String {
    let kind = if name.starts_with("ingress/") { "ingress" } else { "route" };
    format!("{kind} {}", shown(name))
}

/// The host that a Route claims; of a wildcard Route, the domain below which it claims all.
pub(super) fn claimed(route: &RouteInfo) -> &str {
    match route.wildcard {
        true => route.host.split_once('.').map_or("", |(_, domain)| domain),
        false => &route.host,
    }
}

/// What can be said of a Route without the others.
fn alone(route: &RouteInfo, policy: &Policy) -> Result<(), Refusal> {
    let refuse = |reason, message: String| Err(Refusal { reason, message });
    if let Some(error) = &route.broken {
        return refuse("ExtendedValidationFailed", error.clone());
    }
    let is_ingress = route.origin != Origin::Route;
    if route.host.is_empty() && is_ingress {
        return Ok(());
    }
    if route.host.is_empty() {
        return refuse("NoHostValue", "no host value was defined for the route".into());
    }
    if !valid_host(&route.host) {
        return refuse("InvalidHost", format!("host {:?} is not a valid host name", route.host));
    }
    if route.wildcard && !policy.wildcards && !is_ingress {
        let message = "wildcard routes are not allowed by this router";
        return refuse("RouteNotAdmitted", message.into());
    }
    if route.wildcard && claimed(route).is_empty() {
        return refuse("InvalidHost", "a wildcard route needs a host below a domain".into());
    }
    if let Some(whose) = denied(route, policy) {
        let message = format!("host in list of denied domains: {} is {whose}", route.host);
        return refuse("RouteNotAdmitted", message);
    }
    let passes = route.tls.as_ref().is_some_and(|tls| !tls.ends_here());
    if passes && !(route.path.is_empty() && route.actions.is_empty()) {
        let why = "spec: passthrough takes no path and no httpHeaders";
        return refuse("ExtendedValidationFailed", why.into());
    }
    if !policy.service_authority && route.tls.as_ref().is_some_and(Tls::by_service) {
        let why = "spec.tls.destinationCACertificate: re-encryption needs the authority that certifies the application; \
                   there is no service authority in this cluster";
        return refuse("ExtendedValidationFailed", why.into());
    }
    let path_is_plain = !route.path.contains(|c: char| c == '#' || c == ' ' || c.is_control());
    if !(route.path.is_empty() || route.path.starts_with('/')) || !path_is_plain {
        return refuse("ExtendedValidationFailed", format!("path {:?} is not valid", route.path));
    }
    Ok(())
}

/// Names of the API server, beside those in the cluster's domain.
const API_NAMES: [&str; 4] = ["kubernetes", "kubernetes.default", "openshift", "openshift.default"];

/// Whose a host is that no Route can have: who trusts these names does not expect an application there.
fn denied(route: &RouteInfo, policy: &Policy) -> Option<&'static str> {
    let host = route.host.as_str();
    let below = |domain: &str| {
        !domain.is_empty() && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    };
    if below(&policy.route_domain) {
        return None;
    }
    // Whatever ends in a number is read as an IPv4 address, in any of its spellings.
    let last = host.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").is_some_and(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
    if hex || last.bytes().all(|b| b.is_ascii_digit()) {
        return Some("an address");
    }
    if host == "localhost" || host == "localhost.localdomain" {
        return Some("the name of every machine for itself");
    }
    if host == policy.cluster_domain
        || below(&policy.cluster_domain)
        || host == "svc"
        || below("svc")
    {
        return Some("a name of the cluster");
    }
    let covers = |name: &str| {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        name == host || (route.wildcard && parent == Some(claimed(route)))
    };
    API_NAMES.iter().copied().any(covers).then_some("a name of the API server")
}

fn valid_host(host: &str) -> bool {
    let label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    let labels: BTreeSet<bool> = host.split('.').map(label).collect();
    host.len() <= 253 && !labels.contains(&false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(routes: &[(&str, &str, Value)], expected: &[(&str, &str)]) {
        let mut all = BTreeMap::new();
        for (age, (namespace, name, spec)) in routes.iter().enumerate() {
            let object = json!({"metadata": {"namespace": namespace, "name": name, "uid": format!("u{age}"),
                "creationTimestamp": format!("2026-01-01T00:00:0{age}Z")}, "spec": spec});
            let route = RouteInfo::of(&serde_json::from_value(object).unwrap(), "apps.test");
            all.insert(route.key.clone(), route);
        }
        let policy = Policy {
            wildcards: true,
            cluster_domain: "cluster.local".into(),
            route_domain: "apps.test".into(),
            ..Policy::default()
        };
        let verdicts = judge(all.values(), &policy);
        let shown: Vec<(&str, &str)> = routes
            .iter()
            .map(|(namespace, name, _)| {
                let verdict = &verdicts[&(namespace.to_string(), name.to_string())];
                (*name, verdict.as_ref().map_or_else(|refusal| refusal.reason, |()| "ok"))
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_oldest_holds_the_host() {
        check(
            &[
                ("a", "first", json!({"host": "x.test"})),
                ("a", "path", json!({"host": "X.test", "path": "/p"})),
                ("a", "twin", json!({"host": "x.test", "path": "/p"})),
                ("b", "thief", json!({"host": "x.test", "path": "/q"})),
                ("b", "other", json!({"subdomain": "y"})),
            ],
            &[
                ("first", "ok"),
                ("path", "ok"),
                ("twin", "HostAlreadyClaimed"),
                ("thief", "HostAlreadyClaimed"),
                ("other", "ok"),
            ],
        );
    }

    /// Red when a host is passed through and ends here at the same time.
    #[test]
    fn a_host_is_passed_through_as_a_whole() {
        let tls = |path: &str, termination: &str| json!({"host": "x.test", "path": path, "tls": {"termination": termination}});
        check(
            &[
                ("a", "edge", tls("/e", "edge")),
                ("a", "through", tls("", "passthrough")),
                ("a", "other", tls("/o", "edge")),
                ("a", "plain", json!({"host": "x.test", "path": "/p"})),
            ],
            &[("edge", "ok"), ("through", "HostAlreadyClaimed"), ("other", "ok"), ("plain", "ok")],
        );
        check(
            &[
                ("a", "through", tls("", "passthrough")),
                ("a", "edge", tls("/e", "edge")),
                ("a", "plain", json!({"host": "x.test", "path": "/p"})),
                ("a", "twin", json!({"host": "x.test"})),
                (
                    "a",
                    "pathed",
                    json!({"host": "y.test", "path": "/p", "tls": {"termination": "passthrough"}}),
                ),
            ],
            &[
                ("through", "ok"),
                ("edge", "HostAlreadyClaimed"),
                ("plain", "ok"),
                ("twin", "HostAlreadyClaimed"),
                ("pathed", "ExtendedValidationFailed"),
            ],
        );
    }

    #[test]
    fn refused_routes_claim_nothing() {
        check(
            &[
                ("a", "tls", json!({"host": "x.test", "tls": {"termination": "reencrypt"}})),
                ("b", "plain", json!({"host": "x.test"})),
                ("b", "none", json!({})),
                ("b", "bad", json!({"host": "a..b"})),
                ("b", "slash", json!({"host": "a.b", "path": "p"})),
                ("b", "wild", json!({"host": "*.b", "wildcardPolicy": "Subdomain"})),
                ("b", "odd", json!({"host": "c.test", "to": "web"})),
            ],
            &[
                ("tls", "ExtendedValidationFailed"),
                ("plain", "ok"),
                ("none", "NoHostValue"),
                ("bad", "InvalidHost"),
                ("slash", "ExtendedValidationFailed"),
                ("wild", "InvalidHost"),
                ("odd", "ExtendedValidationFailed"),
            ],
        );
    }

    /// Red when `denied` always says no.
    #[test]
    fn names_of_others_are_not_given_away() {
        let denied = [
            "localhost",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.0x1",
            "10.0.0.0x1",
            "kubernetes",
            "Kubernetes.Default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "web.ns.svc",
            "cluster.local",
            "x.cluster.local",
            "openshift.default.svc",
        ];
        for host in denied {
            check(&[("a", "r", json!({ "host": host }))], &[("r", "RouteNotAdmitted")]);
        }
        for host in [
            "web.localhost",
            "localhost.test",
            "x.apps.test",
            "kubernetes.default.test",
            "mysvc",
            "1a.test",
            "mycluster.local",
            "x.0y",
        ] {
            check(&[("a", "r", json!({ "host": host }))], &[("r", "ok")]);
        }
        let wild = json!({"host": "any.default", "wildcardPolicy": "Subdomain"});
        check(&[("a", "r", wild)], &[("r", "RouteNotAdmitted")]);
    }

    #[test]
    fn wildcards_need_leave() {
        let object = json!({"metadata": {"namespace": "n", "name": "r"},
            "spec": {"host": "x.test", "wildcardPolicy": "Subdomain"}});
        let route = RouteInfo::of(&serde_json::from_value(object).unwrap(), "");
        let refusal = alone(&route, &Policy::default()).unwrap_err();
        assert_eq!(refusal.reason, "RouteNotAdmitted");
    }
}
