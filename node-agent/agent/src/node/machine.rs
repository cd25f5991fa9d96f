//! The machine under the node: what it can give and how it is.
//!
//! Knows: `/proc`, `/etc/os-release`, the data directory's file system. Refuses to know: the API.

use std::path::Path;

use k8s_openapi::api::core::v1::NodeCondition;

/// Less than this is pressure.
const MEMORY_LOW: i64 = 100 << 20;
const DISK_LOW: u64 = 1 << 30;

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
    match rustix::fs::statvfs(path) {
        Ok(s) => (s.f_blocks.saturating_mul(s.f_frsize), s.f_bavail.saturating_mul(s.f_frsize)),
        Err(_) => (0, u64::MAX),
    }
}

/// The conditions, without their times.
pub fn conditions(data: &Path) -> Vec<NodeCondition> {
    let available = meminfo("MemAvailable");
    let (disk_size, disk_free) = disk(data);
    let load = read("/proc/loadavg");
    let tasks =
        load.split_whitespace().nth(3).and_then(|f| f.split('/').nth(1)?.parse::<u64>().ok());
    let most = read("/proc/sys/kernel/pid_max").parse::<u64>().unwrap_or(u64::MAX);
    let pressed = [
        ("MemoryPressure", available > 0 && available < MEMORY_LOW, "Memory", "memory available"),
        ("DiskPressure", disk_free < DISK_LOW.min(disk_size / 20), "Disk", "disk space available"),
        ("PIDPressure", tasks.unwrap_or(0) > most / 10 * 9, "PID", "PID available"),
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
