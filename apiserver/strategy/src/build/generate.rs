//! Builds made of a BuildConfig, and once more of a build.
//!
//! Knows: what a build takes over, and which images it starts from. Refuses to know: credentials; which secret opens a
//! registry is found when a build runs.

use leme_meta::Status;
use leme_registry::{json, names};
use serde_json::{Value, json};

use super::STRATEGIES;
use super::images::{images, triggers};
use crate::deployment_config::request::Find;

const PAUSED: &str = "openshift.io/build-config.paused";
const NUMBER: &str = "openshift.io/build.number";
const OF_CONFIG: &str = "openshift.io/build-config.name";
const CLONE_OF: &str = "openshift.io/build.clone-of";
/// What a build that is made once more does not take over.
const OF_RUN: [&str; 6] = [
    "openshift.io/build.pod-name",
    "openshift.io/jenkins-status-json",
    "openshift.io/jenkins-log-url",
    "openshift.io/jenkins-console-log-url",
    "openshift.io/jenkins-blueocean-log-url",
    "openshift.io/jenkins-build-uri",
];
/// Parts of a configuration that a build takes over as they are.
const TAKEN: [&str; 9] = [
    "source",
    "strategy",
    "output",
    "resources",
    "postCommit",
    "completionDeadlineSeconds",
    "nodeSelector",
    "mountTrustedCA",
    "serviceAccount",
];
const NAME_MAX: usize = 253;

/// A configuration that has counted a build, and the build.
#[derive(Debug)]
pub struct Made {
    /// The configuration; absent for a build without one.
    pub config: Option<Value>,
    /// The build, without uid and status but for its phase.
    pub build: Value,
}

pub(super) fn place(of: &Value) -> String {
    let text = |field: &str| json::text(of, &["metadata", field]);
    format!("{}/{}", text("namespace"), text("name"))
}

fn is_paused(config: &Value) -> bool {
    json::text(config, &["metadata", "annotations", PAUSED]).eq_ignore_ascii_case("true")
}

/// The next build of a configuration. `now` is the time as objects say it.
pub fn instantiate(
    config: &Value,
    request: &Value,
    streams: Find<'_>,
    now: &str,
) -> Result<Made, Status> {
    let place = place(config);
    if is_paused(config) {
        let why = format!("can't instantiate from BuildConfig {place}: BuildConfig is paused");
        return Err(Status::bad_request(why));
    }
    let last = json::int(config, &["status", "lastVersion"]).unwrap_or(0);
    if let Some(wanted) = json::int(request, &["lastVersion"]).filter(|wanted| *wanted != last) {
        return Err(Status::bad_request(format!(
            "the LastVersion({last}) on build config {place} does not match the build request LastVersion({wanted})"
        )));
    }
    let mut config = config.clone();
    triggers(&mut config, request, streams, now)?;
    json::set(json::child(&mut config, "status"), "lastVersion", last + 1);
    let mut build = of_config(&config, request, last + 1);
    images(&config, json::child(&mut build, "spec"), streams)?;
    merge(&mut build, request);
    options(&mut build, request, |kind| {
        format!("Cannot specify {kind} build specific options on {place}, not a {kind} build.")
    })?;
    Ok(Made { config: Some(config), build })
}

fn of_config(config: &Value, request: &Value, number: i64) -> Value {
    let name = json::text(config, &["metadata", "name"]);
    let text = |field: &str| json::text(config, &["metadata", field]);
    let label = label_value(name);
    let mut labels = json::at(config, &["metadata", "labels"]).cloned().unwrap_or(json!({}));
    for (key, content) in [
        ("buildconfig", label),
        (OF_CONFIG, label),
        ("openshift.io/build.start-policy", json::text(config, &["spec", "runPolicy"])),
    ] {
        json::set(&mut labels, key, content);
    }
    let mut spec = json!({});
    let before = config.get("spec").unwrap_or(&Value::Null);
    TAKEN.iter().for_each(|field| json::keep(&mut spec, before, field));
    json::default(&mut spec, "serviceAccount", "builder");
    for field in ["revision", "triggeredBy"] {
        json::keep(&mut spec, request, field);
    }
    let source = json::child(&mut spec, "source");
    json::remove(source, "binary");
    json::remove(source, "type");
    if let Some(binary) = json::at(request, &["binary"]) {
        json::remove(source, "git");
        json::set(source, "binary", binary.clone());
        if json::text(binary, &["asFile"]) == "Dockerfile" {
            json::remove(source, "dockerfile");
        }
    }
    json!({
        "kind": "Build", "apiVersion": "build.openshift.io/v1",
        "metadata": {
            "name": join(name, &number.to_string()), "namespace": text("namespace"), "labels": labels,
            "annotations": { NUMBER: number.to_string(), OF_CONFIG: name },
            "ownerReferences": [{
                "apiVersion": "build.openshift.io/v1", "kind": "BuildConfig", "name": name,
                "uid": text("uid"), "controller": true,
            }],
        },
        "spec": spec,
        "status": {
            "phase": "New",
            "config": { "kind": "BuildConfig", "name": name, "namespace": text("namespace") },
        },
    })
}

