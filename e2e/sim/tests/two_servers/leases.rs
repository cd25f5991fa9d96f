//! Two managers, each at a server of its own: one leads, and what the other one still has on its way comes to nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use leme_client::{Body, Client};
use leme_manager::{Controllers, ManagerConfig, Programs};
use leme_server::{Identity, LocalService};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::world::{World, pass};

const PODS: usize = 3;
const STORED: &str = "/registry/pods/default/";

/// A network that stands still from the creation of some pod on. What is on its way arrives later, whether anybody waits
/// for the answer or not.
#[derive(Clone)]
struct Network {
    inner: LocalService,
    /// Pods that are still created before it stands still.
    left: Arc<AtomicUsize>,
    runs: Arc<watch::Sender<bool>>,
    /// Whether servers are told by whom they are asked.
    is_fenced: bool,
}

impl Service<Request<Body>> for Network {
    type Response = Response<leme_server::Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let is_pod = request.method() == Method::POST && request.uri().path().ends_with("/pods");
        if is_pod {
            match self.left.load(Ordering::Relaxed) {
                0 => drop(self.runs.send_replace(false)),
                left => self.left.store(left - 1, Ordering::Relaxed),
            }
        }
        if !self.is_fenced {
            request.headers_mut().remove("leme-lease");
        }
        let (mut inner, mut runs) = (self.inner.clone(), self.runs.subscribe());
        let arrives = tokio::spawn(async move {
            runs.wait_for(|runs| *runs).await.unwrap();
            inner.call(request).await
        });
        Box::pin(async move { arrives.await.unwrap() })
    }
}

fn manager(client: Client, identity: &str, token: &CancellationToken) {
    let each = client.clone();
    let accounts = Arc::new(move |_: &str| each.clone());
    let programs =
        Programs { controllers: Some(Controllers { client, accounts }), scheduler: None };
    let config =
        ManagerConfig { identity: identity.to_owned(), leader_elect: true, ..Default::default() };
    tokio::spawn(leme_manager::run(programs, config, token.clone()));
}

/// How many pods there are in the end if the first leader's network stands still after so many.
async fn pods_after(left: usize, is_fenced: bool) -> usize {
    let world = World::start(1).await;
    let masters = vec!["system:masters".to_owned()];
    let network = Network {
        inner: world.first.server.local_service(Identity::of_certificate("test", masters)),
        left: Arc::new(AtomicUsize::new(left)),
        runs: Arc::new(watch::channel(true).0),
        is_fenced,
    };
    let token = CancellationToken::new();
    manager(Client::over(network.clone()), "one", &token);
    pass(Duration::from_secs(5)).await;
    manager(world.second.client(), "two", &token);
    let labels = json!({ "app": "web" });
    let set = json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": { "name": "web" },
        "spec": { "replicas": PODS, "selector": { "matchLabels": labels }, "template": {
            "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "c", "image": "i" }] } } } });
    let sets = "/apis/apps/v1/namespaces/default/replicasets";
    world.second.client().post(sets, &set).await.unwrap();
    pass(Duration::from_secs(2)).await;
    assert!(!*network.runs.borrow(), "the network has not stood still");
    pass(Duration::from_secs(60)).await;
    let lease =
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager";
    let lease = world.second.client().get(lease).await.unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "two");
    assert_eq!(world.objects(STORED).await.len(), PODS);
    // What has been on its way all the time arrives now, and nobody has time to clean up.
    token.cancel();
    pass(Duration::from_secs(5)).await;
    network.runs.send_replace(true);
    pass(Duration::from_secs(5)).await;
    world.objects(STORED).await.len()
}

#[tokio::test]
async fn what_a_leader_of_before_has_on_its_way_makes_no_pod() {
    for left in 0..PODS {
        assert_eq!(pods_after(left, true).await, PODS, "after {left}");
    }
    println!("{PODS} points at which a leader was cut off, 0 pods too many");
}

#[tokio::test]
async fn without_the_fence_there_are_pods_too_many() {
    assert!(pods_after(1, false).await > PODS);
}
