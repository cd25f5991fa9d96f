//! IPAddresses: what tells which cluster address which Service has.
//!
//! Knows: that each address of a Service has one, and that one whose Service has gone goes too. Refuses to know: how
//! addresses are chosen; these objects follow what the Services say.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use leme_kinds::Kind;
use leme_meta::Status;
use leme_registry::{DeleteOptions, json};
use leme_store::cache::{self, Cached, SubEvent, Subscription};
use serde_json::{Value, json};

use crate::answer::read_failed;
use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::table;
use crate::write::WriteOptions;

/// Who makes them, by their labels.
const MANAGER: (&str, &str) = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
/// Where they are.
pub(crate) const COLLECTION: &str = "/apis/networking.k8s.io/v1/ipaddresses";
/// How long to wait after something failed.
const AGAIN: Duration = Duration::from_secs(10);
/// Changes taken from the cache at a time.
const BATCH: usize = 256;

/// Follows the Services until the server stops.
pub(crate) async fn run(api: Arc<Api>) {
    let (Some(services), Some(addresses)) = (
        leme_kinds::by_kind("", "v1", "Service"),
        leme_kinds::by_kind("networking.k8s.io", "v1", "IPAddress"),
    ) else {
        return;
    };
    let keeper = Keeper { api: &api, services, addresses };
    let follow = async {
        loop {
            if let Err(error) = keeper.follow().await {
                tracing::warn!(%error, "cannot keep the IPAddresses of Services; trying again later");
                tokio::time::sleep(AGAIN).await;
            }
        }
    };
    api.lifetime.stop_token().run_until_cancelled(follow).await;
}

struct Keeper<'a> {
    api: &'a Api,
    services: &'a Arc<Kind>,
    addresses: &'a Arc<Kind>,
}

/// What Services have: addresses by the Service's key.
type Known = HashMap<Arc<str>, (Owner, BTreeSet<IpAddr>)>;
/// Namespace and name of a Service.
type Owner = (String, String);

impl Keeper<'_> {
    /// Makes everything so, then follows the changes; returns when changes were lost.
    async fn follow(&self) -> Result<(), Status> {
        let cache = &self.api.cache;
        let from = cache.revision();
        let watch = |kind: &Kind| cache.watch(&kind.prefix(None), from).map_err(read_failed);
        let (mut services, mut addresses) = (watch(self.services)?, watch(self.addresses)?);
        let mut known = Known::new();
        let mut had: HashMap<IpAddr, Owner> = HashMap::new();
        for service in cache.snapshot(&self.services.prefix(None)).iter().flat_map(|all| all.iter())
        {
            let (owner, has) = addresses_of(service);
            had.extend(has.iter().map(|one| (*one, owner.clone())));
            known.insert(Arc::clone(&service.key), (owner, has));
        }
        for address in
            cache.snapshot(&self.addresses.prefix(None)).iter().flat_map(|all| all.iter())
        {
            let ip = address.index.name.parse::<IpAddr>().ok();
            let its = ip.and_then(|ip| Some((ip, had.remove(&ip)?)));
            let right = its.as_ref().is_some_and(|(_, owner)| *owner == owner_of(address));
            if is_ours(address) && !right {
                self.remove(&address.index.name).await?;
                had.extend(its);
            }
        }
        for (ip, owner) in &had {
            self.make(*ip, owner).await?;
        }
        loop {
            tokio::select! {
                batch = services.next_batch(BATCH) => {
                    if !self.services_changed(&mut known, batch).await? {
                        return Ok(());
                    }
                }
                lost = gone(&mut addresses) => {
                    let Some(lost) = lost else { return Ok(()) };
                    for ip in lost {
                        let owner = known.values().find(|(_, has)| has.contains(&ip));
                        if let Some((owner, _)) = owner {
                            self.make(ip, owner).await?;
                        }
                    }
                }
            }
        }
    }

    /// Follows changes of Services; `false` when some were lost.
    async fn services_changed(
        &self,
        known: &mut Known,
        batch: Vec<SubEvent>,
    ) -> Result<bool, Status> {
        if batch.is_empty() {
            return Ok(false);
        }
        for item in batch {
            let event = match item {
                SubEvent::Event(event) => event,
                SubEvent::Progress(_) => continue,
                SubEvent::Expired => return Ok(false),
            };
            let (owner, mut has) = addresses_of(&event.object);
            if event.kind == cache::Kind::Deleted {
                has.clear();
            }
            let before = known.remove(&event.object.key).map(|(_, has)| has).unwrap_or_default();
            for ip in before.difference(&has) {
                self.remove(&ip.to_string()).await?;
            }
            for ip in has.difference(&before) {
                self.make(*ip, &owner).await?;
            }
            if !has.is_empty() {
                known.insert(Arc::clone(&event.object.key), (owner, has));
            }
        }
        Ok(true)
    }

    async fn make(&self, ip: IpAddr, (namespace, name): &Owner) -> Result<(), Status> {
        let object = object(ip, namespace, name);
        let request = ResourceRequest::of(Verb::Create, self.addresses, "", "");
        let options = WriteOptions::plain();
        match self.api.create_object(&request, options.writer(), object, &options).await {
            Err(status) if status.reason != "AlreadyExists" => Err(status),
            _ => Ok(()),
        }
    }

    async fn remove(&self, name: &str) -> Result<(), Status> {
        let request = ResourceRequest::of(Verb::Delete, self.addresses, "", name);
        match self.api.delete_object(&request, &DeleteOptions::default()).await {
            Err(status) if status.code != 404 => Err(status),
            _ => Ok(()),
        }
    }
}

/// The object that tells of an address which a Service has.
pub(crate) fn object(ip: IpAddr, namespace: &str, name: &str) -> Value {
    let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": { "name": ip.to_string(), "labels": { MANAGER.0: MANAGER.1, FAMILY: family } },
        "spec": {
            "parentRef": { "group": "", "resource": "services", "namespace": namespace, "name": name },
        },
    })
}

/// Those of a batch of IPAddresses that are gone; `None` when changes were lost.
async fn gone(addresses: &mut Subscription) -> Option<Vec<IpAddr>> {
    let batch = addresses.next_batch(BATCH).await;
    let mut gone = Vec::new();
    if batch.is_empty() {
        return None;
    }
    for item in batch {
        match item {
            SubEvent::Event(event) if event.kind == cache::Kind::Deleted => {
                gone.extend(event.object.index.name.parse::<IpAddr>());
            }
            SubEvent::Event(_) | SubEvent::Progress(_) => {}
            SubEvent::Expired => return None,
        }
    }
    Some(gone)
}

/// The Service with its addresses; a headless one has none.
fn addresses_of(service: &Cached) -> (Owner, BTreeSet<IpAddr>) {
    let index = &service.index;
    let value = table::decoded(service).unwrap_or(Value::Null);
    let all = json::list(&value, &["spec", "clusterIPs"]).iter();
    let all = all.filter_map(|ip| ip.as_str()?.parse().ok()).collect();
    ((index.namespace.to_string(), index.name.to_string()), all)
}

/// The Service that an IPAddress is of.
fn owner_of(address: &Cached) -> Owner {
    let value = table::decoded(address).unwrap_or(Value::Null);
    let text = |field| json::text(&value, &["spec", "parentRef", field]).to_owned();
    (text("namespace"), text("name"))
}

/// Whether an IPAddress was made by this.
fn is_ours(address: &Cached) -> bool {
    address.index.labels.iter().any(|(key, value)| (&**key, &**value) == MANAGER)
}
