//! How often a password may be tried.
//!
//! Knows: what each has left. Refuses to know: the clock, and who tries.

use std::collections::HashMap;
use std::time::Duration;

/// So many are remembered; beyond that, those who have all left are forgotten, and then everybody.
const REMEMBERED: usize = 20_000;

/// Tries that some have left: a number at once, and one more each time a while has passed.
#[derive(Debug)]
pub struct Attempts {
    at_once: u32,
    each: Duration,
    /// When whoever it is has all left again.
    whole: HashMap<String, Duration>,
}

impl Attempts {
    /// So many at once, and one more each time so long has passed.
    pub fn new(at_once: u32, each: Duration) -> Attempts {
        Attempts { at_once, each, whole: HashMap::new() }
    }

    /// Takes one of somebody's tries.
    ///
    /// # Errors
    /// How long to wait, if there is none left.
    pub fn take(&mut self, who: &str, now: Duration) -> Result<(), Duration> {
        let whole = self.whole.get(who).copied().unwrap_or(now).max(now);
        let after = whole + self.each;
        let over = after.saturating_sub(now + self.each * self.at_once);
        if !over.is_zero() {
            return Err(over);
        }
        if self.whole.len() >= REMEMBERED && !self.whole.contains_key(who) {
            self.whole.retain(|_, whole| *whole > now);
            if self.whole.len() >= REMEMBERED {
                self.whole.clear();
            }
        }
        self.whole.insert(who.to_owned(), after);
        Ok(())
    }

    /// Gives a try back: it was no failure.
    pub fn give_back(&mut self, who: &str) {
        if let Some(whole) = self.whole.get_mut(who) {
            *whole = whole.saturating_sub(self.each);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_has_tried_enough_waits_and_others_do_not() {
        let mut attempts = Attempts::new(3, seconds(10));
        for _ in 0..3 {
            assert_eq!(attempts.take("ann", seconds(100)), Ok(()));
        }
        assert_eq!(attempts.take("ann", seconds(100)), Err(seconds(10)));
        assert_eq!(attempts.take("ann", seconds(104)), Err(seconds(6)));
        assert_eq!(attempts.take("bob", seconds(104)), Ok(()));
        assert_eq!(attempts.take("ann", seconds(110)), Ok(()));
        assert!(attempts.take("ann", seconds(110)).is_err());
        attempts.give_back("ann");
        assert_eq!(attempts.take("ann", seconds(110)), Ok(()));
        for other in 0..REMEMBERED + 10 {
            assert_eq!(attempts.take(&other.to_string(), seconds(120)), Ok(()));
        }
        assert!(attempts.whole.len() <= REMEMBERED);
    }
}
