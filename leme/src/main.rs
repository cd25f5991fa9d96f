//! The `leme` binary: parses the command line and hands over to a command.
//!
//! Exit codes: 0 done, 1 the thing failed (with the reason on standard error), 2 wrong usage.

mod allocator;
mod api;
mod args;
mod bench;
mod choose;
mod cluster;
mod connect;
mod discovery;
mod documents;
mod follow;
mod pods;
mod print;
mod progress;
mod resource;
mod say;
mod served;
mod targets;
mod terminal;
mod verbs;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::args::{Cli, Command};
use crate::verbs::pairs::Pairs;

fn main() -> ExitCode {
    // The container helper is this binary started again; it must not start a thread before it is done.
    let words: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = leme_cri::helper_main(&words) {
        return code;
    }
    if let Some(code) = leme_executor::helper_main(&words) {
        return code;
    }
    // And what the pods of builds run.
    if let Some(code) = leme_builder::main(&words) {
        return code;
    }
    let cli = args::similar::parse(&words).unwrap_or_else(|error| error.exit());
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            if error.is::<say::Unread>() {
                return say::end_unread();
            }
            let text = format!("{error:#}");
            // What a server says is passed on as kubectl does, so that scripts find it where they look.
            let own = if text.starts_with("Error from server") { "" } else { "leme: " };
            say::note(format_args!("{own}{text}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "leme", &mut script);
            say::result(String::from_utf8_lossy(&script)).map(|()| ExitCode::SUCCESS)
        }
        Command::Store(args) => verbs::store::run(&args.command).map(|()| ExitCode::SUCCESS),
        Command::Up(args) if args.detach => cluster::detach::run(&args).map(|()| ExitCode::SUCCESS),
        other => {
            let runtime = runtime()?;
            let reads = matches!(other, Command::Exec(_) | Command::Attach(_));
            let outcome = runtime.block_on(dispatch(other));
            // Nobody waits for the terminal any more. `up` does wait, for its store to be closed.
            if reads {
                runtime.shutdown_background();
            }
            outcome
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")
}

async fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Exec(args) => return verbs::exec::run(&args).await,
        Command::Attach(args) => return verbs::exec::attach(&args).await,
        Command::PortForward(args) => verbs::port_forward::run(&args).await,
        Command::Up(args) => cluster::up::run(&args).await,
        Command::Down(args) => cluster::down::run(&args).await,
        Command::Server(args) => cluster::alone::server(&args).await,
        Command::Controllers(args) => cluster::alone::controllers(&args).await,
        Command::Scheduler(args) => cluster::alone::scheduler(&args).await,
        Command::Agent(args) => cluster::alone::agent(&args).await,
        Command::Apply(args) => verbs::apply::run(&args).await,
        Command::Get(args) => verbs::get::run(&args).await,
        Command::Describe(args) => verbs::describe::run(&args).await,
        Command::Delete(args) => verbs::delete::run(&args).await,
        Command::Logs(args) => verbs::logs::run(&args).await,
        Command::Why(args) => verbs::why::run(&args).await,
        Command::Wait(args) => verbs::wait::run(&args).await,
        Command::Scale(args) => verbs::scale::run(&args).await,
        Command::Create(args) => verbs::create::run(&args).await,
        Command::Rollout(args) => verbs::rollout::run(&args).await,
        Command::Label(args) => verbs::pairs::run(&args, Pairs::Labels).await,
        Command::Annotate(args) => verbs::pairs::run(&args, Pairs::Annotations).await,
        Command::Bench(args) => bench::run(&args).await,
        Command::Build(args) => verbs::build::run(*args).await,
        Command::Image(args) => verbs::image::run(&args.command).await,
        Command::Completion { .. } | Command::Store(_) => Ok(()),
    }
    .map(|()| ExitCode::SUCCESS)
}
