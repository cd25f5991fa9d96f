//! Who has what of a data directory: locked files that hold the numbers of processes.
//!
//! Knows: the files. Refuses to know: what is done by who has one.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The kernel's flag of a thread that exits.
const EXITING: u64 = 4;
/// So long a process that is ending is waited for.
const AN_END: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// What a process has of a data directory. Of the first two there is one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// The store and the certificates.
    Server,
    /// The nodes of this machine.
    Nodes,
    /// A kubeconfig in it, for the part of this name.
    Client(&'static str),
}

impl Seat {
    /// The file that is locked.
    pub fn file(self) -> String {
        match self {
            Seat::Server => "lock".to_owned(),
            Seat::Nodes => "nodes.lock".to_owned(),
            Seat::Client(part) => format!("{part}-{}.lock", std::process::id()),
        }
    }
}

/// The seat is this process's for as long as this lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    /// The file of one that nobody else will ask for.
    own: Option<PathBuf>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            // One that stays is locked by nobody.
            let _ = fs::remove_file(own);
        }
    }
}

/// Takes a seat for this process.
///
/// # Errors
/// When a running process has it.
pub fn take(root: &Path, seat: Seat) -> Result<Lock> {
    let path = root.join(seat.file());
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))?;
    if let Err(pid) = exclusive(&mut file).with_context(|| format!("lock {}", path.display()))? {
        let root = root.display();
        bail!(
            "{root} is in use by leme (process {pid}): stop it with `leme down --data-dir {root}`"
        );
    }
    if let Some(pid) = holder_of_removed(&path) {
        let (lock, root) = (path.display(), root.display());
        bail!(
            "{root} is in use by leme (process {pid}), though its {lock} was removed: stop it with `leme down --data-dir {root}`"
        );
    }
    // Over what is there, in one width: that needs no space even where there is none.
    file.rewind()?;
    write!(file, "{:<10}", std::process::id())
        .with_context(|| format!("write {}", path.display()))?;
    let own = matches!(seat, Seat::Client(_)).then_some(path);
    Ok(Lock { _file: file, own })
}

/// Locks a file, or tells what stands in it: who has it. One that is ending, such as one that was killed, is waited for:
/// the kernel closes the files of a large process some time after its end can be seen.
fn exclusive(file: &mut File) -> Result<Result<(), String>> {
    if flock(&*file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        return Ok(Ok(()));
    }
    let mut pid = String::new();
    file.read_to_string(&mut pid)?;
    let pid = pid.trim();
    let ended = pid.parse().is_ok_and(|pid| is_ending(pid) && has_ended(pid));
    if ended && flock(&*file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        return Ok(Ok(()));
    }
    Ok(Err(pid.to_owned()))
}

/// Whether a process is on its way out: it is a zombie, which may have threads that end, or exits.
fn is_ending(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // After the name in parentheses: state, and six numbers on the flags of the kernel.
    let mut fields = stat.rsplit(") ").next().unwrap_or("").split(' ');
    let state = fields.next().unwrap_or("");
    let flags = fields.nth(5).and_then(|flags| flags.parse().ok()).unwrap_or(0_u64);
    matches!(state, "Z" | "X") || flags & EXITING != 0
}

/// Waits until no thread of a process is left: whether that was so in time.
fn has_ended(pid: i32) -> bool {
    let Some(process) = Pid::from_raw(pid) else { return false };
    let Ok(process) = pidfd_open(process, PidfdFlags::empty()) else { return true };
    let mut ends = [PollFd::new(&process, PollFlags::IN)];
    poll(&mut ends, Some(&AN_END)).is_ok_and(|ready| ready > 0)
}

/// The processes that have any, those of clients first and the server's last. What is left of others that are gone is removed.
///
/// # Errors
/// When that cannot be told.
pub fn holders(root: &Path) -> Result<Vec<i32>> {
    let entries = fs::read_dir(root).with_context(|| format!("read {}", root.display()))?;
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        if !name.ends_with(".lock") || name == Seat::Nodes.file() {
            continue;
        }
        match holder(&path)? {
            Some(pid) => found.push(pid),
            None => drop(fs::remove_file(&path)),
        }
    }
    found.extend(holder(&root.join(Seat::Nodes.file()))?);
    found.extend(holder(&root.join(Seat::Server.file()))?);
    // One process may have both.
    found.dedup();
    Ok(found)
}

/// The process that has a file locked, if one has: also one whose file was removed, or is another by now.
///
/// # Errors
/// When that cannot be told.
pub fn holder(path: &Path) -> Result<Option<i32>> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(holder_of_removed(path));
        }
        Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
    };
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return Ok(holder_of_removed(path));
    }
    let mut pid = String::new();
    file.read_to_string(&mut pid)?;
    let pid = pid.trim().parse().with_context(|| format!("{} names no process", path.display()))?;
    Ok(Some(pid))
}

/// Another process that has a file open of this name that is not there any more.
pub fn holder_of_removed(path: &Path) -> Option<i32> {
    let folder = path.parent()?.canonicalize().ok()?;
    let removed = format!("{} (deleted)", folder.join(path.file_name()?).display());
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids =
        processes.filter_map(|entry| entry.file_name().to_str().and_then(|n| n.parse().ok()));
    pids.find(|pid: &i32| {
        let own = u32::try_from(*pid) == Ok(std::process::id());
        // Those that end meanwhile, or are another's, have nothing open.
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut links = files.filter_map(|file| fs::read_link(file.path()).ok());
        !own && links.any(|link| link.as_os_str() == removed.as_str())
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    // Red when a process is looked for by the file of its seat alone.
    #[test]
    fn who_has_a_seat_is_found_when_its_file_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(Seat::Server.file());
        let held = File::create(&file).unwrap();
        let mut other = Command::new("cat").stdin(Stdio::piped()).stdout(held).spawn().unwrap();
        let pid = i32::try_from(other.id()).unwrap();
        assert_eq!(holder(&file).unwrap(), None, "it is not locked");
        fs::remove_file(&file).unwrap();
        assert_eq!(holders(root.path()).unwrap(), [pid]);
        let error = take(root.path(), Seat::Server).unwrap_err().to_string();
        assert!(error.contains(&format!("(process {pid})")), "{error}");
        assert_eq!(holder(&file).unwrap(), Some(pid), "there is a file again");
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(holder(&file).unwrap(), None);
    }

    #[test]
    fn one_that_is_ending_is_told_from_one_that_runs() {
        let mut other = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(other.id()).unwrap();
        assert!(!is_ending(pid));
        other.kill().unwrap();
        assert!(has_ended(pid));
        assert!(is_ending(pid), "a zombie");
        other.wait().unwrap();
        assert!(is_ending(pid), "none");
    }
}
