//! StatefulSets.
//!
//! Knows: claim templates, update strategies, what may change. Refuses to know: which pod is which.

use leme_meta::{FieldError, Path};
use leme_registry::{Scale, Strategy, json, meta, names};
use serde_json::{Map, Value, json};

use super::{collisions, endless, matching, read_selector, selector, strategy_of, within};
use crate::check::{self, Errors, NOT_NEGATIVE};
use crate::pod_spec::{self, defaults, warnings};
use crate::{int_or_percent, replication_controller, volume};

pub(crate) static STRATEGY: Strategy = Strategy {
    switched_off: crate::pod_spec::gates::of_workload,
    name: meta::label_name,
    default,
    validate,
    validate_create,
    validate_update,
    validate_status,
    warn,
    generation: Some(Strategy::spec_changed),
    scale: Some(Scale::BY_SELECTOR),
    ..Strategy::PLAIN
};

/// What of a spec may change.
const MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

fn default(set: &mut Value) {
    let spec = json::child(set, "spec");
    json::default(spec, "podManagementPolicy", "OrderedReady");
    let strategy = json::child(spec, "updateStrategy");
    if json::unset(strategy, "type") {
        json::set(strategy, "type", "RollingUpdate");
        json::child(strategy, "rollingUpdate");
    }
    if json::text(strategy, &["type"]) == "RollingUpdate"
        && let Some(rolling) = json::at_mut(strategy, &["rollingUpdate"])
    {
        json::default(rolling, "partition", 0);
        json::default(rolling, "maxUnavailable", 1);
    }
    let policy = json::child(spec, "persistentVolumeClaimRetentionPolicy");
    json::default(policy, "whenDeleted", "Retain");
    json::default(policy, "whenScaled", "Retain");
    json::default(spec, "replicas", 1);
    json::default(spec, "revisionHistoryLimit", 10);
    for claim in json::list_mut(spec, &["volumeClaimTemplates"]) {
        (volume::CLAIM.default)(claim);
        json::set(claim, "apiVersion", "v1");
        json::set(claim, "kind", "PersistentVolumeClaim");
        json::default(json::child(claim, "status"), "phase", "Pending");
    }
    json::child(spec, "template");
    defaults::fill_template(spec, "template");
}

fn validate(set: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = set.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    policies(spec, &path, &mut errors);
    check::not_negative(spec, &["replicas", "minReadySeconds"], &path, &mut errors);
    let first = json::int(spec, &["ordinals", "start"]).unwrap_or(0);
    if first < 0 {
        let at = path.child("ordinals").child("start");
        errors.push(FieldError::invalid(&at, first, NOT_NEGATIVE));
    }
    selector(spec, "statefulset", &path, &mut errors);
    match read_selector(spec) {
        Ok(selector) => {
            matching(&selector, spec, &path, &mut errors);
            let template = with_claims(spec);
            errors.extend(pod_spec::validate_template(&template, &path.child("template")));
        }
        Err(_) => {
            let given = spec.get("selector").unwrap_or(&Value::Null);
            errors.push(FieldError::invalid(&path.child("selector"), given, ""));
        }
    }
    endless(spec, "StatefulSet", &path, &mut errors);
    errors
}

fn policies(spec: &Value, path: &Path, errors: &mut Errors) {
    match json::text(spec, &["podManagementPolicy"]) {
        "" => errors.push(FieldError::required(&path.child("podManagementPolicy"), "")),
        "OrderedReady" | "Parallel" => {}
        other => {
            let why = "must be 'OrderedReady' or 'Parallel'";
            errors.push(FieldError::invalid(&path.child("podManagementPolicy"), other, why));
        }
    }
    let strategy = spec.get("updateStrategy").unwrap_or(&Value::Null);
    update_strategy(strategy, &path.child("updateStrategy"), errors);
    let path = path.child("persistentVolumeClaimRetentionPolicy");
    if let Some(policy) = json::at(spec, &["persistentVolumeClaimRetentionPolicy"]) {
        for field in ["whenDeleted", "whenScaled"] {
            let (text, known) = (json::text(policy, &[field]), ["Retain", "Delete"]);
            if !known.contains(&text) {
                errors.push(FieldError::not_supported(&path.child(field), text, &known));
            }
        }
    }
}

