//! The writes: create, update, patch, apply, delete. One optimistic loop carries each of them out.
//!
//! Knows: how a pure decision of the registry becomes a compare-and-put, and what happens when somebody was faster.
//! Refuses to know: what is decided. An answer is a success only if the store said so.

mod apply;
mod collection;
mod create;
pub(crate) mod delete;
mod evict;
pub(crate) mod options;
pub(crate) mod patch;
mod review;
mod update;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use leme_access::Identity;
use leme_kinds::Kind;
use leme_meta::{Status, managed};
use leme_registry::{Context, Operation, Target, User, Write, json};
use leme_store::cache::insert_resource_version;
use leme_store::{Class, Entry, Expect, Outcome, StoreError};
use serde_json::Value;

use crate::admit;
use crate::allocate::{Number, Reservation, has_numbers};
use crate::answer::{self, Answer, read_failed, write_failed};
use crate::api::Api;
use crate::charges::Charge;
use crate::negotiate::Representation;
use crate::present::{self, Object};
use crate::request::{Kept, ResourceRequest};

pub(crate) use options::WriteOptions;
pub(crate) use update::target;

/// How long a write is tried that always finds another one has been there before, as upstream has it.
const PATIENCE: Duration = Duration::from_secs(34);

/// A write as its client sent it, the body read.
pub(crate) struct Input {
    pub who: Identity,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// How the answer shall look; it has been found to be possible.
    pub wanted: Representation,
}

/// An object as the store or the cache has it.
pub(crate) struct Stored {
    /// With `metadata.resourceVersion`, and the sets of owned fields as text.
    pub value: Value,
    pub revision: u64,
}

impl Stored {
    fn read(bytes: &[u8], revision: u64, key: &str) -> Result<Stored, Status> {
        let mut value = match managed::read(bytes) {
            Ok(value) => value,
            Err(_) if bytes.is_empty() => {
                return Err(answer::unreadable(key, "its value is lost"));
            }
            Err(error) => return Err(answer::unreadable(key, &error.to_string())),
        };
        set_revision(&mut value, revision);
        Ok(Stored { value, revision })
    }

    /// The same as one of its kind that is read.
    fn loaded(self, kept: &Kept) -> Stored {
        Stored { value: kept.loaded(self.value), ..self }
    }

    fn of(entry: &Entry) -> Result<Stored, Status> {
        Stored::read(&entry.value, entry.mod_revision, &entry.key)
    }
}

/// What is to become of a stored object.
pub(crate) enum Change {
    Unchanged,
    Put(Value),
    /// The same, but not without its list of owners if it is too large with it.
    PutWhole(Value),
    Remove,
}

impl Change {
    /// The same change, of which nothing may be left out.
    fn whole(self) -> Change {
        match self {
            Change::Put(value) => Change::PutWhole(value),
            other => other,
        }
    }
}

impl From<Write> for Change {
    fn from(write: Write) -> Change {
        match write {
            Write::Unchanged => Change::Unchanged,
            Write::Put(value) => Change::Put(value),
            Write::Remove => Change::Remove,
        }
    }
}

/// What became of it.
pub(crate) enum Written {
    /// It is this now, with its resourceVersion.
    Is(Object),
    /// It is gone; this was its last state.
    Gone(Value),
}

impl Written {
    pub fn object(self) -> Object {
        match self {
            Written::Is(object) => object,
            Written::Gone(value) => value.into(),
        }
    }
}

/// What the client is told about what an update made of an object; only the object itself is spoken of.
pub(crate) fn warnings_about(
    request: &ResourceRequest,
    target: Target,
    write: &Write,
    stored: &Value,
) -> Vec<String> {
    let new = if let Write::Put(new) = write { new } else { stored };
    if target != Target::Main || matches!(write, Write::Remove) {
        return Vec::new();
    }
    leme_strategy::warnings(request.strategy(), &request.kind, new, Some(stored))
}

/// Sets `metadata.resourceVersion`.
pub(crate) fn set_revision(value: &mut Value, revision: u64) {
    json::set(json::child(value, "metadata"), "resourceVersion", revision.to_string());
}

/// An object that was stored as these bytes, which have no revision, at a revision.
pub(crate) fn stored_as(mut value: Value, bytes: &[u8], revision: u64) -> Object {
    set_revision(&mut value, revision);
    Object { value, json: insert_resource_version(bytes, revision).map(Bytes::from) }
}

