//! Drivers register: a socket comes, says which driver it is of, and is told what becomes of it.
//!
//! Knows: what a plugin must say, when it is asked again. Refuses to know: what is done with a driver.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leme_csi::wire::PluginInfo;
use leme_csi::{Driver, Registration, Seen, Sockets};
use tokio_util::task::AbortOnDropHandle;

use super::Csi;
use super::announce::{Facts, Wanted};
use super::records;
use crate::volumes::component;

/// How long a plugin may take to say what it is.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the API may take to know it.
const ANNOUNCE: Duration = Duration::from_secs(60);
/// How long to wait before a plugin is asked again; it doubles up to the second.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LAST_DELAY: Duration = Duration::from_secs(122);
/// The kind of plugins that are drivers of volumes.
const KIND: &str = "CSIPlugin";

/// A driver that has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// The socket by which it did.
    pub socket: PathBuf,
    /// The socket of its services.
    pub endpoint: PathBuf,
}

/// The drivers that are there at first have been asked once when the last of these is dropped.
struct First(Arc<Csi>);

impl Drop for First {
    fn drop(&mut self) {
        self.0.wanted.send_modify(|wanted| {
            wanted.drivers.get_or_insert_default();
        });
    }
}

/// Registers drivers as their sockets come and go.
pub async fn keep(csi: Arc<Csi>) {
    let folder = records::registry(&csi.data);
    let mut first = Some(Arc::new(First(csi.clone())));
    let mut tasks: HashMap<PathBuf, AbortOnDropHandle<()>> = HashMap::new();
    let mut delay = FIRST_DELAY;
    loop {
        if let Err(error) = follow(&csi, &folder, &mut first, &mut tasks).await {
            let folder = folder.display();
            tracing::warn!(%folder, %error, "sockets of drivers are not watched, trying again");
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(LAST_DELAY);
    }
}

async fn follow(
    csi: &Arc<Csi>,
    folder: &Path,
    first: &mut Option<Arc<First>>,
    tasks: &mut HashMap<PathBuf, AbortOnDropHandle<()>>,
) -> std::io::Result<()> {
    let mut sockets = Sockets::of(folder)?;
    loop {
        for seen in sockets.next().await? {
            match seen {
                Seen::Gone(socket) => {
                    tasks.remove(&socket);
                    csi.forget(&socket, None);
                }
                Seen::Come(socket) => {
                    let task = register(csi.clone(), socket.clone(), first.clone());
                    tasks.insert(socket, AbortOnDropHandle::new(tokio::spawn(task)));
                }
            }
        }
        *first = None;
    }
}

/// Asks a plugin until it is registered.
async fn register(csi: Arc<Csi>, socket: PathBuf, mut first: Option<Arc<First>>) {
    let mut delay = FIRST_DELAY;
    loop {
        let error = match csi.register(&socket, &mut first).await {
            Ok(driver) => {
                tracing::info!(%driver, socket = %socket.display(), "driver registered");
                return;
            }
            Err(error) => error,
        };
        first = None;
        tracing::warn!(socket = %socket.display(), %error, "driver not registered, trying again");
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(LAST_DELAY);
    }
}

/// Whether a plugin is a driver that this node can speak to.
fn check(info: &PluginInfo, socket: &Path) -> Result<(), String> {
    let PluginInfo { r#type, name, supported_versions, .. } = info;
    if r#type != KIND {
        let socket = socket.display();
        return Err(format!(
            "no handler registered for plugin type: {} at socket {socket}",
            r#type
        ));
    }
    let refused = |why: String| Err(format!("plugin validation failed with err: {why}"));
    if component(name).is_err() {
        return refused(format!("invalid driver name {name:?}"));
    }
    let major = |version: &String| version.trim_start_matches('v').split('.').next() == Some("1");
    if !supported_versions.iter().any(major) {
        return refused(format!(
            "for CSI driver {name:?} none of the versions specified {supported_versions:?} are supported"
        ));
    }
    Ok(())
}

impl Csi {
    /// Registers the driver of a socket; its name.
    async fn register(
        &self,
        socket: &Path,
        first: &mut Option<Arc<First>>,
    ) -> Result<String, String> {
        let registration = Registration { socket: socket.to_owned(), limit: ANSWER };
        let info = registration.info().await.map_err(|fault| {
            format!(
                "failed to get plugin info using RPC GetInfo at socket {}, err: {fault}",
                socket.display()
            )
        })?;
        let done = match check(&info, socket) {
            Ok(()) => self.install(&info, socket, first).await,
            refused => refused,
        };
        let told = done.as_ref().err().map(|why| format!("RegisterPlugin error -- {why}"));
        let notified = registration.notify(told.as_deref()).await;
        done?;
        notified.map_err(|fault| format!("failed to send registration status: {fault}"))?;
        Ok(info.name)
    }

    async fn install(
        &self,
        info: &PluginInfo,
        socket: &Path,
        first: &mut Option<Arc<First>>,
    ) -> Result<(), String> {
        let failed = |why: String| format!("plugin registration failed with err: {why}");
        let endpoint = match info.endpoint.as_str() {
            "" => socket.to_owned(),
            endpoint => PathBuf::from(endpoint.trim_start_matches("unix://")),
        };
        let driver = Driver { socket: endpoint.clone(), limit: self.limit };
        let node = driver.info().await.map_err(|fault| failed(fault.to_string()))?;
        if node.node_id.is_empty() {
            return Err(failed("driverNodeID must not be empty".to_owned()));
        }
        let facts = Facts {
            id: node.node_id,
            topology: node.accessible_topology.unwrap_or_default().segments,
            most: node.max_volumes_per_node,
        };
        let name = info.name.clone();
        self.wanted.send_modify(|wanted| {
            wanted.drivers.get_or_insert_default().insert(name.clone(), facts.clone());
        });
        // From here on the API may hear of it.
        *first = None;
        self.announced(&name, &facts).await.map_err(failed)?;
        let plugin = Plugin { socket: socket.to_owned(), endpoint };
        self.plugins.send_modify(|plugins| drop(plugins.insert(name.clone(), plugin)));
        self.forget(socket, Some(&name));
        Ok(())
    }

    /// Waits until the API knows of a driver.
    async fn announced(&self, name: &str, facts: &Facts) -> Result<(), String> {
        let mut told = self.told.subscribe();
        let heard = told.wait_for(|told| {
            told.drivers.get(name) == Some(facts) || told.refused.contains_key(name)
        });
        let refused = match tokio::time::timeout(ANNOUNCE, heard).await {
            Ok(Ok(told)) => told.refused.get(name).cloned(),
            _ => Some("error updating CSINode object: timed out".to_owned()),
        };
        let Some(why) = refused else { return Ok(()) };
        self.withdraw(name);
        Err(why)
    }

    fn withdraw(&self, name: &str) {
        self.plugins.send_if_modified(|plugins| plugins.remove(name).is_some());
        let gone = |wanted: &mut Wanted| wanted.drivers.as_mut()?.remove(name);
        self.wanted.send_if_modified(|wanted| gone(wanted).is_some());
    }

    /// What has registered by a socket is not there any more, but for one.
    fn forget(&self, socket: &Path, but: Option<&str>) {
        let plugins = self.plugins.borrow().clone();
        for (name, plugin) in plugins {
            if plugin.socket == socket && Some(name.as_str()) != but {
                tracing::info!(driver = %name, "driver gone");
                self.withdraw(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_drivers_of_this_version() {
        let look = |kind: &str, name: &str, versions: &[&str]| {
            let info = PluginInfo {
                r#type: kind.into(),
                name: name.into(),
                endpoint: String::new(),
                supported_versions: versions.iter().map(|one| (*one).to_owned()).collect(),
            };
            check(&info, Path::new("/s"))
        };
        assert_eq!(look(KIND, "disk.example", &["0.3.0", "1.0.0"]), Ok(()));
        assert_eq!(look(KIND, "disk.example", &["v1.9.0"]), Ok(()));
        for (kind, name, versions, why) in [
            (
                "DRAPlugin",
                "d",
                &["1.0.0"][..],
                "no handler registered for plugin type: DRAPlugin at socket /s",
            ),
            (KIND, "..", &["1.0.0"], "invalid driver name"),
            (KIND, "a/b", &["1.0.0"], "invalid driver name"),
            (KIND, "d", &["0.3.0", "10.0.0"], "none of the versions specified"),
            (KIND, "d", &[], "none of the versions specified"),
        ] {
            let said = look(kind, name, versions).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
