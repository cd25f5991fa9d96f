//! ResourceQuotas: what racing writers come to, and what is counted meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use leme_client::{Client, JSON};
use leme_store::{Change, Store};
use serde_json::{Value, json};

use crate::world::{Dice, Said, World, pass};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const STORED: &str = "/registry/configmaps/default/";
const QUOTA: &str = "/api/v1/namespaces/default/resourcequotas/q";
const MARKS: &str = "/registry/quotacharges/default/";
const HARD: usize = 5;
const LONG: Duration = Duration::from_secs(120);

impl World {
    /// A quota that both servers know.
    async fn with_quota(&self) {
        let [first, second] = self.both();
        let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "q" },
            "spec": { "hard": { "configmaps": HARD.to_string() } } });
        first.post("/api/v1/namespaces/default/resourcequotas", &quota).await.unwrap();
        for client in [first, second] {
            while client.get(QUOTA).await.unwrap()["status"]["used"].is_null() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Red if there have ever been more than may be.
    async fn quota_was_kept(&self) -> usize {
        let (mut now, mut most) = (0, 0);
        for change in self.history(STORED).await {
            match change {
                Change::Put { previous: None, .. } => now += 1,
                Change::Put { .. } => {}
                Change::Delete { .. } => now -= 1,
            }
            most = most.max(now);
        }
        assert!(most <= HARD, "there were {most} of {HARD}");
        most
    }

    async fn used(&self) -> Value {
        self.second.client().get(QUOTA).await.unwrap()["status"]["used"]["configmaps"].clone()
    }
}

async fn act(client: &Client, dice: &Dice, said: &Said) {
    let name = format!("m{}", dice.roll(12));
    let done = if dice.roll(4) < 3 {
        let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
        client.post(MAPS, &body).await
    } else {
        client.call(http::Method::DELETE, &format!("{MAPS}/{name}"), JSON, None).await
    };
    said.add(match done {
        Ok(_) => "done".to_owned(),
        Err(error) => {
            let known = ["exceeded quota", "already exists", "not found"];
            let text = error.message();
            known.into_iter().find(|one| text.contains(one)).unwrap_or(text).to_owned()
        }
    });
}

#[tokio::test]
async fn racing_writers_at_both_servers_never_exceed_a_quota() {
    let said = Said::default();
    for seed in 0..5 {
        let world = World::start(seed).await;
        world.with_quota().await;
        let dice = Arc::new(Dice::new(seed));
        let tasks = (0..8).map(|at| {
            let (client, dice, said) = (world.both()[at % 2].clone(), dice.clone(), said.clone());
            tokio::spawn(async move {
                for _ in 0..40 {
                    act(&client, &dice, &said).await;
                }
            })
        });
        for done in join_all(tasks).await {
            done.unwrap();
        }
        world.quota_was_kept().await;
        pass(LONG).await;
        let there = world.objects(STORED).await.len();
        assert_eq!(world.used().await, json!(there.to_string()), "seed {seed}");
        // What is free is free at both.
        for at in there..HARD {
            let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": format!("x{at}") } });
            world.both()[at % 2].post(MAPS, &body).await.unwrap();
        }
        assert_eq!(world.quota_was_kept().await, HARD);
        println!("seed {seed}: {} revisions", world.store.revision().await.unwrap());
    }
    let all = ["already exists", "done", "exceeded quota", "not found"];
    assert_eq!(said.all(), all.map(str::to_owned).into());
}

/// A write of the first server is charged and not stored yet; the second one has reason to count.
#[tokio::test]
async fn what_one_server_charges_the_other_one_does_not_count_back() {
    let mut seen = BTreeSet::new();
    for writes in 0..4 {
        let world = World::start(1).await;
        world.with_quota().await;
        let [first, second] = world.both();
        let body = |name: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
        for at in 0..HARD - 1 {
            second.post(MAPS, &body(&format!("a{at}"))).await.unwrap();
        }
        pass(LONG).await;
        // Mark, charge and object: it stops before one of them.
        world.first.way.cut_after(writes);
        let late = tokio::spawn(async move { first.post(MAPS, &body("late")).await });
        pass(Duration::from_secs(1)).await;
        if !world.first.way.is_cut() {
            late.await.unwrap().unwrap();
            break;
        }
        let is_marked = !world.objects(MARKS).await.is_empty();
        let charged = world.used().await;
        let gone = format!("{MAPS}/a0");
        second.call::<Value>(http::Method::DELETE, &gone, JSON, None).await.unwrap();
        pass(Duration::from_secs(20)).await;
        let there = json!(world.objects(STORED).await.len().to_string());
        let counted = if is_marked { charged.clone() } else { there };
        assert_eq!(world.used().await, counted, "after {writes} writes");
        seen.insert((is_marked, charged == json!(HARD.to_string())));
        // It has died: after a while it is known that nothing comes of it.
        pass(LONG).await;
        second
            .call::<Value>(http::Method::DELETE, &format!("{MAPS}/a1"), JSON, None)
            .await
            .unwrap();
        pass(LONG).await;
        let there = json!(world.objects(STORED).await.len().to_string());
        assert_eq!(world.used().await, there, "after {writes} writes");
    }
    assert!(seen.is_superset(&[(true, false), (true, true)].into()), "{seen:?}");
}
