//! Create: a body becomes an object to store, or a Status.
//!
//! Knows: names and their generation, the fields that the server sets. Refuses to know: whether the name is taken.

use leme_kinds::Kind;
use leme_meta::gvk::split_api_version;
use leme_meta::quote;
use leme_meta::{Status, schema, whole_numbers};
use serde_json::Value;

use crate::admission::{Operation, shown_name};
use crate::owners::{self, Writer};
use crate::{Allocator, Context, Target, custom, json, meta};

/// Longest name that generation makes.
const GENERATED_NAME: usize = 63;

/// The object to store for a body: defaulted, prepared, validated, without resourceVersion, with a list of who owns its
/// fields.
pub fn create(
    ctx: &Context,
    writer: Writer,
    body: Value,
    alloc: &mut dyn Allocator,
) -> Result<Value, Status> {
    let mut new = decoded(ctx, body)?;
    if !json::text(&new, &["metadata", "resourceVersion"]).is_empty() {
        return Err(Status::new(
            500,
            "",
            "resourceVersion should not be set on objects to be created",
        ));
    }
    namespace_of_request(ctx, &mut new)?;
    let called = shown_name(ctx.name, &new).to_owned();
    name_it(ctx, &mut new)?;
    (ctx.strategy.default)(&mut new);
    custom::complete(ctx, &mut new);
    // What a client leaves out of a struct, Go's decoder has made: its manager owns that as well.
    complete(ctx, &mut new);
    owners::record(ctx, Target::Main, writer, None, &mut new);
    ctx.admission.mutate(&ctx.asked(Operation::Create, Target::Main, &called), &mut new, None)?;
    let metadata = json::child(&mut new, "metadata");
    for field in
        ["deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion"]
    {
        json::remove(metadata, field);
    }
    json::set(metadata, "uid", ctx.uid.clone());
    json::set(metadata, "creationTimestamp", ctx.timestamp());
    if ctx.strategy.generation.is_some() {
        json::set(metadata, "generation", 1);
    }
    (ctx.strategy.prepare_create)(&mut new, ctx);
    (ctx.strategy.switched_off)(&mut new, None);
    complete(ctx, &mut new);
    let mut errors = meta::validate(ctx, &new);
    errors.extend((ctx.strategy.validate)(&new));
    errors.extend((ctx.strategy.validate_create)(&new));
    errors.extend(custom::validate(ctx, &new, None));
    if errors.is_empty() {
        denied(ctx, &new, None)?;
        errors.extend((ctx.strategy.allocate)(&mut new, None, ctx, alloc));
    }
    if errors.is_empty() {
        let asked = ctx.asked(Operation::Create, Target::Main, name_of(ctx, &new));
        ctx.admission.validate(&asked, Some(&new), None)?;
        settle(ctx, &mut new);
        Ok(new)
    } else {
        Err(ctx.invalid(json::text(&new, &["metadata", "name"]), &errors))
    }
}

/// Fills in what Go's encoder writes of fields that were never set, by the field table.
pub(crate) fn complete(ctx: &Context, new: &mut Value) {
    schema::apply_defaults(leme_kinds::schemas(), &ctx.kind.schema, new);
}

/// Writes what is empty, and numbers of defined kinds, as they are read again. OpenShift's types tell empty from null.
pub(crate) fn settle(ctx: &Context, new: &mut Value) {
    match ctx.kind.custom {
        Some(_) => whole_numbers(new),
        None if ctx.kind.schema.starts_with("io.k8s.") => {
            schema::empty_to_null(leme_kinds::schemas(), &ctx.kind.schema, new);
        }
        None => {}
    }
}

/// The 403 for a valid object that may not be written all the same.
pub(crate) fn denied(ctx: &Context, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    match (ctx.strategy.deny)(new, old, ctx) {
        Some(why) => Err(Status::forbidden(&ctx.kind.gvr(), name_of(ctx, new), &why)),
        None => Ok(()),
    }
}

/// The body as an object of the context's kind: nulls dropped, `apiVersion` and `kind` filled, fields that are never
/// stored removed.
pub(crate) fn decoded(ctx: &Context, mut body: Value) -> Result<Value, Status> {
    if !body.is_object() {
        let message =
            format!("the object provided is unrecognized (must be of type {})", ctx.kind.kind);
        return Err(Status::bad_request(message));
    }
    check_type(ctx.kind, &body)?;
    custom::decode(ctx, &mut body)?;
    (ctx.strategy.decode)(&body).map_err(|why| {
        let (kind, version) = (&ctx.kind.kind, &ctx.kind.version);
        Status::bad_request(format!(
            "{kind} in version {version} cannot be handled as a {kind}: {why}",
            version = quote(&version)
        ))
    })?;
    json::set(&mut body, "apiVersion", ctx.kind.api_version());
    json::set(&mut body, "kind", &*ctx.kind.kind);
    let metadata = json::child(&mut body, "metadata");
    json::remove(metadata, "selfLink");
    for field in [
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "namespace",
        "generateName",
        "uid",
    ] {
        if json::unset(metadata, field) {
            json::remove(metadata, field);
        }
    }
    Ok(body)
}

