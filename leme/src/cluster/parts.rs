//! A local cluster put together: which parts there are, in which order they start and stop.
//!
//! Knows every room's entry. Refuses to know what happens inside one.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use leme_access::Identity;
use leme_agent::AgentConfig;
use leme_client::Client;
use leme_cri::embedded::{EmbeddedConfig, EmbeddedRuntime};
use leme_network::router::{RouterConfig, run_router};
use leme_network::{DnsConfig, PodNetwork, ProxyConfig, Upstreams, run_dns, run_service_proxy};
use leme_server::{Build, Server, ServerConfig, StartError};
use leme_store::Store;
use leme_store::embedded::EmbeddedStore;
use leme_store::etcd::{EtcdConfig, EtcdStore, ServerIdentity};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::allocator;
use crate::api::Api;
use crate::cluster::data::DataDir;
use crate::cluster::node::{
    self, Attach, CLUSTER_CIDR, Node, SERVICE_CIDR, agent_tls, node_configs, preflight,
    remove_node, remove_run, stop_containers,
};
use crate::cluster::plan::{self, Plan};
use crate::cluster::sole::Sole;
use crate::cluster::{home, kubeconfig};
use crate::discovery::Served;

/// Domain of the cluster's DNS.
const CLUSTER_DOMAIN: &str = "cluster.local";
/// Hosts of Routes end in this; every resolver sends it to the loopback interface.
const ROUTE_DOMAIN: &str = "apps.localhost";
/// How long the parts may take to end when they are told to.
const PARTS_GRACE: Duration = Duration::from_secs(5);
/// How long containers may take to end in all, their grace included.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How long the API server may finish what it has begun.
const SERVER_GRACE: Duration = Duration::from_secs(2);
/// Pods on a node at most.
const MAX_PODS: u32 = 250;

/// A running cluster.
pub struct Cluster {
    server: Server,
    api: Api,
    router: Option<SocketAddr>,
    nodes: Vec<Node>,
    data: DataDir,
    /// Ends everything that reconciles, then everything that serves pods.
    controllers: CancellationToken,
    agents: CancellationToken,
    tasks: Mutex<Tasks>,
    sole: Option<Sole>,
}

/// What the build script found out.
const BUILD: Build = Build {
    commit: env!("LEME_BUILD_COMMIT"),
    tree: env!("LEME_BUILD_TREE"),
    date: env!("LEME_BUILD_DATE"),
};

