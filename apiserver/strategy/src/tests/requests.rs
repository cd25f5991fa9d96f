//! What is asked of DeploymentConfigs and BuildConfigs by a path below them.

use super::*;
use crate::build::{generate, hook};
use crate::deployment_config::request;

const NOW: &str = "2026-01-02T03:04:05Z";

fn nothing(_: &str, _: &str) -> Option<Value> {
    None
}

fn app_stream(_: &str, name: &str) -> Option<Value> {
    (name == "app").then(|| {
        json!({ "metadata": { "name": "app" }, "status": { "tags": [{ "tag": "latest", "items": [
            { "dockerImageReference": "q.test/app@sha256:1", "image": "sha256:1", "created": NOW }] }] } })
    })
}

fn config(triggers: Value, version: i64) -> Value {
    created(json!({
        "apiVersion": "apps.openshift.io/v1", "kind": "DeploymentConfig", "metadata": { "name": "d" },
        "spec": { "triggers": triggers, "template": {
            "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i:1" }] },
        } },
    }))
    .as_object()
    .map(|map| {
        let mut config = Value::Object(map.clone());
        config["status"]["latestVersion"] = version.into();
        config
    })
    .expect("object")
}

fn image_trigger(tag: &str, automatic: bool, seen: &str) -> Value {
    json!({ "type": "ImageChange", "imageChangeParams": {
        "automatic": automatic, "containerNames": ["c"], "lastTriggeredImage": seen,
        "from": { "kind": "ImageStreamTag", "name": tag, "namespace": "ns" } } })
}

/// A controller that was made of a configuration.
fn rollout_of(config: &Value) -> Value {
    json!({ "metadata": { "annotations": {
        "openshift.io/encoded-deployment-config": config.to_string() } } })
}

#[test]
fn a_rollout_has_a_cause() {
    let wish = |force: bool| json!({ "name": "d", "latest": true, "force": force });
    let change = json!({ "type": "ConfigChange" });
    let of_image = |automatic| image_trigger("app:latest", automatic, "");
    for (triggers, force, expected) in [
        (json!([change]), false, Ok(Some("config change"))),
        (json!([]), false, Ok(None)),
        (json!([]), true, Ok(Some("manual change"))),
        (json!([of_image(true)]), false, Ok(Some("image change"))),
        (json!([change, of_image(true)]), false, Ok(Some("image change"))),
        (
            json!([of_image(false)]),
            false,
            Err("cannot trigger a deployment for \"d\" because it contains unresolved images"),
        ),
        (json!([of_image(false)]), true, Ok(Some("manual change"))),
        (
            json!([image_trigger("none:latest", true, "")]),
            true,
            Err("cannot trigger a deployment for \"d\" because it contains unresolved images"),
        ),
    ] {
        let mut config = config(json!([]), 0);
        config["spec"]["triggers"] = triggers.clone();
        let done = request::instantiate(&config, &wish(force), &app_stream, &nothing);
        let seen = done.as_ref().map(|done| {
            done.as_ref().map(|new| {
                assert_eq!(new["status"]["latestVersion"], 1);
                new["status"]["details"]["message"].as_str().expect("text")
            })
        });
        assert_eq!(seen.map_err(|status| status.message.as_str()), expected, "{triggers} {force}");
    }
}

