//! What is done with rollouts, told as `name replicas/available phase`, the newest last.

use leme_meta::Object;
use serde_json::from_value;

use super::*;
use crate::testing::{laid, status};

const NOW: &str = "2026-01-01T01:00:00Z";

fn config(version: i64, more: Value) -> DeploymentConfig {
    let object = json!({
        "apiVersion": "apps.openshift.io/v1", "kind": "DeploymentConfig",
        "metadata": {"name": "web", "namespace": "n", "uid": "d", "generation": 4, "labels": {"team": "a"}},
        "spec": {
            "replicas": 3, "selector": {"app": "web"}, "triggers": [{"type": "ConfigChange"}],
            "strategy": {"type": "Rolling", "rollingParams": {
                "maxSurge": 1, "maxUnavailable": 0, "timeoutSeconds": 60, "updatePeriodSeconds": 1}},
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "new", "env": [{"name": "A", "value": "1"}]}]}},
        },
        "status": {"latestVersion": version, "observedGeneration": 3, "replicas": 0, "updatedReplicas": 0,
            "availableReplicas": 0, "unavailableReplicas": 0},
    });
    from_value(laid(object, &more)).unwrap()
}

/// A rollout that was made of the configuration: it wants all its pods, and began a minute ago.
fn rollout(config: &DeploymentConfig, told: &str, more: Value) -> Arc<ReplicationController> {
    let words: Vec<&str> = told.split(' ').collect();
    let [name, sizes, phase] = words[..] else { panic!("{told}") };
    let (replicas, available) = sizes.split_once('/').unwrap();
    let number = |text: &str| text.parse::<i32>().unwrap();
    let mut of = config.clone();
    of.status.latest_version = name.rsplit_once('-').unwrap().1.parse().unwrap();
    let mut object = rollout::made(&of).0;
    let meta = &mut object["metadata"];
    (meta["uid"], meta["generation"]) = (name.into(), 1.into());
    meta["annotations"][rollout::PHASE] = phase.into();
    for time in [rollout::STARTED, rollout::SINCE] {
        meta["annotations"][time] = "2026-01-01T00:59:30Z".into();
    }
    object["spec"]["replicas"] = number(replicas).into();
    object["status"] = json!({
        "replicas": number(replicas), "readyReplicas": number(available), "availableReplicas": number(available),
        "observedGeneration": 1,
    });
    Arc::new(from_value(laid(object, &more)).unwrap())
}

fn seen(config: DeploymentConfig, controllers: Vec<Arc<ReplicationController>>) -> Observed {
    Observed { config: Some(Arc::new(config)), controllers, ..Observed::default() }
}

fn run(seen: &Observed) -> Plan {
    plan(seen, NOW.parse().unwrap())
}

/// What is done, and what the rollout says of it.
fn said(plan: &Plan) -> Vec<String> {
    let tell = |action: &Action| match action {
        Action::Create { object, .. } => {
            vec![format!("+ {}", object.0["metadata"]["name"].as_str().unwrap())]
        }
        Action::Delete { target, .. } => vec![format!("- {}", target.name)],
        Action::Update { object, .. } => vec![format!("= {}", object.0["metadata"]["name"])],
        Action::Patch { subresource: "", target, patch, .. } => {
            let mut all = Vec::new();
            let notes = &patch["metadata"]["annotations"];
            for (name, short) in [(rollout::PHASE, "phase"), (rollout::CANCELLED, "cancelled")] {
                if let Some(text) = notes[name].as_str() {
                    all.push(format!("{} {short} {text}", target.name));
                }
            }
            if let Some(size) = patch["spec"]["replicas"].as_i64() {
                all.push(format!("{} {size}", target.name));
            }
            let log = notes[LOG].as_str().unwrap_or("");
            let line = |line: &str| line.strip_prefix("2026-01-01T01:00:00Z ").unwrap().to_owned();
            all.extend(log.lines().map(line));
            all
        }
        _ => Vec::new(),
    };
    plan.actions.iter().flat_map(tell).collect()
}

