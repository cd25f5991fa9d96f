//! Taking everything down, with or without an engine, after a crash as well.
//!
//! Knows: what an engine leaves in its directories and below its cgroup. Refuses to know: images, which stay.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use leme_host::cgroup::{Cgroup, kill_groups};
use leme_host::files;
use leme_host::helper::protocol::ShimRecord;
use leme_host::namespaces::{self, SandboxPaths};
use leme_host::process::ProcessId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::records::Records;
use super::{EmbeddedConfig, blocking, failed, see_cgroups};
use crate::{Result, RuntimeError};

/// Kills and removes every sandbox, container, mount, namespace and cgroup that these directories know of, and what else
/// runs below the engine's cgroup. Goes on after an error and names all of them at the end. The records of what still
/// runs stay, so that another purge knows of it. No engine may be using the directories.
pub async fn purge(config: &EmbeddedConfig) -> Result<()> {
    see_cgroups()?;
    let mut errors: Vec<String> = Vec::new();
    let found =
        Records::load(&config.sandboxes(), &config.containers()).map_err(failed("read records"))?;
    let pods = pods(config, &found).map_err(failed("find cgroups"))?;
    let shims: Vec<PathBuf> =
        found.containers.iter().map(|container| container.request.shim_file()).collect();
    errors.extend(blocking("purge", move || Ok(end_processes(&shims, &pods))).await?);
    let kept = Kept::of(config, &found);
    let gone = found.sandboxes.values().filter(|sandbox| !kept.sandboxes.contains(&sandbox.id));
    for sandbox in gone.filter(|sandbox| !sandbox.config.host_network) {
        let netns = SandboxPaths(config.namespaces(&sandbox.id)).net();
        if let Err(error) = config.network.detach(&sandbox.id, &netns).await {
            errors.push(format!("disconnect sandbox {}: {error:#}", sandbox.id));
        }
    }
    let config = config.clone();
    errors.extend(blocking("purge", move || Ok(remove_directories(&config, &kept))).await?);
    match errors.is_empty() {
        true => Ok(()),
        false => Err(RuntimeError::Failed { operation: "purge", message: errors.join("; ") }),
    }
}

/// The cgroups of pods: those on record, and those that are there.
fn pods(config: &EmbeddedConfig, found: &Records) -> std::io::Result<Vec<Cgroup>> {
    let parent = Cgroup::new(&config.cgroup_parent)?;
    let mut pods: Vec<String> =
        found.sandboxes.values().map(|s| config.pod_cgroup(&s.config.pod.uid)).collect();
    let containers = found.containers.iter();
    pods.extend(containers.filter_map(|c| Some(c.request.spec.cgroup.rsplit_once('/')?.0.into())));
    pods.extend(parent.children().iter().map(|name| format!("{}/{name}", parent.path())));
    pods.sort();
    pods.dedup();
    pods.iter().map(|pod| Cgroup::new(pod)).collect()
}

/// What still runs.
#[derive(Default)]
struct Kept {
    containers: HashSet<String>,
    sandboxes: HashSet<String>,
}

impl Kept {
    fn of(config: &EmbeddedConfig, found: &Records) -> Kept {
        let runs = |path: &str| Cgroup::new(path).is_ok_and(|group| !group.processes().is_empty());
        let mut kept = Kept::default();
        for container in found.containers.iter().filter(|c| runs(&c.request.spec.cgroup)) {
            kept.containers.insert(container.request.id.clone());
            kept.sandboxes.insert(container.sandbox_id.clone());
        }
        let held = found.sandboxes.values().filter(|sandbox| runs(&config.pause_cgroup(sandbox)));
        kept.sandboxes.extend(held.map(|sandbox| sandbox.id.clone()));
        kept
    }

    fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.sandboxes.is_empty()
    }
}

/// Ends the containers' processes, then gives the shims a moment to take them in and to end by themselves.
fn end_processes(shims: &[PathBuf], pods: &[Cgroup]) -> Vec<String> {
    let mut errors = Vec::new();
    let mut watchers: Vec<ProcessId> = Vec::new();
    for file in shims {
        match files::read_json::<ShimRecord>(file) {
            Ok(record) => watchers.extend(record.map(|record| record.shim)),
            Err(error) => errors.push(format!("read {}: {error}", file.display())),
        }
    }
    errors.extend(kill_groups(pods));
    for round in 0..100u64 {
        watchers.retain(ProcessId::alive);
        if watchers.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis((1 + round).min(50)));
    }
    for shim in watchers.iter().filter(|shim| shim.alive()) {
        let _ = kill(Pid::from_raw(shim.pid), Signal::SIGKILL);
    }
    // A cgroup in which something runs is named above.
    for group in pods.iter().filter(|group| group.processes().is_empty()) {
        if let Err(error) = group.remove() {
            errors.push(format!("remove cgroup {}: {error}", group.path()));
        }
    }
    errors
}

fn remove_directories(config: &EmbeddedConfig, kept: &Kept) -> Vec<String> {
    let mut errors = Vec::new();
    let mut note = |what: &str, result: std::io::Result<()>| {
        if let Err(error) = result {
            errors.push(format!("{what}: {error}"));
        }
    };
    let run_dir = std::fs::canonicalize(&config.run_dir).unwrap_or_else(|_| config.run_dir.clone());
    let root = std::fs::canonicalize(&config.root).unwrap_or_else(|_| config.root.clone());
    if kept.is_empty() {
        for directory in ["sandboxes", "shim", "oci", "exec", "bundles"] {
            note("remove run directory", namespaces::remove(&run_dir.join(directory)));
        }
        note("remove state", files::remove_tree(&super::builder::directory(&root)));
    }
    for (directory, kept) in [("sandboxes", &kept.sandboxes), ("containers", &kept.containers)] {
        let directory = root.join(directory);
        if kept.is_empty() {
            note("remove state", files::remove_tree(&directory));
            continue;
        }
        match super::records::subdirectories(&directory) {
            Ok(all) => all
                .iter()
                .filter(|path| {
                    !path.file_name().is_some_and(|n| kept.contains(n.to_string_lossy().as_ref()))
                })
                .for_each(|path| note("remove state", files::remove_tree(path))),
            Err(error) => note("read state", Err(error)),
        }
    }
    let parent = Cgroup::new(&config.cgroup_parent);
    if let Ok(parent) = &parent {
        parent.remove_if_empty();
    }
    note("cgroup parent", parent.map(drop));
    note("unmount run directory", leme_host::mounts::release_memory(&run_dir));
    for directory in [&run_dir, &root] {
        // Only if nothing of anybody else's is in it.
        let _ = std::fs::remove_dir(directory);
    }
    errors
}
