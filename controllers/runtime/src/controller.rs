//! The loop of a controller: key, plan, actions, wait until the cache has seen them, next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use leme_plan::{Failure, Plan, Standing};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Key;
use crate::brake::Brake;
use crate::executor::Executor;
use crate::outcome::Outcome;
use crate::queue::Queue;

/// A controller: a name, a queue and how much it may do at once.
#[derive(Debug)]
pub struct Controller {
    /// Who speaks in Events, such as `replication-controller`.
    pub name: &'static str,
    /// Keys to look at.
    pub queue: Arc<Queue>,
    /// Keys worked on at once.
    pub workers: usize,
    /// Brake on deletes.
    pub brake: Option<Brake>,
}

struct Shared {
    controller: Controller,
    executor: Arc<Executor>,
    start: Instant,
    failures: Mutex<HashMap<Key, Failure>>,
    standing: Mutex<Standing<Key>>,
    permits: Arc<Semaphore>,
}

impl Controller {
    /// Works until cancelled. `reconcile` observes and plans; what it returns is carried out. An error from it is tried
    /// again after a back-off.
    pub async fn run<F, Fut>(self, executor: Arc<Executor>, reconcile: F, token: CancellationToken)
    where
        F: Fn(Key, Option<Failure>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Plan, String>> + Send + 'static,
    {
        let permits = Arc::new(Semaphore::new(self.workers.max(1)));
        let shared = Arc::new(Shared {
            controller: self,
            executor,
            start: Instant::now(),
            failures: Mutex::default(),
            standing: Mutex::default(),
            permits,
        });
        let mut tasks = JoinSet::new();
        loop {
            let key = tokio::select! {
                () = token.cancelled() => break,
                key = shared.controller.queue.next() => key,
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended {
                        warn!(controller = shared.controller.name, %error, "a round ended badly");
                    }
                    continue;
                }
            };
            let failure = shared.failures().get(&key).cloned();
            let plan = reconcile(key.clone(), failure);
            tasks.spawn(round(shared.clone(), key, plan));
        }
        tasks.shutdown().await;
    }
}

/// Ends the work on a key whatever happens to the round.
struct Working<'a> {
    queue: &'a Queue,
    key: Key,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue.add_failed(self.key.clone());
        }
        self.queue.done(&self.key);
    }
}

impl Shared {
    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Failure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of what a key has waited for too long.
    fn ripen(&self, key: &Key, plan: &mut Plan) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.ripen(key.clone(), plan, self.start.elapsed());
    }
}

async fn round(
    shared: Arc<Shared>,
    key: Key,
    plan: impl Future<Output = Result<Plan, String>> + Send,
) {
    let queue = &shared.controller.queue;
    let working = Working { queue, key };
    let name = shared.controller.name;
    let Ok(permit) = shared.permits.clone().acquire_owned().await else { return };
    let mut plan = match plan.await {
        Ok(plan) => plan,
        Err(error) => {
            warn!(controller = name, key = %format!("{}/{}", working.key.0, working.key.1), error, "cannot observe");
            queue.add_failed(working.key.clone());
            return;
        }
    };
    shared.ripen(&working.key, &mut plan);
    let outcome = shared.executor.execute(name, &plan, shared.controller.brake.as_ref()).await;
    drop(permit);
    if !shared.executor.seen(&outcome).await {
        warn!(controller = name, "the cache has not seen a write for a minute");
    }
    settle(&shared, &working.key, plan.requeue, outcome);
}

fn settle(shared: &Shared, key: &Key, requeue: Option<Duration>, outcome: Outcome) {
    let queue = &shared.controller.queue;
    let had = shared.failures().remove(key).is_some();
    if let Some(failure) = outcome.failure {
        shared.failures().insert(key.clone(), failure);
        queue.add_failed(key.clone());
    } else if let Some(wait) = outcome.braked {
        queue.add_after(key.clone(), wait);
    } else if outcome.stale {
        queue.add_failed(key.clone());
    } else {
        queue.succeeded(key);
        if had {
            // The condition that told of the failure has to go.
            queue.add(key.clone());
        }
    }
    if let Some(delay) = requeue {
        queue.add_after(key.clone(), delay);
    }
}
