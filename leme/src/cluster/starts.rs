//! How each part of a cluster is started, and what is left to do when it stops.
//!
//! Knows: every room's entry, and what it is told. Refuses to know: what happens inside one, and in which order they start.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use leme_agent::AgentConfig;
use leme_cri::embedded::{EmbeddedConfig, EmbeddedRuntime};
use leme_manager::{ManagerConfig, Programs, Signer};
use leme_network::{DnsConfig, PodNetwork, ProxyConfig, Upstreams, run_dns, run_service_proxy};
use leme_server::{Build, Server, ServerConfig, StartError};
use leme_store::Store;
use leme_store::embedded::EmbeddedStore;
use leme_store::encryption::Config;
use leme_store::etcd::{EtcdConfig, EtcdStore, ServerIdentity};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use crate::cluster::access::{self, Access};
use crate::cluster::data::{DataDir, Seat};
use crate::cluster::encryption;
use crate::cluster::home;
use crate::cluster::kubeconfig::Files;
use crate::cluster::node::{
    self, Attach, CLUSTER_CIDR, Node, NodeSpec, SERVICE_CIDR, STOP_GRACE, remove_node, remove_run,
    stop_containers,
};
use crate::cluster::plan::{self, Plan, ServerPlan};
use crate::cluster::registry;
use crate::cluster::running::Running;
use crate::cluster::service_authority::ServiceAuthority;
use crate::cluster::table::Part;

/// Domain of the cluster's DNS.
pub(super) const CLUSTER_DOMAIN: &str = "cluster.local";
/// Hosts of Routes end in this; every resolver sends it to the loopback interface.
pub(super) const ROUTE_DOMAIN: &str = "apps.localhost";
/// How long containers may take to end in all, their grace included.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How long the API may take to hear how they have ended.
const TELL_LIMIT: Duration = Duration::from_secs(5);
/// How long the API server may finish what it has begun.
const SERVER_GRACE: Duration = Duration::from_secs(2);
/// Connections that may wait for the API server to take them.
const BACKLOG: u32 = 1024;
/// Pods on a node at most.
const MAX_PODS: u32 = 250;

/// What the build script found out.
const BUILD: Build = Build {
    commit: env!("LEME_BUILD_COMMIT"),
    tree: env!("LEME_BUILD_TREE"),
    date: env!("LEME_BUILD_DATE"),
};

/// The API server, and the kubeconfigs of those who are to find it.
pub async fn server(running: &mut Running) -> Result<()> {
    let (Some(plan), data) = (&running.plan.server, running.data()?.clone()) else {
        return Ok(());
    };
    let store = open_store(plan, &data).await?;
    let gateway = running.plan.nodes().first().map(|one| one.configs(&data).1.gateway());
    let advertised = Plan::advertised(plan.listen.ip(), gateway);
    let within = [(Part::Controllers, "controller-manager"), (Part::Scheduler, "scheduler")];
    let within = within.into_iter().filter(|(part, _)| running.plan.runs(*part));
    let server = Server::start(ServerConfig {
        service_cidr: SERVICE_CIDR,
        route_domain: ROUTE_DOMAIN.to_owned(),
        registry: registry::known(&running.plan, &data),
        advertise: advertised.clone(),
        build: BUILD,
        kinds: Arc::clone(&plan.kinds),
        within: within.map(|(_, component)| component).collect(),
        token_file: plan.token_file.clone(),
        issuers: plan.issuers.clone(),
        audit: plan.audit.clone(),
        admission: plan.admission.clone(),
        password_file: plan.password_file.clone(),
        registries: running
            .plan
            .node
            .as_ref()
            .map(|node| node.registries.clone())
            .unwrap_or_default(),
        ..ServerConfig::new(plan.listen, data.pki(), store)
    })
    .await
    .map_err(start_hint)?;
    if let Some(gateway) = gateway.filter(|_| plan.listen.ip().is_loopback()) {
        let port = server.addresses().first().map_or(plan.listen.port(), SocketAddr::port);
        server.also_serve(inward(SocketAddr::new(gateway.into(), port))?);
    }
    let files = kubeconfigs(&running.plan, plan, &server, &advertised, &data);
    running.access = Some(Access::Within(Box::new(server)));
    let files = files?;
    files.write()?;
    running.kubeconfigs =
        files.all.iter().map(|file| (file.of.clone(), file.path.clone())).collect();
    running.spawn("kubeconfig", |token| async move {
        tokio::select! {
            kept = files.keep() => kept,
            () = token.cancelled() => Ok(()),
        }
    });
    Ok(())
}

