//! The file under the database: exclusive, and unforgiving about a failed sync.
//!
//! Knows: one file, its lock, its free space. Refuses to know: what is in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::StorageBackend;

use crate::StoreError;

/// What to do when nothing can be trusted any more; gets the line to say.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;
/// Called before every sync; an error stands for a failed one.
pub type SyncHook = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// The file, locked for this process.
#[derive(Clone)]
pub(super) struct DataFile {
    pub(super) path: Arc<PathBuf>,
    file: Arc<File>,
    /// Where a new file lies until there is a database in it.
    unfinished: Option<PathBuf>,
    fatal: Fatal,
    before_sync: Option<SyncHook>,
}

impl std::fmt::Debug for DataFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataFile({})", self.path.display())
    }
}

impl DataFile {
    /// Opens or creates the file and locks it.
    pub(super) fn open(
        path: &Path,
        fatal: Fatal,
        before_sync: Option<SyncHook>,
    ) -> Result<Self, StoreError> {
        let failed = |e: io::Error| match out_of_space(&e) {
            true => StoreError::Full(format!("cannot create {}: {e}", path.display())),
            false => StoreError::Unavailable(format!("cannot open {}: {e}", path.display())),
        };
        std::fs::create_dir_all(folder(path)).map_err(failed)?;
        // A crash while the first database is made must not leave half of one under the final name.
        let unfinished = (!path.exists()).then(|| path.with_added_extension("new"));
        let at = unfinished.as_deref().unwrap_or(path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(at)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse(format!(
                    "{} is in use by another process: stop that one first (`leme down`) or choose another data directory",
                    path.display()
                )));
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        if unfinished.is_some() {
            file.set_len(0).map_err(failed)?;
        }
        let (path, file) = (Arc::new(path.to_owned()), Arc::new(file));
        Ok(Self { path, file, unfinished, fatal, before_sync })
    }

    /// Gives a new file its name, now that there is a database in it; the name must survive a power cut too.
    pub(super) fn finish(&self) -> Result<(), StoreError> {
        let Some(unfinished) = &self.unfinished else { return Ok(()) };
        let named = std::fs::rename(unfinished, &*self.path)
            .and_then(|()| File::open(folder(&self.path))?.sync_all());
        named.map_err(|e| {
            StoreError::Unavailable(format!("cannot create {}: {e}", self.path.display()))
        })
    }

    /// Bytes that can still be written where the file lies.
    pub(super) fn free_space(&self) -> u64 {
        rustix::fs::fstatvfs(&*self.file).map_or(u64::MAX, |fs| fs.f_bavail * fs.f_frsize)
    }

    pub(super) fn die(&self, why: &str) {
        (self.fatal)(why);
    }
}

impl StorageBackend for DataFile {
    fn len(&self) -> io::Result<u64> {
        self.file.metadata().map(|m| m.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.before_sync.as_ref().map_or(Ok(()), |hook| hook());
        synced.and_then(|()| self.file.sync_data()).inspect_err(|e| {
            // What the kernel could not write it forgets: neither a retry nor a later read tells the truth.
            self.die(&format!(
                "cannot sync {}: {e}; what is on disk is uncertain",
                self.path.display()
            ));
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}

/// Whether an error means that there is no space.
pub(super) fn out_of_space(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
