//! Which notes are written: after ten alike they are combined into one, and an object that is told of all the time is
//! told of more slowly. The numbers are those of client-go.

use std::collections::{HashMap, HashSet};
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

type Who = (&'static str, String);

/// Memory of what was told lately.
#[derive(Debug, Default)]
pub(super) struct Correlator {
    alike: HashMap<(Who, &'static str), (HashSet<String>, Instant)>,
    budgets: HashMap<Who, (f64, Instant)>,
}

impl Correlator {
    /// The note as it is to be written, or nothing.
    pub(super) fn pass(&mut self, mut note: Note, now: Instant) -> Option<Note> {
        let about = if note.about.uid.is_empty() { &note.about.name } else { &note.about.uid };
        let who = (note.component, about.clone());
        if self.alike.len() > KNOWN {
            self.alike.retain(|_, (_, since)| now.duration_since(*since) < Duration::from_secs(60));
        }
        if self.budgets.len() > KNOWN {
            self.budgets.retain(|_, (_, at)| now.duration_since(*at) < Duration::from_secs(60));
        }
        let fresh = || (HashSet::new(), now);
        let (messages, since) = self.alike.entry((who.clone(), note.reason)).or_insert_with(fresh);
        if now.duration_since(*since) > ALIKE_WINDOW {
            messages.clear();
        }
        *since = now;
        if messages.len() < ALIKE {
            messages.insert(note.message.clone());
        } else if !messages.contains(&note.message) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use leme_plan::ObjectRef;

    #[test]
    fn many_alike_become_one_and_too_many_are_dropped() {
        let mut correlator = Correlator::default();
        let now = Instant::now();
        let mut told: Vec<String> = Vec::new();
        for number in 0..40 {
            let note = Note {
                component: "c",
                about: ObjectRef { uid: "u".to_owned(), ..ObjectRef::default() },
                warning: false,
                reason: "Created",
                message: format!("pod {number}"),
            };
            told.extend(correlator.pass(note, now).map(|note| note.message));
        }
        assert_eq!(told.len(), 25);
        assert_eq!(told[9], "pod 9");
        assert_eq!(told[10], "(combined from similar events): pod 10");
    }
}
