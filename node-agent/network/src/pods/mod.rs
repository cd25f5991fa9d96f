//! The network of the pods on this node: one bridge, one veth pair and one address per pod. Knows ids, namespaces and
//! addresses; refuses to know services, DNS and what runs in a pod.
//!
//! Every pod has a /32 address and sends everything, also to its neighbours, to the gateway on the bridge. So each packet
//! between pods is routed by this host and passes its connection tracking in both directions, which service rules need,
//! whether or not bridged packets are shown to the firewall on this machine. Each pod has a route, and the rest of the network
//! is unreachable, so that a dead pod's address answers at once.

mod ipam;
mod netlink;
mod ports;
mod sysctl;

pub use ports::HostPort;

use crate::conntrack::{self, Conversation};
use crate::{Cidr, contains, nft};
use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use ipam::Ipam;
use netlink::{Netlink, POD_LINK, Pair, Port};
use ports::Mapped;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use tokio::sync::{Mutex, MutexGuard};

/// What the pod network of a node is made of.
#[derive(Clone, Debug)]
pub struct PodNetworkConfig {
    /// The bridge's name, such as `leme0`; at most 15 bytes.
    pub bridge: String,
    /// The addresses of this node's pods; its first address is the gateway.
    pub pod_cidr: Cidr,
    /// The addresses of all pods of the cluster: traffic among them is never masqueraded.
    pub cluster_cidr: Cidr,
    /// The addresses of Services: routed to the bridge, so that this host reaches them without a default route.
    pub service_cidr: Option<Cidr>,
    /// Addresses that this node itself answers on besides the gateway, such as the cluster DNS service's.
    pub local_addresses: Vec<Ipv4Addr>,
    /// Where the address book is kept.
    pub state_dir: PathBuf,
    /// The largest packet, such as 1500.
    pub mtu: u32,
}

impl PodNetworkConfig {
    /// The gateway of the pods: this node's address on the bridge.
    pub fn gateway(&self) -> Ipv4Addr {
        ipam::gateway(self.pod_cidr)
    }

    fn table(&self) -> String {
        format!("leme-pods-{}", self.bridge)
    }

    fn book(&self) -> PathBuf {
        self.state_dir.join("ipam.json")
    }

    fn validate(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        ensure!(
            (1..=15).contains(&self.bridge.len()) && self.bridge.chars().all(plain),
            "bridge name {:?} must be 1 to 15 letters, digits, - or _",
            self.bridge
        );
        ensure!(
            contains(self.cluster_cidr, self.pod_cidr.0) && self.cluster_cidr.1 <= self.pod_cidr.1,
            "pod CIDR {}/{} lies outside the cluster CIDR {}/{}",
            self.pod_cidr.0,
            self.pod_cidr.1,
            self.cluster_cidr.0,
            self.cluster_cidr.1
        );
        Ok(())
    }
}

/// The pod network of this node, ready to attach pods.
pub struct PodNetwork {
    config: PodNetworkConfig,
    netlink: Netlink,
    bridge: u32,
    ipam: Mutex<Ipam>,
    /// Held while a pod is connected or disconnected; pods share them by the hash of their id. Always taken before `ipam`.
    turns: [Mutex<()>; TURNS],
    /// Held while the rules are replaced, so that the last to read is the last to write.
    rules: Mutex<()>,
}

const TURNS: usize = 64;
/// Links removed at once: most of the time that takes is the kernel waiting.
const REMOVALS: usize = 16;

