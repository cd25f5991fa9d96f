//! Tokens besides those of pods: held by Secrets, of bootstrap, of a file, in a WebSocket's protocols.

mod common;

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::*;
use http::Request;
use http_body_util::{BodyExt, Full};
use leme_server::Identity;
use serde_json::{Value, json};
use tower_service::Service;

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const SELF: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// Who the server takes somebody for who shows nothing but these headers: code and user.
async fn known(api: &Harness, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut request = Request::builder().method("POST").uri(SELF);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.header("content-type", "application/json");
    let request = request.body(Full::new(b"{}"[..].into())).unwrap();
    let answer = api.server.local_service(Identity::anonymous()).call(request).await.unwrap();
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    (code, body["status"]["userInfo"].clone())
}

async fn with_token(api: &Harness, token: &str) -> (u16, Value) {
    known(api, &[("authorization", &format!("Bearer {token}"))]).await
}

/// Asks until it is so, for a while.
async fn until<F: Future<Output = Option<T>>, T>(what: &str, mut found: impl FnMut() -> F) -> T {
    for _ in 0..600 {
        if let Some(found) = found().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}");
}

fn held(name: &str, account: &str) -> Value {
    json!({"type": "kubernetes.io/service-account-token", "metadata": {"name": name,
        "annotations": {"kubernetes.io/service-account.name": account}}})
}

#[tokio::test]
async fn a_secret_gets_the_token_of_its_account_and_goes_with_it() {
    let api = Harness::start().await;
    api.post(ACCOUNTS, &json!({"metadata": {"name": "bot"}})).await.ok();
    api.post(SECRETS, &held("bot-token", "bot")).await.ok();
    let path = format!("{SECRETS}/bot-token");
    let secret = until("it has its token", async || {
        let secret = api.get(&path).await.ok();
        secret["data"]["token"].is_string().then_some(secret)
    })
    .await;
    let text = |field: &str| {
        String::from_utf8(STANDARD.decode(secret["data"][field].as_str().unwrap()).unwrap())
            .unwrap()
    };
    assert_eq!(text("namespace"), "default");
    assert_eq!(text("ca.crt"), api.server.pki().ca_pem());
    let account = api.get(&format!("{ACCOUNTS}/bot")).await.ok();
    let uid = &secret["metadata"]["annotations"]["kubernetes.io/service-account.uid"];
    assert_eq!(uid, &account["metadata"]["uid"]);
    let token = text("token");
    let (code, user) = with_token(&api, &token).await;
    assert_eq!((code, &user["username"]), (201, &json!("system:serviceaccount:default:bot")));
    assert_eq!(user["uid"], account["metadata"]["uid"]);

    // Another token in it: the first one is no longer.
    let other = json!({"data": {"token": STANDARD.encode("other")}});
    api.send("PATCH", &path, MERGE, &other).await.ok();
    assert_eq!(with_token(&api, &token).await.0, 401);
    api.send("PATCH", &path, MERGE, &json!({"data": {"token": STANDARD.encode(&token)}}))
        .await
        .ok();
    assert_eq!(with_token(&api, &token).await.0, 201);

    api.delete(&format!("{ACCOUNTS}/bot")).await.ok();
    assert_eq!(with_token(&api, &token).await.0, 401, "at once");
    until("the Secret goes", async || (api.get(&path).await.code == 404).then_some(())).await;
    // One that is made again is another account.
    api.post(ACCOUNTS, &json!({"metadata": {"name": "bot"}})).await.ok();
    assert_eq!(with_token(&api, &token).await.0, 401);
}

#[tokio::test]
async fn a_secret_of_nobodys_account_goes() {
    let api = Harness::start().await;
    api.post(SECRETS, &held("nobody", "missing")).await.ok();
    let path = format!("{SECRETS}/nobody");
    until("the Secret goes", async || (api.get(&path).await.code == 404).then_some(())).await;
}

fn bootstrap(expires: jiff::Timestamp) -> Value {
    json!({"type": "bootstrap.kubernetes.io/token", "metadata": {"name": "bootstrap-token-abcdef"},
        "stringData": {"token-id": "abcdef", "token-secret": "0123456789abcdef",
            "usage-bootstrap-authentication": "true", "expiration": expires.to_string(),
            "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token"}})
}

#[tokio::test]
async fn a_bootstrap_token_lets_a_node_in_and_goes_when_it_is_over() {
    const SYSTEM: &str = "/api/v1/namespaces/kube-system/secrets";
    let api = Harness::start().await;
    let token = "abcdef.0123456789abcdef";
    assert_eq!(with_token(&api, token).await.0, 401);
    let soon = jiff::Timestamp::now() + Duration::from_secs(4);
    api.post(SYSTEM, &bootstrap(soon)).await.ok();
    let (code, user) = with_token(&api, token).await;
    assert_eq!((code, &user["username"]), (201, &json!("system:bootstrap:abcdef")));
    assert_eq!(with_token(&api, "abcdef.0123456789abcdee").await.0, 401);
    let path = format!("{SYSTEM}/bootstrap-token-abcdef");
    until("it goes", async || (api.get(&path).await.code == 404).then_some(())).await;
    assert_eq!(with_token(&api, token).await.0, 401);
}

#[tokio::test]
async fn a_file_of_tokens_is_read_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("tokens.csv");
    std::fs::write(&path, "t0k3n,ana,7,\"dev,ops\"\n").unwrap();
    let api = Harness::with(|config| config.token_file = Some(path)).await;
    let (code, user) = with_token(&api, "t0k3n").await;
    assert_eq!(code, 201);
    let expected =
        json!({"username": "ana", "uid": "7", "groups": ["dev", "ops", "system:authenticated"]});
    assert_eq!(user, expected);
    assert_eq!(with_token(&api, "t0k3").await.0, 401);
    let reviewed = |audiences: Value| json!({"spec": {"token": "t0k3n", "audiences": audiences}});
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let of = async |audiences| api.post(reviews, &reviewed(audiences)).await.ok()["status"].clone();
    assert_eq!(of(json!([])).await["user"]["username"], "ana");
    assert_eq!(of(json!(["vault"])).await["authenticated"], Value::Null);

    // Red when a token may stand in any request's protocols, or beside another one.
    let named = |token: &str| {
        format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode(token))
    };
    let socket = ("upgrade", "websocket");
    let good = format!("{}, v4.channel.k8s.io", named("t0k3n"));
    assert_eq!(known(&api, &[socket, ("sec-websocket-protocol", &good)]).await.0, 201);
    assert_eq!(known(&api, &[("sec-websocket-protocol", &good)]).await.0, 401);
    for bad in [format!("{good}, {}", named("x")), named(""), named("t0k3n") + "="] {
        assert_eq!(known(&api, &[socket, ("sec-websocket-protocol", &bad)]).await.0, 401, "{bad}");
    }
}
