//! The image of builders, which every node has without a registry: a skeleton, with this program and the node's own programs
//! shown in it.
//!
//! Whoever runs it makes containers within the pod's user namespace, and may do there what its root may. The node's files are
//! not mapped: who is not let in as nobody there sees none of them. Knows: what such a container is given. Refuses to know:
//! what it builds.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use leme_host::files;
use leme_host::images::ImageRecord;
use leme_host::images::reference::Reference;
use leme_host::spec::{BindMount, Seccomp, SecurityInput};
use rustix::fs::{AtFlags, CWD, linkat};
use serde_json::json;

use super::records::{ContainerRecord, SandboxRecord};
use super::{EmbeddedConfig, blocking, failed};
use crate::{Result, RuntimeError};

/// What pods name it.
const NAME: &str = "leme.io/builder";
const TAG: &str = "latest";
/// What its record is called by: the digest of its name, and of no configuration that an image could have.
const ID: &str = "sha256:a323b49338fe71df5139df96c0a4ae30b1b7259d3f8e417af421c1ea9f1b66d4";

/// Where the program is, and what builders keep.
const PROGRAM: &str = "/leme";
const CACHE: &str = "/var/lib/builder";
/// The variable by which who makes a pod says whose cache it has: the uid of its namespace, so that another of the same name has
/// none of it. Nobody else makes pods of this image.
const CACHE_OF: &str = "LEME_BUILD_CACHE";

/// What of the node is shown, where it is there: its programs and whom they trust. Links among them are links in the skeleton.
const SHOWN: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/alternatives",
    "/etc/ld.so.cache",
];

/// (path, mode) of the skeleton's directories.
const DIRECTORIES: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/lib", 0o755),
    ("var/lib/builder", 0o700),
    ("var/tmp", 0o1777),
];

/// (path, text) of its files.
const FILES: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    ),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
];

/// The image, of which there is one on each node.
#[derive(Debug)]
pub(super) struct Builder {
    image: ImageRecord,
    cache: PathBuf,
    program: Program,
}

/// This program, where it stays while its file is replaced by a later one: a file without a name cannot be mounted.
#[derive(Clone, Debug)]
struct Program {
    running: PathBuf,
    kept: PathBuf,
}

impl Builder {
    /// Makes the skeleton, or mends what is there: what runs may be using it.
    pub(super) fn prepare(config: &EmbeddedConfig) -> io::Result<Builder> {
        let directory = directory(&config.root);
        let root = directory.join("root");
        for (path, mode) in DIRECTORIES {
            let path = root.join(path);
            fs::create_dir_all(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
        }
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755))?;
        for (path, text) in FILES {
            files::replace(&root.join(path), text.as_bytes(), 0o644, false)?;
        }
        for path in SHOWN.iter().map(Path::new) {
            link_as_on_node(path, &root)?;
        }
        // What the namespace's root writes is root's on the disk: nobody of the machine may find it.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.builds)?;
        fs::set_permissions(&config.builds, fs::Permissions::from_mode(0o700))?;
        let cache = fs::canonicalize(&config.builds)?;
        let program = Program { running: config.helper.clone(), kept: directory.join("leme") };
        Ok(Builder { image: record(root)?, cache, program })
    }

    /// The image, if a reference means it.
    pub(super) fn find(&self, reference: &str) -> Option<&ImageRecord> {
        let named = || {
            let parsed = Reference::parse(reference);
            parsed.is_some_and(|parsed| {
                parsed.name == NAME && parsed.digest.is_none() && parsed.tag.as_deref() == Some(TAG)
            })
        };
        (reference == ID || named()).then_some(&self.image)
    }

    /// Gives a container of the image what it is to have, whatever its pod asks for.
    ///
    /// # Errors
    /// When its pod has the node's users: then it would do all this as the node's root.
    pub(super) async fn equip(
        &self,
        sandbox: &SandboxRecord,
        record: &mut ContainerRecord,
    ) -> Result<()> {
        if record.image_id != ID {
            return Ok(());
        }
        if sandbox.first_id.is_none() {
            return Err(RuntimeError::Invalid(format!(
                "image {NAME}:{TAG} is for pods with \"hostUsers: false\" only"
            )));
        }
        let spec = &mut record.request.spec;
        spec.security = SecurityInput {
            add_capabilities: vec!["ALL".to_owned()],
            seccomp: Seccomp::Nested,
            unmasked: true,
            readonly_rootfs: spec.security.readonly_rootfs,
            ..SecurityInput::default()
        };
        let process = &mut spec.process;
        (process.run_as_user, process.run_as_group) = (Some(0), Some(0));
        process.supplemental_groups.clear();
        let program = self.program.clone();
        let program = blocking("show the program to the container", move || {
            program.keep().map_err(failed("show the program to the container"))
        });
        let named =
            process.env.iter().find_map(|pair| pair.strip_prefix(CACHE_OF)?.strip_prefix('='));
        let namespace = named.unwrap_or(&sandbox.config.pod.namespace);
        let cache = self.cache_of(namespace)?;
        let foreign = |source: &Path, destination: &Path| BindMount {
            source: source.to_owned(),
            destination: destination.to_owned(),
            readonly: true,
            foreign: true,
            ..BindMount::default()
        };
        let mut mounts = vec![
            foreign(&program.await?, Path::new(PROGRAM)),
            BindMount { source: cache, destination: CACHE.into(), ..BindMount::default() },
        ];
        let shown = SHOWN.iter().map(Path::new).filter(|path| is_shown(path));
        mounts.extend(shown.map(|path| foreign(path, path)));
        // What the pod mounts itself comes first.
        mounts.retain(|mount| !spec.mounts.iter().any(|own| own.destination == mount.destination));
        spec.mounts.extend(mounts);
        Ok(())
    }

    /// What the builders of a namespace keep on this node.
    fn cache_of(&self, namespace: &str) -> Result<PathBuf> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if namespace.is_empty() || !namespace.bytes().all(plain) {
            return Err(RuntimeError::Invalid(format!("bad namespace {namespace:?}")));
        }
        let path = self.cache.join(namespace);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(failed("make the builders' cache"))?;
        Ok(path)
    }
}

