//! The kubelet's HTTPS API: logs, exec, the pods, health.
//!
//! Knows: who may ask (the API server, by client certificate), paths and their answers. Refuses to know: RBAC, which the API
//! server has applied before it asks.

pub mod crilog;
mod exec;
mod logs;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State, WebSocketUpgrade};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::service::TowerToHyperService;
use leme_cri::Runtime;
use leme_serve::{Lifetime, Limits};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

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
        .route("/containerLogs/{namespace}/{pod}/{container}", get(container_logs))
        .route("/exec/{namespace}/{pod}/{container}", get(exec).post(exec_needs_websocket))
        .route(
            "/exec/{namespace}/{pod}/{uid}/{container}",
            get(exec_uid).post(exec_needs_websocket),
        )
        .with_state(context)
}

async fn pods(State(context): State<Context>) -> Response {
    let items: Vec<_> = context.views.pods().iter().map(|p| p.as_ref().clone()).collect();
    let list =
        serde_json::json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items});
    ([(header::CONTENT_TYPE, "application/json")], list.to_string()).into_response()
}

fn find(
    context: &Context,
    namespace: &str,
    pod: &str,
    container: &str,
) -> Result<(PodView, ContainerView), (StatusCode, String)> {
    let Some(view) = context.views.get(namespace, pod) else {
        return Err((StatusCode::NOT_FOUND, "pod does not exist".to_owned()));
    };
    let found = view.containers.iter().find(|c| c.name == container).cloned();
    match found {
        Some(found) => Ok((view, found)),
        None => Err((StatusCode::NOT_FOUND, format!("container not found (\"{container}\")"))),
    }
}

async fn container_logs(
    State(context): State<Context>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(query): Query<Pairs>,
) -> Response {
    let options = match logs::Options::parse(&query) {
        Ok(options) => options,
        Err(message) => return (StatusCode::UNPROCESSABLE_ENTITY, message).into_response(),
    };
    match find(&context, &namespace, &pod, &container) {
        Ok((view, found)) => logs::answer(&context, &view, &found, options).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn exec(
    State(context): State<Context>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(query): Query<Pairs>,
    upgrade: WebSocketUpgrade,
) -> Response {
    match find(&context, &namespace, &pod, &container) {
        Ok((_, found)) => exec::answer(&context, &found, &query, upgrade),
        Err(refusal) => refusal.into_response(),
    }
}

async fn exec_uid(
    state: State<Context>,
    Path((namespace, pod, uid, container)): Path<(String, String, String, String)>,
    query: Query<Pairs>,
    upgrade: WebSocketUpgrade,
) -> Response {
    match state.views.get(&namespace, &pod) {
        Some(view) if view.uid == uid => {
            exec(state, Path((namespace, pod, container)), query, upgrade).await
        }
        _ => (StatusCode::NOT_FOUND, "pod does not exist").into_response(),
    }
}

async fn exec_needs_websocket() -> Response {
    let text = "exec needs a WebSocket upgrade with v5.channel.k8s.io or v4.channel.k8s.io\n";
    (StatusCode::BAD_REQUEST, text).into_response()
}

#[cfg(test)]
mod tests;
