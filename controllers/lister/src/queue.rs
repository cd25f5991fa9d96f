//! Keys to be looked at, each by one at a time, with timers and a back-off per key. Times are since a start that the
//! caller chose.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::Key;

const FIRST_DELAY: Duration = Duration::from_millis(5);
const LAST_DELAY: Duration = Duration::from_secs(60);

/// A queue of keys. A key that is added while it is worked on comes again afterwards.
#[derive(Debug, Default)]
pub struct WorkQueue {
    ready: VecDeque<Key>,
    waiting: HashSet<Key>,
    working: HashSet<Key>,
    again: HashSet<Key>,
    timers: BTreeSet<(Duration, Key)>,
    due: HashMap<Key, Duration>,
    failures: HashMap<Key, u32>,
}

impl WorkQueue {
    /// Adds a key.
    pub fn add(&mut self, key: Key) {
        if self.working.contains(&key) {
            self.again.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// Adds a key at a time, or earlier if it is due earlier already. Whether that changed anything.
    pub fn add_at(&mut self, key: Key, due: Duration) -> bool {
        if self.due.get(&key).is_some_and(|known| *known <= due) {
            return false;
        }
        self.cancel(&key);
        self.due.insert(key.clone(), due);
        self.timers.insert((due, key));
        true
    }

    /// Adds a key after its back-off, which doubles with every failure.
    pub fn add_failed(&mut self, key: Key, now: Duration) {
        let failures = self.failures.entry(key.clone()).or_default();
        let delay = FIRST_DELAY.saturating_mul(1 << (*failures).min(20)).min(LAST_DELAY);
        *failures = failures.saturating_add(1);
        self.add_at(key, now.saturating_add(delay));
    }

    /// Forgets a key's failures.
    pub fn succeeded(&mut self, key: &Key) {
        self.failures.remove(key);
    }

    /// The next key, if one is ready or due; it is worked on until `done`.
    pub fn next(&mut self, now: Duration) -> Option<Key> {
        self.fire(now);
        let key = self.ready.pop_front()?;
        self.waiting.remove(&key);
        self.working.insert(key.clone());
        self.cancel(&key);
        Some(key)
    }

    /// When the first timer fires.
    pub fn first_due(&self) -> Option<Duration> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The work on a key is over. Whether it comes again at once.
    pub fn done(&mut self, key: &Key) -> bool {
        self.working.remove(key);
        let again = self.again.remove(key);
        if again {
            self.add(key.clone());
        }
        again
    }

    fn cancel(&mut self, key: &Key) {
        if let Some(due) = self.due.remove(key) {
            self.timers.remove(&(due, key.clone()));
        }
    }

    fn fire(&mut self, now: Duration) {
        while self.first_due().is_some_and(|due| due <= now) {
            if let Some((_, key)) = self.timers.pop_first() {
                self.due.remove(&key);
                self.add(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        (String::new(), name.to_owned())
    }

    const START: Duration = Duration::ZERO;

    #[test]
    fn one_at_a_time_and_nothing_is_lost() {
        let mut queue = WorkQueue::default();
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!(queue.next(START), Some(key("a")));
        queue.add(key("a"));
        queue.add(key("b"));
        assert_eq!(queue.next(START), Some(key("b")));
        assert_eq!(queue.next(START), None, "a is worked on");
        assert!(queue.done(&key("a")));
        assert_eq!(queue.next(START), Some(key("a")));
        assert!(!queue.done(&key("a")));
    }

    #[test]
    fn timers_keep_the_earliest_and_back_off_doubles() {
        let seconds = Duration::from_secs;
        let mut queue = WorkQueue::default();
        assert!(queue.add_at(key("a"), seconds(5)));
        assert!(!queue.add_at(key("a"), seconds(9)));
        assert_eq!(queue.next(seconds(4)), None);
        assert_eq!(queue.next(seconds(5)), Some(key("a")));
        queue.done(&key("a"));
        for expected in [5, 10, 20] {
            queue.add_failed(key("a"), START);
            assert_eq!(queue.first_due(), Some(Duration::from_millis(expected)));
            assert_eq!(queue.next(seconds(1)), Some(key("a")));
            queue.done(&key("a"));
        }
        for _ in 0..40 {
            queue.add_failed(key("a"), START);
            queue.next(seconds(90));
            queue.done(&key("a"));
        }
        queue.add_failed(key("a"), START);
        assert_eq!(queue.first_due(), Some(LAST_DELAY));
        queue.succeeded(&key("a"));
        queue.add_failed(key("a"), START);
        assert_eq!(queue.first_due(), Some(FIRST_DELAY));
    }
}
