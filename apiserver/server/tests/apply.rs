//! Server-side apply over HTTP: conflicts, force, what several share, what is created, what is refused.

mod common;

use common::*;
use leme_server::Identity;
use serde_json::{Value, json};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn map(data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": data })
}

fn deployment(replicas: u64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "a": "b" } },
            "template": {
                "metadata": { "labels": { "a": "b" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            },
        },
    })
}

#[tokio::test]
async fn what_is_not_there_is_created_and_what_is_there_is_merged() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let made = api.apply(&path, "one", "", &map(json!({ "k": "v" }))).await;
    assert_eq!(made.code, 201);
    let made = made.ok();
    assert_eq!(owners(&made), [("one Apply".to_owned(), json!({ "f:data": { "f:k": {} } }))]);
    assert!(made["metadata"]["uid"].is_string());
    let again = api.apply(&path, "one", "", &map(json!({ "k": "v" }))).await;
    assert_eq!((again.code, again.ok()), (200, made.clone()));
    // Each has its own, and shares what both say.
    let both = api.apply(&path, "two", "", &map(json!({ "k": "v", "l": "w" }))).await.ok();
    assert_eq!(both["data"], json!({ "k": "v", "l": "w" }));
    let two = json!({ "f:data": { "f:k": {}, "f:l": {} } });
    assert_eq!(owned(&both, "two Apply"), two);
    // What one does not list any more stays while another has it, and goes with the last.
    let kept = api.apply(&path, "one", "", &map(json!({ "m": "x" }))).await.ok();
    assert_eq!(kept["data"], json!({ "k": "v", "l": "w", "m": "x" }));
    let gone = api.apply(&path, "two", "", &map(json!({ "l": "w" }))).await.ok();
    assert_eq!(gone["data"], json!({ "l": "w", "m": "x" }));
}

#[tokio::test]
async fn what_others_own_is_a_conflict_unless_it_is_taken_by_force() {
    let api = Harness::start().await;
    let path = format!("{DEPLOYMENTS}/d");
    api.apply(&path, "one", "", &deployment(1)).await.ok();
    let patch = json!({ "spec": { "paused": true } });
    api.send("PATCH", &format!("{path}?fieldManager=two"), MERGE, &patch).await.ok();
    let refused = api.apply(&path, "three", "", &deployment(2)).await;
    assert_eq!(
        refused.refused(),
        (
            409,
            "Conflict".to_owned(),
            r#"Apply failed with 1 conflict: conflict with "one": .spec.replicas"#.to_owned()
        )
    );
    assert_eq!(
        refused.json()["details"],
        json!({ "causes": [{
            "reason": "FieldManagerConflict", "message": r#"conflict with "one""#, "field": ".spec.replicas",
        }] })
    );
    let mut paused = deployment(2);
    paused["spec"]["paused"] = false.into();
    let (_, _, message) = api.apply(&path, "three", "", &paused).await.refused();
    assert_eq!(
        message,
        "Apply failed with 2 conflicts: conflicts with \"one\":\n- .spec.replicas\nconflicts with \"two\" using apps/v1:\n- .spec.paused"
    );
    let forced = api.apply(&path, "three", "force=true", &paused).await.ok();
    assert_eq!(forced["spec"]["replicas"], 2);
    assert_eq!(owned(&forced, "two Update"), Value::Null);
    assert_eq!(owned(&forced, "one Apply")["f:spec"]["f:replicas"], Value::Null);
    let (code, ..) = api.apply(&path, "one", "force=false", &deployment(1)).await.refused();
    assert_eq!(code, 409);
}