impl Api {
    /// What the registry needs to know of the world for one request that makes no object: it has no uid and no suffix.
    pub(crate) fn context<'a>(
        &'a self,
        request: &'a ResourceRequest,
        options: &WriteOptions,
    ) -> Context<'a> {
        Context {
            kind: &request.kept.kind,
            strategy: request.strategy(),
            namespace: &request.namespace,
            name: &request.name,
            user: request.who.as_ref().map(|who| User {
                name: &who.user,
                uid: &who.uid,
                groups: &who.groups,
                extra: &who.extra,
            }),
            now: jiff::Timestamp::now(),
            uid: String::new(),
            suffix: String::new(),
            dry_run: options.dry_run,
            route_domain: &self.route_domain,
            service_network: self.pools.network(),
            admission: &self.admission,
        }
    }

    /// The object as the store has it now.
    pub(crate) async fn stored(&self, key: &str) -> Result<Option<Stored>, Status> {
        let entry =
            self.metrics.asked("get", key).done(self.store.get(key).await).map_err(read_failed)?;
        entry.as_ref().map(Stored::of).transpose()
    }

    fn cached(&self, kept: &Kept, key: &str) -> Result<Option<Stored>, Status> {
        let object = self.cache.get(&kept.kind.prefix(None), key);
        let read = object.map(|object| Stored::read(&object.json, object.mod_revision, key));
        Ok(read.transpose()?.map(|stored| stored.loaded(kept)))
    }

    /// Waits until the cache shows a write of what admission looks at, so that it counts for whatever comes after it.
    pub(crate) async fn seen(&self, kind: &Kind, revision: u64) {
        if !leme_admission::is_seen(&kind.group, &kind.plural) {
            return;
        }
        if let Err(error) = self.cache.at_least(revision).await {
            tracing::warn!(%error, resource = %kind.plural, "admission does not see a write yet");
        }
    }

    /// Changes an object as `decide` says, again and again until nobody else was faster: each failure is another's
    /// success. The cache's state is tried first; whatever `decide` refuses or leaves alone on the ground of it is asked again with the store's.
    /// `None` if there is no such object.
    pub(crate) async fn change(
        &self,
        request: &ResourceRequest,
        dry_run: bool,
        mut decide: impl FnMut(&Stored, &mut Reservation<'_>) -> Result<Change, Status> + Send,
    ) -> Result<Option<Written>, Status> {
        let (key, kept) = (request.key(), &request.kept);
        let mut current = self.cached(kept, &key)?;
        let (mut certain, began) = (false, Instant::now());
        let mut lost: Vec<Number> = Vec::new();
        while began.elapsed() < PATIENCE {
            let stored = match current.take() {
                Some(stored) => stored,
                None if certain => return Ok(None),
                None => {
                    certain = true;
                    match self.stored(&key).await? {
                        Some(stored) => stored.loaded(kept),
                        None => return Ok(None),
                    }
                }
            };
            let mut reservation = self.pools.reserve(&self.cache, &key, &lost);
            let decided = decide(&stored, &mut reservation);
            if !certain && matches!(decided, Err(_) | Ok(Change::Unchanged)) {
                certain = true;
                if reservation.is_doubtful() {
                    self.cache.fresh().await.map_err(read_failed)?;
                }
                current = self.stored(&key).await?.map(|stored| stored.loaded(kept));
                // The same state gives the same decision.
                let is_same = current.as_ref().is_some_and(|now| now.revision == stored.revision);
                if !is_same || reservation.is_doubtful() {
                    continue;
                }
            }
            let attempt = match decided? {
                Change::Unchanged => return Ok(Some(Written::Is(stored.value.into()))),
                Change::Put(mut new) | Change::PutWhole(mut new) if dry_run => {
                    set_revision(&mut new, stored.revision);
                    return Ok(Some(Written::Is(new.into())));
                }
                Change::Remove if dry_run => return Ok(Some(Written::Gone(stored.value))),
                Change::Put(new) => {
                    self.put(request, &key, (new, false), &stored, reservation).await?
                }
                Change::PutWhole(new) => {
                    self.put(request, &key, (new, true), &stored, reservation).await?
                }
                Change::Remove => self.remove(request, &key, stored).await?,
            };
            match attempt {
                Ok(done) => return Ok(Some(done)),
                Err(Lost::Number(number)) => {
                    lost.push(number);
                    certain = true;
                    current = self.stored(&key).await?.map(|stored| stored.loaded(kept));
                }
                Err(Lost::Race(entry)) => {
                    certain = true;
                    current =
                        entry.as_ref().map(Stored::of).transpose()?.map(|one| one.loaded(kept));
                }
            }
        }
        Err(too_late())
    }

    /// Replaces what is stored, charged on quotas; the other's object if somebody was faster.
    async fn put(
        &self,
        request: &ResourceRequest,
        key: &str,
        (mut new, whole): (Value, bool),
        stored: &Stored,
        reservation: Reservation<'_>,
    ) -> Result<Result<Written, Lost>, Status> {
        // It is the store's own, wherever the object comes from.
        json::remove(json::child(&mut new, "metadata"), "resourceVersion");
        let asked = admit::asked(request, Operation::Update, false);
        let charge = self.charge(&asked, &new, Some(&stored.value)).await?;
        let owner = (&*request.namespace, &*request.name);
        let claims = match self.claim(&reservation, owner).await? {
            Ok(claims) => claims,
            Err(number) => return Ok(Err(Lost::Number(number))),
        };
        if Charge::is_late(charge.as_ref()) {
            self.take_back(claims).await;
            return Err(too_late());
        }
        let class = class(request, &stored.value, &new);
        let expect = Expect::Revision(stored.revision);
        let _pass = self.pass(request, Some(&stored.value), Some(&new)).await?;
        match self.write_object(request, class, key, (&mut new, whole), expect).await? {
            (Outcome::Done(revision), bytes) => {
                Charge::used(charge);
                if has_numbers(key) {
                    self.give_back(owner, (&stored.value, Some(&new)), revision).await;
                }
                reservation.written(&self.cache, revision).await;
                self.seen(&request.kept.kind, revision).await;
                Ok(Ok(Written::Is(stored_as(new, &bytes, revision))))
            }
            (Outcome::Conflict(entry), _) => {
                self.take_back(claims).await;
                Ok(Err(Lost::Race(entry)))
            }
        }
    }

    /// Writes an object, and once more without its list of owners if it is too large with it, unless it is to be kept
    /// whole. Gives the text that was written as well.
    async fn write_object(
        &self,
        request: &ResourceRequest,
        class: Class,
        key: &str,
        (object, whole): (&mut Value, bool),
        expect: Expect,
    ) -> Result<(Outcome, Bytes), Status> {
        let bytes = request.kept.text(object);
        let done = self.write_as(class, key, bytes.clone(), expect).await;
        if whole || !matches!(done, Err(StoreError::TooLarge(_))) || !without_owners(object) {
            return done.map(|outcome| (outcome, bytes)).map_err(write_failed);
        }
        let bytes = request.kept.text(object);
        let done = self.write_as(class, key, bytes.clone(), expect).await;
        done.map(|outcome| (outcome, bytes)).map_err(write_failed)
    }

    pub(crate) async fn write_as(
        &self,
        class: Class,
        key: &str,
        value: Bytes,
        expect: Expect,
    ) -> Result<Outcome, StoreError> {
        let word = if matches!(expect, Expect::Absent) { "create" } else { "update" };
        let asked = self.metrics.asked(word, key);
        asked.done(match class {
            Class::Ordinary => self.store.put(key, value, expect).await,
            Class::Reserved => self.store.put_reserved(key, value, expect).await,
        })
    }

    async fn remove(
        &self,
        request: &ResourceRequest,
        key: &str,
        stored: Stored,
    ) -> Result<Result<Written, Lost>, Status> {
        let _pass = self.pass(request, Some(&stored.value), None).await?;
        let asked = self.metrics.asked("delete", key);
        let deleted = asked.done(self.store.delete(key, stored.revision).await);
        match deleted.map_err(write_failed)? {
            Outcome::Done(revision) => {
                if has_numbers(key) {
                    let owner = (&*request.namespace, &*request.name);
                    self.give_back(owner, (&stored.value, None), revision).await;
                }
                self.seen(&request.kept.kind, revision).await;
                let mut last = stored.value;
                set_revision(&mut last, revision);
                Ok(Ok(Written::Gone(last)))
            }
            Outcome::Conflict(entry) => Ok(Err(Lost::Race(entry))),
        }
    }
}