/// A listener where pods find the API of a server that listens on the loopback only: on their gateway, which comes up later.
pub(super) fn inward(address: SocketAddr) -> Result<TcpListener> {
    let bound = || -> std::io::Result<TcpListener> {
        let socket = TcpSocket::new_v4()?;
        rustix::net::sockopt::set_ip_freebind(&socket, true)?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().with_context(|| format!("cannot listen on {address}, where pods find it"))
}

/// The administrator's, and those of what this process leaves to others. Nodes may be on other machines.
fn kubeconfigs(
    plan: &Plan,
    server: &ServerPlan,
    started: &Server,
    advertised: &[String],
    data: &DataDir,
) -> Result<Files> {
    let address = started.addresses().first().copied().unwrap_or(server.listen);
    let url = format!("https://{}", plan::dialled(address));
    let mut files = Files::new(started.pki(), &url, data);
    for part in plan.left_to_others() {
        files.add_part(part, &url, data)?;
    }
    let reached = advertised.iter().find_map(|one| one.parse().ok());
    let reached =
        reached.map_or(url, |ip| format!("https://{}", SocketAddr::new(ip, address.port())));
    for name in &server.agents {
        files.add_node(name, &reached, data)?;
    }
    Ok(files)
}

/// Finishes what is being answered.
pub async fn stop_server(running: &mut Running) -> Vec<String> {
    if let Some(Access::Within(server)) = running.access.take() {
        server.shutdown(SERVER_GRACE).await;
    }
    Vec::new()
}

/// Controllers and scheduler: those of them that run in one process share their caches, so that the first starts both.
pub async fn manager(running: &mut Running) -> Result<()> {
    if std::mem::replace(&mut running.managed, true) {
        return Ok(());
    }
    let (plan, access) = (&running.plan, running.access()?);
    let programs = Programs {
        controllers: plan.runs(Part::Controllers).then(|| access.controllers()),
        scheduler: plan.runs(Part::Scheduler).then(|| access.scheduler()),
    };
    let config = ManagerConfig {
        identity: identity(),
        leader_elect: plan.leader_elect,
        root_ca: access.root_ca(),
        absent: absent(running)?,
        service_authority: service_authority(running)?,
        scheduling: plan.scheduling.clone(),
    };
    running.spawn("controllers", |token| leme_manager::run(programs, config, token));
    Ok(())
}

/// Who signs for Services: of the directory of the cluster, and made there by who has the server. Another one would be
/// believed by nobody.
fn service_authority(running: &Running) -> Result<Option<(Arc<dyn Signer>, String)>> {
    let Some(data) = running.data.as_ref() else { return Ok(None) };
    let pki = data.pki();
    let found = match running.plan.runs(Part::Server) {
        true => Some(ServiceAuthority::open(&pki)?),
        false => ServiceAuthority::find(&pki)?,
    };
    Ok(found.map(|one| (Arc::new(one) as Arc<dyn Signer>, CLUSTER_DOMAIN.to_owned())))
}

/// Nodes that nobody runs, as far as this process can know: those of its own directory, unless another one runs nodes of it.
fn absent(running: &Running) -> Result<BTreeSet<String>> {
    let Some(data) = running.data.as_ref().filter(|_| running.plan.runs(Part::Server)) else {
        return Ok(BTreeSet::new());
    };
    let elsewhere = !running.plan.runs(Part::Node) && data.holder(Seat::Nodes)?.is_some();
    Ok(if elsewhere { BTreeSet::new() } else { node::absent(running.plan.nodes(), data) })
}

/// Who this process is among those that may lead.
fn identity() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let random = read("/proc/sys/kernel/random/uuid");
    format!("{}_{random}", read("/proc/sys/kernel/hostname"))
}