impl PodNetwork {
    /// Makes the network, or takes over the one a predecessor left, with its pods.
    pub async fn setup(config: PodNetworkConfig) -> Result<PodNetwork> {
        config.validate()?;
        std::fs::create_dir_all(&config.state_dir)
            .with_context(|| format!("create {}", config.state_dir.display()))?;
        sysctl::enable_forwarding(&config.state_dir)?;
        let gateway = config.gateway();
        let netlink = Netlink::open().await?;
        let bridge = netlink.ensure_bridge(&config.bridge, mac_of(gateway), config.mtu).await?;
        sysctl::route_loopback(&config.bridge)?;
        netlink.add_address(bridge, (gateway, 32)).await?;
        netlink.refuse(config.pod_cidr).await?;
        for &address in &config.local_addresses {
            netlink.add_address(bridge, (address, 32)).await?;
        }
        if let Some(services) = config.service_cidr {
            netlink.route_link(bridge, services, Some(gateway)).await?;
        }
        let live = live_pods(netlink.ports(bridge).await?);
        let ipam = Ipam::open(&config.book(), config.pod_cidr, &sysctl::boot_id()?, &live)?;
        for ip in ipam.addresses() {
            netlink.route_link(bridge, (*ip, 32), Some(gateway)).await?;
        }
        // Those before this routed the whole network to the bridge: not needed once each pod has its route.
        netlink.remove_address(bridge, (gateway, config.pod_cidr.1)).await?;
        install(&config, &ipam.mapped()).await?;
        let turns = std::array::from_fn(|_| Mutex::default());
        let (ipam, rules) = (Mutex::new(ipam), Mutex::default());
        Ok(PodNetwork { config, netlink, bridge, ipam, turns, rules })
    }

