//! Sources: what of a tree is meant, and the digest of it.
//!
//! Knows: patterns, ignore files, every kind of file there may be. Refuses to know: where it is copied to.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use leme_dockerfile::glob::{self, Pattern};
use leme_dockerfile::ignore::Ignore;
use leme_dockerfile::paths;
use leme_host::files::hex;
use rustix::fs::{FileType, Stat};
use sha2::{Digest, Sha256};

use crate::inside;

/// What of a tree is left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hidden {
    /// By paths from the tree's root: the ignore file.
    pub(crate) ignore: Ignore,
    /// By paths from what is copied: each `--exclude`.
    pub(crate) exclude: Ignore,
}

/// Something in a tree.
pub(crate) struct Item<'a> {
    /// From what is copied on; empty for that itself.
    pub(crate) path: &'a Path,
    /// Its directory.
    pub(crate) parent: BorrowedFd<'a>,
    /// Its name in it.
    pub(crate) name: &'a OsStr,
    /// What it is.
    pub(crate) stat: Stat,
}

/// The paths that a source means, sorted. None is an error for the caller to tell.
pub(crate) fn matching(
    root: BorrowedFd<'_>,
    source: &str,
    hidden: &Hidden,
) -> io::Result<Vec<PathBuf>> {
    let wanted = paths::below(source);
    if !glob::has_wildcards(&wanted) {
        let path = PathBuf::from(wanted.replace('\\', ""));
        let there = !shows(root, &hidden.ignore, &path) || inside::find(root, &path).is_err();
        return Ok(if there { Vec::new() } else { vec![path] });
    }
    let pattern = Pattern::of_path(&wanted).map_err(io::Error::other)?;
    // Nothing above the first wildcard need be walked.
    let mut fixed = PathBuf::new();
    let mut parts = wanted.split('/').peekable();
    while let Some(part) = parts.next_if(|part| !glob::has_wildcards(part)) {
        fixed.push(part);
    }
    let deepest = (!wanted.contains("**")).then(|| parts.count());
    let mut found = Vec::new();
    if let Ok(top) = inside::directory(root, &fixed) {
        search(root, &top, &fixed, deepest.unwrap_or(inside::DEPTH), &pattern, hidden, &mut found)?;
    }
    Ok(found)
}

/// Whether something is there for a build: itself, or maybe something in it.
fn shows(root: BorrowedFd<'_>, ignore: &Ignore, path: &Path) -> bool {
    if ignore.is_empty() || !ignore.hides(&path.to_string_lossy()) {
        return true;
    }
    ignore.has_exceptions() && inside::directory(root, path).is_ok()
}

fn search(
    root: BorrowedFd<'_>,
    top: &OwnedFd,
    at: &Path,
    deeper: usize,
    pattern: &Pattern,
    hidden: &Hidden,
    found: &mut Vec<PathBuf>,
) -> io::Result<()> {
    for name in inside::names(top.as_fd())? {
        let path = at.join(&name);
        if pattern.matches(&path.to_string_lossy()) && shows(root, &hidden.ignore, &path) {
            found.push(path);
        } else if deeper > 1
            && let Ok(inner) = inside::enter(top.as_fd(), &name)
        {
            search(root, &inner, &path, deeper - 1, pattern, hidden, found)?;
        }
    }
    Ok(())
}

/// Visits what is at a path and all below it, each directory before what is in it, sorted by names. A link at the path itself
/// is followed, inside the root; others are what they are.
pub(crate) fn walk(
    root: BorrowedFd<'_>,
    path: &Path,
    hidden: &Hidden,
    visit: &mut dyn FnMut(&Item<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let inside::Place { real, missing, .. } = inside::place(root, path)?;
    if !missing.is_empty() {
        return Err(rustix::io::Errno::NOENT.into());
    }
    let above = inside::directory(root, real.parent().unwrap_or(Path::new("")))?;
    let name = real.file_name().map_or_else(|| OsString::from("."), OsStr::to_owned);
    let mut walk = Walk { hidden, from: path, visit, held: Vec::new() };
    walk.one(above.as_fd(), &name, Path::new(""))
}

struct Walk<'a> {
    hidden: &'a Hidden,
    /// Where it begins, from the tree's root.
    from: &'a Path,
    visit: &'a mut dyn FnMut(&Item<'_>) -> io::Result<()>,
    /// Hidden directories on the way, which are visited if something in them is.
    held: Vec<(OwnedFd, OsString, PathBuf, Stat)>,
}

impl Walk<'_> {
    fn one(&mut self, parent: BorrowedFd<'_>, name: &OsStr, path: &Path) -> io::Result<()> {
        let stat = inside::look(parent, name)?;
        let is_directory = inside::kind(&stat) == FileType::Directory;
        let shown = self.shown(path);
        let passes = is_directory && self.may_show_below();
        if !shown && !passes {
            return Ok(());
        }
        if path.components().count() > inside::DEPTH {
            return Err(io::Error::other(format!("{} is too deep", path.display())));
        }
        if shown {
            for (parent, name, path, stat) in std::mem::take(&mut self.held) {
                (self.visit)(&Item { path: &path, parent: parent.as_fd(), name: &name, stat })?;
            }
            (self.visit)(&Item { path, parent, name, stat })?;
        }
        if !is_directory {
            return Ok(());
        }
        let inner = inside::enter(parent, name)?;
        let depth = self.held.len();
        if !shown {
            let parent = rustix::io::fcntl_dupfd_cloexec(parent, 3)?;
            self.held.push((parent, name.to_owned(), path.to_owned(), stat));
        }
        for name in inside::names(inner.as_fd())? {
            self.one(inner.as_fd(), &name, &path.join(&name))?;
        }
        self.held.truncate(depth);
        Ok(())
    }

    fn shown(&self, path: &Path) -> bool {
        let ignored = || self.hidden.ignore.hides(&self.from.join(path).to_string_lossy());
        let excluded = || self.hidden.exclude.hides(&path.to_string_lossy());
        // What is copied as a whole is never hidden by a pattern for what is in it.
        let top = path.as_os_str().is_empty();
        (top && self.from.as_os_str().is_empty() || self.hidden.ignore.is_empty() || !ignored())
            && (top || self.hidden.exclude.is_empty() || !excluded())
    }

    fn may_show_below(&self) -> bool {
        self.hidden.ignore.has_exceptions() || self.hidden.exclude.has_exceptions()
    }
}

