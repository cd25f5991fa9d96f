//! Nodes by the API alone, for trying things at scale: they are ready, and what is bound to them counts as running at once,
//! though nothing of it runs.
//!
//! Knows: what a node and a pod say of themselves when all is well. Refuses to know: containers, networks.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use leme_client::{Client, Error, Event, Head, JSON, Resource, Scope, follow_as};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tracing::debug;

use crate::cluster::running::Running;

/// Most nodes that are simulated.
pub const MOST: u32 = 20_000;
/// Writes side by side.
const AT_ONCE: usize = 64;
/// How often each node says that it is alive: four times before it counts as lost.
const ALIVE: Duration = Duration::from_secs(10);
/// Under which name servers note what is written: that of the program that does this work elsewhere.
const COMPONENT: &str = "kubelet";
const LEASES: &str = "kube-node-lease";
const ZONES: u32 = 10;
/// The addresses of pods: 10.128.0.0/9, which no real node gives out.
const POD_ADDRESSES: (u32, u32) = (0x0a80_0000, 0x007f_ffff);

/// The name of a simulated node.
fn name(number: u32) -> String {
    format!("simulated-{number}")
}

/// The number that a simulated node of that name has.
fn number(name: &str) -> Option<u32> {
    name.strip_prefix("simulated-")?.parse().ok()
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A node that is ready.
fn node(number: u32) -> Value {
    let name = name(number);
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now(), "lastTransitionTime": now()})
    };
    let amounts =
        json!({"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "1Ti"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
            "node.kubernetes.io/instance-type": "simulated",
            "topology.kubernetes.io/zone": format!("zone-{}", number % ZONES),
        }},
        "status": {
            "capacity": amounts, "allocatable": amounts,
            "addresses": [{"type": "Hostname", "address": name}],
            "nodeInfo": {"architecture": "amd64", "bootID": name, "containerRuntimeVersion": "none://simulated",
                "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "simulated", "machineID": name,
                "operatingSystem": "linux", "osImage": "", "systemUUID": name},
            "conditions": [
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "nothing runs here"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "nothing runs here"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID", "nothing runs here"),
                condition("Ready", "True", "KubeletReady", "simulated: nothing runs here"),
            ],
        },
    })
}

/// What is read of a pod.
#[derive(Debug, Deserialize)]
struct Bound {
    #[serde(default)]
    metadata: Meta,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
struct Meta {
    generation: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    node_name: String,
    #[serde(default)]
    containers: Vec<Container>,
    #[serde(default)]
    init_containers: Vec<Container>,
    #[serde(default)]
    readiness_gates: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: String,
    #[serde(default)]
    image: String,
    restart_policy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: Option<Ipv4Addr>,
    #[serde(default)]
    conditions: Vec<Value>,
}

/// The status of a pod of which everything runs.
fn running(pod: &Bound, address: Ipv4Addr) -> Value {
    let now = now();
    let of = |container: &Container, state: Value, ready: bool| {
        json!({"name": container.name, "image": container.image, "imageID": "", "restartCount": 0,
            "containerID": "none://simulated", "ready": ready, "started": ready, "state": state})
    };
    let runs = json!({"running": {"startedAt": now}});
    let ended = json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}});
    let first = pod.spec.init_containers.iter().map(|one| match one.restart_policy {
        Some(_) => of(one, runs.clone(), true),
        None => of(one, ended.clone(), true),
    });
    let main = pod.spec.containers.iter().map(|one| of(one, runs.clone(), true));
    let ready = pod.spec.readiness_gates.is_empty();
    let mut conditions: BTreeMap<String, Value> = pod
        .status
        .conditions
        .iter()
        .map(|one| (one["type"].as_str().unwrap_or("").to_owned(), one.clone()))
        .collect();
    for (kind, holds) in [
        ("PodReadyToStartContainers", true),
        ("Initialized", true),
        ("ContainersReady", true),
        ("Ready", ready),
    ] {
        let status = if holds { "True" } else { "False" };
        let mut one = json!({"type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": now});
        if let Some(generation) = pod.metadata.generation {
            one["observedGeneration"] = generation.into();
        }
        conditions.insert(kind.to_owned(), one);
    }
    let conditions: Vec<Value> = conditions.into_values().collect();
    json!({
        "phase": "Running", "startTime": now, "hostIP": "192.0.2.1", "hostIPs": [{"ip": "192.0.2.1"}],
        "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions,
        "initContainerStatuses": first.collect::<Vec<_>>(), "containerStatuses": main.collect::<Vec<_>>(),
    })
}

/// Simulates as many nodes as are planned until the process ends. They stay then, and are not ready any more a while later.
pub async fn start(running: &mut Running) -> Result<()> {
    let count = running.plan.simulated_nodes;
    if count == 0 {
        return Ok(());
    }
    let client = running.access()?.client_as("leme:simulated-nodes", &[]);
    let client = client.named(COMPONENT);
    register(&client, count).await?;
    running.spawn("simulated nodes", |token| async move {
        tokio::select! {
            () = token.cancelled() => {}
            () = stay_alive(&client, count) => {}
            () = serve(&client, count) => {}
        }
        Ok(())
    });
    Ok(())
}

/// Registers the nodes, or shows that they are ready again.
async fn register(client: &Client, count: u32) -> Result<()> {
    let nodes = Resource::cluster("v1", "Node", "nodes");
    let each = |number: u32| {
        let (client, nodes) = (client.clone(), nodes.clone());
        async move {
            let node = node(number);
            let made = client.post(&nodes.collection(""), &node).await;
            match made {
                Err(error) if error.is_conflict() => {
                    let patch = json!({"status": node["status"]});
                    client.merge(&nodes.object("", &name(number), "status"), &patch).await.map(drop)
                }
                other => other.map(drop),
            }?;
            alive(&client, number).await
        }
    };
    let all = stream::iter(0..count).map(each).buffer_unordered(AT_ONCE);
    all.try_collect::<()>().await.context("register the simulated nodes")
}

