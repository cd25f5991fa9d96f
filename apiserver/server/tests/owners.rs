//! Who owns the fields of objects that are created, replaced and patched, and of what the server writes itself.

mod common;

use common::*;
use serde_json::{Value, json};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "a": "b" } },
            "template": {
                "metadata": { "labels": { "a": "b" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            },
        },
    })
}

async fn as_agent(api: &Harness, method: &str, path: &str, agent: &str, body: &Value) -> Read {
    let headers = [("content-type", "application/json"), ("user-agent", agent)];
    api.raw(method, path, &headers, body.to_string().as_bytes()).await
}

#[tokio::test]
async fn the_manager_is_the_one_named_or_the_program_that_asks() {
    let api = Harness::start().await;
    let of = |object: &Value| owners(object).first().map(|(who, _)| who.clone());
    for (name, query, agent, manager) in [
        ("a", "", "kubectl/v1.36.0 (linux/amd64)", "kubectl Update"),
        ("b", "?fieldManager=me", "kubectl/v1.36.0", "me Update"),
        ("c", "?fieldManager=", "", "unknown Update"),
        ("d", "", "a name\u{e9}", "a name\u{e9} Update"),
    ] {
        let path = format!("{CONFIG_MAPS}{query}");
        let made = as_agent(&api, "POST", &path, agent, &config_map(name)).await.ok();
        assert_eq!(of(&made).as_deref(), Some(manager));
        let entry = &made["metadata"]["managedFields"][0];
        assert_eq!(entry["apiVersion"], "v1");
        assert_eq!(entry["fieldsType"], "FieldsV1");
        assert_eq!(entry["time"], made["metadata"]["creationTimestamp"]);
        assert_eq!(entry["fieldsV1"], json!({ "f:data": { ".": {}, "f:k": {} } }));
    }
    let long = "m".repeat(300);
    let made = as_agent(&api, "POST", CONFIG_MAPS, &long, &config_map("e")).await.ok();
    assert_eq!(of(&made), Some(format!("{} Update", "m".repeat(128))));
}

#[tokio::test]
async fn a_bad_manager_is_refused_by_every_verb() {
    let api = Harness::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let (one, long) = (format!("{CONFIG_MAPS}/a"), "m".repeat(129));
    for (method, path, media, kind) in [
        ("POST", CONFIG_MAPS, "application/json", "CreateOptions"),
        ("PUT", &one, "application/json", "UpdateOptions"),
        ("PATCH", &one, MERGE, "PatchOptions"),
        ("PATCH", &one, APPLY, "PatchOptions"),
    ] {
        let answer =
            api.send(method, &format!("{path}?fieldManager={long}"), media, &config_map("a")).await;
        let (code, _, message) = answer.refused();
        assert_eq!(code, 422);
        assert_eq!(
            message,
            format!(
                "{kind}.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes"
            )
        );
        let answer =
            api.send(method, &format!("{path}?fieldManager=a%07"), media, &config_map("a")).await;
        let message = answer.refused().2;
        assert!(message.ends_with("invalid character U+0007 (at position 1)"), "{message}");
    }
}

