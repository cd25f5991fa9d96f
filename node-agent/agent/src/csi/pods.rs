//! What pods need of drivers, as far as the agent has read it.
//!
//! Knows: which plans are of drivers. Refuses to know: how drivers carry them out.

use std::collections::BTreeMap;

use leme_node_core::volumes::VolumePlan;

use super::Wish;
use crate::agent::Agent;
use crate::event::Event;
use crate::volumes::Plans;

impl Agent {
    /// The volumes of drivers that a pod is to have, and what is known of each.
    pub fn wishes(&self, uid: &str, plans: &Plans) -> BTreeMap<String, Wish> {
        let Some(entry) = self.pods.get(uid) else { return BTreeMap::new() };
        let wish = |(name, plan): (&String, &VolumePlan)| {
            let VolumePlan::Csi(volume) = plan else { return None };
            let ready = volume.ready(entry.machine.pod(), &self.sources);
            Some((name.clone(), Wish { volume: volume.as_ref().clone(), ready }))
        };
        plans.iter().filter_map(wish).collect()
    }

    /// Makes the volumes of drivers fit that have grown.
    pub fn expand_volumes(&self, uid: &str) {
        let Some(entry) = self.pods.get(uid).filter(|e| e.machine.volumes_ready()) else { return };
        for plan in entry.plans.values() {
            let VolumePlan::Csi(volume) = plan else { continue };
            let (to, uid, directory) = (self.to.clone(), uid.to_owned(), self.pod_directory(uid));
            let tell = move |notice| to.send(Event::Notice(uid.clone(), notice)).is_ok();
            tokio::spawn(self.csi.clone().expand(directory, volume.as_ref().clone(), tell));
        }
    }
}
