//! Jobs.
//!
//! Knows: the selector that is made from the uid, what may change and when. Refuses to know: how pods are counted.

use leme_meta::selector::LabelSelector;
use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta, names};
use serde_json::Value;

use super::{spec, status, template};
use crate::check::Errors;
use crate::pod_spec::{defaults, warnings};
use crate::replication_controller;

/// Labels that hold the uid, and those that hold the name, older spellings first.
const UID: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const NAME: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];

pub(crate) static STRATEGY: Strategy = Strategy {
    switched_off: crate::pod_spec::gates::of_workload,
    default,
    prepare_create: |job, _| {
        json::remove(job, "status");
        select(job);
        labelled(job);
    },
    prepare_update: |new, old, _| {
        json::keep(new, old, "status");
        labelled(new);
    },
    prepare_status: |new, _, _| labelled(new),
    validate,
    validate_update,
    validate_status: status::validate,
    warn,
    generation: Some(Strategy::spec_changed),
    orphan_by_default: true,
    ..Strategy::PLAIN
};

/// Fills what jobs and the templates of jobs both get.
pub(super) fn default_template(spec: &mut Value) {
    for rule in json::list_mut(spec, &["podFailurePolicy", "rules"]) {
        for pattern in json::list_mut(rule, &["onPodConditions"]) {
            json::default(pattern, "status", "True");
        }
    }
    json::child(spec, "template");
    defaults::fill_template(spec, "template");
}

fn default(job: &mut Value) {
    let spec = json::child(job, "spec");
    let has = |spec: &Value, field: &str| json::at(spec, &[field]).is_some();
    if !has(spec, "completions") && !has(spec, "parallelism") {
        json::set(spec, "completions", 1);
    }
    json::default(spec, "parallelism", 1);
    let retries = if has(spec, "backoffLimitPerIndex") { i64::from(i32::MAX) } else { 6 };
    json::default(spec, "backoffLimit", retries);
    json::default(spec, "completionMode", "NonIndexed");
    json::default(spec, "suspend", false);
    let failed = has(spec, "podFailurePolicy");
    json::default(
        spec,
        "podReplacementPolicy",
        if failed { "Failed" } else { "TerminatingOrFailed" },
    );
    json::default(spec, "manualSelector", false);
    default_template(spec);
}

/// A job without labels has those of its pods.
fn labelled(job: &mut Value) {
    let labels = json::at(job, &["spec", "template", "metadata", "labels"]).cloned();
    let metadata = json::child(job, "metadata");
    if let Some(labels) = labels.filter(|_| json::unset(metadata, "labels")) {
        json::set(metadata, "labels", labels);
    }
}

/// Labels the pods as this job's and nobody else's and selects them, unless the author does so. Labels that are there
/// are left to validation.
fn select(job: &mut Value) {
    let read = |field: &str| json::text(job, &["metadata", field]).to_owned();
    let (uid, name) = (read("uid"), read("name"));
    let spec = json::child(job, "spec");
    if json::flag(spec, &["manualSelector"]) {
        return;
    }
    let metadata = json::child(json::child(spec, "template"), "metadata");
    let labels = json::child(metadata, "labels");
    let wanted = NAME.map(|key| (key, &name)).into_iter().chain(UID.map(|key| (key, &uid)));
    for (key, value) in wanted {
        if labels.get(key).is_none() {
            json::set(labels, key, value.clone());
        }
    }
    let selected = json::child(json::child(spec, "selector"), "matchLabels");
    if selected.get(UID[1]).is_none() {
        json::set(selected, UID[1], uid);
    }
}

fn validate(job: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = job.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    generated(job, &mut errors);
    spec::validate(spec, &path, &mut errors);
    selector(spec, &path, &mut errors);
    let name = json::text(job, &["metadata", "name"]);
    let indexed = json::text(spec, &["completionMode"]) == "Indexed";
    let completions = json::int(spec, &["completions"]).filter(|count| indexed && *count > 0);
    if let Some(completions) = completions {
        // Pods of an indexed job have their index in their host name.
        let host = format!("{name}-{}", completions - 1);
        if !names::dns1123_label(&host).is_empty() {
            let why = format!("will not able to create pod with invalid DNS label: {host}");
            errors.push(FieldError::invalid(&Path::new("metadata").child("name"), name, &why));
        }
    }
    errors
}

