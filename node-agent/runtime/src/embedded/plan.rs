//! From a pod's wish for a container to the request for one: image defaults, mounts, namespaces, cgroup.
//!
//! Knows: how image and pod settings combine. Refuses to know: how a container is made.

use std::path::{Path, PathBuf};

use leme_host::files;
use leme_host::helper::protocol::ContainerRequest;
use leme_host::images::ImageRecord;
use leme_host::namespaces::SandboxPaths;
use leme_host::spec::{
    BindMount, NamespacesInput, ProcessInput, ResourcesInput, Seccomp, SecurityInput, SpecInput,
    UserNamespace, seccomp,
};
use leme_node_core::cri::{self, ContainerConfig, Propagation};
use nix::sys::signal::Signal;

use super::records::{ContainerRecord, SandboxRecord};
use super::{EmbeddedRuntime, failed};
use crate::{Result, RuntimeError};

impl EmbeddedRuntime {
    pub(super) fn plan_container(
        &self,
        sandbox: &SandboxRecord,
        config: &ContainerConfig,
        image: &ImageRecord,
    ) -> Result<ContainerRecord> {
        let id = files::random_hex(32).map_err(failed("make id"))?;
        let paths = SandboxPaths(self.config.namespaces(&sandbox.id));
        let log_path = if config.log_path.is_empty() || sandbox.config.log_directory.is_empty() {
            PathBuf::new()
        } else {
            Path::new(&sandbox.config.log_directory).join(&config.log_path)
        };
        let spec = SpecInput {
            process: process_input(config, image, &sandbox.config.hostname),
            security: security_input(config, &self.config.seccomp)?,
            resources: resources_input(config),
            namespaces: NamespacesInput {
                net: (!sandbox.config.host_network).then(|| paths.net()),
                ipc: paths.ipc(),
                uts: paths.uts(),
                pid: config.share_pid.then(|| paths.pid()),
                user: sandbox
                    .first_id
                    .map(|first_id| UserNamespace { path: paths.user(), first_id }),
            },
            mounts: mounts(config, &paths),
            cgroup: format!("{}/{id}", self.config.pod_cgroup(&sandbox.config.pod.uid)),
        };
        let settings = image.config.config().as_ref();
        Ok(ContainerRecord {
            sandbox_id: sandbox.id.clone(),
            config: config.clone(),
            created_at: files::now_nanos(),
            image_id: image.digests.first().cloned().unwrap_or_else(|| image.id.clone()),
            stop_signal: settings
                .and_then(|c| c.stop_signal().as_deref())
                .and_then(signal)
                .unwrap_or(Signal::SIGTERM as i32),
            layers: image.layers.clone(),
            request: ContainerRequest {
                directory: self.config.containers().join(&id),
                id,
                run_directory: self.config.run_dir.clone(),
                layers: image.layers.clone(),
                spec,
                log_path,
                log_limits: self.config.log_limits,
                stdin: config.stdin,
                oom_score_adj: config.resources.oom_score_adj,
            },
        })
    }
}

/// `SIGQUIT`, `QUIT`, `3`, `SIGRTMIN+3`.
fn signal(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Ok(number) = name.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    if let Some(offset) = name.strip_prefix("RTMIN") {
        return Some(34 + offset.strip_prefix('+').map_or(Ok(0), str::parse).ok()?)
            .filter(|n| (34..=64).contains(n));
    }
    format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32)
}

fn security_input(config: &ContainerConfig, profiles: &Path) -> Result<SecurityInput> {
    let security = &config.security;
    let seccomp = match &security.seccomp {
        cri::Seccomp::Unconfined => Seccomp::Unconfined,
        cri::Seccomp::RuntimeDefault => Seccomp::Default,
        cri::Seccomp::Localhost(name) => seccomp::read_profile(profiles, name)
            .map(|profile| Seccomp::Profile(Box::new(profile)))
            .map_err(|error| RuntimeError::Invalid(error.to_string()))?,
    };
    Ok(SecurityInput {
        privileged: security.privileged,
        readonly_rootfs: security.readonly_rootfs,
        no_new_privileges: security.no_new_privileges,
        add_capabilities: security.add_capabilities.clone(),
        drop_capabilities: security.drop_capabilities.clone(),
        seccomp,
        unmasked: security.unmasked,
    })
}

