//! Makes the records of numbers and the Services that have them agree again.
//!
//! Knows: what a server that died between two writes leaves behind, and what older data lacks. Refuses to know: how numbers
//! are chosen. Several servers may do this at once: each step is a compare-and-swap.
//!
//! A record that no Service stands for may be of a Service that is just being written. It goes when it has been seen
//! unchanged for longer than any write waits, and no Service in the store stands for it then.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leme_kinds::Kind;
use leme_meta::Status;
use leme_store::cache::{self, Cached, SubEvent, Subscription};
use serde_json::json;

use crate::allocate::{Number, numbers};
use crate::answer::read_failed;
use crate::api::Api;
use crate::claims::{ABANDONED, Claim, Owner, Unchanged, addresses_kind};
use crate::request::{ResourceRequest, Verb};
use crate::table;
use crate::write::WriteOptions;

/// How often everything is looked at whether anything has happened or not.
const EVERY: Duration = Duration::from_secs(180);
/// How long to wait after something failed.
const AGAIN: Duration = Duration::from_secs(10);
/// Changes taken from the cache at a time.
const BATCH: usize = 256;

/// Looks at everything now and then, and when an IPAddress has gone, until the server stops.
pub(crate) async fn run(api: Arc<Api>) {
    let mut leaks = Unchanged::default();
    let stop = api.lifetime.stop_token();
    let rounds = async {
        loop {
            if let Err(error) = round(&api, &mut leaks).await {
                tracing::warn!(%error, "cannot compare Services with their numbers; trying again later");
                tokio::time::sleep(AGAIN).await;
            }
        }
    };
    stop.run_until_cancelled(rounds).await;
}

/// Makes everything so, then waits until that is to be done again.
async fn round(api: &Api, leaks: &mut Unchanged) -> Result<(), Status> {
    let prefix = addresses_kind()?.prefix(None);
    let mut addresses = api.cache.watch(&prefix, api.cache.revision()).map_err(read_failed)?;
    repair(api, leaks).await?;
    // Those that are seen to be nobody's are looked at again when that has been so for long enough.
    let wait = if leaks.is_empty() { EVERY } else { ABANDONED + AGAIN };
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = gone(api, &mut addresses) => {}
    }
    Ok(())
}

/// A Service that has a number.
struct Holder {
    owner: Owner,
    uid: String,
}

/// Makes what is missing, takes away what nobody has, tells of what several have.
pub(crate) async fn repair(api: &Api, leaks: &mut Unchanged) -> Result<(), Status> {
    let claims = api.claims().await?;
    api.cache.fresh().await.map_err(read_failed)?;
    let held = held(api)?;
    let of: BTreeMap<Number, &Claim> = claims.iter().map(|claim| (claim.number, claim)).collect();
    for (number, holders) in &held {
        if !of.contains_key(number) {
            make(api, *number, &holders[0].owner).await?;
        }
        let owner = of.get(number).and_then(|claim| claim.owner.as_ref());
        let right = holders.iter().position(|one| Some(&one.owner) == owner).unwrap_or(0);
        for (at, holder) in holders.iter().enumerate() {
            if at != right {
                tell(api, *number, holder).await?;
            }
        }
    }
    let mut left = Vec::new();
    for claim in &claims {
        let Some(owner) = &claim.owner else { continue };
        let holders = held.get(&claim.number).map_or(&[][..], |holders| holders);
        if api.pools.is_own(claim.number) || holders.iter().any(|one| one.owner == *owner) {
            continue;
        }
        left.push(&claim.key);
        if leaks.for_long(&claim.key, claim.revision, ABANDONED)
            && !has(api, owner, claim.number).await?
        {
            tracing::warn!(key = %claim.key, "a number that no Service has is free again");
            api.unclaim(claim.number, claim.revision).await;
            if let Some(holder) = holders.first() {
                make(api, claim.number, &holder.owner).await?;
            }
        }
    }
    leaks.retain("", |key| left.contains(&key));
    Ok(())
}

fn services() -> Result<&'static Arc<Kind>, Status> {
    leme_kinds::by_kind("", "v1", "Service").ok_or_else(Status::no_such_path)
}