    async fn turn(&self, id: &str) -> MutexGuard<'_, ()> {
        let mut hasher = std::hash::DefaultHasher::new();
        id.hash(&mut hasher);
        let index = hasher.finish() % TURNS as u64;
        self.turns[index as usize].lock().await
    }

    /// Gives the pod `id`, whose network namespace is `netns`, its interface, its address and these ports of the node. Again for
    /// the same id: the same address and ports, and what is missing is made. A port that another pod has is an error.
    pub async fn attach(&self, id: &str, netns: &Path, ports: &[HostPort]) -> Result<Ipv4Addr> {
        ensure!((1..=255).contains(&id.len()), "a pod id must have 1 to 255 bytes");
        let _turn = self.turn(id).await;
        let (ip, new) = self.ipam.lock().await.allocate(id, ports)?;
        let made = async {
            self.connect(id, netns, ip).await?;
            self.open_ports(id).await
        };
        let made = made.await;
        if made.is_err() && new {
            let undone = self.disconnect(id).await;
            if let Err(error) = undone {
                tracing::warn!(pod = id, %ip, "the address stays reserved: {error:#}");
            }
        }
        made.with_context(|| format!("connect pod {id} to the network"))?;
        Ok(ip)
    }

    async fn connect(&self, id: &str, netns: &Path, ip: Ipv4Addr) -> Result<()> {
        let (pod, file) = Netlink::open_in(netns, sysctl::refuse_redirects).await?;
        let name = link_name(ip);
        if !self.connected(&pod, &name, ip).await? {
            self.netlink.delete(&name).await?;
            pod.delete(POD_LINK).await?;
            let pair = Pair {
                host_name: &name,
                bridge: self.bridge,
                mtu: self.config.mtu,
                pod_netns: file.as_raw_fd(),
                pod_mac: mac_of(ip),
            };
            self.netlink.add_pair(&pair).await.context("create the veth pair")?;
        }
        self.netlink.set_port(&name, id).await?;
        self.netlink.route_link(self.bridge, (ip, 32), Some(self.gateway())).await?;
        let inner = pod.link(POD_LINK).await?.context("the pod's interface vanished")?.header.index;
        pod.up("lo").await?;
        pod.up(POD_LINK).await?;
        pod.add_address(inner, (ip, 32)).await?;
        let gateway = self.gateway();
        pod.route_link(inner, (gateway, 32), None).await?;
        pod.route_default(inner, gateway).await
    }

    /// Whether both ends exist and belong together.
    async fn connected(&self, pod: &Netlink, name: &str, ip: Ipv4Addr) -> Result<bool> {
        let Some(outer) = self.netlink.link(name).await? else { return Ok(false) };
        let Some(inner) = pod.link(POD_LINK).await? else { return Ok(false) };
        Ok(netlink::controller(&outer) == Some(self.bridge)
            && pod.has_address(inner.header.index, ip).await?)
    }

    /// Takes the interface and the address of `id` away; an unknown id is fine.
    pub async fn detach(&self, id: &str) -> Result<()> {
        let _turn = self.turn(id).await;
        self.disconnect(id).await
    }

    /// The link goes first: a crash in between leaves an address reserved, never one given twice.
    async fn disconnect(&self, id: &str) -> Result<()> {
        let Some(ip) = self.address(id).await else { return Ok(()) };
        self.close_ports(id, ip).await?;
        delete_link(&link_name(ip)).await?;
        self.netlink.unroute_link(self.bridge, (ip, 32)).await?;
        self.ipam.lock().await.release(id)
    }

    /// Leads the ports of `id` to it, also conversations that were begun while nobody was there.
    async fn open_ports(&self, id: &str) -> Result<()> {
        let ports = self.ipam.lock().await.ports(id).to_vec();
        if ports.is_empty() {
            return Ok(());
        }
        self.replace_rules().await?;
        let udp: Vec<HostPort> = ports.into_iter().filter(HostPort::is_udp).collect();
        if udp.is_empty() {
            return Ok(());
        }
        let own = self.netlink.addresses().await?;
        forget(move |Conversation { asked, answered }| {
            asked == answered && udp.iter().any(|port| port.covers(asked.0, asked.1, &own))
        })
        .await;
        Ok(())
    }

    /// Leads the ports of `id`, which has the address `ip`, nowhere.
    async fn close_ports(&self, id: &str, ip: Ipv4Addr) -> Result<()> {
        let ports = {
            let mut ipam = self.ipam.lock().await;
            ipam.close(id);
            ipam.ports(id).to_vec()
        };
        if ports.is_empty() {
            return Ok(());
        }
        self.replace_rules().await?;
        if ports.iter().any(HostPort::is_udp) {
            forget(move |Conversation { asked, answered }| answered.0 == ip && asked.0 != ip).await;
        }
        Ok(())
    }

    async fn replace_rules(&self) -> Result<()> {
        let _rules = self.rules.lock().await;
        let mapped = self.ipam.lock().await.mapped();
        install(&self.config, &mapped).await
    }

    /// Detaches every pod that is not in `ids`, and removes ports that belong to no pod. Returns what was detached.
    pub async fn retain(&self, ids: &BTreeSet<String>) -> Result<Vec<String>> {
        let mut gone = self.ipam.lock().await.ids();
        gone.retain(|id| !ids.contains(id));
        let detached = stream::iter(&gone).map(|id| self.detach(id)).buffer_unordered(REMOVALS);
        detached.try_collect::<()>().await?;
        // Ports first: whoever has a port by now has had an address before.
        let ports = self.netlink.ports(self.bridge).await?;
        let ipam = self.ipam.lock().await;
        let kept: BTreeSet<String> =
            ipam.ids().iter().filter_map(|id| ipam.get(id)).map(link_name).collect();
        drop(ipam);
        remove_ports(ports.into_iter().filter(|port| !kept.contains(&port.name)).collect()).await?;
        Ok(gone)
    }

    /// The address of `id`, if it is attached.
    pub async fn address(&self, id: &str) -> Option<Ipv4Addr> {
        self.ipam.lock().await.get(id)
    }

    /// The gateway of the pods: this node's address on the bridge.
    pub fn gateway(&self) -> Ipv4Addr {
        self.config.gateway()
    }

    /// Removes the network and everything in it: pods' links, the bridge, the rules (also those of the service proxy of this
    /// bridge), the address book. Needs no live instance; what is gone already is fine.
    pub async fn teardown(config: &PodNetworkConfig) -> Result<()> {
        config.validate()?;
        let netlink = Netlink::open().await?;
        let bridge = netlink.link(&config.bridge).await?.filter(netlink::is_bridge);
        if let Some(bridge) = bridge {
            remove_ports(netlink.ports(bridge.header.index).await?).await?;
            netlink.delete(&config.bridge).await?;
        }
        netlink.unrefuse(config.pod_cidr).await?;
        let services = crate::proxy::default_table(&config.bridge);
        nft::apply(&(nft::drop_table(&config.table()) + &nft::drop_table(&services))).await?;
        let others = netlink.others_forward(&config.bridge).await?;
        sysctl::restore_forwarding(&config.state_dir, others)?;
        match std::fs::remove_file(config.book()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", config.book().display()))
            }
            _ => Ok(()),
        }
    }
}

