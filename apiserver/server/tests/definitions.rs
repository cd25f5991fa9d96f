//! Kinds that CustomResourceDefinitions define, from their establishment to their end.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::*;
use leme_store::memory::MemoryStore;
use serde_json::{Value, json};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const TABS: &str = "/apis/example.com/v1/namespaces/default/tabs";

fn schema() -> Value {
    json!({
        "description": "A tab of times.",
        "type": "object",
        "properties": {
            "spec": {
                "description": "When, and what.",
                "type": "object",
                "properties": {
                    "at": { "type": "string", "pattern": "^[0-9]+$" },
                    "color": { "type": "string", "default": "blue" },
                    "replicas": { "type": "integer", "minimum": 0 },
                    "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                },
            },
            "status": {
                "type": "object",
                "properties": { "replicas": { "type": "integer" }, "selector": { "type": "string" } },
            },
        },
    })
}

fn version(name: &str, storage: bool) -> Value {
    json!({
        "name": name, "served": true, "storage": storage,
        "schema": { "openAPIV3Schema": schema() },
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [
            { "name": "At", "type": "string", "jsonPath": ".spec.at" },
            { "name": "Wide", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1 },
        ],
        "selectableFields": [{ "jsonPath": ".spec.color" }],
    })
}

fn named(plural: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.example.com") },
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": { "plural": plural, "kind": kind },
            "versions": [version("v1", true)],
        },
    })
}

fn definition() -> Value {
    let mut definition = named("tabs", "Tab");
    definition["spec"]["names"]["shortNames"] = json!(["tb"]);
    definition["spec"]["names"]["categories"] = json!(["all"]);
    definition
}

fn tab(name: &str) -> Value {
    json!({ "apiVersion": "example.com/v1", "kind": "Tab", "metadata": { "name": name }, "spec": { "at": "12" } })
}

