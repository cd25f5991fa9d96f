//! What the kernel tells of this process.
//!
//! Knows: `/proc/self`. Refuses to know: what the process does. What cannot be read is left out.

use std::fs;

use super::text::Text;

/// Ticks of the kernel's clock in a second, as programs see it, on every machine that Linux runs on.
const TICKS: f64 = 100.0;

/// Writes what every program that Prometheus looks at tells of itself.
pub(super) fn write(text: &mut Text) {
    if let Some((cpu, started)) = times() {
        let name = "process_cpu_seconds_total";
        text.single(name, "counter", "Processor time used by the program and the kernel.", cpu);
        let name = "process_start_time_seconds";
        text.single(name, "gauge", "When the process started, in seconds since 1970.", started);
    }
    let memory = [
        ("VmRSS:", "process_resident_memory_bytes", "Memory in use."),
        ("VmSize:", "process_virtual_memory_bytes", "Addresses in use."),
    ];
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (word, name, help) in memory {
        if let Some(kilobytes) = number_after(&status, word) {
            text.single(name, "gauge", help, kilobytes * 1024.0);
        }
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(most) = number_after(&limits, "Max open files") {
        text.single("process_max_fds", "gauge", "Files that may be open at once.", most);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The directory that is read is open as well.
        let open = open.count().saturating_sub(1);
        text.single("process_open_fds", "gauge", "Files that are open.", open);
    }
}

/// Processor time used, and when the process started.
fn times() -> Option<(f64, f64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let boot = number_after(&fs::read_to_string("/proc/stat").ok()?, "btime")?;
    parsed(&stat).map(|(cpu, started)| (cpu, boot + started))
}

/// The same since boot, of the text of `/proc/self/stat`. The second field is a name that may hold anything.
fn parsed(stat: &str) -> Option<(f64, f64)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Fields 14, 15 and 22 of proc(5); what is left begins with the third.
    let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    Some(((ticks(14)? + ticks(15)?) / TICKS, ticks(22)? / TICKS))
}

/// The first number on the line that begins with a word.
fn number_after(text: &str, word: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_this_process() {
        let mut text = Text::new(&http::HeaderMap::new());
        write(&mut text);
        let (_, text) = text.done();
        for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds"] {
            assert!(text.contains(&format!("\nprocess_{name} ")), "{name}: {text}");
        }
    }

    #[test]
    fn a_strange_name_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 17 18 1200 20";
        assert_eq!(parsed(stat), Some((3.0, 12.0)));
        assert_eq!(parsed("7 (a"), None);
        assert_eq!(parsed("7 (a) S 1"), None);
    }
}
