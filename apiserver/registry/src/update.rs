//! Update: a body and what is stored become a write, or a Status.
//!
//! Knows: preconditions, what each target may change, generation, the end of a deletion. Refuses to know: patches (they
//! come in applied) and the retry loop around it.

use leme_meta::quote;
use leme_meta::{FieldError, Gvk, Path, Status, managed};
use serde_json::Value;

use crate::admission::Operation;
use crate::create::{
    check_says, complete, decoded, deleting, denied, finalizers, name_of, settle, unnamed,
    without_revision,
};
use crate::meta;
use crate::owners::{self, Writer};
use crate::scale::{self, Scale};
use crate::{Allocator, Approval, Context, Part, custom, json};

/// Which part of an object an update is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The object itself.
    Main,
    /// Its `status` subresource.
    Status,
    /// Its `scale` subresource: the body is a Scale.
    Scale,
    /// Its `finalize` subresource.
    Finalize,
    /// Its `approval` subresource.
    Approval,
    /// Its `ephemeralcontainers` subresource.
    EphemeralContainers,
    /// Its `resize` subresource.
    Resize,
}

impl Target {
    /// Its name as a subresource, empty for the object itself.
    pub fn subresource(self) -> &'static str {
        match self {
            Target::Main => "",
            Target::Status => "status",
            Target::Scale => "scale",
            Target::Finalize => "finalize",
            Target::Approval => "approval",
            Target::EphemeralContainers => "ephemeralcontainers",
            Target::Resize => "resize",
        }
    }
}

/// What becomes of the stored object.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Nothing: the request changes nothing.
    Unchanged,
    /// It is replaced by this, given without resourceVersion.
    Put(Value),
    /// It goes: the last finalizer is gone while it is being deleted.
    Remove,
}

/// The write that an update asks for, with a list of who owns its fields.
pub fn update(
    ctx: &Context,
    target: Target,
    writer: Writer,
    body: Value,
    stored: (&Value, u64),
    alloc: &mut dyn Allocator,
) -> Result<Write, Status> {
    write(ctx, target, writer, body, stored, alloc, check_uid)
}

/// The same of a patch, of which the body is what it made. Its uid is a field like others, no precondition.
pub fn patched(
    ctx: &Context,
    target: Target,
    writer: Writer,
    body: Value,
    stored: (&Value, u64),
    alloc: &mut dyn Allocator,
) -> Result<Write, Status> {
    write(ctx, target, writer, body, stored, alloc, |_, _, _| Ok(()))
}

fn write(
    ctx: &Context,
    target: Target,
    writer: Writer,
    body: Value,
    (stored, stored_revision): (&Value, u64),
    alloc: &mut dyn Allocator,
    check_uid: fn(&Context, &Value, &Value) -> Result<(), Status>,
) -> Result<Write, Status> {
    let mut new = match (target, ctx.strategy.scale) {
        (Target::Scale, Some(scale)) => scaled(ctx, &scale, writer, body, stored)?,
        (Target::Scale, None) => return Err(Status::no_such_path()),
        _ => decoded(ctx, body)?,
    };
    check_name(ctx, &mut new)?;
    (ctx.strategy.default)(&mut new);
    custom::complete(ctx, &mut new);
    complete(ctx, &mut new);
    check_uid(ctx, &new, stored)?;
    check_preconditions(ctx, target, &new, stored, stored_revision)?;
    keep_system_fields(&mut new, stored);
    owners::record(ctx, target, writer, Some(stored), &mut new);
    let (asked, admission) = (ctx.asked(Operation::Update, target, ctx.name), ctx.admission);
    admission.mutate(&asked, &mut new, Some(stored))?;
    let declared = declared_deletion(&mut new, stored);
    let mut errors = match target {
        Target::Main | Target::Scale => main(ctx, &mut new, stored, alloc)?,
        Target::Status => status(ctx, &mut new, stored, of_status(ctx)),
        Target::Approval => match ctx.strategy.approval {
            Some(approval) => status(ctx, &mut new, stored, approval),
            None => return Err(Status::no_such_path()),
        },
        Target::EphemeralContainers | Target::Resize => {
            let part = ctx.strategy.part(target).ok_or_else(Status::no_such_path)?;
            self::part(ctx, &mut new, stored, part)
        }
        Target::Finalize => {
            let finalize = ctx.strategy.finalize.ok_or_else(Status::no_such_path)?;
            new = finalized(finalize(&new, stored), &new);
            Vec::new()
        }
    };
    errors.extend(declared);
    if !errors.is_empty() {
        return Err(ctx.invalid(name_of(ctx, stored), &errors));
    }
    admission.validate(&asked, Some(&new), Some(stored))?;
    settle(ctx, &mut new);
    managed::settle(stored, &mut new);
    if deleting(&new) && finished(ctx, &new, stored) {
        return Ok(Write::Remove);
    }
    Ok(if new == *stored { Write::Unchanged } else { Write::Put(without_revision(new)) })
}

