//! The sample application, one static program with three roles: `hello` tells which pod answered, `front` and `store` are
//! the two tiers of a guest book.
//!
//! Knows: its environment, its mounted files, the cluster's DNS. Refuses to know: the Kubernetes API.

mod dns;
mod guestbook;
mod hello;
mod http;

use std::io::Write as _;
use std::net::TcpListener;
use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};

/// A role: its name on the command line and its handler.
type Role = (&'static str, fn(&http::Request) -> http::Response);

const ROLES: &[Role] =
    &[("hello", hello::answer), ("front", guestbook::front), ("store", guestbook::store)];

fn main() -> ExitCode {
    let role = std::env::args().nth(1).unwrap_or_else(|| "hello".to_owned());
    let Some((_, handler)) = ROLES.iter().find(|(name, _)| *name == role) else {
        log(format_args!("unknown role {role:?}: use hello, front or store"));
        return ExitCode::from(2);
    };
    end_on_sigterm();
    let port = env("PORT", "8080");
    let listener = match TcpListener::bind(format!("0.0.0.0:{port}")) {
        Ok(listener) => listener,
        Err(error) => {
            log(format_args!("cannot listen on port {port}: {error}"));
            return ExitCode::FAILURE;
        }
    };
    log(format_args!("{role} listens on port {port}"));
    http::serve(&listener, *handler);
    ExitCode::FAILURE
}

/// Writes a line to the container's log, if that can be written: a full disk must not end what serves.
fn log(line: std::fmt::Arguments<'_>) {
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
}

/// An environment variable, or the default.
fn env(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// The first process of a PID namespace gets no signal that it has no handler for, so SIGTERM needs one.
fn end_on_sigterm() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    if let Err(error) = signals.thread_block() {
        log(format_args!("cannot block signals: {error}"));
        return;
    }
    std::thread::spawn(move || {
        if let Ok(signal) = signals.wait() {
            log(format_args!("{signal} received, going down"));
            std::process::exit(0);
        }
    });
}
