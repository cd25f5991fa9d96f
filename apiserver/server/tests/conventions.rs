//! One test per sentence of the API conventions: writes, optimistic concurrency, lists and their pages.

mod common;

use std::sync::Arc;

use common::*;
use serde_json::{Value, json};

#[tokio::test]
async fn a_created_object_has_uid_time_and_version_and_is_found_again() {
    let api = Harness::start().await;
    let created = api.post(CONFIG_MAPS, &config_map("a")).await;
    assert_eq!(created.code, 201);
    let created = created.ok();
    assert!(
        created["metadata"]["uid"].is_string()
            && created["metadata"]["creationTimestamp"].is_string()
    );
    assert_eq!(created["metadata"]["namespace"], "default");
    assert_eq!(api.get(&format!("{CONFIG_MAPS}/a")).await.ok(), created);
}

#[tokio::test]
async fn creating_what_exists_is_409_and_getting_what_does_not_is_404() {
    let api = Harness::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let (code, reason, message) = api.post(CONFIG_MAPS, &config_map("a")).await.refused();
    assert_eq!((code, reason.as_str()), (409, "AlreadyExists"));
    assert_eq!(message, r#"configmaps "a" already exists"#);
    let missing = api.get(&format!("{CONFIG_MAPS}/b")).await;
    assert_eq!(missing.json()["details"], json!({ "name": "b", "kind": "configmaps" }));
    assert_eq!(missing.refused().2, r#"configmaps "b" not found"#);
}

#[tokio::test]
async fn generated_names_start_with_the_prefix_and_differ() {
    let api = Harness::start().await;
    let body =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "generateName": "x-" } });
    let one = api.post(CONFIG_MAPS, &body).await.ok()["metadata"]["name"].clone();
    let two = api.post(CONFIG_MAPS, &body).await.ok()["metadata"]["name"].clone();
    assert_ne!(one, two);
    assert!(one.as_str().unwrap().starts_with("x-") && one.as_str().unwrap().len() == 7);
}

#[tokio::test]
async fn an_update_with_a_stale_version_is_409_and_without_a_change_writes_nothing() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let first = api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let unchanged = api.put(&path, &first).await.ok();
    assert_eq!(version(&unchanged), version(&first));
    let mut changed = first.clone();
    changed["data"]["k"] = "w".into();
    let second = api.put(&path, &changed).await.ok();
    assert!(version(&second).parse::<u64>().unwrap() > version(&first).parse::<u64>().unwrap());
    assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"]);
    changed["data"]["k"] = "z".into();
    let (code, reason, message) = api.put(&path, &changed).await.refused();
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(message.contains("the object has been modified"), "{message}");
}

#[tokio::test]
async fn of_many_writers_each_success_is_one_increment() {
    let api = Arc::new(Harness::start().await);
    let mut body = config_map("n");
    body["data"]["k"] = "0".into();
    api.post(CONFIG_MAPS, &body).await.ok();
    let writers = (0..8).map(|_| {
        let api = Arc::clone(&api);
        tokio::spawn(async move {
            let path = format!("{CONFIG_MAPS}/n");
            let mut won = 0u64;
            for _ in 0..20 {
                let mut object = api.get(&path).await.ok();
                let n: u64 = object["data"]["k"].as_str().unwrap().parse().unwrap();
                object["data"]["k"] = (n + 1).to_string().into();
                let answer = api.put(&path, &object).await;
                assert!(matches!(answer.code, 200 | 409), "{}", answer.code);
                won += u64::from(answer.code == 200);
            }
            won
        })
    });
    let won: u64 = futures::future::join_all(writers).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(api.get(&format!("{CONFIG_MAPS}/n")).await.ok()["data"]["k"], won.to_string());
}

