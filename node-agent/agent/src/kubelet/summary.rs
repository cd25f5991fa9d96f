//! `/stats/summary`: what the node, its pods and their containers use, as one document.
//!
//! Knows: upstream's names of the figures. Refuses to know: how they are had. Beside upstream's figures each rate says over
//! which time it is the average, which who reads rates has to know.

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use leme_node_core::cri::Usage;
use serde_json::{Value, json};

use super::{Context, Pairs};
use crate::node::machine::{self, Disk};
use crate::stats::{PodUsed, Seen, Used};

pub async fn answer(State(context): State<Context>, Query(query): Query<Pairs>) -> Response {
    let only = query.iter().any(|(name, value)| name == "only_cpu_and_memory" && value == "true");
    match context.stats.seen().await {
        Ok(seen) => {
            let document = document(&seen, only, machine::tasks());
            ([(header::CONTENT_TYPE, "application/json")], document.to_string()).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn document(seen: &Seen, only: bool, (running, most): (Option<u64>, Option<u64>)) -> Value {
    let mut node = json!({ "nodeName": seen.node_name, "startTime": time(seen.node.started_at) });
    add(&mut node, &seen.node);
    if let Some(memory) = &seen.node.usage.memory {
        let total = u64::try_from(machine::meminfo("MemTotal")).unwrap_or(0);
        node["memory"]["availableBytes"] = total.saturating_sub(memory.working_set).into();
    }
    if !only {
        let at = time(seen.node.usage.at);
        node["rlimit"] = json!({ "time": at, "maxpid": most, "curproc": running });
        node["fs"] = disk(&at, &seen.disk);
    }
    let pods: Vec<Value> = seen.pods.iter().map(pod).collect();
    json!({ "node": node, "pods": pods })
}

fn pod(used: &PodUsed) -> Value {
    let containers: Vec<Value> = used.containers.iter().map(container).collect();
    let mut pod = json!({
        "podRef": { "name": used.pod.name, "namespace": used.pod.namespace, "uid": used.pod.uid },
        "startTime": time(used.all.started_at),
        "containers": containers,
    });
    add(&mut pod, &used.all);
    pod
}

fn container(used: &Used) -> Value {
    let mut container = json!({ "name": used.name, "startTime": time(used.started_at) });
    add(&mut container, used);
    container
}

fn add(to: &mut Value, used: &Used) {
    let Usage { at, cpu_nanos, memory } = used.usage;
    if let Some(total) = cpu_nanos {
        let mut cpu = json!({ "time": time(at), "usageCoreNanoSeconds": total });
        if let Some(rate) = used.rate {
            cpu["usageNanoCores"] = rate.nano_cores.into();
            cpu["usageWindowNanoSeconds"] = rate.window.into();
        }
        to["cpu"] = cpu;
    }
    if let Some(memory) = memory {
        to["memory"] = json!({
            "time": time(at),
            "usageBytes": memory.usage,
            "workingSetBytes": memory.working_set,
            "rssBytes": memory.rss,
            "pageFaults": memory.page_faults,
            "majorPageFaults": memory.major_page_faults,
        });
    }
}

fn disk(at: &str, disk: &Disk) -> Value {
    json!({
        "time": at,
        "capacityBytes": disk.bytes,
        "availableBytes": disk.available_bytes,
        "usedBytes": disk.bytes.saturating_sub(disk.free_bytes),
        "inodes": disk.inodes,
        "inodesFree": disk.free_inodes,
        "inodesUsed": disk.inodes.saturating_sub(disk.free_inodes),
    })
}

/// Times of the API have whole seconds.
fn time(nanos: i64) -> String {
    Timestamp::from_second(nanos.div_euclid(1_000_000_000)).unwrap_or_default().to_string()
}

#[cfg(test)]
pub mod tests {
    use leme_node_core::cri::{Memory, PodIdentity};

    use super::*;
    use crate::rates::Rate;

    pub fn seen() -> Seen {
        let memory =
            Memory { usage: 9, working_set: 7, rss: 5, page_faults: 3, major_page_faults: 1 };
        let at = 1_700_000_010_500_000_000;
        let used = |name: &str| Used {
            name: name.to_owned(),
            started_at: 1_700_000_000_000_000_000,
            usage: Usage { at, cpu_nanos: Some(2_500_000_000), memory: Some(memory) },
            rate: Some(Rate { nano_cores: 250_000_000, window: 10_000_000_000 }),
        };
        let pod = PodIdentity { name: "p".into(), namespace: "n".into(), uid: "u".into() };
        let unknown = Used { usage: Usage { at, ..Usage::default() }, rate: None, ..used("b") };
        let containers = vec![used("a"), unknown];
        let pods = vec![PodUsed { pod, all: used(""), containers }];
        let disk = Disk { bytes: 10, free_bytes: 6, available_bytes: 5, inodes: 4, free_inodes: 3 };
        Seen { node_name: "node".into(), node: used(""), pods, disk }
    }

    #[test]
    fn figures_have_upstreams_names() {
        let document = document(&seen(), false, (Some(3), Some(4)));
        let cpu = json!({
            "time": "2023-11-14T22:13:30Z", "usageNanoCores": 250_000_000,
            "usageCoreNanoSeconds": 2_500_000_000u64, "usageWindowNanoSeconds": 10_000_000_000u64,
        });
        let memory = json!({
            "time": "2023-11-14T22:13:30Z", "usageBytes": 9, "workingSetBytes": 7, "rssBytes": 5,
            "pageFaults": 3, "majorPageFaults": 1,
        });
        let start = "2023-11-14T22:13:20Z";
        let expected = json!([{
            "podRef": { "name": "p", "namespace": "n", "uid": "u" },
            "startTime": start, "cpu": cpu, "memory": memory,
            "containers": [
                { "name": "a", "startTime": start, "cpu": cpu, "memory": memory },
                { "name": "b", "startTime": start },
            ],
        }]);
        assert_eq!(document["pods"], expected);
        assert_eq!(document["node"]["nodeName"], "node");
        assert_eq!(document["node"]["rlimit"]["curproc"], 3);
        let disk = json!({
            "time": "2023-11-14T22:13:30Z", "capacityBytes": 10, "availableBytes": 5, "usedBytes": 4,
            "inodes": 4, "inodesFree": 3, "inodesUsed": 1,
        });
        assert_eq!(document["node"]["fs"], disk);
        let little = super::document(&seen(), true, (None, None));
        assert_eq!(
            (&little["node"]["fs"], &little["node"]["rlimit"]),
            (&Value::Null, &Value::Null)
        );
        assert!(document["node"]["memory"]["availableBytes"].as_u64() > Some(0));
    }
}
