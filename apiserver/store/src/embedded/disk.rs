//! The database file: records by revision, and three numbers about them.
//!
//! Knows: tables, transactions, what an I/O error means. Refuses to know: which record is current; that is the index's.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable,
    StorageBackend, StorageError, TableDefinition, TableError,
};

use super::backend::{DataFile, out_of_space};
use super::damage::{damaged, foreign, guarded, newer};
use super::pages::Pages;
use super::reader::Reader;
use super::record::Record;
use super::request::Allowance;
use super::views::Views;
use crate::StoreError;

const DATA: TableDefinition<u64, &[u8]> = TableDefinition::new("data");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
pub(super) const FORMAT: &str = "format";
pub(super) const REVISION: &str = "revision";
pub(super) const COMPACTED: &str = "compacted";
/// The format this code writes: 2 since records have checksums. It reads every older one, and no newer one.
pub(super) const CURRENT_FORMAT: u64 = 2;
const FIRST_FORMAT: u64 = 1;
/// Reads come from the index and the watch cache; this is for writes and for watchers that are behind.
const CACHE_BYTES: usize = 8 << 20;
/// A reader that meets the database just being opened anew tries again this often.
const READ_RETRIES: usize = 100;
const READ_RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Records written anew in one transaction.
const REWRITE: usize = 512;

/// What a transaction is to do.
pub(super) struct Work<'a> {
    pub(super) records: &'a [Record<'a>],
    pub(super) remove: &'a [u64],
    pub(super) revision: u64,
    pub(super) compacted: u64,
    pub(super) allowance: Allowance,
}

/// What came of giving space back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    All,
    /// Not now.
    Nothing,
    /// The file system cannot do that.
    Never,
}

pub(super) struct Disk {
    file: DataFile,
    db: RwLock<Option<Database>>,
    views: Arc<Views>,
}

impl Disk {
    /// Opens the database; also tells its revision and how far it is compacted.
    pub(super) fn open(file: DataFile) -> Result<(Self, u64, u64), StoreError> {
        sound(&file)?;
        let db = database(&file.path, file.clone())?;
        match guarded(&file.path, || prepare(&db, &file)) {
            Ok((revision, compacted)) => {
                let (db, views) = (RwLock::new(Some(db)), Arc::default());
                Ok((Self { file, db, views }, revision, compacted))
            }
            Err(e) => {
                // What panicked once may do so again when it is closed, and there is nothing to be closed in order.
                std::mem::forget(db);
                Err(e)
            }
        }
    }

    /// A view of the newest committed state.
    pub(super) fn reader(&self) -> Result<Reader, StoreError> {
        for _ in 0..READ_RETRIES {
            let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
            let Some(open) = db.as_ref() else { break };
            match guarded(&self.file.path, || Ok(begin_read(open)))? {
                Ok(table) => {
                    let (path, _view) = (self.file.path.clone(), self.views.view());
                    return Ok(Reader { table, path, _view });
                }
                Err(redb::Error::PreviousIo) => {}
                Err(e) => return Err(unavailable(&self.file, &e)),
            }
            drop(db);
            std::thread::sleep(READ_RETRY_PAUSE);
        }
        Err(StoreError::Unavailable(format!("{} is not open", self.file.path.display())))
    }

