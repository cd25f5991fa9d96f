//! Applies an image layer to a directory, as a lower layer of an overlay.
//!
//! The tar library only reads entries; every write goes through a directory descriptor that was resolved inside the
//! layer's root, so that links in a layer lead nowhere else. Knows: tar entries, overlay whiteouts. Refuses to know:
//! images.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timestamps, Uid, XattrFlags, chownat,
    fchmod, linkat, mkdirat, mknodat, openat, openat2, statat, symlinkat, utimensat,
};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use super::guard::Guard;
use super::looks::{Looks, dress, looks, write_file};

/// Bounds on what a layer may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes after decompression.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// Path components.
    pub depth: usize,
}

impl Limits {
    /// The error of something that holds more bytes than a disk has room for.
    pub(super) fn exceeded(&self, what: &str, disk: &Path) -> super::ImageError {
        let mega = self.bytes as f64 / 1e6;
        let why = format!("the {what} holds more than the {mega:.1} MB there is room for");
        super::ImageError::Invalid(format!(
            "{why}: free some space on the disk of {}",
            disk.display()
        ))
    }
}

/// Whose attributes an overlay reads. They are not the same for who may mount on the machine and for the root of a user
/// namespace, and so no store is for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attributes {
    /// `trusted.overlay`
    #[default]
    Machine,
    /// `user.overlay`, for overlays that are mounted with `userxattr`. Nobody there makes devices: they are left out.
    Namespace,
}

impl Attributes {
    /// The attribute of a directory that shows nothing of what is below.
    pub fn opaque(self) -> &'static str {
        match self {
            Attributes::Machine => "trusted.overlay.opaque",
            Attributes::Namespace => "user.overlay.opaque",
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes: 64 << 30, entries: 2_000_000, depth: 256 }
    }
}

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const META_WHITEOUT: &[u8] = b".wh..wh.";
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Unpacks the tar stream `layer` into the empty directory `target`. `lower` are the layers under it, the topmost
/// first: a directory that the layer only passes through keeps the looks it has there.
pub fn unpack(
    layer: impl Read,
    target: &Path,
    lower: &[PathBuf],
    limits: Limits,
) -> io::Result<()> {
    unpack_for(Attributes::Machine, layer, target, lower, limits)
}

/// As [`unpack`], for overlays that read these attributes.
pub fn unpack_for(
    attributes: Attributes,
    layer: impl Read,
    target: &Path,
    lower: &[PathBuf],
    limits: Limits,
) -> io::Result<()> {
    let root = rustix::fs::open(target, DIRECTORY, Mode::empty())?;
    let mut applier = Applier { root, lower, limits, attributes, directory_times: Vec::new() };
    let mut archive = Archive::new(Guard::new(layer));
    let (mut entries, mut bytes) = (0u64, 0u64);
    for entry in archive.entries()? {
        let mut entry = entry?;
        entries += 1;
        bytes = bytes.saturating_add(entry.size());
        if entries > limits.entries || bytes > limits.bytes {
            return Err(invalid(&format!(
                "the layer holds more than the {} bytes or {} entries that it may",
                limits.bytes, limits.entries
            )));
        }
        let path = entry.path()?.into_owned();
        applier.apply(&mut entry, &path).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("layer entry {:?}: {error}", path.display().to_string()),
            )
        })?;
    }
    applier.finish()
}

pub(super) fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

struct Applier<'a> {
    root: OwnedFd,
    lower: &'a [PathBuf],
    limits: Limits,
    attributes: Attributes,
    directory_times: Vec<(PathBuf, Timestamps)>,
}

