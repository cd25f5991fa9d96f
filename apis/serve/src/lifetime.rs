//! The server's tasks, and the two moments of its end: "finish what you do", then "stop".
//!
//! Knows: tasks. Refuses to know: what they do.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long writes under way get at least.
const LAST: Duration = Duration::from_secs(5);

/// A handle on the server's tasks; clones share it.
#[derive(Clone, Default)]
pub struct Lifetime {
    stopping: CancellationToken,
    killed: CancellationToken,
    tasks: TaskTracker,
}

impl Lifetime {
    /// Resolves when the server begins to stop.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// A token that is cancelled when the server begins to stop.
    pub fn stop_token(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Whether the server has begun to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Runs a task that the end of the server waits for, and in the end cuts short.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let killed = self.killed.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = task => {}
                () = killed.cancelled() => {}
            }
        });
    }

    /// Runs a task that is never cut short: the answer of a write is unknown until it has ended.
    pub fn spawn_whole<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.tasks.spawn(task)
    }

    /// Asks all tasks to end, waits up to `grace`, then cuts short all but writes, and waits for those up to `grace`
    /// again: a store that does not answer must not keep the process.
    pub async fn end(&self, grace: Duration) {
        self.stopping.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.killed.cancel();
            if tokio::time::timeout(grace.max(LAST), self.tasks.wait()).await.is_err() {
                tracing::warn!(tasks = self.tasks.len(), "stopped while writes were under way");
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.stopping.cancel();
        self.0.killed.cancel();
    }
}

/// Ends the tasks when the server is dropped without a shutdown.
pub struct Guard(pub Lifetime);
