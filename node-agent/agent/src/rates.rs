//! How much of the CPU is used at present, out of counters that only grow. They are read when somebody asks, and the last
//! readings are kept; what has just begun counts from its start.
//!
//! Knows: which two readings to compare. Refuses to know: what is counted, and the clock.

use std::collections::HashMap;

const SECOND: i64 = 1_000_000_000;
/// A shorter window says little of a load that comes and goes, unless there is no longer one.
const SHORT: i64 = 10 * SECOND;
/// A longer window says what was, not what is.
const LONG: i64 = 60 * SECOND;
/// Readings of less than this apart say nothing.
const LEAST: i64 = SECOND;

/// A counter at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Nanoseconds since the epoch.
    pub at: i64,
    /// Nanoseconds of CPU since the start.
    pub cpu: u64,
}

/// How much is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Thousand-millionths of a CPU.
    pub nano_cores: u64,
    /// The time over which that is the average, in nanoseconds.
    pub window: i64,
}

struct Kept {
    earlier: Reading,
    latest: Reading,
}

/// The last readings of each subject.
#[derive(Default)]
pub struct Rates(HashMap<String, Kept>);

impl Rates {
    /// Takes in a reading of what started at `started_at`. `None` if no earlier one tells how much is used now: one that
    /// is taken a second later will be told by this.
    pub fn take(&mut self, subject: &str, started_at: i64, now: Reading) -> Option<Rate> {
        let start = Reading { at: started_at, cpu: 0 };
        let kept =
            self.0.entry(subject.to_owned()).or_insert(Kept { earlier: start, latest: start });
        if now.at < kept.latest.at || now.cpu < kept.latest.cpu {
            // The clock was set back, or the counter began anew.
            *kept = Kept { earlier: now, latest: now };
            return None;
        }
        let age = |reading: Reading| now.at.saturating_sub(reading.at);
        let fits = |reading: Reading, least: i64| (least..=LONG).contains(&age(reading));
        let tries = [(kept.latest, SHORT), (kept.earlier, LEAST), (kept.latest, LEAST)];
        let base = tries.into_iter().find(|(reading, least)| fits(*reading, *least));
        if age(kept.latest) >= SHORT {
            *kept = Kept { earlier: kept.latest, latest: now };
        }
        let (base, _) = base?;
        let window = now.at.saturating_sub(base.at);
        let used = u128::from(now.cpu.saturating_sub(base.cpu));
        let per_second =
            used * u128::from(SECOND.unsigned_abs()) / u128::from(window.unsigned_abs());
        Some(Rate { nano_cores: u64::try_from(per_second).unwrap_or(u64::MAX), window })
    }

    /// Forgets all subjects but these.
    pub fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|subject, _| is_there(subject));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings of (second, milliseconds of CPU) one after the other, and what the last one tells: thousandths of a CPU
    /// and seconds of the window.
    fn check(started_at: i64, readings: &[(i64, u64)], told: Option<(u64, i64)>) {
        let mut rates = Rates::default();
        let mut last = None;
        for (at, cpu) in readings {
            let reading = Reading { at: at * SECOND, cpu: cpu * 1_000_000 };
            last = rates.take("a", started_at * SECOND, reading);
        }
        let told = told.map(|(milli, seconds)| Rate {
            nano_cores: milli * 1_000_000,
            window: seconds * SECOND,
        });
        assert_eq!(last, told, "{readings:?}");
    }

    #[test]
    fn a_reading_is_compared_with_one_that_is_neither_too_new_nor_too_old() {
        // What has just begun counts from its start.
        check(100, &[(104, 2000)], Some((500, 4)));
        check(100, &[(100, 0)], None);
        // The one before, if it is old enough; else the one before that.
        check(0, &[(50, 1000), (65, 4000)], Some((200, 15)));
        check(0, &[(50, 1000), (65, 4000), (68, 4600)], Some((200, 18)));
        check(0, &[(50, 1000), (65, 4000), (68, 4600), (75, 9000)], Some((500, 10)));
        // None of the last minute: the next one is told by this.
        check(0, &[(500, 9000)], None);
        check(0, &[(500, 9000), (501, 9250)], Some((250, 1)));
        check(0, &[(500, 9000), (501, 9250), (503, 9750)], Some((250, 3)));
        check(0, &[(500, 9000), (900, 9250)], None);
        check(0, &[(500, 9000), (900, 9250), (901, 9350)], Some((100, 1)));
        // A clock that was set back, and a counter that began anew.
        check(0, &[(50, 1000), (40, 1100)], None);
        check(0, &[(50, 1000), (60, 10)], None);
        check(0, &[(50, 1000), (60, 10), (62, 1010)], Some((500, 2)));
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut rates = Rates::default();
        rates.take("a", 0, Reading { at: 50 * SECOND, cpu: 1 });
        rates.take("b", 0, Reading { at: 50 * SECOND, cpu: 1 });
        rates.keep(|subject| subject == "b");
        assert_eq!(rates.0.len(), 1);
    }
}
