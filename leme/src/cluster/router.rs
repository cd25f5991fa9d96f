//! How the router is started: its sockets, its authority, and what its flags say.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use leme_manager::Signer;
use leme_network::router::{
    AllowList, Authority, CERTIFICATE, LogConfig, LogFormat, RouterConfig, Secure, run_router,
};

use crate::args::{LogForm, RouterFlags};
use crate::cluster::access;
use crate::cluster::node::Node;
use crate::cluster::running::Running;
use crate::cluster::service_authority::ServiceAuthority;
use crate::cluster::starts::{CLUSTER_DOMAIN, ROUTE_DOMAIN};

/// Starts it.
pub async fn start(running: &mut Running) -> Result<()> {
    let Some(plan) = &running.plan.node else { return Ok(()) };
    let flags = &plan.router;
    let address = "the router's address";
    let listener =
        router_listener(flags.router_listen, plan.router_ip, [80, 8080], "--router-listen")?;
    let (asked, flag) = (flags.router_listen_tls, "--router-listen-tls");
    let encrypted = router_listener(asked, plan.router_ip, [443, 8443], flag)?;
    let data = running.data.as_ref().context("there is no data directory")?;
    let pki = data.pki();
    std::fs::create_dir_all(&pki).with_context(|| format!("create {}", pki.display()))?;
    let authority = Arc::new(Authority::open(&pki)?);
    running.router = Some(listener.local_addr().context(address)?);
    running.router_tls = Some((encrypted.local_addr().context(address)?, pki.join(CERTIFICATE)));
    let config = RouterConfig {
        listeners: vec![listener],
        secure: Some(Secure { listener: encrypted, authority }),
        router_name: "default".to_owned(),
        canonical_hostname: None,
        domain: ROUTE_DOMAIN.to_owned(),
        cluster_domain: CLUSTER_DOMAIN.to_owned(),
        address: Some(told_address(running.router, running.nodes.first())),
        allow_wildcards: false,
        service_authority: ServiceAuthority::find(&pki)?.map(|one| one.known().bundle.clone()),
        announced_by: announced_by(flags)?,
        access_log: access_log(flags),
        monitor: monitor(flags)?,
    };
    let client = running.access()?.client_of(&access::ROUTER)?;
    running.spawn("router", |token| run_router(client, config, token));
    Ok(())
}

fn announced_by(flags: &RouterFlags) -> Result<Option<AllowList>> {
    let all = flags.router_proxy_protocol.join(" ");
    let list = AllowList::parse(&all).map_err(|why| anyhow!("--router-proxy-protocol: {why}"))?;
    Ok(Some(list).filter(|_| !all.is_empty()))
}

fn access_log(flags: &RouterFlags) -> Option<LogConfig> {
    let format = match flags.router_access_log_format {
        LogForm::Common => LogFormat::Common,
        LogForm::Json => LogFormat::Json,
    };
    let file = flags.router_access_log.as_ref()?;
    Some(LogConfig { file: Some(file.clone()).filter(|file| file.as_os_str() != "-"), format })
}

fn monitor(flags: &RouterFlags) -> Result<Option<std::net::TcpListener>> {
    let Some(address) = flags.router_metrics else { return Ok(None) };
    let mut bound = leme_network::router::bind(&[address])
        .with_context(|| format!("listen on {address}: choose another --router-metrics"))?;
    Ok(bound.pop())
}

/// Where Ingresses are told to be: where the router listens, or a node's address if that is everywhere.
fn told_address(router: Option<SocketAddr>, node: Option<&Node>) -> IpAddr {
    let listens = router.map(|address| address.ip()).filter(|ip| !ip.is_unspecified());
    let node = || node.map(|node| IpAddr::V4(node.network.gateway()));
    listens.or_else(node).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// A socket of the router: where asked, else the first of two ports of the usual address that is free.
fn router_listener(
    asked: Option<SocketAddr>,
    ip: IpAddr,
    [first, second]: [u16; 2],
    flag: &str,
) -> Result<std::net::TcpListener> {
    let bind = |address: SocketAddr| -> Result<std::net::TcpListener> {
        leme_network::router::bind(&[address])?.pop().context("no socket")
    };
    match asked {
        Some(address) => bind(address)
            .with_context(|| format!("listen on {address} for Routes: choose another {flag}")),
        None => bind(SocketAddr::new(ip, first))
            .or_else(|_| bind(SocketAddr::new(ip, second)))
            .with_context(|| {
                format!("ports {first} and {second} are both taken: choose another with {flag}")
            }),
    }
}
