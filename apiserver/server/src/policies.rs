//! The policy that requests are decided by: roles and bindings as the cache has them.
//!
//! Knows: how the policy follows the cache, when a write of it counts, and how it was a while ago. Refuses to know: what
//! roles and bindings mean.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use leme_access::{GROUP, Policy};
use leme_kinds::Kind;
use leme_store::cache::{self, Cache, Cached, SubEvent, Subscription};
use tokio::sync::{broadcast, watch};

use crate::api::Api;
use crate::table;

/// The four kinds, by plural resource.
const PLURALS: [&str; 4] = ["roles", "clusterroles", "rolebindings", "clusterrolebindings"];
/// Changes taken from the cache at a time.
const BATCH: usize = 256;
/// How long a write waits until it counts; after that it counts soon.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many changes are remembered, with the policy after each: it shares with the next all that is the same.
const REMEMBERED: usize = 1_000;

/// A change of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub revision: u64,
    /// The namespace whose roles or bindings changed; empty for those of the whole cluster.
    pub namespace: Arc<str>,
}

/// The policy a while ago, and what has changed it since, oldest first.
struct Past {
    before: Policy,
    /// The revision of the last change in `before`.
    since: u64,
    turns: VecDeque<(Turn, Policy)>,
}

/// The policy, and up to which revision of each kind it goes.
pub(crate) struct Policies {
    current: ArcSwap<Policy>,
    reached: watch::Sender<[u64; 4]>,
    past: Mutex<Past>,
    turns: broadcast::Sender<Turn>,
}

fn rows() -> impl Iterator<Item = (usize, &'static Arc<Kind>)> {
    let row = |plural| leme_kinds::by_resource(GROUP, "v1", plural);
    PLURALS.into_iter().map(row).enumerate().filter_map(|(at, row)| Some((at, row?)))
}

impl Policies {
    /// A policy that allows nobody anything, until the cache has been read.
    pub fn new() -> Policies {
        let past = Past { before: Policy::default(), since: 0, turns: VecDeque::new() };
        Policies {
            current: ArcSwap::default(),
            reached: watch::Sender::new([0; 4]),
            past: Mutex::new(past),
            turns: broadcast::Sender::new(REMEMBERED),
        }
    }

    /// What holds now.
    pub fn load(&self) -> Guard<Arc<Policy>> {
        self.current.load()
    }

    /// The same, to keep.
    pub fn load_full(&self) -> Arc<Policy> {
        self.current.load_full()
    }

    /// What changes it from now on.
    pub fn turns(&self) -> broadcast::Receiver<Turn> {
        self.turns.subscribe()
    }

    /// What held at a revision, and what has changed it since; nothing if that is not known any more.
    pub fn at(&self, revision: u64) -> Option<(Policy, Vec<Turn>)> {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if revision < past.since {
            return None;
        }
        let later = past.turns.iter().position(|(turn, _)| turn.revision > revision);
        let later = later.unwrap_or(past.turns.len());
        let last = later.checked_sub(1).and_then(|last| past.turns.get(last));
        let policy = last.map_or(&past.before, |(_, after)| after).clone();
        Some((policy, past.turns.range(later..).map(|(turn, _)| turn.clone()).collect()))
    }

    /// Changes the policy.
    fn turn(&self, turn: Turn, change: impl FnOnce(&Policy) -> Policy) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let after = change(&self.current.load());
        self.current.store(Arc::new(after.clone()));
        past.turns.push_back((turn.clone(), after));
        if past.turns.len() > REMEMBERED
            && let Some((first, after)) = past.turns.pop_front()
        {
            (past.before, past.since) = (after, past.since.max(first.revision));
        }
        // Nobody has to listen.
        let _ = self.turns.send(turn);
    }

    /// Changes the policy by all that there is of a kind as of a revision: nothing is known of what was before.
    fn start_over(&self, revision: u64, change: impl FnOnce(&Policy) -> Policy) {
        self.turn(Turn { revision, namespace: "".into() }, change);
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let last = past.turns.drain(..).next_back();
        if let Some((_, last)) = last {
            (past.before, past.since) = (last, past.since.max(revision));
        }
    }

    /// Waits until all that the cache has by now counts.
    pub async fn caught_up(&self, cache: &Cache) {
        for (at, row) in rows() {
            self.reached_at_least(at, cache.changed(&row.prefix(None)), row).await;
        }
    }

    fn reach(&self, at: usize, revision: u64) {
        self.reached.send_modify(|reached| reached[at] = reached[at].max(revision));
    }

    /// Waits until a write of a kind that was answered with this revision counts.
    pub async fn at_least(&self, kind: &Kind, revision: u64) {
        let of = PLURALS.iter().position(|plural| *kind.plural == **plural);
        let Some(at) = of.filter(|_| kind.group == GROUP) else { return };
        self.reached_at_least(at, revision, kind).await;
    }

    async fn reached_at_least(&self, at: usize, revision: u64, kind: &Kind) {
        let mut reached = self.reached.subscribe();
        let there = reached.wait_for(|reached| reached[at] >= revision);
        if tokio::time::timeout(PATIENCE, there).await.is_err() {
            tracing::warn!(kind = %kind.kind, "a change of who may do what takes long to count");
        }
    }
}

