//! What a command says: results on standard output, the rest on standard error.
//!
//! Knows: that either can be full, closed, or without a reader. Refuses to know: what is said.
//! The macros of the standard library panic then, so `clippy.toml` forbids them.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, raise};

/// Nobody reads the results any more, as behind `| head`: the end of a command, and nothing to complain about.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads standard output")]
pub struct Unread;

/// Writes a result to standard output.
///
/// # Errors
/// [`Unread`], or what the system says of it, as on a full disk.
pub fn result(text: impl Display) -> Result<()> {
    let text = text.to_string();
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The same with a line break after it.
///
/// # Errors
/// As [`result`].
pub fn line(text: impl Display) -> Result<()> {
    result(format_args!("{text}\n"))
}

/// What became of a write to standard output.
///
/// # Errors
/// As [`result`].
pub fn written(outcome: io::Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Unread.into()),
        outcome => outcome.context("write standard output"),
    }
}

/// Writes a line to standard output for whoever still reads it: what says it must go on without one.
pub fn offer(text: impl Display) {
    let _ = io::stdout().write_all(format!("{text}\n").as_bytes());
}

/// Writes a line to standard error, whatever becomes of it: there is nowhere else to say so.
pub fn note(text: impl Display) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Ends as a process ends that writes where nobody reads: by the signal that Rust programs ignore.
pub fn end_unread() -> ExitCode {
    let _ = leme_host::sys::set_signal(Signal::SIGPIPE, false);
    let _ = raise(Signal::SIGPIPE);
    ExitCode::FAILURE
}
