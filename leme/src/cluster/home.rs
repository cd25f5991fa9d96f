//! The network namespace that a cluster's nodes are in: noted at the start, found again to clean up.
//!
//! Knows: a note beside the sockets, which is gone with the machine's next start as namespaces are. Refuses to know: what
//! the network is made of.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use leme_host::netns::{NetnsId, run_in};
use leme_network::{PodNetwork, PodNetworkConfig};

use crate::cluster::data::DataDir;
use crate::cluster::sole::Sole;

/// Where a cluster that does not run any more has left its network.
pub enum Home {
    /// Where this process is, as far as anybody knows.
    Here,
    /// In this other namespace.
    There(File),
    /// In one that is gone, and everything in it.
    Nowhere,
}

fn note(data: &DataDir) -> PathBuf {
    data.run().join("netns")
}

/// Looks whether the nodes can be where this process is.
///
/// # Errors
/// When what is left of them is in another namespace: their pods would have lost their network.
pub fn check(data: &DataDir) -> Result<()> {
    let root = data.root().display();
    if let Home::There(_) = Home::of(data)? {
        bail!(
            "the pods of {root} are in another network namespace: start it in that one, or remove what is left there with `leme down --data-dir {root}`"
        );
    }
    Ok(())
}

/// Notes that the nodes are where this process is.
///
/// # Errors
/// When there is no place for the note.
pub fn settle(data: &DataDir) -> Result<()> {
    let note = note(data);
    let own = NetnsId::own().context("look at this network namespace")?;
    let write = || {
        fs::create_dir_all(data.run())?;
        fs::write(&note, own.to_string())
    };
    write().with_context(|| format!("write {}", note.display()))
}

impl Home {
    /// Where the nodes of a data directory are or were.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn of(data: &DataDir) -> Result<Home> {
        let noted = fs::read_to_string(note(data)).ok().and_then(|text| text.parse().ok());
        let own = NetnsId::own().context("look at this network namespace")?;
        let Some(id) = noted.filter(|id: &NetnsId| *id != own) else { return Ok(Home::Here) };
        let found = id.find().context("look for the network namespace of the nodes")?;
        Ok(found.map_or(Home::Nowhere, Home::There))
    }

    /// Removes networks there; what is gone already is fine, and what another cluster has there by now is its own.
    pub async fn teardown(self, networks: Vec<PodNetworkConfig>) -> Vec<String> {
        let work = move || match &self {
            Home::Here => alone_or_nowhere(&networks),
            Home::There(netns) => flat(run_in(Some(netns), || alone_or_nowhere(&networks))),
            Home::Nowhere => nowhere(&networks),
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|panic| vec![format!("remove the pod network: {panic}")])
    }
}

fn alone_or_nowhere(networks: &[PodNetworkConfig]) -> Vec<String> {
    match Sole::claim() {
        Ok(_sole) => remove(networks),
        Err(_) => nowhere(networks),
    }
}

/// Forgets what is noted of the networks.
fn nowhere(networks: &[PodNetworkConfig]) -> Vec<String> {
    flat(run_in(None, || remove(networks)))
}

fn flat(removed: std::io::Result<Vec<String>>) -> Vec<String> {
    removed.unwrap_or_else(|error| vec![format!("enter the nodes' network namespace: {error}")])
}

/// Removes networks where the calling thread is.
fn remove(networks: &[PodNetworkConfig]) -> Vec<String> {
    // Its threads are where the one is that makes them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return vec![format!("remove the pod network: {error}")],
    };
    let removed = networks.iter().map(|network| runtime.block_on(PodNetwork::teardown(network)));
    removed
        .filter_map(|done| done.err().map(|e| format!("remove the pod network: {e:#}")))
        .collect()
}