/// A role or binding that cannot be read says nothing.
fn put(policy: &Policy, row: &Kind, object: &Cached) -> Policy {
    let value = table::decoded(object).inspect_err(|error| {
        tracing::warn!(key = %object.key, %error, "cannot read what this allows; it allows nothing");
    });
    let place = (&*object.index.namespace, &*object.index.name);
    policy.with(&row.kind, place, value.ok().as_ref())
}

/// Takes over all that the cache has, and follows it until the server stops.
pub(crate) fn start(api: &Arc<Api>) {
    for (at, row) in rows() {
        let (api, changes) = (Arc::clone(api), read(api, at, row));
        let stopping = api.lifetime.stop_token();
        api.lifetime.clone().spawn(async move {
            stopping.run_until_cancelled(follow(&api, at, row, changes)).await;
        });
    }
}

/// Takes over what the cache has of a kind; what changes afterwards comes.
fn read(api: &Api, at: usize, row: &Kind) -> Option<Subscription> {
    let prefix = row.prefix(None);
    let changes = api.cache.watch(&prefix, api.cache.revision()).ok()?;
    let snapshot = api.cache.snapshot(&prefix)?;
    api.policies.start_over(snapshot.revision(), |policy| {
        let without = policy.without(&row.kind);
        snapshot.iter().fold(without, |policy, object| put(&policy, row, object))
    });
    api.policies.reach(at, snapshot.revision());
    Some(changes)
}

async fn follow(api: &Api, at: usize, row: &Kind, mut changes: Option<Subscription>) {
    let policies = &api.policies;
    while let Some(mut following) = changes {
        loop {
            let batch = following.next_batch(BATCH).await;
            if batch.is_empty() || batch.iter().any(|one| matches!(one, SubEvent::Expired)) {
                break;
            }
            let events = batch.iter().filter_map(|one| match one {
                SubEvent::Event(event) => Some(event),
                SubEvent::Progress(_) | SubEvent::Expired => None,
            });
            for event in events.clone() {
                let (object, index) = (&event.object, &event.object.index);
                let turn = Turn { revision: event.revision, namespace: (*index.namespace).into() };
                policies.turn(turn, |policy| match event.kind {
                    cache::Kind::Deleted => {
                        policy.with(&row.kind, (&index.namespace, &index.name), None)
                    }
                    _ => put(policy, row, object),
                });
            }
            let last = events.map(|event| event.revision).max();
            policies.reach(at, last.unwrap_or_default());
        }
        changes = read(api, at, row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(policies: &Policies, revision: u64, namespace: &str) {
        let turn = Turn { revision, namespace: namespace.into() };
        let role = serde_json::json!({ "rules": [] });
        let name = revision.to_string();
        policies.turn(turn, |policy| policy.with("Role", (namespace, &name), Some(&role)));
    }

    fn known(policies: &Policies, revision: u64) -> Option<(Vec<u64>, Vec<u64>)> {
        let (then, turns) = policies.at(revision)?;
        let held = (0..2_000).filter(|one| then.role("a", "Role", &one.to_string()).is_ok());
        Some((held.collect(), turns.iter().map(|turn| turn.revision).collect()))
    }

    // Red when a watch that resumes is told nothing of the rights that changed in between, or is told of them all.
    #[test]
    fn what_held_a_while_ago_is_known_for_a_while() {
        let policies = Policies::new();
        assert_eq!(known(&policies, 0), Some((vec![], vec![])));
        policies.start_over(10, Policy::clone);
        assert_eq!(known(&policies, 9), None);
        // Kinds come each on their own: what comes late counts as not seen yet.
        for revision in [11, 14, 12] {
            turned(&policies, revision, "a");
        }
        assert_eq!(known(&policies, 10), Some((vec![], vec![11, 14, 12])));
        assert_eq!(known(&policies, 12), Some((vec![11], vec![14, 12])));
        assert_eq!(known(&policies, 14), Some((vec![11, 12, 14], vec![])));
        for revision in 100..1_100 {
            turned(&policies, revision, "b");
        }
        assert_eq!(known(&policies, 13), None);
        assert_eq!(known(&policies, 14).unwrap().1.len(), REMEMBERED);
    }
}
