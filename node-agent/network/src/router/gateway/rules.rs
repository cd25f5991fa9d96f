//! Routes of the Gateway API, each reduced to what the router acts on. Pure: reads one object; a rule that is not carried out as
//! it is written is none, and says why.

use super::filters::Filters;
use super::hosts::Host;
use super::kinds::{GROUP, Kind, Meta, Object, ParentRef, Reference, RouteSpec};
use super::matches::Match;
use super::written::{BackendRef, GrpcRule, HttpRule, Timeouts, TlsRule};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Where requests go, as it is written.
#[derive(Debug)]
pub(in crate::router) struct BackendSpec {
    pub(in crate::router) to: Reference,
    pub(in crate::router) weight: u32,
    pub(in crate::router) filters: Filters,
}

/// A rule, as it is written.
#[derive(Debug)]
pub(in crate::router) struct RuleSpec {
    pub(in crate::router) matches: Vec<Match>,
    pub(in crate::router) filters: Filters,
    pub(in crate::router) backends: Vec<BackendSpec>,
    /// How long an answer may take to begin; `None` as long as usual, nothing as long as it likes.
    pub(in crate::router) patience: Option<Option<Duration>>,
    /// What of it is not carried out: who is meant by it is answered with an error, not by a wider rule.
    pub(in crate::router) refused: Option<String>,
}

impl RuleSpec {
    /// The prefix that paths have for this rule, where it is one for all.
    pub(in crate::router) fn prefix(&self) -> Option<&str> {
        match &self.matches[..] {
            [one] => one.prefix(),
            _ => None,
        }
    }
}

/// A route of any kind.
#[derive(Clone, Debug)]
pub(in crate::router) struct RouteInfo {
    pub(in crate::router) kind: Kind,
    pub(in crate::router) meta: Meta,
    pub(in crate::router) parents: Vec<ParentRef>,
    pub(in crate::router) hosts: Vec<Host>,
    /// Each with why it is none, if so.
    pub(in crate::router) rules: Vec<Result<Arc<RuleSpec>, String>>,
    /// Why nothing of it can be carried out, if so.
    pub(in crate::router) broken: Option<String>,
    /// `status.parents` as it is.
    pub(in crate::router) told: Vec<Value>,
}

impl RouteInfo {
    /// Reads a route.
    pub(in crate::router) fn of(kind: Kind, object: &Object) -> RouteInfo {
        let spec: Result<RouteSpec, _> = serde_json::from_value(object.spec.clone());
        let mut broken = spec.as_ref().err().map(|error| format!("spec: {error}"));
        let spec = spec.unwrap_or_default();
        if spec.use_default_gateways.is_some() {
            broken = Some("spec.useDefaultGateways: there are no default Gateways here".to_owned());
        }
        let mut parents = Vec::new();
        for parent in spec.parent_refs.unwrap_or_default() {
            match serde_json::from_value(parent) {
                Ok(parent) => parents.push(parent),
                Err(error) => broken = Some(format!("spec.parentRefs: {error}")),
            }
        }
        let rules = spec.rules.unwrap_or_default().into_iter();
        let read = |(index, rule): (usize, Value)| match kind {
            Kind::Http => http(index, rule).map(Arc::new),
            Kind::Grpc => grpc(index, rule).map(Arc::new),
            _ => tls(rule).map(Arc::new).map_err(|why| format!("rules[{index}].{why}")),
        };
        let hosts = spec.hostnames.unwrap_or_default();
        RouteInfo {
            kind,
            meta: object.meta(),
            parents,
            hosts: hosts.iter().map(|host| Host::read(host)).collect(),
            rules: rules.enumerate().map(read).collect(),
            broken,
            told: object.status["parents"].as_array().cloned().unwrap_or_default(),
        }
    }

    /// What of each rule is not carried out, if something is not.
    pub(in crate::router) fn refusals(&self) -> impl Iterator<Item = Option<&str>> {
        self.rules.iter().map(|rule| match rule {
            Ok(rule) => rule.refused.as_deref(),
            Err(why) => Some(why.as_str()),
        })
    }

