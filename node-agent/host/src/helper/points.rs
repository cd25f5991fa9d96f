//! Where mounts go in an image: links of the image are followed inside its root, and what is missing is made.
//!
//! Knows: the root file system before anything is mounted in it. Refuses to know: what is mounted, and anything outside
//! of the root, wherever a link of the image points.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, mkdirat, openat2, readlinkat,
    statat,
};
use rustix::io::Errno;

use crate::mounts;
use crate::spec::{BindMount, SpecError};

/// As many as the kernel follows.
const LINKS: usize = 40;
/// What the runtime mounts before any volume.
const MOUNTED: &[&str] = &["/dev", "/proc", "/sys"];
/// What the runtime makes in `/dev` after the volumes.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Makes every mount's place in the root file system; one that lies in another mount is not looked at. What is made is
/// `owner`'s.
///
/// # Errors
/// When the image has something there that the mount cannot take the place of.
pub(super) fn prepare(rootfs: &Path, binds: &[BindMount], owner: u32) -> Result<(), SpecError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(rootfs, flags, Mode::empty()).map_err(std::io::Error::from)?;
    for mount in binds {
        // A source that is not there is told of later.
        let Ok(source) = std::fs::metadata(&mount.source) else { continue };
        let wrong =
            |why: String| SpecError::Invalid(format!("mount path {:?}: {why}", mount.destination));
        let private = unshared(mount).map_err(|error| wrong(error.to_string()))?;
        if let Some(why) = private.or_else(|| clash(mount, source.is_dir(), binds)) {
            return Err(wrong(why));
        }
        let elsewhere = |path: &Path| {
            let others = binds.iter().filter(|other| other.destination != mount.destination);
            let standard = MOUNTED.iter().any(|mounted| path.starts_with(mounted));
            standard || others.into_iter().any(|other| path.starts_with(&other.destination))
        };
        if elsewhere(&mount.destination) {
            continue;
        }
        make(&root, &mount.destination, source.is_dir(), owner, elsewhere).map_err(wrong)?;
    }
    Ok(())
}

/// Why the container's mounts would not show on the host as they are to.
fn unshared(mount: &BindMount) -> std::io::Result<Option<String>> {
    if mount.propagation != "rshared" {
        return Ok(None);
    }
    let path = std::fs::canonicalize(&mount.source)?;
    let table = std::fs::read("/proc/self/mountinfo")?;
    let why = |point| format!("path {path:?} is mounted on {point:?} but it is not a shared mount");
    Ok(mounts::not_shared(&table, &path).map(why))
}

/// What a mount cannot be together with.
fn clash(mount: &BindMount, directory: bool, mounts: &[BindMount]) -> Option<String> {
    let device = mount.destination.strip_prefix("/dev").ok().and_then(Path::to_str);
    if directory && device.is_some_and(|name| DEVICES.contains(&name)) {
        return Some("every container has its own device there, no directory".to_owned());
    }
    let other = |other: &&BindMount| {
        other.destination == mount.destination
            && std::fs::metadata(&other.source).is_ok_and(|found| found.is_dir() != directory)
    };
    let both = || "a directory and a file are to be mounted there".to_owned();
    mounts.iter().find(other).map(|_| both())
}

