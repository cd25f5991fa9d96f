//! A rule at work: where its requests go in turn. Knows weights; refuses to know HTTP.

use super::super::pools::Pool;
use super::super::table::Entry;
use super::rules::{BackendSpec, RuleSpec};
use leme_client::Key;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where requests go.
pub(in crate::router) struct Backend {
    pub(in crate::router) weight: u32,
    /// None if what is referred to cannot be used.
    pub(in crate::router) entry: Option<Arc<Entry>>,
}

/// Who gets copies of some requests.
pub(in crate::router) struct Copy {
    pub(in crate::router) of: u32,
    pub(in crate::router) some: u32,
    pub(in crate::router) pool: Arc<Pool>,
}

/// A rule.
pub(in crate::router) struct Rule {
    /// The route that it is of.
    pub(in crate::router) route: Key,
    pub(in crate::router) spec: Arc<RuleSpec>,
    backends: Vec<Backend>,
    copies: Vec<Copy>,
    /// For each backend those that get copies of what goes there.
    copies_of: Vec<Vec<Copy>>,
    turns: AtomicU64,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rule").field("route", &self.route).finish_non_exhaustive()
    }
}

/// A backend whose turn it is.
#[derive(Clone, Copy)]
pub(in crate::router) struct Turn<'a> {
    pub(in crate::router) entry: &'a Arc<Entry>,
    pub(in crate::router) written: &'a BackendSpec,
    copies: &'a [Copy],
}

impl Rule {
    pub(super) fn new(
        route: Key,
        spec: Arc<RuleSpec>,
        backends: Vec<Backend>,
        copies: Vec<Copy>,
        copies_of: Vec<Vec<Copy>>,
    ) -> Rule {
        Rule { route, spec, backends, copies, copies_of, turns: AtomicU64::new(0) }
    }

    /// The next backend by weight; none if there is none, or what it refers to cannot be used.
    pub(in crate::router) fn next(&self) -> Option<Turn<'_>> {
        let total: u64 = self.backends.iter().map(|one| u64::from(one.weight)).sum();
        // Multiples of the golden ratio fill the unit interval evenly, so weights hold over short runs too.
        let turn = self.turns.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut point = ((turn >> 32) * total) >> 32;
        for (at, backend) in self.backends.iter().enumerate().filter(|(_, one)| one.weight > 0) {
            match point.checked_sub(u64::from(backend.weight)) {
                Some(rest) => point = rest,
                None => {
                    let copies = self.copies_of.get(at).map(Vec::as_slice).unwrap_or_default();
                    let written = self.spec.backends.get(at)?;
                    return Some(Turn { entry: backend.entry.as_ref()?, written, copies });
                }
            }
        }
        None
    }

    /// Those that get a copy of a request that goes where it is somebody's turn.
    pub(in crate::router) fn copies<'a>(
        &'a self,
        turn: Turn<'a>,
    ) -> impl Iterator<Item = &'a Arc<Pool>> {
        let number = self.turns.load(Ordering::Relaxed);
        let all = self.copies.iter().chain(turn.copies);
        all.filter(move |one| is_copied(number, one)).map(|one| &one.pool)
    }
}

/// Whether the request of this number is one of the `some` of `of`, spread evenly.
fn is_copied(number: u64, copy: &Copy) -> bool {
    let (some, of) = (u64::from(copy.some), u64::from(copy.of.max(1)));
    let number = number % of;
    (number + 1) * some / of > number * some / of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_requests_are_copied() {
        for (some, of) in [(0, 100), (1, 1), (10, 100), (1, 3), (99, 100), (50, 1000)] {
            let copy = Copy { some, of, pool: Arc::default() };
            let count = (0..u64::from(of) * 2).filter(|number| is_copied(*number, &copy)).count();
            assert_eq!(count, some as usize * 2, "{some} of {of}");
        }
    }
}
