//! Generated files of a volume, replaced as a whole.
//!
//! The files are in a directory of their own; the link `..data` leads to it and is replaced by rename, so that readers see
//! all of the old files or all of the new ones. Knows: descriptors and names. Refuses to know: what the files hold.
//!
//! A privileged pod can write even here, so nothing is looked up by path and no link is followed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use anyhow::Context;
use leme_host::removal::remove_at;
use leme_node_core::volumes::Files;
use rustix::fs::{
    Dir, FileType, Gid, Mode, OFlags, ResolveFlags, fchmod, fchown, mkdirat, openat2, readlinkat,
    renameat, symlinkat,
};
use rustix::io::Errno;

const DATA: &str = "..data";
const NEXT: &str = "..data_tmp";

const STRICT: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_XDEV)
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// Makes `directory` hold exactly `files`; with a group, that group may read them.
pub fn write(directory: &Path, files: &Files, group: Option<u32>) -> anyhow::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(directory, flags, Mode::empty())
        .with_context(|| format!("open {}", directory.display()))?;
    let old = current(&root)?;
    if let Some(old) = &old
        && holds(&root, old, files)?
    {
        return Ok(());
    }
    let stamp = jiff::Timestamp::now().as_nanosecond();
    let name = format!("..{stamp}");
    hand_over(&root, directory_mode(group), group).context("give the volume to its group")?;
    let fresh = make_directory(&root, OsStr::new(&name), group)?;
    for (path, file) in files {
        write_one(&fresh, path, &file.data, file.mode, group)
            .with_context(|| format!("write {path}"))?;
    }
    remove_at(root.as_fd(), OsStr::new(NEXT), Path::new(NEXT))?;
    symlinkat(&name, &root, NEXT).context("link the new files")?;
    if old.is_none() {
        // Nothing of this writer's: a directory would be in the way of the link.
        remove_at(root.as_fd(), OsStr::new(DATA), Path::new(DATA))?;
    }
    renameat(&root, NEXT, &root, DATA).context("replace the old files")?;
    tidy(&root, files, &name)
}

/// The name of the directory that `..data` leads to. Anything else than a name of this writer's is as good as none.
fn current(root: &OwnedFd) -> anyhow::Result<Option<OsString>> {
    let target = match readlinkat(root, DATA, Vec::new()) {
        Ok(target) => OsString::from_vec(target.into_bytes()),
        Err(Errno::NOENT | Errno::INVAL) => return Ok(None),
        Err(error) => return Err(error).context("read ..data"),
    };
    let bytes = target.as_bytes();
    let own = bytes.len() > 2 && bytes.starts_with(b"..") && !bytes.contains(&b'/');
    Ok(own.then_some(target))
}

fn open_directory(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(parent, name, flags, Mode::empty(), STRICT)
}

fn directory_mode(group: Option<u32>) -> u32 {
    if group.is_some() { 0o2755 } else { 0o755 }
}

fn hand_over(of: &OwnedFd, mode: u32, group: Option<u32>) -> rustix::io::Result<()> {
    if let Some(group) = group {
        fchown(of, None, Some(Gid::from_raw(group)))?;
    }
    fchmod(of, Mode::from_raw_mode(mode))
}

fn make_directory(parent: &OwnedFd, name: &OsStr, group: Option<u32>) -> anyhow::Result<OwnedFd> {
    match mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error).with_context(|| format!("make {name:?}")),
    }
    let directory = open_directory(parent, name).with_context(|| format!("open {name:?}"))?;
    hand_over(&directory, directory_mode(group), group)
        .with_context(|| format!("give {name:?} to its group"))?;
    Ok(directory)
}

fn write_one(
    fresh: &OwnedFd,
    path: &str,
    data: &[u8],
    mode: u32,
    group: Option<u32>,
) -> anyhow::Result<()> {
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut parent = fresh.try_clone()?;
    for part in above.split('/').filter(|part| !part.is_empty()) {
        parent = make_directory(&parent, OsStr::new(part), group)?;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat2(&parent, name, flags, Mode::RUSR | Mode::WUSR, STRICT)?;
    let mut file = File::from(file);
    file.write_all(data)?;
    let file = OwnedFd::from(file);
    // Whoever the volume is for can read it, as upstream does it for a group.
    hand_over(&file, if group.is_some() { mode | 0o440 } else { mode }, group)?;
    Ok(())
}

/// Leaves of the volume's entries the links to the files, `..data`, and what that leads to.
fn tidy(root: &OwnedFd, files: &Files, fresh: &str) -> anyhow::Result<()> {
    let names: BTreeSet<&str> =
        files.keys().map(|path| path.split('/').next().unwrap_or(path)).collect();
    for name in &names {
        match symlinkat(Path::new(DATA).join(name), root, *name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).with_context(|| format!("link {name}")),
        }
    }
    for (name, kind) in entries(root)? {
        let kept = match name.to_str() {
            Some(DATA) => true,
            Some(name) if name == fresh => true,
            Some(name) => names.contains(name) && kind == FileType::Symlink,
            None => false,
        };
        if !kept {
            remove_at(root.as_fd(), &name, Path::new(&name)).context("remove old files")?;
        }
    }
    Ok(())
}

