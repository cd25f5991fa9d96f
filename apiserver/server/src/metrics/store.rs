//! What is counted of the store's operations.
//!
//! Knows: which resource a key is of. Refuses to know: values.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::histogram::{Histogram, SECONDS};
use super::{Metrics, owned};

/// What operations are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Operation<'a> {
    pub word: &'static str,
    pub group: Cow<'a, str>,
    pub resource: Cow<'a, str>,
}

/// What is counted of operations of a sort.
pub(crate) struct Operations {
    pub times: Histogram,
    failed: AtomicU64,
}

impl Operations {
    /// Those that failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// An operation that is counted when it is done.
pub(crate) struct Asked {
    operations: Arc<Operations>,
    began: Instant,
}

impl Asked {
    /// Counts it, and passes on what came of it.
    pub fn done<T, E>(self, result: Result<T, E>) -> Result<T, E> {
        let took = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.operations.times.observe(took);
        if result.is_err() {
            self.operations.failed.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}

impl Metrics {
    /// An operation on the object of a key, in upstream's words for operations.
    pub fn asked(&self, word: &'static str, key: &str) -> Asked {
        let (group, resource) = resource(key);
        let (group, resource) = (Cow::Borrowed(group), Cow::Borrowed(resource));
        let operation = Operation { word, group, resource };
        let known = self.store.0.load();
        let operations = find(&known, &operation).map(Arc::clone).unwrap_or_else(|| {
            let (group, resource) = (owned(&operation.group), owned(&operation.resource));
            let make = || Operations { times: Histogram::new(SECONDS), failed: AtomicU64::new(0) };
            self.store.made(&Operation { word, group, resource }, make)
        });
        Asked { operations, began: Instant::now() }
    }
}

fn find<'k, 'a>(
    known: &'k HashMap<Operation<'a>, Arc<Operations>>,
    operation: &Operation<'a>,
) -> Option<&'k Arc<Operations>> {
    known.get(operation)
}

/// Group and resource of a key, which begins with them: see `leme_kinds::Kind::prefix`. The core group has no place there.
fn resource(key: &str) -> (&str, &str) {
    let mut parts = key.strip_prefix("/registry/").unwrap_or(key).split('/');
    let first = parts.next().unwrap_or("");
    if leme_kinds::by_resource("", "v1", first).is_some() {
        return ("", first);
    }
    (first, parts.next().unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_resource() {
        assert_eq!(resource("/registry/pods/default/a"), ("", "pods"));
        assert_eq!(resource("/registry/nodes/a"), ("", "nodes"));
        assert_eq!(resource("/registry/apps/deployments/d/a"), ("apps", "deployments"));
        assert_eq!(resource("/registry/example.com/pods/d/a"), ("example.com", "pods"));
        assert_eq!(resource(""), ("", ""));
    }

    #[test]
    fn operations_are_counted_by_what_came_of_them() {
        let metrics = Metrics::default();
        for result in [Ok(()), Err(()), Ok(())] {
            let _ = metrics.asked("get", "/registry/pods/d/a").done(result);
        }
        let all = metrics.store.all();
        let [(operation, counted)] = &all[..] else { panic!("{}", all.len()) };
        assert_eq!((operation.word, &*operation.resource), ("get", "pods"));
        assert_eq!((counted.times.count(), counted.failed()), (3, 1));
    }
}
