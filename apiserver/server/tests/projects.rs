//! Projects: each sees those that they may get, in lists and in watches, and has one by asking for it.

mod common;

use common::*;
use leme_server::Identity;
use serde_json::{Value, json};

const PROJECTS: &str = "/apis/project.openshift.io/v1/projects";
const REQUESTS: &str = "/apis/project.openshift.io/v1/projectrequests";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

fn person(name: &str, groups: &[&str]) -> Identity {
    Identity::of_certificate(name, groups.iter().map(|group| (*group).to_owned()))
}

fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": { "of": name } } })
}

fn subject(kind: &str, name: &str) -> Value {
    json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name })
}

fn bound(name: &str, subject: &Value) -> Value {
    json!({
        "metadata": { "name": name }, "subjects": [subject],
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "looker" },
    })
}

fn of_namespace(namespace: &str) -> String {
    format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings")
}

/// A server with namespaces of these names, and a role of who may get one.
async fn started(names: &[&str]) -> Harness {
    let api = Harness::start().await;
    for name in names {
        api.post("/api/v1/namespaces", &namespace(name)).await.ok();
    }
    let rules =
        json!([{ "apiGroups": [""], "resources": ["namespaces", "configmaps"], "verbs": ["get"] }]);
    api.post(ROLES, &json!({ "metadata": { "name": "looker" }, "rules": rules })).await.ok();
    api
}

async fn seen(api: &Harness, who: &Identity, query: &str) -> Vec<String> {
    let list = api.raw_as(who, "GET", &format!("{PROJECTS}{query}"), &Value::Null).await.ok();
    let name = |one: &Value| one["metadata"]["name"].as_str().unwrap().to_owned();
    list["items"].as_array().unwrap().iter().map(name).collect()
}

// Red with a list of all namespaces: whoever may list projects learnt of everybody's.
#[tokio::test]
async fn a_list_holds_what_one_may_get() {
    let api = started(&["one", "other", "third"]).await;
    let (ann, bob) = (person("ann", &["team"]), person("bob", &[]));
    assert_eq!(seen(&api, &ann, "").await, Vec::<String>::new());
    api.post(&of_namespace("one"), &bound("looks", &subject("User", "ann"))).await.ok();
    api.post(&of_namespace("third"), &bound("looks", &subject("Group", "team"))).await.ok();
    assert_eq!(seen(&api, &ann, "").await, ["one", "third"]);
    assert_eq!(seen(&api, &ann, "?labelSelector=of%3Dthird").await, ["third"]);
    assert_eq!(seen(&api, &ann, "?fieldSelector=metadata.name%3Dother").await, [""; 0]);
    assert_eq!(seen(&api, &bob, "").await, [""; 0]);
    // Pages hold as many as they shall of what is seen.
    let page = api.raw_as(&ann, "GET", &format!("{PROJECTS}?limit=1"), &Value::Null).await.ok();
    assert_eq!(page["items"][0]["metadata"]["name"], "one");
    assert!(page["metadata"].get("remainingItemCount").is_none(), "{page}");
    let next = page["metadata"]["continue"].as_str().unwrap();
    assert_eq!(seen(&api, &ann, &format!("?limit=1&continue={next}")).await, ["third"]);
    let all = person("root", &["system:masters"]);
    assert!(seen(&api, &all, "").await.len() >= 6);
    api.post(BINDINGS, &bound("looks", &subject("User", "bob"))).await.ok();
    assert_eq!(seen(&api, &bob, "").await, seen(&api, &all, "").await);
    // A namespace itself is as it was: nobody lists those who may not.
    let (code, reason, message) =
        api.raw_as(&ann, "GET", "/api/v1/namespaces", &Value::Null).await.refused();
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        message,
        "namespaces is forbidden: User \"ann\" cannot list resource \"namespaces\" in API group \"\" at the cluster scope"
    );
    let (code, _, message) =
        api.raw_as(&ann, "GET", &format!("{PROJECTS}/other"), &Value::Null).await.refused();
    assert_eq!(code, 403);
    assert_eq!(
        message,
        "projects.project.openshift.io \"other\" is forbidden: User \"ann\" cannot get resource \"projects\" in API group \"project.openshift.io\" in the namespace \"other\""
    );
}

