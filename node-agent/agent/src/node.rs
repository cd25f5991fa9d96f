//! The Node object and its lease.
//!
//! Knows: what the machine can give, how healthy it is, when to tell the API. Refuses to know: pods.

mod lease;
pub mod machine;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints,
    NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use leme_client::{Client, Error, JSON, MERGE_PATCH, Resource, STRATEGIC_PATCH};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use crate::AgentConfig;
use crate::agent::{after, now};
use crate::directories;
use crate::event::Event;
use crate::recorder::Recorder;

use machine::{condition, conditions, disk, meminfo, read};

/// How often the lease is renewed.
const RENEW: Duration = Duration::from_secs(10);
/// How often the node is looked at; its status is written when something changed or it is old.
const LOOK: Duration = Duration::from_secs(10);
const WRITE: SignedDuration = SignedDuration::from_secs(300);
/// Conditions that this agent writes.
const OWN: &[&str] = &["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"];

/// Keeps the Node and its lease.
pub struct NodeKeeper {
    port: u16,
    capacity: BTreeMap<String, Quantity>,
    memory: i64,
    registered: bool,
    busy: bool,
    look_at: Timestamp,
    lease_busy: bool,
    lease_at: Timestamp,
    /// When the status was written last.
    written: Arc<Mutex<Option<Timestamp>>>,
    lease: Arc<Mutex<Option<Lease>>>,
}

impl NodeKeeper {
    /// A keeper that has not told the API anything.
    pub fn new(config: &AgentConfig, port: u16) -> Self {
        let memory = meminfo("MemTotal");
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (disk, _) = disk(&config.data_dir);
        let capacity = [
            ("cpu", cpus.to_string()),
            ("memory", format!("{}Ki", memory / 1024)),
            ("ephemeral-storage", format!("{}Ki", disk / 1024)),
            ("pods", config.max_pods.to_string()),
            ("hugepages-1Gi", "0".to_owned()),
            ("hugepages-2Mi", "0".to_owned()),
        ];
        Self {
            port,
            capacity: capacity.into_iter().map(|(k, v)| (k.to_owned(), Quantity(v))).collect(),
            memory,
            registered: false,
            busy: false,
            look_at: Timestamp::UNIX_EPOCH,
            lease_busy: false,
            lease_at: Timestamp::UNIX_EPOCH,
            written: Arc::default(),
            lease: Arc::default(),
        }
    }

    /// What the node can give.
    pub fn capacity(&self) -> &BTreeMap<String, Quantity> {
        &self.capacity
    }

    /// Whether the API has had the Node from this agent.
    pub fn is_registered(&self) -> bool {
        self.registered
    }

    /// Bytes of memory.
    pub fn memory(&self) -> i64 {
        self.memory
    }

    /// When something is due.
    pub fn next(&self) -> Timestamp {
        self.look_at.min(self.lease_at)
    }

    /// Starts what is due.
    pub fn tend(&mut self, config: &AgentConfig, to: &UnboundedSender<Event>, now: Timestamp) {
        if self.look_at <= now {
            self.look_at = after(LOOK);
            if !std::mem::replace(&mut self.busy, true) {
                let node = self.template(config);
                let (config, written, to) = (config.clone(), self.written.clone(), to.clone());
                tokio::spawn(async move {
                    let call = tell(&config, node, written);
                    let result = tokio::time::timeout(Duration::from_secs(30), call).await;
                    let result = result.unwrap_or_else(|_| Err("timed out".to_owned()));
                    let _ = to.send(Event::Node(result));
                });
            }
        }
        if self.lease_at <= now {
            self.lease_at = after(RENEW);
            if !std::mem::replace(&mut self.lease_busy, true) {
                let (client, name) = (config.client.clone(), config.node_name.clone());
                let (told, to) = (self.lease.clone(), to.clone());
                tokio::spawn(async move {
                    let call = lease::renew(client, &name, told);
                    let result = tokio::time::timeout(RENEW, call).await;
                    let result = result.unwrap_or_else(|_| Err("timed out".to_owned()));
                    let _ = to.send(Event::Lease(result));
                });
            }
        }
    }

