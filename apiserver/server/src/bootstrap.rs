//! What every cluster has from its first moment: the system namespaces, the classes of what is needed most, and the
//! Service by which pods reach the API.
//!
//! Knows: those objects. Refuses to know: how objects are written; they take the same path as everybody's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::FutureExt;
use http::Method;
use leme_kinds::Kinds;
use leme_meta::Status;
use leme_registry::Target;
use leme_store::cache::{SubEvent, Subscription};
use serde_json::{Value, json};

use crate::answer::read_failed;
use crate::api::Api;
use crate::query::Query;
use crate::request::{RequestInfo, ResourceRequest, parse};
use crate::write::{Change, WriteOptions};

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
pub(crate) struct Front {
    /// Cluster address of the Service.
    pub cluster_ip: Ipv4Addr,
    /// Address of the server itself; `None` if it only listens on loopback, where no pod reaches it.
    pub address: Option<IpAddr>,
    pub port: u16,
}

impl Front {
    /// Address and port as discovery tells them, also of a server that no pod reaches.
    pub fn told(&self, listened: &[SocketAddr]) -> String {
        let known = self.address.map(|address| SocketAddr::new(address, self.port));
        known.or(listened.first().copied()).map(|address| address.to_string()).unwrap_or_default()
    }
}

/// An object that every cluster has: its collection, its name, and what it shall say.
type Wanted = (&'static str, &'static str, Value);

/// Everything that every cluster has.
fn wanted(front: &Front) -> Vec<Wanted> {
    let namespace =
        |name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    let spaces = NAMESPACES.iter().map(|name| ("/api/v1/namespaces", *name, namespace(name)));
    let mut all: Vec<Wanted> = spaces.collect();
    all.extend(CLASSES.iter().map(|(name, value, description)| {
        let class = priority_class(name, *value, description);
        ("/apis/scheduling.k8s.io/v1/priorityclasses", *name, class)
    }));
    all.push(("/api/v1/namespaces/default/services", NAME, service(front)));
    if let Some(address) = front.address {
        let points = endpoints(address, front.port);
        all.push(("/api/v1/namespaces/default/endpoints", NAME, points));
        let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
        all.push((slices, NAME, endpoint_slice(address, front.port)));
    }
    all
}

impl Api {
    /// Creates what is missing, and brings the API's own Service up to date. A full disk must not keep down a server that
    /// people need to free it.
    pub(crate) async fn bootstrap(&self, front: &Front) -> Result<(), Status> {
        if front.address.is_none() {
            tracing::warn!("the server listens on loopback only: pods cannot reach the API");
        }
        // First what others are in; the rest is synced to disk together.
        let (within, first): (Vec<Wanted>, _) = wanted(front)
            .into_iter()
            .partition(|(collection, ..)| collection.contains("/namespaces/"));
        for some in [first, within] {
            let made = some.into_iter().map(|one| self.make_so_if_there_is_space(one));
            futures::future::try_join_all(made).await?;
        }
        Ok(())
    }

    async fn make_so_if_there_is_space(&self, wanted: Wanted) -> Result<(), Status> {
        let (collection, name, wanted) = wanted;
        match self.make_so(collection, name, wanted).await {
            Err(status) if status.code == 507 => {
                tracing::warn!(collection, name, error = %status, "stays as it is for want of space");
                Ok(())
            }
            other => other,
        }
    }

    /// Makes again what somebody has deleted or changed, until the server stops.
    pub(crate) async fn keep_up(&self, front: &Front) {
        let stopping = self.lifetime.stop_token();
        let kept = async {
            loop {
                if let Err(error) = self.keep_once(front).await {
                    tracing::warn!(%error, "cannot make again what every cluster has; trying again later");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        stopping.run_until_cancelled(kept).await;
    }

    /// Makes everything so, then waits until something of it changes.
    async fn keep_once(&self, front: &Front) -> Result<(), Status> {
        let wanted = wanted(front);
        let mut keys = Vec::with_capacity(wanted.len());
        for (collection, name, _) in &wanted {
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
        for (collection, name, wanted) in wanted {
            self.make_so(collection, name, wanted).await?;
        }
        let changes = watched.iter_mut().map(|changes| changed(changes, &keys).boxed());
        futures::future::select_all(changes).await;
        Ok(())
    }

    async fn make_so(&self, collection: &str, name: &str, wanted: Value) -> Result<(), Status> {
        let options = WriteOptions::plain();
        let create = request(&Method::POST, collection)?;
        let update = request(&Method::PUT, &format!("{collection}/{name}"))?;
        for _ in 0..2 {
            let context = self.context(&update, &options);
            let changed = self
                .change(&update, false, |stored, reservation| {
                    let Some(new) = merged(&stored.value, &wanted) else {
                        return Ok(Change::Unchanged);
                    };
                    leme_registry::update(
                        &context,
                        Target::Main,
                        options.writer(),
                        new,
                        (&stored.value, stored.revision),
                        reservation,
                    )
                    .map(Into::into)
                })
                .await?;
            if changed.is_some() {
                return Ok(());
            }
            match self.create_object(&create, options.writer(), wanted.clone(), &options).await {
                // Another server was faster: its object is looked at again.
                Err(status) if status.reason == "AlreadyExists" => {}
                done => return done.map(drop),
            }
        }
        Ok(())
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

fn service(front: &Front) -> Value {
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
            "clusterIP": front.cluster_ip.to_string(),
            "clusterIPs": [front.cluster_ip.to_string()],
            "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": front.port }],
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
