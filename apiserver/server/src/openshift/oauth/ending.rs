//! Codes and tokens that are over are taken away: nobody believes them any more, and they take up room.
//!
//! Refuses to know: whether one is believed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leme_kinds::Kind;
use leme_registry::DeleteOptions;

use super::authorize::GROUP;
use super::token::is_over;
use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::table;

const EVERY: Duration = Duration::from_secs(60);

/// Takes away what is over until the server stops.
pub(crate) async fn run(api: Arc<Api>) {
    let stop = api.lifetime.stop_token();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let now = Timestamp::now().as_second();
        for plural in ["oauthaccesstokens", "oauthauthorizetokens"] {
            if let Some(kind) = leme_kinds::by_resource(GROUP, "v1", plural) {
                sweep(&api, kind, now).await;
            }
        }
    }
}

async fn sweep(api: &Api, kind: &Arc<Kind>, now: i64) {
    let Some(all) = api.cache.snapshot(&kind.prefix(None)) else { return };
    for object in all.iter() {
        if !table::decoded(object).is_ok_and(|token| is_over(&token, now)) {
            continue;
        }
        let request = ResourceRequest::of(Verb::Delete, kind, "", &object.index.name);
        let options =
            DeleteOptions { uid: Some(object.index.uid.to_string()), ..DeleteOptions::default() };
        if let Err(error) = api.delete_object(&request, &options).await
            && error.code >= 500
        {
            return tracing::warn!(%error, "cannot take tokens away that are over; trying again later");
        }
    }
}
