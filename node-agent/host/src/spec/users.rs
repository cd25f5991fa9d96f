//! Who a container runs as: numbers and names resolved against the image's `/etc/passwd` and `/etc/group`.
//!
//! Knows: those two files. Refuses to know: the host's users.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::{ProcessInput, SpecError};

/// A resolved user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplemental groups.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
}

/// Resolves the wanted user within a mounted root file system.
pub fn resolve(wanted: &ProcessInput, rootfs: &Path) -> Result<Identity, SpecError> {
    let passwd = read_inside(rootfs, "etc/passwd");
    let group = read_inside(rootfs, "etc/group");
    resolve_in(wanted, &passwd, &group)
}

/// Refuses who has no id in a user namespace of so many.
pub fn within(identity: &Identity, ids: u32) -> Result<(), SpecError> {
    let all = [("user id", identity.uid), ("group id", identity.gid)].into_iter();
    let mut all = all.chain(identity.groups.iter().map(|group| ("supplemental group", *group)));
    match all.find(|(_, id)| *id >= ids) {
        None => Ok(()),
        Some((what, id)) => Err(SpecError::Invalid(format!(
            "{what} {id} does not exist in the pod's user namespace, whose ids are less than {ids}"
        ))),
    }
}

/// The text of a file inside a root file system; empty when absent. Links do not lead out, special files and large
/// ones are not read.
fn read_inside(rootfs: &Path, name: &str) -> String {
    const LIMIT: u64 = 1 << 20;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let open = || -> std::io::Result<String> {
        let root = rustix::fs::open(
            rootfs,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let file = File::from(openat2(&root, name, flags, Mode::empty(), inside)?);
        let mut bytes = Vec::new();
        if file.metadata()?.is_file() {
            file.take(LIMIT).read_to_end(&mut bytes)?;
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    open().unwrap_or_default()
}

struct PasswdLine<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn passwd_lines(text: &str) -> impl Iterator<Item = PasswdLine<'_>> {
    text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        Some(PasswdLine { name: fields[0], uid, gid, home: fields.get(5).copied().unwrap_or("/") })
    })
}

/// (name, gid, members)
fn group_lines(text: &str) -> impl Iterator<Item = (&str, u32, Vec<&str>)> {
    text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let gid = fields.get(2)?.parse().ok()?;
        Some((
            fields[0],
            gid,
            fields.get(3).map(|members| members.split(',').collect()).unwrap_or_default(),
        ))
    })
}

fn number(value: i64, what: &str) -> Result<u32, SpecError> {
    u32::try_from(value)
        .ok()
        .filter(|v| *v < u32::MAX)
        .ok_or_else(|| SpecError::Invalid(format!("bad {what} {value}")))
}

fn resolve_in(wanted: &ProcessInput, passwd: &str, group: &str) -> Result<Identity, SpecError> {
    let (image_user, image_group) = match wanted.image_user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (wanted.image_user.as_str(), None),
    };
    let line = match (wanted.run_as_user, image_user.parse::<u32>()) {
        (Some(uid), _) => {
            let uid = number(uid, "user id")?;
            Err(uid).or_else(|uid| passwd_lines(passwd).find(|line| line.uid == uid).ok_or(uid))
        }
        (None, Ok(uid)) => passwd_lines(passwd).find(|line| line.uid == uid).ok_or(uid),
        (None, Err(_)) if image_user.is_empty() => {
            passwd_lines(passwd).find(|line| line.uid == 0).ok_or(0)
        }
        (None, Err(_)) => {
            Ok(passwd_lines(passwd).find(|line| line.name == image_user).ok_or_else(|| {
                SpecError::Invalid(format!(
                    "unable to find user {image_user}: no matching entries in passwd file"
                ))
            })?)
        }
    };
    let (uid, line_gid, name, home) = match &line {
        Ok(line) => (line.uid, line.gid, line.name, line.home),
        Err(uid) => (*uid, 0, "", "/"),
    };
    // The image's group belongs to the image's user; with another user it says nothing.
    let image_group = image_group.filter(|group| wanted.run_as_user.is_none() && !group.is_empty());
    let gid = match (wanted.run_as_group, image_group) {
        (Some(gid), _) => number(gid, "group id")?,
        (None, Some(wanted)) => find_group(wanted, group)?,
        (None, None) => line_gid,
    };
    let mut groups: Vec<u32> = group_lines(group)
        .filter(|(_, _, members)| !name.is_empty() && members.contains(&name))
        .map(|g| g.1)
        .collect();
    for gid in &wanted.supplemental_groups {
        groups.push(number(*gid, "supplemental group")?);
    }
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    let home = if home.is_empty() { "/" } else { home };
    Ok(Identity { uid, gid, groups, home: home.to_owned() })
}

fn find_group(wanted: &str, group: &str) -> Result<u32, SpecError> {
    if let Ok(gid) = wanted.parse() {
        return Ok(gid);
    }
    let found = group_lines(group).find(|(name, ..)| *name == wanted).map(|(_, gid, _)| gid);
    found.ok_or_else(|| {
        SpecError::Invalid(format!(
            "unable to find group {wanted}: no matching entries in group file"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\napp:x:1001:1002::/home/app:/bin/sh\nbroken:x\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:app,other\nwheel:x:10:root\nbad\n";

    fn check(
        user: &str,
        run_as: Option<i64>,
        group: Option<i64>,
        expected: Result<(u32, u32, &[u32], &str), &str>,
    ) {
        let wanted = ProcessInput {
            image_user: user.into(),
            run_as_user: run_as,
            run_as_group: group,
            ..Default::default()
        };
        match (resolve_in(&wanted, PASSWD, GROUP), expected) {
            (Ok(id), Ok(e)) => {
                assert_eq!((id.uid, id.gid, id.groups.as_slice(), id.home.as_str()), e, "{user}")
            }
            (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
            (got, _) => panic!("{user}: {got:?}"),
        }
    }

    #[test]
    fn names_and_numbers() {
        check("", None, None, Ok((0, 0, &[0, 10], "/root")));
        check("app", None, None, Ok((1001, 1002, &[50, 1002], "/home/app")));
        check("app:staff", None, None, Ok((1001, 50, &[50], "/home/app")));
        check("app:7", None, None, Ok((1001, 7, &[7, 50], "/home/app")));
        check("1001", None, None, Ok((1001, 1002, &[50, 1002], "/home/app")));
        check("4000", None, None, Ok((4000, 0, &[0], "/")));
        check("app:staff", Some(4000), None, Ok((4000, 0, &[0], "/")));
        check("app", Some(1001), Some(9), Ok((1001, 9, &[9, 50], "/home/app")));
        check("nobody", None, None, Err("unable to find user nobody"));
        check("app:none", None, None, Err("unable to find group none"));
        check("", Some(-1), None, Err("bad user id"));
    }
}
