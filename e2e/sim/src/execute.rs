//! Carries out actions against the map, as the executor does against the API; can be told to crash after some.

use leme_kinds::Kind;
use leme_meta::Status;
use leme_meta::gvk::split_api_version;
use leme_plan::{
    Action, Failure, ObjectRef, OutcomeEvents, Plan, Propagation, RECONCILE_ERROR, Shown,
};
use leme_registry::{DeleteOptions, Target};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::controllers::Fault;
use crate::kinds::by_kind;

/// An Event as the transcript shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// Time of day.
    pub(crate) at: String,
    pub(crate) about: String,
    pub(crate) warning: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
}

fn row(target: &ObjectRef) -> Result<&'static Kind, Status> {
    let (group, version) = split_api_version(&target.api_version);
    by_kind(group, version, &target.kind).ok_or_else(|| {
        Status::bad_request(format!("no kind {} in {}", target.kind, target.api_version))
    })
}

impl Cluster {
    /// Carries out a plan until something fails or a simulated crash comes; `Err(None)` where the world was not as planned
    /// for.
    pub(crate) fn execute(&mut self, plan: &Plan) -> Result<(), Option<Failure>> {
        if let Some(about) = &plan.report.about {
            for waiting in &plan.report.waiting {
                if matches!(waiting.shown, Shown::Event | Shown::Warning) {
                    let warning = waiting.shown == Shown::Warning;
                    self.note_once(about, warning, waiting.reason, &waiting.message);
                }
            }
        }
        for action in &plan.actions {
            if self.strike() == Some(Fault::Crash) {
                return Ok(());
            }
            let done = self.act(action);
            if let (Err(Some(failure)), Some(about)) = (&done, &plan.report.about)
                && failure.reason.is_empty()
            {
                self.note_once(about, true, RECONCILE_ERROR, &failure.message);
            }
            self.show_changes();
            done?;
        }
        Ok(())
    }

    /// `Err(None)`: the world was not as planned for.
    fn act(&mut self, action: &Action) -> Result<(), Option<Failure>> {
        match action {
            Action::Event { about, warning, reason, message } => {
                self.note(about, *warning, reason, message);
                Ok(())
            }
            Action::Create { object, told } => {
                let target = ObjectRef::of_value(&object.0);
                let result = self.create(&target, &object.0);
                self.finish(&target, told.as_ref(), "", result)
            }
            Action::Update { object, told } => self.put(&object.0, Target::Main, told.as_ref()),
            Action::Finalize { namespace } => self.put(&namespace.0, Target::Finalize, None),
            Action::Patch { target, subresource, patch, only_if, told } => {
                let only_if = only_if.as_ref();
                let result = self.patch(target, subresource, patch, only_if);
                result.and_then(|result| self.finish(target, told.as_ref(), "", result))
            }
            Action::Delete { target, grace, propagation, told } => {
                let options = DeleteOptions {
                    grace_period_seconds: grace.map(i64::from),
                    uid: some(&target.uid),
                    resource_version: some(&target.resource_version),
                    propagation: match propagation {
                        Propagation::Default => leme_registry::Propagation::Unset,
                        Propagation::Background => leme_registry::Propagation::Background,
                        Propagation::Foreground => leme_registry::Propagation::Foreground,
                        Propagation::Orphan => leme_registry::Propagation::Orphan,
                    },
                    ..DeleteOptions::default()
                };
                let result = row(target).and_then(|kind| {
                    self.api.delete(kind, &target.namespace, &target.name, &options)
                });
                self.finish(target, told.as_ref(), "", result)
            }
            Action::Post { target, subresource, body, done, told } => {
                let result = self.post(target, subresource, body);
                let is_done =
                    |refused: &Status| done.iter().any(|why| refused.message.contains(why));
                if result.as_ref().is_err_and(is_done) {
                    return Ok(());
                }
                self.finish(target, told.as_ref(), "", result)
            }
            Action::Bind { pod, node, told } => {
                let binding = json!({
                    "metadata": { "name": pod.name, "namespace": pod.namespace, "uid": pod.uid },
                    "target": { "apiVersion": "v1", "kind": "Node", "name": node },
                });
                let result = row(pod)
                    .and_then(|kind| self.api.bind(kind, &pod.namespace, &pod.name, binding));
                self.finish(pod, told.as_ref(), node, result)
            }
        }
    }

    fn create(&mut self, target: &ObjectRef, object: &Value) -> Result<Value, Status> {
        if target.kind == "ImageStreamImport" {
            return self.import(target, object);
        }
        row(target).and_then(|kind| self.api.create(kind, &target.namespace, object.clone()))
    }

    /// An import: every image that is asked for is there, under a digest made of its name.
    fn import(&mut self, target: &ObjectRef, import: &Value) -> Result<Value, Status> {
        let kind = row(&ObjectRef { kind: "ImageStream".to_owned(), ..target.clone() })?;
        let (namespace, name) = (&target.namespace, &target.name);
        let stream = self.api.get(kind, namespace, name).cloned();
        let mut stream = stream.ok_or_else(|| Status::not_found(&kind.gvr(), name))?;
        let now = leme_meta::time::seconds(self.api.now);
        for image in import["spec"]["images"].as_array().into_iter().flatten() {
            let text = |pointer: &str| {
                image.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned()
            };
            let (tag, from) = (text("/to/name"), text("/from/name"));
            let number = leme_plan::hashes::fnv1a(from.bytes());
            let digest = format!("sha256:{number:064x}");
            stream = leme_strategy::image_tag::pushed(&stream, &tag, &digest, &from, &now);
        }
        self.api.update(kind, namespace, name, Target::Status, stream)
    }

