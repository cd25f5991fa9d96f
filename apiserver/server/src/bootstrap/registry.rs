//! What a cluster has that has a registry of images: the Service by which it is reached, and streams that say where they are.

use leme_meta::Status;
use leme_registry::{Target, json};
use serde_json::{Value, json};

use super::{Wanted, always};
use crate::api::Api;
use crate::config::ImageRegistry;

const NAMESPACE: &str = "openshift-image-registry";
const NAME: &str = "image-registry";
const STREAMS: &str = "/apis/image.openshift.io/v1";

/// The Service, and who is behind it.
pub(super) fn wanted(registry: &ImageRegistry) -> Vec<Wanted> {
    let (address, port) = (registry.address.ip(), registry.address.port());
    let metadata = json!({ "name": NAME, "namespace": NAMESPACE });
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": { "ports": [{ "name": "5000-tcp", "port": 5000, "protocol": "TCP", "targetPort": port }] },
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "name": NAME, "namespace": NAMESPACE, "labels": { "kubernetes.io/service-name": NAME } },
        "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{ "addresses": [address.to_string()], "conditions": { "ready": true } }],
        "ports": [{ "name": "5000-tcp", "port": port, "protocol": "TCP" }],
    });
    vec![
        always("/api/v1/namespaces", NAMESPACE, namespace),
        always("/api/v1/namespaces/openshift-image-registry/services", NAME, service),
        always(
            "/apis/discovery.k8s.io/v1/namespaces/openshift-image-registry/endpointslices",
            NAME,
            slice,
        ),
    ]
}

impl Api {
    /// Has streams say where they are that were written when there was another registry, or none.
    pub(crate) async fn say_where_streams_are(&self) -> Result<(), Status> {
        let request = super::request(&http::Method::GET, &format!("{STREAMS}/imagestreams"))?;
        let prefix = request.kind.prefix(None);
        let Some(snapshot) = self.cache.snapshot(&prefix) else { return Ok(()) };
        for object in snapshot.range(&prefix, "") {
            let stream = crate::table::decoded(object)?;
            let text = |path: &[&str]| json::text(&stream, path).to_owned();
            let (namespace, name) = (text(&["metadata", "namespace"]), text(&["metadata", "name"]));
            let said = text(&["status", "dockerImageRepository"]);
            let own = self.registry.as_ref().map(|one| format!("{}/{namespace}/{name}", one.host));
            let wanted = own.unwrap_or_else(|| text(&["spec", "dockerImageRepository"]));
            if said == wanted {
                continue;
            }
            let path = format!("{STREAMS}/namespaces/{namespace}/imagestreams/{name}");
            // The strategy says where: it is a write of nothing else.
            self.bring(&path, Target::Main, |stored: &Value| Some(stored.clone())).await?;
        }
        Ok(())
    }
}
