//! What a process is to be made of: the command line, read and checked before anything is started.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use leme_agent::Policy;
use leme_cri::embedded::Registries;
use leme_kinds::Kinds;
use leme_server::{AdmissionConfig, AuditConfig, IssuerConfig};
use leme_store::etcd::EtcdConfig;

use crate::args::{
    AgentArgs, ManagerArgs, NodeFlags, RouterFlags, ServerArgs, ServerFlags, UpArgs,
};
use crate::cluster::files;
use crate::cluster::node::{self, MAX_NODES, NodeSpec};
use crate::cluster::simulated;
use crate::cluster::table::{self, PARTS, Part};
use crate::documents;

/// What runs beside the server in one process.
const MANAGERS: [Part; 2] = [Part::Controllers, Part::Scheduler];
/// What a machine with a node runs.
const OF_NODES: [Part; 4] = [Part::Node, Part::Dns, Part::Proxy, Part::Router];
/// The node that is meant where none is named.
const FIRST: &str = "leme-0";

/// What a process is to be made of.
#[derive(Debug, Default)]
pub struct Plan {
    /// The parts that run in it.
    pub parts: Vec<Part>,
    /// How the server is set up, if it is one of them.
    pub server: Option<ServerPlan>,
    /// How many nodes are simulated.
    pub simulated_nodes: u32,
    /// How nodes are set up, if they are.
    pub node: Option<NodePlan>,
    /// Whether controllers and scheduler may do their work only as leaders.
    pub leader_elect: bool,
    /// The scheduler's profiles.
    pub scheduling: leme_sched::Config,
}

/// Reads the scheduler's profiles, if a file says which.
fn scheduling(path: Option<&Path>) -> Result<leme_sched::Config> {
    let Some(path) = path else { return Ok(leme_sched::Config::default()) };
    let document = documents::only(path, "KubeSchedulerConfiguration")?;
    leme_sched::Config::read(&document).map_err(|why| anyhow!("{}: {why}", path.display()))
}

/// How the server is set up.
#[derive(Debug)]
pub struct ServerPlan {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The etcd to use in place of the embedded store.
    pub etcd: Option<EtcdConfig>,
    /// The kinds that are served.
    pub kinds: Arc<Kinds>,
    /// Nodes whose agents are processes of their own.
    pub agents: Vec<String>,
    /// What is encrypted at rest, if the command line says.
    pub encryption: Option<PathBuf>,
    /// Whether the cluster starts without what is encrypted with lost keys.
    pub ignore_lost_keys: bool,
    /// Tokens of people.
    pub token_file: Option<PathBuf>,
    /// Those who vouch for people.
    pub issuers: Option<IssuerConfig>,
    /// What is told of requests, and where.
    pub audit: Option<AuditConfig>,
    /// Which admission plug-ins are asked, and how.
    pub admission: AdmissionConfig,
    /// Passwords of people who may log in.
    pub password_file: Option<PathBuf>,
}

/// How nodes are set up.
#[derive(Debug)]
pub struct NodePlan {
    /// Which there are.
    pub nodes: Vec<NodeSpec>,
    /// Where the API server reaches the one node, if not on its pods' network.
    pub address: Option<Ipv4Addr>,
    /// How the router is set up.
    pub router: RouterFlags,
    /// On which address it listens if that was not said.
    pub router_ip: IpAddr,
    /// Processes that a pod may have at most.
    pub pod_processes: Option<u64>,
    /// What pods may ask for beyond what is safe.
    pub policy: Policy,
    /// Where images are pulled from.
    pub registries: Registries,
    /// Whether pods go on when the process ends, unless a `leme down` ends it.
    pub pods_outlive: bool,
}