    /// The hosts that are meant: all, where none is named.
    pub(in crate::router) fn hosts(&self) -> &[Host] {
        const ALL: &[Host] = &[Host::Any];
        if self.hosts.is_empty() { ALL } else { &self.hosts }
    }
}

fn read<T: DeserializeOwned>(rule: Value) -> Result<T, String> {
    serde_json::from_value(rule).map_err(|error| error.to_string())
}

fn http(index: usize, rule: Value) -> Result<RuleSpec, String> {
    let at = |why: String| format!("rules[{index}].{why}");
    let rule: HttpRule = read(rule).map_err(at)?;
    let written = rule.matches.unwrap_or_default();
    let matches = written.iter().map(Match::of_http).collect::<Result<Vec<_>, _>>().map_err(at)?;
    let rest = || {
        let filters = Filters::read(rule.filters.unwrap_or_default())?;
        let backends = backends(rule.backend_refs)?;
        let patience = patience(rule.timeouts.unwrap_or_default())?;
        Ok(RuleSpec { matches: Vec::new(), filters, backends, patience, refused: None })
    };
    Ok(whole(matches, rest().map_err(at)))
}

fn grpc(index: usize, rule: Value) -> Result<RuleSpec, String> {
    let at = |why: String| format!("rules[{index}].{why}");
    let rule: GrpcRule = read(rule).map_err(at)?;
    let written = rule.matches.unwrap_or_default();
    let matches = written.iter().map(Match::of_grpc).collect::<Result<Vec<_>, _>>().map_err(at)?;
    let rest = || {
        let filters = Filters::read(rule.filters.unwrap_or_default())?;
        let backends = backends(rule.backend_refs)?;
        Ok(RuleSpec { matches: Vec::new(), filters, backends, patience: None, refused: None })
    };
    Ok(whole(matches, rest().map_err(at)))
}

/// A rule of what it matches and of what it does, if that can be done.
fn whole(mut matches: Vec<Match>, rest: Result<RuleSpec, String>) -> RuleSpec {
    if matches.is_empty() {
        matches.push(Match::everything());
    }
    match rest {
        Ok(rest) => RuleSpec { matches, ..rest },
        Err(why) => RuleSpec {
            matches,
            filters: Filters::default(),
            backends: Vec::new(),
            patience: None,
            refused: Some(why),
        },
    }
}

fn tls(rule: Value) -> Result<RuleSpec, String> {
    let rule: TlsRule = read(rule)?;
    let backends = backends(rule.backend_refs)?;
    let matches = vec![Match::everything()];
    Ok(RuleSpec { matches, filters: Filters::default(), backends, patience: None, refused: None })
}

fn backends(written: Option<Vec<BackendRef>>) -> Result<Vec<BackendSpec>, String> {
    let read = |(index, mut backend): (usize, BackendRef)| {
        let why = |why: String| format!("backendRefs[{index}].{why}");
        let filters = Filters::read(backend.filters.take().unwrap_or_default()).map_err(why)?;
        if filters.cors.is_some() {
            return Err(why("filters: CORS is for the whole rule".to_owned()));
        }
        let weight = backend.weight.unwrap_or(1).min(1_000_000);
        Ok(BackendSpec { to: backend.reference(), weight, filters })
    };
    written.unwrap_or_default().into_iter().enumerate().map(read).collect()
}

/// The shorter of both: nothing is tried twice after it began.
fn patience(written: Timeouts) -> Result<Option<Option<Duration>>, String> {
    let read = |field: &str, text: Option<String>| {
        let read = text.map(|text| {
            duration(&text).ok_or_else(|| format!("timeouts.{field}: {text:?} is no duration"))
        });
        read.transpose()
    };
    let all = [read("request", written.request)?, read("backendRequest", written.backend_request)?];
    let said: Vec<Duration> = all.into_iter().flatten().collect();
    let shortest = said.iter().filter(|one| !one.is_zero()).min().copied();
    Ok(if said.is_empty() { None } else { Some(shortest) })
}

