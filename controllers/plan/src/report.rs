//! What a plan says about itself: what it waits for, and where the API tells of it. Events are rendered from it; conditions
//! are written by actions of the same plan. Whoever explains an object reads those two, and so needs nothing else of the
//! controllers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Plan;
use crate::action::ObjectRef;

/// Where the API tells of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A Normal Event on the object.
    Event,
    /// A Warning Event on the object.
    Warning,
    /// A Normal Event on the object once it has waited for [`LATE`]: what passes in no time in most cases is told only where
    /// it does not.
    Late,
    /// In the object's status or conditions, written by an action of the same plan, or in the object waited on.
    Status,
}

/// One thing that is being waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Machine-readable reason.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// The object that has to change, if there is one.
    pub on: Option<ObjectRef>,
    /// Where the API tells of it.
    pub shown: Shown,
}

impl Waiting {
    /// A wait on nothing in particular.
    pub fn new(reason: &'static str, message: impl Into<String>, shown: Shown) -> Waiting {
        Waiting { reason, message: message.into(), on: None, shown }
    }

    /// The same wait, on an object.
    pub fn on(mut self, object: ObjectRef) -> Waiting {
        self.on = Some(object);
        self
    }
}

/// What a plan is waiting for, and for whom.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The object that waits: Events are about it.
    pub about: Option<ObjectRef>,
    /// What it waits for; empty when all is as desired.
    pub waiting: Vec<Waiting>,
}

impl Report {
    /// A report about an object.
    pub fn about(object: ObjectRef) -> Report {
        Report { about: Some(object), waiting: Vec::new() }
    }
}

/// The reason of the Warning Event that tells of a refused write of which nothing else tells.
pub const RECONCILE_ERROR: &str = "ReconcileError";

/// How long something is waited for before it is told of, where it mostly takes no time.
pub const LATE: Duration = Duration::from_secs(5);

/// What is waited for, which object has to change, and since when.
type Waits = Vec<(&'static str, Option<ObjectRef>, Duration)>;

/// Since when the rounds of each key wait for what may have to be told late.
#[derive(Debug)]
pub struct Standing<K>(BTreeMap<K, Waits>);

impl<K> Default for Standing<K> {
    fn default() -> Standing<K> {
        Standing(BTreeMap::new())
    }
}

impl<K: Ord> Standing<K> {
    /// Takes in the plan of a key's latest round: late waits that have stood for long enough become Events, and the key is
    /// looked at again when the next one has. `now` is since a start that the caller chose.
    pub fn ripen(&mut self, key: K, plan: &mut Plan, now: Duration) {
        let before = self.0.remove(&key).unwrap_or_default();
        let (mut waits, mut again) = (Waits::new(), None);
        for waiting in plan.report.waiting.iter_mut().filter(|one| one.shown == Shown::Late) {
            let on = waiting.on.clone().map(ObjectRef::any_version);
            let known =
                before.iter().find(|(reason, of, _)| *reason == waiting.reason && *of == on);
            let since = known.map_or(now, |(.., since)| *since);
            let left = LATE.saturating_sub(now.saturating_sub(since));
            if left.is_zero() {
                waiting.shown = Shown::Event;
            } else {
                again = Some(again.map_or(left, |known: Duration| known.min(left)));
            }
            waits.push((waiting.reason, on, since));
        }
        again.into_iter().for_each(|delay| plan.again_in(delay));
        if !waits.is_empty() {
            self.0.insert(key, waits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when a short wait is told of, when a long one is not, and when one that went and came counts as having stood.
    #[test]
    fn what_stands_for_long_is_told() {
        let mut standing = Standing::default();
        let mut at = |seconds: u64, waits: bool| {
            let mut plan = Plan::default();
            if waits {
                plan.wait(Waiting::new("InUse", format!("since {seconds}"), Shown::Late));
            }
            standing.ripen("a", &mut plan, Duration::from_secs(seconds));
            let told = plan.report.waiting.iter().any(|one| one.shown == Shown::Event);
            (told, plan.requeue.map(|delay| delay.as_secs()))
        };
        assert_eq!(at(0, true), (false, Some(5)));
        assert_eq!(at(3, true), (false, Some(2)));
        assert_eq!(at(4, false), (false, None));
        assert_eq!(at(6, true), (false, Some(5)));
        assert_eq!(at(11, true), (true, None));
        assert_eq!(at(12, true), (true, None));
    }
}