fn events(plan: &Plan) -> Vec<String> {
    let tell = |action: &Action| match action {
        Action::Event { reason, message, .. } => Some(format!("{reason}: {message}")),
        _ => None,
    };
    plan.actions.iter().filter_map(tell).collect()
}

fn conditions(plan: &Plan) -> Vec<String> {
    let status = status(plan);
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or("").to_owned();
    let tell = |one: &Value| {
        let (type_, value) = (text(one, "type"), text(one, "status"));
        format!("{type_} {value} {}: {}", text(one, "reason"), text(one, "message"))
    };
    status["conditions"].as_array().into_iter().flatten().map(tell).collect()
}

const IMAGE: &str = "/spec/triggers";

fn image_trigger(last: &str) -> Value {
    json!({ IMAGE: [{"type": "ImageChange", "imageChangeParams": {
        "automatic": true, "containerNames": ["c"], "from": {"kind": "ImageStreamTag", "name": "i:1"},
        "lastTriggeredImage": last}}] })
}

#[test]
fn a_rollout_has_a_reason() {
    let first = |more| status(&run(&seen(config(0, more), Vec::new())));
    let told = first(json!({}));
    assert_eq!(told["latestVersion"], 1);
    assert_eq!(
        told["details"],
        json!({"message": "config change", "causes": [{"type": "ConfigChange"}]})
    );
    // Without a reason, without an image and as long as it is paused there is none.
    for more in [
        json!({ IMAGE: [] }),
        json!({ IMAGE: [{"type": "Manual"}] }),
        image_trigger(""),
        json!({"/spec/paused": true}),
        json!({"/spec/template": {"spec": {"containers": [{"name": "c", "image": " "}]}}}),
        json!({"/metadata/deletionTimestamp": NOW}),
    ] {
        let told = first(more.clone());
        assert_eq!(
            (&told["latestVersion"], &told["observedGeneration"]),
            (&json!(0), &json!(4)),
            "{more}"
        );
    }
    assert_eq!(first(image_trigger("i"))["latestVersion"], 1);
}

#[test]
fn what_changes_is_rolled_out() {
    let old = config(1, json!({}));
    let again = |more: Value| {
        let done = rollout(&old, "web-1 3/3 Complete", json!({}));
        status(&run(&seen(config(1, more), vec![done])))
    };
    let env = json!({"name": "c", "image": "new", "env": [{"name": "A", "value": "2"}]});
    let other = json!({"/spec/template/spec/containers": [env]});
    assert_eq!(again(other.clone())["latestVersion"], 2);
    assert_eq!(again(json!({"/spec/replicas": 4}))["latestVersion"], 1);
    let mut manual = other;
    manual[IMAGE] = json!([]);
    assert_eq!(again(manual)["latestVersion"], 1);
    let mut image = image_trigger("i");
    image["/spec/template/spec/containers"] = json!([{"name": "c", "image": "newer"}]);
    let told = again(image);
    let from = json!({"kind": "DockerImage", "name": "newer"});
    let cause = json!({"type": "ImageChange", "imageTrigger": {"from": from}});
    assert_eq!(told["details"], json!({"message": "image change", "causes": [cause]}));
    // What was rolled out by somebody else counts.
    let newer = rollout(&old, "web-3 0/0 New", json!({}));
    let plan = run(&seen(config(1, json!({})), vec![newer]));
    assert_eq!(status(&plan), json!({"latestVersion": 3}));
    // Red when an annotation alone counts: versions were counted up to it one by one.
    let mut odd = serde_json::to_value(&*rollout(&old, "web-1 3/3 Complete", json!({}))).unwrap();
    odd["metadata"]["annotations"][rollout::VERSION] = "9000000000000000000".into();
    odd["metadata"]["name"] = "web-2".into();
    let odd = Arc::new(from_value(odd).unwrap());
    let plan =
        run(&seen(config(1, json!({})), vec![rollout(&old, "web-1 3/3 Complete", json!({})), odd]));
    assert_eq!(status(&plan)["latestVersion"], 1);
}