#[tokio::test]
async fn each_patch_type_does_what_its_standard_says() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let merged =
        api.send("PATCH", &path, MERGE, &json!({ "data": { "k": null, "m": "1" } })).await.ok();
    assert_eq!(merged["data"], json!({ "m": "1" }));
    let patch = json!([{ "op": "replace", "path": "/data/m", "value": "2" }]);
    assert_eq!(
        api.send("PATCH", &path, JSON_PATCH, &patch).await.ok()["data"],
        json!({ "m": "2" })
    );
    let patch = json!({ "metadata": { "finalizers": ["x.io/y"] } });
    api.send("PATCH", &path, STRATEGIC, &patch).await.ok();
    let patch = json!({ "metadata": { "finalizers": ["x.io/z"] } });
    let both = api.send("PATCH", &path, STRATEGIC, &patch).await.ok();
    assert_eq!(both["metadata"]["finalizers"].as_array().unwrap().len(), 2);
    assert_eq!(api.send("PATCH", &path, "text/plain", &patch).await.refused().0, 415);
    let stale = json!({ "metadata": { "resourceVersion": "1" } });
    assert_eq!(api.send("PATCH", &path, MERGE, &stale).await.refused().0, 409);
}

#[tokio::test]
async fn unknown_fields_are_refused_warned_of_or_ignored_as_asked() {
    let api = Harness::start().await;
    let mut body = config_map("a");
    body["dataa"] = json!({});
    let strict = api.post(&format!("{CONFIG_MAPS}?fieldValidation=Strict"), &body).await;
    let (code, _, message) = strict.refused();
    let want = r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dataa""#;
    assert_eq!((code, message.as_str()), (400, want));
    let warned = api.post(CONFIG_MAPS, &body).await;
    assert_eq!(warned.headers["warning"], r#"299 - "unknown field \"dataa\"""#);
    assert!(warned.ok().get("dataa").is_none());
    let path = format!("{CONFIG_MAPS}/a?fieldValidation=Strict");
    let refused = api.send("PATCH", &path, MERGE, &json!({ "dataa": { "b": "c" } })).await;
    let (code, _, message) = refused.refused();
    assert_eq!(code, 422);
    let want = r#" "" is invalid: patch: Invalid value: "{\"apiVersion\":\"v1\","#;
    assert!(message.starts_with(want), "{message}");
    let want = r#"}": strict decoding error: unknown field "dataa""#;
    assert!(message.ends_with(want), "{message}");
    let refused = api.send("PATCH", &path, STRATEGIC, &json!({ "dataa": { "b": "c" } })).await;
    let want = r#" "" is invalid: patch: Invalid value: "map[dataa:map[b:c]]": strict decoding error: unknown field "dataa""#;
    assert_eq!(refused.refused().2, want);
    body["metadata"]["name"] = "b".into();
    let ignored = api.post(&format!("{CONFIG_MAPS}?fieldValidation=Ignore"), &body).await;
    assert!(!ignored.headers.contains_key("warning"));
    assert_eq!(
        api.post(&format!("{CONFIG_MAPS}?fieldValidation=No"), &body).await.refused().0,
        422
    );
}

#[tokio::test]
async fn a_dry_run_answers_as_if_and_stores_nothing() {
    let api = Harness::start().await;
    assert_eq!(api.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("a")).await.code, 201);
    let path = format!("{CONFIG_MAPS}/a");
    assert_eq!(api.get(&path).await.code, 404);
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    api.send("PATCH", &format!("{path}?dryRun=All"), MERGE, &json!({ "data": { "k": "x" } }))
        .await
        .ok();
    api.delete(&format!("{path}?dryRun=All")).await.ok();
    assert_eq!(api.get(&path).await.ok()["data"]["k"], "v");
    assert_eq!(api.delete(&format!("{path}?dryRun=Some")).await.refused().0, 422);
}

#[tokio::test]
async fn a_delete_answers_success_and_finalizers_keep_the_object() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let mut body = config_map("a");
    body["metadata"]["finalizers"] = json!(["x.io/y"]);
    let uid = api.post(CONFIG_MAPS, &body).await.ok()["metadata"]["uid"].clone();
    let wrong = json!({ "preconditions": { "uid": "no" } });
    assert_eq!(api.send("DELETE", &path, "application/json", &wrong).await.refused().0, 409);
    assert!(api.delete(&path).await.ok()["metadata"]["deletionTimestamp"].is_string());
    let none = json!({ "metadata": { "finalizers": null } });
    api.send("PATCH", &path, MERGE, &none).await.ok();
    assert_eq!(api.get(&path).await.code, 404);
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let gone = api.delete(&path).await.ok();
    assert_eq!(gone["status"], "Success");
    assert_eq!(gone["details"]["name"], "a");
    assert_ne!(gone["details"]["uid"], uid);
}

