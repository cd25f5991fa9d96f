//! Links, addresses and routes, in this namespace or in a pod's. Knows rtnetlink; refuses to know ids and leases.
//!
//! Every socket has a thread of its own, which ends with it: the kernel does its work while it is asked, and removing a link can
//! take it tens of milliseconds. A pod's namespace is entered by such a thread only, never by the process.

use crate::Cidr;
use anyhow::{Context, Result, anyhow};
use futures::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind,
};
use rtnetlink::packet_route::link::{InfoVeth, LinkAttribute, LinkInfo, LinkMessage};
use rtnetlink::packet_route::route::{RouteScope, RouteType};
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::RawFd;
use std::path::Path;

/// A netlink socket; what it does happens in the namespace it was opened in.
pub(super) struct Netlink {
    handle: Handle,
}

/// One end of a veth pair on the bridge, as found.
pub(super) struct Port {
    pub(super) name: String,
    /// What [`Netlink::set_port`] wrote: the id of the pod.
    pub(super) alias: Option<String>,
}

/// The veth pair of one pod.
pub(super) struct Pair<'a> {
    pub(super) host_name: &'a str,
    pub(super) bridge: u32,
    pub(super) mtu: u32,
    pub(super) pod_netns: RawFd,
    pub(super) pod_mac: [u8; 6],
}

/// The name of the interface in a pod.
pub(super) const POD_LINK: &str = "eth0";

const ENOENT: i32 = -2;
const ESRCH: i32 = -3;
const EEXIST: i32 = -17;
const ENODEV: i32 = -19;
const EADDRNOTAVAIL: i32 = -99;

/// The error number of a kernel answer (negative), if it is one.
fn code(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| code.get()),
        _ => None,
    }
}

fn allow(result: Result<(), rtnetlink::Error>, codes: &[i32]) -> Result<(), rtnetlink::Error> {
    match result {
        Err(error) if code(&error).is_some_and(|found| codes.contains(&found)) => Ok(()),
        other => other,
    }
}

impl Netlink {
    /// A socket in the namespace of the calling thread.
    pub(super) async fn open() -> Result<Netlink> {
        start(|| Ok(())).await
    }

    /// A socket in the namespace `netns`, after `inside` ran there; also the open namespace.
    pub(super) async fn open_in(
        netns: &Path,
        inside: fn() -> Result<()>,
    ) -> Result<(Netlink, File)> {
        let file = File::open(netns)
            .with_context(|| format!("open the network namespace {}", netns.display()))?;
        let enter = file.try_clone().context("duplicate the namespace handle")?;
        let prepare = move || {
            nix::sched::setns(&enter, nix::sched::CloneFlags::CLONE_NEWNET).context("setns")?;
            inside()
        };
        let netlink = start(prepare).await.with_context(|| format!("enter {}", netns.display()))?;
        Ok((netlink, file))
    }

