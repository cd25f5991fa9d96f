//! The allocator of the program.
//!
//! Knows: that it can give memory back by itself, in a thread of its own. Refuses to know: what memory is used for.
//!
//! See `docs/decisions/0010-jemalloc.md`.

use anyhow::{Result, anyhow};
use tikv_jemalloc_ctl::background_thread;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// From now on what has been free for a second is given back to the system, whether this process goes on allocating or
/// rests. Not for the container helper, which may not have a second thread.
pub fn give_back() -> Result<()> {
    let started = background_thread::write(true);
    started.map_err(|error| anyhow!("start the allocator's thread: {error}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MB: usize = 1 << 20;

    /// Bytes of this process that are resident.
    fn resident() -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
        pages * rustix::param::page_size()
    }

    /// Red without the thread: nothing comes back, because this process rests.
    #[test]
    fn memory_comes_back_after_a_burst_though_something_small_stays_everywhere() {
        give_back().unwrap();
        let before = resident();
        let mut burst: Vec<Vec<u8>> = (0..200_000).map(|_| vec![1; 500]).collect();
        let peak = resident();
        assert!(peak > before + 80 * MB, "{before} {peak}");
        let mut at = 0;
        burst.retain(|_| {
            at += 1;
            at % 1000 == 0
        });
        // Thirty times as long as it says.
        for _ in 0..300 {
            std::thread::sleep(Duration::from_millis(100));
            if resident() < before + (peak - before) / 2 {
                assert_eq!(burst.len(), 200);
                return;
            }
        }
        panic!("{before} {peak} {}", resident());
    }
}
