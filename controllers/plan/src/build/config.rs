//! One build configuration: it asks for a build when it is new, and when an image that it starts from is another; of the
//! builds that are over it keeps the newest.
//!
//! Alone deletes: builds beyond what their configuration keeps. Builds are asked for at the API, which counts them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Build, BuildConfig, STRATEGIES, list, text};
use crate::Plan;
use crate::action::{Action, ObjectRef, OutcomeEvents};
use crate::common::annotation;
use crate::image_stream::{ImageStream, find};
use crate::report::Report;

const PAUSED: &str = "openshift.io/build-config.paused";
/// What the API says to whoever asks for a build that has been made.
const DONE: &[&str] =
    &["does not match the build request LastVersion", "has already instantiated a build"];

/// What is seen.
#[derive(Debug, Default)]
pub struct Observed {
    /// The configuration; `None` once it is gone.
    pub config: Option<Arc<BuildConfig>>,
    /// Its builds.
    pub builds: Vec<Arc<Build>>,
    /// The streams that it follows.
    pub streams: Vec<Arc<ImageStream>>,
}

impl BuildConfig {
    fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or("")
    }

    fn triggers<'a>(&'a self, type_: &'a str) -> impl Iterator<Item = &'a Value> {
        list(&self.whole, "/spec/triggers").iter().filter(move |one| text(one, "/type") == type_)
    }

    /// What its image change triggers follow, each with the trigger.
    fn followed(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.triggers("ImageChange").filter_map(|trigger| {
            let change = trigger.get("imageChange")?;
            let paused = change.get("paused").and_then(Value::as_bool) == Some(true);
            let own = change.get("from").filter(|from| !from.is_null());
            let strategy = || {
                let strategies = self.whole.pointer("/spec/strategy")?;
                STRATEGIES.iter().find_map(|field| strategies.get(field)?.get("from"))
            };
            let from = own.or_else(strategy)?;
            (!paused && text(from, "/kind") == "ImageStreamTag").then_some((change, from))
        })
    }
}

fn stream_of<'a>(config: &'a BuildConfig, from: &'a Value) -> (&'a str, &'a str, &'a str) {
    let namespace = match text(from, "/namespace") {
        "" => config.namespace(),
        other => other,
    };
    let (name, tag) =
        text(from, "/name").split_once(':').unwrap_or((text(from, "/name"), "latest"));
    (namespace, name, tag)
}

/// The namespaces and names of the streams that a configuration follows.
pub fn streams_of(config: &BuildConfig) -> impl Iterator<Item = (&str, &str)> {
    config.followed().map(|(_, from)| {
        let (namespace, name, _) = stream_of(config, from);
        (namespace, name)
    })
}

/// What to do for one configuration.
pub fn plan(seen: &Observed) -> Plan {
    let mut plan = Plan::default();
    let Some(config) = &seen.config else { return plan };
    plan.report = Report::about(ObjectRef::to(config.as_ref()));
    if config.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    prune(config, &seen.builds, &mut plan);
    let runs_here = config.whole.pointer("/spec/strategy/jenkinsPipelineStrategy").is_none();
    let paused =
        annotation(&config.metadata, PAUSED).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    if !runs_here || paused {
        return plan;
    }
    let never =
        config.whole.pointer("/status/lastVersion").and_then(Value::as_i64).unwrap_or(0) == 0;
    if let Some(asked) = by_images(config, &seen.streams) {
        ask(
            config,
            asked,
            ("BuildConfigTriggerFailed", "error triggering Build for BuildConfig"),
            &mut plan,
        );
    } else if never && config.triggers("ConfigChange").next().is_some() {
        let asked = json!({
            "lastVersion": 0, "triggeredBy": [{ "message": "Build configuration change" }],
        });
        ask(
            config,
            asked,
            ("BuildConfigInstantiateFailed", "error instantiating Build from BuildConfig"),
            &mut plan,
        );
    }
    plan
}

/// The request for a build that other images ask for; none while those are the same.
fn by_images(config: &BuildConfig, streams: &[Arc<ImageStream>]) -> Option<Value> {
    let mut causes: Vec<Value> = Vec::new();
    let mut first = None;
    for (change, from) in config.followed() {
        let (namespace, name, tag) = stream_of(config, from);
        let stream = find(streams, namespace, name);
        let Some(latest) = stream.and_then(|stream| stream.image(tag)) else {
            continue;
        };
        if seen_of(config, from) == latest || text(change, "/lastTriggeredImageID") == latest {
            continue;
        }
        let cause = json!({
            "message": "Image change",
            "imageChangeBuild": { "imageID": latest, "fromRef": from },
        });
        if !causes.contains(&cause) {
            causes.push(cause);
        }
        first.get_or_insert((latest, from));
    }
    let (latest, from) = first?;
    Some(json!({
        "triggeredByImage": { "kind": "DockerImage", "name": latest },
        "from": from, "triggeredBy": causes,
    }))
}

/// The image that was seen last behind a reference, as the status says it.
fn seen_of<'a>(config: &'a BuildConfig, from: &Value) -> &'a str {
    let (namespace, name, tag) = stream_of(config, from);
    let statuses = list(&config.whole, "/status/imageChangeTriggers").iter();
    let mut same = statuses.filter(|one| {
        one.get("from").is_some_and(|other| stream_of(config, other) == (namespace, name, tag))
    });
    same.next().map_or("", |one| text(one, "/lastTriggeredImageID"))
}

fn ask(config: &BuildConfig, mut asked: Value, failed: (&'static str, &str), plan: &mut Plan) {
    let name = config.metadata.name.as_deref().unwrap_or("");
    asked["kind"] = "BuildRequest".into();
    asked["apiVersion"] = "build.openshift.io/v1".into();
    asked["metadata"] = json!({ "name": name, "namespace": config.namespace() });
    let about = ObjectRef::to(config).any_version();
    let why = format!("{} {}/{name}: {{error}}", failed.1, config.namespace());
    plan.act(Action::Post {
        target: about.clone(),
        subresource: "instantiate",
        body: asked,
        done: DONE,
        told: Some(OutcomeEvents { about, done: ("", "".into()), failed: (failed.0, why.into()) }),
    });
}

/// Deletes builds that are over, the oldest of each kind of end, beyond what is kept.
fn prune(config: &BuildConfig, builds: &[Arc<Build>], plan: &mut Plan) {
    let kept = |field: &str| {
        let limit = config.whole.pointer(&format!("/spec/{field}")).and_then(Value::as_i64);
        limit.map(|limit| usize::try_from(limit).unwrap_or(0))
    };
    for (field, good) in
        [("successfulBuildsHistoryLimit", true), ("failedBuildsHistoryLimit", false)]
    {
        let Some(limit) = kept(field) else { continue };
        let over = builds.iter().filter(|build| build.is_over());
        let mut over: Vec<&Arc<Build>> =
            over.filter(|build| (build.phase() == "Complete") == good).collect();
        let age = |build: &&Arc<Build>| {
            let created = build.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (created, build.number())
        };
        over.sort_by_key(|build| std::cmp::Reverse(age(build)));
        for build in over.into_iter().skip(limit) {
            if build.metadata.deletion_timestamp.is_none() {
                plan.act(Action::delete(ObjectRef::to(build.as_ref()).any_version()));
            }
        }
    }
}
