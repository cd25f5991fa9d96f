//! A router in a network namespace of its own, with TLS and without, and who certifies whom.

use super::api::Api;
use super::netns::{Netns, eventually};
use leme_network::router::{Authority, CERTIFICATE, Secure};
use leme_network::{RouterConfig, router, run_router};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

/// An authority with a leaf for a host: authority, leaf and key as PEM.
pub struct Made {
    pub authority: String,
    pub leaf: String,
    pub key: String,
}

/// Makes one.
pub fn made(host: &str) -> Made {
    made_for(host, 3650)
}

/// Makes one whose leaf is good for so many days, or was until so many days ago.
pub fn made_for(host: &str, days: i64) -> Made {
    let root = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&root).unwrap().pem();
    let issuer = Issuer::new(params, root);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(days);
    let leaf = params.signed_by(&key, &issuer).unwrap().pem();
    Made { authority, leaf, key: key.serialize_pem() }
}

/// The TLS of a server with a certificate, that speaks these protocols.
pub fn serving(made: &Made, protocols: &[&str]) -> rustls::ServerConfig {
    let leaf = CertificateDer::from_pem_slice(made.leaf.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(vec![leaf], key).unwrap();
    config.alpn_protocols = protocols.iter().map(|one| one.as_bytes().to_vec()).collect();
    config
}

/// A running router.
pub struct Edge {
    pub api: Api,
    pub plain: SocketAddr,
    pub secure: SocketAddr,
    /// The router's own authority.
    pub authority: String,
}

impl Edge {
    /// Puts a Route in the namespace `ns` and waits until it is admitted.
    pub fn admit(&self, name: &str, annotations: Value, spec: Value) {
        self.api.put(
            "routes",
            json!({"metadata": {"namespace": "ns", "name": name, "uid": name, "annotations": annotations,
                "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec}),
        );
        let status = || {
            let route = self.api.get("routes", "ns", name);
            route["status"]["ingress"][0]["conditions"][0]["status"].clone()
        };
        eventually(status, json!("True"));
    }

    /// The endpoints of a service in the namespace `ns`, on one port that speaks what `appProtocol` says.
    pub fn put_endpoints(&self, service: &str, port: u16, speaks: Option<&str>, all: &[Ipv4Addr]) {
        let endpoints: Vec<Value> = all.iter().map(|ip| json!({"addresses": [ip]})).collect();
        let mut port = json!({"name": "main", "protocol": "TCP", "port": port});
        if let Some(speaks) = speaks {
            port["appProtocol"] = speaks.into();
        }
        self.api.put(
            "endpointslices",
            json!({"metadata": {"namespace": "ns", "name": format!("{service}-1"),
                    "labels": {"kubernetes.io/service-name": service}},
                "addressType": "IPv4", "ports": [port], "endpoints": endpoints}),
        );
    }

    /// A connection with TLS for a host, that offers these protocols.
    pub async fn connect(&self, host: &str, protocols: &[&str]) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap()).unwrap();
        let config = rustls::ClientConfig::builder().with_root_certificates(roots);
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|one| one.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.secure).await.unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }
}

/// Runs a test beside a router.
pub fn routed<F: Future<Output = ()>>(test: impl FnOnce(Edge) -> F + Send) {
    routed_with(RouterConfig::default(), test);
}

/// Runs a test beside a router that is set up like this besides.
pub fn routed_with<F: Future<Output = ()>>(
    config: RouterConfig,
    test: impl FnOnce(Edge) -> F + Send,
) {
    Netns::new().host(|| beside(Api::default(), config, test));
}

/// Runs a test beside a router of what an API holds, in this network namespace.
pub async fn beside<F: Future<Output = ()>>(
    api: Api,
    config: RouterConfig,
    test: impl FnOnce(Edge) -> F,
) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Arc::new(Authority::open(folder.path()).unwrap());
    let bind = || router::bind(&[(Ipv4Addr::LOCALHOST, 0).into()]).unwrap();
    let (listeners, mut secure) = (bind(), bind());
    let listener = secure.pop().unwrap();
    let edge = Edge {
        api: api.clone(),
        plain: listeners[0].local_addr().unwrap(),
        secure: listener.local_addr().unwrap(),
        authority: std::fs::read_to_string(folder.path().join(CERTIFICATE)).unwrap(),
    };
    let config = RouterConfig {
        listeners,
        secure: Some(Secure { listener, authority }),
        router_name: "default".into(),
        canonical_hostname: None,
        domain: "apps.test".into(),
        cluster_domain: "cluster.local".into(),
        address: Some(Ipv4Addr::new(192, 0, 2, 9).into()),
        allow_wildcards: true,
        ..config
    };
    let token = CancellationToken::new();
    let run = tokio::spawn(run_router(api.client(), config, token.clone()));
    test(edge).await;
    token.cancel();
    run.await.unwrap().unwrap();
}