#[test]
fn a_rollout_says_what_it_is_of() {
    let details =
        json!({"/status/details": {"message": "config change"}, "/spec/minReadySeconds": 5});
    let plan = run(&seen(config(2, details), Vec::new()));
    let Some(Action::Create { object: Object(made), told }) = plan.actions.first() else {
        panic!("{plan:?}")
    };
    let meta = &made["metadata"];
    assert_eq!(meta["labels"], json!({"team": "a", "openshift.io/deployment-config.name": "web"}));
    let text = |name: &str| meta["annotations"][name].as_str().unwrap();
    assert_eq!(text("openshift.io/deployment.phase"), "New");
    assert_eq!(text("openshift.io/deployment.status-reason"), "config change");
    assert_eq!(text("kubectl.kubernetes.io/desired-replicas"), "3");
    let encoded: Value =
        serde_json::from_str(text("openshift.io/encoded-deployment-config")).unwrap();
    assert_eq!(encoded["spec"]["template"]["spec"]["containers"][0]["image"], "new");
    let own = json!({"app": "web", "deploymentconfig": "web", "deployment": "web-2"});
    assert_eq!((&made["spec"]["selector"], &made["spec"]["replicas"]), (&own, &json!(0)));
    assert_eq!(made["spec"]["minReadySeconds"], 5);
    assert_eq!(made["spec"]["template"]["metadata"]["labels"], own);
    assert_eq!(meta["ownerReferences"][0]["controller"], true);
    let told = told.as_ref().unwrap();
    assert_eq!(told.done.1, "Created new replication controller \"{name}\" for version 2");
    assert_eq!(
        conditions(&plan),
        [
            "Available False : Deployment config does not have minimum availability.",
            "Progressing True NewReplicationControllerCreated: Created new replication controller \"web-2\" for version 2",
        ]
    );
}

#[test]
fn who_cannot_be_made_is_told_of() {
    let mut seen = seen(config(2, json!({})), Vec::new());
    seen.failure = Some(Failure { reason: REFUSED.to_owned(), message: "quota".to_owned() });
    let plan = run(&seen);
    let Some(Action::Patch { patch, .. }) = plan.actions.first() else { panic!("{plan:?}") };
    let told = &patch["status"]["conditions"][1];
    assert_eq!(
        (&told["reason"], &told["message"]),
        (&json!("ReplicationControllerCreateError"), &json!("quota"))
    );
    // A name that is taken is not tried again.
    seen.failure = None;
    seen.namesake = Some(Arc::new(ReplicationController::default()));
    let plan = run(&seen);
    assert!(said(&plan).is_empty(), "{plan:?}");
    let why = "deployment n/web-2 already exists and it couldn't be adopted";
    assert!(conditions(&plan)[1].ends_with(why), "{plan:?}");
    assert_eq!(plan.report.waiting[0].message, format!("Couldn't deploy version 2: {why}"));
}

/// What follows of rollouts that are told, of a configuration of this version.
#[track_caller]
fn check(version: i64, more: &Value, told: &[&str], expected: &[&str]) -> Vec<String> {
    let config = config(version, more.clone());
    let rollouts = told.iter().map(|told| rollout(&config, told, json!({}))).collect();
    let plan = run(&seen(config, rollouts));
    assert_eq!(said(&plan), expected, "{told:?}");
    events(&plan).into_iter().chain(conditions(&plan)).collect()
}

