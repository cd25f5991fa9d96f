//! What requests are sorted by: the FlowSchemas and PriorityLevelConfigurations of the cache.
//!
//! Knows: that all of both are read when one of them changes, which is seldom, and that a schema is told whether its level
//! is there. Refuses to know: what they say besides.

use std::sync::Arc;

use jiff::Timestamp;
use leme_kinds::Kind;
use leme_meta::Status;
use leme_registry::{Target, json};
use leme_store::cache::SubEvent;
use serde_json::{Value, json};

use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
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
async fn follow(api: &Api, schemas: &Arc<Kind>, levels: &Arc<Kind>) -> bool {
    let watch = |kind: &Kind| api.cache.watch(&kind.prefix(None), api.cache.revision());
    let (Ok(mut of_schemas), Ok(mut of_levels)) = (watch(schemas), watch(levels)) else {
        return false;
    };
    loop {
        let (found, known) = (all(api, schemas), all(api, levels));
        api.in_flight.fairness.set(&found, &known);
        for schema in &found {
            if let Err(error) = tell(api, schemas, schema, &known).await {
                tracing::warn!(%error, "cannot tell a FlowSchema whether its level is there");
            }
        }
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

/// Tells a schema whether the level that it names is there, unless it knows.
async fn tell(api: &Api, kind: &Arc<Kind>, schema: &Value, levels: &[Value]) -> Result<(), Status> {
    let level = json::text(schema, &["spec", "priorityLevelConfiguration", "name"]);
    let is_there = levels.iter().any(|one| json::text(one, &["metadata", "name"]) == level);
    let about =
        format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let (status, reason, message) = match is_there {
        true => ("False", "Found", format!("{about} and it exists")),
        false => ("True", "NotFound", format!("{about} but there is no such object")),
    };
    let knows = |object: &Value| {
        let conditions = json::list(object, &["status", "conditions"]);
        conditions.iter().any(|one| {
            json::text(one, &["type"]) == "Dangling" && json::text(one, &["message"]) == message
        })
    };
    if knows(schema) {
        return Ok(());
    }
    let name = json::text(schema, &["metadata", "name"]);
    let update = ResourceRequest::of(Verb::Update, kind, "", name);
    let told = api.make_of(&update, Target::Status, |stored| {
        if knows(stored) {
            return Ok(None);
        }
        let mut new = stored.clone();
        let mut conditions = json::list(&new, &["status", "conditions"]).to_vec();
        conditions.retain(|one| json::text(one, &["type"]) != "Dangling");
        conditions.push(
            json!({ "type": "Dangling", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": leme_meta::time::seconds(Timestamp::now()) }),
        );
        json::set(json::child(&mut new, "status"), "conditions", conditions);
        Ok(Some(new))
    });
    told.await.map(drop)
}

fn all(api: &Api, kind: &Kind) -> Vec<Value> {
    let snapshot = api.cache.snapshot(&kind.prefix(None));
    let objects = snapshot.iter().flat_map(|all| all.iter());
    // One that cannot be read sorts nothing; the cache names it.
    objects.filter_map(|object| table::decoded(object).ok()).collect()
}
