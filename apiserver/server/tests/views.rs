//! Kinds that are views of other kinds: one object, seen and written under two sets of names.

mod common;

use common::*;
use serde_json::{Value, json};

const OLDER: &str = "/api/v1/namespaces/default/events";
const NEWER: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

fn event(name: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": name },
        "eventTime": "2026-01-02T03:04:05.000006Z", "type": "Normal", "reason": "Tried",
        "action": "Trying", "note": "it was tried", "reportingController": "test.io/x",
        "reportingInstance": "x-1", "regarding": { "kind": "Pod", "name": "p", "namespace": "default" },
    })
}

#[tokio::test]
async fn an_event_is_one_object_with_two_sets_of_names() {
    let api = Harness::start().await;
    let made = api.post(NEWER, &event("e")).await.ok();
    assert_eq!(
        (&made["apiVersion"], &made["note"]),
        (&json!("events.k8s.io/v1"), &json!("it was tried"))
    );
    let older = api.get(&format!("{OLDER}/e")).await.ok();
    assert_eq!((&older["apiVersion"], &older["message"]), (&json!("v1"), &json!("it was tried")));
    assert_eq!(older["involvedObject"]["name"], "p");
    assert_eq!(older["reportingComponent"], "test.io/x");
    assert_eq!(version(&older), version(&made));
    // What the older API writes, the newer one shows.
    let series =
        json!({ "series": { "count": 2, "lastObservedTime": "2026-01-02T03:05:00.000000Z" } });
    let patched = api.send("PATCH", &format!("{NEWER}/e"), STRATEGIC, &series).await.ok();
    assert_eq!(patched["series"]["count"], 2);
    assert_eq!(patched["regarding"]["name"], "p");
    assert_eq!(api.get(&format!("{NEWER}/e")).await.ok(), patched);
    let list = api.get(NEWER).await.ok();
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("EventList"), &json!("events.k8s.io/v1"))
    );
    assert_eq!(list["items"][0], patched);
    let gone = api.delete(&format!("{NEWER}/e")).await.ok();
    assert_eq!(
        (&gone["status"], &gone["details"]["group"]),
        (&json!("Success"), &json!("events.k8s.io"))
    );
    assert_eq!(api.get(&format!("{OLDER}/e")).await.code, 404);
}

#[tokio::test]
async fn watches_tables_and_selectors_speak_the_names_that_were_asked_by() {
    let api = Harness::start().await;
    let of_pod = format!("{NEWER}?watch=true&fieldSelector=regarding.name%3Dp");
    let (mut newer, mut older) =
        (api.watch(&of_pod).await, api.watch(&format!("{OLDER}?watch=true")).await);
    let mut other = event("f");
    other["regarding"]["name"] = "q".into();
    api.post(NEWER, &other).await.ok();
    api.post(NEWER, &event("e")).await.ok();
    let seen = newer.next().await.unwrap();
    assert_eq!(
        (&seen["object"]["metadata"]["name"], &seen["object"]["note"]),
        (&json!("e"), &json!("it was tried"))
    );
    let seen = older.next().await.unwrap();
    assert_eq!(
        (&seen["object"]["metadata"]["name"], &seen["object"]["message"]),
        (&json!("f"), &json!("it was tried"))
    );
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let rows = api.raw("GET", &format!("{NEWER}?includeObject=Object"), &table, b"").await.ok();
    assert_eq!(rows["rows"][0]["cells"][3], "pod/p");
    assert_eq!(rows["rows"][0]["object"]["note"], "it was tried");
    let unknown = api.get(&format!("{NEWER}?fieldSelector=involvedObject.name%3Dp")).await;
    assert_eq!(unknown.refused().0, 400);
}

#[tokio::test]
async fn the_stricter_api_refuses_what_the_older_one_takes() {
    let api = Harness::start().await;
    let mut old = event("e");
    old.as_object_mut().unwrap().remove("eventTime");
    old["deprecatedCount"] = 3.into();
    let (code, _, message) = api.post(NEWER, &old).await.refused();
    assert_eq!(code, 422);
    for part in ["eventTime: Required value", "count: Invalid value: \"\": needs to be unset"] {
        assert!(message.contains(part), "{message}");
    }
    let made = api.post(NEWER, &event("e")).await.ok();
    let (code, _, message) = api
        .send("PATCH", &format!("{NEWER}/e"), MERGE, &json!({ "note": "other" }))
        .await
        .refused();
    assert_eq!(code, 422, "{made}");
    assert!(message.contains("message: Invalid value: \"other\": field is immutable"), "{message}");
    api.send("PATCH", &format!("{OLDER}/e"), MERGE, &json!({ "message": "other" })).await.ok();
    // A body of the one API is none of the other's.
    let (code, _, message) = api.post(OLDER, &event("g")).await.refused();
    assert_eq!(code, 400, "{message}");
}

