//! The writes: create, update, patch, apply, delete. One optimistic loop carries each of them out.
//!
//! Knows: how a pure decision of the registry becomes a compare-and-put, and what happens when somebody was faster.
//! Refuses to know: what is decided. An answer is a success only if the store said so.

mod apply;
mod change;
mod collection;
pub(crate) mod create;
pub(crate) mod delete;
mod evict;
pub(crate) mod options;
pub(crate) mod patch;
pub(crate) mod review;
mod update;

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use leme_access::Identity;
use leme_kinds::Kind;
use leme_meta::{Status, managed};
use leme_registry::{Context, Operation, Target, Write, json};
use leme_store::Entry;
use leme_store::cache::insert_resource_version;
use serde_json::Value;

use crate::admit;
use crate::answer::{self, Answer, read_failed};
use crate::api::Api;
use crate::negotiate::Representation;
use crate::openshift::oauth::bearer;
use crate::present::{self, Object};
use crate::request::{Kept, ResourceRequest};

pub(crate) use change::without_owners;
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
            user: request.user(),
            now: jiff::Timestamp::now(),
            uid: String::new(),
            suffix: String::new(),
            dry_run: options.dry_run,
            route_domain: &self.route_domain,
            registry_host: self.registry.as_ref().map(|one| one.host.as_str()),
            service_network: self.pools.network(),
            admission: &self.admission,
        }
    }

    /// What the client is told about what an update made of an object: by its kind if the object itself is spoken of, and
    /// by admission.
    pub(crate) fn warnings_about(
        &self,
        request: &ResourceRequest,
        target: Target,
        write: &Write,
        stored: &Value,
    ) -> Vec<String> {
        let new = if let Write::Put(new) = write { new } else { stored };
        if matches!(write, Write::Remove) {
            return Vec::new();
        }
        let mut told = match target {
            Target::Main => {
                leme_strategy::warnings(request.strategy(), &request.kind, new, Some(stored))
            }
            _ => Vec::new(),
        };
        let asked = admit::asked(request, Operation::Update, false);
        told.extend(self.admission.warnings(&asked, new, Some(stored)));
        told
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

    /// Waits until the cache shows a write of what admission or an authenticator looks at, so that it counts for whatever
    /// comes after it.
    pub(crate) async fn seen(&self, kind: &Kind, revision: u64) {
        let of_people = bearer::is_seen(&kind.group, &kind.plural);
        if !of_people && !leme_admission::is_seen(&kind.group, &kind.plural) {
            return;
        }
        if let Err(error) = self.cache.at_least(revision).await {
            tracing::warn!(%error, resource = %kind.plural, "a write takes long to count");
        }
        self.policies.at_least(kind, revision).await;
    }
}

/// What is said when a write never came to be.
fn too_late() -> Status {
    let why =
        "Timeout: request did not complete within requested timeout - context deadline exceeded";
    Status::timeout(why, 0)
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
    let alphabet = leme_meta::names::SUFFIX_ALPHABET;
    let random = uuid::Uuid::new_v4();
    // Bytes 6 and 8 of a version 4 uuid hold fixed bits.
    let bytes = &random.as_bytes()[9..14];
    bytes.iter().map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])).collect()
}
