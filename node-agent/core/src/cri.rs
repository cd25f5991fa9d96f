//! What the agent asks of a container runtime and what it is told, as plain data: the nouns of the CRI v1 API.
//!
//! Paths are on the host unless they say otherwise. Times are nanoseconds since the epoch, 0 for "not yet".

use std::collections::BTreeMap;

/// Which pod a sandbox belongs to.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct PodIdentity {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
}

/// A pod sandbox: the network, IPC and UTS namespaces that the pod's containers share, and the pod's cgroup.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct SandboxConfig {
    /// Whose sandbox.
    pub pod: PodIdentity,
    /// How many sandboxes the pod had before.
    pub attempt: u32,
    /// Host name inside.
    pub hostname: String,
    /// The pod's name in `/etc/hosts` where that is not the host name, which may be the whole domain name; else empty.
    #[serde(default)]
    pub host_name: String,
    /// The domain of that name, empty for none.
    #[serde(default)]
    pub domain: String,
    /// Whether the pod uses the node's network.
    pub host_network: bool,
    /// Whether its users are its own, in a user namespace that owns its other namespaces, and not the node's.
    #[serde(default)]
    pub own_users: bool,
    /// Directory that holds the container log files, `/var/log/pods/NS_NAME_UID` in the usual layout.
    pub log_directory: String,
    /// Ports of the node that lead to the pod.
    #[serde(default)]
    pub port_mappings: Vec<PortMapping>,
    /// The text of `/etc/resolv.conf` for the containers.
    pub resolv_conf: String,
    /// The text of `/etc/hosts` is the runtime's to write; these lines are added to it (address, names).
    pub host_aliases: Vec<(String, Vec<String>)>,
    /// Limits on all containers together; what they ask of the CPU is not among them.
    #[serde(default)]
    pub resources: Resources,
    /// `net.*` and IPC sysctls.
    pub sysctls: BTreeMap<String, String>,
    /// Labels, kept and returned.
    pub labels: BTreeMap<String, String>,
}

/// A port of the node that leads to a port of the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PortMapping {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The port in the pod.
    pub container_port: u16,
    /// The port of the node, never 0.
    pub host_port: u16,
    /// The address of the node it answers on; empty for every one.
    pub host_ip: String,
}

/// Whether a sandbox has its namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum SandboxState {
    /// Namespaces and network exist.
    Ready,
    /// They do not (stopped, or lost with a reboot).
    NotReady,
}

/// What is known of a sandbox.
#[derive(Clone, Debug, PartialEq)]
pub struct SandboxStatus {
    /// Runtime's id.
    pub id: String,
    /// Whose it is.
    pub pod: PodIdentity,
    /// As given.
    pub attempt: u32,
    /// Ready or not.
    pub state: SandboxState,
    /// Address of the pod, empty for host network or none.
    pub ip: String,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    /// As given.
    pub labels: BTreeMap<String, String>,
}

/// A mount into a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mount {
    /// Source on the host.
    pub host_path: String,
    /// Destination in the container.
    pub container_path: String,
    /// Mounted read-only.
    pub readonly: bool,
    /// `rslave` (HostToContainer) or `rshared` (Bidirectional) in place of private.
    pub propagation: Propagation,
}

/// Mount propagation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Propagation {
    /// None.
    #[default]
    Private,
    /// HostToContainer.
    HostToContainer,
    /// Bidirectional.
    Bidirectional,
}

/// Limits on a container. Zero means "no limit" or the kernel's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Resources {
    /// cpu.shares as of cgroup v1.
    pub cpu_shares: u64,
    /// Microseconds of CPU per period.
    pub cpu_quota: i64,
    /// Microseconds.
    pub cpu_period: u64,
    /// Bytes.
    pub memory_limit: i64,
    /// Score the kernel adds when it looks for a victim; lowering it below the agent's own may be refused and is then
    /// left as it is.
    pub oom_score_adj: i64,
}

/// What of `securityContext` the runtime enforces.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Security {
    /// All capabilities, all devices, no masks.
    pub privileged: bool,
    /// UID, or the image's user.
    pub run_as_user: Option<i64>,
    /// GID.
    pub run_as_group: Option<i64>,
    /// Supplemental groups, `fsGroup` among them.
    pub supplemental_groups: Vec<i64>,
    /// The root file system is read-only.
    pub readonly_rootfs: bool,
    /// Sets `no_new_privs`.
    pub no_new_privileges: bool,
    /// Capabilities added to the default set, without `CAP_`.
    pub add_capabilities: Vec<String>,
    /// Capabilities dropped from it; `ALL` drops every one.
    pub drop_capabilities: Vec<String>,
    /// Which system calls it may make; a privileged container may make all.
    pub seccomp: Seccomp,
    /// Nothing of its `/proc` and `/sys` is masked.
    pub unmasked: bool,
}

