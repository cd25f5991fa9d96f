//! Whose turn it is, what a pod's fate makes of a build, what is asked for and what is kept.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, from_value, json};

use super::{Build, BuildConfig, config, run};
use crate::{Action, Plan};

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn build(name: &str, policy: &str, more: Value) -> Arc<Build> {
    let number = name.rsplit('-').next().unwrap();
    let mut object = json!({
        "apiVersion": "build.openshift.io/v1", "kind": "Build",
        "metadata": {
            "name": name, "namespace": "n", "uid": name, "resourceVersion": "1",
            "labels": { "openshift.io/build.start-policy": policy },
            "annotations": { "openshift.io/build.number": number, "openshift.io/build-config.name": "web" },
            "creationTimestamp": format!("2026-01-01T00:00:0{number}Z"),
        },
        "spec": { "source": { "dockerfile": "FROM scratch" }, "strategy": { "dockerStrategy": {} } },
        "status": { "phase": "New" },
    });
    for (path, value) in more.as_object().into_iter().flatten() {
        let (parent, field) = path.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value.clone();
    }
    Arc::new(from_value(object).unwrap())
}

fn phase(name: &str, policy: &str, phase: &str) -> Arc<Build> {
    build(name, policy, json!({ "/status/phase": phase }))
}

fn pod_of(build: &Build, status: Value) -> Arc<k8s_openapi::api::core::v1::Pod> {
    let pod = json!({
        "metadata": { "name": build.pod_name(), "namespace": "n", "ownerReferences": [{
            "apiVersion": "build.openshift.io/v1", "kind": "Build", "name": build.name(),
            "uid": build.metadata.uid, "controller": true,
        }] },
        "spec": { "containers": [] }, "status": status,
    });
    Arc::new(from_value(pod).unwrap())
}

/// Whether a new build starts beside others.
fn starts(one: &Arc<Build>, others: &[&Arc<Build>]) -> bool {
    let others = others.iter().map(|other| Arc::clone(other)).collect();
    let seen = run::Observed { build: Some(Arc::clone(one)), others, ..Default::default() };
    let plan = run::plan(&seen, now());
    plan.actions.iter().any(|action| matches!(action, Action::Create { .. }))
}

/// What a plan writes into the build: phase, reason, and all of the status.
fn told(plan: &Plan) -> (String, String, Value) {
    let patch = plan.actions.iter().rev().find_map(|action| match action {
        Action::Patch { patch, .. } => Some(patch.clone()),
        _ => None,
    });
    let status = patch.unwrap_or_default()["status"].take();
    let text = |field: &str| status[field].as_str().unwrap_or("").to_owned();
    (text("phase"), text("reason"), status.clone())
}

fn followed(one: &Arc<Build>, pod: Option<Value>) -> (String, String, Value) {
    let pod = pod.map(|status| pod_of(one, status));
    let seen = run::Observed { build: Some(Arc::clone(one)), pod, ..Default::default() };
    told(&run::plan(&seen, now()))
}

#[test]
fn each_policy_has_its_turns() {
    let (first, second) = (phase("web-1", "Serial", "New"), phase("web-2", "Serial", "New"));
    assert!(starts(&first, &[&second]));
    assert!(!starts(&second, &[&first]), "the one before waits");
    assert!(!starts(&second, &[&phase("web-1", "Serial", "Running")]));
    assert!(starts(&second, &[&phase("web-3", "Serial", "New")]));
    let side = phase("web-2", "Parallel", "New");
    assert!(starts(&side, &[&phase("web-1", "Parallel", "Running")]));
    assert!(starts(&side, &[&phase("web-1", "Parallel", "New")]));
    assert!(!starts(&side, &[&phase("web-1", "Serial", "Pending")]));
}