/// Walks to a place below the root and makes what is missing. `elsewhere` says of a path whether it will be in another
/// mount: what is there now will not be seen.
fn make(
    root: &OwnedFd,
    place: &Path,
    directory: bool,
    owner: u32,
    elsewhere: impl Fn(&Path) -> bool,
) -> Result<(), String> {
    // Where it is, without links, relative to the root, and what is left of the way.
    let (mut at, mut left) = (PathBuf::new(), parts(place));
    let (mut links, mut ends_in_directory) = (0, true);
    while let Some(part) = left.pop_front() {
        let shown = |at: &Path| Path::new("/").join(at).join(&part);
        let fault = |error: Errno| format!("{:?}: {}", shown(&at), std::io::Error::from(error));
        if part == ".." {
            at.pop();
            ends_in_directory = true;
            continue;
        }
        let above = open_plain(root, &at).map_err(fault)?;
        match kind_of(&above, &part).map_err(fault)? {
            Some(FileType::Symlink) => {
                links += 1;
                if links > LINKS {
                    return Err(fault(Errno::LOOP));
                }
                let target = link(&above, &part).map_err(fault)?;
                if target.is_absolute() {
                    at.clear();
                    ends_in_directory = true;
                }
                for part in parts(&target).into_iter().rev() {
                    left.push_front(part);
                }
                continue;
            }
            Some(FileType::Directory) => ends_in_directory = true,
            Some(_) if !left.is_empty() => {
                return Err(format!("{:?} is no directory in the image", shown(&at)));
            }
            Some(_) => ends_in_directory = false,
            None if left.is_empty() && !directory => {
                make_file(&above, &part, owner).map_err(fault)?;
                ends_in_directory = false;
            }
            None => {
                make_directory(&above, &part, owner).map_err(fault)?;
                ends_in_directory = true;
            }
        }
        at.push(part);
        if elsewhere(&Path::new("/").join(&at)) {
            return Ok(());
        }
    }
    match (ends_in_directory, directory) {
        (true, false) => Err("the image has a directory there and the volume is a file".to_owned()),
        (false, true) => Err("the image has a file there and the volume is a directory".to_owned()),
        _ => Ok(()),
    }
}