// Red with a watch of all namespaces, and with one that follows namespaces alone.
#[tokio::test]
async fn a_watch_tells_of_rights_that_come_and_go() {
    let api = started(&["one", "other"]).await;
    let ann = person("ann", &[]);
    let mut watch = api.watch_as(&ann, &format!("{PROJECTS}?watch=true")).await;
    api.post("/api/v1/namespaces", &namespace("more")).await.ok();
    api.post(&of_namespace("other"), &bound("looks", &subject("User", "ann"))).await.ok();
    assert_eq!(watch.named().await, pair("ADDED", "other"));
    // Another binding of the same says nothing new; a change of what is seen does.
    api.post(&of_namespace("other"), &bound("again", &subject("User", "ann"))).await.ok();
    let label = json!({ "metadata": { "labels": { "x": "y" } } });
    api.send("PATCH", "/api/v1/namespaces/one", MERGE, &label).await.ok();
    api.send("PATCH", "/api/v1/namespaces/other", MERGE, &label).await.ok();
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["kind"]), (&json!("MODIFIED"), &json!("Project")));
    assert_eq!(event["object"]["metadata"]["labels"]["x"], "y");
    api.delete(&format!("{}/looks", of_namespace("other"))).await.ok();
    api.delete(&format!("{}/again", of_namespace("other"))).await.ok();
    let event = watch.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["metadata"]["name"]),
        (&json!("DELETED"), &json!("other"))
    );
    // What it becomes afterwards is not for who does not see it; a role for all brings all.
    let label = json!({ "metadata": { "labels": { "x": "z" } } });
    api.send("PATCH", "/api/v1/namespaces/other", MERGE, &label).await.ok();
    api.post(BINDINGS, &bound("looks", &subject("User", "ann"))).await.ok();
    let mut names = Vec::new();
    while names.len() < 7 {
        let (kind, name) = watch.named().await;
        assert_eq!(kind, "ADDED");
        names.push(name);
    }
    for name in ["one", "other", "more", "default"] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
    // So does a role that loses its rule take all, and one that gets it again gives it back.
    let none = json!({ "rules": [] });
    api.send("PATCH", &format!("{ROLES}/looker"), MERGE, &none).await.ok();
    for _ in 0..7 {
        assert_eq!(watch.named().await.0, "DELETED");
    }
    api.post("/api/v1/namespaces", &namespace("unseen")).await.ok();
    let rules = json!({ "rules": [{ "apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["one"], "verbs": ["get"] }] });
    api.send("PATCH", &format!("{ROLES}/looker"), MERGE, &rules).await.ok();
    assert_eq!(watch.named().await, pair("ADDED", "one"));
}

// Red when a watch that goes on from a list begins with what is seen when it is opened.
#[tokio::test]
async fn a_watch_goes_on_from_what_was_seen_then() {
    let api = started(&["one", "other"]).await;
    let ann = person("ann", &[]);
    api.post(&of_namespace("one"), &bound("looks", &subject("User", "ann"))).await.ok();
    let list = api.raw_as(&ann, "GET", PROJECTS, &Value::Null).await.ok();
    let from = list["metadata"]["resourceVersion"].as_str().unwrap();
    // Nothing is told twice.
    let going_on = format!("{PROJECTS}?watch=true&resourceVersion={from}");
    let mut first = api.watch_as(&ann, &going_on).await;
    api.delete(&format!("{}/looks", of_namespace("one"))).await.ok();
    api.post(&of_namespace("other"), &bound("looks", &subject("User", "ann"))).await.ok();
    api.post("/api/v1/namespaces", &namespace("more")).await.ok();
    let mut second = api.watch_as(&ann, &going_on).await;
    for watch in [&mut first, &mut second] {
        assert_eq!(watch.named().await, pair("DELETED", "one"));
        assert_eq!(watch.named().await, pair("ADDED", "other"));
    }
    let asked = format!(
        "{PROJECTS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let mut third = api.watch_as(&ann, &asked).await;
    assert_eq!(third.named().await, pair("ADDED", "other"));
    assert_eq!(third.named().await.0, "BOOKMARK");
}

#[tokio::test]
async fn a_project_is_asked_for_by_whom_it_is_allowed() {
    let api = started(&[]).await;
    let (ann, bob) = (person("ann", &["system:authenticated:oauth"]), person("bob", &[]));
    let (code, reason, message) = api.raw_as(&bob, "GET", REQUESTS, &Value::Null).await.refused();
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    assert_eq!(message, "You may not request a new project via this API.");
    let wish = |name: &str| {
        json!({ "metadata": { "name": name }, "apiVersion": "project.openshift.io/v1", "kind": "ProjectRequest",
            "displayName": "Shop ${X}", "description": "sells\nthings" })
    };
    let (code, _, message) = api.raw_as(&bob, "POST", REQUESTS, &wish("shop")).await.refused();
    assert_eq!(code, 403);
    assert_eq!(
        message,
        "projectrequests.project.openshift.io is forbidden: User \"bob\" cannot create resource \"projectrequests\" in API group \"project.openshift.io\" at the cluster scope"
    );
    assert_eq!(api.raw_as(&ann, "GET", REQUESTS, &Value::Null).await.ok()["status"], "Success");
    let made = api.raw_as(&ann, "POST", REQUESTS, &wish("shop")).await.ok();
    assert_eq!(made["kind"], "Project");
    let annotations = &made["metadata"]["annotations"];
    assert_eq!(annotations["openshift.io/requester"], "ann");
    assert_eq!(annotations["openshift.io/display-name"], "Shop ${X}");
    assert_eq!(annotations["openshift.io/description"], "sells\nthings");
    let admin = api.get(&format!("{}/admin", of_namespace("shop"))).await.ok();
    assert_eq!(admin["roleRef"]["name"], "admin");
    assert_eq!(admin["subjects"], json!([subject("User", "ann")]));
    let (code, _, message) = api.raw_as(&ann, "POST", REQUESTS, &wish("shop")).await.refused();
    assert_eq!(
        (code, message.as_str()),
        (409, "project.project.openshift.io \"shop\" already exists")
    );
    // In words of the cluster's own.
    let settings = "/apis/config.openshift.io/v1/projects";
    let own = json!({ "metadata": { "name": "cluster" }, "spec": { "projectRequestMessage": "call 555",
        "projectRequestTemplate": { "name": "ours" } } });
    api.post(settings, &own).await.ok();
    let refused = api.raw_as(&bob, "GET", REQUESTS, &Value::Null).await.json();
    assert_eq!((&refused["message"], &refused["code"]), (&json!("call 555"), &json!(403)));
    assert_eq!(refused["details"]["causes"][0]["message"], "call 555");
    let (code, _, message) = api.raw_as(&ann, "POST", REQUESTS, &wish("mine")).await.refused();
    assert_eq!(
        (code, message.as_str()),
        (404, "templates.template.openshift.io \"ours\" not found")
    );
}

#[tokio::test]
async fn a_project_is_made_of_a_template() {
    let api = started(&["openshift-config"]).await;
    let ann = person("ann", &["system:authenticated:oauth"]);
    let settings = json!({ "metadata": { "name": "cluster" }, "spec": { "projectRequestTemplate": { "name": "ours" } } });
    api.post("/apis/config.openshift.io/v1/projects", &settings).await.ok();
    let template = |objects: Value| {
        json!({
            "metadata": { "name": "ours" }, "objects": objects,
            "parameters": [{ "name": "PROJECT_NAME" }, { "name": "PROJECT_ADMIN_USER" }],
        })
    };
    let project = json!({ "apiVersion": "project.openshift.io/v1", "kind": "Project",
        "metadata": { "name": "${PROJECT_NAME}", "annotations": { "by": "${PROJECT_ADMIN_USER}" } } });
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "hello" }, "data": { "who": "${PROJECT_ADMIN_USER}" } });
    let binding = json!({ "apiVersion": "authorization.openshift.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "lookers" }, "roleRef": { "name": "looker" }, "userNames": ["${PROJECT_ADMIN_USER}"] });
    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "pods" }, "spec": { "hard": { "pods": "-1" } } });
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n" } });
    let path = "/apis/template.openshift.io/v1/namespaces/openshift-config/templates";
    api.post(path, &template(json!([project, map, binding]))).await.ok();
    let wish = |name: &str| json!({ "metadata": { "name": name }, "apiVersion": "project.openshift.io/v1", "kind": "ProjectRequest" });
    let made = api.raw_as(&ann, "POST", REQUESTS, &wish("shop")).await.ok();
    assert_eq!(made["metadata"]["annotations"]["by"], "ann");
    assert_eq!(seen(&api, &ann, "").await, ["shop"]);
    let hello = "/api/v1/namespaces/shop/configmaps/hello";
    assert_eq!(api.raw_as(&ann, "GET", hello, &Value::Null).await.ok()["data"]["who"], "ann");
    // What cannot be made whole is not there; the namespace goes by the controllers' hand.
    let cases = [
        (json!([project, map, quota]), "ResourceQuota \\\"pods\\\" is invalid"),
        (json!([project, node]), "specified in project template is not namespace scoped"),
        (
            json!([map]),
            "(openshift-config/ours) is not correctly configured: must contain a project resource",
        ),
        (json!([project, project]), "must contain only one project resource"),
    ];
    for (at, (objects, why)) in cases.into_iter().enumerate() {
        let update = json!({ "objects": objects });
        api.send("PATCH", &format!("{path}/ours"), MERGE, &update).await.ok();
        let name = format!("broken-{at}");
        let (code, reason, message) =
            api.raw_as(&ann, "POST", REQUESTS, &wish(&name)).await.refused();
        assert_eq!((code, reason.as_str()), (500, "InternalError"), "{message}");
        assert!(message.contains(&why.replace('\\', "")), "{message}");
        let left = api.get(&format!("/api/v1/namespaces/{name}")).await;
        assert!(left.code == 404 || left.json()["metadata"].get("deletionTimestamp").is_some());
    }
}
