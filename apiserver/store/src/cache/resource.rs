//! The objects of one resource, their recent changes, and who waits for the next.
//!
//! Knows: one persistent map and one bounded ring of events. Refuses to know: where the changes come from.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Unreadable;
use super::event::{Event, Kind};
use super::gap::{Gap, Now, Skipped, gap};
use super::object::{Cached, Reader};
use super::snapshot::{Map, Snapshot};
use crate::queue::shrink;
use crate::{Change, Entry, StoreError};

/// How far back watches and exact lists can go; whichever bound comes first.
const RING_EVENTS: usize = 10_000;
/// With all that an event keeps in memory, but for what it is encoded to in other forms than JSON.
const RING_BYTES: usize = 16 << 20;
const RING_AGE: Duration = Duration::from_secs(300);
/// So many events stay whatever their age or size.
const RING_FLOOR: usize = 100;
/// Snapshots of old revisions kept for the next page of a list.
const OLD_SNAPSHOTS: usize = 8;

/// The objects of one resource.
pub(super) struct ResourceCache {
    pub(super) prefix: String,
    pub(super) reader: Arc<dyn Reader>,
    /// The revision the whole cache has reached.
    reached: Arc<AtomicU64>,
    state: RwLock<State>,
    /// Changes whenever something is to be had for subscriptions.
    pub(super) bell: watch::Sender<()>,
}

pub(super) struct State {
    map: Map,
    /// Revision of the last change here.
    pub(super) changed: u64,
    ring: VecDeque<Slot>,
    /// Sequence number of the ring's first event.
    first: u64,
    /// Every event after this revision is in the ring.
    oldest: u64,
    bytes: usize,
    /// Keys that hold something undecodable.
    skipped: HashMap<Arc<str>, Skipped>,
    old: VecDeque<Snapshot>,
    /// Last progress announced to idle subscriptions.
    pub(super) ticked: u64,
    pub(super) closed: bool,
}

/// What is to replace everything of a resource.
pub(super) struct Loading {
    map: Map,
    skipped: HashMap<Arc<str>, Skipped>,
}

/// What changes come to that are not applied yet.
#[derive(Default)]
struct Step {
    now: HashMap<Arc<str>, Now>,
    events: Vec<Event>,
    /// Revision of the last of them.
    changed: u64,
}

impl Default for Loading {
    fn default() -> Self {
        Self { map: Map::new_sync(), skipped: HashMap::new() }
    }
}

struct Slot {
    event: Arc<Event>,
    at: Instant,
}

