//! What has changed since parked pods were last looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

use leme_sched::{Change, PodInfo, VolumeChange};

/// What has changed since the parked pods were last looked at.
#[derive(Default)]
pub(super) struct News {
    /// Nodes that may have more room.
    pub(super) nodes: BTreeSet<String>,
    /// Volumes and claims.
    pub(super) volumes: BTreeSet<VolumeChange>,
    /// Pods that have nodes no longer, and those that have now.
    pub(super) gone: Vec<Arc<PodInfo>>,
    pub(super) come: Vec<Arc<PodInfo>>,
    /// Whether nodes or namespaces are others.
    pub(super) elsewhere: bool,
}

impl News {
    /// Takes in what a pod's change came to.
    pub(super) fn take_in(&mut self, change: Change) {
        self.nodes.extend(change.freed);
        self.gone.extend(change.gone);
        self.come.extend(change.come);
    }

    /// Whether nothing has changed.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
            && self.volumes.is_empty()
            && self.gone.is_empty()
            && self.come.is_empty()
            && !self.elsewhere
    }
}
