//! UserIdentityMappings: which User an Identity is of, written into both.
//!
//! Knows: that each names the other, and in which order the two are written. Refuses to know: who signs in by an identity.

use leme_meta::{FieldError, Gvr, Path, Status};
use leme_registry::{Target, json};
use serde_json::{Value, json};

use super::{kind, put, success};
use crate::answer::Answer;
use crate::api::Api;
use crate::negotiate::Representation;
use crate::present;
use crate::request::{ResourceRequest, Verb};
use crate::write::{Change, Input, WriteOptions, options, patch, written};

const GROUP: &str = "user.openshift.io";

/// What is known of an identity.
#[derive(Default)]
struct Related {
    identity: Option<Value>,
    user: Option<Value>,
    /// Whether the two name each other.
    mapped: bool,
}

fn named(request: &ResourceRequest) -> Gvr {
    Gvr { resource: "useridentitymapping".to_owned(), ..request.gvr() }
}

/// An identity and a user that are mapped, as a mapping.
fn mapping(request: &ResourceRequest, identity: &Value, user: &Value) -> Value {
    let of = |object: &Value, field: &str| json::text(object, &["metadata", field]).to_owned();
    let reference = |object| json!({ "name": of(object, "name"), "uid": of(object, "uid") });
    json!({
        "kind": "UserIdentityMapping", "apiVersion": request.kind.api_version(),
        "metadata": {
            "name": of(identity, "name"), "uid": of(identity, "uid"),
            "resourceVersion": of(identity, "resourceVersion"),
        },
        "identity": reference(identity), "user": reference(user),
    })
}

fn identities(user: &Value) -> Vec<String> {
    let list = json::list(user, &["identities"]).iter().filter_map(Value::as_str);
    list.map(str::to_owned).collect()
}

impl Api {
    fn related(&self, name: &str) -> Result<Related, Status> {
        let Some(identity) = self.known(kind(GROUP, "identities")?, "", name)? else {
            return Ok(Related::default());
        };
        let of = json::text(&identity, &["user", "name"]);
        let user = match of {
            "" => None,
            of => self.known(kind(GROUP, "users")?, "", of)?,
        };
        let mapped = user.as_ref().is_some_and(|user| {
            json::text(&identity, &["user", "uid"]) == json::text(user, &["metadata", "uid"])
                && identities(user).iter().any(|one| one == name)
        });
        Ok(Related { identity: Some(identity), user, mapped })
    }

    /// The mapping of an identity; why there is none otherwise.
    fn mapping_of(&self, request: &ResourceRequest, name: &str) -> Result<Value, Status> {
        match self.related(name)? {
            Related { identity: Some(identity), user: Some(user), mapped: true } => {
                Ok(mapping(request, &identity, &user))
            }
            _ => Err(Status::not_found(&named(request), name)),
        }
    }

    /// GET of a mapping.
    pub(super) fn get_mapping(
        &self,
        request: &ResourceRequest,
        wanted: Representation,
    ) -> Result<Answer, Status> {
        let shown = self.mapping_of(request, &request.name)?;
        present::object(request, wanted, 200, shown)
    }

    /// POST, PUT or PATCH of a mapping.
    pub(super) async fn write_mapping(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        self.catch_up(None).await?;
        let row = &request.kind;
        let (body, warnings) = if request.verb == Verb::Patch {
            let old = self.mapping_of(request, &request.name)?;
            patch::OfView::read(&input.headers, input.body, options)?.apply(request, &old)?
        } else {
            let decoded = options::object(row, &input.headers, input.body, options)?;
            (decoded.value, decoded.warnings)
        };
        let said = json::text(&body, &["metadata", "resourceVersion"]).to_owned();
        let wish = self.wished_mapping(request, body, options)?;
        let name = json::text(&wish, &["metadata", "name"]).to_owned();
        let related = self.related(&name)?;
        let creating = !related.mapped;
        if request.verb == Verb::Create && related.mapped {
            return Err(Status::already_exists(&named(request), &name));
        }
        if creating && !said.is_empty() && request.verb != Verb::Create {
            return Err(Status::not_found(&named(request), &name));
        }
        if let (false, Some(identity)) = (creating, &related.identity) {
            let now = json::text(identity, &["metadata", "resourceVersion"]);
            if !said.is_empty() && said != now {
                let why = format!("the resource was updated to {now}");
                return Err(Status::conflict(&named(request), &name, &why));
            }
        }
        let shown = self.map_identity(request, &wish, related, options).await?;
        let code = if creating { 201 } else { 200 };
        written(request, input.wanted, code, shown.into(), &warnings)
    }

