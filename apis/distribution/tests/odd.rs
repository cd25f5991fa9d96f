//! Registries that want chunks, break off, send elsewhere, or are not who they say.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use leme_distribution::reference::digest_of;
use leme_distribution::{Client, Content, Error, IMAGES, Registries};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;

/// A registry of one upload.
#[derive(Default)]
struct Odd {
    /// Bytes that it takes at a time.
    most: usize,
    /// How often it breaks off in a request that sends something.
    breaks: usize,
    /// What it has got.
    got: Vec<u8>,
    /// What was asked, in order.
    asked: Vec<String>,
}

type Answer = Response<Full<Bytes>>;

fn answer(code: u16, headers: &[(&str, &str)], body: &'static str) -> Answer {
    let mut answer = Response::builder().status(code);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
}

/// What it answers; nothing when it breaks off.
async fn serve(odd: &Mutex<Odd>, request: Request<Incoming>) -> Option<Answer> {
    let (parts, mut body) = request.into_parts();
    let path = parts.uri.to_string();
    let length = parts.headers.get("content-length").and_then(|l| l.to_str().ok()?.parse().ok());
    let (most, breaks) = {
        let mut odd = odd.lock().unwrap();
        let range = parts.headers.get("content-range").and_then(|range| range.to_str().ok());
        odd.asked.push(format!("{} {path} {}", parts.method, range.unwrap_or("-")));
        (odd.most, odd.breaks)
    };
    let moved = [("location", "/v2/a/blobs/uploads/one?state=1")];
    match parts.method {
        Method::HEAD => return Some(answer(404, &[], "")),
        Method::POST => {
            return Some(answer(202, &[moved[0], ("oci-chunk-min-length", "4")], ""));
        }
        Method::GET => {
            let has = format!("0-{}", odd.lock().unwrap().got.len().saturating_sub(1));
            return Some(answer(204, &[moved[0], ("range", &has)], ""));
        }
        _ => {}
    }
    if length.unwrap_or(0) > most {
        return Some(answer(413, &[], ""));
    }
    while let Some(piece) = body.frame().await {
        let Ok(piece) = piece.unwrap().into_data() else { continue };
        let mut odd = odd.lock().unwrap();
        if breaks > 0 {
            odd.got.extend_from_slice(&piece[..piece.len().min(2)]);
            odd.breaks -= 1;
            return None;
        }
        odd.got.extend_from_slice(&piece);
    }
    let code = if parts.method == Method::PUT { 201 } else { 202 };
    Some(answer(code, &moved, ""))
}

async fn start(odd: Odd) -> (Arc<Mutex<Odd>>, Client) {
    let (listener, odd) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::new(Mutex::new(odd)));
    let address = listener.local_addr().unwrap().to_string();
    let shared = Arc::clone(&odd);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let odd = Arc::clone(&shared);
            let service = service_fn(move |request| {
                let odd = Arc::clone(&odd);
                async move { serve(&odd, request).await.ok_or("broken off") }
            });
            let serving = hyper::server::conn::http1::Builder::new();
            tokio::spawn(serving.serve_connection(TokioIo::new(stream), service));
        }
    });
    (odd, Client::new(&Registries::default().registry(&address)).unwrap())
}

/// Red when an upload is sent at once alone: a registry, or what is before it, may take less at a time.
#[tokio::test]
async fn a_registry_that_wants_chunks_gets_them() {
    let (odd, client) = start(Odd { most: 4, ..Odd::default() }).await;
    let content = Bytes::from_static(b"0123456789");
    client.push_blob("a", &digest_of(&content), 10, &Content::Bytes(content)).await.unwrap();
    let odd = odd.lock().unwrap();
    assert_eq!(odd.got, b"0123456789");
    let ranges: Vec<&str> =
        odd.asked.iter().filter_map(|line| line.strip_prefix("PATCH ")).collect();
    let at = "/v2/a/blobs/uploads/one?state=1";
    assert_eq!(ranges, [format!("{at} 0-3"), format!("{at} 4-7"), format!("{at} 8-9")]);
}

/// Red when what was cut off begins anew, or is given up.
#[tokio::test]
async fn an_upload_that_is_cut_off_goes_on_where_it_was() {
    let (odd, client) = start(Odd { most: 100, breaks: 3, ..Odd::default() }).await;
    let content = Bytes::from_static(b"0123456789");
    client.push_blob("a", &digest_of(&content), 10, &Content::Bytes(content)).await.unwrap();
    assert_eq!(odd.lock().unwrap().got, b"0123456789");
    let (_, client) = start(Odd { most: 100, breaks: 1000, ..Odd::default() }).await;
    let content = Bytes::from(vec![0; 100]);
    let given_up = client.push_blob("a", &digest_of(&content), 100, &Content::Bytes(content)).await;
    assert!(matches!(given_up, Err(Error::Unreachable { .. })), "{given_up:?}");
}

/// Red when a certificate that nobody vouches for looks like a registry that is away.
#[tokio::test]
async fn who_is_not_believed_is_told_from_who_is_away() {
    let key = KeyPair::generate().unwrap();
    let made =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let pem = made.pem();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let tls = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.der().clone()], private)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let name = format!("localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let service = service_fn(|_| async {
                Ok::<_, Infallible>(
                    Response::builder()
                        .status(StatusCode::FORBIDDEN)
                        .body(Full::new(Bytes::new()))
                        .unwrap(),
                )
            });
            let serving = hyper::server::conn::http1::Builder::new();
            tokio::spawn(serving.serve_connection(TokioIo::new(stream), service));
        }
    });
    let other = CertificateParams::new(vec!["other".to_owned()]).unwrap();
    let other = other.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    let asked = async |authority: &str| {
        let mut registries = Registries::default();
        registries.believe(&name, authority);
        let client = Client::new(&registries.registry(&name)).unwrap();
        client.manifest("a", "v1", IMAGES).await.unwrap_err()
    };
    assert!(matches!(asked(&other).await, Error::Untrusted { .. }));
    let denied = asked(&pem).await;
    assert!(matches!(denied, Error::Denied(_)), "{denied:?}");
}
