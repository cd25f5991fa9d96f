//! What a pod spec says where its author said nothing.
//!
//! Knows: upstream's defaults of pods and templates. Refuses to know: what admission adds to pods alone.

use leme_registry::json::{child, default, default_number, list_mut, set, text, unset};
use serde_json::{Value, json};

use super::{resources, whole};

const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Fills a pod spec, in a pod or in a template.
pub(crate) fn fill(spec: &mut Value) {
    default(spec, "restartPolicy", "Always");
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "schedulerName", "default-scheduler");
    default(spec, "terminationGracePeriodSeconds", 30);
    child(spec, "securityContext");
    account_alias(spec);
    for field in CONTAINER_LISTS {
        list_mut(spec, &[field]).iter_mut().for_each(container);
    }
    list_mut(spec, &["volumes"]).iter_mut().for_each(volume);
    resources::round_up(spec, &["overhead"]);
    resources::round_up(spec, &["resources", "limits"]);
    resources::round_up(spec, &["resources", "requests"]);
}

/// Fills what only pods, not templates, get.
pub(crate) fn fill_pod(spec: &mut Value) {
    default(spec, "enableServiceLinks", true);
    let host_network = leme_registry::json::flag(spec, &["hostNetwork"]);
    for field in CONTAINER_LISTS {
        for container in list_mut(spec, &[field]) {
            resources::requests_from_limits(container);
            if host_network {
                list_mut(container, &["ports"]).iter_mut().for_each(host_port);
            }
        }
    }
    whole::fill(spec);
}

/// Fills the pod template under a field, if there is one.
pub(crate) fn fill_template(parent: &mut Value, field: &str) {
    if let Some(template) = leme_registry::json::at_mut(parent, &[field]) {
        let metadata = child(template, "metadata");
        if metadata.get("creationTimestamp").is_some_and(Value::is_null) {
            leme_registry::json::remove(metadata, "creationTimestamp");
        }
        fill(child(template, "spec"));
    }
}

fn account_alias(spec: &mut Value) {
    let name = match text(spec, &["serviceAccountName"]) {
        "" => text(spec, &["serviceAccount"]).to_owned(),
        name => name.to_owned(),
    };
    for field in ["serviceAccountName", "serviceAccount"] {
        if name.is_empty() {
            leme_registry::json::remove(spec, field);
        } else {
            set(spec, field, name.clone());
        }
    }
}

fn host_port(port: &mut Value) {
    let number = leme_registry::json::int(port, &["containerPort"]).unwrap_or(0);
    default_number(port, "hostPort", number);
}

fn container(container: &mut Value) {
    let policy = pull_policy(text(container, &["image"]));
    default(container, "imagePullPolicy", policy);
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    child(container, "resources");
    resources::round_up(container, &["resources", "limits"]);
    resources::round_up(container, &["resources", "requests"]);
    for port in list_mut(container, &["ports"]) {
        default(port, "protocol", "TCP");
    }
    for env in list_mut(container, &["env"]) {
        if let Some(field) = leme_registry::json::at_mut(env, &["valueFrom", "fieldRef"]) {
            default(field, "apiVersion", "v1");
        }
    }
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(field).filter(|probe| probe.is_object()) {
            fill_probe(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(handler) = leme_registry::json::at_mut(container, &["lifecycle", hook]) {
            fill_handler(handler);
        }
    }
}

fn pull_policy(image: &str) -> &'static str {
    if follows_latest(image) { "Always" } else { "IfNotPresent" }
}

/// Whether an image is asked for by the tag `latest`, said or unsaid.
fn follows_latest(image: &str) -> bool {
    if image.is_empty() {
        return false;
    }
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => !digest,
    }
}

fn fill_probe(probe: &mut Value) {
    fill_handler(probe);
    for (field, number) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        default_number(probe, field, number);
    }
}

fn fill_handler(handler: &mut Value) {
    if let Some(http) = handler.get_mut("httpGet").filter(|http| http.is_object()) {
        default(http, "path", "/");
        default(http, "scheme", "HTTP");
    }
    if let Some(grpc) = handler.get_mut("grpc").filter(|grpc| grpc.is_object())
        && grpc.get("service").is_none()
    {
        set(grpc, "service", "");
    }
}

fn volume(volume: &mut Value) {
    let sources =
        volume.as_object().map_or(0, |map| map.keys().filter(|key| *key != "name").count());
    if sources == 0 {
        set(volume, "emptyDir", json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(source).filter(|source| source.is_object()) {
            default(source, "defaultMode", 420);
        }
    }
    if let Some(path) = volume.get_mut("hostPath").filter(|path| path.is_object()) {
        fill_host_path(path);
    }
    if let Some(image) = volume.get_mut("image").filter(|image| image.is_object()) {
        let policy = pull_policy(text(image, &["reference"]));
        default(image, "pullPolicy", policy);
    }
    downward_items(volume, &["downwardAPI", "items"]);
    for source in list_mut(volume, &["projected", "sources"]) {
        if let Some(token) = leme_registry::json::at_mut(source, &["serviceAccountToken"]) {
            default_number(token, "expirationSeconds", 3600);
        }
        downward_items(source, &["downwardAPI", "items"]);
    }
    if let Some(claim) = leme_registry::json::at_mut(volume, &["ephemeral", "volumeClaimTemplate"])
    {
        let spec = child(claim, "spec");
        default(spec, "volumeMode", "Filesystem");
        resources::round_up(spec, &["resources", "limits"]);
        resources::round_up(spec, &["resources", "requests"]);
    }
}

/// Fills a hostPath source, of a volume or of a PersistentVolume.
pub(crate) fn fill_host_path(source: &mut Value) {
    if unset(source, "type") {
        set(source, "type", "");
    }
}

fn downward_items(parent: &mut Value, path: &[&str]) {
    for item in list_mut(parent, path) {
        if let Some(field) = leme_registry::json::at_mut(item, &["fieldRef"]) {
            default(field, "apiVersion", "v1");
        }
    }
}
