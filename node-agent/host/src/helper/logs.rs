//! Container logs in the CRI format: `TIME STREAM TAG LINE`, tag `F` for a whole line and `P` for a piece of one.
//!
//! Knows: the format. Refuses to know: rotation (the agent moves the file away and says so).

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Longest content of one log line; longer ones are split.
pub(super) const MAX_LINE: usize = 16 * 1024;

/// An open log file. A write that fails loses that output: a full disk must not stop the container.
pub(super) struct LogFile {
    path: PathBuf,
    file: Option<File>,
}

impl LogFile {
    pub(super) fn open(path: PathBuf) -> io::Result<LogFile> {
        let mut log = LogFile { path, file: None };
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
        self.file = Some(File::options().create(true).append(true).mode(0o640).open(&self.path)?);
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file {
            let _ = file.write_all(bytes);
        }
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

    /// The end of the stream: an unfinished line is as good as a whole one.
    pub(super) fn finish(&mut self, time: &str, out: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            self.emit(time, "F", b"", out);
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
        check(&[b"tail"], &[("F", 4, "tail")]);
        let long = vec![b'x'; MAX_LINE + 3];
        check(&[&long, b"\n"], &[("P", MAX_LINE, "xxxxxx"), ("F", 3, "xxx")]);
        let exact = vec![b'x'; MAX_LINE];
        check(&[&exact, b"\nend"], &[("F", MAX_LINE, "xxxxxx"), ("F", 3, "end")]);
    }

    #[test]
    fn time_has_nine_digits() {
        let time = time();
        assert_eq!(time.len(), "2024-01-01T00:00:00.000000000Z".len(), "{time}");
        assert!(time.ends_with('Z'));
    }
}