/// Who was faster.
enum Lost {
    /// Another write of the object, which came to this.
    Race(Option<Entry>),
    /// Another Service, which has this number.
    Number(Number),
}

/// What is said when a write never came to be.
fn too_late() -> Status {
    let why =
        "Timeout: request did not complete within requested timeout - context deadline exceeded";
    Status::timeout(why, 0)
}

/// What a change may use where there is no other space: what reports how things are, and every step of a deletion.
fn class(request: &ResourceRequest, old: &Value, new: &Value) -> Class {
    let going =
        |value| leme_registry::json::at(value, &["metadata", "deletionTimestamp"]).is_some();
    let reserved = matches!(target(request), Target::Status | Target::Finalize | Target::Approval)
        || request.strategy().is_heartbeat
        || going(old)
        || going(new);
    if reserved { Class::Reserved } else { Class::Ordinary }
}

/// Takes the list of owners out of an object, if it has one: who owns what is worth less than the object.
pub(crate) fn without_owners(object: &mut Value) -> bool {
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    metadata.is_some_and(|metadata| metadata.remove("managedFields").is_some())
}

/// The object that a write came to, as the client wants to see it.
pub(crate) fn written(
    request: &ResourceRequest,
    wanted: Representation,
    code: u16,
    object: Object,
    warnings: &[String],
) -> Result<Answer, Status> {
    let mut answer = present::object(request, wanted, code, object)?;
    answer::warn(&mut answer, warnings);
    Ok(answer)
}

/// Five random characters that spell no words, for generated names.
pub(crate) fn suffix() -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let random = uuid::Uuid::new_v4();
    // Bytes 6 and 8 of a version 4 uuid hold fixed bits.
    let bytes = &random.as_bytes()[9..14];
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}