#[test]
fn the_next_rollout_needs_a_difference() {
    let before = config(json!([{ "type": "ConfigChange" }]), 1);
    let rollouts = |_: &str, name: &str| (name == "d-1").then(|| rollout_of(&before));
    let wish = json!({ "name": "d", "latest": true });
    let same = request::instantiate(&before, &wish, &nothing, &rollouts).expect("asked");
    assert_eq!(same, None);
    let mut changed = before.clone();
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2".into();
    let next =
        request::instantiate(&changed, &wish, &nothing, &rollouts).expect("asked").expect("next");
    assert_eq!(next["status"]["latestVersion"], 2);
    let mut unseen = before.clone();
    unseen["spec"]["triggers"] = json!([image_trigger("app:latest", true, "q.test/app@sha256:0")]);
    let next =
        request::instantiate(&unseen, &wish, &app_stream, &rollouts).expect("asked").expect("next");
    assert_eq!(next["spec"]["template"]["spec"]["containers"][0]["image"], "q.test/app@sha256:1");
    assert_eq!(
        next["status"]["details"]["causes"][0]["imageTrigger"]["from"],
        json!({ "kind": "ImageStreamTag", "name": "app:latest", "namespace": "ns" })
    );
    let gone = request::instantiate(&before, &wish, &nothing, &nothing).expect_err("gone");
    assert_eq!(gone.message, "replicationcontrollers \"d-1\" not found");
    let broken = |_: &str, _: &str| Some(json!({ "metadata": {} }));
    assert_eq!(
        request::instantiate(&before, &wish, &nothing, &broken).expect_err("broken").code,
        500
    );
}

