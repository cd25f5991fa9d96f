//! kube-rs watchers through kills and restarts of the server: what they hold in the end is what there is.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Client, ResourceExt};
use leme_live::{Host, Program, leme};

/// How long the whole may take.
const PATIENCE: Duration = Duration::from_secs(120);
const KILLS: usize = 3;

/// A control plane on a free port of this machine: the client of this test has no network namespace.
fn up(host: &Host, port: u16) {
    Program::new(leme())
        .words(&format!("up --detach --no-node --listen 127.0.0.1:{port} --data-dir"))
        .arg(host.data())
        .run()
        .ok();
}

async fn client(host: &Host) -> Client {
    let kubeconfig = Kubeconfig::read_from(host.data().join("admin.kubeconfig")).unwrap();
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    Client::try_from(config).unwrap()
}

fn config_map(name: &str) -> ConfigMap {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    ConfigMap { metadata, ..ConfigMap::default() }
}

/// What a reflector would hold: names and resourceVersions.
fn take(held: &mut BTreeMap<String, String>, event: Event<ConfigMap>) {
    let pair = |map: &ConfigMap| (map.name_any(), map.resource_version().unwrap());
    match event {
        Event::Init => held.clear(),
        Event::Apply(map) | Event::InitApply(map) => held.extend([pair(&map)]),
        Event::Delete(map) => {
            held.remove(&map.name_any());
        }
        Event::InitDone => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_hold_what_there_is_after_kills() {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let host = Host::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    up(&host, port);
    let maps: Api<ConfigMap> = Api::namespaced(client(&host).await, "default");
    let mut events = watcher(maps.clone(), Config::default()).default_backoff().boxed();
    let mut held = BTreeMap::new();
    for kill in 0..=KILLS {
        for index in 0..20 {
            maps.create(&PostParams::default(), &config_map(&format!("map-{kill}-{index}")))
                .await
                .unwrap();
        }
        maps.delete(&format!("map-{kill}-0"), &Default::default()).await.unwrap();
        let now = maps.list(&ListParams::default()).await.unwrap();
        let expected: BTreeMap<String, String> =
            now.items.iter().map(|map| (map.name_any(), map.resource_version().unwrap())).collect();
        assert_eq!(
            expected.keys().filter(|name| name.starts_with("map-")).count(),
            19 * (kill + 1)
        );
        let catching_up = async {
            while held != expected {
                // An error is the watcher's to get over.
                if let Some(Ok(event)) = events.next().await {
                    take(&mut held, event);
                }
            }
        };
        tokio::time::timeout(PATIENCE, catching_up).await.unwrap_or_else(|_| {
            panic!("the watcher never came to hold what there is after {kill} kills")
        });
        if kill < KILLS {
            host.kill_leme();
            up(&host, port);
        }
    }
}
