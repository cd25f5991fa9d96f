//! Objects of the kinds that CustomResourceDefinitions define: what their schema says of them.

mod common;

use common::defined::*;
use common::*;
use serde_json::{Value, json};

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
    two["spec"]["versions"] = json!([of_version("v1beta1", true), of_version("v1", false)]);
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
    let none = api.get(old).await;
    assert_eq!((none.code, &*none.body), (404, &b"404 page not found\n"[..]));
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

// Red when every 404 is a Status: nobody but the definitions answers below their groups.
#[tokio::test]
async fn what_no_definition_defines_is_a_page_that_is_not_there() {
    let api = Harness::start().await;
    establish(&api, &definition()).await;
    for (method, path) in [
        ("GET", "/apis/example.com/v9"),
        ("GET", "/apis/example.com/v1/nope"),
        ("GET", "/apis/example.com/v9/tabs"),
        ("GET", "/apis/example.com/v1/tabs/a"),
        ("POST", "/apis/example.com/v1/tabs"),
        ("DELETE", "/apis/example.com/v1/tabs"),
    ] {
        let answer = api.raw(method, path, &[], b"{}").await;
        let found = (answer.code, String::from_utf8_lossy(&answer.body).into_owned());
        assert_eq!(found, (404, "404 page not found\n".to_owned()), "{method} {path}");
    }
    assert_eq!(api.get("/apis/example.com/v1/tabs").await.code, 200);
    for method in ["PUT", "PATCH"] {
        let refused = api.send(method, TABS, MERGE, &json!({})).await.refused();
        assert_eq!(refused, (400, "BadRequest".into(), "name must be provided".into()));
    }
    let unknown = api.get(&format!("{TABS}/a/nope")).await.refused();
    assert_eq!((unknown.0, unknown.2.as_str()), (404, "tabs.example.com \"a\" not found"));
}

// Red when what a body leaves out is taken from its URL, as it is of built-in kinds.
#[tokio::test]
async fn an_object_says_its_kind_and_version_itself() {
    let api = Harness::start().await;
    establish(&api, &definition()).await;
    let (one, ignore) = (format!("{TABS}/one"), format!("{TABS}?fieldValidation=Ignore"));
    api.post(TABS, &tab("one")).await.ok();
    let no_kind = json!({ "apiVersion": "example.com/v1", "metadata": { "name": "one" } });
    let missing = format!("Object 'Kind' is missing in '{no_kind}'");
    let shown = &no_kind.to_string()[..30];
    let said = format!(
        "the object provided is unrecognized (must be of type Tab): {missing} ({shown} ...)"
    );
    let bad = |said: &str| (400, "BadRequest".to_owned(), said.to_owned());
    assert_eq!(api.post(TABS, &no_kind).await.refused(), bad(&said));
    assert_eq!(api.put(&one, &no_kind).await.refused(), bad(&said));
    let said = format!("Tab in version \"v1\" cannot be handled as a Tab: {missing}");
    assert_eq!(api.post(&ignore, &no_kind).await.refused(), bad(&said));
    let said =
        "the API version in the data () does not match the expected API version (example.com/v1)";
    let no_version = json!({ "kind": "Tab", "metadata": { "name": "one" } });
    assert_eq!(api.post(TABS, &no_version).await.refused(), bad(said));
    assert_eq!(api.put(&one, &no_version).await.refused(), bad(said));
    let said =
        "the API version in the data (v1) does not match the expected API version (example.com/v1)";
    let other = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "one" } });
    assert_eq!(api.post(TABS, &other).await.refused(), bad(said));
    let patch = async |change: Value| api.send("PATCH", &one, MERGE, &change).await.refused();
    let (code, reason, message) = patch(json!({ "kind": null })).await;
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert!(message.contains("Object 'Kind' is missing in"), "{message}");
    let said = "Tab.example.com \"one\" is invalid: apiVersion: Invalid value: \"\": must be example.com/v1";
    assert_eq!(patch(json!({ "apiVersion": null })).await, (422, "Invalid".into(), said.into()));
    // Of a built-in kind the URL says it.
    let map = json!({ "metadata": { "name": "plain" } });
    assert_eq!(api.post(CONFIG_MAPS, &map).await.ok()["kind"], "ConfigMap");
}