/// Every node of this process: its pods' network, the container runtime, the agent.
pub async fn nodes(running: &mut Running) -> Result<()> {
    for spec in running.plan.nodes().to_vec() {
        start_node(running, &spec).await.with_context(|| format!("start node {}", spec.name))?;
    }
    Ok(())
}

async fn start_node(running: &mut Running, spec: &NodeSpec) -> Result<()> {
    let data = running.data()?.clone();
    home::settle(&data)?;
    spec.note(&data)?;
    let Some(plan) = &running.plan.node else { return Ok(()) };
    let (embedded, network) = spec.configs(&data);
    let pod_network = PodNetwork::setup(network.clone()).await.context("set up the pod network")?;
    let gateway = pod_network.gateway();
    let address = plan.address.unwrap_or(gateway);
    let mut registries = plan.registries.clone();
    let own = registry::url(&running.plan, &data);
    if let Some(url) = &own {
        let authority = running.access()?.root_ca().unwrap_or_default();
        registries.set_own(&registry::host(), url, &authority);
    }
    let embedded = EmbeddedConfig {
        network: Arc::new(Attach(pod_network)),
        pod_processes: plan.pod_processes,
        registries,
        ..embedded
    };
    let runtime =
        EmbeddedRuntime::start(embedded.clone()).await.context("start the container runtime")?;
    let (caught_up, told) = watch::channel(false);
    let access = running.access()?;
    let config = AgentConfig {
        node_name: spec.name.clone(),
        client: access.client_of_node(&spec.name),
        runtime: runtime.clone(),
        data_dir: data.node(&spec.name),
        listen: SocketAddr::new(address.into(), leme_meta::ports::AGENT),
        tls: access.agent_tls(&spec.name)?,
        node_ip: address.into(),
        cluster_dns: Some(gateway.into()),
        cluster_domain: CLUSTER_DOMAIN.to_owned(),
        pod_cidr: format!("{}/{}", network.pod_cidr.0, network.pod_cidr.1),
        labels: BTreeMap::new(),
        max_pods: MAX_PODS,
        policy: plan.policy.clone(),
        registry: own.map(|_| registry::host()),
        caught_up,
    };
    let name = spec.name.clone();
    running.nodes.push(Node { name, runtime, embedded, network, caught_up: told });
    running.spawn("node agent", |token| leme_agent::run(config, token));
    Ok(())
}

/// Ends the nodes' containers and removes the nodes, unless their pods outlive the process.
pub async fn stop_nodes(running: &mut Running) -> Vec<String> {
    let mut failures = Vec::new();
    for node in &running.nodes {
        failures.extend(node::close(&node.runtime).await);
    }
    let ends = running.data.as_ref().is_some_and(DataDir::is_being_stopped);
    if running.plan.node.as_ref().is_some_and(|plan| plan.pods_outlive) && !ends {
        return failures;
    }
    let graceful = stop_all(&running.nodes, STOP_GRACE);
    let stopped = tokio::select! {
        stopped = graceful => Some(stopped),
        () = running.hurry.cancelled() => None,
        () = tokio::time::sleep(STOP_LIMIT) => None,
    };
    failures.extend(match stopped {
        Some(stopped) => stopped,
        None => stop_all(&running.nodes, Duration::ZERO).await,
    });
    // Their records go with the nodes: nobody could tell later how they ended.
    let told = match tokio::time::timeout(TELL_LIMIT, tell_ends(running)).await {
        Ok(told) => told,
        Err(_) => vec!["the API did not hear in time how containers ended".to_owned()],
    };
    // A server of another process may be gone: nodes end all the same.
    if running.plan.runs(Part::Server) {
        failures.extend(told);
    }
    for node in running.nodes.drain(..) {
        drop(node.runtime);
        failures.extend(remove_node(&node.embedded, &node.network).await);
    }
    if let Some(data) = running.data.as_ref().filter(|_| failures.is_empty()) {
        failures.extend(remove_run(data));
    }
    failures
}

