//! What is sent empty is as if it had not been sent, as clients take it that read and write typed structs; and a Scale is
//! held against what it is.

mod common;

use common::*;
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "labels": {}, "generateName": "" },
        "spec": {
            "hostNetwork": false, "hostPID": false, "subdomain": "", "volumes": [], "readinessGates": [],
            "containers": [{
                "name": "c", "image": "i", "env": [], "tty": false, "workingDir": "", "ports": [], "args": [],
                "livenessProbe": { "httpGet": { "port": 1 }, "initialDelaySeconds": 0 },
            }],
            // A pointer, which tells zero from nothing.
            "terminationGracePeriodSeconds": 0,
        },
    })
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" },
        "spec": {
            "replicas": 0,
            "selector": { "matchLabels": { "a": "b" } },
            "template": {
                "metadata": { "labels": { "a": "b" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            },
        },
    })
}

// Red when zeros are kept: every other typed client's PUT of the pod was 422.
#[tokio::test]
async fn what_is_empty_is_not_there() {
    let api = Harness::start().await;
    let made = api.post(PODS, &pod()).await.ok();
    let spec = &made["spec"];
    for field in ["hostNetwork", "hostPID", "subdomain", "readinessGates"] {
        assert_eq!(spec.get(field), None, "{field}");
    }
    let container = &spec["containers"][0];
    for field in ["env", "tty", "workingDir", "ports", "args"] {
        assert_eq!(container.get(field), None, "{field}");
    }
    assert_eq!(container["livenessProbe"].get("initialDelaySeconds"), None);
    assert_eq!(spec["terminationGracePeriodSeconds"], 0);
    let who = made["metadata"]["managedFields"].to_string();
    assert!(!who.contains("f:hostNetwork") && !who.contains("f:tty"), "{who}");

    let path = format!("{PODS}/p");
    let mut put = made.clone();
    put["spec"]["hostIPC"] = false.into();
    put["spec"]["schedulingGates"] = json!([]);
    put["spec"]["containers"][0]["stdin"] = false.into();
    let again = api.put(&path, &put).await.ok();
    assert_eq!(version(&again), version(&made));
    let bytes = api.raw("GET", &path, &[("accept", PROTOBUF)], b"").await.body;
    let same = api.raw("PUT", &path, &[("content-type", PROTOBUF)], &bytes).await.ok();
    assert_eq!(version(&same), version(&made));
}

#[tokio::test]
async fn what_is_sent_empty_is_no_change() {
    let api = Harness::start().await;
    let made = api.post(DEPLOYMENTS, &deployment()).await.ok();
    let path = format!("{DEPLOYMENTS}/d");
    assert_eq!(made["spec"]["replicas"], 0);
    for patch in [
        json!({ "spec": { "paused": false } }),
        json!({ "spec": { "selector": { "matchExpressions": [] } } }),
        json!({ "spec": { "template": { "spec": { "hostNetwork": false, "initContainers": [] } } } }),
        json!({ "metadata": { "annotations": {}, "finalizers": [] } }),
    ] {
        let same = api.send("PATCH", &path, MERGE, &patch).await.ok();
        assert_eq!(version(&same), version(&made), "{patch}");
    }
}

