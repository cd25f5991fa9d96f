//! The table of controllers on the fake clock: the same watches, looks and queues as in a process that runs it, and ways to
//! let it miss things.
//!
//! Knows: how changes reach the cache, and when they do not. Refuses to know: any controller by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leme_controllers::{
    ASKS, Answer, Answers, Blocked, Cache, Controller, Found, Question, Refusal, Settings, View,
    Waker, table,
};
use leme_kinds::Kind;
use leme_lister::{AnyLister, Key, WorkQueue};
use leme_meta::gvk::split_api_version;
use leme_plan::serving_cert::{Authority, Made};
use leme_plan::{Failure, Plan, Standing};
use serde_json::{Value, json};

use crate::api::{Api, Event};
use crate::cluster::Cluster;
use crate::kinds::{by_kind, defined};
use crate::rights;

/// More looks at one moment than any cluster of a script needs: reaching it means that controllers fight.
const LOOKS: usize = 20_000;

/// What happens to the controllers at one of their actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They lose all they remember before it.
    Crash,
    /// From then on they see no change until they have nothing to do; then all, one by one.
    Freeze,
    /// From then on they see no change until they have nothing to do; then how things stand, as a list tells it: what came
    /// and went meanwhile they never see.
    Hide,
}

/// A controller with its queue.
struct Running {
    controller: Controller,
    queue: Arc<Mutex<WorkQueue>>,
    failures: BTreeMap<Key, Failure>,
    standing: Standing<Key>,
    /// Keys whose plan met a world that had moved on.
    stale: Vec<Key>,
    /// Keys whose writes the cache has not seen.
    unseen: Vec<Key>,
}

/// The controllers, their cache, and what they have not been shown.
pub(crate) struct Controllers {
    running: Vec<Running>,
    cache: Arc<Cache>,
    listers: HashMap<(String, String), Arc<dyn AnyLister>>,
    uptime: Arc<AtomicU64>,
    /// What is withheld, and how it will be shown.
    withheld: Option<(Fault, Vec<Event>)>,
    /// How often each has acted.
    pub(crate) acted: BTreeMap<&'static str, usize>,
    /// Whether somebody certifies Services.
    certifies: bool,
}

fn lock(queue: &Mutex<WorkQueue>) -> MutexGuard<'_, WorkQueue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Controllers {
    /// The whole table over a cache of nothing.
    pub(crate) fn new(certifies: bool) -> Controllers {
        let (cache, uptime) = (Cache::new(), Arc::new(AtomicU64::new(0)));
        let start = |controller: Controller| {
            let (queue, time) = (Arc::new(Mutex::new(WorkQueue::default())), uptime.clone());
            let woken = queue.clone();
            let waker = Waker {
                clock: Arc::new(move || Duration::from_millis(time.load(Ordering::Relaxed))),
                add: Arc::new(move |key| lock(&woken).add(key)),
            };
            controller.watches.iter().for_each(|watch| watch.attach(&cache, &waker));
            let (failures, standing) = (BTreeMap::new(), Standing::default());
            let (stale, unseen) = (Vec::new(), Vec::new());
            Running { controller, queue, failures, standing, stale, unseen }
        };
        let running = table(&settings(certifies)).into_iter().map(start).collect();
        let named = |lister: Arc<dyn AnyLister>| {
            let resource = lister.resource();
            ((resource.api_version.clone(), resource.kind.clone()), lister)
        };
        let listers = cache.all().iter().cloned().chain(cache.defined()).map(named).collect();
        cache.foreign.take(Found { best: defined(), all: defined(), ..Found::default() });
        let acted = BTreeMap::new();
        Controllers { running, cache, listers, uptime, withheld: None, acted, certifies }
    }

    /// The names of all.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.running.iter().map(|one| one.controller.name).collect()
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.uptime.load(Ordering::Relaxed))
    }

    /// Shows changes to the cache, or keeps them back.
    pub(crate) fn show(&mut self, events: Vec<Event>) {
        match &mut self.withheld {
            Some((_, withheld)) => withheld.extend(events),
            None => events.iter().for_each(|event| self.tell(event)),
        }
    }

    fn tell(&self, (kind, key, object): &Event) {
        let name = (kind.api_version(), kind.kind.to_string());
        let Some(lister) = self.listers.get(&name) else { return };
        match object {
            None => lister.remove(key),
            Some(object) => {
                if let Err(error) = lister.put(&object.to_string()) {
                    panic!("a stored {} cannot be read: {error}\n{object}", kind.kind);
                }
            }
        }
    }

    /// Shows what was withheld. Whether there is anything to do again.
    fn release(&mut self) -> bool {
        let Some((fault, events)) = self.withheld.take() else { return false };
        let mut last = HashMap::new();
        for (at, (kind, key, _)) in events.iter().enumerate() {
            last.insert((kind.key("", ""), key.clone()), at);
        }
        for (at, event) in events.iter().enumerate() {
            let (kind, key, _) = event;
            if fault != Fault::Hide || last.get(&(kind.key("", ""), key.clone())) == Some(&at) {
                self.tell(event);
            }
        }
        for one in &mut self.running {
            for key in one.unseen.drain(..) {
                lock(&one.queue).done(&key);
            }
        }
        true
    }

    /// Looks again at what was planned for another world. Whether there is any.
    fn retry(&mut self) -> bool {
        let mut any = false;
        for one in &mut self.running {
            for key in one.stale.drain(..) {
                lock(&one.queue).add(key);
                any = true;
            }
        }
        any
    }
}

