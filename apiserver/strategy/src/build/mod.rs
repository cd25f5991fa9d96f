//! Builds and BuildConfigs.
//!
//! Knows: sources, strategies, outputs, triggers, phases. Refuses to know: how an image is built.

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json};
use serde_json::{Value, json};

use crate::check::{self, Errors};

pub mod generate;
pub mod hook;
mod images;
mod source;
mod triggers;
mod validate;

const STRATEGIES: [(&str, &str); 4] = [
    ("Docker", "dockerStrategy"),
    ("Source", "sourceStrategy"),
    ("Custom", "customStrategy"),
    ("JenkinsPipeline", "jenkinsPipelineStrategy"),
];
/// Kinds of sources by the field of each; a Dockerfile may stand beside either of the first two.
const SOURCES: [(&str, &str); 4] =
    [("Git", "git"), ("Binary", "binary"), ("Dockerfile", "dockerfile"), ("Image", "images")];
const PHASES: [&str; 7] = ["New", "Pending", "Running", "Complete", "Failed", "Error", "Cancelled"];
const TERMINAL: [&str; 4] = ["Complete", "Failed", "Error", "Cancelled"];
const TRIGGERS: [&str; 6] =
    ["GitHub", "Generic", "GitLab", "Bitbucket", "ImageChange", "ConfigChange"];
/// Older spellings of trigger types.
const TRIGGER_ALIASES: [(&str, &str); 3] =
    [("github", "GitHub"), ("generic", "Generic"), ("imageChange", "ImageChange")];

pub(crate) static BUILD: Strategy = SERVED;

/// The same for what a build says of itself by `details`.
pub static DETAILS: Strategy = Strategy {
    prepare_update: details,
    validate_update: |new, old| {
        let at = Path::new("spec").child("revision");
        let (now, before) =
            (json::at(new, &["spec", "revision"]), json::at(old, &["spec", "revision"]));
        match (now, before) {
            (None, Some(_)) => {
                let why = "cannot set an empty revision in build spec";
                let shown = before.unwrap_or(&Value::Null);
                vec![FieldError::invalid(&at, &Value::Null, why), FieldError::duplicate(&at, shown)]
            }
            (Some(now), Some(before)) if now != before => vec![FieldError::duplicate(&at, before)],
            _ => Vec::new(),
        }
    },
    unconditional_update: true,
    ..SERVED
};

const SERVED: Strategy = Strategy {
    default: |build| default_common(json::child(build, "spec")),
    prepare_create: |build, ctx| {
        let status = json::child(build, "status");
        json::default(status, "phase", "New");
        conditions(build, ctx);
    },
    prepare_update: |new, old, ctx| {
        let failed = json::text(old, &["status", "phase"]) == "Failed";
        if failed && json::text(new, &["status", "reason"]) != "OutOfMemoryKilled" {
            let before = old.get("status").unwrap_or(&Value::Null);
            for field in ["reason", "message"] {
                json::keep(json::child(new, "status"), before, field);
            }
        }
        conditions(new, ctx);
    },
    validate: |build| {
        let mut errors =
            validate::common(build.get("spec").unwrap_or(&Value::Null), &Path::new("spec"));
        let status = build.get("status").unwrap_or(&Value::Null);
        check::one_of(status, "phase", &Path::new("status"), &PHASES, &mut errors);
        errors
    },
    validate_update: update_build,
    generation: Some(Strategy::spec_changed),
    unconditional_update: false,
    ..Strategy::PLAIN
};

pub(crate) static CONFIG: Strategy = Strategy {
    default: default_config,
    prepare_create: |config, _: &Context| {
        json::default(json::child(config, "status"), "lastVersion", 0);
        let spec = json::child(config, "spec");
        for field in ["successfulBuildsHistoryLimit", "failedBuildsHistoryLimit"] {
            json::default(spec, field, 5);
        }
    },
    prepare_update: |new, old, _| {
        json::child(new, "status");
        let last = json::int(old, &["status", "lastVersion"]).unwrap_or(0);
        if json::int(new, &["status", "lastVersion"]).unwrap_or(0) < last {
            json::set(json::child(new, "status"), "lastVersion", last);
        }
    },
    validate: validate_config,
    generation: Some(|new, old| {
        Strategy::spec_changed(new, old)
            || json::int(new, &["status", "lastVersion"])
                != json::int(old, &["status", "lastVersion"])
    }),
    unconditional_update: false,
    ..Strategy::PLAIN
};

fn default_common(spec: &mut Value) {
    for field in ["limits", "requests"] {
        crate::pod_spec::resources::round_up(spec, &["resources", field]);
    }
    let strategy = json::child(spec, "strategy");
    typed(strategy, &STRATEGIES, "");
    for field in ["sourceStrategy", "customStrategy"] {
        if let Some(strategy) = json::at_mut(strategy, &[field]) {
            json::child(strategy, "from");
        }
    }
    for (_, field) in STRATEGIES {
        if let Some(from) = json::at_mut(strategy, &[field, "from"]) {
            json::default(from, "kind", "ImageStreamTag");
        }
    }
    typed(json::child(spec, "source"), &SOURCES, "None");
}

