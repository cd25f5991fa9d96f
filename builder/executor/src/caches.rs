//! Directories that stay for later builds: `RUN --mount=type=cache`.
//!
//! Knows: who has one at a time, and which goes first when they are too large. Refuses to know: what is in them.

use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use leme_dockerfile::mount::{Mount, Sharing};
use leme_host::files::remove_tree;
use leme_host::images::reference::digest_of;
use rustix::fs::{FlockOperation, flock};

/// Caches of one name at most, where each wants one of its own.
const SPARE: usize = 1000;
const LOCK: &str = "lock";

/// The directory of a cache, and the lock by which others know that somebody has it.
pub(crate) fn open(store: &Path, id: &str, mount: &Mount) -> io::Result<(PathBuf, File)> {
    let all = store.join("mounts");
    fs::create_dir_all(&all)?;
    let name = digest_of(id.as_bytes());
    let name = name.trim_start_matches("sha256:");
    for spare in 0..SPARE {
        let path = all.join(format!("{name}-{spare}"));
        let lock = File::options().create(true).append(true).open(path.with_extension(LOCK))?;
        let how = match mount.sharing {
            Sharing::Shared => FlockOperation::LockShared,
            Sharing::Locked => FlockOperation::LockExclusive,
            Sharing::Private => FlockOperation::NonBlockingLockExclusive,
        };
        if flock(&lock, how).is_err() {
            continue;
        }
        lock.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
        if !path.exists() {
            make(&all, &path, mount)?;
        }
        return Ok((path, lock));
    }
    Err(io::Error::other(format!("the cache {id:?} is in use by too many")))
}

/// It is there as a whole or not at all; another may have made it meanwhile.
fn make(all: &Path, path: &Path, mount: &Mount) -> io::Result<()> {
    let new = all.join(format!(".new-{}", leme_host::files::random_hex(8)?));
    fs::create_dir(&new)?;
    let (uid, gid) = (mount.uid.unwrap_or(0), mount.gid.unwrap_or(0));
    std::os::unix::fs::chown(&new, Some(uid), Some(gid))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(mount.mode.unwrap_or(0o755) & 0o7777))?;
    match fs::rename(&new, path) {
        Err(_) if path.is_dir() => fs::remove_dir(&new),
        renamed => renamed,
    }
}

/// Brings the caches back to so many bytes: those go that were not used for the longest time, and that nobody has.
pub(crate) fn trim(store: &Path, most: u64) -> io::Result<()> {
    let all = match fs::read_dir(store.join("mounts")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        all => all?,
    };
    let mut found = Vec::new();
    for entry in all.flatten().filter(|entry| entry.path().is_dir()) {
        let lock = File::options().append(true).open(entry.path().with_extension(LOCK));
        let used = lock.as_ref().ok().and_then(|lock| lock.metadata().ok()?.modified().ok());
        found.push((used, entry.path(), lock, size(&entry.path())));
    }
    found.sort_by_key(|(used, ..)| *used);
    let mut left: u64 = found.iter().map(|(.., size)| size).sum();
    for (_, path, lock, size) in found {
        if left <= most {
            break;
        }
        // Whoever asks for it now waits until it is gone, and makes another.
        if lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err()) {
            continue;
        }
        remove_tree(&path)?;
        left -= size;
    }
    Ok(())
}

/// Bytes on the disk below a directory. What goes meanwhile counts for nothing.
fn size(directory: &Path) -> u64 {
    let (mut all, mut open) = (0, vec![directory.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(found) = fs::symlink_metadata(entry.path()) else { continue };
            all += found.blocks() * 512;
            if found.is_dir() {
                open.push(entry.path());
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_nobody_has_goes_first() {
        let store = tempfile::tempdir().unwrap();
        let mount = Mount::default();
        let fill = |id: &str, seconds: u64| {
            let (path, lock) = open(store.path(), id, &mount).unwrap();
            fs::write(path.join("x"), vec![1u8; 100_000]).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            lock.set_times(FileTimes::new().set_modified(time)).unwrap();
            (path, lock)
        };
        let (held, _lock) = fill("held", 1);
        let (old, new) = (fill("old", 2).0, fill("new", 3).0);
        trim(store.path(), 250_000).unwrap();
        assert_eq!((held.exists(), old.exists(), new.exists()), (true, false, true));
        let private = Mount { sharing: Sharing::Private, ..Mount::default() };
        let (first, _first) = open(store.path(), "p", &private).unwrap();
        assert_ne!(open(store.path(), "p", &private).unwrap().0, first);
    }
}
