//! Gateways, each reduced to its listeners. Pure: reads one object; what of it is not carried out is a reason not to accept it, or
//! the listener that it is for.

use super::hosts::Host;
use super::kinds::{
    AllowedRoutes, ClassSpec, GROUP, GatewaySpec, Kind, ListenerSpec, Meta, Object, Reference,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use leme_meta::gateway::CONTROLLER;
use serde_json::Value;
use std::collections::BTreeMap;

/// Why something is not as it should be: a reason in upstream's words, and what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::router) struct Trouble {
    pub(in crate::router) reason: &'static str,
    pub(in crate::router) message: String,
}

/// Trouble with a reason.
pub(super) fn trouble(reason: &'static str, message: impl Into<String>) -> Trouble {
    Trouble { reason, message: message.into() }
}

/// A class.
#[derive(Clone, Debug)]
pub(in crate::router) struct ClassInfo {
    pub(in crate::router) meta: Meta,
    /// Whether its Gateways are served here.
    pub(in crate::router) ours: bool,
    pub(in crate::router) refused: Option<Trouble>,
    pub(in crate::router) told: Value,
}

impl ClassInfo {
    /// Reads a class.
    pub(in crate::router) fn of(object: &Object) -> ClassInfo {
        let spec: ClassSpec = serde_json::from_value(object.spec.clone()).unwrap_or_default();
        let parameters = spec.parameters_ref.as_ref().map(|_| {
            trouble("InvalidParameters", "spec.parametersRef: this controller takes no parameters")
        });
        ClassInfo {
            meta: object.meta(),
            ours: spec.controller_name == CONTROLLER,
            refused: parameters,
            told: object.status.clone(),
        }
    }
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::router) enum Protocol {
    Http,
    /// HTTP in TLS that ends here.
    Https,
    /// TLS that ends at the application.
    Tls,
}

impl Protocol {
    /// Whether the port speaks TLS.
    pub(in crate::router) fn is_secure(self) -> bool {
        self != Protocol::Http
    }

    /// The routes that can be attached, where a listener does not say which.
    pub(super) fn kinds(self) -> &'static [Kind] {
        match self {
            Protocol::Http | Protocol::Https => &[Kind::Http, Kind::Grpc],
            Protocol::Tls => &[Kind::Tls],
        }
    }
}

/// Whose routes may be attached.
#[derive(Clone, Debug, PartialEq)]
enum From {
    All,
    Same,
    Selected(LabelSelector),
}

/// A listener.
#[derive(Clone, Debug)]
pub(in crate::router) struct ListenerInfo {
    pub(in crate::router) name: String,
    pub(in crate::router) host: Host,
    pub(in crate::router) port: u16,
    /// What it speaks, or why it is not carried out as it is written.
    pub(in crate::router) protocol: Result<Protocol, Trouble>,
    pub(in crate::router) certificates: Vec<Reference>,
    from: From,
    /// The routes that can be attached, in the order of their kinds.
    pub(in crate::router) kinds: Vec<Kind>,
    /// Kinds that it names and that cannot be.
    pub(in crate::router) other_kinds: Option<Trouble>,
}

impl ListenerInfo {
    fn of(written: &Value) -> ListenerInfo {
        let read: Result<ListenerSpec, _> = serde_json::from_value(written.clone());
        let unread = read
            .as_ref()
            .err()
            .map(|error| trouble("UnsupportedValue", format!("spec.listeners: {error}")));
        // What can be read of it stands in the status all the same.
        let spec = read.unwrap_or_else(|_| ListenerSpec {
            name: written["name"].as_str().unwrap_or_default().to_owned(),
            port: written["port"]
                .as_u64()
                .and_then(|port| port.try_into().ok())
                .unwrap_or_default(),
            ..ListenerSpec::default()
        });
        let protocol = unread.map_or_else(|| protocol(&spec), Err);
        let allowed = spec.allowed_routes.unwrap_or_default();
        let (kinds, other_kinds) = kinds(&allowed, protocol.as_ref().ok().copied());
        let from = from(allowed);
        let tls = spec.tls.unwrap_or_default();
        ListenerInfo {
            name: spec.name,
            host: Host::read(spec.hostname.as_deref().unwrap_or_default()),
            port: spec.port,
            protocol: from.as_ref().map_err(Clone::clone).and(protocol),
            certificates: tls.certificate_refs.unwrap_or_default(),
            from: from.unwrap_or(From::Same),
            kinds,
            other_kinds,
        }
    }

    /// Whether routes of a namespace may be attached, given its labels.
    pub(in crate::router) fn allows(
        &self,
        own: &str,
        namespace: &str,
        labels: Option<&BTreeMap<String, String>>,
    ) -> bool {
        match &self.from {
            From::All => true,
            From::Same => own == namespace,
            From::Selected(selector) => labels.is_some_and(|labels| selects(selector, labels)),
        }
    }
}

