//! SecurityContextConstraints through HTTP: the project that somebody asks for has users of its own, and its pods run as
//! them; a namespace is as on any other cluster.

mod common;

use common::{Harness, MERGE};
use serde_json::{Value, json};

const REQUESTS: &str = "/apis/project.openshift.io/v1/projectrequests";
const CONSTRAINTS: &str = "/apis/security.openshift.io/v1/securitycontextconstraints";
const RANGE: &str = "/apis/security.openshift.io/v1/rangeallocations/scc-uid";
const USERS: &str = "openshift.io/sa.scc.uid-range";

async fn project(harness: &Harness, name: &str) -> String {
    let wish = json!({ "apiVersion": "project.openshift.io/v1", "kind": "ProjectRequest",
        "metadata": { "name": name } });
    let made = harness.post(REQUESTS, &wish).await.ok();
    made["metadata"]["annotations"][USERS].as_str().unwrap_or("").to_owned()
}

fn pod(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "serviceAccountName": "default", "containers": [{ "name": "c", "image": "i" }] } })
}

async fn create(harness: &Harness, namespace: &str, pod: &Value) -> common::Read {
    harness.post(&format!("/api/v1/namespaces/{namespace}/pods"), pod).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_a_project_run_as_its_users_and_others_as_they_like() {
    let harness = Harness::start().await;
    assert_eq!(project(&harness, "first").await, "1000000000/10000");
    assert_eq!(project(&harness, "second").await, "1000010000/10000");
    let first = harness.get("/api/v1/namespaces/first").await.ok();
    let annotations = &first["metadata"]["annotations"];
    assert_eq!(annotations["openshift.io/sa.scc.supplemental-groups"], "1000000000/10000");
    assert_eq!(annotations["openshift.io/sa.scc.mcs"], "s0:c1,c0");
    let mut required = pod("r");
    required["metadata"]["annotations"] = json!({ "openshift.io/required-scc": "restricted-v2" });
    let made = create(&harness, "second", &required).await.ok();
    assert_eq!(made["spec"]["containers"][0]["securityContext"]["runAsUser"], 1_000_010_000);
    assert_eq!(made["metadata"]["annotations"]["openshift.io/scc"], "restricted-v2");
    // A label that comes later changes nothing of that.
    let label = json!({ "metadata": { "labels": { "a": "b" } } });
    let path = "/api/v1/namespaces/second/pods/r";
    assert_eq!(harness.send("PATCH", path, MERGE, &label).await.code, 200);
    required["spec"]["hostNetwork"] = true.into();
    required["metadata"]["name"] = "h".into();
    let (code, reason, message) = create(&harness, "second", &required).await.refused();
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    assert!(message.starts_with("pods \"h\" is forbidden: unable to validate against any security context constraint: [provider restricted-v2: .spec.securityContext.hostNetwork: Invalid value: true: "), "{message}");

    // Elsewhere pods are as they are written.
    let plain = create(&harness, "default", &pod("p")).await.ok();
    assert_eq!(plain["metadata"].get("annotations"), None);
    assert_eq!(plain["spec"]["containers"][0].get("securityContext"), None);
    let made = json!({ "apiVersion": "project.openshift.io/v1", "kind": "Project",
        "metadata": { "name": "third" } });
    let made = harness.post("/apis/project.openshift.io/v1/projects", &made).await.ok();
    assert_eq!(made["metadata"]["annotations"][USERS], "1000020000/10000");
    let space = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "plain" } });
    let made = harness.post("/api/v1/namespaces", &space).await.ok();
    assert_eq!(made["metadata"].get("annotations"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_given_away_once_however_many_ask() {
    let harness = Harness::start().await;
    let names: Vec<String> = (0..24).map(|number| format!("team-{number}")).collect();
    let given = names.iter().map(|name| project(&harness, name));
    let mut given = futures::future::join_all(given).await;
    given.sort();
    given.dedup();
    assert_eq!(given.len(), names.len(), "{given:?}");
    let range = harness.get(RANGE).await.ok();
    assert_eq!(range["range"], "1000000000-1999999999/10000");
    // The lowest 24 bits of a number.
    assert_eq!(range["data"], "////");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_constraints_are_there_and_as_somebody_left_them() {
    let harness = Harness::start().await;
    let all = harness.get(CONSTRAINTS).await.ok();
    let names: Vec<&str> = all["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|one| one["metadata"]["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "anyuid",
            "hostaccess",
            "hostmount-anyuid",
            "hostmount-anyuid-v2",
            "hostnetwork",
            "hostnetwork-v2",
            "nested-container",
            "nonroot",
            "nonroot-v2",
            "privileged",
            "restricted",
            "restricted-v2",
            "restricted-v3",
        ]
    );
    // Who changes one keeps it so, and what goes comes again.
    let mine = json!({ "metadata": { "labels": { "own": "yes" } }, "priority": 3 });
    let path = format!("{CONSTRAINTS}/restricted-v2");
    harness.send("PATCH", &path, MERGE, &mine).await.ok();
    harness.delete(&format!("{CONSTRAINTS}/anyuid")).await.ok();
    while harness.get(&format!("{CONSTRAINTS}/anyuid")).await.code != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(harness.get(&path).await.ok()["priority"], 3);
    let who = harness.get("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:openshift:scc:restricted-v2").await.ok();
    assert_eq!(who["subjects"][0]["name"], "system:authenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_is_told_which_constraints_let_a_pod_in() {
    let harness = Harness::start().await;
    project(&harness, "shop").await;
    let account =
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
    harness.post("/api/v1/namespaces/shop/serviceaccounts", &account).await;
    let ask = |kind: &str, namespace: &str, spec: Value| {
        let question =
            json!({ "apiVersion": "security.openshift.io/v1", "kind": kind, "spec": spec });
        let path = format!(
            "/apis/security.openshift.io/v1/namespaces/{namespace}/{}s",
            kind.to_ascii_lowercase()
        );
        let harness = &harness;
        async move { harness.post(&path, &question).await }
    };
    let template = |more: Value| {
        let spec = json!({ "containers": [{ "name": "c", "image": "i" }] });
        json!({ "spec": leme_meta::patch::merge(&spec, &more) })
    };
    let by = "PodSecurityPolicySubjectReview";
    let user = json!({ "user": "jo", "groups": ["system:authenticated"], "template": template(json!({})) });
    let told = ask(by, "shop", user.clone()).await.ok();
    assert_eq!(told["status"]["allowedBy"]["name"], "restricted-v2", "{told}");
    let mut host = user.clone();
    host["template"] = template(json!({ "hostNetwork": true }));
    let told = ask(by, "shop", host.clone()).await.ok();
    assert_eq!(told["status"].get("allowedBy"), None);
    assert_eq!(told["status"]["reason"], "CantAssignSecurityContextConstraintProvider");
    host["groups"] = json!(["system:masters"]);
    let told = ask(by, "shop", host).await.ok();
    assert_eq!(told["status"]["allowedBy"]["name"], "hostnetwork-v2", "{told}");
    let (code, _, message) =
        ask(by, "shop", json!({ "template": template(json!({})) })).await.refused();
    assert_eq!(
        (code, message.as_str()),
        (
            422,
            "PodSecurityPolicySubjectReview \"\" is invalid: spec.user: Required value: at least one of user, groups or serviceAccountName must be specified"
        )
    );
    // One's own, with the account of the pod, which shows what becomes of it.
    let own = json!({ "template": template(json!({ "serviceAccountName": "default" })) });
    let told = ask("PodSecurityPolicySelfSubjectReview", "shop", own).await.ok();
    assert_eq!(told["status"]["allowedBy"]["name"], "anyuid");
    assert_eq!(
        told["status"]["template"]["spec"]["securityContext"]["seLinuxOptions"]["level"],
        "s0:c1,c0"
    );
    let accounts = json!({ "template": template(json!({})) });
    let told = ask("PodSecurityPolicyReview", "shop", accounts.clone()).await.ok();
    let allowed = told["status"]["allowedServiceAccounts"].as_array().expect("accounts");
    assert_eq!(
        (allowed.len(), &allowed[0]["name"], &allowed[0]["allowedBy"]["name"]),
        (1, &json!("default"), &json!("restricted-v2"))
    );
    let mut other = accounts.clone();
    other["serviceAccountNames"] = json!(["nobody"]);
    let (code, _, message) = ask("PodSecurityPolicyReview", "shop", other).await.refused();
    assert_eq!(
        (code, message.as_str()),
        (400, "unable to retrieve ServiceAccount nobody: serviceaccount \"nobody\" not found")
    );
    let (code, _, message) = ask(by, "default", user).await.refused();
    assert_eq!(code, 500);
    assert!(message.contains("error fetching namespace \"default\": unable to find annotation openshift.io/sa.scc.uid-range"), "{message}");
}