#[tokio::test]
async fn a_scaler_of_version_1_is_kept_as_one_of_version_2() {
    let api = Harness::start().await;
    let path = |version: &str| {
        format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers")
    };
    let scaler = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "s" },
        "spec": { "maxReplicas": 5, "targetCPUUtilizationPercentage": 70,
                  "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "d" } },
    });
    let made = api.post(&path("v1"), &scaler).await.ok();
    assert_eq!(made["spec"]["targetCPUUtilizationPercentage"], 70);
    let newer = api.get(&format!("{}/s", path("v2"))).await.ok();
    assert_eq!(newer["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 70);
    let more = json!({ "spec": { "targetCPUUtilizationPercentage": 80 } });
    api.send("PATCH", &format!("{}/s", path("v1")), STRATEGIC, &more).await.ok();
    let newer = api.get(&format!("{}/s", path("v2"))).await.ok();
    assert_eq!(newer["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
    let groups = api.get("/apis/autoscaling").await.ok();
    assert_eq!(groups["preferredVersion"]["version"], "v2");
}

// Red without the rows: stock tools of Debian's age found neither kind.
#[tokio::test]
async fn older_versions_are_served_where_they_are_switched_on() {
    let jobs = "/apis/batch/v1beta1/namespaces/default/cronjobs";
    let off = Harness::start().await;
    assert_eq!(off.get(jobs).await.code, 404);
    let versions =
        ["batch/v1beta1", "discovery.k8s.io/v1beta1", "policy/v1beta1"].map(str::to_owned);
    let kinds = leme_kinds::Kinds::with_older(&versions).unwrap();
    let api = Harness::with(|config| config.kinds = kinds).await;
    let groups = api.get("/apis/batch").await.ok();
    assert_eq!(groups["preferredVersion"]["version"], "v1");
    assert_eq!(groups["versions"][1]["groupVersion"], "batch/v1beta1");
    let job = json!({
        "apiVersion": "batch/v1beta1", "kind": "CronJob", "metadata": { "name": "c" },
        "spec": { "schedule": "* * * * *", "jobTemplate": { "spec": { "template": { "spec": {
            "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }],
        } } } } },
    });
    let made = api.post(jobs, &job).await;
    let warned = "299 - \"batch/v1beta1 CronJob is deprecated in v1.21+, unavailable in v1.25+; use batch/v1 CronJob\"";
    assert_eq!(made.headers["warning"], warned);
    assert_eq!(made.ok()["apiVersion"], "batch/v1beta1");
    let kept = api.get("/apis/batch/v1/namespaces/default/cronjobs/c").await;
    assert!(!kept.headers.contains_key("warning"));
    assert_eq!(kept.ok()["apiVersion"], "batch/v1");
    let budgets = "/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets";
    let budget = json!({
        "apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": { "name": "p" },
        "spec": { "minAvailable": 1, "selector": {} },
    });
    api.post(budgets, &budget).await.ok();
    let shown = api.get(&format!("{budgets}/p")).await.ok();
    assert_eq!(shown["spec"]["selector"], json!({}));
    let kept = api.get("/apis/policy/v1/namespaces/default/poddisruptionbudgets/p").await.ok();
    assert_eq!(kept["spec"]["selector"]["matchExpressions"][0]["operator"], "Exists");
    where_endpoints_are_stands_in_one_map(&api).await;
    // kubectl of that age looks for the kind's schema by its version.
    let document = api.get("/openapi/v2").await.ok();
    let its =
        &document["definitions"]["io.k8s.api.batch.v1.CronJob"]["x-kubernetes-group-version-kind"];
    assert_eq!(its.as_array().map(Vec::len), Some(2), "{its}");
}

async fn where_endpoints_are_stands_in_one_map(api: &Harness) {
    let beta = "/apis/discovery.k8s.io/v1beta1/namespaces/default/endpointslices";
    let (zone, host) = ("topology.kubernetes.io/zone", "kubernetes.io/hostname");
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1beta1", "kind": "EndpointSlice", "metadata": { "name": "e" },
        "addressType": "IPv4", "ports": [{ "port": 80 }],
        "endpoints": [
            { "addresses": ["10.0.0.1"], "nodeName": "n", "topology": { zone: "z", host: "n" } },
            { "addresses": ["10.0.0.2"] },
        ],
    });
    let made = api.post(beta, &slice).await;
    let warned = "299 - \"discovery.k8s.io/v1beta1 EndpointSlice is deprecated in v1.21+, unavailable in v1.25+; use discovery.k8s.io/v1 EndpointSlice\"";
    assert_eq!(made.headers.get_all("warning").iter().collect::<Vec<_>>(), [warned]);
    let topology = |shown: &Value| shown["endpoints"][0]["topology"].clone();
    assert_eq!(topology(&made.ok()), json!({ zone: "z", host: "n" }));
    let kept = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/e";
    let endpoints = api.get(kept).await.ok()["endpoints"].clone();
    assert_eq!(endpoints[0].get("topology"), None);
    assert_eq!((&endpoints[0]["zone"], &endpoints[0]["nodeName"]), (&json!("z"), &json!("n")));
    assert_eq!(endpoints[1], json!({ "addresses": ["10.0.0.2"], "conditions": {} }));
    let change = json!({ "endpoints": [{ "addresses": ["10.0.0.3"], "topology": { zone: "y" } }] });
    let patched = api.send("PATCH", &format!("{beta}/e"), MERGE, &change).await.ok();
    assert_eq!(topology(&patched), json!({ zone: "y" }));
    assert_eq!(api.get(kept).await.ok()["endpoints"][0]["zone"], "y");
}

// Red when it is converted before it is told its namespace: the role was said to be another namespace's.
#[tokio::test]
async fn an_older_binding_need_not_say_its_namespace() {
    let api = Harness::start().await;
    let path = "/apis/authorization.openshift.io/v1/namespaces/default/rolebindings";
    let binding = |of: &str| {
        json!({ "metadata": { "name": "b" }, "roleRef": { "name": "r", "namespace": of },
            "subjects": [{ "kind": "User", "name": "jo" }] })
    };
    let refused = api.post(path, &binding("other")).await.refused().2;
    assert!(refused.contains("instead of current namespace \"default\""), "{refused}");
    let made = api.post(path, &binding("default")).await.ok();
    assert_eq!(made["metadata"]["namespace"], "default");
}
