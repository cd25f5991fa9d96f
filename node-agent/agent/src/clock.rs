//! The clock that everything in the agent that waits goes by: the wall's, except that it never stands still or goes back.
//!
//! Knows: a wall clock may be set while somebody waits. Refuses to know: what is waited for. When the wall clock is set
//! forward this one follows; when it is set back this one goes on from where it was, so that no heartbeat, probe or
//! restart waits until the wall has caught up.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// What the clock said last, and when by a clock that nobody can set.
struct Clock {
    said: Timestamp,
    at: Instant,
}

impl Clock {
    fn tell(&mut self, wall: Timestamp, at: Instant) -> Timestamp {
        let passed = at.saturating_duration_since(self.at);
        self.said = wall.max(add(self.said, passed));
        self.at = self.at.max(at);
        self.said
    }
}

fn add(at: Timestamp, passed: Duration) -> Timestamp {
    at.checked_add(passed).unwrap_or(Timestamp::MAX)
}

/// The time.
pub fn now() -> Timestamp {
    static CLOCK: Mutex<Option<Clock>> = Mutex::new(None);
    let (wall, at) = (Timestamp::now(), Instant::now());
    let mut clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    clock.get_or_insert(Clock { said: wall, at }).tell(wall, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when the wall clock is believed as it is.
    #[test]
    fn goes_on_when_the_wall_clock_is_set_back_and_follows_it_forward() {
        let (start, begun) = (Timestamp::UNIX_EPOCH, Instant::now());
        let mut clock = Clock { said: start, at: begun };
        // (seconds that passed, what the wall says, what this clock says)
        let table = [
            (1, 1, 1),
            (10, 10, 10),
            (11, -3600, 11),
            (20, -3591, 20),
            (21, 7200, 7200),
            (31, 7210, 7210),
            (32, 5, 7211),
        ];
        for (passed, wall, expected) in table {
            let wall = Timestamp::from_second(wall).unwrap();
            let said = clock.tell(wall, begun + Duration::from_secs(passed));
            assert_eq!(said.as_second(), expected, "after {passed} s");
        }
    }
}
