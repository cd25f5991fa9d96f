//! Who owns the fields of what is written: `metadata.managedFields` on the write path.
//!
//! Knows: who writes, and which fields a target does not reach. Refuses to know: the rules of ownership, kinds.

use leme_kinds::schemas;
use leme_meta::Status;
use leme_meta::managed::{self, Request, Typed};
use serde_json::Value;

use crate::create::create_by;
use crate::update::write_by;
use crate::{Allocator, Context, Target, Write, json};

/// Who a write is by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer<'a> {
    /// Nobody who owns anything: the list stays as it is stored.
    Nobody,
    /// A manager, by its name: what it changes becomes its own.
    Manager(&'a str),
    /// What came out of an apply: the list says already who owns what.
    Applied,
}

/// What an apply comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// There was nothing: this is to be created.
    Created(Value),
    /// What there was is written so.
    Written(Write),
}

/// The fields that a write of a target leaves as they are.
fn out_of_reach(ctx: &Context, target: Target) -> &'static [&'static [&'static str]] {
    let has_status = || ctx.kind.subresources.iter().any(|sub| sub.name() == "status");
    match target {
        Target::Status | Target::Approval => ctx.strategy.kept_by_status,
        Target::Main | Target::Finalize if has_status() => &[&["status"]],
        Target::Main | Target::Finalize | Target::Scale => &[],
    }
}

fn with_request<T>(
    ctx: &Context,
    target: Target,
    manager: &str,
    act: impl FnOnce(&Request<Typed>) -> T,
) -> T {
    act(&Request {
        schema: Typed::new(schemas(), &ctx.kind.schema),
        manager,
        api_version: &ctx.kind.api_version(),
        kind: &ctx.kind.kind,
        subresource: target.subresource(),
        // Upstream makes such an entry out of one of a Scale, which has no time.
        now: (target != Target::Scale).then_some(ctx.now),
        reset: out_of_reach(ctx, target),
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
    match writer {
        Writer::Applied => {}
        Writer::Manager(manager) => with_request(ctx, target, manager, |request| {
            managed::update(request, old, new);
        }),
        Writer::Nobody => {
            let metadata = json::child(new, "metadata");
            json::remove(metadata, "managedFields");
            if let Some(old) = old.and_then(|old| old.get("metadata")) {
                json::keep(metadata, old, "managedFields");
            }
        }
    }
}

/// What a configuration, applied by a manager, comes to. `force` takes fields from others.
pub fn applied(
    ctx: &Context,
    target: Target,
    config: &Value,
    stored: Option<(&Value, u64)>,
    (manager, force): (&str, bool),
    alloc: &mut dyn Allocator,
) -> Result<Applied, Status> {
    let live = stored.map(|(stored, _)| stored);
    let merged =
        with_request(ctx, target, manager, |request| managed::apply(request, live, config, force))?;
    let Some((stored, revision)) = stored else {
        let uid = json::text(config, &["metadata", "uid"]);
        if !uid.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Err(Status::conflict(&ctx.kind.gvr(), ctx.name, &why));
        }
        return create_by(ctx, Writer::Applied, merged, alloc).map(Applied::Created);
    };
    let writer = Writer::Applied;
    write_by(ctx, target, writer, merged, (stored, revision), alloc, |_, _, _| Ok(()))
        .map(Applied::Written)
}
