//! Columns of routes.

use serde_json::Value;

use super::super::{list, shown, text};
use crate::Column;

pub(crate) const ROUTE: &[Column] = &[
    shown("Host/Port", |route, _| host(route).into()),
    shown("Path", |route, _| text(route, "/spec/path").into()),
    shown("Services", |route, _| services(route).into()),
    shown("Port", |route, _| match route.pointer("/spec/port/targetPort") {
        Some(Value::String(name)) => name.as_str().into(),
        Some(Value::Number(number)) => number.to_string().into(),
        _ => "<all>".into(),
    }),
    shown("Termination", |route, _| termination(route).into()),
    shown("Wildcard", |route, _| text(route, "/spec/wildcardPolicy").into()),
];

/// The host as the routers see it: admitted, rejected with a reason, or waiting.
fn host(route: &Value) -> String {
    let wanted = text(route, "/spec/host");
    let (mut shown, mut reason, mut matched) = (wanted, "", false);
    let (mut admitted, mut rejected) = (0, 0);
    let ingresses = list(route, "/status/ingress");
    for ingress in ingresses {
        let condition = list(ingress, "/conditions")
            .iter()
            .find(|condition| text(condition, "/type") == "Admitted");
        match condition.map(|condition| text(condition, "/status")) {
            Some("True") => {
                admitted += 1;
                if !matched {
                    shown = text(ingress, "/host");
                    matched = shown == wanted;
                }
            }
            Some("False") => {
                reason = condition.map_or("", |condition| text(condition, "/reason"));
                rejected += 1;
            }
            _ => {}
        }
    }
    match (admitted, rejected) {
        _ if ingresses.is_empty() => shown.to_owned(),
        (0, 1..) => reason.to_owned(),
        (_, 1..) => format!("{shown} ... {rejected} rejected"),
        (0, _) => "Pending".to_owned(),
        (1, _) => shown.to_owned(),
        _ => format!("{shown} ... {} more", admitted - 1),
    }
}

fn services(route: &Value) -> String {
    let backends: Vec<&Value> = route
        .pointer("/spec/to")
        .into_iter()
        .chain(list(route, "/spec/alternateBackends"))
        .collect();
    let weight = |backend: &Value| backend.get("weight").and_then(Value::as_i64);
    let total: i64 = backends.iter().filter_map(|backend| weight(backend)).sum();
    let shown: Vec<String> = backends
        .iter()
        .map(|backend| {
            let name = text(backend, "/name");
            match weight(backend) {
                None => name.to_owned(),
                Some(_) if total == 0 => format!("{name}(0%)"),
                Some(_) if backends.len() == 1 => name.to_owned(),
                Some(weight) => format!("{name}({}%)", weight.saturating_mul(100) / total),
            }
        })
        .collect();
    shown.join(",")
}

fn termination(route: &Value) -> String {
    let insecure = text(route, "/spec/tls/insecureEdgeTerminationPolicy");
    match (text(route, "/spec/tls/termination"), insecure) {
        ("", "") => String::new(),
        (termination, "") => termination.to_owned(),
        ("", insecure) => format!("default/{insecure}"),
        (termination, insecure) => format!("{termination}/{insecure}"),
    }
}