/// Ends the containers of all nodes.
async fn stop_all(nodes: &[Node], grace: Duration) -> Vec<String> {
    let mut failures = Vec::new();
    for node in nodes {
        failures.extend(stop_containers(&node.runtime, grace).await);
    }
    failures
}

/// Has the API know how the containers of each node ended.
async fn tell_ends(running: &Running) -> Vec<String> {
    let mut failures = Vec::new();
    for node in &running.nodes {
        failures.extend(match running.access() {
            Ok(access) => {
                let client = access.client_of_node(&node.name);
                leme_agent::tell_ends(&client, &node.name, &*node.runtime).await
            }
            Err(error) => vec![format!("{error:#}")],
        });
    }
    failures
}

/// The cluster's DNS, where the pods of each node look for it.
pub async fn dns(running: &mut Running) -> Result<()> {
    let gateways = running.nodes.iter().map(|node| node.network.gateway());
    let config = DnsConfig {
        listen: gateways.map(|ip| SocketAddr::new(ip.into(), 53)).collect(),
        cluster_domain: CLUSTER_DOMAIN.to_owned(),
        reverse_cidrs: vec![CLUSTER_CIDR, SERVICE_CIDR],
        upstreams: Upstreams::ResolvConf(PathBuf::from("/etc/resolv.conf")),
    };
    let client = running.access()?.client_of(&access::DNS)?;
    running.spawn("cluster DNS", |token| run_dns(client, config, token));
    Ok(())
}

/// The rules of Services, on each node.
pub async fn proxy(running: &mut Running) -> Result<()> {
    let mut starts = Vec::new();
    for node in &running.nodes {
        let config = ProxyConfig {
            table: leme_network::proxy::default_table(&node.network.bridge),
            node_name: node.name.clone(),
            node_ip: node.network.gateway(),
            pod_cidr: node.network.pod_cidr,
            cluster_cidr: CLUSTER_CIDR,
            service_cidr: Some(SERVICE_CIDR),
            local_addresses: Vec::new(),
        };
        starts.push((running.access()?.client_of(&access::PROXY)?, config));
    }
    for (client, config) in starts {
        running.spawn("service rules", |token| run_service_proxy(client, config, token));
    }
    Ok(())
}

/// Adds the next step to why the server did not start.
fn start_hint(error: StartError) -> anyhow::Error {
    let hint = match &error {
        StartError::Listen { .. } => ": choose another address with --listen",
        _ => "",
    };
    anyhow!("{error}{hint}")
}

async fn open_store(plan: &ServerPlan, data: &DataDir) -> Result<Arc<dyn Store>> {
    let path = data.store();
    // Several servers may have one etcd: their keys are agreed on by who sets them up.
    let is_new = plan.etcd.is_none() && !path.exists();
    let config = encryption::config(data, plan.encryption.as_deref(), is_new)?;
    let store: Arc<dyn Store> = match &plan.etcd {
        Some(config) => {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let shown = format!(
                "host {}, data directory {}, process {}",
                host.trim(),
                data.root().display(),
                std::process::id()
            );
            let server = Some(ServerIdentity { id: data.server_id()?, shown });
            Arc::new(EtcdStore::connect(EtcdConfig { server, ..config.clone() }).await?)
        }
        None => {
            let folder = path.parent().context("the store has no folder")?;
            std::fs::create_dir_all(folder)
                .with_context(|| format!("create {}", folder.display()))?;
            Arc::new(EmbeddedStore::open(&path)?)
        }
    };
    let config = config.unwrap_or_else(Config::none);
    let encrypted = encryption::around(store, config, &plan.kinds);
    // Before anybody asks for what nobody could read, or writes over it.
    encryption::settle(&encrypted, plan.ignore_lost_keys).await?;
    Ok(encrypted)
}