fn entries(directory: &OwnedFd) -> anyhow::Result<Vec<(OsString, FileType)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory).context("read directory")? {
        let entry = entry.context("read directory")?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push((OsString::from_vec(name.to_vec()), entry.file_type()));
        }
    }
    Ok(found)
}

/// Whether the files are there already, those and no others.
fn holds(root: &OwnedFd, name: &OsStr, files: &Files) -> anyhow::Result<bool> {
    let Ok(directory) = open_directory(root, name) else { return Ok(false) };
    let same = |path: &str, data: &[u8]| -> bool {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let Ok(file) = openat2(&directory, path, flags, Mode::empty(), STRICT) else {
            return false;
        };
        let mut found = Vec::new();
        // One byte more than wanted tells a longer file.
        let read = File::from(file).take(data.len() as u64 + 1).read_to_end(&mut found);
        read.is_ok() && found == data
    };
    Ok(files.iter().all(|(path, file)| same(path, &file.data))
        && count(&directory, files.len())? == files.len())
}

/// Files in a directory; more than `limit` are not counted on.
fn count(directory: &OwnedFd, limit: usize) -> anyhow::Result<usize> {
    let mut count = 0;
    let mut open = vec![directory.try_clone()?];
    while let Some(next) = open.pop() {
        for (name, kind) in entries(&next)? {
            if kind == FileType::Directory {
                open.push(open_directory(&next, &name).context("open directory")?);
            } else {
                count += 1;
            }
            if count > limit || open.len() > limit + 1 {
                return Ok(limit + 1);
            }
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::PathBuf;

    use leme_node_core::volumes::File as Planned;

    use super::*;

    fn files(list: &[(&str, &str, u32)]) -> Files {
        let file = |data: &str, mode| Planned { data: data.into(), mode };
        list.iter().map(|(path, data, mode)| ((*path).into(), file(data, *mode))).collect()
    }

    fn looks(path: PathBuf) -> (u32, u32) {
        let seen = fs::metadata(path).unwrap();
        (seen.mode() & 0o7777, seen.gid())
    }

    #[test]
    fn files_are_replaced_as_a_whole() {
        let root = tempfile::tempdir().unwrap();
        let at = root.path();
        let first = [("a", "1", 0o644), ("d/b", "2", 0o600)];
        write(at, &files(&first), None).unwrap();
        assert_eq!(fs::read_to_string(at.join("d/b")).unwrap(), "2");
        let before = fs::read_link(at.join(DATA)).unwrap();
        write(at, &files(&first), None).unwrap();
        assert_eq!(fs::read_link(at.join(DATA)).unwrap(), before);
        write(at, &files(&[("a", "9", 0o644)]), None).unwrap();
        assert_eq!(fs::read_to_string(at.join("a")).unwrap(), "9");
        assert!(!at.join("d").exists() && !at.join(before).exists());
        assert_eq!(fs::read_dir(at).unwrap().count(), 3, "a, ..data and what it leads to");
    }

    // Red when only files are given to the group, or with `mode | (mode & 0o400) >> 3`.
    #[test]
    fn modes_and_the_group_are_as_asked() {
        let root = tempfile::tempdir().unwrap();
        let list = files(&[("d/a", "1", 0o400), ("b", "2", 0o200)]);
        write(root.path(), &list, None).unwrap();
        assert_eq!(looks(root.path().join("d/a")).0, 0o400);
        fs::remove_file(root.path().join(DATA)).unwrap();
        write(root.path(), &list, Some(77)).unwrap();
        assert_eq!(looks(root.path().join("d/a")), (0o440, 77));
        assert_eq!(looks(root.path().join("b")), (0o640, 77));
        assert_eq!(looks(root.path().join("d")), (0o2755, 77));
    }

    // Red when `..data` is joined to the path and removed: the host's directory goes.
    #[test]
    fn links_that_a_pod_put_there_lead_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let (at, host) = (root.path().join("v"), root.path().join("host"));
        fs::create_dir_all(&host).unwrap();
        fs::create_dir(&at).unwrap();
        fs::write(host.join("keep"), "x").unwrap();
        for target in [host.as_path(), Path::new("../host"), Path::new("..")] {
            let _ = fs::remove_file(at.join(DATA));
            symlink(target, at.join(DATA)).unwrap();
            symlink(&host, at.join(NEXT)).unwrap();
            symlink(&host, at.join("..1")).unwrap();
            write(&at, &files(&[("a", "1", 0o644)]), None).unwrap();
            assert_eq!(fs::read_to_string(at.join("a")).unwrap(), "1");
            assert_eq!(fs::read_dir(&at).unwrap().count(), 3);
            assert_eq!(fs::read_to_string(host.join("keep")).unwrap(), "x");
            assert_eq!(fs::read_dir(&host).unwrap().count(), 1);
        }
    }
}
