//! Who asks, as a User.
//!
//! Knows: that there need be no User of that name. Refuses to know: how anybody signs in.

use leme_access::Identity;
use leme_meta::{Status, schema};
use leme_registry::json;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::api::Api;
use crate::negotiate::Representation;
use crate::present;
use crate::request::ResourceRequest;

/// The name by which everybody may ask for the User that they are.
pub(super) const SELF: &str = "~";

impl Api {
    /// GET of the User who asks: the one that is kept, or one that nobody keeps; with the groups of the request.
    pub(super) fn user_of_request(
        &self,
        request: &ResourceRequest,
        who: &Identity,
        wanted: Representation,
    ) -> Result<Answer, Status> {
        let mut groups = who.groups.clone();
        groups.sort_unstable();
        groups.dedup();
        let stored = self.known(&request.kind, "", &who.user)?;
        let mut user = stored.unwrap_or_else(|| {
            json!({
                "kind": "User", "apiVersion": request.kind.api_version(), "metadata": { "name": who.user },
                "identities": Value::Null,
            })
        });
        json::set(&mut user, "groups", groups);
        if !who.uid.is_empty() {
            // Decisions are made for that one.
            json::set(json::child(&mut user, "metadata"), "uid", who.uid.as_str());
        }
        schema::apply_defaults(leme_kinds::schemas(), &request.kind.schema, &mut user);
        present::object(request, wanted, 200, user)
    }
}
