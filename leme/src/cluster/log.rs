//! The log of a cluster: a file that does not grow for ever, or standard error.
//!
//! Knows: what is worth a line, when a file is full, and that one old one is kept. Refuses to know: what is logged.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

/// Bytes of a file until another takes its place.
const MOST: u64 = 10 << 20;

/// Sends what the parts log to a place, warnings and worse unless LEME_LOG says otherwise.
///
/// # Errors
/// When what LEME_LOG says makes no sense.
pub(crate) fn to(log: impl Write + Send + 'static) -> Result<()> {
    let filter = match std::env::var("LEME_LOG") {
        Ok(text) => EnvFilter::try_new(&text).with_context(|| format!("LEME_LOG={text}"))?,
        Err(_) => EnvFilter::new("warn"),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        // It would say so on standard error, which is this very file when detached, and panic.
        .log_internal_errors(false)
        .with_writer(Mutex::new(log))
        .init();
    Ok(())
}

/// A file that is written to the end.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    written: u64,
    most: u64,
}

impl Log {
    /// Opens the file, or creates it.
    pub(crate) fn open(path: &Path) -> io::Result<Log> {
        Log::open_with(path, MOST)
    }

    fn open_with(path: &Path, most: u64) -> io::Result<Log> {
        let file = append(path)?;
        let written = file.metadata()?.len();
        Ok(Log { path: path.to_owned(), file, written, most })
    }

    /// Sends to it what the process says of itself, as of a panic.
    pub(crate) fn take_stderr(&self) -> io::Result<()> {
        Ok(nix::unistd::dup2_stderr(&self.file)?)
    }

    /// Puts the file aside, in place of the one put aside before.
    fn turn(&mut self) -> io::Result<()> {
        std::fs::rename(&self.path, self.path.with_added_extension("1"))?;
        self.file = append(&self.path)?;
        self.written = 0;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written >= self.most {
            self.turn()?;
        }
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Red when the file is only appended to: a busy controller wrote tens of megabytes in a minute.
    #[test]
    fn a_log_is_bounded_and_goes_on_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("leme.log");
        for _ in 0..3 {
            let mut log = Log::open_with(&path, 1_000).unwrap();
            for line in 0..100 {
                writeln!(log, "line {line:04}").unwrap();
            }
        }
        let length = |path: &Path| std::fs::metadata(path).unwrap().len();
        assert!(length(&path) <= 1_010);
        assert!(length(&path.with_added_extension("1")) <= 1_010);
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("line 0099\n"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
