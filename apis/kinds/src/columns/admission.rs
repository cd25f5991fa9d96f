//! Columns of what extends the API: webhooks, admission policies, API services.

use serde_json::Value;

use super::{AGE, list, number, shown, text};
use crate::Column;

const UNSET: &str = "<unset>";

pub(crate) const WEBHOOKS: &[Column] =
    &[number("Webhooks", |configuration, _| list(configuration, "/webhooks").len().into()), AGE];

pub(crate) const POLICY: &[Column] = &[
    number("Validations", |policy, _| list(policy, "/spec/validations").len().into()),
    PARAM_KIND,
    AGE,
];

pub(crate) const MUTATING_POLICY: &[Column] = &[
    number("Mutations", |policy, _| list(policy, "/spec/mutations").len().into()),
    PARAM_KIND,
    AGE,
];

const PARAM_KIND: Column =
    shown("ParamKind", |policy, _| match policy.pointer("/spec/paramKind") {
        Some(kind @ Value::Object(_)) => {
            format!("{}/{}", text(kind, "/apiVersion"), text(kind, "/kind")).into()
        }
        _ => UNSET.into(),
    });

pub(crate) const BINDING: &[Column] = &[
    shown("PolicyName", |binding, _| text(binding, "/spec/policyName").into()),
    shown("ParamRef", |binding, _| parameters(binding).into()),
    AGE,
];

pub(crate) const API_SERVICE: &[Column] = &[
    shown("Service", |service, _| match service.pointer("/spec/service") {
        Some(of @ Value::Object(_)) => {
            format!("{}/{}", text(of, "/namespace"), text(of, "/name")).into()
        }
        _ => "Local".into(),
    }),
    shown("Available", |service, _| available(service).into()),
    AGE,
];

fn available(service: &Value) -> String {
    let conditions = list(service, "/status/conditions");
    let condition = conditions.iter().find(|condition| text(condition, "/type") == "Available");
    let Some(condition) = condition else { return "Unknown".to_owned() };
    match (text(condition, "/status"), text(condition, "/reason")) {
        (status @ "True", _) | (status, "") => status.to_owned(),
        (status, reason) => format!("{status} ({reason})"),
    }
}

fn parameters(binding: &Value) -> String {
    let at = "/spec/paramRef";
    let Some(reference) = binding.pointer(at) else { return UNSET.to_owned() };
    match (text(reference, "/namespace"), text(reference, "/name")) {
        (_, "") => match reference.get("selector") {
            Some(selector @ Value::Object(_)) => go_selector(selector),
            _ => UNSET.to_owned(),
        },
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    }
}

/// A selector as its type in Go prints itself.
fn go_selector(selector: &Value) -> String {
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    let labels: String = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or("")))
        .collect();
    let expressions: String = list(selector, "/matchExpressions")
        .iter()
        .map(|expression| {
            let values: Vec<&str> =
                list(expression, "/values").iter().filter_map(Value::as_str).collect();
            format!(
                "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{}],}},",
                text(expression, "/key"),
                text(expression, "/operator"),
                values.join(" ")
            )
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}
