//! Runs a controller of the table: a queue that its watches fill, and rounds in which it looks, asks and plans.
//!
//! Knows: how questions are put to the API. Refuses to know: any controller by name.

use std::sync::Arc;
use std::time::Instant;

use futures::future::join_all;
use jiff::Timestamp;
use leme_client::query::query;
use leme_client::{Client, Error};
use leme_controller_runtime::{Brake, Executor, Key, Queue};
use leme_controllers::{
    ASKS, Answer, Answers, Blocked, Cache, Clock, Controller, Question, Refusal, View, Waker,
};
use leme_plan::{Failure, Plan};
use tokio_util::sync::CancellationToken;

use crate::kinds::Kinds;
use crate::{Accounts, Signer, Start};

/// Questions that are put side by side.
const ASKED_AT_ONCE: usize = 16;

/// What every controller is run with.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) cache: Arc<Cache>,
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) accounts: Accounts,
    pub(crate) start: Instant,
    /// Who signs for Services.
    pub(crate) signer: Option<Arc<dyn Signer>>,
}

impl Runner {
    /// Attaches a controller's watches, so that nothing that comes from now on is missed. Gives what starts its work.
    pub(crate) fn prepare(&self, controller: Controller) -> Start {
        let (queue, start) = (Arc::new(Queue::default()), self.start);
        let clock: Clock = Arc::new(move || start.elapsed());
        let woken = queue.clone();
        let waker = Waker { clock, add: Arc::new(move |key| woken.add(key)) };
        for watch in &controller.watches {
            watch.attach(&self.cache, &waker);
        }
        let mut runner = self.clone();
        let client = (self.accounts)(controller.account());
        runner.executor = Arc::new(self.executor.by(client));
        Box::new(move |token, tasks| {
            tasks.spawn(runner.work(controller, queue, token));
        })
    }

    async fn work(self, controller: Controller, queue: Arc<Queue>, token: CancellationToken) {
        let brake = controller.brake.map(|rate| Brake::new(rate.burst, rate.per_second));
        let (name, workers) = (controller.name, controller.workers);
        let rounds = leme_controller_runtime::Controller { name, queue, workers, brake };
        let executor = self.executor.clone();
        let each = move |key: Key, failure: Option<Failure>| {
            let (runner, controller) = (self.clone(), controller.clone());
            async move { runner.plan(&controller, &key, failure.as_ref()).await }
        };
        rounds.run(executor, each, token).await;
    }

    /// Looks at a key until nothing has to be asked any more.
    async fn plan(
        &self,
        controller: &Controller,
        key: &Key,
        failure: Option<&Failure>,
    ) -> Result<Plan, String> {
        let mut answers = Answers::new();
        for _ in 0..ASKS {
            let view = View {
                cache: &self.cache,
                now: Timestamp::now(),
                uptime: self.start.elapsed(),
                failure,
                answers: &answers,
            };
            match controller.look(&view, key) {
                Ok(plan) => return Ok(plan),
                Err(Blocked::Failed(message)) => return Err(message),
                Err(Blocked::Ask(questions)) => {
                    for some in questions.chunks(ASKED_AT_ONCE) {
                        let answered = join_all(some.iter().map(|one| self.ask(one))).await;
                        answers.extend(some.iter().cloned().zip(answered));
                    }
                }
            }
        }
        Err(format!("asked {ASKS} times and still has questions"))
    }

    async fn ask(&self, question: &Question) -> Result<Answer, Refusal> {
        let client = self.executor.client();
        match question {
            Question::Object { resource, namespace, name, subresource } => {
                get(client, &resource.object(namespace, name, subresource)).await
            }
            Question::Objects { resource, namespace, labels } => {
                let labels = Some(labels.as_str()).filter(|labels| !labels.is_empty());
                let selected = query(&[("labelSelector", labels)]);
                get(client, &format!("{}{selected}", resource.collection(namespace))).await
            }
            Question::Certificate { names, uid } => {
                let signed = match &self.signer {
                    Some(signer) => signer.issue(names, uid),
                    None => Err("nobody signs for Services here".to_owned()),
                };
                let refused = |message| Refusal { not_found: false, message };
                signed.map(Answer::Certificate).map_err(refused)
            }
            Question::Kinds => {
                self.kinds.found().await.map(Answer::Kinds).map_err(|error| refusal(&error))
            }
        }
    }
}

async fn get(client: &Client, path: &str) -> Result<Answer, Refusal> {
    client.get(path).await.map(Answer::Object).map_err(|error| refusal(&error))
}

fn refusal(error: &Error) -> Refusal {
    Refusal { not_found: error.is_not_found(), message: error.message().to_owned() }
}
