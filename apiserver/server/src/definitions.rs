//! CustomResourceDefinitions carried out: names accepted, kinds served, objects kept in the cache, and all of it taken
//! away again.
//!
//! Knows: the order of those steps. Refuses to know: the conditions and their words (naming), what a definition says
//! (custom), how objects are deleted.
//!
//! A definition says that it is established only when its kinds are served: whoever has read that may use them.

mod ending;
mod made;
mod statuses;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use leme_kinds::custom::{self, Objects};
use leme_kinds::{Kind, Kinds, naming};
use leme_meta::{gvk, time};
use leme_registry::json;
use leme_store::cache::{Cache, Cached, Subscription};
use leme_store::{Store, StoreError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::resources;
use ending::Ending;
use made::made;
use statuses::StatusWrite;

/// Where definitions are.
pub(crate) const GROUP: [&str; 3] = ["apiextensions.k8s.io", "v1", "customresourcedefinitions"];

/// How long to wait after something could not be done.
const AGAIN: Duration = Duration::from_millis(500);
/// Changes taken from the cache at a time.
const BATCH: usize = 256;

fn own_kind() -> Option<&'static Arc<Kind>> {
    leme_kinds::by_resource(GROUP[0], GROUP[1], GROUP[2])
}

fn own_prefix() -> String {
    own_kind().map(|kind| kind.prefix(None)).unwrap_or_default()
}

/// A definition as it was in the store before there was a cache.
pub(crate) struct Found {
    key: Arc<str>,
    revision: u64,
    kinds: Vec<Kind>,
    pub objects: Objects,
}

/// All definitions in a store of which there may be objects.
pub(crate) async fn stored(store: &dyn Store) -> Result<Vec<Found>, StoreError> {
    let page = store.list(&own_prefix(), "", 0, 0).await?;
    let found = page.entries.into_iter().filter_map(|entry| {
        // One that cannot be read defines nothing; the cache names it.
        let definition: Value = serde_json::from_slice(&entry.value).ok()?;
        let kinds = custom::kinds(&definition);
        let objects = custom::objects(&definition, &kinds)?;
        Some(Found { key: entry.key, revision: entry.mod_revision, kinds, objects })
    });
    Ok(found.collect())
}

/// What is known of a definition.
struct Known {
    revision: u64,
    /// What its kinds depend on.
    of: Value,
    /// Its name, group and accepted names, as others must know them.
    names: Value,
    /// Whether it waits for names that others have.
    waits: bool,
    kinds: Vec<Arc<Kind>>,
    prefix: Option<String>,
}

impl Known {
    fn name(&self) -> &str {
        json::text(&self.names, &["metadata", "name"])
    }
}

/// All definitions as far as they have been carried out.
pub(crate) struct Definitions {
    /// The kinds of the program, which are served whatever is defined.
    own: Arc<Kinds>,
    cache: Weak<Cache>,
    known: BTreeMap<Arc<str>, Known>,
    /// Resources that the cache keeps for definitions.
    kept: BTreeSet<String>,
    /// Those that it has kept from the start, until they have been looked at.
    found: BTreeMap<Arc<str>, Found>,
    work: Work,
    /// Sets of kinds that somebody may still hold.
    before: Vec<CancellationToken>,
    ending: FuturesUnordered<BoxFuture<'static, Arc<str>>>,
    /// Definitions of which the end is under way.
    ends: BTreeSet<Arc<str>>,
}

/// What has to be done for the definitions to be as they say.
#[derive(Default)]
struct Work {
    changed: bool,
    /// Resources that are new, and those that are kept in another way from now on.
    new: Vec<Objects>,
    again: Vec<Objects>,
    statuses: Vec<StatusWrite>,
}

impl Definitions {
    /// The definitions that a cache has, which has kept what was `found` from the start.
    pub fn new(cache: &Arc<Cache>, own: Arc<Kinds>, found: Vec<Found>) -> Definitions {
        let mut definitions = Definitions {
            own,
            cache: Arc::downgrade(cache),
            known: BTreeMap::new(),
            kept: found.iter().map(|found| found.objects.prefix.clone()).collect(),
            found: found.into_iter().map(|found| (Arc::clone(&found.key), found)).collect(),
            work: Work::default(),
            before: Vec::new(),
            ending: FuturesUnordered::new(),
            ends: BTreeSet::new(),
        };
        definitions.look(cache);
        definitions
    }