impl Cluster {
    /// Every controller, every key that is to be looked at, until there is none. Whether there was any.
    pub(crate) fn run_controllers(&mut self) -> bool {
        let now = self.api.now.duration_since(self.midnight).as_millis();
        let now = u64::try_from(now).unwrap_or_default();
        self.controllers.uptime.store(now, Ordering::Relaxed);
        self.show_changes();
        let mut looks = 0;
        loop {
            let before = looks;
            for index in 0..self.controllers.running.len() {
                while let Some(key) = self.next_key(index) {
                    self.run_key(index, key);
                    looks += 1;
                    if looks > LOOKS {
                        let last: Vec<_> = self.notes.iter().rev().take(10).collect();
                        panic!("the controllers do not settle: {last:?}");
                    }
                }
            }
            if looks == before && !self.controllers.release() && !self.controllers.retry() {
                return looks > 0;
            }
        }
    }

    fn next_key(&self, index: usize) -> Option<Key> {
        let one = &self.controllers.running[index];
        lock(&one.queue).next(self.controllers.uptime())
    }

    pub(crate) fn show_changes(&mut self) {
        let events = std::mem::take(&mut self.api.events);
        self.controllers.show(events);
    }

    fn run_key(&mut self, index: usize, key: Key) {
        let one = &self.controllers.running[index];
        let (controller, queue) = (one.controller.clone(), one.queue.clone());
        let mut plan = match self.plan(&controller, &key, one.failures.get(&key)) {
            Ok(plan) => plan,
            Err(message) => panic!("{} cannot look at {key:?}: {message}", controller.name),
        };
        let now = self.controllers.uptime();
        self.controllers.running[index].standing.ripen(key.clone(), &mut plan, now);
        if !plan.actions.is_empty() {
            *self.controllers.acted.entry(controller.name).or_default() += plan.actions.len();
        }
        plan.actions.iter().for_each(|action| rights::judge(&controller, action));
        let revision = self.api.revision;
        let carried_out = self.execute(&plan);
        let written = self.api.revision > revision;
        let Some(one) = self.controllers.running.get_mut(index) else { return };
        if !Arc::ptr_eq(&one.queue, &queue) {
            // They have crashed meanwhile: this one is not there any more.
            return;
        }
        let mut keys = lock(&queue);
        let had = one.failures.remove(&key).is_some();
        match carried_out {
            Err(Some(failure)) => {
                one.failures.insert(key.clone(), failure);
                keys.add_failed(key.clone(), now);
            }
            Err(None) => one.stale.push(key.clone()),
            Ok(()) => {
                keys.succeeded(&key);
                if had {
                    keys.add(key.clone());
                }
            }
        }
        if let Some(delay) = plan.requeue {
            keys.add_at(key.clone(), now.saturating_add(delay));
        }
        if written && self.controllers.withheld.is_some() {
            one.unseen.push(key);
        } else {
            keys.done(&key);
        }
    }

