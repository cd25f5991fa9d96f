//! A lister of some kinds of objects that keeps itself up to date for as long as it is held, and one object until it is as it
//! should be.
//!
//! Knows: that a server may refuse to show a kind. Refuses to know: any kind by name, and how a server is followed.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Result;
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use leme_client::{Error, Event, Known, Scope, Step, follow};
use leme_meta::Object;
use serde_json::value::RawValue;

use crate::api::{Api, say_kind};
use crate::choose::Chosen;
use crate::resource::{ApiResource, Kind};

/// A kind, whatever its version: group and plural.
type Which = (String, String);

fn which(kind: &ApiResource) -> Which {
    (kind.group.clone(), kind.plural.clone())
}

/// What is there now of the kinds followed.
pub struct Lister {
    /// By kind, namespace and name.
    objects: HashMap<(Which, String, String), Object>,
    feeds: Vec<Feed>,
    /// When it was as it is here.
    now: Timestamp,
    events: SelectAll<BoxStream<'static, (usize, Result<Event, Error>)>>,
}

/// One kind that is followed.
struct Feed {
    kind: Kind,
    known: Known,
    /// Why the server does not show it.
    refused: Option<Error>,
}

impl Lister {
    /// Follows the kinds, those that are namespaced in one namespace or in all.
    pub fn follow(api: &Api, kinds: &[Kind], namespace: Option<&str>) -> Lister {
        let mut lister = Lister::of(kinds);
        for (index, kind) in kinds.iter().enumerate() {
            let namespace = namespace.unwrap_or_default().to_owned();
            let scope = Scope { namespace, ..Scope::all(kind.resource()) };
            let events = follow(api.client.clone(), scope);
            lister.events.push(events.map(move |event| (index, event)).boxed());
        }
        lister
    }

    fn of(kinds: &[Kind]) -> Lister {
        let feed =
            |kind: &Kind| Feed { kind: kind.clone(), known: Known::default(), refused: None };
        Lister {
            objects: HashMap::new(),
            feeds: kinds.iter().map(feed).collect(),
            now: Timestamp::now(),
            events: SelectAll::new(),
        }
    }

    /// Waits for the next change and takes in all that are ready.
    pub async fn changed(&mut self) {
        let mut next = self.events.next().await;
        while let Some((index, event)) = next {
            self.take(index, event);
            next = self.events.next().now_or_never().flatten();
        }
        self.now = Timestamp::now();
    }

    /// The same, but waits for so long at most if that is said.
    pub async fn changed_within(&mut self, limit: Option<Duration>) {
        let Some(limit) = limit else { return self.changed().await };
        if tokio::time::timeout(limit, self.changed()).await.is_err() {
            self.now = Timestamp::now();
        }
    }

    /// When it was as it is here.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether what there is of a kind, named by its group and plural, is in the lister.
    pub fn knows(&self, group: &str, plural: &str) -> bool {
        let is = |feed: &&Feed| feed.kind.group == group && feed.kind.plural == plural;
        self.feeds.iter().find(is).is_some_and(|feed| feed.refused.is_none())
    }

    /// Whether of every kind is known what there is, or that the server does not show it.
    pub fn complete(&self) -> bool {
        self.feeds.iter().all(|feed| feed.refused.is_some() || feed.known.is_complete())
    }

    /// Why the server does not show a kind.
    pub fn refused(&self, kind: &ApiResource) -> Option<&Error> {
        self.feeds.iter().find(|feed| feed.kind.is(kind))?.refused.as_ref()
    }

    /// Everything that the server does not show: the plural, and why.
    pub fn all_refused(&self) -> impl Iterator<Item = (&str, &Error)> {
        let refused =
            self.feeds.iter().filter_map(|feed| Some((&feed.kind, feed.refused.as_ref()?)));
        let by_kind: BTreeMap<Which, (&Kind, &Error)> =
            refused.map(|(kind, why)| (which(kind), (kind, why))).collect();
        by_kind.into_values().map(|(kind, why)| (kind.plural.as_str(), why))
    }

    /// One object; the namespace does not matter for a kind without.
    pub fn get(&self, kind: &ApiResource, namespace: &str, name: &str) -> Option<&Object> {
        let namespace = if kind.namespaced { namespace } else { "" };
        self.objects.get(&(which(kind), namespace.to_owned(), name.to_owned()))
    }

    /// All objects of a kind, by its group and plural.
    pub fn all(&self, group: &str, plural: &str) -> impl Iterator<Item = &Object> {
        let of_kind = move |which: &Which| which.0 == group && which.1 == plural;
        let matching = self.objects.iter().filter(move |((known, _, _), _)| of_kind(known));
        matching.map(|(_, object)| object)
    }

    /// Objects of a kind whose controller or owner has this uid, by name.
    pub fn owned(&self, group: &str, plural: &str, uid: &str) -> Vec<&Object> {
        let owns = |object: &&Object| {
            let owners = object.0["metadata"]["ownerReferences"].as_array();
            owners.into_iter().flatten().any(|owner| owner["uid"].as_str() == Some(uid))
        };
        let mut owned: Vec<&Object> = self.all(group, plural).filter(owns).collect();
        owned.sort_by_key(|object| object.name());
        owned
    }

    fn take(&mut self, index: usize, event: Result<Event, Error>) {
        let Some(feed) = self.feeds.get_mut(index) else { return };
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                if error.is_final() {
                    feed.refused = Some(error);
                }
                return;
            }
        };
        if !matches!(event, Event::Begin | Event::Listed(..)) {
            feed.refused = None;
        }
        let which = which(&feed.kind);
        match feed.known.step(event) {
            Step::Put((namespace, name), object) => {
                if let Some(object) = read(&feed.kind, &object) {
                    self.objects.insert((which, namespace, name), object);
                }
            }
            Step::Gone(keys) => {
                for (namespace, name) in keys {
                    self.objects.remove(&(which.clone(), namespace, name));
                }
            }
            Step::Nothing => {}
        }
    }
}