impl ResourceCache {
    pub(super) fn new(prefix: String, reader: Arc<dyn Reader>, reached: Arc<AtomicU64>) -> Self {
        let state = State {
            map: Map::new_sync(),
            changed: 0,
            ring: VecDeque::new(),
            first: 0,
            oldest: 0,
            bytes: 0,
            skipped: HashMap::new(),
            old: VecDeque::new(),
            ticked: 0,
            closed: false,
        };
        Self { prefix, reader, reached, state: RwLock::new(state), bell: watch::channel(()).0 }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision up to which `state` is complete. The cache's own revision moves only after every resource has its
    /// changes, and a resource gets those of a batch under one lock, so the later of the two is right.
    pub(super) fn complete(&self, state: &State) -> u64 {
        state.changed.max(self.reached.load(Ordering::Acquire))
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<Cached>> {
        self.read().map.get(key).cloned()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let state = self.read();
        Snapshot { map: state.map.clone(), revision: self.complete(&state) }
    }

    /// The state at exactly `revision`: the newest one with the later events undone.
    pub(super) fn snapshot_at(&self, revision: u64) -> Result<Snapshot, StoreError> {
        let (mut map, undo) = {
            let state = self.read();
            let newest = self.complete(&state);
            if revision > newest {
                return Err(StoreError::Future { asked: revision, newest });
            }
            if revision < state.oldest {
                return Err(StoreError::Compacted { asked: revision, oldest: state.oldest });
            }
            if revision >= state.changed {
                return Ok(Snapshot { map: state.map.clone(), revision });
            }
            if let Some(kept) = state.old.iter().find(|s| s.revision == revision) {
                return Ok(kept.clone());
            }
            let later = state.ring.partition_point(|slot| slot.event.revision <= revision);
            let undo: Vec<_> = state.ring.range(later..).map(|s| s.event.clone()).collect();
            (state.map.clone(), undo)
        };
        for event in undo.iter().rev() {
            match &event.previous {
                Some(previous) => map.insert_mut(previous.key.clone(), previous.clone()),
                None => {
                    map.remove_mut(&*event.object.key);
                }
            }
        }
        let snapshot = Snapshot { map, revision };
        let mut state = self.write();
        state.old.push_back(snapshot.clone());
        if state.old.len() > OLD_SNAPSHOTS {
            state.old.pop_front();
        }
        Ok(snapshot)
    }

    /// Keys whose objects cannot be read.
    pub(super) fn unreadable(&self) -> Vec<Unreadable> {
        let state = self.read();
        let named = |(key, skipped): (&Arc<str>, &Skipped)| Unreadable {
            key: key.clone(),
            revision: skipped.revision,
            why: skipped.why.clone(),
        };
        state.skipped.iter().map(named).collect()
    }

    /// Why the object of a key cannot be read, if that is so.
    pub(super) fn skipped(&self, key: &str) -> Option<Arc<str>> {
        self.read().skipped.get(key).map(|skipped| skipped.why.clone())
    }

    /// Decodes an entry that is there, or came to be by a change; what cannot be decoded is named in the log.
    fn decode(&self, entry: &Entry, kind: Option<Kind>) -> Result<Arc<Cached>, Skipped> {
        let lost = || Err("its value is lost".to_owned());
        let decoded = if entry.value.is_empty() {
            lost()
        } else {
            Cached::decode(entry, &*self.reader, kind)
        };
        decoded.map(Arc::new).map_err(|why| {
            let revision = entry.mod_revision;
            tracing::error!(key = %entry.key, revision, %why, "skipped an undecodable object");
            Skipped { revision, why: why.into() }
        })
    }

    /// Puts an entry of a list into what is to replace everything.
    pub(super) fn load(&self, into: &mut Loading, entry: &Entry) {
        match self.decode(entry, None) {
            Ok(object) => into.map.insert_mut(entry.key.clone(), object),
            Err(skip) => {
                into.skipped.insert(entry.key.clone(), skip);
            }
        }
    }

    /// Replaces everything by what was loaded as of `revision`. Whoever was subscribed has missed something.
    pub(super) fn reset(&self, Loading { map, skipped }: Loading, revision: u64) {
        let mut state = self.write();
        let next = state.next() + 1;
        let gone = (std::mem::replace(&mut state.map, map), std::mem::take(&mut state.ring));
        state.first = next;
        state.bytes = 0;
        state.old.clear();
        state.skipped = skipped;
        state.oldest = revision;
        state.changed = revision;
        state.ticked = revision;
        drop(state);
        drop(gone);
        self.bell.send_replace(());
    }

    /// Applies changes in order, all or none. Only one task may do this at a time.
    pub(super) fn apply(&self, changes: &[&Change]) -> Result<(), Gap> {
        let mut step = Step::default();
        for change in changes {
            self.look(change, &mut step)?;
        }
        let mut state = self.write();
        // In place: a copy would be made of every branch that leads to a change.
        for (key, now) in step.now {
            match now {
                Now::Is(object) => {
                    state.map.insert_mut(key.clone(), object);
                    state.skipped.remove(&key);
                }
                Now::Gone => {
                    state.map.remove_mut(&*key);
                    state.skipped.remove(&key);
                }
                Now::Skipped(skip) => {
                    state.map.remove_mut(&*key);
                    state.skipped.insert(key, skip);
                }
            }
        }
        state.changed = state.changed.max(step.changed);
        let at = Instant::now();
        for event in step.events {
            state.bytes += event.weight();
            state.ring.push_back(Slot { event: Arc::new(event), at });
        }
        let dropped = state.trim(at);
        drop(state);
        drop(dropped);
        self.bell.send_replace(());
        Ok(())
    }

    /// What a change comes to after those before it in the step.
    fn look(&self, change: &Change, step: &mut Step) -> Result<(), Gap> {
        let key = change.key();
        let before = match step.now.get(key) {
            Some(before) => before.clone(),
            None => self.read().now(key),
        };
        gap(change, &before)?;
        step.changed = change.revision();
        let known = match before {
            Now::Is(object) => Some(object),
            Now::Gone | Now::Skipped(_) => None,
        };
        let kind = if known.is_some() { Kind::Modified } else { Kind::Added };
        let now = match change {
            Change::Put { entry, .. } => match self.decode(entry, Some(kind)) {
                Ok(object) => Now::Is(object),
                Err(skip) => Now::Skipped(skip),
            },
            Change::Delete { .. } => Now::Gone,
        };
        match (&now, known) {
            (Now::Is(object), known) => step.events.push(Event::new(kind, object.clone(), known)),
            (_, Some(known)) => {
                let last = Arc::new(known.at_revision(step.changed));
                step.events.push(Event::new(Kind::Deleted, last, Some(known)));
            }
            (_, None) => {}
        }
        step.now.insert(key.clone(), now);
        Ok(())
    }

    /// Lets go of what is too old and tells idle subscriptions how far they are.
    pub(super) fn tick(&self) {
        let mut state = self.write();
        let dropped = state.trim(Instant::now());
        let reached = self.complete(&state);
        let moved = reached > state.ticked;
        state.ticked = reached;
        drop(state);
        drop(dropped);
        if moved {
            self.bell.send_replace(());
        }
    }

    pub(super) fn close(&self) {
        self.write().closed = true;
        self.bell.send_replace(());
    }
}

impl State {
    fn now(&self, key: &str) -> Now {
        match (self.map.get(key), self.skipped.get(key)) {
            (Some(object), _) => Now::Is(object.clone()),
            (None, Some(skipped)) => Now::Skipped(skipped.clone()),
            (None, None) => Now::Gone,
        }
    }

    /// Sequence number of the next event.
    pub(super) fn next(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    /// The events from sequence number `from` on, at most `max`; `None` if the first of them is no longer there.
    pub(super) fn since(
        &self,
        from: u64,
        max: usize,
    ) -> Option<impl Iterator<Item = &Arc<Event>> + '_> {
        let skip = usize::try_from(from.checked_sub(self.first)?).ok()?;
        Some(self.ring.iter().skip(skip).take(max).map(|slot| &slot.event))
    }

    /// The sequence number of the first event after `revision`, if nothing is missing since then.
    pub(super) fn position(&self, revision: u64) -> Result<u64, StoreError> {
        if revision < self.oldest {
            return Err(StoreError::Compacted { asked: revision, oldest: self.oldest });
        }
        let at = self.ring.partition_point(|slot| slot.event.revision <= revision);
        Ok(self.first + at as u64)
    }

    fn trim(&mut self, now: Instant) -> Vec<Slot> {
        let mut dropped = Vec::new();
        while self.ring.len() > RING_FLOOR {
            let aged = self.ring.front().is_some_and(|slot| now - slot.at > RING_AGE);
            if !aged && self.ring.len() <= RING_EVENTS && self.bytes <= RING_BYTES {
                break;
            }
            let Some(slot) = self.ring.pop_front() else { break };
            self.first += 1;
            self.bytes -= slot.event.weight();
            self.oldest = slot.event.revision;
            dropped.push(slot);
        }
        shrink(&mut self.ring);
        // Events of one revision leave together: whoever resumes from it has seen them all.
        let oldest = self.oldest;
        self.old.retain(|snapshot| snapshot.revision >= oldest);
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u64) -> Entry {
        let filler = "x".repeat(3000);
        let value = format!(r#"{{"metadata":{{"name":"n{n}"}},"data":"{filler}"}}"#);
        let (key, value) = (Arc::from(format!("/registry/things/n{n}")), value.into());
        Entry { key, value, create_revision: n, mod_revision: n }
    }

    /// Red when only the object after a change counts: the frames and what was deleted come to four times the bound.
    #[test]
    fn the_ring_keeps_no_more_than_it_says() {
        let resource = ResourceCache::new("/registry/things/".into(), Arc::new(()), Arc::default());
        for n in 1..=4000 {
            let (entry, revision) = (entry(2 * n), 2 * n + 1);
            let put = Change::Put { entry: entry.clone(), previous: None };
            resource.apply(&[&put, &Change::Delete { previous: entry, revision }]).unwrap();
        }
        let state = resource.read();
        // Bytes by where they lie, for what is shared is there once.
        let mut kept = HashMap::new();
        for Slot { event, .. } in &state.ring {
            for object in event.previous.iter().chain([&event.object]) {
                kept.insert(object.json.as_ptr() as usize, object.json.len());
            }
            let (frame, json) = (event.frame(), &event.object.json);
            let shared = frame.as_ptr_range().contains(&json.as_ptr());
            kept.insert(frame.as_ptr() as usize, if shared { 0 } else { frame.len() });
        }
        let kept: usize = kept.values().sum();
        assert!((RING_BYTES / 3..=RING_BYTES).contains(&kept), "{kept}");
    }
}
