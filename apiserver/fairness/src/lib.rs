//! Whose turn it is: requests sorted into flows of priority levels, each with its share of seats.
//!
//! Knows: upstream's API Priority and Fairness: FlowSchemas, PriorityLevelConfigurations, queues, what levels lend each
//! other. Refuses to know: what requests do, and HTTP.
//!
//! A level has the seats of its share whenever it needs them. What it lends is others' as long as it does not; a borrower
//! gives a seat back when its request ends, so that for that time there may be more requests under way than seats.

mod level;
mod queues;
mod schema;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use leme_access::{Attributes, Identity};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use level::{Counts, Settings};
use level::{Level, Seats, State, Without};
use queues::Turn;
use schema::Schema;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(15);

/// Sorts requests, and says whose turn it is.
pub struct Fairness {
    /// Seats of all levels.
    all: u32,
    sorted: ArcSwap<Sorted>,
    hasher: RandomState,
    /// The zero of the clock of all queues.
    began: Instant,
    next: AtomicU64,
}

/// What requests are sorted by.
#[derive(Default)]
struct Sorted {
    schemas: Vec<Arc<Schema>>,
    levels: HashMap<String, Arc<Level>>,
}

/// What both kinds of objects say of themselves, and what one says of the other.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub name: String,
    #[serde(default)]
    pub uid: String,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The level has none left, and nobody waits in it.
    ConcurrencyLimit,
    /// Those before it in its queue are too many.
    QueueFull,
    /// Its turn has not come for too long.
    TimeOut,
}

/// Which schema and level a request is of, by their uids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Of {
    /// The FlowSchema's.
    pub schema: String,
    /// The PriorityLevelConfiguration's.
    pub level: String,
}

/// A seat; given back when it is dropped.
pub struct Seat {
    _held: Option<Held>,
    of: Of,
}

impl Seat {
    /// Which schema and level its request is of.
    pub fn of(&self) -> &Of {
        &self.of
    }
}

/// Seats of one request of a level.
pub(crate) struct Held {
    fairness: Arc<Fairness>,
    level: Arc<Level>,
    turn: Turn,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.level.lock().queues.ended(&self.turn, self.fairness.clock());
        self.fairness.go_on(&self.level);
        let sorted = self.fairness.sorted.load();
        let others = sorted.levels.values().filter(|level| !Arc::ptr_eq(level, &self.level));
        for waiting in others.filter(|level| level.waiting() > 0) {
            self.fairness.go_on(waiting);
        }
    }
}

/// What a level looks like to who measures.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Its own seats.
    pub nominal: u32,
    /// Seats taken.
    pub seats: u32,
    /// Requests that run.
    pub running: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// What has become of requests so far.
    pub counts: Counts,
}

impl Fairness {
    /// With so many seats in all, and no level yet: everything has its way.
    pub fn new(all: u32) -> Arc<Fairness> {
        Arc::new(Fairness {
            all,
            sorted: ArcSwap::default(),
            hasher: RandomState::new(),
            began: Instant::now(),
            next: AtomicU64::new(0),
        })
    }

    /// Sorts by these objects from now on. Levels that stay keep their requests; those that go let theirs end.
    pub fn set(self: &Arc<Fairness>, schemas: &[Value], levels: &[Value]) {
        let mut schemas: Vec<Schema> = schemas.iter().filter_map(Schema::read).collect();
        Schema::sort(&mut schemas);
        let settings: Vec<Settings> = levels.iter().filter_map(Settings::read).collect();
        let shares = settings.iter().map(|of| u64::from(of.shares)).sum();
        let before = self.sorted.load();
        let mut levels = HashMap::new();
        for of in settings {
            let seats = Seats::of(&of, self.all, shares);
            let name = of.name.clone();
            let level = match before.levels.get(&name) {
                Some(level) if level.lock().settings.without == of.without => {
                    let mut state = level.lock();
                    (state.settings, state.seats) = (of, seats);
                    Arc::clone(level)
                }
                // Those that wait in other queues go on waiting there.
                _ => Arc::new(Level::new(of, seats)),
            };
            levels.insert(name, level);
        }
        let schemas = schemas.into_iter().filter(|schema| levels.contains_key(&schema.level));
        let schemas = schemas.map(Arc::new).collect();
        let levels = Arc::new(Sorted { schemas, levels });
        self.sorted.store(Arc::clone(&levels));
        // There may be more seats now.
        for level in levels.levels.values().chain(before.levels.values()) {
            self.go_on(level);
        }
    }