/// Red when a build that is overtaken is built all the same, or one that runs is cancelled.
#[test]
fn the_latest_overtakes_what_waits() {
    let policy = "SerialLatestOnly";
    let newest = phase("web-3", policy, "New");
    let others = vec![phase("web-1", policy, "Running"), phase("web-2", policy, "New")];
    let seen = run::Observed { build: Some(newest), others, ..Default::default() };
    let plan = run::plan(&seen, now());
    let cancelled: Vec<&str> = plan
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Patch { target, patch, .. } if patch["status"]["cancelled"] == true => {
                Some(target.name.as_str())
            }
            _ => None,
        })
        .collect();
    assert_eq!(cancelled, ["web-2"]);
    assert!(!plan.actions.iter().any(|action| matches!(action, Action::Create { .. })));
}

#[test]
fn a_build_follows_its_pod() {
    let pending = phase("web-1", "Serial", "Pending");
    let ended = |code: i32, reason: &str, message: &str| {
        json!({ "containerStatuses": [{
            "name": "docker-build", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": { "exitCode": code, "reason": reason, "message": message } },
        }] })
    };
    let with = |mut status: Value, phase: &str, reason: Value| {
        status["phase"] = phase.into();
        status["reason"] = reason;
        status
    };
    let of = |status: Value| {
        let (phase, reason, _) = followed(&pending, Some(status));
        (phase, reason)
    };
    let both = |phase: &str, reason: &str| (phase.to_owned(), reason.to_owned());
    assert_eq!(of(json!({ "phase": "Pending" })), both("", ""));
    assert_eq!(of(json!({ "phase": "Running" })), both("Running", ""));
    let none = Value::Null;
    assert_eq!(
        of(with(ended(0, "Completed", ""), "Succeeded", none.clone())),
        both("Complete", "")
    );
    assert_eq!(of(json!({ "phase": "Succeeded" })), both("Error", "NoBuildContainerStatus"));
    let failed = with(ended(1, "Error", "a\nb\nc\nd\ne\nf\n"), "Failed", none.clone());
    assert_eq!(of(failed.clone()), both("Failed", "GenericBuildFailed"));
    let oom = with(ended(137, "OOMKilled", ""), "Failed", none);
    assert_eq!(of(oom), both("Failed", "OutOfMemoryKilled"));
    let evicted = with(ended(137, "Error", ""), "Failed", "Evicted".into());
    assert_eq!(of(evicted), both("Failed", "BuildPodEvicted"));
    let (_, _, status) = followed(&pending, Some(failed));
    assert_eq!(status["logSnippet"], "b\nc\nd\ne\nf");
    assert_eq!(status["completionTimestamp"], "2026-01-01T01:00:00Z");
    let (phase, reason, _) = followed(&pending, None);
    assert_eq!((phase, reason), both("Error", "BuildPodDeleted"));
}

/// Red when what the pod has said of a failure is written over, or the build never gets its end.
#[test]
fn a_build_that_its_pod_ended_gets_its_times() {
    let said = json!({ "/status/phase": "Failed", "/status/reason": "PushImageToRegistryFailed",
        "/status/startTimestamp": "2026-01-01T00:59:50Z" });
    let one = build("web-1", "Serial", said);
    let (phase, reason, status) = followed(&one, Some(json!({ "phase": "Failed" })));
    assert_eq!((phase.as_str(), reason.as_str()), ("", ""));
    assert_eq!(status["duration"], 10_000_000_000_i64);
    let done =
        json!({ "/status/phase": "Failed", "/status/completionTimestamp": "2026-01-01T01:00:00Z" });
    let (_, _, status) = followed(&build("web-1", "Serial", done), None);
    assert_eq!(status, Value::Null);
}

#[test]
fn a_cancelled_build_loses_its_pod() {
    let one =
        build("web-1", "Serial", json!({ "/status/phase": "Running", "/status/cancelled": true }));
    let pod = pod_of(&one, json!({ "phase": "Running" }));
    let seen = run::Observed { build: Some(one), pod: Some(pod), ..Default::default() };
    let plan = run::plan(&seen, now());
    assert!(
        matches!(&plan.actions[0], Action::Delete { target, .. } if target.name == "web-1-build")
    );
    let (phase, reason, _) = told(&plan);
    assert_eq!((phase.as_str(), reason.as_str()), ("Cancelled", "CancelledBuild"));
}

