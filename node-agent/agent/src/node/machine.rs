//! The machine under the node: what it can give and how it is.
//!
//! Knows: `/proc`, `/etc/os-release`, the data directory's file system. Refuses to know: the API.

use std::path::Path;

use k8s_openapi::api::core::v1::NodeCondition;
use leme_node_core::cri::{Memory, Usage};

/// Less than this is pressure.
const MEMORY_LOW: i64 = 100 << 20;
const DISK_LOW: u64 = 1 << 30;
/// In a second, as `/proc/stat` counts for programs on every machine.
const TICKS: u64 = 100;

/// A small file's text, empty if it cannot be read.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(path).map(|t| t.trim().to_owned()).unwrap_or_default()
}

/// A line of `/proc/meminfo` in bytes.
pub fn meminfo(field: &str) -> i64 {
    let text = read("/proc/meminfo");
    let line = text.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse::<i64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// Bytes of the file system: all, and what is free.
pub fn disk(path: &Path) -> (u64, u64) {
    match file_system(path) {
        Disk { bytes: 0, .. } => (0, u64::MAX),
        disk => (disk.bytes, disk.available_bytes),
    }
}

/// What the machine has used of its CPUs since it began, and uses of its memory.
pub fn usage(at: i64) -> Usage {
    let total = |field: &str| u64::try_from(meminfo(field)).unwrap_or(0);
    let used = total("MemTotal").saturating_sub(total("MemFree"));
    let faults = read("/proc/vmstat");
    let memory = Memory {
        usage: used,
        working_set: used.saturating_sub(total("Inactive(file)")),
        rss: total("AnonPages"),
        page_faults: number(&faults, "pgfault").unwrap_or(0),
        major_page_faults: number(&faults, "pgmajfault").unwrap_or(0),
    };
    Usage { at, cpu_nanos: cpu_nanos(&read("/proc/stat")), memory: Some(memory) }
}

/// When the machine began, in seconds since the epoch.
pub fn started_at() -> i64 {
    number(&read("/proc/stat"), "btime").and_then(|at| i64::try_from(at).ok()).unwrap_or(0)
}

/// Processes and threads: those that there are, and the most that there can be.
pub fn tasks() -> (Option<u64>, Option<u64>) {
    let load = read("/proc/loadavg");
    let now = load.split_whitespace().nth(3).and_then(|f| f.split('/').nth(1)?.parse::<u64>().ok());
    (now, read("/proc/sys/kernel/pid_max").parse::<u64>().ok())
}

/// The number behind a word at the beginning of a line.
fn number(text: &str, word: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
}

/// Time that all CPUs have worked, by `/proc/stat`: all but idle, waiting for a disk, and what guests have, which is in
/// the first two.
fn cpu_nanos(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let times: Vec<u64> = line.split_whitespace().filter_map(|time| time.parse().ok()).collect();
    let worked = [0, 1, 2, 5, 6, 7].into_iter().filter_map(|at| times.get(at).copied());
    worked.sum::<u64>().checked_mul(1_000_000_000 / TICKS)
}

/// A file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// All.
    pub bytes: u64,
    /// What nobody uses.
    pub free_bytes: u64,
    /// What who is not root may use of that.
    pub available_bytes: u64,
    /// Files that there can be.
    pub inodes: u64,
    /// Those that there are not.
    pub free_inodes: u64,
}

/// The file system that a path is on; nothing if that is not told.
pub fn file_system(path: &Path) -> Disk {
    let Ok(stat) = rustix::fs::statvfs(path) else { return Disk::default() };
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Disk {
        bytes: bytes(stat.f_blocks),
        free_bytes: bytes(stat.f_bfree),
        available_bytes: bytes(stat.f_bavail),
        inodes: stat.f_files,
        free_inodes: stat.f_ffree,
    }
}

/// The conditions, without their times.
pub fn conditions(data: &Path) -> Vec<NodeCondition> {
    let available = meminfo("MemAvailable");
    let (disk_size, disk_free) = disk(data);
    let (running, most) = tasks();
    let pressed = [
        ("MemoryPressure", available > 0 && available < MEMORY_LOW, "Memory", "memory available"),
        ("DiskPressure", disk_free < DISK_LOW.min(disk_size / 20), "Disk", "disk space available"),
        (
            "PIDPressure",
            running.unwrap_or(0) > most.unwrap_or(u64::MAX) / 10 * 9,
            "PID",
            "PID available",
        ),
    ];
    let mut list: Vec<NodeCondition> = pressed
        .into_iter()
        .map(|(kind, bad, what, text)| {
            let (word, sentence) = if bad {
                ("Has", format!("kubelet has insufficient {text}"))
            } else {
                ("HasSufficient", format!("kubelet has sufficient {text}"))
            };
            let reason = match (bad, what) {
                (true, what) => format!("KubeletHasInsufficient{what}"),
                (false, "Disk") => "KubeletHasNoDiskPressure".to_owned(),
                (false, what) => format!("Kubelet{word}{what}"),
            };
            let sentence = if reason == "KubeletHasNoDiskPressure" {
                "kubelet has no disk pressure".to_owned()
            } else {
                sentence
            };
            condition(kind, bad, &reason, sentence)
        })
        .collect();
    list.push(condition(
        "Ready",
        true,
        "KubeletReady",
        "kubelet is posting ready status".to_owned(),
    ));
    list
}

/// One condition.
pub fn condition(kind: &str, holds: bool, reason: &str, message: String) -> NodeCondition {
    NodeCondition {
        type_: kind.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        ..NodeCondition::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_works_where_it_is_not_idle() {
        let stat = "cpu  10 20 30 999 999 1 2 3 77 88\ncpu0 1 1 1 1\nbtime 1700000000\n";
        assert_eq!(cpu_nanos(stat), Some(660_000_000));
        assert_eq!(cpu_nanos(""), None);
        assert_eq!(number(stat, "btime"), Some(1_700_000_000));
        let now = usage(7);
        assert!(now.cpu_nanos.unwrap() > 0 && now.memory.unwrap().working_set > 0, "{now:?}");
    }
}
