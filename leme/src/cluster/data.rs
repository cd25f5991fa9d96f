//! The data directory of a local cluster: what is where in it, who uses it, which version wrote it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use leme_host::mounts::mounts_below;
use leme_host::removal::remove_unmounted;
use rustix::fs::{FlockOperation, flock};

use crate::cluster::fresh::Fresh;
use crate::cluster::seat;
pub use crate::cluster::seat::{Lock, Seat};

/// Version of the layout below and of everything kept in it.
const VERSION: u32 = 1;

/// A data directory that exists and is of a version that this program knows.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

/// The end of a cluster is this process's business for as long as this lives.
#[derive(Debug)]
pub struct Stopping {
    data: DataDir,
    _file: File,
}

impl Stopping {
    /// Takes the directory, of which nobody runs anything any more.
    ///
    /// # Errors
    /// When a running process has it.
    pub fn lock(&self) -> Result<[Lock; 2]> {
        Ok([seat::take(&self.data.root, Seat::Server)?, seat::take(&self.data.root, Seat::Nodes)?])
    }
}

impl DataDir {
    /// Opens the directory; makes it if it is not there.
    ///
    /// # Errors
    /// When it cannot be used, belongs to somebody else or was written by a newer version.
    pub fn open(root: &Path) -> Result<DataDir> {
        DataDir::begin(root).map(|(data, _)| data)
    }

    /// The same, and what was made for it, if it was not there.
    ///
    /// # Errors
    /// As [`DataDir::open`].
    pub fn begin(root: &Path) -> Result<(DataDir, Option<Fresh>)> {
        let shown = root.display();
        let file = root.join("VERSION");
        let fresh = match fs::read_to_string(&file) {
            // It is written first: whoever was stopped at that has written nothing else.
            Ok(text) if text.is_empty() && entries(root) == 1 => {
                write_version(&file)?;
                None
            }
            Ok(text) => {
                check_version(root, &text)?;
                None
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                ensure!(
                    entries(root) == 0,
                    "{shown} is not empty and is no data directory of leme: name another --data-dir"
                );
                let fresh = Fresh::make(root).with_context(|| format!("create {shown}"))?;
                if let Err(error) = write_version(&file) {
                    fresh.undo()?;
                    return Err(error);
                }
                Some(fresh)
            }
            Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
        };
        let root = root.canonicalize().with_context(|| format!("resolve {shown}"))?;
        Ok((DataDir { root }, fresh))
    }

    /// The directory as it is, for who only reads: nothing is made or written. `None` if it is not there.
    ///
    /// # Errors
    /// As [`DataDir::open`].
    pub fn look(root: &Path) -> Result<Option<DataDir>> {
        if !DataDir::exists(root)? {
            return Ok(None);
        }
        let file = root.join("VERSION");
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        check_version(root, &text)?;
        let shown = root.display();
        let root = root.canonicalize().with_context(|| format!("resolve {shown}"))?;
        Ok(Some(DataDir { root }))
    }

