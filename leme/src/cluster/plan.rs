//! What a cluster is to be made of: the command line of `leme up`, read and checked before anything is started.

use std::net::SocketAddr;

use anyhow::{Context, Result, anyhow, ensure};
use leme_agent::Policy;
use leme_store::etcd::EtcdConfig;

use crate::args::UpArgs;
use crate::cluster::node::MAX_NODES;

/// What a cluster is to be made of.
#[derive(Debug)]
pub struct Plan {
    /// Where the API server listens.
    pub listen: SocketAddr,
    /// Where the router listens, if that was said.
    pub router_listen: Option<SocketAddr>,
    /// How many nodes there are.
    pub nodes: u32,
    /// Processes that a pod may have at most.
    pub pod_processes: Option<u64>,
    /// What pods may ask for beyond what is safe.
    pub policy: Policy,
    /// The etcd to use in place of the embedded store.
    pub etcd: Option<EtcdConfig>,
}

impl Plan {
    /// Reads and checks the command line, before anything is started.
    ///
    /// # Errors
    /// One line with the next step.
    pub fn from_args(args: &UpArgs) -> Result<Plan> {
        ensure!(
            args.runtime == "embedded",
            "--runtime {}: this version only has the embedded runtime",
            args.runtime
        );
        ensure!(
            (1..=MAX_NODES).contains(&args.nodes),
            "--nodes {}: between 1 and {MAX_NODES} nodes fit on one machine",
            args.nodes
        );
        let nodes = if args.no_node { 0 } else { args.nodes };
        if nodes > 0 {
            ensure!(
                nix::unistd::geteuid().is_root(),
                "leme up runs containers and needs root: use sudo, or --no-node for the control plane only"
            );
        }
        Ok(Plan {
            listen: args.listen,
            router_listen: args.router_listen,
            nodes,
            pod_processes: Some(args.pod_max_pids).filter(|most| *most > 0),
            policy: Policy {
                selinux: leme_host::preflight::selinux(),
                ..Policy::new(args.allowed_unsafe_sysctls.clone())
                    .map_err(|error| anyhow!("--allowed-unsafe-sysctls: {error}"))?
            },
            etcd: etcd(args)?,
        })
    }
}

fn etcd(args: &UpArgs) -> Result<Option<EtcdConfig>> {
    if args.etcd_servers.is_empty() {
        return Ok(None);
    }
    let mut config = EtcdConfig { endpoints: args.etcd_servers.clone(), ..EtcdConfig::default() };
    config.ca = args.etcd_cafile.clone();
    config.cert = args.etcd_certfile.clone();
    config.key = args.etcd_keyfile.clone();
    if let Some(user) = &args.etcd_user {
        let password = std::env::var("LEME_ETCD_PASSWORD")
            .context("--etcd-user needs the password in LEME_ETCD_PASSWORD")?;
        config.username = Some(user.clone());
        config.password = Some(password);
    }
    Ok(Some(config))
}