    /// All kinds that are served: the program's, and those of the definitions.
    pub fn kinds(&self) -> Arc<Kinds> {
        let mut defined: Vec<&Arc<Kind>> =
            self.known.values().flat_map(|known| &known.kinds).collect();
        if defined.is_empty() {
            return Arc::clone(&self.own);
        }
        defined.sort_by(|one, other| {
            let groups = one.group.cmp(&other.group);
            let versions = || gvk::version_order(&other.version, &one.version);
            groups.then_with(versions).then_with(|| one.plural.cmp(&other.plural))
        });
        Arc::new(Kinds::new(self.own.iter().chain(defined).cloned().collect()))
    }

    /// Carries out what changes until the server stops.
    pub async fn run(mut self, api: Arc<Api>) {
        let stop = api.lifetime.stop_token();
        let carried = async {
            let prefix = own_prefix();
            let mut changes: Option<Subscription> = None;
            loop {
                if changes.is_none() {
                    changes = api.cache.watch(&prefix, api.cache.revision()).ok();
                }
                let done = self.settle(&api).await;
                let lasting = done && changes.is_some();
                let again = async {
                    if lasting {
                        std::future::pending::<()>().await;
                    }
                    tokio::time::sleep(AGAIN).await;
                };
                tokio::select! {
                    ended = next_of(&mut changes) => if ended {
                        changes = None;
                    },
                    Some(ended) = self.ending.next() => drop(self.ends.remove(&ended)),
                    () = again => {}
                }
            }
        };
        stop.run_until_cancelled(carried).await;
    }

    /// Does what is to be done; whether all of it could be. At the start before anybody is served.
    pub async fn settle(&mut self, api: &Arc<Api>) -> bool {
        self.look(&api.cache);
        let work = std::mem::take(&mut self.work);
        let mut done = true;
        // A kind is served when its objects are there, and its objects are kept as long as it is served.
        for objects in &work.new {
            done &= self.keep(api, objects).await;
        }
        if work.changed {
            let served = Arc::new(api.served.load().after(self.kinds()));
            self.before.push(api.served.swap(served).over());
        }
        self.before.retain(|before| !before.is_cancelled());
        for objects in &work.again {
            done &= self.keep(api, objects).await;
        }
        let wanted: BTreeSet<&String> =
            self.known.values().filter_map(|known| known.prefix.as_ref()).collect();
        let surplus: Vec<String> =
            self.kept.iter().filter(|prefix| !wanted.contains(prefix)).cloned().collect();
        for prefix in surplus {
            match api.cache.forget(&prefix).await {
                Ok(()) => drop(self.kept.remove(&prefix)),
                Err(_) => done = false,
            }
        }
        for status in work.statuses {
            // What is not there is not told of.
            if !self.known.values().any(|known| known.name() == status.name) {
                continue;
            }
            if let Err(error) = status.write(api).await {
                tracing::warn!(definition = status.name, %error, "cannot say how a definition is; trying again");
                self.forget(&status.name);
                done = false;
            }
        }
        self.end(api);
        done
    }

    /// Begins to end the definitions that are going.
    fn end(&mut self, api: &Arc<Api>) {
        let Some(snapshot) = api.cache.snapshot(&own_prefix()) else { return };
        for object in snapshot.iter().filter(|object| object.index.deleting) {
            let known = self.known.get(&object.key).filter(|_| !self.ends.contains(&object.key));
            let Some(known) = known else { continue };
            let Ok(definition) = serde_json::from_slice::<Value>(&object.json) else { continue };
            if !naming::is_cleaning(&definition) {
                continue;
            }
            let objects = known.prefix.clone();
            let objects = objects.zip(custom::kept_kind(&definition).map(Arc::new));
            let ending = Ending {
                api: Arc::clone(api),
                name: object.index.name.to_string(),
                uid: object.index.uid.to_string(),
                objects: objects.map(|(prefix, kind)| (kind, prefix)),
                before: self.before.clone(),
            };
            self.ends.insert(Arc::clone(&object.key));
            let key = Arc::clone(&object.key);
            self.ending.push(Box::pin(async move {
                ending.run().await;
                key
            }));
        }
    }

    async fn keep(&mut self, api: &Api, objects: &Objects) -> bool {
        match api.cache.keep(resources::resource(objects)).await {
            Ok(()) => {
                self.kept.insert(objects.prefix.clone());
                true
            }
            Err(error) => {
                tracing::warn!(prefix = objects.prefix, %error, "cannot keep the objects of a definition; trying again");
                // It is looked at as if it were new.
                let of = |known: &Known| known.prefix.as_deref() == Some(&objects.prefix);
                self.known.retain(|_, known| !of(known));
                false
            }
        }
    }

    fn forget(&mut self, name: &str) {
        self.known.retain(|_, known| known.name() != name);
    }

