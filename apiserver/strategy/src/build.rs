//! Builds and BuildConfigs.
//!
//! Knows: sources, strategies, outputs, triggers, phases. Refuses to know: how an image is built.

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, meta};
use serde_json::{Value, json};

use crate::check::{self, Errors};
use crate::deployment_config::is_tag_name;

const STRATEGIES: [(&str, &str); 4] = [
    ("Docker", "dockerStrategy"),
    ("Source", "sourceStrategy"),
    ("Custom", "customStrategy"),
    ("JenkinsPipeline", "jenkinsPipelineStrategy"),
];
const PHASES: [&str; 7] = ["New", "Pending", "Running", "Complete", "Failed", "Error", "Cancelled"];
const TERMINAL: [&str; 4] = ["Complete", "Failed", "Error", "Cancelled"];
const TRIGGERS: [&str; 6] = ["GitHub", "Generic", "GitLab", "Bitbucket", "ImageChange", "ConfigChange"];
/// Older spellings of trigger types.
const TRIGGER_ALIASES: [(&str, &str); 3] =
    [("github", "GitHub"), ("generic", "Generic"), ("imageChange", "ImageChange")];
const MAX_DOCKERFILE: usize = 60_000;
const MAX_JENKINSFILE: usize = 100_000;

pub(crate) static BUILD: Strategy = Strategy {
    default: |build| default_common(json::child(build, "spec")),
    prepare_create: |build, ctx| {
        let status = json::child(build, "status");
        json::default(status, "phase", "New");
        conditions(build, ctx);
    },
    prepare_update: |new, old, ctx| {
        if TERMINAL.contains(&json::text(old, &["status", "phase"])) {
            let kept = json::text(old, &["status", "phase"]);
            json::set(json::child(new, "status"), "phase", kept);
        }
        conditions(new, ctx);
    },
    validate: |build| {
        let mut errors = validate_common(build.get("spec").unwrap_or(&Value::Null), &Path::new("spec"), "Build");
        check::one_of(build.get("status").unwrap_or(&Value::Null), "phase", &Path::new("status"), &PHASES, &mut errors);
        errors
    },
    validate_update: update_build,
    unconditional_update: false,
    ..Strategy::PLAIN
};

pub(crate) static CONFIG: Strategy = Strategy {
    default: default_config,
    prepare_create: |config, _: &Context| json::set(config, "status", json!({ "lastVersion": 0 })),
    prepare_update: |new, old, _| {
        json::child(new, "status");
        let last = json::int(old, &["status", "lastVersion"]).unwrap_or(0);
        if json::int(new, &["status", "lastVersion"]).unwrap_or(0) < last {
            json::set(json::child(new, "status"), "lastVersion", last);
        }
    },
    validate: validate_config,
    generation: Some(Strategy::spec_changed),
    unconditional_update: false,
    ..Strategy::PLAIN
};

fn default_common(spec: &mut Value) {
    for field in ["limits", "requests"] {
        crate::pod_spec::resources::canonical(spec, &["resources", field]);
    }
    let strategy = json::child(spec, "strategy");
    if json::unset(strategy, "type") {
        if let Some((type_, _)) = STRATEGIES.iter().find(|(_, field)| json::at(strategy, &[field]).is_some()) {
            json::set(strategy, "type", *type_);
        }
    }
    for (_, field) in STRATEGIES {
        if let Some(from) = json::at_mut(strategy, &[field, "from"]) {
            json::default(from, "kind", "ImageStreamTag");
        }
    }
    let source = json::child(spec, "source");
    if json::unset(source, "type") {
        let known = [("Binary", "binary"), ("Git", "git"), ("Dockerfile", "dockerfile"), ("Image", "images")];
        let found = known.iter().find(|(_, field)| json::at(source, &[field]).is_some());
        json::set(source, "type", found.map_or("None", |(type_, _)| type_));
    }
    if json::unset(spec, "nodeSelector") && spec.get("nodeSelector").is_none_or(Value::is_null) {
        json::set(spec, "nodeSelector", Value::Null);
    }
    json::drop_nulls(spec);
}

fn default_config(config: &mut Value) {
    let spec = json::child(config, "spec");
    default_common(spec);
    json::default(spec, "runPolicy", "Serial");
    for field in ["successfulBuildsHistoryLimit", "failedBuildsHistoryLimit"] {
        json::default(spec, field, 5);
    }
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
    let mut list = json::list(status, &["conditions"]).to_vec();
    for condition in &mut list {
        let now = if json::text(condition, &["type"]) == phase { "True" } else { "False" };
        if PHASES.contains(&json::text(condition, &["type"])) && json::text(condition, &["status"]) != now {
            json::set(condition, "status", now);
            json::set(condition, "lastTransitionTime", ctx.timestamp());
            json::set(condition, "lastUpdateTime", ctx.timestamp());
        }
    }
    if !list.iter().any(|condition| json::text(condition, &["type"]) == phase) && !phase.is_empty() {
        let mut condition = json!({
            "type": phase, "status": "True", "lastUpdateTime": ctx.timestamp(), "lastTransitionTime": ctx.timestamp(),
        });
        for field in ["reason", "message"] {
            json::keep(&mut condition, status, field);
        }
        list.push(condition);
    }
    json::set(status, "conditions", list);
}

