//! A store whose values are encrypted at rest, around one that keeps what it is given.
//!
//! Knows: which keys are sealed, and how. Refuses to know: where encryption keys come from; what values mean.
//!
//! What cannot be opened is an entry without a value, as one that an engine has lost: it is named, listed around, and can be
//! deleted; nothing else is harmed.

mod config;
mod seal;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use crate::{Batch, Change, Entry, Expect, Outcome, Page, ROOT, Store, StoreError};
pub use config::Config;
use config::Kept;
use seal::{Sealer, is_sealed};

/// Entries read at a time to see how they are kept.
const PAGE: usize = 500;
/// Of these so many are written at a time.
const AT_ONCE: usize = 64;

/// A store that encrypts.
pub struct Encrypted {
    inner: Arc<dyn Store>,
    rules: Arc<Rules>,
}

/// What is kept how, in the order in which it is said: the first that has a key decides.
struct Rules(Vec<Rule>);

struct Rule {
    prefixes: Vec<String>,
    sealers: Vec<Sealer>,
}

/// What a walk through the store came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// So many values are now kept as the configuration says.
    pub written: u64,
    /// So many could not be opened, and stay.
    pub unreadable: u64,
    /// The first of those.
    pub first: Option<Arc<str>>,
}

impl Encrypted {
    /// Around a store; `prefixes` tells under which prefixes the resources of such a name lie.
    pub fn new(
        inner: Arc<dyn Store>,
        config: Config,
        prefixes: impl Fn(&str) -> Vec<String>,
    ) -> Encrypted {
        let rule = |kept: Kept| Rule {
            prefixes: kept.resources.iter().flat_map(|name| prefixes(name)).collect(),
            sealers: kept.sealers,
        };
        Encrypted { inner, rules: Arc::new(Rules(config.rules.into_iter().map(rule).collect())) }
    }

    /// Writes again what is kept otherwise than the configuration says: in the clear, with a key that is not the first any
    /// more, or sealed though it is not named. What changes meanwhile is written by whoever changes it.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn rewrite(&self) -> Result<Rewritten, StoreError> {
        let mut done = Rewritten::default();
        let mut after = String::new();
        loop {
            let page = self.inner.list(ROOT, &after, PAGE, 0).await?;
            let writes = page.entries.iter().map(|entry| self.rewrite_one(entry));
            let mut writes = futures::stream::iter(writes).buffered(AT_ONCE);
            while let Some(one) = writes.try_next().await? {
                match one {
                    One::AsItShould => {}
                    One::Written => done.written += 1,
                    One::Unreadable(key) => {
                        done.unreadable += 1;
                        done.first.get_or_insert(key);
                    }
                }
            }
            drop(writes);
            match page.entries.last() {
                Some(last) if page.more => after = last.key.to_string(),
                _ => return Ok(done),
            }
        }
    }

    async fn rewrite_one(&self, entry: &Entry) -> Result<One, StoreError> {
        let first = self.rules.of(&entry.key).and_then(<[Sealer]>::first);
        let is_right = match first {
            Some(first) => first.made(&entry.value),
            None => !is_sealed(&entry.value),
        };
        if entry.value.is_empty() || is_right {
            return Ok(One::AsItShould);
        }
        let Ok(value) = self.rules.open(&entry.key, &entry.value) else {
            return Ok(One::Unreadable(Arc::clone(&entry.key)));
        };
        let value = self.rules.sealed(&entry.key, value)?;
        match self.inner.put(&entry.key, value, Expect::Revision(entry.mod_revision)).await? {
            Outcome::Done(_) => Ok(One::Written),
            Outcome::Conflict(_) => Ok(One::AsItShould),
        }
    }
}

/// What has become of one value.
enum One {
    AsItShould,
    Written,
    Unreadable(Arc<str>),
}

