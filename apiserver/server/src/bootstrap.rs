//! What every cluster has from its first moment: the system namespaces, the classes of what is needed most, how requests
//! are sorted, the network of Services, and the Service by which pods reach the API.
//!
//! Knows: those objects. Refuses to know: how objects are written; they take the same path as everybody's.

mod access;
mod constraints;
mod flow;
mod network;
mod registry;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::FutureExt;
use http::Method;
use jiff::Timestamp;
use leme_access::bootstrap;
use leme_kinds::Kinds;
use leme_meta::Status;
use leme_registry::{Target, json};
use leme_store::cache::{SubEvent, Subscription};
use serde_json::{Value, json};

use crate::addresses;
use crate::answer::read_failed;
use crate::api::Api;
use crate::query::Query;
use crate::request::{RequestInfo, ResourceRequest, parse};
use crate::write::WriteOptions;

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// The classes of what a cluster needs most: name, priority, what for.
const CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];
/// The Service of the API, and the objects behind it.
const NAME: &str = "kubernetes";

/// How long to wait after something could not be made again.
const AGAIN: Duration = Duration::from_secs(10);
/// Changes taken from the cache at a time.
const BATCH: usize = 64;

/// Where the API is reached from pods.
pub(crate) struct KubernetesService {
    /// Network that cluster addresses of Services come from.
    pub network: (Ipv4Addr, u8),
    /// Cluster address of the Service.
    pub cluster_ip: Ipv4Addr,
    /// Address of the server itself; `None` if it only listens on loopback, where no pod reaches it.
    pub address: Option<IpAddr>,
    pub port: u16,
}

impl KubernetesService {
    /// Address and port as discovery tells them, also of a server that no pod reaches.
    pub fn advertised(&self, listened: &[SocketAddr]) -> String {
        let known = self.address.map(|address| SocketAddr::new(address, self.port));
        known.or(listened.first().copied()).map(|address| address.to_string()).unwrap_or_default()
    }
}

/// An object that every cluster has.
struct Wanted {
    collection: Cow<'static, str>,
    name: Cow<'static, str>,
    /// What it shall say.
    object: Value,
    /// The condition that its status shall have.
    condition: Option<Value>,
    keep: Keep,
}

/// What becomes of changes to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// They are taken back.
    Always,
    /// They are taken back unless it says that it goes its own way.
    WhileItFollows,
    /// They stay.
    Existence,
    /// They stay while the server runs; at its next start the object gets what rights are missing.
    Rights,
}

/// An object that is always as it shall be.
fn always(collection: &'static str, name: impl Into<Cow<'static, str>>, object: Value) -> Wanted {
    let collection = collection.into();
    Wanted { collection, name: name.into(), object, condition: None, keep: Keep::Always }
}

/// What is kept as long as the server runs.
fn wanted(own: &KubernetesService) -> Vec<Wanted> {
    let namespace =
        |name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    let spaces = NAMESPACES.iter().map(|name| always("/api/v1/namespaces", *name, namespace(name)));
    let mut all: Vec<Wanted> = spaces.collect();
    all.extend(CLASSES.iter().map(|(name, value, description)| {
        let class = priority_class(name, *value, description);
        always("/apis/scheduling.k8s.io/v1/priorityclasses", *name, class)
    }));
    all.extend(flow::wanted());
    all.extend(constraints::wanted());
    all.push(network::ingress_class());
    all.push(network::service_cidr(own.network));
    let cluster_ip = own.cluster_ip.into();
    let address = addresses::object(cluster_ip, "default", NAME);
    all.push(always(addresses::COLLECTION, cluster_ip.to_string(), address));
    all.push(always("/api/v1/namespaces/default/services", NAME, service(own)));
    if let Some(address) = own.address {
        let points = endpoints(address, own.port);
        all.push(always("/api/v1/namespaces/default/endpoints", NAME, points));
        let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
        all.push(always(slices, NAME, endpoint_slice(address, own.port)));
    }
    all
}

