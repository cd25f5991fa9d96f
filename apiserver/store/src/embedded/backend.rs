//! The file under the database: exclusive, and unforgiving about a failed sync.
//!
//! Knows: one file, its lock, its free space, and that what is kept back may be used unless it is told otherwise.
//! Refuses to know: what is in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;
use rustix::fs::{FallocateFlags, fallocate};

use super::request::Allowance;
use super::reserve::Reserve;
use crate::StoreError;

/// What to do when nothing can be trusted any more; gets the line to say.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;
/// Called before every write or sync; an error stands for a failed one.
pub type Hook = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// What tests make fail.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) before_write: Option<Hook>,
    pub(super) before_sync: Option<Hook>,
}

fn call(hook: Option<&Hook>) -> io::Result<()> {
    hook.map_or(Ok(()), |hook| hook())
}

/// The file, locked for this process.
#[derive(Clone)]
pub(super) struct DataFile {
    pub(super) path: Arc<PathBuf>,
    file: Arc<File>,
    /// Where a new file lies until there is a database in it.
    unfinished: Option<PathBuf>,
    fatal: Fatal,
    hooks: Hooks,
    reserve: Arc<Reserve>,
    /// How much of the reserve must stay with what is written now.
    spare: Arc<AtomicU64>,
}

/// The part of the reserve that only removals may use: one in so many.
const FOR_REMOVALS: u64 = 4;

/// Refuses to begin anew where there was a database: its reserve is made after the first file, which then has a name
/// of its own until there is a database in it.
fn not_lost(path: &Path) -> Result<(), StoreError> {
    let shown = path.display();
    let what = match std::fs::metadata(path) {
        Ok(found) if found.len() == 0 => "is empty",
        Ok(_) => return Ok(()),
        Err(_) if !Reserve::path(path).exists() || unfinished(path).exists() => return Ok(()),
        Err(_) => "is gone",
    };
    let folder = folder(path).display();
    Err(StoreError::Format(format!(
        "{shown} {what}, and there was a store: `leme store restore` brings a backup back; to begin with nothing, remove {folder}"
    )))
}

/// The name of a new file until there is a database in it.
fn unfinished(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}

impl std::fmt::Debug for DataFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataFile({})", self.path.display())
    }
}

impl DataFile {
    /// Opens or creates the file and locks it.
    pub(super) fn open(path: &Path, fatal: Fatal, hooks: Hooks) -> Result<Self, StoreError> {
        not_lost(path)?;
        Self::open_file(path, fatal, hooks, Reserve::open)
    }

    /// The same without keeping any space back.
    pub(super) fn open_plain(path: &Path, fatal: Fatal) -> Result<Self, StoreError> {
        Self::open_file(path, fatal, Hooks::default(), |_| Ok(Reserve::none()))
    }

    fn open_file(
        path: &Path,
        fatal: Fatal,
        hooks: Hooks,
        reserve: impl FnOnce(&Path) -> io::Result<Reserve>,
    ) -> Result<Self, StoreError> {
        let failed = |e: io::Error| match out_of_space(&e) {
            true => StoreError::Full(format!("cannot create {}: {e}", path.display())),
            false => StoreError::Unavailable(format!("cannot open {}: {e}", path.display())),
        };
        std::fs::create_dir_all(folder(path)).map_err(failed)?;
        // A crash while the first database is made must not leave half of one under the final name.
        let unfinished = (!path.exists()).then(|| unfinished(path));
        let at = unfinished.as_deref().unwrap_or(path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            // It holds every secret there is.
            .mode(0o600)
            .truncate(false)
            .open(at)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(in_use(path));
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        if unfinished.is_some() {
            file.set_len(0).map_err(failed)?;
        }
        let reserve = Arc::new(reserve(path).map_err(failed)?);
        let (path, file) = (Arc::new(path.to_owned()), Arc::new(file));
        Ok(Self { path, file, unfinished, fatal, hooks, reserve, spare: Arc::default() })
    }

    /// Gives a new file its name, now that there is a database in it; the name must survive a power cut too.
    pub(super) fn finish(&self) -> Result<(), StoreError> {
        let Some(unfinished) = &self.unfinished else { return Ok(()) };
        let named = std::fs::rename(unfinished, &*self.path).and_then(|()| sync_folder(&self.path));
        named.map_err(|e| {
            StoreError::Unavailable(format!("cannot create {}: {e}", self.path.display()))
        })
    }

    /// Bytes that can still be written where the file lies.
    pub(super) fn free_space(&self) -> u64 {
        rustix::fs::fstatvfs(&*self.file).map_or(u64::MAX, |fs| fs.f_bavail * fs.f_frsize)
    }

    /// Bytes that the file takes on disk: it may have holes.
    pub(super) fn on_disk(&self) -> u64 {
        self.file.metadata().map_or(0, |m| std::os::unix::fs::MetadataExt::blocks(&m) * 512)
    }

    /// The file itself, for whoever reads it without the database.
    pub(super) fn raw(&self) -> &File {
        &self.file
    }

    /// What is kept back.
    pub(super) fn reserve(&self) -> &Reserve {
        &self.reserve
    }

    /// Gives a part of the file back to the disk; it reads as zeros then. Tells whether the file system can do that.
    pub(super) fn give_back(&self, part: Range<u64>) -> io::Result<bool> {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let len = part.end - part.start;
        let punch = || fallocate(&*self.file, how, part.start, len).map_err(io::Error::from);
        match self.with_reserve(punch) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::Unsupported => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// From now on, what is written may use as much of the reserve as it is allowed.
    pub(super) fn use_reserve(&self, allowance: Allowance) {
        let spare = match allowance {
            Allowance::Removal => 0,
            Allowance::Reserved => self.reserve.wanted() / FOR_REMOVALS,
            Allowance::Ordinary => u64::MAX,
        };
        self.spare.store(spare, Ordering::Release);
    }

    /// Tries again as long as there is no space and something can be given up for it.
    fn with_reserve(&self, write: impl Fn() -> io::Result<()>) -> io::Result<()> {
        loop {
            match write() {
                Err(e)
                    if out_of_space(&e)
                        && self.reserve.give(self.spare.load(Ordering::Acquire)) => {}
                other => return other,
            }
        }
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
        self.with_reserve(|| {
            call(self.hooks.before_write.as_ref())?;
            self.file.set_len(len)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        call(self.hooks.before_sync.as_ref()).and_then(|()| self.file.sync_data()).inspect_err(
            |e| {
                // What the kernel could not write it forgets: neither a retry nor a later read tells the truth.
                self.die(&format!(
                    "cannot sync {}: {e}; what is on disk is uncertain",
                    self.path.display()
                ));
            },
        )
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with_reserve(|| {
            call(self.hooks.before_write.as_ref())?;
            self.file.write_all_at(data, offset)
        })
    }
}

/// Whether an error means that there is no space.
pub(super) fn out_of_space(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

pub(super) fn in_use(path: &Path) -> StoreError {
    StoreError::InUse(format!(
        "{} is in use by another process: stop that one first (`leme down`) or choose another data directory",
        path.display()
    ))
}

/// Makes the names in a file's folder survive a power cut.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
