//! What processes use, as the kernel accounts for it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

/// Memory of a process, KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All pages that are there, shared ones included.
    pub rss: u64,
    /// The same, with each shared page divided among those that share it.
    pub pss: u64,
}

/// Memory of a process now.
pub fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    parse_memory(&text).with_context(|| format!("{path} has no Rss or no Pss"))
}

fn parse_memory(text: &str) -> Option<Memory> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"))
            .and_then(|number| number.parse().ok())
    };
    Some(Memory { rss: field("Rss:")?, pss: field("Pss:")? })
}

/// Time on a processor, all threads that live together.
pub fn processor_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/task");
    let mut total = 0;
    for entry in fs::read_dir(&path).with_context(|| format!("read {path}"))? {
        let file = entry.with_context(|| format!("read {path}"))?.path().join("schedstat");
        // A thread may end while we look.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let first = text.split(' ').next().and_then(|number| number.parse::<u64>().ok());
        total += first.with_context(|| format!("{} is not understood", file.display()))?;
    }
    Ok(Duration::from_nanos(total))
}

/// Processes of this name in the network namespace of the calling thread.
pub fn named(name: &str) -> Result<Vec<u32>> {
    let here = fs::read_link("/proc/thread-self/ns/net").context("read our network namespace")?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("read /proc")? {
        let path: PathBuf = entry.context("read /proc")?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        let Some(pid) = number else { continue };
        // Processes come and go while we look.
        let comm = fs::read_to_string(path.join("comm")).unwrap_or_default();
        let same = fs::read_link(path.join("ns/net")).is_ok_and(|namespace| namespace == here);
        if same && comm.trim_end() == name {
            found.push(pid);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_rollup() {
        let text = "55-7f ---p 00000000 00:00 0 [rollup]\nRss:   2048 kB\nPss:    1024 kB\nPss_Anon: 1 kB\n";
        assert_eq!(parse_memory(text), Some(Memory { rss: 2048, pss: 1024 }));
        assert_eq!(parse_memory("Rss: 1 kB\n"), None);
    }

    #[test]
    fn our_own() {
        let pid = std::process::id();
        assert!(memory(pid).unwrap().rss > 0);
        assert!(processor_time(pid).unwrap() > Duration::ZERO);
    }
}
