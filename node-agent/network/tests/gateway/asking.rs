//! Requests of the rows, and the applications that answer them.

use super::support::netns::add_loopback_address;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What every application was asked, as `NAME METHOD TARGET`.
pub type Seen = Arc<Mutex<Vec<String>>>;

/// A certificate for a host with its key, as PEM.
pub struct Made {
    pub leaf: String,
    pub key: String,
}

pub fn made(hosts: &[&str]) -> Made {
    let root = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(params, root);
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap().pem();
    Made { leaf, key: key.serialize_pem() }
}

/// Answers each request with its name and what it got; `?delay=MILLISECONDS` before that.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, name: &str, seen: Seen) {
    loop {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                return;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        seen.lock().unwrap().push(format!("{name} {method} {target}"));
        let delay = target.split_once("delay=").and_then(|(_, text)| text.parse().ok());
        tokio::time::sleep(Duration::from_millis(delay.unwrap_or(0))).await;
        if head.to_lowercase().contains("upgrade: websocket") {
            let switch =
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
            let _ = stream.write_all(format!("{switch}x-app: {name}\r\n\r\n").as_bytes()).await;
            return;
        }
        let text = format!("{name}\n{head}");
        let length = text.len();
        let text = if method == "HEAD" { String::new() } else { text };
        let answer =
            format!("HTTP/1.1 200 OK\r\nx-app: {name}\r\ncontent-length: {length}\r\n\r\n{text}");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

pub async fn start_app(address: Ipv4Addr, port: u16, name: &'static str, seen: &Seen) {
    add_loopback_address(address).await;
    let (seen, listener) = (seen.clone(), TcpListener::bind((address, port)).await.unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, name, seen.clone()));
        }
    });
}

/// An application that speaks HTTP/2 alone.
pub async fn start_http2_app(address: Ipv4Addr, name: &'static str, seen: &Seen) {
    add_loopback_address(address).await;
    let (seen, listener) = (seen.clone(), TcpListener::bind((address, 8080)).await.unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = seen.clone();
            let service = hyper::service::service_fn(move |request: http::Request<_>| {
                let seen = seen.clone();
                async move { Ok::<_, std::convert::Infallible>(answer_http2(&request, name, &seen)) }
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
}

fn answer_http2(
    request: &http::Request<hyper::body::Incoming>,
    name: &str,
    seen: &Seen,
) -> http::Response<String> {
    let (method, path) = (request.method(), request.uri().path());
    seen.lock().unwrap().push(format!("{name} {method} {path}"));
    let headers = request.headers().iter();
    let shown =
        headers.map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap_or("")));
    let text = format!("{name}\n{method} {path} HTTP/2\r\n{}", shown.collect::<String>());
    http::Response::new(text)
}

pub async fn start_tls_app(address: Ipv4Addr, name: &'static str, made: &Made, seen: &Seen) {
    add_loopback_address(address).await;
    let leaf = CertificateDer::from_pem_slice(made.leaf.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let tls = TlsAcceptor::from(Arc::new(config.with_single_cert(vec![leaf], key).unwrap()));
    let (seen, listener) = (seen.clone(), TcpListener::bind((address, 8080)).await.unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, seen) = (tls.clone(), seen.clone());
            tokio::spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    answer(stream, name, seen).await;
                }
            });
        }
    });
}

/// Trusts everybody: which certificate is shown is looked at afterwards.
#[derive(Debug)]
struct Anybody;

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// What came of a request.
#[derive(Debug, Default)]
pub struct Answered {
    pub code: u16,
    /// In lower case.
    pub head: String,
    pub body: String,
    /// The certificate that was shown.
    pub certificate: Vec<u8>,
}

/// Asks as `METHOD URL @HEADER=VALUE... sni:NAME` says. An answer without a code is none.
pub async fn ask(text: &str) -> Answered {
    let mut words = text.split(' ');
    let first = words.next().unwrap();
    let (method, url) = match first.contains("://") {
        true => ("GET", first),
        false => (first, words.next().unwrap()),
    };
    let (scheme, rest) = url.split_once("://").unwrap();
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let usual = if scheme == "https" { "443" } else { "80" };
    let (name, port) = host.split_once(':').unwrap_or((host, usual));
    let (mut sni, mut headers, mut at) = (name, String::new(), port);
    for word in words {
        match (word.strip_prefix("sni:"), word.strip_prefix("at:"), word.strip_prefix('@')) {
            (Some(other), ..) => sni = other,
            (_, Some(other), _) => at = other,
            (.., Some(header)) => headers += &format!("{}\r\n", header.replacen('=', ": ", 1)),
            _ => panic!("{word} in {text}"),
        }
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, at.parse().unwrap()));
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
    let exchange = async {
        let stream = TcpStream::connect(address).await.ok()?;
        if scheme == "http" {
            return exchange(stream, &request, method == "HEAD").await;
        }
        let config = rustls::ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        let name = ServerName::try_from(sni.to_owned()).unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        let shown = stream.get_ref().1.peer_certificates()?.first()?.to_vec();
        let answered = exchange(stream, &request, method == "HEAD").await?;
        Some(Answered { certificate: shown, ..answered })
    };
    tokio::time::timeout(Duration::from_secs(5), exchange).await.ok().flatten().unwrap_or_default()
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
    bodyless: bool,
) -> Option<Answered> {
    stream.write_all(request.as_bytes()).await.ok()?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.filter(|_| !bodyless).unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answered { code, head, body: String::from_utf8(body).ok()?, certificate: Vec::new() })
}

/// What of `text` an answer is not. A word is a code, the name of an application, or `path=`, `host=`, `to=` (where it is sent),
/// `req:NAME=VALUE` and `res:NAME=VALUE` with what the application or the client got, `no-req:NAME`, `no-res:NAME`, `cert:HOST`.
pub fn misses(answered: &Answered, text: &str) -> Vec<String> {
    let echoed = answered.body.to_lowercase();
    let (app, asked) = echoed.split_once('\n').unwrap_or((&echoed, ""));
    let values = |head: &str, name: &str| {
        let all = head.lines().filter_map(|line| line.split_once(": "));
        let named = all.filter(|(one, _)| *one == name).map(|(_, value)| value.trim());
        named.collect::<Vec<_>>().join(",")
    };
    let target = asked.split(' ').nth(1).unwrap_or("");
    let is = |word: &str| {
        if let Ok(code) = word.parse::<u16>() {
            return answered.code == code;
        }
        let (what, value) = word.split_once('=').unwrap_or((word, ""));
        let value = value.replace('+', " ").to_lowercase();
        match what.split_once(':') {
            Some(("req", name)) => values(asked, name) == value,
            Some(("res", name)) => values(&answered.head, name) == value,
            // The certificate that was shown names this host.
            Some(("cert", name)) => {
                answered.certificate.windows(name.len()).any(|part| part == name.as_bytes())
            }
            Some(("no-req", name)) => values(asked, name).is_empty(),
            Some(("no-res", name)) => values(&answered.head, name).is_empty(),
            _ => match what {
                "path" => target == value,
                "host" => values(asked, "host") == value,
                "to" => values(&answered.head, "location") == value,
                "refused" => answered.code == 0,
                name => app == name && answered.code == 200,
            },
        }
    };
    text.split(' ').filter(|word| !is(word)).map(str::to_owned).collect()
}
