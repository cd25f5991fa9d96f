//! History is forgotten by one server at a time: whoever wins a comparison on a shared key each round.
//!
//! Knows: that key. Refuses to know: anything else.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, KvClient, Txn, TxnOp, TxnOpResponse};

use super::errors::{answered, nonsense};
use super::{signed, unsigned};
use crate::StoreError;

/// Beside `/registry/`, so that no list shows it.
const KEY: &str = "/leme/compact";

/// What was learnt in the last round.
#[derive(Clone, Copy, Default)]
struct Round {
    /// Version of the key, as far as known.
    version: i64,
    /// The revision then; 0: none yet.
    revision: u64,
}

/// Forgets, every `history`, what was old a round before.
pub(super) async fn run(kv: KvClient, prefix: Arc<str>, history: Duration) {
    let key = format!("{prefix}{KEY}");
    let mut round = Round::default();
    loop {
        tokio::time::sleep(history).await;
        match turn(kv.clone(), &key, round).await {
            Ok(next) => round = next,
            Err(why) => tracing::warn!(%why, "cannot compact etcd; trying again next time"),
        }
    }
}

async fn turn(mut kv: KvClient, key: &str, last: Round) -> Result<Round, StoreError> {
    let txn = Txn::new()
        .when([Compare::version(key, CompareOp::Equal, last.version)])
        .and_then([TxnOp::put(key, last.revision.to_string(), None)])
        .or_else([TxnOp::get(key, None)]);
    let response = answered("compact", kv.txn(txn)).await?;
    let header = response.header().ok_or_else(|| nonsense("no header"))?;
    let revision = unsigned(header.revision());
    if !response.succeeded() {
        let version = match response.op_responses().first() {
            Some(TxnOpResponse::Get(found)) => found.kvs().first().map_or(0, |kv| kv.version()),
            _ => 0,
        };
        return Ok(Round { version, revision });
    }
    if last.revision > 0 {
        match answered("compact", kv.compact(signed(last.revision), None)).await {
            Ok(_) | Err(StoreError::Compacted { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(Round { version: last.version + 1, revision })
}
