//! One priority level: its share of the seats, and who of its requests runs.
//!
//! Knows: PriorityLevelConfigurations. Refuses to know: which requests are its own, and what other levels have to lend.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::queues::Queues;
use crate::{Held, Metadata};

/// Queues, hand and length where none are said.
const QUEUING: (usize, usize, usize) = (64, 8, 50);
/// Seats of one request at most.
const WIDEST: u32 = 10;

/// What becomes of a request for which there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Without {
    /// It is refused.
    Reject,
    /// It waits in one of so many queues, of which its flow is dealt so many, with so many in each at most.
    Queue(usize, usize, usize),
}

/// What a level is configured as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Whether its requests need no seats.
    pub(crate) exempt: bool,
    pub(crate) shares: u32,
    /// Percent of its seats that others may have while it does not need them.
    pub(crate) lends: u32,
    /// Percent of its seats that it may have besides of others, if it is bounded.
    pub(crate) borrows: Option<u32>,
    pub(crate) without: Without,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(rename = "type")]
    type_: String,
    #[serde(default)]
    limited: Option<Limited>,
    #[serde(default)]
    exempt: Option<Limited>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Limited {
    #[serde(default)]
    nominal_concurrency_shares: Option<u32>,
    #[serde(default)]
    lendable_percent: u32,
    #[serde(default)]
    borrowing_limit_percent: Option<u32>,
    #[serde(default)]
    limit_response: Option<LimitResponse>,
}

#[derive(Deserialize)]
struct LimitResponse {
    #[serde(rename = "type")]
    type_: String,
    #[serde(default)]
    queuing: Option<Queuing>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Queuing {
    #[serde(default)]
    queues: Option<usize>,
    #[serde(default)]
    hand_size: Option<usize>,
    #[serde(default)]
    queue_length_limit: Option<usize>,
}

impl Settings {
    /// Reads a PriorityLevelConfiguration.
    pub fn read(object: &Value) -> Option<Settings> {
        let Object { metadata, spec } = Object::deserialize(object).ok()?;
        let exempt = spec.type_ == "Exempt";
        let (of, usual) = match exempt {
            true => (spec.exempt.unwrap_or_default(), 0),
            false => (spec.limited?, 30),
        };
        let without = match of.limit_response {
            Some(LimitResponse { type_, queuing }) if type_ == "Queue" => {
                let (queues, hand, most) = QUEUING;
                let said = queuing.as_ref();
                Without::Queue(
                    said.and_then(|said| said.queues).unwrap_or(queues),
                    said.and_then(|said| said.hand_size).unwrap_or(hand),
                    said.and_then(|said| said.queue_length_limit).unwrap_or(most),
                )
            }
            _ => Without::Reject,
        };
        Some(Settings {
            name: metadata.name,
            uid: metadata.uid,
            exempt,
            shares: of.nominal_concurrency_shares.unwrap_or(usual),
            lends: of.lendable_percent.min(100),
            borrows: of.borrowing_limit_percent,
            without,
        })
    }
}

/// Seats of a level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seats {
    /// Its own.
    pub nominal: u32,
    /// Of these, what others may have.
    pub lendable: u32,
    /// What it may have besides.
    pub borrowed: u32,
}

impl Seats {
    /// The part of all seats that falls to a level of these settings.
    pub fn of(settings: &Settings, all: u32, shares: u64) -> Seats {
        let part = |percent: u32, of: u32| (u64::from(of) * u64::from(percent) + 50) / 100;
        let nominal = (u64::from(all) * u64::from(settings.shares)).div_ceil(shares.max(1));
        let nominal = u32::try_from(nominal).unwrap_or(u32::MAX);
        let borrowed = settings.borrows.map_or(u64::from(all), |percent| part(percent, nominal));
        Seats {
            nominal,
            lendable: part(settings.lends, nominal) as u32,
            borrowed: u32::try_from(borrowed).unwrap_or(u32::MAX),
        }
    }

    /// Seats that one request takes at most.
    pub fn widest(self) -> u32 {
        (self.nominal * 15).div_ceil(100).clamp(1, WIDEST)
    }
}