    /// A seat for a request, when its turn comes. `width` tells how many it takes, of so many at most.
    ///
    /// # Errors
    /// When there is none, with the schema and the level that it is of.
    pub async fn enter(
        self: &Arc<Fairness>,
        who: &Identity,
        what: &Attributes,
        width: impl FnOnce(u32) -> u32,
    ) -> Result<Seat, (Refused, Of)> {
        let sorted = self.sorted.load_full();
        let schema = sorted.schemas.iter().find(|schema| schema.fits(who, what));
        let found = schema.and_then(|schema| Some((schema, sorted.levels.get(&schema.level)?)));
        let Some((schema, level)) = found else {
            return Ok(Seat { _held: None, of: Of::default() });
        };
        let arrived = self.clock();
        let (of, id, mut told) = {
            let mut state = level.lock();
            let of = Of { schema: schema.uid.clone(), level: state.settings.uid.clone() };
            if state.settings.exempt {
                state.counts.dispatched += 1;
                return Ok(Seat { _held: None, of });
            }
            let seats = width(state.seats.widest()).clamp(1, state.seats.widest());
            let flow = self.hasher.hash_one((&schema.name, schema.flow(who, what)));
            if state.queues.waiting() == 0 && self.has_seats(&sorted, level, &state, seats) {
                state.counts.dispatched += 1;
                let turn = state.queues.pass(flow, seats, arrived);
                drop(state);
                return Ok(Seat { _held: Some(self.held(level, turn)), of });
            }
            if state.settings.without == Without::Reject {
                state.counts.without_seat += 1;
                return Err((Refused::ConcurrencyLimit, of));
            }
            let id = self.next.fetch_add(1, Ordering::Relaxed);
            let (tell, told) = oneshot::channel();
            if state.queues.enqueue(flow, (id, seats), tell, arrived).is_err() {
                state.counts.queue_full += 1;
                return Err((Refused::QueueFull, of));
            }
            (of, id, told)
        };
        let waits = Waits { level, id };
        let held = match tokio::time::timeout(PATIENCE, &mut told).await {
            Ok(Ok(held)) => Some(held),
            // It may have come at the last moment.
            Ok(Err(_)) | Err(_) => {
                drop(waits);
                told.try_recv().ok()
            }
        };
        let mut state = level.lock();
        let Some(held) = held else {
            state.counts.timed_out += 1;
            return Err((Refused::TimeOut, of));
        };
        state.counts.dispatched += 1;
        state.counts.waited += self.clock() - arrived;
        drop(state);
        Ok(Seat { _held: Some(held), of })
    }

    /// What levels look like now, by their names.
    pub fn shown(&self) -> Vec<Shown> {
        let sorted = self.sorted.load();
        let shown = |level: &Arc<Level>| {
            let state = level.lock();
            Shown {
                name: state.settings.name.clone(),
                nominal: state.seats.nominal,
                seats: state.queues.seats_taken(),
                running: state.queues.running(),
                waiting: state.queues.waiting(),
                counts: state.counts,
            }
        };
        let mut all: Vec<Shown> = sorted.levels.values().map(shown).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    fn held(self: &Arc<Fairness>, level: &Arc<Level>, turn: Turn) -> Held {
        Held { fairness: Arc::clone(self), level: Arc::clone(level), turn }
    }

    /// Whether a level has so many seats more: of its own, or of those that others lend and nobody has.
    fn has_seats(&self, sorted: &Sorted, level: &Arc<Level>, state: &State, seats: u32) -> bool {
        let Seats { nominal, borrowed, .. } = state.seats;
        let wanted = state.queues.seats_taken().saturating_add(seats);
        if wanted <= nominal {
            return true;
        }
        if wanted > nominal.saturating_add(borrowed) {
            return false;
        }
        let others = sorted.levels.values().filter(|other| !Arc::ptr_eq(other, level));
        let others = others.map(|other| {
            let (taken, kept) = other.shown();
            u64::from(taken) + u64::from(kept)
        });
        others.sum::<u64>() + u64::from(wanted) <= u64::from(self.all)
    }

    /// Lets those run whose turn it is, as long as there are seats.
    fn go_on(self: &Arc<Fairness>, level: &Arc<Level>) {
        loop {
            let sorted = self.sorted.load();
            let mut state = level.lock();
            let Some(seats) = state.queues.next_seats() else { return };
            // One that is wider than the level has become runs alone.
            let is_alone = state.queues.seats_taken() == 0;
            if !is_alone && !self.has_seats(&sorted, level, &state, seats) {
                return;
            }
            let Some((tell, turn)) = state.queues.dispatch(self.clock()) else { return };
            drop(state);
            // Who waits no more gives it back at once.
            drop(tell.send(self.held(level, turn)));
        }
    }

    /// Seconds since the start.
    fn clock(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

/// Somebody who waits, and no longer when this is dropped.
struct Waits<'a> {
    level: &'a Level,
    id: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let left = self.level.lock().queues.leave(self.id);
        drop(left);
    }
}

#[cfg(test)]
mod tests;