#[tokio::test]
async fn what_is_wrong_with_the_request_is_said_exactly() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    api.post(CONFIG_MAPS, &map(json!({ "k": "v" }))).await.ok();
    let config = map(json!({ "k": "v" }));
    let unnamed = api.send("PATCH", &path, APPLY, &config).await.refused();
    assert_eq!(
        (unnamed.0, unnamed.2.as_str()),
        (
            422,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
        )
    );
    let forced = api.send("PATCH", &format!("{path}?force=true"), MERGE, &config).await.refused();
    assert_eq!(
        (forced.0, forced.2.as_str()),
        (
            422,
            "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"
        )
    );
    let cbor = api.send("PATCH", &path, "application/apply-patch+cbor", &config).await.refused();
    assert_eq!(
        (cbor.0, cbor.2.as_str()),
        (
            415,
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"
        )
    );
    let mut listed = config.clone();
    listed["metadata"]["managedFields"] = json!([]);
    let mut typed = config.clone();
    typed["data"]["k"] = 1.into();
    let mut unknown = config.clone();
    unknown["date"] = json!({});
    let mut named = config.clone();
    named["metadata"]["name"] = "b".into();
    let mut stale = config.clone();
    stale["metadata"]["resourceVersion"] = "1".into();
    for (config, code, message) in [
        (listed, 400, "metadata.managedFields must be nil"),
        (
            typed,
            500,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data.k: expected string, got &value.valueUnstructured{Value:1}",
        ),
        (
            unknown,
            500,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .date: field not declared in schema",
        ),
        (named, 400, "the name of the object (b) does not match the name on the URL (a)"),
        (
            stale,
            409,
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again",
        ),
        (deployment(1), 400, "invalid object type: apps/v1, Kind=Deployment"),
        (
            json!([]),
            400,
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
    ] {
        let refused = api.apply(&path, "m", "force=true", &config).await.refused();
        assert_eq!((refused.0, refused.2.as_str()), (code, message));
    }
    let mut known = config.clone();
    known["metadata"]["uid"] = "u".into();
    known["metadata"]["name"] = "b".into();
    let missing = api.apply(&format!("{CONFIG_MAPS}/b"), "m", "", &known).await.refused();
    assert_eq!(
        (missing.0, missing.2.as_str()),
        (
            409,
            "Operation cannot be fulfilled on configmaps \"b\": uid mismatch: the provided object specified uid u, and no existing object was found"
        )
    );
    let nowhere = "/api/v1/namespaces/nowhere/configmaps/a";
    let refused = api.apply(nowhere, "m", "", &config).await.refused();
    assert_eq!((refused.0, refused.2.as_str()), (404, "namespaces \"nowhere\" not found"));
}