impl Plan {
    /// A whole cluster, but for what is left out.
    ///
    /// # Errors
    /// One line with the next step.
    pub fn of_up(args: &UpArgs) -> Result<Plan> {
        let count = match args.nodes {
            Some(count) => count,
            None => node::remembered(&args.data_dir),
        };
        ensure!(
            (1..=MAX_NODES).contains(&count),
            "--nodes {count}: between 1 and {MAX_NODES} nodes fit on one machine"
        );
        ensure!(
            args.simulated_nodes <= simulated::MOST,
            "--simulated-nodes {}: no more than {} are simulated",
            args.simulated_nodes,
            simulated::MOST
        );
        let mut left_out = args.without.clone();
        let no_node = args.no_node || args.simulated_nodes > 0;
        left_out.extend(no_node.then_some(Part::Node));
        let all: Vec<Part> = PARTS.iter().map(|row| row.part).collect();
        let parts = table::without(&all, &left_out)?;
        let node = NodePlan {
            nodes: (0..count).map(NodeSpec::numbered).collect(),
            router_ip: args.server.listen.ip(),
            ..NodePlan::of(&args.node)?
        };
        let node = Some(node).filter(|_| parts.contains(&Part::Node));
        if node.is_some() {
            root(
                "leme up runs containers and needs root: use sudo, or --no-node for the control plane only",
            )?;
        }
        let stdout = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
        ensure!(
            !stdout(&args.server.audit.audit_log_path),
            "--audit-log-path -: progress is told on standard output: name a file"
        );
        let nobody_reads = args.detach || args.detached;
        ensure!(
            !(nobody_reads && stdout(&args.node.router.router_access_log)),
            "--router-access-log -: with --detach nobody reads standard output: name a file"
        );
        let server = Some(ServerPlan::of(&args.server)?);
        let simulated_nodes = args.simulated_nodes;
        let scheduling = scheduling(args.scheduler_config.as_deref())?;
        let leader_elect = false;
        Ok(Plan { parts, server, simulated_nodes, node, leader_elect, scheduling })
    }

    /// The server alone.
    ///
    /// # Errors
    /// One line with the next step.
    pub fn of_server(args: &ServerArgs) -> Result<Plan> {
        let mut server = ServerPlan::of(&args.server)?;
        if server.agents.is_empty() {
            server.agents.push(FIRST.to_owned());
        }
        Ok(Plan { parts: vec![Part::Server], server: Some(server), ..Plan::default() })
    }

    /// Controllers or scheduler alone.
    ///
    /// # Errors
    /// One line with the next step.
    pub fn of_manager(part: Part, args: &ManagerArgs, config: Option<&Path>) -> Result<Plan> {
        let (parts, leader_elect) = (vec![part], args.leader_elect);
        Ok(Plan { parts, leader_elect, scheduling: scheduling(config)?, ..Plan::default() })
    }

    /// A node with its network, by the name that the kubeconfig says unless the command line does.
    ///
    /// # Errors
    /// One line with the next step.
    pub fn of_agent(args: &AgentArgs, known: Option<&str>) -> Result<Plan> {
        let parts = table::without(&OF_NODES, &args.without)?;
        ensure!(parts.contains(&Part::Node), "--without node: the agent is just that");
        root("leme agent runs containers and needs root: use sudo")?;
        let name = args.node_name.as_deref().or(known);
        let name = name
            .context("which node is this? The kubeconfig is for none: name it with --node-name")?;
        if let (Some(asked), Some(known)) = (&args.node_name, known) {
            ensure!(asked == known, "--node-name {asked}: the kubeconfig is for node {known}");
        }
        let spec = NodeSpec::named(name, args.pod_cidr)?;
        let node = NodePlan {
            nodes: vec![spec],
            address: args.node_ip,
            pods_outlive: true,
            ..NodePlan::of(&args.node)?
        };
        Ok(Plan { parts, node: Some(node), ..Plan::default() })
    }

