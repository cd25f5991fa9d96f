//! Records read as of one moment.
//!
//! Knows: how a record is found by its revision. Refuses to know: which revisions are of use.

use std::path::PathBuf;
use std::sync::Arc;

use redb::{ReadOnlyTable, StorageError};

use super::damage::guarded;
use super::index::Version;
use super::record::{Record, Trust};
use super::views::View;
use crate::{Entry, StoreError};

/// All records as of one moment.
pub(super) struct Reader {
    pub(super) table: ReadOnlyTable<u64, &'static [u8]>,
    pub(super) path: Arc<PathBuf>,
    /// Goes after the table.
    pub(super) _view: View,
}

impl Reader {
    /// The entry a version wrote to a key. A value that is lost is empty; each read of it is logged.
    pub(super) fn entry(&self, key: &Arc<str>, version: Version) -> Result<Entry, StoreError> {
        let Version { revision, created } = version;
        let bytes = self.bytes(revision)?;
        let read = bytes.as_deref().and_then(|bytes| Record::read(revision, bytes));
        Ok(match read.filter(|(record, _)| *record.key == **key) {
            Some((record, trust)) => {
                if trust == Trust::ValueLost {
                    tracing::error!(%key, revision, "the object's record is damaged: its value is lost");
                }
                record.entry(key.clone())
            }
            None => {
                tracing::error!(%key, revision, "the object's record is damaged: it cannot be read");
                let (key, value) = (key.clone(), bytes::Bytes::new());
                Entry { key, value, create_revision: created, mod_revision: revision }
            }
        })
    }

    /// What lies in the database for a revision.
    pub(super) fn bytes(&self, revision: u64) -> Result<Option<Vec<u8>>, StoreError> {
        guarded(&self.path, || {
            let found = self.table.get(revision).map_err(|e| storage(&e))?;
            Ok(found.map(|bytes| bytes.value().to_vec()))
        })
    }

    /// Calls `each` with the records after `from` up to `until`, in order, until it returns false. A record of which
    /// nothing can be told is `None`.
    pub(super) fn scan(
        &self,
        from: u64,
        until: u64,
        mut each: impl FnMut(u64, Option<(Record<'_>, Trust)>) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let Some(first) = from.checked_add(1).filter(|first| *first <= until) else {
            return Ok(());
        };
        guarded(&self.path, || {
            for item in self.table.range(first..=until).map_err(|e| storage(&e))? {
                let (revision, bytes) = item.map_err(|e| storage(&e))?;
                let revision = revision.value();
                if !each(revision, Record::read(revision, bytes.value()))? {
                    break;
                }
            }
            Ok(())
        })
    }
}

fn storage(e: &StorageError) -> StoreError {
    StoreError::Unavailable(format!("cannot read the database: {e}"))
}
