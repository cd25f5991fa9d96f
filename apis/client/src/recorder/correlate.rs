//! Which notes are written: after ten alike they are combined into one, and an object that is told of all the time is
//! told of more slowly. The numbers are those of client-go.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use tokio::time::Instant;

use super::Note;

/// How a combined message begins.
pub(super) const COMBINED: &str = "(combined from similar events): ";
const ALIKE: usize = 10;
const ALIKE_WINDOW: Duration = Duration::from_secs(600);
const BURST: f64 = 25.0;
const PER_SECOND: f64 = 1.0 / 300.0;
const KNOWN: usize = 4096;
/// When there are too many, who was told of longer ago than this goes first.
const LATELY: Duration = Duration::from_secs(60);

/// What stands for a text or several: those of thousands of objects would lie all over the memory for long.
pub(super) type Mark = u64;

/// Makes marks, as only this process does.
#[derive(Debug, Default)]
pub(super) struct Marks(RandomState);

impl Marks {
    /// What stands for the texts.
    pub(super) fn of(&self, texts: &[&str]) -> Mark {
        self.0.hash_one(texts)
    }
}

/// Memory of what was told lately.
#[derive(Debug, Default)]
pub(super) struct Correlator {
    marks: Marks,
    alike: HashMap<Mark, Alike>,
    budgets: HashMap<Mark, (f64, Instant)>,
}

/// The first messages of one reason about one object.
#[derive(Debug)]
struct Alike {
    messages: [Mark; ALIKE],
    count: usize,
    since: Instant,
}

impl Correlator {
    /// The note as it is to be written, or nothing.
    pub(super) fn pass(&mut self, mut note: Note, now: Instant) -> Option<Note> {
        let about = note.who();
        forget(&mut self.alike, |alike| now.duration_since(alike.since));
        forget(&mut self.budgets, |(_, at)| now.duration_since(*at));
        let mark = self.marks.of(&[note.component, about, note.reason]);
        let fresh = || Alike { messages: [0; ALIKE], count: 0, since: now };
        let alike = self.alike.entry(mark).or_insert_with(fresh);
        if now.duration_since(alike.since) > ALIKE_WINDOW {
            alike.count = 0;
        }
        alike.since = now;
        let message = self.marks.of(&[&note.message]);
        let is_new = !alike.messages[..alike.count].contains(&message);
        let who = self.marks.of(&[note.component, about]);
        if is_new && alike.count < ALIKE {
            alike.messages[alike.count] = message;
            alike.count += 1;
        } else if is_new {
            note.message.insert_str(0, COMBINED);
        }
        let (left, at) = self.budgets.entry(who).or_insert((BURST, now));
        *left = (*left + now.duration_since(*at).as_secs_f64() * PER_SECOND).min(BURST);
        *at = now;
        if *left < 1.0 {
            return None;
        }
        *left -= 1.0;
        Some(note)
    }
}

/// Makes room in a memory of too many: what is old goes, and if nothing is, all of it.
pub(super) fn forget<T>(known: &mut HashMap<Mark, T>, age: impl Fn(&T) -> Duration) {
    if known.len() >= KNOWN {
        known.retain(|_, one| age(one) < LATELY);
        if known.len() >= KNOWN {
            known.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::About;

    #[test]
    fn many_alike_become_one_and_too_many_are_dropped() {
        let mut correlator = Correlator::default();
        let now = Instant::now();
        let mut told: Vec<String> = Vec::new();
        for number in 0..40 {
            let note = Note {
                component: "c",
                about: About { uid: "u".to_owned(), ..About::default() },
                reason: "Created",
                message: format!("pod {number}"),
                ..Note::default()
            };
            told.extend(correlator.pass(note, now).map(|note| note.message));
        }
        assert_eq!(told.len(), 25);
        assert_eq!(told[9], "pod 9");
        assert_eq!(told[10], "(combined from similar events): pod 10");
    }
    /// Red when all that was told of lately is kept: as many as come within a minute.
    #[test]
    fn no_more_is_remembered_than_a_bound() {
        let mut correlator = Correlator::default();
        let now = Instant::now();
        for number in 0..3 * KNOWN {
            let about = About { uid: number.to_string(), ..About::default() };
            let message = "m".to_owned();
            let note = Note { component: "c", about, reason: "r", message, ..Note::default() };
            assert!(correlator.pass(note, now).is_some());
            assert!(correlator.alike.len() <= KNOWN && correlator.budgets.len() <= KNOWN);
        }
    }
}
