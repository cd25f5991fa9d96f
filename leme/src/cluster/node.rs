//! The nodes of this machine: where each keeps what, and how its containers and its network are removed again.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use leme_cri::Runtime;
use leme_cri::embedded::{
    self, EmbeddedConfig, EmbeddedRuntime, LogLimits, PortMapping, SandboxNetwork,
};
use leme_host::cgroup::Cgroup;
use leme_network::{HostPort, PodNetwork, PodNetworkConfig};
use leme_server::Pki;
use tokio::sync::watch;

use crate::cluster::data::DataDir;
use crate::cluster::home::Home;

/// Addresses of Services.
pub const SERVICE_CIDR: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 16);
/// Addresses of all pods; node N has 10.244.N.0/24.
pub const CLUSTER_CIDR: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 244, 0, 0), 16);
/// Most nodes on one machine.
pub const MAX_NODES: u32 = 16;
/// How long containers get to end by themselves when the cluster stops.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// One node of this machine.
pub struct Node {
    /// Its name.
    pub name: String,
    /// What runs its containers.
    pub runtime: Arc<EmbeddedRuntime>,
    /// How that is set up.
    pub embedded: EmbeddedConfig,
    /// How its pods' network is set up.
    pub network: PodNetworkConfig,
    /// Whether the API has what is true now of the node and its pods.
    pub caught_up: watch::Receiver<bool>,
}

/// Stands in where containers are only removed.
struct NoNetwork;

#[async_trait::async_trait]
impl SandboxNetwork for NoNetwork {
    async fn attach(&self, _: &str, _: &Path, _: &[PortMapping]) -> Result<String> {
        bail!("no containers are started here")
    }

    async fn detach(&self, _: &str, _: &Path) -> Result<()> {
        Ok(())
    }
}

/// A pod network as the runtime sees it.
pub struct Attach(pub PodNetwork);

#[async_trait::async_trait]
impl SandboxNetwork for Attach {
    async fn attach(&self, id: &str, netns: &Path, ports: &[PortMapping]) -> Result<String> {
        let port =
            |p: &PortMapping| HostPort::new(&p.host_ip, &p.protocol, p.host_port, p.container_port);
        let ports = ports.iter().map(port).collect::<Result<Vec<_>>>()?;
        Ok(self.0.attach(id, netns, &ports).await?.to_string())
    }

    async fn detach(&self, sandbox_id: &str, _netns: &Path) -> Result<()> {
        self.0.detach(sandbox_id).await
    }
}

/// Removes what a cluster that is not running any more left on this machine.
pub async fn clean_up(data: &DataDir) -> Result<()> {
    // Before the containers are gone: they may be all that keeps the namespace.
    let home = Home::of(data)?;
    let (mut failures, mut networks) = (Vec::new(), Vec::new());
    for index in 0..MAX_NODES {
        let (name, embedded, network) = node_configs(index, data);
        // Its directory may have been removed by hand while containers ran.
        let runs = Cgroup::new(&embedded.cgroup_parent).is_ok_and(|group| group.exists());
        if runs || data.node(&name).exists() {
            failures.extend(remove_containers(&embedded).await);
            networks.push(network);
        }
    }
    failures.extend(home.teardown(networks).await);
    if failures.is_empty() {
        failures.extend(remove_run(data));
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("; ")) }
}

/// Removes the directory of sockets, and the one above if no other cluster uses it.
pub fn remove_run(data: &DataDir) -> Option<String> {
    let run = data.run();
    let removed = leme_host::removal::remove_tree(&run);
    if let Some(parent) = run.parent() {
        // Only if it is empty.
        let _ = std::fs::remove_dir(parent);
    }
    removed.err().map(|error| format!("remove {}: {error}", run.display()))
}

/// Removes a node with its network, which is where this process is.
pub async fn remove_node(embedded: &EmbeddedConfig, network: &PodNetworkConfig) -> Vec<String> {
    let mut failures = remove_containers(embedded).await;
    if let Err(error) = PodNetwork::teardown(network).await {
        failures.push(format!("remove the pod network: {error:#}"));
    }
    failures
}

