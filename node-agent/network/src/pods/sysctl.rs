//! The kernel switches of the pod network: sets them, remembers what they were, puts them back. Refuses to know why.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// The identity of this boot of the machine.
pub(super) fn boot_id() -> Result<String> {
    read("/proc/sys/kernel/random/boot_id")
}

/// Lets the kernel forward packets, noting the value it had in `state_dir` the first time.
pub(super) fn enable_forwarding(state_dir: &Path) -> Result<()> {
    let before = read(FORWARD)?;
    if before == "1" {
        return Ok(());
    }
    let note = BTreeMap::from([(FORWARD, before), ("boot", boot_id()?)]);
    std::fs::write(note_path(state_dir), serde_json::to_vec(&note)?)
        .with_context(|| format!("write {}", note_path(state_dir).display()))?;
    write(FORWARD, "1")
}

/// Undoes [`enable_forwarding`] if it changed something during this boot and `keep` is false.
pub(super) fn restore_forwarding(state_dir: &Path, keep: bool) -> Result<()> {
    let path = note_path(state_dir);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    // A damaged note says nothing: leaving forwarding on harms less than turning off somebody else's.
    let note: BTreeMap<String, String> = serde_json::from_slice(&bytes).unwrap_or_default();
    if let (Some(before), false) = (note.get(FORWARD), keep)
        && note.get("boot") == Some(&boot_id()?)
    {
        write(FORWARD, before)?;
    }
    std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))
}

/// Lets this host's loopback speak through the bridge, for ports of the node on 127.0.0.1. Gone with the bridge; what comes
/// from outside for or from loopback is dropped by the network's rules.
pub(super) fn route_loopback(bridge: &str) -> Result<()> {
    write(&format!("/proc/sys/net/ipv4/conf/{bridge}/route_localnet"), "1")
}

/// Inside a pod: routes are ours to give, so that a stray redirect cannot lead replies past the service rules.
pub(super) fn refuse_redirects() -> Result<()> {
    for link in ["all", "default"] {
        write(&format!("/proc/sys/net/ipv4/conf/{link}/accept_redirects"), "0")?;
    }
    Ok(())
}

fn note_path(state_dir: &Path) -> PathBuf {
    state_dir.join("sysctl.json")
}

fn read(path: &str) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    Ok(text.trim().to_owned())
}

fn write(path: &str, value: &str) -> Result<()> {
    std::fs::write(path, value).with_context(|| format!("write {value} to {path}"))
}
