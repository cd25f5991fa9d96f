//! Restart back-off of one container.
//!
//! Knows: 10 s doubling to 5 min, forgotten after 10 min of peace. Refuses to know: why the container ended.

use jiff::{SignedDuration, Timestamp};

const FIRST: SignedDuration = SignedDuration::from_secs(10);
const LONGEST: SignedDuration = SignedDuration::from_secs(300);
const FORGET_AFTER: SignedDuration = SignedDuration::from_secs(600);

/// How long the next restart of a container has to wait.
///
/// The first restart is immediate and arms the delay; each further one waits for the delay, counted from the end of
/// the container, and doubles it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackOff {
    armed: Option<(SignedDuration, Timestamp)>,
}

impl BackOff {
    /// When a container that ended at `ended` may start again, and the delay if there is one.
    pub fn wait(&mut self, ended: Timestamp) -> (Timestamp, Option<SignedDuration>) {
        match self.armed {
            Some((delay, last)) if ended.duration_since(last) <= FORGET_AFTER => {
                // It cannot have ended before it was started: then a clock was set back in between.
                (add(ended.max(last), delay), Some(delay))
            }
            _ => {
                self.armed = None;
                (ended, None)
            }
        }
    }

    /// Notes that the container was started again at `now`.
    pub fn restarted(&mut self, now: Timestamp) {
        let delay = match self.armed {
            None => FIRST,
            Some((delay, _)) => LONGEST.min(delay * 2),
        };
        self.armed = Some((delay, now));
    }
}

/// `at + delay`, at the end of time if it does not fit.
pub fn add(at: Timestamp, delay: SignedDuration) -> Timestamp {
    at.checked_add(delay).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_five_minutes_and_forgets_after_ten() {
        let mut backoff = BackOff::default();
        let mut now = Timestamp::UNIX_EPOCH;
        let mut seen = Vec::new();
        for _ in 0..8 {
            let (at, delay) = backoff.wait(now);
            seen.push(delay.map_or(0, |d| d.as_secs()));
            now = at;
            backoff.restarted(now);
        }
        assert_eq!(seen, [0, 10, 20, 40, 80, 160, 300, 300]);
        let before = add(now, SignedDuration::from_secs(-3600));
        assert_eq!(backoff.clone().wait(before).0, add(now, LONGEST));
        now = add(now, SignedDuration::from_secs(601));
        assert_eq!(backoff.wait(now), (now, None));
    }
}