impl Applier<'_> {
    fn apply<R: Read>(&mut self, entry: &mut Entry<'_, R>, path: &Path) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if matches!(
            kind,
            EntryType::XGlobalHeader
                | EntryType::XHeader
                | EntryType::GNULongName
                | EntryType::GNULongLink
        ) {
            return Ok(());
        }
        let path = self.clean(path)?;
        let looks = looks(entry)?;
        let Some(name) = path.file_name().map(|n| n.to_owned()) else {
            // The layer's own root.
            let root = Path::new(".");
            return self.dress_directory(root, looks);
        };
        let parent_path = path.parent().unwrap_or(Path::new(""));
        let parent = self.parent(parent_path)?;
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            return self.whiteout(&parent, name.as_bytes(), hidden);
        }
        let name = Path::new(&name);
        if kind.is_dir() {
            self.make_directory(&parent, name)?;
            return self.dress_directory(&path, looks);
        }
        clear(&parent, name)?;
        if self.attributes == Attributes::Namespace && is_device(entry) {
            return Ok(());
        }
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                write_file(entry, &parent, name, &looks)
            }
            EntryType::Link => self.hard_link(entry, &parent, name),
            _ => {
                make_special(entry, &parent, name)?;
                dress(&parent, name, &looks, kind == EntryType::Symlink)
            }
        }
    }

    /// The path relative to the layer's root. Whoever writes `..` means harm.
    fn clean(&self, path: &Path) -> io::Result<PathBuf> {
        let mut clean = PathBuf::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => clean.push(name),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(invalid("the path leaves the layer"));
                }
            }
        }
        if clean.components().count() > self.limits.depth || clean.as_os_str().len() > 4096 {
            return Err(invalid("the path is too deep"));
        }
        Ok(clean)
    }

    /// Opens a directory inside the layer, making what is missing.
    fn parent(&self, path: &Path) -> io::Result<OwnedFd> {
        let open = |path: &Path| {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            openat2(&self.root, path, DIRECTORY, Mode::empty(), INSIDE)
        };
        match open(path) {
            Err(Errno::NOENT) => {}
            opened => return Ok(opened?),
        }
        let mut so_far = PathBuf::new();
        let mut directory = open(&so_far)?;
        for part in path.components() {
            so_far.push(part);
            directory = match open(&so_far) {
                Err(Errno::NOENT) => {
                    let name = Path::new(part.as_os_str());
                    match mkdirat(&directory, name, Mode::from_raw_mode(0o755)) {
                        Err(Errno::EXIST) => {
                            return Err(invalid("a dangling link stands in the way"));
                        }
                        made => made?,
                    }
                    self.inherit_looks(&directory, name, &so_far)?;
                    open(&so_far)?
                }
                opened => opened?,
            };
        }
        Ok(directory)
    }

    /// Gives an implied directory the looks of the one it covers.
    fn inherit_looks(&self, parent: &OwnedFd, name: &Path, path: &Path) -> io::Result<()> {
        for layer in self.lower {
            let layer = rustix::fs::open(layer, DIRECTORY, Mode::empty())?;
            let Ok(covered) = openat2(&layer, path, DIRECTORY, Mode::empty(), INSIDE) else {
                continue;
            };
            let stat = rustix::fs::fstat(&covered)?;
            chownat(
                parent,
                name,
                Some(Uid::from_raw(stat.st_uid)),
                Some(Gid::from_raw(stat.st_gid)),
                AtFlags::empty(),
            )?;
            let made = openat(
                parent,
                name,
                OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            fchmod(&made, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
            break;
        }
        Ok(())
    }

    fn whiteout(&self, parent: &OwnedFd, name: &[u8], hidden: &[u8]) -> io::Result<()> {
        if name == OPAQUE {
            return self.set_opaque(parent, Path::new("."));
        }
        if name.starts_with(META_WHITEOUT) || hidden.is_empty() || matches!(hidden, b"." | b"..") {
            return Ok(());
        }
        let hidden = Path::new(std::ffi::OsStr::from_bytes(hidden));
        match mknodat(parent, hidden, FileType::CharacterDevice, Mode::empty(), 0) {
            // It hides what is below, not what this layer itself brings.
            Err(Errno::EXIST) if is_directory(parent, hidden)? => self.set_opaque(parent, hidden),
            Err(Errno::EXIST) => Ok(()),
            made => Ok(made?),
        }
    }

    /// A directory is added to, anything else of that name is replaced. One that replaces a whiteout hides what was below.
    fn make_directory(&self, parent: &OwnedFd, name: &Path) -> io::Result<()> {
        match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
            Err(Errno::EXIST) if is_directory(parent, name)? => return Ok(()),
            Err(Errno::EXIST) => {}
            made => return Ok(made?),
        }
        let hides = is_whiteout(parent, name);
        clear(parent, name)?;
        mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
        if hides { self.set_opaque(parent, name) } else { Ok(()) }
    }

    fn set_opaque(&self, parent: &OwnedFd, name: &Path) -> io::Result<()> {
        let directory = openat(
            parent,
            name,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        rustix::fs::fsetxattr(&directory, self.attributes.opaque(), b"y", XattrFlags::empty())?;
        Ok(())
    }

    fn hard_link<R: Read>(
        &self,
        entry: &Entry<'_, R>,
        parent: &OwnedFd,
        name: &Path,
    ) -> io::Result<()> {
        let target = entry.link_name()?.ok_or_else(|| invalid("a link without target"))?;
        let target = self.clean(&target)?;
        let target_name = target.file_name().ok_or_else(|| invalid("a hard link to the root"))?;
        let above = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let directory = openat2(&self.root, above, DIRECTORY, Mode::empty(), INSIDE)?;
        linkat(&directory, Path::new(target_name), parent, name, AtFlags::empty())?;
        Ok(())
    }

    fn dress_directory(&mut self, path: &Path, looks: Looks) -> io::Result<()> {
        let parent = self.parent(path)?;
        dress(&parent, Path::new("."), &looks, false)?;
        self.directory_times.push((path.to_owned(), looks.times));
        Ok(())
    }

    /// Modification times of directories last: making their content changes them.
    fn finish(self) -> io::Result<()> {
        for (path, times) in self.directory_times.iter().rev() {
            match openat2(&self.root, path, DIRECTORY, Mode::empty(), INSIDE) {
                Ok(directory) => utimensat(&directory, ".", times, AtFlags::empty())?,
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn is_device<R: Read>(entry: &Entry<'_, R>) -> bool {
    let header = entry.header();
    // One that is a whiteout in disguise is refused below.
    let whiteout =
        matches!((header.device_major(), header.device_minor()), (Ok(Some(0)), Ok(Some(0))));
    matches!(header.entry_type(), EntryType::Char | EntryType::Block) && !whiteout
}

/// Symbolic links, pipes and device nodes.
fn make_special<R: Read>(entry: &Entry<'_, R>, parent: &OwnedFd, name: &Path) -> io::Result<()> {
    let header = entry.header();
    let mode = Mode::from_raw_mode(0o600);
    let device = match header.entry_type() {
        EntryType::Symlink => {
            let target = entry.link_name()?.ok_or_else(|| invalid("a link without target"))?;
            return Ok(symlinkat(target.as_os_str(), parent, name)?);
        }
        EntryType::Fifo => return Ok(mknodat(parent, name, FileType::Fifo, mode, 0)?),
        EntryType::Char => FileType::CharacterDevice,
        EntryType::Block => FileType::BlockDevice,
        _ => return Err(invalid("an entry of unknown type")),
    };
    let (major, minor) = (header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0));
    if (device, major, minor) == (FileType::CharacterDevice, 0, 0) {
        return Err(invalid("a whiteout disguised as a device"));
    }
    Ok(mknodat(parent, name, device, mode, rustix::fs::makedev(major, minor))?)
}

fn is_directory(parent: &OwnedFd, name: &Path) -> io::Result<bool> {
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn is_whiteout(parent: &OwnedFd, name: &Path) -> bool {
    statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
    })
}

/// Removes what an entry replaces.
fn clear(parent: &OwnedFd, name: &Path) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => crate::removal::remove_at(parent.as_fd(), name.as_os_str(), name),
        Err(error) => Err(error.into()),
    }
}

/// A path to what a descriptor names.
pub(super) fn through(directory: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

/// Opens a file for reading inside `root`, never following a link out of it.
pub(super) fn open_inside(root: &Path, name: &Path) -> io::Result<File> {
    let root = rustix::fs::openat(CWD, root, DIRECTORY, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(openat2(root.as_fd(), name, flags, Mode::empty(), INSIDE)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(invalid("not a regular file")) }
}
