//! A run of 10,000 pods among nodes and pods that come, go and change, held after every step against a book of its own: no
//! node is ever over-committed, and no constraint between pods is broken when a pod is placed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::cluster::{Cluster, PodKey};
use crate::pod::PodInfo;
use crate::testing::{merge, node, pod};
use crate::volumes::VolumeFacts;

const PODS: usize = 10_000;
const NODES: u64 = 24;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// What is true, as the API would show it.
#[derive(Default)]
struct Book {
    /// CPU, places for pods and zone of each node.
    nodes: BTreeMap<String, (i64, usize, u64)>,
    /// The node, CPU, port, application, and whether it wants none of its application beside it.
    pods: BTreeMap<PodKey, Entry>,
}

#[derive(Clone)]
struct Entry {
    node: String,
    cpu: i64,
    port: Option<u64>,
    app: u64,
    alone: bool,
    spread: bool,
    pod: Pod,
}

impl Book {
    fn on<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.pods.values().filter(move |one| one.node == node)
    }

    /// Checks what a new placement must keep.
    fn check(&self, key: &PodKey) {
        let new = &self.pods[key];
        let (cpu, places, zone) = self.nodes[&new.node];
        let here: Vec<&Entry> = self.on(&new.node).collect();
        assert!(
            here.iter().map(|one| one.cpu).sum::<i64>() <= cpu,
            "{} is over-committed",
            new.node
        );
        assert!(here.len() <= places, "{} has too many pods", new.node);
        let ports = here.iter().filter(|one| one.port.is_some() && one.port == new.port).count();
        assert!(ports <= 1, "two pods have a port of {}", new.node);
        let same = here.iter().filter(|one| one.app == new.app).count();
        let alone = here.iter().any(|one| one.app == new.app && one.alone);
        assert!(same == 1 || !alone, "{} has two pods of which one wants to be alone", new.node);
        if new.spread {
            let in_zone = |zone: u64| {
                let of_app = self.pods.values().filter(|one| one.app == new.app);
                of_app
                    .filter(|one| self.nodes.get(&one.node).is_some_and(|node| node.2 == zone))
                    .count()
            };
            let least = self.nodes.values().map(|node| in_zone(node.2)).min().unwrap_or(0);
            assert!(in_zone(zone) <= least + 2, "application {} leans on zone {zone}", new.app);
        }
    }
}

fn make(number: usize, dice: &mut Dice) -> Entry {
    let (cpu, app) = (100 * (1 + dice.below(20).cast_signed()), dice.below(40));
    let port = (dice.below(8) == 0).then(|| 8000 + dice.below(4));
    let (alone, spread) = (dice.below(8) == 0, dice.below(8) == 0);
    let same = json!({"matchLabels": {"app": app.to_string()}});
    let mut spec = json!({"priority": dice.below(3), "containers": [{"name": "c",
        "resources": {"requests": {"cpu": format!("{cpu}m")}}}]});
    if let Some(port) = port {
        spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": port}]);
    }
    if alone {
        spec["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": same}]}});
    }
    if spread {
        spec["topologySpreadConstraints"] = json!([{"topologyKey": "zone", "maxSkew": 2,
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": same}]);
    }
    let name = format!("p{number}");
    let pod = pod(&name, json!({"metadata": {"labels": {"app": app.to_string()}}, "spec": spec}));
    Entry { node: String::new(), cpu, port, app, alone, spread, pod }
}

fn turn_nodes(book: &mut Book, cluster: &mut Cluster, dice: &mut Dice) {
    let (number, cpu, places) = (dice.below(NODES), 4 + dice.below(12), 10 + dice.below(20));
    let name = format!("n{number}");
    let empty = book.on(&name).next().is_none();
    if empty && dice.below(3) == 0 {
        book.nodes.remove(&name);
        cluster.set_node(&name, None);
        return;
    }
    let zone = number % 3;
    let shape = json!({"metadata": {"labels": {"zone": zone.to_string()}},
        "spec": {"unschedulable": dice.below(6) == 0},
        "status": {"allocatable": {"memory": "999Gi", "pods": places.to_string()}}});
    let known = book.nodes.get(&name).copied();
    let grown = known.is_none_or(|(known, room, _)| {
        known <= 1000 * cpu.cast_signed() && room <= usize::try_from(places).unwrap()
    });
    if grown {
        cluster.set_node(&name, Some(&node(&name, &cpu.to_string(), shape)));
        book.nodes.insert(name, (1000 * cpu.cast_signed(), usize::try_from(places).unwrap(), zone));
    }
}

/// The API shows that a pod has its node, or has lost it, or that it is gone.
fn turn_pods(book: &mut Book, cluster: &mut Cluster, dice: &mut Dice) {
    let at = usize::try_from(dice.below(1 + book.pods.len() as u64)).unwrap();
    let Some((key, entry)) = book.pods.iter().nth(at) else { return };
    let (key, entry) = (key.clone(), entry.clone());
    match dice.below(3) {
        0 => {
            let mut bound: Value = serde_json::to_value(&entry.pod).unwrap();
            merge(&mut bound, json!({"spec": {"nodeName": entry.node}}));
            cluster.set_pod(&key, Some(&serde_json::from_value(bound).unwrap()));
        }
        1 if cluster.forget(&key).gone.is_some() => drop(book.pods.remove(&key)),
        _ => {
            cluster.set_pod(&key, None);
            book.pods.remove(&key);
        }
    }
}

#[test]
fn no_node_is_ever_over_committed() {
    let (mut book, mut cluster, mut dice) = (Book::default(), Cluster::default(), Dice(11));
    for _ in 0..200 {
        turn_nodes(&mut book, &mut cluster, &mut dice);
    }
    let (mut placed, mut made_room) = (0, 0);
    for number in 0..PODS {
        if dice.below(4) == 0 {
            turn_nodes(&mut book, &mut cluster, &mut dice);
        }
        for _ in 0..dice.below(3) {
            turn_pods(&mut book, &mut cluster, &mut dice);
        }
        let mut entry = make(number, &mut dice);
        let (info, volumes) = (PodInfo::read(&entry.pod), VolumeFacts::default());
        let key = info.key.clone();
        let mut decided = cluster.schedule(&info, &volumes);
        if let Err(why) = &mut decided
            && let Some(made) = cluster.preempt(&info, &volumes, why, &[])
        {
            made_room += 1;
            for victim in &made.victims {
                cluster.set_pod(&victim.key, None);
                book.pods.remove(&victim.key);
            }
            let node = cluster.schedule(&info, &volumes);
            assert!(node.is_ok(), "room was made in vain: {node:?}");
            decided = node;
        }
        if let Ok(node) = decided {
            placed += 1;
            entry.node = node;
            book.pods.insert(key.clone(), entry);
            book.check(&key);
        }
    }
    assert!(
        placed > PODS / 2 && made_room > PODS / 100,
        "{placed} placed, room made {made_room} times"
    );
}