    /// Whether there is a data directory.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn exists(root: &Path) -> Result<bool> {
        let shown = root.display();
        match root.join("VERSION").try_exists() {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                bail!("{shown} may not be read: use sudo")
            }
            found => found.with_context(|| format!("look into {shown}")),
        }
    }

    /// Takes a seat for this process.
    ///
    /// # Errors
    /// When a running process has it.
    pub fn lock(&self, seat: Seat) -> Result<Lock> {
        let root = self.root.display();
        seat::take(&self.root, seat).map_err(|error| match self.stopping() {
            Err(_) => {
                anyhow!("{root} is being stopped by a `leme down`: try again when that has ended")
            }
            Ok(_) => error,
        })
    }

    /// Takes the end of the cluster in hand: one process at a time.
    ///
    /// # Errors
    /// When another one does.
    pub fn stopping(&self) -> Result<Stopping> {
        // Of a file that every data directory has.
        let path = self.root.join("VERSION");
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.with_context(|| format!("open {}", path.display()))?;
        let root = self.root.display();
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Stopping { data: self.clone(), _file: file }),
            Err(_) => bail!("another `leme down` of {root} is under way: wait until it has ended"),
        }
    }

    /// The process that has a seat whose file was removed.
    pub fn holder_of_removed(&self, seat: Seat) -> Option<i32> {
        seat::holder_of_removed(&self.root.join(seat.file()))
    }

    /// The process that has a seat, if one has.
    pub fn holder(&self, seat: Seat) -> Result<Option<i32>> {
        seat::holder(&self.root.join(seat.file()))
    }

    /// The processes that have any, those of clients first and the server's last. What is left of others that are gone is
    /// removed.
    pub fn holders(&self) -> Result<Vec<i32>> {
        seat::holders(&self.root)
    }

    /// Whether somebody is ending the cluster.
    pub fn is_being_stopped(&self) -> bool {
        self.stopping().is_err()
    }

    /// File of the embedded store.
    pub fn store(&self) -> PathBuf {
        self.root.join("store").join("leme.redb")
    }

    /// Certificates and keys.
    pub fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.root.join("admin.kubeconfig")
    }

    /// What builds of this machine keep.
    pub fn builds(&self) -> PathBuf {
        self.root.join("builds")
    }

    /// Content-addressed images.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// The kubeconfig of a part that is a process of its own, such as `controllers` or `node-NAME`.
    pub fn kubeconfig_of(&self, part: &str) -> PathBuf {
        self.root.join(format!("{part}.kubeconfig"))
    }

    /// State of all nodes.
    pub fn nodes(&self) -> PathBuf {
        self.root.join("node")
    }

    /// State of one node.
    pub fn node(&self, name: &str) -> PathBuf {
        self.nodes().join(name)
    }

    /// Output of a detached cluster.
    pub fn log(&self) -> PathBuf {
        self.root.join("leme.log")
    }

    /// Sockets and the like: short, for a socket's path may have 107 bytes at most, and gone with a reboot.
    pub fn run(&self) -> PathBuf {
        PathBuf::from("/run/leme").join(self.id())
    }

    /// A short name for this directory, the same each time: FNV-1a of its path.
    pub fn id(&self) -> String {
        let hash = self
            .root
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        format!("{:08x}", (hash >> 32) as u32 ^ hash as u32)
    }

    /// What this cluster is called where it shares something with others: random, made once.
    pub fn server_id(&self) -> Result<String> {
        let path = self.root.join("server-id");
        if let Ok(text) = fs::read_to_string(&path)
            && !text.trim().is_empty()
        {
            return Ok(text.trim().to_owned());
        }
        let random = "/proc/sys/kernel/random/uuid";
        let id = fs::read_to_string(random).with_context(|| format!("read {random}"))?;
        write_private(&path, id.trim())?;
        Ok(id.trim().to_owned())
    }

    /// Where it lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Removes the directory with everything in it.
    ///
    /// # Errors
    /// When something is left, by its name. What is mounted inside is somebody's: then nothing is removed at all.
    pub fn purge(self) -> Result<()> {
        let shown = self.root.display();
        let mounts =
            mounts_below(&self.root).with_context(|| format!("look for mounts in {shown}"))?;
        if let Some(mount) = mounts.iter().find(|mount| **mount != self.root) {
            bail!("{} is mounted inside {shown}: unmount it, then purge again", mount.display());
        }
        if mounts.is_empty() {
            return remove_unmounted(&self.root).with_context(|| format!("remove {shown}"));
        }
        // The directory is a mount point itself: it stays, empty.
        for entry in fs::read_dir(&self.root).with_context(|| format!("read {shown}"))? {
            let path = entry.with_context(|| format!("read {shown}"))?.path();
            remove_unmounted(&path).with_context(|| format!("remove {shown}"))?;
        }
        Ok(())
    }
}

/// Writes a file that only its owner may read, whole or not at all; nothing if it says that already: a full disk must not
/// keep down what changes nothing.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|present| present == text) {
        return fs::set_permissions(path, Permissions::from_mode(0o600))
            .with_context(|| format!("protect {}", path.display()));
    }
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = {
            use std::os::unix::fs::OpenOptionsExt;
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?
        };
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// How many entries a directory has; none if it is not there.
fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

/// Whether a version is one that this program knows.
fn check_version(root: &Path, text: &str) -> Result<()> {
    let (shown, file) = (root.display(), root.join("VERSION"));
    let version: u32 = text.trim().parse().with_context(|| {
        format!(
            "{} is damaged: if {shown} is the data of this leme, write {VERSION} into that file",
            file.display()
        )
    })?;
    ensure!(
        version <= VERSION,
        "{shown} was written by a newer leme (layout {version}, this one knows {VERSION}): use that version, or another --data-dir"
    );
    Ok(())
}

