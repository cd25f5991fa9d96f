//! Space that is kept back, so that a full disk can be cleaned up: a file beside the database, given up piece by piece.
//!
//! Knows: that file. Refuses to know: what may use the space; that is the committer's.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};

/// What is kept back at most, and which part of the disk at most.
const MOST: u64 = 8 << 20;
const PART: u64 = 16;
/// Given up at once.
const PIECE: u64 = 256 << 10;

/// The file, as long as it can be.
pub(super) struct Reserve {
    file: Option<File>,
    wanted: u64,
    kept: AtomicU64,
}

impl Reserve {
    /// Where the file of a database lies.
    pub(super) fn path(database: &Path) -> PathBuf {
        database.with_added_extension("reserve")
    }

    /// Opens or creates the file of a database and takes what is missing in it, if that can be had.
    pub(super) fn open(database: &Path) -> io::Result<Self> {
        let path = Reserve::path(database);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        let disk = fstatvfs(&file).map_or(u64::MAX, |fs| fs.f_blocks.saturating_mul(fs.f_frsize));
        let wanted = (MOST.min(disk / PART) / PIECE * PIECE).max(PIECE);
        let kept = AtomicU64::new(file.metadata()?.len().min(wanted));
        let reserve = Self { file: Some(file), wanted, kept };
        reserve.take();
        Ok(reserve)
    }

    /// Nothing is kept back.
    pub(super) fn none() -> Self {
        Self { file: None, wanted: 0, kept: AtomicU64::new(0) }
    }

    /// How much of it there should be.
    pub(super) fn wanted(&self) -> u64 {
        self.wanted
    }

    /// Whether all of it is there.
    pub(super) fn is_whole(&self) -> bool {
        self.kept.load(Ordering::Acquire) >= self.wanted
    }

    /// Takes what is missing, all or nothing; tells whether it is whole.
    pub(super) fn take(&self) -> bool {
        let Some(file) = self.file.as_ref().filter(|_| !self.is_whole()) else { return true };
        let kept = self.kept.load(Ordering::Acquire);
        let missing = self.wanted - kept;
        let taken = match fallocate(file, FallocateFlags::empty(), kept, missing) {
            // Some file systems cannot promise space: then there is nothing to keep back, and writes go on as they can.
            Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(self.wanted),
            other => other.map_err(io::Error::from),
        };
        match taken {
            Ok(()) => self.kept.store(self.wanted, Ordering::Release),
            Err(_) => {
                // What was taken of it is of more use to whoever frees space.
                if let Err(error) = file.set_len(kept) {
                    tracing::warn!(%error, "cannot give back a part of the store's reserve");
                }
            }
        }
        self.is_whole()
    }

    /// Gives up a piece of what is more than `spare`; tells whether there was one.
    pub(super) fn give(&self, spare: u64) -> bool {
        let kept = self.kept.load(Ordering::Acquire);
        let Some(file) = self.file.as_ref().filter(|_| kept > spare) else { return false };
        let left = kept.saturating_sub(PIECE);
        let given = file.set_len(left).is_ok();
        if given {
            self.kept.store(left, Ordering::Release);
        }
        given
    }
}
