//! The helper of builds alone, for tests.
//!
//! Knows: how to hand over. Refuses to know: what a step is.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    leme_executor::helper_main(&args).unwrap_or(ExitCode::FAILURE)
}
