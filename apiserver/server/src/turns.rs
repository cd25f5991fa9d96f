//! What requests are sorted by: the FlowSchemas and PriorityLevelConfigurations of the cache.
//!
//! Knows: that all of both are read when one of them changes, which is seldom. Refuses to know: what they say.

use std::sync::Arc;

use leme_kinds::Kind;
use leme_store::cache::SubEvent;
use serde_json::Value;

use crate::api::Api;
use crate::table;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// Changes taken from the cache at a time.
const BATCH: usize = 256;

/// Sorts by what the cache has from now on, until the server stops.
pub(crate) fn start(api: &Arc<Api>) {
    let row = |plural| leme_kinds::by_resource(GROUP, "v1", plural);
    let (Some(schemas), Some(levels)) = (row("flowschemas"), row("prioritylevelconfigurations"))
    else {
        return;
    };
    let api = Arc::clone(api);
    let stop = api.lifetime.stop_token();
    api.lifetime.clone().spawn(async move {
        stop.run_until_cancelled(async { while follow(&api, schemas, levels).await {} }).await;
    });
}

/// Reads all, and again at each change until changes are lost; not, when there is no more cache.
async fn follow(api: &Api, schemas: &Kind, levels: &Kind) -> bool {
    let watch = |kind: &Kind| api.cache.watch(&kind.prefix(None), api.cache.revision());
    let (Ok(mut of_schemas), Ok(mut of_levels)) = (watch(schemas), watch(levels)) else {
        return false;
    };
    loop {
        api.in_flight.fairness.set(&all(api, schemas), &all(api, levels));
        loop {
            let changes = tokio::select! {
                changes = of_schemas.next_batch(BATCH) => changes,
                changes = of_levels.next_batch(BATCH) => changes,
            };
            if changes.is_empty() {
                return false;
            }
            if changes.iter().any(|change| matches!(change, SubEvent::Expired)) {
                return true;
            }
            if changes.iter().any(|change| matches!(change, SubEvent::Event(_))) {
                break;
            }
        }
    }
}

fn all(api: &Api, kind: &Kind) -> Vec<Value> {
    let snapshot = api.cache.snapshot(&kind.prefix(None));
    let objects = snapshot.iter().flat_map(|all| all.iter());
    // One that cannot be read sorts nothing; the cache names it.
    objects.filter_map(|object| table::decoded(object).ok()).collect()
}