/// Takes over of an update what a build may say of itself: an end, what it is made of, what it made and why it failed.
fn details(new: &mut Value, old: &Value, ctx: &Context) {
    let said = std::mem::replace(new, old.clone());
    let of = |field: &str| json::at(&said, &["status", field]).cloned();
    let ended = TERMINAL.contains(&json::text(&said, &["status", "phase"]));
    let status = json::child(new, "status");
    for field in ["stages", "message", "reason"] {
        json::remove(status, field);
        if let Some(content) = of(field) {
            json::set(status, field, content);
        }
    }
    if let Some(phase) = of("phase").filter(|_| ended) {
        json::set(status, "phase", phase);
    }
    let made = json::at(&said, &["status", "output", "to"]).cloned();
    let output = json::child(status, "output");
    json::remove(output, "to");
    if let Some(made) = made {
        json::set(output, "to", made);
    }
    let spec = json::child(new, "spec");
    json::remove(spec, "revision");
    if let Some(revision) = json::at(&said, &["spec", "revision"]) {
        json::set(spec, "revision", revision.clone());
    }
    conditions(new, ctx);
}

/// Sets `type` to what is there, whatever it said: the first of the fields that are set decides.
fn typed(object: &mut Value, known: &[(&str, &str)], otherwise: &str) {
    let set = known.iter().find(|(_, field)| match object.get(field) {
        // An empty structure is one of all defaults, an empty list or text is nothing.
        Some(Value::Object(_)) => true,
        _ => !json::unset(object, field),
    });
    match set.map_or(otherwise, |(type_, _)| type_) {
        "" => json::remove(object, "type"),
        type_ => json::set(object, "type", type_),
    }
}

fn default_config(config: &mut Value) {
    let spec = json::child(config, "spec");
    default_common(spec);
    json::default(spec, "runPolicy", "Serial");
    let mut triggers = json::list(spec, &["triggers"]).to_vec();
    for trigger in &mut triggers {
        let said = json::text(trigger, &["type"]).to_owned();
        if let Some((_, now)) = TRIGGER_ALIASES.iter().find(|(older, _)| *older == said) {
            json::set(trigger, "type", *now);
        }
        if json::text(trigger, &["type"]) == "ImageChange" {
            json::child(trigger, "imageChange");
        }
    }
    triggers.retain(|trigger| TRIGGERS.contains(&json::text(trigger, &["type"])));
    json::set(spec, "triggers", triggers);
}

/// One condition per phase the build has been in, true for the one it is in.
fn conditions(build: &mut Value, ctx: &Context) {
    let status = json::child(build, "status");
    let phase = json::text(status, &["phase"]).to_owned();
    if phase.is_empty() {
        return;
    }
    let mut current = json!({ "type": phase, "status": "True" });
    for field in ["reason", "message"] {
        json::keep(&mut current, status, field);
    }
    let mut list = json::list(status, &["conditions"]).to_vec();
    let mut found = false;
    for condition in &mut list {
        let was = json::text(condition, &["status"]).to_owned();
        let mut wanted = json!({ "type": condition["type"], "status": "False" });
        if json::text(condition, &["type"]) == phase {
            found = true;
            wanted = current.clone();
        } else if was == "False" {
            continue;
        }
        let same = ["status", "reason", "message"]
            .iter()
            .all(|field| condition.get(field) == wanted.get(field));
        if same {
            continue;
        }
        let moved = was != json::text(&wanted, &["status"]);
        json::set(&mut wanted, "lastUpdateTime", ctx.timestamp());
        if moved {
            json::set(&mut wanted, "lastTransitionTime", ctx.timestamp());
        } else {
            json::keep(&mut wanted, condition, "lastTransitionTime");
        }
        *condition = wanted;
    }
    if !found {
        json::set(&mut current, "lastUpdateTime", ctx.timestamp());
        json::set(&mut current, "lastTransitionTime", ctx.timestamp());
        list.push(current);
    }
    json::set(status, "conditions", list);
}

fn update_build(new: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let (now, before) =
        (json::text(new, &["status", "phase"]), json::text(old, &["status", "phase"]));
    if TERMINAL.contains(&before) && now != before {
        let why = "phase cannot be updated from a terminal state";
        errors.push(FieldError::invalid(&Path::new("status").child("phase"), now, why));
    }
    let fixed = |build: &Value| {
        let mut spec = build.get("spec").cloned().unwrap_or(Value::Null);
        if let Some(output) = json::at_mut(&mut spec, &["output"]) {
            json::remove(output, "pushSecret");
        }
        spec
    };
    if fixed(new) != fixed(old) {
        let shown = "content of spec is not printed out, please refer to the details";
        errors.push(FieldError::invalid(&Path::new("spec"), shown, "spec is immutable"));
    }
    errors
}

fn validate_config(config: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = config.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let namespace = json::text(config, &["metadata", "namespace"]);
    triggers::validate(spec, namespace, &path.child("triggers"), &mut errors);
    let policy = json::text(spec, &["runPolicy"]);
    if !["Parallel", "Serial", "SerialLatestOnly"].contains(&policy) {
        let why = "run policy must Parallel, Serial, or SerialLatestOnly";
        errors.push(FieldError::invalid(&path.child("runPolicy"), policy, why));
    }
    check::not_negative(
        spec,
        &["successfulBuildsHistoryLimit", "failedBuildsHistoryLimit"],
        &path,
        &mut errors,
    );
    errors.extend(validate::common(spec, &path));
    errors
}