    /// Does the work durably or not at all. After a failure the database has been opened anew, or is lost.
    pub(super) fn commit(&self, work: &Work<'_>) -> Result<(), StoreError> {
        self.file.use_reserve(work.allowance);
        let done = {
            let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
            match db.as_ref() {
                Some(db) => guarded(&self.file.path, || Ok(write(db, work))),
                None => return Err(StoreError::Unavailable("the database is lost".into())),
            }
        };
        self.file.use_reserve(Allowance::Removal);
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(redb::Error::Io(e))) if out_of_space(&e) => {
                if self.reopen(work)? {
                    return Ok(());
                }
                let path = self.file.path.display();
                Err(StoreError::Full(format!("cannot write {path}: {e}; free some space there")))
            }
            Ok(Err(e)) => {
                let why = format!("cannot write {}: {e}", self.file.path.display());
                self.file.die(&why);
                Err(StoreError::Unavailable(why))
            }
            Err(e) => {
                self.file.die(&e.to_string());
                Err(e)
            }
        }
    }

    /// Gives back to the disk what no page of the file uses: what is deleted makes holes in it, and the next page may well
    /// lie where there is none. Looks through the whole database, which is closed meanwhile, so that nothing but its last
    /// commit is of use; not while somebody has a view of an older one.
    pub(super) fn give_back(&self) -> Result<Given, StoreError> {
        let mut slot = self.db.write().unwrap_or_else(PoisonError::into_inner);
        let Some(db) = slot.take_if(|_| self.views.none()) else {
            return Ok(Given::Nothing);
        };
        let given = close(&self.file, db).and_then(|()| self.punch());
        let again = database(&self.file.path, self.file.clone());
        match again {
            Ok(db) => {
                *slot = Some(db);
                given
            }
            Err(e) => {
                self.file.die(&format!("cannot open the database again: {e}"));
                Err(e)
            }
        }
    }

    /// The same of the closed file.
    fn punch(&self) -> Result<Given, StoreError> {
        let failed = |e: std::io::Error| {
            StoreError::Unavailable(format!(
                "cannot give space back in {}: {e}",
                self.file.path.display()
            ))
        };
        let gaps = Pages::new(self.file.raw()).map_err(failed)?.gaps();
        for gap in gaps.iter().flatten() {
            if !self.file.give_back(gap.clone()).map_err(failed)? {
                return Ok(Given::Never);
            }
        }
        Ok(if gaps.is_some() { Given::All } else { Given::Nothing })
    }

    /// Bytes that the file has on disk and no page uses; looks through the whole database.
    pub(super) fn unused(&self) -> u64 {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let Some(db) = db.as_ref() else { return 0 };
        let used = guarded(&self.file.path, || {
            let count = || -> Result<u64, redb::Error> {
                let txn = db.begin_write()?;
                let stats = txn.stats()?;
                txn.abort()?;
                Ok(stats.allocated_pages() * stats.page_size() as u64)
            };
            count().map_err(|e| unavailable(&self.file, &e))
        });
        used.map_or(0, |used| self.file.on_disk().saturating_sub(used))
    }

    pub(super) fn file(&self) -> &DataFile {
        &self.file
    }

    /// Writes records once more as they are, with what this format adds to them.
    pub(super) fn rewrite(
        &self,
        revisions: &[u64],
        revision: u64,
        compacted: u64,
    ) -> Result<(), StoreError> {
        for some in revisions.chunks(REWRITE) {
            let reader = self.reader()?;
            let mut found = Vec::new();
            for revision in some {
                found.extend(reader.bytes(*revision)?.map(|bytes| (*revision, bytes)));
            }
            let records: Vec<Record<'_>> = found
                .iter()
                .filter_map(|(revision, bytes)| Record::read(*revision, bytes))
                .map(|(record, _)| record)
                .collect();
            let allowance = Allowance::Ordinary;
            self.commit(&Work { records: &records, remove: &[], revision, compacted, allowance })?;
        }
        Ok(())
    }

    /// A database that met an I/O error refuses all further work; a new one on the same file finds the last commit.
    /// Tells whether that was the work that failed: it may have become durable before the error.
    fn reopen(&self, work: &Work<'_>) -> Result<bool, StoreError> {
        let mut slot = self.db.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(db) = slot.take() {
            // What it cannot do in the end, the next one has to mend.
            let _ = close(&self.file, db);
        }
        let again = database(&self.file.path, self.file.clone()).and_then(|db| {
            let last = last_record(&db).map_err(|e| unavailable(&self.file, &e))?;
            Ok((db, last))
        });
        match again {
            Ok((db, last)) => {
                *slot = Some(db);
                Ok(work.records.last().is_some_and(|record| record.revision <= last))
            }
            Err(e) => {
                self.file.die(&format!("cannot open the database again: {e}"));
                Err(e)
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let slot = self.db.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = slot.take().map(|db| close(&self.file, db)) {
            tracing::error!(%error, "the store is not closed in order");
        }
    }
}

fn close(file: &DataFile, db: Database) -> Result<(), StoreError> {
    guarded(&file.path, move || {
        drop(db);
        Ok(())
    })
}

/// Looks through a file that was closed in order, before the database does, which would not look: after a crash it does.
fn sound(file: &DataFile) -> Result<(), StoreError> {
    let pages = Pages::new(file.raw()).map_err(|e| {
        StoreError::Unavailable(format!("cannot read {}: {e}", file.path.display()))
    })?;
    let Some(slot) = pages.newest_if_closed() else { return Ok(()) };
    let walk = pages.walk(slot, &mut |_, _, _| {});
    match walk.lost.as_slice() {
        [] => Ok(()),
        lost => Err(damaged(&file.path, &format!("{} of its pages", lost.len()))),
    }
}

pub(super) fn database(path: &Path, backend: impl StorageBackend) -> Result<Database, StoreError> {
    let opened = guarded(path, || {
        Ok(Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend))
    })?;
    let shown = path.display();
    opened.map_err(|e| match e {
        DatabaseError::Storage(StorageError::Corrupted(why)) => damaged(path, &why),
        DatabaseError::Storage(StorageError::Io(e)) if out_of_space(&e) => {
            StoreError::Full(format!("cannot open {shown}: {e}; free some space there"))
        }
        DatabaseError::UpgradeRequired(_) => {
            StoreError::Format(format!("{shown} is of an unknown format"))
        }
        DatabaseError::Storage(StorageError::Io(e))
            if e.kind() == std::io::ErrorKind::InvalidData =>
        {
            foreign(path)
        }
        e => StoreError::Format(format!("cannot open {shown}: {e}")),
    })
}

