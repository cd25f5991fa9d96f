//! Memory given back after a burst.
//!
//! Knows: how much of the process is resident. Refuses to know: what it is used for.
//!
//! The allocator keeps what was freed between things that stay, so that a process which was busy once looks busy for ever.
//! See `docs/decisions/0010-glibc-and-trimming.md`.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(5);
/// What was freed is worth a trim from so many bytes on; of a large process, from a fifth of it on.
const WORTH: u64 = 8 << 20;
/// After so many looks at rest less is worth it: history goes bit by bit, and pages come free with the last of it.
const LONG_REST: u32 = 12;
const WORTH_AT_LENGTH: u64 = 1 << 20;
/// A process that grows by no more than this between two looks rests.
const REST: u64 = WORTH / 8;

/// Gives free memory back whenever much has been freed and the process rests, until cancelled.
pub async fn give_back(token: CancellationToken) {
    let mut keeper = Keeper::default();
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while token.run_until_cancelled(looks.tick()).await.is_some() {
        keeper.look().await;
    }
}

/// What a look sees.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Resident bytes of this process.
    resident: u64,
    /// Bytes that the allocator could hand out again.
    free: u64,
}

/// What was resident at the last look, and the least that was free since the last trim: what is free beyond that was in
/// use meanwhile, so it is resident.
#[derive(Debug, Default)]
struct Keeper {
    last: u64,
    least: u64,
    /// Looks since the last trim or growth.
    rested: u32,
}

impl Keeper {
    async fn look(&mut self) {
        // Both hold the allocator's locks for some milliseconds, one after the other.
        let Ok(Some(now)) = tokio::task::spawn_blocking(seen).await else { return };
        self.least = self.least.min(now.free);
        self.rested = if now.resident > self.last + REST { 0 } else { self.rested + 1 };
        if self.is_due(now) {
            if let Err(error) = tokio::task::spawn_blocking(leme_host::sys::trim_heap).await {
                tracing::debug!(%error, "trim");
            }
            self.least = now.free;
            self.rested = 0;
        }
        self.last = now.resident;
    }

    /// Whether much has been freed since the last trim, and the process has not grown since the last look. It need not
    /// have grown since the trim: what ages is freed long after it was allocated.
    fn is_due(&self, now: Seen) -> bool {
        let long = self.rested >= LONG_REST;
        let worth = if long { WORTH_AT_LENGTH } else { (now.resident / 5).max(WORTH) };
        let freed = now.free >= self.least + worth;
        freed && now.resident <= self.last + REST
    }
}

/// The process as it is now.
fn seen() -> Option<Seen> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    let resident = pages * rustix::param::page_size() as u64;
    Some(Seen { resident, free: leme_host::sys::free_heap() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    /// Red when only growth counts: what is freed long after the last trim stays.
    #[test]
    fn a_process_is_trimmed_once_after_much_is_freed_and_it_rests() {
        let seen = |resident, free| Seen { resident: resident * MB, free: free * MB };
        let mut keeper = Keeper { last: 100 * MB, least: 10 * MB, rested: 0 };
        assert!(!keeper.is_due(seen(100, 29)), "less than a fifth");
        assert!(keeper.is_due(seen(100, 30)) && keeper.is_due(seen(90, 60)));
        assert!(!keeper.is_due(seen(110, 60)), "it grows");
        keeper.least = 60 * MB;
        assert!(!keeper.is_due(seen(50, 60)), "there is nothing more to be had");
        keeper.rested = LONG_REST;
        assert!(!keeper.is_due(seen(50, 60)) && keeper.is_due(seen(50, 61)));
        keeper = Keeper { last: 10 * MB, least: 0, rested: 0 };
        assert!(!keeper.is_due(seen(10, 7)) && keeper.is_due(seen(10, 8)));
    }

    /// Red without the trim: nothing comes back, because something small stays everywhere.
    #[tokio::test]
    async fn memory_comes_back_long_after_a_burst() {
        let before = seen().unwrap();
        let mut keeper = Keeper { last: before.resident, least: before.free, rested: 0 };
        let mut burst: Vec<Vec<u8>> = (0..200_000).map(|_| vec![1; 500]).collect();
        let peak = seen().unwrap().resident;
        assert!(peak > before.resident + 80 * MB, "{before:?} {peak}");
        // It is in use for a while, and looked at.
        keeper.look().await;
        keeper.look().await;
        let mut at = 0;
        burst.retain(|_| {
            at += 1;
            at % 100 == 0
        });
        keeper.look().await;
        let after = seen().unwrap().resident;
        assert!(
            after < before.resident + (peak - before.resident) / 2,
            "{before:?} {peak} {after}"
        );
        assert_eq!(burst.len(), 2_000);
    }
}