#[tokio::test]
async fn each_way_of_writing_says_who_owns_what() {
    let api = Harness::start().await;
    let path = format!("{DEPLOYMENTS}/d");
    let made = as_agent(&api, "POST", DEPLOYMENTS, "creator", &deployment()).await.ok();
    let all = owned(&made, "creator Update");
    assert_eq!(all["f:spec"]["f:replicas"], json!({}));
    let container = &all["f:spec"]["f:template"]["f:spec"]["f:containers"][r#"k:{"name":"c"}"#];
    // Defaults of an update are the writer's, as the decoder makes them before anybody looks.
    assert_eq!(container["f:imagePullPolicy"], json!({}));

    let patch = json!({ "spec": { "paused": true } });
    let merged =
        api.send("PATCH", &format!("{path}?fieldManager=merger"), MERGE, &patch).await.ok();
    assert_eq!(owned(&merged, "merger Update"), json!({ "f:spec": { "f:paused": {} } }));
    let patch = json!([{ "op": "add", "path": "/metadata/labels", "value": { "x": "y" } }]);
    let path_of = |who: &str| format!("{path}?fieldManager={who}");
    let labelled = api.send("PATCH", &path_of("labeller"), JSON_PATCH, &patch).await.ok();
    let labels = json!({ "f:metadata": { "f:labels": { ".": {}, "f:x": {} } } });
    assert_eq!(owned(&labelled, "labeller Update"), labels);

    let scale = json!({ "spec": { "replicas": 3 } });
    api.send("PATCH", &format!("{path}/scale?fieldManager=scaler"), MERGE, &scale).await.ok();
    let status = json!({ "status": { "replicas": 2 }, "spec": { "replicas": 9 } });
    api.send("PATCH", &format!("{path}/status?fieldManager=counter"), MERGE, &status).await.ok();
    let object = api.get(&path).await.ok();
    assert_eq!(owned(&object, "scaler Update scale"), json!({ "f:spec": { "f:replicas": {} } }));
    assert_eq!(
        owned(&object, "counter Update status"),
        json!({ "f:status": { "f:replicas": {} } })
    );
    assert_eq!(owned(&object, "creator Update")["f:spec"]["f:replicas"], Value::Null);
    assert_eq!(object["spec"]["replicas"], 3);

    // The list goes with the object whatever is asked for.
    let metadata = [("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")];
    let partial = api.raw("GET", &path, &metadata, b"").await.ok();
    assert_eq!(partial["metadata"]["managedFields"], object["metadata"]["managedFields"]);
    let listed = api.get(DEPLOYMENTS).await.ok();
    assert_eq!(listed["items"][0]["metadata"], object["metadata"]);
}

#[tokio::test]
async fn what_changes_nothing_is_not_written_for_the_sake_of_a_time() {
    let api = Harness::start().await;
    let path = format!("{DEPLOYMENTS}/d");
    let made = api.post(&format!("{DEPLOYMENTS}?fieldManager=a"), &deployment()).await.ok();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    for who in ["a", "b"] {
        let put = api.put(&format!("{path}?fieldManager={who}"), &made).await.ok();
        assert_eq!(put, made);
        let bare = api.put(&format!("{path}?fieldManager={who}"), &deployment()).await.ok();
        assert_eq!(bare, made);
        let patch = json!({ "spec": { "replicas": 1 } });
        let path = format!("{path}?fieldManager={who}");
        assert_eq!(api.send("PATCH", &path, MERGE, &patch).await.ok(), made);
    }
}

#[tokio::test]
async fn a_client_may_clear_or_write_the_list() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    api.post(&format!("{CONFIG_MAPS}?fieldManager=a"), &config_map("a")).await.ok();
    let clear = json!({ "metadata": { "managedFields": [{}] } });
    let cleared = api.send("PATCH", &path, MERGE, &clear).await.ok();
    assert_eq!(cleared["metadata"].get("managedFields"), None);
    // Nobody is made the owner of what was there by an update.
    let patch = json!({ "data": { "l": "m" } });
    let patched = api.send("PATCH", &path, MERGE, &patch).await.ok();
    assert_eq!(patched["metadata"].get("managedFields"), None);

    let entry = |manager: &str, operation: &str| {
        json!({
            "manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1",
            "time": "2026-01-02T03:04:05Z", "fieldsV1": { "f:data": { "f:k": {} } },
        })
    };
    let mut object = patched.clone();
    object["metadata"]["managedFields"] = json!([entry("chosen", "Apply")]);
    let written = api.put(&path, &object).await.ok();
    assert_eq!(owned(&written, "chosen Apply"), json!({ "f:data": { "f:k": {} } }));
}

#[tokio::test]
async fn what_every_cluster_has_is_the_servers() {
    let api = Harness::start().await;
    for path in [
        "/api/v1/namespaces/default",
        "/api/v1/namespaces/default/services/kubernetes",
        "/api/v1/namespaces/default/endpoints/kubernetes",
    ] {
        let object = api.get(path).await.ok();
        let who: Vec<String> = owners(&object).into_iter().map(|(who, _)| who).collect();
        assert_eq!(who, ["kube-apiserver Update"], "{path}");
    }
}

