//! Flags of the router.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use leme_network::router::AllowList;

use super::address;

/// How the router is set up.
#[derive(Clone, Debug, Args)]
pub struct RouterFlags {
    /// Where the router serves Routes; by default port 80 of the API server's address, or 8080 where that is taken
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    pub router_listen: Option<SocketAddr>,
    /// Where it serves those with TLS; by default port 443 of the same address, or 8443 where that is taken
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    pub router_listen_tls: Option<SocketAddr>,
    /// Networks of load balancers in front of the router, which have to say who the client is by the PROXY protocol, version 1 or 2
    #[arg(long, value_delimiter = ',', value_name = "CIDR,..", value_parser = network)]
    pub router_proxy_protocol: Vec<String>,
    /// Where the router writes each request down: a file, which is appended to, or - for standard output
    #[arg(long, value_name = "FILE")]
    pub router_access_log: Option<PathBuf>,
    /// How it does so
    #[arg(long, value_enum, default_value_t = LogForm::Common, requires = "router_access_log")]
    pub router_access_log_format: LogForm,
    /// Where the router tells its metrics (/metrics) and health (/healthz, /healthz/ready), without TLS; by default nowhere
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    pub router_metrics: Option<SocketAddr>,
}

/// How a request is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogForm {
    /// The Common Log Format
    Common,
    /// An object of JSON a line
    Json,
}

/// An address or a network, as it is written.
fn network(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("expected an address or a network".to_owned()),
        text => AllowList::parse(text).map(|_| text.to_owned()),
    }
}
