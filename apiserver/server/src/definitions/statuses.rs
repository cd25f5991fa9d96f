//! The writes of the statuses of definitions.
//!
//! Knows: that a definition which has changed is looked at again, and not written over. Refuses to know: what statuses say.

use leme_meta::Status;
use leme_registry::json;
use serde_json::Value;

use super::own_kind;
use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::write::Change;

/// A definition that is to have another status, decided on as of a revision.
pub(super) struct StatusWrite {
    pub name: String,
    pub revision: u64,
    pub status: Value,
}

impl StatusWrite {
    /// Gives the definition the status decided on, unless it has changed since; then it is looked at again anyway.
    pub(super) async fn write(&self, api: &Api) -> Result<(), Status> {
        change(api, &self.name, |definition, revision| {
            if revision != self.revision {
                return Change::Unchanged;
            }
            json::set(definition, "status", self.status.clone());
            Change::Put(definition.take())
        })
        .await
    }
}

/// Changes a definition as `decide` says, which gets it and its revision.
pub(super) async fn change(
    api: &Api,
    name: &str,
    mut decide: impl FnMut(&mut Value, u64) -> Change + Send,
) -> Result<(), Status> {
    let Some(kind) = own_kind() else { return Ok(()) };
    let request = ResourceRequest::of(Verb::Update, kind, "", name);
    let changed = api.change(&request, false, |stored, _| {
        Ok(decide(&mut stored.value.clone(), stored.revision))
    });
    changed.await.map(drop)
}
