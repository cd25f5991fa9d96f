//! ResourceQuotas: charged before anything is stored, and counted anew when something has gone.
//!
//! Knows: that a charge and the write it is for are two writes, and which counts are true all the same. Refuses to know:
//! what counts how much, and how it is known who is charging (`charges`).
//!
//! A count would take a charge back whose object is not stored yet. So a quota is only written that has not changed since
//! no charged write of its namespace was under way, with what the cache shows after that: it has every object whose charge
//! is in the quota, and a charge made in the meantime changes the quota, which fails the compare-and-put.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use leme_admission::{Facts, quota};
use leme_kinds::{Kind, Subresource};
use leme_meta::Status;
use leme_registry::{Asked, json};
use leme_store::cache::{Cached, Event, Kind as EventKind, SubEvent, Subscription};
use leme_store::{Class, Expect, Outcome};
use serde_json::Value;

use crate::answer::{read_failed, write_failed};
use crate::api::Api;
use crate::charges::Charge;
use crate::ordered;
use crate::request::{ResourceRequest, Verb};
use crate::table;
use crate::write::Change;

/// How often everything is counted whether anything has happened or not.
const EVERY: Duration = Duration::from_secs(300);
/// How long to wait before a count is tried again that could not be made.
const AGAIN: Duration = Duration::from_millis(50);
/// How often a count is tried again before it is another namespace's turn.
const TRIES: usize = 20;
/// Changes taken from the cache at a time.
const BATCH: usize = 256;

fn row() -> Result<&'static Arc<Kind>, Status> {
    let of = quota::QUOTAS;
    leme_kinds::by_resource(of.group, of.version, of.plural).ok_or_else(Status::no_such_path)
}

impl Api {
    /// Charges a write on the quotas of its namespace, or refuses it. The charge is held until the write is stored.
    pub(crate) async fn charge(
        &self,
        asked: &Asked<'_>,
        new: &Value,
        old: Option<&Value>,
    ) -> Result<Option<Charge<'_>>, Status> {
        if asked.dry_run || !self.admission.is_charged(asked) {
            return Ok(None);
        }
        self.charged(asked, new, old).await
    }

    /// A charge is a write itself, hence the box.
    fn charged<'a, 'b: 'a>(
        &'b self,
        asked: &'a Asked<'a>,
        new: &'a Value,
        old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<Option<Charge<'b>>, Status>> {
        Box::pin(self.charge_all(asked, new, old))
    }

    async fn charge_all<'b>(
        &'b self,
        asked: &Asked<'_>,
        new: &Value,
        old: Option<&Value>,
    ) -> Result<Option<Charge<'b>>, Status> {
        let quotas = self.admission.facts().list(&quota::QUOTAS, asked.namespace)?;
        let charged = quota::charged(asked, new, old, &quotas)?;
        if charged.is_empty() {
            return Ok(None);
        }
        let charge = self.enter(asked.namespace).await?;
        for index in charged.into_keys() {
            let name = json::text(&quotas[index], &["metadata", "name"]);
            let mut request = ResourceRequest::of(Verb::Update, row()?, asked.namespace, name);
            request.subresource = Some(Subresource::Status);
            // One that is gone limits nothing.
            self.change(&request, false, |stored, _| {
                let quota = std::slice::from_ref(&stored.value);
                let mut charged = quota::charged(asked, new, old, quota)?;
                let Some(used) = charged.remove(&0) else { return Ok(Change::Unchanged) };
                let mut quota = stored.value.clone();
                json::set(json::child(&mut quota, "status"), "used", used);
                Ok(Change::Put(quota))
            })
            .await?;
        }
        Ok(Some(charge))
    }

    /// Counts the quotas of a namespace anew.
    async fn count(&self, namespace: &str) -> Result<(), Status> {
        let quotas = self.admission.facts().list(&quota::QUOTAS, namespace)?;
        for quota in quotas {
            let name = json::text(&quota, &["metadata", "name"]);
            let mut tries = 0;
            while !self.count_once(namespace, &row()?.key(namespace, name)).await? {
                tries += 1;
                if tries == TRIES {
                    self.quotas.count(namespace);
                    break;
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
        Ok(())
    }

    /// Counts one quota; whether that could be done.
    async fn count_once(&self, namespace: &str, key: &str) -> Result<bool, Status> {
        let Some(stored) = self.stored(key).await? else { return Ok(true) };
        // After the quota has been read, and before the cache is.
        if self.quotas.is_busy(namespace) || self.others_charge(namespace).await? {
            return Ok(false);
        }
        self.cache.fresh().await.map_err(read_failed)?;
        let census = Census { api: self, namespace };
        let status = quota::counted(&stored.value, &census, Timestamp::now());
        if stored.value.get("status") == Some(&status) {
            return Ok(true);
        }
        let mut quota = stored.value;
        json::remove(json::child(&mut quota, "metadata"), "resourceVersion");
        json::set(&mut quota, "status", status);
        let bytes = ordered::object(&row()?.schema, &quota);
        let expect = Expect::Revision(stored.revision);
        match self.write_as(Class::Reserved, key, bytes, expect).await.map_err(write_failed)? {
            Outcome::Done(_) => Ok(true),
            Outcome::Conflict(_) => Ok(false),
        }
    }
}

/// What there is in a namespace.
struct Census<'a> {
    api: &'a Api,
    namespace: &'a str,
}

impl Census<'_> {
    /// Where the objects of a resource are kept, whichever version serves them.
    fn prefixes(&self, group: &str, plural: &str) -> Option<(String, String)> {
        let kinds = Arc::clone(&self.api.served.load().kinds);
        let kind = kinds
            .iter()
            .find(|kind| kind.group == group && kind.plural == plural && kind.is_kept())?;
        kind.namespaced().then(|| (kind.prefix(None), kind.prefix(Some(self.namespace))))
    }
}

