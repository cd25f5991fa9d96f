//! What constraints make of a pod: it gets what it does not say itself.
//!
//! Knows: what each strategy gives. Refuses to know: whether the pod fits afterwards.

use std::collections::BTreeSet;

use leme_registry::json;
use serde_json::{Value, json};

use super::effective;

/// The annotation by which pods named their profile of seccomp before there was a field.
pub(super) const OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
/// The same of a container, whose name follows.
pub(super) const OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// The lists of containers of a pod.
pub(super) const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Gives a pod what the constraints say and it does not.
pub(super) fn assign(constraints: &Value, pod: &mut Value) {
    of_pod(constraints, pod);
    let annotations = json::at(pod, &["metadata", "annotations"]).cloned().unwrap_or(Value::Null);
    let shared = json::at(pod, &["spec", "securityContext"]).cloned().unwrap_or(Value::Null);
    for list in LISTS {
        for container in json::list_mut(pod, &["spec", list]) {
            of_container(constraints, &annotations, &shared, container);
        }
    }
}

fn of_pod(constraints: &Value, pod: &mut Value) {
    let profile = profile(constraints, pod);
    let context = json::at(pod, &["spec", "securityContext"]);
    let says = |field: &str| context.is_some_and(|context| !json::unset(context, field));
    let first = |field: &str| {
        let must = json::text(constraints, &[field, "type"]) == "MustRunAs";
        let range = json::list(constraints, &[field, "ranges"]).first().filter(|_| must)?;
        json::int(range, &["min"])
    };
    let mut given = Vec::new();
    if let Some(group) = first("supplementalGroups").filter(|_| !says("supplementalGroups")) {
        given.push(("supplementalGroups", json!([group])));
    }
    if let Some(group) = first("fsGroup").filter(|_| !says("fsGroup")) {
        given.push(("fsGroup", group.into()));
    }
    if let Some(label) = label(constraints)
        .filter(|_| context.is_none_or(|one| json::at(one, &["seLinuxOptions"]).is_none()))
    {
        given.push(("seLinuxOptions", label.clone()));
    }
    if !profile.is_empty() {
        given.push(("seccompProfile", field_of(&profile)));
        let metadata = json::child(pod, "metadata");
        json::set(json::child(metadata, "annotations"), OF_POD, profile);
    }
    for (field, value) in given.into_iter().filter(|(_, value)| !value.is_null()) {
        json::set(json::child(json::child(pod, "spec"), "securityContext"), field, value);
    }
}

/// The label that pods must have.
pub(super) fn label(constraints: &Value) -> Option<&Value> {
    let must = json::text(constraints, &["seLinuxContext", "type"]) == "MustRunAs";
    json::at(constraints, &["seLinuxContext", "seLinuxOptions"]).filter(|_| must)
}

/// The profile of seccomp that a pod names, in the words of the annotation, else the first that is allowed.
fn profile(constraints: &Value, pod: &Value) -> String {
    let annotated = json::text(pod, &["metadata", "annotations", OF_POD]);
    if !annotated.is_empty() {
        return annotated.to_owned();
    }
    if let Some(profile) = json::at(pod, &["spec", "securityContext", "seccompProfile"]) {
        return word_of(profile);
    }
    let allowed = json::list(constraints, &["seccompProfiles"]).iter().filter_map(Value::as_str);
    allowed.into_iter().find(|profile| *profile != "*").unwrap_or("").to_owned()
}

/// A profile of seccomp in the words of the annotation.
pub(super) fn word_of(profile: &Value) -> String {
    match json::text(profile, &["type"]) {
        "Unconfined" => "unconfined".to_owned(),
        "RuntimeDefault" => "runtime/default".to_owned(),
        "Localhost" => format!("localhost/{}", json::text(profile, &["localhostProfile"])),
        _ => String::new(),
    }
}