fn validate_common(spec: &Value, path: &Path, _owner: &str) -> Errors {
    let mut errors = Vec::new();
    let present: Vec<&(&str, &str)> =
        STRATEGIES.iter().filter(|(_, field)| json::at(spec, &["strategy", field]).is_some()).collect();
    let at = path.child("strategy");
    match present.as_slice() {
        [] => errors.push(FieldError::required(&at, "must provide a value for one of sourceStrategy, customStrategy, dockerStrategy, or jenkinsPipelineStrategy")),
        [(type_, field)] => strategy(spec, type_, field, &at, &mut errors),
        _ => errors.push(FieldError::invalid(&at, &spec["strategy"], "must provide a value for exactly one of sourceStrategy, customStrategy, dockerStrategy, or jenkinsPipelineStrategy")),
    }
    source(spec, &path.child("source"), &mut errors);
    output(spec, &path.child("output"), &mut errors);
    if let Some(seconds) = json::int(spec, &["completionDeadlineSeconds"]).filter(|seconds| *seconds <= 0) {
        let why = "completionDeadlineSeconds must be a positive integer greater than 0";
        errors.push(FieldError::invalid(&path.child("completionDeadlineSeconds"), seconds, why));
    }
    errors.extend(meta::labels(spec.get("nodeSelector"), &path.child("nodeSelector")));
    let post = spec.get("postCommit").unwrap_or(&Value::Null);
    if !json::unset(post, "command") && !json::unset(post, "script") {
        let why = "cannot use command and script together";
        errors.push(FieldError::invalid(&path.child("postCommit"), post, why));
    }
    errors
}

fn strategy(spec: &Value, type_: &str, field: &str, path: &Path, errors: &mut Errors) {
    let strategy = &spec["strategy"][field];
    let said = json::text(spec, &["strategy", "type"]);
    if !STRATEGIES.iter().any(|(known, name)| *known == said && *name == field) {
        errors.push(FieldError::invalid(&path.child("type"), said, "type is not in the enumerated list"));
    }
    let at = path.child(field);
    let from = strategy.get("from").unwrap_or(&Value::Null);
    let required = matches!(type_, "Source" | "Custom");
    if required && from.is_null() {
        errors.push(FieldError::required(&at.child("from").child("kind"), ""));
    } else if !from.is_null() {
        image_ref(from, &at.child("from"), errors);
    }
    match type_ {
        "Docker" => {
            let file = json::text(strategy, &["dockerfilePath"]);
            if file.starts_with('/') || file.split('/').any(|part| part == "..") {
                let why = "dockerfilePath must be a relative path within your source location";
                errors.push(FieldError::invalid(&at.child("dockerfilePath"), file, why));
            }
            let inputs = ["git", "binary", "dockerfile", "images"];
            if inputs.iter().all(|input| json::unset(&spec["source"], input)) && json::unset(&spec["source"], "binary") && json::at(spec, &["source", "binary"]).is_none() {
                let why = "must provide a value for at least one source input(git, binary, dockerfile, images).";
                errors.push(FieldError::invalid(&Path::new("spec").child("source"), "", why));
            }
        }
        "JenkinsPipeline" if json::text(strategy, &["jenkinsfile"]).len() > MAX_JENKINSFILE => {
            let why = format!("must be smaller than {MAX_JENKINSFILE} bytes");
            errors.push(FieldError::invalid(&at.child("jenkinsfile"), "", &why));
        }
        _ => {}
    }
}

fn image_ref(from: &Value, path: &Path, errors: &mut Errors) {
    let kind = json::text(from, &["kind"]);
    let name = json::text(from, &["name"]);
    match kind {
        "ImageStreamTag" if !name.is_empty() && !is_tag_name(name) => {
            let why = "ImageStreamTag object references must be in the form <name>:<tag>";
            errors.push(FieldError::invalid(&path.child("name"), name, why));
        }
        "ImageStreamImage" if !name.is_empty() && !name.contains('@') => {
            let why = "ImageStreamImage object references must be in the form <name>@<id>";
            errors.push(FieldError::invalid(&path.child("name"), name, why));
        }
        "ImageStreamTag" | "ImageStreamImage" | "DockerImage" => {}
        "" => errors.push(FieldError::required(&path.child("kind"), "")),
        other => {
            let why = "the source of a builder image must be an ImageStreamTag, ImageStreamImage, or DockerImage reference";
            errors.push(FieldError::invalid(&path.child("kind"), other, why));
        }
    }
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
}

