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
/// Growth that is worth a trim, in pages of 4 KiB: 8 MiB.
const WORTH: u64 = 2048;

/// Gives free memory back whenever the process has grown and rests, until cancelled.
pub async fn give_back(token: CancellationToken) {
    let mut keeper = Keeper::default();
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while token.run_until_cancelled(looks.tick()).await.is_some() {
        keeper.look().await;
    }
}

/// What was seen at the last look, and what was left by the last trim.
#[derive(Debug, Default)]
struct Keeper {
    last: u64,
    trimmed: u64,
}

impl Keeper {
    async fn look(&mut self) {
        let Some(now) = resident() else { return };
        if self.is_due(now) {
            // It holds the allocator's locks for some milliseconds, one after the other.
            if let Err(error) = tokio::task::spawn_blocking(leme_host::sys::trim_heap).await {
                tracing::debug!(%error, "trim");
            }
            self.trimmed = resident().unwrap_or(now);
        }
        self.last = now;
    }

    /// Whether the process has grown by a fifth since the last trim, and has not grown since the last look.
    fn is_due(&self, now: u64) -> bool {
        let grown = now >= self.trimmed + (self.trimmed / 5).max(WORTH);
        grown && now <= self.last + WORTH / 8
    }
}

/// Resident pages of this process.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_trimmed_once_after_it_has_grown_and_rests() {
        let mut keeper = Keeper { last: 10_000, trimmed: 10_000 };
        assert!(!keeper.is_due(10_000 + WORTH - 1));
        assert!(!keeper.is_due(20_000), "it grows");
        keeper.last = 20_000;
        assert!(keeper.is_due(20_000) && keeper.is_due(19_000));
        keeper.trimmed = 19_500;
        assert!(!keeper.is_due(20_000), "there is nothing more to be had");
    }

    /// Red without the trim: nothing comes back, because something small stays everywhere.
    #[tokio::test]
    async fn memory_comes_back_after_a_burst() {
        let before = resident().unwrap();
        let mut keeper = Keeper { last: before, trimmed: before };
        let mut burst: Vec<Vec<u8>> = (0..200_000).map(|_| vec![1; 500]).collect();
        let peak = resident().unwrap();
        assert!(peak > before + 20_000, "{before} {peak}");
        let mut at = 0;
        burst.retain(|_| {
            at += 1;
            at % 100 == 0
        });
        // The first look sees that it has grown, the second that it rests.
        keeper.look().await;
        keeper.look().await;
        let after = resident().unwrap();
        assert!(after < before + (peak - before) / 2, "{before} {peak} {after}");
        assert_eq!(burst.len(), 2_000);
    }
}
