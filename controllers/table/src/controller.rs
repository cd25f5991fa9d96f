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

    /// What is to be done about a key, as things are seen.
    ///
    /// # Errors
    /// Something has to be asked at the API first, or cannot be told now.
    pub fn look(&self, view: &View<'_>, key: &Key) -> Result<Plan, Blocked> {
        (self.look)(view, key)
    }
}