/// Red when a pod that is another's is taken for the build's own.
#[test]
fn a_pod_of_somebody_else_is_no_build() {
    let one = phase("web-1", "Serial", "New");
    let other = phase("web-9", "Serial", "New");
    let pod = pod_of(&other, json!({ "phase": "Succeeded" }));
    let seen = run::Observed { build: Some(one), pod: Some(pod), ..Default::default() };
    let (phase, reason, _) = told(&run::plan(&seen, now()));
    assert_eq!((phase.as_str(), reason.as_str()), ("Error", "BuildPodExists"));
}

#[test]
fn an_output_that_is_not_there_is_waited_for() {
    let to =
        json!({ "/spec/output": { "to": { "kind": "ImageStreamTag", "name": "web:latest" } } });
    let (phase, reason, _) = followed(&build("web-1", "Serial", to.clone()), None);
    assert_eq!((phase.as_str(), reason.as_str()), ("New", "InvalidOutputReference"));
    let stream = |repository: &str| {
        let status = json!({ "dockerImageRepository": repository });
        Arc::new(
            from_value(
                json!({ "metadata": { "name": "web", "namespace": "n" }, "status": status }),
            )
            .unwrap(),
        )
    };
    let made = |repository: &str| {
        let streams = vec![stream(repository)];
        let one = build("web-1", "Serial", to.clone());
        run::plan(&run::Observed { build: Some(one), streams, ..Default::default() }, now())
    };
    let (_, reason, _) = told(&made(""));
    assert_eq!(reason, "InvalidOutputReference", "there is no registry");
    let plan = made("registry.svc:5000/n/web");
    let (phase, _, status) = told(&plan);
    assert_eq!(phase, "Pending");
    assert_eq!(status["outputDockerImageReference"], "registry.svc:5000/n/web:latest");
    let Action::Create { object, .. } = &plan.actions[0] else { panic!("{plan:?}") };
    let env = object.0.pointer("/spec/containers/0/env/0/value").and_then(Value::as_str).unwrap();
    let shown: Value = serde_json::from_str(env).unwrap();
    assert_eq!(shown["spec"]["output"]["to"]["name"], "registry.svc:5000/n/web:latest");
    assert_eq!(object.0["spec"]["hostUsers"], false);
}

