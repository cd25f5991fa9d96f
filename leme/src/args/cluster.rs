//! Flags of a cluster and of its parts.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::audit::AuditFlags;
use super::people::PeopleFlags;
use super::router::RouterFlags;
use super::{DEFAULT_DATA_DIR, Progress, address, cidr, count, duration};
use crate::cluster::table::Part;

/// `leme up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// YAML or JSON to apply once the node is ready (a file, a directory or - for standard input)
    #[arg(short, long = "filename", value_name = "FILE")]
    pub files: Vec<String>,
    /// Number of nodes; without, as many as the cluster had, or one
    #[arg(long, value_name = "N", value_parser = count::<u32>, allow_negative_numbers = true)]
    pub nodes: Option<u32>,
    /// Where the cluster keeps its state
    #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub server: ServerFlags,
    #[command(flatten)]
    pub node: NodeFlags,
    /// Leave the cluster running and return once it is up
    #[arg(long)]
    pub detach: bool,
    /// Parts to leave out, and what needs them; others can do their work, with the kubeconfigs that are written for them
    #[arg(long, value_delimiter = ',', value_name = "PART,..")]
    pub without: Vec<Part>,
    /// Run the control plane only: the same as --without node
    #[arg(long)]
    pub no_node: bool,
    /// Simulate nodes in place of real ones: what is bound to them counts as running, and nothing of it runs
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = count::<u32>, allow_negative_numbers = true)]
    pub simulated_nodes: u32,
    /// The scheduler's profiles, as stock schedulers are given them: a KubeSchedulerConfiguration
    #[arg(long, value_name = "FILE")]
    pub scheduler_config: Option<PathBuf>,
    /// This is the process that --detach leaves running
    #[arg(long, hide = true, conflicts_with = "detach")]
    pub detached: bool,
    /// How long to wait for what -f holds to be served
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "DURATION")]
    pub timeout: Duration,
    /// How progress is told
    #[arg(long, value_enum, default_value_t, overrides_with = "output")]
    pub output: Progress,
}

/// How the API server is set up.
#[derive(Debug, Args)]
pub struct ServerFlags {
    /// Where the API server listens
    #[arg(long, default_value = "127.0.0.1:6443", value_name = "ADDR:PORT", value_parser = address)]
    pub listen: SocketAddr,
    /// Keep the cluster's objects in this etcd instead of the embedded store
    #[arg(long, value_delimiter = ',', value_name = "URL,..")]
    pub etcd_servers: Vec<String>,
    /// CA certificate of etcd
    #[arg(long, value_name = "FILE")]
    pub etcd_cafile: Option<PathBuf>,
    /// Client certificate for etcd
    #[arg(long, value_name = "FILE", requires = "etcd_keyfile")]
    pub etcd_certfile: Option<PathBuf>,
    /// Key of the client certificate for etcd
    #[arg(long, value_name = "FILE", requires = "etcd_certfile")]
    pub etcd_keyfile: Option<PathBuf>,
    /// User for etcd; the password is read from LEME_ETCD_PASSWORD
    #[arg(long, value_name = "NAME")]
    pub etcd_user: Option<String>,
    /// EncryptionConfiguration of what is encrypted at rest; by default one that is made beside the data directory of a new cluster
    #[arg(long, value_name = "FILE")]
    pub encryption_provider_config: Option<PathBuf>,
    /// Start although objects are encrypted with keys that are lost: they are left out of lists, and can be deleted
    #[arg(long)]
    pub encryption_ignore_lost_keys: bool,
    #[command(flatten)]
    pub people: PeopleFlags,
    #[command(flatten)]
    pub audit: AuditFlags,
    #[command(flatten)]
    pub admission: AdmissionFlags,
    /// Older versions to serve, as GROUP/VERSION or GROUP/VERSION=true: batch/v1beta1, discovery.k8s.io/v1beta1, policy/v1beta1
    #[arg(long, value_delimiter = ',', value_name = "GROUP/VERSION,..")]
    pub runtime_config: Vec<String>,
    /// Nodes whose agents are processes of their own: a kubeconfig is written for each
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    pub agents: Vec<String>,
}

/// Which admission plug-ins are asked, and how.
#[derive(Debug, Args)]
pub struct AdmissionFlags {
    /// Admission plug-ins to ask besides those that are asked by default
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    pub enable_admission_plugins: Vec<String>,
    /// Admission plug-ins not to ask
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    pub disable_admission_plugins: Vec<String>,
    /// What is asked of admission plug-ins: an AdmissionConfiguration with a PodSecurityConfiguration
    #[arg(long, value_name = "FILE")]
    pub admission_control_config_file: Option<PathBuf>,
}

/// How nodes are set up.
#[derive(Debug, Args)]
pub struct NodeFlags {
    #[command(flatten)]
    pub router: RouterFlags,
    /// Container runtime; only `embedded` so far
    #[arg(long, default_value = "embedded", value_name = "NAME")]
    pub runtime: String,
    /// Mirrors, logins and authorities of registries, as k3s' registries.yaml has them
    #[arg(long, value_name = "FILE")]
    pub private_registry: Option<PathBuf>,
    /// Processes and threads that a pod may have at most; 0 for no limit
    #[arg(long, default_value_t = 4096, value_name = "N", value_parser = count::<u64>, allow_negative_numbers = true)]
    pub pod_max_pids: u64,
    /// Sysctls that pods may set besides the safe ones; one that ends in * stands for all that begin so
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    pub allowed_unsafe_sysctls: Vec<String>,
}

/// `leme down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// Where the cluster keeps its state
    #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Remove the state as well
    #[arg(long)]
    pub purge: bool,
}

/// `leme server`.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Where the cluster keeps its state
    #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub server: ServerFlags,
}

/// Where a part that runs alone finds the API server, and who it is there.
#[derive(Debug, Args)]
pub struct RemoteArgs {
    /// Kubeconfig; by default the part's own in the data directory
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Data directory
    #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
    pub data_dir: PathBuf,
}

/// `leme controllers`, `leme scheduler`.
#[derive(Debug, Args)]
pub struct ManagerArgs {
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// Work only while holding the lease that keeps others of its kind from working at the same time
    #[arg(
        long, action = ArgAction::Set, default_value_t = true, default_missing_value = "true", num_args = 0..=1,
        require_equals = true, value_name = "BOOL"
    )]
    pub leader_elect: bool,
}

/// `leme scheduler`.
#[derive(Debug, Args)]
pub struct SchedulerArgs {
    #[command(flatten)]
    pub manager: ManagerArgs,
    /// Profiles, as stock schedulers are given them: a KubeSchedulerConfiguration
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `leme agent`.
#[derive(Debug, Args)]
pub struct AgentArgs {
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// Name of the node; by default the one that the kubeconfig is for
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// Address by which the API server reaches the node; by default the first one of its pods' network
    #[arg(long, value_name = "ADDR")]
    pub node_ip: Option<Ipv4Addr>,
    /// Addresses of its pods, part of 10.244.0.0/16 and of no other node; by default 10.244.N.0/24 for the name leme-N
    #[arg(long, value_name = "CIDR", value_parser = cidr)]
    pub pod_cidr: Option<(Ipv4Addr, u8)>,
    /// Parts to leave out, and what needs them: dns, proxy, router
    #[arg(long, value_delimiter = ',', value_name = "PART,..")]
    pub without: Vec<Part>,
    #[command(flatten)]
    pub node: NodeFlags,
}
