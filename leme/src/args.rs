//! The command line: words, flags and their help. What a flag does is the command's business.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::verbs::store::StoreArgs;

mod audit;
mod build;
mod change;
mod cluster;
mod create;
mod objects;
mod people;
mod rollout;
mod router;
pub mod similar;
mod streams;

pub use audit::AuditFlags;
pub use build::BuildArgs;
pub use change::{ApplyArgs, DeleteArgs, DryRun, PairsArgs, ScaleArgs};
pub use cluster::{
    AdmissionFlags, AgentArgs, DownArgs, ManagerArgs, NodeFlags, RemoteArgs, SchedulerArgs,
    ServerArgs, ServerFlags, UpArgs,
};
pub use create::{
    AccessArgs, BindingArgs, BudgetArgs, ConfigArgs, CreateArgs, CreateCommand, IngressArgs,
    PriorityArgs, QuotaArgs, RegistryArgs, SecretCommand, ServiceArgs, ServiceCommand, TlsArgs,
    TokenArgs, WorkloadArgs,
};
pub use objects::{ChosenArgs, DescribeArgs, FilterArgs, GetArgs, WaitArgs, WhyArgs};
pub use people::PeopleFlags;
pub use rollout::{RolloutArgs, RolloutCommand};
pub use router::{LogForm, RouterFlags};
pub use streams::{AttachArgs, ExecArgs, LogsArgs, PortForwardArgs};

/// Where a cluster keeps its state unless told otherwise.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/leme";

/// A Kubernetes- and OpenShift-compatible cluster in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "leme",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start or resume a local cluster and wait until what -f holds is served; Ctrl-C stops it
    Up(Box<UpArgs>),
    /// Stop the local cluster; its state stays unless --purge
    Down(DownArgs),
    /// Run the API server alone: store, certificates, HTTPS
    Server(Box<ServerArgs>),
    /// Run the controllers alone, against an API server elsewhere
    Controllers(ManagerArgs),
    /// Run the scheduler alone, against an API server elsewhere
    Scheduler(SchedulerArgs),
    /// Run a node alone, with its network, against an API server elsewhere
    Agent(AgentArgs),
    /// Create or change what files describe
    Apply(ApplyArgs),
    /// Create one object, of a file or by flags
    Create(CreateArgs),
    /// Show objects
    Get(GetArgs),
    /// Show one object with its events
    Describe(DescribeArgs),
    /// Delete objects
    Delete(DeleteArgs),
    /// Print a container's log
    Logs(LogsArgs),
    /// Run a command in a container
    Exec(ExecArgs),
    /// Join the streams of a container's own process
    Attach(AttachArgs),
    /// Forward local ports to a pod, or to one of an object's pods
    PortForward(PortForwardArgs),
    /// Say what an object is waiting for
    Why(WhyArgs),
    /// Wait for a condition or for deletion
    Wait(WaitArgs),
    /// Change the number of replicas
    Scale(ScaleArgs),
    /// Follow, repeat, stop or take back the rollout of a template
    Rollout(RolloutArgs),
    /// Set and remove labels
    Label(PairsArgs),
    /// Set and remove annotations
    Annotate(PairsArgs),
    /// Build an image from a Dockerfile
    Build(Box<BuildArgs>),
    /// Images on this machine
    Image(ImageArgs),
    /// The embedded store of a cluster that does not run: check, backup, restore, salvage
    Store(StoreArgs),
    /// Measure this build on this machine
    Bench(BenchArgs),
    /// Print a completion script for a shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// How progress is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// A live tree on a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// One JSON document a line
    Json,
}

/// How to reach a cluster.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// Kubeconfig; by default $KUBECONFIG, then admin.kubeconfig in the data directory
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Data directory whose admin.kubeconfig is used
    #[arg(long, global = true, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Namespace
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// `leme image`.
#[derive(Debug, Args)]
pub struct ImageArgs {
    #[command(subcommand)]
    pub command: ImageCommand,
}

