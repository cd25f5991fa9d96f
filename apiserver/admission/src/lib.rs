//! Admission plug-ins: what may change or refuse a write besides the rules of its kind.
//!
//! Knows: a file per plug-in, which writes each is about, and which other objects it looks at. Refuses to know: where
//! those objects come from, who asks, and what is stored.
#![forbid(unsafe_code)]

mod always_pull;
mod build_strategy;
mod builder_image;
mod certificates;
mod classes;
mod configuration;
mod escalation;
pub mod eviction;
mod image_policy;
mod image_tags;
mod lifecycle;
mod limits;
mod node_restriction;
mod node_selector;
mod node_taint;
mod owner_references;
pub mod pod_security;
mod priority;
pub mod quota;
mod resources;
mod runtime_class;
pub mod scc;
mod service_account;
#[cfg(test)]
mod tests;
mod toleration_restriction;
mod tolerations;
mod volumes;

use std::sync::Arc;

use leme_access::{GROUP, Policy};
use leme_meta::Status;
use leme_registry::{Admission, Asked, json};
use serde_json::Value;

/// A kind whose objects a plug-in looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// API group.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Plural resource.
    pub plural: &'static str,
}

/// The objects that plug-ins look at, with every write that was answered before. What cannot be read is an error, not an
/// absence.
pub trait Facts: Send + Sync {
    /// An object by its name; the namespace is empty for cluster-scoped kinds.
    fn get(&self, of: &Seen, namespace: &str, name: &str) -> Result<Option<Arc<Value>>, Status>;
    /// All objects of a namespace, or of the cluster if it is empty.
    fn list(&self, of: &Seen, namespace: &str) -> Result<Vec<Arc<Value>>, Status>;
    /// The first objects of a namespace, at most so many, and how many there are.
    fn some(
        &self,
        of: &Seen,
        namespace: &str,
        most: usize,
    ) -> Result<(Vec<Arc<Value>>, usize), Status> {
        let mut all = self.list(of, namespace)?;
        let total = all.len();
        all.truncate(most);
        Ok((all, total))
    }
    /// Whether an object is on its way out; nothing if there is none.
    fn is_going(&self, of: &Seen, namespace: &str, name: &str) -> Result<Option<bool>, Status> {
        let going = |object: &Value| {
            json::at(object, &["metadata", "deletionTimestamp"]).is_some()
                || json::text(object, &["status", "phase"]) == "Terminating"
        };
        Ok(self.get(of, namespace, name)?.as_deref().map(going))
    }
    /// Who may do what at this moment.
    fn policy(&self) -> Arc<Policy> {
        Arc::default()
    }
    /// What whoever starts the server asks of plug-ins.
    fn settings(&self) -> &Settings {
        static NONE: Settings = Settings::NONE;
        &NONE
    }
}

/// Which plug-ins are asked, and how.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Those that are asked though they are not by default.
    pub on: Vec<&'static str>,
    /// Those that are not asked.
    pub off: Vec<&'static str>,
    /// What is asked of them.
    pub settings: Settings,
}

impl Config {
    /// The names of plug-ins.
    ///
    /// # Errors
    /// The first of which there is no plug-in.
    pub fn named(names: &[String]) -> Result<Vec<&'static str>, String> {
        let all = || PLUG_INS.iter().map(|plug_in| plug_in.name);
        let known = |name: &String| all().find(|known| known == name).ok_or_else(|| name.clone());
        names.iter().map(known).collect()
    }
}

/// What whoever starts a server asks of plug-ins.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is asked of pods besides what their namespaces ask.
    pub pod_security: pod_security::Settings,
}

impl Settings {
    /// Nothing.
    pub const NONE: Settings = Settings { pod_security: pod_security::Settings::NONE };
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::NONE
    }
}