impl Rules {
    fn of(&self, key: &str) -> Option<&[Sealer]> {
        let has = |rule: &&Rule| rule.prefixes.iter().any(|prefix| key.starts_with(prefix));
        self.0.iter().find(has).map(|rule| &*rule.sealers)
    }

    fn sealed(&self, key: &str, value: Bytes) -> Result<Bytes, StoreError> {
        match self.of(key).and_then(<[Sealer]>::first) {
            Some(first) => first
                .seal(key, value)
                .map_err(|why| StoreError::Unreachable(format!("{key}: {why}"))),
            None => Ok(value),
        }
    }

    /// The entry with its value in the clear, or without one.
    fn opened(&self, mut entry: Entry) -> Entry {
        let as_it_is = self.of(&entry.key).is_none() && !is_sealed(&entry.value);
        if as_it_is || entry.value.is_empty() {
            return entry;
        }
        entry.value = self.open(&entry.key, &entry.value).unwrap_or_else(|why| {
            let (key, revision) = (&entry.key, entry.mod_revision);
            tracing::error!(%key, revision, %why, "the object cannot be decrypted");
            Bytes::new()
        });
        entry
    }

    /// Opens what was sealed for a key: by what is said of that, or else by any of the keys that are known, for what is
    /// said may have changed.
    fn open(&self, key: &str, value: &Bytes) -> Result<Bytes, String> {
        let own = self.of(key).unwrap_or_default().iter();
        let all = self.0.iter().flat_map(|rule| &rule.sealers).filter(|_| is_sealed(value));
        match own.chain(all).find(|sealer| sealer.made(value)) {
            Some(sealer) => sealer.open(key, value),
            None => Err("no provider of the configuration has its key".to_owned()),
        }
    }

    fn outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Conflict(there) => Outcome::Conflict(there.map(|entry| self.opened(entry))),
            done @ Outcome::Done(_) => done,
        }
    }

    fn change(&self, change: Change) -> Change {
        match change {
            Change::Put { entry, previous } => Change::Put { entry: self.opened(entry), previous },
            Change::Delete { previous, revision } => {
                Change::Delete { previous: self.opened(previous), revision }
            }
        }
    }
}

#[async_trait]
impl Store for Encrypted {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self.inner.get(key).await?.map(|entry| self.rules.opened(entry)))
    }

    async fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
        revision: u64,
    ) -> Result<Page, StoreError> {
        let page = self.inner.list(prefix, after, limit, revision).await?;
        let entries = page.entries.into_iter().map(|entry| self.rules.opened(entry)).collect();
        Ok(Page { entries, ..page })
    }

    async fn put(&self, key: &str, value: Bytes, expect: Expect) -> Result<Outcome, StoreError> {
        let value = self.rules.sealed(key, value)?;
        Ok(self.rules.outcome(self.inner.put(key, value, expect).await?))
    }

    async fn put_reserved(
        &self,
        key: &str,
        value: Bytes,
        expect: Expect,
    ) -> Result<Outcome, StoreError> {
        let value = self.rules.sealed(key, value)?;
        Ok(self.rules.outcome(self.inner.put_reserved(key, value, expect).await?))
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<Outcome, StoreError> {
        Ok(self.rules.outcome(self.inner.delete(key, revision).await?))
    }

    async fn watch(
        &self,
        prefix: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Batch, StoreError>>, StoreError> {
        let rules = Arc::clone(&self.rules);
        let sealed = self.inner.watch(prefix, from).await?;
        let opened = move |item: Result<Batch, StoreError>| {
            item.map(|batch| Batch {
                changes: batch.changes.into_iter().map(|change| rules.change(change)).collect(),
                ..batch
            })
        };
        Ok(sealed.map(opened).boxed())
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        self.inner.revision().await
    }

    async fn compact(&self, revision: u64) -> Result<(), StoreError> {
        self.inner.compact(revision).await
    }

    async fn request_progress(&self) -> Result<(), StoreError> {
        self.inner.request_progress().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}

#[cfg(test)]
mod tests;