impl quota::Census for Census<'_> {
    fn objects(&self, group: &str, plural: &str) -> Vec<Value> {
        let Some((all, within)) = self.prefixes(group, plural) else { return Vec::new() };
        let Some(snapshot) = self.api.cache.snapshot(&all) else { return Vec::new() };
        snapshot.range(&within, "").filter_map(|object| table::decoded(object).ok()).collect()
    }

    fn count(&self, group: &str, plural: &str) -> usize {
        let Some((all, within)) = self.prefixes(group, plural) else { return 0 };
        self.api.cache.snapshot(&all).map_or(0, |snapshot| snapshot.range(&within, "").count())
    }
}

/// Counts quotas when they are new or changed, when something has gone, and now and then, until the server stops.
pub(crate) async fn run(api: Arc<Api>) {
    let stop = api.lifetime.stop_token();
    let work = async { tokio::join!(counts(&api), api.unmark()) };
    stop.run_until_cancelled(work).await;
}

async fn counts(api: &Api) {
    let mut watched: BTreeMap<String, Subscription> = BTreeMap::new();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let mut due: BTreeSet<String> =
            if watch(api, &mut watched) { namespaces(api) } else { BTreeSet::new() };
        if due.is_empty() {
            tokio::select! {
                _ = ticks.tick() => due = namespaces(api),
                () = api.quotas.woken() => {}
                () = changed(api, &mut watched, &mut due) => {}
            }
        }
        due.append(&mut api.quotas.to_count());
        for namespace in due {
            if let Err(error) = api.count(&namespace).await {
                tracing::warn!(%error, %namespace, "cannot count quotas; trying again later");
                api.quotas.count_later(namespace);
            }
        }
    }
}

/// The quotas that there are, decoded.
fn quotas(api: &Api) -> Vec<Arc<Value>> {
    api.admission.facts().list(&quota::QUOTAS, "").unwrap_or_default()
}

fn namespaces(api: &Api) -> BTreeSet<String> {
    let namespace = |quota: &Value| json::text(quota, &["metadata", "namespace"]).to_owned();
    quotas(api).iter().map(|quota| namespace(quota)).collect()
}

/// Watches the quotas and all that they count, and nothing else; whether anything is watched now that was not before.
fn watch(api: &Api, watched: &mut BTreeMap<String, Subscription>) -> bool {
    let from = api.cache.revision();
    let census = Census { api, namespace: "" };
    let counted =
        quotas(api).iter().flat_map(|quota| quota::resources_of(quota)).collect::<BTreeSet<_>>();
    let mut wanted: BTreeSet<String> = counted
        .iter()
        .filter_map(|(group, plural)| census.prefixes(group, plural).map(|(all, _)| all))
        .collect();
    wanted.extend(row().map(|row| row.prefix(None)));
    watched.retain(|prefix, _| wanted.contains(prefix));
    let mut more = false;
    for prefix in wanted {
        if watched.contains_key(&prefix) {
            continue;
        }
        if let Ok(changes) = api.cache.watch(&prefix, from) {
            watched.insert(prefix, changes);
            more = true;
        }
    }
    more
}

/// Resolves when something has changed after which a namespace has to be counted.
async fn changed(
    api: &Api,
    watched: &mut BTreeMap<String, Subscription>,
    due: &mut BTreeSet<String>,
) {
    let quotas = row().map(|row| row.prefix(None)).unwrap_or_default();
    loop {
        if watched.is_empty() {
            return tokio::time::sleep(AGAIN).await;
        }
        let next = watched.iter_mut().map(|(prefix, changes)| {
            async move { (prefix.clone(), changes.next_batch(BATCH).await) }.boxed()
        });
        let ((prefix, batch), ..) = futures::future::select_all(next).await;
        let mut lost = batch.is_empty();
        for item in batch {
            match item {
                SubEvent::Event(event) if needs_count(&event, prefix == quotas) => {
                    due.insert(event.object.index.namespace.to_string());
                }
                SubEvent::Event(_) | SubEvent::Progress(_) => {}
                SubEvent::Expired => lost = true,
            }
        }
        if lost {
            watched.remove(&prefix);
            return tokio::time::sleep(AGAIN).await;
        }
        // Where there is no quota there is nothing to count.
        let bounded = namespaces(api);
        due.retain(|namespace| bounded.contains(namespace));
        if !due.is_empty() {
            return;
        }
    }
}

/// Whether a change can lower what is used, or is of a quota that does not say what is used of what it limits.
fn needs_count(event: &Event, is_quota: bool) -> bool {
    if is_quota && event.kind != EventKind::Deleted {
        return table::decoded(&event.object).is_ok_and(|quota| !quota::is_observed(&quota));
    }
    let phase = |object: &Cached| object.index.field("status.phase").map(str::to_owned);
    let phases = event.previous.as_ref().map(|previous| (phase(previous), phase(&event.object)));
    match event.kind {
        EventKind::Added => false,
        EventKind::Deleted => true,
        // A pod that has a phase uses the same until it has another one.
        EventKind::Modified => !matches!(phases, Some((Some(old), Some(new))) if old == new),
    }
}