    /// A mapping that has been checked; one that has no name is named after its identity.
    fn wished_mapping(
        &self,
        request: &ResourceRequest,
        mut body: Value,
        options: &WriteOptions,
    ) -> Result<Value, Status> {
        let identity = json::text(&body, &["identity", "name"]).to_owned();
        let metadata = json::child(&mut body, "metadata");
        json::default(metadata, "name", identity);
        for field in ["resourceVersion", "uid"] {
            json::remove(metadata, field);
        }
        self.new_view(request, body, options)
    }

    /// Writes a mapping into the user first, then into the identity; who was mapped before is told last.
    async fn map_identity(
        &self,
        request: &ResourceRequest,
        wish: &Value,
        related: Related,
        options: &WriteOptions,
    ) -> Result<Value, Status> {
        let name = json::text(wish, &["metadata", "name"]);
        let user = json::text(wish, &["user", "name"]);
        let refused = |field: &str, value: &str, why: &str| {
            let error = FieldError::invalid(&Path::new(field).child("name"), value, why);
            Status::invalid(&request.kind.gvk(), name, &[error])
        };
        let Some(identity) = &related.identity else {
            let own = json::text(wish, &["identity", "name"]);
            return Err(refused("identity", own, "referenced identity does not exist"));
        };
        let before = related.user.as_ref().map(|user| json::text(user, &["metadata", "name"]));
        if let (true, Some(known)) = (related.mapped && before == Some(user), &related.user) {
            return Ok(mapping(request, identity, known));
        }
        let next = self.change_user(user, options, |all| all.push(name.to_owned())).await?;
        let next = next.ok_or_else(|| refused("user", user, "referenced user does not exist"))?;
        let uid = json::text(&next, &["metadata", "uid"]).to_owned();
        let to = json!({ "name": user, "uid": uid });
        let identity = self.change_identity(name, &to, options).await?;
        if let Some(before) = before.filter(|before| *before != user) {
            // The identity is another's by now: what is left at this user is told and does no harm.
            let told = self.change_user(before, options, |all| all.retain(|one| one != name)).await;
            if let Err(error) = told {
                tracing::warn!(identity = name, user = before, %error, "a user still names an identity of another");
            }
        }
        Ok(mapping(request, &identity, &next))
    }

    /// DELETE of a mapping: neither names the other any more.
    pub(super) async fn delete_mapping(
        &self,
        request: &ResourceRequest,
        input: Input,
    ) -> Result<Answer, Status> {
        let asked = crate::write::delete::delete_options(request, &input.headers, input.body)?;
        let options = WriteOptions { dry_run: asked.dry_run, ..WriteOptions::plain() };
        self.catch_up(None).await?;
        let known = self.mapping_of(request, &request.name)?;
        let user = json::text(&known, &["user", "name"]);
        self.change_user(user, &options, |all| all.retain(|one| *one != request.name)).await?;
        self.change_identity(&request.name, &json!({}), &options).await?;
        present::object(request, input.wanted, 200, success(200))
    }

    /// Gives a user other identities; nothing if there is no such user.
    async fn change_user(
        &self,
        name: &str,
        options: &WriteOptions,
        with: impl Fn(&mut Vec<String>) + Send + Sync,
    ) -> Result<Option<Value>, Status> {
        let request = ResourceRequest::of(Verb::Update, kind(GROUP, "users")?, "", name);
        let context = self.context(&request, options);
        let done = self
            .change(&request, options.dry_run, |stored, reservation| {
                let mut all = identities(&stored.value);
                with(&mut all);
                all.sort_unstable();
                all.dedup();
                if all == identities(&stored.value) {
                    return Ok(Change::Unchanged);
                }
                let mut new = stored.value.clone();
                json::set(&mut new, "identities", all);
                put(&context, (Target::Main, options.writer()), new, stored, reservation)
            })
            .await?;
        Ok(done.map(|done| done.object().value))
    }

    async fn change_identity(
        &self,
        name: &str,
        user: &Value,
        options: &WriteOptions,
    ) -> Result<Value, Status> {
        let request = ResourceRequest::of(Verb::Update, kind(GROUP, "identities")?, "", name);
        let context = self.context(&request, options);
        self.change(&request, options.dry_run, |stored, reservation| {
            let mut new = stored.value.clone();
            json::set(&mut new, "user", user.clone());
            put(&context, (Target::Main, options.writer()), new, stored, reservation)
        })
        .await?
        .map(|done| done.object().value)
        .ok_or_else(|| Status::not_found(&request.gvr(), name))
    }
}