    /// The link called `name`.
    pub(super) async fn link(&self, name: &str) -> Result<Option<LinkMessage>> {
        let mut found = self.handle.link().get().match_name(name).execute();
        match found.try_next().await {
            Ok(link) => Ok(link),
            Err(error) if matches!(code(&error), Some(ENODEV | ENOENT)) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("look up link {name}")),
        }
    }

    /// Makes sure that the bridge exists and is up; gives its index.
    pub(super) async fn ensure_bridge(&self, name: &str, mac: [u8; 6], mtu: u32) -> Result<u32> {
        let made = self.handle.link().add(LinkBridge::new(name).address(mac.to_vec()).up().build());
        allow(made.execute().await, &[EEXIST]).with_context(|| format!("create bridge {name}"))?;
        let link = self.link(name).await?.with_context(|| format!("bridge {name} vanished"))?;
        anyhow::ensure!(is_bridge(&link), "{name} exists and is not a bridge: choose another name");
        let index = link.header.index;
        let set = LinkUnspec::new_with_index(index).address(mac.to_vec()).mtu(mtu).up().build();
        self.handle.link().set(set).execute().await.with_context(|| format!("set up {name}"))?;
        Ok(index)
    }

    /// The ports of a bridge.
    pub(super) async fn ports(&self, bridge: u32) -> Result<Vec<Port>> {
        let links: Vec<LinkMessage> =
            self.handle.link().get().execute().try_collect().await.context("list the links")?;
        Ok(links.iter().filter(|link| controller(link) == Some(bridge)).map(port).collect())
    }

    /// Whether any bridge or veth other than `except` exists: somebody else forwards packets here.
    pub(super) async fn others_forward(&self, except: &str) -> Result<bool> {
        let links: Vec<LinkMessage> =
            self.handle.link().get().execute().try_collect().await.context("list the links")?;
        Ok(links.iter().any(|link| {
            let name = name_of(link).unwrap_or_default();
            name != except && matches!(kind(link), Some(InfoKind::Bridge | InfoKind::Veth))
        }))
    }

    /// Makes a veth pair: one end on the bridge, the other as [`POD_LINK`] in the pod. The pod's
    /// end stays down: a veth cannot be up before its peer exists.
    pub(super) async fn add_pair(&self, pair: &Pair<'_>) -> Result<(), rtnetlink::Error> {
        let peer: LinkMessage = LinkMessageBuilder::<LinkUnspec>::new()
            .name(POD_LINK)
            .address(pair.pod_mac.to_vec())
            .mtu(pair.mtu)
            .setns_by_fd(pair.pod_netns)
            .build();
        let message = LinkVeth::new(pair.host_name, POD_LINK)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .mtu(pair.mtu)
            .controller(pair.bridge)
            .up()
            .build();
        self.handle.link().add(message).execute().await
    }

    /// Lets a port send back where a packet came from, and notes whose it is.
    pub(super) async fn set_port(&self, name: &str, alias: &str) -> Result<()> {
        let link = self.link(name).await?.with_context(|| format!("link {name} vanished"))?;
        let message = LinkMessageBuilder::<rtnetlink::LinkBridgePort>::default()
            .index(link.header.index)
            .alias(alias)
            .set_port_kind(InfoPortKind::Bridge)
            .set_port_data(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)]))
            .build();
        let set = self.handle.link().set_port(message).execute().await;
        set.with_context(|| format!("set hairpin on {name}"))
    }

    /// Removes a link; one that is gone is fine.
    pub(super) async fn delete(&self, name: &str) -> Result<()> {
        let Some(link) = self.link(name).await? else { return Ok(()) };
        let gone = self.handle.link().del(link.header.index).execute().await;
        allow(gone, &[ENODEV]).with_context(|| format!("delete link {name}"))
    }

    /// Brings a link up.
    pub(super) async fn up(&self, name: &str) -> Result<()> {
        let set = LinkUnspec::new_with_name(name).up().build();
        self.handle.link().set(set).execute().await.with_context(|| format!("set {name} up"))
    }

    /// Adds an address; one that is there is fine.
    pub(super) async fn add_address(&self, index: u32, cidr: Cidr) -> Result<()> {
        let added = self.handle.address().add(index, IpAddr::V4(cidr.0), cidr.1).execute().await;
        allow(added, &[EEXIST]).with_context(|| format!("add address {}/{}", cidr.0, cidr.1))
    }

    /// Takes an address away; one that is gone is fine.
    pub(super) async fn remove_address(&self, index: u32, cidr: Cidr) -> Result<()> {
        let mut found = self.handle.address().get().set_link_index_filter(index).execute();
        let mut held = None;
        while let Some(message) = found.try_next().await.context("list addresses")? {
            let same = |a: &AddressAttribute| *a == AddressAttribute::Address(IpAddr::V4(cidr.0));
            if message.header.prefix_len == cidr.1 && message.attributes.iter().any(same) {
                held = Some(message);
            }
        }
        let Some(message) = held else { return Ok(()) };
        let gone = self.handle.address().del(message).execute().await;
        allow(gone, &[EADDRNOTAVAIL])
            .with_context(|| format!("remove address {}/{}", cidr.0, cidr.1))
    }

    /// The IPv4 addresses of this host.
    pub(super) async fn addresses(&self) -> Result<Vec<Ipv4Addr>> {
        let mut found = self.handle.address().get().execute();
        let mut all = Vec::new();
        while let Some(message) = found.try_next().await.context("list addresses")? {
            all.extend(message.attributes.iter().filter_map(|attribute| match attribute {
                AddressAttribute::Local(IpAddr::V4(ip)) => Some(*ip),
                _ => None,
            }));
        }
        Ok(all)
    }

    /// Whether the link holds the address.
    pub(super) async fn has_address(&self, index: u32, ip: Ipv4Addr) -> Result<bool> {
        let mut found = self.handle.address().get().set_link_index_filter(index).execute();
        while let Some(message) = found.try_next().await.context("list addresses")? {
            let holds = |a: &AddressAttribute| *a == AddressAttribute::Address(IpAddr::V4(ip));
            if message.header.family == AddressFamily::Inet && message.attributes.iter().any(holds)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Routes `to` straight out of the link, with `source` as the address of this host if given.
    pub(super) async fn route_link(
        &self,
        index: u32,
        to: Cidr,
        source: Option<Ipv4Addr>,
    ) -> Result<()> {
        let mut route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(to.0, to.1)
            .output_interface(index)
            .scope(RouteScope::Link);
        if let Some(source) = source {
            // A metric of its own, so that the bridges of several nodes can hold the same route.
            route = route.pref_source(source).priority(index);
        }
        let added = self.handle.route().add(route.build()).replace().execute().await;
        added.with_context(|| format!("route {}/{}", to.0, to.1))
    }

    /// Takes a route out of the link away; one that is gone is fine.
    pub(super) async fn unroute_link(&self, index: u32, to: Cidr) -> Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(to.0, to.1)
            .output_interface(index)
            .scope(RouteScope::Link);
        let gone = self.handle.route().del(route.build()).execute().await;
        allow(gone, &[ESRCH]).with_context(|| format!("remove the route to {}/{}", to.0, to.1))
    }

    /// Answers at once for what has no better route within `cidr`: nobody is there.
    pub(super) async fn refuse(&self, cidr: Cidr) -> Result<()> {
        let added = self.handle.route().add(unreachable(cidr)).replace().execute().await;
        added.with_context(|| format!("make {}/{} unreachable", cidr.0, cidr.1))
    }

    /// Undoes [`Netlink::refuse`].
    pub(super) async fn unrefuse(&self, cidr: Cidr) -> Result<()> {
        let gone = self.handle.route().del(unreachable(cidr)).execute().await;
        allow(gone, &[ESRCH]).with_context(|| format!("remove the route to {}/{}", cidr.0, cidr.1))
    }

    /// Routes everything else through `gateway`.
    pub(super) async fn route_default(&self, index: u32, gateway: Ipv4Addr) -> Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).output_interface(index);
        let added = self.handle.route().add(route.build()).replace().execute().await;
        added.with_context(|| format!("default route through {gateway}"))
    }
}

