//! Bodies that are not what they should be, and what upstream's decoders make of numbers and documents.

mod common;

use common::defined::*;
use common::*;
use serde_json::json;

const YAML: &str = "application/yaml";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

async fn sent(api: &Harness, path: &str, media: &str, body: &str) -> Read {
    api.raw("POST", path, &[("content-type", media)], body.as_bytes()).await
}

fn deployment(replicas: &str) -> String {
    format!(
        r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"d"}},"spec":{{"replicas":{replicas},"selector":{{"matchLabels":{{"a":"b"}}}},"template":{{"metadata":{{"labels":{{"a":"b"}}}},"spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}}}}}"#
    )
}

// Red when a body is asked what it is only after it has been read as an object of its URL's kind.
#[tokio::test]
async fn a_body_that_cannot_say_what_it_is_is_unrecognized() {
    let api = Harness::start().await;
    let read = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    let parse = "couldn't get version/kind; json parse error: json: cannot unmarshal";
    for (body, why, shown) in [
        ("[]", format!("{parse} array into Go value of type {read}"), "5b5d"),
        ("7", format!("{parse} number into Go value of type {read}"), "37"),
        (
            r#"{"kind":5}"#,
            format!("{parse} number into Go struct field .kind of type string"),
            r#"{"kind":5}"#,
        ),
        (
            r#"{"apiVersion":["v1"]}"#,
            format!("{parse} array into Go struct field .apiVersion of type string"),
            r#"{"apiVersion":["v1"]}"#,
        ),
        (
            r#"{"apiVersion":"a/b/c"}"#,
            "unexpected GroupVersion string: a/b/c".to_owned(),
            r#"{"apiVersion":"a/b/c"}"#,
        ),
    ] {
        let said = format!(
            "the object provided is unrecognized (must be of type ConfigMap): {why} ({shown})"
        );
        let refused = sent(&api, CONFIG_MAPS, "application/json", body).await.refused();
        assert_eq!(refused, (400, "BadRequest".into(), said), "{body}");
    }
    let protobuf = "application/vnd.kubernetes.protobuf";
    for (body, why, shown) in [
        ("", "empty data", "<empty>"),
        (
            "ab",
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
            "6162",
        ),
    ] {
        let said = format!(
            "the object provided is unrecognized (must be of type ConfigMap): {why} ({shown})"
        );
        assert_eq!(sent(&api, CONFIG_MAPS, protobuf, body).await.refused().2, said);
    }
}

// Red when YAML is one document or none, and its errors are told in the words of a library of ours.
#[tokio::test]
async fn yaml_is_its_first_document_and_its_errors_are_those_of_go() {
    let api = Harness::start().await;
    let two = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: first}\n---\nkind: [\n";
    assert_eq!(sent(&api, CONFIG_MAPS, YAML, two).await.ok()["metadata"]["name"], "first");
    let broken = "apiVersion: v1\nkind: a: b\n";
    let said = "the object provided is unrecognized (must be of type ConfigMap): yaml: line 2: mapping values are not \
                allowed in this context (61706956657273696f6e3a2076310a6b696e643a20613a20620a)";
    assert_eq!(sent(&api, CONFIG_MAPS, YAML, broken).await.refused().2, said);
}

// Red when numbers are kept as they were written.
#[tokio::test]
async fn whole_numbers_are_whole_however_they_are_written() {
    let api = Harness::start().await;
    establish(&api, &definition()).await;
    let tab = |number: &str| {
        format!(
            r#"{{"apiVersion":"example.com/v1","kind":"Tab","metadata":{{"name":"t"}},"spec":{{"free":{{"n":[{number},1.5]}}}}}}"#
        )
    };
    let made = sent(&api, TABS, "application/json", &tab("2.0")).await;
    assert_eq!(made.ok()["spec"]["free"], json!({ "n": [2, 1.5] }));
    let path = format!("{TABS}/t");
    let change = br#"{"spec":{"free":{"n":[20e-1,1.5]}}}"#;
    let again = api.raw("PATCH", &path, &[("content-type", MERGE)], change).await.ok();
    assert_eq!(again["spec"]["free"], json!({ "n": [2, 1.5] }));
    let counted = r#"{"apiVersion":"example.com/v1","kind":"Tab","metadata":{"name":"u"},"spec":{"replicas":2.0}}"#;
    let said = "Tab.example.com \"u\" is invalid: .spec.replicas: Invalid value: 0: .spec.replicas accessor error: 2 is of the type float64, expected int64";
    assert_eq!(sent(&api, TABS, "application/json", counted).await.refused().2, said);

    let said = "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal number 2.0 into Go struct field DeploymentSpec.spec.replicas of type int32";
    let refused = sent(&api, DEPLOYMENTS, "application/json", &deployment("2.0")).await.refused();
    assert_eq!((refused.0, refused.2.as_str()), (400, said));
    // What becomes JSON on the way is what Go writes of it.
    let made = sent(&api, DEPLOYMENTS, YAML, &deployment("2.0")).await.ok();
    assert_eq!(made["spec"]["replicas"], 2);
    let applied = api
        .raw(
            "PATCH",
            &format!("{DEPLOYMENTS}/d?fieldManager=m&force=true"),
            &[("content-type", APPLY)],
            deployment("3.0").as_bytes(),
        )
        .await;
    assert_eq!(applied.ok()["spec"]["replicas"], 3);
}

// Red with Rust's own escapes: `\u{a0}`.
#[tokio::test]
async fn text_in_messages_is_quoted_as_go_does() {
    let api = Harness::start().await;
    let mut map = config_map("a\u{a0}\u{1b}");
    let said = api.post(CONFIG_MAPS, &map).await.refused().2;
    let start = r#"ConfigMap "a\u00a0\x1b" is invalid: metadata.name: Invalid value: "a\u00a0\x1b": a lowercase"#;
    assert!(said.starts_with(start), "{said}");
    map["metadata"]["name"] = "a".into();
    map["e\u{301}\u{7f}"] = 1.into();
    let strict = format!("{CONFIG_MAPS}?fieldValidation=Strict");
    let said = api.post(&strict, &map).await.refused().2;
    assert!(said.ends_with("unknown field \"e\u{301}\\x7f\""), "{said}");
}

// Red when lists that Go writes as null are left out, or kept as they were sent.
#[tokio::test]
async fn a_list_of_nothing_that_go_never_leaves_out_is_null() {
    let api = Harness::start().await;
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "r" } });
    let made = api.post(roles, &role).await.ok();
    assert_eq!(made.get("rules"), Some(&json!(null)));
    assert_eq!(owners(&made), []);
    let path = format!("{roles}/r");
    for rules in [json!([]), json!(null)] {
        let same = api.send("PATCH", &path, MERGE, &json!({ "rules": rules })).await.ok();
        assert_eq!(version(&same), version(&made));
    }
    let rule = json!([{ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] }]);
    let change = json!({ "rules": rule });
    assert_eq!(api.send("PATCH", &path, STRATEGIC, &change).await.ok()["rules"], rule);
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": { "name": "e" },
        "addressType": "IPv4", "endpoints": [],
    });
    let made = api.post(slices, &slice).await.ok();
    assert_eq!(
        (made.get("endpoints"), made.get("ports")),
        (Some(&json!(null)), Some(&json!(null)))
    );
    let bytes = api
        .raw(
            "GET",
            &format!("{slices}/e"),
            &[("accept", "application/vnd.kubernetes.protobuf")],
            b"",
        )
        .await
        .body;
    let headers = [("content-type", "application/vnd.kubernetes.protobuf")];
    let same = api.raw("PUT", &format!("{slices}/e"), &headers, &bytes).await.ok();
    assert_eq!(version(&same), version(&made));
}
