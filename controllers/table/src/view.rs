//! What a controller sees of the world when it looks at a key: the cache, the time, how the last round failed, and answers
//! of the API itself where a cache that is behind would decide about data.
//!
//! A controller asks by giving up with the questions; it looks again once they are answered, and finds the answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leme_lister::{AnyLister, HasMeta, Key, Lister};
use leme_meta::resource::Resource;
use leme_plan::Failure;
use leme_plan::serving_cert::Made;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cache::{CONTROLLER, Cache, Kept, uncontrolled};
use crate::foreign::Found;

/// What only the API itself can tell, or who signs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// An object as it is now, or a subresource of it.
    Object {
        /// Its kind.
        resource: Resource,
        /// Its namespace, empty for cluster-scoped kinds.
        namespace: String,
        /// Its name.
        name: String,
        /// Empty for the object itself.
        subresource: &'static str,
    },
    /// The list of a kind's objects in a namespace.
    Objects {
        /// The kind.
        resource: Resource,
        /// The namespace.
        namespace: String,
        /// The labels that they have, as a selector; empty for all.
        labels: String,
    },
    /// Which kinds are served that the program does not bring along.
    Kinds,
    /// A certificate of the service authority, made for this.
    Certificate {
        /// The names that it is for.
        names: Vec<String>,
        /// The uid of the Service.
        uid: String,
    },
}

/// What the API answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The object or list.
    Object(Value),
    /// The kinds.
    Kinds(Found),
    /// The certificate.
    Certificate(Made),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The object is not there.
    pub not_found: bool,
    /// What was said.
    pub message: String,
}

/// How often a controller may ask before it plans: who finds an answer missing once more would ask for ever.
pub const ASKS: usize = 16;

/// The answers of one round.
pub type Answers = HashMap<Question, Result<Answer, Refusal>>;

/// Why there is no plan yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// These have to be answered first.
    Ask(Vec<Question>),
    /// What is needed cannot be told now: try again after a back-off.
    Failed(String),
}

/// What is seen.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The objects.
    pub cache: &'a Cache,
    /// The time of day.
    pub now: Timestamp,
    /// Time since some start, by a clock that is never set back.
    pub uptime: Duration,
    /// How the last round for the key failed.
    pub failure: Option<&'a Failure>,
    /// What was answered in this round.
    pub answers: &'a Answers,
}

impl View<'_> {
    /// The answer to a question, which gets asked if it was not.
    pub(crate) fn ask(&self, question: Question) -> Result<&Result<Answer, Refusal>, Blocked> {
        self.answers.get(&question).ok_or_else(|| Blocked::Ask(vec![question]))
    }

    /// The answers to several questions, which are asked together.
    pub(crate) fn ask_all(
        &self,
        questions: Vec<Question>,
    ) -> Result<Vec<&Result<Answer, Refusal>>, Blocked> {
        let open = questions.iter().filter(|one| !self.answers.contains_key(one));
        let open: Vec<Question> = open.cloned().collect();
        if !open.is_empty() {
            return Err(Blocked::Ask(open));
        }
        Ok(questions.iter().filter_map(|one| self.answers.get(one)).collect())
    }

    /// An object as the API itself has it; none where it has none, or none can have that name.
    pub(crate) fn live(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<&Value>, Blocked> {
        let named = Resource::is_name(name);
        if !named || (resource.namespaced && !Resource::is_name(namespace)) {
            return Ok(None);
        }
        let question = Question::Object {
            resource: resource.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: "",
        };
        match self.ask(question)? {
            Ok(Answer::Object(object)) => Ok(Some(object)),
            Ok(Answer::Kinds(_) | Answer::Certificate(_)) => Ok(None),
            Err(refusal) if refusal.not_found => Ok(None),
            Err(refusal) => Err(Blocked::Failed(refusal.message.clone())),
        }
    }

    /// An object of a kind that is kept, the one with this uid if one is named. Whether it is gone decides about data: the API
    /// itself is asked if the cache does not have that one.
    pub(crate) fn found<K>(&self, key: &Key, uid: Option<&str>) -> Result<Option<Arc<K>>, Blocked>
    where
        K: Kept + DeserializeOwned,
    {
        let lister = K::of(self.cache);
        let cached = lister.get(&key.0, &key.1);
        if let Some(found) = cached.filter(|one| uid.is_none() || one.meta().uid.as_deref() == uid)
        {
            return Ok(Some(found));
        }
        let found = self.live(lister.resource(), &key.0, &key.1)?;
        let read = |object: &Value| serde_json::from_value(object.clone()).map(Arc::new);
        found.map(read).transpose().map_err(|error| Blocked::Failed(error.to_string()))
    }
}

/// What an owner has of a kind, or could adopt.
pub(crate) fn children_of<C: HasMeta, K: HasMeta>(
    children: &Lister<C>,
    owner: Option<&Arc<K>>,
) -> Vec<Arc<C>> {
    let Some(meta) = owner.map(|owner| owner.meta()) else { return Vec::new() };
    let Some(uid) = meta.uid.as_deref() else { return Vec::new() };
    let mut found = children.found_by(CONTROLLER, uid);
    let namespace = meta.namespace.as_deref().unwrap_or("");
    found.extend(children.found_by(CONTROLLER, &uncontrolled(namespace)));
    found
}
