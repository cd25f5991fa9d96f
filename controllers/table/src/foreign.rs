//! Kinds that the program does not bring along: which there are now, and a lister of each.
//!
//! Knows: what is told of them. Refuses to know: who tells it and when.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use leme_lister::{AnyLister, Lister, Meta};
use leme_meta::resource::Resource;

use crate::cache::meta_only;

/// What is done about a kind that has come, given the number and the lister of it.
type Come = Box<dyn Fn(usize, &Arc<Lister<Meta>>) + Send + Sync>;
/// What is done when kinds have come or gone.
type Changed = Box<dyn Fn() + Send + Sync>;

/// What the API tells of the kinds that the program does not bring along.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Each in its best version.
    pub best: Vec<Resource>,
    /// Each in every version.
    pub all: Vec<Resource>,
    /// The groups and versions of which nothing is known now, and why.
    pub unread: BTreeMap<String, String>,
}

/// The kinds that there are now, besides the program's.
#[derive(Default)]
pub struct Foreign {
    state: RwLock<State>,
    come: RwLock<Vec<Come>>,
    changed: RwLock<Vec<Changed>>,
}

#[derive(Default)]
struct State {
    /// By the number that the collector knows it by; no number is used twice.
    listers: BTreeMap<usize, Arc<Lister<Meta>>>,
    next: usize,
    /// Every kind in every version, by `apiVersion` and `kind`.
    resources: HashMap<(String, String), Resource>,
}

/// Kinds that came, and the numbers of those that went.
pub type Changes = (Vec<(usize, Arc<Lister<Meta>>)>, Vec<usize>);

impl Foreign {
    /// Numbers begin at `first`.
    pub(crate) fn numbered_from(first: usize) -> Foreign {
        let state = State { next: first, ..State::default() };
        Foreign { state: RwLock::new(state), ..Foreign::default() }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `come` on every kind that comes from now on.
    pub(crate) fn on_come(&self, come: Come) {
        self.come.write().unwrap_or_else(PoisonError::into_inner).push(come);
    }

    /// Calls `changed` whenever kinds have come or gone.
    pub(crate) fn on_change(&self, changed: Changed) {
        self.changed.write().unwrap_or_else(PoisonError::into_inner).push(changed);
    }

    /// The lister of a number.
    pub(crate) fn numbered(&self, number: usize) -> Option<Arc<dyn AnyLister>> {
        Some(self.state().listers.get(&number)?.clone())
    }

    /// The lister of a resource.
    pub fn of(&self, resource: &Resource) -> Option<Arc<dyn AnyLister>> {
        let state = self.state();
        let found = state.listers.values().find(|one| one.resource() == resource)?;
        Some(found.clone())
    }

    /// The resource of a kind.
    pub fn resolve(&self, api_version: &str, kind: &str) -> Option<Resource> {
        self.state().resources.get(&(api_version.to_owned(), kind.to_owned())).cloned()
    }

    /// Takes in which kinds there are. Of what could not be read, nothing has gone. Those that came have listers now, which
    /// the caller keeps; those that went have none any more.
    pub fn take(&self, found: Found) -> Changes {
        let (came, gone) = self.state.write().unwrap_or_else(PoisonError::into_inner).change(found);
        for (number, lister) in &came {
            for come in self.come.read().unwrap_or_else(PoisonError::into_inner).iter() {
                come(*number, lister);
            }
        }
        if !came.is_empty() || !gone.is_empty() {
            for changed in self.changed.read().unwrap_or_else(PoisonError::into_inner).iter() {
                changed();
            }
        }
        (came, gone)
    }
}

impl State {
    fn change(&mut self, found: Found) -> Changes {
        let unread = |one: &Resource| found.unread.contains_key(&one.api_version);
        self.resources.retain(|_, one| unread(one));
        let named = |one: Resource| ((one.api_version.clone(), one.kind.clone()), one);
        self.resources.extend(found.all.into_iter().map(named));
        let goes = |one: &Resource| !found.best.contains(one) && !unread(one);
        let gone = self.listers.iter().filter(|(_, one)| goes(one.resource()));
        let gone: Vec<usize> = gone.map(|(number, _)| *number).collect();
        for number in &gone {
            self.listers.remove(number);
        }
        let mut came = Vec::new();
        for resource in found.best {
            if self.listers.values().any(|one| *one.resource() == resource) {
                continue;
            }
            let lister = Lister::new(resource, meta_only, &[]);
            self.listers.insert(self.next, lister.clone());
            came.push((self.next, lister));
            self.next += 1;
        }
        (came, gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when what another server answers for goes as soon as that one does not answer.
    #[test]
    fn what_cannot_be_read_stays() {
        let foreign = Foreign::numbered_from(7);
        let tabs = Resource::namespaced("example.com/v1", "Tab", "tabs");
        let mut found =
            Found { best: vec![tabs.clone()], all: vec![tabs.clone()], ..Found::default() };
        let (came, gone) = foreign.take(found.clone());
        assert_eq!((came[0].0, gone.len()), (7, 0));
        (found.best, found.all) = (Vec::new(), Vec::new());
        found.unread.insert("example.com/v1".to_owned(), "away".to_owned());
        assert!(foreign.take(found).1.is_empty());
        assert!(foreign.of(&tabs).is_some() && foreign.resolve("example.com/v1", "Tab").is_some());
        assert_eq!(foreign.take(Found::default()).1, [7]);
        assert!(foreign.of(&tabs).is_none() && foreign.resolve("example.com/v1", "Tab").is_none());
        let found = Found { best: vec![tabs], ..Found::default() };
        assert_eq!(foreign.take(found).0[0].0, 8, "no number twice");
    }
}
