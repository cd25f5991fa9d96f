//! What every cluster has from its first moment: the system namespaces, and the Service by which pods reach the API.
//!
//! Knows: those objects. Refuses to know: how objects are written; they take the same path as everybody's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::Method;
use leme_meta::Status;
use leme_registry::Target;
use serde_json::{Value, json};

use crate::api::Api;
use crate::query::Query;
use crate::request::{RequestInfo, ResourceRequest, parse};
use crate::write::{Change, WriteOptions};

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// The Service of the API, and the objects behind it.
const NAME: &str = "kubernetes";

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

impl Api {
    /// Creates what is missing, and brings the API's own Service up to date.
    pub(crate) async fn bootstrap(&self, front: &Front) -> Result<(), Status> {
        for name in NAMESPACES {
            self.ensure(
                "/api/v1/namespaces",
                name,
                json!({
                    "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name },
                }),
            )
            .await?;
        }
        self.ensure("/api/v1/namespaces/default/services", NAME, service(front)).await?;
        let Some(address) = front.address else {
            tracing::warn!("the server listens on loopback only: pods cannot reach the API");
            return Ok(());
        };
        self.ensure("/api/v1/namespaces/default/endpoints", NAME, endpoints(address, front.port))
            .await?;
        let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
        self.ensure(slices, NAME, endpoint_slice(address, front.port)).await
    }

    /// Creates an object, or updates it where it says something else. A full disk must not keep down a server that people
    /// need to free it.
    async fn ensure(&self, collection: &str, name: &str, wanted: Value) -> Result<(), Status> {
        match self.make_so(collection, name, wanted).await {
            Err(status) if status.code == 507 => {
                tracing::warn!(collection, name, error = %status, "stays as it is for want of space");
                Ok(())
            }
            other => other,
        }
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
                    let revision = stored.revision;
                    leme_registry::update(
                        &context,
                        Target::Main,
                        new,
                        &stored.value,
                        revision,
                        reservation,
                    )
                    .map(Into::into)
                })
                .await?;
            if changed.is_some() {
                return Ok(());
            }
            match self.create_object(&create, wanted.clone(), &options).await {
                // Another server was faster: its object is looked at again.
                Err(status) if status.reason == "AlreadyExists" => {}
                done => return done.map(drop),
            }
        }
        Ok(())
    }
}

fn request(method: &Method, path: &str) -> Result<ResourceRequest, Status> {
    let uri = path.parse().map_err(Status::internal)?;
    match parse(method, &uri)? {
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
