//! What classes, Gateways and routes are told. Pure: the difference between what is written and what should be.

use super::judge::{Judged, Listening, Routed, Seen, is_usable};
use super::kinds::{GROUP, Kind};
use super::listeners::{ClassInfo, GatewayInfo, Trouble, trouble};
use super::rules::RouteInfo;
use leme_meta::gateway::CONTROLLER;
use serde_json::{Value, json};

/// The features of the Gateway API that are carried out, in the words of its conformance tests.
const FEATURES: [&str; 30] = [
    "GRPCRoute",
    "GRPCRouteNamedRouteRule",
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayPort8080",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteCORS",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteSchemeRedirect",
];
/// Those after them in the alphabet.
const MORE_FEATURES: [&str; 2] = ["ReferenceGrant", "TLSRoute"];

/// A condition.
struct Said {
    name: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
}

fn yes(name: &'static str, reason: &'static str) -> Said {
    Said { name, holds: true, reason, message: String::new() }
}

fn said(name: &'static str, good: &'static str, what: &Result<(), Trouble>) -> Said {
    match what {
        Ok(()) => yes(name, good),
        Err(Trouble { reason, message }) => {
            Said { name, holds: false, reason, message: message.clone() }
        }
    }
}

/// The conditions that this router writes; others' stay as they are.
const OURS: [&str; 7] = [
    "Accepted",
    "Conflicted",
    "OverlappingTLSConfig",
    "PartiallyInvalid",
    "Programmed",
    "ResolvedRefs",
    "SupportedVersion",
];

/// Conditions as they should be, given those that there are. Times follow the status.
fn conditions(told: &Value, wanted: Vec<Said>, generation: i64, now: &str) -> Vec<Value> {
    let present = told.as_array().map(Vec::as_slice).unwrap_or_default();
    let others = present.iter().filter(|one| !OURS.iter().any(|ours| one["type"] == **ours));
    let mut all: Vec<Value> = others.cloned().collect();
    for said in wanted {
        let status = if said.holds { "True" } else { "False" };
        let same = |one: &&Value| one["type"] == said.name && one["status"] == status;
        let since = present.iter().find(same).and_then(|one| one["lastTransitionTime"].as_str());
        all.push(json!({
            "type": said.name, "status": status, "reason": said.reason, "message": said.message,
            "observedGeneration": generation, "lastTransitionTime": since.unwrap_or(now),
        }));
    }
    all
}

/// What an object is to be told, and whether it is not told so yet.
pub(in crate::router) type Due = (Value, bool);

/// What a class is told.
pub(in crate::router) fn class(class: &ClassInfo, now: &str) -> Due {
    let accepted = class.refused.clone().map_or(Ok(()), Err);
    let wanted = vec![said("Accepted", "Accepted", &accepted)];
    let conditions = conditions(&class.told["conditions"], wanted, class.meta.generation, now);
    let features: Vec<Value> =
        FEATURES.iter().chain(&MORE_FEATURES).map(|name| json!({ "name": name })).collect();
    let status = json!({ "conditions": conditions, "supportedFeatures": features });
    let differs = differs(&class.told, &status);
    (status, differs)
}

/// Whether something of a status is not as it is to be.
fn differs(told: &Value, wanted: &Value) -> bool {
    wanted.as_object().into_iter().flatten().any(|(field, value)| told.get(field) != Some(value))
}

/// What a Gateway is told.
pub(in crate::router) fn gateway(
    seen: &Seen<'_>,
    judged: &Judged<'_>,
    gateway: &GatewayInfo,
    now: &str,
) -> Due {
    let own = || judged.listeners.iter().filter(|one| std::ptr::eq(one.gateway, gateway));
    let good = own().filter(|one| one.accepted.is_ok()).count();
    let accepted = match &gateway.refused {
        Some(why) => said("Accepted", "Accepted", &Err(why.clone())),
        None if good == own().count() => yes("Accepted", "Accepted"),
        None => Said {
            holds: good > 0,
            message: "not all listeners are accepted".to_owned(),
            ..yes("Accepted", "ListenersNotValid")
        },
    };
    let usable = is_usable(seen, gateway);
    let serves = own().any(|one| one.served().is_some());
    let programmed = usable.clone().and_then(|()| match serves {
        true => Ok(()),
        false => Err(trouble("Invalid", "no listener can be served")),
    });
    let wanted = vec![accepted, said("Programmed", "Programmed", &programmed)];
    let generation = gateway.meta.generation;
    let conditions = conditions(&gateway.told["conditions"], wanted, generation, now);
    let listeners: Vec<Value> = own().map(|one| listener(one, now)).collect();
    let address = seen.address.filter(|_| usable.is_ok());
    let addresses: Vec<Value> = address
        .map(|address| json!({ "type": "IPAddress", "value": address.to_string() }))
        .into_iter()
        .collect();
    let status =
        json!({ "addresses": addresses, "conditions": conditions, "listeners": listeners });
    let differs = differs(&gateway.told, &status);
    (status, differs)
}

