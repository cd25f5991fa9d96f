//! What happens as additions and losses, through lists. Knows when a list is complete; refuses to know what the objects are.

use std::collections::BTreeSet;

use crate::mirror::{Event, Key};

/// Which objects there are: tells what a list that begins again has lost, and when the first one is complete.
#[derive(Debug, Default)]
pub struct Known {
    /// While a list runs: what has been seen of it.
    listing: Option<BTreeSet<Key>>,
    known: BTreeSet<Key>,
    complete: bool,
}

/// What an event means to whoever keeps the objects.
#[derive(Debug)]
pub enum Step<T> {
    /// It is so now.
    Put(Key, T),
    /// These are gone.
    Gone(Vec<Key>),
    /// Nothing.
    Nothing,
}

impl Known {
    /// Whether all that there is has been told at least once.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Takes in what happened.
    pub fn step<T>(&mut self, event: Event<T>) -> Step<T> {
        match event {
            Event::Changed(head, object) => {
                self.known.insert(head.key.clone());
                Step::Put(head.key, object)
            }
            Event::Gone(head) => {
                self.known.remove(&head.key);
                Step::Gone(vec![head.key])
            }
            Event::Begin => {
                self.listing = Some(BTreeSet::new());
                Step::Nothing
            }
            Event::Listed(head, object) => {
                self.listing.get_or_insert_default().insert(head.key.clone());
                Step::Put(head.key, object)
            }
            Event::Complete(_) => {
                let seen = self.listing.take().unwrap_or_default();
                let gone = self.known.difference(&seen).cloned().collect();
                self.known = seen;
                self.complete = true;
                Step::Gone(gone)
            }
            Event::Seen(_) => Step::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::Head;

    #[test]
    fn a_list_tells_what_is_gone() {
        let head = |name: &str| Head { key: (String::new(), name.to_owned()), ..Head::default() };
        let mut known = Known::default();
        let mut held = BTreeSet::new();
        let mut step = |event: Event<()>| {
            match known.step(event) {
                Step::Put(key, ()) => held.extend([key.1]),
                Step::Gone(keys) => held.retain(|name| !keys.iter().any(|key| key.1 == *name)),
                Step::Nothing => {}
            }
            (held.iter().cloned().collect::<Vec<_>>().join(" "), known.is_complete())
        };
        step(Event::Begin);
        step(Event::Listed(head("a"), ()));
        assert_eq!(step(Event::Listed(head("b"), ())), ("a b".into(), false));
        assert_eq!(step(Event::Complete("1".into())), ("a b".into(), true));
        assert_eq!(step(Event::Changed(head("c"), ())), ("a b c".into(), true));
        assert_eq!(step(Event::Gone(head("a"))), ("b c".into(), true));
        // The watch broke; meanwhile b went and d came. The first list broke as well.
        step(Event::Begin);
        step(Event::Listed(head("b"), ()));
        step(Event::Begin);
        step(Event::Listed(head("c"), ()));
        assert_eq!(step(Event::Listed(head("d"), ())), ("b c d".into(), true));
        assert_eq!(step(Event::Complete("2".into())), ("c d".into(), true));
    }
}
