//! Copying a volume, whatever pods have put into it and do to it meanwhile.
//!
//! Knows: that names in such a tree may be changed by anybody at any moment, how a file shares its blocks with its copy
//! where the filesystem can do that. Refuses to know: whose volume it is, and why it is copied.
//!
//! Everything goes by descriptor: no step follows a symbolic link or crosses a mount. Files are copied one after the other:
//! what is written meanwhile is in the copy or not. Devices and sockets are left out.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid, XattrFlags,
    chownat, copy_file_range, fgetxattr, flistxattr, fsetxattr, fstat, ftruncate, futimens,
    ioctl_ficlone, linkat, mkdirat, openat, openat2, readlinkat, symlinkat,
};
use rustix::io::Errno;

use crate::inside::{INSIDE, explain};

/// Levels that are walked, with two descriptors each.
const DEPTH: usize = 128;
/// Bytes of extended attributes that are taken along.
const XATTRS: usize = 64 << 10;

/// Copies a directory to a place where there is nothing.
///
/// # Errors
/// What could not be copied, by its name. What has been copied by then is left.
pub fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &Path| {
        rustix::fs::open(path, flags, Mode::empty()).map_err(|error| explain(path, error))
    };
    let source = open(from)?;
    rustix::fs::mkdir(to, Mode::RWXU).map_err(|error| explain(to, error))?;
    let target = open(to)?;
    let stat = fstat(&source)?;
    let mut copy = Copy { top: &target, linked: HashMap::new() };
    copy.directory(&source, &target, from, Path::new(""), 0)?;
    dress(&source, &target, &stat).map_err(|error| explain(to, error))
}

/// One copy.
struct Copy<'a> {
    top: &'a OwnedFd,
    /// Files with several names, by number: where the first one was copied to.
    linked: HashMap<(u64, u64), PathBuf>,
}

impl Copy<'_> {
    /// Copies what is in a directory; `shown` is its path in messages, `below` that below the root.
    fn directory(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        shown: &Path,
        below: &Path,
        depth: usize,
    ) -> io::Result<()> {
        if depth == DEPTH {
            let text = format!("{}: more than {DEPTH} directories deep", shown.display());
            return Err(io::Error::other(text));
        }
        let mut entries = Dir::read_from(from).map_err(|error| explain(shown, error))?;
        while let Some(entry) = entries.read() {
            let entry = entry.map_err(|error| explain(shown, error))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let text = std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes());
            let (shown, below) = (shown.join::<&std::ffi::OsStr>(text), below.join(text));
            self.entry(from, to, name, (&shown, &below), depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &CStr,
        (shown, below): (&Path, &Path),
        depth: usize,
    ) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = match openat2(from, name, flags, Mode::empty(), INSIDE) {
            // It has gone meanwhile, or shows another mount, which is not part of the volume.
            Err(Errno::NOENT | Errno::XDEV) => return Ok(()),
            found => found.map_err(|error| explain(shown, error))?,
        };
        let stat = fstat(&found)?;
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFDIR => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let inner = openat2(&found, c".", flags, Mode::empty(), INSIDE)
                    .map_err(|error| explain(shown, error))?;
                mkdirat(to, name, Mode::RWXU).map_err(|error| explain(shown, error))?;
                let target = openat(to, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
                self.directory(&inner, &target, shown, below, depth + 1)?;
                dress(&inner, &target, &stat).map_err(|error| explain(shown, error))
            }
            libc::S_IFREG => {
                self.file(&found, to, name, &stat, below).map_err(|error| explain(shown, error))
            }
            libc::S_IFLNK => link(&found, to, name, &stat).map_err(|error| explain(shown, error)),
            _ => Ok(()),
        }
    }

    fn file(
        &mut self,
        found: &OwnedFd,
        to: &OwnedFd,
        name: &CStr,
        stat: &Stat,
        below: &Path,
    ) -> rustix::io::Result<()> {
        let number = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.linked.get(&number) {
            return linkat(self.top, first, to, name, AtFlags::empty());
        }
        // Through its descriptor: what is opened is what was looked at, whatever the name means by now.
        let path = format!("/proc/self/fd/{}", found.as_raw_fd());
        let source = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let target = openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
        fill(&source, &target)?;
        dress(&source, &target, stat)?;
        if stat.st_nlink > 1 {
            self.linked.insert(number, below.to_owned());
        }
        Ok(())
    }
}

/// Gives a new file the content of another: shared where that is possible, and with its holes.
fn fill(source: &OwnedFd, target: &OwnedFd) -> rustix::io::Result<()> {
    match ioctl_ficlone(target, source) {
        Ok(()) => return Ok(()),
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => {}
        Err(error) => return Err(error),
    }
    let length = u64::try_from(fstat(source)?.st_size).unwrap_or(0);
    let mut at = 0;
    while at < length {
        let data = match rustix::fs::seek(source, SeekFrom::Data(at)) {
            Ok(data) => data,
            // Only a hole is left.
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
            Err(error) => return Err(error),
        };
        let end = rustix::fs::seek(source, SeekFrom::Hole(data)).unwrap_or(length).min(length);
        at = span(source, target, data, end.max(data + 1))?;
    }
    ftruncate(target, length)
}