/// Red when the value of a Secret comes to stand in a pod for everybody who may read pods.
#[test]
fn secrets_are_no_part_of_the_pod() {
    let env = json!([
        { "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
        { "name": "WHO", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
        { "name": "WHICH", "valueFrom": { "fieldRef": { "fieldPath": "metadata.annotations['openshift.io/build.number']" } } },
    ]);
    let one = build("web-1", "Serial", json!({ "/spec/strategy/dockerStrategy": { "env": env } }));
    let seen = run::Observed { build: Some(one), ..Default::default() };
    let plan = run::plan(&seen, now());
    let Action::Create { object, .. } = &plan.actions[0] else { panic!("{plan:?}") };
    let env = object.0.pointer("/spec/containers/0/env").and_then(Value::as_array).unwrap();
    let value = env.iter().find(|one| one["name"] == "BUILD_VALUE_0").unwrap();
    assert_eq!(value["valueFrom"]["secretKeyRef"]["name"], "s");
    let shown: Value = serde_json::from_str(env[0]["value"].as_str().unwrap()).unwrap();
    let own = &shown["spec"]["strategy"]["dockerStrategy"]["env"];
    assert_eq!(own[1], json!({ "name": "WHO", "value": "web-1" }));
    assert_eq!(own[2]["value"], "1");
}

fn configured(more: Value) -> Arc<BuildConfig> {
    let mut object = json!({
        "metadata": { "name": "web", "namespace": "n" },
        "spec": {
            "strategy": { "dockerStrategy": { "from": { "kind": "ImageStreamTag", "name": "base:1" } } },
            "triggers": [{ "type": "ConfigChange" }, { "type": "ImageChange", "imageChange": {} }],
        },
        "status": { "lastVersion": 0 },
    });
    for (path, value) in more.as_object().into_iter().flatten() {
        let (parent, field) = path.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value.clone();
    }
    Arc::new(from_value(object).unwrap())
}

fn asked(config: Arc<BuildConfig>, image: Option<&str>) -> Option<Value> {
    let stream = |image: &str| {
        json!({
            "metadata": { "name": "base", "namespace": "n" },
            "status": { "tags": [{ "tag": "1", "items": [{ "dockerImageReference": image, "image": "sha256:x" }] }] },
        })
    };
    let streams = image.map(|image| Arc::new(from_value(stream(image)).unwrap()));
    let seen = config::Observed {
        config: Some(config),
        streams: streams.into_iter().collect(),
        ..Default::default()
    };
    config::plan(&seen).actions.into_iter().find_map(|action| match action {
        Action::Post { body, .. } => Some(body),
        _ => None,
    })
}

#[test]
fn a_configuration_asks_once() {
    let body = asked(configured(json!({})), None).unwrap();
    assert_eq!(body["triggeredBy"][0]["message"], "Build configuration change");
    assert_eq!(body["lastVersion"], 0);
    let body = asked(configured(json!({})), Some("r/base@sha256:x")).unwrap();
    assert_eq!(body["triggeredBy"][0]["message"], "Image change");
    assert_eq!(body["triggeredByImage"]["name"], "r/base@sha256:x");
    let seen = json!({ "/status/lastVersion": 1, "/status/imageChangeTriggers":
        [{ "from": { "name": "base:1" }, "lastTriggeredImageID": "r/base@sha256:x" }] });
    assert_eq!(asked(configured(seen.clone()), Some("r/base@sha256:x")), None);
    assert!(asked(configured(seen), Some("r/base@sha256:y")).is_some());
    let paused = json!({ "/metadata/annotations": { "openshift.io/build-config.paused": "true" } });
    assert_eq!(asked(configured(paused), Some("r/base@sha256:x")), None);
}

/// Red when builds that run are pruned, or the newest of those that are over.
#[test]
fn the_newest_are_kept() {
    let limits = json!({ "/spec/successfulBuildsHistoryLimit": 1, "/spec/failedBuildsHistoryLimit": 0,
        "/status/lastVersion": 5 });
    let builds = [("1", "Complete"), ("2", "Complete"), ("3", "Failed"), ("4", "Running")];
    let builds = builds.map(|(number, of)| phase(&format!("web-{number}"), "Serial", of)).to_vec();
    let seen = config::Observed { config: Some(configured(limits)), builds, ..Default::default() };
    let gone: Vec<String> = config::plan(&seen)
        .actions
        .into_iter()
        .filter_map(|action| match action {
            Action::Delete { target, .. } => Some(target.name),
            _ => None,
        })
        .collect();
    assert_eq!(gone, ["web-1", "web-3"]);
}

/// Red when a wish that nobody fulfils is passed over in silence.
#[test]
fn what_is_not_carried_out_is_refused() {
    let check = |field: &str, value: Value, expected: &str| {
        let one = build("web-1", "Serial", json!({ field: value }));
        let (phase, reason, status) = followed(&one, None);
        assert_eq!((phase.as_str(), reason.as_str()), ("Error", "CannotCreateBuildPodSpec"));
        let message = status["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
    };
    check("/spec/mountTrustedCA", true.into(), "mountTrustedCA");
    let layers = json!({ "imageOptimizationPolicy": "SkipLayers" });
    check("/spec/strategy/dockerStrategy", layers, "imageOptimizationPolicy");
    let socket = json!({ "customStrategy": { "exposeDockerSocket": true } });
    check("/spec/strategy", socket, "exposeDockerSocket");
}
