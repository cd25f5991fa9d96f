//! The mass-delete brake: a bucket of tokens that refills slowly, so that one wrong belief does not empty a cluster.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets `burst` deletes through at once and `per_second` after that.
#[derive(Debug)]
pub struct Brake {
    burst: f64,
    per_second: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    filled: Instant,
    /// When the last token that somebody waits for will be there.
    promised: Instant,
    told: Option<Instant>,
}

/// How often it is told that it holds.
const TOLD_EVERY: Duration = Duration::from_secs(10);

impl Brake {
    /// A full bucket.
    pub fn new(burst: u32, per_second: u32) -> Brake {
        let (burst, now) = (f64::from(burst.max(1)), Instant::now());
        Brake {
            burst,
            per_second: f64::from(per_second.max(1)),
            state: Mutex::new(State { tokens: burst, filled: now, promised: now, told: None }),
        }
    }

    /// Takes a token, or says how long to wait for one: each who waits has a place of its own in the line, so that a
    /// thousand do not come back for the same token.
    pub fn take(&self) -> Result<(), Duration> {
        let (mut state, now) = (self.state(), Instant::now());
        let refill = now.duration_since(state.filled).as_secs_f64() * self.per_second;
        state.tokens = (state.tokens + refill).min(self.burst);
        state.filled = now;
        if state.tokens >= 1.0 {
            state.tokens -= 1.0;
            return Ok(());
        }
        let next = now + Duration::from_secs_f64((1.0 - state.tokens) / self.per_second);
        let after = state.promised + Duration::from_secs_f64(1.0 / self.per_second);
        state.promised = next.max(after);
        Err(state.promised - now)
    }

    /// Whether it is time to tell that it holds.
    pub fn tells(&self) -> bool {
        let (mut state, now) = (self.state(), Instant::now());
        let due = state.told.is_none_or(|told| now - told >= TOLD_EVERY);
        if due {
            state.told = Some(now);
        }
        due
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes as many tokens as there are, up to `wanted`, or says how long to wait for the first.
    pub fn take_up_to(&self, wanted: usize) -> Result<usize, Duration> {
        for taken in 0..wanted {
            if let Err(wait) = self.take() {
                return if taken == 0 { Err(wait) } else { Ok(taken) };
            }
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Red when all who wait are told of the same token: 3,000 keys planned again and logged at each.
    #[tokio::test(start_paused = true)]
    async fn each_who_waits_has_a_token_of_its_own() {
        let brake = Brake::new(2, 10);
        let waits: Vec<_> = (0..100).map(|_| brake.take()).collect();
        assert_eq!(waits.iter().filter(|wait| wait.is_ok()).count(), 2);
        let mut tries = 0;
        let mut waiting: Vec<Duration> = waits.into_iter().filter_map(Result::err).collect();
        let start = Instant::now();
        waiting.sort();
        while !waiting.is_empty() {
            let wait = waiting.remove(0);
            tokio::time::sleep_until(start + wait).await;
            tries += 1;
            if let Err(more) = brake.take() {
                waiting.push(wait + more);
                waiting.sort();
            }
        }
        assert!(tries < 200, "{tries} tries for 98 tokens");
        assert!(brake.tells() && !brake.tells());
    }
}