/// What a finalize update has made of an object, with who owns what.
fn finalized(mut finalized: Value, new: &Value) -> Value {
    meta::keep(&mut finalized, new, "managedFields");
    finalized
}

/// How the status is prepared and validated.
fn of_status(ctx: &Context) -> Approval {
    Approval { prepare: ctx.strategy.prepare_status, validate: ctx.strategy.validate_status }
}

fn main(
    ctx: &Context,
    new: &mut Value,
    old: &Value,
    alloc: &mut dyn Allocator,
) -> Result<Vec<FieldError>, Status> {
    (ctx.strategy.prepare_update)(new, old, ctx);
    (ctx.strategy.switched_off)(new, Some(old));
    count(ctx, new, old);
    let mut errors = meta::validate(ctx, new);
    errors.extend(meta::validate_update(new, old));
    errors.extend((ctx.strategy.validate)(new));
    errors.extend((ctx.strategy.validate_update)(new, old));
    errors.extend(custom::validate(ctx, new, Some(old)));
    if errors.is_empty() {
        denied(ctx, new, Some(old))?;
        errors.extend((ctx.strategy.allocate)(new, Some(old), ctx, alloc));
    }
    Ok(errors)
}

/// Counts the change, if it is one that counts.
fn count(ctx: &Context, new: &mut Value, old: &Value) {
    if ctx.strategy.generation.is_some_and(|changed| changed(new, old)) {
        let generation = json::int(old, &["metadata", "generation"]).unwrap_or(0);
        json::set(json::child(new, "metadata"), "generation", generation + 1);
    }
}

/// A change of a part of the spec: of metadata, nothing but who owns what.
fn part(ctx: &Context, new: &mut Value, old: &Value, part: Part) -> Vec<FieldError> {
    meta::keep_metadata(new, old);
    meta::keep(new, old, "deletionTimestamp");
    (part.prepare)(new, old);
    count(ctx, new, old);
    if let Some(error) = (part.refuse)(new, old) {
        return vec![error];
    }
    let mut errors = meta::validate(ctx, new);
    errors.extend(meta::validate_update(new, old));
    errors.extend((ctx.strategy.validate)(new));
    errors.extend((part.validate)(new, old));
    errors
}

/// A change of the status by whoever may make it: of what is not its, nothing.
fn status(ctx: &Context, new: &mut Value, old: &Value, part: Approval) -> Vec<FieldError> {
    let mut fields: Vec<String> = Vec::new();
    for object in [&*new, old] {
        fields.extend(object.as_object().into_iter().flat_map(|map| map.keys().cloned()));
    }
    for field in fields.iter().filter(|field| !matches!(field.as_str(), "metadata" | "status")) {
        json::keep(new, old, field);
    }
    (part.prepare)(new, old, ctx);
    let mut errors = meta::validate(ctx, new);
    errors.extend(meta::validate_update(new, old));
    errors.extend((part.validate)(new, old));
    errors.extend(custom::validate_status(ctx, new, old));
    errors
}

/// The object with the replicas of a Scale, which says what it is and of which object.
fn scaled(
    ctx: &Context,
    scale: &Scale,
    writer: Writer,
    mut document: Value,
    stored: &Value,
) -> Result<Value, Status> {
    check_says(&document, scale.api_version, "Scale")?;
    check_name(ctx, &mut document)?;
    let mut new = scale::apply(ctx.kind, scale, name_of(ctx, stored), &document, stored)?;
    if writer == Writer::Applied {
        meta::keep(&mut new, &document, "managedFields");
    }
    Ok(new)
}

fn check_name(ctx: &Context, new: &mut Value) -> Result<(), Status> {
    let metadata = json::child(new, "metadata");
    let name = json::text(metadata, &["name"]);
    if name.is_empty() {
        return Err(unnamed(ctx));
    }
    if name != ctx.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            ctx.name
        )));
    }
    if !ctx.kind.namespaced() {
        json::remove(metadata, "namespace");
        return Ok(());
    }
    let namespace = json::text(metadata, &["namespace"]);
    if !namespace.is_empty() && namespace != ctx.namespace {
        return Err(Status::bad_request(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the request ({})",
            ctx.namespace
        )));
    }
    json::set(metadata, "namespace", ctx.namespace);
    Ok(())
}