/// Changes an object that has its defaults, or refuses it.
type Mutate = fn(&Asked, &mut Value, Option<&Value>, &dyn Facts) -> Result<(), Status>;
/// Refuses a write that is valid. `None` as the new object on delete, as the old one on create.
type Validate = fn(&Asked, Option<&Value>, Option<&Value>, &dyn Facts) -> Result<(), Status>;
/// What whoever writes is told of a write that is let in; `None` as the old object on create.
type Warn = fn(&Asked, &Value, Option<&Value>, &dyn Facts) -> Vec<String>;

/// One rule of admission.
pub struct PlugIn {
    /// Its name, upstream's.
    pub name: &'static str,
    /// Whether it is asked where nobody says so.
    by_default: bool,
    /// Which writes it is asked about.
    about: fn(&Asked) -> bool,
    /// The kinds whose objects it looks at.
    sees: &'static [Seen],
    /// What a write waits for a little while, for it will be there soon.
    awaits: fn(&Asked, &Value) -> Option<(Seen, &'static str)>,
    mutate: Mutate,
    validate: Validate,
    warn: Warn,
}

impl PlugIn {
    /// A plug-in that is about nothing.
    const NONE: PlugIn = PlugIn {
        name: "",
        by_default: true,
        about: |_| false,
        sees: &[],
        awaits: |_, _| None,
        mutate: |_, _, _, _| Ok(()),
        validate: |_, _, _, _| Ok(()),
        warn: |_, _, _, _| Vec::new(),
    };
}

/// All plug-ins, in the order in which they are asked.
static PLUG_INS: &[PlugIn] = &[
    build_strategy::PLUG_IN,
    builder_image::PLUG_IN,
    image_policy::PLUG_IN,
    image_tags::PLUG_IN,
    always_pull::PLUG_IN,
    lifecycle::PLUG_IN,
    limits::PLUG_IN,
    service_account::PLUG_IN,
    node_restriction::PLUG_IN,
    node_taint::PLUG_IN,
    pod_security::PLUG_IN,
    node_selector::PLUG_IN,
    priority::PLUG_IN,
    tolerations::PLUG_IN,
    toleration_restriction::PLUG_IN,
    classes::DEFAULT_STORAGE,
    volumes::IN_USE,
    volumes::RESIZE,
    runtime_class::PLUG_IN,
    classes::DEFAULT_INGRESS,
    scc::PLUG_IN,
    owner_references::PLUG_IN,
    certificates::APPROVAL,
    certificates::SIGNING,
    escalation::PLUG_IN,
    quota::PLUG_IN,
];

/// Whether a write makes a pod.
fn creates_pod(asked: &Asked) -> bool {
    asked.creates("", "pods")
}

/// What is said below a pod and makes nothing else of it.
const BESIDES: [&str; 8] =
    ["attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "status"];

/// Whether a write may make something else of a pod.
fn changes_pod(asked: &Asked) -> bool {
    let is_below = *asked.kind.plural == *"pods" && asked.kind.group.is_empty();
    let is_removed = asked.operation == leme_registry::Operation::Delete;
    is_below && !is_removed && !BESIDES.contains(&asked.subresource)
}

/// Whether a write gives the containers of a pod other resources.
fn resizes_pod(asked: &Asked) -> bool {
    asked.operation == leme_registry::Operation::Update && asked.is_below("", "pods", "resize")
}

/// Whether plug-ins look at the objects of a resource, so that a write of one has to be seen by those after it.
pub fn is_seen(group: &str, plural: &str) -> bool {
    let mut seen = PLUG_INS.iter().flat_map(|plug_in| plug_in.sees).chain([&eviction::BUDGETS]);
    group == GROUP || seen.any(|seen| seen.plural == plural && seen.group == group)
}

/// The plug-ins of a server, over what it knows.
pub struct Chain<F> {
    plug_ins: Vec<&'static PlugIn>,
    facts: F,
    settings: Settings,
}

impl<F: Facts> Chain<F> {
    /// All plug-ins that are asked by default but those named.
    pub fn new(facts: F, disabled: &[&'static str]) -> Chain<F> {
        Chain::of(facts, &Config { off: disabled.to_vec(), ..Config::default() })
    }

    /// Those that somebody wants.
    pub fn of(facts: F, config: &Config) -> Chain<F> {
        let asked = |plug_in: &&PlugIn| {
            (plug_in.by_default || config.on.contains(&plug_in.name))
                && !config.off.contains(&plug_in.name)
        };
        let plug_ins = PLUG_INS.iter().filter(asked).collect();
        Chain { plug_ins, facts, settings: config.settings.clone() }
    }

    /// What whoever writes is told of a write that is let in; `None` as the old object on create.
    pub fn warnings(&self, asked: &Asked, new: &Value, old: Option<&Value>) -> Vec<String> {
        let told = |plug_in: &PlugIn| (plug_in.warn)(asked, new, old, &self.declared(plug_in));
        self.about(asked).flat_map(told).collect()
    }

    fn declared(&self, plug_in: &PlugIn) -> Declared<'_> {
        Declared { facts: &self.facts, settings: &self.settings, sees: plug_in.sees }
    }

    /// Whether a write is charged on quotas.
    pub fn is_charged(&self, asked: &Asked) -> bool {
        self.about(asked).any(|plug_in| plug_in.name == quota::PLUG_IN.name)
    }

    /// What plug-ins look at.
    pub fn facts(&self) -> &F {
        &self.facts
    }

    /// An object that is not there yet and that a write waits for: its resource and its name in the namespace.
    pub fn awaited(&self, asked: &Asked, new: &Value) -> Option<(Seen, &'static str)> {
        let alive = |namespace| self.facts.is_going(&lifecycle::NAMESPACES, "", namespace);
        self.about(asked).find_map(|plug_in| {
            let (of, name) = (plug_in.awaits)(asked, new)?;
            let missing = matches!(self.facts.get(&of, asked.namespace, name), Ok(None));
            (missing && matches!(alive(asked.namespace), Ok(Some(false)))).then_some((of, name))
        })
    }

    fn about<'a>(&'a self, asked: &'a Asked) -> impl Iterator<Item = &'static PlugIn> + 'a {
        self.plug_ins.iter().copied().filter(|plug_in| (plug_in.about)(asked))
    }
}

impl<F: Facts> Admission for Chain<F> {
    fn mutate(&self, asked: &Asked, new: &mut Value, old: Option<&Value>) -> Result<(), Status> {
        self.about(asked)
            .try_for_each(|plug_in| (plug_in.mutate)(asked, new, old, &self.declared(plug_in)))
    }

