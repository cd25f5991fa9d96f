//! Routes, DeploymentConfigs, BuildConfigs, Builds, ImageStreams.

use super::*;

fn route(spec: Value) -> Value {
    json!({ "apiVersion": "route.openshift.io/v1", "kind": "Route", "metadata": { "name": "web.one" }, "spec": spec })
}

#[test]
fn a_route_without_host_is_given_one() {
    let new = created(route(json!({ "to": { "name": "s" } })));
    assert_eq!(
        new["spec"],
        json!({ "host": "web-one-ns.apps.test", "to": { "kind": "Service", "name": "s", "weight": 100 }, "wildcardPolicy": "None" })
    );
    assert_eq!(new["metadata"]["annotations"], json!({ "openshift.io/host.generated": "true" }));
    let kept = update(Target::Main, &new, |new| new["spec"]["host"] = "".into());
    assert_eq!(kept, Ok(Write::Unchanged));
    let own = created(route(json!({ "host": "a.test", "to": { "name": "s", "weight": 0 } })));
    assert_eq!((&own["spec"]["host"], &own["spec"]["to"]["weight"]), (&json!("a.test"), &json!(0)));
    assert_eq!(own["metadata"].get("annotations"), None);
    assert_eq!(own["metadata"]["generation"], 1);
    let moved = updated(&own, |new| new["spec"]["path"] = "/a".into());
    assert_eq!(moved["metadata"]["generation"], 2);
    check(
        update(Target::Main, &own, |new| new["spec"]["wildcardPolicy"] = "Subdomain".into()),
        &["spec.wildcardPolicy: Invalid value: \"Subdomain\": field is immutable"],
    );
}

#[test]
fn routes_are_checked() {
    check(
        create(route(json!({ "path": "x", "to": { "kind": "Pod", "name": "", "weight": 300 } }))),
        &[
            "spec.path: Invalid value: \"x\": path must begin with /",
            "spec.to.name: Required value",
            "spec.to.kind: Invalid value: \"Pod\": must reference a Service",
            "spec.to.weight: Invalid value: 300: weight must be an integer between 0 and 256",
        ],
    );
    let tls =
        |tls: Value| create(route(json!({ "path": "/a", "to": { "name": "s" }, "tls": tls })));
    check(
        tls(json!({ "termination": "Passthrough", "key": "k" })),
        &[
            "spec.path: Invalid value: \"/a\": passthrough termination does not support paths",
            "spec.tls.key: Invalid value: \"redacted key data\": passthrough termination does not support certificates",
        ],
    );
    assert_eq!(tls(json!({})).expect("accepted")["spec"]["tls"], json!({ "termination": "edge" }));
    let host = create(route(json!({ "host": "A_B", "to": { "name": "s" } }))).expect_err("refused");
    assert!(
        host.message.contains("spec.host: Invalid value: \"A_B\": host must conform to DNS 952"),
        "{host}"
    );
}

#[test]
fn header_actions_are_checked() {
    let set = |name: &str, value: &str| json!({ "name": name, "action": { "type": "Set", "set": { "value": value } } });
    let actions = |list: Value| {
        create(route(
            json!({ "to": { "name": "s" }, "httpHeaders": { "actions": { "request": list } } }),
        ))
    };
    let fine = json!([
        set("X-A", "100%%"),
        set("X-B", "%{+Q}[req.hdr(X-Name),lower]"),
        set("X-C", "%[ssl_c_der,base64]")
    ]);
    assert!(actions(fine).is_ok());
    for bad in ["%", "%[res.hdr(X)]", "%[req.hdr(X),upper]", "a\u{7}", "%{Z}[ssl_c_der]"] {
        let status = actions(json!([set("X-A", bad)])).expect_err(bad);
        assert!(
            causes(&status)[0]
                .starts_with("spec.httpHeaders.actions.request[0].action.set.value: Invalid"),
            "{bad}"
        );
    }
    check(
        actions(json!([set("Cookie", "x"), { "name": "X-A", "action": { "type": "Set" } }])),
        &[
            "spec.httpHeaders.actions.request[0].name: Forbidden: the following headers may not be modified using this API: strict-transport-security, proxy, cookie, set-cookie",
            "spec.httpHeaders.actions.request[1].action.set: Required value: set is required when type is Set, and forbidden otherwise",
        ],
    );
}

