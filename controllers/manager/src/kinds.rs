//! Kinds that the program does not bring along: which there are now, by discovery, and a cache of each.
//!
//! Knows: when to ask what is served. Refuses to know: how that is told, and what is done about objects.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use leme_client::discovery::Served;
use leme_client::{ApiResource, Client, Discovery, Error, Resource};
use leme_controller_runtime::Informer;
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
    discovery: OnceLock<Discovery>,
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

/// A kind that has come: its number, its cache, and what ends that.
type Came = (usize, Arc<Informer<Meta>>, CancellationToken);

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
    /// The groups and versions of which nothing is known now, and why.
    pub(crate) unread: BTreeMap<String, String>,
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

    /// The kinds that the API serves now and the program does not bring along.
    pub(crate) async fn found(&self, client: &Client) -> Result<Found, Error> {
        let discovery = self.discovery.get_or_init(|| Discovery::new(client.clone(), is_foreign));
        discovery.ask().await.map(|served| found(&served))
    }

    /// Follows the kinds until cancelled; the first number is one that no other cache has.
    pub(crate) async fn follow(
        self: Arc<Self>,
        cache: Arc<Cache>,
        client: Client,
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
                let pause = match self.found(&client).await {
                    Ok(found) => {
                        let again = (!found.unread.is_empty()).then_some(AGAIN);
                        self.take(found, &client, &token, &mut tasks);
                        while tasks.try_join_next().is_some() {}
                        again
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
                        if let Ok(found) = self.found(&client).await {
                            self.take(found, &client, &token, &mut tasks);
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
        client: &Client,
        token: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) {
        let (came, gone) = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.change(found, token)
        };
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
            let (client, token) = (client.clone(), token.clone());
            tasks.spawn(async move {
                cache.clone().run(client, stop).await;
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

impl State {
    /// Gives the kinds that came, by number, and those that went. Of what could not be read, nothing has gone.
    fn change(&mut self, found: Found, token: &CancellationToken) -> (Vec<Came>, Vec<Kept>) {
        let unread = |one: &Resource| found.unread.contains_key(&one.api_version);
        self.resources.retain(|_, one| unread(one));
        let named = |one: Resource| ((one.api_version.clone(), one.kind.clone()), one);
        self.resources.extend(found.all.into_iter().map(named));
        let goes = |kept: &Kept| {
            let resource = kept.cache.resource();
            !found.best.contains(resource) && !unread(resource)
        };
        let numbers = self.caches.iter().filter(|(_, kept)| goes(kept)).map(|(number, _)| *number);
        let numbers: Vec<usize> = numbers.collect();
        let gone = numbers.iter().filter_map(|number| self.caches.remove(number)).collect();
        let mut came = Vec::new();
        for resource in found.best {
            if self.caches.values().any(|kept| *kept.cache.resource() == resource) {
                continue;
            }
            let (cache, stop) = (Informer::new(resource, meta_only), token.child_token());
            let number = self.next;
            self.next += 1;
            self.caches.insert(number, Kept { cache: cache.clone(), stop: stop.clone() });
            came.push((number, cache, stop));
        }
        (came, gone)
    }
}

impl Cache {
    /// The resource of any kind that is served.
    pub(crate) fn resolve(&self, api_version: &str, kind: &str) -> Option<Resource> {
        resolve(api_version, kind).or_else(|| self.kinds.resolve(api_version, kind))
    }
}

/// Whether a kind is one of which there are objects, and the program does not bring it along.
fn is_foreign(kind: &ApiResource) -> bool {
    let kept = kind.can("list") && kind.can("delete");
    kept && leme_kinds::by_resource(&kind.group, &kind.version, &kind.plural).is_none()
}

/// Sorts out what is served.
fn found(served: &Served) -> Found {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    for kind in &served.kinds {
        if kind.can("watch") && seen.insert((&kind.group, &kind.plural)) {
            found.best.push(kind.resource());
        }
        found.all.push(kind.resource());
    }
    found.unread.clone_from(&served.unread);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(version: &str, plural: &str, verbs: &[&str]) -> Arc<ApiResource> {
        Arc::new(ApiResource {
            group: "example.com".to_owned(),
            version: version.to_owned(),
            kind: "K".to_owned(),
            plural: plural.to_owned(),
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            ..ApiResource::default()
        })
    }

    const ALL: &[&str] = &["list", "watch", "delete"];

    fn shown(list: &[Resource]) -> Vec<String> {
        list.iter().map(|one| format!("{} {}", one.api_version, one.plural)).collect()
    }

    #[test]
    fn a_kind_counts_once_and_in_its_best_version() {
        let tabs = [kind("v1", "tabs", ALL), kind("v1beta1", "tabs", ALL)];
        let found = found(&Served { kinds: tabs.to_vec(), ..Served::default() });
        assert_eq!(shown(&found.best), ["example.com/v1 tabs"]);
        assert_eq!(shown(&found.all), ["example.com/v1 tabs", "example.com/v1beta1 tabs"]);
        assert!(is_foreign(&tabs[0]) && !is_foreign(&kind("v1", "reviews", &["create"])));
        let own =
            ApiResource { group: "apps".to_owned(), ..(*kind("v1", "deployments", ALL)).clone() };
        assert!(!is_foreign(&own));
    }

    /// Red when what another server answers for goes as soon as that one does not answer.
    #[tokio::test]
    async fn what_cannot_be_read_stays() {
        let kinds = Kinds::default();
        let client = Client::over(tower::service_fn(|_| async {
            Err::<http::Response<leme_client::Body>, _>(std::io::Error::other("nobody"))
        }));
        let (token, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let tabs = kind("v1", "tabs", ALL);
        let mut served = Served { kinds: vec![tabs.clone()], ..Served::default() };
        kinds.take(found(&served), &client, &token, &mut tasks);
        served.kinds.clear();
        served.unread.insert("example.com/v1".to_owned(), "away".to_owned());
        kinds.take(found(&served), &client, &token, &mut tasks);
        assert!(kinds.of(&tabs.resource()).is_some());
        assert!(kinds.resolve("example.com/v1", "K").is_some());
        kinds.take(Found::default(), &client, &token, &mut tasks);
        assert!(
            kinds.of(&tabs.resource()).is_none() && kinds.resolve("example.com/v1", "K").is_none()
        );
    }
}