fn listener(one: &Listening<'_>, now: &str) -> Value {
    let told = one.gateway.told["listeners"].as_array();
    let told = told.into_iter().flatten().find(|told| told["name"] == *one.info.name);
    let conflicted = match &one.conflict {
        None => Said { holds: false, ..yes("Conflicted", "NoConflicts") },
        Some(why) => Said { holds: true, ..said("Conflicted", "", &Err(why.clone())) },
    };
    let serves = one.served().is_some();
    let not = trouble("Invalid", "the listener cannot be served");
    let programmed = if serves { Ok(()) } else { Err(not) };
    let mut wanted = vec![
        said("Accepted", "Accepted", &one.accepted),
        conflicted,
        said("Programmed", "Programmed", &programmed),
        said("ResolvedRefs", "ResolvedRefs", &one.resolved),
    ];
    if one.overlaps {
        wanted.push(Said {
            message: "another listener at this port has hosts in common with it".to_owned(),
            ..yes("OverlappingTLSConfig", "OverlappingHostnames")
        });
    }
    let kinds = one.info.kinds.iter().map(|kind| json!({ "group": GROUP, "kind": kind.name() }));
    let kinds: Vec<Value> = kinds.collect();
    let generation = one.gateway.meta.generation;
    let told = told.map_or(&Value::Null, |told| &told["conditions"]);
    json!({
        "name": one.info.name, "supportedKinds": kinds, "attachedRoutes": one.count,
        "conditions": conditions(told, wanted, generation, now),
    })
}

/// What a route is told by this controller, beside what others tell it.
pub(in crate::router) fn route(routed: &Routed<'_>, now: &str) -> Due {
    let info = routed.info;
    let wanted: Vec<Value> = routed
        .parents
        .iter()
        .map(|parent| {
            let mut to = json!({ "group": GROUP, "kind": "Gateway", "name": parent.to.name });
            if let Some(namespace) = &parent.to.namespace {
                to["namespace"] = namespace.as_str().into();
            }
            if let Some(section) = &parent.to.section_name {
                to["sectionName"] = section.as_str().into();
            }
            if let Some(port) = parent.to.port {
                to["port"] = port.into();
            }
            let told = info.told.iter().find(|told| is_ours(told) && told["parentRef"] == to);
            let told = told.map_or(&Value::Null, |told| &told["conditions"]);
            let said = of_parent(routed, &parent.accepted);
            let conditions = conditions(told, said, info.meta.generation, now);
            json!({ "parentRef": to, "controllerName": CONTROLLER, "conditions": conditions })
        })
        .collect();
    told_by_us(info, wanted)
}

/// What a route that no Gateway here is a parent of any more is told: nothing of what it was.
pub(in crate::router) fn forgotten(info: &RouteInfo) -> Due {
    told_by_us(info, Vec::new())
}

fn is_ours(told: &Value) -> bool {
    told["controllerName"] == CONTROLLER
}

fn told_by_us(info: &RouteInfo, wanted: Vec<Value>) -> Due {
    let others = info.told.iter().filter(|told| !is_ours(told)).cloned();
    let all: Vec<Value> = others.chain(wanted).collect();
    let differs = all != info.told;
    (json!({ "parents": all }), differs)
}

fn of_parent(routed: &Routed<'_>, accepted: &Result<(), Trouble>) -> Vec<Said> {
    let all = routed.backends.iter().chain(&routed.mirrors).flatten();
    let wrong = all.into_iter().find_map(|one| one.as_ref().err());
    let resolved = wrong.cloned().map_or(Ok(()), Err);
    let mut wanted = vec![
        said("Accepted", "Accepted", accepted),
        said("ResolvedRefs", "ResolvedRefs", &resolved),
    ];
    let dropped: Vec<&str> = routed.info.refusals().flatten().collect();
    if accepted.is_ok() && !dropped.is_empty() {
        let message = format!("Dropped Rule: {}", dropped.join("; "));
        wanted.push(Said { message, ..yes("PartiallyInvalid", "UnsupportedValue") });
    }
    wanted
}

/// The kinds of which objects are told something.
pub(in crate::router) const TOLD: [Kind; 5] =
    [Kind::Class, Kind::Gateway, Kind::Http, Kind::Grpc, Kind::Tls];
