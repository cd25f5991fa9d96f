//! Servers on one store in memory, each with its own way to it: slower or faster, without news, or cut off for ever.
//!
//! Knows: how a server is started, what the store has seen. Refuses to know: what is tested.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use leme_client::Client;
use leme_server::{Identity, Server, ServerConfig};
use leme_store::memory::MemoryStore;
use leme_store::{Batch, Change, Expect, Outcome, Page, Store, StoreError};
use serde_json::Value;
use tokio::sync::watch;

/// Numbers that are the same in every run with the same seed.
pub struct Dice(AtomicU64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(AtomicU64::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    /// One of `0..sides`.
    pub fn roll(&self, sides: usize) -> usize {
        let next = |x: u64| x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        let old = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |x| Some(next(x)));
        (next(old.unwrap_or_default()) >> 33) as usize % sides
    }
}

/// A server's way to the store.
pub struct Way {
    store: Arc<MemoryStore>,
    dice: Dice,
    /// How many writes are still let through; then none is answered, nor anything else.
    writes_left: AtomicUsize,
    is_cut: AtomicBool,
    /// Whether news come.
    news: watch::Sender<bool>,
}

impl Way {
    /// No news until they are let through again.
    pub fn hold_news(&self) {
        self.news.send_replace(false);
    }

    pub fn let_news_through(&self) {
        self.news.send_replace(true);
    }

    /// The server dies after so many writes more.
    pub fn cut_after(&self, writes: usize) {
        self.writes_left.store(writes, Ordering::Relaxed);
    }

    pub fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    async fn step(&self) {
        for _ in 0..self.dice.roll(4) {
            tokio::task::yield_now().await;
        }
        if self.is_cut() {
            std::future::pending::<()>().await;
        }
    }

    async fn write_step(&self) {
        self.step().await;
        let left = self.writes_left.load(Ordering::Relaxed);
        if left == 0 {
            self.is_cut.store(true, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        self.writes_left.store(left - 1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Store for Way {
    async fn get(&self, key: &str) -> Result<Option<leme_store::Entry>, StoreError> {
        self.step().await;
        self.store.get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
        revision: u64,
    ) -> Result<Page, StoreError> {
        self.step().await;
        self.store.list(prefix, after, limit, revision).await
    }

    async fn put(&self, key: &str, value: Bytes, expect: Expect) -> Result<Outcome, StoreError> {
        self.write_step().await;
        let done = self.store.put(key, value, expect).await;
        self.step().await;
        done
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<Outcome, StoreError> {
        self.write_step().await;
        let done = self.store.delete(key, revision).await;
        self.step().await;
        done
    }

    async fn watch(
        &self,
        prefix: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Batch, StoreError>>, StoreError> {
        let (news, changes) = (self.news.subscribe(), self.store.watch(prefix, from).await?);
        let held = changes.then(move |batch| {
            let mut news = news.clone();
            async move {
                // The way goes before the server that uses it.
                let _ = news.wait_for(|come| *come).await;
                batch
            }
        });
        Ok(held.boxed())
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        self.step().await;
        self.store.revision().await
    }

    async fn compact(&self, revision: u64) -> Result<(), StoreError> {
        self.store.compact(revision).await
    }
}

/// A server and its way to the store.
pub struct One {
    pub server: Server,
    pub way: Arc<Way>,
    _dir: tempfile::TempDir,
}

impl One {
    pub async fn start(store: &Arc<MemoryStore>, seed: u64) -> One {
        let way = Arc::new(Way {
            store: Arc::clone(store),
            dice: Dice::new(seed),
            writes_left: AtomicUsize::new(usize::MAX),
            is_cut: AtomicBool::new(false),
            news: watch::channel(true).0,
        });
        let dir = tempfile::tempdir().unwrap();
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = ServerConfig::new(listen, dir.path().join("pki"), way.clone());
        config.advertise = vec!["192.0.2.1".to_owned()];
        config.shared = true;
        // Room for nine Services besides the server's own, and for four node ports.
        config.service_cidr = (Ipv4Addr::new(10, 0, 0, 0), 28);
        config.node_ports = 30000..=30003;
        // No controller makes the accounts of pods here.
        config.admission.off = vec!["ServiceAccount"];
        let server = Server::start(config).await.unwrap();
        One { server, way, _dir: dir }
    }

    pub fn client(&self) -> Client {
        let masters = vec!["system:masters".to_owned()];
        Client::over(self.server.local_service(Identity::of_certificate("test", masters)))
    }
}

/// Two servers.
pub struct World {
    pub store: Arc<MemoryStore>,
    pub first: One,
    pub second: One,
}

impl World {
    pub async fn start(seed: u64) -> World {
        let store = Arc::new(MemoryStore::new());
        let first = One::start(&store, seed).await;
        let second = One::start(&store, seed + 1000).await;
        World { store, first, second }
    }

    pub fn both(&self) -> [Client; 2] {
        [self.first.client(), self.second.client()]
    }

    /// The objects under a prefix, by the rest of their keys.
    pub async fn objects(&self, prefix: &str) -> BTreeMap<String, Value> {
        let page = self.store.list(prefix, "", 0, 0).await.unwrap();
        let name = |key: &str| key[prefix.len()..].to_owned();
        page.entries
            .iter()
            .map(|entry| (name(&entry.key), serde_json::from_slice(&entry.value).unwrap()))
            .collect()
    }

    /// Everything that has happened under a prefix.
    pub async fn history(&self, prefix: &str) -> Vec<Change> {
        let newest = self.store.revision().await.unwrap();
        let mut changes = self.store.watch(prefix, 1).await.unwrap();
        let (mut all, mut reached) = (Vec::new(), 1);
        while reached < newest {
            let batch = changes.next().await.unwrap().unwrap();
            reached = batch.revision;
            all.extend(batch.changes);
        }
        all
    }
}

/// Lets time pass; whatever becomes due is done.
pub async fn pass(time: Duration) {
    let step = (time / 20).max(Duration::from_secs(1));
    tokio::time::pause();
    let mut left = time;
    while !left.is_zero() {
        tokio::time::advance(step.min(left)).await;
        left = left.saturating_sub(step);
        settle().await;
    }
    tokio::time::resume();
}

/// Lets everybody do what can be done now.
pub async fn settle() {
    for _ in 0..300 {
        tokio::task::yield_now().await;
    }
}

/// A set that several tasks fill.
#[derive(Clone, Default)]
pub struct Said(Arc<Mutex<BTreeSet<String>>>);

impl Said {
    pub fn add(&self, what: String) {
        self.0.lock().unwrap().insert(what);
    }

    pub fn all(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().clone()
    }
}
