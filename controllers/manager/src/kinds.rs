//! Which kinds there are besides those that the program brings along, by discovery, and an informer for each.
//!
//! Knows: when to ask what is served. Refuses to know: how that is told, and what is done about objects.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use leme_client::discovery::Served;
use leme_client::{ApiResource, Client, Discovery, Error};
use leme_controller_runtime::Informer;
use leme_controllers::{Cache, Found};
use leme_lister::AnyLister;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

/// How long after a change discovery is read once more: who changes a definition is answered before it is carried out.
const SETTLED: Duration = Duration::from_secs(1);
/// How long to wait after discovery could not be read.
const AGAIN: Duration = Duration::from_secs(2);

/// Who asks which kinds there are.
pub(crate) struct Kinds {
    client: Client,
    discovery: OnceLock<Discovery>,
}

impl Kinds {
    pub(crate) fn new(client: Client) -> Kinds {
        Kinds { client, discovery: OnceLock::new() }
    }

    /// The kinds that the API serves now and the program does not bring along.
    pub(crate) async fn found(&self) -> Result<Found, Error> {
        let discovery =
            self.discovery.get_or_init(|| Discovery::new(self.client.clone(), is_foreign));
        discovery.ask().await.map(|served| found(&served))
    }

    /// Follows the kinds until cancelled.
    pub(crate) async fn follow(self: Arc<Self>, cache: Arc<Cache>, token: CancellationToken) {
        let wake = Arc::new(Notify::new());
        for (api_version, kind) in [
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
            ("apiregistration.k8s.io/v1", "APIService"),
        ] {
            let Some(defining) = cache.other(api_version, kind) else { continue };
            let waker = wake.clone();
            defining.on_change(Box::new(move |_, _, _| waker.notify_one()));
        }
        let mut informers = Informers { tasks: JoinSet::new(), stops: HashMap::new() };
        let following = async {
            loop {
                let pause = match self.found().await {
                    Ok(found) => {
                        let again = (!found.unread.is_empty()).then_some(AGAIN);
                        informers.take(&cache, found, &self.client, &token);
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
                        wake.notified().await;
                        if let Ok(found) = self.found().await {
                            informers.take(&cache, found, &self.client, &token);
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
}

/// The informers of the kinds that have come, and what ends each, by number.
struct Informers {
    tasks: JoinSet<()>,
    stops: HashMap<usize, CancellationToken>,
}

impl Informers {
    /// Takes in which kinds there are: those that came get an informer, those that went lose it.
    fn take(&mut self, cache: &Cache, found: Found, client: &Client, token: &CancellationToken) {
        while self.tasks.try_join_next().is_some() {}
        let (came, gone) = cache.foreign.take(found);
        for number in gone {
            info!(number, "a kind has gone");
            if let Some(stop) = self.stops.remove(&number) {
                stop.cancel();
            }
        }
        for (number, lister) in came {
            info!(number, resource = lister.resource().plural, "a kind has come");
            let stop = token.child_token();
            self.stops.insert(number, stop.clone());
            let whole = cache.defined();
            let whole = whole.into_iter().find(|one| one.resource() == lister.resource());
            for lister in whole.into_iter().chain([lister as Arc<dyn AnyLister>]) {
                let (informer, stop) = (Informer::new(lister), stop.clone());
                let (client, token) = (client.clone(), token.clone());
                self.tasks.spawn(async move {
                    informer.clone().run(client, stop).await;
                    if !token.is_cancelled() {
                        informer.clear();
                    }
                });
            }
        }
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
    use leme_client::Resource;

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
}