fn resources_input(config: &ContainerConfig) -> ResourcesInput {
    ResourcesInput {
        cpu_shares: config.resources.cpu_shares,
        cpu_quota: config.resources.cpu_quota,
        cpu_period: config.resources.cpu_period,
        memory_limit: config.resources.memory_limit,
    }
}

fn process_input(config: &ContainerConfig, image: &ImageRecord, host: &str) -> ProcessInput {
    let settings = image.config.config().clone().unwrap_or_default();
    let entrypoint = settings.entrypoint().clone().unwrap_or_default();
    let cmd = settings.cmd().clone().unwrap_or_default();
    // A command replaces both of the image's parts, arguments alone only its arguments.
    let mut args = if config.command.is_empty() { entrypoint } else { config.command.clone() };
    if !config.args.is_empty() {
        args.extend(config.args.iter().cloned());
    } else if config.command.is_empty() {
        args.extend(cmd);
    }
    // As runtimes have it: shells other than bash know their host by this alone.
    let mut env = vec![format!("HOSTNAME={host}")];
    env.extend(settings.env().clone().unwrap_or_default());
    env.extend(config.env.iter().map(|(name, value)| format!("{name}={value}")));
    let cwd = if config.working_dir.is_empty() {
        settings.working_dir().clone().unwrap_or_default()
    } else {
        config.working_dir.clone()
    };
    ProcessInput {
        args,
        env,
        cwd,
        tty: config.tty,
        image_user: settings.user().clone().unwrap_or_default(),
        run_as_user: config.security.run_as_user,
        run_as_group: config.security.run_as_group,
        supplemental_groups: config.security.supplemental_groups.clone(),
    }
}

/// The pod's mounts, and the sandbox's files where the pod does not replace them.
fn mounts(config: &ContainerConfig, paths: &SandboxPaths) -> Vec<BindMount> {
    let mut list: Vec<BindMount> = config
        .mounts
        .iter()
        .map(|mount| BindMount {
            source: mount.host_path.clone().into(),
            destination: mount.container_path.clone().into(),
            readonly: mount.readonly,
            propagation: match mount.propagation {
                Propagation::Private => "rprivate",
                Propagation::HostToContainer => "rslave",
                Propagation::Bidirectional => "rshared",
            }
            .into(),
            ..BindMount::default()
        })
        .collect();
    let readonly = config.security.readonly_rootfs;
    let own = [
        ("/etc/hosts", paths.files().join("hosts"), readonly),
        ("/etc/hostname", paths.files().join("hostname"), readonly),
        ("/etc/resolv.conf", paths.files().join("resolv.conf"), readonly),
        ("/dev/shm", paths.shm(), false),
    ];
    for (destination, source, readonly) in own {
        if !list.iter().any(|mount| mount.destination == Path::new(destination)) {
            list.push(BindMount {
                source,
                destination: destination.into(),
                readonly,
                propagation: "rprivate".into(),
                ..BindMount::default()
            });
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    // Red without: `${HOSTNAME##*-}`, by which members of a StatefulSet tell who they are, was empty in every shell but bash.
    #[test]
    fn a_container_is_told_its_host_unless_it_is_told_otherwise() {
        let image = ImageRecord {
            id: String::new(),
            tags: Vec::new(),
            digests: Vec::new(),
            pulled: Vec::new(),
            shown: Default::default(),
            config: Default::default(),
            layers: Vec::new(),
            size: 0,
        };
        let mut config = ContainerConfig::default();
        let first = |config: &ContainerConfig| process_input(config, &image, "zk-0").env[0].clone();
        assert_eq!(first(&config), "HOSTNAME=zk-0");
        config.env.push(("HOSTNAME".to_owned(), "other".to_owned()));
        let env = process_input(&config, &image, "zk-0").env;
        assert_eq!(env.last().map(String::as_str), Some("HOSTNAME=other"));
    }

    #[test]
    fn reads_stop_signals() {
        for (text, number) in [
            ("SIGQUIT", Some(3)),
            ("term", Some(15)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN", Some(34)),
            ("0", None),
            ("SIGNOPE", None),
        ] {
            assert_eq!(signal(text), number, "{text}");
        }
    }
}
