//! Who has a number: a record in the store for each, made before the Service is written that has it.
//!
//! Knows: that a record is made only where there is none, so that of two servers on one store one gets the number. Refuses
//! to know: which numbers are chosen (`allocate`), and what is done about records that nobody's Service stands for
//! (`repair`).
//!
//! The record of an address is its IPAddress, that of a node port a key of its own that no API shows. A write that does not
//! happen takes its records back; one that ends a Service's right to a number gives the record back by which it had it,
//! never one that was made since.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use leme_kinds::Kind;
use leme_meta::Status;
use leme_registry::{DeleteOptions, json};
use leme_store::{Class, Entry, Expect, Outcome};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::addresses;
use crate::allocate::{Number, Reservation, numbers};
use crate::answer::{read_failed, write_failed};
use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::write::WriteOptions;

/// Where the records of node ports are.
pub(crate) const PORTS: &str = "/registry/ranges/servicenodeports/";
/// How old records may be when the write that they are for is sent. After twice that without a Service they are nobody's.
const GOOD: Duration = Duration::from_secs(30);
/// How long a record without a Service has been seen unchanged when it is taken away.
pub(crate) const ABANDONED: Duration = Duration::from_secs(60);

/// Namespace and name of a Service.
pub(crate) type Owner = (String, String);

/// A record as the store has it.
pub(crate) struct Claim {
    pub number: Number,
    /// Whose it is; nobody's of ours, if something else made an IPAddress.
    pub owner: Option<Owner>,
    pub key: Arc<str>,
    created: u64,
    pub revision: u64,
}

impl Claim {
    fn read(number: Number, entry: &Entry) -> Claim {
        let value = serde_json::from_slice(&entry.value).unwrap_or(Value::Null);
        let owner = match number {
            Number::Address(_) => addresses::owner(&value),
            Number::Port(_) => {
                let text = |field| json::text(&value, &[field]).to_owned();
                Some((text("namespace"), text("name")))
            }
        };
        let (key, created) = (Arc::clone(&entry.key), entry.create_revision);
        Claim { number, owner, key, created, revision: entry.mod_revision }
    }
}

/// What was seen, at which revision, and since when.
#[derive(Default)]
pub(crate) struct Unchanged(HashMap<Arc<str>, (u64, Instant)>);

impl Unchanged {
    /// Whether a key has been seen at the same revision for so long.
    pub fn for_long(&mut self, key: &Arc<str>, revision: u64, long: Duration) -> bool {
        let now = Instant::now();
        let seen = self.0.entry(Arc::clone(key)).or_insert((revision, now));
        if seen.0 != revision {
            *seen = (revision, now);
        }
        now.duration_since(seen.1) >= long
    }

    /// Forgets what lies under a prefix but those that are still there.
    pub fn retain(&mut self, prefix: &str, is_there: impl Fn(&Arc<str>) -> bool) {
        self.0.retain(|key, _| !key.starts_with(prefix) || is_there(key));
    }

    /// Whether nothing is seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What was made for a write that is not done yet.
#[derive(Default)]
pub(crate) struct Claims(Vec<(Number, u64)>);

/// The kind of the records of addresses.
pub(crate) fn addresses_kind() -> Result<&'static Arc<Kind>, Status> {
    leme_kinds::by_kind("networking.k8s.io", "v1", "IPAddress").ok_or_else(Status::no_such_path)
}

/// The number that a key under `prefix` is of.
fn number_of(prefix: &str, key: &str) -> Option<Number> {
    let name = key.strip_prefix(prefix)?;
    if prefix == PORTS {
        return name.parse().ok().map(Number::Port);
    }
    name.parse::<Ipv4Addr>().ok().map(|ip| Number::Address(ip.into()))
}

fn key(number: Number) -> Result<String, Status> {
    Ok(match number {
        Number::Address(ip) => addresses_kind()?.key("", &Ipv4Addr::from(ip).to_string()),
        Number::Port(port) => format!("{PORTS}{port}"),
    })
}

impl Api {
    /// Makes the records of what a write has taken; the number that another has, if one does. Then there are none.
    pub(crate) async fn claim(
        &self,
        reservation: &Reservation<'_>,
        (namespace, name): (&str, &str),
    ) -> Result<Result<Claims, Number>, Status> {
        let numbers = reservation.numbers();
        if numbers.is_empty() {
            return Ok(Ok(Claims::default()));
        }
        let owner = (namespace.to_owned(), name.to_owned());
        let (mut claims, mut lost, mut failed) = (Claims::default(), None, None);
        let begun = Instant::now();
        let tried = numbers.iter().map(|number| self.claim_one(*number, &owner));
        for (number, tried) in numbers.iter().zip(join_all(tried).await) {
            match tried {
                Ok(Some(revision)) => claims.0.push((*number, revision)),
                Ok(None) => lost = Some(*number),
                Err(error) => failed = Some(error),
            }
        }
        if begun.elapsed() > GOOD {
            failed =
                Some(Status::timeout("the numbers of the Service could not be had in time", 1));
        }
        match (failed, lost) {
            (None, None) => Ok(Ok(claims)),
            (failed, lost) => {
                self.take_back(claims).await;
                failed.map_or(Ok(()), Err)?;
                Ok(lost.map_or_else(|| Ok(Claims::default()), Err))
            }
        }
    }