async fn remove_containers(embedded: &EmbeddedConfig) -> Vec<String> {
    let mut failures = Vec::new();
    if let Err(error) = embedded::purge(embedded).await {
        failures.push(format!("remove containers: {error:#}"));
    }
    // Volumes in memory are mounts, in the directory beside the runtime's.
    if let Some(Err(error)) = embedded.root.parent().map(leme_agent::release) {
        failures.push(format!("release volumes: {error:#}"));
    }
    failures
}

/// Lets nothing new start: what the agent had begun would else come after the last look.
pub async fn close(runtime: &EmbeddedRuntime) -> Option<String> {
    let closed = tokio::time::timeout(STOP_GRACE, runtime.close()).await;
    closed.err().map(|_| "a container is being made and does not come to an end".to_owned())
}

/// Ends all containers side by side.
pub async fn stop_containers(runtime: &Arc<EmbeddedRuntime>) -> Vec<String> {
    let containers = match runtime.containers().await {
        Ok(containers) => containers,
        Err(error) => return vec![format!("list containers: {error}")],
    };
    let stops = containers.into_iter().map(|container| {
        let runtime = runtime.clone();
        async move {
            let stopped = runtime.stop_container(&container.id, STOP_GRACE).await;
            stopped.err().map(|error| format!("stop container {}: {error}", container.name))
        }
    });
    futures::future::join_all(stops).await.into_iter().flatten().collect()
}

/// The configuration of a node, which depends on nothing but its number and the data directory.
pub fn node_configs(index: u32, data: &DataDir) -> (String, EmbeddedConfig, PodNetworkConfig) {
    let name = format!("leme-{index}");
    let root = data.node(&name);
    let third = u8::try_from(index).unwrap_or(u8::MAX);
    let network = PodNetworkConfig {
        bridge: format!("leme{index}"),
        pod_cidr: (Ipv4Addr::new(10, 244, third, 0), 24),
        cluster_cidr: CLUSTER_CIDR,
        service_cidr: Some(SERVICE_CIDR),
        local_addresses: Vec::new(),
        state_dir: root.join("network"),
        mtu: 1500,
    };
    let embedded = EmbeddedConfig {
        root: root.join("runtime"),
        run_dir: data.run().join(&name),
        images: data.images(),
        seccomp: root.join("seccomp"),
        cgroup_parent: format!("/leme-{}-{name}", data.id()),
        pod_processes: None,
        log_limits: LogLimits::default(),
        network: Arc::new(NoNetwork),
        helper: PathBuf::from("/proc/self/exe"),
    };
    (name, embedded, network)
}

/// Nodes that this cluster has had and does not have any more: nobody but it runs nodes whose state is here.
pub fn absent(nodes: u32, data: &DataDir) -> BTreeSet<String> {
    let names = (nodes..MAX_NODES).map(|index| node_configs(index, data).0);
    names.filter(|name| data.node(name).exists()).collect()
}

/// What the agent's own HTTPS port presents, and whom it lets in: clients that the cluster's authority has signed.
pub fn agent_tls(pki: &Pki, name: &str, addresses: &[String]) -> Result<Arc<rustls::ServerConfig>> {
    let leaves = pki.node(name, addresses)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pki.ca_der().clone()).context("trust the cluster's authority")?;
    let clients = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).build()?;
    let config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(clients)
        .with_cert_resolver(leaves.serving);
    Ok(Arc::new(config))
}

/// Says what this machine lacks before anything is started: a node that is Ready and runs nothing helps nobody.
pub async fn preflight() -> Result<()> {
    let mut missing = leme_host::preflight::missing();
    missing.extend(leme_network::check::preflight().await);
    match missing.as_slice() {
        [] => Ok(()),
        [one] => bail!("this machine cannot run a node: {one}"),
        all => bail!("this machine cannot run a node:\n  {}", all.join("\n  ")),
    }
}
