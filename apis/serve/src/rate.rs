//! A rate with a burst.
//!
//! Knows: counts and times. Refuses to know: what is counted, and clocks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So many a second, after so many at once.
#[derive(Debug)]
pub(crate) struct Rate {
    /// The time, in microseconds, at which all that was taken will have been due.
    due: AtomicU64,
    each: u64,
    burst: u64,
}

impl Rate {
    pub(crate) fn new(per_second: u32, burst: u32) -> Rate {
        let each = 1_000_000 / u64::from(per_second.max(1));
        Rate { due: AtomicU64::new(0), each, burst: each * u64::from(burst) }
    }

    /// Takes one at a time since the start; how long before it is due, zero within rate and burst.
    pub(crate) fn take(&self, now: Duration) -> Duration {
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let next = |due: u64| due.max(now).saturating_add(self.each);
        let due = self
            .due
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| Some(next(due)))
            .map_or(0, next);
        Duration::from_micros(due.saturating_sub(now).saturating_sub(self.burst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_the_rest_waits_its_turn() {
        let rate = Rate::new(10, 3);
        let at = Duration::from_secs;
        assert!((0..3).all(|_| rate.take(at(5)).is_zero()));
        assert_eq!(rate.take(at(5)), Duration::from_millis(100));
        assert_eq!(rate.take(at(5)), Duration::from_millis(200));
        assert!(rate.take(at(6)).is_zero());
        assert!((0..3).all(|_| rate.take(at(60)).is_zero()));
        assert!(!rate.take(at(60)).is_zero());
    }
}