fn config(spec: Value) -> Value {
    let mut config = json!({
        "apiVersion": "apps.openshift.io/v1", "kind": "DeploymentConfig", "metadata": { "name": "x" },
        "spec": { "template": {
            "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i:1" }] },
        } },
    });
    config["spec"].as_object_mut().expect("map").extend(spec.as_object().expect("map").clone());
    config
}

#[test]
fn a_bare_deployment_config_is_completed() {
    let new = created(config(json!({ "replicas": 2 })));
    assert_eq!(new["spec"]["triggers"], json!([{ "type": "ConfigChange" }]));
    assert_eq!(new["spec"]["selector"], json!({ "a": "b" }));
    assert_eq!(
        new["spec"]["strategy"],
        json!({
            "type": "Rolling", "activeDeadlineSeconds": 21600, "resources": {},
            "rollingParams": { "intervalSeconds": 1, "updatePeriodSeconds": 1, "timeoutSeconds": 600,
                               "maxSurge": "25%", "maxUnavailable": "25%" },
        })
    );
    assert_eq!(
        (&new["spec"]["revisionHistoryLimit"], &new["status"]["latestVersion"]),
        (&json!(10), &json!(0))
    );
    assert_eq!(created(config(json!({ "triggers": [] })))["spec"]["triggers"], json!([]));
    assert_eq!(update(Target::Main, &new, |_| {}), Ok(Write::Unchanged));
}