/// Removes those of the ports that are pods'.
async fn remove_ports(ports: Vec<Port>) -> Result<()> {
    let ours =
        ports.iter().map(|port| port.name.as_str()).filter(|name| address_of(name).is_some());
    stream::iter(ours).map(delete_link).buffer_unordered(REMOVALS).try_collect().await
}

/// Removes a link through a socket of its own, so that several wait together.
async fn delete_link(name: &str) -> Result<()> {
    Netlink::open().await?.delete(name).await
}

async fn install(config: &PodNetworkConfig, mapped: &Mapped) -> Result<()> {
    nft::apply(&rules(config, mapped)).await.context("install the pod network's rules")
}

/// UDP conversations that go on in spite of new rules are begun anew.
async fn forget(stale: impl Fn(&Conversation) -> bool + Send + 'static) {
    match tokio::task::spawn_blocking(move || conntrack::forget(stale)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!("UDP clients of a host port may get no answer: {error:#}"),
        Err(error) => tracing::error!(%error, "forgetting UDP conversations died"),
    }
}

/// The rules of the network itself, replacing what was there, in one transaction. What comes from elsewhere for loopback, or
/// claims to come from there, is dropped before anything else looks at it: programs that listen there trust who calls. What a
/// pod sends to an address without a pod is refused here, because the kernel's own answers are rationed.
fn rules(config: &PodNetworkConfig, mapped: &Mapped) -> String {
    let table = config.table();
    let bridge = &config.bridge;
    let (pod, pod_len) = config.pod_cidr;
    let (cluster, cluster_len) = config.cluster_cidr;
    let drop = nft::drop_table(&table);
    format!(
        "{drop}table ip {table} {{
            chain leave {{
                type nat hook postrouting priority srcnat; policy accept;
                ip saddr {pod}/{pod_len} ip daddr != {cluster}/{cluster_len} oifname != \"{bridge}\" \
                    ip daddr != 224.0.0.0/4 masquerade fully-random
            }}
            chain redirects {{
                type filter hook output priority filter; policy accept;
                oifname \"{bridge}\" icmp type redirect drop
            }}
            chain martians {{
                type filter hook prerouting priority raw; policy accept;
                iifname != \"lo\" ip daddr 127.0.0.0/8 drop
                iifname != \"lo\" ip saddr 127.0.0.0/8 drop
            }}
            chain refuse {{
                meta l4proto tcp reject with tcp reset
                reject with icmp type host-unreachable
            }}
            chain nobody {{
                type filter hook prerouting priority filter; policy accept;
                ct state new ip daddr {pod}/{pod_len} fib daddr type != local fib daddr oif missing \
                    goto refuse
            }}
            {ports}
        }}\n",
        ports = ports::rules(config, mapped),
    )
}

/// The pods whose links are on the bridge.
fn live_pods(ports: Vec<Port>) -> BTreeMap<String, Ipv4Addr> {
    let pod = |port: Port| Some((port.alias?, address_of(&port.name)?));
    ports.into_iter().filter_map(pod).collect()
}

/// The host's end of a pod's veth pair is named after the pod's address.
fn link_name(ip: Ipv4Addr) -> String {
    format!("veth{:08x}", u32::from(ip))
}

fn address_of(link: &str) -> Option<Ipv4Addr> {
    let digits = link.strip_prefix("veth").filter(|digits| digits.len() == 8)?;
    u32::from_str_radix(digits, 16).ok().map(Ipv4Addr::from)
}

/// A fixed hardware address for an IP address, so that neighbour caches stay right when an address moves.
fn mac_of(ip: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = ip.octets();
    [0x0a, 0x58, a, b, c, d]
}
