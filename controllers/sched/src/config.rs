//! `KubeSchedulerConfiguration`: the profiles that a scheduler has, out of the document that stock schedulers are given.
//!
//! Knows: kubescheduler.config.k8s.io/v1. Refuses to know: where it comes from. A field that would not be carried out is
//! refused by its name.

mod args;
mod read;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::profile::Profile;

/// What a scheduler is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    profiles: Vec<Arc<Profile>>,
    /// How long a pod comes after the others when no node took it: the first time, and at most.
    pub backoff: (Duration, Duration),
}

impl Default for Config {
    fn default() -> Config {
        let backoff = (Duration::from_secs(1), Duration::from_secs(10));
        Config { profiles: vec![Profile::standard()], backoff }
    }
}

impl Config {
    /// Reads a document.
    ///
    /// # Errors
    /// The path of the first field that cannot be carried out, and why.
    pub fn read(document: &Value) -> Result<Config, String> {
        read::config(document)
    }

    /// The profile of pods that ask for a scheduler by this name, if it is this one.
    pub fn profile(&self, name: Option<&str>) -> Option<&Arc<Profile>> {
        let name = name.filter(|name| !name.is_empty()).unwrap_or(crate::SCHEDULER_NAME);
        self.profiles.iter().find(|profile| profile.name == name)
    }
}
