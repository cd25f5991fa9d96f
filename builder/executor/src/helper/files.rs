//! Steps that copy files and make directories.
//!
//! Knows: owners by the names that a root has for them. Refuses to know: commands.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use leme_dockerfile::ignore::Ignore;
use leme_host::images::Limits;
use leme_host::spec::{ProcessInput, users};

use super::mounts;
use super::protocol::{Copy, Directory, Report, Sources};
use crate::copy::{Looks, Target};
use crate::inside;
use crate::mode::Change;
use crate::tree::{self, Hidden, TreeDigest};

/// What a source hides.
pub(crate) fn hidden(sources: &Sources) -> io::Result<Hidden> {
    let ignore = sources.ignore.as_deref().map(Ignore::read).transpose();
    let exclude = Ignore::of(sources.exclude.iter().map(String::as_str));
    Ok(Hidden {
        ignore: ignore.map_err(io::Error::other)?.unwrap_or_default(),
        exclude: exclude.map_err(io::Error::other)?,
    })
}

pub(super) fn digest(sources: &Sources) -> io::Result<Report> {
    let root = mounts::source(&sources.from, &sources.scratch)?;
    digest_in(&root, sources, true)
}

/// The digest of sources whose root is open.
pub(crate) fn digest_in(
    root: &std::os::fd::OwnedFd,
    sources: &Sources,
    owners: bool,
) -> io::Result<Report> {
    let hidden = hidden(sources)?;
    let mut digest = TreeDigest::new(owners);
    for source in &sources.paths {
        let found = tree::matching(root.as_fd(), source, &hidden)?;
        if found.is_empty() {
            return Ok(Report::Missing(source.clone()));
        }
        for path in found {
            digest.add(root.as_fd(), &path, &hidden)?;
        }
    }
    Ok(Report::Digest(digest.finish()))
}

pub(super) fn copy(copy: Copy) -> io::Result<Report> {
    let root = mounts::writable(&copy.root, None)?;
    let rooted = copy.root.scratch.join("root");
    let owner = match &copy.chown {
        Some(chown) => Some(owner(chown, &rooted)?),
        None if copy.keeps_owners => None,
        None => Some((0, 0)),
    };
    let mode = copy.chmod.as_deref().map(Change::read).transpose().map_err(io::Error::other)?;
    let looks = Looks { owner, mode };
    let as_directory = copy.target.ends_with('/');
    let to = PathBuf::from(&copy.target);
    let mut target = Target { root: root.as_fd(), looks: &looks, left: copy.most };
    for (name, text) in &copy.texts {
        target.text(name, text, &to, as_directory)?;
    }
    let Some(sources) = &copy.sources else { return Ok(Report::Done) };
    let from = mounts::source(&sources.from, &sources.scratch)?;
    let hidden = hidden(sources)?;
    let mut found = Vec::new();
    for source in &sources.paths {
        let means = tree::matching(from.as_fd(), source, &hidden)?;
        if means.is_empty() {
            return Ok(Report::Missing(source.clone()));
        }
        found.extend(means.into_iter().map(|path| (source, path)));
    }
    if found.len() + copy.texts.len() > 1 && !as_directory && !copy.parents {
        let several = "When using COPY with more than one source file, the destination must be a directory and end with a /";
        return Err(io::Error::other(several));
    }
    for (source, path) in found {
        if copy.unpack && unpacked(&mut target, &from, &path, &to)? {
            continue;
        }
        let (to, as_directory) = match copy.parents {
            true => (to.join(above(source, &path)), true),
            false => (to.clone(), as_directory),
        };
        target.copy(from.as_fd(), &path, &to, as_directory, &hidden)?;
    }
    Ok(Report::Done)
}

/// What of a source's path is made at the target by `--parents`: all from a `/./` on, and a directory's own name.
fn above(source: &str, path: &Path) -> PathBuf {
    let skipped = match source.split_once("/./") {
        Some((before, _)) => {
            let before = leme_dockerfile::paths::below(before);
            before.split('/').filter(|part| !part.is_empty()).count()
        }
        None => 0,
    };
    let kept: PathBuf = path.components().skip(skipped).collect();
    kept.parent().map(Path::to_owned).unwrap_or_default()
}

/// Unpacks a source into a directory if it is an archive.
fn unpacked(
    target: &mut Target<'_>,
    from: &std::os::fd::OwnedFd,
    path: &Path,
    to: &Path,
) -> io::Result<bool> {
    let found = inside::find(from.as_fd(), path)?;
    if inside::kind(&rustix::fs::fstat(&found)?) != rustix::fs::FileType::RegularFile {
        return Ok(false);
    }
    let place = inside::place(from.as_fd(), path)?;
    let parent = inside::directory(from.as_fd(), place.real.parent().unwrap_or(Path::new("")))?;
    let open = || inside::open_file(parent.as_fd(), place.real.file_name().unwrap_or_default());
    let limits = Limits { bytes: target.left, ..Limits::default() };
    if !leme_host::images::is_archive(open()?, limits)? {
        return Ok(false);
    }
    target.make(to)?;
    let directory = inside::directory(target.root, to)?;
    let into =
        PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&directory)));
    leme_host::images::unpack_archive(open()?, &into, limits)?;
    Ok(true)
}

/// Numbers of whom `--chown` names.
fn owner(chown: &str, root: &Path) -> io::Result<(u32, u32)> {
    let wanted = ProcessInput { image_user: chown.to_owned(), ..ProcessInput::default() };
    let found = users::resolve(&wanted, root).map_err(io::Error::other)?;
    // A number alone is a group as well.
    let gid = chown.parse::<u32>().unwrap_or(found.gid);
    Ok((found.uid, gid))
}

pub(super) fn directory(wanted: &Directory) -> io::Result<Report> {
    let root = mounts::writable(&wanted.root, None)?;
    let owner = match wanted.user.is_empty() {
        true => (0, 0),
        false => {
            let wanted =
                ProcessInput { image_user: wanted.user.clone(), ..ProcessInput::default() };
            let found = users::resolve(&wanted, &wanted_root(&root)).map_err(io::Error::other)?;
            (found.uid, found.gid)
        }
    };
    inside::make_all(root.as_fd(), Path::new(&wanted.path), 0o755, Some(owner))?;
    Ok(Report::Done)
}

fn wanted_root(root: &std::os::fd::OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(root)))
}