fn source(spec: &Value, path: &Path, errors: &mut Errors) {
    let source = spec.get("source").unwrap_or(&Value::Null);
    if let Some(git) = json::at(source, &["git"]) {
        let uri = check::required(git, "uri", &path.child("git"), errors);
        if uri.contains(char::is_whitespace) {
            errors.push(FieldError::invalid(&path.child("git").child("uri"), uri, "uri is not a valid url"));
        }
        if json::at(source, &["binary"]).is_some() && json::at(spec, &["strategy", "customStrategy"]).is_none() {
            let why = "may not be set when git is also set";
            errors.push(FieldError::invalid(&path.child("binary"), &source["binary"], why));
        }
    }
    if json::text(source, &["dockerfile"]).len() > MAX_DOCKERFILE {
        let why = format!("must be smaller than {MAX_DOCKERFILE} bytes");
        errors.push(FieldError::invalid(&path.child("dockerfile"), "", &why));
    }
    let directory = json::text(source, &["contextDir"]);
    if directory.split('/').any(|part| part == "..") {
        let why = "context dir must be a relative path within your source location";
        errors.push(FieldError::invalid(&path.child("contextDir"), directory, why));
    }
    let mut names = std::collections::HashSet::new();
    for (index, image) in json::list(source, &["images"]).iter().enumerate() {
        let at = path.child("images").index(index);
        image_ref(image.get("from").unwrap_or(&Value::Null), &at.child("from"), errors);
        for (index, name) in json::list(image, &["as"]).iter().enumerate() {
            let name = name.as_str().unwrap_or("");
            if !names.insert(name) {
                errors.push(FieldError::duplicate(&at.child("as").index(index), name));
            }
        }
        for (index, entry) in json::list(image, &["paths"]).iter().enumerate() {
            let at = at.child("paths").index(index);
            let from = check::required(entry, "sourcePath", &at, errors);
            if !from.is_empty() && !from.starts_with('/') {
                errors.push(FieldError::invalid(&at.child("sourcePath"), from, "must be an absolute path"));
            }
            let to = check::required(entry, "destinationDir", &at, errors);
            if to.starts_with('/') || to.split('/').any(|part| part == "..") {
                let why = "must be a relative path";
                errors.push(FieldError::invalid(&at.child("destinationDir"), to, why));
            }
        }
    }
}

fn output(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(to) = json::at(spec, &["output", "to"]) else { return };
    let at = path.child("to");
    let (kind, name) = (json::text(to, &["kind"]), json::text(to, &["name"]));
    match kind {
        "ImageStreamTag" if !name.is_empty() && !is_tag_name(name) => {
            let why = "ImageStreamTag object references must be in the form <name>:<tag>";
            errors.push(FieldError::invalid(&at.child("name"), name, why));
        }
        "ImageStreamTag" | "DockerImage" => {}
        other => {
            let why = "the target of build output must be an 'ImageStreamTag' or 'DockerImage'";
            errors.push(FieldError::invalid(&at.child("kind"), other, why));
        }
    }
    if name.is_empty() {
        errors.push(FieldError::required(&at.child("name"), ""));
    }
}

fn update_build(new: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let (now, before) = (json::text(new, &["status", "phase"]), json::text(old, &["status", "phase"]));
    if TERMINAL.contains(&before) && now != before {
        let why = "phase cannot be updated from a terminal state";
        errors.push(FieldError::invalid(&Path::new("status").child("phase"), now, why));
    }
    let bare = |build: &Value| {
        let mut spec = build.get("spec").cloned().unwrap_or(Value::Null);
        json::remove(&mut spec, "revision");
        json::remove(json::child(&mut spec, "source"), "type");
        spec
    };
    if bare(new) != bare(old) {
        errors.push(FieldError::invalid(&Path::new("spec"), "content of spec is not printed out, please refer to the \"details\"", "spec is immutable"));
    }
    errors
}

fn validate_config(config: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = config.get("spec").unwrap_or(&Value::Null);
    let mut errors = validate_common(spec, &path, "BuildConfig");
    check::one_of(spec, "runPolicy", &path, &["Parallel", "Serial", "SerialLatestOnly"], &mut errors);
    check::not_negative(spec, &["successfulBuildsHistoryLimit", "failedBuildsHistoryLimit"], &path, &mut errors);
    let mut sources = std::collections::HashSet::new();
    for (index, trigger) in json::list(spec, &["triggers"]).iter().enumerate() {
        let path = path.child("triggers").index(index);
        let hook = match json::text(trigger, &["type"]) {
            "GitHub" => "github",
            "Generic" => "generic",
            "GitLab" => "gitlab",
            "Bitbucket" => "bitbucket",
            "ImageChange" => {
                let from = json::at(trigger, &["imageChange", "from"]).cloned().unwrap_or(Value::Null);
                if !sources.insert(from.to_string()) {
                    let why = "multiple ImageChange triggers refer to the same image stream tag";
                    errors.push(FieldError::invalid(&path.child("imageChange").child("from"), &from, why));
                }
                continue;
            }
            _ => continue,
        };
        let at = path.child(hook);
        match json::at(trigger, &[hook]) {
            None => errors.push(FieldError::required(&at, "")),
            Some(trigger) => {
                if json::unset(trigger, "secret") && json::unset(trigger, "secretReference") {
                    errors.push(FieldError::invalid(&at.child("secret"), "", "must provide a value for at least one of secret or secretReference"));
                }
            }
        }
    }
    errors
}
