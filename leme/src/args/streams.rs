//! The command line of what streams: commands, attached processes, forwarded ports.

use clap::Args;

use super::ConnectArgs;

/// `leme exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Pod
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
    /// Pod
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
    /// Pod
    pub pod: String,
    /// [LOCAL:]REMOTE; without LOCAL the same port, with `:REMOTE` a free one
    #[arg(required = true, value_name = "PORT")]
    pub ports: Vec<String>,
}
