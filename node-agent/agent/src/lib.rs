//! The node agent: one closed event type, one loop; status goes through the client.
//!
//! Knows: how the effects of the pod machines are carried out, and how a node shows itself in the API. Refuses to
//! know: what a pod needs next (the machines do), how a container is made (the runtime does), where the API server is.

mod agent;
mod clock;
mod csi;
mod directories;
mod ends;
mod event;
mod images;
mod intake;
mod kubelet;
mod node;
mod perform;
mod probe;
mod publish;
mod rates;
mod reach;
mod recorder;
mod snapshots;
mod source;
mod stats;
mod storage;
mod usage;
mod view;
mod volumes;
mod worker;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
pub use ends::tell as tell_ends;
use leme_client::Client;
pub use leme_node_core::refuse::Policy;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// What this does is the kubelet's work, and is told and written as such.
const COMPONENT: &str = "kubelet";

/// How a node agent is set up.
#[derive(Clone)]
pub struct AgentConfig {
    /// Name of the Node.
    pub node_name: String,
    /// The API.
    pub client: Client,
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
    /// What pods may ask for beyond what is safe.
    pub policy: Policy,
    /// The name of the cluster's own registry of images, which knows pods by their accounts.
    pub registry: Option<String>,
    /// Becomes true once the API has what is true now: the Node, and each pod that an earlier agent left in it.
    pub caught_up: tokio::sync::watch::Sender<bool>,
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
    let client = config.client.clone().named(COMPONENT);
    let config = AgentConfig { client, ..config };
    for directory in [config.data_dir.join("pods"), config.data_dir.join("logs")] {
        make_private(&directory)?;
    }
    snapshots::make_places(&config.data_dir)?;
    let (client, node, data) =
        (config.client.clone(), config.node_name.clone(), config.data_dir.clone());
    let wiping = storage::keep(client.clone(), node.clone(), data.clone());
    let _wiping = AbortOnDropHandle::new(tokio::spawn(wiping));
    let keeping = snapshots::keep(client, node, data);
    let _keeping = AbortOnDropHandle::new(tokio::spawn(keeping));
    let csi =
        csi::Csi::new(config.client.clone(), config.node_name.clone(), config.data_dir.clone())?;
    let _drivers = csi.start();
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
            stats: stats::Stats::new(
                config.runtime.clone(),
                config.node_name.clone(),
                config.data_dir.clone(),
            ),
        },
        token.clone(),
    );
    let server = tokio::spawn(server);
    let result = agent::Agent::new(config, csi, views, port).run(token.clone()).await;
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
    leme_host::removal::unmount_below(&pods)
        .with_context(|| format!("release {}", pods.display()))?;
    csi::release(data_dir).context("release volumes of drivers")
}

#[cfg(test)]
mod fakes;
#[cfg(test)]
mod tests;