    /// The one thing that controllers ask for below an object: the next build of a configuration.
    fn post(
        &mut self,
        target: &ObjectRef,
        subresource: &str,
        body: &Value,
    ) -> Result<Value, Status> {
        let kind = row(target)?;
        let (namespace, name) = (&target.namespace, &target.name);
        let config = self.api.get(kind, namespace, name).filter(|_| subresource == "instantiate");
        let config = config.cloned().ok_or_else(|| Status::not_found(&kind.gvr(), name))?;
        let streams = row(&ObjectRef {
            api_version: "image.openshift.io/v1".to_owned(),
            kind: "ImageStream".to_owned(),
            ..ObjectRef::default()
        })?;
        let made = {
            let find =
                |namespace: &str, name: &str| self.api.get(streams, namespace, name).cloned();
            let now = leme_meta::time::seconds(self.api.now);
            leme_strategy::build::generate::instantiate(&config, body, &find, &now)?
        };
        if let Some(config) = made.config {
            self.api.update(kind, namespace, name, Target::Main, config)?;
        }
        let builds = row(&ObjectRef { kind: "Build".to_owned(), ..target.clone() })?;
        self.api.create(builds, namespace, made.build)
    }

    fn put(
        &mut self,
        object: &Value,
        part: Target,
        told: Option<&OutcomeEvents>,
    ) -> Result<(), Option<Failure>> {
        let target = ObjectRef::of_value(object);
        let result = row(&target).and_then(|kind| {
            self.api.update(kind, &target.namespace, &target.name, part, object.clone())
        });
        self.finish(&target, told, "", result)
    }

    fn patch(
        &mut self,
        target: &ObjectRef,
        subresource: &str,
        patch: &Value,
        only_if: Option<&ObjectRef>,
    ) -> Result<Result<Value, Status>, Option<Failure>> {
        if let Some(guard) = only_if {
            let live =
                row(guard).ok().and_then(|kind| self.api.get(kind, &guard.namespace, &guard.name));
            let live = live.is_some_and(|found| {
                found["metadata"]["uid"] == guard.uid.as_str()
                    && found["metadata"]["deletionTimestamp"].is_null()
            });
            if !live {
                return Err(None);
            }
        }
        let mut patch = patch.clone();
        for (field, value) in [("uid", &target.uid), ("resourceVersion", &target.resource_version)]
        {
            if !value.is_empty() {
                patch["metadata"][field] = value.as_str().into();
            }
        }
        let part = if subresource == "status" { Target::Status } else { Target::Main };
        Ok(row(target)
            .and_then(|kind| self.api.patch(kind, &target.namespace, &target.name, part, &patch)))
    }

    fn finish(
        &mut self,
        target: &ObjectRef,
        told: Option<&OutcomeEvents>,
        node: &str,
        result: Result<Value, Status>,
    ) -> Result<(), Option<Failure>> {
        let (name, error, outcome) = match result {
            Ok(value) => (ObjectRef::of_value(&value).name, String::new(), Ok(())),
            Err(status) if status.code == 404 => return Ok(()),
            Err(status) if status.code == 409 => return Err(None),
            Err(status) if status.message.contains("being terminated") => return Ok(()),
            Err(status) => {
                let reason = told.map_or("", |told| told.failed.0).to_owned();
                let failure = Failure { reason, message: status.message.clone() };
                (target.name.clone(), status.message, Err(Some(failure)))
            }
        };
        if let Some(told) = told {
            let (reason, template) = if outcome.is_ok() { &told.done } else { &told.failed };
            if reason.is_empty() {
                return outcome;
            }
            let message = template
                .replace("{namespace}", &told.about.namespace)
                .replace("{name}", &name)
                .replace("{node}", node)
                .replace("{error}", &error);
            self.note(&told.about, outcome.is_err(), reason, &message);
        }
        outcome
    }

    /// Writes an Event down.
    pub(crate) fn note(&mut self, about: &ObjectRef, warning: bool, reason: &str, message: &str) {
        let about = format!("{}/{}", about.kind.to_lowercase(), about.name);
        let at = self.api.now.strftime("%H:%M:%S").to_string();
        let (reason, message) = (reason.to_owned(), message.to_owned());
        self.notes.push(Note { at, about, warning, reason, message });
    }

    /// Writes down what happens to the simulation itself.
    pub(crate) fn tell_of(&mut self, what: &str, reason: &str, message: &str) {
        let at = self.api.now.strftime("%H:%M:%S").to_string();
        let [about, reason, message] = [what, reason, message].map(str::to_owned);
        self.notes.push(Note { at, about, warning: true, reason, message });
    }

    /// Writes an Event down unless the last one about the object for that reason said the same.
    fn note_once(&mut self, about: &ObjectRef, warning: bool, reason: &str, message: &str) {
        let key = (about.uid.clone(), reason.to_owned());
        if self.told.get(&key).map(String::as_str) != Some(message) {
            self.told.insert(key, message.to_owned());
            self.note(about, warning, reason, message);
        }
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}
