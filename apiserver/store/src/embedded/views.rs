//! How many views of the database there are.
//!
//! Knows: a number, and how to wait until it is zero. Refuses to know: what they show.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long whoever wants to be alone waits for the others; a view is there for one read.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Views {
    count: Mutex<usize>,
    fewer: Condvar,
}

/// One of them, as long as this lives.
pub(super) struct View(Arc<Views>);

impl Views {
    pub(super) fn view(self: &Arc<Self>) -> View {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        View(self.clone())
    }

    /// Whether there is none, or soon is none: waits a little while. The caller lets no new one be made meanwhile.
    pub(super) fn none(&self) -> bool {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.fewer.wait_timeout_while(count, PATIENCE, |count| *count > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
    }
}

impl Drop for View {
    fn drop(&mut self) {
        *self.0.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.fewer.notify_all();
    }
}
