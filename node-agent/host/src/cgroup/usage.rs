//! What a cgroup has used of the CPU and uses of memory.
//!
//! Knows: where each layout counts. Refuses to know: rates, which take two readings.

use std::fs;
use std::path::PathBuf;

use super::{Cgroup, Layout, counter, layout};

/// Memory of a cgroup and those below it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// All of it, the kernel's cache of files too.
    pub usage: u64,
    /// What cannot be had back easily: all but files that have not been used for a while.
    pub working_set: u64,
    /// Memory that no file stands behind.
    pub rss: u64,
    /// Page faults so far.
    pub page_faults: u64,
    /// Those that had to wait for a disk.
    pub major_page_faults: u64,
}

/// A reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupUsage {
    /// Nanoseconds of CPU so far; `None` where nobody counts.
    pub cpu_nanos: Option<u64>,
    /// Memory now; `None` where nobody counts.
    pub memory: Option<MemoryUsage>,
}

/// Where a layout counts: the files of memory in use and of its parts, and the names of the parts.
struct Files {
    usage: &'static str,
    inactive_file: &'static str,
    rss: &'static str,
    faults: [&'static str; 2],
}

const UNIFIED: Files = Files {
    usage: "memory.current",
    inactive_file: "inactive_file",
    rss: "anon",
    faults: ["pgfault", "pgmajfault"],
};

const PER_CONTROLLER: Files = Files {
    usage: "memory.usage_in_bytes",
    inactive_file: "total_inactive_file",
    rss: "total_rss",
    faults: ["total_pgfault", "total_pgmajfault"],
};

impl Cgroup {
    /// What it has used and uses, with those below it.
    pub fn usage(&self) -> GroupUsage {
        GroupUsage { cpu_nanos: self.cpu_nanos(), memory: self.memory() }
    }

    fn cpu_nanos(&self) -> Option<u64> {
        let read = |controller: &str, file: &str| text(self.controller(controller).join(file));
        match layout() {
            Layout::Unified => {
                let stat = read("cpu", "cpu.stat")?;
                stat.lines()
                    .find_map(|line| line.strip_prefix("usage_usec "))
                    .and_then(|micros| micros.trim().parse::<u64>().ok())
                    .map(|micros| micros.saturating_mul(1000))
            }
            Layout::PerController => read("cpuacct", "cpuacct.usage")?.trim().parse().ok(),
        }
    }

    fn memory(&self) -> Option<MemoryUsage> {
        let files = match layout() {
            Layout::Unified => &UNIFIED,
            Layout::PerController => &PER_CONTROLLER,
        };
        let directory = self.controller("memory");
        let usage = text(directory.join(files.usage))?.trim().parse().ok()?;
        Some(parts(files, usage, &text(directory.join("memory.stat")).unwrap_or_default()))
    }
}

fn text(path: PathBuf) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn parts(files: &Files, usage: u64, stat: &str) -> MemoryUsage {
    MemoryUsage {
        usage,
        working_set: usage.saturating_sub(counter(stat, files.inactive_file)),
        rss: counter(stat, files.rss),
        page_faults: counter(stat, files.faults[0]),
        major_page_faults: counter(stat, files.faults[1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layout_names_its_parts() {
        let check = |files: &Files, stat: &str| {
            let seen = parts(files, 100, stat);
            let expected = MemoryUsage {
                usage: 100,
                working_set: 70,
                rss: 20,
                page_faults: 5,
                major_page_faults: 1,
            };
            assert_eq!(seen, expected, "{stat}");
        };
        check(&UNIFIED, "anon 20\nfile 80\ninactive_file 30\npgfault 5\npgmajfault 1\n");
        check(
            &PER_CONTROLLER,
            "rss 1\ninactive_file 2\ntotal_rss 20\ntotal_inactive_file 30\ntotal_pgfault 5\ntotal_pgmajfault 1\n",
        );
        // A cgroup may use less in all than what it had just counted of files.
        assert_eq!(parts(&UNIFIED, 10, "inactive_file 30\n").working_set, 0);
    }

    #[test]
    fn a_busy_process_is_counted() {
        let group = Cgroup::new(&format!("leme-test-usage-{}", std::process::id())).unwrap();
        for controller in ["cpuacct", "memory", "pids"] {
            fs::create_dir_all(group.controller(controller)).unwrap();
        }
        let mut busy = std::process::Command::new("sh");
        let mut child = busy.args(["-c", "while :; do :; done"]).spawn().unwrap();
        for directory in group.directories() {
            fs::write(directory.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        let used = || group.usage().cpu_nanos.unwrap();
        let first = used();
        while used() <= first {
            std::thread::yield_now();
        }
        let memory = group.usage().memory.unwrap();
        assert!(memory.working_set <= memory.usage, "{memory:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        group.remove().unwrap();
        assert_eq!(group.usage(), GroupUsage::default());
    }
}