#[tokio::test]
async fn keys_given_twice_are_met_as_asked() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: v\n  k: w\n";
    let apply = async |mode: &str| {
        let path = format!("{path}?fieldManager=m&fieldValidation={mode}");
        api.raw("PATCH", &path, &[("content-type", APPLY)], body).await
    };
    assert_eq!(
        apply("Strict").await.refused().2,
        "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 6: key \"k\" already set in map"
    );
    let warned = apply("Warn").await;
    let warning = warned.headers["warning"].to_str().unwrap();
    assert!(warning.contains(r#"line 6: key \"k\" already set in map"#), "{warning}");
    assert_eq!(warned.ok()["data"]["k"], "w");
    assert_eq!(apply("Ignore").await.headers.get("warning"), None);
    let broken = format!("{path}?fieldManager=m");
    let broken = api.raw("PATCH", &broken, &[("content-type", APPLY)], b"a: [").await.refused();
    assert!(
        broken.2.starts_with("error decoding YAML: error converting YAML to JSON: "),
        "{}",
        broken.2
    );
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let shown = api.apply(&path, "m", "dryRun=All", &map(json!({ "k": "v" }))).await;
    assert_eq!(shown.code, 201);
    assert_eq!(owned(&shown.ok(), "m Apply"), json!({ "f:data": { "f:k": {} } }));
    assert_eq!(api.get(&path).await.code, 404);
    let made = api.apply(&path, "m", "", &map(json!({ "k": "v" }))).await.ok();
    let shown = api.apply(&path, "m", "dryRun=All", &map(json!({ "l": "w" }))).await.ok();
    assert_eq!(shown["data"], json!({ "l": "w" }));
    assert_eq!(api.get(&path).await.ok(), made);
}

#[tokio::test]
async fn who_may_not_create_may_not_create_by_applying() {
    let api = Harness::start().await;
    // A controller may patch nodes, and may not create them.
    let identity = Identity::of_service_account("kube-system", "node-controller", "");
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n", "labels": { "a": "b" } } });
    let request = || {
        http::Request::patch("/api/v1/nodes/n?fieldManager=m")
            .header("content-type", APPLY)
            .body(http_body_util::Full::new(bytes::Bytes::from(node.to_string())))
            .unwrap()
    };
    let call = async || {
        let mut service = api.server.local_service(identity.clone());
        tower_service::Service::call(&mut service, request()).await.unwrap().status()
    };
    assert_eq!(call().await, 403);
    api.post(
        "/api/v1/nodes",
        &json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n" } }),
    )
    .await
    .ok();
    assert_eq!(call().await, 200);
}

#[tokio::test]
async fn status_and_scale_are_applied_apart() {
    let api = Harness::start().await;
    let path = format!("{DEPLOYMENTS}/d");
    let status = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" },
        "spec": { "replicas": 7 }, "status": { "replicas": 3 },
    });
    assert_eq!(api.apply(&format!("{path}/status"), "s", "", &status).await.code, 404);
    api.apply(&path, "one", "", &deployment(1)).await.ok();
    let counted = api.apply(&format!("{path}/status"), "s", "", &status).await.ok();
    assert_eq!(
        (&counted["spec"]["replicas"], &counted["status"]["replicas"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(owned(&counted, "s Apply status"), json!({ "f:status": { "f:replicas": {} } }));
    // What does not belong to the object itself is left alone, and is nobody's.
    let mut whole = deployment(1);
    whole["status"] = json!({ "replicas": 9 });
    let applied = api.apply(&path, "one", "", &whole).await.ok();
    assert_eq!(applied["status"]["replicas"], 3);
    assert_eq!(owned(&applied, "one Apply")["f:status"], Value::Null);

    let scale = |replicas: u64| {
        json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": { "name": "d" }, "spec": { "replicas": replicas },
        })
    };
    let scale_path = format!("{path}/scale");
    let (code, _, message) = api.apply(&scale_path, "scaler", "", &scale(4)).await.refused();
    assert_eq!(
        (code, message.as_str()),
        (409, "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas")
    );
    let shown = api.apply(&scale_path, "scaler", "force=true", &scale(4)).await.ok();
    assert_eq!((&shown["kind"], &shown["spec"]["replicas"]), (&json!("Scale"), &json!(4)));
    let object = api.get(&path).await.ok();
    assert_eq!(owned(&object, "scaler Apply scale"), json!({ "f:spec": { "f:replicas": {} } }));
    assert_eq!(owned(&object, "one Apply")["f:spec"]["f:replicas"], Value::Null);
    assert_eq!(owned(&object, "one Apply")["f:spec"]["f:selector"], json!({}));
    assert_eq!(api.apply(&scale_path, "scaler", "", &scale(4)).await.ok()["spec"]["replicas"], 4);
    assert_eq!(version(&api.get(&path).await.ok()), version(&object));
    // Who applies the object again without replicas leaves them to the scaler.
    let mut left = deployment(1);
    left["spec"].as_object_mut().unwrap().remove("replicas");
    let left = api.apply(&path, "one", "", &left).await.ok();
    assert_eq!(left["spec"]["replicas"], 4);
    let wrong = api.apply(&scale_path, "scaler", "", &deployment(1)).await.refused();
    assert_eq!((wrong.0, wrong.2.as_str()), (400, "invalid object type: apps/v1, Kind=Deployment"));
}

#[tokio::test]
async fn a_client_that_applied_by_itself_goes_over_without_a_conflict() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let mut body = map(json!({ "k": "v", "l": "w" }));
    let last = body.to_string();
    body["metadata"]["annotations"] =
        json!({ "kubectl.kubernetes.io/last-applied-configuration": last });
    api.post(&format!("{CONFIG_MAPS}?fieldManager=kubectl-client-side-apply"), &body).await.ok();
    let config = map(json!({ "k": "x" }));
    assert_eq!(api.apply(&path, "other", "", &config).await.refused().0, 409);
    let applied = api.apply(&path, "kubectl", "", &config).await.ok();
    // What it does not list stays: it is still the other manager's.
    assert_eq!(applied["data"], json!({ "k": "x", "l": "w" }));
    let last =
        &applied["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    assert_eq!(serde_json::from_str::<Value>(last.as_str().unwrap()).unwrap(), config);
    // kubectl then gives what the older manager had to the newer one.
    let mut list = applied["metadata"]["managedFields"].clone();
    list.as_array_mut().unwrap().retain(|entry| entry["operation"] == "Apply");
    list[0]["fieldsV1"]["f:data"]["f:l"] = json!({});
    let patch = json!([
        { "op": "replace", "path": "/metadata/managedFields", "value": list },
        { "op": "replace", "path": "/metadata/resourceVersion", "value": version(&applied) },
    ]);
    let moved = api.send("PATCH", &path, JSON_PATCH, &patch).await.ok();
    let managers: Vec<String> = owners(&moved).into_iter().map(|(who, _)| who).collect();
    assert_eq!(managers, ["kubectl Apply"]);
    let pruned = api.apply(&path, "kubectl", "", &config).await.ok();
    assert_eq!(pruned["data"], json!({ "k": "x" }));
}