    /// The node was told, or not.
    pub fn answered(
        &mut self,
        result: Result<(), String>,
        recorder: &Recorder,
        config: &AgentConfig,
    ) {
        self.busy = false;
        match result {
            Ok(()) if !self.registered => {
                self.registered = true;
                let node = self.template(config);
                recorder.node(&node, "Starting", "Starting kubelet.".to_owned());
                let text = format!("Node {} status is now: NodeReady", config.node_name);
                recorder.node(&node, "NodeReady", text);
                tracing::info!(node = %config.node_name, "node is ready");
            }
            Ok(()) => {}
            Err(error) => {
                tracing::debug!(%error, "node status not written, trying again");
                self.look_at =
                    after(Duration::from_millis(if self.registered { 1000 } else { 100 }));
            }
        }
    }

    /// The lease was renewed, or not.
    pub fn lease_answered(&mut self, result: Result<(), String>) {
        self.lease_busy = false;
        if let Err(error) = result {
            tracing::debug!(%error, "node lease not renewed, trying again");
            self.lease_at = after(Duration::from_secs(1));
        }
    }

    /// The Node without what has to be asked for.
    fn template(&self, config: &AgentConfig) -> Node {
        let arch = architecture();
        let mut labels: BTreeMap<String, String> = [
            ("kubernetes.io/hostname", config.node_name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", arch),
            ("beta.kubernetes.io/os", "linux"),
            ("beta.kubernetes.io/arch", arch),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
        labels.insert(leme_meta::local_path::ROOM.to_owned(), "true".to_owned());
        labels.extend(config.labels.clone());
        let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
        let release = read("/etc/os-release");
        let os = release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
        let cidr = Some(config.pod_cidr.clone()).filter(|c| !c.is_empty());
        Node {
            metadata: ObjectMeta {
                name: Some(config.node_name.clone()),
                labels: Some(labels),
                annotations: Some(annotations(config)),
                ..ObjectMeta::default()
            },
            spec: Some(NodeSpec {
                pod_cidrs: cidr.clone().map(|c| vec![c]),
                pod_cidr: cidr,
                ..NodeSpec::default()
            }),
            status: Some(NodeStatus {
                addresses: Some(vec![
                    address("InternalIP", config.node_ip.to_string()),
                    address("Hostname", config.node_name.clone()),
                ]),
                capacity: Some(self.capacity.clone()),
                allocatable: Some(self.capacity.clone()),
                conditions: Some(conditions(&config.data_dir)),
                daemon_endpoints: Some(NodeDaemonEndpoints {
                    kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(self.port) }),
                }),
                node_info: Some(NodeSystemInfo {
                    architecture: arch.to_owned(),
                    boot_id: read("/proc/sys/kernel/random/boot_id"),
                    container_runtime_version: String::new(),
                    kernel_version: read("/proc/sys/kernel/osrelease"),
                    kube_proxy_version: String::new(),
                    kubelet_version: leme_meta::version::KUBERNETES.to_owned(),
                    machine_id: read("/etc/machine-id"),
                    operating_system: "linux".to_owned(),
                    os_image: os.unwrap_or("Linux").trim_matches('"').to_owned(),
                    system_uuid: read("/etc/machine-id"),
                    swap: None,
                }),
                ..NodeStatus::default()
            }),
        }
    }
}

/// The machine's architecture in Go's words.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What the Node says of itself beside its labels: where its volumes are, and that others are attached by the controller.
fn annotations(config: &AgentConfig) -> BTreeMap<String, String> {
    let root = directories::volumes(&config.data_dir).display().to_string();
    let managed = "volumes.kubernetes.io/controller-managed-attach-detach";
    BTreeMap::from([
        (leme_meta::local_path::ROOT.to_owned(), root),
        (managed.to_owned(), "true".to_owned()),
    ])
}