    /// Looks at every definition that has changed, the oldest first, and finds what is to be done.
    fn look(&mut self, cache: &Cache) {
        let Some(snapshot) = cache.snapshot(&own_prefix()) else { return };
        let count = self.known.len();
        self.known.retain(|key, _| snapshot.get(key).is_some());
        let gone = self.known.len() != count;
        self.work.changed |= gone;
        let mut changed: Vec<&Arc<Cached>> = snapshot
            .iter()
            .filter(|object| {
                let known = self.known.get(&object.key);
                known.is_none_or(|known| known.revision != object.mod_revision)
            })
            .collect();
        if gone || !changed.is_empty() {
            // Names may have become free.
            let waits = |object: &&Arc<Cached>| {
                self.known.get(&object.key).is_some_and(|known| known.waits)
            };
            let waiting: Vec<_> = snapshot.iter().filter(waits).collect();
            changed.extend(waiting);
        }
        changed.sort_by_key(|object| object.create_revision);
        changed.dedup_by_key(|object| object.create_revision);
        for object in changed {
            if let Ok(definition) = serde_json::from_slice(&object.json) {
                self.take(object, definition);
            }
        }
    }

    /// Gives a definition the names that are free for it, and the status that says so.
    fn name(&mut self, object: &Arc<Cached>, definition: &mut Value) {
        let others = self.known.iter().filter(|(key, _)| **key != object.key);
        let status = naming::accepted(
            definition,
            others.map(|(_, known)| &known.names),
            self.own.iter().map(|kind| &**kind),
            leme_strategy::conformant(definition),
            &time::seconds(Timestamp::now()),
        );
        if let Some(status) = status {
            let (name, revision) = (object.index.name.to_string(), object.mod_revision);
            self.work.statuses.push(StatusWrite { name, revision, status: status.clone() });
            json::set(definition, "status", status);
        }
    }

    /// Takes a definition as it is now.
    fn take(&mut self, object: &Arc<Cached>, mut definition: Value) {
        let going = object.index.deleting;
        if !going {
            self.name(object, &mut definition);
        }
        let of = json!([
            object.index.uid.as_ref(),
            // A deletion is no change of what is defined.
            Sha256::digest(definition["spec"].to_string()).as_slice(),
            definition["status"]["acceptedNames"],
            custom::established(&definition),
        ]);
        let names = json!({
            "metadata": { "name": object.index.name.as_ref() },
            "spec": { "group": definition["spec"]["group"] },
            "status": { "acceptedNames": definition["status"]["acceptedNames"] },
        });
        let before = self.known.remove(&object.key);
        let same = before.as_ref().is_some_and(|known| known.of == of);
        let was_going = before.as_ref().is_some_and(|known| {
            known.kinds.first().is_some_and(|kind| !kind.verbs.contains(&"create"))
        });
        let (kinds, prefix) = match before {
            Some(known) if same && was_going == going => (known.kinds, known.prefix),
            before => {
                let found = self.found.remove(&object.key);
                let found = found.filter(|found| found.revision == object.mod_revision);
                let known = found.is_some();
                let kinds = match found {
                    Some(found) => found.kinds,
                    None => custom::kinds(&definition),
                };
                let kinds = made(&self.cache, object, &definition, kinds);
                let objects = custom::objects(&definition, kinds.iter().map(|kind| &**kind));
                let prefix = objects.as_ref().map(|objects| objects.prefix.clone());
                self.work.changed |= !kinds.is_empty();
                self.work.changed |= before.is_some_and(|known| !known.kinds.is_empty());
                if let Some(objects) = objects.filter(|_| !same && !known) {
                    let again = self.kept.contains(&objects.prefix);
                    if again { &mut self.work.again } else { &mut self.work.new }.push(objects);
                }
                (kinds, prefix)
            }
        };
        let waits = !going && !naming::is_accepted(&definition);
        let known = Known { revision: object.mod_revision, of, names, waits, kinds, prefix };
        self.known.insert(Arc::clone(&object.key), known);
    }
}

/// Waits for changes; whether there will be no more of them.
async fn next_of(changes: &mut Option<Subscription>) -> bool {
    match changes {
        Some(changes) => {
            let batch = changes.next_batch(BATCH).await;
            batch.is_empty()
        }
        None => std::future::pending().await,
    }
}

impl Api {
    /// Whether a kind is served as it was when a request for it was parsed. A watch that is opened later than its kind has
    /// changed has missed what ends the watches of before.
    pub(crate) fn is_current(&self, kind: &Arc<Kind>) -> bool {
        if kind.custom.is_none() {
            return true;
        }
        let served = self.served.load();
        let now = served.kinds.by_resource(&kind.group, &kind.version, &kind.plural);
        now.is_some_and(|now| Arc::ptr_eq(now, kind))
    }
}