fn labels_of(spec: &Value) -> &Value {
    json::at(spec, &["template", "metadata", "labels"]).unwrap_or(&Value::Null)
}

/// Checks that labels which the author set do not stand in the way of those that are generated.
fn generated(job: &Value, errors: &mut Errors) {
    let spec = job.get("spec").unwrap_or(&Value::Null);
    if json::flag(spec, &["manualSelector"]) || json::at(spec, &["selector"]).is_none() {
        return;
    }
    let uid = json::text(job, &["metadata", "uid"]);
    let name = json::text(job, &["metadata", "name"]);
    if uid.is_empty() {
        errors.push(FieldError::required(&Path::new("metadata").child("uid"), ""));
    }
    let at = Path::new("spec").child("template").child("metadata").child("labels");
    let labels = labels_of(spec);
    let expected = [(UID[0], uid), (NAME[0], name), (UID[1], uid), (NAME[1], name)];
    for (key, value) in expected {
        let why = format!("must be '{value}'");
        match labels.get(key).and_then(Value::as_str) {
            None => errors.push(FieldError::required(&at.key(key), &why)),
            Some(label) if label != value => {
                errors.push(FieldError::invalid(&at.key(key), labels, &why));
            }
            Some(_) => {}
        }
    }
    let label =
        |key: &str| expected.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
    let given = &spec["selector"];
    if LabelSelector::from_json(given).is_ok_and(|selector| !selector.matches(label)) {
        let at = Path::new("spec").child("selector");
        errors.push(FieldError::invalid(&at, given, "`selector` not auto-generated"));
    }
}

fn selector(spec: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("selector");
    match json::at(spec, &["selector"]) {
        None => errors.push(FieldError::required(&at, "")),
        Some(given) => crate::pod_spec::selector(given, &at, errors),
    }
    let labels = labels_of(spec);
    let read = LabelSelector::from_json(spec.get("selector").unwrap_or(&Value::Null));
    if read.is_ok_and(|read| !read.matches(|key| labels.get(key).and_then(Value::as_str))) {
        let at = path.child("template").child("metadata").child("labels");
        let why = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(&at, labels, why));
    }
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let fixed = |field: &str, errors: &mut Errors| {
        errors.extend(meta::immutable(new, old, &["spec", field]));
    };
    let spec = new.get("spec").unwrap_or(&Value::Null);
    if json::text(spec, &["completionMode"]) == "Indexed" {
        // Indexed jobs grow and shrink if all their pods run at once.
        let (wanted, before) =
            (json::int(spec, &["completions"]), json::int(old, &["spec", "completions"]));
        if let Some(wanted) = wanted.filter(|wanted| {
            Some(*wanted) != before && Some(*wanted) != json::int(spec, &["parallelism"])
        }) {
            let at = Path::new("spec").child("completions");
            let why = "can only be modified in tandem with spec.parallelism";
            errors.push(FieldError::invalid(&at, wanted, why));
        }
    } else {
        fixed("completions", &mut errors);
    }
    fixed("selector", &mut errors);
    template::validate_update(new, old, &mut errors);
    for field in
        ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    {
        fixed(field, &mut errors);
    }
    errors
}

fn warn(job: &Value, old: Option<&Value>) -> Vec<String> {
    let mut out: Vec<String> = old
        .is_none()
        .then(|| replication_controller::warn_name(job))
        .flatten()
        .into_iter()
        .collect();
    let generation = |object| json::int(object, &["metadata", "generation"]);
    if old.is_none_or(|old| generation(old) != generation(job)) {
        warn_spec(job.get("spec").unwrap_or(&Value::Null), &Path::new("spec"), &mut out);
    }
    out
}

/// Of a job's spec, its own or in the template of one.
pub(super) fn warn_spec(spec: &Value, path: &Path, out: &mut Vec<String>) {
    let number = |field: &str| json::int(spec, &[field]).unwrap_or(0);
    let indexed = json::text(spec, &["completionMode"]) == "Indexed";
    if indexed && number("completions") > 100_000 && number("parallelism") > 10_000 {
        out.push(format!(
            "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
    let template = spec.get("template").unwrap_or(&Value::Null);
    out.extend(warnings::of(template, &path.child("template")));
}
