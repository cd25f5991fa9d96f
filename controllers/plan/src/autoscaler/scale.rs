//! A scale, as far as an autoscaler reads it.

use serde_json::Value;

/// What the `scale` of a target says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scale {
    /// Of the target.
    pub uid: String,
    /// Of the target.
    pub resource_version: String,
    /// How many pods it asks for.
    pub replicas: i32,
    /// The selector of its pods.
    pub selector: String,
}

impl Scale {
    /// Reads a `scale`.
    pub fn of(scale: &Value) -> Scale {
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        Scale {
            uid: text(&scale["metadata"]["uid"]),
            resource_version: text(&scale["metadata"]["resourceVersion"]),
            replicas: i32::try_from(replicas).unwrap_or(i32::MAX),
            selector: selector(&scale["status"]),
        }
    }
}

/// The selector of a scale. Those of extensions/v1beta1, which DeploymentConfigs have, say it as text beside a map.
fn selector(status: &Value) -> String {
    let text = |field: &str| status[field].as_str().filter(|text| !text.is_empty());
    let pairs = status["selector"].as_object().into_iter().flatten();
    let pairs = pairs.filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    match text("targetSelector").or(text("selector")) {
        Some(text) => text.to_owned(),
        None => pairs.collect::<Vec<_>>().join(","),
    }
}
