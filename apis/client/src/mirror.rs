//! All objects of a kind and every change of them: LIST and WATCH as one stream that resumes where it was after any
//! interruption, and lists again when it must.
//!
//! Invariant: after `Complete(r)` and until the next `Begin`, whoever took in every event up to one of revision `r` has
//! seen every change up to `r`. Objects stay text: who reads them keeps of them what it wants.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;
use tracing::{debug, warn};

use crate::client::{Client, JSON};
use crate::error::{Error, Meaning};
use crate::lean::{place, without_owners};
use crate::query::query;
use crate::watch::{Change, Changes, How};
use leme_meta::lean::metadata;
use leme_meta::resource::Resource;

/// Namespace and name; the namespace is empty for what has none.
pub type Key = (String, String);

const PAGE: &str = "500";
/// Before every revision.
const UNDATED: &str = "0";
const WATCH_SECONDS: &str = "290";
const FIRST_DELAY: Duration = Duration::from_millis(20);
const LAST_DELAY: Duration = Duration::from_secs(5);

/// What is followed: a kind, all of it or a part.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The kind.
    pub resource: Resource,
    /// One namespace; empty for all.
    pub namespace: String,
    /// Label selector; empty for none.
    pub labels: String,
    /// Field selector; empty for none.
    pub fields: String,
}

impl Scope {
    /// All objects of a kind.
    pub fn all(resource: Resource) -> Scope {
        Scope { resource, ..Scope::default() }
    }

    fn collection(&self) -> String {
        self.resource.collection(&self.namespace)
    }

    /// What is wanted of the collection, as pairs of a query.
    fn selectors(&self) -> [(&str, Option<&str>); 2] {
        let some = |text| Some(text).filter(|text: &&str| !text.is_empty());
        [("labelSelector", some(&self.labels)), ("fieldSelector", some(&self.fields))]
    }
}

/// What is read of every object, whatever its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Namespace and name.
    pub key: Key,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub revision: String,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Where in its text the list is of who owns its fields.
    pub(crate) owners: Range<usize>,
}

impl Head {
    /// Of what has no such head, nothing is known.
    pub fn of(object: &RawValue) -> Head {
        let meta = metadata::<Meta>(object.get()).unwrap_or_default();
        let owners = meta.managed_fields.map(|list| place(object.get(), list.get()));
        Head {
            key: (meta.namespace.unwrap_or_default(), meta.name.unwrap_or_default()),
            uid: meta.uid.unwrap_or_default(),
            revision: meta.resource_version.unwrap_or_else(|| UNDATED.to_owned()),
            deleting: meta.deletion_timestamp.is_some(),
            owners: owners.unwrap_or_default(),
        }
    }

    /// The text of the object that this is the head of, without who owns its fields.
    pub fn without_owners<'a>(&self, object: &'a RawValue) -> Cow<'a, str> {
        without_owners(object.get(), &self.owners)
    }

    /// Whether a revision is known.
    fn is_dated(&self) -> bool {
        self.revision != UNDATED
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    deletion_timestamp: Option<IgnoredAny>,
    #[serde(borrow)]
    managed_fields: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMeta,
    items: Option<Vec<Box<RawValue>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    resource_version: Option<String>,
    r#continue: Option<String>,
}

/// What happened.
#[derive(Debug)]
pub enum Event<T = Box<RawValue>> {
    /// A list begins: what was known may be gone.
    Begin,
    /// One of the list.
    Listed(Head, T),
    /// The list of this revision is complete: what was known and not listed is gone.
    Complete(String),
    /// An object is new or has changed.
    Changed(Head, T),
    /// An object is gone.
    Gone(Head),
    /// Nothing happened up to this revision.
    Seen(String),
}

/// A stream of what happens. It has no end, and goes on after errors, which are told as they come.
pub type Events<T = Box<RawValue>> = BoxStream<'static, Result<Event<T>, Error>>;

/// Follows what is in scope.
pub fn follow(client: Client, scope: Scope) -> Events {
    let (state, queue) = (State::List(String::new()), VecDeque::new());
    let mirror = Mirror { client, scope, state, delay: FIRST_DELAY, queue };
    stream::unfold(mirror, |mut mirror| async move {
        let event = mirror.next().await;
        Some((event, mirror))
    })
    .boxed()
}

/// The same, with objects of a type, without who owns their fields. One that cannot be read is named in the log and left
/// out.
pub fn follow_as<T: DeserializeOwned + Send + 'static>(client: Client, scope: Scope) -> Events<T> {
    let plural = scope.resource.plural.clone();
    let read = move |head: &Head, json: &RawValue| match serde_json::from_str::<T>(
        &head.without_owners(json),
    ) {
        Ok(object) => Some(object),
        Err(error) => {
            let name = format!("{}/{}", head.key.0, head.key.1);
            warn!(resource = plural, name, %error, "left out an object that cannot be read");
            None
        }
    };
    let events = follow(client, scope).filter_map(move |event| {
        std::future::ready(match event {
            Ok(Event::Begin) => Some(Ok(Event::Begin)),
            Ok(Event::Listed(head, json)) => {
                read(&head, &json).map(|object| Ok(Event::Listed(head, object)))
            }
            Ok(Event::Changed(head, json)) => {
                read(&head, &json).map(|object| Ok(Event::Changed(head, object)))
            }
            Ok(Event::Complete(revision)) => Some(Ok(Event::Complete(revision))),
            Ok(Event::Gone(head)) => Some(Ok(Event::Gone(head))),
            Ok(Event::Seen(revision)) => Some(Ok(Event::Seen(revision))),
            Err(error) => Some(Err(error)),
        })
    });
    events.boxed()
}