/// A container's seccomp profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Seccomp {
    /// None.
    #[default]
    Unconfined,
    /// The runtime's own.
    RuntimeDefault,
    /// A file below the node's directory of profiles.
    Localhost(String),
}

/// A container to create.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ContainerConfig {
    /// Name in the pod.
    pub name: String,
    /// How many times it has been restarted.
    pub attempt: u32,
    /// Image reference as the runtime resolved it.
    pub image: String,
    /// Replaces the image's entry point, unless empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments, unless empty (or `command` is set).
    pub args: Vec<String>,
    /// Working directory, or the image's.
    pub working_dir: String,
    /// Environment, added to the image's.
    pub env: Vec<(String, String)>,
    /// Mounts besides the runtime's own (`/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`, `/dev/shm`).
    pub mounts: Vec<Mount>,
    /// Keep stdin open.
    pub stdin: bool,
    /// Close stdin after the first attach ends.
    pub stdin_once: bool,
    /// Give it a terminal.
    pub tty: bool,
    /// Log file, relative to the sandbox's log directory, in the CRI log format.
    pub log_path: String,
    /// Limits.
    pub resources: Resources,
    /// Security.
    pub security: Security,
    /// Share the pod's PID namespace in place of an own one.
    pub share_pid: bool,
    /// Share the PID namespace of this container of the sandbox, by its id, whatever `share_pid` says; empty for none.
    pub target: String,
    /// Labels, kept and returned.
    pub labels: BTreeMap<String, String>,
    /// Annotations, kept and returned (restart count, termination message path and the like).
    pub annotations: BTreeMap<String, String>,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ContainerState {
    /// Created, not started.
    Created,
    /// Started, not ended.
    Running,
    /// Ended.
    Exited,
    /// The runtime cannot tell.
    Unknown,
}

/// What is known of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerStatus {
    /// Runtime's id.
    pub id: String,
    /// Sandbox it is in.
    pub sandbox_id: String,
    /// Name in the pod.
    pub name: String,
    /// As given.
    pub attempt: u32,
    /// Where it is in its life.
    pub state: ContainerState,
    /// Process id on the host, 0 when not running.
    pub pid: i32,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    /// Nanoseconds since the epoch.
    pub started_at: i64,
    /// Nanoseconds since the epoch.
    pub finished_at: i64,
    /// Exit code; 128 + signal for a signal.
    pub exit_code: i32,
    /// The kernel killed it for memory.
    pub oom_killed: bool,
    /// `Completed`, `Error`, `OOMKilled`, or what went wrong at start (`StartError`, ...).
    pub reason: String,
    /// More on `reason`.
    pub message: String,
    /// Image reference as given.
    pub image: String,
    /// Image digest reference.
    pub image_id: String,
    /// Absolute log path.
    pub log_path: String,
    /// As given.
    pub labels: BTreeMap<String, String>,
    /// As given.
    pub annotations: BTreeMap<String, String>,
}

/// What has been used of the CPU so far and is used of memory now, at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Nanoseconds since the epoch.
    pub at: i64,
    /// Nanoseconds of CPU since the start; `None` where nobody counts.
    pub cpu_nanos: Option<u64>,
    /// Memory in bytes; `None` where nobody counts.
    pub memory: Option<Memory>,
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All, the kernel's cache of files too.
    pub usage: u64,
    /// What cannot be had back easily.
    pub working_set: u64,
    /// What no file stands behind.
    pub rss: u64,
    /// Page faults so far.
    pub page_faults: u64,
    /// Those that had to wait for a disk.
    pub major_page_faults: u64,
}

/// What a sandbox uses, and each of its containers that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct SandboxStats {
    /// Runtime's id.
    pub id: String,
    /// Whose it is.
    pub pod: PodIdentity,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    /// All of it together.
    pub usage: Usage,
    /// Those that run.
    pub containers: Vec<ContainerStats>,
}

/// What a container uses.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerStats {
    /// Runtime's id.
    pub id: String,
    /// Name in the pod.
    pub name: String,
    /// Nanoseconds since the epoch.
    pub started_at: i64,
    /// What it uses.
    pub usage: Usage,
}

/// An image the runtime has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Config digest, `sha256:...`.
    pub id: String,
    /// `name:tag` references.
    pub tags: Vec<String>,
    /// `name@sha256:...` references.
    pub digests: Vec<String>,
    /// Bytes on disk.
    pub size: u64,
    /// Whether it came from the registry that it is asked for by, and was not loaded by hand.
    pub pulled: bool,
    /// User from the image config: numeric UID if it is one.
    pub uid: Option<i64>,
    /// User from the image config if it is a name.
    pub username: String,
}
