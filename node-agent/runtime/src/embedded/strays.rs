//! What runs on this machine for the cluster and is in no record: a container whose record was lost or damaged would run
//! on beside the one that takes its place.
//!
//! Knows: that everything below the engine's cgroup is its own. Refuses to know: how records were lost.

use std::collections::HashSet;
use std::path::PathBuf;

use leme_host::cgroup::{Cgroup, kill_groups};
use leme_host::files;
use leme_host::namespaces::{self, SandboxPaths};

use super::records::{Records, subdirectories};
use super::{EmbeddedConfig, blocking, failed};
use crate::{Result, RuntimeError};

/// Reads the records, ends what runs and is in none, and removes what is left of it.
///
/// # Errors
/// When something of it cannot be ended: nothing may be started beside it.
pub(super) async fn sweep(config: &EmbeddedConfig) -> Result<Records> {
    let own = config.clone();
    let found = blocking("read records", move || {
        let found =
            Records::load(&own.sandboxes(), &own.containers()).map_err(failed("read records"))?;
        end(&own.cgroup_parent, &known(&own, &found))?;
        Ok(found)
    })
    .await?;
    let lost = lost_namespaces(config, &found).map_err(failed("read run directory"))?;
    for directory in &lost {
        let id = directory.file_name().map(|name| name.to_string_lossy().into_owned());
        let netns = SandboxPaths(directory.clone()).net();
        if let Err(error) = config.network.detach(&id.unwrap_or_default(), &netns).await {
            tracing::warn!(path = %directory.display(), %error, "lost sandbox not disconnected");
        }
    }
    let (broken, bundles) = (found.broken.clone(), config.run_dir.join("bundles"));
    blocking("remove strays", move || {
        for directory in &lost {
            namespaces::remove(directory).map_err(failed("remove lost sandbox"))?;
        }
        for directory in &broken {
            tracing::warn!(path = %directory.display(), "removing what has no record");
            files::remove_tree(directory).map_err(failed("remove what has no record"))?;
            // A container's, with its environment; a sandbox has none.
            let bundle = directory.file_name().map(|id| bundles.join(id));
            bundle.map_or(Ok(()), |b| files::remove_tree(&b)).map_err(failed("remove bundle"))?;
        }
        Ok(())
    })
    .await?;
    Ok(found)
}

/// Cgroups that records name.
struct Known {
    pods: HashSet<String>,
    inside: HashSet<String>,
}

fn known(config: &EmbeddedConfig, found: &Records) -> Known {
    let sandboxes = || found.sandboxes.values();
    let containers = found.containers.iter().map(|record| record.request.spec.cgroup.clone());
    Known {
        pods: sandboxes().map(|record| config.pod_cgroup(&record.config.pod.uid)).collect(),
        inside: containers.chain(sandboxes().map(|record| config.pause_cgroup(record))).collect(),
    }
}

/// Kills what runs below the parent outside of the known cgroups, and removes its cgroups.
fn end(parent: &str, known: &Known) -> Result<()> {
    let strays = strays(parent, known).map_err(failed("look for strays"))?;
    for group in strays.iter().filter(|group| !group.processes().is_empty()) {
        tracing::warn!(cgroup = %group.path(), "ending what runs and is in no record");
    }
    let left = kill_groups(&strays);
    if !left.is_empty() {
        let message = format!("what is in no record cannot be ended: {}", left.join("; "));
        return Err(RuntimeError::Failed { operation: "look for strays", message });
    }
    for group in &strays {
        group.remove().map_err(failed("remove a cgroup"))?;
    }
    Ok(())
}

/// Cgroups of pods that are not known, and of what is not known in those that are.
fn strays(parent: &str, known: &Known) -> std::io::Result<Vec<Cgroup>> {
    let parent = Cgroup::new(parent)?;
    let mut found = Vec::new();
    for name in parent.children() {
        let pod = parent.child(&name)?;
        if !known.pods.contains(&pod.path()) {
            found.push(pod);
            continue;
        }
        for child in pod.children() {
            let child = pod.child(&child)?;
            if !known.inside.contains(&child.path()) {
                found.push(child);
            }
        }
    }
    Ok(found)
}

fn lost_namespaces(config: &EmbeddedConfig, found: &Records) -> std::io::Result<Vec<PathBuf>> {
    let recorded = |directory: &PathBuf| {
        let name = directory.file_name().map(|name| name.to_string_lossy());
        name.is_some_and(|name| found.sandboxes.contains_key(name.as_ref()))
    };
    let mut all = subdirectories(&config.all_namespaces())?;
    all.retain(|directory| !recorded(directory));
    Ok(all)
}
