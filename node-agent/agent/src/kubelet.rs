//! The kubelet's HTTPS API: logs, exec, attach, port-forward, the pods, what they use, health.
//!
//! Knows: who may ask (the API server, by client certificate), paths and their answers. Refuses to know: RBAC, which the API
//! server has applied before it asks.

pub mod crilog;
mod exec;
mod forward;
mod logs;
mod remote;
mod resource;
mod spdy;
mod summary;
mod upgrade;
mod websocket;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use hyper_util::service::TowerToHyperService;
use leme_cri::Runtime;
use leme_serve::{Lifetime, Limits};
use leme_streams::channel;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::stats::Stats;
use crate::view::{ContainerView, PodView, Views};

/// The common name by which the API server shows itself.
const API_SERVER: &str = "kube-apiserver-kubelet-client";
/// The organisation that may do everything.
const MASTERS: &str = "system:masters";

/// What requests are answered from.
#[derive(Clone)]
pub struct Context {
    /// Pods.
    pub views: Views,
    /// Where commands run.
    pub runtime: Arc<dyn Runtime>,
    /// Directory of all pods' logs.
    pub logs: PathBuf,
    /// What pods use.
    pub stats: Arc<Stats>,
}

type Pairs = Vec<(String, String)>;

/// Every pod reaches the port, and nobody but the API server has business there.
fn limits() -> Limits {
    Limits {
        connections: 2_000,
        per_peer: 1_500,
        head: Duration::from_secs(10),
        ..Limits::default()
    }
}

/// Serves until cancelled. Connections that are open then are cut.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    context: Context,
    token: CancellationToken,
) {
    let app = router(context);
    let service = move |peer: &leme_serve::Peer<'_>| {
        let certificate = peer.certificates.and_then(<[_]>::first);
        let allowed = certificate.is_some_and(|c| may_ask(c.as_ref()));
        TowerToHyperService::new(if allowed {
            app.clone()
        } else {
            Router::new().fallback(forbidden)
        })
    };
    let lifetime = Lifetime::default();
    tokio::select! {
        () = leme_serve::serve(vec![listener], Some(tls), limits(), service, lifetime.clone()) => {}
        () = token.cancelled() => {}
    }
    lifetime.end(Duration::ZERO).await;
}

async fn forbidden() -> Response {
    let text = "Forbidden: a client certificate of the API server is required\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

/// Whether a verified client certificate is the API server's.
fn may_ask(certificate: &[u8]) -> bool {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return false;
    };
    let subject = certificate.subject();
    let name = subject.iter_common_name().any(|a| a.as_str().is_ok_and(|s| s == API_SERVER));
    let organisation = subject.iter_organization().any(|a| a.as_str().is_ok_and(|s| s == MASTERS));
    name || organisation
}

fn router(context: Context) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/pods", get(pods))
        .route("/stats/summary", get(summary::answer))
        .route("/metrics/resource", get(resource::answer))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(container_logs))
        .route("/exec/{namespace}/{pod}/{container}", any(exec))
        .route("/exec/{namespace}/{pod}/{uid}/{container}", any(exec))
        .route("/attach/{namespace}/{pod}/{container}", any(attach))
        .route("/attach/{namespace}/{pod}/{uid}/{container}", any(attach))
        .route("/portForward/{namespace}/{pod}", any(port_forward))
        .route("/portForward/{namespace}/{pod}/{uid}", any(port_forward))
        .with_state(context)
}

/// Why a request is not served, before any stream is open.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    code: StatusCode,
    message: String,
    /// SPDY protocols that the client may choose from.
    accepted: Vec<&'static str>,
}

impl Refusal {
    fn new(code: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), accepted: Vec::new() }
    }

    fn no_pod() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "pod does not exist")
    }

    /// There is none of that name, or it does not run.
    fn no_container(name: &str) -> Refusal {
        let text = format!("container not found (\"{name}\")");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut answer = (self.code, self.message).into_response();
        for name in self.accepted {
            let value = HeaderValue::from_static(name);
            answer.headers_mut().append("x-accepted-stream-protocol-versions", value);
        }
        answer
    }
}