fn unreachable(cidr: Cidr) -> rtnetlink::packet_route::route::RouteMessage {
    let route = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(cidr.0, cidr.1);
    route.kind(RouteType::Unreachable).build()
}

/// Starts a thread that runs `prepare`, opens a socket and serves it until the handle is dropped.
async fn start(prepare: impl FnOnce() -> Result<()> + Send + 'static) -> Result<Netlink> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let serve = move || {
        let opened = prepare().and_then(|()| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            let guard = runtime.enter();
            let (connection, handle, _) = rtnetlink::new_connection()?;
            drop(guard);
            Ok((runtime, connection, handle))
        });
        match opened {
            Ok((runtime, connection, handle)) => {
                let _ = sender.send(Ok(Netlink { handle }));
                runtime.block_on(connection);
            }
            Err(error) => drop(sender.send(Err(error.context("open a netlink socket")))),
        }
    };
    std::thread::Builder::new()
        .name("leme-netlink".into())
        .spawn(serve)
        .context("start a thread for netlink")?;
    receiver.await.map_err(|_| anyhow!("the netlink thread died"))?
}

fn attribute<'a, T>(
    link: &'a LinkMessage,
    pick: impl Fn(&'a LinkAttribute) -> Option<T>,
) -> Option<T> {
    link.attributes.iter().find_map(pick)
}

fn name_of(link: &LinkMessage) -> Option<&str> {
    attribute(
        link,
        |a| if let LinkAttribute::IfName(name) = a { Some(name.as_str()) } else { None },
    )
}

/// The index of the bridge a link is a port of.
pub(super) fn controller(link: &LinkMessage) -> Option<u32> {
    attribute(link, |a| if let LinkAttribute::Controller(index) = a { Some(*index) } else { None })
}

fn kind(link: &LinkMessage) -> Option<&InfoKind> {
    let infos = attribute(link, |a| match a {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    })?;
    infos.iter().find_map(|info| if let LinkInfo::Kind(kind) = info { Some(kind) } else { None })
}

/// Whether a link is a bridge.
pub(super) fn is_bridge(link: &LinkMessage) -> bool {
    kind(link) == Some(&InfoKind::Bridge)
}

fn port(link: &LinkMessage) -> Port {
    Port {
        name: name_of(link).unwrap_or_default().to_owned(),
        alias: attribute(link, |a| match a {
            LinkAttribute::IfAlias(alias) => Some(alias.clone()),
            _ => None,
        }),
    }
}