/// Makes a new database, or checks an old one. Gives its revision and how far it is compacted.
fn prepare(db: &Database, file: &DataFile) -> Result<(u64, u64), StoreError> {
    let found = read_meta(db).map_err(|e| unavailable(file, &e))?;
    match found {
        Some((FIRST_FORMAT..=CURRENT_FORMAT, revision, compacted)) => {
            let last = last_record(db).map_err(|e| unavailable(file, &e))?;
            Ok((revision.max(last), compacted))
        }
        Some((format, _, _)) => Err(newer(&file.path, format)),
        None => {
            let allowance = Allowance::Removal;
            let work = Work { records: &[], remove: &[], revision: 1, compacted: 0, allowance };
            match write(db, &work) {
                Ok(()) => Ok((1, 0)),
                Err(redb::Error::Io(e)) if out_of_space(&e) => {
                    Err(StoreError::Full(format!("cannot write {}: {e}", file.path.display())))
                }
                Err(e) => Err(unavailable(file, &e)),
            }
        }
    }
}

pub(super) fn read_meta(db: &Database) -> Result<Option<(u64, u64, u64)>, redb::Error> {
    let txn = db.begin_read()?;
    let table = match txn.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        other => other?,
    };
    let number = |name| table.get(name).map(|found| found.map_or(0, |n| n.value()));
    Ok(Some((number(FORMAT)?, number(REVISION)?, number(COMPACTED)?)))
}

fn begin_read(db: &Database) -> Result<ReadOnlyTable<u64, &'static [u8]>, redb::Error> {
    Ok(db.begin_read()?.open_table(DATA)?)
}

pub(super) fn last_record(db: &Database) -> Result<u64, redb::Error> {
    Ok(begin_read(db)?.last()?.map_or(0, |(revision, _)| revision.value()))
}

pub(super) fn write(db: &Database, work: &Work<'_>) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    {
        let mut data = txn.open_table(DATA)?;
        for record in work.records {
            record.write(data.insert_reserve(record.revision, record.len())?.as_mut());
        }
        for revision in work.remove {
            data.remove(revision)?;
        }
        let mut meta = txn.open_table(META)?;
        meta.insert(FORMAT, CURRENT_FORMAT)?;
        meta.insert(REVISION, work.revision)?;
        meta.insert(COMPACTED, work.compacted)?;
    }
    txn.commit()?;
    Ok(())
}

fn unavailable(file: &DataFile, e: &redb::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {e}", file.path.display()))
}
