//! A watch as additions and losses, through relists. Knows when a list is complete; refuses to know what the objects are.

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use std::collections::BTreeSet;

/// Namespace and name.
pub(crate) type Key = (String, String);

/// Follows a watch stream: tells additions from a relist, and when the first list is complete.
#[derive(Default)]
pub(crate) struct Follow {
    /// While a list runs: what has been seen of it.
    listing: Option<BTreeSet<Key>>,
    known: BTreeSet<Key>,
    pub(crate) synced: bool,
}

/// What a watch event means.
pub(crate) enum Step<T> {
    Put(Key, T),
    /// These are gone.
    Gone(Vec<Key>),
    Nothing,
}

impl Follow {
    pub(crate) fn step<T: kube::ResourceExt>(&mut self, event: Event<T>) -> Step<T> {
        let key = |object: &T| (object.namespace().unwrap_or_default(), object.name_any());
        match event {
            Event::Apply(object) => {
                self.known.insert(key(&object));
                Step::Put(key(&object), object)
            }
            Event::Delete(object) => {
                self.known.remove(&key(&object));
                Step::Gone(vec![key(&object)])
            }
            Event::Init => {
                self.listing = Some(BTreeSet::new());
                Step::Nothing
            }
            Event::InitApply(object) => {
                self.listing.get_or_insert_default().insert(key(&object));
                Step::Put(key(&object), object)
            }
            Event::InitDone => {
                let seen = self.listing.take().unwrap_or_default();
                let gone = self.known.difference(&seen).cloned().collect();
                self.known = seen;
                self.synced = true;
                Step::Gone(gone)
            }
        }
    }
}

/// A watch that lists again and backs off by itself.
pub(crate) type Watch<T> = BoxStream<'static, watcher::Result<Event<T>>>;

/// Watches every object behind `api`.
pub(crate) fn watch<T>(api: Api<T>) -> Watch<T>
where
    T: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    watcher::watcher(api, watcher::Config::default()).default_backoff().boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    #[test]
    fn a_relist_tells_what_is_gone() {
        let object = |name: &str| ConfigMap {
            metadata: kube::api::ObjectMeta { name: Some(name.into()), ..Default::default() },
            ..Default::default()
        };
        let mut follow = Follow::default();
        let mut held = BTreeSet::new();
        let mut step = |event| {
            match follow.step(event) {
                Step::Put(key, _) => held.extend([key.1]),
                Step::Gone(keys) => held.retain(|name| !keys.iter().any(|key| key.1 == *name)),
                Step::Nothing => {}
            }
            (held.iter().cloned().collect::<Vec<_>>().join(" "), follow.synced)
        };
        step(Event::Init);
        step(Event::InitApply(object("a")));
        assert_eq!(step(Event::InitApply(object("b"))), ("a b".into(), false));
        assert_eq!(step(Event::InitDone), ("a b".into(), true));
        assert_eq!(step(Event::Apply(object("c"))), ("a b c".into(), true));
        assert_eq!(step(Event::Delete(object("a"))), ("b c".into(), true));
        // The watch broke; meanwhile b went and d came.
        step(Event::Init);
        step(Event::InitApply(object("c")));
        assert_eq!(step(Event::InitApply(object("d"))), ("b c d".into(), true));
        assert_eq!(step(Event::InitDone), ("c d".into(), true));
    }
}
