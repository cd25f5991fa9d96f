//! Pods that wait for a decision: by priority, then in the order they came. Those that no node took a short while ago come
//! after all others, until that while is over.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::cluster::PodKey;

type Place = (Reverse<i32>, u64);

#[derive(Clone, Copy, Debug)]
enum At {
    Ready(Place),
    Resting(Place, Timestamp),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    times: u32,
    until: Timestamp,
}

/// The queue. Every pod is in it at most once.
#[derive(Debug)]
pub struct Queue {
    /// How long a pod comes after the others when no node took it: the first time, and at most.
    backoff: (Duration, Duration),
    ready: BTreeMap<Place, PodKey>,
    resting: BTreeMap<Place, PodKey>,
    /// When those that rest are ready again.
    ends: BTreeSet<(Timestamp, Place)>,
    places: HashMap<PodKey, At>,
    failures: HashMap<PodKey, Failures>,
    next: u64,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue::new(crate::Config::default().backoff)
    }
}

impl Queue {
    /// An empty queue. A pod that no node took comes after the others for `first`, each further time for twice as long, up
    /// to `last`.
    pub fn new((first, last): (Duration, Duration)) -> Queue {
        Queue {
            backoff: (first, last),
            ready: BTreeMap::new(),
            resting: BTreeMap::new(),
            ends: BTreeSet::new(),
            places: HashMap::new(),
            failures: HashMap::new(),
            next: 0,
        }
    }

    /// Adds a pod.
    pub fn add(&mut self, key: PodKey, priority: i32, now: Timestamp) {
        if self.places.contains_key(&key) {
            return;
        }
        let place = (Reverse(priority), self.next);
        self.next += 1;
        match self.failures.get(&key).filter(|failures| failures.until > now) {
            Some(failures) => {
                self.resting.insert(place, key.clone());
                self.ends.insert((failures.until, place));
                self.places.insert(key, At::Resting(place, failures.until));
            }
            None => {
                self.ready.insert(place, key.clone());
                self.places.insert(key, At::Ready(place));
            }
        }
    }

    /// Notes that no node took the pod.
    pub fn failed(&mut self, key: &PodKey, now: Timestamp) {
        let known = self.failures.entry(key.clone());
        let failures = known.or_insert(Failures { times: 0, until: now });
        let (first, last) = self.backoff;
        let rest = first.saturating_mul(1 << failures.times.min(20)).min(last);
        failures.times = failures.times.saturating_add(1);
        let rest = SignedDuration::try_from(rest).unwrap_or(SignedDuration::ZERO);
        failures.until = now.checked_add(rest).unwrap_or(Timestamp::MAX);
    }

    /// The next pod.
    pub fn pop(&mut self, now: Timestamp) -> Option<PodKey> {
        while let Some((until, place)) =
            self.ends.first().copied().filter(|(until, _)| *until <= now)
        {
            self.ends.remove(&(until, place));
            if let Some(key) = self.resting.remove(&place) {
                self.places.insert(key.clone(), At::Ready(place));
                self.ready.insert(place, key);
            }
        }
        let (_, key) = match self.ready.pop_first() {
            Some(first) => first,
            None => {
                let (place, key) = self.resting.pop_first()?;
                if let Some(At::Resting(_, until)) = self.places.get(&key) {
                    self.ends.remove(&(*until, place));
                }
                (place, key)
            }
        };
        self.places.remove(&key);
        Some(key)
    }

    /// Forgets a pod.
    pub fn remove(&mut self, key: &PodKey) {
        self.failures.remove(key);
        match self.places.remove(key) {
            Some(At::Ready(place)) => drop(self.ready.remove(&place)),
            Some(At::Resting(place, until)) => {
                self.resting.remove(&place);
                self.ends.remove(&(until, place));
            }
            None => {}
        }
    }

    /// How many wait for a decision.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether none waits for a decision.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> PodKey {
        ("n".to_owned(), name.to_owned())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn order(queue: &mut Queue, seconds: i64) -> Vec<String> {
        std::iter::from_fn(|| queue.pop(at(seconds))).map(|key| key.1).collect()
    }

    #[test]
    fn by_priority_then_age_and_never_twice() {
        let mut queue = Queue::default();
        for (name, priority) in [("a", 0), ("b", 0), ("c", 9), ("a", 0)] {
            queue.add(key(name), priority, at(0));
        }
        assert_eq!(order(&mut queue, 0), ["c", "a", "b"]);
        queue.add(key("a"), 0, at(0));
        queue.remove(&key("a"));
        assert!(queue.is_empty());
    }

    /// Red when a pod that fails again and again keeps others of a lower priority waiting.
    #[test]
    fn who_failed_comes_after_the_others_for_a_while() {
        let mut queue = Queue::default();
        let add = |queue: &mut Queue, seconds: i64| {
            queue.add(key("failed"), 9, at(seconds));
            queue.add(key("new"), 0, at(seconds));
        };
        queue.failed(&key("failed"), at(0));
        add(&mut queue, 0);
        assert_eq!(order(&mut queue, 0), ["new", "failed"]);
        add(&mut queue, 0);
        assert_eq!(order(&mut queue, 1), ["failed", "new"]);
        for (times, rests) in [2, 4, 8, 10, 10].into_iter().enumerate() {
            let now = i64::try_from(times).unwrap() * 100;
            queue.failed(&key("failed"), at(now));
            add(&mut queue, now);
            assert_eq!(order(&mut queue, now + rests - 1), ["new", "failed"], "{rests}");
            add(&mut queue, now);
            assert_eq!(order(&mut queue, now + rests), ["failed", "new"], "{rests}");
        }
        queue.remove(&key("failed"));
        add(&mut queue, 500);
        assert_eq!(order(&mut queue, 500), ["failed", "new"], "forgotten");
        assert!(queue.ends.is_empty() && queue.resting.is_empty() && queue.ready.is_empty());
    }
}
