//! The last word of a node that goes with all its containers: how each of them ended.
//!
//! Knows: that nobody will find their records again. Refuses to know: why they were stopped.

use std::collections::HashMap;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ContainerStatus as ApiStatus, Pod};
use leme_client::{Client, JSON, Resource};
use leme_cri::Runtime;
use leme_node_core::cri::{ContainerState, ContainerStatus};
use leme_node_core::pod::Ended;
use leme_node_core::status::{container_id, ended_state};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::worker;

/// Pods that are written side by side.
const AT_ONCE: usize = 16;

#[derive(Deserialize)]
struct Pods {
    items: Vec<Pod>,
}

/// Tells the API of the containers of a node's pods that have ended since anybody looked; what could not be told is named.
pub async fn tell(client: &Client, node: &str, runtime: &dyn Runtime) -> Vec<String> {
    let containers = match runtime.containers().await {
        Ok(containers) => containers,
        Err(error) => return vec![format!("list containers: {error}")],
    };
    let mut ended = HashMap::new();
    for mut container in containers.into_iter().filter(|one| one.state == ContainerState::Exited) {
        worker::add_message(&mut container).await;
        ended.insert(container_id(&container.id), container);
    }
    if ended.is_empty() {
        return Vec::new();
    }
    let pods = Resource::namespaced("v1", "Pod", "pods");
    let path = format!("{}?fieldSelector=spec.nodeName%3D{node}", pods.collection(""));
    let listed = client.call::<Value>(http::Method::GET, &path, JSON, None).await;
    let found = match listed.map(serde_json::from_value::<Pods>) {
        Ok(Ok(found)) => found.items,
        Ok(Err(error)) => return vec![format!("list pods: {error}")],
        Err(error) => return vec![format!("list pods: {error}")],
    };
    let patches = found.iter().filter_map(|pod| Some((pod, patch(pod, &ended)?)));
    let writes = patches.map(|(pod, patch)| {
        let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
        let path = pods.object(namespace.unwrap_or_default(), name.unwrap_or_default(), "status");
        async move {
            match client.merge(&path, &patch).await {
                Ok(_) => None,
                Err(error) if error.is_not_found() || error.is_conflict() => None,
                Err(error) => Some(format!("tell how {path} ended: {error}")),
            }
        }
    });
    let told: Vec<Option<String>> =
        futures::stream::iter(writes).buffer_unordered(AT_ONCE).collect().await;
    told.into_iter().flatten().collect()
}

/// What changes in a pod's status; `None` if nothing does.
fn patch(pod: &Pod, ended: &HashMap<String, ContainerStatus>) -> Option<Value> {
    let status = pod.status.as_ref()?;
    let lists = [
        ("initContainerStatuses", &status.init_container_statuses),
        ("containerStatuses", &status.container_statuses),
        ("ephemeralContainerStatuses", &status.ephemeral_container_statuses),
    ];
    let mut changed = json!({});
    for (field, list) in lists {
        let Some(list) = list else { continue };
        let told: Vec<ApiStatus> = list.iter().map(|one| now(one, ended)).collect();
        if told != *list {
            changed[field] = json!(told);
        }
    }
    let any = changed.as_object().is_some_and(|fields| !fields.is_empty());
    any.then(|| json!({ "metadata": { "uid": pod.metadata.uid }, "status": changed }))
}

/// A container as it is by now: where it ran last that anybody heard of, it may have ended.
fn now(known: &ApiStatus, ended: &HashMap<String, ContainerStatus>) -> ApiStatus {
    let ran = known.state.as_ref().is_some_and(|state| state.running.is_some());
    match known.container_id.as_ref().filter(|_| ran).and_then(|id| ended.get(id)) {
        Some(status) => ApiStatus {
            state: Some(ended_state(&Ended::from_status(status))),
            ready: false,
            started: Some(false),
            ..known.clone()
        },
        None => known.clone(),
    }
}