/// Says that a node is alive.
async fn alive(client: &Client, number: u32) -> Result<(), Error> {
    let leases = Resource::namespaced("coordination.k8s.io/v1", "Lease", "leases");
    let name = name(number);
    let renewed = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let spec = json!({"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renewed});
    let path = leases.object(LEASES, &name, "");
    match client.merge(&path, &json!({"spec": spec})).await {
        Err(error) if error.is_not_found() => {
            let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": name, "namespace": LEASES}, "spec": spec});
            client.post(&leases.collection(LEASES), &lease).await.map(drop)
        }
        other => other.map(drop),
    }
}

/// Every node in its turn, so that they do not all write at once.
async fn stay_alive(client: &Client, count: u32) {
    let mut turns = tokio::time::interval(ALIVE / count.max(1));
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    for number in (0..count).cycle() {
        turns.tick().await;
        let (client, permits) = (client.clone(), permits.clone());
        tokio::spawn(async move {
            let Ok(_permit) = permits.acquire().await else { return };
            if let Err(error) = alive(&client, number).await {
                debug!(node = name(number), error = error.message(), "a lease was not renewed");
            }
        });
    }
}

/// Looks after the pods of the nodes.
async fn serve(client: &Client, count: u32) {
    let pods = Resource::namespaced("v1", "Pod", "pods");
    let mut events = follow_as::<Bound>(client.clone(), Scope::all(pods.clone()));
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let addresses = Arc::new(AtomicU32::new(1));
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        let changed = match event {
            // No address is given out before all that are in use are known.
            Ok(Event::Listed(head, pod)) => {
                if let Some(address) = pod.status.pod_ip {
                    let used = u32::from(address) & POD_ADDRESSES.1;
                    addresses.fetch_max(used.saturating_add(1), Ordering::Relaxed);
                }
                listed.push((head, pod));
                continue;
            }
            Ok(Event::Complete(_)) => std::mem::take(&mut listed),
            Ok(Event::Changed(head, pod)) => vec![(head, pod)],
            _ => continue,
        };
        let ours = |pod: &Bound| number(&pod.spec.node_name).is_some_and(|number| number < count);
        for (head, pod) in changed.into_iter().filter(|(_, pod)| ours(pod)) {
            let (client, pods) = (client.clone(), pods.clone());
            let (permits, addresses) = (permits.clone(), addresses.clone());
            tokio::spawn(async move {
                let Ok(_permit) = permits.acquire().await else { return };
                if let Err(error) = look_after(&client, &pods, &head, &pod, &addresses).await {
                    debug!(
                        pod = head.key.1,
                        error = error.message(),
                        "a simulated pod did not follow"
                    );
                }
            });
        }
    }
}

async fn look_after(
    client: &Client,
    pods: &Resource,
    head: &Head,
    pod: &Bound,
    addresses: &AtomicU32,
) -> Result<(), Error> {
    let (namespace, name) = &head.key;
    if head.deleting {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
            "preconditions": {"uid": head.uid}});
        let path = pods.object(namespace, name, "");
        return client
            .call::<Value>(http::Method::DELETE, &path, JSON, Some(&options))
            .await
            .map(drop);
    }
    if !matches!(pod.status.phase.as_str(), "" | "Pending") {
        return Ok(());
    }
    let next = addresses.fetch_add(1, Ordering::Relaxed) & POD_ADDRESSES.1;
    let status = running(pod, Ipv4Addr::from(POD_ADDRESSES.0 | next));
    let patch = json!({"metadata": {"uid": head.uid}, "status": status});
    client.merge(&pods.object(namespace, name, "status"), &patch).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_runs_as_far_as_its_gates_allow() {
        let check = |extra: Value, ready: &str| {
            let mut pod = json!({"metadata": {"generation": 2}, "spec": {"nodeName": "simulated-7",
                "containers": [{"name": "c", "image": "i"}],
                "initContainers": [{"name": "first"}, {"name": "side", "restartPolicy": "Always"}]},
                "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]}});
            for (field, value) in extra.as_object().unwrap() {
                pod["spec"][field] = value.clone();
            }
            let pod: Bound = serde_json::from_value(pod).unwrap();
            assert_eq!(number(&pod.spec.node_name), Some(7));
            let status = running(&pod, Ipv4Addr::new(10, 128, 0, 1));
            let conditions = status["conditions"].as_array().unwrap();
            let of =
                |kind: &str| conditions.iter().find(|one| one["type"] == kind).unwrap().clone();
            assert_eq!(
                (&of("Ready")["status"], &of("PodScheduled")["status"]),
                (&json!(ready), &json!("True"))
            );
            assert_eq!(of("Ready")["observedGeneration"], 2);
            let first = &status["initContainerStatuses"];
            assert!(
                first[0]["state"]["terminated"].is_object()
                    && first[1]["state"]["running"].is_object()
            );
            assert_eq!(status["podIP"], "10.128.0.1");
        };
        check(json!({}), "True");
        check(json!({"readinessGates": [{"conditionType": "x"}]}), "False");
    }

    #[test]
    fn nodes_are_known_by_their_names() {
        assert_eq!(
            (number("simulated-12"), number("leme-0"), number("simulated-x")),
            (Some(12), None, None)
        );
        assert_eq!(node(12)["metadata"]["labels"]["topology.kubernetes.io/zone"], "zone-2");
    }
}