    fn validate(
        &self,
        asked: &Asked,
        new: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        self.about(asked)
            .try_for_each(|plug_in| (plug_in.validate)(asked, new, old, &self.declared(plug_in)))
    }
}

/// The facts that a plug-in has declared to look at.
struct Declared<'a> {
    facts: &'a dyn Facts,
    settings: &'a Settings,
    sees: &'static [Seen],
}

impl Declared<'_> {
    fn check(&self, of: &Seen) -> Result<(), Status> {
        match self.sees.contains(of) {
            true => Ok(()),
            false => Err(Status::internal(format!("{} are none of its facts", of.plural))),
        }
    }
}

impl Facts for Declared<'_> {
    fn get(&self, of: &Seen, namespace: &str, name: &str) -> Result<Option<Arc<Value>>, Status> {
        self.check(of)?;
        self.facts.get(of, namespace, name)
    }

    fn list(&self, of: &Seen, namespace: &str) -> Result<Vec<Arc<Value>>, Status> {
        self.check(of)?;
        self.facts.list(of, namespace)
    }

    fn is_going(&self, of: &Seen, namespace: &str, name: &str) -> Result<Option<bool>, Status> {
        self.check(of)?;
        self.facts.is_going(of, namespace, name)
    }

    fn some(
        &self,
        of: &Seen,
        namespace: &str,
        most: usize,
    ) -> Result<(Vec<Arc<Value>>, usize), Status> {
        self.check(of)?;
        self.facts.some(of, namespace, most)
    }

    fn policy(&self) -> Arc<Policy> {
        self.facts.policy()
    }

    fn settings(&self) -> &Settings {
        self.settings
    }
}