impl Api {
    /// What is kept, with what this server has besides.
    fn all_wanted(&self, own: &KubernetesService) -> Vec<Wanted> {
        let mut all = wanted(own);
        all.extend(self.registry.iter().flat_map(registry::wanted));
        all
    }

    /// Creates what is missing, and brings the API's own Service up to date. A full disk must not keep down a server that
    /// people need to free it.
    pub(crate) async fn bootstrap(&self, own: &KubernetesService) -> Result<(), Status> {
        if own.address.is_none() {
            tracing::warn!("the server listens on loopback only: pods cannot reach the API");
        }
        // First what others are in; the rest is synced to disk together.
        let all = self.all_wanted(own).into_iter().chain(access::wanted());
        let (within, first): (Vec<Wanted>, _) =
            all.partition(|one| one.collection.contains("/namespaces/"));
        let mut full = None;
        for some in [first, within] {
            let made = some.into_iter().map(|one| self.make_so_if_there_is_space(one));
            match futures::future::try_join_all(made).await {
                Ok(refused) => full = full.or(refused.into_iter().flatten().next()),
                // What it is in could not be made.
                Err(status) => return Err(full.filter(|_| status.code == 404).unwrap_or(status)),
            }
        }
        self.say_where_streams_are().await?;
        self.keep_clients().await
    }

    /// Makes it so; where there is no space for that, the refusal.
    async fn make_so_if_there_is_space(&self, wanted: Wanted) -> Result<Option<Status>, Status> {
        match self.make_so(&wanted).await {
            Err(status) if status.code == 507 => {
                let Wanted { collection, name, .. } = wanted;
                tracing::warn!(%collection, %name, error = %status, "stays as it is for want of space");
                Ok(Some(status))
            }
            other => other.map(|()| None),
        }
    }

