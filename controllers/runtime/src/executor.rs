//! Carries out the actions of a plan and says what was written, what failed and what has to be planned again.
//!
//! 404 and 409 mean that the world has moved on: the plan is dropped where it stands and made again. Neighbouring creates
//! start slowly (1, 2, 4, ... at once), so that a quota or a bad template fails once and not five hundred times.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use http::Method;
use leme_client::{About, Client, Error, JSON, MERGE_PATCH, Meaning, Note, Recorder, Resource};
use leme_plan::{
    Action, Failure, ObjectRef, OutcomeEvents, Plan, Propagation, RECONCILE_ERROR, Shown,
};
use serde_json::{Value, json};
use tracing::{debug, warn};

use crate::brake::Brake;
use crate::informer::Informer;
use crate::outcome::{Answer, Outcome, Step, Written, gone, unserved};

const DELETES_AT_ONCE: usize = 16;
/// What passes for a success: nothing comes to be in a namespace that is going, and what is gone needs no change.
const CREATES: &[Meaning] = &[Meaning::Terminating];
const CHANGES: &[Meaning] = &[Meaning::NotFound, Meaning::Terminating];
const SIGHT_TIMEOUT: Duration = Duration::from_secs(60);

/// Looks up a kind's resource by `apiVersion` and `kind`.
pub type Resolve = Arc<dyn Fn(&str, &str) -> Option<Resource> + Send + Sync>;

/// Carries out plans.
pub struct Executor {
    client: Client,
    resolve: Resolve,
    recorder: Recorder,
    informers: Arc<HashMap<(String, String), Arc<Informer>>>,
}

impl Executor {
    /// Acts through `client`; `informers` are those that writes are waited for in, by `apiVersion` and `kind`.
    pub fn new(
        client: Client,
        resolve: Resolve,
        recorder: Recorder,
        informers: HashMap<(String, String), Arc<Informer>>,
    ) -> Executor {
        Executor { client, resolve, recorder, informers: Arc::new(informers) }
    }

    /// The same, but that it asks and writes through another client.
    pub fn by(&self, client: Client) -> Executor {
        let (resolve, recorder) = (Arc::clone(&self.resolve), self.recorder.clone());
        Executor { client, resolve, recorder, informers: Arc::clone(&self.informers) }
    }

    /// The API.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The resource of a kind.
    pub fn resource(&self, api_version: &str, kind: &str) -> Option<Resource> {
        (self.resolve)(api_version, kind)
    }

    /// Carries out a plan as `component`.
    pub async fn execute(
        &self,
        component: &'static str,
        plan: &Plan,
        brake: Option<&Brake>,
    ) -> Outcome {
        self.tell_waits(component, plan);
        let mut outcome = Outcome::default();
        let mut rest = plan.actions.as_slice();
        let mut batch = 1;
        while let Some(first) = rest.first() {
            let alike = rest.iter().take_while(|one| side_by_side(first, one)).count().max(1);
            let at_once = match first {
                Action::Create { .. } => alike.min(batch),
                Action::Delete { .. } => alike.min(DELETES_AT_ONCE),
                _ => 1,
            };
            let at_once = match (first, brake) {
                (Action::Delete { .. }, Some(brake)) => match brake.take_up_to(at_once) {
                    Ok(granted) => granted,
                    Err(wait) => {
                        if brake.tells() {
                            warn!(component, ?wait, "mass-delete brake: deletions wait");
                        }
                        outcome.braked = Some(wait);
                        return outcome;
                    }
                },
                _ => at_once,
            };
            let (now, later) = rest.split_at(at_once);
            rest = later;
            batch =
                if matches!(first, Action::Create { .. }) { batch.saturating_mul(2) } else { 1 };
            for done in join_all(now.iter().map(|action| self.act(component, action))).await {
                match done {
                    Step::Wrote(written) => outcome.writes.push(written),
                    Step::Nothing => {}
                    Step::Stale => outcome.stale = true,
                    Step::Failed(failure) => outcome.failure = Some(failure),
                }
            }
            if outcome.is_over() {
                break;
            }
        }
        self.tell_failure(component, plan, &outcome);
        outcome
    }

    /// Tells of a refused write whose action has no Events of its own.
    fn tell_failure(&self, component: &'static str, plan: &Plan, outcome: &Outcome) {
        let untold = outcome.failure.as_ref().filter(|failure| failure.reason.is_empty());
        if let (Some(failure), Some(about)) = (untold, &plan.report.about) {
            self.recorder.wait(note(component, about, true, RECONCILE_ERROR, &failure.message));
        }
    }