#[test]
fn the_last_one_that_was_completed_has_the_pods() {
    let none = json!({});
    _ = check(2, &none, &["web-1 3/3 Complete", "web-2 0/0 Complete"], &["web-1 0", "web-2 3"]);
    let told =
        check(2, &none, &["web-1 1/1 Complete", "web-2 2/0 Failed"], &["web-1 3", "web-2 0"]);
    assert_eq!(
        told[..2],
        [
            "ReplicationControllerScaled: Scaled replication controller \"web-1\" from 1 to 3",
            "ReplicationControllerScaled: Scaled replication controller \"web-2\" from 2 to 0",
        ]
    );
    assert!(told[3].starts_with("Progressing False ProgressDeadlineExceeded"));
    _ = check(1, &json!({"/spec/test": true}), &["web-1 3/3 Complete"], &["web-1 0"]);
    let old =
        ["web-1 0/0 Complete", "web-2 1/0 Failed", "web-3 0/0 Complete", "web-4 3/3 Complete"];
    _ = check(4, &json!({"/spec/revisionHistoryLimit": 1}), &old, &["web-2 0", "- web-1"]);
    _ = check(
        4,
        &json!({"/spec/revisionHistoryLimit": 1, "/spec/paused": true}),
        &old,
        &["- web-1"],
    );
}

#[test]
fn a_newer_one_cancels_what_goes_on() {
    let told = ["web-1 3/3 Complete", "web-2 1/0 Running"];
    let config = config(3, json!({}));
    let rollouts: Vec<_> = told.iter().map(|told| rollout(&config, told, json!({}))).collect();
    let plan = run(&seen(config.clone(), rollouts));
    assert!(said(&plan).contains(&"web-2 cancelled true".to_owned()), "{plan:?}");
    assert_eq!(
        events(&plan)[..2],
        [
            "DeploymentCancelled: Cancelled deployment \"web-2\" superceded by version 3",
            "DeploymentAwaitingCancellation: Deployment of version 3 awaiting cancellation of older running deployments",
        ]
    );
    let mut object = serde_json::to_value(&*rollout(&config, told[1], json!({}))).unwrap();
    object["metadata"]["annotations"][CANCELLED] = "true".into();
    let cancelled = Arc::new(from_value(object).unwrap());
    let mut seen = seen(config, vec![cancelled]);
    let pod = json!({"metadata": {"name": "web-2-hook-pre", "namespace": "n", "labels": {HELPER_OF: "web-2"}}});
    seen.helpers = vec![Arc::new(from_value(pod).unwrap())];
    let plan = run(&seen);
    assert_eq!(said(&plan), ["- web-2-hook-pre", "web-2 phase Failed"]);
    assert_eq!(events(&plan), ["RolloutCancelled: Rollout for \"n/web-2\" cancelled"]);
}

#[test]
fn a_rolling_rollout_keeps_within_its_limits() {
    let began = |told: &str, log: &str| {
        let config = config(2, json!({}));
        let mut to = serde_json::to_value(&*rollout(&config, told, json!({}))).unwrap();
        to["metadata"]["annotations"][rollout::STEPS] = log.into();
        (config, Arc::new(from_value(to).unwrap()))
    };
    let step = |from: &str, to: &str, steps: &str| {
        let (config, to) = began(to, steps);
        let from = rollout(&config, from, json!({}));
        said(&run(&seen(config, vec![from, to])))
    };
    let done = "web-1 3/3 Complete";
    assert_eq!(step(done, "web-2 0/0 New", ""), ["web-2 phase Running"]);
    assert_eq!(
        step(done, "web-2 0/0 Running", ""),
        [
            "--> Scaling up web-2 from 0 to 3, scaling down web-1 from 3 to 0 (keep 3 pods available, don't exceed 4 pods)"
        ]
    );
    for (from, to, expected) in [
        (done, "web-2 0/0 Running", &["web-2 1", "    Scaling web-2 up to 1"][..]),
        // Until the new pod is available no old one goes.
        (done, "web-2 1/0 Running", &[]),
        (done, "web-2 1/1 Running", &["web-1 2", "    Scaling web-1 down to 2"]),
        ("web-1 2/2 Complete", "web-2 1/1 Running", &["web-2 2", "    Scaling web-2 up to 2"]),
        ("web-1 1/1 Complete", "web-2 3/3 Running", &["web-1 0", "    Scaling web-1 down to 0"]),
        // More than is wanted any more.
        ("web-1 3/3 Complete", "web-2 9/9 Running", &["web-2 3", "    Scaling web-2 up to 3"]),
        (
            "web-1 2147483647/3 Complete",
            "web-2 3/0 Running",
            &["web-1 3", "    Scaling web-1 down to 3"],
        ),
    ] {
        assert_eq!(step(from, to, "began"), expected, "{from}, {to}");
    }
    assert_eq!(
        step("web-1 0/0 Complete", "web-2 3/3 Running", "began rolled"),
        ["web-2 phase Complete", "--> Success"]
    );
}