/// The refusal of a body that says it is of another kind. What a body of a built-in kind leaves out the URL has said.
pub fn check_type(row: &Kind, body: &Value) -> Result<(), Status> {
    let expected = row.api_version();
    if row.custom.is_none() {
        return check_says(body, &expected, &row.kind);
    }
    match json::text(body, &["apiVersion"]) {
        said if said == expected => custom::check_type(row, body),
        said => Err(other_version(said, &expected)),
    }
}

/// The package of the types that upstream works with, by their group.
fn package(group: &str) -> &str {
    match group {
        "" | "events.k8s.io" => "core",
        // A Scale, which all groups have in common.
        "extensions" => "autoscaling",
        _ => group.split('.').next().unwrap_or(group),
    }
}

/// The 400 for a body that says it is of another version or kind than these.
pub(crate) fn check_says(body: &Value, expected: &str, wanted: &str) -> Result<(), Status> {
    let api_version = json::text(body, &["apiVersion"]);
    let kind = json::text(body, &["kind"]);
    let same_version = api_version.is_empty() || api_version == expected;
    if !kind.is_empty() && kind != wanted {
        let (group, version) = split_api_version(if same_version { expected } else { api_version });
        let why = if leme_kinds::by_kind(group, version, kind).is_some() {
            let into = package(split_api_version(expected).0);
            format!("converting ({version}.{kind}) to ({into}.{wanted}): unknown conversion")
        } else {
            format!(
                "no kind {kind} is registered for version {}",
                quote(&leme_meta::gvk::api_version(group, version)),
                kind = quote(&kind)
            )
        };
        let message = format!(
            "{kind} in version {version} cannot be handled as a {wanted}: {why}",
            version = quote(&version)
        );
        return Err(Status::bad_request(message));
    }
    if same_version {
        return Ok(());
    }
    Err(other_version(api_version, expected))
}

fn other_version(said: &str, expected: &str) -> Status {
    Status::bad_request(format!(
        "the API version in the data ({said}) does not match the expected API version ({expected})"
    ))
}

fn namespace_of_request(ctx: &Context, new: &mut Value) -> Result<(), Status> {
    let metadata = json::child(new, "metadata");
    if !ctx.kind.namespaced() {
        json::remove(metadata, "namespace");
        return Ok(());
    }
    let stated = json::text(metadata, &["namespace"]);
    if !stated.is_empty() && stated != ctx.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if !ctx.namespace.is_empty() {
        json::set(metadata, "namespace", ctx.namespace);
    }
    Ok(())
}

fn name_it(ctx: &Context, new: &mut Value) -> Result<(), Status> {
    let metadata = json::child(new, "metadata");
    let name = json::text(metadata, &["name"]);
    if !ctx.name.is_empty() && name.is_empty() {
        return Err(unnamed(ctx));
    }
    if !ctx.name.is_empty() && name != ctx.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            ctx.name
        )));
    }
    let base = json::text(metadata, &["generateName"]);
    if name.is_empty() && !base.is_empty() {
        let room = GENERATED_NAME.saturating_sub(ctx.suffix.len());
        let kept: String = base.chars().take(room).collect();
        json::set(metadata, "name", format!("{kept}{}", ctx.suffix));
    }
    Ok(())
}

/// The 400 for an object that does not say the name that its URL does.
pub(crate) fn unnamed(ctx: &Context) -> Status {
    Status::bad_request(format!(
        "the name of the object ({} based on URL) was undeterminable: name must be provided",
        ctx.name
    ))
}

/// The finalizers of an object.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    json::list(object, &["metadata", "finalizers"]).iter().filter_map(Value::as_str).collect()
}

/// Whether an object is being deleted.
pub(crate) fn deleting(object: &Value) -> bool {
    json::at(object, &["metadata", "deletionTimestamp"]).is_some()
}

/// The name of an object for messages, the context's if it has none.
pub(crate) fn name_of<'a>(ctx: &'a Context, object: &'a Value) -> &'a str {
    match json::text(object, &["metadata", "name"]) {
        "" => ctx.name,
        name => name,
    }
}

/// The object without the fields that the store adds.
pub(crate) fn without_revision(mut object: Value) -> Value {
    if let Some(metadata) = json::at_mut(&mut object, &["metadata"]) {
        json::remove(metadata, "resourceVersion");
    }
    object
}