/// Notes the layout; a file that cannot be written whole is not left behind.
fn write_version(file: &Path) -> Result<()> {
    let written = fs::write(file, format!("{VERSION}\n"));
    if written.is_err() {
        let _ = fs::remove_file(file);
    }
    written.with_context(|| format!("write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_one_processes_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::open(root.path()).unwrap();
        assert_eq!(data.holder(Seat::Server).unwrap(), None);
        let lock = data.lock(Seat::Server).unwrap();
        assert!(data.lock(Seat::Server).unwrap_err().to_string().contains("is in use by leme"));
        assert_eq!(data.holder(Seat::Server).unwrap(), Some(std::process::id() as i32));
        drop(lock);
        assert_eq!(data.holder(Seat::Server).unwrap(), None);
    }

    /// Red when who comes second stops who came first, or is told to.
    #[test]
    fn one_process_at_a_time_ends_a_cluster() {
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::open(root.path()).unwrap();
        let running = data.lock(Seat::Server).unwrap();
        let first = data.stopping().unwrap();
        let second = data.stopping().unwrap_err().to_string();
        assert!(second.contains("another `leme down` of"), "{second}");
        let start = data.lock(Seat::Server).unwrap_err().to_string();
        assert!(start.contains("is being stopped by a `leme down`"), "{start}");
        assert!(first.lock().unwrap_err().to_string().contains("is in use by leme"));
        drop(running);
        let cleaning = first.lock().unwrap();
        assert!(data.lock(Seat::Server).unwrap_err().to_string().contains("is being stopped"));
        drop((first, cleaning));
        data.lock(Seat::Server).unwrap();
    }

    /// Red when only the server's process is found, or one that is gone counts.
    #[test]
    fn every_process_of_a_directory_is_found() {
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::open(root.path()).unwrap();
        assert_eq!(data.holders().unwrap(), Vec::<i32>::new());
        let own = std::process::id() as i32;
        let client = data.lock(Seat::Client("controllers")).unwrap();
        assert_eq!(data.holders().unwrap(), [own]);
        let (nodes, server) = (data.lock(Seat::Nodes).unwrap(), data.lock(Seat::Server).unwrap());
        assert_eq!(data.holders().unwrap(), [own], "one process");
        drop(client);
        assert!(!root.path().join(format!("controllers-{own}.lock")).exists());
        drop((nodes, server));
        fs::write(root.path().join("scheduler-1.lock"), "1").unwrap();
        assert_eq!(data.holders().unwrap(), Vec::<i32>::new());
        assert!(!root.path().join("scheduler-1.lock").exists());
    }

    /// Red when reading makes what it does not find.
    #[test]
    fn who_looks_makes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a");
        assert!(DataDir::look(&root).unwrap().is_none() && !root.exists());
        fs::create_dir(&root).unwrap();
        assert!(DataDir::look(&root).unwrap().is_none() && entries(&root) == 0);
        DataDir::open(&root).unwrap();
        assert_eq!(DataDir::look(&root).unwrap().unwrap().root(), root.canonicalize().unwrap());
        fs::write(root.join("VERSION"), "999\n").unwrap();
        assert!(DataDir::look(&root).unwrap_err().to_string().contains("newer leme"));
    }

    // Red with `fs::remove_dir_all`: the host's file goes with the cluster.
    #[test]
    fn a_purge_leaves_what_is_mounted_and_says_so() {
        use nix::sched::{CloneFlags, unshare};
        use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};

        unshare(CloneFlags::CLONE_NEWNS).expect("root is needed to mount");
        let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", flags).unwrap();
        let (root, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(host.path().join("keep"), "x").unwrap();
        let data = DataDir::open(root.path()).unwrap();
        let inside = data.images();
        fs::create_dir(&inside).unwrap();
        mount_bind(host.path(), &inside).unwrap();
        let left = data.clone().purge().unwrap_err().to_string();
        assert!(left.starts_with(&format!("{} is mounted inside", inside.display())), "{left}");
        assert!(host.path().join("keep").exists() && DataDir::exists(root.path()).unwrap());
        leme_host::removal::unmount_below(&inside).unwrap();
        data.clone().purge().unwrap();
        assert!(!root.path().exists() && host.path().join("keep").exists());
        // A data directory on a file system of its own is emptied and stays.
        fs::create_dir(root.path()).unwrap();
        mount_bind(root.path(), root.path()).unwrap();
        DataDir::open(root.path()).unwrap().purge().unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_server_keeps_its_id() {
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::open(root.path()).unwrap();
        let id = data.server_id().unwrap();
        assert_eq!(id.len(), 36);
        assert_eq!(DataDir::open(root.path()).unwrap().server_id().unwrap(), id);
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("x"), "").unwrap();
        assert!(DataDir::open(root.path()).unwrap_err().to_string().contains("not empty"));
    }

    /// Red when the file is written although it says the same already.
    #[test]
    fn what_has_not_changed_is_not_written() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        write_private(&path, "text").unwrap();
        let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap());
        let before = inode();
        write_private(&path, "text").unwrap();
        assert_eq!(inode(), before);
        write_private(&path, "other").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "other");
    }

    /// Red when an empty file is no version: a disk that was full at the first start kept the cluster out for good.
    #[test]
    fn a_first_start_that_was_stopped_is_begun_anew() {
        let root = tempfile::tempdir().unwrap();
        let version = root.path().join("VERSION");
        fs::write(&version, "").unwrap();
        DataDir::open(root.path()).unwrap();
        assert_eq!(fs::read_to_string(&version).unwrap(), "1\n");
        fs::write(&version, "").unwrap();
        fs::write(root.path().join("store"), "data").unwrap();
        let error = DataDir::open(root.path()).unwrap_err().to_string();
        assert!(error.contains("VERSION is damaged") && error.contains("write 1 into"), "{error}");
    }

    #[test]
    fn a_newer_version_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("VERSION"), "999\n").unwrap();
        assert!(DataDir::open(root.path()).unwrap_err().to_string().contains("newer leme"));
    }
}
