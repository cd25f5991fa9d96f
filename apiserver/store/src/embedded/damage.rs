//! Files that are not what they should be: found, and said in one line with the next step.
//!
//! Knows: that the database panics where its pages make no sense. Refuses to know: pages.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;

use super::disk::CURRENT_FORMAT;
use crate::StoreError;

thread_local! {
    /// Whether a panic of this thread is a damaged file, of which an error tells.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// What the database says to itself when it panics is for nobody; other panics go where they went.
fn silence() {
    static ONCE: Once = Once::new();
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| match (AT_WORK.get(), panic.location()) {
            (true, at) => {
                let at = at.map(ToString::to_string).unwrap_or_default();
                tracing::warn!(at, "the database cannot go on with its pages");
            }
            (false, _) => others(panic),
        }));
    });
}

/// The database takes its own pages at their word: what is not so would be a panic in it.
pub(super) fn guarded<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    silence();
    let before = AT_WORK.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    AT_WORK.set(before);
    done.unwrap_or_else(|_| Err(damaged(path, "its pages")))
}

/// A file that cannot be opened as it is.
pub(super) fn damaged(path: &Path, what: &str) -> StoreError {
    let shown = path.display();
    StoreError::Format(format!(
        "{shown} is damaged ({what}): `leme store salvage {shown}` brings back every record that is whole"
    ))
}

pub(super) fn foreign(path: &Path) -> StoreError {
    StoreError::Format(format!(
        "{} is not a database of this program: move it away or choose another data directory",
        path.display()
    ))
}

pub(super) fn newer(path: &Path, format: u64) -> StoreError {
    StoreError::Format(format!(
        "{} was written by a newer version (format {format}, this one reads up to {CURRENT_FORMAT}): use that version or another data directory",
        path.display()
    ))
}
