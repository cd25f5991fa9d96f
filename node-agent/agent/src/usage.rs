//! What pods use of the node's disk, for those whose use is limited.
//!
//! Knows: where a pod's files are. Refuses to know: limits (the core does), how a directory is measured (the host does).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use leme_cri::Runtime;
use leme_host::usage::disk_usage;
use leme_node_core::spec;
use leme_node_core::storage::{self, Usage};

use crate::agent::Agent;
use crate::event::Event;
use crate::{volumes, worker};
use leme_node_core::pod;

/// One pod to measure.
struct Job {
    uid: String,
    directory: PathBuf,
    logs: PathBuf,
    empty_dirs: Vec<String>,
    /// Name and id of each container's newest one.
    containers: Vec<(String, Option<String>)>,
}

impl Agent {
    /// Measures the pods that have limits, one after the other, unless that is under way.
    pub fn measure(&mut self) {
        if self.measuring {
            return;
        }
        let limited = self.pods.iter().filter(|(_, entry)| {
            !entry.orphan && entry.machine.is_up() && storage::is_limited(entry.machine.pod())
        });
        let jobs: Vec<Job> = limited
            .map(|(uid, entry)| {
                let pod = entry.machine.pod();
                let volumes = spec::of(pod).volumes.clone().unwrap_or_default();
                let slots = entry.machine.slots().iter();
                Job {
                    uid: uid.clone(),
                    directory: self.pod_directory(uid),
                    logs: self.log_directory(pod),
                    empty_dirs: volumes
                        .into_iter()
                        .filter(|v| v.empty_dir.is_some())
                        .map(|v| v.name)
                        .collect(),
                    containers: slots
                        .map(|s| (s.name.clone(), s.current_id().map(str::to_owned)))
                        .collect(),
                }
            })
            .collect();
        if jobs.is_empty() {
            return;
        }
        self.measuring = true;
        let (runtime, to) = (self.config.runtime.clone(), self.to.clone());
        tokio::spawn(async move {
            let mut usages = Vec::new();
            for job in jobs {
                let uid = job.uid.clone();
                match measure(&runtime, job).await {
                    Ok(usage) => usages.push((uid, usage)),
                    Err(error) => {
                        tracing::warn!(pod = %uid, %error, "use of the disk not measured");
                    }
                }
            }
            let _ = to.send(Event::Measured(usages));
        });
    }

    pub fn handle_measured(&mut self, usages: Vec<(String, Usage)>) {
        self.measuring = false;
        for (uid, usage) in usages {
            let Some(entry) = self.pods.get(&uid) else { continue };
            if let Some(message) = storage::over(entry.machine.pod(), &usage) {
                self.step(&uid, pod::Event::Evicted(message));
            }
        }
    }
}

async fn measure(runtime: &Arc<dyn Runtime>, job: Job) -> Result<Usage, String> {
    let mut usage = Usage::default();
    for (name, id) in job.containers {
        let logs = job.logs.join(&name);
        let mut used = worker::blocking(move || Ok(disk_usage(&logs)?)).await?;
        if let Some(id) = id {
            match runtime.writable_layer(&id).await {
                Ok(bytes) => used = used.saturating_add(bytes),
                // Gone since.
                Err(leme_cri::RuntimeError::NotFound(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        usage.containers.insert(name, used);
    }
    let (directory, names) = (job.directory, job.empty_dirs);
    let (empty_dirs, other) = worker::blocking(move || {
        let mut found = Vec::new();
        for name in names {
            let bytes = disk_usage(&volumes::empty_dir(&directory, &name))?;
            found.push((name, bytes));
        }
        let generated = disk_usage(&volumes::generated(&directory))?;
        Ok((found, generated.saturating_add(messages(&directory)?)))
    })
    .await?;
    usage.empty_dirs.extend(empty_dirs);
    usage.other = other;
    Ok(usage)
}

/// Termination messages, which containers write.
fn messages(pod: &Path) -> std::io::Result<u64> {
    disk_usage(&pod.join("containers"))
}
