//! Kinds that CustomResourceDefinitions define, from their establishment to their end.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::defined::*;
use common::*;
use leme_store::memory::MemoryStore;
use serde_json::{Value, json};

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
