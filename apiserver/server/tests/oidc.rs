//! People whom an issuer of OpenID Connect vouches for: over HTTPS, with keys that change, and issuers that lie or are gone.

mod common;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::*;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use leme_server::{Identity, IssuerConfig};
use serde_json::{Value, json};
use tower_service::Service;

/// A key of an issuer.
struct Key {
    id: &'static str,
    pair: rcgen::KeyPair,
}

impl Key {
    fn new(id: &'static str) -> Key {
        Key { id, pair: rcgen::KeyPair::generate().unwrap() }
    }

    fn told(&self) -> Value {
        let point = self.pair.public_key_raw();
        let part = |at: usize| URL_SAFE_NO_PAD.encode(&point[at..at + 32]);
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id, "x": part(1), "y": part(33)})
    }

    fn signs(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::ES256) };
        let key = EncodingKey::from_ec_der(&self.pair.serialize_der());
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    }
}

/// What an issuer answers.
#[derive(Clone)]
struct Told {
    documents: Arc<Mutex<Vec<(&'static str, Value)>>>,
    asked: Arc<AtomicUsize>,
}

/// An issuer that listens: its URL, the authority of its certificate, and what it answers.
async fn issuer() -> (String, String, Told) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let told = Told { documents: Arc::default(), asked: Arc::default() };
    let shared = told.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let told = shared.clone();
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                told.asked.fetch_add(1, Ordering::SeqCst);
                let documents = told.documents.lock().unwrap();
                let found = documents.iter().find(|(path, _)| *path == request.uri().path());
                let answer = match found {
                    Some((_, document)) => {
                        Response::new(Full::new(bytes::Bytes::from(document.to_string())))
                    }
                    None => Response::builder().status(404).body(Full::default()).unwrap(),
                };
                async move { Ok::<_, std::convert::Infallible>(answer) }
            });
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(serving);
        }
    });
    (format!("https://{address}"), own.cert.pem(), told)
}

impl Told {
    fn tells(&self, url: &str, keys: &[&Key]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.told()).collect();
        *self.documents.lock().unwrap() = vec![
            (DISCOVERY, json!({"issuer": url, "jwks_uri": format!("{url}/keys")})),
            ("/keys", json!({"keys": keys})),
        ];
    }
}

const DISCOVERY: &str = "/.well-known/openid-configuration";

async fn over(url: &str, authority: &str) -> Harness {
    let document = json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
        "jwt": [{"issuer": {"url": url, "audiences": ["leme"], "certificateAuthority": authority},
            "claimMappings": {"username": {"claim": "sub", "prefix": "o:"}, "groups": {"claim": "roles", "prefix": "o:"}}}]});
    let config = IssuerConfig::read(&document).unwrap();
    Harness::with(|server| server.issuers = Some(config)).await
}

fn claims(url: &str) -> Value {
    let now = jiff::Timestamp::now().as_second();
    json!({"iss": url, "aud": "leme", "sub": "ana", "roles": ["dev"], "exp": now + 600, "iat": now})
}

async fn known(api: &Harness, token: &str) -> (u16, Value) {
    let request = Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::new(b"{}"[..].into()))
        .unwrap();
    let answer = api.server.local_service(Identity::anonymous()).call(request).await.unwrap();
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice::<Value>(&body).unwrap()["status"]["userInfo"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_known_by_what_their_issuer_signs() {
    let (url, authority, told) = issuer().await;
    let (first, second) = (Key::new("first"), Key::new("second"));
    told.tells(&url, &[&first]);
    let api = over(&url, &authority).await;
    let (code, user) = known(&api, &first.signs(&claims(&url))).await;
    assert_eq!(code, 201);
    assert_eq!(user, json!({"username": "o:ana", "groups": ["o:dev", "system:authenticated"]}));
    let review = json!({"spec": {"token": first.signs(&claims(&url))}});
    let reviewed = api.post("/apis/authentication.k8s.io/v1/tokenreviews", &review).await.ok();
    assert_eq!(reviewed["status"]["user"]["username"], "o:ana");

    let asked = told.asked.load(Ordering::SeqCst);
    let mut expired = claims(&url);
    expired["exp"] = json!(jiff::Timestamp::now().as_second() - 1);
    let mut foreign = claims(&url);
    foreign["aud"] = "other".into();
    let mut elsewhere = claims(&url);
    elsewhere["iss"] = format!("{url}/").into();
    let token = first.signs(&claims(&url));
    let parts: Vec<&str> = token.split('.').collect();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"first"}"#);
    let lies = URL_SAFE_NO_PAD.encode(claims(&url).to_string().replace("ana", "root"));
    let thief = Key::new("first");
    for token in [
        first.signs(&expired),
        first.signs(&foreign),
        first.signs(&elsewhere),
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{lies}.{}", parts[0], parts[2]),
        thief.signs(&claims(&url)),
    ] {
        assert_eq!(known(&api, &token).await.0, 401, "{token}");
    }
    // Red when whoever makes tokens up makes the server ask: it would be his to send about.
    for _ in 0..20 {
        assert_eq!(known(&api, &second.signs(&claims(&url))).await.0, 401);
    }
    assert_eq!(told.asked.load(Ordering::SeqCst), asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_and_the_old_one_is_believed_no_more() {
    let (url, authority, told) = issuer().await;
    let (first, second) = (Key::new("first"), Key::new("second"));
    told.tells(&url, &[&first]);
    let api = over(&url, &authority).await;
    assert_eq!(known(&api, &first.signs(&claims(&url))).await.0, 201);
    told.tells(&url, &[&second]);
    for _ in 0..120 {
        if known(&api, &second.signs(&claims(&url))).await.0 == 201 {
            assert_eq!(known(&api, &first.signs(&claims(&url))).await.0, 401);
            return;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("the new key is never asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_lies_or_is_gone_makes_nobody_of_somebody() {
    let key = Key::new("first");
    let (url, authority, told) = issuer().await;
    told.tells("https://somebody.else", &[&key]);
    let api = over(&url, &authority).await;
    assert_eq!(known(&api, &key.signs(&claims(&url))).await.0, 401, "it says that it is another");
    // Its keys are of somebody who has no certificate, or nobody is there.
    let (url, authority, told) = issuer().await;
    let plain = json!({"issuer": url, "jwks_uri": "http://127.0.0.1:1/keys"});
    *told.documents.lock().unwrap() = vec![(DISCOVERY, plain)];
    let api = over(&url, &authority).await;
    assert_eq!(known(&api, &key.signs(&claims(&url))).await.0, 401);
    let (_, other, _) = issuer().await;
    let (url, _, told) = issuer().await;
    told.tells(&url, &[&key]);
    let api = over(&url, &other).await;
    assert_eq!(known(&api, &key.signs(&claims(&url))).await.0, 401, "of another authority");
    let nobody = "https://127.0.0.1:1";
    let api = over(nobody, &other).await;
    assert_eq!(known(&api, &key.signs(&claims(nobody))).await.0, 401);
    // Everybody else is served as ever.
    api.get("/api/v1/namespaces").await.ok();
}