// Red when a Scale is only asked for its replicas.
#[tokio::test]
async fn a_scale_is_of_its_object_and_of_its_kind() {
    let api = Harness::start().await;
    api.post(DEPLOYMENTS, &deployment()).await.ok();
    let path = format!("{DEPLOYMENTS}/d/scale");
    let scale = api.get(&path).await.ok();
    let with = |pointer: &str, value: Value| {
        let mut scale = scale.clone();
        scale["spec"]["replicas"] = 3.into();
        *scale.pointer_mut(pointer).unwrap() = value;
        scale
    };
    for (body, why) in [
        (
            with("/metadata/name", "z".into()),
            "the name of the object (z) does not match the name on the URL (d)",
        ),
        (
            with("/metadata", json!({})),
            "the name of the object (d based on URL) was undeterminable: name must be provided",
        ),
        (
            with("/metadata/namespace", "z".into()),
            "the namespace of the object (z) does not match the namespace on the request (default)",
        ),
        (
            with("/apiVersion", "v9".into()),
            "the API version in the data (v9) does not match the expected API version (autoscaling/v1)",
        ),
        (
            deployment(),
            "Deployment in version \"v1\" cannot be handled as a Scale: converting (v1.Deployment) to (autoscaling.Scale): unknown conversion",
        ),
        (
            with("/spec", json!({ "replicas": "x" })),
            "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal string into Go struct field ScaleSpec.spec.replicas of type int32",
        ),
    ] {
        let refused = api.put(&path, &body).await.refused();
        assert_eq!((refused.0, refused.2.as_str()), (400, why));
    }
    let mut odd = with("/metadata/name", "d".into());
    odd["spec"]["x"] = 1.into();
    let strict = api.put(&format!("{path}?fieldValidation=Strict"), &odd).await.refused();
    let why = "Scale in version \"v1\" cannot be handled as a Scale: strict decoding error: unknown field \"spec.x\"";
    assert_eq!((strict.0, strict.2.as_str()), (400, why));
    assert_eq!(api.get(&path).await.ok()["spec"], scale["spec"]);
    let done = api.put(&path, &with("/metadata/name", "d".into())).await.ok();
    assert_eq!(done["spec"]["replicas"], 3);
}

// Red with such times left out: typed clients write them as null, and so does upstream.
#[tokio::test]
async fn a_time_that_go_never_leaves_out_is_null() {
    let api = Harness::start().await;
    api.post(PODS, &pod()).await.ok();
    let status = json!({ "status": {
        "conditions": [{ "type": "Ready", "status": "True" }],
        "containerStatuses": [{
            "name": "c", "ready": false, "restartCount": 0, "image": "i", "imageID": "",
            "state": { "terminated": { "exitCode": 1 } },
        }],
    } });
    let path = format!("{PODS}/p");
    let told = api.send("PATCH", &format!("{path}/status"), MERGE, &status).await.ok();
    let ready = json!({ "type": "Ready", "status": "True", "lastProbeTime": null, "lastTransitionTime": null });
    assert_eq!(told["status"]["conditions"], json!([ready]));
    let ended = &told["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(*ended, json!({ "exitCode": 1, "startedAt": null, "finishedAt": null }));

    let bytes = api.raw("GET", &path, &[("accept", PROTOBUF)], b"").await.body;
    let same =
        api.raw("PUT", &format!("{path}/status"), &[("content-type", PROTOBUF)], &bytes).await.ok();
    assert_eq!(version(&same), version(&told));
    // Metadata of a template leaves its time out.
    let made = api.post(DEPLOYMENTS, &deployment()).await.ok();
    assert_eq!(made["spec"]["template"]["metadata"].get("creationTimestamp"), None);
}

#[tokio::test]
async fn an_event_says_which_times_it_has_not() {
    let api = Harness::start().await;
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "name": "e" },
        "involvedObject": { "kind": "Pod", "name": "p", "namespace": "default" },
        "firstTimestamp": "2026-01-01T00:00:00Z", "series": { "count": 2 },
    });
    let made = api.post("/api/v1/namespaces/default/events", &event).await.ok();
    let times = |of: &Value, names: [&str; 3]| names.map(|name| of.get(name).cloned());
    let wanted = [Some(json!("2026-01-01T00:00:00Z")), Some(Value::Null), Some(Value::Null)];
    assert_eq!(times(&made, ["firstTimestamp", "lastTimestamp", "eventTime"]), wanted);
    assert_eq!(made["series"], json!({ "count": 2, "lastObservedTime": null }));
    let newer = api.get("/apis/events.k8s.io/v1/namespaces/default/events/e").await.ok();
    let names = ["deprecatedFirstTimestamp", "deprecatedLastTimestamp", "eventTime"];
    assert_eq!(times(&newer, names), wanted);
    // Nobody owns what nobody has set.
    let who = made["metadata"]["managedFields"].to_string();
    assert!(who.contains("f:firstTimestamp") && !who.contains("f:eventTime"), "{who}");
}