fn protocol(spec: &ListenerSpec) -> Result<Protocol, Trouble> {
    let unsupported = |what: &str| Err(trouble("UnsupportedValue", what));
    let mode = spec.tls.as_ref().map(|tls| tls.mode.as_deref().unwrap_or("Terminate"));
    let protocol = match (spec.protocol.as_str(), mode) {
        ("HTTP", None) => Protocol::Http,
        ("HTTPS", None | Some("Terminate")) => Protocol::Https,
        ("TLS", Some("Passthrough")) => Protocol::Tls,
        ("TLS", _) => {
            return unsupported(
                "tls.mode: TLS that ends here carries HTTP alone: use HTTPS, or Passthrough",
            );
        }
        ("HTTP" | "HTTPS", Some(mode)) => {
            return unsupported(&format!("tls.mode: {mode} is not for {}", spec.protocol));
        }
        (other, _) => {
            let message =
                format!("protocol: {other:?} is not spoken here; HTTP, HTTPS and TLS are");
            return Err(trouble("UnsupportedProtocol", message));
        }
    };
    let Some(tls) = &spec.tls else { return Ok(protocol) };
    if tls.options.as_ref().is_some_and(|options| !options.is_empty()) {
        return unsupported("tls.options: there are none here");
    }
    if tls.frontend_validation.is_some() {
        return unsupported("tls.frontendValidation: certificates of clients are not asked for");
    }
    Ok(protocol)
}

fn kinds(allowed: &AllowedRoutes, protocol: Option<Protocol>) -> (Vec<Kind>, Option<Trouble>) {
    let Some(protocol) = protocol else { return (Vec::new(), None) };
    let named = allowed.kinds.as_deref().unwrap_or_default();
    if named.is_empty() {
        return (protocol.kinds().to_vec(), None);
    }
    let mut kinds = Vec::new();
    let mut others = Vec::new();
    for one in named {
        let ours = one.group.as_deref().is_none_or(|group| group == GROUP);
        match protocol.kinds().iter().find(|kind| ours && kind.name() == one.kind) {
            Some(kind) if kinds.contains(kind) => {}
            Some(kind) => kinds.push(*kind),
            None => others.push(one.kind.as_str()),
        }
    }
    let others = (!others.is_empty()).then(|| {
        let message = format!("allowedRoutes.kinds: {} cannot be attached", others.join(", "));
        trouble("InvalidRouteKinds", message)
    });
    (kinds, others)
}

fn from(allowed: AllowedRoutes) -> Result<From, Trouble> {
    let namespaces = allowed.namespaces.unwrap_or_default();
    match (namespaces.from.as_deref().unwrap_or("Same"), namespaces.selector) {
        ("All", _) => Ok(From::All),
        ("Same", _) => Ok(From::Same),
        ("Selector", Some(selector)) => Ok(From::Selected(selector)),
        (other, _) => {
            let message = format!("allowedRoutes.namespaces.from: {other} cannot be carried out");
            Err(trouble("UnsupportedValue", message))
        }
    }
}

