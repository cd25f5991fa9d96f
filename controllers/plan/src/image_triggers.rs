//! Workloads that follow tags of ImageStreams by an annotation: their containers get the images that the tags name now.
//!
//! Knows: the annotation, and which fields it may name. Refuses to know: what becomes of a workload whose template changed.
//! Alone writes: images of containers of what has the annotation; what somebody else writes there is written over.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::common::annotation;
use crate::image_stream::{ImageStream, find};
use crate::report::{Report, Shown, Waiting};

/// The annotation.
const TRIGGERS: &str = "image.openshift.io/triggers";
/// Where each kind has the `spec` of its pods, by the kind.
const PODS: [(&str, &[&str]); 4] = [
    ("CronJob", &["spec", "jobTemplate", "spec", "template", "spec"]),
    ("DaemonSet", &["spec", "template", "spec"]),
    ("Deployment", &["spec", "template", "spec"]),
    ("StatefulSet", &["spec", "template", "spec"]),
];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trigger {
    from: From,
    #[serde(default)]
    field_path: String,
    #[serde(default)]
    paused: Paused,
}

/// A flag, which `oc` writes as a text at times.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Value")]
struct Paused(bool);

impl std::convert::From<Value> for Paused {
    fn from(value: Value) -> Paused {
        Paused(value == true || value == "true")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct From {
    kind: String,
    name: String,
    namespace: String,
}

/// What is seen.
#[derive(Debug, Default)]
pub struct Observed {
    /// Everything of one name that has the annotation, whatever its kind.
    pub objects: Vec<(ObjectRef, Value)>,
    /// The streams that these follow.
    pub streams: Vec<Arc<ImageStream>>,
}

/// Whether something follows tags.
pub fn follows(meta: &ObjectMeta) -> bool {
    annotation(meta, TRIGGERS).is_some_and(|text| !text.is_empty())
}

/// The namespaces and names of the streams that something follows.
pub fn streams_of(meta: &ObjectMeta) -> Vec<(String, String)> {
    let own = meta.namespace.as_deref().unwrap_or("");
    let triggers = parse(annotation(meta, TRIGGERS).unwrap_or("")).unwrap_or_default();
    triggers
        .iter()
        .map(|trigger| (place(trigger, own).to_owned(), named(trigger).0.to_owned()))
        .collect()
}

fn parse(text: &str) -> Result<Vec<Trigger>, serde_json::Error> {
    serde_json::from_str(text)
}

fn place<'a>(trigger: &'a Trigger, own: &'a str) -> &'a str {
    if trigger.from.namespace.is_empty() { own } else { &trigger.from.namespace }
}

fn named(trigger: &Trigger) -> (&str, &str) {
    let name = trigger.from.name.as_str();
    name.split_once(':').unwrap_or((name, "latest"))
}

/// What to do for everything of one name.
pub fn plan(seen: &Observed) -> Plan {
    let mut plan = Plan::default();
    for (about, object) in &seen.objects {
        let deleting = object.pointer("/metadata/deletionTimestamp").is_some();
        let Some((_, path)) = PODS.iter().find(|(kind, _)| *kind == about.kind) else { continue };
        if deleting {
            continue;
        }
        plan.report = Report::about(about.clone());
        let text = object["metadata"]["annotations"][TRIGGERS].as_str().unwrap_or("");
        match parse(text) {
            Ok(triggers) => follow(about, object, (path, &triggers), &seen.streams, &mut plan),
            Err(error) => {
                let why = format!("the annotation {TRIGGERS} is not valid: {error}");
                plan.wait(Waiting::new("InvalidTrigger", why, Shown::Warning));
            }
        }
    }
    plan
}

fn follow(
    about: &ObjectRef,
    object: &Value,
    (path, triggers): (&[&str], &[Trigger]),
    streams: &[Arc<ImageStream>],
    plan: &mut Plan,
) {
    let pods = path.iter().try_fold(object, |at, field| at.get(field)).unwrap_or(&Value::Null);
    let mut lists = ["containers", "initContainers"].map(|list| (list, pods[list].clone()));
    let mut changed = false;
    let mut field_paths = Vec::new();
    for trigger in triggers {
        if trigger.paused.0 || trigger.from.kind != "ImageStreamTag" {
            continue;
        }
        if field_paths.contains(&&trigger.field_path) {
            let why = format!("the annotation {TRIGGERS} names {:?} twice", trigger.field_path);
            plan.wait(Waiting::new("InvalidTrigger", why, Shown::Warning));
            return;
        }
        field_paths.push(&trigger.field_path);
        let (name, tag) = named(trigger);
        let stream = find(streams, place(trigger, &about.namespace), name);
        let Some(image) = stream.and_then(|stream| stream.image(tag)) else {
            let why = format!("{name}:{tag} names no image yet");
            plan.wait(Waiting::new("NoImage", why, Shown::Late));
            continue;
        };
        match container(&trigger.field_path, path, &mut lists) {
            Some(container) if container["image"] == image.as_str() => {}
            Some(container) => {
                container["image"] = image.into();
                changed = true;
            }
            None => {
                let why = format!("no container is at {:?}", trigger.field_path);
                plan.wait(Waiting::new("InvalidTrigger", why, Shown::Warning));
            }
        }
    }
    if !changed {
        return;
    }
    let lists = lists.into_iter().filter(|(_, list)| list.is_array());
    let spec: Value = lists.map(|(name, list)| (name.to_owned(), list)).collect();
    let patch = path.iter().rev().fold(spec, |inner, field| json!({ *field: inner }));
    plan.act(Action::patch(about.clone(), patch));
}

/// The container whose image a path names: `spec.template.spec.containers[?(@.name=="web")].image`, or by its number.
fn container<'a>(
    field: &str,
    path: &[&str],
    lists: &'a mut [(&'static str, Value); 2],
) -> Option<&'a mut Value> {
    let rest = field.strip_prefix(&path.join("."))?.strip_prefix('.')?;
    let (list, rest) = rest.split_once('[')?;
    let which = rest.strip_suffix("].image")?;
    let containers = lists.iter_mut().find(|(name, _)| *name == list)?.1.as_array_mut()?;
    if let Ok(number) = which.parse::<usize>() {
        return containers.get_mut(number);
    }
    let name = which.strip_prefix("?(@.name==")?.strip_suffix(')')?;
    let name = name.trim_matches(['"', '\'']);
    containers.iter_mut().find(|one| one["name"] == name)
}

