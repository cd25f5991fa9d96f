//! One server at a time uses an etcd: whoever holds a key that lives as long as its lease is renewed.
//!
//! Knows: that key, and a second one by which a cluster is recognised. Refuses to know: what is done with etcd
//! otherwise. A lease alone is no proof, for a server may sleep through its end: every write compares the key as well.
//!
//! The claim of a server that was killed ends by itself; the same server, started again, takes it over at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use etcd_client::{
    Compare, CompareOp, GetResponse, KvClient, LeaseClient, PutOptions, Txn, TxnOp, TxnOpResponse,
};
use serde_json::{Value, json};

use super::errors::{Lost, answered, nonsense};
use crate::StoreError;

/// Beside `/registry/`, so that no list shows them.
const SERVER: &str = "/leme/server";
const CLUSTER: &str = "/leme/cluster";
/// How long the claim of a server that says nothing holds, in seconds, and how often it says something.
const LEASE_SECONDS: i64 = 10;
const RENEW: Duration = Duration::from_secs(3);

/// Who claims an etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerIdentity {
    /// The same each time this server is started, and no other's.
    pub id: String,
    /// What people are told: where it runs.
    pub shown: String,
}

impl ServerIdentity {
    fn encode(&self) -> String {
        json!({ "id": self.id, "shown": self.shown }).to_string()
    }

    fn decode(bytes: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Self { id: text("id"), shown: text("shown") }
    }
}

/// A claim on an etcd, kept until it is released or lost.
pub(super) struct Claim {
    kv: KvClient,
    leases: LeaseClient,
    server: ServerIdentity,
    key: String,
    cluster_key: String,
    /// What the second key held when the claim was made, and the revision that wrote it.
    cluster: (Vec<u8>, i64),
    /// The revision that wrote the key; what writes compare with.
    revision: AtomicI64,
    lease: AtomicI64,
    lost: Arc<Lost>,
}

/// How an attempt to take the key ended.
enum Attempt {
    Taken { revision: i64, lease: i64 },
    Other(ServerIdentity),
}

impl Claim {
    /// Claims an etcd; refused while another server holds it.
    pub(super) async fn make(
        kv: KvClient,
        leases: LeaseClient,
        prefix: &str,
        server: ServerIdentity,
        endpoints: &str,
        lost: Arc<Lost>,
    ) -> Result<Arc<Self>, StoreError> {
        let (key, cluster_key) = (format!("{prefix}{SERVER}"), format!("{prefix}{CLUSTER}"));
        let cluster = cluster_of(&mut kv.clone(), &cluster_key, &server).await?;
        let claim = Self {
            kv,
            leases,
            server,
            key,
            cluster_key,
            cluster,
            revision: AtomicI64::new(0),
            lease: AtomicI64::new(0),
            lost,
        };
        match claim.take().await? {
            Attempt::Taken { revision, lease } => claim.hold(revision, lease),
            Attempt::Other(other) => {
                return Err(StoreError::InUse(format!(
                    "etcd at {endpoints} is in use by another server ({}): stop that one first; the claim of one that was killed ends within {LEASE_SECONDS} s",
                    other.shown
                )));
            }
        }
        Ok(Arc::new(claim))
    }

    /// What must be true of etcd for a write of this server to happen.
    pub(super) fn compare(&self) -> Compare {
        let held = self.revision.load(Ordering::Acquire);
        Compare::mod_revision(self.key.as_str(), CompareOp::Equal, held)
    }

    /// Tells in a failed transaction why it failed.
    pub(super) fn read(&self) -> TxnOp {
        TxnOp::get(self.key.as_str(), None)
    }

    /// What a failed transaction found of the claim: an error if that was why it failed.
    pub(super) fn judge(&self, found: &GetResponse) -> Result<(), StoreError> {
        let held = self.revision.load(Ordering::Acquire);
        match found.kvs().first() {
            Some(kv) if kv.mod_revision() == held => Ok(()),
            Some(kv) if ServerIdentity::decode(kv.value()).id != self.server.id => {
                let other = ServerIdentity::decode(kv.value());
                Err(StoreError::Unreachable(format!(
                    "etcd is in use by another server ({})",
                    other.shown
                )))
            }
            _ => {
                let why = "this server's claim on etcd has ended and is being renewed";
                Err(StoreError::Unreachable(why.to_owned()))
            }
        }
    }

