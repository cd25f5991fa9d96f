//! The optimistic loop: a decision becomes a compare-and-put, and is made anew when somebody was faster.
//!
//! Knows: what the cache may have wrong, what is claimed, charged and given back around a write. Refuses to know: what is
//! decided.

use std::time::Instant;

use bytes::Bytes;
use leme_meta::Status;
use leme_registry::{Operation, Target, json};
use leme_store::{Class, Entry, Expect, Outcome, StoreError};
use serde_json::Value;

use super::{
    Change, PATIENCE, Stored, WriteOptions, Written, set_revision, stored_as, target, too_late,
};
use crate::admit;
use crate::allocate::{Number, Reservation, has_numbers};
use crate::answer::{read_failed, write_failed};
use crate::api::Api;
use crate::charges::Charge;
use crate::request::ResourceRequest;

impl Api {
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
            let attempt =
                self.attempt(request, (&key, decided?), stored, reservation, dry_run).await?;
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

    /// Changes an object to what is made of it, if anything is: for the server itself. Whether there is such an object.
    pub(crate) async fn make_of(
        &self,
        update: &ResourceRequest,
        target: Target,
        mut made: impl FnMut(&Value) -> Result<Option<Value>, Status> + Send,
    ) -> Result<bool, Status> {
        let options = WriteOptions::plain();
        let context = self.context(update, &options);
        let changed = self.change(update, false, |stored, reservation| {
            let Some(new) = made(&stored.value)? else { return Ok(Change::Unchanged) };
            let (writer, old) = (options.writer(), (&stored.value, stored.revision));
            leme_registry::update(&context, target, writer, new, old, reservation).map(Into::into)
        });
        Ok(changed.await?.is_some())
    }

    /// Carries out what has been decided; who was faster, if somebody was.
    async fn attempt(
        &self,
        request: &ResourceRequest,
        (key, change): (&str, Change),
        stored: Stored,
        reservation: Reservation<'_>,
        dry_run: bool,
    ) -> Result<Result<Written, Lost>, Status> {
        match change {
            Change::Unchanged => Ok(Ok(Written::Is(stored.value.into()))),
            Change::Put(mut new) | Change::PutWhole(mut new) if dry_run => {
                set_revision(&mut new, stored.revision);
                Ok(Ok(Written::Is(new.into())))
            }
            Change::Remove if dry_run => Ok(Ok(Written::Gone(stored.value))),
            Change::Put(new) => self.put(request, key, (new, false), &stored, reservation).await,
            Change::PutWhole(new) => {
                self.put(request, key, (new, true), &stored, reservation).await
            }
            Change::Remove => self.remove(request, key, stored).await,
        }
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
    pub(super) async fn write_object(
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