#[cfg(test)]
mod tests {
    use serde_json::from_value;

    use super::*;

    fn stream(image: &str) -> Arc<ImageStream> {
        let stream = json!({
            "metadata": { "name": "web", "namespace": "n" },
            "status": { "tags": [{ "tag": "latest", "items": [{ "dockerImageReference": image, "image": "sha256:x" }] }] },
        });
        Arc::new(from_value(stream).unwrap())
    }

    fn planned(kind: &str, triggers: &str, streams: Vec<Arc<ImageStream>>) -> Plan {
        let template = json!({ "spec": { "template": { "spec": {
            "containers": [{ "name": "a", "image": " " }, { "name": "b", "image": "kept", "env": [] }],
            "initContainers": [{ "name": "i", "image": "old" }],
        } } } });
        let mut object = match kind {
            "CronJob" => json!({ "spec": { "jobTemplate": template } }),
            _ => template,
        };
        object["metadata"] = json!({ "name": "w", "annotations": { TRIGGERS: triggers } });
        let about = ObjectRef {
            kind: kind.to_owned(),
            namespace: "n".to_owned(),
            name: "w".to_owned(),
            ..ObjectRef::default()
        };
        plan(&Observed { objects: vec![(about, object)], streams })
    }

    fn patch(plan: &Plan) -> Option<Value> {
        plan.actions.iter().find_map(|action| match action {
            Action::Patch { patch, .. } => Some(patch.clone()),
            _ => None,
        })
    }

    #[test]
    fn containers_get_the_images_of_their_tags() {
        let triggers = r#"[{"from":{"kind":"ImageStreamTag","name":"web:latest"},
            "fieldPath":"spec.template.spec.containers[?(@.name==\"a\")].image","paused":"false"},
            {"from":{"kind":"ImageStreamTag","name":"web"},"fieldPath":"spec.template.spec.initContainers[0].image"}]"#;
        let made = patch(&planned("Deployment", triggers, vec![stream("r/web@sha256:x")])).unwrap();
        let spec = &made["spec"]["template"]["spec"];
        assert_eq!(spec["containers"][0]["image"], "r/web@sha256:x");
        assert_eq!(spec["containers"][1], json!({ "name": "b", "image": "kept", "env": [] }));
        assert_eq!(spec["initContainers"][0]["image"], "r/web@sha256:x");
        assert_eq!(patch(&planned("Deployment", triggers, vec![])), None, "no image is known");
    }

    #[test]
    fn jobs_of_a_schedule_have_their_own_path() {
        let triggers = r#"[{"from":{"kind":"ImageStreamTag","name":"web:latest"},
            "fieldPath":"spec.jobTemplate.spec.template.spec.containers[0].image"}]"#;
        let made = patch(&planned("CronJob", triggers, vec![stream("r/web:1")])).unwrap();
        let spec = &made["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        assert_eq!(spec["containers"][0]["image"], "r/web:1");
    }

    /// Red when a trigger that is paused or makes no sense changes something, or nobody learns of the latter.
    #[test]
    fn what_makes_no_sense_is_told() {
        let stream = || vec![stream("r/web:1")];
        let path = r#""fieldPath":"spec.template.spec.containers[0].image""#;
        let from = r#""from":{"kind":"ImageStreamTag","name":"web:latest"}"#;
        let reason = |triggers: &str| {
            let plan = planned("DaemonSet", triggers, stream());
            assert_eq!(patch(&plan), None, "{triggers}");
            plan.report.waiting.first().map_or("", |waiting| waiting.reason)
        };
        assert_eq!(reason(&format!("[{{{from},{path},\"paused\":true}}]")), "");
        assert_eq!(reason("[{"), "InvalidTrigger");
        assert_eq!(
            reason(&format!("[{{{from},\"fieldPath\":\"spec.replicas\"}}]")),
            "InvalidTrigger"
        );
        let twice = format!("[{{{from},{path}}},{{{from},{path}}}]");
        assert_eq!(reason(&twice), "InvalidTrigger");
    }
}
