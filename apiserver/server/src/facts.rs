//! What admission plug-ins look at: the objects of the cache.
//!
//! Knows: how an object is found by its resource. Refuses to know: what plug-ins conclude.
//!
//! A write of what plug-ins look at is answered once the cache shows it, so what the cache has not is not there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use leme_access::Policy;
use leme_admission::{Facts, Seen};
use leme_kinds::Kind;
use leme_meta::Status;
use leme_store::cache::{Cache, Cached};
use serde_json::Value;

use crate::answer::unreadable;
use crate::policies::Policies;
use crate::table;

/// So many objects are kept decoded, which are the same few for most writes.
const DECODED: usize = 1_000;

/// Decoded objects with their revisions, by key.
type Decoded = HashMap<Arc<str>, (u64, Arc<Value>)>;

/// The objects of the cache, for admission.
pub(crate) struct CacheFacts {
    cache: Arc<Cache>,
    policies: Arc<Policies>,
    /// What was decoded of late.
    decoded: Mutex<Decoded>,
}

fn row(of: &Seen) -> Result<&'static Arc<Kind>, Status> {
    leme_kinds::by_resource(of.group, of.version, of.plural).ok_or_else(Status::no_such_path)
}

impl CacheFacts {
    pub fn new(cache: Arc<Cache>, policies: Arc<Policies>) -> CacheFacts {
        CacheFacts { cache, policies, decoded: Mutex::default() }
    }

    fn decoded(&self, object: &Cached) -> Result<Arc<Value>, Status> {
        let decoded = || self.decoded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((revision, value)) = decoded().get(&object.key)
            && *revision == object.mod_revision
        {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(table::decoded(object)?);
        let mut decoded = decoded();
        if decoded.len() >= DECODED {
            decoded.clear();
        }
        decoded.insert(Arc::clone(&object.key), (object.mod_revision, Arc::clone(&value)));
        Ok(value)
    }

    fn find(&self, of: &Seen, namespace: &str, name: &str) -> Result<Option<Arc<Cached>>, Status> {
        let row = row(of)?;
        let (prefix, key) = (row.prefix(None), row.key(namespace, name));
        if let Some(object) = self.cache.get(&prefix, &key) {
            return Ok(Some(object));
        }
        match self.cache.unreadable_at(&prefix, &key) {
            Some(why) => Err(unreadable(&key, &why)),
            None => Ok(None),
        }
    }
}

impl Facts for CacheFacts {
    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policies.load())
    }

    fn get(&self, of: &Seen, namespace: &str, name: &str) -> Result<Option<Arc<Value>>, Status> {
        self.find(of, namespace, name)?.map(|object| self.decoded(&object)).transpose()
    }

    fn list(&self, of: &Seen, namespace: &str) -> Result<Vec<Arc<Value>>, Status> {
        let row = row(of)?;
        let Some(snapshot) = self.cache.snapshot(&row.prefix(None)) else { return Ok(Vec::new()) };
        let prefix = row.prefix((!namespace.is_empty()).then_some(namespace));
        snapshot.range(&prefix, "").map(|object| self.decoded(object)).collect()
    }

    fn some(
        &self,
        of: &Seen,
        namespace: &str,
        most: usize,
    ) -> Result<(Vec<Arc<Value>>, usize), Status> {
        let row = row(of)?;
        let Some(snapshot) = self.cache.snapshot(&row.prefix(None)) else {
            return Ok((Vec::new(), 0));
        };
        let prefix = row.prefix((!namespace.is_empty()).then_some(namespace));
        let first = snapshot.range(&prefix, "").take(most);
        // They are many, and nobody looks at them again: what is kept decoded stays.
        let first = first.map(|object| table::decoded(object).map(Arc::new));
        Ok((first.collect::<Result<_, _>>()?, snapshot.range(&prefix, "").count()))
    }

    fn is_going(&self, of: &Seen, namespace: &str, name: &str) -> Result<Option<bool>, Status> {
        let found = self.find(of, namespace, name)?;
        Ok(found.map(|object| {
            let index = &object.index;
            index.deleting || index.field("status.phase") == Some("Terminating")
        }))
    }
}