    /// Looks at a key until nothing has to be asked any more.
    fn plan(
        &self,
        controller: &Controller,
        key: &Key,
        failure: Option<&Failure>,
    ) -> Result<Plan, String> {
        let (cache, uptime) = (&*self.controllers.cache, self.controllers.uptime());
        let mut answers = Answers::new();
        for _ in 0..ASKS {
            let view = View { cache, now: self.api.now, uptime, failure, answers: &answers };
            match controller.look(&view, key) {
                Ok(plan) => return Ok(plan),
                Err(Blocked::Failed(message)) => return Err(message),
                Err(Blocked::Ask(questions)) => {
                    for question in questions {
                        rights::judge_question(controller, &question);
                        let answer = answer(&self.api, &question);
                        answers.insert(question, answer);
                    }
                }
            }
        }
        Err("too many questions".to_owned())
    }

    /// What happens at an action of a controller.
    pub(crate) fn strike(&mut self) -> Option<Fault> {
        let (fault, left) = self.fault.as_mut()?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        let fault = *fault;
        self.fault = None;
        self.tell_fault(fault);
        match fault {
            Fault::Crash => self.crash_controllers(),
            Fault::Freeze | Fault::Hide => self.controllers.withheld = Some((fault, Vec::new())),
        }
        Some(fault)
    }

    fn tell_fault(&mut self, fault: Fault) {
        let (reason, message) = match fault {
            Fault::Crash => ("Crash", "they lose all they remember"),
            Fault::Freeze => ("Freeze", "they see nothing until they have nothing to do"),
            Fault::Hide => ("Hide", "what comes and goes now they never see"),
        };
        self.tell_of("controllers", reason, message);
    }

    /// From now on somebody certifies Services.
    pub(crate) fn certify_services(&mut self) {
        self.controllers.certifies = true;
        self.crash_controllers();
    }

    /// The controllers lose all they remember: what they do next comes from the API alone.
    fn crash_controllers(&mut self) {
        let acted = std::mem::take(&mut self.controllers.acted);
        let uptime = self.controllers.uptime.load(Ordering::Relaxed);
        self.controllers = Controllers::new(self.controllers.certifies);
        self.controllers.acted = acted;
        self.controllers.uptime.store(uptime, Ordering::Relaxed);
        self.api.events = self.api.all();
        self.show_changes();
        self.forget();
    }
}

fn row(api_version: &str, kind: &str) -> Option<&'static Kind> {
    let (group, version) = split_api_version(api_version);
    by_kind(group, version, kind)
}

fn settings(certifies: bool) -> Settings {
    let certificate = certificate("authority");
    let authority = Authority {
        name: "openshift-service-serving-signer@0".to_owned(),
        bundle: certificate.clone(),
        certificate,
    };
    Settings {
        service_authority: certifies.then(|| (authority, "cluster.local".to_owned())),
        ..Settings::default()
    }
}

fn certificate(of: &str) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{of}\n-----END CERTIFICATE-----\n")
}

/// A certificate that says its names.
fn signed(names: &[String]) -> Made {
    Made {
        chain: certificate(&names.join(" ")) + &certificate("authority"),
        key: "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n".to_owned(),
        expires: jiff::Timestamp::from_second(4_102_444_800).unwrap_or_default(),
    }
}

/// Answers as the API server does.
fn answer(api: &Api, question: &Question) -> Result<Answer, Refusal> {
    let missing = || Refusal { not_found: true, message: "not found".to_owned() };
    match question {
        Question::Certificate { names, .. } => Ok(Answer::Certificate(signed(names))),
        Question::Kinds => {
            Ok(Answer::Kinds(Found { best: defined(), all: defined(), ..Found::default() }))
        }
        Question::Objects { resource, namespace, labels }
            if resource.api_version == "metrics.k8s.io/v1beta1" =>
        {
            Ok(Answer::Object(crate::load::used(api, namespace, labels)))
        }
        Question::Objects { resource, namespace, .. } => {
            let kind = row(&resource.api_version, &resource.kind).ok_or_else(missing)?;
            let items: Vec<&Value> = api.list(kind, Some(namespace));
            Ok(Answer::Object(json!({ "items": items })))
        }
        Question::Object { resource, namespace, name, subresource } => {
            let kind = row(&resource.api_version, &resource.kind).ok_or_else(missing)?;
            let found = api.get(kind, namespace, name).ok_or_else(missing)?;
            if *subresource == "scale" {
                let scale = leme_strategy::of(kind).scale.ok_or_else(missing)?;
                let shown = leme_registry::scale_shown(kind, &scale, found);
                return shown.map(Answer::Object).map_err(|status| Refusal {
                    not_found: status.code == 404,
                    message: status.message,
                });
            }
            Ok(Answer::Object(found.clone()))
        }
    }
}
