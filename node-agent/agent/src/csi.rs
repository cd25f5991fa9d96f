//! Volumes that drivers have: found, announced, made to be there for pods, taken away.
//!
//! Knows: which drivers have registered with this node, which volumes are in use here. Refuses to know: what a volume needs
//! (the plans say), how drivers are called.
//!
//! Invariant: what a driver may have done for a volume is in a record on the disk before the driver is asked; it goes once
//! the driver has undone it. So nothing is forgotten when this process ends at any point.

mod announce;
mod back;
mod expand;
mod mount;
mod plugins;
mod pods;
mod records;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use leme_client::Client;
use leme_csi::Driver;
use leme_node_core::csi::{CsiVolume, Ready, missing};
use leme_node_core::lookup::Trouble;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use announce::{Told, Wanted};
use plugins::Plugin;

/// How long a driver may take for a call.
const CALL: Duration = Duration::from_secs(120);

/// How long one that is not there is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A volume that a pod is to have, and what more is known of it.
#[derive(Debug)]
pub struct Wish {
    /// The volume.
    pub volume: CsiVolume,
    /// All that a request needs beside it, or why not.
    pub ready: Result<Ready, Trouble>,
}

/// Volumes that drivers have, of one node.
pub struct Csi {
    client: Client,
    pub(crate) node: String,
    data: PathBuf,
    limit: Duration,
    /// Drivers that have registered, by name.
    plugins: watch::Sender<BTreeMap<String, Plugin>>,
    /// What the API is to know.
    wanted: watch::Sender<Wanted>,
    /// What it knows.
    told: watch::Sender<Told>,
    /// Volumes that somebody is at, by their unique names.
    devices: Mutex<HashMap<String, Device>>,
    /// Volumes that are made to fit, by the directories of pods and unique names; whether they are to be looked at again.
    growing: Mutex<HashMap<(PathBuf, String), bool>>,
}

/// A volume that somebody is at.
#[derive(Debug, Default)]
struct Device {
    /// Who asks the driver about it.
    lock: Arc<tokio::sync::Mutex<()>>,
    /// For how many pods it is being set up.
    users: usize,
}

/// A volume is being set up for a pod as long as this is there.
struct Use<'a> {
    csi: &'a Csi,
    unique: String,
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        self.csi.devices(|devices| {
            if let Some(device) = devices.get_mut(&self.unique) {
                device.users -= 1;
            }
        });
    }
}

impl Csi {
    /// Those of a node, as its records have them.
    ///
    /// # Errors
    /// When the node's directories cannot be made or read.
    pub fn new(client: Client, node: String, data: PathBuf) -> anyhow::Result<Arc<Csi>> {
        for folder in [records::registry(&data), records::devices(&data)] {
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("make {}", folder.display()))?;
        }
        let staged = records::staged(&data).context("read what is staged")?;
        let attached = staged.iter().filter(|(_, record)| !record.attachment_id.is_empty());
        let in_use = attached.map(|(_, record)| record.unique()).collect();
        Ok(Arc::new(Csi {
            client,
            node,
            data,
            limit: CALL,
            plugins: watch::Sender::default(),
            wanted: watch::Sender::new(Wanted { drivers: None, in_use }),
            told: watch::Sender::default(),
            devices: Mutex::default(),
            growing: Mutex::default(),
        }))
    }

    /// Finds drivers and tells the API, as long as what it gives is kept.
    pub fn start(self: &Arc<Self>) -> Vec<AbortOnDropHandle<()>> {
        let find = tokio::spawn(plugins::keep(self.clone()));
        let tell = tokio::spawn(announce::keep(self.clone()));
        vec![AbortOnDropHandle::new(find), AbortOnDropHandle::new(tell)]
    }

    /// The socket of a driver as it comes and goes: given at first, then when it has changed, until `tell` says no.
    pub async fn follow(self: Arc<Self>, name: String, tell: impl Fn(Option<String>) -> bool) {
        let mut plugins = self.plugins.subscribe();
        loop {
            let plugin = plugins.borrow_and_update().get(&name).cloned();
            let socket = plugin.map(|plugin| plugin.endpoint.display().to_string());
            if !tell(socket) || plugins.changed().await.is_err() {
                return;
            }
        }
    }

    fn driver(&self, name: &str) -> Result<Driver, String> {
        let plugins = self.plugins.borrow();
        let plugin = plugins.get(name).ok_or_else(|| missing(name))?;
        Ok(Driver { socket: plugin.endpoint.clone(), limit: self.limit })
    }

    /// As [`Csi::driver`], but one that is not there may still come: as this node agent begins, all do.
    async fn await_driver(&self, name: &str) -> Result<Driver, String> {
        let mut plugins = self.plugins.subscribe();
        let come = plugins.wait_for(|plugins| plugins.contains_key(name));
        // Whether it has come is looked at next.
        let _ = tokio::time::timeout(PATIENCE.min(self.limit), come).await;
        self.driver(name)
    }

    fn devices<T>(&self, with: impl FnOnce(&mut HashMap<String, Device>) -> T) -> T {
        with(&mut self.devices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock_of(&self, unique: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.devices(|devices| {
            devices.retain(|_, one| one.users > 0 || Arc::strong_count(&one.lock) > 1);
            devices.entry(unique.to_owned()).or_default().lock.clone()
        })
    }

    fn take(&self, unique: String) -> Use<'_> {
        self.devices(|devices| devices.entry(unique.clone()).or_default().users += 1);
        Use { csi: self, unique }
    }

    fn is_taken(&self, unique: &str) -> bool {
        self.devices(|devices| devices.get(unique).is_some_and(|device| device.users > 0))
    }
}

/// Takes away all mounts of volumes at a node, for when nothing there is left to use them.
pub fn release(data: &Path) -> std::io::Result<()> {
    leme_host::removal::unmount_below(&records::devices(data))
}
