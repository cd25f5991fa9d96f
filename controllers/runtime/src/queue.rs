//! A controller's queue of keys on the process's own clock, with somebody who waits at its end.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leme_lister::{Key, WorkQueue};
use tokio::sync::Notify;
use tokio::time::Instant;

/// A queue of keys. A key that is added while it is worked on comes again afterwards.
#[derive(Debug)]
pub struct Queue {
    keys: Mutex<WorkQueue>,
    start: Instant,
    changed: Notify,
}

impl Default for Queue {
    fn default() -> Self {
        Queue { keys: Mutex::default(), start: Instant::now(), changed: Notify::new() }
    }
}

impl Queue {
    fn keys(&self) -> MutexGuard<'_, WorkQueue> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a key.
    pub fn add(&self, key: Key) {
        self.keys().add(key);
        self.changed.notify_one();
    }

    /// Adds a key after a delay, or earlier if it is due earlier already.
    pub fn add_after(&self, key: Key, delay: Duration) {
        let due = self.start.elapsed().saturating_add(delay);
        if self.keys().add_at(key, due) {
            self.changed.notify_one();
        }
    }

    /// Adds a key after its back-off, which doubles with every failure.
    pub fn add_failed(&self, key: Key) {
        let now = self.start.elapsed();
        self.keys().add_failed(key, now);
        self.changed.notify_one();
    }

    /// Forgets a key's failures.
    pub fn succeeded(&self, key: &Key) {
        self.keys().succeeded(key);
    }

    /// The next key; it is worked on until `done`.
    pub async fn next(&self) -> Key {
        loop {
            let changed = self.changed.notified();
            let due = {
                let mut keys = self.keys();
                if let Some(key) = keys.next(self.start.elapsed()) {
                    return key;
                }
                keys.first_due()
            };
            match due {
                Some(due) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(self.start + due) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// The work on a key is over.
    pub fn done(&self, key: &Key) {
        if self.keys().done(key) {
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        (String::new(), name.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_woken_by_keys_and_by_timers() {
        let queue = Queue::default();
        let start = Instant::now();
        queue.add_after(key("a"), Duration::from_secs(5));
        assert_eq!(queue.next().await, key("a"));
        assert_eq!(start.elapsed().as_secs(), 5);
        queue.add(key("a"));
        let waits = async {
            let next = queue.next().await;
            assert_eq!((next, start.elapsed().as_secs()), (key("a"), 6));
        };
        let works = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            queue.done(&key("a"));
        };
        tokio::join!(waits, works);
    }
}
