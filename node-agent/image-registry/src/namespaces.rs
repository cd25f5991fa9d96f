//! Whose a namespace is: when one of a name has gone and another has come, nothing of what the first had is the second's.
//!
//! Knows: that a namespace is known by its uid. Refuses to know: when one goes; it is looked when somebody comes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use leme_host::images::Repository;
use serde_json::Value;

use crate::answer::Refusal;
use crate::{Registry, blocking};

/// How long a namespace is believed to be the one that it was.
const FRESH: Duration = Duration::from_secs(1);
/// Namespaces that are remembered.
const MOST: usize = 1000;

/// When each was looked at last.
#[derive(Default)]
pub(crate) struct Looked(Mutex<HashMap<String, Instant>>);

impl Looked {
    fn is_fresh(&self, namespace: &str) -> bool {
        let looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looked.get(namespace).is_some_and(|at| at.elapsed() < FRESH)
    }

    fn note(&self, namespace: &str) {
        let mut looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.len() >= MOST {
            looked.clear();
        }
        looked.insert(namespace.to_owned(), Instant::now());
    }
}

impl Registry {
    /// Takes away what another namespace of this name had.
    pub(crate) async fn keep_to_its_own(&self, of: &Repository) -> Result<(), Refusal> {
        if self.looked.is_fresh(&of.namespace) {
            return Ok(());
        }
        let path = format!("/api/v1/namespaces/{}", of.namespace);
        let found: Option<Value> = self
            .client
            .find(&path)
            .await
            .map_err(|error| Refusal::own("read the namespace", error.message()))?;
        let uid = found.as_ref().and_then(|found| found["metadata"]["uid"].as_str());
        // In one that is not there nobody has a right.
        let Some(uid) = uid.map(str::to_owned) else { return Ok(()) };
        let (store, namespace) = (self.store.clone(), of.namespace.clone());
        blocking(move || {
            store
                .of_namespace(&namespace, &uid)
                .map_err(|error| Refusal::own("keep the namespace", error))
        })
        .await?;
        self.looked.note(&of.namespace);
        Ok(())
    }
}
