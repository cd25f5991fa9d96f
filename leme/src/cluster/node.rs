//! The nodes of this machine: where each keeps what, and how its containers and its network are removed again.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use leme_cri::Runtime;
use leme_cri::embedded::{
    self, EmbeddedConfig, EmbeddedRuntime, LogLimits, PortMapping, Registries, SandboxNetwork,
};
use leme_host::cgroup::Cgroup;
use leme_network::{HostPort, PodNetwork, PodNetworkConfig};
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
pub const STOP_GRACE: Duration = Duration::from_secs(10);

/// File in a node's directory that tells the addresses of its pods, where the node's name does not.
const POD_CIDR: &str = "pod-cidr";

/// Which node: what all else about it follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Its name.
    pub name: String,
    /// The bridge of its pods.
    pub bridge: String,
    /// Their addresses.
    pub pod_cidr: (Ipv4Addr, u8),
}

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
    for spec in NodeSpec::known(data) {
        let (embedded, network) = spec.configs(data);
        // Its directory may have been removed by hand while containers ran.
        let runs = Cgroup::new(&embedded.cgroup_parent).is_ok_and(|group| group.exists());
        if runs || data.node(&spec.name).exists() {
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

/// Ends all containers side by side; what does not end by itself within the time is killed.
pub async fn stop_containers(runtime: &Arc<EmbeddedRuntime>, grace: Duration) -> Vec<String> {
    let containers = match runtime.containers().await {
        Ok(containers) => containers,
        Err(error) => return vec![format!("list containers: {error}")],
    };
    let stops = containers.into_iter().map(|container| {
        let runtime = runtime.clone();
        async move {
            let stopped = runtime.stop_container(&container.id, grace).await;
            stopped.err().map(|error| format!("stop container {}: {error}", container.name))
        }
    });
    futures::future::join_all(stops).await.into_iter().flatten().collect()
}

impl NodeSpec {
    /// The nodes of a machine that has all of them in one process are numbered.
    pub fn numbered(index: u32) -> NodeSpec {
        let third = u8::try_from(index).unwrap_or(u8::MAX);
        NodeSpec {
            name: format!("leme-{index}"),
            bridge: format!("leme{index}"),
            pod_cidr: (Ipv4Addr::new(10, 244, third, 0), 24),
        }
    }

    /// A node of any name, whose pods have addresses of these; by default those of the number that is its name's, or of the
    /// first.
    ///
    /// # Errors
    /// When there can be no such node.
    pub fn named(name: &str, pod_cidr: Option<(Ipv4Addr, u8)>) -> Result<NodeSpec> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let is_name = ends(name.chars().next()) && ends(name.chars().last());
        ensure!(
            is_name && name.len() <= 63 && name.chars().all(plain),
            "{name:?} is no name for a node: it must be 1 to 63 lower case letters, digits, - and ."
        );
        let numbered = (0..MAX_NODES).map(NodeSpec::numbered).find(|one| one.name == name);
        let usual = numbered.unwrap_or_else(|| NodeSpec::numbered(0));
        let pod_cidr = pod_cidr.unwrap_or(usual.pod_cidr);
        let (address, bits) = pod_cidr;
        ensure!(
            address.octets()[..2] == CLUSTER_CIDR.0.octets()[..2]
                && (CLUSTER_CIDR.1..=29).contains(&bits),
            "--pod-cidr {address}/{bits}: it must be a part of {}/{}, of 8 addresses at least",
            CLUSTER_CIDR.0,
            CLUSTER_CIDR.1
        );
        Ok(NodeSpec { name: name.to_owned(), pod_cidr, ..usual })
    }

    /// The nodes that may have left something on this machine: the numbered ones, and those that the directory knows.
    fn known(data: &DataDir) -> Vec<NodeSpec> {
        let mut all: Vec<NodeSpec> = (0..MAX_NODES).map(NodeSpec::numbered).collect();
        let kept = std::fs::read_dir(data.nodes()).into_iter().flatten().flatten();
        for name in kept.filter_map(|entry| entry.file_name().into_string().ok()) {
            let cidr = std::fs::read_to_string(data.node(&name).join(POD_CIDR)).ok();
            let cidr = cidr.and_then(|text| crate::args::cidr(text.trim()).ok());
            if let Ok(spec) = NodeSpec::named(&name, cidr) {
                all.retain(|one| one.name != name);
                all.push(spec);
            }
        }
        all
    }

    /// Notes in the node's directory what its name does not tell.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn note(&self, data: &DataDir) -> Result<()> {
        let (address, bits) = self.pod_cidr;
        let path = data.node(&self.name).join(POD_CIDR);
        let write = || {
            std::fs::create_dir_all(data.node(&self.name))?;
            std::fs::write(&path, format!("{address}/{bits}\n"))
        };
        write().with_context(|| format!("write {}", path.display()))
    }

    /// The configuration of a node, which depends on nothing but this and the data directory.
    pub fn configs(&self, data: &DataDir) -> (EmbeddedConfig, PodNetworkConfig) {
        let root = data.node(&self.name);
        let network = PodNetworkConfig {
            bridge: self.bridge.clone(),
            pod_cidr: self.pod_cidr,
            cluster_cidr: CLUSTER_CIDR,
            service_cidr: Some(SERVICE_CIDR),
            local_addresses: Vec::new(),
            state_dir: root.join("network"),
            mtu: 1500,
        };
        let embedded = EmbeddedConfig {
            root: root.join("runtime"),
            run_dir: data.run().join(&self.name),
            images: data.images(),
            builds: root.join("builds"),
            seccomp: root.join("seccomp"),
            cgroup_parent: format!("/leme-{}-{}", data.id(), self.name),
            pod_processes: None,
            registries: Registries::default(),
            log_limits: LogLimits::default(),
            network: Arc::new(NoNetwork),
            helper: PathBuf::from("/proc/self/exe"),
        };
        (embedded, network)
    }
}

