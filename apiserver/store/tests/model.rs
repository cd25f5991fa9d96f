//! The embedded engine against a model that is too simple to be wrong.

use std::collections::BTreeMap;

use leme_store::embedded::EmbeddedStore;
use leme_store::{Expect, Outcome, Store, StoreError};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Create(u8),
    Update(u8, bool),
    Delete(u8, bool),
    Compact(u64),
    ListAt(u64),
    Reopen,
}

/// The whole history: every state by its revision.
struct Model {
    states: BTreeMap<u64, BTreeMap<String, (u64, u64, u64)>>,
    revision: u64,
    compacted: u64,
}

fn key(k: u8) -> String {
    format!("/registry/{k}")
}

impl Model {
    fn now(&self) -> &BTreeMap<String, (u64, u64, u64)> {
        &self.states[&self.revision]
    }

    fn mod_revision(&self, k: u8) -> Option<u64> {
        self.now().get(&key(k)).map(|(_, modified, _)| *modified)
    }

    fn record(&mut self, change: impl FnOnce(&mut BTreeMap<String, (u64, u64, u64)>, u64)) -> u64 {
        let mut state = self.now().clone();
        self.revision += 1;
        change(&mut state, self.revision);
        self.states.insert(self.revision, state);
        self.revision
    }
}

fn step() -> impl Strategy<Value = Step> {
    let k = 0..4u8;
    prop_oneof![
        3 => k.clone().prop_map(Step::Create),
        4 => (k.clone(), prop::bool::weighted(0.8)).prop_map(|(k, right)| Step::Update(k, right)),
        3 => (k, prop::bool::weighted(0.8)).prop_map(|(k, right)| Step::Delete(k, right)),
        1 => (0..8u64).prop_map(Step::Compact),
        2 => (0..12u64).prop_map(Step::ListAt),
        1 => Just(Step::Reopen),
    ]
}

fn expected(model: &mut Model, k: u8, right: bool, put: bool) -> (u64, Option<u64>) {
    let now = model.mod_revision(k);
    let ask = now.map_or(99_999, |revision| if right { revision } else { revision + 1 });
    if now != Some(ask) {
        return (ask, None);
    }
    let done = model.record(|state, revision| {
        if put {
            let created = state[&key(k)].0;
            state.insert(key(k), (created, revision, revision));
        } else {
            state.remove(&key(k));
        }
    });
    (ask, Some(done))
}

fn same(outcome: Outcome, done: Option<u64>, model: &Model, k: u8) {
    match (outcome, done) {
        (Outcome::Done(revision), Some(done)) => assert_eq!(revision, done),
        (Outcome::Conflict(found), None) => {
            assert_eq!(found.map(|e| e.mod_revision), model.mod_revision(k));
        }
        other => panic!("{other:?}"),
    }
}

async fn list_at(store: &EmbeddedStore, model: &Model, revision: u64) {
    match store.list("/registry/", "", 0, revision).await {
        Ok(page) => {
            let found: BTreeMap<_, _> = page
                .entries
                .iter()
                .map(|e| {
                    let value = std::str::from_utf8(&e.value).unwrap().parse().unwrap();
                    (e.key.to_string(), (e.create_revision, e.mod_revision, value))
                })
                .collect();
            assert_eq!(&found, &model.states[&page.revision]);
        }
        Err(StoreError::Compacted { .. }) => assert!(revision < model.compacted),
        Err(StoreError::Future { .. }) => assert!(revision > model.revision),
        Err(e) => panic!("{e:?}"),
    }
}

async fn run(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut store = EmbeddedStore::open(&path).unwrap();
    let states = BTreeMap::from([(1, BTreeMap::new())]);
    let mut model = Model { states, revision: 1, compacted: 0 };
    for step in steps {
        let next = model.revision + 1;
        match step {
            Step::Create(k) => {
                let put = store.put(&key(k), next.to_string().into(), Expect::Absent).await;
                let done = model.mod_revision(k).is_none().then(|| {
                    model.record(|state, revision| {
                        state.insert(key(k), (revision, revision, revision));
                    })
                });
                same(put.unwrap(), done, &model, k);
            }
            Step::Update(k, right) => {
                let (ask, done) = expected(&mut model, k, right, true);
                let put = store.put(&key(k), next.to_string().into(), Expect::Revision(ask)).await;
                same(put.unwrap(), done, &model, k);
            }
            Step::Delete(k, right) => {
                let (ask, done) = expected(&mut model, k, right, false);
                same(store.delete(&key(k), ask).await.unwrap(), done, &model, k);
            }
            Step::Compact(back) => {
                let at = model.revision.saturating_sub(back);
                store.compact(at).await.unwrap();
                model.compacted = model.compacted.max(at);
            }
            Step::ListAt(back) => {
                list_at(&store, &model, (model.revision + 2).saturating_sub(back).max(1)).await;
            }
            Step::Reopen => {
                drop(store);
                store = EmbeddedStore::open(&path).unwrap();
            }
        }
        assert_eq!(store.revision().await.unwrap(), model.revision);
    }
    list_at(&store, &model, 0).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn agrees_with_the_model(steps in prop::collection::vec(step(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(steps));
    }
}
