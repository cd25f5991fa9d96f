//! Paths inside a root: nothing of them leads out of it.
//!
//! Knows: descriptors and one component after the other. Refuses to know: whose root it is.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps,
    UTIME_OMIT, Uid, mkdirat, openat, openat2, readlinkat, statat,
};
use rustix::io::Errno;

/// Components of a path, and levels of a tree, at most.
pub(crate) const DEPTH: usize = 256;
/// Links that are followed on the way to one path.
const LINKS: usize = 40;

const WITHIN: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a directory that is trusted.
pub(crate) fn root(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, DIRECTORY, Mode::empty())?)
}

/// What a path means inside a root, links followed there.
pub(crate) fn find(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    Ok(openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), WITHIN)?)
}

/// As [`find`], where a directory is wanted.
pub(crate) fn directory(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    Ok(openat2(root, path, DIRECTORY, Mode::empty(), WITHIN)?)
}

/// A regular file's content; whatever else has that name is an error, and nobody waits for a pipe.
pub(crate) fn open_file(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat(parent, name, flags, Mode::empty())?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

/// A small file inside a root, if it is there.
pub(crate) fn read(root: BorrowedFd<'_>, path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match openat2(root, path, flags, Mode::empty(), WITHIN) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        opened => File::from(opened?),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::other(format!("it is larger than {most} bytes"))),
        false => Ok(Some(bytes)),
    }
}

/// The names in a directory, sorted.
pub(crate) fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(directory, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::new(opened)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names.sort();
    Ok(names)
}

/// What a name is, itself and not what it may point to.
pub(crate) fn look(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<Stat> {
    Ok(statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?)
}

pub(crate) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// A directory in another, which is no link.
pub(crate) fn enter(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

/// Where a path leads inside a root: as far as there is something, and what is missing from there on.
pub(crate) struct Place {
    /// The path to what there is, without links, from the root on.
    pub(crate) real: PathBuf,
    /// What there is.
    pub(crate) there: OwnedFd,
    /// What is not.
    pub(crate) missing: Vec<OsString>,
}

/// Follows a path and its links inside a root, in which nobody changes anything meanwhile.
pub(crate) fn place(root: BorrowedFd<'_>, path: &Path) -> io::Result<Place> {
    let mut open: Vec<OsString> = parts(path);
    open.reverse();
    let mut real: Vec<OsString> = Vec::new();
    let mut links = 0;
    while let Some(name) = open.pop() {
        if real.len() + open.len() >= DEPTH {
            return Err(io::Error::other("the path is too deep"));
        }
        if name == ".." {
            real.pop();
            continue;
        }
        let here = directory(root, &joined(&real))?;
        match look(here.as_fd(), &name) {
            Ok(stat) if kind(&stat) == FileType::Symlink => {
                links += 1;
                if links > LINKS {
                    return Err(Errno::LOOP.into());
                }
                let target = readlinkat(&here, name.as_os_str(), Vec::new())?;
                let target = PathBuf::from(OsStr::from_bytes(target.to_bytes()));
                if target.is_absolute() {
                    real.clear();
                }
                open.extend(parts(&target).into_iter().rev());
            }
            Ok(stat) if kind(&stat) == FileType::Directory || open.is_empty() => real.push(name),
            Ok(_) => return Err(Errno::NOTDIR.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut missing = vec![name];
                for name in open.into_iter().rev() {
                    match name == ".." {
                        true => drop(missing.pop()),
                        false => missing.push(name),
                    }
                }
                let real = joined(&real);
                return Ok(Place { there: here, real, missing });
            }
            Err(error) => return Err(error),
        }
    }
    let real = joined(&real);
    Ok(Place { there: find(root, &real)?, real, missing: Vec::new() })
}

fn joined(parts: &[OsString]) -> PathBuf {
    parts.iter().collect()
}

/// The components of a path; `..` stays.
fn parts(path: &Path) -> Vec<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

/// Makes a directory with all that is missing above it; what was made, the topmost first.
pub(crate) fn make_all(
    root: BorrowedFd<'_>,
    path: &Path,
    mode: u32,
    owner: Option<(u32, u32)>,
) -> io::Result<OwnedFd> {
    let Place { mut there, missing, .. } = place(root, path)?;
    if kind(&rustix::fs::fstat(&there)?) != FileType::Directory {
        return Err(Errno::NOTDIR.into());
    }
    for name in missing {
        mkdirat(&there, name.as_os_str(), Mode::from_raw_mode(0o700))?;
        let made = enter(there.as_fd(), &name)?;
        if let Some((uid, gid)) = owner {
            rustix::fs::fchown(&made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        rustix::fs::fchmod(&made, Mode::from_raw_mode(mode & 0o7777))?;
        there = made;
    }
    Ok(there)
}

/// Times for a file that was changed then.
pub(crate) fn times(seconds: i64, nanos: i64) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanos },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_leads_out() {
        let outside = tempfile::tempdir().unwrap();
        let top = outside.path().join("root");
        std::fs::create_dir_all(top.join("a/b")).unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        symlink("/a/b", top.join("absolute")).unwrap();
        symlink("../../../../../a", top.join("a/up")).unwrap();
        symlink(outside.path(), top.join("out")).unwrap();
        symlink("loop", top.join("loop")).unwrap();
        symlink("missing/x", top.join("dangling")).unwrap();
        let root = root(&top).unwrap();
        let at = |path: &str| {
            let place = place(root.as_fd(), Path::new(path)).unwrap();
            let missing: PathBuf = place.missing.iter().collect();
            (place.real.display().to_string(), missing.display().to_string())
        };
        assert_eq!(at("/absolute/../c/d"), ("a".into(), "c/d".into()));
        assert_eq!(at("a/up/b"), ("a/b".into(), String::new()));
        assert_eq!(at("../../a"), ("a".into(), String::new()));
        assert_eq!(at("dangling/y"), (String::new(), "missing/x/y".into()));
        assert_eq!(at("out/secret").1.split('/').next_back(), Some("secret"));
        assert!(place(root.as_fd(), Path::new("loop/x")).is_err());
        assert!(find(root.as_fd(), Path::new("out/secret")).is_err());
        assert!(find(root.as_fd(), Path::new("../secret")).is_err());
        make_all(root.as_fd(), Path::new("/dangling/z"), 0o750, None).unwrap();
        assert!(top.join("missing/x/z").is_dir());
        let deep: PathBuf = std::iter::repeat_n("d", 300).collect();
        assert!(place(root.as_fd(), &deep).is_err());
    }
}