/// File in the data directory that tells how many nodes a cluster has that runs as one process.
const COUNT: &str = "nodes";

/// How many nodes the cluster had that was here last; one, if nobody knows.
pub fn remembered(root: &Path) -> u32 {
    let text = std::fs::read_to_string(root.join(COUNT)).unwrap_or_default();
    text.trim().parse().ok().filter(|count| (1..=MAX_NODES).contains(count)).unwrap_or(1)
}

/// Notes how many nodes the cluster has, where that is not what is known already.
///
/// # Errors
/// When it cannot be written.
pub fn remember(count: usize, data: &DataDir) -> Result<()> {
    if usize::try_from(remembered(data.root())).ok() == Some(count) {
        return Ok(());
    }
    let path = data.root().join(COUNT);
    std::fs::write(&path, format!("{count}\n")).with_context(|| format!("write {}", path.display()))
}

/// Nodes that this cluster has had and does not have any more: nobody but it runs nodes whose state is here.
pub fn absent(present: &[NodeSpec], data: &DataDir) -> BTreeSet<String> {
    let numbered = (0..MAX_NODES).map(|index| NodeSpec::numbered(index).name);
    let gone = |name: &String| !present.iter().any(|one| one.name == *name);
    numbered.filter(|name| gone(name) && data.node(name).exists()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_s_name_says_which_addresses_its_pods_have_unless_that_is_said() {
        let of = |name: &str, cidr: Option<&str>| {
            NodeSpec::named(name, cidr.map(|text| crate::args::cidr(text).unwrap()))
        };
        assert_eq!(of("leme-3", None).unwrap(), NodeSpec::numbered(3));
        let other = of("shed", None).unwrap();
        assert_eq!(
            (other.bridge.as_str(), other.pod_cidr),
            ("leme0", ([10, 244, 0, 0].into(), 24))
        );
        let told = of("shed", Some("10.244.9.0/24")).unwrap();
        assert_eq!(told.pod_cidr, ([10, 244, 9, 0].into(), 24));
        for wrong in ["", "-a", "a/b", "..", "A"] {
            assert!(of(wrong, None).is_err(), "{wrong}");
        }
        for wrong in ["10.245.0.0/24", "10.0.0.0/8", "10.244.0.0/30"] {
            assert!(of("shed", Some(wrong)).is_err(), "{wrong}");
        }
    }

    // Red when a start that does not say is one of a single node.
    #[test]
    fn how_many_nodes_there_were_is_remembered() {
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::open(root.path()).unwrap();
        assert_eq!(remembered(root.path()), 1);
        for count in [3, 3, 1] {
            remember(count, &data).unwrap();
            assert_eq!(remembered(root.path()), u32::try_from(count).unwrap());
        }
        for odd in ["", "0", "99", "x"] {
            std::fs::write(root.path().join(COUNT), odd).unwrap();
            assert_eq!(remembered(root.path()), 1, "{odd}");
        }
    }

    /// Red when only numbered nodes are known of: what another left would stay.
    #[test]
    fn what_a_node_of_any_name_has_left_is_found() {
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::open(root.path()).unwrap();
        let shed = NodeSpec::named("shed", crate::args::cidr("10.244.9.0/24").ok()).unwrap();
        shed.note(&data).unwrap();
        let third = NodeSpec { pod_cidr: ([10, 244, 200, 0].into(), 24), ..NodeSpec::numbered(3) };
        third.note(&data).unwrap();
        let known = NodeSpec::known(&data);
        assert!(known.contains(&shed) && known.contains(&third), "{known:?}");
        assert_eq!(known.len(), 17);
        assert_eq!(absent(&[], &data), BTreeSet::from(["leme-3".to_owned()]));
    }
}