#[test]
fn a_rollback_takes_over_what_it_is_asked_to() {
    let triggers = json!([image_trigger("app:latest", true, "x")]);
    let mut old = config(triggers, 1);
    old["spec"]["replicas"] = 5.into();
    old["spec"]["template"]["spec"]["containers"][0]["image"] = "i:0".into();
    let now = config(json!([{ "type": "ConfigChange" }]), 3);
    let rollouts = |_: &str, name: &str| ["d-1", "d-2"].contains(&name).then(|| rollout_of(&old));
    let wish = |flags: &[&str], revision: i64| {
        let mut wish = json!({ "name": "d", "spec": { "revision": revision } });
        flags.iter().for_each(|flag| wish["spec"][*flag] = true.into());
        wish
    };
    let back = |flags: &[&str]| {
        request::rollback(Some(&now), &wish(flags, 0), &rollouts).expect("rolled back")
    };
    let image =
        |config: &Value| config["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    let all =
        back(&["includeTemplate", "includeReplicationMeta", "includeTriggers", "includeStrategy"]);
    assert_eq!((image(&all), &all["spec"]["replicas"]), (json!("i:0"), &json!(5)));
    assert_eq!(all["spec"]["triggers"][0]["imageChangeParams"].get("automatic"), None);
    let none = back(&[]);
    assert_eq!((image(&none), &none["spec"]["replicas"]), (json!("i:1"), &now["spec"]["replicas"]));
    assert_eq!(none["status"]["latestVersion"], 4);
    let refused = |config: Option<&Value>, wish: &Value| {
        request::rollback(config, wish, &rollouts).expect_err("refused")
    };
    for (config, wish, why) in [
        (Some(&now), wish(&[], 3), "name: Invalid value: \"d\": version 3 is already the latest"),
        (Some(&now), wish(&[], -1), "spec.revision: Invalid value: -1: must be non-negative"),
        (
            Some(&now),
            wish(&[], 9),
            "name: Invalid value: \"d\": replicationcontrollers \"d-9\" not found",
        ),
        (
            Some(&config(json!([]), 0)),
            wish(&[], 0),
            "name: Invalid value: \"d\": cannot rollback an undeployed config",
        ),
        (Some(&now), json!({}), "name: Required value: name of the deployment config is missing"),
        (
            None,
            wish(&[], 0),
            "name: Invalid value: \"d\": cannot get deployment config \"d\": deploymentconfigs.apps.openshift.io \"d\" not found",
        ),
    ] {
        assert_eq!(causes(&refused(config, &wish)), [why]);
    }
}

fn build_config(fields: &[(&str, Value)]) -> Value {
    with(
        created(json!({
            "apiVersion": "build.openshift.io/v1", "kind": "BuildConfig",
            "metadata": { "name": "b", "namespace": "ns", "labels": { "own": "1" } },
            "spec": {
                "source": { "git": { "uri": "https://git.test/x" } },
                "strategy": { "sourceStrategy": { "from": { "kind": "ImageStreamTag", "name": "app:latest" } } },
            },
        })),
        fields,
    )
}

#[test]
fn a_build_starts_from_images_and_not_from_tags() {
    let trigger = json!([{ "type": "ImageChange", "imageChange": {} }]);
    let config = build_config(&[("spec.triggers", trigger)]);
    let request = json!({ "metadata": { "labels": { "own": "2", "more": "3" } },
                          "binary": { "asFile": "x" }, "env": [{ "name": "A", "value": "1" }] });
    let made = generate::instantiate(&config, &request, &app_stream, NOW).expect("made");
    let (counted, build) = (made.config.expect("counted"), made.build);
    assert_eq!(
        build["spec"]["strategy"]["sourceStrategy"],
        json!({ "from": { "kind": "DockerImage", "name": "q.test/app@sha256:1" },
                "env": [{ "name": "A", "value": "1" }] })
    );
    assert_eq!(
        (build["spec"]["source"].get("git"), &build["spec"]["source"]["binary"]["asFile"]),
        (None, &json!("x"))
    );
    assert_eq!(
        (&build["metadata"]["labels"]["own"], &build["metadata"]["labels"]["more"]),
        (&json!("1"), &json!("3"))
    );
    assert_eq!(build["spec"]["serviceAccount"], "builder");
    assert_eq!(
        counted["status"],
        json!({ "lastVersion": 1, "imageChangeTriggers": [
            { "from": { "name": "app:latest" }, "lastTriggeredImageID": "q.test/app@sha256:1" }] })
    );
    assert_eq!(created(build)["status"]["conditions"][0]["type"], "New");
    // The image that a trigger saw is built from, and only once.
    let by = json!({ "from": { "kind": "ImageStreamTag", "name": "app:latest" },
                     "triggeredByImage": { "kind": "DockerImage", "name": "q.test/app@sha256:2" } });
    let made = generate::instantiate(&counted, &by, &app_stream, NOW).expect("made");
    assert_eq!(
        made.build["spec"]["strategy"]["sourceStrategy"]["from"]["name"],
        "q.test/app@sha256:2"
    );
    let counted = made.config.expect("counted");
    let twice = generate::instantiate(&counted, &by, &app_stream, NOW).expect_err("twice");
    assert!(
        twice.message.contains(
            "build config ns/b has already instantiated a build for imageid q.test/app@sha256:2"
        ),
        "{twice}"
    );
    let lost = build_config(&[("spec.strategy.sourceStrategy.from.name", json!("none:1"))]);
    let lost = generate::instantiate(&lost, &json!({}), &app_stream, NOW).expect_err("lost");
    assert_eq!(
        (lost.code, lost.message.as_str()),
        (
            422,
            "Error resolving ImageStreamTag none:1 in namespace ns: imagestreams.image.openshift.io \"none\" not found"
        )
    );
}

#[test]
fn a_build_is_made_again_under_another_name() {
    let build = json!({ "metadata": { "name": "x-1234567890", "namespace": "ns", "annotations": {
        "openshift.io/build.number": "4", "openshift.io/build.pod-name": "p" } }, "spec": { "source": { "binary": {} } } });
    let made = generate::again(&build, None, &json!({}), "0000000007").expect("made");
    assert_eq!(made.build["metadata"]["name"], "x-0000000007");
    assert_eq!(
        made.build["metadata"]["annotations"],
        json!({ "openshift.io/build.clone-of": "x-1234567890" })
    );
    assert_eq!(made.build["spec"]["source"], json!({}));
    let config = build_config(&[("status.lastVersion", json!(4))]);
    let made = generate::again(&build, Some(&config), &json!({}), "").expect("made");
    assert_eq!(made.build["metadata"]["name"], "b-5");
    let long = build_config(&[("metadata.name", json!("n".repeat(253)))]);
    let made = generate::again(&build, Some(&long), &json!({}), "").expect("made");
    assert_eq!(made.build["metadata"]["name"].as_str().map(str::len), Some(253));
    let paused = json!({ "openshift.io/build-config.paused": "True" });
    let paused = build_config(&[("metadata.annotations", paused)]);
    assert_eq!(
        generate::again(&build, Some(&paused), &json!({}), "").expect_err("paused").code,
        500
    );
}

#[test]
fn hooks_read_what_each_service_sends() {
    let config = build_config(&[]);
    let json_type = ("content-type", "application/json; charset=utf-8");
    let called = |service: &str, headers: &[(&str, &str)], body: Value| {
        let header = |name: &str| {
            let found = headers.iter().find(|(known, _)| *known == name);
            found.map_or_else(String::new, |(_, text)| (*text).to_owned())
        };
        let body = body.to_string();
        let event = hook::Event { header: &header, body: body.as_bytes() };
        hook::extract(&config, &json!({ "allowEnv": true }), service, &event)
    };
    let commit = |done: Result<hook::Hooked, Status>| match done {
        Ok(hook::Hooked::Build(asked, why)) => {
            (asked["revision"]["git"]["commit"].as_str().unwrap_or("").to_owned(), why)
        }
        other => panic!("no build: {other:?}"),
    };
    let who = json!({ "name": "n", "email": "e" });
    let cases = [
        (
            "github",
            ("x-gogs-event", "push"),
            json!({ "ref": "refs/heads/master", "head_commit": { "id": "1", "author": who } }),
        ),
        (
            "gitlab",
            ("x-gitlab-event", "Push Hook"),
            json!({ "ref": "master", "commits": [{ "id": "0" }, { "id": "1", "author": who }] }),
        ),
        (
            "bitbucket",
            ("x-event-key", "repo:push"),
            json!({ "push": { "changes": [{ "old": { "name": "master" }, "commits": [{ "hash": "1" }] }] } }),
        ),
        (
            "bitbucket",
            ("x-event-key", "repo:refs_changed"),
            json!({ "changes": [{ "ref": { "displayId": "master" }, "toHash": "1" }] }),
        ),
        ("generic", ("", ""), json!({ "git": { "ref": "refs/heads/master", "commit": "1" } })),
        (
            "generic",
            ("", ""),
            json!({ "git": { "refs": [{ "ref": "x", "commit": "0" }, { "ref": "master", "commit": "1" }] } }),
        ),
    ];
    for (service, event, body) in cases {
        assert_eq!(
            commit(called(service, &[json_type, event], body)),
            ("1".to_owned(), String::new()),
            "{service}"
        );
    }
    let plain = commit(called("generic", &[("content-type", "text/plain")], json!("x")));
    assert_eq!(
        plain.1,
        "invalid Content-Type on payload, ignoring payload and continuing with build"
    );
    let other =
        called("generic", &[json_type], json!({ "git": { "ref": "x" } })).expect("answered");
    assert_eq!(
        other,
        hook::Hooked::Nothing(
            "skipping build. Branch reference from \"x\" does not match configuration".to_owned()
        )
    );
    for (service, headers, why) in [
        ("github", vec![], "non-parseable Content-Type  (mime: no media type)"),
        ("gitlab", vec![json_type], "missing X-Gitlab-Event"),
        ("gitlab", vec![json_type, ("x-gitlab-event", "Tag")], "Unknown X-Gitlab-Event Tag"),
        ("bitbucket", vec![json_type, ("x-event-key", "y")], "Unknown Bitbucket X-Event-Key y"),
        (
            "bitbucket",
            vec![json_type, ("x-event-key", "repo:push")],
            "Unable to extract valid event from payload: {}",
        ),
        (
            "gitlab",
            vec![json_type, ("x-gitlab-event", "Push Hook")],
            "Unable to extract valid event from payload: {}",
        ),
    ] {
        assert_eq!(called(service, &headers, json!({})).expect_err("refused").message, why);
    }
}

#[test]
fn hooks_take_any_of_their_secrets() {
    let config = build_config(&[(
        "spec.triggers",
        json!([{ "type": "GitHub", "github": { "secret": "one" } },
               { "type": "GitHub", "github": { "secretReference": { "name": "s" } } },
               { "type": "GitLab", "gitlab": { "secret": "lab" } }]),
    )]);
    let kept = |name: &str| (name == "s").then(|| b"two".to_vec());
    for (service, secret, takes) in [
        ("github", "one", true),
        ("github", "two", true),
        ("github", "lab", false),
        ("github", "", false),
        ("gitlab", "lab", true),
        ("generic", "one", false),
    ] {
        assert_eq!(
            hook::trigger(&config, service, secret, &kept).is_some(),
            takes,
            "{service} {secret}"
        );
    }
    assert_eq!(hook::parts("a/github").expect("parts"), ("a", "github"));
    assert_eq!(
        hook::parts("a/b/github").expect_err("refused").message,
        "unexpected hook subpath a/b/github"
    );
}

#[test]
fn a_wrong_value_anywhere_in_a_request_is_an_answer() {
    let old = config(json!([image_trigger("app:latest", true, "x")]), 2);
    let asked = json!({ "name": "d", "latest": true, "spec": { "revision": 1, "includeTemplate": true, "includeTriggers": true },
        "updatedAnnotations": { "a": "b" } });
    for broken in robust::broken(&json!({ "config": old, "asked": asked })) {
        let of = |part: &str| broken.get(part).cloned().unwrap_or_default();
        let (config, asked) = (of("config"), of("asked"));
        let rollouts = |_: &str, _: &str| Some(rollout_of(&config));
        let _ = request::instantiate(&config, &asked, &app_stream, &rollouts);
        let _ = request::rollback(Some(&config), &asked, &rollouts);
    }
    let trigger = json!([{ "type": "ImageChange", "imageChange": {} }, { "type": "Generic", "generic": { "secret": "s" } }]);
    let asked = json!({ "metadata": { "labels": { "a": "b" } }, "binary": { "asFile": "x" },
        "env": [{ "name": "A" }], "from": { "kind": "ImageStreamTag", "name": "app:latest" }, "triggeredByImage": { "name": "i" },
        "sourceStrategyOptions": { "incremental": true } });
    let event = json!({ "ref": "master", "head_commit": { "id": "1", "author": {} }, "commits": [{ "id": "1" }],
        "push": { "changes": [{ "old": { "name": "master" }, "commits": [{ "hash": "1" }] }] },
        "changes": [{ "ref": { "displayId": "master" } }], "git": { "refs": [{ "ref": "master" }] }, "env": [1] });
    let whole = json!({ "config": build_config(&[("spec.triggers", trigger)]), "asked": asked, "event": event });
    for broken in robust::broken(&whole) {
        let of = |part: &str| broken.get(part).cloned().unwrap_or_default();
        let (config, asked, body) = (of("config"), of("asked"), of("event").to_string());
        if let Ok(made) = generate::instantiate(&config, &asked, &app_stream, NOW) {
            let _ = generate::again(&made.build, made.config.as_ref(), &asked, "1");
        }
        for (service, name) in [
            ("github", "push"),
            ("gitlab", "Push Hook"),
            ("bitbucket", "repo:push"),
            ("bitbucket", "repo:refs_changed"),
            ("generic", ""),
        ] {
            let header = |field: &str| match field {
                "content-type" => "application/json".to_owned(),
                _ => name.to_owned(),
            };
            let event = hook::Event { header: &header, body: body.as_bytes() };
            let _ = hook::extract(&config, &asked, service, &event);
            let _ = hook::trigger(&config, service, "s", &|_| None);
        }
    }
}
