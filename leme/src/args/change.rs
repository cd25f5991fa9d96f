//! The command line of what changes objects that are there, or makes them so.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{ChosenArgs, ConnectArgs, FilterArgs, count, duration, number};

/// Whether a change is only tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// It is made.
    #[default]
    None,
    /// Nothing is sent: what would be is shown.
    Client,
    /// The server checks everything and keeps nothing.
    Server,
}

impl DryRun {
    /// What is said behind the outcome.
    pub fn note(self) -> &'static str {
        match self {
            DryRun::None => "",
            DryRun::Client => " (dry run)",
            DryRun::Server => " (server dry run)",
        }
    }

    /// The parameter of requests.
    pub fn query(self) -> Option<&'static str> {
        (self == DryRun::Server).then_some("All")
    }
}

/// `leme apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// A file, a directory or - for standard input
    #[arg(short, long = "filename", required = true, value_name = "FILE|DIR|-")]
    pub files: Vec<String>,
    /// Return when everything applied works or something has failed for good, and say what is being waited for
    #[arg(long)]
    pub wait: bool,
    /// How long --wait waits
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "DURATION")]
    pub timeout: Duration,
    /// Let the server check everything and keep nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// How what an object owns goes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Cascade {
    /// After it.
    #[default]
    Background,
    /// Before it.
    Foreground,
    /// Not at all.
    Orphan,
}

impl Cascade {
    /// The word of DeleteOptions.
    pub fn policy(self) -> &'static str {
        match self {
            Cascade::Background => "Background",
            Cascade::Foreground => "Foreground",
            Cascade::Orphan => "Orphan",
        }
    }
}

/// `leme delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    #[command(flatten)]
    pub chosen: ChosenArgs,
    /// Do not complain about what is not there
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Seconds of grace
    #[arg(long, value_name = "SECONDS", value_parser = number::<i64>, allow_negative_numbers = true)]
    pub grace_period: Option<i64>,
    /// The same as --grace-period=1
    #[arg(long, conflicts_with = "grace_period")]
    pub now: bool,
    /// Without grace, and without waiting for the node
    #[arg(long, conflicts_with = "now")]
    pub force: bool,
    /// What becomes of what the objects own
    #[arg(long, value_enum, default_value_t)]
    pub cascade: Cascade,
    /// Wait until the objects are gone
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub wait: bool,
    /// How long to wait
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "DURATION")]
    pub timeout: Duration,
    /// Only try
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    pub dry_run: DryRun,
    /// `name` for KIND/NAME and no more
    #[arg(short, long, value_name = "FORMAT", value_parser = ["name"])]
    pub output: Option<String>,
}

/// `leme scale`.
#[derive(Debug, Args)]
pub struct ScaleArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    #[command(flatten)]
    pub chosen: ChosenArgs,
    /// Number of replicas
    #[arg(long, value_name = "N", value_parser = count::<u32>, allow_negative_numbers = true)]
    pub replicas: u32,
    /// Only from this number of replicas
    #[arg(long, value_name = "N", value_parser = count::<u32>, allow_negative_numbers = true)]
    pub current_replicas: Option<u32>,
    /// Only from this version of the object
    #[arg(long, value_name = "VERSION")]
    pub resource_version: Option<String>,
}

/// `leme label` and `leme annotate`.
#[derive(Debug, Args)]
pub struct PairsArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// KIND NAME.. or KIND/NAME.., then KEY=VALUE to set and KEY- to remove
    #[arg(required = true, value_name = "KIND|KEY=VALUE|KEY-")]
    pub words: Vec<String>,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Change what has another value
    #[arg(long)]
    pub overwrite: bool,
    /// Show what the objects have
    #[arg(long)]
    pub list: bool,
    /// Only from this version of the object
    #[arg(long, value_name = "VERSION")]
    pub resource_version: Option<String>,
    /// Only try
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    pub dry_run: DryRun,
}