/// A build once more, given its configuration if there still is one; without one its name ends in a stamp of ten digits.
pub fn again(
    build: &Value,
    config: Option<&Value>,
    request: &Value,
    stamp: &str,
) -> Result<Made, Status> {
    let mut config = config.cloned();
    let mut number = None;
    if let Some(config) = &mut config {
        let place = place(config);
        if is_paused(config) {
            return Err(Status::internal(format!(
                "fatal error generating Build from BuildConfig: can't instantiate from BuildConfig {place}: BuildConfig is paused"
            )));
        }
        let next = json::int(config, &["status", "lastVersion"]).unwrap_or(0) + 1;
        json::set(json::child(config, "status"), "lastVersion", next);
        number = Some(next.to_string());
    }
    let own = json::text(build, &["metadata", "name"]);
    let name = match (&config, &number) {
        (Some(config), Some(number)) => join(json::text(config, &["metadata", "name"]), number),
        _ => join(without_stamp(own), stamp),
    };
    let mut new = json!({
        "kind": "Build", "apiVersion": "build.openshift.io/v1",
        "metadata": { "name": name, "namespace": json::text(build, &["metadata", "namespace"]) },
        "spec": build.get("spec").cloned().unwrap_or_default(), "status": { "phase": "New" },
    });
    for field in ["labels", "annotations", "ownerReferences"] {
        let before = build.get("metadata").unwrap_or(&Value::Null);
        json::keep(json::child(&mut new, "metadata"), before, field);
    }
    let before = build.get("status").unwrap_or(&Value::Null);
    json::keep(json::child(&mut new, "status"), before, "config");
    let annotations = json::child(json::child(&mut new, "metadata"), "annotations");
    json::set(annotations, CLONE_OF, own);
    OF_RUN.iter().for_each(|key| json::remove(annotations, key));
    match number {
        Some(number) => json::set(annotations, NUMBER, number),
        None => json::remove(annotations, NUMBER),
    }
    let spec = json::child(&mut new, "spec");
    let source = json::child(spec, "source");
    json::remove(source, "binary");
    json::remove(source, "type");
    json::keep(spec, request, "triggeredBy");
    let place = config.as_ref().map(place).unwrap_or_default();
    options(&mut new, request, |_| {
        format!("Cannot specify build args on {place}, not a Docker build.")
    })?;
    Ok(Made { config, build: new })
}

/// Adds what a request says of the build, where the build does not say it itself.
fn merge(build: &mut Value, request: &Value) {
    let metadata = json::child(build, "metadata");
    for field in ["annotations", "labels"] {
        let more: Vec<(String, Value)> = json::entries(request, &["metadata", field])
            .map(|(key, text)| (key.to_owned(), text.clone()))
            .collect();
        let own = json::child(metadata, field);
        for (key, text) in more {
            if own.get(&key).is_none() {
                json::set(own, &key, text);
            }
        }
    }
}

/// Applies variables and options of a request; `why` refuses those of another kind of build.
fn options(build: &mut Value, request: &Value, why: impl Fn(&str) -> String) -> Result<(), Status> {
    let strategy = json::child(json::child(build, "spec"), "strategy");
    let env = json::list(request, &["env"]);
    let of_build = STRATEGIES.iter().find(|(_, field)| json::at(strategy, &[field]).is_some());
    if let Some((_, field)) = of_build.filter(|_| !env.is_empty()) {
        let own = json::child(strategy, field);
        let all = replaced(json::list(own, &["env"]), env);
        json::set(own, "env", all);
    }
    let arguments = json::list(request, &["dockerStrategyOptions", "buildArgs"]);
    let no_cache = json::at(request, &["dockerStrategyOptions", "noCache"]);
    if !arguments.is_empty() || no_cache.is_some() {
        let own = json::at_mut(strategy, &["dockerStrategy"])
            .ok_or_else(|| Status::bad_request(why("Docker")))?;
        if !arguments.is_empty() {
            let all = replaced(json::list(own, &["buildArgs"]), arguments);
            json::set(own, "buildArgs", all);
        }
        if let Some(no_cache) = no_cache {
            json::set(own, "noCache", no_cache.clone());
        }
    }
    if let Some(incremental) = json::at(request, &["sourceStrategyOptions", "incremental"]) {
        let own = json::at_mut(strategy, &["sourceStrategy"])
            .ok_or_else(|| Status::bad_request(why("Source")))?;
        json::set(own, "incremental", incremental.clone());
    }
    Ok(())
}

/// Variables with others in the place of those of the same name.
pub(super) fn replaced(own: &[Value], others: &[Value]) -> Vec<Value> {
    let named = |one: &Value| others.iter().any(|other| other.get("name") == one.get("name"));
    own.iter().filter(|one| !named(one)).chain(others).cloned().collect()
}

/// A name with a suffix; one that would be too long is cut, and told apart by a number made of it.
fn join(base: &str, suffix: &str) -> String {
    let whole = format!("{base}-{suffix}");
    if whole.len() <= NAME_MAX {
        return whole;
    }
    let hash = whole
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let room = NAME_MAX.saturating_sub(suffix.len() + 10);
    let cut: String = base.chars().take(room).collect();
    format!("{cut}-{hash:08x}-{suffix}")
}

/// A name as the value of a label: as much of it as is one.
fn label_value(name: &str) -> &str {
    let fits =
        |end: &usize| name.get(..*end).is_some_and(|part| names::label_value(part).is_empty());
    let end = (1..=name.len()).rev().find(fits).unwrap_or(name.len());
    name.get(..end).unwrap_or(name)
}

/// A name without the stamp of an earlier copy.
fn without_stamp(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((base, stamp))
            if !base.is_empty()
                && stamp.len() == 10
                && stamp.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            base
        }
        _ => name,
    }
}
