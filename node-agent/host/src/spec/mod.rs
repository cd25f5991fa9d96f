//! From what a container should be to the OCI runtime spec.
//!
//! Knows: the OCI runtime spec, containerd's habits. Refuses to know: where the inputs come from, how a spec is run.

pub(crate) mod capabilities;
mod mounts;

pub(crate) use mounts::{points_in_cgroups, strange_in_proc};
pub mod seccomp;
pub mod users;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Linux, LinuxBuilder, LinuxCpuBuilder, LinuxDeviceCgroupBuilder, LinuxMemoryBuilder,
    LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxResources,
    LinuxResourcesBuilder, LinuxSeccomp, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder,
    UserBuilder,
};
use serde::{Deserialize, Serialize};

use crate::cgroup;
use users::Identity;

/// `PATH` of a container whose image and pod say nothing of it.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a container cannot be made as asked.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The request makes no sense for this image; asking again will not help.
    #[error("{0}")]
    Invalid(String),
    /// A file could not be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The spec's own rules.
    #[error(transparent)]
    Oci(#[from] oci_spec::OciSpecError),
}

/// A bind mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindMount {
    /// On the host.
    pub source: PathBuf,
    /// In the container.
    pub destination: PathBuf,
    /// Mounted read-only.
    pub readonly: bool,
    /// `rprivate`, `rslave` or `rshared`.
    pub propagation: String,
    /// In a user namespace owners are shown as the namespace's own, unless this says that they stay the machine's, who are
    /// nobody in there.
    #[serde(default)]
    pub foreign: bool,
}

/// What to run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProcessInput {
    /// Program and arguments, image defaults already applied.
    pub args: Vec<String>,
    /// `NAME=value`, later ones win.
    pub env: Vec<String>,
    /// Working directory; empty means `/`.
    pub cwd: String,
    /// Give it a terminal.
    pub tty: bool,
    /// The image's `USER`.
    pub image_user: String,
    /// Replaces the user.
    pub run_as_user: Option<i64>,
    /// Replaces the group.
    pub run_as_group: Option<i64>,
    /// More groups.
    pub supplemental_groups: Vec<i64>,
}

/// What it may do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SecurityInput {
    /// All capabilities and devices, no masks.
    pub privileged: bool,
    /// Root file system is read-only.
    pub readonly_rootfs: bool,
    /// Sets `no_new_privs`.
    pub no_new_privileges: bool,
    /// Added capabilities, with or without `CAP_`, or `ALL`.
    pub add_capabilities: Vec<String>,
    /// Dropped capabilities, or `ALL`.
    pub drop_capabilities: Vec<String>,
    /// Which system calls it may make; a privileged container may make all.
    #[serde(default)]
    pub seccomp: Seccomp,
    /// Nothing of `/proc` and `/sys` is masked or read-only.
    #[serde(default)]
    pub unmasked: bool,
}

/// A container's system call filter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Seccomp {
    /// None.
    #[default]
    Unconfined,
    /// The runtime's own profile.
    Default,
    /// The runtime's own, and what makes containers within a user namespace.
    Nested,
    /// One of the node's, as [`seccomp::read_profile`] gives it.
    Profile(Box<LinuxSeccomp>),
}

/// Limits; zero means none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ResourcesInput {
    /// `cpu.shares`.
    pub cpu_shares: u64,
    /// Microseconds per period.
    pub cpu_quota: i64,
    /// Microseconds.
    pub cpu_period: u64,
    /// Bytes.
    pub memory_limit: i64,
}

/// Namespaces to join; `None` for `net` is the host's, for `pid` a new one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NamespacesInput {
    /// Network namespace.
    pub net: Option<PathBuf>,
    /// IPC namespace.
    pub ipc: PathBuf,
    /// UTS namespace.
    pub uts: PathBuf,
    /// PID namespace.
    pub pid: Option<PathBuf>,
    /// User namespace, which owns the others; `None` for the machine's.
    #[serde(default)]
    pub user: Option<UserNamespace>,
}

/// A user namespace, by whose root the container is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNamespace {
    /// The namespace.
    pub path: PathBuf,
    /// The machine's id that is its 0.
    pub first_id: u32,
}

