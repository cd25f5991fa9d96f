//! What an entry of a layer looks like: owner, mode, times, attributes.
//!
//! Knows: which of them may be taken over. Refuses to know: where the entry goes (the caller opened that directory).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat, fchmod,
    openat, utimensat,
};
use rustix::io::Errno;
use tar::Entry;

use super::unpack::{invalid, through};

/// What an entry looks like, apart from its content.
pub(super) struct Looks {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) mode: Mode,
    pub(super) times: Timestamps,
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
}

/// A regular file with its content.
pub(super) fn write_file<R: Read>(
    entry: &mut Entry<'_, R>,
    parent: &OwnedFd,
    name: &Path,
    looks: &Looks,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(parent, name, flags, Mode::from_raw_mode(0o600))?);
    io::copy(entry, &mut file)?;
    rustix::fs::fchown(&file, Some(looks.uid), Some(looks.gid))?;
    fchmod(&file, looks.mode)?;
    for (key, value) in &looks.xattrs {
        set_xattr(|| rustix::fs::fsetxattr(&file, key.as_str(), value, XattrFlags::empty()))?;
    }
    rustix::fs::futimens(&file, &looks.times)?;
    Ok(())
}

/// Ownership, mode, attributes and times of anything but a regular file.
pub(super) fn dress(parent: &OwnedFd, name: &Path, looks: &Looks, link: bool) -> io::Result<()> {
    chownat(parent, name, Some(looks.uid), Some(looks.gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if !link {
        rustix::fs::chmodat(parent, name, looks.mode, AtFlags::empty())?;
    }
    let path = through(parent).join(name);
    for (key, value) in looks.xattrs.iter().filter(|(key, _)| !(link && key.starts_with("user."))) {
        set_xattr(|| rustix::fs::lsetxattr(&path, key.as_str(), value, XattrFlags::empty()))?;
    }
    utimensat(parent, name, &looks.times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

/// A file system without attributes is no reason to refuse an image.
fn set_xattr(set: impl Fn() -> rustix::io::Result<()>) -> io::Result<()> {
    match set() {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads an entry's looks.
pub(super) fn looks<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Looks> {
    let mut xattrs = Vec::new();
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions.flatten() {
            let Some(key) = extension.key().ok().and_then(|key| key.strip_prefix("SCHILY.xattr."))
            else {
                continue;
            };
            // `trusted.overlay.*` and `user.overlay.*` would command the overlay itself; labels belong to the host.
            let plain = key.starts_with("user.") && !key.starts_with("user.overlay.");
            if key == "security.capability" || plain {
                xattrs.push((key.to_owned(), extension.value_bytes().to_vec()));
            }
        }
    }
    let header = entry.header();
    let raw = header.as_old();
    let id = |value: u64| {
        u32::try_from(value).ok().filter(|v| *v != u32::MAX).ok_or_else(|| invalid("bad owner"))
    };
    let modified = Timespec {
        tv_sec: i64::try_from(number(header.mtime(), &raw.mtime)?).unwrap_or(0),
        tv_nsec: 0,
    };
    Ok(Looks {
        uid: Uid::from_raw(id(number(header.uid(), &raw.uid)?)?),
        gid: Gid::from_raw(id(number(header.gid(), &raw.gid)?)?),
        mode: Mode::from_raw_mode(
            u32::try_from(number(header.mode().map(u64::from), &raw.mode)?).unwrap_or(0) & 0o7777,
        ),
        times: Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: modified,
        },
        xattrs,
    })
}

/// A numeric field; one that was left blank is zero.
fn number(value: io::Result<u64>, raw: &[u8]) -> io::Result<u64> {
    if raw.iter().all(|byte| matches!(byte, 0 | b' ')) { Ok(0) } else { value }
}
