//! Builds of what is sent: the build is made, its pod waited for, and the body of the request becomes that pod's input.
//!
//! Knows: which container takes the input, how long it is waited for, how a stream is written to a node. Refuses to know:
//! what is sent.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use leme_kinds::Subresource;
use leme_meta::{Status, quote};
use leme_registry::{Target, json};
use leme_streams::channel::{CLOSE, ERROR, STDIN};
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use super::kind;
use crate::answer::Answer;
use crate::api::Api;
use crate::body::RequestBody;
use crate::negotiate::Representation;
use crate::query::Query;
use crate::request::{ResourceRequest, Verb};
use crate::write::{WriteOptions, written};

const GROUP: &str = "build.openshift.io";
/// How long a build may take to begin.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
const PROTOCOL: &str = "v5.channel.k8s.io";
/// Fields of a commit by the parameters that say them.
const REVISION: [(&str, &[&str]); 6] = [
    ("revision.commit", &["commit"]),
    ("revision.message", &["message"]),
    ("revision.authorName", &["author", "name"]),
    ("revision.authorEmail", &["author", "email"]),
    ("revision.committerName", &["committer", "name"]),
    ("revision.committerEmail", &["committer", "email"]),
];

impl Api {
    /// POST of the input of a build.
    pub(crate) async fn binary_build(
        &self,
        request: &ResourceRequest,
        wanted: Representation,
        body: RequestBody,
    ) -> Result<Answer, Status> {
        let options = WriteOptions::plain();
        self.catch_up(None).await?;
        let config = self.must(&request.kind, &request.namespace, &request.name)?;
        self.may_build(request, &config)?;
        let asked = asked(&request.name, &request.query);
        let (build, warnings) = self.next_build(request, &asked, &options).await?;
        let name = json::text(&build, &["metadata", "name"]).to_owned();
        match self.send_input(&config, &request.namespace, &name, body).await {
            Ok(()) => {
                let builds = kind(GROUP, "builds")?;
                let build = self.known(builds, &request.namespace, &name)?.unwrap_or(build);
                written(request, wanted, 201, build.into(), &warnings)
            }
            Err(why) => {
                // Nobody will send it anything any more.
                if let Err(error) = self.cancel_build(&request.namespace, &name).await {
                    tracing::warn!(build = name, why = error.message, "not cancelled");
                }
                Err(why)
            }
        }
    }

    async fn cancel_build(&self, namespace: &str, name: &str) -> Result<(), Status> {
        let update = ResourceRequest::of(Verb::Update, kind(GROUP, "builds")?, namespace, name);
        let cancelled = self.make_of(&update, Target::Main, |stored| {
            let ended = matches!(
                json::text(stored, &["status", "phase"]),
                "Complete" | "Failed" | "Error" | "Cancelled"
            );
            let mut new = stored.clone();
            json::set(json::child(&mut new, "status"), "cancelled", true);
            Ok((!ended).then_some(new))
        });
        cancelled.await.map(drop)
    }

    /// Waits for the container that takes the input, and sends it there.
    async fn send_input(
        &self,
        config: &Value,
        namespace: &str,
        name: &str,
        body: RequestBody,
    ) -> Result<(), Status> {
        let builds = kind(GROUP, "builds")?;
        let phase = |build: &Value| json::text(build, &["status", "phase"]).to_owned();
        let begun = |build: &Value| !matches!(phase(build).as_str(), "New" | "Pending");
        let build = self.wait_for((builds, namespace, name), PATIENCE, begun).await?;
        let late = || {
            let message = format!("timed out waiting for build {name} to start after 5m0s");
            Status::timeout(message, 0)
        };
        let build = build.map_err(|_| late())?;
        if phase(&build) != "Running" {
            let why = json::text(&build, &["status", "message"]);
            return Err(Status::bad_request(format!(
                "build {name} encountered an error: {why}",
                name = quote(&name)
            )));
        }
        let custom = json::at(config, &["spec", "strategy", "customStrategy"]).is_some();
        let container = if custom { "custom-build" } else { "git-clone" };
        let (pods, pod) = (kind("", "pods")?, format!("{name}-build"));
        let runs = |pod: &Value| is_running(pod, container);
        let found = self.wait_for((pods, namespace, &pod), PATIENCE, runs).await?;
        found.map_err(|_| late())?;
        let query = Query::default().with("container", container).with("stdin", "true");
        let attach = ResourceRequest {
            subresource: Some(Subresource::Attach),
            query,
            ..ResourceRequest::of(Verb::Create, pods, namespace, &pod)
        };
        let node = self.open_stream(&attach, handshake()).await?;
        let broken = |why: String| {
            Status::internal(format!(
                "the input of build {name} could not be sent: {why}",
                name = quote(&name)
            ))
        };
        let upgraded = hyper::upgrade::on(node).await.map_err(|error| broken(error.to_string()))?;
        let socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
        pass(body, socket).await.map_err(broken)
    }
}

fn is_running(pod: &Value, container: &str) -> bool {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let mut all = lists.iter().flat_map(|list| json::list(pod, &["status", list]));
    let own = all.find(|status| json::text(status, &["name"]) == container);
    own.is_some_and(|own| json::at(own, &["state", "running"]).is_some())
}

/// What is asked of a configuration by who sends input for it.
fn asked(name: &str, query: &Query) -> Value {
    let mut asked = json!({
        "kind": "BuildRequest", "apiVersion": "build.openshift.io/v1", "metadata": { "name": name },
        "binary": {},
        "triggeredBy": [{ "message": "Manually triggered" }],
    });
    if let Some(name) = query.get("asFile").filter(|name| !name.is_empty()) {
        asked["binary"]["asFile"] = name.into();
    }
    let mut git = json!({});
    for (parameter, path) in REVISION {
        let Some(text) = query.get(parameter).filter(|text| !text.is_empty()) else { continue };
        match path {
            [person, field] => json::set(json::child(&mut git, person), field, text),
            [field, ..] => json::set(&mut git, field, text),
            [] => {}
        }
    }
    if git != json!({}) {
        asked["revision"] = json!({ "type": "Git", "git": git });
    }
    asked
}

fn handshake() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    if let Ok(key) = HeaderValue::from_str(&generate_key()) {
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
    }
    headers
}

/// Sends a body to the end, and waits until its reader has ended, or has no more use for it.
async fn pass<S>(mut body: RequestBody, socket: WebSocketStream<S>) -> Result<(), String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut to, mut from) = socket.split();
    let sending = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| error.to_string())?;
            let Ok(data) = frame.into_data() else { continue };
            let mut message = Vec::with_capacity(data.len() + 1);
            message.push(STDIN);
            message.extend_from_slice(&data);
            let message = Message::Binary(Bytes::from(message));
            to.send(message).await.map_err(|error| error.to_string())?;
        }
        let end = Message::Binary(Bytes::from_static(&[CLOSE, STDIN]));
        to.send(end).await.map_err(|error| error.to_string())
    };
    let hearing = async {
        while let Some(Ok(message)) = from.next().await {
            match message {
                Message::Binary(data) if data.first() == Some(&ERROR) && data.len() > 1 => break,
                Message::Close(_) => break,
                _ => {}
            }
        }
    };
    let mut hearing = std::pin::pin!(hearing);
    tokio::select! {
        sent = sending => sent?,
        // Its reader is satisfied, or has failed: its build tells which.
        () = &mut hearing => return Ok(()),
    }
    hearing.await;
    Ok(())
}