/// All that a spec is made of.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SpecInput {
    /// What to run.
    pub process: ProcessInput,
    /// What it may do.
    pub security: SecurityInput,
    /// Its limits.
    pub resources: ResourcesInput,
    /// Where it lives.
    pub namespaces: NamespacesInput,
    /// Mounts on top of the standard ones, `/etc/hosts` and `/dev/shm` included.
    pub mounts: Vec<BindMount>,
    /// Cgroup, relative to the root of each tree, with a leading slash.
    pub cgroup: String,
}

/// The spec for a container whose root file system is mounted at `rootfs`, and what it sees of version 1 cgroups, where
/// there are such, at `cgroups`.
pub fn build(
    input: &SpecInput,
    rootfs: &Path,
    cgroups: Option<&Path>,
    identity: &Identity,
) -> Result<Spec, SpecError> {
    let security = &input.security;
    let mut spec = SpecBuilder::default()
        .version("1.1.0")
        .root(RootBuilder::default().path(rootfs).readonly(security.readonly_rootfs).build()?)
        .mounts(mounts::all(input, cgroups)?)
        .process(process(input, identity)?)
        .linux(linux(input)?)
        .build()?;
    spec.set_hostname(None).set_hooks(None).set_annotations(None);
    Ok(spec)
}

fn process(input: &SpecInput, identity: &Identity) -> Result<Process, SpecError> {
    let wanted = &input.process;
    if wanted.args.first().is_none_or(String::is_empty) {
        return Err(SpecError::Invalid("no command specified".into()));
    }
    let cwd = if wanted.cwd.is_empty() { "/" } else { &wanted.cwd };
    if !cwd.starts_with('/') {
        return Err(SpecError::Invalid(format!(
            "working directory {cwd:?} is not an absolute path"
        )));
    }
    let user = UserBuilder::default()
        .uid(identity.uid)
        .gid(identity.gid)
        .additional_gids(identity.groups.clone())
        .build()?;
    let mut process = ProcessBuilder::default()
        .terminal(wanted.tty)
        .args(wanted.args.clone())
        .env(environment(wanted, &identity.home))
        .cwd(cwd)
        .user(user)
        .capabilities(capabilities::set(&input.security, identity.uid == 0)?)
        .build()?;
    // An explicit `false` would make the runtime load a seccomp filter after it gave its capabilities up.
    process.set_no_new_privileges(input.security.no_new_privileges.then_some(true));
    process.set_rlimits(None).set_oom_score_adj(None).set_apparmor_profile(None);
    Ok(process)
}

/// Later entries replace earlier ones of the same name, in place; `PATH` and `HOME` are always there.
fn environment(wanted: &ProcessInput, home: &str) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    let mut values: HashMap<&str, &str> = HashMap::new();
    for entry in &wanted.env {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        if name.is_empty() || entry.contains('\0') {
            continue;
        }
        if values.insert(name, value).is_none() {
            order.push(name.to_owned());
        }
    }
    let mut list: Vec<String> =
        order.iter().map(|name| format!("{name}={}", values[name.as_str()])).collect();
    if !values.contains_key("PATH") {
        list.insert(0, format!("PATH={DEFAULT_PATH}"));
    }
    if !values.contains_key("HOME") {
        list.push(format!("HOME={home}"));
    }
    if wanted.tty && !values.contains_key("TERM") {
        list.push("TERM=xterm".into());
    }
    list
}

fn linux(input: &SpecInput) -> Result<Linux, SpecError> {
    let security = &input.security;
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(&input.namespaces)?)
        .cgroups_path(&input.cgroup)
        .resources(resources(input)?)
        .build()?;
    let propagation = if shares_mounts(input) { "shared" } else { "slave" };
    linux.set_rootfs_propagation(Some(propagation.to_owned()));
    linux.set_uid_mappings(None).set_gid_mappings(None).set_sysctl(None);
    let masks = !security.privileged && !security.unmasked;
    linux.set_masked_paths(masks.then(mounts::masked_paths));
    linux.set_readonly_paths(masks.then(mounts::readonly_paths));
    linux.set_devices(security.privileged.then(mounts::host_devices));
    linux.set_seccomp(match &security.seccomp {
        _ if security.privileged => None,
        Seccomp::Unconfined => None,
        Seccomp::Default => Some(seccomp::default_profile(security)?),
        Seccomp::Nested => Some(seccomp::nested_profile()?),
        Seccomp::Profile(profile) => Some(profile.as_ref().clone()),
    });
    Ok(linux)
}

