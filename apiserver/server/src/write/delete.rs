//! DELETE of one object: at once, or marked and left to its finalizers and its grace.
//!
//! Knows: where options come from, what the answer is. Refuses to know: what holds an object.

use bytes::Bytes;
use http::HeaderMap;
use leme_meta::{FieldError, Gvk, Path, Status};
use leme_registry::{Context, DeleteOptions, Deletion};
use leme_store::Outcome;
use serde_json::{Value, json};

use super::options;
use super::{Change, Input, Stored, WriteOptions, Written};
use crate::admit;
use crate::answer::{Answer, read_failed, write_failed};
use crate::api::Api;
use crate::negotiate::Representation;
use crate::request::ResourceRequest;
use crate::{body, present};

/// The options of a delete: its body, or without one its query.
pub(crate) fn delete_options(
    request: &ResourceRequest,
    headers: &HeaderMap,
    bytes: Bytes,
) -> Result<DeleteOptions, Status> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return DeleteOptions::from_query(request.query.pairs());
    }
    let json = body::to_json(&body::media_type(headers), bytes)?;
    let (value, _) = options::parsed(&json)?;
    let mut options = DeleteOptions::from_json(&value)?;
    // A dry run must not become a real one because the client said so in the other place.
    options.dry_run |= DeleteOptions::from_query(request.query.pairs())?.dry_run;
    Ok(options)
}

impl Api {
    /// DELETE of an object.
    pub(crate) async fn delete(
        &self,
        request: &ResourceRequest,
        input: Input,
    ) -> Result<Answer, Status> {
        let mut options = delete_options(request, &input.headers, input.body)?;
        if request.kept.owner(None).is_some() {
            self.catch_up(None).await?;
            let object = self.cache.get(&request.kind.prefix(None), &request.key());
            let own = object.filter(|object| request.shows(object));
            let own = own.ok_or_else(|| Status::not_found(&request.gvr(), &request.name))?;
            options.uid.get_or_insert_with(|| own.index.uid.to_string());
        }
        if options.ignore_read_error {
            admit::authorize_unsafe_delete(&self.policies.load(), &input.who, request)?;
            return self.delete_unreadable(request, input.wanted).await;
        }
        let done = self
            .delete_object(request, &options)
            .await?
            .ok_or_else(|| Status::not_found(&request.gvr(), &request.name))?;
        let object = match done {
            Written::Gone(last) if !request.strategy().returns_deleted => {
                gone(request, &last).into()
            }
            done => done.object(),
        };
        present::object(request, input.wanted, 200, object)
    }

    /// Removes what nobody can read: no precondition, no finalizer, no grace.
    async fn delete_unreadable(
        &self,
        request: &ResourceRequest,
        wanted: Representation,
    ) -> Result<Answer, Status> {
        admit::removal(self, request)?;
        let key = request.key();
        loop {
            let asked = self.metrics.asked("get", &key);
            let entry = asked.done(self.store.get(&key).await).map_err(read_failed)?;
            let entry = entry.ok_or_else(|| Status::not_found(&request.gvr(), &request.name))?;
            let readable = Stored::of(&entry).is_ok()
                && self.cache.unreadable_at(&request.kind.prefix(None), &key).is_none();
            if readable {
                return Err(not_unreadable(request));
            }
            tracing::warn!(%key, revision = entry.mod_revision, "removing an object that cannot be read");
            let asked = self.metrics.asked("delete", &key);
            let deleted = asked.done(self.store.delete(&key, entry.mod_revision).await);
            if let Outcome::Done(revision) = deleted.map_err(write_failed)? {
                self.seen(&request.kept.kind, revision).await;
                return present::object(request, wanted, 200, gone(request, &Value::Null));
            }
        }
    }

    /// Deletes or marks an object; `None` if there is none.
    pub(crate) async fn delete_object(
        &self,
        request: &ResourceRequest,
        options: &DeleteOptions,
    ) -> Result<Option<Written>, Status> {
        self.end_object(request, options, |_, _| {}).await
    }

    /// The same at the wish of somebody else than the object's owner: where the object goes on for a while, it says so.
    pub(super) async fn evict_object(
        &self,
        request: &ResourceRequest,
        options: &DeleteOptions,
    ) -> Result<Option<Written>, Status> {
        self.end_object(request, options, request.strategy().evicted).await
    }

    async fn end_object(
        &self,
        request: &ResourceRequest,
        options: &DeleteOptions,
        told: fn(&mut Value, &Context),
    ) -> Result<Option<Written>, Status> {
        let write = WriteOptions { dry_run: options.dry_run, ..WriteOptions::plain() };
        let context = self.context(request, &write);
        self.change(request, options.dry_run, |stored, _| {
            Ok(match leme_registry::delete(&context, options, &stored.value, stored.revision)? {
                Deletion::Remove => Change::Remove,
                Deletion::Mark(mut value) => {
                    told(&mut value, &context);
                    Change::Put(value)
                }
                Deletion::AlreadyMarked => Change::Unchanged,
            })
        })
        .await
    }
}

fn not_unreadable(request: &ResourceRequest) -> Status {
    let kind = Gvk {
        group: request.kind.group.to_string(),
        version: request.kind.version.to_string(),
        // Upstream names the resource where the kind belongs.
        kind: request.kind.plural.to_string(),
    };
    let path = Path::new("ignoreStoreReadErrorWithClusterBreakingPotential");
    let detail =
        "is exclusively used to delete corrupt object(s), try again by removing this option";
    Status::invalid(&kind, &request.name, &[FieldError::invalid(&path, &Value::Bool(true), detail)])
}

fn gone(request: &ResourceRequest, last: &Value) -> Value {
    let mut details = json!({
        "name": request.name,
        "kind": request.kind.plural,
        "uid": leme_registry::json::text(last, &["metadata", "uid"]),
    });
    if !request.kind.group.is_empty() {
        details["group"] = (*request.kind.group).into();
    }
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}
