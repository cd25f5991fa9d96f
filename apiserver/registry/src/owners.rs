//! Who owns the fields of what is written: `metadata.managedFields` on the write path.
//!
//! Knows: who writes, and which fields a target does not reach. Refuses to know: the rules of ownership, kinds.

use leme_kinds::{Kind, custom, schemas};
use leme_meta::managed::{self, Place, Request, Typed};
use leme_meta::{Status, schema};
use serde_json::Value;

use crate::{Context, Target, json, scale};

/// Who a write is by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer<'a> {
    /// A manager, by its name: what it changes becomes its own.
    Manager(&'a str),
    /// What came out of an apply: the list says already who owns what.
    Applied,
}

/// The fields that a write of a target leaves as they are.
fn out_of_reach(ctx: &Context, target: Target) -> &'static [&'static [&'static str]] {
    let has_status = || ctx.kind.subresources.iter().any(|sub| sub.name() == "status");
    match target {
        Target::Status | Target::Approval => ctx.strategy.kept_by_status,
        Target::Main | Target::Finalize if has_status() => &[&["status"]],
        Target::Main
        | Target::Finalize
        | Target::Scale
        | Target::EphemeralContainers
        | Target::Resize => &[],
    }
}

/// What ownership needs to know of a kind.
fn place(kind: &Kind) -> Place<'_> {
    match &kind.custom {
        Some(defined) => {
            Place::defined(&defined.structural, Typed::new(schemas(), custom::METADATA))
        }
        None => Place::Typed(Typed::new(schemas(), &kind.schema)),
    }
}

fn with_request<T>(
    ctx: &Context,
    target: Target,
    manager: &str,
    act: impl FnOnce(&Request<Place>) -> T,
) -> T {
    act(&Request {
        schema: place(ctx.kind),
        manager,
        api_version: &ctx.kind.api_version(),
        kind: &ctx.kind.kind,
        subresource: target.subresource(),
        // Upstream makes such an entry out of one of a Scale, which has no time.
        now: (target != Target::Scale).then_some(ctx.now),
        reset: out_of_reach(ctx, target),
        only: ctx.strategy.part(target).map_or(&[], |part| part.reach),
    })
}

/// Says in the list of an object that is about to be prepared who owns what then.
pub(crate) fn record(
    ctx: &Context,
    target: Target,
    writer: Writer,
    old: Option<&Value>,
    new: &mut Value,
) {
    if let Writer::Manager(manager) = writer {
        with_request(ctx, target, manager, |request| managed::update(request, old, new));
    }
}

/// What is wrong with a configuration by itself, said in the words of the kind as which it is applied: for one that is
/// kept as another.
///
/// # Errors
/// As [`apply`] has them.
pub fn check_configuration(kind: &Kind, config: &Value) -> Result<(), Status> {
    let request = Request {
        schema: place(kind),
        manager: "",
        api_version: &kind.api_version(),
        kind: &kind.kind,
        subresource: "",
        now: None,
        reset: &[],
        only: &[],
    };
    managed::check(&request, config)
}

/// What a configuration, applied by a manager, makes of an object, with its list: to be created if there was none, or
/// written as patched. `force` takes fields from others.
///
/// # Errors
/// It is none of this kind, others own what it says, or what comes out is none of the kind.
pub fn apply(
    ctx: &Context,
    target: Target,
    config: &Value,
    live: Option<&Value>,
    (manager, force): (&str, bool),
) -> Result<Value, Status> {
    if target == Target::Scale {
        return scale::applied(ctx, config, live, (manager, force));
    }
    let merged =
        with_request(ctx, target, manager, |request| managed::apply(request, live, config, force))?;
    let uid = json::text(config, &["metadata", "uid"]);
    if live.is_none() && !uid.is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        );
        return Err(Status::conflict(&ctx.kind.gvr(), ctx.name, &why));
    }
    converted(ctx.kind, merged)
}

/// What was merged by what ownership knows of the schema, held against all of it.
fn converted(kind: &Kind, mut merged: Value) -> Result<Value, Status> {
    let found = schema::check(schemas(), &kind.schema, &merged);
    if let Some(wrong) = found.type_errors.first() {
        let why = &wrong.converted;
        let message = format!("failed to convert new typed object to object: {why}");
        return Err(Status::new(500, "", message));
    }
    if found.loose {
        schema::prune(schemas(), &kind.schema, &mut merged);
    }
    Ok(merged)
}
