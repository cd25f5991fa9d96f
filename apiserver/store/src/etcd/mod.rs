//! The engine for many machines: a real etcd, 3.4 or newer.
//!
//! Knows: etcd's transactions, ranges and errors. Refuses to know: consensus, and whether a write whose answer was lost
//! happened; it says so and never tries again by itself.

mod claim;
mod compactor;
mod config;
mod errors;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use etcd_client::{
    Compare, CompareOp, GetOptions, GetResponse, KeyValue, KvClient, ResponseHeader, Txn, TxnOp,
    TxnOpResponse, WatchClient,
};
use futures::stream::BoxStream;
use tokio::sync::watch as channel;
use tokio::task::AbortHandle;

pub use claim::ServerIdentity;
pub use config::EtcdConfig;

use claim::Claim;
use errors::{Lost, answered, nonsense};

use crate::{Batch, Entry, Expect, Outcome, Page, Store, StoreError};

/// How long etcd may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Entries asked for at once when all are wanted.
const PAGE: usize = 1000;
/// Keys that end so are written by the watches themselves, only to learn how far they are; nobody sees them.
const PROGRESS_KEY: &str = "~progress";

/// A store in etcd.
pub struct EtcdStore {
    kv: KvClient,
    watches: WatchClient,
    prefix: Arc<str>,
    /// Whether a watch may be asked for its progress; before etcd 3.4.31 and 3.5.13 the answer could be a lie.
    honest_progress: bool,
    asks: channel::Sender<()>,
    /// The newest revision that etcd has told of.
    newest: AtomicU64,
    lost: Arc<Lost>,
    claim: Option<Arc<Claim>>,
    tasks: Vec<AbortHandle>,
}

impl EtcdStore {
    /// Connects, and checks that this is an etcd that can be used.
    pub async fn connect(config: EtcdConfig) -> Result<Self, StoreError> {
        let client = config.client().await?;
        let endpoints = config.endpoints.join(", ");
        let status = answered("reach", client.maintenance_client().status()).await;
        let status = status.map_err(|e| match e {
            StoreError::Unreachable(why) | StoreError::Unavailable(why) => {
                StoreError::Unavailable(format!("cannot use etcd at {endpoints}: {why}"))
            }
            other => other,
        })?;
        let version = config::parse_version(status.version());
        if version < (3, 4, 0) {
            return Err(StoreError::Format(format!(
                "etcd at {endpoints} is version {}; 3.4 or newer is needed",
                status.version()
            )));
        }
        let prefix: Arc<str> = config.prefix.as_str().into();
        let kv = client.kv_client().max_decoding_message_size(usize::MAX);
        let lost = Arc::new(Lost::new(endpoints.clone()));
        let claim = match config.server {
            Some(server) => {
                let (kv, leases) = (kv.clone(), client.lease_client());
                Some(Claim::make(kv, leases, &prefix, server, &endpoints, lost.clone()).await?)
            }
            None => None,
        };
        let compactor = tokio::spawn(compactor::run(kv.clone(), prefix.clone(), config.history));
        let keeper = claim.clone().map(|claim| tokio::spawn(claim.keep()).abort_handle());
        let newest = status.header().map_or(0, |header| unsigned(header.revision()));
        Ok(Self {
            kv,
            watches: client.watch_client().max_decoding_message_size(usize::MAX),
            prefix,
            honest_progress: config::tells_honest_progress(version),
            asks: channel::channel(()).0,
            newest: AtomicU64::new(newest),
            lost,
            claim,
            tasks: keeper.into_iter().chain([compactor.abort_handle()]).collect(),
        })
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn range(&self, key: Vec<u8>, options: GetOptions) -> Result<GetResponse, StoreError> {
        let mut kv = self.kv.clone();
        let known = self.known()?;
        let response = answered("read", kv.get(key, Some(options))).await?;
        self.learn(known, response.header())?;
        Ok(response)
    }

    /// The newest revision known, before etcd is asked for something.
    fn known(&self) -> Result<u64, StoreError> {
        self.lost.why().map_or_else(|| Ok(self.newest.load(Ordering::Acquire)), Err)
    }

    /// Takes in the revision of an answer to what was asked when `known` was known: it cannot be older.
    fn learn(&self, known: u64, header: Option<&ResponseHeader>) -> Result<(), StoreError> {
        let revision = header.map_or(0, |header| unsigned(header.revision()));
        if revision < known {
            self.lost.set(&format!("its revision went back from {known} to {revision}"));
        }
        self.newest.fetch_max(revision, Ordering::AcqRel);
        self.lost.why().map_or(Ok(()), Err)
    }

    async fn transact(&self, key: &str, expected: i64, then: TxnOp) -> Result<Outcome, StoreError> {
        let key = self.full(key);
        let wanted = Compare::mod_revision(key.as_str(), CompareOp::Equal, expected);
        let claim = self.claim.as_deref();
        let txn = Txn::new()
            .when([wanted].into_iter().chain(claim.map(Claim::compare)).collect::<Vec<_>>())
            .and_then([then])
            .or_else(
                [TxnOp::get(key.as_str(), None)]
                    .into_iter()
                    .chain(claim.map(Claim::read))
                    .collect::<Vec<_>>(),
            );
        let mut kv = self.kv.clone();
        let known = self.known()?;
        let response = answered("write", kv.txn(txn)).await?;
        let learnt = self.learn(known, response.header());
        if response.succeeded() {
            // It has happened, wherever that was.
            learnt.map_err(|e| StoreError::Unavailable(e.to_string()))?;
            let header = response.header().ok_or_else(|| nonsense("no header"))?;
            return Ok(Outcome::Done(unsigned(header.revision())));
        }
        learnt?;
        let responses = response.op_responses();
        if let (Some(claim), Some(TxnOpResponse::Get(found))) = (claim, responses.get(1)) {
            claim.judge(found)?;
        }
        match responses.first() {
            Some(TxnOpResponse::Get(found)) => {
                let current = found.kvs().first().map(|kv| self.entry(kv));
                Ok(Outcome::Conflict(current.transpose()?))
            }
            _ => Err(nonsense("a failed comparison without the current value")),
        }
    }

    fn entry(&self, kv: &KeyValue) -> Result<Entry, StoreError> {
        entry(&self.prefix, kv)
    }

    /// One page of at most `limit`.
    async fn page(
        &self,
        start: Vec<u8>,
        end: Vec<u8>,
        limit: usize,
        revision: u64,
    ) -> Result<Page, StoreError> {
        let options = GetOptions::new()
            .with_range(end)
            .with_limit(signed(limit as u64))
            .with_revision(signed(revision));
        let mut response = match self.range(start, options).await {
            Err(StoreError::Compacted { .. }) => {
                return Err(StoreError::Compacted { asked: revision, oldest: revision + 1 });
            }
            Err(StoreError::Future { .. }) => {
                let newest = self.revision().await?;
                return Err(StoreError::Future { asked: revision, newest });
            }
            other => other?,
        };
        let newest = response.header().map(|h| unsigned(h.revision()));
        let newest = newest.ok_or_else(|| nonsense("no header"))?;
        let more = response.more();
        let visible = |kv: &KeyValue| !kv.key().ends_with(PROGRESS_KEY.as_bytes());
        let kvs = response.take_kvs().into_iter().filter(visible);
        let entries = kvs.map(|kv| self.entry(&kv)).collect::<Result<_, _>>()?;
        Ok(Page { entries, revision: if revision == 0 { newest } else { revision }, more })
    }
}

impl Drop for EtcdStore {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

#[async_trait]
impl Store for EtcdStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let response = self.range(self.full(key).into(), GetOptions::new()).await?;
        response.kvs().first().map(|kv| self.entry(kv)).transpose()
    }

