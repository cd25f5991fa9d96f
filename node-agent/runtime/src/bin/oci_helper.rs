//! The embedded runtime's helper as a program of its own, for tests and for whoever embeds the crate elsewhere.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    leme_cri::helper_main(&args).unwrap_or_else(|| {
        let _ = writeln!(std::io::stderr(), "usage: leme-oci-helper {}", leme_host::helper::WORD);
        ExitCode::from(2)
    })
}
