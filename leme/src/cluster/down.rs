//! `leme down`: stops the processes that run the cluster, and removes what those left behind that are gone.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::args::DownArgs;
use crate::cluster::data::{DataDir, Seat};
use crate::cluster::encryption;
use crate::cluster::node;
use crate::say;

/// How long a cluster may take to stop: the longest grace, and then some.
const PATIENCE_SECONDS: i64 = 60;

/// Runs the command.
pub async fn run(args: &DownArgs) -> Result<()> {
    let shown = args.data_dir.display();
    if !DataDir::exists(&args.data_dir)? {
        // Nothing there is what was asked for.
        ensure!(
            !args.data_dir.exists() || is_empty(&args.data_dir),
            "{shown} is no data directory of leme"
        );
        say::note(format_args!("no cluster in {shown}"));
        return Ok(());
    }
    let data = DataDir::open(&args.data_dir)?;
    let stopping = data.stopping()?;
    // Those that act first, then who serves them.
    for pid in data.holders()? {
        if data.holder_of_removed(Seat::Server) == Some(pid) {
            let what = "its file `lock` was removed while it ran";
            say::note(format_args!("process {pid} has {shown}, though {what}: it is stopped"));
        }
        stop(pid).await?;
    }
    let locks = stopping.lock()?;
    node::clean_up(&data).await.context("remove what the cluster left behind")?;
    drop(locks);
    if args.purge {
        encryption::forget(data.root())?;
        data.purge()?;
        remove_links(&args.data_dir)?;
    }
    Ok(())
}

/// Removes the links by which a directory that is gone was named: the next start could make nothing of them.
fn remove_links(path: &Path) -> Result<()> {
    // Without a slash at the end, which would follow the link.
    let mut path: PathBuf = path.components().collect();
    while let Ok(to) = std::fs::read_link(&path) {
        if path.exists() {
            break;
        }
        let shown = path.display();
        std::fs::remove_file(&path)
            .with_context(|| format!("remove {shown}, a link to what is gone"))?;
        path = path.parent().map_or_else(|| to.clone(), |parent| parent.join(&to));
    }
    Ok(())
}

fn is_empty(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Ends a process with SIGTERM and waits until it is gone.
async fn stop(pid: i32) -> Result<()> {
    let Some(raw) = rustix::process::Pid::from_raw(pid) else { bail!("{pid} is no process") };
    // The descriptor is of this very process, whoever gets its number later.
    let Ok(process) = pidfd_open(raw, PidfdFlags::empty()) else { return Ok(()) };
    pidfd_send_signal(&process, Signal::TERM).with_context(|| format!("stop process {pid}"))?;
    let ended = tokio::task::spawn_blocking(move || {
        let mut ready = [PollFd::new(&process, PollFlags::IN)];
        poll(&mut ready, Some(&Timespec { tv_sec: PATIENCE_SECONDS, tv_nsec: 0 }))
    });
    match ended.await.context("wait for the process")?.context("wait for the process")? {
        0 => bail!("process {pid} did not stop within {PATIENCE_SECONDS}s"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when only the directory is removed.
    #[test]
    fn links_to_what_is_gone_go_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, at(name)).unwrap();
        std::fs::create_dir(at("mounted")).unwrap();
        link(Path::new("second"), "first");
        link(&at("gone"), "second");
        link(&at("mounted"), "third");
        remove_links(&at("first/")).unwrap();
        // What is a mount point stays, and so does the way to it.
        remove_links(&at("third")).unwrap();
        remove_links(&at("mounted")).unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["mounted", "third"]);
    }
}