enum State {
    /// To ask for the page with this token; empty for the first.
    List(String),
    /// To ask for what happened since a revision.
    Open(String),
    /// What happened since a revision, as it comes, and whether anything came.
    Watch { at: String, moved: bool, events: Changes },
    /// To wait before what comes then.
    Pause(Duration, Box<State>),
}

struct Mirror {
    client: Client,
    scope: Scope,
    state: State,
    /// The next pause after a failure.
    delay: Duration,
    /// Told, but not yet taken.
    queue: VecDeque<Event>,
}

impl Mirror {
    async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(event);
            }
            match &mut self.state {
                State::Pause(delay, _) => {
                    tokio::time::sleep(*delay).await;
                    let done = std::mem::replace(&mut self.state, State::List(String::new()));
                    if let State::Pause(_, then) = done {
                        self.state = *then;
                    }
                }
                State::List(token) => {
                    let token = std::mem::take(token);
                    self.list(token).await?;
                }
                State::Open(at) => {
                    let at = at.clone();
                    self.open(at).await?;
                }
                State::Watch { events, .. } => {
                    let event = events.try_next().await;
                    if let Some(event) = self.watched(event)? {
                        return Ok(event);
                    }
                }
            }
        }
    }

    /// After a failure: a pause, each longer than the one before.
    fn fail<T>(&mut self, error: Error, then: State) -> Result<T, Error> {
        debug!(resource = self.scope.resource.plural, %error, "cannot be followed, trying again");
        self.state = State::Pause(self.delay, Box::new(then));
        self.delay = (self.delay * 2).min(LAST_DELAY);
        Err(error)
    }

    async fn list(&mut self, token: String) -> Result<(), Error> {
        let next = Some(token.as_str()).filter(|token| !token.is_empty());
        let [labels, fields] = self.scope.selectors();
        let pairs = [labels, fields, ("limit", Some(PAGE)), ("continue", next)];
        let path = format!("{}{}", self.scope.collection(), query(&pairs));
        let page: Page = match self.client.read(&path).await {
            Ok(page) => page,
            // Whether or not the token was too old: from the beginning.
            Err(error) => return self.fail(error, State::List(String::new())),
        };
        if token.is_empty() {
            self.queue.push_back(Event::Begin);
        }
        let items = page.items.into_iter().flatten();
        self.queue.extend(items.map(|object| Event::Listed(Head::of(&object), object)));
        self.state = match page.metadata.r#continue.filter(|token| !token.is_empty()) {
            Some(token) => State::List(token),
            None => {
                let at = page.metadata.resource_version.unwrap_or_else(|| UNDATED.to_owned());
                self.queue.push_back(Event::Complete(at.clone()));
                State::Open(at)
            }
        };
        Ok(())
    }

    async fn open(&mut self, at: String) -> Result<(), Error> {
        let [labels, fields] = self.scope.selectors();
        let seconds = ("timeoutSeconds", Some(WATCH_SECONDS));
        let pairs = [labels, fields, seconds, ("resourceVersion", Some(at.as_str()))];
        match self.client.watch(&self.scope.collection(), &pairs, JSON).await {
            Ok(events) => {
                self.state = State::Watch { at, moved: false, events };
                Ok(())
            }
            Err(error) => self.broke(error, at, false),
        }
    }

    /// After a watch that broke, or was not to be had: on from where it was, unless that is too long ago.
    fn broke<T: Default>(&mut self, error: Error, at: String, moved: bool) -> Result<T, Error> {
        if moved {
            self.delay = FIRST_DELAY;
        }
        if error.meaning() == Meaning::Expired {
            self.state = State::List(String::new());
            return Ok(T::default());
        }
        self.fail(error, State::Open(at))
    }

    /// Takes in what a watch gave.
    fn watched(&mut self, change: Result<Option<Change>, Error>) -> Result<Option<Event>, Error> {
        let State::Watch { at, moved, .. } = &mut self.state else { return Ok(None) };
        let broken = match change {
            Ok(Some(Change { how, object })) => {
                let head = Head::of(&object);
                if how == How::Bookmark && !head.is_dated() {
                    return Ok(None);
                }
                head.revision.clone_into(at);
                *moved = true;
                return Ok(Some(match how {
                    How::Added | How::Modified => Event::Changed(head, object),
                    How::Deleted => Event::Gone(head),
                    How::Bookmark => Event::Seen(head.revision),
                }));
            }
            Err(error) => error,
            Ok(None) => {
                // The server ended it, as it does from time to time.
                let (at, moved) = (std::mem::take(at), *moved);
                self.state = State::Open(at);
                if moved {
                    self.delay = FIRST_DELAY;
                } else {
                    let then = std::mem::replace(&mut self.state, State::List(String::new()));
                    self.state = State::Pause(FIRST_DELAY, Box::new(then));
                }
                return Ok(None);
            }
        };
        let (at, moved) = (std::mem::take(at), *moved);
        self.broke(broken, at, moved)
    }
}
