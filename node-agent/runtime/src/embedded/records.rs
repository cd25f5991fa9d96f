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
use serde::de::DeserializeOwned;
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
    /// The machine's id that is 0 in the pod's user namespace, which has it for as long as there is this record.
    #[serde(default)]
    pub(super) first_id: Option<u32>,
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
    /// Writes the record without the environment, which may hold secrets: nothing is started from a record, and what joins
    /// the container later reads its bundle, which is in memory.
    pub(super) fn save(&self) -> io::Result<()> {
        let mut record = self.clone();
        record.config.env.clear();
        record.request.spec.process.env.clear();
        files::write_json(&self.request.directory.join(FILE), &record)
    }
}

/// What is on record.
#[derive(Default)]
pub(super) struct Records {
    pub(super) sandboxes: HashMap<String, SandboxRecord>,
    pub(super) containers: Vec<ContainerRecord>,
    /// Directories without a record that can be read, and of containers whose sandbox has none: creations that were cut
    /// short, or damage. What runs for them is in no record.
    pub(super) broken: Vec<PathBuf>,
}

impl Records {
    /// Reads the directories of sandboxes and of containers.
    pub(super) fn load(sandboxes: &Path, containers: &Path) -> io::Result<Records> {
        let mut found = Records::default();
        for (directory, record) in load::<SandboxRecord>(sandboxes)? {
            match record {
                Some(record) => drop(found.sandboxes.insert(record.id.clone(), record)),
                None => found.broken.push(directory),
            }
        }
        for (directory, record) in load::<ContainerRecord>(containers)? {
            match record.filter(|record| found.sandboxes.contains_key(&record.sandbox_id)) {
                Some(record) => found.containers.push(record),
                None => found.broken.push(directory),
            }
        }
        Ok(found)
    }
}

/// Each directory with its record, if that can be read.
fn load<T: DeserializeOwned>(directory: &Path) -> io::Result<Vec<(PathBuf, Option<T>)>> {
    let read = |entry: PathBuf| {
        let record = files::read_json::<T>(&entry.join(FILE)).unwrap_or_else(|error| {
            tracing::error!(path = %entry.display(), %error, "record cannot be read");
            None
        });
        (entry, record)
    };
    Ok(subdirectories(directory)?.into_iter().map(read).collect())
}

/// The directories in a directory; none if it is absent.
pub(super) fn subdirectories(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => {
            Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