#[tokio::test]
async fn what_was_there_before_anybody_applied_is_somebodys() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    api.post(CONFIG_MAPS, &map(json!({ "k": "v" }))).await.ok();
    // An empty list is none, so that who knows nothing of it does not lose it; one of an empty entry clears it.
    let none = json!({ "metadata": { "managedFields": [] } });
    let kept = api.send("PATCH", &path, MERGE, &none).await.ok();
    assert_eq!(owners(&kept).len(), 1);
    let clear = json!({ "metadata": { "managedFields": [{}] } });
    api.send("PATCH", &path, MERGE, &clear).await.ok();
    let (code, _, message) = api.apply(&path, "m", "", &map(json!({ "k": "w" }))).await.refused();
    assert_eq!(
        (code, message.as_str()),
        (
            409,
            "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.k"
        )
    );
    let applied = api.apply(&path, "m", "", &map(json!({ "k": "v" }))).await.ok();
    assert_eq!(
        owned(&applied, "before-first-apply Update"),
        json!({ "f:data": { ".": {}, "f:k": {} } })
    );
}

#[tokio::test]
async fn a_view_is_applied_in_its_own_words() {
    let api = Harness::start().await;
    let event = |note: &str| {
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": "e" },
            "eventTime": "2026-01-02T03:04:05.000006Z", "type": "Normal", "reason": "Tried", "action": "Trying",
            "note": note, "reportingController": "test.io/x", "reportingInstance": "x-1",
            "regarding": { "kind": "Pod", "name": "p", "namespace": "default" },
        })
    };
    let path = "/apis/events.k8s.io/v1/namespaces/default/events/e";
    let made = api.apply(path, "m", "", &event("n")).await;
    assert_eq!((made.code, &made.ok()["note"]), (201, &json!("n")));
    let older = api.get("/api/v1/namespaces/default/events/e").await.ok();
    assert_eq!(older["message"], "n");
    assert_eq!(owned(&older, "m Apply")["f:message"], json!({}));
    let mut core = event("n");
    core["apiVersion"] = "v1".into();
    let wrong = api.apply(path, "m", "", &core).await.refused();
    assert_eq!((wrong.0, wrong.2.as_str()), (400, "invalid object type: /v1, Kind=Event"));
    let mut unknown = event("n");
    unknown["message"] = "n".into();
    assert_eq!(
        api.apply(path, "m", "", &unknown).await.refused().2,
        "failed to create typed patch object (/e; events.k8s.io/v1, Kind=Event): .message: field not declared in schema"
    );
}

#[tokio::test]
async fn an_invalid_outcome_is_told_of_the_object() {
    let api = Harness::start().await;
    let path = format!("{DEPLOYMENTS}/d");
    let refused = api.apply(&path, "m", "", &json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" }, "spec": { "replicas": -1 } })).await;
    let (code, _, message) = refused.refused();
    assert_eq!(code, 422);
    assert!(message.starts_with("Deployment.apps \"d\" is invalid: "), "{message}");
    let mut wrong = deployment(1);
    wrong["spec"]["template"]["spec"]["containers"][0]["resources"] =
        json!({ "limits": { "cpu": "much" } });
    let (code, _, message) = api.apply(&path, "m", "", &wrong).await.refused();
    assert_eq!(code, 500);
    assert!(message.starts_with("failed to convert new typed object to object: "), "{message}");
}
