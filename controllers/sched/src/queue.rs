//! Pods that wait for a decision: by priority, then in the order they came.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use crate::cluster::PodKey;

/// The queue. Every pod is in it at most once.
#[derive(Debug, Default)]
pub struct Queue {
    ready: BTreeMap<(Reverse<i32>, u64), PodKey>,
    places: HashMap<PodKey, (Reverse<i32>, u64)>,
    next: u64,
}

impl Queue {
    /// Adds a pod.
    pub fn add(&mut self, key: PodKey, priority: i32) {
        if self.places.contains_key(&key) {
            return;
        }
        let place = (Reverse(priority), self.next);
        self.next += 1;
        self.ready.insert(place, key.clone());
        self.places.insert(key, place);
    }

    /// The next pod.
    pub fn pop(&mut self) -> Option<PodKey> {
        let (_, key) = self.ready.pop_first()?;
        self.places.remove(&key);
        Some(key)
    }

    /// Forgets a pod.
    pub fn remove(&mut self, key: &PodKey) {
        if let Some(place) = self.places.remove(key) {
            self.ready.remove(&place);
        }
    }

    /// How many wait for a decision.
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether none waits for a decision.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_priority_then_age_and_never_twice() {
        let key = |name: &str| ("n".to_owned(), name.to_owned());
        let mut queue = Queue::default();
        for (name, priority) in [("a", 0), ("b", 0), ("c", 9), ("a", 0)] {
            queue.add(key(name), priority);
        }
        let mut order = Vec::new();
        while let Some((_, name)) = queue.pop() {
            order.push(name);
        }
        assert_eq!(order, ["c", "a", "b"]);
        queue.add(key("a"), 0);
        queue.remove(&key("a"));
        assert!(queue.is_empty());
    }
}
