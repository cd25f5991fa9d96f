//! What admission plug-ins look at: the objects of the cache.
//!
//! Knows: how an object is found by its resource. Refuses to know: what plug-ins conclude.
//!
//! A write of what plug-ins look at is answered once the cache shows it, so what the cache has not is not there.

use std::sync::Arc;

use leme_admission::{Facts, Seen};
use leme_kinds::Kind;
use leme_meta::Status;
use leme_store::cache::{Cache, Cached};
use serde_json::Value;

use crate::answer::unreadable;
use crate::table;

/// The objects of the cache, for admission.
pub(crate) struct CacheFacts(pub Arc<Cache>);

fn row(of: &Seen) -> Result<&'static Arc<Kind>, Status> {
    leme_kinds::by_resource(of.group, of.version, of.plural).ok_or_else(Status::no_such_path)
}

impl CacheFacts {
    fn find(&self, of: &Seen, namespace: &str, name: &str) -> Result<Option<Arc<Cached>>, Status> {
        let row = row(of)?;
        let (prefix, key) = (row.prefix(None), row.key(namespace, name));
        if let Some(object) = self.0.get(&prefix, &key) {
            return Ok(Some(object));
        }
        match self.0.unreadable_at(&prefix, &key) {
            Some(why) => Err(unreadable(&key, &why)),
            None => Ok(None),
        }
    }
}

impl Facts for CacheFacts {
    fn get(&self, of: &Seen, namespace: &str, name: &str) -> Result<Option<Value>, Status> {
        self.find(of, namespace, name)?.map(|object| table::decoded(&object)).transpose()
    }

    fn list(&self, of: &Seen, namespace: &str) -> Result<Vec<Value>, Status> {
        let row = row(of)?;
        let Some(snapshot) = self.0.snapshot(&row.prefix(None)) else { return Ok(Vec::new()) };
        let prefix = row.prefix((!namespace.is_empty()).then_some(namespace));
        snapshot.range(&prefix, "").map(|object| table::decoded(object)).collect()
    }

    fn is_going(&self, of: &Seen, namespace: &str, name: &str) -> Result<Option<bool>, Status> {
        let found = self.find(of, namespace, name)?;
        Ok(found.map(|object| {
            let index = &object.index;
            index.deleting || index.field("status.phase") == Some("Terminating")
        }))
    }
}