/// The digest of sources: names, kinds, modes, owners if they count, content and targets of links; no times.
pub(crate) struct TreeDigest {
    hash: Sha256,
    owners: bool,
    buffer: Vec<u8>,
}

impl TreeDigest {
    pub(crate) fn new(owners: bool) -> TreeDigest {
        TreeDigest { hash: Sha256::new(), owners, buffer: vec![0; 128 << 10] }
    }

    pub(crate) fn add(
        &mut self,
        root: BorrowedFd<'_>,
        path: &Path,
        hidden: &Hidden,
    ) -> io::Result<()> {
        self.text(path.as_os_str().as_bytes());
        walk(root, path, hidden, &mut |item| self.item(item))
    }

    pub(crate) fn finish(self) -> String {
        hex(&self.hash.finalize())
    }

    pub(crate) fn text(&mut self, bytes: &[u8]) {
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
    }

    fn item(&mut self, item: &Item<'_>) -> io::Result<()> {
        self.text(item.path.as_os_str().as_bytes());
        self.hash.update(item.stat.st_mode.to_le_bytes());
        if self.owners {
            self.hash.update(item.stat.st_uid.to_le_bytes());
            self.hash.update(item.stat.st_gid.to_le_bytes());
        }
        match inside::kind(&item.stat) {
            FileType::RegularFile => {
                let mut file = inside::open_file(item.parent, item.name)?;
                let mut length = 0u64;
                loop {
                    let read = file.read(&mut self.buffer)?;
                    if read == 0 {
                        break;
                    }
                    self.hash.update(&self.buffer[..read]);
                    length += read as u64;
                }
                self.hash.update(length.to_le_bytes());
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(item.parent, item.name, Vec::new())?;
                self.text(target.to_bytes());
            }
            _ => self.hash.update(item.stat.st_rdev.to_le_bytes()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn paths(root: &OwnedFd, path: &str, hidden: &Hidden) -> Vec<String> {
        let mut found = Vec::new();
        walk(root.as_fd(), Path::new(path), hidden, &mut |item| {
            found.push(item.path.display().to_string());
            Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn what_is_hidden_is_not_there() {
        let top = tempfile::tempdir().unwrap();
        for file in ["src/a.c", "src/deep/b.c", "src/deep/keep/c.c", "target/x", ".git/config"] {
            let path = top.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        symlink("src", top.path().join("link")).unwrap();
        symlink("/etc/passwd", top.path().join("out")).unwrap();
        let root = inside::root(top.path()).unwrap();
        let ignore = Ignore::read(b"target\n.git\nsrc/deep\n!src/deep/keep").unwrap();
        let hidden = Hidden { ignore, exclude: Ignore::default() };
        assert_eq!(
            paths(&root, "", &hidden),
            ["", "link", "out", "src", "src/a.c", "src/deep", "src/deep/keep", "src/deep/keep/c.c"]
        );
        assert_eq!(paths(&root, "link", &Hidden::default())[..2], ["", "a.c"]);
        let exclude = Ignore::of(["**/*.c", "!deep/b.c"].into_iter()).unwrap();
        let hidden = Hidden { ignore: Ignore::default(), exclude };
        assert_eq!(paths(&root, "src", &hidden), ["", "deep", "deep/b.c", "deep/keep"]);
        let find = |source: &str| {
            let found = matching(root.as_fd(), source, &Hidden::default()).unwrap();
            found.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(find("s*"), ["src"]);
        assert_eq!(find("src/*.c"), ["src/a.c"]);
        assert_eq!(find("**/*.c"), ["src/a.c", "src/deep/b.c", "src/deep/keep/c.c"]);
        assert_eq!(find("../../src/a.c"), ["src/a.c"]);
        assert_eq!(find("*.none"), [""; 0]);
        assert_eq!(find("none"), [""; 0]);
        assert_eq!(find("out"), [""; 0], "it leads to nothing inside");
    }

    #[test]
    fn the_digest_knows_content_and_mode_and_no_time() {
        use std::os::unix::fs::PermissionsExt;
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("f");
        fs::write(&file, "a").unwrap();
        let digest = || {
            let root = inside::root(top.path()).unwrap();
            let mut digest = TreeDigest::new(false);
            digest.add(root.as_fd(), Path::new(""), &Hidden::default()).unwrap();
            digest.finish()
        };
        let first = digest();
        let later = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
        fs::File::options().write(true).open(&file).unwrap().set_times(later).unwrap();
        assert_eq!(digest(), first);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let second = digest();
        assert_ne!(second, first);
        fs::write(&file, "b").unwrap();
        assert_ne!(digest(), second);
    }
}
