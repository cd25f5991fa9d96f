//! A layer: what an overlay's upper directory says has changed, as a tar file that is packed.
//!
//! Knows: overlays' whiteouts and opaque directories, and OCI's. Refuses to know: what changed it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use flate2::Compression;
use flate2::write::GzEncoder;
use leme_host::files::hex;
use rustix::fs::{FileType, Stat};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

use crate::inside;

/// The attribute by which an overlay within a user namespace hides what is below a directory.
const OPAQUE: &str = "user.overlay.opaque";
/// Bytes of attributes of one file at most.
const ATTRIBUTES: usize = 64 << 10;
/// Bytes that go to the thread that packs at a time, and how many such pieces wait.
const PIECE: usize = 256 << 10;
const WAITING: usize = 8;

/// A layer that was packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) digest: String,
    pub(crate) size: u64,
    pub(crate) diff_id: String,
}

/// Packs what is in `upper` into the new file `into`; none if nothing has changed. `root_changed` says whether the root's own
/// looks have; no time in it is later than `epoch`.
pub(crate) fn pack(
    upper: &Path,
    into: &Path,
    root_changed: bool,
    epoch: Option<i64>,
) -> io::Result<Option<Packed>> {
    let root = inside::root(upper)?;
    if !root_changed && inside::names(root.as_fd())?.is_empty() {
        return Ok(None);
    }
    let file = File::create_new(into)?;
    let (sender, receiver) = sync_channel(WAITING);
    std::thread::scope(|scope| {
        let packing = scope.spawn(move || compress(file, receiver));
        let mut pieces =
            Pieces { sender: Some(sender), piece: Vec::with_capacity(PIECE), hash: Sha256::new() };
        let written = (|| {
            let mut layer =
                Layer { tar: tar::Builder::new(&mut pieces), links: HashMap::new(), epoch };
            if root_changed {
                let stat = rustix::fs::fstat(&root)?;
                layer.entry(root.as_fd(), OsStr::new("."), Path::new(""), &stat)?;
            }
            layer.directory(root.as_fd(), Path::new(""))?;
            layer.tar.finish()
        })();
        let diff_id = pieces.finish();
        let packed = packing.join().unwrap_or_else(|_| Err(io::Error::other("packing panicked")));
        // A thread that could not write has said why; the other end only noticed.
        let (digest, size) = packed?;
        written?;
        Ok(Some(Packed { digest, size, diff_id: diff_id? }))
    })
}

/// Compresses what comes, and says the digest and the length of what it became.
fn compress(file: File, pieces: Receiver<Vec<u8>>) -> io::Result<(String, u64)> {
    let hashed =
        Hashed { inner: io::BufWriter::with_capacity(PIECE, file), hash: Sha256::new(), length: 0 };
    // No name, no time, no system: the same content is the same blob.
    let mut packer = GzEncoder::new(hashed, Compression::default());
    for piece in pieces {
        packer.write_all(&piece)?;
    }
    let mut hashed = packer.finish()?;
    hashed.inner.flush()?;
    Ok((format!("sha256:{}", hex(&hashed.hash.finalize())), hashed.length))
}