/// The parts by name, each with how it ended.
type Tasks = JoinSet<(&'static str, Result<()>)>;

impl Cluster {
    /// Starts everything, or nothing: what was started is stopped again when a later part fails.
    pub async fn start(plan: Plan, data: &DataDir) -> Result<Cluster> {
        let sole = if plan.nodes > 0 { Some(Sole::claim()?) } else { None };
        if sole.is_some() {
            preflight().await?;
            home::check(data)?;
        }
        let store = open_store(&plan, data).await?;
        let server = Server::start(ServerConfig {
            service_cidr: SERVICE_CIDR,
            route_domain: ROUTE_DOMAIN.to_owned(),
            advertise: plan.advertised(node_configs(0, data).2.gateway()),
            build: BUILD,
            kinds: Arc::clone(&plan.kinds),
            controllers_within: true,
            ..ServerConfig::new(plan.listen, data.pki(), store)
        })
        .await
        .map_err(start_hint)?;
        let admin = client(&server, identity("kubernetes-admin", &["system:masters"]));
        let api = Api::with_kinds(admin, "default".to_owned(), Served::builtin());
        let mut cluster = Cluster {
            api,
            data: data.clone(),
            router: None,
            nodes: Vec::new(),
            controllers: CancellationToken::new(),
            agents: CancellationToken::new(),
            tasks: Mutex::new(JoinSet::new()),
            sole,
            server,
        };
        match cluster.start_parts(&plan, data).await {
            Ok(()) => Ok(cluster),
            Err(error) => {
                let stopped = cluster.stop(std::future::pending::<()>()).await;
                Err(error).context(match stopped {
                    Ok(()) => "start the cluster".to_owned(),
                    Err(stop) => format!("start the cluster (and stop it again: {stop:#})"),
                })
            }
        }
    }

    async fn start_parts(&mut self, plan: &Plan, data: &DataDir) -> Result<()> {
        allocator::give_back()?;
        let address = self.server.addresses().first().copied().unwrap_or(plan.listen);
        let url = format!("https://{}", plan::dialled(address));
        let pki = self.server.pki();
        kubeconfig::write(pki, &url, &data.kubeconfig())?;
        let keeping = kubeconfig::keep(Arc::clone(pki), url, data.kubeconfig());
        let token = self.controllers.clone();
        self.tasks.get_mut().spawn(async move {
            tokio::select! {
                kept = keeping => ("kubeconfig", kept),
                () = token.cancelled() => ("kubeconfig", Ok(())),
            }
        });
        let manager = leme_manager::ManagerConfig {
            identity: "leme".to_owned(),
            leader_elect: false,
            root_ca: Some(pki.ca_pem().to_owned()),
            absent: node::absent(plan.nodes, data),
        };
        let client = self.client_of("leme-controllers", &["system:masters"]);
        let token = self.controllers.clone();
        self.tasks
            .get_mut()
            .spawn(async move { ("controllers", leme_manager::run(client, manager, token).await) });
        for index in 0..plan.nodes {
            self.start_node(index, plan, data)
                .await
                .with_context(|| format!("start node leme-{index}"))?;
        }
        if plan.nodes > 0 {
            self.start_services(plan).await?;
        }
        Ok(())
    }

    async fn start_node(&mut self, index: u32, plan: &Plan, data: &DataDir) -> Result<()> {
        home::settle(data)?;
        let (name, embedded, network) = node_configs(index, data);
        let pod_network =
            PodNetwork::setup(network.clone()).await.context("set up the pod network")?;
        let gateway = pod_network.gateway();
        let embedded = EmbeddedConfig {
            network: Arc::new(Attach(pod_network)),
            pod_processes: plan.pod_processes,
            ..embedded
        };
        let runtime = EmbeddedRuntime::start(embedded.clone())
            .await
            .context("start the container runtime")?;
        let addresses = [gateway.to_string()];
        let (caught_up, told) = watch::channel(false);
        let config = AgentConfig {
            node_name: name.clone(),
            client: self.client_of(&format!("system:node:{name}"), &["system:nodes"]),
            runtime: runtime.clone(),
            data_dir: data.node(&name),
            listen: SocketAddr::new(gateway.into(), 10250),
            tls: agent_tls(self.server.pki(), &name, &addresses)?,
            node_ip: gateway.into(),
            cluster_dns: Some(gateway.into()),
            cluster_domain: CLUSTER_DOMAIN.to_owned(),
            pod_cidr: format!("{}/{}", network.pod_cidr.0, network.pod_cidr.1),
            labels: BTreeMap::new(),
            max_pods: MAX_PODS,
            policy: plan.policy.clone(),
            caught_up,
        };
        self.nodes.push(Node { name, runtime, embedded, network, caught_up: told });
        let token = self.agents.clone();
        self.tasks
            .get_mut()
            .spawn(async move { ("node agent", leme_agent::run(config, token).await) });
        Ok(())
    }

    async fn start_services(&mut self, plan: &Plan) -> Result<()> {
        let listen = self
            .nodes
            .iter()
            .map(|node| SocketAddr::new(node.network.gateway().into(), 53))
            .collect();
        let dns = DnsConfig {
            listen,
            cluster_domain: CLUSTER_DOMAIN.to_owned(),
            reverse_cidrs: vec![CLUSTER_CIDR, SERVICE_CIDR],
            upstreams: Upstreams::ResolvConf(PathBuf::from("/etc/resolv.conf")),
        };
        let client = self.client_of("leme-dns", &["system:masters"]);
        let token = self.agents.clone();
        self.tasks
            .get_mut()
            .spawn(async move { ("cluster DNS", run_dns(client, dns, token).await) });

        for node in &self.nodes {
            let proxy = ProxyConfig {
                table: leme_network::proxy::default_table(&node.network.bridge),
                node_name: node.name.clone(),
                node_ip: node.network.gateway(),
                pod_cidr: node.network.pod_cidr,
                cluster_cidr: CLUSTER_CIDR,
                service_cidr: Some(SERVICE_CIDR),
                local_addresses: Vec::new(),
            };
            let client = self.client_of("leme-proxy", &["system:masters"]);
            let token = self.agents.clone();
            self.tasks.get_mut().spawn(async move {
                ("service rules", run_service_proxy(client, proxy, token).await)
            });
        }

        let listener = router_listener(plan)?;
        self.router = Some(listener.local_addr().context("the router's address")?);
        let router = RouterConfig {
            listeners: vec![listener],
            router_name: "default".to_owned(),
            canonical_hostname: None,
            domain: ROUTE_DOMAIN.to_owned(),
            cluster_domain: CLUSTER_DOMAIN.to_owned(),
            allow_wildcards: false,
        };
        let client = self.client_of("leme-router", &["system:masters"]);
        let token = self.agents.clone();
        self.tasks
            .get_mut()
            .spawn(async move { ("router", run_router(client, router, token).await) });
        Ok(())
    }

    /// A client with the rights of a part, over the server's own service.
    fn client_of(&self, user: &str, groups: &[&str]) -> Client {
        client(&self.server, identity(user, groups))
    }

    /// The administrator's view.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data.kubeconfig()
    }

    /// Where Routes are served.
    pub fn router(&self) -> Option<SocketAddr> {
        self.router
    }

    /// Names of the nodes of this machine.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.name.as_str())
    }

    /// Returns when the API has what is true now of each node and its pods, not what was when the cluster stopped.
    pub async fn caught_up(&self) -> Result<()> {
        for node in &self.nodes {
            let mut told = node.caught_up.clone();
            told.wait_for(|told| *told)
                .await
                .with_context(|| format!("node {} ended", node.name))?;
        }
        Ok(())
    }

    /// Returns when a part has ended although nobody told it to.
    pub async fn failed(&self) -> anyhow::Error {
        match self.tasks.lock().await.join_next().await {
            Some(Ok((part, Ok(())))) => anyhow!("the {part} ended"),
            Some(Ok((part, Err(error)))) => error.context(format!("the {part} failed")),
            Some(Err(panic)) => anyhow!("a part of the cluster panicked: {panic}"),
            None => std::future::pending().await,
        }
    }

    /// Stops everything, in the order that lets each part finish: what reconciles, the containers, what serves them,
    /// the API. Does all it can and reports every failure. When `hurry` ends, containers get no more grace.
    pub async fn stop(mut self, hurry: impl Future) -> Result<()> {
        let mut failures = Vec::new();
        self.controllers.cancel();
        self.agents.cancel();
        let tasks = self.tasks.get_mut();
        let ending = async {
            while let Some(ended) = tasks.join_next().await {
                match ended {
                    Ok((_, Ok(()))) => {}
                    Ok((part, Err(error))) => failures.push(format!("{part}: {error:#}")),
                    Err(panic) => failures.push(format!("a part panicked: {panic}")),
                }
            }
        };
        if tokio::time::timeout(PARTS_GRACE, ending).await.is_err() {
            failures.push(format!("{} parts did not end by themselves", tasks.len()));
            tasks.shutdown().await;
        }
        for node in &self.nodes {
            failures.extend(node::close(&node.runtime).await);
        }
        let graceful = async {
            for node in &self.nodes {
                failures.extend(stop_containers(&node.runtime).await);
            }
        };
        // What does not end by then is killed below.
        tokio::select! {
            () = graceful => {}
            _ = hurry => {}
            () = tokio::time::sleep(STOP_LIMIT) => {}
        }
        for node in self.nodes.drain(..) {
            drop(node.runtime);
            failures.extend(remove_node(&node.embedded, &node.network).await);
        }
        if failures.is_empty() && self.sole.is_some() {
            failures.extend(remove_run(&self.data));
        }
        self.server.shutdown(SERVER_GRACE).await;
        if failures.is_empty() {
            Ok(())
        } else {
            bail!("stop the cluster: {}", failures.join("; "))
        }
    }
}

