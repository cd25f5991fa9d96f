//! A watch of what each sees but in part: what enters somebody's sight and what leaves it, by changes of objects or of rights.
//!
//! Knows: what the watcher has been told. Refuses to know: why something may be seen, and how it is told.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use leme_kinds::Kind;
use leme_store::cache::{Cache, Cached, Event, Kind as Change, Snapshot};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::policies::{Policies, Turn};
use crate::request::ResourceRequest;
use crate::selection::Selection;

/// What is to be told besides changes of objects.
pub(crate) type News = VecDeque<(Change, Arc<Cached>)>;

/// What a watcher sees.
pub(crate) struct Sight {
    kind: Arc<Kind>,
    cache: Arc<Cache>,
    policies: Arc<Policies>,
    turns: Receiver<Turn>,
    /// What the watcher knows, as it was told last, by name.
    known: HashMap<Box<str>, Arc<Cached>>,
}

impl Sight {
    /// Of somebody who knows nothing yet.
    pub fn new(request: &ResourceRequest, cache: &Arc<Cache>, policies: &Arc<Policies>) -> Sight {
        let (kind, cache, turns) = (Arc::clone(&request.kind), Arc::clone(cache), policies.turns());
        Sight { kind, cache, policies: Arc::clone(policies), turns, known: HashMap::new() }
    }

    /// All that is seen in the beginning.
    pub fn first(&mut self, selection: &mut Selection, all: &Snapshot) -> News {
        selection.under(self.policies.load_full());
        let seen = all.iter().filter(|object| selection.matches(object));
        let news: News = seen.map(|object| (Change::Added, Arc::clone(object))).collect();
        self.know(news.iter().map(|(_, object)| object));
        news
    }

    /// What has entered and left the sight since a revision because rights have changed; nothing if nobody knows any more
    /// what was seen then.
    pub fn since(&mut self, selection: &mut Selection, then: &Snapshot) -> Option<News> {
        let (policy, turns) = self.policies.at(then.revision())?;
        selection.under(Arc::new(policy));
        self.know(then.iter().filter(|object| selection.matches(object)));
        let mut news = News::new();
        for turn in turns {
            news.extend(self.turned(selection, &turn));
        }
        Some(news)
    }

    fn know<'a>(&mut self, objects: impl Iterator<Item = &'a Arc<Cached>>) {
        self.known.extend(objects.map(|object| (object.index.name.clone(), Arc::clone(object))));
    }

    /// What the next change of rights brings; nothing once there are none any more.
    pub async fn next(&mut self, selection: &mut Selection) -> Option<News> {
        let first = match self.turns.recv().await {
            Ok(turn) => turn,
            Err(RecvError::Lagged(_)) => self.any(),
            Err(RecvError::Closed) => return None,
        };
        let mut news = self.turned(selection, &first);
        loop {
            let turn = match self.turns.try_recv() {
                Ok(turn) => turn,
                Err(TryRecvError::Lagged(_)) => self.any(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Some(news),
            };
            news.extend(self.turned(selection, &turn));
        }
    }

    /// A change that may be any.
    fn any(&self) -> Turn {
        Turn { revision: self.cache.revision(), namespace: "".into() }
    }

    fn turned(&mut self, selection: &mut Selection, turn: &Turn) -> News {
        selection.under(self.policies.load_full());
        let prefix = self.kind.prefix(None);
        if !turn.namespace.is_empty() {
            let object = self.cache.get(&prefix, &self.kind.key("", &turn.namespace));
            return object.into_iter().filter_map(|one| self.look(selection, turn, &one)).collect();
        }
        let Some(all) = self.cache.snapshot(&prefix) else { return News::new() };
        all.iter().filter_map(|object| self.look(selection, turn, object)).collect()
    }

    /// What is to be told of an object after rights have changed. What is gone by now is told as that.
    fn look(
        &mut self,
        selection: &Selection,
        turn: &Turn,
        object: &Arc<Cached>,
    ) -> Option<(Change, Arc<Cached>)> {
        let name = &object.index.name;
        match (selection.matches(object), self.known.contains_key(name)) {
            (true, false) => {
                self.known.insert(name.clone(), Arc::clone(object));
                Some((Change::Added, Arc::clone(object)))
            }
            (false, true) => {
                // As it was last seen: what it has become is not for this watcher.
                let last = self.known.remove(name)?;
                Some((Change::Deleted, Arc::new(last.at_revision(turn.revision))))
            }
            _ => None,
        }
    }

    /// Whether an object was known before a change of it, and is to be after it.
    pub fn around(&mut self, selection: &mut Selection, event: &Event) -> (bool, bool) {
        selection.under(self.policies.load_full());
        let object = &event.object;
        let known = self.known.get(&object.index.name);
        if known.is_some_and(|known| known.mod_revision >= event.revision) {
            return (false, false);
        }
        let now = event.kind != Change::Deleted && selection.matches(object);
        let before = match now {
            true => self.known.insert(object.index.name.clone(), Arc::clone(object)),
            false => self.known.remove(&object.index.name),
        };
        (before.is_some(), now)
    }
}
