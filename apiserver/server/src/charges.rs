//! Who is charging quotas: charged writes under way here, and marks in the store that tell other servers of them.
//!
//! Knows: that a count is only true while no charged write of its namespace is under way, on any server. Refuses to know:
//! what is counted.
//!
//! A mark is there from before the first charge of a namespace until after the last write that was charged, and a little
//! longer, so that one mark serves many writes. It is made anew as long as it is needed; one that stays as it is for longer
//! than any write takes is of a server that has died. A server that has its store for itself makes none.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leme_meta::Status;
use leme_store::{Class, Expect, Outcome};
use tokio::sync::{Mutex as Gate, Notify};
use tokio::time::Instant;

use crate::answer::{read_failed, write_failed};
use crate::api::Api;
use crate::claims::{ABANDONED, Unchanged};

/// Where the marks are.
const MARKS: &str = "/registry/quotacharges/";
/// How old a mark may be when another charge relies on it.
const RENEW: Duration = Duration::from_secs(10);
/// How old it may be when a charged write is sent: others take it for abandoned only well after that.
const GOOD: Duration = Duration::from_secs(45);
/// How long a mark stays when nothing is charged any more.
const LINGER: Duration = Duration::from_secs(1);

/// Charged writes under way, and namespaces that have to be counted.
#[derive(Default)]
pub(crate) struct Quotas {
    under_way: Mutex<HashMap<String, usize>>,
    to_count: Mutex<BTreeSet<String>>,
    woken: Notify,
    /// Of a store that is shared.
    shared: Option<Shared>,
}

/// What is known of other servers on the same store.
struct Shared {
    /// By what name this server makes marks.
    name: String,
    /// Own marks, by namespace: the revision, and when they were made.
    marks: Gate<HashMap<String, (u64, Instant)>>,
    /// Others' marks.
    seen: Mutex<Unchanged>,
    idle: Notify,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Quotas {
    /// Nothing is under way; others may be on the same store.
    pub(crate) fn new(shared: bool) -> Quotas {
        let shared = shared.then(|| Shared {
            name: uuid::Uuid::new_v4().to_string(),
            marks: Gate::default(),
            seen: Mutex::default(),
            idle: Notify::new(),
        });
        Quotas { shared, ..Quotas::default() }
    }

    fn enter(&self, namespace: &str) -> Charge<'_> {
        *locked(&self.under_way).entry(namespace.to_owned()).or_default() += 1;
        Charge { quotas: self, namespace: namespace.to_owned(), marked: None, is_used: false }
    }

    pub(crate) fn is_busy(&self, namespace: &str) -> bool {
        locked(&self.under_way).contains_key(namespace)
    }

    /// Has a namespace counted.
    pub(crate) fn count(&self, namespace: &str) {
        self.count_later(namespace.to_owned());
        self.woken.notify_one();
    }

    /// Has a namespace counted with the next ones.
    pub(crate) fn count_later(&self, namespace: String) {
        locked(&self.to_count).insert(namespace);
    }

    /// Takes the namespaces that have to be counted.
    pub(crate) fn to_count(&self) -> BTreeSet<String> {
        std::mem::take(&mut locked(&self.to_count))
    }

    /// Resolves when there is a namespace to be counted.
    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }
}

/// A charge whose write is under way; what is charged for nothing is counted back.
pub(crate) struct Charge<'a> {
    quotas: &'a Quotas,
    namespace: String,
    /// Since when others know of it.
    marked: Option<Instant>,
    is_used: bool,
}

impl Charge<'_> {
    /// Whether others still count with the write.
    pub fn is_late(charge: Option<&Charge<'_>>) -> bool {
        charge.and_then(|charge| charge.marked).is_some_and(|at| at.elapsed() > GOOD)
    }

    /// The write that was charged, if it was, is stored.
    pub fn used(charge: Option<Charge<'_>>) {
        if let Some(mut charge) = charge {
            charge.is_used = true;
        }
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        let mut under_way = locked(&self.quotas.under_way);
        if let Some(count) = under_way.get_mut(&self.namespace) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.namespace);
                if let Some(shared) = &self.quotas.shared {
                    shared.idle.notify_one();
                }
            }
        }
        drop(under_way);
        if !self.is_used {
            self.quotas.count(&self.namespace);
        }
    }
}

impl Api {
    /// Enters a namespace, and lets other servers know of it before anything is charged.
    pub(crate) async fn enter(&self, namespace: &str) -> Result<Charge<'_>, Status> {
        let mut charge = self.quotas.enter(namespace);
        charge.marked = self.mark(namespace).await?;
        Ok(charge)
    }

    /// Since when others know that this server charges a namespace.
    async fn mark(&self, namespace: &str) -> Result<Option<Instant>, Status> {
        let Some(shared) = &self.quotas.shared else { return Ok(None) };
        let mut marks = shared.marks.lock().await;
        let made = marks.get(namespace).copied();
        if let Some((_, at)) = made.filter(|(_, at)| at.elapsed() < RENEW) {
            return Ok(Some(at));
        }
        let key = format!("{MARKS}{namespace}/{}", shared.name);
        let mut expect = made.map_or(Expect::Absent, |(revision, _)| Expect::Revision(revision));
        loop {
            // By when it was made at the earliest: others saw it later.
            let at = Instant::now();
            let put = self.write_as(Class::Ordinary, &key, "{}".into(), expect).await;
            match put.map_err(write_failed)? {
                Outcome::Done(revision) => {
                    marks.insert(namespace.to_owned(), (revision, at));
                    return Ok(Some(at));
                }
                // Taken away by another, or written without an answer.
                Outcome::Conflict(found) => {
                    expect = found.map_or(Expect::Absent, |e| Expect::Revision(e.mod_revision));
                }
            }
        }
    }

    /// Whether another server charges a namespace. What has been so for too long is over.
    pub(crate) async fn others_charge(&self, namespace: &str) -> Result<bool, Status> {
        let Some(shared) = &self.quotas.shared else { return Ok(false) };
        let prefix = format!("{MARKS}{namespace}/");
        let page = self.store.list(&prefix, "", 0, 0).await.map_err(read_failed)?;
        let mut busy = false;
        for entry in page.entries.iter().filter(|entry| !entry.key.ends_with(&shared.name)) {
            let is_over = locked(&shared.seen).for_long(&entry.key, entry.mod_revision, ABANDONED);
            if is_over {
                self.store.delete(&entry.key, entry.mod_revision).await.map_err(write_failed)?;
            } else {
                busy = true;
            }
        }
        locked(&shared.seen).retain(&prefix, |key| page.entries.iter().any(|e| e.key == *key));
        Ok(busy)
    }

    /// Takes marks away that nothing has needed for a while, until the server stops.
    pub(crate) async fn unmark(&self) {
        let Some(shared) = &self.quotas.shared else { return std::future::pending().await };
        loop {
            shared.idle.notified().await;
            tokio::time::sleep(LINGER).await;
            let mut marks = shared.marks.lock().await;
            let idle: Vec<String> =
                marks.keys().filter(|one| !self.quotas.is_busy(one)).cloned().collect();
            for namespace in idle {
                let Some((revision, _)) = marks.get(&namespace).copied() else { continue };
                let key = format!("{MARKS}{namespace}/{}", shared.name);
                match self.store.delete(&key, revision).await {
                    Ok(_) => drop(marks.remove(&namespace)),
                    Err(error) => {
                        tracing::warn!(%error, %namespace, "cannot say that charges are over");
                        shared.idle.notify_one();
                    }
                }
            }
        }
    }
}