#[tokio::test]
async fn a_binding_is_nobodys() {
    let api = Harness::start().await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" },
        "spec": { "containers": [{ "name": "c", "image": "i" }] },
    });
    let pods = "/api/v1/namespaces/default/pods";
    let made = api.post(&format!("{pods}?fieldManager=a"), &pod).await.ok();
    let binding = json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n" } });
    api.post(&format!("{pods}/p/binding?fieldManager=s"), &binding).await.ok();
    let bound = api.get(&format!("{pods}/p")).await.ok();
    assert_eq!(bound["spec"]["nodeName"], "n");
    assert_eq!(bound["metadata"]["managedFields"], made["metadata"]["managedFields"]);
}

#[tokio::test]
async fn lists_of_owners_go_out_and_come_in_as_protobuf() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let made = api.post(&format!("{CONFIG_MAPS}?fieldManager=a"), &config_map("a")).await.ok();
    let protobuf = "application/vnd.kubernetes.protobuf";
    let body = api.raw("GET", &path, &[("accept", protobuf)], b"").await.body;
    // Field 1 of a message in it holds the set as JSON.
    let set = made["metadata"]["managedFields"][0]["fieldsV1"].to_string();
    assert!(body.windows(set.len()).any(|part| part == set.as_bytes()));
    let back = api.raw("PUT", &path, &[("content-type", protobuf)], &body).await.ok();
    assert_eq!(back, made);
}

// Red when what is written is answered, or patched, with the text that stands for a set while it is written.
#[tokio::test]
async fn sets_are_documents_wherever_they_are_looked_at() {
    let api = Harness::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let one = format!("{CONFIG_MAPS}/a");
    let patch = |value: &str| json!({ "data": { "k": value } }).to_string();
    let entry = |object: &Value| object["metadata"]["managedFields"][0]["fieldsV1"].clone();
    let wanted = json!({ "f:data": { ".": {}, "f:k": {} } });
    for (at, query, accept) in [
        ("json", "", "application/json"),
        ("tried", "?dryRun=All", "application/json"),
        ("pretty", "?pretty=true", "application/json"),
        ("yaml", "", "application/yaml"),
    ] {
        let headers = [("content-type", MERGE), ("accept", accept)];
        let path = format!("{one}{query}");
        let answer = api.raw("PATCH", &path, &headers, patch(at).as_bytes()).await;
        assert_eq!(answer.code, 200, "{at}");
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        match accept {
            "application/yaml" => assert!(text.contains("fieldsV1:\n"), "{text}"),
            _ => assert_eq!(entry(&serde_json::from_str(&text).unwrap()), wanted, "{at}"),
        }
    }
    // What every operation finds there is what clients see.
    let path = "/metadata/managedFields/0/fieldsV1/f:data/f:k";
    for operations in [
        json!([{ "op": "test", "path": path, "value": {} }]),
        json!([{ "op": "test", "path": "/metadata/managedFields/0/fieldsV1", "value": wanted }]),
        json!([{ "op": "copy", "from": "/metadata", "path": "/metadata" }]),
        json!([{ "op": "replace", "path": "/metadata/managedFields/0/fieldsV1", "value": wanted }]),
    ] {
        let patched = api.send("PATCH", &one, JSON_PATCH, &operations).await.ok();
        assert_eq!(entry(&patched), wanted, "{operations}");
    }
    let gone =
        json!([{ "op": "remove", "path": path }, { "op": "add", "path": "/data/l", "value": "m" }]);
    let patched = api.send("PATCH", &one, JSON_PATCH, &gone).await.ok();
    assert_eq!(entry(&patched), json!({ "f:data": { ".": {}, "f:l": {} } }));
    // So is what a refusal shows.
    let wrong = json!({ "data": { "k": 1 } });
    let (code, _, message) = api.send("PATCH", &one, MERGE, &wrong).await.refused();
    assert_eq!(code, 422);
    assert!(message.contains(r#"\"fieldsV1\":{"#), "{message}");
}
