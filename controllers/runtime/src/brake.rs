//! The mass-delete brake: a bucket of tokens that refills slowly, so that one wrong belief does not empty a cluster.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Lets `burst` deletes through at once and `per_second` after that.
#[derive(Debug)]
pub struct Brake {
    burst: f64,
    per_second: f64,
    state: Mutex<(f64, Instant)>,
}

impl Brake {
    /// A full bucket.
    pub fn new(burst: u32, per_second: u32) -> Brake {
        let burst = f64::from(burst.max(1));
        Brake {
            burst,
            per_second: f64::from(per_second.max(1)),
            state: Mutex::new((burst, Instant::now())),
        }
    }

    /// Takes a token, or says how long to wait for one.
    pub fn take(&self) -> Result<(), Duration> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        let refill = now.duration_since(state.1).as_secs_f64() * self.per_second;
        *state = ((state.0 + refill).min(self.burst), now);
        if state.0 >= 1.0 {
            state.0 -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - state.0) / self.per_second))
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