fn check_uid(ctx: &Context, new: &Value, stored: &Value) -> Result<(), Status> {
    let name = name_of(ctx, stored);
    let stated = json::text(new, &["metadata", "uid"]);
    let uid = json::text(stored, &["metadata", "uid"]);
    if stated.is_empty() || stated == uid {
        return Ok(());
    }
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {stated}, UID in object meta: {uid}",
        ctx.kind.key(ctx.namespace, name)
    );
    Err(Status::conflict(&ctx.kind.gvr(), name, &why))
}

fn check_preconditions(
    ctx: &Context,
    target: Target,
    new: &Value,
    stored: &Value,
    stored_revision: u64,
) -> Result<(), Status> {
    let name = name_of(ctx, stored);
    let revision = json::text(new, &["metadata", "resourceVersion"]);
    if matches!(revision, "" | "0") {
        if ctx.strategy.unconditional_update || target == Target::Scale {
            return Ok(());
        }
        return Err(revision_required(ctx, name));
    }
    match revision.parse::<u64>() {
        Ok(revision) if revision == stored_revision => Ok(()),
        Ok(_) => Err(Status::stale(&ctx.kind.gvr(), name)),
        Err(_) => {
            let path = Path::new("metadata").child("resourceVersion");
            let why = format!(
                "strconv.ParseUint: parsing {revision}: invalid syntax",
                revision = quote(&revision)
            );
            Err(ctx.invalid(name, &[FieldError::invalid(&path, revision, &why)]))
        }
    }
}

/// The 422 of an update that must name the version it starts from. Upstream names the resource where the kind belongs.
fn revision_required(ctx: &Context, name: &str) -> Status {
    let resource = ctx.kind.gvr();
    let kind = Gvk { group: resource.group, version: resource.version, kind: resource.resource };
    let path = Path::new("metadata").child("resourceVersion");
    Status::invalid(
        &kind,
        name,
        &[FieldError::invalid(&path, 0, "must be specified for an update")],
    )
}

/// Fields that no update decides on: some it cannot change, others it may leave out. The version has been looked at.
fn keep_system_fields(new: &mut Value, old: &Value) {
    let Some(old) = old.get("metadata") else { return };
    let metadata = json::child(new, "metadata");
    for field in ["creationTimestamp", "generation", "resourceVersion"] {
        json::keep(metadata, old, field);
    }
    if old.get("deletionTimestamp").is_some() {
        json::keep(metadata, old, "deletionTimestamp");
    }
    for field in ["uid", "deletionGracePeriodSeconds"] {
        if json::unset(metadata, field) {
            json::keep(metadata, old, field);
        }
    }
}

/// Takes out, and answers as an error, a deletion that a client only declares.
fn declared_deletion(new: &mut Value, old: &Value) -> Option<FieldError> {
    let said = json::text(new, &["metadata", "deletionTimestamp"]).to_owned();
    if said.is_empty() || deleting(old) {
        return None;
    }
    json::remove(json::child(new, "metadata"), "deletionTimestamp");
    let path = Path::new("metadata").child("deletionTimestamp");
    let why = "field is immutable";
    Some(match said.parse::<jiff::Timestamp>() {
        Ok(time) => FieldError::invalid(&path, &leme_meta::time::seconds(time), why),
        Err(_) => FieldError::invalid(&path, &said, why),
    })
}

/// Whether a deletion that waited is complete with this update.
fn finished(ctx: &Context, new: &Value, old: &Value) -> bool {
    let graceful = json::int(old, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) > 0;
    finalizers(new).is_empty() && !graceful && !(ctx.strategy.held)(new)
}

/// The write that a Binding asks for; 409 if the object is bound already.
pub fn bind(ctx: &Context, mut binding: Value, stored: &Value) -> Result<Write, Status> {
    let Some(carry_out) = ctx.strategy.bind else { return Err(Status::no_such_path()) };
    json::drop_nulls(&mut binding);
    let kind = json::text(&binding, &["kind"]);
    if !matches!(kind, "" | "Binding") {
        return Err(Status::bad_request(format!(
            "{kind} in version \"v1\" cannot be handled as a Binding: converting (v1.{kind}) to (core.Binding): unknown conversion"
        )));
    }
    let name = json::text(&binding, &["metadata", "name"]);
    if !name.is_empty() && name != ctx.name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    let namespace = json::text(&binding, &["metadata", "namespace"]);
    if !namespace.is_empty() && namespace != ctx.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let old = without_revision(stored.clone());
    let new = carry_out(ctx, &binding, &old)?;
    Ok(Write::Put(new))
}