fn condition<'a>(definition: &'a Value, type_: &str) -> (&'a str, &'a str, &'a str) {
    let list = definition["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = list.iter().find(|one| one["type"] == type_).unwrap_or(&Value::Null);
    let text = |field: &str| found[field].as_str().unwrap_or("");
    (text("status"), text("reason"), text("message"))
}

fn is(type_: &'static str, status: &'static str) -> impl Fn(&Value) -> bool {
    move |definition| condition(definition, type_).0 == status
}

/// The definition as soon as it is as wanted, by a watch as clients have it.
async fn until(api: &Harness, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut watch =
        api.watch(&format!("{DEFINITIONS}?watch=true&fieldSelector=metadata.name%3D{name}")).await;
    loop {
        let event = watch.next().await.expect("an event");
        if wanted(&event["object"]) {
            return event["object"].clone();
        }
    }
}

async fn establish(api: &Harness, definition: &Value) -> Value {
    let name = api.post(DEFINITIONS, definition).await.ok()["metadata"]["name"].clone();
    until(api, name.as_str().unwrap(), is("Established", "True")).await
}

async fn gone(api: &Harness, path: &str) {
    let began = Instant::now();
    while api.get(path).await.code != 404 {
        assert!(began.elapsed() < PATIENCE, "{path} is still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn warnings(read: &Read) -> Vec<String> {
    let all = read.headers.get_all("warning").iter();
    all.map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn whoever_reads_that_it_is_established_may_use_it() {
    let api = Harness::start().await;
    assert_eq!(api.get(TABS).await.code, 404);
    let created = api.post(DEFINITIONS, &definition()).await;
    assert!(warnings(&created).is_empty(), "{:?}", warnings(&created));
    let established = until(&api, "tabs.example.com", is("Established", "True")).await;
    let tab = api.post(TABS, &tab("one")).await;
    assert_eq!(tab.code, 201, "{:?}", tab.body);
    assert_eq!(
        condition(&established, "NamesAccepted"),
        ("True", "NoConflicts", "no conflicts found")
    );
    let why = "the initial names have been accepted";
    assert_eq!(condition(&established, "Established"), ("True", "InitialNamesAccepted", why));
    let status = &established["status"];
    assert_eq!(status["storedVersions"], json!(["v1"]));
    assert_eq!(
        status["acceptedNames"],
        json!({ "plural": "tabs", "singular": "tab", "kind": "Tab", "listKind": "TabList",
                "shortNames": ["tb"], "categories": ["all"] })
    );
    assert_eq!(api.get(&format!("{TABS}/one")).await.ok(), tab.ok());
    let list = api.get("/apis/example.com/v1/tabs").await.ok();
    assert_eq!(
        (&list["kind"], &list["items"][0]["spec"]["color"]),
        (&json!("TabList"), &json!("blue"))
    );
}

#[tokio::test]
async fn documents_tell_of_it() {
    let api = Harness::start().await;
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let before = api.raw("GET", "/apis", &[("accept", aggregated)], b"").await;
    let index = api.get("/openapi/v3").await.ok();
    assert!(index["paths"]["apis/example.com/v1"].is_null());
    establish(&api, &definition()).await;
    let after = api.raw("GET", "/apis", &[("accept", aggregated)], b"").await;
    assert_ne!(before.headers["etag"], after.headers["etag"]);
    let after = after.ok();
    let group = after["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(group["metadata"]["name"], "example.com");
    let resource = &group["versions"][0]["resources"][0];
    assert_eq!((&resource["resource"], &resource["shortNames"][0]), (&json!("tabs"), &json!("tb")));
    assert_eq!(resource["subresources"][1]["responseKind"]["group"], "autoscaling");
    let legacy = api.get("/apis/example.com/v1").await.ok();
    let names: Vec<&Value> =
        legacy["resources"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["tabs", "tabs/status", "tabs/scale"]);
    assert_eq!(legacy["resources"][0]["categories"], json!(["all"]));
    assert_eq!(api.get("/apis/example.com").await.ok()["preferredVersion"]["version"], "v1");
    let index = api.get("/openapi/v3").await.ok();
    let url = index["paths"]["apis/example.com/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = api.get(url).await.ok();
    let type_ = &document["components"]["schemas"]["com.example.v1.Tab"];
    assert_eq!(type_["description"], "A tab of times.");
    assert_eq!(type_["properties"]["spec"]["description"], "When, and what.");
    assert_eq!(
        type_["x-kubernetes-group-version-kind"],
        json!([{ "group": "example.com", "version": "v1", "kind": "Tab" }])
    );
    let path = "/apis/example.com/v1/namespaces/{namespace}/tabs/{name}";
    let patch = &document["paths"][path]["patch"];
    assert_eq!(patch["x-kubernetes-action"], "patch");
    assert!(patch["requestBody"]["content"]["application/strategic-merge-patch+json"].is_null());
    let old = api.get("/openapi/v2").await.ok();
    assert_eq!(old["definitions"]["com.example.v1.Tab"]["type"], "object");
}

#[tokio::test]
async fn bodies_are_held_against_the_schema() {
    let api = Harness::start().await;
    establish(&api, &definition()).await;
    let mut odd = tab("odd");
    odd["spec"]["x"] = 1.into();
    odd["spec"]["free"] = json!({ "any": { "thing": [1] } });
    odd["metadata"]["x"] = 1.into();
    let strict = api.post(&format!("{TABS}?fieldValidation=Strict"), &odd).await.refused();
    assert_eq!(strict.0, 400);
    assert!(
        strict.2.contains(
            r#"strict decoding error: unknown field "metadata.x", unknown field "spec.x""#
        ),
        "{}",
        strict.2
    );
    let warned = api.post(&format!("{TABS}?dryRun=All"), &odd).await;
    assert_eq!(
        warnings(&warned),
        [r#"299 - "unknown field \"metadata.x\"""#, r#"299 - "unknown field \"spec.x\"""#]
    );
    let ignored = api.post(&format!("{TABS}?fieldValidation=Ignore"), &odd).await;
    assert!(warnings(&ignored).is_empty());
    let spec = &ignored.ok()["spec"];
    assert_eq!(*spec, json!({ "at": "12", "color": "blue", "free": { "any": { "thing": [1] } } }));
    let mut wrong = tab("wrong");
    wrong["spec"]["at"] = "noon".into();
    let (code, reason, message) = api.post(TABS, &wrong).await.refused();
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert_eq!(
        message,
        r#"Tab.example.com "wrong" is invalid: spec.at: Invalid value: "noon": spec.at in body should match '^[0-9]+$'"#
    );
    let path = format!("{TABS}/odd");
    let patched =
        api.send("PATCH", &path, MERGE, &json!({ "spec": { "color": null, "y": 2 } })).await;
    assert_eq!(warnings(&patched), [r#"299 - "unknown field \"spec.y\"""#]);
    let patched = patched.ok();
    assert_eq!(patched["spec"]["color"], "blue");
    let (code, _, message) =
        api.send("PATCH", &path, STRATEGIC, &json!({ "spec": {} })).await.refused();
    assert_eq!(code, 415);
    assert!(message.starts_with("the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json"), "{message}");
    assert!(!message.contains("strategic"));
    assert_eq!(
        api.raw("POST", TABS, &[("content-type", "application/vnd.kubernetes.protobuf")], b"k8s\0")
            .await
            .code,
        415
    );
    let protobuf = "application/vnd.kubernetes.protobuf";
    assert_eq!(api.raw("GET", &path, &[("accept", protobuf)], b"").await.code, 406);
    let either = format!("{protobuf}, application/json");
    let read = api.raw("GET", &path, &[("accept", &either)], b"").await;
    assert_eq!(read.headers["content-type"], "application/json");
    assert_eq!(
        api.get(&format!("{path}/other")).await.refused().2,
        r#"tabs.example.com "odd" not found"#
    );
}

#[tokio::test]
async fn status_and_scale_are_apart() {
    let api = Harness::start().await;
    establish(&api, &definition()).await;
    let mut body = tab("a");
    body["status"] = json!({ "replicas": 9 });
    body["spec"]["replicas"] = 2.into();
    let created = api.post(TABS, &body).await.ok();
    assert!(created["status"].is_null());
    assert_eq!(created["metadata"]["generation"], 1);
    let path = format!("{TABS}/a");
    let status =
        json!({ "status": { "replicas": 1, "selector": "a=b" }, "spec": { "replicas": 7 } });
    let told = api.send("PATCH", &format!("{path}/status"), MERGE, &status).await.ok();
    assert_eq!((&told["status"]["replicas"], &told["spec"]["replicas"]), (&json!(1), &json!(2)));
    assert_eq!(told["metadata"]["generation"], 1);
    let scale = api.get(&format!("{path}/scale")).await.ok();
    assert_eq!((&scale["kind"], &scale["apiVersion"]), (&json!("Scale"), &json!("autoscaling/v1")));
    assert_eq!(scale["spec"], json!({ "replicas": 2 }));
    assert_eq!(scale["status"], json!({ "replicas": 1, "selector": "a=b" }));
    let more = json!({ "spec": { "replicas": 5 } });
    let scaled = api.send("PATCH", &format!("{path}/scale"), MERGE, &more).await.ok();
    assert_eq!((&scaled["kind"], &scaled["spec"]["replicas"]), (&json!("Scale"), &json!(5)));
    let now = api.get(&path).await.ok();
    assert_eq!((&now["spec"]["replicas"], &now["metadata"]["generation"]), (&json!(5), &json!(2)));
}

#[tokio::test]
async fn objects_are_shown_as_rows_and_selected_by_fields() {
    let api = Harness::start().await;
    establish(&api, &definition()).await;
    for (name, color) in [("a", "red"), ("b", "blue"), ("c", "red")] {
        let mut body = tab(name);
        body["spec"]["color"] = color.into();
        api.post(TABS, &body).await.ok();
    }
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let read = api.raw("GET", TABS, &[("accept", table)], b"").await.ok();
    let columns: Vec<&Value> = read["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| &column["name"])
        .collect();
    assert_eq!(columns, ["Name", "At", "Wide"]);
    assert_eq!(read["rows"][0]["cells"], json!(["a", "12", null]));
    let partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let read = api.raw("GET", TABS, &[("accept", partial)], b"").await.ok();
    assert!(read["items"][0]["spec"].is_null());
    let red = api.get(&format!("{TABS}?fieldSelector=spec.color%3Dred")).await.ok();
    assert_eq!(red["items"].as_array().unwrap().len(), 2);
    let (code, _, message) = api.get(&format!("{TABS}?fieldSelector=spec.at%3D1")).await.refused();
    assert_eq!((code, message.as_str()), (400, "field label not supported: spec.at"));
    let from = red["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch = api
        .watch(&format!("{TABS}?watch=true&resourceVersion={from}&fieldSelector=spec.color%3Dred"))
        .await;
    let change = json!({ "spec": { "color": "green" } });
    api.send("PATCH", &format!("{TABS}/a"), MERGE, &change).await.ok();
    assert_eq!(watch.named().await, pair("DELETED", "a"));
}

/// Red when what is kept in one version is shown as it is to who asks for another.
#[tokio::test]
async fn objects_are_read_in_each_version() {
    let api = Harness::start().await;
    let mut two = definition();
    two["spec"]["versions"] = json!([version("v1beta1", true), version("v1", false)]);
    two["spec"]["versions"][0]["deprecated"] = true.into();
    let made = establish(&api, &two).await;
    let old = "/apis/example.com/v1beta1/namespaces/default/tabs";
    let mut body = tab("a");
    body["apiVersion"] = "example.com/v1beta1".into();
    let created = api.post(old, &body).await;
    assert_eq!(
        warnings(&created),
        [r#"299 - "example.com/v1beta1 Tab is deprecated; use example.com/v1 Tab""#]
    );
    api.post(TABS, &tab("b")).await.ok();
    let read = |path: String| {
        let api = &api;
        async move {
            let read = api.get(&path).await.ok();
            let items = read["items"].as_array().cloned().unwrap_or_else(|| vec![read.clone()]);
            items
                .iter()
                .map(|one| one["apiVersion"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        }
    };
    let both = |version: &str| vec![format!("example.com/{version}"); 2];
    assert_eq!(read(TABS.to_owned()).await, both("v1"));
    assert_eq!(read(old.to_owned()).await, both("v1beta1"));
    assert_eq!(read(format!("{TABS}/a")).await, ["example.com/v1"]);
    let mut watch = api.watch(&format!("{TABS}?watch=true")).await;
    for name in ["a", "b"] {
        let event = watch.next().await.unwrap();
        assert_eq!(
            (&event["type"], &event["object"]["apiVersion"]),
            (&json!("ADDED"), &json!("example.com/v1"))
        );
        assert_eq!(event["object"]["metadata"]["name"], name);
    }
    let change = json!({ "spec": { "at": "13" } });
    let patched = api.send("PATCH", &format!("{old}/b"), MERGE, &change).await.ok();
    assert_eq!(patched["apiVersion"], "example.com/v1beta1");
    assert_eq!(watch.next().await.unwrap()["object"]["apiVersion"], "example.com/v1");
    // The other version becomes the one that is kept; what was kept before is read all the same.
    let mut next = made.clone();
    next["spec"]["versions"][0]["storage"] = false.into();
    next["spec"]["versions"][1]["storage"] = true.into();
    let updated = api.put(&format!("{DEFINITIONS}/tabs.example.com"), &next).await.ok();
    assert_eq!(updated["status"]["storedVersions"], json!(["v1beta1", "v1"]));
    while watch.next().await.is_some() {}
    let put = api.get(&format!("{old}/a")).await.ok();
    api.put(&format!("{old}/a"), &put).await.ok();
    assert_eq!(read(TABS.to_owned()).await, both("v1"));
    assert_eq!(read(old.to_owned()).await, both("v1beta1"));
    let groups = api.get("/apis/example.com").await.ok();
    assert_eq!(groups["preferredVersion"]["version"], "v1");
    // A version that is not served any more is none.
    let mut next = api.get(&format!("{DEFINITIONS}/tabs.example.com")).await.ok();
    next["spec"]["versions"][0]["served"] = false.into();
    let mut watch = api.watch(&format!("{old}?watch=true")).await;
    api.put(&format!("{DEFINITIONS}/tabs.example.com"), &next).await.ok();
    while watch.next().await.is_some() {}
    gone(&api, old).await;
    let none = "the server could not find the requested resource";
    assert_eq!(api.get(old).await.refused().2, none);
    assert_eq!(read(TABS.to_owned()).await, both("v1"));
}

#[tokio::test]
async fn a_changed_schema_holds_for_what_was_written_before() {
    let api = Harness::start().await;
    let made = establish(&api, &definition()).await;
    api.post(TABS, &tab("a")).await.ok();
    let mut next = made.clone();
    let properties = &mut next["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    properties["spec"]["properties"]["size"] = json!({ "type": "integer", "default": 3 });
    properties["spec"]["properties"].as_object_mut().unwrap().remove("at");
    let mut watch = api.watch(&format!("{TABS}?watch=true")).await;
    api.put(&format!("{DEFINITIONS}/tabs.example.com"), &next).await.ok();
    while watch.next().await.is_some() {}
    let read = api.get(&format!("{TABS}/a")).await.ok();
    assert_eq!(read["spec"], json!({ "color": "blue", "size": 3 }));
    let change = json!({ "metadata": { "labels": { "a": "b" } } });
    let patched = api.send("PATCH", &format!("{TABS}/a"), MERGE, &change).await.ok();
    assert_eq!(patched["spec"], json!({ "color": "blue", "size": 3 }));
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let read = api.raw("GET", TABS, &[("accept", table)], b"").await.ok();
    assert_eq!(read["rows"][0]["cells"][1], Value::Null);
}

#[tokio::test]
async fn a_deleted_definition_takes_its_objects_along() {
    let api = Harness::start().await;
    establish(&api, &definition()).await;
    let name = "tabs.example.com";
    let path = format!("{DEFINITIONS}/{name}");
    for one in ["a", "b"] {
        api.post(TABS, &tab(one)).await.ok();
    }
    let mut held = tab("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    api.post(TABS, &held).await.ok();
    let mut watch = api.watch(&format!("{TABS}?watch=true")).await;
    let going = api.delete(&path).await.ok();
    assert_eq!(
        going["metadata"]["finalizers"],
        json!(["customresourcecleanup.apiextensions.k8s.io"])
    );
    assert_eq!(condition(&going, "Terminating").1, "InstanceDeletionPending");
    let going =
        until(&api, name, |one| condition(one, "Terminating").1 == "InstanceDeletionInProgress")
            .await;
    let told = condition(&going, "Terminating");
    assert_eq!((told.0, told.2), ("True", "CustomResource deletion is in progress"));
    let (code, reason, message) = api.post(TABS, &tab("late")).await.refused();
    assert_eq!((code, reason.as_str()), (405, "MethodNotAllowed"));
    assert_eq!(message, "create not allowed while custom resource definition is terminating");
    let began = Instant::now();
    while api.get(TABS).await.ok()["items"].as_array().unwrap().len() > 1 {
        assert!(began.elapsed() < PATIENCE);
    }
    assert_eq!(api.get(&path).await.code, 200);
    let free = json!({ "metadata": { "finalizers": null } });
    api.send("PATCH", &format!("{TABS}/held"), MERGE, &free).await.ok();
    gone(&api, &path).await;
    let mut last = None;
    while let Some(event) = watch.next().await {
        last = Some(event);
    }
    assert_eq!(last.unwrap()["type"], "DELETED");
    gone(&api, TABS).await;
    assert_eq!(api.get("/apis/example.com").await.code, 404);
    // Once more, and nothing of before is there.
    establish(&api, &definition()).await;
    assert_eq!(api.get(TABS).await.ok()["items"], json!([]));
    api.post(TABS, &tab("a")).await.ok();
}

/// Red when a create that began before the end is not waited for: its object would come back with the next definition.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_after_the_end() {
    let api = Arc::new(Harness::start().await);
    for round in 0..8 {
        establish(&api, &definition()).await;
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let api = Arc::clone(&api);
                tokio::spawn(async move {
                    for n in 0.. {
                        match api.post(TABS, &tab(&format!("w{writer}-{n}"))).await.code {
                            201 => {}
                            404 | 405 => return,
                            other => panic!("{other}"),
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(5 * round)).await;
        api.delete(&format!("{DEFINITIONS}/tabs.example.com")).await.ok();
        for writer in writers {
            writer.await.unwrap();
        }
        gone(&api, &format!("{DEFINITIONS}/tabs.example.com")).await;
        establish(&api, &definition()).await;
        assert_eq!(api.get(TABS).await.ok()["items"], json!([]), "round {round}");
        api.delete(&format!("{DEFINITIONS}/tabs.example.com")).await.ok();
        gone(&api, &format!("{DEFINITIONS}/tabs.example.com")).await;
    }
}

#[tokio::test]
async fn a_name_that_is_taken_is_had_when_it_is_free() {
    let api = Harness::start().await;
    establish(&api, &definition()).await;
    let other = named("others", "Tab");
    api.post(DEFINITIONS, &other).await.ok();
    let waits = until(&api, "others.example.com", is("NamesAccepted", "False")).await;
    assert_eq!(
        condition(&waits, "NamesAccepted"),
        ("False", "ListKindConflict", r#""TabList" is already in use"#)
    );
    let why = "not all names are accepted";
    assert_eq!(condition(&waits, "Established"), ("False", "NotAccepted", why));
    assert_eq!(api.get("/apis/example.com/v1/others").await.code, 404);
    api.delete(&format!("{DEFINITIONS}/tabs.example.com")).await.ok();
    until(&api, "others.example.com", is("Established", "True")).await;
    assert_eq!(api.get("/apis/example.com/v1/others").await.code, 200);
    // One that was never established goes at once.
    let again = named("thirds", "Tab");
    api.post(DEFINITIONS, &again).await.ok();
    until(&api, "thirds.example.com", is("NamesAccepted", "False")).await;
    api.delete(&format!("{DEFINITIONS}/thirds.example.com")).await.ok();
    gone(&api, &format!("{DEFINITIONS}/thirds.example.com")).await;
}

#[tokio::test]
async fn groups_of_the_community_say_who_approved() {
    let api = Harness::start().await;
    let mut definition = definition();
    let annotation = "https://github.com/kubernetes/kubernetes/pull/1";
    definition["metadata"] = json!({
        "name": "tabs.x.k8s.io", "annotations": { "api-approved.kubernetes.io": annotation },
    });
    definition["spec"]["group"] = "x.k8s.io".into();
    let made = establish(&api, &definition).await;
    let told = condition(&made, "KubernetesAPIApprovalPolicyConformant");
    let why = format!("approved in {annotation}");
    assert_eq!(told, ("True", "ApprovedAnnotation", why.as_str()));
}

#[tokio::test]
async fn objects_are_there_after_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let api = Harness::over(store.clone()).await;
    establish(&api, &definition()).await;
    let one = api.post(TABS, &tab("one")).await.ok();
    let from = common::version(&one);
    api.post(TABS, &tab("two")).await.ok();
    let mut held = tab("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    api.post(TABS, &held).await.ok();
    drop(api);
    let api = Harness::over(store.clone()).await;
    assert_eq!(api.get(&format!("{TABS}/one")).await.ok(), one);
    let mut watch = api.watch(&format!("{TABS}?watch=true&resourceVersion={from}")).await;
    assert_eq!(watch.named().await, pair("ADDED", "two"));
    assert!(api.get("/openapi/v3").await.ok()["paths"]["apis/example.com/v1"].is_object());
    // An end that was begun goes on.
    api.delete(&format!("{DEFINITIONS}/tabs.example.com")).await.ok();
    drop(api);
    let api = Harness::over(store).await;
    assert_eq!(api.post(TABS, &tab("late")).await.code, 405);
    let free = json!({ "metadata": { "finalizers": null } });
    api.send("PATCH", &format!("{TABS}/held"), MERGE, &free).await.ok();
    gone(&api, &format!("{DEFINITIONS}/tabs.example.com")).await;
    gone(&api, TABS).await;
}

#[tokio::test]
async fn many_definitions_come_at_once() {
    let api = Arc::new(Harness::start().await);
    let made: Vec<_> = (0..60)
        .map(|n| {
            let api = Arc::clone(&api);
            tokio::spawn(async move {
                establish(&api, &named(&format!("k{n}s"), &format!("K{n}"))).await;
                let body = json!({ "apiVersion": "example.com/v1", "kind": format!("K{n}"), "metadata": { "name": "x" } });
                let path = format!("/apis/example.com/v1/namespaces/default/k{n}s");
                assert_eq!(api.post(&path, &body).await.code, 201);
            })
        })
        .collect();
    for one in made {
        one.await.unwrap();
    }
    let legacy = api.get("/apis/example.com/v1").await.ok();
    assert_eq!(legacy["resources"].as_array().unwrap().len(), 180);
}

#[tokio::test]
async fn rules_are_checked_with_the_definition_and_held_by_every_write() {
    const MERGE: &str = "application/merge-patch+json";
    let api = Harness::start().await;
    let ruled = |rule: &str| {
        let mut definition = definition();
        let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        schema["properties"]["spec"]["x-kubernetes-validations"] = json!([{ "rule": rule }]);
        schema["properties"]["status"]["properties"]["replicas"]["x-kubernetes-validations"] =
            json!([{ "rule": "self >= oldSelf", "message": "replicas only grow" }]);
        definition
    };
    let refused = api.post(DEFINITIONS, &ruled("self.atlas != ''")).await;
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    let why = "properties[spec].x-kubernetes-validations[0].rule: Invalid value: {\"Rule\":\"self.atlas != ''\"";
    assert!(message.contains(why), "{message}");
    assert!(message.contains("<input>:1:5: undefined field 'atlas'"), "{message}");

    establish(&api, &ruled("int(self.at) < 60")).await;
    let wrong = "Tab.example.com \"one\" is invalid: spec: Invalid value: \"object\": failed rule: int(self.at) < 60";
    let mut late = tab("one");
    late["spec"]["at"] = json!("61");
    let said = |answer: &Read| answer.json()["message"].clone();
    assert_eq!(said(&api.post(TABS, &late).await), wrong);
    api.post(TABS, &tab("one")).await.ok();
    let one = format!("{TABS}/one");
    let patch = json!({ "spec": { "at": "61" } });
    assert_eq!(said(&api.send("PATCH", &one, MERGE, &patch).await), wrong);
    assert_eq!(said(&api.apply(&one, "who", "force=true", &late).await), wrong);
    let status = |replicas: u32| json!({ "status": { "replicas": replicas } });
    let path = format!("{one}/status");
    api.send("PATCH", &path, MERGE, &status(5)).await.ok();
    let shrunk = api.send("PATCH", &path, MERGE, &status(4)).await;
    let wrong = "Tab.example.com \"one\" is invalid: status.replicas: Invalid value: \"integer\": replicas only grow";
    assert_eq!(said(&shrunk), wrong);
}