/// Which Services have which number, in the order of their keys.
fn held(api: &Api) -> Result<BTreeMap<Number, Vec<Holder>>, Status> {
    let mut held: BTreeMap<Number, Vec<Holder>> = BTreeMap::new();
    let snapshot = api.cache.snapshot(&services()?.prefix(None));
    for service in snapshot.iter().flat_map(|all| all.iter()) {
        let Ok(value) = table::decoded(service) else { continue };
        for number in numbers(&value) {
            held.entry(number).or_default().push(holder(service));
        }
    }
    Ok(held)
}

fn holder(service: &Cached) -> Holder {
    let index = &service.index;
    let owner = (index.namespace.to_string(), index.name.to_string());
    Holder { owner, uid: index.uid.to_string() }
}

/// Makes a record that is missing, and takes it back if the Service has not the number any more: what was seen of both is
/// of two moments, and who gave the number up meanwhile has looked for its record already.
async fn make(api: &Api, number: Number, owner: &Owner) -> Result<(), Status> {
    if let Some(made) = api.claim_one(number, owner).await?
        && !has(api, owner, number).await?
    {
        api.unclaim(number, made).await;
    }
    Ok(())
}

/// Whether a Service has a number in the store.
async fn has(api: &Api, (namespace, name): &Owner, number: Number) -> Result<bool, Status> {
    let stored = api.stored(&services()?.key(namespace, name)).await?;
    Ok(stored.is_some_and(|stored| numbers(&stored.value).contains(&number)))
}

/// Says to a Service that another one has its number. It is told once.
async fn tell(api: &Api, number: Number, holder: &Holder) -> Result<(), Status> {
    let (reason, action, by, message) = match number {
        Number::Address(ip) => {
            let ip = Ipv4Addr::from(ip);
            let why = format!(
                "Cluster IP {ip} was assigned to multiple services; please recreate service"
            );
            (
                "ClusterIPAlreadyAllocated",
                "ClusterIPAllocation",
                "ipallocator-repair-controller",
                why,
            )
        }
        Number::Port(port) => {
            let why =
                format!("Port {port} was assigned to multiple services; please recreate service");
            ("PortAlreadyAllocated", "PortAllocation", "portallocator-repair-controller", why)
        }
    };
    let (namespace, name) = &holder.owner;
    tracing::warn!(%namespace, %name, "{message}");
    let kind = leme_kinds::by_kind("", "v1", "Event").ok_or_else(Status::no_such_path)?;
    let now = leme_meta::time::seconds(Timestamp::now());
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": { "name": format!("{name}.{}", suffix(number, &holder.uid)), "namespace": namespace },
        "involvedObject": { "apiVersion": "v1", "kind": "Service", "namespace": namespace, "name": name,
            "uid": holder.uid },
        "type": "Warning", "reason": reason, "message": message, "action": action, "count": 1,
        "source": { "component": by }, "reportingComponent": by,
        "firstTimestamp": now, "lastTimestamp": now,
    });
    let request = ResourceRequest::of(Verb::Create, kind, namespace, "");
    let options = WriteOptions::plain();
    match api.create_object(&request, options.writer(), event, &options).await {
        Err(status) if status.reason != "AlreadyExists" => Err(status),
        _ => Ok(()),
    }
}

/// The same for the same number of the same Service.
fn suffix(number: Number, uid: &str) -> String {
    let number = match number {
        Number::Address(ip) => u64::from(ip),
        Number::Port(port) => u64::from(port),
    };
    let mut mixed = number;
    for byte in uid.bytes() {
        mixed = mixed.wrapping_mul(31).wrapping_add(u64::from(byte));
    }
    format!("{mixed:016x}")
}

/// Resolves when an IPAddress has gone that a Service has, or changes were lost.
async fn gone(api: &Api, addresses: &mut Subscription) {
    loop {
        let batch = addresses.next_batch(BATCH).await;
        let lost = batch.is_empty();
        let matters = |item: &SubEvent| match item {
            SubEvent::Event(event) if event.kind == cache::Kind::Deleted => {
                let ip = event.object.index.name.parse::<Ipv4Addr>();
                ip.is_ok_and(|ip| api.pools.is_used(&api.cache, Number::Address(ip.into())))
            }
            SubEvent::Event(_) | SubEvent::Progress(_) => false,
            SubEvent::Expired => true,
        };
        if lost || batch.iter().any(matters) {
            return;
        }
    }
}
