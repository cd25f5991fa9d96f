//! What leads to which node, as the cache has it.
//!
//! Knows: how the graph follows the cache, and when it is as new as the store. Refuses to know: what leads where.

use std::sync::Arc;
use std::time::Duration;

use leme_access::graph::{Change, Graph, WATCHED};
use leme_kinds::Kind;
use leme_store::cache::{self, Cache, Cached, Event, SubEvent, Subscription};
use tokio::sync::watch;

use crate::api::Api;
use crate::policies::Policies;
use crate::table;

/// Changes taken from the cache at a time.
const BATCH: usize = 256;
/// How long an agent that is refused waits for what its server has not seen.
const PATIENCE: Duration = Duration::from_secs(1);
/// What a pod holds that has these words may change though the pod stays on its node.
const ADDED: &str = "\"ephemeralContainers\"";

/// The graph, up to which revision of each kind it goes, and where somebody waits for.
pub(crate) struct Following {
    graph: Arc<Graph>,
    reached: watch::Sender<[u64; WATCHED.len()]>,
    wanted: watch::Sender<u64>,
}

impl Following {
    /// The graph of a policy.
    pub fn new(policies: &Policies) -> Following {
        let graph = Arc::clone(&policies.load().graph);
        Following {
            graph,
            reached: watch::Sender::new([0; WATCHED.len()]),
            wanted: watch::Sender::new(0),
        }
    }

    /// Waits until all that the store has by now is in the graph.
    pub async fn catch_up(&self, cache: &Cache) {
        let Ok(newest) = cache.fresh().await else { return };
        let mut reached = self.reached.subscribe();
        self.wanted.send_modify(|wanted| *wanted = newest.max(*wanted));
        let there = reached.wait_for(|reached| reached.iter().all(|one| *one >= newest));
        if tokio::time::timeout(PATIENCE, there).await.is_err() {
            tracing::warn!("what pods refer to takes long to count for their nodes");
        }
    }

    fn reach(&self, at: usize, revision: u64) {
        self.reached.send_modify(|reached| reached[at] = reached[at].max(revision));
    }

    /// What changes by an event; nothing where a pod has no node, or nothing new.
    fn change<'a>(&self, row: &'a Kind, event: &'a Event) -> Option<Change<'a>> {
        let gone = event.kind == cache::Kind::Deleted;
        if gone { Some(change(row, &event.object, true)) } else { self.state(row, &event.object) }
    }

    fn state<'a>(&self, row: &'a Kind, object: &'a Cached) -> Option<Change<'a>> {
        let index = &object.index;
        if let Some(node) = index.field("spec.nodeName").filter(|_| *row.plural == *"pods") {
            let place = (&*index.namespace, &*index.name);
            let same = || self.graph.is_settled(place, &index.uid, node) && !is_added_to(object);
            if node.is_empty() || same() {
                return None;
            }
        }
        Some(change(row, object, false))
    }
}

fn is_added_to(pod: &Cached) -> bool {
    std::str::from_utf8(&pod.json).is_ok_and(|text| text.contains(ADDED))
}

/// An object that cannot be read leads nowhere.
fn change<'a>(row: &'a Kind, object: &'a Cached, gone: bool) -> Change<'a> {
    let read = || {
        let read = table::decoded(object);
        read.inspect_err(|error| {
            tracing::warn!(key = %object.key, %error, "cannot read what this refers to; no agent may read it for this");
        })
    };
    let place = (&*object.index.namespace, &*object.index.name);
    Change { plural: &row.plural, place, object: if gone { None } else { read().ok() } }
}

/// Takes over all that the cache has, and follows it until the server stops.
pub(crate) fn start(api: &Arc<Api>) {
    for (at, (group, plural)) in WATCHED.into_iter().enumerate() {
        let Some(row) = leme_kinds::by_resource(group, "v1", plural) else { continue };
        let (api, wanted) = (Arc::clone(api), api.graph.wanted.subscribe());
        let changes = read(&api, at, row);
        let stopping = api.lifetime.stop_token();
        api.lifetime.clone().spawn(async move {
            stopping.run_until_cancelled(follow(&api, at, row, changes, wanted)).await;
        });
    }
}

/// Takes over what the cache has of a kind; what changes afterwards comes.
fn read(api: &Api, at: usize, row: &Kind) -> Option<Subscription> {
    let prefix = row.prefix(None);
    let changes = api.cache.watch(&prefix, api.cache.revision()).ok()?;
    let snapshot = api.cache.snapshot(&prefix)?;
    let objects: Vec<&Arc<Cached>> = snapshot.iter().collect();
    let unbound = |object: &Cached| object.index.field("spec.nodeName") == Some("");
    let pods = *row.plural == *"pods";
    let all = objects.into_iter().filter(|object| !(pods && unbound(object)));
    let all: Vec<Change> = all.map(|object| change(row, object, false)).collect();
    api.graph.graph.renew(&row.plural, all);
    api.graph.reach(at, snapshot.revision());
    Some(changes)
}

async fn follow(
    api: &Api,
    at: usize,
    row: &Kind,
    mut changes: Option<Subscription>,
    mut wanted: watch::Receiver<u64>,
) {
    while let Some(mut following) = changes {
        loop {
            let batch = tokio::select! {
                batch = following.next_batch(BATCH) => batch,
                // The sender lives as long as the server.
                _ = wanted.changed() => vec![SubEvent::Progress(0)],
            };
            if batch.is_empty() || batch.iter().any(|one| matches!(one, SubEvent::Expired)) {
                break;
            }
            let events = batch.iter().filter_map(|one| match one {
                SubEvent::Event(event) => Some(event),
                SubEvent::Progress(_) | SubEvent::Expired => None,
            });
            let taken: Vec<Change> =
                events.filter_map(|event| api.graph.change(row, event)).collect();
            if !taken.is_empty() {
                api.graph.graph.take(taken);
            }
            if let Some(revision) = following.progress() {
                api.graph.reach(at, revision);
            }
        }
        changes = read(api, at, row);
    }
}