/// What is there, not followed.
fn kind_of(above: &OwnedFd, part: &OsStr) -> Result<Option<FileType>, Errno> {
    match statat(above, part, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where a link leads.
fn link(above: &OwnedFd, part: &OsStr) -> Result<PathBuf, Errno> {
    let target = readlinkat(above, part, Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
}

/// Names and `..`, nothing else.
fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |part: Component<'_>| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        _ => None,
    };
    path.components().filter_map(part).collect()
}

/// A directory by a path without links.
fn open_plain(root: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let strict = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    openat2(root, path, flags, Mode::empty(), strict)
}

/// Gives something that was just made to its owner.
fn own(above: &OwnedFd, name: &OsStr, owner: u32) -> rustix::io::Result<()> {
    match owner {
        0 => Ok(()),
        id => {
            let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
            chownat(above, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
        }
    }
}

/// Makes a directory that is its owner's.
pub(super) fn make_directory(above: &OwnedFd, name: &OsStr, owner: u32) -> rustix::io::Result<()> {
    mkdirat(above, name, Mode::from_raw_mode(0o755))?;
    own(above, name, owner)
}

fn make_file(above: &OwnedFd, name: &OsStr, owner: u32) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let strict = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    openat2(above, name, flags, Mode::from_raw_mode(0o644), strict)?;
    own(above, name, owner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Image {
        directory: tempfile::TempDir,
    }

    impl Image {
        fn new() -> Image {
            let directory = tempfile::tempdir().unwrap();
            for name in ["root", "volume", "host"] {
                fs::create_dir(directory.path().join(name)).unwrap();
            }
            fs::write(directory.path().join("file"), "").unwrap();
            Image { directory }
        }

        fn root(&self) -> PathBuf {
            self.directory.path().join("root")
        }

        fn link(&self, target: impl AsRef<Path>, name: &str) {
            let link = self.root().join(name);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(target, link).unwrap();
        }

        /// Mounts of a file (`f`) or a directory at paths.
        fn prepare(&self, mounts: &[(&str, &str)]) -> Result<(), String> {
            let mount = |(kind, destination): &(&str, &str)| BindMount {
                source: self.directory.path().join(if *kind == "f" { "file" } else { "volume" }),
                destination: destination.into(),
                ..BindMount::default()
            };
            let mounts: Vec<BindMount> = mounts.iter().map(mount).collect();
            prepare(&self.root(), &mounts, 0).map_err(|error| error.to_string())
        }

        fn is_file(&self, name: &str) -> bool {
            fs::symlink_metadata(self.root().join(name)).is_ok_and(|found| found.is_file())
        }
    }

    /// Red when the runtime is left alone with an image whose links lead to nothing yet.
    #[test]
    fn what_a_link_of_the_image_leads_to_is_made_inside_of_it() {
        let image = Image::new();
        image.link("../run/systemd/resolve/stub-resolv.conf", "etc/resolv.conf");
        image.link("/run/hosts", "etc/hosts");
        image.link("../../../../../../up", "etc/hostname");
        image.link("deep/er", "data");
        let all = [
            ("f", "/etc/resolv.conf"),
            ("f", "/etc/hosts"),
            ("f", "/etc/hostname"),
            ("d", "/data"),
            ("d", "/plain/one"),
        ];
        image.prepare(&all).unwrap();
        assert!(image.is_file("run/systemd/resolve/stub-resolv.conf"));
        assert!(image.is_file("run/hosts") && image.is_file("up"));
        assert!(image.root().join("deep/er").is_dir() && image.root().join("plain/one").is_dir());
        image.prepare(&all).unwrap();
        let image = Image::new();
        image.link("usr/etc", "etc");
        image.prepare(&[("f", "/etc/hosts")]).unwrap();
        assert!(image.is_file("usr/etc/hosts"));
    }

    #[test]
    fn no_link_leads_out_of_the_image() {
        let image = Image::new();
        let host = image.directory.path().join("host");
        image.link(host.join("absolute"), "a");
        image.link(format!("../host/{}", "relative"), "b");
        image.link("/proc/self/root/x", "c");
        image.link("d", "d");
        image.prepare(&[("f", "/a"), ("d", "/b"), ("d", "/c/y")]).unwrap();
        assert_eq!(fs::read_dir(&host).unwrap().count(), 0);
        assert!(image.root().join("host/relative").is_dir());
        let error = image.prepare(&[("f", "/d")]).unwrap_err();
        assert!(error.starts_with("mount path \"/d\": \"/d\": Too many levels"), "{error}");
    }

    #[test]
    fn what_cannot_be_mounted_there_is_told() {
        let image = Image::new();
        fs::write(image.root().join("settings"), "").unwrap();
        let refused = |mounts: &[(&str, &str)], want: &str| {
            assert_eq!(image.prepare(mounts).unwrap_err(), want);
        };
        refused(
            &[("d", "/settings")],
            "mount path \"/settings\": the image has a file there and the volume is a directory",
        );
        refused(
            &[("f", "/")],
            "mount path \"/\": the image has a directory there and the volume is a file",
        );
        refused(
            &[("f", "/settings/x")],
            "mount path \"/settings/x\": \"/settings\" is no directory in the image",
        );
        refused(
            &[("d", "/dev/null")],
            "mount path \"/dev/null\": every container has its own device there, no directory",
        );
        refused(
            &[("d", "/dev/termination-log"), ("f", "/dev/termination-log")],
            "mount path \"/dev/termination-log\": a directory and a file are to be mounted there",
        );
        // In other mounts nothing is made.
        image
            .prepare(&[("d", "/data"), ("f", "/data/in/x"), ("f", "/dev/termination-log")])
            .unwrap();
        assert!(!image.root().join("data/in").exists() && !image.root().join("dev").exists());
    }

    /// Red when mounts that are to show on the host are made where none do.
    #[test]
    fn what_is_not_shared_is_told() {
        let table = b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
            30 27 0:9 / /mnt/a\\040b rw shared:7 - tmpfs t rw\n\
            31 30 0:9 / /mnt/a\\040b/in rw master:7 - tmpfs t rw\n\
            32 27 0:9 / /mnt/c rw master:3 shared:8 - tmpfs t rw\n";
        for (path, point) in [
            ("/data", Some("/")),
            ("/mnt/a b", None),
            ("/mnt/a b/x", None),
            ("/mnt/a b/in/x", Some("/mnt/a b/in")),
            ("/mnt/c/x", None),
            ("/mnt/cc", Some("/")),
        ] {
            let found = mounts::not_shared(table, Path::new(path));
            assert_eq!(found.as_deref(), point.map(Path::new), "{path}");
        }
    }
}