#[tokio::test]
async fn a_collection_is_deleted_by_its_selector() {
    let api = Harness::start().await;
    for name in ["a", "b", "c"] {
        let mut body = config_map(name);
        body["metadata"]["labels"] = json!({ "keep": (name == "c").to_string() });
        api.post(CONFIG_MAPS, &body).await.ok();
    }
    let deleted = api.delete(&format!("{CONFIG_MAPS}?labelSelector=keep=false")).await.ok();
    assert_eq!(deleted["items"].as_array().unwrap().len(), 2);
    assert_eq!(names(&api.get(CONFIG_MAPS).await.ok()), ["c"]);
}

#[tokio::test]
async fn nothing_is_created_where_there_is_no_namespace_or_one_that_ends() {
    let api = Harness::start().await;
    let missing = api.post("/api/v1/namespaces/no/configmaps", &config_map("a")).await.refused();
    assert_eq!(missing, (404, "NotFound".into(), r#"namespaces "no" not found"#.into()));
    let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "x" } });
    api.post("/api/v1/namespaces", &body).await.ok();
    let marked = api.delete("/api/v1/namespaces/x").await.ok();
    assert_eq!(marked["status"]["phase"], "Terminating");
    assert_eq!(
        api.post("/api/v1/namespaces/x/configmaps", &config_map("a")).await.refused().0,
        403
    );
    let mut done = marked.clone();
    done["spec"]["finalizers"] = json!([]);
    api.put("/api/v1/namespaces/x/finalize", &done).await.ok();
    assert_eq!(api.get("/api/v1/namespaces/x").await.code, 404);
    assert_eq!(api.delete("/api/v1/namespaces/default").await.refused().0, 403);
}

#[tokio::test]
async fn yaml_bodies_are_read_and_bodies_too_large_or_too_deep_are_not() {
    let api = Harness::start().await;
    let yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\ndata: {a: 'yes'}\n";
    let made = api.raw("POST", CONFIG_MAPS, &[("content-type", "application/yaml")], yaml).await;
    assert_eq!(made.ok()["data"]["a"], "yes");
    let json = [("content-type", "application/json")];
    assert_eq!(
        api.raw("POST", CONFIG_MAPS, &json, &vec![b' '; 3 * 1024 * 1024 + 1]).await.refused().0,
        413
    );
    let deep = "[".repeat(100_000);
    assert_eq!(api.raw("POST", CONFIG_MAPS, &json, deep.as_bytes()).await.refused().0, 400);
    assert_eq!(api.raw("POST", CONFIG_MAPS, &json, b"{").await.refused().0, 400);
    assert_eq!(api.raw("POST", CONFIG_MAPS, &json, b"").await.refused().0, 400);
}

#[tokio::test]
async fn a_body_of_another_kind_name_or_namespace_is_refused() {
    let api = Harness::start().await;
    let mut body = config_map("a");
    body["kind"] = "Secret".into();
    assert_eq!(api.post(CONFIG_MAPS, &body).await.refused().0, 400);
    body = config_map("a");
    body["metadata"]["namespace"] = "other".into();
    assert_eq!(api.post(CONFIG_MAPS, &body).await.refused().0, 400);
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    assert_eq!(api.put(&format!("{CONFIG_MAPS}/a"), &config_map("b")).await.refused().0, 400);
    assert_eq!(api.post(CONFIG_MAPS, &config_map("../x")).await.refused().0, 422);
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("items");
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_of_one_list_are_of_one_revision() {
    let api = Harness::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        api.post(CONFIG_MAPS, &config_map(name)).await.ok();
    }
    let first = api.get(&format!("{CONFIG_MAPS}?limit=2")).await.ok();
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["kind"], "ConfigMapList");
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    api.delete(&format!("{CONFIG_MAPS}/c")).await.ok();
    api.post(CONFIG_MAPS, &config_map("cc")).await.ok();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = api.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.ok();
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(version(&second), version(&first));
    let token = second["metadata"]["continue"].as_str().unwrap();
    let last = api.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.ok();
    assert_eq!(names(&last), ["e"]);
    assert!(last["metadata"].get("continue").is_none());
    assert_eq!(api.get(&format!("{CONFIG_MAPS}?continue=forged")).await.refused().0, 400);
}

