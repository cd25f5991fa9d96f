//! The file that audit events are written to, one a line.
//!
//! Knows: when a file is full, and which old ones go. Refuses to know: what stands in a line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// The time in the name of an old file.
const TIME: &str = "%Y-%m-%dT%H-%M-%S.%3f";

/// How long and how much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Days that an old file is kept; 0 for ever.
    pub days: u64,
    /// Old files that are kept; 0 for all.
    pub files: usize,
    /// Bytes of a file until another takes its place.
    pub bytes: u64,
}

/// A file, or standard output.
pub(crate) enum Log {
    File { path: PathBuf, file: File, written: u64, kept: Kept },
    Stdout,
}

impl Log {
    /// Opens the file, or creates it; `-` is standard output.
    pub fn open(path: &Path, kept: Kept) -> io::Result<Log> {
        if path == Path::new("-") {
            return Ok(Log::Stdout);
        }
        let file = append(path)?;
        let written = file.metadata()?.len();
        Ok(Log::File { path: path.to_owned(), file, written, kept })
    }

    /// Writes a line, which ends in one.
    pub fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let Log::File { path, file, written, kept } = self else {
            return io::stdout().lock().write_all(line);
        };
        let length = line.len() as u64;
        if *written > 0 && *written + length > kept.bytes {
            let mut now = Timestamp::now();
            while aside(path, now).exists() {
                now += jiff::SignedDuration::from_millis(1);
            }
            fs::rename(&*path, aside(path, now))?;
            *file = append(path)?;
            *written = 0;
            sweep(path, *kept, now)?;
        }
        file.write_all(line)?;
        *written += length;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The name of a file that is full: with the time before its ending, as upstream has it.
fn aside(path: &Path, now: Timestamp) -> PathBuf {
    let (stem, ending) = parts(path);
    path.with_file_name(format!("{stem}-{}{ending}", now.strftime(TIME)))
}

fn parts(path: &Path) -> (String, String) {
    let text =
        |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    let ending = text(path.extension()).map(|ending| format!(".{ending}"));
    (text(path.file_stem()).unwrap_or_default(), ending.unwrap_or_default())
}

/// Removes the old files that are too many or too old.
fn sweep(path: &Path, kept: Kept, now: Timestamp) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let (stem, ending) = parts(path);
    let start = format!("{stem}-");
    let time = |name: &str| {
        let time = name.strip_prefix(&start)?.strip_suffix(&ending)?;
        let time = jiff::civil::DateTime::strptime(TIME, time).ok()?;
        Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    };
    let mut old = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(time) = entry.file_name().to_str().and_then(time) {
            old.push((time, entry.path()));
        }
    }
    old.sort();
    old.reverse();
    let most = if kept.files == 0 { usize::MAX } else { kept.files };
    let longest = i64::try_from(kept.days * 24 * 60 * 60).unwrap_or(i64::MAX);
    for (at, (time, path)) in old.iter().enumerate() {
        let age = now.as_second() - time.as_second();
        if at >= most || (kept.days > 0 && age > longest) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn old_files_go_after_some_days() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let now: Timestamp = "2026-03-10T00:00:00Z".parse().unwrap();
        let made = |time: &str| fs::write(aside(&path, time.parse().unwrap()), "x").unwrap();
        for day in ["2026-03-01T00:00:00Z", "2026-03-06T23:00:00Z", "2026-03-07T01:00:00Z"] {
            made(day);
        }
        sweep(&path, Kept { days: 3, files: 0, bytes: 1 }, now).unwrap();
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(names.len(), 1);
        assert!(aside(&path, "2026-03-07T01:00:00Z".parse().unwrap()).exists());
    }

    #[test]
    fn a_full_file_is_put_aside_and_too_many_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let other = dir.path().join("audit-notes.log");
        fs::write(&other, "of somebody else").unwrap();
        let kept = Kept { days: 0, files: 2, bytes: 10 };
        let mut log = Log::open(&path, kept).unwrap();
        for line in ["one two\n", "three four five six\n", "seven\n", "eight\n", "nine\n"] {
            log.write(line.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "nine\n");
        let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut old: Vec<PathBuf> = names.filter(|name| *name != path && *name != other).collect();
        old.sort();
        let old: Vec<String> = old.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        assert_eq!(old, ["seven\n", "eight\n"], "each line is whole, the oldest are gone");
        assert!(other.exists());
        // Another start goes on where this one was.
        Log::open(&path, kept).unwrap().write(b"ten\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "nine\nten\n");
    }
}