/// The pod or container that a path names.
#[derive(serde::Deserialize)]
struct Place {
    namespace: String,
    pod: String,
    uid: Option<String>,
    #[serde(default)]
    container: String,
}

impl Place {
    fn pod(&self, context: &Context) -> Result<PodView, Refusal> {
        let view = context.views.get(&self.namespace, &self.pod).ok_or_else(Refusal::no_pod)?;
        match &self.uid {
            Some(uid) if *uid != view.uid => Err(Refusal::no_pod()),
            _ => Ok(view),
        }
    }

    fn container(&self, context: &Context) -> Result<ContainerView, Refusal> {
        let found = self.pod(context)?.containers.into_iter().find(|c| c.name == self.container);
        found.ok_or_else(|| Refusal::no_container(&self.container))
    }
}

async fn pods(State(context): State<Context>) -> Response {
    let items: Vec<_> = context.views.pods().iter().map(|p| p.as_ref().clone()).collect();
    let list =
        serde_json::json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items});
    ([(header::CONTENT_TYPE, "application/json")], list.to_string()).into_response()
}

async fn container_logs(
    State(context): State<Context>,
    Path(place): Path<Place>,
    Query(query): Query<Pairs>,
    request: Request,
) -> Response {
    let options = match logs::Options::parse(&query) {
        Ok(options) => options,
        Err(message) => return (StatusCode::UNPROCESSABLE_ENTITY, message).into_response(),
    };
    let found = place.pod(&context).and_then(|view| {
        let container = view.containers.iter().find(|c| c.name == place.container).cloned();
        match container {
            Some(container) => Ok((view, container)),
            None => {
                let code = StatusCode::NOT_FOUND;
                Err(Refusal { code, ..Refusal::no_container(&place.container) })
            }
        }
    });
    let answer = match found {
        Ok((view, container)) => logs::answer(&context, &view, &container, options).await,
        Err(refusal) => refusal.into_response(),
    };
    if answer.status() == StatusCode::OK && upgrade::is_websocket(request.headers()) {
        return log_over_websocket(request, answer).await;
    }
    answer
}

async fn log_over_websocket(request: Request, log: Response) -> Response {
    let (upgrade, offered) = match upgrade::Wanted::of(request).await {
        Ok(upgrade::Wanted::WebSocket(upgrade, offered)) => (upgrade, offered),
        Ok(upgrade::Wanted::Spdy(..)) => return log,
        Err(answer) => return answer,
    };
    match upgrade::choose(upgrade, &offered, &channel::LOG) {
        Ok((upgrade, protocol)) => {
            let log = log.into_body().into_data_stream();
            upgrade.on_upgrade(move |socket| websocket::send_log(socket, protocol, log))
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn exec(
    State(context): State<Context>,
    Path(place): Path<Place>,
    Query(query): Query<Pairs>,
    request: Request,
) -> Response {
    match exec::command(&query) {
        Ok(command) => {
            let (container, process) = (place.container(&context), exec::Process::Command(command));
            exec::answer(&context, container, process, &query, request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn attach(
    State(context): State<Context>,
    Path(place): Path<Place>,
    Query(query): Query<Pairs>,
    request: Request,
) -> Response {
    exec::answer(&context, place.container(&context), exec::Process::Own, &query, request).await
}

async fn port_forward(
    State(context): State<Context>,
    Path(place): Path<Place>,
    Query(query): Query<Pairs>,
    request: Request,
) -> Response {
    let sandbox = place.pod(&context).and_then(|view| {
        view.sandbox.ok_or_else(|| {
            let text = format!("pod not found (\"{}_{}\")", place.pod, place.namespace);
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
        })
    });
    forward::answer(&context, sandbox, &query, request).await
}

#[cfg(test)]
mod tests;
