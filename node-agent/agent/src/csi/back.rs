//! Volumes that no pod has are given back, and what is there for pods that are gone is taken away: until it has worked.
//!
//! Knows: what nobody uses, when to try again. Refuses to know: how a volume comes to be there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leme_csi::wire::Unstage;
use leme_node_core::csi::unique;
use tokio::sync::watch;

use super::Csi;
use super::plugins::Plugin;
use super::records::{self, Staged, State};
use crate::worker::blocking;

/// How long to wait before what failed is tried again; it doubles up to the second.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LAST_DELAY: Duration = Duration::from_secs(122);

/// When to try again what has failed: after a while, or when drivers have come or gone.
struct Retry {
    delay: Duration,
    plugins: watch::Receiver<BTreeMap<String, Plugin>>,
}

impl Retry {
    fn of(csi: &Csi) -> Retry {
        Retry { delay: FIRST_DELAY, plugins: csi.plugins.subscribe() }
    }

    async fn pause(&mut self) {
        tokio::select! {
            () = tokio::time::sleep(self.delay) => {}
            _ = self.plugins.changed() => {}
        }
        self.delay = (self.delay * 2).min(LAST_DELAY);
    }
}

impl Csi {
    /// Makes a volume not be usable on the node any more, unless a pod has it, until that has worked.
    pub async fn give_back(&self, driver: &str, handle: &str) {
        let mut retry = Retry::of(self);
        while let Err(why) = self.unstage(driver, handle).await {
            let unique = unique(driver, handle);
            tracing::warn!(volume = %unique, error = %why, "volume not unstaged, trying again");
            retry.pause().await;
        }
    }

    async fn unstage(&self, driver: &str, handle: &str) -> Result<(), String> {
        let unique = unique(driver, handle);
        let lock = self.lock_of(&unique);
        let _alone = lock.lock().await;
        let place = records::device(&self.data, driver, handle).map_err(|e| format!("{e:#}"))?;
        let (data, looked, name) = (self.data.clone(), place.clone(), unique.clone());
        let look = move || {
            Ok((looked.read::<Staged>()?, records::users(&data, &name, Path::new(""))?.is_empty()))
        };
        let (record, unused) = blocking(look).await?;
        if self.is_taken(&unique) || !unused {
            return Ok(());
        }
        if let Some(record) = record {
            if record.state != State::Prepared {
                let wish = Unstage {
                    volume_id: handle.to_owned(),
                    staging_target_path: place.leaf.display().to_string(),
                };
                let driver = self.await_driver(driver).await?;
                driver.unstage(&wish).await.map_err(|fault| fault.to_string())?;
            }
            blocking(move || place.remove()).await?;
        }
        self.wanted.send_if_modified(|wanted| wanted.in_use.remove(&unique));
        Ok(())
    }

    /// Takes away what is there for pods that are not known, and gives back what no pod has; `known` are directories of pods.
    pub async fn sweep(self: Arc<Self>, known: Vec<PathBuf>) {
        let data = self.data.clone();
        let listed = blocking(move || Ok((records::pods(&data)?, records::staged(&data)?))).await;
        let (pods, staged) = match listed {
            Ok(listed) => listed,
            Err(error) => return tracing::warn!(%error, "what drivers have done is not known"),
        };
        for pod in pods.into_iter().filter(|pod| !known.contains(pod)) {
            let csi = self.clone();
            tokio::spawn(async move {
                let mut retry = Retry::of(&csi);
                while let Err(error) = csi.tear_down(&pod).await {
                    tracing::warn!(pod = %pod.display(), %error, "volume of a pod that is gone not taken away, trying again");
                    retry.pause().await;
                }
            });
        }
        for (_, record) in staged {
            let csi = self.clone();
            tokio::spawn(async move {
                csi.give_back(&record.driver_name, &record.volume_handle).await;
            });
        }
    }
}
