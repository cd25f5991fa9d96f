//! Columns of autoscalers.

use serde_json::Value;

use super::{AGE, NONE, int, list, shown, text};
use crate::Column;

pub(crate) const HORIZONTAL_POD_AUTOSCALER: &[Column] = &[
    shown("Reference", |scaler, _| {
        let read = |field: &str| text(scaler, &format!("/spec/scaleTargetRef/{field}"));
        format!("{}/{}", read("kind"), read("name")).into()
    }),
    shown("Targets", |scaler, _| targets(scaler).into()),
    shown("MinPods", |scaler, _| match scaler.pointer("/spec/minReplicas") {
        None | Some(Value::Null) => "<unset>".into(),
        Some(least) => least.to_string().into(),
    }),
    shown("MaxPods", |scaler, _| int(scaler, "/spec/maxReplicas").into()),
    shown("Replicas", |scaler, _| int(scaler, "/status/currentReplicas").into()),
    AGE,
];

/// How many metrics are shown.
const SHOWN: usize = 2;

fn targets(scaler: &Value) -> String {
    let metrics = list(scaler, "/spec/metrics");
    if metrics.is_empty() {
        return NONE.to_owned();
    }
    let current = list(scaler, "/status/currentMetrics");
    let all: Vec<String> = metrics
        .iter()
        .enumerate()
        .take(SHOWN)
        .map(|(index, metric)| target(metric, current.get(index).unwrap_or(&Value::Null)))
        .collect();
    let shown = all.join(", ");
    match metrics.len() {
        few if few <= SHOWN => shown,
        many => format!("{shown} + {} more...", many - SHOWN),
    }
}

/// What a metric is and what it should be.
fn target(metric: &Value, status: &Value) -> String {
    let source = match text(metric, "/type") {
        "Object" => "object",
        "Pods" => "pods",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "External" => "external",
        _ => return "<unknown type>".to_owned(),
    };
    let none = Value::Null;
    let wanted = metric.get(source).and_then(|source| source.get("target")).unwrap_or(&none);
    let current = status.get(source).and_then(|source| source.get("current"));
    let now = |field: &str| match current.and_then(|current| current.get(field)) {
        Some(Value::String(amount)) => amount.clone(),
        Some(Value::Null) | None => "<unknown>".to_owned(),
        Some(number) => number.to_string(),
    };
    let average = wanted.get("averageValue").and_then(Value::as_str);
    let name = || text(metric, &format!("/{source}/name")).to_owned();
    match (source, average) {
        ("object" | "external", Some(average)) => {
            format!("{}/{average} (avg)", now("averageValue"))
        }
        ("object" | "external", None) => format!("{}/{}", now("value"), text(wanted, "/value")),
        ("pods", average) => format!("{}/{}", now("averageValue"), average.unwrap_or("")),
        (_, Some(average)) => format!("{}: {}/{average}", name(), now("averageValue")),
        (_, None) => {
            let percent = |number: &Value| format!("{number}%");
            let field = "averageUtilization";
            let wanted = wanted.get(field).filter(|number| !number.is_null());
            let current = current.and_then(|current| current.get(field));
            let current = current.filter(|number| !number.is_null());
            let (now, wanted) = (current.map(percent), wanted.map(percent));
            let now = now.as_deref().unwrap_or("<unknown>");
            format!("{}: {now}/{}", name(), wanted.as_deref().unwrap_or("<auto>"))
        }
    }
}
