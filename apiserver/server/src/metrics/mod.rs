//! What is counted, under the names that upstream's dashboards know.
//!
//! Knows: requests, the store's operations, and what both are told apart by. Refuses to know: how the numbers are written
//! down.
//!
//! Labels are words of the program and names of kinds: nothing that a client makes up becomes one. A series is looked up
//! once for each request; to count is one atomic addition, and nothing is allocated for it.

mod histogram;
mod page;
mod process;
mod requests;
mod store;
mod text;

pub(crate) use page::page;
pub(crate) use requests::{Counted, Running, Series};

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use arc_swap::ArcSwap;

use requests::Labels;
use store::{Operation, Operations};

/// Everything that is counted.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: Table<Labels<'static>, Series>,
    store: Table<Operation<'static>, Operations>,
}

/// Series by their labels. There are as many as were ever used, and none goes.
struct Table<K, V>(ArcSwap<HashMap<K, Arc<V>>>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table(ArcSwap::from_pointee(HashMap::new()))
    }
}

impl<K: Clone + Eq + Hash, V> Table<K, V> {
    /// The series of these labels, made when they are first met.
    fn made(&self, labels: &K, make: impl Fn() -> V) -> Arc<V> {
        let made = Arc::new(make());
        // Whoever comes second takes the first one's.
        self.0.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.entry(labels.clone()).or_insert_with(|| Arc::clone(&made));
            known
        });
        self.0.load().get(labels).map_or(made, Arc::clone)
    }

    /// All of them, in order.
    fn all(&self) -> Vec<(K, Arc<V>)>
    where
        K: Ord,
    {
        let known = self.0.load();
        let mut all: Vec<_> =
            known.iter().map(|(labels, series)| (labels.clone(), Arc::clone(series))).collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }
}

/// A name that outlives the request that brought it.
fn owned(name: &str) -> Cow<'static, str> {
    Cow::Owned(name.to_owned())
}
