//! Container logs in the CRI format: `TIME STREAM TAG LINE`, tag `F` for a whole line and `P` for a piece of one.
//!
//! Knows: the format, how large a log may become. Refuses to know: who reads, when a log is removed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Longest content of one log line; longer ones are split.
pub(super) const MAX_LINE: usize = 16 * 1024;

/// How much of a container's output is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Files, the one that is written among them.
    pub files: u32,
}

impl Default for LogLimits {
    /// The kubelet's.
    fn default() -> LogLimits {
        LogLimits { file_bytes: 10 << 20, files: 5 }
    }
}

/// An open log file. A write that fails loses that output: a full disk must not stop the container.
///
/// Invariant: the file is no longer than its limit, or holds a single write; with those moved away there are at most
/// `files`.
pub(super) struct LogFile {
    path: PathBuf,
    limits: LogLimits,
    file: Option<File>,
    length: u64,
}

impl LogFile {
    pub(super) fn open(path: PathBuf, limits: LogLimits) -> io::Result<LogFile> {
        let mut log = LogFile { path, limits, file: None, length: 0 };
        log.reopen()?;
        Ok(log)
    }

    /// Opens the path anew; an empty path means no log.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if self.path.as_os_str().is_empty() {
            return Ok(());
        }
        if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = File::options().create(true).append(true).mode(0o640).open(&self.path)?;
        self.length = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Appends whole entries.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let coming = bytes.len() as u64;
        if self.length > 0 && self.length.saturating_add(coming) > self.limits.file_bytes {
            self.rotate();
        }
        if let Some(file) = &mut self.file
            && file.write_all(bytes).is_ok()
        {
            self.length += coming;
        }
    }

    /// Moves the file away under its name and the time, as the kubelet does, drops the oldest and begins a new one. What
    /// cannot be moved is begun anew in place: the bound holds, whatever the disk says.
    fn rotate(&mut self) {
        if self.file.is_none() {
            return;
        }
        let moved = self.limits.files > 1 && self.move_away().is_ok();
        drop_oldest(&self.path, self.limits.files.saturating_sub(1) as usize);
        if (!moved || self.reopen().is_err())
            && let Some(file) = &self.file
            && file.set_len(0).is_ok()
        {
            self.length = 0;
        }
    }

    fn move_away(&self) -> io::Result<()> {
        // With a fraction, for a second may see several: the names sort by age.
        let stamp = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S.%9f").to_string();
        fs::rename(&self.path, beside(&self.path, &stamp))
    }
}

/// `PATH.SUFFIX`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// The files that a log was moved away to, the oldest first.
pub fn rotated(path: &Path) -> Vec<PathBuf> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut found: Vec<PathBuf> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

fn drop_oldest(path: &Path, keep: usize) {
    let found = rotated(path);
    for old in found.iter().take(found.len().saturating_sub(keep)) {
        let _ = fs::remove_file(old);
    }
}

/// Cuts one stream into lines.
pub(super) struct Lines {
    stream: &'static str,
    pending: Vec<u8>,
}

impl Lines {
    pub(super) fn new(stream: &'static str) -> Lines {
        Lines { stream, pending: Vec::new() }
    }

    /// Adds `bytes` and appends what is complete to `out`.
    pub(super) fn push(&mut self, time: &str, bytes: &[u8], out: &mut Vec<u8>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (content, whole) = match piece.split_last() {
                Some((b'\n', content)) => (content, true),
                _ => (piece, false),
            };
            let mut rest = content;
            while self.pending.len() + rest.len() > MAX_LINE {
                let (now, later) = rest.split_at(MAX_LINE - self.pending.len());
                self.emit(time, "P", now, out);
                rest = later;
            }
            if whole {
                self.emit(time, "F", rest, out);
            } else {
                self.pending.extend_from_slice(rest);
            }
        }
    }

    /// The end of the stream: an unfinished line stays one, for no newline was printed.
    pub(super) fn finish(&mut self, time: &str, out: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            self.emit(time, "P", b"", out);
        }
    }

    fn emit(&mut self, time: &str, tag: &str, content: &[u8], out: &mut Vec<u8>) {
        for part in [
            time.as_bytes(),
            b" ",
            self.stream.as_bytes(),
            b" ",
            tag.as_bytes(),
            b" ",
            &self.pending,
            content,
            b"\n",
        ] {
            out.extend_from_slice(part);
        }
        self.pending = Vec::new();
    }
}

