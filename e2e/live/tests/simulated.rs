//! Simulated nodes, and what the scheduler does with many of them: no pod runs, and all is as the API shows it.

use std::collections::{BTreeMap, BTreeSet};

use leme_live::{Host, until};
use serde_json::{Value, json};

fn up(host: &Host, nodes: u32) {
    host.up(&format!("--simulated-nodes {nodes}")).ok();
}

fn apply(host: &Host, object: &Value) {
    host.kubectl("apply -f -").run_with(&object.to_string()).ok();
}

fn deployment(name: &str, replicas: u32, spec: &Value) -> Value {
    let labels = json!({"app": name});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec}}})
}

fn asks(cpu: &str) -> Value {
    json!([{"name": "c", "image": "none.test/x:1", "resources": {"requests": {"cpu": cpu}}}])
}

/// How many pods of an application each node has.
fn placed(host: &Host, app: &str) -> BTreeMap<String, usize> {
    let nodes = host
        .kubectl(&format!("get pods -l app={app} -o jsonpath={{.items[*].spec.nodeName}}"))
        .run()
        .ok();
    let mut counts = BTreeMap::new();
    nodes.split_whitespace().for_each(|node| *counts.entry(node.to_owned()).or_default() += 1);
    counts
}

fn ready(host: &Host, name: &str) -> String {
    host.kubectl(&format!("get deployment {name} -o jsonpath={{.status.readyReplicas}}")).run().ok()
}

/// Red when a profile is read and not asked, when its Events speak in another's name, and when a wrong field starts a cluster.
#[test]
fn pods_are_placed_as_their_profile_says() {
    let host = Host::new();
    let file = host.folder().join("profiles.yaml");
    let profiles = |strategy: &str| {
        let fit =
            json!({"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": strategy}}});
        let score = json!({"disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesFit"}]});
        let packed =
            json!({"schedulerName": "packed", "plugins": {"score": score}, "pluginConfig": [fit]});
        let document = json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
            "profiles": [{}, packed]});
        std::fs::write(&file, document.to_string()).unwrap();
    };
    profiles("Fullest");
    let up = format!("--simulated-nodes 3 --scheduler-config {}", file.display());
    let refused = host.up(&up).fails(1);
    assert!(refused.contains("profiles[1].pluginConfig[0].args.scoringStrategy.type"), "{refused}");
    profiles("MostAllocated");
    host.up(&up).ok();
    let spec = |scheduler: &str| json!({"schedulerName": scheduler, "containers": asks("1")});
    apply(&host, &deployment("spread", 6, &spec("default-scheduler")));
    until("all are ready", || ready(&host, "spread") == "6");
    assert_eq!(placed(&host, "spread").len(), 3);
    apply(&host, &deployment("packed", 6, &spec("packed")));
    until("all are ready", || ready(&host, "packed") == "6");
    assert_eq!(placed(&host, "packed").len(), 1);
    let told = host
        .kubectl("get events --field-selector reason=Scheduled,source=packed -o name")
        .run()
        .ok();
    assert_eq!(told.lines().count(), 6, "{told}");
    apply(&host, &deployment("other", 1, &spec("nobody")));
    until("it is left to another", || {
        let why = host.leme("why deployment/other").run().ok();
        why.contains("scheduler nobody, to which it is left, has not given it a node")
    });
    host.leme("down").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}

#[test]
fn many_pods_are_ready_and_go_again() {
    let host = Host::new();
    up(&host, 40);
    let nodes = host.kubectl("get nodes --no-headers").run().ok();
    assert_eq!(nodes.lines().filter(|line| line.contains(" Ready ")).count(), 40, "{nodes}");
    apply(&host, &deployment("web", 120, &json!({"containers": asks("100m")})));
    until("all are ready", || ready(&host, "web") == "120");
    let counts = placed(&host, "web");
    assert!(counts.len() == 40 && counts.values().all(|count| *count == 3), "{counts:?}");
    let addresses = host.kubectl("get pods -o jsonpath={.items[*].status.podIP}").run().ok();
    let addresses: BTreeSet<&str> = addresses.split_whitespace().collect();
    assert_eq!(addresses.len(), 120);
    host.kubectl("delete deployment web").run().ok();
    until("all are gone", || placed(&host, "web").is_empty());
    host.leme("down").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}

#[test]
fn pods_are_kept_apart_and_spread() {
    let host = Host::new();
    up(&host, 20);
    let same = json!({"matchLabels": {"app": "apart"}});
    let mut spec = json!({"containers": asks("100m")});
    spec["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": same}]}});
    apply(&host, &deployment("apart", 21, &spec));
    until("each node has one", || ready(&host, "apart") == "20");
    assert!(placed(&host, "apart").values().all(|count| *count == 1));
    let message = || {
        let conditions =
            "jsonpath={.items[*].status.conditions[?(@.type=='PodScheduled')].message}";
        host.kubectl(&format!("get pods --field-selector=spec.nodeName= -o {conditions}"))
            .run()
            .ok()
    };
    until("it is said why one has none", || !message().is_empty());
    assert_eq!(
        message(),
        "0/20 nodes are available: 20 node(s) didn't match pod anti-affinity rules. no new claims to deallocate, \
            preemption: 0/20 nodes are available: 20 No preemption victims found for incoming pod."
    );
    host.kubectl("delete pod --wait=false")
        .arg(
            host.kubectl(
                "get pods --field-selector=spec.nodeName!= -o jsonpath={.items[0].metadata.name}",
            )
            .run()
            .ok(),
        )
        .run()
        .ok();
    until("the room is taken at once", || ready(&host, "apart") == "20");
}

#[test]
fn who_matters_more_finds_room() {
    let host = Host::new();
    up(&host, 2);
    for (name, value) in [("low", 10), ("high", 1000)] {
        apply(
            &host,
            &json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": {"name": name}, "value": value}),
        );
    }
    let with =
        |class: &str, cpu: &str| json!({"priorityClassName": class, "containers": asks(cpu)});
    apply(&host, &deployment("low", 2, &with("low", "20")));
    until("both nodes are taken", || ready(&host, "low") == "2");
    apply(&host, &deployment("high", 1, &with("high", "20")));
    until("room is made", || ready(&host, "high") == "1");
    until("one of the others waits", || ready(&host, "low") == "1");
    let events = host.kubectl("get events -o jsonpath={.items[*].reason}").run().ok();
    assert!(events.split_whitespace().any(|reason| reason == "Preempted"), "{events}");
}