/// A level as it is now.
pub(crate) struct Level {
    state: Mutex<State>,
    /// What others look at without waiting for the state: its seats that are taken, and those that are for it alone.
    taken: AtomicU32,
    kept: AtomicU32,
    waiting: AtomicUsize,
}

/// What is known of a level.
pub(crate) struct State {
    pub settings: Settings,
    pub seats: Seats,
    pub queues: Queues<oneshot::Sender<Held>>,
    pub counts: Counts,
}

/// The state of a level, for who changes it: others see what has become of it when it is let go.
pub(crate) struct Locked<'a> {
    level: &'a Level,
    state: MutexGuard<'a, State>,
}

/// What has become of a level's requests so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// That got a seat.
    pub dispatched: u64,
    /// For which there was no seat.
    pub without_seat: u64,
    /// Whose queue was full.
    pub queue_full: u64,
    /// That waited for too long.
    pub timed_out: u64,
    /// Seconds that those waited in all that got a seat.
    pub waited: f64,
}

impl Level {
    /// Without requests.
    pub fn new(settings: Settings, seats: Seats) -> Level {
        let queues = queues(settings.without);
        let state = State { settings, seats, queues, counts: Counts::default() };
        let level = Level {
            state: Mutex::new(state),
            taken: AtomicU32::default(),
            kept: AtomicU32::default(),
            waiting: AtomicUsize::default(),
        };
        drop(level.lock());
        level
    }

    /// Its state; never held across an await, and never two at a time.
    pub fn lock(&self) -> Locked<'_> {
        Locked { level: self, state: self.state.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Seats of its requests, and what of its own others may not have now.
    pub fn shown(&self) -> (u32, u32) {
        let (taken, kept) = (self.taken.load(Ordering::Acquire), self.kept.load(Ordering::Acquire));
        (taken, kept.saturating_sub(taken))
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let State { seats, queues, .. } = &*self.state;
        self.level.taken.store(queues.seats_taken(), Ordering::Release);
        self.level.kept.store(seats.nominal - seats.lendable, Ordering::Release);
        self.level.waiting.store(queues.waiting(), Ordering::Release);
    }
}

/// Queues for what is to become of requests without a seat; one, in which nobody waits, for those that are refused.
pub(crate) fn queues<T>(without: Without) -> Queues<T> {
    match without {
        Without::Reject => Queues::new(1, 1, usize::MAX),
        Without::Queue(queues, hand, most) => Queues::new(queues, hand, most),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn limited(limited: Value) -> Settings {
        let object = json!({"metadata": {"name": "l", "uid": "u"}, "spec": {"type": "Limited", "limited": limited}});
        Settings::read(&object).unwrap()
    }

    #[test]
    fn configurations_are_read() {
        let queue = limited(json!({"nominalConcurrencyShares": 100, "lendablePercent": 90,
            "limitResponse": {"type": "Queue", "queuing": {"queues": 128, "handSize": 6, "queueLengthLimit": 50}}}));
        assert_eq!(queue.without, Without::Queue(128, 6, 50));
        let reject =
            limited(json!({"limitResponse": {"type": "Reject"}, "borrowingLimitPercent": 0}));
        assert_eq!((reject.shares, reject.without, reject.borrows), (30, Without::Reject, Some(0)));
        let exempt = json!({"metadata": {"name": "exempt"}, "spec": {"type": "Exempt"}});
        let exempt = Settings::read(&exempt).unwrap();
        assert!(exempt.exempt && exempt.shares == 0);
    }

    /// The numbers that upstream's documentation has for its defaults: 600 seats, 245 shares.
    #[test]
    fn seats_are_dealt_by_shares() {
        let low = limited(
            json!({"nominalConcurrencyShares": 100, "lendablePercent": 90, "borrowingLimitPercent": 50}),
        );
        let seats = Seats::of(&low, 600, 245);
        assert_eq!(seats, Seats { nominal: 245, lendable: 221, borrowed: 123 });
        assert_eq!(seats.widest(), 10);
        let least = Seats::of(&limited(json!({"nominalConcurrencyShares": 5})), 2, 245);
        assert_eq!((least.nominal, least.widest()), (1, 1));
        let none = Seats::of(&limited(json!({"nominalConcurrencyShares": 0})), 600, 245);
        assert_eq!(none.nominal, 0);
    }
}