fn update_strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let rolling = json::at(strategy, &["rollingUpdate"]);
    let internal = |rolling: &Value| {
        let partition = json::int(rolling, &["partition"]).unwrap_or(0).to_string();
        let limit = check::go_field(rolling, &["maxUnavailable"]);
        check::go_struct(&[("Partition", partition), ("MaxUnavailable", limit)])
    };
    match (json::text(strategy, &["type"]), rolling) {
        ("", _) => errors.push(FieldError::required(path, "")),
        ("OnDelete" | "RollingUpdate", None) => {}
        ("OnDelete", Some(rolling)) => {
            let why = "only allowed for updateStrategy 'RollingUpdate'";
            let at = path.child("rollingUpdate");
            errors.push(FieldError::invalid(&at, internal(rolling), why));
        }
        ("RollingUpdate", Some(rolling)) => {
            let path = path.child("rollingUpdate");
            check::not_negative(rolling, &["partition"], &path, errors);
            let (value, at) =
                (json::at(rolling, &["maxUnavailable"]), path.child("maxUnavailable"));
            if let Some(limit) = value {
                int_or_percent::validate(value, &at, errors);
                if int_or_percent::amount(value) == 0 {
                    errors.push(FieldError::invalid(&at, limit, "cannot be 0"));
                }
                int_or_percent::at_most_all(value, &at, errors);
            }
        }
        (other, rolling) => {
            let shown = strategy_of(other, rolling.map(|rolling| internal(rolling).0));
            let why = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(FieldError::invalid(path, shown, why));
        }
    }
}

/// The template as its pods will have it: with a volume for each claim template, in the place of one of that name.
fn with_claims(spec: &Value) -> Value {
    let mut template = spec.get("template").cloned().unwrap_or_default();
    let mut claimed = Map::new();
    for claim in json::list(spec, &["volumeClaimTemplates"]) {
        let name = json::text(claim, &["metadata", "name"]);
        let volume = json!({ "name": name, "persistentVolumeClaim": { "claimName": name } });
        claimed.insert(name.to_owned(), volume);
    }
    if claimed.is_empty() || !template.is_object() {
        return template;
    }
    let own = json::list(&template, &["spec", "volumes"]).iter().cloned();
    let own = own.filter(|volume| !claimed.contains_key(json::text(volume, &["name"])));
    let all: Vec<Value> = claimed.values().cloned().chain(own).collect();
    json::set(json::child(&mut template, "spec"), "volumes", all);
    template
}

fn validate_create(set: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = set.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    check::optional_name(spec, "serviceName", &path, names::dns1123_label, &mut errors);
    for (index, claim) in json::list(spec, &["volumeClaimTemplates"]).iter().enumerate() {
        let at = path.child("volumeClaimTemplates").index(index).child("spec");
        errors.extend(volume::claim_spec(claim.get("spec").unwrap_or(&Value::Null), &at));
    }
    errors
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let fixed = |set: &Value| -> Map<String, Value> {
        let spec = set.get("spec").unwrap_or(&Value::Null);
        json::entries(spec, &[])
            .filter(|(field, _)| !MUTABLE.contains(field) && !json::unset(spec, field))
            .map(|(field, content)| (field.to_owned(), content.clone()))
            .collect()
    };
    if fixed(new) == fixed(old) {
        return Vec::new();
    }
    let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    vec![FieldError::forbidden(&Path::new("spec"), why)]
}

fn validate_status(new: &Value, old: &Value) -> Errors {
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let counts = [
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ];
    check::not_negative(status, &counts, &path, &mut errors);
    let pairs = [
        ("readyReplicas", "replicas", "status.replicas"),
        ("currentReplicas", "replicas", "status.replicas"),
        ("updatedReplicas", "replicas", "status.replicas"),
        ("availableReplicas", "replicas", "status.replicas"),
        ("availableReplicas", "readyReplicas", "status.readyReplicas"),
    ];
    within(status, &pairs, &path, &mut errors);
    collisions(new, old, &mut errors);
    errors
}

fn warn(set: &Value, old: Option<&Value>) -> Vec<String> {
    let path = Path::new("spec");
    let mut out = replication_controller::warn_template(set, old);
    let claims = json::list(set, &["spec", "volumeClaimTemplates"]);
    for (index, claim) in claims.iter().enumerate() {
        let at = path.child("volumeClaimTemplates").index(index);
        warnings::claim_resources(claim.get("spec").unwrap_or(&Value::Null), &at, &mut out);
    }
    if json::int(set, &["spec", "revisionHistoryLimit"]).is_some_and(|limit| limit < 0) {
        out.push(
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
                .to_owned(),
        );
    }
    out
}
