//! The node agent: one closed event type, one loop; status goes through the client.
//!
//! Knows: how the effects of the pod machines are carried out, and how a node shows itself in the API. Refuses to
//! know: what a pod needs next (the machines do), how a container is made (the runtime does), where the API server is.

mod agent;
mod event;
mod intake;
mod kubelet;
mod node;
mod perform;
mod probe;
mod publish;
mod recorder;
mod source;
mod view;
mod volumes;
mod worker;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

/// How a node agent is set up.
#[derive(Clone)]
pub struct AgentConfig {
    /// Name of the Node.
    pub node_name: String,
    /// The API.
    pub client: kube::Client,
    /// The container runtime.
    pub runtime: Arc<dyn leme_cri::Runtime>,
    /// Directory of this node; `pods/UID` and `logs` are made in it.
    pub data_dir: PathBuf,
    /// Where the API server reaches this agent; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Server certificate, and the authority of client certificates, which must be asked for.
    pub tls: Arc<rustls::ServerConfig>,
    /// Address of the node.
    pub node_ip: IpAddr,
    /// Address of the cluster's DNS service.
    pub cluster_dns: Option<IpAddr>,
    /// Such as `cluster.local`.
    pub cluster_domain: String,
    /// Addresses of pods on this node.
    pub pod_cidr: String,
    /// More labels for the Node.
    pub labels: BTreeMap<String, String>,
    /// Most pods that the node takes.
    pub max_pods: u32,
}

impl std::fmt::Debug for AgentConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentConfig")
            .field("node_name", &self.node_name)
            .field("data_dir", &self.data_dir)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// Runs the agent until it is cancelled. Containers stay running.
pub async fn run(config: AgentConfig, token: CancellationToken) -> anyhow::Result<()> {
    for directory in ["pods", "logs"] {
        make_private(&config.data_dir.join(directory))?;
    }
    let views = view::Views::default();
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listen on {} for the kubelet API", config.listen))?;
    let port = listener.local_addr().context("address of the kubelet API")?.port();
    let server = kubelet::serve(
        listener,
        config.tls.clone(),
        kubelet::Context {
            views: views.clone(),
            runtime: config.runtime.clone(),
            logs: config.data_dir.join("logs"),
        },
        token.clone(),
    );
    let server = tokio::spawn(server);
    let result = agent::Agent::new(config, views, port).run(token.clone()).await;
    token.cancel();
    server.await.context("kubelet API")?;
    result
}

/// Makes a directory that only this user can enter: volumes hold Secrets.
fn make_private(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)))
        .with_context(|| format!("make {}", path.display()))
}

/// Unmounts every volume that is mounted under a node's directory; for a node whose containers have been stopped.
pub fn release(data_dir: &Path) -> anyhow::Result<()> {
    let pods = data_dir.join("pods");
    let entries = match std::fs::read_dir(&pods) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.with_context(|| format!("read {}", pods.display()))?,
    };
    for entry in entries {
        volumes::release(&entry.with_context(|| format!("read {}", pods.display()))?.path())?;
    }
    Ok(())
}

/// Stops every container of every pod on the runtime, at most `grace` each and all at once, then the sandboxes.
/// Pods stay in the API and in the runtime's records; a later agent starts them again.
pub async fn drain(runtime: &dyn leme_cri::Runtime, grace: Duration) -> anyhow::Result<()> {
    let containers = runtime.containers().await.context("list containers")?;
    let running =
        containers.iter().filter(|c| c.state == leme_node_core::cri::ContainerState::Running);
    let stops = running.map(|c| async move {
        let call = runtime.stop_container(&c.id, grace);
        match tokio::time::timeout(grace + Duration::from_secs(10), call).await {
            Ok(result) => result.with_context(|| format!("stop container {}", c.name)),
            Err(_) => anyhow::bail!("stop container {}: timed out", c.name),
        }
    });
    let mut faults: Vec<anyhow::Error> =
        futures::future::join_all(stops).await.into_iter().filter_map(Result::err).collect();
    let sandboxes = runtime.sandboxes().await.context("list sandboxes")?;
    let downs = sandboxes.iter().map(|s| async move {
        let call = runtime.stop_sandbox(&s.id);
        match tokio::time::timeout(Duration::from_secs(30), call).await {
            Ok(result) => result.with_context(|| format!("stop sandbox of {}", s.pod.name)),
            Err(_) => anyhow::bail!("stop sandbox of {}: timed out", s.pod.name),
        }
    });
    faults.extend(futures::future::join_all(downs).await.into_iter().filter_map(Result::err));
    match faults.into_iter().next() {
        Some(first) => Err(first),
        None => Ok(()),
    }
}

#[cfg(test)]
mod fakes;
#[cfg(test)]
mod tests;
