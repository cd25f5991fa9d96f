//! A file that is read as it is and written in memory only, to see what the database makes of it.
//!
//! Knows: blocks that were written, what a start does. Refuses to know: the file's lock, what is in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use super::damage::guarded;
use super::disk::{Work, database, last_record, read_meta, write};
use super::request::Allowance;
use crate::StoreError;

/// What is kept as a whole once a part of it is written.
const BLOCK: u64 = 4096;

/// A file under what was written over it.
#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    over: Mutex<Over>,
}

#[derive(Debug)]
struct Over {
    len: u64,
    /// What is still to be had of the file, which may have been cut.
    of_file: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    pub(super) fn new(file: &File) -> io::Result<Self> {
        let (file, len) = (file.try_clone()?, file.metadata()?.len());
        Ok(Self { file, over: Mutex::new(Over { len, of_file: len, blocks: BTreeMap::new() }) })
    }

    fn over(&self) -> MutexGuard<'_, Over> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block with zeros where there is nothing.
    fn block(&self, over: &Over, number: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = over.blocks.get(&number) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK as usize];
        let there = over.of_file.saturating_sub(number * BLOCK).min(BLOCK) as usize;
        self.file.read_exact_at(&mut block[..there], number * BLOCK)?;
        Ok(block)
    }
}

/// Why the database would not open the file, or not take the next write; both are tried on what keeps the writes.
pub(super) fn refusal(path: &Path, copy: Overlay) -> Option<String> {
    let db = match database(path, copy) {
        Ok(db) => db,
        Err(e) => return Some(e.to_string()),
    };
    let tried = guarded(path, || {
        let unusable = |e: redb::Error| StoreError::Unavailable(format!("{}: {e}", path.display()));
        // What has just been made may have nothing in it.
        let Some((_, revision, compacted)) = read_meta(&db).map_err(unusable)? else {
            return Ok(());
        };
        let revision = revision.max(last_record(&db).map_err(unusable)?);
        let allowance = Allowance::Reserved;
        write(&db, &Work { records: &[], remove: &[], revision, compacted, allowance })
            .map_err(unusable)
    });
    match tried {
        Ok(()) => guarded(path, move || {
            drop(db);
            Ok(())
        })
        .err(),
        Err(e) => {
            // As where it is opened.
            std::mem::forget(db);
            Some(e)
        }
    }
    .map(|e| e.to_string())
}

/// The parts of blocks that `len` bytes from `offset` on are: number, first byte in the block, how many.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + len as u64;
    (offset / BLOCK..end.div_ceil(BLOCK)).map(move |number| {
        let from = offset.max(number * BLOCK);
        let until = end.min((number + 1) * BLOCK);
        (number, (from - number * BLOCK) as usize, (until - from) as usize)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.over().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let over = self.over();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > over.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        for (number, from, count) in parts(offset, out.len()) {
            let block = self.block(&over, number)?;
            out[done..done + count].copy_from_slice(&block[from..from + count]);
            done += count;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut over = self.over();
        over.len = len;
        over.of_file = over.of_file.min(len);
        over.blocks.split_off(&len.div_ceil(BLOCK));
        if let Some(last) = over.blocks.get_mut(&(len / BLOCK)) {
            last[(len % BLOCK) as usize..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut over = self.over();
        let mut done = 0;
        for (number, from, count) in parts(offset, data.len()) {
            let mut block = self.block(&over, number)?;
            block[from..from + count].copy_from_slice(&data[done..done + count]);
            over.blocks.insert(number, block);
            done += count;
        }
        over.len = over.len.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![7; 5000]).unwrap();
        let overlay = Overlay::new(&File::open(&path).unwrap()).unwrap();
        let read = |offset, len| {
            let mut out = vec![1; len];
            overlay.read(offset, &mut out).map(|()| out)
        };
        overlay.write(4000, &[9; 200]).unwrap();
        assert_eq!(read(3998, 4).unwrap(), [7, 7, 9, 9]);
        assert_eq!(read(4198, 4).unwrap(), [9, 9, 7, 7]);
        assert!(read(4998, 4).is_err());
        overlay.set_len(9000).unwrap();
        assert_eq!(read(4998, 4).unwrap(), [7, 7, 0, 0]);
        overlay.set_len(100).unwrap();
        overlay.set_len(9000).unwrap();
        assert_eq!(read(98, 4).unwrap(), [7, 7, 0, 0]);
        assert_eq!(std::fs::read(&path).unwrap(), vec![7; 5000]);
    }
}
