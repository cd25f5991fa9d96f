//! What a cluster is to be made of: the command line of `leme up`, read and checked before anything is started.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use leme_agent::Policy;
use leme_kinds::Kinds;
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
    /// The kinds that are served.
    pub kinds: Arc<Kinds>,
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
            kinds: kinds(args)?,
        })
    }

    /// Addresses by which clients may call the API server, the one for pods first; `gateway` is
    /// where the pods of the first node find the machine.
    pub fn advertised(&self, gateway: Ipv4Addr) -> Vec<String> {
        let listen = self.listen.ip();
        if !listen.is_unspecified() {
            return vec![listen.to_string()];
        }
        let mut addresses = of_this_machine();
        if self.nodes > 0 {
            // Where there is no other, pods find the server there.
            addresses.push(gateway.into());
        }
        addresses.iter().map(IpAddr::to_string).collect()
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

fn kinds(args: &UpArgs) -> Result<Arc<Kinds>> {
    let version = |one: &String| one.strip_suffix("=true").unwrap_or(one).to_owned();
    let versions: Vec<String> = args.runtime_config.iter().map(version).collect();
    Kinds::with_older(&versions).map_err(|error| anyhow!("--runtime-config {error}"))
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