    /// Waits until the caches have seen what was written. Whether they have.
    pub async fn seen(&self, outcome: &Outcome) -> bool {
        let all = join_all(outcome.writes.iter().map(|written| self.seen_one(written)));
        tokio::time::timeout(SIGHT_TIMEOUT, all).await.is_ok()
    }

    async fn seen_one(&self, written: &Written) {
        match written {
            Written::Put { kind, revision } => {
                let Some(informer) = self.informers.get(kind) else { return };
                // An error means that the informer is gone, and the process with it.
                let _ = informer.seen().wait_for(|seen| seen >= revision).await;
            }
            Written::Gone { kind, key, uid } => {
                let Some(informer) = self.informers.get(kind) else { return };
                let _ = informer.seen().wait_for(|_| !informer.lister().is_live(key, uid)).await;
            }
        }
    }

    fn tell_waits(&self, component: &'static str, plan: &Plan) {
        let Some(about) = &plan.report.about else { return };
        for waiting in &plan.report.waiting {
            let warning = match waiting.shown {
                Shown::Status | Shown::Late => continue,
                Shown::Event => false,
                Shown::Warning => true,
            };
            self.recorder.wait(note(component, about, warning, waiting.reason, &waiting.message));
        }
    }

    async fn act(&self, component: &'static str, action: &Action) -> Step {
        match action {
            Action::Event { about, warning, reason, message } => {
                self.recorder.tell(note(component, about, *warning, reason, message));
                Step::Nothing
            }
            Action::Create { object, told } => {
                let target = ObjectRef::of_value(&object.0);
                let result = self.create(&target, &object.0).await;
                self.finish(component, &target, told.as_ref(), "", result, CREATES)
            }
            Action::Update { object, told } => {
                let target = ObjectRef::of_value(&object.0);
                let result = self.put(&target, "", &object.0).await;
                // Who is to be told does not take nothing for done.
                let passes = if told.is_some() { &[][..] } else { CHANGES };
                self.finish(component, &target, told.as_ref(), "", result, passes)
            }
            Action::Finalize { namespace } => {
                let target = ObjectRef::of_value(&namespace.0);
                let result = self.put(&target, "finalize", &namespace.0).await;
                self.finish(component, &target, None, "", result, CHANGES)
            }
            Action::Patch { target, subresource, patch, only_if, told } => {
                let result = self.patch(target, subresource, patch, only_if.as_ref()).await;
                let passes = if told.is_some() { &[][..] } else { CHANGES };
                self.finish(component, target, told.as_ref(), "", result, passes)
            }
            Action::Delete { target, grace, propagation, told } => {
                let result = self.delete(target, *grace, *propagation).await;
                match self.finish(component, target, told.as_ref(), "", result, CHANGES) {
                    Step::Wrote(_) => Step::Wrote(Written::Gone {
                        kind: (target.api_version.clone(), target.kind.clone()),
                        key: (target.namespace.clone(), target.name.clone()),
                        uid: target.uid.clone(),
                    }),
                    other => other,
                }
            }
            Action::Post { target, subresource, body, done, told } => {
                let result = self.post(target, subresource, body).await;
                let is_done = |error: &Error| done.iter().any(|why| error.message().contains(why));
                if result.as_ref().is_err_and(is_done) {
                    return Step::Nothing;
                }
                match self.finish(component, target, told.as_ref(), "", result, CREATES) {
                    // What was written is another object than the one that was asked.
                    Step::Wrote(_) => Step::Nothing,
                    other => other,
                }
            }
            Action::Bind { pod, node, told } => {
                let result = self.bind(pod, node).await;
                match self.finish(component, pod, told.as_ref(), node, result, CREATES) {
                    Step::Wrote(_) => Step::Nothing,
                    other => other,
                }
            }
        }
    }

    fn path(&self, target: &ObjectRef, subresource: &str) -> Result<String, Error> {
        let resource =
            self.resource(&target.api_version, &target.kind).ok_or_else(|| unserved(target))?;
        Ok(resource.object(&target.namespace, &target.name, subresource))
    }

    async fn create(&self, target: &ObjectRef, object: &Value) -> Result<Answer, Error> {
        let resource =
            self.resource(&target.api_version, &target.kind).ok_or_else(|| unserved(target))?;
        let path = resource.collection(&target.namespace);
        self.client.call(Method::POST, &path, JSON, Some(object)).await
    }

    async fn put(
        &self,
        target: &ObjectRef,
        subresource: &str,
        object: &Value,
    ) -> Result<Answer, Error> {
        let path = self.path(target, subresource)?;
        self.client.call(Method::PUT, &path, JSON, Some(object)).await
    }