#[tokio::test]
async fn selectors_choose_and_unknown_fields_are_400() {
    let api = Harness::start().await;
    for name in ["a", "b"] {
        let mut body = config_map(name);
        body["metadata"]["labels"] = json!({ "app": name });
        api.post(CONFIG_MAPS, &body).await.ok();
    }
    let by_label = api.get(&format!("{CONFIG_MAPS}?labelSelector=app%20in%20(a,z)")).await.ok();
    assert_eq!(names(&by_label), ["a"]);
    let by_field = api.get(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Db")).await.ok();
    assert_eq!(names(&by_field), ["b"]);
    let (code, _, message) = api.get(&format!("{CONFIG_MAPS}?fieldSelector=x%3Dy")).await.refused();
    let usual = r#""x" is not a known field selector: only "metadata.name", "metadata.namespace""#;
    assert_eq!((code, message.as_str()), (400, usual));
    let pods = "/api/v1/namespaces/default/pods?fieldSelector=x%3Dy";
    let own = "field label not supported: x";
    assert_eq!(api.get(pods).await.refused().2, own);
    let roles =
        "/apis/rbac.authorization.k8s.io/v1/clusterroles?fieldSelector=metadata.namespace%3Da";
    assert!(names(&api.get(roles).await.ok()).is_empty());
    assert_eq!(api.get(&format!("{CONFIG_MAPS}?labelSelector=%21%21")).await.refused().0, 400);
}

#[tokio::test]
async fn a_list_is_of_the_revision_asked_for() {
    let api = Harness::start().await;
    let first = version(&api.post(CONFIG_MAPS, &config_map("a")).await.ok());
    api.post(CONFIG_MAPS, &config_map("b")).await.ok();
    let exact = format!("{CONFIG_MAPS}?resourceVersion={first}&resourceVersionMatch=Exact");
    assert_eq!(names(&api.get(&exact).await.ok()), ["a"]);
    let newer = format!("{CONFIG_MAPS}?resourceVersion={first}&resourceVersionMatch=NotOlderThan");
    assert_eq!(names(&api.get(&newer).await.ok()), ["a", "b"]);
    let alone = api.get(&format!("{CONFIG_MAPS}?resourceVersionMatch=Exact")).await.refused();
    assert_eq!((alone.0, alone.1.as_str()), (422, "Invalid"));
    assert_eq!(api.get(&format!("{CONFIG_MAPS}?resourceVersion=x")).await.refused().0, 422);
    let (code, reason, _) =
        api.get(&format!("{CONFIG_MAPS}?resourceVersion=99999999")).await.refused();
    assert_eq!((code, reason.as_str()), (504, "Timeout"));
}

#[tokio::test]
async fn tables_and_metadata_are_made_as_asked() {
    let api = Harness::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let accept = |text| [("accept", text)];
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let list = api.raw("GET", CONFIG_MAPS, &accept(table), b"").await.ok();
    assert_eq!(list["kind"], "Table");
    assert_eq!(list["columnDefinitions"][0]["name"], "Name");
    assert_eq!(list["rows"][0]["cells"][0], "a");
    assert_eq!(list["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let path = format!("{CONFIG_MAPS}/a?includeObject=Object");
    assert_eq!(
        api.raw("GET", &path, &accept(table), b"").await.ok()["rows"][0]["object"]["kind"],
        "ConfigMap"
    );
    let partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = api.raw("GET", CONFIG_MAPS, &accept(partial), b"").await.ok();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert!(list["items"][0].get("data").is_none());
    let protobuf = "application/vnd.kubernetes.protobuf";
    let alone = api.raw("GET", CONFIG_MAPS, &accept(protobuf), b"").await;
    assert!(alone.code == 200 && alone.body.starts_with(b"k8s\0"));
    let either = "application/vnd.kubernetes.protobuf,application/json";
    assert_eq!(
        api.raw("GET", CONFIG_MAPS, &accept(either), b"").await.ok()["kind"],
        "ConfigMapList"
    );
}

#[tokio::test]
async fn services_get_addresses_once_and_give_them_back() {
    let api = Harness::start().await;
    let services = "/api/v1/namespaces/default/services";
    let service = |name: &str, ip: Option<&str>| {
        let mut spec = json!({ "ports": [{ "port": 80 }] });
        if let Some(ip) = ip {
            spec["clusterIP"] = ip.into();
        }
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": spec })
    };
    let made = api.post(services, &service("a", None)).await.ok();
    let ip = made["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(ip.starts_with("10.96."), "{ip}");
    assert_eq!(api.post(services, &service("b", Some(&ip))).await.refused().0, 422);
    assert_eq!(api.post(services, &service("b", Some("10.96.0.1"))).await.refused().0, 422);
    assert_eq!(api.post(services, &service("b", Some("192.0.2.9"))).await.refused().0, 422);
    api.delete(&format!("{services}/a")).await.ok();
    assert_eq!(api.post(services, &service("b", Some(&ip))).await.ok()["spec"]["clusterIP"], ip);
}

#[tokio::test]
async fn a_scale_is_read_and_written_as_one() {
    let api = Harness::start().await;
    let rcs = "/api/v1/namespaces/default/replicationcontrollers";
    let labels = json!({ "app": "x" });
    let body = json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": { "name": "r" },
        "spec": { "replicas": 1, "selector": labels, "template": {
            "metadata": { "labels": labels },
            "spec": { "containers": [{ "name": "c", "image": "i" }] },
        } },
    });
    api.post(rcs, &body).await.ok();
    let mut scale = api.get(&format!("{rcs}/r/scale")).await.ok();
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(1)));
    scale["spec"]["replicas"] = 4.into();
    assert_eq!(api.put(&format!("{rcs}/r/scale"), &scale).await.ok()["spec"]["replicas"], 4);
    let patch = json!({ "spec": { "replicas": 2 } });
    assert_eq!(
        api.send("PATCH", &format!("{rcs}/r/scale"), MERGE, &patch).await.ok()["spec"]["replicas"],
        2
    );
    let status = json!({ "status": { "replicas": 2 }, "spec": { "replicas": 9 } });
    let patched = api.send("PATCH", &format!("{rcs}/r/status"), MERGE, &status).await.ok();
    assert_eq!(
        (&patched["status"]["replicas"], &patched["spec"]["replicas"]),
        (&json!(2), &json!(2))
    );
}

