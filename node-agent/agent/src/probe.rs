//! Probes and hooks, tried: HTTP and TCP from the host to the pod, commands in the container.
//!
//! Knows: what counts as healthy and how failures are worded. Refuses to know: thresholds and what follows.

mod grpc;
mod http;
mod tls;

use std::time::Duration;

use k8s_openapi::api::core::v1::{ExecAction, GRPCAction, HTTPGetAction, Probe, TCPSocketAction};
use leme_cri::{Runtime, RuntimeError};
use leme_node_core::probe::Outcome;
use leme_node_core::spec;
use tokio::net::TcpStream;

use crate::worker::Hooks;

use leme_meta::version::PROBE_USER_AGENT as USER_AGENT;

/// Bytes of output or body that go into a message.
const SHOWN: usize = 10 * 1024;

/// What to try.
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// A command.
    pub exec: Option<ExecAction>,
    /// A request.
    pub http: Option<HTTPGetAction>,
    /// A connection.
    pub tcp: Option<TCPSocketAction>,
    /// A question to a gRPC health service.
    pub grpc: Option<GRPCAction>,
}

impl From<&Probe> for Check {
    fn from(probe: &Probe) -> Self {
        Self {
            exec: probe.exec.clone(),
            http: probe.http_get.clone(),
            tcp: probe.tcp_socket.clone(),
            grpc: probe.grpc.clone(),
        }
    }
}

/// Tries it once.
pub async fn run(
    runtime: &dyn Runtime,
    hooks: &Hooks,
    id: &str,
    check: &Check,
    limit: Duration,
) -> Outcome {
    if let Some(action) = &check.exec {
        return exec(runtime, id, action, limit).await;
    }
    if let Some(action) = &check.grpc {
        let Some(port) = u16::try_from(action.port).ok().filter(|port| *port > 0) else {
            return Outcome::Error(format!("invalid port number: {}", action.port));
        };
        return grpc::check(&hooks.ip, port, action.service.as_deref().unwrap_or(""), limit).await;
    }
    let Some((host, port)) = target(hooks, check) else {
        return Outcome::Error("the probe names no usable port".to_owned());
    };
    match &check.http {
        Some(action) => http::get(action, &host, port, limit).await,
        None => match connect(&host, port, limit).await {
            Ok(_) => Outcome::Success,
            Err(message) => Outcome::Failure(message),
        },
    }
}

fn target(hooks: &Hooks, check: &Check) -> Option<(String, u16)> {
    let (host, port) = match (&check.http, &check.tcp) {
        (Some(action), _) => (&action.host, &action.port),
        (None, Some(action)) => (&action.host, &action.port),
        (None, None) => return None,
    };
    let host = host.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| hooks.ip.clone());
    Some((host, spec::port(&hooks.container, port)?))
}

async fn exec(runtime: &dyn Runtime, id: &str, action: &ExecAction, limit: Duration) -> Outcome {
    let command = action.command.clone().unwrap_or_default();
    let call = runtime.exec_sync(id, &command, limit);
    // The runtime keeps the limit; a runtime that hangs does not hold the probe.
    let timed_out = || {
        format!("command timed out: {:?} timed out after {}s", command.join(" "), limit.as_secs())
    };
    match tokio::time::timeout(limit + Duration::from_secs(2), call).await {
        Err(_) | Ok(Err(RuntimeError::Timeout(_))) => Outcome::Failure(timed_out()),
        Ok(Err(error)) => Outcome::Error(error.to_string()),
        Ok(Ok(output)) => {
            let mut text = output.stdout;
            text.extend(output.stderr);
            text.truncate(SHOWN);
            let text = String::from_utf8_lossy(&text).into_owned();
            if output.exit_code == 0 { Outcome::Success } else { Outcome::Failure(text) }
        }
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, String> {
    let address = authority(host, port);
    match tokio::time::timeout(limit, dial(host, port)).await {
        Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
        Ok(dialled) => dialled,
    }
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((host, port)).await.map_err(|error| {
        let what = match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
            _ => format!("connect: {error}"),
        };
        format!("dial tcp {}: {what}", authority(host, port))
    })
}