#[test]
fn a_client_may_count_one_version_on() {
    let old = created(config(json!({})));
    let next = updated(&old, |new| new["status"]["latestVersion"] = 1.into());
    assert_eq!(
        (&next["status"]["latestVersion"], &next["metadata"]["generation"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        update(Target::Main, &old, |new| new["status"]["latestVersion"] = 2.into()),
        Ok(Write::Unchanged)
    );
    check(
        update(Target::Status, &next, |new| new["status"]["latestVersion"] = 0.into()),
        &["status.latestVersion: Invalid value: 0: latestVersion cannot be decremented"],
    );
}

#[test]
fn a_deployment_config_is_checked() {
    let none = json!({ "type": "Rolling", "rollingParams": { "maxSurge": 0, "maxUnavailable": 0, "timeoutSeconds": 0 } });
    check(
        create(config(json!({ "strategy": none }))),
        &[
            "spec.strategy.rollingParams.timeoutSeconds: Invalid value: 0: must be >0",
            "spec.strategy.rollingParams.maxUnavailable: Invalid value: 0: cannot be 0 when maxSurge is 0 as well",
        ],
    );
    let trigger = |name: &str| {
        json!([{ "type": "ImageChange", "imageChangeParams": {
        "automatic": true, "containerNames": ["c"], "from": { "name": name },
    } }])
    };
    let pending = with(
        config(json!({ "triggers": trigger("app:latest") })),
        &[("spec.template.spec.containers.0.image", json!(""))],
    );
    let new = created(pending);
    assert_eq!(
        new["spec"]["triggers"][0]["imageChangeParams"]["from"],
        json!({ "kind": "ImageStreamTag", "name": "app:latest", "namespace": "ns" })
    );
    let bare = with(config(json!({})), &[("spec.template.spec.containers.0.image", json!(""))]);
    check(create(bare), &["spec.template.spec.containers[0].image: Required value"]);
    let hook = json!({ "type": "Recreate", "recreateParams": { "pre": { "failurePolicy": "Shrug", "execNewPod": {} } } });
    check(
        create(config(json!({ "strategy": hook }))),
        &[
            "spec.strategy.recreateParams.pre.failurePolicy: Unsupported value: \"Shrug\": supported values: \"Abort\", \"Retry\", \"Ignore\"",
            "spec.strategy.recreateParams.pre.execNewPod.command: Required value",
        ],
    );
}

#[test]
fn the_scale_of_a_deployment_config_is_the_older_form() {
    let old = created(config(json!({ "replicas": 3 })));
    let scale = crate::of(row(&old)).scale.expect("scale");
    let shown = leme_registry::scale_of(&scale, &old);
    assert_eq!(shown["apiVersion"], "extensions/v1beta1");
    assert_eq!(shown["status"]["selector"], json!({ "a": "b", "deploymentconfig": "x" }));
}

fn build_config(spec: Value) -> Value {
    let mut config = json!({
        "apiVersion": "build.openshift.io/v1", "kind": "BuildConfig", "metadata": { "name": "x" },
        "spec": { "source": { "dockerfile": "FROM a" }, "strategy": { "dockerStrategy": {} } },
    });
    config["spec"].as_object_mut().expect("map").extend(spec.as_object().expect("map").clone());
    config
}

#[test]
fn a_build_config_is_completed() {
    let new = created(build_config(
        json!({ "triggers": [{ "type": "imageChange", "imageChange": { "from": { "kind": "ImageStreamTag", "name": "a:b" } } }, { "type": "Telepathy" }] }),
    ));
    let spec = &new["spec"];
    assert_eq!(spec["strategy"]["type"], "Docker");
    assert_eq!(spec["source"]["type"], "Dockerfile");
    assert_eq!(
        (&spec["runPolicy"], &spec["successfulBuildsHistoryLimit"]),
        (&json!("Serial"), &json!(5))
    );
    assert_eq!(
        spec["triggers"],
        json!([{ "type": "ImageChange", "imageChange": { "from": { "kind": "ImageStreamTag", "name": "a:b" } } }])
    );
    assert_eq!(new["status"], json!({ "lastVersion": 0 }));
    assert_eq!(update(Target::Main, &new, |_| {}), Ok(Write::Unchanged));
    let counted = updated(&new, |new| new["status"]["lastVersion"] = 1.into());
    assert_eq!(counted["status"]["lastVersion"], 1);
}

#[test]
fn a_build_config_is_checked() {
    check(
        create(build_config(json!({ "strategy": { "sourceStrategy": {} } }))),
        &["spec.strategy.sourceStrategy.from.name: Required value"],
    );
    check(
        create(build_config(
            json!({ "output": { "to": { "kind": "ImageStreamTag", "name": "x" } } }),
        )),
        &[
            "spec.output.to.name: Invalid value: \"x\": ImageStreamTag object references must be in the form <name>:<tag>",
        ],
    );
    check(
        create(build_config(json!({ "source": { "git": { "uri": "" }, "contextDir": "../x" } }))),
        &[
            "spec.source.git.uri: Required value",
            "spec.source.contextDir: Invalid value: \"../x\": context dir must not be a relative path",
        ],
    );
    // Red with the reference as JSON.
    let from = json!({ "kind": "DockerImage", "name": "centos/ruby" });
    let strategy = json!({ "sourceStrategy": { "from": from } });
    let triggers = json!([{ "type": "ImageChange", "imageChange": {} }]);
    check(
        create(build_config(json!({ "strategy": strategy, "triggers": triggers }))),
        &[
            "spec.triggers[0].imageChange: Invalid value: \"build from: &{DockerImage  centos/ruby    }\": a default ImageChange trigger can only be used when the build strategy includes an ImageStreamTag reference.",
        ],
    );
}

#[test]
fn a_build_ends_once() {
    let mut body = build_config(json!({}));
    body["kind"] = "Build".into();
    let none = "spec.strategy: Invalid value: {\"DockerStrategy\":null,\"SourceStrategy\":null,\"CustomStrategy\":null,\"JenkinsPipelineStrategy\":null}: must provide a value for exactly one of sourceStrategy, customStrategy, dockerStrategy, or jenkinsPipelineStrategy";
    let wrong = [("spec.strategy", json!({})), ("status", json!({ "phase": "Lost" }))];
    check(
        create(with(body.clone(), &wrong)),
        &[
            none,
            "status.phase: Unsupported value: \"Lost\": supported values: \"New\", \"Pending\", \"Running\", \"Complete\", \"Failed\", \"Error\", \"Cancelled\"",
        ],
    );
    let old = created(body);
    assert_eq!(old["spec"]["strategy"]["type"], "Docker");
    assert_eq!(old["status"]["phase"], "New");
    assert_eq!(old["status"]["conditions"][0]["type"], "New");
    let failed = updated(&old, |new| new["status"]["phase"] = "Failed".into());
    let states: Vec<&Value> = failed["status"]["conditions"]
        .as_array()
        .expect("list")
        .iter()
        .map(|condition| &condition["status"])
        .collect();
    assert_eq!(states, ["False", "True"]);
    check(
        update(Target::Main, &failed, |new| new["status"]["phase"] = "Running".into()),
        &[
            "status.phase: Invalid value: \"Running\": phase cannot be updated from a terminal state",
        ],
    );
    let status =
        update(Target::Main, &old, |new| new["spec"]["source"]["dockerfile"] = "FROM b".into());
    assert!(status.expect_err("refused").message.contains("spec is immutable"));
}

#[test]
fn tags_of_an_image_stream_count_the_generation_they_changed_in() {
    let stream = |tags: Value| {
        json!({
            "apiVersion": "image.openshift.io/v1", "kind": "ImageStream", "metadata": { "name": "x" }, "spec": { "tags": tags },
        })
    };
    let old = created(stream(json!([{ "name": "a", "from": { "name": "img:1" } }])));
    assert_eq!(
        old["spec"]["tags"][0],
        json!({ "name": "a", "annotations": null, "generation": 1, "from": { "kind": "DockerImage", "name": "img:1" },
                "importPolicy": { "importMode": "Legacy" }, "referencePolicy": { "type": "Source" } })
    );
    let new = updated(&old, |new| {
        new["spec"]["tags"] =
            json!([{ "name": "a", "from": { "name": "img:1" } }, { "name": "b" }]);
    });
    assert_eq!(
        (&new["spec"]["tags"][0]["generation"], &new["spec"]["tags"][1]["generation"]),
        (&json!(1), &json!(2))
    );
    check(
        create(stream(
            json!([{ "name": "a" }, { "name": "a", "from": { "kind": "Pod", "name": "" } }]),
        )),
        &[
            "spec.tags[1].name: Duplicate value: \"a\"",
            "spec.tags[a].from.name: Required value",
            "spec.tags[a].from.kind: Required value: valid values are 'DockerImage', 'ImageStreamImage', 'ImageStreamTag'",
        ],
    );
}

fn stream(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "image.openshift.io/v1", "kind": "ImageStream", "metadata": { "name": name }, "spec": spec,
    })
}