struct Hashed<W> {
    inner: W,
    hash: Sha256,
    length: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.hash.update(&bytes[..length]);
        self.length += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The tar file on its way to the other thread.
struct Pieces {
    sender: Option<SyncSender<Vec<u8>>>,
    piece: Vec<u8>,
    hash: Sha256,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.hash.update(&piece);
        let sent = self.sender.as_ref().map(|sender| sender.send(piece));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Ends the stream; the digest of it.
    fn finish(&mut self) -> io::Result<String> {
        let sent = self.send();
        self.sender = None;
        sent.map(|()| format!("sha256:{}", hex(&std::mem::take(&mut self.hash).finalize())))
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..length]);
        if self.piece.len() == PIECE {
            self.send()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Layer<W: Write> {
    tar: tar::Builder<W>,
    /// Files with several names, by number: their first name.
    links: HashMap<(u64, u64), PathBuf>,
    epoch: Option<i64>,
}

impl<W: Write> Layer<W> {
    fn directory(&mut self, directory: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
        if path.components().count() > inside::DEPTH {
            return Err(io::Error::other(format!("{} is too deep", path.display())));
        }
        for name in inside::names(directory)? {
            let path = path.join(&name);
            let stat = inside::look(directory, &name)?;
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            };
            self.entry(directory, &name, &path, &stat).map_err(named)?;
            if inside::kind(&stat) == FileType::Directory {
                let inner = inside::enter(directory, &name)?;
                if is_opaque(inner.as_fd()) {
                    self.empty_file(&path.join(".wh..wh..opq"))?;
                }
                self.directory(inner.as_fd(), &path)?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        stat: &Stat,
    ) -> io::Result<()> {
        let kind = inside::kind(stat);
        if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
            let mut hidden = OsString::from(".wh.");
            hidden.push(name);
            return self.empty_file(&path.with_file_name(hidden));
        }
        let mut header = self.header(stat);
        if let Some(first) = self.known_as(path, stat) {
            header.set_entry_type(EntryType::Link);
            return self.tar.append_link(&mut header, path, first);
        }
        match kind {
            FileType::Directory => {
                self.attributes(parent, name)?;
                header.set_entry_type(EntryType::Directory);
                let mut path = path.as_os_str().to_owned();
                path.push("/");
                let path = if path == "/" { PathBuf::from("./") } else { PathBuf::from(path) };
                self.tar.append_data(&mut header, path, io::empty())
            }
            FileType::RegularFile => {
                self.attributes(parent, name)?;
                let file = inside::open_file(parent, name)?;
                let size = file.metadata()?.len();
                header.set_entry_type(EntryType::Regular);
                header.set_size(size);
                self.tar.append_data(&mut header, path, file.take(size))
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
                header.set_entry_type(EntryType::Symlink);
                let target = PathBuf::from(OsStr::from_bytes(target.to_bytes()));
                self.tar.append_link(&mut header, path, target)
            }
            FileType::Fifo => {
                header.set_entry_type(EntryType::Fifo);
                self.tar.append_data(&mut header, path, io::empty())
            }
            FileType::CharacterDevice | FileType::BlockDevice => {
                let block = kind == FileType::BlockDevice;
                header.set_entry_type(if block { EntryType::Block } else { EntryType::Char });
                header.set_device_major(rustix::fs::major(stat.st_rdev))?;
                header.set_device_minor(rustix::fs::minor(stat.st_rdev))?;
                self.tar.append_data(&mut header, path, io::empty())
            }
            // Somebody listened there once.
            _ => Ok(()),
        }
    }

    /// The first name of a file that was packed under another.
    fn known_as(&mut self, path: &Path, stat: &Stat) -> Option<PathBuf> {
        if inside::kind(stat) == FileType::Directory || stat.st_nlink < 2 {
            return None;
        }
        let number = (stat.st_dev, stat.st_ino);
        let known = self.links.get(&number).cloned();
        if known.is_none() {
            self.links.insert(number, path.to_owned());
        }
        known
    }

    fn header(&self, stat: &Stat) -> Header {
        let mut header = Header::new_gnu();
        header.set_mode(stat.st_mode & 0o7777);
        header.set_uid(stat.st_uid.into());
        header.set_gid(stat.st_gid.into());
        let time = self.epoch.map_or(stat.st_mtime, |epoch| epoch.min(stat.st_mtime));
        header.set_mtime(u64::try_from(time).unwrap_or(0));
        header.set_size(0);
        header
    }

    fn empty_file(&mut self, path: &Path) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0);
        header.set_size(0);
        header.set_mtime(u64::try_from(self.epoch.unwrap_or(0)).unwrap_or(0));
        self.tar.append_data(&mut header, path, io::empty())
    }

    /// Attributes that belong to a file, and not to the overlay or the machine.
    fn attributes(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let file = rustix::fs::openat(
            parent,
            name,
            rustix::fs::OFlags::RDONLY
                | rustix::fs::OFlags::NOFOLLOW
                | rustix::fs::OFlags::NONBLOCK
                | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        let mut list = vec![0u8; ATTRIBUTES];
        let length = match rustix::fs::flistxattr(&file, list.as_mut_slice()) {
            Ok(length) => length,
            Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut found = Vec::new();
        let mut names: Vec<&[u8]> =
            list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        for name in names {
            let own = name == b"security.capability"
                || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."));
            let Some(text) = std::str::from_utf8(name).ok().filter(|_| own) else { continue };
            let mut value = vec![0u8; ATTRIBUTES];
            let length = rustix::fs::fgetxattr(&file, text, value.as_mut_slice())?;
            value.truncate(length);
            found.push((format!("SCHILY.xattr.{text}"), value));
        }
        if found.is_empty() {
            return Ok(());
        }
        let pairs = found.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        self.tar.append_pax_extensions(pairs)
    }
}

fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0u8; 4];
    rustix::fs::fgetxattr(directory, OPAQUE, &mut value)
        .is_ok_and(|length| &value[..length] == b"y")
}
