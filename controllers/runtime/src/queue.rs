//! The work queue: keys, each worked on by one task at a time, with timers and a back-off per key.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Namespace (empty for cluster-scoped kinds) and name.
pub type Key = (String, String);

const FIRST_DELAY: Duration = Duration::from_millis(5);
const LAST_DELAY: Duration = Duration::from_secs(60);

/// A queue of keys. A key that is added while it is worked on comes again afterwards.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Key>,
    waiting: HashSet<Key>,
    working: HashSet<Key>,
    again: HashSet<Key>,
    timers: BTreeMap<(Instant, Key), ()>,
    due: HashMap<Key, Instant>,
    failures: HashMap<Key, u32>,
}

impl State {
    fn add(&mut self, key: Key) {
        if self.working.contains(&key) {
            self.again.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn cancel(&mut self, key: &Key) {
        if let Some(due) = self.due.remove(key) {
            self.timers.remove(&(due, key.clone()));
        }
    }

    fn fire(&mut self, now: Instant) {
        while let Some(((due, key), ())) = self.timers.first_key_value() {
            if *due > now {
                return;
            }
            let (due, key) = (*due, key.clone());
            self.timers.remove(&(due, key.clone()));
            self.due.remove(&key);
            self.add(key);
        }
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a key.
    pub fn add(&self, key: Key) {
        self.state().add(key);
        self.changed.notify_one();
    }

    /// Adds a key after a delay, or earlier if it is due earlier already.
    pub fn add_after(&self, key: Key, delay: Duration) {
        let due = Instant::now() + delay;
        {
            let mut state = self.state();
            if state.due.get(&key).is_some_and(|known| *known <= due) {
                return;
            }
            state.cancel(&key);
            state.due.insert(key.clone(), due);
            state.timers.insert((due, key), ());
        }
        self.changed.notify_one();
    }

    /// Adds a key after its back-off, which doubles with every failure.
    pub fn add_failed(&self, key: Key) {
        let delay = {
            let mut state = self.state();
            let failures = state.failures.entry(key.clone()).or_default();
            let delay = FIRST_DELAY.saturating_mul(1 << (*failures).min(20)).min(LAST_DELAY);
            *failures = failures.saturating_add(1);
            delay
        };
        self.add_after(key, delay);
    }

    /// Forgets a key's failures.
    pub fn succeeded(&self, key: &Key) {
        self.state().failures.remove(key);
    }

    /// The next key; it is worked on until `done`.
    pub async fn next(&self) -> Key {
        loop {
            let changed = self.changed.notified();
            let due = {
                let mut state = self.state();
                state.fire(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    state.waiting.remove(&key);
                    state.working.insert(key.clone());
                    state.cancel(&key);
                    return key;
                }
                state.timers.first_key_value().map(|((due, _), ())| *due)
            };
            match due {
                Some(due) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// The work on a key is over.
    pub fn done(&self, key: &Key) {
        {
            let mut state = self.state();
            state.working.remove(key);
            if !state.again.remove(key) {
                return;
            }
            state.add(key.clone());
        }
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        (String::new(), name.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn one_task_per_key_and_nothing_is_lost() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!(queue.next().await, key("a"));
        queue.add(key("a"));
        queue.add(key("b"));
        assert_eq!(queue.next().await, key("b"));
        queue.done(&key("a"));
        assert_eq!(queue.next().await, key("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn timers_keep_the_earliest_and_back_off_doubles() {
        let queue = Queue::default();
        let start = Instant::now();
        queue.add_after(key("a"), Duration::from_secs(5));
        queue.add_after(key("a"), Duration::from_secs(9));
        assert_eq!(queue.next().await, key("a"));
        assert_eq!(start.elapsed().as_secs(), 5);
        queue.done(&key("a"));
        for expected in [5, 10, 20] {
            let start = Instant::now();
            queue.add_failed(key("a"));
            assert_eq!(queue.next().await, key("a"));
            assert_eq!(start.elapsed().as_millis(), expected);
            queue.done(&key("a"));
        }
    }
}