/// A profile of seccomp as the field has it, null if it has none such.
fn field_of(word: &str) -> Value {
    match word {
        "unconfined" => json!({ "type": "Unconfined" }),
        "runtime/default" | "docker/default" => json!({ "type": "RuntimeDefault" }),
        word => match word.strip_prefix("localhost/").filter(|name| !name.is_empty()) {
            Some(name) => json!({ "type": "Localhost", "localhostProfile": name }),
            None => Value::Null,
        },
    }
}

fn of_container(constraints: &Value, annotations: &Value, shared: &Value, container: &mut Value) {
    let mut given: Vec<(&str, Value)> = Vec::new();
    let user = effective(container, shared, "runAsUser").and_then(Value::as_i64);
    let strategy = json::text(constraints, &["runAsUser", "type"]);
    let user = user.or_else(|| {
        let uid = match strategy {
            "MustRunAs" => "uid",
            "MustRunAsRange" => "uidRangeMin",
            _ => return None,
        };
        let user = json::int(constraints, &["runAsUser", uid])?;
        given.push(("runAsUser", user.into()));
        Some(user)
    });
    let is_not_root = match user {
        None => strategy == "MustRunAsNonRoot",
        Some(user) => user > 0,
    };
    if is_not_root && effective(container, shared, "runAsNonRoot").is_none() {
        given.push(("runAsNonRoot", true.into()));
    }
    given.extend(capabilities(constraints, container).map(|one| ("capabilities", one)));
    let own = json::at(container, &["securityContext"]);
    let says = |field: &str| own.is_some_and(|own| json::at(own, &[field]).is_some());
    if json::flag(constraints, &["readOnlyRootFilesystem"]) && !says("readOnlyRootFilesystem") {
        given.push(("readOnlyRootFilesystem", true.into()));
    }
    let key = format!("{OF_CONTAINER}{}", json::text(container, &["name"]));
    let annotated = json::at(annotations, &[&key]).and_then(Value::as_str).map(field_of);
    given.extend(annotated.filter(|field| !field.is_null()).map(|field| ("seccompProfile", field)));
    if !says("allowPrivilegeEscalation") {
        given.extend(
            escalation(constraints, container).map(|may| ("allowPrivilegeEscalation", may.into())),
        );
    }
    for (field, value) in given {
        json::set(json::child(container, "securityContext"), field, value);
    }
}

/// Whether processes of a container may get more rights, where it does not say.
fn escalation(constraints: &Value, container: &Value) -> Option<bool> {
    let flag = |field: &str| json::at(constraints, &[field]).and_then(Value::as_bool);
    let is_privileged = json::flag(container, &["securityContext", "privileged"])
        || json::list(container, &["securityContext", "capabilities", "add"])
            .iter()
            .any(|one| one == "CAP_SYS_ADMIN");
    let by_default = flag("defaultAllowPrivilegeEscalation").filter(|_| !is_privileged);
    by_default.or(flag("allowPrivilegeEscalation").filter(|may| !may))
}

/// What a container gets of capabilities, if it gets others than it names.
fn capabilities(constraints: &Value, container: &Value) -> Option<Value> {
    let set = |value: &Value, path: &[&str]| -> BTreeSet<String> {
        json::list(value, path).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let own = |field| set(container, &["securityContext", "capabilities", field]);
    let (added, dropped) = (own("add"), own("drop"));
    let by_default = set(constraints, &["defaultAddCapabilities"]);
    let add: BTreeSet<String> = by_default.difference(&dropped).chain(&added).cloned().collect();
    let drop = &set(constraints, &["requiredDropCapabilities"]) | &dropped;
    if add.len() == added.len() && drop.len() == dropped.len() {
        return None;
    }
    let mut new = json!({});
    for (field, list) in [("add", add), ("drop", drop)] {
        if !list.is_empty() {
            json::set(&mut new, field, list.into_iter().collect::<Vec<_>>());
        }
    }
    Some(new)
}
