//! Kinds that the program does not bring along: which there are now, by discovery, and a cache of each.
//!
//! Knows: the documents of discovery, and when to read them. Refuses to know: what is done about objects.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use leme_controller_runtime::{Caller, Error, Informer, Resource};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::cache::{Cache, Meta, Metadata, meta_only, resolve};

/// What is done about a kind that has come, given the number and the cache of it.
pub(crate) type Come = Box<dyn Fn(usize, &Arc<Informer<Meta>>) + Send + Sync>;
/// What is done when the kinds have changed.
pub(crate) type Changed = Box<dyn Fn() + Send + Sync>;

/// How long after a change discovery is read once more: who changes a definition is answered before it is carried out.
const SETTLED: Duration = Duration::from_secs(1);
/// How long to wait after discovery could not be read.
const AGAIN: Duration = Duration::from_secs(2);

/// The kinds that there are now, besides the program's.
#[derive(Default)]
pub(crate) struct Kinds {
    state: RwLock<State>,
    come: RwLock<Vec<Come>>,
    changed: RwLock<Vec<Changed>>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    /// By the number that the collector knows it by; no number is used twice.
    caches: BTreeMap<usize, Kept>,
    next: usize,
    /// Every kind in every version, by `apiVersion` and `kind`.
    resources: HashMap<(String, String), Resource>,
}

struct Kept {
    cache: Arc<Informer<Meta>>,
    stop: CancellationToken,
}

/// What discovery tells of the kinds that the program does not bring along.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Found {
    /// Each in its best version.
    pub(crate) best: Vec<Resource>,
    /// Each in every version.
    pub(crate) all: Vec<Resource>,
}

impl Kinds {
    /// Calls `come` on every kind that comes from now on.
    pub(crate) fn on_come(&self, come: Come) {
        self.come.write().unwrap_or_else(PoisonError::into_inner).push(come);
    }

    /// Calls `changed` whenever kinds have come or gone.
    pub(crate) fn on_change(&self, changed: Changed) {
        self.changed.write().unwrap_or_else(PoisonError::into_inner).push(changed);
    }

    /// The cache of a number.
    pub(crate) fn numbered(&self, number: usize) -> Option<Arc<dyn Metadata>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        Some(state.caches.get(&number)?.cache.clone())
    }

    /// The cache of a resource.
    pub(crate) fn of(&self, resource: &Resource) -> Option<Arc<dyn Metadata>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let found = state.caches.values().find(|kept| kept.cache.resource() == resource)?;
        Some(found.cache.clone())
    }

    /// The resource of a kind.
    pub(crate) fn resolve(&self, api_version: &str, kind: &str) -> Option<Resource> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.resources.get(&(api_version.to_owned(), kind.to_owned())).cloned()
    }

    /// Follows the kinds until cancelled; the first number is one that no other cache has.
    pub(crate) async fn follow(
        self: Arc<Self>,
        cache: Arc<Cache>,
        caller: Caller,
        token: CancellationToken,
    ) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).next = cache.all().len();
        for (api_version, kind) in [
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
            ("apiregistration.k8s.io/v1", "APIService"),
        ] {
            let Some(defining) = cache.other(api_version, kind) else { continue };
            let kinds = Arc::clone(&self);
            defining.on_change(Box::new(move |_, _, _| kinds.wake.notify_one()));
        }
        let following = async {
            let mut tasks = JoinSet::new();
            loop {
                let pause = match found(&caller).await {
                    Ok(found) => {
                        self.take(found, &caller, &token, &mut tasks);
                        while tasks.try_join_next().is_some() {}
                        None
                    }
                    Err(refused) => {
                        debug!(error = refused.message(), "cannot read which kinds there are");
                        Some(AGAIN)
                    }
                };
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => {
                        self.wake.notified().await;
                        if let Ok(found) = found(&caller).await {
                            self.take(found, &caller, &token, &mut tasks);
                        }
                        tokio::time::sleep(SETTLED).await;
                    }
                }
            }
        };
        tokio::select! {
            () = token.cancelled() => {}
            () = following => {}
        }
    }

    /// Takes in which kinds there are: those that came get a cache, those that went lose it.
    fn take(
        &self,
        found: Found,
        caller: &Caller,
        token: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) {
        let (mut came, mut gone) = (Vec::new(), Vec::new());
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let resources = found.all.into_iter();
            state.resources =
                resources.map(|one| ((one.api_version.clone(), one.kind.clone()), one)).collect();
            let stays = |kept: &Kept| found.best.contains(kept.cache.resource());
            let numbers: Vec<usize> = state.caches.keys().copied().collect();
            for number in numbers {
                if state.caches.get(&number).is_some_and(|kept| !stays(kept)) {
                    gone.extend(state.caches.remove(&number));
                }
            }
            for resource in found.best {
                if state.caches.values().any(|kept| *kept.cache.resource() == resource) {
                    continue;
                }
                let (cache, stop) = (Informer::new(resource, meta_only), token.child_token());
                let number = state.next;
                state.next += 1;
                state.caches.insert(number, Kept { cache: cache.clone(), stop: stop.clone() });
                came.push((number, cache, stop));
            }
        }
        if came.is_empty() && gone.is_empty() {
            return;
        }
        for kept in gone {
            info!(resource = kept.cache.resource().plural, "a kind has gone");
            kept.stop.cancel();
        }
        for (number, cache, stop) in came {
            info!(resource = cache.resource().plural, "a kind has come");
            for come in self.come.read().unwrap_or_else(PoisonError::into_inner).iter() {
                come(number, &cache);
            }
            let (caller, token) = (caller.clone(), token.clone());
            tasks.spawn(async move {
                cache.clone().run(caller, stop).await;
                if !token.is_cancelled() {
                    cache.clear();
                }
            });
        }
        for changed in self.changed.read().unwrap_or_else(PoisonError::into_inner).iter() {
            changed();
        }
    }
}