    /// Whether a part runs in this process.
    pub fn runs(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// The parts of the control plane that the server's process leaves to others.
    pub fn left_to_others(&self) -> impl Iterator<Item = Part> {
        MANAGERS.into_iter().filter(|part| !self.runs(*part))
    }

    /// The nodes of this process.
    pub fn nodes(&self) -> &[NodeSpec] {
        self.node.as_ref().map_or(&[], |node| &node.nodes)
    }

    /// Addresses by which clients may call a server that listens there, the one for pods first; `gateway` is where the pods
    /// of the first node find the machine, if one is in this process.
    pub fn advertised(listen: IpAddr, gateway: Option<Ipv4Addr>) -> Vec<String> {
        if !listen.is_unspecified() {
            // Nobody else has that loopback: pods call their gateway.
            let inward = gateway.filter(|_| listen.is_loopback()).map(|ip| ip.to_string());
            return [listen.to_string()].into_iter().chain(inward).collect();
        }
        let mut addresses = of_this_machine();
        // Where there is no other, pods find the server there.
        addresses.extend(gateway.map(IpAddr::from));
        addresses.iter().map(IpAddr::to_string).collect()
    }
}

fn root(why: &'static str) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), why);
    Ok(())
}

impl ServerPlan {
    fn of(flags: &ServerFlags) -> Result<ServerPlan> {
        Ok(ServerPlan {
            listen: flags.listen,
            etcd: etcd(flags)?,
            kinds: kinds(flags)?,
            agents: flags.agents.clone(),
            encryption: flags.encryption_provider_config.clone(),
            ignore_lost_keys: flags.encryption_ignore_lost_keys,
            token_file: flags.people.token_auth_file.clone(),
            issuers: files::issuers(&flags.people)?,
            audit: files::audit(&flags.audit)?,
            admission: files::admission(&flags.admission)?,
            password_file: flags.people.htpasswd_file.clone(),
        })
    }
}

impl NodePlan {
    /// What the flags say; of no node.
    fn of(flags: &NodeFlags) -> Result<NodePlan> {
        ensure!(
            flags.runtime == "embedded",
            "--runtime {}: this version only has the embedded runtime",
            flags.runtime
        );
        Ok(NodePlan {
            nodes: Vec::new(),
            address: None,
            router: flags.router.clone(),
            router_ip: Ipv4Addr::LOCALHOST.into(),
            pod_processes: Some(flags.pod_max_pids).filter(|most| *most > 0),
            policy: Policy {
                selinux: leme_host::preflight::selinux(),
                ..Policy::new(flags.allowed_unsafe_sysctls.clone())
                    .map_err(|error| anyhow!("--allowed-unsafe-sysctls: {error}"))?
            },
            registries: files::registries(flags.private_registry.as_deref())?,
            pods_outlive: false,
        })
    }
}

/// The address that is called on the machine itself to reach who listens there.
pub fn dialled(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The machine's addresses that others may call; none when they cannot be told.
fn of_this_machine() -> Vec<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    addresses.filter(usable).collect()
}

fn kinds(flags: &ServerFlags) -> Result<Arc<Kinds>> {
    let version = |one: &String| one.strip_suffix("=true").unwrap_or(one).to_owned();
    let versions: Vec<String> = flags.runtime_config.iter().map(version).collect();
    Kinds::with_older(&versions).map_err(|error| anyhow!("--runtime-config {error}"))
}

fn etcd(flags: &ServerFlags) -> Result<Option<EtcdConfig>> {
    if flags.etcd_servers.is_empty() {
        return Ok(None);
    }
    let mut config = EtcdConfig { endpoints: flags.etcd_servers.clone(), ..EtcdConfig::default() };
    config.ca = flags.etcd_cafile.clone();
    config.cert = flags.etcd_certfile.clone();
    config.key = flags.etcd_keyfile.clone();
    if let Some(user) = &flags.etcd_user {
        let password = std::env::var("LEME_ETCD_PASSWORD")
            .context("--etcd-user needs the password in LEME_ETCD_PASSWORD")?;
        config.username = Some(user.clone());
        config.password = Some(password);
    }
    Ok(Some(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Red when what is listened on is what is called: nobody has the address 0.0.0.0, and no certificate names it.
    #[test]
    fn who_listens_everywhere_is_called_on_the_loopback() {
        for (listen, call) in [
            ("0.0.0.0:6443", "127.0.0.1:6443"),
            ("[::]:1", "[::1]:1"),
            ("192.0.2.5:6443", "192.0.2.5:6443"),
        ] {
            assert_eq!(dialled(listen.parse().unwrap()), call.parse().unwrap(), "{listen}");
        }
    }
}