/// Copies bytes; gives where the file ended, or the end.
fn span(source: &OwnedFd, target: &OwnedFd, from: u64, end: u64) -> rustix::io::Result<u64> {
    let (mut read, mut written) = (from, from);
    while read < end {
        let left = usize::try_from(end - read).unwrap_or(usize::MAX).min(1 << 30);
        match copy_file_range(source, Some(&mut read), target, Some(&mut written), left) {
            // It was cut short meanwhile.
            Ok(0) => return Ok(u64::MAX),
            Ok(_) => {}
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                return by_hand(source, target, read, end);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(end)
}

fn by_hand(source: &OwnedFd, target: &OwnedFd, from: u64, end: u64) -> rustix::io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut at = from;
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let read = rustix::io::pread(source, &mut buffer[..most], at)?;
        if read == 0 {
            return Ok(u64::MAX);
        }
        let mut done = 0;
        while done < read {
            done += rustix::io::pwrite(target, &buffer[done..read], at + done as u64)?;
        }
        at += read as u64;
    }
    Ok(end)
}

/// Gives a copy the owner, the attributes, the mode and the times.
fn dress(source: &OwnedFd, target: &OwnedFd, stat: &Stat) -> rustix::io::Result<()> {
    rustix::fs::fchown(target, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    attributes(source, target)?;
    // After the owner: a change of owner takes bits away.
    rustix::fs::fchmod(target, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let time = |seconds, nanos| Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps {
        last_access: time(stat.st_atime as _, stat.st_atime_nsec as _),
        last_modification: time(stat.st_mtime as _, stat.st_mtime_nsec as _),
    };
    futimens(target, &times)
}

/// Takes along the attributes that the target can have.
fn attributes(source: &OwnedFd, target: &OwnedFd) -> rustix::io::Result<()> {
    let mut names = vec![0_u8; XATTRS];
    let length = match flistxattr(source, &mut names) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        length => length?,
    };
    let mut value = vec![0_u8; XATTRS];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let Ok(name) = CString::new(name) else { continue };
        let size = match fgetxattr(source, &name, &mut value) {
            Err(Errno::NODATA) => continue,
            size => size?,
        };
        match fsetxattr(target, &name, &value[..size], XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            set => set?,
        }
    }
    Ok(())
}

fn link(found: &OwnedFd, to: &OwnedFd, name: &CStr, stat: &Stat) -> rustix::io::Result<()> {
    let text = readlinkat(found, c"", Vec::new())?;
    symlinkat(&text, to, name)?;
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(to.as_fd(), name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};

    use super::*;

    /// Red when a link leads out, when owner, mode, holes or second names are lost, when a copy shares what is written later.
    #[test]
    fn a_copy_is_the_same_and_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::write(folder.path().join("outside"), "secret").unwrap();
        fs::write(from.join("a/b/f"), "data").unwrap();
        fs::set_permissions(from.join("a/b/f"), fs::Permissions::from_mode(0o640)).unwrap();
        chown(from.join("a/b/f"), Some(1234), Some(4321)).unwrap();
        fs::hard_link(from.join("a/b/f"), from.join("again")).unwrap();
        symlink("../outside", from.join("link")).unwrap();
        let sparse = fs::File::create(from.join("sparse")).unwrap();
        sparse.write_at(b"end", 8 << 20).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            from.join("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        fs::set_permissions(&from, fs::Permissions::from_mode(0o777)).unwrap();

        copy_tree(&from, &to).unwrap();
        let meta = |name: &str| fs::symlink_metadata(to.join(name)).unwrap();
        assert_eq!(fs::read_to_string(to.join("a/b/f")).unwrap(), "data");
        let file = meta("a/b/f");
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (1234, 4321, 0o640));
        assert_eq!(file.mtime(), fs::metadata(from.join("a/b/f")).unwrap().mtime());
        assert_eq!(file.ino(), meta("again").ino());
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("../outside"));
        let sparse = fs::read(to.join("sparse")).unwrap();
        assert_eq!((sparse.len(), &sparse[8 << 20..]), ((8 << 20) + 3, &b"end"[..]));
        assert!(meta("sparse").blocks() < 1024, "holes are holes");
        assert!(!to.join("pipe").exists());
        assert_eq!(fs::metadata(&to).unwrap().mode() & 0o7777, 0o777);

        fs::write(from.join("a/b/f"), "other").unwrap();
        assert_eq!(fs::read_to_string(to.join("a/b/f")).unwrap(), "data");
        assert!(copy_tree(&from, &to).is_err(), "nothing is written over");
        assert!(copy_tree(&folder.path().join("none"), &folder.path().join("new")).is_err());
        assert!(!folder.path().join("new").exists());
    }
}