/// Now, without a fraction.
fn second() -> Time {
    let now = Timestamp::now();
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// Where Nodes are in the API.
fn nodes() -> Resource {
    Resource::cluster("v1", "Node", "nodes")
}

/// Writes an object; gives it as the API has it now.
async fn write<T: DeserializeOwned>(
    client: &Client,
    method: Method,
    path: &str,
    media_type: &str,
    object: &impl Serialize,
) -> Result<T, Error> {
    let body = serde_json::to_value(object).map_err(|error| Error::transport(&error))?;
    client.call(method, path, media_type, Some(&body)).await
}

/// Registers the node, or writes its status if that changed or is old.
async fn tell(
    config: &AgentConfig,
    mut node: Node,
    written: Arc<Mutex<Option<Timestamp>>>,
) -> Result<(), String> {
    let client = &config.client;
    complete(config, &mut node).await?;
    let mut written = written.lock().await;
    let Some(mut status) = node.status.clone() else { return Ok(()) };
    let text = |error: Error| error.to_string();
    let found = match *written {
        Some(_) => client.find(&nodes().object("", &config.node_name, "")).await.map_err(text)?,
        None => None,
    };
    let known = match found {
        Some(known) => known,
        None => register(client, config, &node).await.map_err(text)?,
    };
    date(&mut status, &known);
    // The API is asked each time: others write conditions too, as when the lease was late for a while.
    let fresh = written.is_some_and(|at| now().duration_since(at) < WRITE);
    if fresh && known.status.as_ref().is_some_and(|known| same(known, &status)) {
        return Ok(());
    }
    let patch = serde_json::json!({"status": status});
    let path = nodes().object("", &config.node_name, "status");
    let done = write::<Node>(client, Method::PATCH, &path, STRATEGIC_PATCH, &patch).await;
    done.map_err(text)?;
    *written = Some(now());
    Ok(())
}

/// Whether the API has this status already, but for the time of the heartbeat.
fn same(known: &NodeStatus, status: &NodeStatus) -> bool {
    let conditions = |status: &NodeStatus| -> Vec<NodeCondition> {
        let mut list: Vec<NodeCondition> = status.conditions.clone().unwrap_or_default();
        list.retain(|c| OWN.contains(&c.type_.as_str()));
        list.sort_by(|a, b| a.type_.cmp(&b.type_));
        for condition in &mut list {
            condition.last_heartbeat_time = None;
        }
        list
    };
    conditions(known) == conditions(status)
        && known.addresses == status.addresses
        && known.capacity == status.capacity
        && known.allocatable == status.allocatable
        && known.daemon_endpoints == status.daemon_endpoints
        && known.node_info == status.node_info
        && known.images.as_deref().unwrap_or_default()
            == status.images.as_deref().unwrap_or_default()
}

/// Creates the Node, ready from the start; one that exists gets this node's labels.
async fn register(client: &Client, config: &AgentConfig, node: &Node) -> Result<Node, Error> {
    let mut fresh = node.clone();
    if let Some(status) = &mut fresh.status {
        date(status, &Node::default());
    }
    match write(client, Method::POST, &nodes().collection(""), JSON, &fresh).await {
        Ok(created) => Ok(created),
        Err(error) if error.is_conflict() => {
            let ObjectMeta { labels, annotations, .. } = &node.metadata;
            let patch =
                serde_json::json!({"metadata": {"labels": labels, "annotations": annotations}});
            let path = nodes().object("", &config.node_name, "");
            write(client, Method::PATCH, &path, MERGE_PATCH, &patch).await
        }
        Err(error) => Err(error),
    }
}

/// Adds what the runtime knows.
async fn complete(config: &AgentConfig, node: &mut Node) -> Result<(), String> {
    let limit = Duration::from_secs(5);
    let version = crate::worker::within("version", limit, config.runtime.version()).await;
    let images = crate::worker::within("list images", limit, config.runtime.images()).await;
    let Some(status) = &mut node.status else { return Ok(()) };
    match version {
        Ok((name, version)) => {
            if let Some(info) = &mut status.node_info {
                info.container_runtime_version = format!("{name}://{version}");
            }
        }
        Err(error) => {
            let ready = status.conditions.iter_mut().flatten().find(|c| c.type_ == "Ready");
            if let Some(ready) = ready {
                let text = format!("container runtime is down: {error}");
                *ready = condition("Ready", false, "KubeletNotReady", text);
            }
        }
    }
    let mut images: Vec<_> = images.unwrap_or_default();
    images.sort_by(|a, b| (b.size, &a.id).cmp(&(a.size, &b.id)));
    images.truncate(50);
    let images = images.into_iter().map(|image| ContainerImage {
        names: Some(image.digests.into_iter().chain(image.tags).collect()),
        size_bytes: i64::try_from(image.size).ok(),
    });
    status.images = Some(images.collect());
    Ok(())
}

/// Dates the conditions: a transition only where the API says something else.
fn date(status: &mut NodeStatus, known: &Node) {
    let now = second();
    let before = known.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    for condition in status.conditions.iter_mut().flatten() {
        let same =
            before.iter().find(|c| c.type_ == condition.type_ && c.status == condition.status);
        let since = same.and_then(|c| c.last_transition_time.clone());
        condition.last_transition_time = Some(since.unwrap_or_else(|| now.clone()));
        condition.last_heartbeat_time = Some(now.clone());
    }
}