#[tokio::test]
async fn every_cluster_starts_with_its_namespaces_and_its_own_service() {
    let api = Harness::start().await;
    let namespaces = api.get("/api/v1/namespaces").await.ok();
    assert_eq!(names(&namespaces), ["default", "kube-node-lease", "kube-public", "kube-system"]);
    let service = api.get("/api/v1/namespaces/default/services/kubernetes").await.ok();
    assert_eq!(service["spec"]["clusterIP"], "10.96.0.1");
    let endpoints = api.get("/api/v1/namespaces/default/endpoints/kubernetes").await.ok();
    assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], "192.0.2.1");
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    assert_eq!(api.get(slices).await.ok()["endpoints"][0]["addresses"], json!(["192.0.2.1"]));
}

// Red when a patch gives up after so many tries: each failure is another's success, so the last one of many lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_patch_without_a_version_never_conflicts() {
    let api = Arc::new(Harness::start().await);
    api.post(CONFIG_MAPS, &config_map("n")).await.ok();
    let writers = (0..24).map(|writer| {
        let api = Arc::clone(&api);
        tokio::spawn(async move {
            let path = format!("{CONFIG_MAPS}/n");
            for count in 0..40 {
                let patch = json!({ "data": { format!("k{writer}"): count.to_string() } });
                let answer = api.send("PATCH", &path, MERGE, &patch).await;
                assert_eq!(answer.code, 200, "{:?}", answer.body);
            }
        })
    });
    futures::future::join_all(writers).await.into_iter().for_each(Result::unwrap);
    let data = api.get(&format!("{CONFIG_MAPS}/n")).await.ok()["data"].clone();
    assert!((0..24).all(|writer| data[format!("k{writer}")] == "39"), "{data}");
}

