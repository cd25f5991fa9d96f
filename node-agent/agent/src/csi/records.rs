//! What drivers have been asked for, on the disk.
//!
//! Knows: where volumes are staged and published, how far each is; the names of places and fields are the kubelet's. Refuses
//! to know: drivers. Everything here blocks.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use leme_host::mounts::{is_mount, unmount_quietly};
use leme_node_core::csi::{folder, unique};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::volumes::component;

const RECORD: &str = "vol_data.json";
const UNFINISHED: &str = ".vol_data.json";
/// Where a pod's volumes of drivers are, below its directory.
const OF_POD: &str = "volumes/kubernetes.io~csi";

/// How far something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The driver has not been asked, or has refused.
    Prepared,
    /// It has been asked, and may have done it.
    Asked,
    /// It has done it.
    Done,
}

/// A volume that is there for a pod, or may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    #[serde(rename = "specVolID")]
    pub name: String,
    pub volume_handle: String,
    pub driver_name: String,
    pub volume_lifecycle_mode: String,
    pub state: State,
}

/// A volume that is usable on the node, or may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Staged {
    #[serde(rename = "specVolID")]
    pub name: String,
    pub volume_handle: String,
    pub driver_name: String,
    /// The name of its attachment to the node, empty if there is none.
    #[serde(rename = "attachmentID")]
    pub attachment_id: String,
    pub state: State,
}

impl Published {
    pub fn unique(&self) -> String {
        unique(&self.driver_name, &self.volume_handle)
    }

    pub fn is_persistent(&self) -> bool {
        self.volume_lifecycle_mode == "Persistent"
    }
}

impl Staged {
    pub fn unique(&self) -> String {
        unique(&self.driver_name, &self.volume_handle)
    }
}

/// A place for a volume, with its record beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    folder: PathBuf,
    /// Where the driver puts the volume.
    pub leaf: PathBuf,
}

impl Place {
    fn new(folder: PathBuf, leaf: &str) -> Place {
        Place { leaf: folder.join(leaf), folder }
    }

    fn of_pod(folder: PathBuf) -> Place {
        Place::new(folder, "mount")
    }

    fn of_device(folder: PathBuf) -> Place {
        Place::new(folder, "globalmount")
    }

    /// What stands in the record, if there is one.
    pub fn read<T: DeserializeOwned>(&self) -> anyhow::Result<Option<T>> {
        let path = self.folder.join(RECORD);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("read {}", path.display()))?,
        };
        let record = serde_json::from_slice(&text);
        Ok(Some(record.with_context(|| format!("read {}", path.display()))?))
    }

    /// Writes the record: whole or not at all.
    pub fn write(&self, record: &impl Serialize) -> anyhow::Result<()> {
        make(&self.folder)?;
        let unfinished = self.folder.join(UNFINISHED);
        fs::write(&unfinished, serde_json::to_vec(record)?)
            .and_then(|()| fs::rename(&unfinished, self.folder.join(RECORD)))
            .with_context(|| format!("write a record in {}", self.folder.display()))
    }

    /// Makes the directory that the driver mounts on.
    pub fn make_leaf(&self) -> anyhow::Result<()> {
        make(&self.leaf)
    }

    /// Whether something is mounted there.
    pub fn is_mounted(&self) -> bool {
        is_mount(&self.leaf).unwrap_or(false)
    }

    /// Takes place and record away. What a driver has left mounted there is only taken off; what is in a directory stays, and
    /// is an error.
    pub fn remove(&self) -> anyhow::Result<()> {
        let absent = |done: io::Result<()>| match done {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        };
        let path = &self.leaf;
        if self.is_mounted() {
            unmount_quietly(path).with_context(|| format!("unmount {}", path.display()))?;
        }
        if let Err(error) = absent(fs::remove_dir(path)) {
            bail!("failed to remove dir [{}]: {error}", path.display());
        }
        for name in [UNFINISHED, RECORD] {
            absent(fs::remove_file(self.folder.join(name)))?;
        }
        absent(fs::remove_dir(&self.folder))
            .with_context(|| format!("remove {}", self.folder.display()))
    }
}

fn make(folder: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(folder)
        .with_context(|| format!("make {}", folder.display()))
}

/// Where plugins put the sockets by which they register.
pub fn registry(data: &Path) -> PathBuf {
    data.join("plugins_registry")
}

/// Where volumes are staged.
pub fn devices(data: &Path) -> PathBuf {
    data.join("plugins/kubernetes.io/csi")
}

/// Where a volume is staged.
pub fn device(data: &Path, driver: &str, handle: &str) -> anyhow::Result<Place> {
    Ok(Place::of_device(devices(data).join(component(driver)?).join(folder(handle))))
}

/// Where a volume is for a pod.
pub fn for_pod(pod: &Path, name: &str) -> anyhow::Result<Place> {
    Ok(Place::of_pod(pod.join(OF_POD).join(component(name)?)))
}

/// What is there for a pod, or may be.
pub fn published(pod: &Path) -> anyhow::Result<Vec<(Place, Published)>> {
    recorded(folders(&pod.join(OF_POD))?, Place::of_pod)
}

/// What is usable on the node, or may be.
pub fn staged(data: &Path) -> anyhow::Result<Vec<(Place, Staged)>> {
    let mut found = Vec::new();
    for driver in folders(&devices(data))? {
        for folder in folders(&driver)? {
            found.extend(told(recorded(vec![folder], Place::of_device)));
        }
    }
    Ok(found)
}

/// What cannot be read keeps the rest from nothing.
fn told<T>(read: anyhow::Result<Vec<T>>) -> Vec<T> {
    read.unwrap_or_else(|error| {
        tracing::warn!(
            error = format!("{error:#}"),
            "a record of what a driver has done is passed over"
        );
        Vec::new()
    })
}

/// The directories of pods.
pub fn pods(data: &Path) -> io::Result<Vec<PathBuf>> {
    folders(&data.join("pods"))
}

/// The pods, but for one, for which a volume is there, or may be.
pub fn users(data: &Path, unique: &str, but: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut users = Vec::new();
    for pod in pods(data)? {
        if pod != but && told(published(&pod)).iter().any(|(_, record)| record.unique() == unique) {
            users.push(pod);
        }
    }
    Ok(users)
}

fn recorded<T: DeserializeOwned>(
    folders: Vec<PathBuf>,
    place: fn(PathBuf) -> Place,
) -> anyhow::Result<Vec<(Place, T)>> {
    let mut found = Vec::new();
    for folder in folders {
        let place = place(folder);
        if let Some(record) = place.read()? {
            found.push((place, record));
        }
    }
    Ok(found)
}

fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => {
            let entries: io::Result<Vec<fs::DirEntry>> = read?.collect();
            let folders = entries?.into_iter().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
            Ok(folders.map(|entry| entry.path()).collect())
        }
    }
}