// Red when the name rule is that of most kinds: underscores were refused.
#[test]
fn an_image_stream_is_named_like_a_part_of_a_repository() {
    for fine in ["a", "my_app", "my__app", "a.b", "a--b", "3scale"] {
        created(stream(fine, json!({})));
    }
    let rule = r#"must match "[a-z0-9]+(?:[._-][a-z0-9]+)*""#;
    for bad in ["App", "_a", "a_", "a___b", "a..b", "a._b"] {
        check(
            create(stream(bad, json!({}))),
            &[format!("metadata.name: Invalid value: {bad:?}: {rule}").as_str()],
        );
    }
    check(
        create(stream("a/b", json!({}))),
        &["metadata.name: Invalid value: \"a/b\": may not contain '/'"],
    );
}

// Red when `validate` does not look at references: all of it was stored.
#[test]
fn references_of_an_image_stream_are_checked() {
    let digest = format!("reg.test/a/b@sha256:{}", "12".repeat(32));
    let repository = |text: &str| create(stream("x", json!({ "dockerImageRepository": text })));
    assert!(repository("reg.test:5000/a/b").is_ok());
    for (text, why) in [
        ("reg.test/a/b:1", "the repository name may not contain a tag"),
        (digest.as_str(), "the repository name may not contain an ID"),
        ("reg.test/A", "repository name must be lowercase"),
        ("a b", "invalid reference format"),
    ] {
        let want = format!("spec.dockerImageRepository: Invalid value: {text:?}: {why}");
        check(repository(text), &[want.as_str()]);
    }
    let tag = |tag: Value| {
        let mut named = json!({ "name": "t" });
        named.as_object_mut().expect("map").extend(tag.as_object().expect("map").clone());
        create(stream("x", json!({ "tags": [named] })))
    };
    let scheduled = json!({ "scheduled": true });
    assert!(tag(json!({ "from": { "name": "a:1" }, "importPolicy": scheduled })).is_ok());
    let at_digest = json!({ "from": { "name": digest }, "importPolicy": scheduled });
    assert!(tag(at_digest).is_ok());
    for (body, want) in [
        (
            json!({ "from": { "name": "a/B" } }),
            "from.name: Invalid value: \"a/B\": repository name must be lowercase".to_owned(),
        ),
        (
            json!({ "from": { "kind": "ImageStreamTag", "name": "a:1" }, "importPolicy": scheduled }),
            "importPolicy.scheduled: Invalid value: true: only tags pointing to Docker repositories may be scheduled for background import".to_owned(),
        ),
        (
            json!({ "importPolicy": { "importMode": "Telepathy" } }),
            "importPolicy.importMode: Invalid value: \"Telepathy\": invalid import mode, valid modes are '', 'Legacy', 'PreserveOriginal'".to_owned(),
        ),
        (
            json!({ "referencePolicy": { "type": "Far" } }),
            "referencePolicy.type: Invalid value: \"Far\": valid values are \"Source\", \"Local\"".to_owned(),
        ),
    ] {
        check(tag(body), &[format!("spec.tags[t].{want}").as_str()]);
    }
}

