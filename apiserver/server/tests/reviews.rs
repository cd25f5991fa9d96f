//! Questions that are answered at once: who am I, may I, may they, what may I.

mod common;

use common::*;
use serde_json::{Value, json};

const ACCESS: &str = "/apis/authorization.k8s.io/v1";

async fn asked(api: &Harness, resource: &str, spec: Value) -> Value {
    api.post(&format!("{ACCESS}/{resource}"), &json!({ "spec": spec })).await.ok()
}

#[tokio::test]
async fn who_asks_is_told_who_it_is_and_what_it_may() {
    let api = Harness::start().await;
    let me = api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({})).await;
    assert_eq!(me.code, 201);
    let user = me.ok()["status"]["userInfo"].clone();
    assert_eq!(user["username"], "kubernetes-admin");
    assert_eq!(user["groups"], json!(["system:masters", "system:authenticated"]));
    let may =
        json!({ "resourceAttributes": { "verb": "create", "resource": "pods", "namespace": "x" } });
    let answer = asked(&api, "selfsubjectaccessreviews", may.clone()).await;
    assert_eq!(
        (&answer["kind"], &answer["status"]),
        (&json!("SelfSubjectAccessReview"), &json!({ "allowed": true }))
    );
    assert_eq!(answer["spec"], may);
    let rules = asked(&api, "selfsubjectrulesreviews", json!({ "namespace": "default" })).await;
    assert_eq!(
        rules["status"]["resourceRules"][0],
        json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] })
    );
    assert_eq!(rules["status"]["incomplete"], false);
}

#[tokio::test]
async fn what_others_may_is_told_by_the_same_rules_as_requests_are_judged() {
    let api = Harness::start().await;
    let of = |user: &str, groups: Value, verb: &str, resource: &str| {
        json!({ "user": user, "groups": groups,
                "resourceAttributes": { "verb": verb, "resource": resource, "namespace": "default", "name": "n" } })
    };
    let nodes = json!(["system:nodes", "system:authenticated"]);
    for (spec, allowed) in [
        (of("somebody", json!(["system:authenticated"]), "get", "pods"), false),
        (of("somebody", json!(["system:masters"]), "get", "pods"), true),
        (of("system:node:n", nodes.clone(), "get", "services"), true),
        (of("system:node:n", nodes.clone(), "get", "pods"), false),
        (of("system:node:n", nodes, "delete", "secrets"), false),
        (
            json!({ "user": "u", "groups": ["system:authenticated"],
                    "nonResourceAttributes": { "verb": "get", "path": "/healthz" } }),
            true,
        ),
        (
            json!({ "user": "u", "nonResourceAttributes": { "verb": "get", "path": "/metrics" } }),
            false,
        ),
    ] {
        let answer = asked(&api, "subjectaccessreviews", spec.clone()).await;
        assert_eq!(answer["status"]["allowed"], allowed, "{spec}");
    }
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let api = Harness::start().await;
    let path = format!("{ACCESS}/subjectaccessreviews");
    let (code, _, message) = api.post(&path, &json!({ "spec": {} })).await.refused();
    assert_eq!(code, 422);
    for part in [
        "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
        "spec.user: Invalid value: \"\": at least one of user or group must be specified",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let elsewhere = json!({ "spec": { "user": "u", "resourceAttributes": { "namespace": "b", "verb": "get" } } });
    let local = format!("{ACCESS}/namespaces/a/localsubjectaccessreviews");
    let (code, _, message) = api.post(&local, &elsewhere).await.refused();
    assert_eq!(code, 422);
    assert!(message.contains("must match metadata.namespace"), "{message}");
    assert_eq!(api.get(&path).await.code, 405);
    let wrong = json!({ "apiVersion": "v1", "kind": "Pod", "spec": {} });
    assert_eq!(api.post(&path, &wrong).await.code, 400);
}

#[tokio::test]
async fn a_token_is_its_accounts_and_ends_with_it() {
    let api = Harness::start().await;
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let answer = api.post(reviews, &json!({ "spec": { "token": "x", "audiences": ["a"] } })).await;
    assert_eq!(answer.code, 201);
    let answer = answer.ok();
    assert_eq!(answer["spec"], json!({ "audiences": ["a"], "token": "x" }));
    let why = "[invalid bearer token, token cannot be read]";
    let status = json!({ "error": why, "user": {} });
    assert_eq!(answer["status"], status);
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    api.post(accounts, &json!({ "metadata": { "name": "bot" } })).await.ok();
    let asked = json!({ "spec": { "audiences": ["a", "b"] } });
    let made = api.post(&format!("{accounts}/bot/token"), &asked).await.ok();
    assert_eq!(
        (&made["kind"], &made["spec"]["expirationSeconds"]),
        (&json!("TokenRequest"), &json!(3600))
    );
    let review = json!({ "spec": { "token": made["status"]["token"], "audiences": ["b", "c"] } });
    let status = api.post(reviews, &review).await.ok()["status"].clone();
    assert_eq!((&status["authenticated"], &status["audiences"]), (&json!(true), &json!(["b"])));
    assert_eq!(status["user"]["username"], "system:serviceaccount:default:bot");
    let others = json!({ "spec": { "token": made["status"]["token"] } });
    let status = api.post(reviews, &others).await.ok()["status"].clone();
    assert_eq!(status["authenticated"], Value::Null);
    api.delete(&format!("{accounts}/bot")).await.ok();
    let status = api.post(reviews, &review).await.ok()["status"].clone();
    assert_eq!(status["error"], "[invalid bearer token, service account has been deleted]");
    for (spec, why) in [
        (json!({ "expirationSeconds": 5 }), "may not specify a duration less than 10 minutes"),
        (
            json!({ "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": "p" } }),
            "pods \"p\" not found",
        ),
        (json!({ "boundObjectRef": { "apiVersion": "v1", "kind": "Node" } }), "not found"),
        (
            json!({ "boundObjectRef": { "apiVersion": "v1", "kind": "Service", "name": "p" } }),
            "cannot bind token for serviceaccount",
        ),
    ] {
        api.post(accounts, &json!({ "metadata": { "name": "other" } })).await;
        let path = format!("{accounts}/other/token");
        let (_, _, message) = api.post(&path, &json!({ "spec": spec })).await.refused();
        assert!(message.contains(why), "{message}");
    }
    let refused = api.post(reviews, &json!({ "spec": {} })).await.refused();
    assert_eq!(refused.0, 400);
    assert_eq!(refused.2, "token is required for TokenReview in authentication");
}