    /// Makes a record; its revision, or nothing if there is one.
    pub(crate) async fn claim_one(
        &self,
        number: Number,
        owner: &Owner,
    ) -> Result<Option<u64>, Status> {
        match number {
            // There is nobody to have it but the API server's own Service, which all servers have in common.
            _ if self.pools.is_own(number) => Ok(Some(0)),
            Number::Address(ip) => self.make_address(Ipv4Addr::from(ip).into(), owner).await,
            Number::Port(_) => {
                let record = json!({ "namespace": owner.0, "name": owner.1 }).to_string();
                let key = key(number)?;
                let put = self.write_as(Class::Ordinary, &key, record.into(), Expect::Absent);
                Ok(match put.await.map_err(write_failed)? {
                    Outcome::Done(revision) => Some(revision),
                    Outcome::Conflict(_) => None,
                })
            }
        }
    }

    /// The record is an object whose write may take numbers itself, as far as types go: hence the box.
    fn make_address<'a>(
        &'a self,
        ip: IpAddr,
        (namespace, name): &'a Owner,
    ) -> BoxFuture<'a, Result<Option<u64>, Status>> {
        Box::pin(async move {
            let request = ResourceRequest::of(Verb::Create, addresses_kind()?, "", "");
            let options = WriteOptions::plain();
            let object = addresses::object(ip, namespace, name);
            match self.create_object(&request, options.writer(), object, &options).await {
                Ok((made, _)) => {
                    let revision = json::text(&made.value, &["metadata", "resourceVersion"]);
                    Ok(Some(revision.parse().unwrap_or_default()))
                }
                Err(status) if status.reason == "AlreadyExists" => Ok(None),
                Err(status) => Err(status),
            }
        })
    }

    /// The write did not happen: its records go.
    pub(crate) async fn take_back(&self, Claims(made): Claims) {
        join_all(made.iter().map(|(number, revision)| self.unclaim(*number, *revision))).await;
    }

    /// The write that made `new` of a Service, or nothing, is stored at `revision`: the records of what the Service had
    /// before and has no longer go.
    pub(crate) async fn give_back(
        &self,
        owner: (&str, &str),
        (old, new): (&Value, Option<&Value>),
        revision: u64,
    ) {
        let kept = new.map_or(Vec::new(), numbers);
        let gone = numbers(old).into_iter().filter(|number| !kept.contains(number));
        join_all(gone.map(|number| self.give_one(number, owner, revision))).await;
    }

    async fn give_one(&self, number: Number, (namespace, name): (&str, &str), before: u64) {
        let found = match self.found(number).await {
            Ok(found) => found,
            Err(error) => return tracing::warn!(%error, ?number, "a number is not given back yet"),
        };
        let its = found.filter(|claim| {
            let owner = claim.owner.as_ref();
            owner.is_some_and(|one| (&*one.0, &*one.1) == (namespace, name))
                && claim.created < before
        });
        if let Some(claim) = its {
            self.unclaim(number, claim.revision).await;
        }
    }

    async fn found(&self, number: Number) -> Result<Option<Claim>, Status> {
        let entry = self.store.get(&key(number)?).await.map_err(read_failed)?;
        Ok(entry.map(|entry| Claim::read(number, &entry)))
    }

    /// All records.
    pub(crate) async fn claims(&self) -> Result<Vec<Claim>, Status> {
        let mut all = Vec::new();
        for prefix in [addresses_kind()?.prefix(None), PORTS.to_owned()] {
            let page = self.store.list(&prefix, "", 0, 0).await.map_err(read_failed)?;
            let read = |entry: &Entry| Some(Claim::read(number_of(&prefix, &entry.key)?, entry));
            all.extend(page.entries.iter().filter_map(read));
        }
        Ok(all)
    }

    /// Takes a record away, if it is still as it was then; what cannot be done now is left to the repair.
    pub(crate) async fn unclaim(&self, number: Number, revision: u64) {
        let done = match number {
            _ if self.pools.is_own(number) => Ok(()),
            Number::Address(ip) => self.remove_address(Ipv4Addr::from(ip), revision).await,
            Number::Port(port) => {
                let deleted = self.store.delete(&format!("{PORTS}{port}"), revision).await;
                deleted.map(drop).map_err(write_failed)
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, ?number, "a number is not given back yet");
        }
    }

    fn remove_address(&self, ip: Ipv4Addr, revision: u64) -> BoxFuture<'_, Result<(), Status>> {
        Box::pin(async move {
            let request = ResourceRequest::of(Verb::Delete, addresses_kind()?, "", &ip.to_string());
            let revision = Some(revision.to_string());
            let options = DeleteOptions { resource_version: revision, ..DeleteOptions::default() };
            match self.delete_object(&request, &options).await {
                Err(status) if !matches!(status.code, 404 | 409) => Err(status),
                _ => Ok(()),
            }
        })
    }
}
