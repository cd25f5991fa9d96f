//! Cluster addresses and node ports of Services.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use leme_client::{Client, JSON};
use leme_store::{Change, Store};
use serde_json::{Value, json};

use crate::world::{Dice, Said, World, pass};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const STORED: &str = "/registry/services/default/";
const ADDRESSES: &str = "/registry/networking.k8s.io/ipaddresses/";
const PORTS: &str = "/registry/ranges/servicenodeports/";
/// Longer than what is abandoned is left alone.
const LONG: Duration = Duration::from_secs(300);

fn service(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    if spec["ports"].is_null() {
        spec["ports"] = json!([{ "port": 80 }]);
    }
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": spec })
}

/// The numbers that a Service has.
fn numbers(service: &Value) -> BTreeSet<String> {
    let addresses = service["spec"]["clusterIPs"].as_array().cloned().unwrap_or_default();
    let ports = service["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let addresses = addresses.iter().filter_map(Value::as_str).filter(|ip| *ip != "None");
    let ports = ports.iter().filter_map(|port| port["nodePort"].as_i64());
    addresses.map(str::to_owned).chain(ports.map(|port| port.to_string())).collect()
}

impl World {
    /// Red as soon as two Services have had the same number at the same time.
    async fn no_number_was_given_twice(&self) {
        let mut held: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for change in self.history(STORED).await {
            let key = change.key().to_string();
            held.remove(&key);
            let Change::Put { entry, .. } = change else { continue };
            let now = numbers(&serde_json::from_slice(&entry.value).unwrap());
            for (other, theirs) in &held {
                let both: Vec<_> = theirs.intersection(&now).collect();
                assert!(both.is_empty(), "{key} and {other} have {both:?}");
            }
            held.insert(key, now);
        }
    }

    /// Who has which number: by the Services, and by the records.
    async fn ledgers(&self) -> [BTreeMap<String, String>; 2] {
        let mut by_service = BTreeMap::new();
        for (name, service) in self.objects(STORED).await {
            by_service.extend(numbers(&service).into_iter().map(|one| (one, name.clone())));
        }
        let mut by_record = BTreeMap::new();
        for (ip, address) in self.objects(ADDRESSES).await {
            by_record.insert(ip, address["spec"]["parentRef"]["name"].as_str().unwrap().to_owned());
        }
        for (port, record) in self.objects(PORTS).await {
            by_record.insert(port, record["name"].as_str().unwrap().to_owned());
        }
        [by_service, by_record]
    }

    async fn ledgers_agree(&self) {
        let [by_service, by_record] = self.ledgers().await;
        assert_eq!(by_service, by_record);
    }
}

/// One of the things that people do to Services.
async fn act(client: &Client, dice: &Dice, said: &Said) {
    let name = format!("s{}", dice.roll(6));
    let path = format!("{SERVICES}/{name}");
    let ip = format!("10.0.0.{}", 2 + dice.roll(13));
    let port = 30000 + dice.roll(4);
    let done = match dice.roll(9) {
        0 | 1 => client.post(SERVICES, &service(&name, json!({}))).await,
        2 => client.post(SERVICES, &service(&name, json!({ "clusterIP": ip }))).await,
        3 => client.post(SERVICES, &service(&name, json!({ "type": "NodePort" }))).await,
        4 => {
            let ports = json!([{ "port": 80, "nodePort": port }]);
            client
                .post(SERVICES, &service(&name, json!({ "type": "NodePort", "ports": ports })))
                .await
        }
        5 => client.merge(&path, &json!({ "spec": { "type": "NodePort" } })).await,
        6 => {
            let ports = json!([{ "port": 80, "nodePort": null }]);
            client.merge(&path, &json!({ "spec": { "type": "ClusterIP", "ports": ports } })).await
        }
        7 => {
            let outside = json!({ "type": "ExternalName", "externalName": "x.test",
                "clusterIP": null, "clusterIPs": null, "ports": null });
            client.merge(&path, &json!({ "spec": outside })).await
        }
        _ => client.call(http::Method::DELETE, &path, JSON, None).await,
    };
    match done {
        Ok(_) => said.add("done".to_owned()),
        Err(error) => {
            let text = error.message().to_owned();
            let known = [
                "already allocated",
                "already exists",
                "not found",
                "range is full",
                "spec.ports: Required value",
            ];
            let known = known.into_iter().find(|one| text.contains(one));
            said.add(known.map_or(text.clone(), str::to_owned));
        }
    }
}

#[tokio::test]
async fn racing_writes_at_both_servers_never_give_a_number_twice_and_leave_no_record() {
    let said = Said::default();
    for seed in 0..8 {
        let world = World::start(seed).await;
        let dice = Arc::new(Dice::new(seed));
        let tasks = (0..8).map(|at| {
            let (client, dice, said) = (world.both()[at % 2].clone(), dice.clone(), said.clone());
            tokio::spawn(async move {
                for _ in 0..25 {
                    act(&client, &dice, &said).await;
                }
            })
        });
        for done in join_all(tasks).await {
            done.unwrap();
        }
        world.no_number_was_given_twice().await;
        world.ledgers_agree().await;
        println!("seed {seed}: {} revisions", world.store.revision().await.unwrap());
    }
    // Everything that can happen has happened, and nothing else.
    let all = ["already allocated", "already exists", "done", "not found", "range is full"];
    let said: Vec<String> = said.all().into_iter().filter(|one| !one.starts_with("spec")).collect();
    assert_eq!(said, all);
}

#[tokio::test]
async fn a_server_without_news_gives_nothing_that_the_other_one_has_given() {
    let world = World::start(1).await;
    let [first, second] = world.both();
    world.second.way.hold_news();
    // What waits for news in vain shall not wait long.
    tokio::time::pause();
    let ports = |port: usize| json!([{ "port": 80, "nodePort": port }]);
    for at in 0..4 {
        let spec = json!({ "type": "NodePort", "ports": ports(30000 + at),
            "clusterIP": format!("10.0.0.{}", 2 + at) });
        first.post(SERVICES, &service(&format!("a{at}"), spec)).await.unwrap();
    }
    for spec in
        [json!({ "clusterIP": "10.0.0.3" }), json!({ "type": "NodePort", "ports": ports(30001) })]
    {
        let refused = second.post(SERVICES, &service("late", spec)).await.unwrap_err();
        assert!(refused.message().contains("already allocated"), "{}", refused.message());
    }
    // What it picks itself is free.
    for at in 0..9 {
        second.post(SERVICES, &service(&format!("b{at}"), json!({}))).await.unwrap();
    }
    let full = second.post(SERVICES, &service("b9", json!({}))).await.unwrap_err();
    assert!(full.message().contains("range is full"), "{}", full.message());
    world.no_number_was_given_twice().await;
    world.ledgers_agree().await;
    world.second.way.let_news_through();
}

#[tokio::test]
async fn what_one_server_takes_away_the_other_one_gives_at_once() {
    let world = World::start(2).await;
    let [first, second] = world.both();
    let spec = || json!({ "type": "NodePort", "clusterIP": "10.0.0.7", "ports": [{ "port": 80, "nodePort": 30002 }] });
    for at in 0..20 {
        let (one, other) = if at % 2 == 0 { (&first, &second) } else { (&second, &first) };
        let name = format!("s{at}");
        one.post(SERVICES, &service(&name, spec())).await.unwrap();
        let path = format!("{SERVICES}/{name}");
        other.call::<Value>(http::Method::DELETE, &path, JSON, None).await.unwrap();
    }
    world.ledgers_agree().await;
}

/// The first server dies after each of its writes in turn.
#[tokio::test]
async fn what_a_server_that_died_has_left_is_repaired_by_the_other_one() {
    let mut points = 0;
    for writes in 0.. {
        let world = World::start(3).await;
        let [first, second] = world.both();
        world.first.way.cut_after(writes);
        let work = tokio::spawn(async move {
            let node = |name: &str| service(name, json!({ "type": "NodePort" }));
            first.post(SERVICES, &node("a")).await.unwrap();
            let path = format!("{SERVICES}/a");
            let back = json!({ "type": "ClusterIP", "ports": [{ "port": 80, "nodePort": null }] });
            first.merge(&path, &json!({ "spec": back })).await.unwrap();
            first.call::<Value>(http::Method::DELETE, &path, JSON, None).await.unwrap();
            first.post(SERVICES, &node("b")).await.unwrap();
        });
        while !work.is_finished() && !world.first.way.is_cut() {
            tokio::task::yield_now().await;
        }
        if !world.first.way.is_cut() {
            work.await.unwrap();
            break;
        }
        points += 1;
        // Meanwhile the other one serves.
        second.post(SERVICES, &service("c", json!({ "type": "NodePort" }))).await.unwrap();
        pass(LONG).await;
        world.ledgers_agree().await;
        world.no_number_was_given_twice().await;
    }
    println!("{points} points at which a server died, 0 differences");
    // Three writes make a Service with two numbers, two take one back, two remove it.
    assert!(points >= 10, "{points}");
}

#[tokio::test]
async fn records_that_are_missing_or_doubled_are_repaired_and_told() {
    let world = World::start(4).await;
    let [first, second] = world.both();
    let made = first.post(SERVICES, &service("a", json!({ "type": "NodePort" }))).await.unwrap();
    let port = made["spec"]["ports"][0]["nodePort"].as_i64().unwrap();
    // As an older server has left it, and as nobody should: two with the same numbers.
    for prefix in [PORTS, ADDRESSES] {
        let records = world.store.list(prefix, "", 0, 0).await.unwrap().entries;
        for record in records.iter().filter(|one| !one.key.ends_with("10.0.0.1")) {
            world.store.delete(&record.key, record.mod_revision).await.unwrap();
        }
    }
    let stored = world.store.get(&format!("{STORED}a")).await.unwrap().unwrap();
    let twin = String::from_utf8(stored.value.to_vec()).unwrap().replace("\"a\"", "\"twin\"");
    let absent = leme_store::Expect::Absent;
    world.store.put(&format!("{STORED}twin"), twin.into(), absent).await.unwrap();
    pass(LONG).await;
    let [_, by_record] = world.ledgers().await;
    assert_eq!(by_record[&port.to_string()], "a");
    let events = second.get("/api/v1/namespaces/default/events").await.unwrap();
    let told = events["items"].as_array().unwrap().iter().map(|event| {
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        (text(&event["involvedObject"]["name"]), text(&event["reason"]), text(&event["message"]))
    });
    let told: BTreeSet<_> = told.filter(|one| one.0 == "twin").collect();
    let ip = made["spec"]["clusterIP"].as_str().unwrap();
    let expected = [
        (
            "ClusterIPAlreadyAllocated",
            format!("Cluster IP {ip} was assigned to multiple services; please recreate service"),
        ),
        (
            "PortAlreadyAllocated",
            format!("Port {port} was assigned to multiple services; please recreate service"),
        ),
    ];
    let expected =
        expected.map(|(reason, message)| ("twin".to_owned(), reason.to_owned(), message));
    assert_eq!(told, expected.into());
    // When the twin goes, the other one keeps what it has.
    second
        .call::<Value>(http::Method::DELETE, &format!("{SERVICES}/twin"), JSON, None)
        .await
        .unwrap();
    world.ledgers_agree().await;
}
