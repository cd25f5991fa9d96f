//! The log of a build: those of the containers of its pod, one after the other, as one.
//!
//! Knows: in which order containers run, and when one can speak. Refuses to know: how a log comes from a node.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::Request;
use http_body_util::{BodyDataStream, BodyExt};
use leme_kinds::Subresource;
use leme_meta::Status;
use leme_registry::json;
use serde_json::Value;

use super::kind;
use super::logs::OWN;
use crate::answer::{self, Answer};
use crate::api::Api;
use crate::body::Body;
use crate::query::Query;
use crate::request::{ResourceRequest, Verb};

/// How long a container is waited for before it is asked whether its pod is still there.
const PATIENCE: Duration = Duration::from_secs(60);

/// The answer to whoever asks for the log of a build that has a pod.
pub(super) async fn answer(
    api: &Arc<Api>,
    request: &ResourceRequest,
    pod: &str,
) -> Result<Answer, Status> {
    let pods = kind("", "pods")?;
    let found = api.must(pods, &request.namespace, pod)?;
    let names = |field: &str| {
        let list = json::list(&found, &["spec", field]).iter();
        list.map(|one| json::text(one, &["name"]).to_owned()).collect::<Vec<String>>()
    };
    let asked = request.query.get("container").map(str::to_owned);
    let left = match asked {
        Some(one) => vec![one],
        None => [names("initContainers"), names("containers")].concat(),
    };
    let mut query = Query::default();
    let passed = |name: &str| !OWN.contains(&name) && name != "container";
    for (name, value) in request.query.pairs().filter(|(name, _)| passed(name)) {
        query = query.with(name, value);
    }
    let follow = request.query.flag("follow");
    let log = ResourceRequest {
        subresource: Some(Subresource::Log),
        query,
        ..ResourceRequest::of(Verb::Get, pods, &request.namespace, pod)
    };
    let mut telling = Telling { api: Arc::clone(api), log, left: left.into(), follow, now: None };
    // What is wrong with the question is told before anything else is.
    telling.open().await?;
    let lines = stream::unfold(telling, |mut telling| async move {
        telling.next().await.map(|piece| (piece, telling))
    });
    let stopping = api.lifetime.stop_token();
    let lines = lines.take_until(stopping.cancelled_owned());
    Ok(answer::with_body(200, "text/plain", Body::live(lines)))
}

type Piece = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

struct Telling {
    api: Arc<Api>,
    log: ResourceRequest,
    left: VecDeque<String>,
    follow: bool,
    now: Option<BodyDataStream<Body>>,
}

impl Telling {
    async fn next(&mut self) -> Option<Piece> {
        loop {
            if let Some(now) = &mut self.now {
                match now.next().await {
                    Some(piece) => return Some(piece),
                    None => self.now = None,
                }
            }
            match self.open().await {
                Ok(()) if self.now.is_some() => {}
                // That a later container cannot be heard any more ends a log; it does not make what was said untrue.
                Ok(()) | Err(_) => return None,
            }
        }
    }

    /// Goes on to the next container that speaks, if there is one.
    async fn open(&mut self) -> Result<(), Status> {
        let Some(container) = self.left.pop_front() else { return Ok(()) };
        if !speaks(&self.api, &self.log, &container, self.follow).await? {
            return Ok(());
        }
        let query = self.log.query.clone().with("container", &container);
        let log = ResourceRequest { query, ..self.log.clone() };
        let (parts, ()) = Request::new(()).into_parts();
        let answer = self.api.log(&log, parts).await?;
        self.now = Some(answer.into_body().into_data_stream());
        Ok(())
    }
}

/// Whether a container has begun; who follows waits for it.
async fn speaks(
    api: &Api,
    pod: &ResourceRequest,
    container: &str,
    follow: bool,
) -> Result<bool, Status> {
    let place = (&*pod.kind, pod.namespace.as_str(), pod.name.as_str());
    let patience = if follow { PATIENCE } else { Duration::ZERO };
    loop {
        let enough = |pod: &Value| has_begun(pod, container) || is_over(pod);
        match api.wait_for(place, patience, enough).await? {
            Ok(pod) => return Ok(has_begun(&pod, container)),
            Err(Some(_)) if follow && !api.lifetime.stop_token().is_cancelled() => {}
            Err(_) => return Ok(false),
        }
    }
}

fn is_over(pod: &Value) -> bool {
    let ended = matches!(json::text(pod, &["status", "phase"]), "Succeeded" | "Failed");
    ended || json::at(pod, &["metadata", "deletionTimestamp"]).is_some()
}

fn has_begun(pod: &Value, container: &str) -> bool {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let mut all = lists.iter().flat_map(|list| json::list(pod, &["status", list]));
    let own = all.find(|status| json::text(status, &["name"]) == container);
    let state = |of: &Value, state: &str| json::at(of, &["state", state]).is_some();
    own.is_some_and(|own| state(own, "running") || state(own, "terminated"))
}