impl Cache {
    /// The resource of any kind that is served.
    pub(crate) fn resolve(&self, api_version: &str, kind: &str) -> Option<Resource> {
        resolve(api_version, kind).or_else(|| self.kinds.resolve(api_version, kind))
    }
}

/// The kinds that the API serves now and the program does not bring along.
pub(crate) async fn found(caller: &Caller) -> Result<Found, Error> {
    let groups = caller.get("/apis").await?;
    let mut found = Found::default();
    for group in groups["groups"].as_array().into_iter().flatten() {
        let mut seen = HashSet::new();
        for version in group["versions"].as_array().into_iter().flatten() {
            let Some(api_version) = version["groupVersion"].as_str() else { continue };
            let list = match caller.get(&format!("/apis/{api_version}")).await {
                // It has gone since the groups were told.
                Err(error) if error.is_not_found() => continue,
                list => list?,
            };
            read(api_version, &list, &mut seen, &mut found);
        }
    }
    Ok(found)
}

/// Reads the resources of a group and version. Of each the first version is the best.
fn read(api_version: &str, list: &Value, seen: &mut HashSet<String>, found: &mut Found) {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    for one in list["resources"].as_array().into_iter().flatten() {
        let text = |field: &str| one[field].as_str().unwrap_or("");
        let plural = text("name");
        let verbs = one["verbs"].as_array().map(Vec::as_slice).unwrap_or_default();
        let can = |verb: &str| verbs.iter().any(|known| known == verb);
        let kept = !plural.is_empty() && !plural.contains('/') && can("list") && can("delete");
        if !kept || leme_kinds::by_resource(group, version, plural).is_some() {
            continue;
        }
        let resource = Resource {
            api_version: api_version.to_owned(),
            kind: text("kind").to_owned(),
            plural: plural.to_owned(),
            namespaced: one["namespaced"] == true,
        };
        if can("watch") && seen.insert(plural.to_owned()) {
            found.best.push(resource.clone());
        }
        found.all.push(resource);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kind_counts_once_and_in_its_best_version() {
        let entry = |name: &str, verbs: &[&str]| json!({ "name": name, "kind": "K", "namespaced": true, "verbs": verbs });
        let all = ["list", "watch", "delete"];
        let list = json!({ "resources": [
            entry("tabs", &all), entry("tabs/status", &["get"]), entry("reviews", &["create"]),
        ] });
        let (mut seen, mut found) = (HashSet::new(), Found::default());
        read("example.com/v1", &list, &mut seen, &mut found);
        read("example.com/v1beta1", &list, &mut seen, &mut found);
        read(
            "apps/v1",
            &json!({ "resources": [entry("deployments", &all)] }),
            &mut seen,
            &mut found,
        );
        let shown = |list: &[Resource]| {
            list.iter().map(|one| format!("{} {}", one.api_version, one.plural)).collect::<Vec<_>>()
        };
        assert_eq!(shown(&found.best), ["example.com/v1 tabs"]);
        assert_eq!(shown(&found.all), ["example.com/v1 tabs", "example.com/v1beta1 tabs"]);
    }
}