// Red when `type` is set only where it is missing: what the client said stayed, whatever it had set.
#[test]
fn the_type_of_a_strategy_and_a_source_is_what_is_set() {
    let spec = json!({
        "strategy": { "type": "Docker", "sourceStrategy": { "from": { "name": "a:1" } } },
        "source": { "type": "Image", "git": { "uri": "https://git.test/a" }, "dockerfile": "FROM a", "images": [] },
    });
    let new = created(build_config(spec));
    assert_eq!(
        (&new["spec"]["strategy"]["type"], &new["spec"]["source"]["type"]),
        (&json!("Source"), &json!("Git"))
    );
}

#[test]
fn what_a_tag_has_come_to_name_is_checked() {
    let stream = json!({ "apiVersion": "image.openshift.io/v1", "kind": "ImageStream", "metadata": { "name": "s" } });
    let old = created(stream);
    let named = |reference: &str| {
        json!({ "dockerImageRepository": "", "tags": [{ "tag": "latest", "items": [
            { "created": "2026-01-01T00:00:00Z", "dockerImageReference": reference, "image": "i", "generation": 1 },
        ] }] })
    };
    let refused = named("quay.io/A/b");
    check(
        update(Target::Status, &old, |new| new["status"] = refused.clone()),
        &[
            "status.tags[latest].items[0].dockerImageReference: Invalid value: \"quay.io/A/b\": repository name must be lowercase",
        ],
    );
    // What stood there before may stay.
    let stored = with(old, &[("status", refused)]);
    assert_eq!(update(Target::Status, &stored, |_| {}), Ok(Write::Unchanged));
}
