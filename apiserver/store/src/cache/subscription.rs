//! One watcher: a place in a resource's ring.
//!
//! Knows: what has been taken and what is next. Holds no events of its own, so a slow one costs nothing and is told
//! that it fell behind.

use std::sync::Arc;

use tokio::sync::watch;

use super::event::Event;
use super::resource::ResourceCache;

/// What a subscription delivers.
#[derive(Clone, Debug)]
pub enum SubEvent {
    /// A change.
    Event(Arc<Event>),
    /// Nothing is missing up to this revision. Comes now and then while there are no events.
    Progress(u64),
    /// Events were lost, because this watcher was too slow or the cache had to start over: list again. The last item.
    Expired,
}

/// Events of one resource after a revision, in order, for ever.
pub struct Subscription {
    resource: Arc<ResourceCache>,
    bell: watch::Receiver<()>,
    /// Sequence number of the next event.
    next: u64,
    /// Events up to this revision are not wanted.
    floor: u64,
    /// Last progress told.
    told: u64,
    ended: bool,
}

impl Subscription {
    pub(super) fn new(resource: Arc<ResourceCache>, next: u64, floor: u64) -> Self {
        let bell = resource.bell.subscribe();
        Self { resource, bell, next, floor, told: floor, ended: false }
    }

    /// The next item; `None` after [`SubEvent::Expired`] or when the cache is gone. Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<SubEvent> {
        self.next_batch(1).await.pop()
    }

    /// Up to `max` items that are ready, at least one; empty when it is over. Cancelling loses nothing.
    pub async fn next_batch(&mut self, max: usize) -> Vec<SubEvent> {
        loop {
            if self.ended {
                return Vec::new();
            }
            self.bell.mark_unchanged();
            let taken = self.take(max.max(1));
            if !taken.is_empty() || self.ended {
                return taken;
            }
            if self.bell.changed().await.is_err() {
                self.ended = true;
            }
        }
    }

    /// The revision up to which everything has been taken, for a bookmark; `None` while events are waiting.
    pub fn progress(&mut self) -> Option<u64> {
        let state = self.resource.read();
        if self.ended || self.next != state.next() {
            return None;
        }
        let reached = self.resource.complete(&state).max(self.floor);
        self.told = self.told.max(reached);
        Some(reached)
    }

    fn take(&mut self, max: usize) -> Vec<SubEvent> {
        let state = self.resource.read();
        let mut taken = Vec::new();
        while taken.is_empty() && self.next < state.next() {
            let Some(events) = state.since(self.next, max) else { break };
            for event in events {
                self.next += 1;
                self.told = self.told.max(event.revision);
                if event.revision > self.floor {
                    taken.push(SubEvent::Event(event.clone()));
                }
            }
        }
        if taken.is_empty() && state.since(self.next, 1).is_none() {
            self.ended = true;
            return vec![SubEvent::Expired];
        }
        // What happened before the end is told first.
        if taken.is_empty() && state.closed {
            self.ended = true;
            return taken;
        }
        if taken.is_empty() && state.ticked > self.told {
            self.told = state.ticked;
            taken.push(SubEvent::Progress(state.ticked));
        }
        taken
    }
}