    async fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
        revision: u64,
    ) -> Result<Page, StoreError> {
        let end = end_of(self.full(prefix).as_bytes());
        let mut start = self.full(prefix).into_bytes();
        if after >= prefix {
            start = self.full(after).into_bytes();
            start.push(0);
        }
        let mut page = Page { entries: Vec::new(), revision, more: true };
        if start >= end {
            // Nothing can lie there; etcd still judges the revision.
            let none = self.page(self.full(PROGRESS_KEY).into(), Vec::new(), 1, revision).await?;
            return Ok(Page { entries: Vec::new(), more: false, ..none });
        }
        while page.more && (limit == 0 || page.entries.len() < limit) {
            let wanted = if limit == 0 { PAGE } else { limit - page.entries.len() };
            let next = self.page(start.clone(), end.clone(), wanted, page.revision).await?;
            (page.revision, page.more) = (next.revision, next.more && !next.entries.is_empty());
            page.entries.extend(next.entries);
            if let Some(last) = page.entries.last() {
                start = self.full(&last.key).into_bytes();
                start.push(0);
            }
        }
        Ok(page)
    }

    async fn put(&self, key: &str, value: Bytes, expect: Expect) -> Result<Outcome, StoreError> {
        let expected = match expect {
            Expect::Absent => 0,
            Expect::Revision(revision) => existing(revision),
        };
        self.transact(key, expected, TxnOp::put(self.full(key), value, None)).await
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<Outcome, StoreError> {
        self.transact(key, existing(revision), TxnOp::delete(self.full(key), None)).await
    }

    async fn watch(
        &self,
        prefix: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Batch, StoreError>>, StoreError> {
        self.open_watch(prefix, from).await
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        let options = GetOptions::new().with_count_only();
        let response = self.range(self.full(PROGRESS_KEY).into(), options).await?;
        let header = response.header().ok_or_else(|| nonsense("no header"))?;
        Ok(unsigned(header.revision()))
    }

    async fn compact(&self, revision: u64) -> Result<(), StoreError> {
        let mut kv = self.kv.clone();
        match answered("compact", kv.compact(signed(revision), None)).await {
            Err(StoreError::Compacted { .. }) => Ok(()),
            Err(StoreError::Future { .. }) => {
                let newest = self.revision().await?;
                Err(StoreError::Future { asked: revision, newest })
            }
            other => other.map(|_| ()),
        }
    }

    async fn request_progress(&self) -> Result<(), StoreError> {
        self.asks.send_replace(());
        Ok(())
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.tasks.iter().for_each(AbortHandle::abort);
        match &self.claim {
            Some(claim) => claim.release().await,
            None => Ok(()),
        }
    }
}

fn entry(prefix: &str, kv: &KeyValue) -> Result<Entry, StoreError> {
    let key = kv.key_str().ok().and_then(|key| key.strip_prefix(prefix));
    let key = key.ok_or_else(|| {
        nonsense(&format!("the key {:?} is not ours", String::from_utf8_lossy(kv.key())))
    })?;
    Ok(Entry {
        key: key.into(),
        value: Bytes::copy_from_slice(kv.value()),
        create_revision: unsigned(kv.create_revision()),
        mod_revision: unsigned(kv.mod_revision()),
    })
}

/// A revision to compare with that stands for an existing key: 0 would stand for none.
fn existing(revision: u64) -> i64 {
    if revision == 0 { -1 } else { signed(revision) }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// The first key after all that start with `prefix`.
fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    // To the end of all keys.
    vec![0]
}