/// What to do with images.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Load a docker-archive or an OCI layout (a tar, compressed or not, or a directory); no cluster need run
    Load {
        /// File or directory
        path: PathBuf,
        /// Where the cluster keeps its state
        #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Pull an image from its registry; no cluster need run
    Pull {
        /// Name of the image: nginx, quay.io/team/app:v1, host:5000/app@sha256:...
        image: String,
        /// Mirrors, logins and authorities of registries, as k3s' registries.yaml has them
        #[arg(long, value_name = "FILE")]
        private_registry: Option<PathBuf>,
        /// Logins of registries, as docker keeps them; by default ~/.docker/config.json, if it is there
        #[arg(long, value_name = "FILE")]
        authfile: Option<PathBuf>,
        /// Where the cluster keeps its state
        #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Give an image to the registry that its name names; images of the cluster's own registry are named
    /// image-registry.openshift-image-registry.svc:5000/NAMESPACE/STREAM
    Push {
        /// Name of the image, as `leme image ls` shows it
        image: String,
        /// By which name it is given; by default its own
        to: Option<String>,
        /// Mirrors, logins and authorities of registries, as k3s' registries.yaml has them
        #[arg(long, value_name = "FILE")]
        private_registry: Option<PathBuf>,
        /// Logins of registries, as docker keeps them; by default ~/.docker/config.json, if it is there
        #[arg(long, value_name = "FILE")]
        authfile: Option<PathBuf>,
        /// Where the cluster keeps its state
        #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Give an image one more name
    Tag {
        /// Name of the image, or its id
        image: String,
        /// The new name
        name: String,
        /// Where the cluster keeps its state
        #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Note who one is to a registry, as docker does
    Login {
        /// Host of the registry, with its port
        registry: String,
        /// Name; for the cluster's own registry any, with a token as the password
        #[arg(short, long)]
        username: String,
        /// Read the password from standard input; there is no other way
        #[arg(long, required = true)]
        password_stdin: bool,
        /// Mirrors, logins and authorities of registries, as k3s' registries.yaml has them
        #[arg(long, value_name = "FILE")]
        private_registry: Option<PathBuf>,
        /// Where it is noted; by default ~/.docker/config.json
        #[arg(long, value_name = "FILE")]
        authfile: Option<PathBuf>,
        /// Where the cluster keeps its state
        #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// List the images
    Ls {
        /// Where the cluster keeps its state
        #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
        data_dir: PathBuf,
    },
}

/// `leme bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Only the benches whose name has this word; all by default
    #[arg(value_name = "BENCH", conflicts_with = "only")]
    pub bench: Option<String>,
    /// The same
    #[arg(long, value_name = "WORD")]
    pub only: Option<String>,
    /// Where the clusters to measure are made and removed again: the disk of this directory is what is measured
    #[arg(long, default_value = "/var/tmp", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Image archive of the sample; by default images/sample.tar beside the directory of this program
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// How figures are told
    #[arg(long, value_enum, default_value_t)]
    pub output: Progress,
}

/// Reads a number of things.
pub fn count<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| {
        match text.is_empty() || text.contains(|c: char| !c.is_ascii_digit()) {
            true => "it must be a whole number, 0 or more".to_owned(),
            false => "it is too large".to_owned(),
        }
    })
}

/// Reads a number that may be below zero.
pub fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "it must be a whole number, and not too large".to_owned())
}

/// Reads where to listen.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = "it must be an IP address and a port, such as 127.0.0.1:6443 or [::1]:6443";
    text.parse().map_err(|_| wrong.to_owned())
}

/// Reads a network, such as `10.244.3.0/24`.
pub fn cidr(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let read = || {
        let (address, bits) = text.split_once('/')?;
        let (address, bits) = (address.parse::<Ipv4Addr>().ok()?, bits.parse::<u8>().ok()?);
        let rest = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
        (bits <= 32 && u32::from(address) & rest == 0).then_some((address, bits))
    };
    read().ok_or_else(|| "it must be a network, such as 10.244.3.0/24".to_owned())
}

/// Reads `90`, `90s`, `5m`, `1h30m`: seconds without a unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as 30s, 5m or 1h30m");
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let (mut total, mut number) = (0u64, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return Err(wrong()),
        };
        let count: u64 = std::mem::take(&mut number).parse().map_err(|_| wrong())?;
        total =
            count.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
    }
    if number.is_empty() && !text.is_empty() {
        Ok(Duration::from_secs(total))
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    /// Red when a number below zero is a flag that is not known, or told in the words of the parser.
    #[test]
    fn numbers_and_addresses_are_told_what_they_must_be() {
        let check = |words: &str, told: &str| {
            let words: Vec<_> = words.split(' ').map(std::ffi::OsString::from).collect();
            let text = similar::parse(&words).unwrap_err().to_string();
            assert!(text.lines().next().unwrap().ends_with(told), "{words:?}: {text}");
        };
        let count = "it must be a whole number, 0 or more";
        for replicas in ["--replicas -1", "--replicas=-1", "--replicas=x", "--replicas="] {
            check(&format!("leme scale rc/a {replicas}"), count);
            check(&format!("leme create deployment a --image i {replicas}"), count);
        }
        check("leme scale rc/a --replicas 1 --current-replicas -1", count);
        check("leme up --nodes -1", count);
        check("leme up --pod-max-pids -1", count);
        check("leme logs a --limit-bytes -1", count);
        check("leme logs a --max-log-requests -1", count);
        check("leme scale rc/a --replicas 99999999999", "it is too large");
        let number = "it must be a whole number, and not too large";
        check("leme logs a --tail x", number);
        check("leme delete pod a --grace-period x", number);
        check("leme rollout undo deployment/a --to-revision x", number);
        let address = "such as 127.0.0.1:6443 or [::1]:6443";
        check("leme up --listen 127.0.0.1", address);
        check("leme up --router-listen :80", address);
        assert_eq!(super::number::<i64>("-1"), Ok(-1));
    }

    #[test]
    fn networks() {
        assert_eq!(cidr("10.244.3.0/24"), Ok(([10, 244, 3, 0].into(), 24)));
        for wrong in ["10.244.3.0", "10.244.3.1/24", "10.244.3.0/33", "x/24", "::/64"] {
            assert!(cidr(wrong).is_err(), "{wrong}");
        }
        assert_eq!(cidr("10.0.0.1/32"), Ok(([10, 0, 0, 1].into(), 32)));
    }

    #[test]
    fn durations() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("5 m").is_err());
        assert!(duration("").is_err());
        assert!(duration("99999999999999999999h").is_err());
    }
}
