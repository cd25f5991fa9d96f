//! What OpenShift serves that is no stored object of its own: views of other objects, questions, and what is done to an
//! object by a path below it.
//!
//! Knows: which requests these are, and where each is answered. Refuses to know: what a tag, a rollout or a build is; the
//! strategies say what becomes of an object.

mod access;
mod apps;
mod below;
pub(crate) mod binary;
pub(crate) mod build;
mod build_log;
mod identity;
mod image;
pub(crate) mod import;
pub(crate) mod list;
mod logs;
pub(crate) mod oauth;
mod project;
mod quota;
mod rollout_log;
mod security;
mod tags;
mod template;
mod user;

use http::HeaderMap;
use leme_access::Identity;
use leme_kinds::{Kind, Storage, Subresource};
use leme_meta::Status;
use leme_registry::{Context, Target, Write, Writer};
use leme_strategy::image_tag::{STREAM_TAGS, TAGS};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::allocate::Reservation;
use crate::answer::Answer;
use crate::api::Api;
use crate::present;
use crate::request::{ResourceRequest, Verb};
use crate::table;
use crate::write::options::PatchKind;
use crate::write::{Change, Input, Stored, WriteOptions};

/// Paths below an object that are answered here.
const BELOW: [Subresource; 7] = [
    Subresource::Clone,
    Subresource::Details,
    Subresource::Instantiate,
    Subresource::Layers,
    Subresource::Rollback,
    Subresource::Secrets,
    Subresource::Webhooks,
];

/// Whether a request is answered here.
pub(crate) fn answers(request: &ResourceRequest) -> bool {
    match request.subresource {
        Some(below) => BELOW.contains(&below),
        None => {
            let group = &*request.kind.group;
            let here = request.kind.storage == Storage::Virtual && group.ends_with(".openshift.io");
            here || is_self(request) || is_project_deleted(request)
        }
    }
}

/// Whether somebody asks for the User that they are.
fn is_self(request: &ResourceRequest) -> bool {
    let users = (&*request.kind.group, &*request.kind.plural) == ("user.openshift.io", "users");
    users && request.name == user::SELF && request.verb == Verb::Get
}

/// Whether a project shall go, which is answered otherwise than where its namespace shall.
fn is_project_deleted(request: &ResourceRequest) -> bool {
    let kind = (&*request.kind.group, &*request.kind.plural);
    kind == ("project.openshift.io", "projects") && request.verb == Verb::Delete
}

impl Api {
    /// GET and LIST of what is a view.
    pub(crate) async fn openshift_read(
        &self,
        request: &ResourceRequest,
        who: &Identity,
        headers: &HeaderMap,
    ) -> Result<Answer, Status> {
        // What cannot be shown is not looked for.
        let wanted = present::wanted(request, headers)?;
        self.catch_up(None).await?;
        if is_self(request) {
            return self.user_of_request(request, who, wanted);
        }
        match (&*request.kind.plural, request.subresource, request.verb) {
            (_, Some(Subresource::Layers), _) => self.layers(request, wanted),
            (_, Some(Subresource::Secrets), _) => self.pull_secrets(request, wanted),
            (STREAM_TAGS | TAGS, _, Verb::Get) => self.get_tag(request, wanted),
            (STREAM_TAGS | TAGS, _, Verb::List) => self.list_tags(request, wanted),
            ("appliedclusterresourcequotas", ..) => self.applied_quotas(request, wanted),
            ("useridentitymappings", ..) => self.get_mapping(request, wanted),
            ("imagestreamimages", ..) => self.image_of_stream(request, wanted),
            ("projectrequests", _, Verb::List) => self.may_request_project(request, who, wanted),
            _ => Err(Status::no_such_path()),
        }
    }

    /// Every write of what is a view, and what is done by a path below an object.
    pub(crate) async fn openshift_write(
        &self,
        request: &ResourceRequest,
        input: Input,
    ) -> Result<Answer, Status> {
        let kind = &*request.kind.plural;
        if request.verb == Verb::Delete {
            return match kind {
                STREAM_TAGS | TAGS => self.delete_tag(request, input).await,
                "imagesignatures" => self.delete_signature(request, input).await,
                "useridentitymappings" => self.delete_mapping(request, input).await,
                "projects" => self.delete_project(request, input).await,
                _ => Err(Status::no_such_path()),
            };
        }
        let options = match request.verb {
            Verb::Patch => WriteOptions::of_patch(request, &input.headers, PatchKind::Change)?,
            _ => WriteOptions::of(request, &input.headers)?,
        };
        match (request.subresource, kind) {
            (Some(Subresource::Instantiate), "deploymentconfigs") => {
                return self.instantiate_rollout(request, input, &options).await;
            }
            (Some(Subresource::Instantiate), _) => {
                return self.instantiate_build(request, input, &options).await;
            }
            (Some(Subresource::Rollback), _) => {
                return self.roll_back(request, input, &options).await;
            }
            (Some(Subresource::Clone), _) => {
                return self.clone_build(request, input, &options).await;
            }
            (Some(Subresource::Details), _) => return self.build_details(request, input).await,
            (Some(Subresource::Webhooks), _) => return self.call_hook(request, input).await,
            _ => {}
        }
        match (kind, request.verb) {
            (STREAM_TAGS | TAGS, Verb::Create) => self.create_tag(request, input, &options).await,
            (STREAM_TAGS | TAGS, _) => self.update_tag(request, input, &options).await,
            ("imagesignatures", _) => self.create_signature(request, input, &options).await,
            ("imagestreamimports", _) => self.import_images(request, input, &options).await,
            ("imagestreammappings", _) => self.map_image(request, input, &options).await,
            ("useridentitymappings", _) => self.write_mapping(request, input, &options).await,
            ("processedtemplates", _) => self.process_template(request, input, &options),
            ("projectrequests", _) => self.request_project(request, input, &options).await,
            _ if *request.kind.group == *"security.openshift.io" => {
                self.asked_for_constraints(request, input, &options)
            }
            _ => self.asked_for_access(request, input, &options),
        }
    }

    /// An object as the cache has it.
    fn known(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Option<Value>, Status> {
        let object = self.cache.get(&kind.prefix(None), &kind.key(namespace, name));
        object.map(|object| table::decoded(&object)).transpose()
    }

    /// The same of one that must be there.
    fn must(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Value, Status> {
        let object = self.known(kind, namespace, name)?;
        object.ok_or_else(|| Status::not_found(&kind.gvr(), name))
    }
}

/// A built-in kind.
fn kind(group: &str, plural: &str) -> Result<&'static Arc<Kind>, Status> {
    leme_kinds::by_resource(group, "v1", plural).ok_or_else(Status::no_such_path)
}

/// The update of a stored object to another state of it.
fn put(
    context: &Context<'_>,
    (target, writer): (Target, Writer<'_>),
    new: Value,
    stored: &Stored,
    reservation: &mut Reservation<'_>,
) -> Result<Change, Status> {
    let old = (&stored.value, stored.revision);
    leme_registry::update(context, target, writer, new, old, reservation).map(Into::into)
}

/// What a write of a view makes of it.
fn made(write: Write, old: Value) -> Value {
    match write {
        Write::Put(new) => new,
        Write::Unchanged | Write::Remove => old,
    }
}

/// A Status that says that all went well, as a create or a delete answers it.
fn success(code: u16) -> Value {
    let mut status =
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" });
    if code == 201 {
        status["code"] = code.into();
    }
    status
}
