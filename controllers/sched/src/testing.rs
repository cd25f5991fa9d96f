//! Nodes and pods for the tests, each with what it says besides.

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::pod::PodInfo;
use crate::volumes::VolumeFacts;

/// Puts what `extra` says into `value`, field by field.
pub(crate) fn merge(value: &mut Value, extra: Value) {
    match extra {
        Value::Object(fields) if value.is_object() => {
            for (field, extra) in fields {
                merge(&mut value[field], extra);
            }
        }
        extra => *value = extra,
    }
}

/// A node with so much CPU, 4 GiB and room for 10 pods.
pub(crate) fn node(name: &str, cpu: &str, extra: Value) -> Node {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {}, "status": {"allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "10"}},
    });
    merge(&mut node, extra);
    serde_json::from_value(node).unwrap()
}

/// A pod that asks for one CPU.
pub(crate) fn pod(name: &str, extra: Value) -> Pod {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "n", "uid": name},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
    });
    merge(&mut pod, extra);
    serde_json::from_value(pod).unwrap()
}

/// The same as the scheduler sees it.
pub(crate) fn info(name: &str, extra: Value) -> PodInfo {
    PodInfo::read(&pod(name, extra))
}

/// A cluster of these nodes.
pub(crate) fn cluster(nodes: &[Node]) -> Cluster {
    let mut cluster = Cluster::default();
    for node in nodes {
        cluster.set_node(node.metadata.name.as_deref().unwrap(), Some(node));
    }
    cluster
}

/// Puts a pod on a node, in the place of one of that name.
pub(crate) fn place(cluster: &mut Cluster, name: &str, node: &str, extra: Value) {
    let mut extra = extra;
    merge(&mut extra, json!({"spec": {"nodeName": node}}));
    let key = ("n".to_owned(), name.to_owned());
    cluster.set_pod(&key, None);
    cluster.set_pod(&key, Some(&pod(name, extra)));
}

/// Decides on a pod: the node, or why there is none and nobody makes room.
pub(crate) fn check(cluster: &mut Cluster, pod: &Pod, expected: &str) {
    let (info, volumes) = (PodInfo::read(pod), VolumeFacts::default());
    let got = match cluster.schedule(&info, &volumes) {
        Ok(node) => node,
        Err(mut why) => {
            assert_eq!(cluster.preempt(&info, &volumes, &mut why, &[]), None);
            why.to_string()
        }
    };
    assert_eq!(got, expected);
}