    /// Keeps the claim until it is lost.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(RENEW);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        while self.lost.why().is_none() {
            ticks.tick().await;
            if let Err(why) = self.renew().await {
                tracing::warn!(%why, "cannot renew the claim on etcd; trying again");
            }
        }
    }

    /// Lets another server in at once.
    pub(super) async fn release(&self) -> Result<(), StoreError> {
        let lease = self.lease.swap(0, Ordering::AcqRel);
        if lease == 0 {
            return Ok(());
        }
        let mut leases = self.leases.clone();
        answered("write", leases.revoke(lease)).await.map(drop)
    }

    async fn renew(&self) -> Result<(), StoreError> {
        let lease = self.lease.load(Ordering::Acquire);
        if lease == 0 || self.is_alive(lease).await? {
            return Ok(());
        }
        // It ended: etcd was away for long, or is another one.
        let mut kv = self.kv.clone();
        let found = answered("read", kv.get(self.cluster_key.as_str(), None)).await?;
        let same = found.kvs().first().is_some_and(|kv| {
            (kv.value(), kv.create_revision()) == (&*self.cluster.0, self.cluster.1)
        });
        if !same {
            self.lost.set("it does not hold what this server wrote into it");
            return Ok(());
        }
        match self.take().await? {
            Attempt::Taken { revision, lease } => self.hold(revision, lease),
            Attempt::Other(other) => {
                self.lost.set(&format!("another server ({}) has taken it over", other.shown));
            }
        }
        Ok(())
    }

    async fn is_alive(&self, lease: i64) -> Result<bool, StoreError> {
        let mut leases = self.leases.clone();
        let asked = async {
            let (mut keeper, mut answers) = leases.keep_alive(lease).await?;
            keeper.keep_alive().await?;
            answers.message().await
        };
        match answered("renew a lease in", asked).await {
            Ok(answer) => Ok(answer.is_some_and(|answer| answer.ttl() > 0)),
            // How etcd says so at the first message.
            Err(StoreError::Unavailable(why)) if why.contains("lease not found") => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn hold(&self, revision: i64, lease: i64) {
        self.revision.store(revision, Ordering::Release);
        self.lease.store(lease, Ordering::Release);
    }

    /// Takes the key if nobody or this same server has it.
    async fn take(&self) -> Result<Attempt, StoreError> {
        let mut leases = self.leases.clone();
        let lease = answered("write", leases.grant(LEASE_SECONDS, None)).await?.id();
        let mut expected = 0;
        loop {
            let put = PutOptions::new().with_lease(lease);
            let txn = Txn::new()
                .when([Compare::mod_revision(self.key.as_str(), CompareOp::Equal, expected)])
                .and_then([TxnOp::put(self.key.as_str(), self.server.encode(), Some(put))])
                .or_else([self.read()]);
            let mut kv = self.kv.clone();
            let response = answered("write", kv.txn(txn)).await?;
            if response.succeeded() {
                let header = response.header().ok_or_else(|| nonsense("no header"))?;
                return Ok(Attempt::Taken { revision: header.revision(), lease });
            }
            let found = match response.op_responses().into_iter().next() {
                Some(TxnOpResponse::Get(found)) => found,
                _ => return Err(nonsense("a failed comparison without the current value")),
            };
            let holder = found.kvs().first();
            expected = holder.map_or(0, |kv| kv.mod_revision());
            let other = holder.map(|kv| ServerIdentity::decode(kv.value()));
            if let Some(other) = other.filter(|other| other.id != self.server.id) {
                // It would end by itself.
                let _ = answered("write", leases.revoke(lease)).await;
                return Ok(Attempt::Other(other));
            }
        }
    }
}

/// What marks this cluster; written by whoever comes first.
async fn cluster_of(
    kv: &mut KvClient,
    key: &str,
    server: &ServerIdentity,
) -> Result<(Vec<u8>, i64), StoreError> {
    let txn = Txn::new().when([Compare::version(key, CompareOp::Equal, 0)]).and_then([TxnOp::put(
        key,
        server.id.as_str(),
        None,
    )]);
    answered("write", kv.txn(txn)).await?;
    let found = answered("read", kv.get(key, None)).await?;
    let found = found.kvs().first().ok_or_else(|| nonsense("what was written is not there"))?;
    Ok((found.value().to_vec(), found.create_revision()))
}
