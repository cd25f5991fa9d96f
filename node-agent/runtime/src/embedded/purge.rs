//! Taking everything down, with or without an engine, after a crash as well.
//!
//! Knows: what an engine leaves in its directories. Refuses to know: images, which stay.

use std::path::PathBuf;
use std::time::Duration;

use leme_host::cgroup::Cgroup;
use leme_host::files;
use leme_host::helper::protocol::ShimRecord;
use leme_host::namespaces::{self, SandboxPaths};
use leme_host::process::ProcessId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{EmbeddedConfig, blocking, failed, records};
use crate::{Result, RuntimeError};

/// Kills and removes every sandbox, container, mount, namespace and cgroup that these directories know of. Goes on
/// after an error and names all of them at the end. No engine may be using the directories.
pub async fn purge(config: &EmbeddedConfig) -> Result<()> {
    let mut errors: Vec<String> = Vec::new();
    let containers =
        records::load_containers(&config.containers()).map_err(failed("read containers"))?;
    let sandboxes =
        records::load_sandboxes(&config.sandboxes()).map_err(failed("read sandboxes"))?;
    let mut pods: Vec<String> =
        sandboxes.values().map(|s| config.pod_cgroup(&s.config.pod.uid)).collect();
    pods.extend(
        containers
            .iter()
            .filter_map(|c| Some(c.request.spec.cgroup.rsplit_once('/')?.0.to_owned())),
    );
    pods.sort();
    pods.dedup();
    let shims: Vec<PathBuf> =
        containers.iter().map(|container| container.request.shim_file()).collect();
    errors.extend(blocking("purge", move || Ok(end_processes(&shims, &pods))).await?);
    for sandbox in sandboxes.values().filter(|sandbox| !sandbox.config.host_network) {
        let netns = SandboxPaths(config.namespaces(&sandbox.id)).net();
        if let Err(error) = config.network.detach(&sandbox.id, &netns).await {
            errors.push(format!("disconnect sandbox {}: {error:#}", sandbox.id));
        }
    }
    let config = config.clone();
    errors.extend(blocking("purge", move || Ok(remove_directories(&config))).await?);
    match errors.is_empty() {
        true => Ok(()),
        false => Err(RuntimeError::Failed { operation: "purge", message: errors.join("; ") }),
    }
}

/// Ends the containers' processes, then gives the shims a moment to take them in and to end by themselves.
fn end_processes(shims: &[PathBuf], pods: &[String]) -> Vec<String> {
    let mut errors = Vec::new();
    let mut watchers: Vec<ProcessId> = Vec::new();
    for file in shims {
        match files::read_json::<ShimRecord>(file) {
            Ok(record) => watchers.extend(record.map(|record| record.shim)),
            Err(error) => errors.push(format!("read {}: {error}", file.display())),
        }
    }
    let groups: Vec<Cgroup> = pods.iter().filter_map(|pod| Cgroup::new(pod).ok()).collect();
    for group in &groups {
        if let Err(error) = group.kill_all() {
            errors.push(error.to_string());
        }
    }
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
    for group in &groups {
        if let Err(error) = group.remove() {
            errors.push(format!("remove cgroup: {error}"));
        }
    }
    errors
}

fn remove_directories(config: &EmbeddedConfig) -> Vec<String> {
    let mut errors = Vec::new();
    let mut note = |what: &str, result: std::io::Result<()>| {
        if let Err(error) = result {
            errors.push(format!("{what}: {error}"));
        }
    };
    let run_dir = std::fs::canonicalize(&config.run_dir).unwrap_or_else(|_| config.run_dir.clone());
    let root = std::fs::canonicalize(&config.root).unwrap_or_else(|_| config.root.clone());
    for directory in ["sandboxes", "shim", "oci", "exec"] {
        note("remove run directory", namespaces::remove(&run_dir.join(directory)));
    }
    for directory in ["sandboxes", "containers"] {
        note("remove state", files::remove_tree(&root.join(directory)));
    }
    let parent = Cgroup::new(&config.cgroup_parent);
    if let Ok(parent) = &parent {
        parent.remove_if_empty();
    }
    note("cgroup parent", parent.map(drop));
    for directory in [&run_dir, &root] {
        // Only if nothing of anybody else's is in it.
        let _ = std::fs::remove_dir(directory);
    }
    errors
}