#[test]
fn a_rollout_that_does_not_get_on_fails() {
    let config = config(2, json!({"/spec/strategy/rollingParams/timeoutSeconds": 20}));
    let mut to = serde_json::to_value(&*rollout(&config, "web-2 1/0 Running", json!({}))).unwrap();
    to["metadata"]["annotations"][rollout::STEPS] = "began".into();
    let from = rollout(&config, "web-1 3/3 Complete", json!({}));
    let seen = seen(config, vec![from, Arc::new(from_value(to).unwrap())]);
    assert_eq!(
        said(&run(&seen)),
        ["web-2 phase Failed", "error: timed out waiting for any update progress to be made"]
    );
    // Ten seconds after the last progress it is looked at again later.
    let plan = plan(&seen, "2026-01-01T00:59:40Z".parse().unwrap());
    assert!(said(&plan).is_empty());
    assert_eq!(plan.requeue, Some(std::time::Duration::from_secs(11)));
}

#[test]
fn a_strategy_of_ones_own_is_a_pod() {
    let custom = json!({"/spec/strategy": {"type": "Custom", "labels": {"a": "b"},
        "customParams": {"image": "deployer", "command": ["roll"], "environment": [{"name": "X", "value": "y"}]}}});
    let config = config(1, custom);
    let new = rollout(&config, "web-1 0/0 New", json!({}));
    let mut seen = seen(config.clone(), vec![new]);
    let plan = run(&seen);
    assert_eq!(said(&plan), ["+ web-1-deploy", "web-1 phase Pending"]);
    let Some(Action::Create { object: Object(mut pod), .. }) =
        plan.actions.iter().find(|one| matches!(one, Action::Create { .. })).cloned()
    else {
        panic!()
    };
    assert_eq!(pod["metadata"]["labels"], json!({"a": "b", HELPER_OF: "web-1"}));
    let container = &pod["spec"]["containers"][0];
    assert_eq!(
        (&container["name"], &container["image"]),
        (&json!("deployment"), &json!("deployer"))
    );
    let names: Vec<&str> = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["X", "OPENSHIFT_DEPLOYMENT_NAME", "OPENSHIFT_DEPLOYMENT_NAMESPACE"]);
    assert_eq!(pod["metadata"]["ownerReferences"][0]["controller"], Value::Null);
    for (phase, before, expected) in [
        ("Running", "Pending", &["web-1 phase Running"][..]),
        ("Running", "Running", &[]),
        ("Succeeded", "Running", &["web-1 phase Complete", "--> Success"]),
        ("Failed", "Running", &["web-1 phase Failed"]),
    ] {
        pod["status"] = json!({"phase": phase});
        seen.helpers = vec![Arc::new(from_value(pod.clone()).unwrap())];
        seen.controllers = vec![rollout(&config, &format!("web-1 0/0 {before}"), json!({}))];
        assert_eq!(said(&run(&seen)), expected, "{phase}");
    }
    seen.helpers.clear();
    let plan = run(&seen);
    assert_eq!(said(&plan), ["web-1 phase Failed"]);
    assert_eq!(events(&plan), ["Failed: Deployer pod \"web-1-deploy\" has gone missing"]);
}

