//! A thread with a network namespace of its own: what runs there, and the processes it starts, share no address, no port
//! and no firewall rule with the machine.

use std::future::Future;
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, unshare};
use tokio::sync::oneshot;

/// Runs a future in a new network namespace that has a loopback interface and nothing else.
pub async fn within<T, F>(make: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let (sender, receiver) = oneshot::channel();
    let run = move || {
        // Nobody waits any more: then there is nobody to tell.
        let _ = sender.send(enter().and_then(|runtime| runtime.block_on(make())));
    };
    thread::Builder::new().name("leme-bench".to_owned()).spawn(run).context("start a thread")?;
    receiver.await.map_err(|_| anyhow!("the bench panicked"))?
}

fn enter() -> Result<tokio::runtime::Runtime> {
    unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
    leme_host::sys::loopback_up().context("bring the loopback interface up")?;
    // On this thread alone: another would have been made in the machine's own namespace.
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")
}
