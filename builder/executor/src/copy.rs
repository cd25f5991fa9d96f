//! Copying into a root.
//!
//! Knows: what `COPY` and `ADD` do with files, directories, links, owners and modes. Refuses to know: Dockerfiles.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, mkdirat, mknodat, openat, readlinkat,
    symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use crate::inside;
use crate::mode::Change;
use crate::tree::{self, Hidden, Item};

/// How what is copied looks.
#[derive(Clone, Debug)]
pub(crate) struct Looks {
    /// Who owns it; as it was, if nobody is said.
    pub(crate) owner: Option<(u32, u32)>,
    /// What becomes of its mode.
    pub(crate) mode: Option<Change>,
}

/// A root that is copied into.
pub(crate) struct Target<'a> {
    pub(crate) root: BorrowedFd<'a>,
    pub(crate) looks: &'a Looks,
    /// Bytes that may still be copied.
    pub(crate) left: u64,
}

impl Target<'_> {
    /// Copies a source to a place: what a directory holds, or a file. `as_directory` says that the place is one, whatever is
    /// there.
    pub(crate) fn copy(
        &mut self,
        from: BorrowedFd<'_>,
        source: &Path,
        to: &Path,
        as_directory: bool,
        hidden: &Hidden,
    ) -> io::Result<()> {
        let is_directory = {
            let found = inside::find(from, source)?;
            inside::kind(&rustix::fs::fstat(&found)?) == FileType::Directory
        };
        let base = match is_directory {
            true => {
                self.make(to)?;
                to.to_owned()
            }
            false => self.file_place(to, as_directory, source.file_name())?,
        };
        tree::walk(from, source, hidden, &mut |item| self.item(item, &base))
    }

    /// Where a file goes: under its own name if the place is a directory.
    fn file_place(
        &self,
        to: &Path,
        as_directory: bool,
        name: Option<&OsStr>,
    ) -> io::Result<PathBuf> {
        let there = inside::find(self.root, to)
            .and_then(|there| Ok(inside::kind(&rustix::fs::fstat(&there)?)));
        let within = as_directory || there.is_ok_and(|kind| kind == FileType::Directory);
        let place = if within { to.join(name.unwrap_or_default()) } else { to.to_owned() };
        self.make(place.parent().unwrap_or(Path::new("")))?;
        // A link at the place itself leads on, as long as it is inside.
        let inside::Place { mut real, missing, .. } = inside::place(self.root, &place)?;
        real.extend(missing);
        Ok(real)
    }

    /// Makes a directory that need not be there; those above it belong to whoever what is copied belongs to.
    pub(crate) fn make(&self, path: &Path) -> io::Result<OwnedFd> {
        inside::make_all(self.root, path, 0o755, Some(self.looks.owner.unwrap_or((0, 0))))
    }

    /// A file with a text.
    pub(crate) fn text(
        &mut self,
        name: &str,
        text: &[u8],
        to: &Path,
        as_directory: bool,
    ) -> io::Result<()> {
        let place = self.file_place(to, as_directory, Some(OsStr::new(name)))?;
        let parent = inside::directory(self.root, place.parent().unwrap_or(Path::new("")))?;
        let name = place.file_name().ok_or(Errno::ISDIR)?;
        let (uid, gid) = self.looks.owner.unwrap_or((0, 0));
        let owner = (Uid::from_raw(uid), Gid::from_raw(gid));
        let mode = self.looks.mode.as_ref().map_or(0o644, |change| change.apply(0o644, false));
        let mut file = fresh(parent.as_fd(), name, owner, mode)?;
        io::Write::write_all(&mut file, text)?;
        Ok(())
    }

    fn item(&mut self, item: &Item<'_>, base: &Path) -> io::Result<()> {
        let path =
            if item.path.as_os_str().is_empty() { base.to_owned() } else { base.join(item.path) };
        let named = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("/{}: {error}", path.display().to_string().trim_start_matches('/')),
            )
        };
        self.one(item, &path).map_err(named)
    }

    fn one(&mut self, item: &Item<'_>, path: &Path) -> io::Result<()> {
        let stat = &item.stat;
        let kind = inside::kind(stat);
        let Some(name) = path.file_name() else {
            // The root itself is there.
            return Ok(());
        };
        let parent = inside::directory(self.root, path.parent().unwrap_or(Path::new("")))?;
        let parent = parent.as_fd();
        match kind {
            FileType::Directory => return self.directory(item, parent, name),
            FileType::RegularFile => {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                let full = || io::Error::other("more is copied than may be");
                self.left = self.left.checked_sub(size).ok_or_else(full)?;
                let mut from = inside::open_file(item.parent, item.name)?;
                let mut file = fresh(parent, name, self.owner(stat), self.mode(stat))?;
                io::copy(&mut from, &mut file)?;
                rustix::fs::futimens(
                    &file,
                    &inside::times(stat.st_mtime, stat.st_mtime_nsec as i64),
                )?;
                self.capabilities(&from, &file)?;
                return Ok(());
            }
            FileType::Symlink => {
                clear(parent, name)?;
                let target = readlinkat(item.parent, item.name, Vec::new())?;
                symlinkat(OsStr::from_bytes(target.to_bytes()), parent, name)?;
            }
            FileType::Fifo => {
                clear(parent, name)?;
                mknodat(parent, name, FileType::Fifo, Mode::from_raw_mode(self.mode(stat)), 0)?;
            }
            // Nobody listens to a copy.
            FileType::Socket => return Ok(()),
            _ => return Err(io::Error::other("it is a device, and none can be made in a build")),
        }
        let (uid, gid) = self.owner(stat);
        chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        let times = inside::times(stat.st_mtime, stat.st_mtime_nsec as i64);
        Ok(utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn directory(&self, item: &Item<'_>, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        match mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            // What is copied is what is in it: the place itself keeps its looks.
            Err(Errno::EXIST) if item.path.as_os_str().is_empty() => return Ok(()),
            Err(Errno::EXIST) => {
                if inside::kind(&inside::look(parent, name)?) != FileType::Directory {
                    return Err(io::Error::other("cannot copy to non-directory"));
                }
            }
            Err(error) => return Err(error.into()),
        }
        let made = inside::enter(parent, name)?;
        let (uid, gid) = self.owner(&item.stat);
        rustix::fs::fchown(&made, Some(uid), Some(gid))?;
        Ok(rustix::fs::fchmod(&made, Mode::from_raw_mode(self.mode(&item.stat)))?)
    }

    fn owner(&self, stat: &Stat) -> (Uid, Gid) {
        let (uid, gid) = self.looks.owner.unwrap_or((stat.st_uid, stat.st_gid));
        (Uid::from_raw(uid), Gid::from_raw(gid))
    }

    fn mode(&self, stat: &Stat) -> u32 {
        let mode = stat.st_mode & 0o7777;
        let directory = inside::kind(stat) == FileType::Directory;
        self.looks.mode.as_ref().map_or(mode, |change| change.apply(mode, directory))
    }

    /// What a program may do goes with it, if its owner does not change.
    fn capabilities(&self, from: &File, to: &File) -> io::Result<()> {
        const NAME: &str = "security.capability";
        if self.looks.owner.is_some() {
            return Ok(());
        }
        let mut value = [0u8; 64];
        match rustix::fs::fgetxattr(from, NAME, &mut value) {
            Ok(length) => {
                let flags = rustix::fs::XattrFlags::empty();
                Ok(rustix::fs::fsetxattr(to, NAME, &value[..length], flags)?)
            }
            Err(_) => Ok(()),
        }
    }
}

/// A new file in the place of whatever had its name.
fn fresh(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    (uid, gid): (Uid, Gid),
    mode: u32,
) -> io::Result<File> {
    clear(parent, name)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(openat(parent, name, flags, Mode::from_raw_mode(0o600))?);
    rustix::fs::fchown(&file, Some(uid), Some(gid))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o7777))?;
    Ok(file)
}

/// Takes away what has a name, unless it is a directory.
fn clear(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => Err(io::Error::other("cannot copy to directory")),
        Err(error) => Err(error.into()),
    }
}
