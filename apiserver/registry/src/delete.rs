//! Delete: options and what is stored become a removal, a mark, or nothing.
//!
//! Knows: preconditions, grace, finalizers, propagation. Refuses to know: who removes dependents.

use jiff::{SignedDuration, Timestamp};
use leme_meta::{Gvr, Status};
use serde_json::Value;

use crate::create::{deleting, finalizers, name_of, without_revision};
use crate::{Context, DeleteOptions, Operation, Propagation, Target, json};

/// Finalizer that leaves dependents alone.
const ORPHAN: &str = "orphan";
/// Finalizer that waits for dependents to go.
const FOREGROUND: &str = "foregroundDeletion";

/// What becomes of the stored object.
#[derive(Clone, Debug, PartialEq)]
pub enum Deletion {
    /// It goes at once.
    Remove,
    /// It is replaced by this, given without resourceVersion, and goes later.
    Mark(Value),
    /// Nothing changes: it is on its way out.
    AlreadyMarked,
}

/// What a delete does.
pub fn delete(
    ctx: &Context,
    options: &DeleteOptions,
    stored: &Value,
    stored_revision: u64,
) -> Result<Deletion, Status> {
    check_preconditions(ctx, options, stored, stored_revision)?;
    let about = ctx.asked(Operation::Delete, Target::Main, name_of(ctx, stored));
    ctx.admission.validate(&about, None, Some(stored))?;
    let old = without_revision(stored.clone());
    let asked = options.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
    let Some((mut new, grace)) = graceful(ctx, asked, &old) else {
        return Ok(Deletion::AlreadyMarked);
    };
    let wanted = garbage_finalizers(ctx, options, &old);
    let metadata = json::child(&mut new, "metadata");
    if wanted.is_empty() {
        json::remove(metadata, "finalizers");
    } else {
        json::set(metadata, "finalizers", wanted.clone());
    }
    let held = !wanted.is_empty() || (ctx.strategy.held)(&old);
    match grace {
        Some(0) | None if !held => Ok(Deletion::Remove),
        Some(_) => Ok(changed(new, &old)),
        None => {
            mark(ctx, &mut new);
            (ctx.strategy.mark_deleting)(&mut new);
            Ok(changed(new, &old))
        }
    }
}

fn changed(new: Value, old: &Value) -> Deletion {
    if new == *old { Deletion::AlreadyMarked } else { Deletion::Mark(new) }
}

/// The object with its graceful deletion begun or shortened, and the grace it gets (`None`: kind without grace).
/// Nothing if a graceful deletion is under way that this request does not shorten.
fn graceful(ctx: &Context, asked: Option<i64>, old: &Value) -> Option<(Value, Option<i64>)> {
    let mut new = old.clone();
    let Some(grace) = (ctx.strategy.grace)(old, asked) else { return Some((new, None)) };
    if !deleting(old) {
        let grace = grace.max(0);
        let metadata = json::child(&mut new, "metadata");
        json::set(metadata, "deletionTimestamp", leme_meta::time::seconds(later(ctx.now, grace)));
        json::set(metadata, "deletionGracePeriodSeconds", grace);
        bump_generation(&mut new);
        return Some((new, Some(grace)));
    }
    let Some(pending) = json::int(old, &["metadata", "deletionGracePeriodSeconds"]) else {
        return Some((new, None));
    };
    let period = asked.filter(|period| *period < pending)?;
    let metadata = json::child(&mut new, "metadata");
    let due: Option<Timestamp> = json::text(metadata, &["deletionTimestamp"]).parse().ok();
    let due = later(due.unwrap_or(ctx.now), period - pending);
    json::set(metadata, "deletionTimestamp", leme_meta::time::seconds(due));
    json::set(metadata, "deletionGracePeriodSeconds", period);
    Some((new, Some(period)))
}

fn later(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// Marks an object that has no graceful deletion and something that keeps it.
fn mark(ctx: &Context, new: &mut Value) {
    let begun: Option<Timestamp> = json::text(new, &["metadata", "deletionTimestamp"]).parse().ok();
    if begun.is_none() {
        bump_generation(new);
    }
    let metadata = json::child(new, "metadata");
    if begun.is_none_or(|begun| begun > ctx.now) {
        json::set(metadata, "deletionTimestamp", ctx.timestamp());
    }
    json::set(metadata, "deletionGracePeriodSeconds", 0);
}

fn bump_generation(new: &mut Value) {
    if let Some(generation) =
        json::int(new, &["metadata", "generation"]).filter(|generation| *generation > 0)
    {
        json::set(json::child(new, "metadata"), "generation", generation + 1);
    }
}

/// The finalizers after the wish for dependents has been written into them.
fn garbage_finalizers(ctx: &Context, options: &DeleteOptions, old: &Value) -> Vec<String> {
    let present = finalizers(old);
    let wanted = match options.propagation {
        Propagation::Orphan => Some(ORPHAN),
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Background => None,
        Propagation::Unset if present.contains(&ORPHAN) => Some(ORPHAN),
        Propagation::Unset if present.contains(&FOREGROUND) => Some(FOREGROUND),
        Propagation::Unset => ctx.strategy.orphan_by_default.then_some(ORPHAN),
    };
    if wanted.is_some_and(|wanted| present.contains(&wanted))
        && !(present.contains(&ORPHAN) && present.contains(&FOREGROUND))
    {
        return present.into_iter().map(str::to_owned).collect();
    }
    let others = present.into_iter().filter(|finalizer| ![ORPHAN, FOREGROUND].contains(finalizer));
    others.chain(wanted).map(str::to_owned).collect()
}

fn check_preconditions(
    ctx: &Context,
    options: &DeleteOptions,
    stored: &Value,
    stored_revision: u64,
) -> Result<(), Status> {
    // Upstream names the kind where the resource belongs.
    let resource = Gvr { resource: ctx.kind.kind.to_string(), ..ctx.kind.gvr() };
    let name = name_of(ctx, stored);
    let uid = json::text(stored, &["metadata", "uid"]);
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(&resource, name, &why));
    }
    let revision = stored_revision.to_string();
    if let Some(wanted) = options.resource_version.as_deref().filter(|wanted| *wanted != revision) {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({revision}). The object might have been modified"
        );
        return Err(Status::conflict(&resource, name, &why));
    }
    Ok(())
}