/// A duration such as `1h30m5s200ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut whole = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let number: u64 = number.parse().ok()?;
        let more = match unit {
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "s" => Duration::from_secs(number),
            "ms" => Duration::from_millis(number),
            _ => return None,
        };
        whole = whole.checked_add(more)?;
        rest = after;
    }
    (!text.is_empty()).then_some(whole)
}

/// Whether a reference is to a Service.
pub(super) fn is_service(to: &Reference) -> bool {
    to.group.as_deref().is_none_or(str::is_empty)
        && to.kind.as_deref().is_none_or(|kind| kind == "Service")
}

/// Whether a parent is a Gateway.
pub(super) fn is_gateway(parent: &ParentRef) -> bool {
    parent.group.as_deref().is_none_or(|group| group == GROUP)
        && parent.kind.as_deref().is_none_or(|kind| kind == "Gateway")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn route(kind: Kind, spec: Value) -> RouteInfo {
        let object = json!({"metadata": {"name": "r", "namespace": "n"}, "spec": spec});
        RouteInfo::of(kind, &serde_json::from_value(object).unwrap())
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("10s", Some(10_000)),
            ("1m5s", Some(65_000)),
            ("500ms", Some(500)),
            ("0s", Some(0)),
            ("1", None),
            ("", None),
            ("18446744073709551615s1s", None),
            ("1d", None),
            ("s", None),
        ] {
            assert_eq!(duration(text).map(|one| one.as_millis()), milliseconds, "{text}");
        }
        let shortest = |written: Value| patience(serde_json::from_value(written).unwrap()).unwrap();
        assert_eq!(shortest(json!({})), None);
        assert_eq!(shortest(json!({"request": "0s"})), Some(None));
        let both = json!({"request": "1s", "backendRequest": "500ms"});
        assert_eq!(shortest(both), Some(Some(Duration::from_millis(500))));
    }

    /// Every field of a rule, read or refused by name. Red when unknown fields are let pass.
    #[test]
    fn no_field_is_passed_over() {
        let whole = json!({"name": "a", "matches": [{"path": {"type": "Exact", "value": "/"}}],
            "filters": [{"type": "URLRewrite", "urlRewrite": {"hostname": "x.test"}}],
            "backendRefs": [{"name": "a", "port": 80, "weight": 1}],
            "timeouts": {"request": "1s"}});
        assert!(route(Kind::Http, json!({"rules": [whole]})).rules[0].is_ok());
        for (pointer, field) in [
            ("", "retry"),
            ("", "sessionPersistence"),
            ("/matches/0", "body"),
            ("/matches/0/path", "flags"),
            ("/filters/0", "extra"),
            ("/filters/0/urlRewrite", "query"),
            ("/backendRefs/0", "subset"),
            ("/timeouts", "idle"),
        ] {
            let mut rule = whole.clone();
            rule.pointer_mut(pointer).unwrap()[field] = json!({});
            let read = route(Kind::Http, json!({"rules": [rule]}));
            let why = read.refusals().next().flatten().unwrap();
            assert!(why.contains(&format!("`{field}`")), "{pointer}: {why}");
        }
        // Red when a rule is dropped whose filter is not carried out: a wider one serves what it kept somebody from.
        let kept = json!({"matches": [{"path": {"type": "Exact", "value": "/in"}}],
            "filters": [{"type": "ExtensionRef", "extensionRef": {"group": "g", "kind": "Login", "name": "l"}}],
            "backendRefs": [{"name": "a", "port": 80}]});
        let read = route(Kind::Http, json!({"rules": [kept]}));
        let rule = read.rules[0].as_ref().unwrap();
        assert!(rule.matches.len() == 1 && rule.backends.is_empty());
        assert!(rule.refused.as_ref().unwrap().starts_with("rules[0].filters"));
        let all = json!({"useDefaultGateways": "All"});
        assert!(route(Kind::Http, all).broken.unwrap().contains("useDefaultGateways"));
        assert!(route(Kind::Http, json!({"new": 1})).broken.unwrap().contains("`new`"));
        assert!(route(Kind::Tls, json!({"rules": [{"matches": []}]})).rules[0].is_err());
    }
}