/// The present in the format's notation.
pub(super) fn time() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]], expected: &[(&str, usize, &str)]) {
        let mut lines = Lines::new("stdout");
        let mut out = Vec::new();
        for piece in pieces {
            lines.push("T", piece, &mut out);
        }
        lines.finish("T", &mut out);
        let text = String::from_utf8(out).unwrap();
        let got: Vec<(&str, usize, &str)> = text
            .lines()
            .map(|line| {
                let content = line.strip_prefix("T stdout ").unwrap();
                (&content[..1], content.len() - 2, &content[2..content.len().min(8)])
            })
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn whole_partial_and_unfinished_lines() {
        check(&[b"one\ntwo\n"], &[("F", 3, "one"), ("F", 3, "two")]);
        check(&[b"o", b"ne\n\n"], &[("F", 3, "one"), ("F", 0, "")]);
        // Red when an unfinished line is tagged as a whole one: readers would add a newline.
        check(&[b"tail"], &[("P", 4, "tail")]);
        let long = vec![b'x'; MAX_LINE + 3];
        check(&[&long, b"\n"], &[("P", MAX_LINE, "xxxxxx"), ("F", 3, "xxx")]);
        let exact = vec![b'x'; MAX_LINE];
        check(&[&exact, b"\nend"], &[("F", MAX_LINE, "xxxxxx"), ("P", 3, "end")]);
    }

    /// Red when `write` does not rotate: one file of everything.
    #[test]
    fn a_log_is_bounded_by_size_and_number() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app/0.log");
        let limits = LogLimits { file_bytes: 100, files: 3 };
        let mut log = LogFile::open(path.clone(), limits).unwrap();
        fs::write(directory.path().join("app/1.log"), "another attempt's").unwrap();
        let line = |n: usize| format!("entry {n:03} of thirty bytes long\n");
        for n in 0..100 {
            log.write(line(n).as_bytes());
        }
        let moved = rotated(&path);
        assert_eq!(moved.len(), 2, "{moved:?}");
        let text: String = moved
            .iter()
            .chain([&path])
            .map(|file| {
                let text = fs::read_to_string(file).unwrap();
                assert!(text.len() <= 100, "{}: {}", file.display(), text.len());
                text
            })
            .collect();
        // The newest entries, in their order, none cut.
        let kept = text.lines().count();
        assert!(kept >= 7, "{text}");
        assert_eq!(text, (100 - kept..100).map(line).collect::<String>());
        assert!(directory.path().join("app/1.log").exists());
        // A single entry that is longer than a file is written all the same; a new start counts what is there.
        let long = format!("{}\n", "x".repeat(300));
        log.write(long.as_bytes());
        assert_eq!(fs::read_to_string(&path).unwrap(), long);
        let mut again = LogFile::open(path.clone(), limits).unwrap();
        again.write(b"after\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
        let mut single = LogFile::open(path.clone(), LogLimits { files: 1, ..limits }).unwrap();
        (0..9).for_each(|n| single.write(line(n).as_bytes()));
        assert!(rotated(&path).is_empty() && fs::metadata(&path).unwrap().len() <= 100);
    }

    #[test]
    fn time_has_nine_digits() {
        let time = time();
        assert_eq!(time.len(), "2024-01-01T00:00:00.000000000Z".len(), "{time}");
        assert!(time.ends_with('Z'));
    }
}