/// An object out of its text; nothing of what is none.
fn read(kind: &ApiResource, text: &RawValue) -> Option<Object> {
    let mut object = serde_json::from_str(text.get()).ok()?;
    say_kind(kind, &mut object);
    Some(Object(object))
}

/// Follows one object until `look` has seen enough, at it or at that it is not there.
///
/// # Errors
/// What `look` says, or why the server does not show the object.
pub async fn until<T>(
    api: &Api,
    one: &Chosen,
    mut look: impl FnMut(Option<&Object>) -> Result<Option<T>>,
) -> Result<T> {
    let fields = format!("metadata.name={}", one.name);
    let namespace = one.namespace.clone();
    let scope = Scope { namespace, fields, ..Scope::all(one.kind.resource()) };
    let mut events = follow(api.client.clone(), scope);
    let (mut object, mut reached) = (None, false);
    loop {
        // It has no end.
        let Some(event) = events.next().await else { continue };
        match event {
            Ok(Event::Begin) => object = None,
            Ok(Event::Listed(head, text)) if head.key.1 == one.name => {
                object = read(&one.kind, &text);
            }
            Ok(Event::Listed(..) | Event::Seen(_)) => {}
            Ok(Event::Complete(_)) => {
                reached = true;
                if let Some(enough) = look(object.as_ref())? {
                    return Ok(enough);
                }
            }
            Ok(Event::Changed(head, text)) if head.key.1 == one.name => {
                object = read(&one.kind, &text);
                if let Some(enough) = look(object.as_ref())? {
                    return Ok(enough);
                }
            }
            Ok(Event::Gone(head)) if head.key.1 == one.name => {
                object = None;
                if let Some(enough) = look(None)? {
                    return Ok(enough);
                }
            }
            Ok(Event::Changed(..) | Event::Gone(_)) => {}
            // Its kind has gone, and it with it.
            Err(error) if error.is_not_found() => {
                return match look(None)? {
                    Some(enough) => Ok(enough),
                    None => Err(error.into()),
                };
            }
            Err(error) if error.is_final() || !reached => return Err(error.into()),
            // A server that goes away for a while.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Served;
    use leme_client::Head;
    use serde_json::{Value, json};

    impl Lister {
        /// A lister of these objects, each with its kind's group and plural, that never changes: of nothing but them, in
        /// a time before all that objects tell of.
        pub fn still(
            objects: impl IntoIterator<Item = ((&'static str, &'static str), Value)>,
        ) -> Lister {
            let keyed = objects.into_iter().map(|((group, plural), value)| {
                let which = (group.into(), plural.into());
                let object = Object(value);
                ((which, object.namespace().to_owned(), object.name().to_owned()), object)
            });
            let kinds: Vec<Kind> = Served::builtin().iter().cloned().collect();
            let now = Timestamp::UNIX_EPOCH;
            Lister { objects: keyed.collect(), now, ..Lister::of(&kinds) }
        }

        /// The same at another time.
        pub fn at(self, now: &str) -> Lister {
            Lister { now: now.parse().unwrap(), ..self }
        }
    }

    fn kind(word: &str) -> Kind {
        Served::builtin().by_word(word).unwrap().clone()
    }

    fn listed(object: &Value) -> Result<Event, Error> {
        let text = RawValue::from_string(object.to_string()).unwrap();
        Ok(Event::Listed(Head::of(&text), text))
    }

    fn complete() -> Result<Event, Error> {
        Ok(Event::Complete("1".to_owned()))
    }

    /// Red when lists are counted instead of kinds: the second list of pods counts for the events.
    #[test]
    fn a_picture_is_complete_when_every_kind_is_settled() {
        let mut seen = Lister::of(&[kind("pods"), kind("events")]);
        for event in [Ok(Event::Begin), complete(), Ok(Event::Begin), complete()] {
            seen.take(0, event);
        }
        assert!(!seen.complete());
        let forbidden = Error::Status {
            code: 403,
            reason: "Forbidden".to_owned(),
            message: String::new(),
            causes: Vec::new(),
        };
        seen.take(1, Err(Error::Transport("down".to_owned())));
        assert!(!seen.complete());
        seen.take(1, Err(forbidden));
        assert!(seen.complete(), "what may not be seen is not waited for");
        assert!(seen.refused(&kind("events")).is_some());
        assert_eq!(seen.all_refused().map(|(plural, _)| plural).collect::<String>(), "events");
        seen.take(1, Ok(Event::Begin));
        assert!(seen.refused(&kind("events")).is_some());
        seen.take(1, complete());
        assert!(seen.complete() && seen.refused(&kind("events")).is_none());
    }

    #[test]
    fn a_cluster_scoped_object_is_found_from_any_namespace() {
        let mut seen = Lister::of(&[kind("nodes")]);
        seen.take(0, Ok(Event::Begin));
        seen.take(0, listed(&json!({"metadata": {"name": "a"}})));
        seen.take(0, complete());
        let found = seen.get(&kind("nodes"), "default", "a").unwrap();
        assert_eq!(found.0["kind"], "Node", "lists leave it out");
        assert!(seen.get(&kind("pods"), "", "a").is_none());
        seen.take(0, Ok(Event::Begin));
        seen.take(0, complete());
        assert!(seen.get(&kind("nodes"), "", "a").is_none(), "what is not listed again is gone");
    }
}
