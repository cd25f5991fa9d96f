//! What the server serves, as the one client of this repository learns it: in few requests, in both forms, as it changes.

mod common;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use common::*;
use http::{HeaderValue, Request, header};
use leme_client::discovery::is_served;
use leme_client::{Body, Client, Discovery};
use leme_server::{Answer, LocalService};
use serde_json::{Value, json};
use tower_service::Service;

/// A server whose requests are written down; an old one knows nothing of aggregated documents.
#[derive(Clone)]
struct Listened {
    server: LocalService,
    old: bool,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Service<Request<Body>> for Listened {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if self.old {
            request
                .headers_mut()
                .insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        }
        let path = request.uri().path().to_owned();
        let answer = self.server.call(request);
        let asked = self.asked.clone();
        Box::pin(async move {
            let answer = answer.await?;
            asked.lock().unwrap().push(format!("{path} {}", answer.status().as_u16()));
            Ok(answer)
        })
    }
}

fn listened(harness: &Harness, old: bool) -> (Client, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::default();
    let server = Listened { server: harness.admin(), old, asked: Arc::clone(&asked) };
    (Client::over(server), asked)
}

fn taken(asked: &Mutex<Vec<String>>) -> Vec<String> {
    let mut taken = std::mem::take(&mut *asked.lock().unwrap());
    taken.sort();
    taken
}

/// Red when the client reads one document for each group and version of a server that has all in two.
#[tokio::test]
async fn two_requests_tell_of_every_kind() {
    let harness = Harness::start().await;
    let (client, asked) = listened(&harness, false);
    let discovery = Discovery::new(client.clone(), |_| true);
    let served = discovery.ask().await.unwrap();
    assert_eq!(taken(&asked), ["/api 200", "/apis 200"]);
    let rows = leme_kinds::builtin().count();
    assert_eq!((served.kinds.len(), served.unread.len()), (rows, 0));
    assert_eq!(discovery.ask().await.unwrap(), served);
    assert_eq!(taken(&asked), ["/api 304", "/apis 304"]);

    let tabs = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "tabs.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "tabs", "singular": "tab", "kind": "Tab", "listKind": "TabList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    harness.post(definitions, &tabs).await.ok();
    let mut watch = harness
        .watch(&format!("{definitions}?watch=true&fieldSelector=metadata.name%3Dtabs.example.com"))
        .await;
    let established = |event: &Value| {
        let conditions = event["object"]["status"]["conditions"].as_array();
        let mut all = conditions.into_iter().flatten();
        all.any(|one| one["type"] == "Established" && one["status"] == "True")
    };
    while !established(&watch.next().await.unwrap()) {}
    let now = discovery.ask().await.unwrap();
    let new = now.kinds.iter().find(|kind| kind.plural == "tabs").unwrap();
    assert_eq!((new.api_version().as_str(), new.namespaced), ("example.com/v1", true));
    assert_eq!(taken(&asked), ["/api 304", "/apis 200"]);
    assert_eq!(is_served(&client, new).await, Ok(true));
}

/// Red when the older documents are read by other names, or in another order.
#[tokio::test]
async fn the_older_documents_tell_the_same() {
    let harness = Harness::start().await;
    let new = Discovery::new(listened(&harness, false).0, |_| true).ask().await.unwrap();
    let (client, asked) = listened(&harness, true);
    let old = Discovery::new(client, |_| true).ask().await.unwrap();
    assert_eq!(old, new);
    let versions = taken(&asked).iter().filter(|line| line.matches('/').count() > 1).count();
    assert!(versions > 30, "{versions}");
}