/// Whether labels are selected; what cannot be read selects nothing.
fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let has = |(key, value): (&String, &String)| labels.get(key) == Some(value);
    selector.match_labels.iter().flatten().all(has)
        && selector.match_expressions.iter().flatten().all(|one| {
            let value = labels.get(&one.key);
            let values = one.values.as_deref().unwrap_or_default();
            match one.operator.as_str() {
                "In" => value.is_some_and(|value| values.contains(value)),
                "NotIn" => value.is_none_or(|value| !values.contains(value)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// A Gateway.
#[derive(Clone, Debug)]
pub(in crate::router) struct GatewayInfo {
    pub(in crate::router) meta: Meta,
    pub(in crate::router) class: String,
    /// Why it is not carried out as it is written, if so.
    pub(in crate::router) refused: Option<Trouble>,
    /// The addresses that it asks for.
    pub(in crate::router) addresses: Vec<String>,
    pub(in crate::router) listeners: Vec<ListenerInfo>,
    /// `status` as it is.
    pub(in crate::router) told: Value,
}

impl GatewayInfo {
    /// Reads a Gateway.
    pub(in crate::router) fn of(object: &Object) -> GatewayInfo {
        let spec: Result<GatewaySpec, _> = serde_json::from_value(object.spec.clone());
        let unread = spec.as_ref().err().map(|error| trouble("Invalid", format!("spec: {error}")));
        let spec = spec.unwrap_or_else(|_| GatewaySpec {
            gateway_class_name: object.spec["gatewayClassName"].as_str().unwrap_or("").to_owned(),
            ..GatewaySpec::default()
        });
        let refused = unread.or_else(|| refused(&spec));
        let addresses = spec.addresses.unwrap_or_default().into_iter();
        GatewayInfo {
            meta: object.meta(),
            class: spec.gateway_class_name,
            refused,
            addresses: addresses
                .filter_map(|one| one.value)
                .filter(|one| !one.is_empty())
                .collect(),
            listeners: spec.listeners.iter().map(ListenerInfo::of).collect(),
            told: object.status.clone(),
        }
    }
}

/// What nobody here carries out for a Gateway.
fn refused(spec: &GatewaySpec) -> Option<Trouble> {
    let parameters = spec.infrastructure.as_ref().and_then(|one| one.parameters_ref.as_ref());
    if parameters.is_some() {
        let message = "spec.infrastructure.parametersRef: this controller takes no parameters";
        return Some(trouble("InvalidParameters", message));
    }
    let addresses = spec.addresses.iter().flatten();
    let kind = |one: &super::kinds::Address| one.r#type.clone().unwrap_or("IPAddress".to_owned());
    if let Some(kind) = addresses.map(kind).find(|kind| kind != "IPAddress") {
        let message = format!("spec.addresses: {kind:?} is no type of address here");
        return Some(trouble("UnsupportedAddress", message));
    }
    if spec.tls.is_some() {
        let message = "spec.tls: certificates of clients, and for applications, are not asked for";
        return Some(trouble("Invalid", message));
    }
    if spec.default_scope.is_some() {
        return Some(trouble("Invalid", "spec.defaultScope: there are no default Gateways here"));
    }
    let listeners = spec.allowed_listeners.as_ref().and_then(|one| one.namespaces.as_ref());
    if listeners.and_then(|one| one.from.as_deref()).is_some_and(|from| from != "None") {
        return Some(trouble("Invalid", "spec.allowedListeners: ListenerSets are not served here"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn gateway(spec: Value) -> GatewayInfo {
        let object = json!({"metadata": {"name": "g", "namespace": "n"}, "spec": spec});
        GatewayInfo::of(&serde_json::from_value(object).unwrap())
    }

    fn listener(written: Value) -> ListenerInfo {
        gateway(json!({"listeners": [written]})).listeners.remove(0)
    }

    /// Every field of a Gateway, read or refused by name. Red when one is passed over.
    #[test]
    fn what_is_not_carried_out_is_refused() {
        for (spec, reason) in [
            (json!({}), None),
            (json!({"infrastructure": {"labels": {"a": "b"}}}), None),
            (
                json!({"infrastructure": {"parametersRef": {"name": "a"}}}),
                Some("InvalidParameters"),
            ),
            (
                json!({"addresses": [{"type": "Hostname", "value": "a"}]}),
                Some("UnsupportedAddress"),
            ),
            (json!({"tls": {"frontend": {}}}), Some("Invalid")),
            (json!({"allowedListeners": {"namespaces": {"from": "All"}}}), Some("Invalid")),
            (json!({"allowedListeners": {"namespaces": {"from": "None"}}}), None),
            (json!({"defaultScope": "All"}), Some("Invalid")),
            (json!({"new": 1}), Some("Invalid")),
        ] {
            let refused = gateway(spec.clone()).refused.map(|refused| refused.reason);
            assert_eq!(refused, reason, "{spec}");
        }
        for (written, reason) in [
            (json!({"protocol": "HTTP"}), None),
            (json!({"protocol": "HTTPS", "tls": {"certificateRefs": []}}), None),
            (json!({"protocol": "TLS", "tls": {"mode": "Passthrough"}}), None),
            (json!({"protocol": "TLS", "tls": {"mode": "Terminate"}}), Some("UnsupportedValue")),
            (
                json!({"protocol": "HTTPS", "tls": {"options": {"a": "b"}}}),
                Some("UnsupportedValue"),
            ),
            (json!({"protocol": "TCP"}), Some("UnsupportedProtocol")),
            (json!({"protocol": "HTTP", "new": 1}), Some("UnsupportedValue")),
            (
                json!({"protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "Selector"}}}),
                Some("UnsupportedValue"),
            ),
        ] {
            let refused = listener(written.clone()).protocol.err().map(|refused| refused.reason);
            assert_eq!(refused, reason, "{written}");
        }
    }

    #[test]
    fn namespaces_are_selected() {
        let labels: BTreeMap<String, String> = [("team".to_owned(), "a".to_owned())].into();
        let allows = |namespaces: Value, namespace: &str| {
            let written = json!({"protocol": "HTTP", "allowedRoutes": {"namespaces": namespaces}});
            listener(written).allows("own", namespace, Some(&labels))
        };
        assert!(allows(json!({}), "own") && !allows(json!({}), "other"));
        assert!(allows(json!({"from": "All"}), "other"));
        for (operator, values, expected) in [
            ("In", json!(["a"]), true),
            ("NotIn", json!(["a"]), false),
            ("Exists", json!([]), true),
            ("DoesNotExist", json!([]), false),
            ("Like", json!([]), false),
        ] {
            let selector = json!({"matchExpressions": [
                {"key": "team", "operator": operator, "values": values}]});
            let namespaces = json!({"from": "Selector", "selector": selector});
            assert_eq!(allows(namespaces, "other"), expected, "{operator}");
        }
        let selector = json!({"matchLabels": {"team": "b"}});
        assert!(!allows(json!({"from": "Selector", "selector": selector}), "own"));
    }
}
