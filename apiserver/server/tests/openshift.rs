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
    assert_eq!(message, "project.project.openshift.io \"shop\" already exists");
    let binding = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings/admin";
    assert_eq!(api.get(binding).await.ok()["subjects"][0]["name"], "kubernetes-admin");
    let own = json!({ "metadata": { "name": "kube-mine" } });
    let (code, _, message) = api.post(&format!("{PROJECTS}/projectrequests"), &own).await.refused();
    assert_eq!(code, 403);
    assert_eq!(
        message,
        "project.project.openshift.io \"kube-mine\" is forbidden: cannot request a project starting with \"kube-\""
    );
    let short = json!({ "metadata": { "name": "a" } });
    let (code, _, message) =
        api.post(&format!("{PROJECTS}/projectrequests"), &short).await.refused();
    assert_eq!(code, 422);
    assert_eq!(
        message,
        "ProjectRequest.project.openshift.io \"a\" is invalid: metadata.name: Invalid value: \"a\": must be at least 2 characters long"
    );
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let rows = api.raw("GET", &format!("{PROJECTS}/projects/shop"), &table, b"").await.ok();
    assert_eq!(rows["rows"][0]["cells"], json!(["shop", "The shop", "Active"]));
    // Red with the project as the answer, which upstream's proxy never gives.
    let answer = api.delete(&format!("{PROJECTS}/projects/shop")).await.ok();
    assert_eq!(
        answer,
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" })
    );
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

#[tokio::test]
async fn everybody_is_a_user() {
    let api = Harness::start().await;
    let users = "/apis/user.openshift.io/v1/users";
    let me = api.get(&format!("{users}/~")).await.ok();
    assert_eq!(
        (&me["kind"], &me["metadata"]["name"]),
        (&json!("User"), &json!("kubernetes-admin"))
    );
    assert_eq!(me["groups"], json!(["system:authenticated", "system:masters"]));
    api.post(users, &json!({ "metadata": { "name": "kubernetes-admin" }, "fullName": "A" }))
        .await
        .ok();
    let me = api.get(&format!("{users}/~")).await.ok();
    assert_eq!((&me["fullName"], &me["groups"][0]), (&json!("A"), &json!("system:authenticated")));
    assert_eq!(api.delete(&format!("{users}/~")).await.code, 404);
}

#[tokio::test]
async fn access_is_reviewed_in_older_kinds() {
    let api = Harness::start().await;
    let path = "/apis/authorization.openshift.io/v1";
    let local = format!("{path}/namespaces/default");
    let may = json!({ "kind": "SubjectAccessReview", "apiVersion": "authorization.openshift.io/v1",
                      "verb": "create", "resource": "projectrequests" });
    let answer = api.post(&format!("{path}/subjectaccessreviews"), &may).await;
    assert_eq!(
        (answer.code, answer.ok()),
        (
            201,
            json!({ "kind": "SubjectAccessReviewResponse", "apiVersion": "authorization.openshift.io/v1",
                    "allowed": true })
        )
    );
    let other = json!({ "verb": "get", "resource": "pods/log", "user": "u" });
    let answer = api.post(&format!("{local}/localsubjectaccessreviews"), &other).await.ok();
    assert_eq!((&answer["allowed"], &answer["namespace"]), (&json!(false), &json!("default")));
    let who = json!({ "verb": "list", "resource": "pods" });
    let answer = api.post(&format!("{local}/localresourceaccessreviews"), &who).await.ok();
    assert_eq!(answer["kind"], "ResourceAccessReviewResponse");
    assert_eq!(answer["groups"], json!(["system:masters"]));
    assert!(answer["users"].as_array().unwrap().contains(&json!("system:kube-scheduler")));
    let answer = api.post(&format!("{path}/resourceaccessreviews"), &who).await.ok();
    assert_eq!(answer.get("namespace"), None);
    let mine = api.post(&format!("{local}/selfsubjectrulesreviews"), &json!({})).await.ok();
    assert_eq!(mine["status"]["rules"][0]["verbs"], json!(["*"]));
    let theirs = json!({ "spec": { "user": "u" } });
    let theirs = api.post(&format!("{local}/subjectrulesreviews"), &theirs).await.ok();
    assert_eq!(theirs["status"]["rules"], json!([]));
    assert_eq!(
        api.post(
            &format!("{path}/subjectaccessreviews"),
            &json!({ "isNonResourceURL": true, "resource": "x" })
        )
        .await
        .refused()
        .2,
        "SubjectAccessReview.authorization.openshift.io \"\" is invalid: [verb: Required value, path: Required value, resource: Invalid value: \"x\": resource may not be specified with non resource URLs]"
    );
}

#[tokio::test]
async fn quotas_are_seen_where_they_apply() {
    let api = Harness::start().await;
    let quota = |name: &str, selector: serde_json::Value| {
        json!({ "metadata": { "name": name },
                "spec": { "selector": selector, "quota": { "hard": { "pods": "10" } } } })
    };
    let quotas = "/apis/quota.openshift.io/v1/clusterresourcequotas";
    let here = json!({ "labels": { "matchLabels": { "kubernetes.io/metadata.name": "default" } } });
    api.post(quotas, &quota("here", here)).await.ok();
    api.post(quotas, &quota("there", json!({ "annotations": { "a": "b" } }))).await.ok();
    let path = "/apis/quota.openshift.io/v1/namespaces/default/appliedclusterresourcequotas";
    let list = api.get(path).await.ok();
    assert_eq!(list["kind"], "AppliedClusterResourceQuotaList");
    let names: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|one| &one["metadata"]["name"]).collect();
    assert_eq!(names, ["here"]);
    assert_eq!(api.get(&format!("{path}/here")).await.ok()["kind"], "AppliedClusterResourceQuota");
    assert_eq!(
        api.get(&format!("{path}/there")).await.refused().2,
        "appliedclusterresourcequota.quota.openshift.io \"there\" not found"
    );
    let everywhere = "/apis/quota.openshift.io/v1/appliedclusterresourcequotas";
    assert_eq!(api.get(everywhere).await.refused().2, "namespace is required");
}

