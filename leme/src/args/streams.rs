//! The command line of what streams: logs, commands, attached processes, forwarded ports.

use std::time::Duration;

use clap::Args;

use super::{ConnectArgs, count, duration, number};

/// `leme logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// POD or KIND/NAME
    #[arg(required_unless_present = "selector", conflicts_with = "selector")]
    pub pod: Option<String>,
    /// Container, as with -c
    #[arg(value_name = "CONTAINER", conflicts_with = "container")]
    pub of_container: Option<String>,
    /// Container
    #[arg(short, long, value_name = "NAME", conflicts_with = "all_containers")]
    pub container: Option<String>,
    /// Every container of the pod
    #[arg(long)]
    pub all_containers: bool,
    /// Every pod of the object
    #[arg(long)]
    pub all_pods: bool,
    /// Of the pods with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub follow: bool,
    /// The container before the last restart
    #[arg(short, long)]
    pub previous: bool,
    /// Begin each line with its time
    #[arg(long)]
    pub timestamps: bool,
    /// Begin each line with its pod and container
    #[arg(long)]
    pub prefix: bool,
    /// Only the last lines; 10 with -l
    #[arg(long, value_name = "N", value_parser = number::<i64>, allow_negative_numbers = true)]
    pub tail: Option<i64>,
    /// Only what is newer than this
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub since: Option<Duration>,
    /// Only what is newer than this time (RFC 3339)
    #[arg(long, value_name = "TIME", conflicts_with = "since")]
    pub since_time: Option<String>,
    /// Only so many bytes
    #[arg(long, value_name = "N", value_parser = count::<u64>, allow_negative_numbers = true)]
    pub limit_bytes: Option<u64>,
    /// Logs followed at once at most
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = count::<usize>, allow_negative_numbers = true)]
    pub max_log_requests: usize,
}

/// `leme exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// POD or KIND/NAME
    pub pod: String,
    /// Container
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Pass standard input
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// The command
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `leme attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// POD or KIND/NAME
    pub pod: String,
    /// Container
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Pass standard input
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// The container has a terminal
    #[arg(short, long)]
    pub tty: bool,
}

/// `leme port-forward`.
#[derive(Debug, Args)]
pub struct PortForwardArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub address: std::net::IpAddr,
    /// POD or KIND/NAME; of a Service its ports are meant
    pub pod: String,
    /// [LOCAL:]REMOTE; without LOCAL the same port, with `:REMOTE` a free one; REMOTE may be a name
    #[arg(required = true, value_name = "PORT")]
    pub ports: Vec<String>,
}