#[test]
fn hooks_end_a_rollout_or_are_passed_over() {
    let hook = |policy: &str, hook: Value| {
        let mut hook = hook;
        hook["failurePolicy"] = policy.into();
        json!({"/spec/strategy/rollingParams/pre": hook})
    };
    let exec = json!({"execNewPod": {"containerName": "c", "command": ["x", "y"], "env": [{"name": "A", "value": "2"}]}});
    let step = |more: Value, phase: Option<&str>| {
        let config = config(1, more);
        let mut seen = seen(config.clone(), vec![rollout(&config, "web-1 0/0 Running", json!({}))]);
        let pod = |phase| {
            json!({"metadata": {"name": "web-1-hook-pre", "namespace": "n", "labels": {HELPER_OF: "web-1"},
            "annotations": {rollout::NAME: "web-1"}}, "status": {"phase": phase, "message": "no"}})
        };
        seen.helpers =
            phase.map(|phase| Arc::new(from_value(pod(phase)).unwrap())).into_iter().collect();
        run(&seen)
    };
    let plan = step(hook("Retry", exec.clone()), None);
    assert_eq!(said(&plan), ["+ web-1-hook-pre", "--> pre: Running hook pod ..."]);
    assert_eq!(events(&plan), ["Started: Running pre-hook (\"x y\") for rc n/web-1"]);
    let Some(Action::Create { object: Object(pod), .. }) =
        plan.actions.iter().find(|one| matches!(one, Action::Create { .. }))
    else {
        panic!()
    };
    assert_eq!(
        (&pod["spec"]["restartPolicy"], &pod["spec"]["activeDeadlineSeconds"]),
        (&json!("OnFailure"), &json!(21_570))
    );
    let container = &pod["spec"]["containers"][0];
    assert_eq!((&container["image"], &container["env"][0]["value"]), (&json!("new"), &json!("2")));
    assert!(said(&step(hook("Abort", exec.clone()), Some("Running"))).is_empty());
    assert_eq!(said(&step(hook("Abort", exec.clone()), Some("Succeeded"))), ["--> pre: Success"]);
    assert_eq!(said(&step(hook("Ignore", exec.clone()), Some("Failed"))), ["--> pre: Failed"]);
    let why = "pre hook failed: the pre hook failed: no, aborting rollout of n/web-1";
    assert_eq!(
        said(&step(hook("Abort", exec), Some("Failed"))),
        ["web-1 phase Failed".to_owned(), format!("error: {why}")]
    );
    let tag = json!({"tagImages": [{"containerName": "c", "to": {"kind": "ImageStreamTag", "name": "i:2"}}]});
    assert_eq!(
        said(&step(hook("Abort", tag), None)),
        ["= \"i:2\"", "--> pre: Tagged \"new\" into /i:2"]
    );
}

#[test]
fn an_orphan_is_adopted_first() {
    let config = config(1, json!({}));
    let mut orphan =
        serde_json::to_value(&*rollout(&config, "web-1 3/3 Complete", json!({}))).unwrap();
    orphan["metadata"].as_object_mut().unwrap().remove("ownerReferences");
    let plan = run(&seen(config, vec![Arc::new(from_value(orphan).unwrap())]));
    let [Action::Patch { target, only_if: Some(guard), .. }] = plan.actions.as_slice() else {
        panic!("{plan:?}")
    };
    assert_eq!((target.name.as_str(), guard.name.as_str()), ("web-1", "web"));
}

