//! What the containers of a build's pod do, in their order: fetch the input, make a context of it, build an image and push
//! it. Each is this program started with the name of its step; what one leaves for the next is in the directory they share.
//!
//! Knows: what `$BUILD` says, where the pod has its secrets, how a build tells of itself. Refuses to know: how a step of a
//! Dockerfile is carried out, and what the registry is.
#![forbid(unsafe_code)]

mod content;
mod git;
mod image;
mod input;
mod push;
mod report;
mod s2i;
mod task;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use report::Report;
use task::Task;

/// Why a build failed: what its status says, and what its log says.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
struct Failed {
    reason: &'static str,
    message: &'static str,
    why: String,
}

impl Failed {
    fn new(reason: &'static str, message: &'static str, why: impl std::fmt::Display) -> Failed {
        Failed { reason, message, why: why.to_string() }
    }

    /// What nobody can say more of.
    fn generic(why: impl std::fmt::Display) -> Failed {
        Failed::new("GenericBuildFailed", "Generic Build failure - check logs for details.", why)
    }
}

/// Carries out a step if `args` (with the program's name first) are `builder STEP`.
pub fn main(args: &[OsString]) -> Option<ExitCode> {
    let [_, verb, step] = args else { return None };
    (verb == "builder").then(|| run(&step.to_string_lossy()))
}

fn run(step: &str) -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("error: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        tokio::select! {
            done = carry_out(step) => Some(done),
            () = told_to_end() => None,
        }
    });
    let Some(outcome) = outcome else {
        // Whatever it had begun ends with it, for it is the first process of its container.
        std::process::exit(143);
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            say(&format!("error: {failed}"));
            ExitCode::FAILURE
        }
    }
}

/// Waits for the word to end, which the first process of a container gets only if it listens.
async fn told_to_end() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut word) => drop(word.recv().await),
        Err(_) => std::future::pending().await,
    }
}

async fn carry_out(step: &str) -> Result<(), Failed> {
    let task = Task::of_environment(&|name| std::env::var(name).ok()).map_err(Failed::generic)?;
    let mut report = Report::new(&task).await.map_err(Failed::generic)?;
    let done = match step {
        "git-clone" => input::fetch(&task, &mut report).await,
        "extract-image-content" => content::extract(&task, &mut report).await,
        "manage-dockerfile" => input::manage(&task),
        "docker-build" => image::of_dockerfile(&task, &mut report).await,
        "sti-build" => image::of_source(&task, &mut report).await,
        other => Err(Failed::generic(format!("there is no step {other:?}"))),
    };
    if let Err(failed) = &done {
        report.failed(failed.reason, failed.message);
    }
    // A build of which nothing can be told is followed by its pod all the same.
    if let Err(why) = report.send().await {
        say(&format!("warning: the build could not be told of this: {why}"));
    }
    done
}

/// Writes a line of the log.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever reads the log may have gone.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
