//! What wakes a controller: changes of a kind, and which keys each concerns.
//!
//! Knows: ownerReferences. Refuses to know: what is done about a change.

use std::sync::{Arc, Weak};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use leme_lister::{AnyLister, HasMeta, Key, Lister, Meta, key_of};
use leme_plan::common::{Labels, controller_of};

use crate::cache::{Cache, Kept};

/// Time since some start, by a clock that is never set back.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Where keys go, and by which clock.
#[derive(Clone)]
pub struct Waker {
    /// The clock.
    pub clock: Clock,
    /// Takes a key.
    pub add: Arc<dyn Fn(Key) + Send + Sync>,
}

/// Takes the keys that a change concerns.
pub type Wake<'a> = dyn Fn(Key) + 'a;

/// A change of an object, which the cache shows already.
pub struct Change<'a, K> {
    /// The cache.
    pub cache: &'a Cache,
    /// The object's key.
    pub key: &'a Key,
    /// The object before.
    pub old: Option<&'a Arc<K>>,
    /// The object now.
    pub new: Option<&'a Arc<K>>,
    /// When it was seen.
    pub uptime: Duration,
}

impl<'a, K> Change<'a, K> {
    /// The object before and now.
    pub fn both(&self) -> impl Iterator<Item = &'a Arc<K>> + use<'a, K> {
        [self.old, self.new].into_iter().flatten()
    }

    /// The object now, or before it went.
    pub fn last(&self) -> Option<&'a Arc<K>> {
        self.new.or(self.old)
    }
}

/// A change of an object of any kind, by its metadata.
pub struct MetaChange<'a> {
    /// The cache.
    pub cache: &'a Cache,
    /// The number of the object's kind in the cache.
    pub number: usize,
    /// Whether its kind lives in namespaces.
    pub namespaced: bool,
    /// The object's key.
    pub key: &'a Key,
    /// Its metadata before.
    pub old: Option<&'a ObjectMeta>,
    /// Its metadata now.
    pub new: Option<&'a ObjectMeta>,
}

type Attach = dyn Fn(&Arc<Cache>, &Waker) + Send + Sync;

/// One thing that wakes a controller.
#[derive(Clone)]
pub struct Watch(Arc<Attach>);

impl Watch {
    /// Wakes by the changes of a kind.
    pub(crate) fn on<K: Kept>(
        keys: impl Fn(&Change<'_, K>, &Wake<'_>) + Send + Sync + 'static,
    ) -> Watch {
        let keys = Arc::new(keys);
        Watch(Arc::new(move |cache, waker| {
            attach(K::of(cache), cache, waker, keys.clone());
        }))
    }

    /// Wakes by the changes of a kind of which only metadata is kept.
    pub(crate) fn on_meta(
        api_version: &'static str,
        kind: &'static str,
        keys: impl Fn(&Change<'_, Meta>, &Wake<'_>) + Send + Sync + 'static,
    ) -> Watch {
        let keys = Arc::new(keys);
        Watch(Arc::new(move |cache, waker| {
            if let Some(lister) = cache.other(api_version, kind) {
                attach(lister, cache, waker, keys.clone());
            }
        }))
    }

    /// Wakes by the changes of every kind, also of those that come later.
    pub(crate) fn on_all(
        keys: impl Fn(&MetaChange<'_>, &Wake<'_>) + Send + Sync + 'static,
    ) -> Watch {
        let keys = Arc::new(keys);
        Watch(Arc::new(move |cache, waker| {
            let (weak, keys, waker) = (Arc::downgrade(cache), keys.clone(), waker.clone());
            let each = move |number: usize, lister: &dyn AnyLister| {
                let (weak, keys, add) = (weak.clone(), keys.clone(), waker.add.clone());
                let namespaced = lister.resource().namespaced;
                lister.on_meta(Arc::new(move |key, old, new| {
                    if let Some(cache) = Weak::upgrade(&weak) {
                        let change =
                            MetaChange { cache: &cache, number, namespaced, key, old, new };
                        keys(&change, &*add);
                    }
                }));
            };
            for (number, lister) in cache.all().iter().enumerate() {
                each(number, &**lister);
            }
            cache.foreign.on_come(Box::new(move |number, lister| each(number, &**lister)));
        }))
    }

    /// Wakes when kinds have come or gone.
    pub(crate) fn on_kinds(keys: impl Fn(&Wake<'_>) + Send + Sync + 'static) -> Watch {
        let keys = Arc::new(keys);
        Watch(Arc::new(move |cache, waker| {
            let (keys, add) = (keys.clone(), waker.add.clone());
            cache.foreign.on_change(Box::new(move || keys(&*add)));
        }))
    }

    /// Wakes by the objects that the keys name.
    pub(crate) fn itself<K: Kept>() -> Watch {
        Watch::on::<K>(|change, wake| wake(change.key.clone()))
    }

    /// Wakes owners by changes of what they own, and those that could own it by changes of what nobody owns, also of what
    /// was just let go.
    pub(crate) fn owned<C, K>(selects: fn(&K, Option<&Labels>) -> bool) -> Watch
    where
        C: Kept,
        K: Kept + k8s_openapi::Resource,
    {
        Watch::on::<C>(move |change, wake| {
            for child in change.both() {
                let owner = controller_of(child.meta());
                let is_one =
                    |kind: &str, version: &str| (kind, version) == (K::KIND, K::API_VERSION);
                if let Some(owner) = owner.filter(|one| is_one(&one.kind, &one.api_version)) {
                    wake((change.key.0.clone(), owner.name.clone()));
                }
            }
            let child = change.new.map(|child| child.meta());
            let Some(child) = child.filter(|child| controller_of(child).is_none()) else { return };
            for one in K::of(change.cache).in_namespace(&change.key.0) {
                if selects(&one, child.labels.as_ref()) {
                    wake(key_of(one.meta()));
                }
            }
        })
    }

    /// Wakes from now on.
    pub fn attach(&self, cache: &Arc<Cache>, waker: &Waker) {
        (self.0)(cache, waker);
    }
}

/// The cache is held weakly: it holds the listers, they hold this.
fn attach<K: HasMeta>(
    lister: &Lister<K>,
    cache: &Arc<Cache>,
    waker: &Waker,
    keys: Arc<impl Fn(&Change<'_, K>, &Wake<'_>) + Send + Sync + 'static>,
) {
    let (weak, waker) = (Arc::downgrade(cache), waker.clone());
    lister.on_change(Box::new(move |key, old, new| {
        if let Some(cache) = Weak::upgrade(&weak) {
            let change = Change { cache: &cache, key, old, new, uptime: (waker.clock)() };
            keys(&change, &*waker.add);
        }
    }));
}
