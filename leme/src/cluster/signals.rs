//! The signals that end a process of a cluster.
//!
//! Knows: which they are. Refuses to know: what is ended.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end a cluster, listened for from the beginning: their default would leave half of one behind.
pub struct Stop(Vec<Signal>);

impl Stop {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn listen() -> Result<Stop> {
        let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate(), SignalKind::quit()];
        // Who was started to outlive the terminal, by nohup, does.
        if !ignores_hangup(&std::fs::read_to_string("/proc/self/status").unwrap_or_default()) {
            kinds.push(SignalKind::hangup());
        }
        let listened: std::io::Result<Vec<Signal>> = kinds.into_iter().map(signal).collect();
        listened.map(Stop).context("listen for signals")
    }

    /// Returns at the next of them.
    pub async fn told(&mut self) {
        let told = self.0.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures::future::select_all(told).await;
    }
}

/// Whether SIGHUP is ignored, by what `/proc/self/status` says.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}
