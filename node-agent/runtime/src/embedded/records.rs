//! What the engine writes down: a record per sandbox and per container.
//!
//! Knows: the files. Refuses to know: what is running (the shims do).

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use leme_host::files;
use leme_host::helper::protocol::ContainerRequest;
use leme_node_core::cri::{ContainerConfig, SandboxConfig};
use serde::{Deserialize, Serialize};

/// A sandbox as it was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SandboxRecord {
    pub(super) id: String,
    pub(super) config: SandboxConfig,
    pub(super) created_at: i64,
    pub(super) ip: String,
    /// Made completely and not stopped since.
    pub(super) ready: bool,
}

/// A container as it was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ContainerRecord {
    pub(super) sandbox_id: String,
    pub(super) config: ContainerConfig,
    pub(super) created_at: i64,
    /// `name@sha256:...`, or the image's id.
    pub(super) image_id: String,
    pub(super) stop_signal: i32,
    pub(super) layers: Vec<PathBuf>,
    pub(super) request: ContainerRequest,
}

const FILE: &str = "record.json";

impl SandboxRecord {
    pub(super) fn save(&self, directory: &Path) -> io::Result<()> {
        files::write_json(&directory.join(&self.id).join(FILE), self)
    }
}

impl ContainerRecord {
    pub(super) fn save(&self) -> io::Result<()> {
        files::write_json(&self.request.directory.join(FILE), self)
    }
}

/// Every sandbox on record. A directory without a record is a creation that was cut short; its namespaces, if any, go
/// with the next stop or purge.
pub(super) fn load_sandboxes(directory: &Path) -> io::Result<HashMap<String, SandboxRecord>> {
    let mut found = HashMap::new();
    for entry in subdirectories(directory)? {
        match files::read_json::<SandboxRecord>(&entry.join(FILE)) {
            Ok(Some(record)) => {
                found.insert(record.id.clone(), record);
            }
            Ok(None) => files::remove_tree(&entry)?,
            Err(error) => {
                tracing::error!(path = %entry.display(), %error, "sandbox record cannot be read")
            }
        }
    }
    Ok(found)
}

/// Every container on record.
pub(super) fn load_containers(directory: &Path) -> io::Result<Vec<ContainerRecord>> {
    let mut found = Vec::new();
    for entry in subdirectories(directory)? {
        match files::read_json::<ContainerRecord>(&entry.join(FILE)) {
            Ok(Some(record)) => found.push(record),
            Ok(None) => files::remove_tree(&entry)?,
            Err(error) => {
                tracing::error!(path = %entry.display(), %error, "container record cannot be read")
            }
        }
    }
    Ok(found)
}

fn subdirectories(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => {
            Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
