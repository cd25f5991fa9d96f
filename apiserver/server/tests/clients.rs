//! The server as clients meet it: over TLS, by certificate, with kube-rs; and the documents that are no objects.

mod common;

use std::collections::BTreeMap;

use common::*;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher;
use kube::{Api, Client, Config, ResourceExt};

async fn over_tls(harness: &Harness) -> Client {
    let url = format!("https://{}", harness.server.addresses()[0]);
    let pki = harness.server.pki();
    let text = leme_server::pki::kubeconfig(pki, &url, &[("leme", pki.admin.leaf())]);
    let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
    let config =
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

async fn life_of_a_config_map(client: Client) {
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let mut map =
        ConfigMap { data: Some(BTreeMap::from([("k".into(), "v".into())])), ..Default::default() };
    map.metadata.name = Some("a".into());
    let made = maps.create(&PostParams::default(), &map).await.unwrap();
    let mut events = maps
        .watch(&WatchParams::default(), &made.resource_version().unwrap())
        .await
        .unwrap()
        .boxed();
    let patch = serde_json::json!({ "data": { "k": "w" } });
    maps.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let event = tokio::time::timeout(PATIENCE, events.try_next()).await.unwrap().unwrap();
    assert!(
        matches!(event, Some(kube::api::WatchEvent::Modified(map)) if map.data.as_ref().unwrap()["k"] == "w")
    );
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn kube_rs_works_over_tls() {
    let harness = Harness::start().await;
    life_of_a_config_map(over_tls(&harness).await).await;
    tokio::time::timeout(PATIENCE, harness.server.shutdown(PATIENCE)).await.unwrap();
}

#[tokio::test]
async fn kube_rs_works_in_process() {
    let harness = Harness::start().await;
    life_of_a_config_map(Client::new(harness.admin(), "default")).await;
}

#[tokio::test]
async fn both_strategies_of_watchers_see_everything() {
    let harness = Harness::start().await;
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let maps: Api<ConfigMap> = Api::default_namespaced(over_tls(&harness).await);
        let name = format!("w{}", u8::from(config == watcher::Config::default()));
        harness.post(CONFIG_MAPS, &config_map(&name)).await.ok();
        let mut events = watcher::watcher(maps, config).boxed();
        let mut ready = false;
        while !ready {
            let event =
                tokio::time::timeout(PATIENCE, events.try_next()).await.unwrap().unwrap().unwrap();
            ready = matches!(event, watcher::Event::InitDone);
        }
        harness.delete(&format!("{CONFIG_MAPS}/{name}")).await.ok();
        let event =
            tokio::time::timeout(PATIENCE, events.try_next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(event, watcher::Event::Delete(map) if map.name_any() == name));
    }
}

#[tokio::test]
async fn strangers_may_only_look_at_health_and_version() {
    let harness = Harness::start().await;
    let port = harness.server.addresses()[0].port();
    let ca = reqwest_free_client(&harness);
    for (path, expected) in [
        ("/healthz", "200"),
        ("/livez", "200"),
        ("/readyz", "200"),
        ("/version", "200"),
        ("/api", "401"),
        ("/apis", "401"),
        ("/openapi/v3", "401"),
        ("/api/v1/namespaces/default/configmaps", "401"),
        ("/nowhere", "401"),
        ("/api/v1/namespaces/..%2f/pods", "401"),
    ] {
        assert_eq!(ca.get(port, path).await, expected, "{path}");
    }
}

/// A client without a certificate, as plain as can be.
struct Stranger(tokio_rustls::TlsConnector);

fn reqwest_free_client(harness: &Harness) -> Stranger {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(harness.server.pki().ca_der().clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Stranger(tokio_rustls::TlsConnector::from(std::sync::Arc::new(config)))
}

impl Stranger {
    /// The status code of a GET.
    async fn get(&self, port: u16, path: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
        let mut stream = self.0.connect(name, stream).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = Vec::new();
        // A peer that closes without close_notify has still answered.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await.unwrap();
        String::from_utf8_lossy(&text).split(' ').nth(1).unwrap_or("").to_owned()
    }
}

#[tokio::test]
async fn discovery_tells_the_kind_table_in_every_form() {
    let harness = Harness::start().await;
    let versions = harness.get("/api").await.ok();
    assert_eq!(versions["versions"], serde_json::json!(["v1"]));
    let groups = harness.get("/apis").await.ok();
    assert!(
        groups["groups"]
            .as_array()
            .unwrap()
            .iter()
            .any(|group| group["name"] == "route.openshift.io")
    );
    let core = harness.get("/api/v1").await.ok();
    let resources = core["resources"].as_array().unwrap();
    let pods = resources.iter().find(|resource| resource["name"] == "pods").unwrap();
    assert_eq!(pods["shortNames"], serde_json::json!(["po"]));
    assert!(resources.iter().any(|resource| resource["name"] == "replicationcontrollers/scale"));
    let v2 =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let aggregated = harness.raw("GET", "/apis", &[("accept", v2)], b"").await;
    assert!(
        aggregated.headers["content-type"].to_str().unwrap().contains("as=APIGroupDiscoveryList")
    );
    assert_eq!(aggregated.ok()["apiVersion"], "apidiscovery.k8s.io/v2");
    let tag = aggregated.headers["etag"].to_str().unwrap();
    let again = harness.raw("GET", "/apis", &[("accept", v2), ("if-none-match", tag)], b"").await;
    assert_eq!((again.code, again.body.len()), (304, 0));
    assert_eq!(harness.get("/apis/no.such.group").await.code, 404);
    assert_eq!(harness.get("/version").await.ok()["minor"], "36");
}
