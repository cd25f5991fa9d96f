//! What OpenShift's clients ask for that is kept as something else, or not at all.

mod common;

use common::*;
use serde_json::json;

const PROJECTS: &str = "/apis/project.openshift.io/v1";

#[tokio::test]
async fn a_project_is_asked_for_and_is_a_namespace() {
    let api = Harness::start().await;
    let may = api.get(&format!("{PROJECTS}/projectrequests")).await.ok();
    assert_eq!((&may["kind"], &may["status"]), (&json!("Status"), &json!("Success")));
    let wish = json!({ "metadata": { "name": "shop" }, "displayName": "The shop" });
    let made = api.post(&format!("{PROJECTS}/projectrequests"), &wish).await.ok();
    assert_eq!(
        (&made["kind"], &made["apiVersion"]),
        (&json!("Project"), &json!("project.openshift.io/v1"))
    );
    let annotations = &api.get("/api/v1/namespaces/shop").await.ok()["metadata"]["annotations"];
    assert_eq!(annotations["openshift.io/display-name"], "The shop");
    assert_eq!(annotations["openshift.io/requester"], "kubernetes-admin");
    let seen = api.get(&format!("{PROJECTS}/projects/shop")).await.ok();
    assert_eq!((&seen["kind"], &seen["status"]["phase"]), (&json!("Project"), &json!("Active")));
    let names: Vec<String> = api.get(&format!("{PROJECTS}/projects")).await.ok()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(names.contains(&"default".to_owned()) && names.contains(&"shop".to_owned()));
    let (code, reason, message) =
        api.post(&format!("{PROJECTS}/projectrequests"), &wish).await.refused();
    assert_eq!((code, reason.as_str()), (409, "AlreadyExists"), "{message}");
    assert!(message.starts_with("projects.project.openshift.io \"shop\""), "{message}");
    let own = json!({ "metadata": { "name": "kube-mine" } });
    let (code, _, message) = api.post(&format!("{PROJECTS}/projectrequests"), &own).await.refused();
    assert_eq!(code, 403);
    assert!(message.contains("cannot request a project starting with \"kube-\""), "{message}");
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let rows = api.raw("GET", &format!("{PROJECTS}/projects/shop"), &table, b"").await.ok();
    assert_eq!(rows["rows"][0]["cells"], json!(["shop", "The shop", "Active"]));
    api.delete(&format!("{PROJECTS}/projects/shop")).await.ok();
    let going = api.get("/api/v1/namespaces/shop").await.ok();
    assert_eq!(going["status"]["phase"], "Terminating");
}

#[tokio::test]
async fn a_template_is_processed_and_not_kept() {
    let api = Harness::start().await;
    let path = "/apis/template.openshift.io/v1/namespaces/default";
    let template = json!({
        "apiVersion": "template.openshift.io/v1", "kind": "Template", "metadata": { "name": "t" },
        "labels": { "from": "${NAME}" },
        "parameters": [
            { "name": "NAME", "required": true },
            { "name": "SECRET", "generate": "expression", "from": "[a-z]{8}" },
            { "name": "PORT", "value": "80" },
        ],
        "objects": [{ "kind": "Service", "apiVersion": "v1", "metadata": { "name": "${NAME}-s" },
                      "spec": { "ports": [{ "port": "${{PORT}}" }] }, "x": "${SECRET}" }],
    });
    let (code, _, message) =
        api.post(&format!("{path}/processedtemplates"), &template).await.refused();
    assert_eq!(code, 422);
    assert!(message.contains("parameter NAME is required and must be specified"), "{message}");
    let mut given = template;
    given["parameters"][0]["value"] = "shop".into();
    let done = api.post(&format!("{path}/processedtemplates"), &given).await.ok();
    let object = &done["objects"][0];
    assert_eq!(object["metadata"], json!({ "name": "shop-s", "labels": { "from": "shop" } }));
    assert_eq!(object["spec"]["ports"][0]["port"], 80);
    assert_eq!(object["x"].as_str().map(str::len), Some(8));
    assert_eq!(api.get(&format!("{path}/templates")).await.ok()["items"], json!([]));
}

#[tokio::test]
async fn roles_have_an_older_name() {
    let api = Harness::start().await;
    let older = "/apis/authorization.openshift.io/v1/namespaces/default/rolebindings";
    let binding = json!({
        "metadata": { "name": "b" }, "roleRef": { "name": "view" },
        "subjects": [{ "kind": "User", "name": "u" }],
    });
    api.post(older, &binding).await.ok();
    let kept =
        api.get("/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/b").await.ok();
    assert_eq!(kept["roleRef"]["kind"], "ClusterRole");
    assert_eq!(kept["subjects"][0]["name"], "u");
    assert_eq!(
        api.get(&format!("{older}/b")).await.ok()["apiVersion"],
        "authorization.openshift.io/v1"
    );
}