impl Program {
    /// The file as it is kept: a second name of the one that runs, or a copy where that has another file system.
    fn keep(&self) -> io::Result<PathBuf> {
        let running = fs::metadata(&self.running)?;
        let is = |kept: fs::Metadata| {
            let same = (kept.dev(), kept.ino()) == (running.dev(), running.ino());
            let copied = (kept.len(), kept.mtime(), kept.mtime_nsec());
            same || copied == (running.len(), running.mtime(), running.mtime_nsec())
        };
        if fs::metadata(&self.kept).is_ok_and(is) {
            return Ok(self.kept.clone());
        }
        let fresh = self.kept.with_extension(files::random_hex(4)?);
        let follow = AtFlags::SYMLINK_FOLLOW;
        let anybodys = running.mode() & 0o5 == 0o5;
        if !anybodys || linkat(CWD, &self.running, CWD, &fresh, follow).is_err() {
            fs::copy(&self.running, &fresh)?;
            fs::File::options().write(true).open(&fresh)?.set_modified(running.modified()?)?;
            fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))?;
        }
        fs::rename(&fresh, &self.kept)?;
        Ok(self.kept.clone())
    }
}

/// Where skeleton and program are, in the engine's directory.
pub(super) fn directory(root: &Path) -> PathBuf {
    root.join("builder")
}

/// Whether something is there to be shown that is no link.
fn is_shown(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| !found.is_symlink())
}

/// A link of the node is the same link in the skeleton.
fn link_as_on_node(path: &Path, root: &Path) -> io::Result<()> {
    let Ok(target) = fs::read_link(path) else { return Ok(()) };
    let link = root.join(path.strip_prefix("/").unwrap_or(path));
    match fs::read_link(&link) {
        Ok(is) if is == target => return Ok(()),
        Ok(_) => fs::remove_file(&link)?,
        Err(_) => {}
    }
    symlink(target, link)
}

fn record(layer: PathBuf) -> io::Result<ImageRecord> {
    let config = json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
        "config": {"Cmd": [PROGRAM, "builder"], "User": "0"},
    });
    Ok(ImageRecord {
        id: ID.to_owned(),
        tags: vec![format!("{NAME}:{TAG}")],
        digests: Vec::new(),
        pulled: Vec::new(),
        shown: Default::default(),
        config: serde_json::from_value(config)?,
        layers: vec![layer],
        size: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when it is mounted from where it runs: that file may have no name any more.
    #[test]
    fn the_program_is_kept_while_it_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let program = Program { running: at("runs"), kept: at("kept") };
        let write = |text: &str| {
            fs::write(at("new"), text).unwrap();
            fs::set_permissions(at("new"), fs::Permissions::from_mode(0o755)).unwrap();
            fs::rename(at("new"), at("runs")).unwrap();
        };
        write("first");
        fs::set_permissions(at("runs"), fs::Permissions::from_mode(0o700)).unwrap();
        let own = fs::metadata(program.keep().unwrap()).unwrap();
        assert_eq!(own.mode() & 0o777, 0o755);
        write("first");
        let kept = program.keep().unwrap();
        write("second one");
        assert_eq!(fs::read_to_string(&kept).unwrap(), "first");
        program.keep().unwrap();
        assert_eq!(fs::read_to_string(&kept).unwrap(), "second one");
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(&kept), inode(&at("runs")));
        // One that has lost its name is copied, once.
        let open = fs::File::open(at("runs")).unwrap();
        for name in ["runs", "kept"] {
            fs::remove_file(at(name)).unwrap();
        }
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&open));
        let program = Program { running: path.into(), kept: at("kept") };
        let copied = inode(&program.keep().unwrap());
        assert_eq!(inode(&program.keep().unwrap()), copied);
        assert_eq!(fs::read_to_string(&kept).unwrap(), "second one");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
