//! Builds and what makes them: a configuration asks for builds when it comes to be and when an image it starts from is
//! another, and keeps so many of the old ones; a build waits for its turn, has a pod, and tells how that fares.
//!
//! Knows: the objects as far as these two decide by them. Refuses to know: what the pod does; its own program reports
//! stages, revisions and why it failed.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use crate::common::annotation;
use crate::kind::kind;

pub mod config;
mod end;
pub mod pod;
mod policy;
mod resolve;
pub mod run;
#[cfg(test)]
mod tests;

/// The annotation of a build's number among those of its configuration.
const NUMBER: &str = "openshift.io/build.number";
/// The label of the configuration of a build, and the annotation with the whole name.
pub const OF_CONFIG: &str = "openshift.io/build-config.name";
/// The label of what decides when a build starts.
const POLICY: &str = "openshift.io/build.start-policy";
/// The annotation of a build that names its pod.
const POD_NAME: &str = "openshift.io/build.pod-name";
/// The label of a pod that names its build.
pub const OF_BUILD: &str = "openshift.io/build.name";
/// Strategies that pods carry out, by their fields.
const STRATEGIES: [&str; 3] = ["dockerStrategy", "sourceStrategy", "customStrategy"];

/// A build.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "Value")]
pub struct Build {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// All of it, but for who owns its fields.
    pub whole: Value,
}

/// A build configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "Value")]
pub struct BuildConfig {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// All of it, but for who owns its fields.
    pub whole: Value,
}

kind!(Build, "build.openshift.io", "v1", "builds", NamespaceResourceScope);
kind!(BuildConfig, "build.openshift.io", "v1", "buildconfigs", NamespaceResourceScope);

/// The metadata of an object, and the object without the part of it that nobody here reads.
fn read(mut whole: Value) -> Result<(ObjectMeta, Value), serde_json::Error> {
    if let Some(metadata) = whole.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let metadata = whole.get("metadata").cloned().unwrap_or_default();
    Ok((serde_json::from_value(metadata)?, whole))
}

impl TryFrom<Value> for Build {
    type Error = serde_json::Error;

    fn try_from(whole: Value) -> Result<Build, serde_json::Error> {
        read(whole).map(|(metadata, whole)| Build { metadata, whole })
    }
}

impl TryFrom<Value> for BuildConfig {
    type Error = serde_json::Error;

    fn try_from(whole: Value) -> Result<BuildConfig, serde_json::Error> {
        read(whole).map(|(metadata, whole)| BuildConfig { metadata, whole })
    }
}

/// A text at a JSON pointer, empty where there is none.
fn text<'a>(of: &'a Value, pointer: &str) -> &'a str {
    of.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// A list at a JSON pointer, empty where there is none.
fn list<'a>(of: &'a Value, pointer: &str) -> &'a [Value] {
    of.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

impl Build {
    fn phase(&self) -> &str {
        match text(&self.whole, "/status/phase") {
            "" => "New",
            phase => phase,
        }
    }

    fn reason(&self) -> &str {
        text(&self.whole, "/status/reason")
    }

    fn message(&self) -> &str {
        text(&self.whole, "/status/message")
    }

    /// Whether it has not begun.
    pub fn is_new(&self) -> bool {
        self.phase() == "New"
    }

    /// Whether it has come to an end of any kind.
    pub fn is_over(&self) -> bool {
        !matches!(self.phase(), "New" | "Pending" | "Running")
    }

    fn is_binary(&self) -> bool {
        self.whole.pointer("/spec/source/binary").is_some_and(|one| !one.is_null())
    }

    /// Its strategy: the field, and what stands in it.
    fn strategy(&self) -> Option<(&'static str, &Value)> {
        STRATEGIES.iter().find_map(|field| {
            let strategy = self.whole.pointer("/spec/strategy")?.get(field)?;
            (!strategy.is_null()).then_some((*field, strategy))
        })
    }

    fn number(&self) -> i64 {
        annotation(&self.metadata, NUMBER).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// The name of its configuration, empty if it has none.
    pub fn config(&self) -> &str {
        annotation(&self.metadata, OF_CONFIG)
            .unwrap_or_else(|| text(&self.whole, "/status/config/name"))
    }

    fn policy(&self) -> &str {
        self.metadata.labels.as_ref().and_then(|all| all.get(POLICY)).map_or("", String::as_str)
    }

    fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or("")
    }

    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or("")
    }

    /// The name of the account that its pod has.
    pub fn account(&self) -> &str {
        match text(&self.whole, "/spec/serviceAccount") {
            "" => "builder",
            name => name,
        }
    }

    /// The name of its pod.
    pub fn pod_name(&self) -> String {
        format!("{}-build", self.name())
    }
}
