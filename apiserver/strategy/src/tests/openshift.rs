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
}

#[test]
fn a_build_ends_once() {
    let mut body = build_config(json!({}));
    body["kind"] = "Build".into();
    let old = created(body);
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
        json!({ "name": "a", "generation": 1, "from": { "kind": "DockerImage", "name": "img:1" },
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
            "spec.tags[1].from.kind: Invalid value: \"Pod\": valid values are 'DockerImage', 'ImageStreamImage', 'ImageStreamTag'",
            "spec.tags[1].from.name: Required value",
        ],
    );
}