// Red when a wrong type is told as of a body, and when what is no patch is told in other words than upstream's.
#[tokio::test]
async fn a_patch_that_makes_no_sense_is_refused_in_upstreams_words() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let end = "unexpected end of JSON input";
    let no_map = |found: &str| {
        format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}")
    };
    let undecodable = |why: &str| format!("error decoding patch: {why}");
    let operations = "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp";
    let cases = [
        (MERGE, "[]", undecodable(&no_map("array"))),
        (MERGE, "\"x\"", undecodable(&no_map("string"))),
        (MERGE, "{", undecodable(end)),
        (MERGE, "", undecodable(end)),
        (STRATEGIC, "[]", no_map("array")),
        (STRATEGIC, "{", end.to_owned()),
        (STRATEGIC, "", end.to_owned()),
        (JSON_PATCH, "{}", undecodable(operations)),
        (JSON_PATCH, "", undecodable(end)),
        (
            JSON_PATCH,
            "[5]",
            undecodable("json: cannot unmarshal number into Go value of type handlers.jsonPatchOp"),
        ),
    ];
    for (media_type, body, message) in cases {
        let headers = [("content-type", media_type)];
        let answer = api.raw("PATCH", &path, &headers, body.as_bytes()).await;
        let expected = (400, "BadRequest".to_owned(), message);
        assert_eq!(answer.refused(), expected, "{media_type} {body}");
    }
    let number = json!({ "data": { "q": 5 } });
    let (code, reason, message) = api.send("PATCH", &path, MERGE, &number).await.refused();
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert!(message.starts_with(r#" "" is invalid: patch: Invalid value: "{"#), "{message}");
    let why = "json: cannot unmarshal number into Go struct field ConfigMap.data of type string";
    assert!(message.ends_with(&format!(": {why}")), "{message}");
    let (code, _, message) = api.send("PATCH", &path, STRATEGIC, &number).await.refused();
    let want = r#" "" is invalid: patch: Invalid value: "map[data:map[q:5]]": cannot convert int64 to string"#;
    assert_eq!((code, message.as_str()), (422, want));
    let odd = json!([{ "op": "add", "path": "/data/k", "value": "w", "more": 1 }]);
    let warned = api.send("PATCH", &path, JSON_PATCH, &odd).await;
    assert_eq!(warned.headers["warning"], r#"299 - "json patch unknown field \"[0].more\"""#);
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" },
        "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    api.post(pods, &pod).await.ok();
    for wrong in [
        json!({ "spec": { "containers": [{ "image": "x" }] } }),
        json!({ "spec": { "containers": ["x"] } }),
        json!({ "spec": { "$patch": "no" } }),
        json!({ "spec": { "containers": 5 } }),
    ] {
        let (code, _, message) =
            api.send("PATCH", &format!("{pods}/p"), STRATEGIC, &wrong).await.refused();
        assert!(matches!(code, 400 | 422), "{wrong}: {code} {message}");
    }
}

#[tokio::test]
async fn a_manager_of_fields_has_a_short_printable_name() {
    let api = Harness::start().await;
    let create = |manager: String| {
        let (api, path) = (&api, format!("{CONFIG_MAPS}?fieldManager={manager}&dryRun=All"));
        async move { api.post(&path, &config_map("a")).await }
    };
    assert_eq!(create("m".repeat(128)).await.code, 201);
    let (code, _, message) = create("m".repeat(129)).await.refused();
    assert_eq!(
        (code, message.as_str()),
        (
            422,
            "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes"
        )
    );
    let (code, _, message) = create("a%07b".to_owned()).await.refused();
    assert_eq!(code, 422);
    assert!(message.ends_with("invalid character U+0007 (at position 1)"), "{message}");
}

#[tokio::test]
async fn a_patch_of_the_uid_is_422_and_a_put_of_it_is_409() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let mut object = api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    object["metadata"]["uid"] = "u2".into();
    assert_eq!(api.put(&path, &object).await.refused().0, 409);
    let uid = json!({ "metadata": { "uid": "u2" } });
    let (code, _, message) = api.send("PATCH", &path, MERGE, &uid).await.refused();
    let why = "metadata.uid: Invalid value: \"u2\": field is immutable";
    assert_eq!((code, message), (422, format!("ConfigMap \"a\" is invalid: {why}")));
}
