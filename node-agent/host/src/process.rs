//! Who a process is: its start time tells it from a later one with the same number.
//!
//! Knows: `/proc`. Refuses to know: containers.

use std::fs;

use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for another after its number is used again, or after a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Process number.
    pub pid: i32,
    /// Start time in clock ticks since boot.
    pub start: u64,
    /// Boot it belongs to.
    pub boot: String,
}

impl ProcessId {
    /// The process with this number now, if there is one.
    pub fn of(pid: i32) -> Option<ProcessId> {
        Some(ProcessId { pid, start: start_time(pid)?, boot: boot_id() })
    }

    /// Whether it still lives (a zombie does not).
    pub fn alive(&self) -> bool {
        self.boot == boot_id() && start_time(self.pid) == Some(self.start)
    }
}

/// The id of the running kernel's boot; empty if it cannot be read.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|s| s.trim().to_owned())
        .unwrap_or_default()
}

fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name is in parentheses and may hold anything, so count from the last one.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_living_from_the_dead() {
        let me = ProcessId::of(std::process::id() as i32).unwrap();
        assert!(me.alive());
        assert!(!ProcessId { start: me.start + 1, ..me.clone() }.alive());
        assert!(!ProcessId { boot: "another".into(), ..me }.alive());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = ProcessId::of(child.id() as i32);
        child.wait().unwrap();
        assert!(id.is_none_or(|id| !id.alive()));
    }
}