/// Whether a mount made in the container must show on the host. Those of a user namespace never do.
pub fn shares_mounts(input: &SpecInput) -> bool {
    input.namespaces.user.is_none()
        && input.mounts.iter().any(|mount| mount.propagation == "rshared")
}

fn namespaces(input: &NamespacesInput) -> Result<Vec<LinuxNamespace>, SpecError> {
    let mut list = Vec::new();
    let mut add = |kind: LinuxNamespaceType, path: Option<&PathBuf>| -> Result<(), SpecError> {
        let mut builder = LinuxNamespaceBuilder::default().typ(kind);
        if let Some(path) = path {
            builder = builder.path(path);
        }
        list.push(builder.build()?);
        Ok(())
    };
    if let Some(user) = &input.user {
        add(LinuxNamespaceType::User, Some(&user.path))?;
    }
    add(LinuxNamespaceType::Ipc, Some(&input.ipc))?;
    add(LinuxNamespaceType::Uts, Some(&input.uts))?;
    if let Some(net) = &input.net {
        add(LinuxNamespaceType::Network, Some(net))?;
    }
    add(LinuxNamespaceType::Pid, input.pid.as_ref())?;
    add(LinuxNamespaceType::Cgroup, None)?;
    add(LinuxNamespaceType::Mount, None)?;
    Ok(list)
}

fn resources(input: &SpecInput) -> Result<LinuxResources, SpecError> {
    let wanted = &input.resources;
    for (limited, controller) in
        [(wanted.cpu_quota > 0, "cpu"), (wanted.memory_limit > 0, "memory")]
    {
        if limited && !cgroup::has_controller(controller) {
            return Err(SpecError::Invalid(format!(
                "this machine has no {controller} cgroup controller to limit by"
            )));
        }
    }
    let mut cpu = LinuxCpuBuilder::default().build()?;
    // Shares say who comes first, not how much there is: without the controller nobody does.
    if cgroup::has_controller("cpu") {
        cpu.set_shares(Some(wanted.cpu_shares.clamp(2, 262_144)));
    }
    if wanted.cpu_quota > 0 {
        cpu.set_quota(Some(wanted.cpu_quota));
        cpu.set_period(Some(if wanted.cpu_period == 0 { 100_000 } else { wanted.cpu_period }));
    }
    // The rest is open: the runtime adds the usual pseudo devices to this rule.
    let devices = LinuxDeviceCgroupBuilder::default()
        .allow(input.security.privileged)
        .access("rwm")
        .build()?;
    let mut resources = LinuxResourcesBuilder::default().cpu(cpu).devices(vec![devices]).build()?;
    if wanted.memory_limit > 0 {
        let memory = LinuxMemoryBuilder::default().limit(wanted.memory_limit).build()?;
        resources.set_memory(Some(memory));
    }
    Ok(resources)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> SpecInput {
        SpecInput {
            process: ProcessInput { args: vec!["/bin/app".into()], ..Default::default() },
            cgroup: "/leme/podx/c".into(),
            ..Default::default()
        }
    }

    #[test]
    fn later_environment_wins_in_place() {
        let wanted = ProcessInput {
            env: ["A=1", "B=2", "A=3", "=bad", "C"].map(String::from).to_vec(),
            ..Default::default()
        };
        let path = format!("PATH={DEFAULT_PATH}");
        assert_eq!(
            environment(&wanted, "/root"),
            [path.as_str(), "A=3", "B=2", "C=", "HOME=/root"]
        );
    }

    #[test]
    fn no_new_privileges_is_never_false() {
        for wanted in [false, true] {
            let mut input = input();
            input.security.no_new_privileges = wanted;
            let spec = build(&input, Path::new("/r"), None, &Identity::default()).unwrap();
            let value = spec.process().as_ref().unwrap().no_new_privileges();
            assert_eq!(value, wanted.then_some(true));
        }
    }

    #[test]
    fn bad_requests_are_invalid() {
        let mut empty = input();
        empty.process.args.clear();
        let mut relative = input();
        relative.process.cwd = "work".into();
        let mut unknown = input();
        unknown.security.add_capabilities = vec!["FLY".into()];
        for bad in [empty, relative, unknown] {
            let error = build(&bad, Path::new("/r"), None, &Identity::default()).unwrap_err();
            assert!(matches!(error, SpecError::Invalid(_)), "{error}");
        }
    }
}
