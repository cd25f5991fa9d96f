//! The policy that requests are decided by: roles and bindings as the cache has them.
//!
//! Knows: how the policy follows the cache, and when a write of it counts. Refuses to know: what roles and bindings mean.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use leme_access::{GROUP, Policy};
use leme_kinds::Kind;
use leme_store::cache::{self, Cached, SubEvent, Subscription};
use tokio::sync::watch;

use crate::api::Api;
use crate::table;

/// The four kinds, by plural resource.
const PLURALS: [&str; 4] = ["roles", "clusterroles", "rolebindings", "clusterrolebindings"];
/// Changes taken from the cache at a time.
const BATCH: usize = 256;
/// How long a write waits until it counts; after that it counts soon.
const PATIENCE: Duration = Duration::from_secs(1);

/// The policy, and up to which revision of each kind it goes.
pub(crate) struct Policies {
    current: ArcSwap<Policy>,
    reached: watch::Sender<[u64; 4]>,
}

fn rows() -> impl Iterator<Item = (usize, &'static Arc<Kind>)> {
    let row = |plural| leme_kinds::by_resource(GROUP, "v1", plural);
    PLURALS.into_iter().map(row).enumerate().filter_map(|(at, row)| Some((at, row?)))
}

impl Policies {
    /// A policy that allows nobody anything, until the cache has been read.
    pub fn new() -> Policies {
        Policies { current: ArcSwap::default(), reached: watch::Sender::new([0; 4]) }
    }

    /// What holds now.
    pub fn load(&self) -> Guard<Arc<Policy>> {
        self.current.load()
    }

    fn reach(&self, at: usize, revision: u64) {
        self.reached.send_modify(|reached| reached[at] = reached[at].max(revision));
    }

    /// Waits until a write of a kind that was answered with this revision counts.
    pub async fn at_least(&self, kind: &Kind, revision: u64) {
        let of = PLURALS.iter().position(|plural| *kind.plural == **plural);
        let Some(at) = of.filter(|_| kind.group == GROUP) else { return };
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
    api.policies.current.rcu(|policy| {
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
            policies.current.rcu(|policy| {
                events.clone().fold(Policy::clone(policy), |policy, event| {
                    let object = &event.object;
                    match event.kind {
                        cache::Kind::Deleted => {
                            let place = (&*object.index.namespace, &*object.index.name);
                            policy.with(&row.kind, place, None)
                        }
                        _ => put(&policy, row, object),
                    }
                })
            });
            let last = events.map(|event| event.object.mod_revision).max();
            policies.reach(at, last.unwrap_or_default());
        }
        changes = read(api, at, row);
    }
}