#[test]
fn images_follow_their_tags() {
    let config = config(1, image_trigger("old@1"));
    let done = rollout(&config, "web-1 3/3 Complete", json!({}));
    let stream = |namespace: &str, policy: &str, items: Value| {
        Arc::new(from_value(json!({
            "metadata": {"name": "i", "namespace": namespace},
            "spec": {"tags": [{"name": "1", "referencePolicy": {"type": policy}}]},
            "status": {"dockerImageRepository": "here/n/i", "tags": [{"tag": "1", "items": items}]},
        })).unwrap())
    };
    let item = json!([{"dockerImageReference": "there@2", "image": "sha256:2"}]);
    let patch = |streams: Vec<Arc<ImageStream>>| {
        let seen = Observed { streams, ..seen(config.clone(), vec![done.clone()]) };
        match run(&seen).actions.into_iter().next() {
            Some(Action::Patch { subresource: "", patch, target, .. }) => {
                assert_eq!(target.name, "web");
                patch
            }
            _ => Value::Null,
        }
    };
    for (policy, image) in [("Source", "there@2"), ("Local", "here/n/i@sha256:2")] {
        let patch = patch(vec![stream("n", policy, item.clone())]);
        let spec = &patch["spec"];
        assert_eq!(spec["triggers"][0]["imageChangeParams"]["lastTriggeredImage"], image);
        let container = &spec["template"]["spec"]["containers"][0];
        assert_eq!(
            (&container["image"], &container["env"][0]["name"]),
            (&json!(image), &json!("A"))
        );
    }
    let same = json!([{"dockerImageReference": "old@1", "image": "sha256:1"}]);
    for streams in [
        vec![],
        vec![stream("m", "Source", item)],
        vec![stream("n", "Source", same)],
        vec![stream("n", "Source", Value::Null)],
    ] {
        assert_eq!(patch(streams), Value::Null);
    }
}

// Red when a pod that is gone is made again, so that what it does is done twice, and when anybody's pod is waited for.
#[test]
fn a_hook_is_done_by_its_own_pod_once() {
    let exec =
        json!({"failurePolicy": "Abort", "execNewPod": {"containerName": "c", "command": ["x"]}});
    let config = config(1, json!({"/spec/strategy/rollingParams/pre": exec}));
    let mut begun =
        serde_json::to_value(&*rollout(&config, "web-1 0/0 Running", json!({}))).unwrap();
    begun["metadata"]["annotations"][rollout::STEPS] = "pre-begun".into();
    let gone = seen(config.clone(), vec![Arc::new(from_value(begun).unwrap())]);
    let told = said(&run(&gone));
    assert!(told[1].contains("pre: pod/web-1-hook-pre[n] unexpectedly deleted"), "{told:?}");
    let mut taken = seen(config.clone(), vec![rollout(&config, "web-1 0/0 Running", json!({}))]);
    let other = json!({"metadata": {"name": "web-1-hook-pre", "namespace": "n"}, "status": {"phase": "Succeeded"}});
    taken.helpers = vec![Arc::new(from_value(other).unwrap())];
    let told = said(&run(&taken));
    assert!(told[1].contains("pods \"web-1-hook-pre\" already exists"), "{told:?}");
}

// Red when the pods of a rollout that was overtaken go before new ones have come.
#[test]
fn pods_of_what_was_overtaken_go_as_new_ones_come() {
    let config = config(3, json!({}));
    let step = |overtaken: &str, told: &str| {
        let mut to = serde_json::to_value(&*rollout(&config, told, json!({}))).unwrap();
        to["metadata"]["annotations"][rollout::STEPS] = "began".into();
        let from = rollout(&config, "web-1 0/0 Complete", json!({}));
        let overtaken = rollout(&config, overtaken, json!({}));
        said(&run(&seen(config.clone(), vec![from, overtaken, Arc::new(from_value(to).unwrap())])))
    };
    let (up, down) = ("    Scaling web-3 up to 1", "    Scaling web-2 down to 2");
    assert_eq!(step("web-2 3/3 Failed", "web-3 0/0 Running"), ["web-3 1", up]);
    assert!(step("web-2 3/3 Failed", "web-3 1/0 Running").is_empty());
    assert_eq!(step("web-2 3/3 Failed", "web-3 1/1 Running"), ["web-2 2", down]);
}