    async fn patch(
        &self,
        target: &ObjectRef,
        subresource: &str,
        patch: &Value,
        only_if: Option<&ObjectRef>,
    ) -> Result<Answer, Error> {
        if let Some(guard) = only_if
            && !self.client.is_live(&self.path(guard, "")?, &guard.uid).await?
        {
            return Err(gone(guard));
        }
        let mut patch = patch.clone();
        for (field, value) in [("uid", &target.uid), ("resourceVersion", &target.resource_version)]
        {
            if !value.is_empty() {
                patch["metadata"][field] = value.as_str().into();
            }
        }
        let path = self.path(target, subresource)?;
        self.client.call(Method::PATCH, &path, MERGE_PATCH, Some(&patch)).await
    }

    async fn delete(
        &self,
        target: &ObjectRef,
        grace: Option<u32>,
        propagation: Propagation,
    ) -> Result<Answer, Error> {
        let mut preconditions = json!({});
        for (field, value) in [("uid", &target.uid), ("resourceVersion", &target.resource_version)]
        {
            if !value.is_empty() {
                preconditions[field] = value.as_str().into();
            }
        }
        let mut options =
            json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions });
        if let Some(grace) = grace {
            options["gracePeriodSeconds"] = grace.into();
        }
        let policy = match propagation {
            Propagation::Default => None,
            Propagation::Background => Some("Background"),
            Propagation::Foreground => Some("Foreground"),
            Propagation::Orphan => Some("Orphan"),
        };
        if let Some(policy) = policy {
            options["propagationPolicy"] = policy.into();
        }
        let path = self.path(target, "")?;
        self.client.call(Method::DELETE, &path, JSON, Some(&options)).await
    }

    async fn post(
        &self,
        target: &ObjectRef,
        subresource: &str,
        body: &Value,
    ) -> Result<Answer, Error> {
        let path = self.path(target, subresource)?;
        self.client.call(Method::POST, &path, JSON, Some(body)).await
    }

    async fn bind(&self, pod: &ObjectRef, node: &str) -> Result<Answer, Error> {
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": { "name": pod.name, "namespace": pod.namespace, "uid": pod.uid },
            "target": { "apiVersion": "v1", "kind": "Node", "name": node },
        });
        let path = self.path(pod, "binding")?;
        self.client.call(Method::POST, &path, JSON, Some(&binding)).await
    }

    /// Tells of the result, and judges it: what passes is a sign that nothing is to be done any more.
    fn finish(
        &self,
        component: &'static str,
        target: &ObjectRef,
        told: Option<&OutcomeEvents>,
        node: &str,
        result: Result<Answer, Error>,
        passes: &[Meaning],
    ) -> Step {
        let error = match result {
            Ok(Answer { metadata: written }) => {
                let name = if written.name.is_empty() { &target.name } else { &written.name };
                self.tell(component, told, false, name, node, "");
                let revision = written.resource_version.parse().unwrap_or(0);
                let kind = (target.api_version.clone(), target.kind.clone());
                return Step::Wrote(Written::Put { kind, revision });
            }
            Err(error) => error,
        };
        debug!(
            component,
            kind = target.kind,
            name = target.name,
            error = error.message(),
            "refused"
        );
        match error.meaning() {
            meaning if passes.contains(&meaning) => Step::Nothing,
            Meaning::Conflict | Meaning::Expired => Step::Stale,
            Meaning::NotFound | Meaning::Terminating | Meaning::Refused | Meaning::Other => {
                let message = error.message().to_owned();
                self.tell(component, told, true, &target.name, node, &message);
                let reason = told.map_or("", |told| told.failed.0).to_owned();
                Step::Failed(Failure { reason, message })
            }
        }
    }

    fn tell(
        &self,
        component: &'static str,
        told: Option<&OutcomeEvents>,
        failed: bool,
        name: &str,
        node: &str,
        error: &str,
    ) {
        let Some(told) = told else { return };
        let (reason, template) = if failed { &told.failed } else { &told.done };
        if reason.is_empty() {
            return;
        }
        let message = template
            .replace("{namespace}", &told.about.namespace)
            .replace("{name}", name)
            .replace("{node}", node)
            .replace("{error}", error);
        self.recorder.tell(note(component, &told.about, failed, reason, &message));
    }
}

fn note(
    component: &'static str,
    about: &ObjectRef,
    warning: bool,
    reason: &'static str,
    message: &str,
) -> Note {
    let ObjectRef { api_version, kind, namespace, name, uid, resource_version } = about.clone();
    let field_path = String::new();
    let about = About { api_version, kind, namespace, name, uid, resource_version, field_path };
    Note { component, about, warning, reason, message: message.to_owned(), host: String::new() }
}

fn side_by_side(first: &Action, other: &Action) -> bool {
    matches!(
        (first, other),
        (Action::Create { .. }, Action::Create { .. })
            | (Action::Delete { .. }, Action::Delete { .. })
    )
}
