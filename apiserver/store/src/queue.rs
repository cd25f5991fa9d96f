//! Queues that are long for a while.
//!
//! Knows: how much room one keeps. Refuses to know: what waits in it.

use std::collections::VecDeque;

/// Room that is not worth giving back.
const SMALL: usize = 1024;

/// Gives half of a queue's room back if not a quarter is in use; by itself it would keep that of its longest time.
pub(crate) fn shrink<T>(queue: &mut VecDeque<T>) {
    let room = queue.capacity();
    if room > SMALL && queue.len() < room / 4 {
        queue.shrink_to(room / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_follows_the_length() {
        let mut queue: VecDeque<u64> = (0..100_000).collect();
        while queue.pop_front().is_some() {
            shrink(&mut queue);
            assert!(queue.capacity() / 4 <= queue.len().max(SMALL), "{}", queue.len());
        }
        assert!(queue.capacity() <= SMALL);
    }
}