fn identity(user: &str, groups: &[&str]) -> Identity {
    Identity::of_certificate(user, groups.iter().map(|group| (*group).to_owned()))
}

/// Adds the next step to why the server did not start.
fn start_hint(error: StartError) -> anyhow::Error {
    let hint = match &error {
        StartError::Listen { .. } => ": choose another address with --listen",
        _ => "",
    };
    anyhow!("{error}{hint}")
}

fn client(server: &Server, identity: Identity) -> Client {
    Client::over(server.local_service(identity))
}

async fn open_store(plan: &Plan, data: &DataDir) -> Result<Arc<dyn Store>> {
    match &plan.etcd {
        Some(config) => {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let shown = format!(
                "host {}, data directory {}, process {}",
                host.trim(),
                data.root().display(),
                std::process::id()
            );
            let server = Some(ServerIdentity { id: data.server_id()?, shown });
            Ok(Arc::new(EtcdStore::connect(EtcdConfig { server, ..config.clone() }).await?))
        }
        None => {
            let path = data.store();
            let folder = path.parent().context("the store has no folder")?;
            std::fs::create_dir_all(folder)
                .with_context(|| format!("create {}", folder.display()))?;
            Ok(Arc::new(EmbeddedStore::open(&path)?))
        }
    }
}

/// The router's socket: where asked, else port 80 of the API server's address, else 8080.
fn router_listener(plan: &Plan) -> Result<std::net::TcpListener> {
    let bind = |address: SocketAddr| -> Result<std::net::TcpListener> {
        leme_network::router::bind(&[address])?.pop().context("no socket")
    };
    let ip = plan.listen.ip();
    match plan.router_listen {
        Some(address) => bind(address).with_context(|| {
            format!("listen on {address} for Routes: choose another --router-listen")
        }),
        None => bind(SocketAddr::new(ip, 80))
            .or_else(|_| bind(SocketAddr::new(ip, 8080)))
            .context("ports 80 and 8080 are both taken: choose another with --router-listen"),
    }
}