    /// Makes again what somebody has deleted or changed, until the server stops.
    pub(crate) async fn keep_up(&self, own: &KubernetesService) {
        let stopping = self.lifetime.stop_token();
        let kept = async {
            loop {
                if let Err(error) = self.keep_once(own).await {
                    tracing::warn!(%error, "cannot make again what every cluster has; trying again later");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        stopping.run_until_cancelled(kept).await;
    }

    /// Makes everything so, then waits until something of it changes.
    async fn keep_once(&self, own: &KubernetesService) -> Result<(), Status> {
        let wanted = self.all_wanted(own);
        let mut keys = Vec::with_capacity(wanted.len());
        for Wanted { collection, name, .. } in &wanted {
            keys.push(request(&Method::GET, &format!("{collection}/{name}"))?);
        }
        let mut prefixes: Vec<String> = keys.iter().map(|key| key.kind.prefix(None)).collect();
        prefixes.dedup();
        let keys: Vec<String> = keys.iter().map(ResourceRequest::key).collect();
        // What changes while everything is made so is seen afterwards.
        let from = self.cache.revision();
        let watched = prefixes.iter().map(|prefix| self.cache.watch(prefix, from));
        let watched: Result<Vec<Subscription>, _> = watched.collect();
        let mut watched = watched.map_err(read_failed)?;
        for one in &wanted {
            self.make_so(one).await?;
        }
        let changes = watched.iter_mut().map(|changes| changed(changes, &keys).boxed());
        futures::future::select_all(changes).await;
        Ok(())
    }

    async fn make_so(&self, wanted: &Wanted) -> Result<(), Status> {
        let Wanted { collection, name, object, condition, keep } = wanted;
        let path = format!("{collection}/{name}");
        let options = WriteOptions::plain();
        let create = request(&Method::POST, collection)?;
        let keep = *keep;
        for _ in 0..2 {
            let new = |stored: &Value| match keep {
                Keep::Rights => bootstrap::reconciled(stored, object),
                keep if keeps(keep, stored) => merged(stored, object),
                _ => None,
            };
            if self.bring(&path, Target::Main, new).await? {
                break;
            }
            match self.create_object(&create, options.writer(), object.clone(), &options).await {
                // Another server was faster: its object is looked at again.
                Err(status) if status.reason == "AlreadyExists" => {}
                done => {
                    done?;
                    break;
                }
            }
        }
        let Some(condition) = condition else { return Ok(()) };
        let path = format!("{path}/status");
        self.bring(&path, Target::Status, |stored| with_condition(stored, condition)).await?;
        Ok(())
    }

    /// Changes what is stored at a path to what is made of it, if anything is. Tells whether there is something.
    async fn bring(
        &self,
        path: &str,
        target: Target,
        new: impl Fn(&Value) -> Option<Value> + Sync,
    ) -> Result<bool, Status> {
        let update = request(&Method::PUT, path)?;
        self.make_of(&update, target, |stored| Ok(new(stored))).await
    }
}

/// Resolves when one of the objects changes, or when changes were lost.
async fn changed(changes: &mut Subscription, keys: &[String]) {
    loop {
        let batch = changes.next_batch(BATCH).await;
        let ours = |item: &SubEvent| match item {
            SubEvent::Event(event) => keys.iter().any(|key| **key == *event.object.key),
            SubEvent::Progress(_) => false,
            SubEvent::Expired => true,
        };
        if batch.is_empty() || batch.iter().any(ours) {
            return;
        }
    }
}

fn request(method: &Method, path: &str) -> Result<ResourceRequest, Status> {
    let uri = path.parse().map_err(Status::internal)?;
    match parse(method, &uri, Kinds::builtin())? {
        RequestInfo::Resource(mut request) => {
            request.query = Query::default();
            Ok(*request)
        }
        RequestInfo::Other { .. } => Err(Status::no_such_path()),
    }
}

/// The stored object with what is wanted of it, `None` if it says that already. Lists are replaced, fields that nobody
/// asked for stay.
fn merged(stored: &Value, wanted: &Value) -> Option<Value> {
    let new = leme_meta::patch::merge(stored, wanted);
    (new != *stored).then_some(new)
}

/// Whether a stored object is to say what is wanted of it.
fn keeps(keep: Keep, stored: &Value) -> bool {
    match keep {
        Keep::Always => true,
        Keep::WhileItFollows => {
            json::text(stored, &["metadata", "annotations", flow::FOLLOWS]) != "false"
        }
        Keep::Existence | Keep::Rights => false,
    }
}

/// The stored object with a condition in its status, `None` if it has it already.
fn with_condition(stored: &Value, wanted: &Value) -> Option<Value> {
    let conditions = json::list(stored, &["status", "conditions"]);
    let same = |field: &str, one: &Value| one[field] == wanted[field];
    let said = |one: &Value| ["type", "status", "message"].iter().all(|field| same(field, one));
    if conditions.iter().any(said) {
        return None;
    }
    let mut condition = wanted.clone();
    condition["lastTransitionTime"] = leme_meta::time::seconds(Timestamp::now()).into();
    let mut all: Vec<Value> = conditions.iter().filter(|one| !same("type", one)).cloned().collect();
    all.push(condition);
    let mut new = stored.clone();
    new["status"]["conditions"] = all.into();
    Some(new)
}

fn priority_class(name: &str, value: i64, description: &str) -> Value {
    json!({
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": { "name": name },
        "value": value,
        "description": description,
        "preemptionPolicy": "PreemptLowerPriority",
    })
}

fn service(own: &KubernetesService) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": NAME,
            "namespace": "default",
            "labels": { "component": "apiserver", "provider": "kubernetes" },
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": own.cluster_ip.to_string(),
            "clusterIPs": [own.cluster_ip.to_string()],
            "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": own.port }],
        },
    })
}

fn endpoints(address: IpAddr, port: u16) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": NAME,
            "namespace": "default",
            "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" },
        },
        "subsets": [{
            "addresses": [{ "ip": address.to_string() }],
            "ports": [{ "name": "https", "port": port, "protocol": "TCP" }],
        }],
    })
}

fn endpoint_slice(address: IpAddr, port: u16) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": NAME,
            "namespace": "default",
            "labels": { "kubernetes.io/service-name": NAME },
        },
        "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{ "addresses": [address.to_string()], "conditions": { "ready": true } }],
        "ports": [{ "name": "https", "port": port, "protocol": "TCP" }],
    })
}
