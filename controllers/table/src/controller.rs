//! What a controller is.

use std::fmt;
use std::sync::Arc;

use leme_lister::Key;
use leme_plan::Plan;

use crate::view::{Blocked, View};
use crate::watch::Watch;

/// How fast a controller may delete: a wrong belief must not empty a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Deletes at once.
    pub burst: u32,
    /// Deletes a second after that.
    pub per_second: u32,
}

/// Looks at a key and says what is to be done.
pub(crate) type Look = dyn Fn(&View<'_>, &Key) -> Result<Plan, Blocked> + Send + Sync;

/// Keys worked on at once, where a controller does not say otherwise.
const WORKERS: usize = 16;

/// The accounts of controllers that are not called like them, as upstream calls those.
const ACCOUNTS: &[(&str, &str)] = &[
    ("daemonset-controller", "daemon-set-controller"),
    ("disruption", "disruption-controller"),
    ("endpoint-slice-controller", "endpointslice-controller"),
    ("endpoint-slice-mirroring-controller", "endpointslicemirroring-controller"),
    ("garbage-collector-controller", "generic-garbage-collector"),
    ("local-path-snapshots", "local-path-provisioner"),
    ("persistentvolume-controller", "persistent-volume-binder"),
    ("service-ca-bundle-controller", "service-ca-controller"),
    ("service-ca-publisher", "service-ca-controller"),
    ("service-lb-controller", "service-controller"),
    ("service-serving-cert-controller", "service-ca-controller"),
    ("serviceaccount-controller", "service-account-controller"),
];

/// A controller.
#[derive(Clone)]
pub struct Controller {
    /// Who speaks in Events, such as `replication-controller`.
    pub name: &'static str,
    /// What wakes it.
    pub watches: Vec<Watch>,
    /// Its brake on deletes.
    pub brake: Option<Rate>,
    /// Keys worked on at once.
    pub workers: usize,
    look: Arc<Look>,
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Controller({})", self.name)
    }
}

impl Controller {
    pub(crate) fn new(
        name: &'static str,
        watches: Vec<Watch>,
        look: impl Fn(&View<'_>, &Key) -> Result<Plan, Blocked> + Send + Sync + 'static,
    ) -> Controller {
        Controller { name, watches, brake: None, workers: WORKERS, look: Arc::new(look) }
    }

    pub(crate) fn with_brake(self, burst: u32, per_second: u32) -> Controller {
        Controller { brake: Some(Rate { burst, per_second }), ..self }
    }

    /// The account of `kube-system` whose rights it has.
    pub fn account(&self) -> &'static str {
        let other = ACCOUNTS.iter().find(|(name, _)| *name == self.name);
        other.map_or(self.name, |(_, account)| account)
    }

    /// What is to be done about a key, as things are seen.
    ///
    /// # Errors
    /// Something has to be asked at the API first, or cannot be told now.
    pub fn look(&self, view: &View<'_>, key: &Key) -> Result<Plan, Blocked> {
        (self.look)(view, key)
    }
}