#[tokio::test]
async fn an_identity_is_of_one_user() {
    let api = Harness::start().await;
    let path = |plural: &str| format!("/apis/user.openshift.io/v1/{plural}");
    for name in ["bob", "eve"] {
        api.post(&path("users"), &json!({ "metadata": { "name": name } })).await.ok();
    }
    let identity =
        json!({ "metadata": { "name": "p:1" }, "providerName": "p", "providerUserName": "1" });
    api.post(&path("identities"), &identity).await.ok();
    let mappings = path("useridentitymappings");
    let of = |user: &str| json!({ "identity": { "name": "p:1" }, "user": { "name": user } });
    let made = api.post(&mappings, &of("bob")).await;
    assert_eq!((made.code, &made.ok()["metadata"]["name"]), (201, &json!("p:1")));
    let bob = api.get(&format!("{}/bob", path("users"))).await.ok();
    let known = api.get(&format!("{}/p:1", path("identities"))).await.ok();
    assert_eq!(bob["identities"], json!(["p:1"]));
    assert_eq!(known["user"], json!({ "name": "bob", "uid": bob["metadata"]["uid"] }));
    assert_eq!(
        api.post(&mappings, &of("eve")).await.refused().2,
        "useridentitymapping.user.openshift.io \"p:1\" already exists"
    );
    let mut moved = of("eve");
    moved["metadata"] = json!({ "name": "p:1" });
    let put = api.put(&format!("{mappings}/p:1"), &moved).await;
    assert_eq!((put.code, &put.ok()["user"]["name"]), (200, &json!("eve")));
    let bob = api.get(&format!("{}/bob", path("users"))).await.ok();
    assert_eq!(bob["identities"], json!([]));
    moved["user"]["name"] = "none".into();
    assert_eq!(
        api.put(&format!("{mappings}/p:1"), &moved).await.refused().2,
        "UserIdentityMapping.user.openshift.io \"p:1\" is invalid: user.name: Invalid value: \"none\": referenced user does not exist"
    );
    api.delete(&format!("{mappings}/p:1")).await.ok();
    assert_eq!(
        api.get(&format!("{mappings}/p:1")).await.refused().2,
        "useridentitymapping.user.openshift.io \"p:1\" not found"
    );
    let other = json!({ "metadata": { "name": "p:2" }, "identity": { "name": "p:1" }, "user": {} });
    let (code, _, message) = api.post(&mappings, &other).await.refused();
    assert_eq!(code, 422);
    assert!(
        message.contains("identity.name: Invalid value: \"p:1\": must match metadata.name"),
        "{message}"
    );
}

#[tokio::test]
async fn everybody_sees_their_own_tokens_and_by_their_hashes() {
    const OAUTH: &str = "/apis/oauth.openshift.io/v1";
    let api = Harness::start().await;
    let token = |name: &str, user: &str| {
        json!({
            "metadata": { "name": name }, "clientName": "console", "userName": user, "userUID": "u",
            "redirectURI": "https://example.com/", "scopes": ["user:full"],
        })
    };
    let [mine, theirs, bare] = [
        "sha256~0123456789012345678901234567",
        "sha256~9876543210987654321098765432",
        "0123456789012345678901234567890123",
    ];
    for (name, user) in [(mine, "kubernetes-admin"), (theirs, "jo"), (bare, "kubernetes-admin")] {
        api.post(&format!("{OAUTH}/oauthaccesstokens"), &token(name, user)).await.ok();
    }
    let own = format!("{OAUTH}/useroauthaccesstokens");
    let list = api.get(&own).await.ok();
    let names: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|one| &one["metadata"]["name"]).collect();
    assert_eq!((&list["kind"], names), (&json!("UserOAuthAccessTokenList"), vec![&json!(mine)]));
    let one = api.get(&format!("{own}/{mine}")).await.ok();
    assert_eq!(
        (&one["kind"], &one["clientName"]),
        (&json!("UserOAuthAccessToken"), &json!("console"))
    );
    let mut watch = api.watch(&format!("{own}?watch=true")).await;
    assert_eq!(watch.named().await, ("ADDED".to_owned(), mine.to_owned()));
    for hidden in [theirs, bare] {
        let path = format!("{own}/{hidden}");
        let why = format!("useroauthaccesstokens.oauth.openshift.io \"{hidden}\" not found");
        for (code, _, message) in
            [api.get(&path).await.refused(), api.delete(&path).await.refused()]
        {
            assert_eq!((code, &message), (404, &why));
        }
    }
    let (code, ..) = api.get(&format!("{own}?fieldSelector=userName%3Djo")).await.refused();
    assert_eq!(code, 400);
    let gone = api.delete(&format!("{own}/{mine}")).await.ok();
    assert_eq!(gone["kind"], "UserOAuthAccessToken");
    assert_eq!(api.get(&format!("{OAUTH}/oauthaccesstokens/{mine}")).await.code, 404);
    assert_eq!(api.get(&format!("{OAUTH}/oauthaccesstokens/{theirs}")).await.code, 200);
}
