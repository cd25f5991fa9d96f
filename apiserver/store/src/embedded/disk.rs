//! The database file: records by revision, and three numbers about them.
//!
//! Knows: tables, transactions, what an I/O error means. Refuses to know: which record is current; that is the index's.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, TableError,
};

use super::backend::{DataFile, out_of_space};
use super::record::Record;
use crate::{Entry, StoreError};

const DATA: TableDefinition<u64, &[u8]> = TableDefinition::new("data");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const FORMAT: &str = "format";
const REVISION: &str = "revision";
const COMPACTED: &str = "compacted";
/// The format this code writes; it reads no newer one.
const CURRENT_FORMAT: u64 = 1;
/// Reads come from the index and the watch cache; this is for writes and for watchers that are behind.
const CACHE_BYTES: usize = 8 << 20;
/// A reader that meets the database just being opened anew tries again this often.
const READ_RETRIES: usize = 100;
const READ_RETRY_PAUSE: Duration = Duration::from_millis(20);

/// What a transaction is to do.
pub(super) struct Work<'a> {
    pub(super) records: &'a [(u64, Record<'a>)],
    pub(super) remove: &'a [u64],
    pub(super) revision: u64,
    pub(super) compacted: u64,
}

pub(super) struct Disk {
    file: DataFile,
    db: RwLock<Option<Database>>,
}

/// All records as of one moment.
pub(super) struct Reader(ReadOnlyTable<u64, &'static [u8]>);

impl Disk {
    /// Opens the database; also tells its revision and how far it is compacted.
    pub(super) fn open(file: DataFile) -> Result<(Self, u64, u64), StoreError> {
        let db = database(&file)?;
        let (revision, compacted) = prepare(&db, &file)?;
        Ok((Self { file, db: RwLock::new(Some(db)) }, revision, compacted))
    }

    /// A view of the newest committed state.
    pub(super) fn reader(&self) -> Result<Reader, StoreError> {
        for _ in 0..READ_RETRIES {
            let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
            let Some(open) = db.as_ref() else { break };
            match begin_read(open) {
                Ok(table) => return Ok(Reader(table)),
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
        let done = {
            let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
            match db.as_ref() {
                Some(db) => write(db, work),
                None => return Err(StoreError::Unavailable("the database is lost".into())),
            }
        };
        let Err(error) = done else { return Ok(()) };
        match error {
            redb::Error::Io(e) if out_of_space(&e) => {
                self.reopen(work.revision)?;
                let path = self.file.path.display();
                Err(StoreError::Full(format!("cannot write {path}: {e}; free some space there")))
            }
            e => {
                let why = format!("cannot write {}: {e}", self.file.path.display());
                self.file.die(&why);
                Err(StoreError::Unavailable(why))
            }
        }
    }

    pub(super) fn free_space(&self) -> u64 {
        self.file.free_space()
    }

    /// A database that met an I/O error refuses all further work; a new one on the same file finds the last commit.
    fn reopen(&self, unwanted: u64) -> Result<(), StoreError> {
        let mut slot = self.db.write().unwrap_or_else(PoisonError::into_inner);
        *slot = None;
        let again = database(&self.file).and_then(|db| {
            let last = last_record(&db).map_err(|e| unavailable(&self.file, &e))?;
            Ok((db, last))
        });
        match again {
            Ok((db, last)) if last < unwanted => {
                *slot = Some(db);
                Ok(())
            }
            Ok(_) => {
                self.file.die("a failed write turned out to have happened");
                Err(StoreError::Unavailable("a failed write turned out to have happened".into()))
            }
            Err(e) => {
                self.file.die(&format!("cannot open the database again: {e}"));
                Err(e)
            }
        }
    }
}

impl Reader {
    /// The entry a revision wrote to a key.
    pub(super) fn entry(&self, key: &Arc<str>, revision: u64) -> Result<Entry, StoreError> {
        let found = self.0.get(revision).map_err(|e| storage(&e))?;
        let bytes = found.ok_or_else(|| {
            StoreError::Format(format!("revision {revision} of {key} is missing in the database"))
        })?;
        Ok(Record::read(bytes.value())?.entry(key.clone(), revision))
    }

    /// Calls `each` with the records after `from` up to `until`, in order, until it returns false.
    pub(super) fn scan(
        &self,
        from: u64,
        until: u64,
        mut each: impl FnMut(u64, Record<'_>) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        for item in self.0.range(from + 1..=until).map_err(|e| storage(&e))? {
            let (revision, bytes) = item.map_err(|e| storage(&e))?;
            if !each(revision.value(), Record::read(bytes.value())?)? {
                break;
            }
        }
        Ok(())
    }
}

fn database(file: &DataFile) -> Result<Database, StoreError> {
    let path = file.path.display();
    let opened = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(file.clone());
    opened.map_err(|e| match e {
        DatabaseError::Storage(StorageError::Io(e)) if out_of_space(&e) => {
            StoreError::Full(format!("cannot open {path}: {e}; free some space there"))
        }
        DatabaseError::UpgradeRequired(_) => StoreError::Format(format!("{path} is of an unknown format")),
        DatabaseError::Storage(StorageError::Io(e)) if e.kind() == std::io::ErrorKind::InvalidData => {
            StoreError::Format(format!("{path} is not a database of this program: move it away or choose another data directory"))
        }
        e => StoreError::Format(format!("cannot open {path}: {e}")),
    })
}

/// Makes a new database, or checks an old one. Gives its revision and how far it is compacted.
fn prepare(db: &Database, file: &DataFile) -> Result<(u64, u64), StoreError> {
    let found = read_meta(db).map_err(|e| unavailable(file, &e))?;
    match found {
        Some((CURRENT_FORMAT, revision, compacted)) => {
            let last = last_record(db).map_err(|e| unavailable(file, &e))?;
            Ok((revision.max(last), compacted))
        }
        Some((format, _, _)) => Err(StoreError::Format(format!(
            "{} was written by a newer version (format {format}, this one reads up to {CURRENT_FORMAT}): use that version or another data directory",
            file.path.display()
        ))),
        None => {
            let work = Work { records: &[], remove: &[], revision: 1, compacted: 0 };
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

fn read_meta(db: &Database) -> Result<Option<(u64, u64, u64)>, redb::Error> {
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

fn last_record(db: &Database) -> Result<u64, redb::Error> {
    Ok(begin_read(db)?.last()?.map_or(0, |(revision, _)| revision.value()))
}

fn write(db: &Database, work: &Work<'_>) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    {
        let mut data = txn.open_table(DATA)?;
        for (revision, record) in work.records {
            record.write(data.insert_reserve(revision, record.len())?.as_mut());
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

fn storage(e: &StorageError) -> StoreError {
    StoreError::Unavailable(format!("cannot read the database: {e}"))
}
