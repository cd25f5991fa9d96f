//! The file that says what is asked of plug-ins: an AdmissionConfiguration.
//!
//! Knows: its form, and that of a PodSecurityConfiguration in it. Refuses to know: where it is. What nothing would come of is
//! refused.

use leme_registry::json;
use serde_json::Value;

use crate::Settings;
use crate::pod_security::{self, Level, Policy, Version};

impl Settings {
    /// What a document says.
    ///
    /// # Errors
    /// What of it cannot be read, or would be of no use.
    pub fn read(document: &Value) -> Result<Settings, String> {
        settings(document)
    }
}

fn settings(document: &Value) -> Result<Settings, String> {
    is_of(document, "AdmissionConfiguration", "apiserver.config.k8s.io/")?;
    only(document, "", &["apiVersion", "kind", "plugins"])?;
    let mut settings = Settings::NONE;
    for plug_in in json::list(document, &["plugins"]) {
        let name = json::text(plug_in, &["name"]);
        only(plug_in, &format!("{name}: "), &["name", "configuration"])?;
        match (name, plug_in.get("configuration")) {
            ("PodSecurity", Some(of)) => settings.pod_security = pod_security_of(of)?,
            ("PodSecurity", None) => {}
            _ => return Err(format!("{name}: only PodSecurity is configured")),
        }
    }
    Ok(settings)
}

fn is_of(document: &Value, kind: &str, group: &str) -> Result<(), String> {
    let text = |field| json::text(document, &[field]);
    match text("kind") == kind && text("apiVersion").starts_with(group) {
        true => Ok(()),
        false => Err(format!("expected a {kind} of {group}v1")),
    }
}

/// Refuses fields of which nothing would come.
fn only(value: &Value, at: &str, known: &[&str]) -> Result<(), String> {
    match json::entries(value, &[]).find(|(field, _)| !known.contains(field)) {
        Some((field, _)) => Err(format!("{at}{field} is not known")),
        None => Ok(()),
    }
}

fn pod_security_of(document: &Value) -> Result<pod_security::Settings, String> {
    is_of(document, "PodSecurityConfiguration", "pod-security.admission.config.k8s.io/")?;
    only(document, "PodSecurity: ", &["apiVersion", "kind", "defaults", "exemptions"])?;
    let modes = ["enforce", "audit", "warn"];
    let versions = modes.map(|mode| format!("{mode}-version"));
    let defaults = document.get("defaults").unwrap_or(&Value::Null);
    let known: Vec<&str> = modes.into_iter().chain(versions.iter().map(String::as_str)).collect();
    only(defaults, "PodSecurity: defaults: ", &known)?;
    let mut policy = Policy::NONE;
    let slots = [&mut policy.enforce, &mut policy.audit, &mut policy.warn];
    for ((mode, version), slot) in modes.iter().zip(&versions).zip(slots) {
        let wrong = |field: &str, why: String| format!("PodSecurity: defaults: {field}: {why}");
        let text = |field: &str| json::at(defaults, &[field]).and_then(Value::as_str);
        if let Some(text) = text(mode) {
            slot.level = Level::parse(text).map_err(|why| wrong(mode, why))?;
        }
        if let Some(text) = text(version) {
            slot.version = Version::parse(text).map_err(|why| wrong(version, why))?;
        }
    }
    let exempt = document.get("exemptions").unwrap_or(&Value::Null);
    let known = ["namespaces", "usernames", "runtimeClasses"];
    only(exempt, "PodSecurity: exemptions: ", &known)?;
    let list = |field: &str| -> Vec<String> {
        let list = json::list(exempt, &[field]).iter().filter_map(Value::as_str);
        list.map(str::to_owned).collect()
    };
    let [namespaces, users, runtime_classes] = known.map(list);
    Ok(pod_security::Settings { defaults: policy, namespaces, users, runtime_classes })
}
