//! The flags of `leme build`, as docker calls them.

use std::path::PathBuf;

use clap::Args;

use super::DEFAULT_DATA_DIR;

/// `leme build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Directory whose files are copied from, the context; `-` reads the Dockerfile from standard input, without a context
    #[arg(value_name = "DIR")]
    pub context: PathBuf,
    /// Dockerfile; by default that of the context; `-` reads it from standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Name of the image, which pods use at once
    #[arg(short, long = "tag", value_name = "NAME:TAG")]
    pub tags: Vec<String>,
    /// Value of an ARG; without =VALUE that of the environment
    #[arg(long = "build-arg", value_name = "NAME=VALUE")]
    pub build_args: Vec<String>,
    /// Stage to build; by default the last one
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Label of the image
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<String>,
    /// Carry out all steps, whatever earlier builds did
    #[arg(long)]
    pub no_cache: bool,
    /// Ask registries for newer bases
    #[arg(long)]
    pub pull: bool,
    /// Secret for RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE
    #[arg(long = "secret", value_name = "SECRET")]
    pub secrets: Vec<String>,
    /// Agent for RUN --mount=type=ssh: default, or NAME=SOCKET
    #[arg(long = "ssh", value_name = "AGENT")]
    pub ssh: Vec<String>,
    /// Network of RUN: default or none
    #[arg(long, value_name = "MODE", default_value = "default", value_parser = ["default", "none"])]
    pub network: String,
    /// Machine that the image is for; only this one's
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// How the build is told: plain (as is auto), or quiet
    #[arg(long, value_name = "HOW", default_value = "plain", value_parser = ["plain", "auto", "quiet"])]
    pub progress: String,
    /// Print the image's id alone
    #[arg(short, long)]
    pub quiet: bool,
    /// Mirrors, logins and authorities of registries, as k3s' registries.yaml has them
    #[arg(long, value_name = "FILE")]
    pub private_registry: Option<PathBuf>,
    /// Logins of registries, as docker keeps them; by default ~/.docker/config.json, if it is there
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
    /// Where the cluster keeps its state
    #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
    pub data_dir: PathBuf,
}
