//! Apply: a configuration is laid over an object, and what its manager no longer lists and nobody else owns goes.
//!
//! Knows: upstream's order of steps and its refusals. Refuses to know: defaults, validation, storage.

use serde_json::{Map, Value};

use super::compare::compare;
use super::conflict::{self, Conflict};
use super::element::same;
use super::entries::{Entries, Entry, Manager, Operation};
use super::merge::merge;
use super::schema::Schema;
use super::set::FieldSet;
use super::text::{NOTHING, is_stale, touches};
use super::walk::{fields, misfits, reconciled, with_declared, without};
use super::{LIST, Request, equal_but, forget_nobodys, last_applied, list_of, set_list, take_list};
use crate::gvk::split_api_version;
use crate::status::Status;

/// The manager of what was there before the first apply.
const BEFORE: &str = "before-first-apply";

/// The object that a configuration makes of what is stored, or of nothing, with its list. It has yet to go through
/// defaults and validation. `force` takes fields from others that would be conflicts.
pub fn apply<'s, S: Schema<'s>>(
    request: &Request<'_, S>,
    live: Option<&Value>,
    config: &Value,
    force: bool,
) -> Result<Value, Status> {
    check(request, config)?;
    let list = live.and_then(list_of).cloned().unwrap_or_default();
    let mut entries = Entries::stored(list)
        .map_err(|why| failed(format!("failed to decode managed fields: {why}")))?;
    if let (true, Some(live)) = (entries.0.is_empty(), live) {
        before_first_apply(request, &mut entries, live).map_err(|why| {
            failed(format!("failed to create manager for existing fields: {why}"))
        })?;
    }
    follow_schema(request.schema, &mut entries).map_err(failed)?;
    let applier = request.manager(request.manager, Operation::Apply);
    let mut own = fields(request.schema, config);
    request.narrow(&mut own);
    let mut listed = own.clone();
    forget_nobodys(&mut listed);
    let listed = listed.to_json();
    let merged = merged(request.schema, live, config, &entries, (&applier, &own, &listed))
        .map_err(failed)?;
    let mut changes = compare(request.schema, live, &merged)
        .map_err(|why| failed(format!("failed to compare objects: {why}")))?
        .narrowed(|set| request.narrow(set));
    // What is stored has its list, what was made of it not.
    changes.removed.forget(LIST, true);
    let removed = std::mem::take(&mut changes.removed);
    let written = changes.written();
    if !force {
        refuse_conflicts(request, &entries, &applier, &written, live)?;
    }
    for entry in entries.0.iter_mut().filter(|entry| entry.manager != applier) {
        if touches(&entry.fields, &written) || touches(&entry.fields, &removed) {
            let mut left = entry.set().map_err(failed)?;
            left.subtract(&written);
            left.subtract(&removed);
            let left = left.to_json();
            entry.fields = left;
        }
    }
    entries.drop_empty();
    let changed = !live.is_some_and(|live| equal_but(live, &merged, LIST, same));
    record(request, &mut entries, applier, listed, changed);
    let mut object = merged;
    last_applied::follow(request, config, &mut object);
    set_list(&mut object, entries.write());
    Ok(object)
}

/// 500, as upstream answers what is no error of its API.
fn failed(message: String) -> Status {
    Status::new(500, "", message)
}

/// What is wrong with a configuration by itself: [`apply`] asks it first.
///
/// # Errors
/// It is of another kind or version, has a list, or does not fit the schema.
pub fn check<'s, S: Schema<'s>>(request: &Request<'_, S>, config: &Value) -> Result<(), Status> {
    let text = |field: &str| config.get(field).and_then(Value::as_str).unwrap_or("");
    let kind = |api_version: &str, kind: &str| {
        let (group, version) = split_api_version(api_version);
        match version.contains('/') {
            true => "/, Kind=".to_owned(),
            false => format!("{group}/{version}, Kind={kind}"),
        }
    };
    if (text("apiVersion"), text("kind")) != (request.api_version, request.kind) {
        let found = kind(text("apiVersion"), text("kind"));
        return Err(Status::bad_request(format!("invalid object type: {found}")));
    }
    if list_of(config).is_some_and(Value::is_array) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let errors = misfits(request.schema, config);
    let errors = match errors.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    let meta = |field: &str| {
        config.get("metadata").and_then(|metadata| metadata.get(field)?.as_str()).unwrap_or("")
    };
    Err(failed(format!(
        "failed to create typed patch object ({}/{}; {}): {errors}",
        meta("namespace"),
        meta("name"),
        kind(request.api_version, request.kind)
    )))
}

/// Makes one entry of all that an object has that nobody has kept a list for.
fn before_first_apply<'s, S: Schema<'s>>(
    request: &Request<'_, S>,
    entries: &mut Entries,
    live: &Value,
) -> Result<(), String> {
    let changes = compare(request.schema, None, live)?;
    let mut set = changes.narrowed(|set| request.narrow(set)).written();
    forget_nobodys(&mut set);
    if !set.is_empty() {
        entries.put(Entry {
            manager: request.manager(BEFORE, Operation::Update),
            api_version: request.api_version.to_owned(),
            time: request.time(),
            fields: set.to_json(),
        });
    }
    Ok(())
}

/// Brings sets that were written by another schema to this one.
pub(super) fn follow_schema<'s, S: Schema<'s>>(
    schema: S,
    entries: &mut Entries,
) -> Result<(), String> {
    for entry in &mut entries.0 {
        if is_stale(schema, &entry.fields) {
            let set = entry.set()?;
            let fields = reconciled(schema, &set).unwrap_or(set).to_json();
            entry.fields = fields;
        }
    }
    Ok(())
}

/// The object with the configuration over it, without what the manager has applied before, does not list any more, and
/// nobody else owns.
fn merged<'s, S: Schema<'s>>(
    schema: S,
    live: Option<&Value>,
    config: &Value,
    entries: &Entries,
    (applier, own, listed): (&Manager, &FieldSet, &str),
) -> Result<Value, String> {
    let nothing = Value::Object(Map::new());
    let mut merged = merge(schema, live.unwrap_or(&nothing), config)
        .map_err(|why| format!("failed to merge config: {why}"))?;
    take_list(&mut merged);
    let Some(last) = entries.get(applier) else { return Ok(merged) };
    // Most configurations list what they listed before.
    if last.fields == listed {
        return Ok(merged);
    }
    let last = last.set()?;
    if last.difference(own).is_empty() {
        return Ok(merged);
    }
    let mut owned = own.clone();
    for entry in entries.0.iter().filter(|entry| entry.manager != *applier) {
        owned = owned.union(&entry.set()?);
    }
    let last = with_declared(Some(schema), &last);
    let owned = with_declared(Some(schema), &owned);
    let had = with_declared(Some(schema), &fields(schema, &merged));
    // What others own comes back,
    let pruned = without(schema, &merged, &last);
    let left = with_declared(Some(schema), &fields(schema, &pruned));
    let pruned = without(schema, &merged, &had.difference(&left).difference(&owned));
    // and so does what went with it and was never the manager's.
    let left = with_declared(Some(schema), &fields(schema, &pruned));
    let gone = had.difference(&left).intersection(&last);
    Ok(without(schema, &merged, &gone))
}

/// The 409 if others own what is written.
fn refuse_conflicts<'s, S: Schema<'s>>(
    request: &Request<'_, S>,
    entries: &Entries,
    applier: &Manager,
    written: &FieldSet,
    live: Option<&Value>,
) -> Result<(), Status> {
    let mut conflicts = Vec::new();
    for entry in entries.0.iter().filter(|entry| entry.manager != *applier) {
        if touches(&entry.fields, written) {
            for path in entry.set().map_err(failed)?.intersection(written).paths() {
                conflicts.push(Conflict { manager: entry.manager.clone(), path });
            }
        }
    }
    if conflicts.is_empty() {
        return Ok(());
    }
    let left = live.and_then(|live| Some((last_applied::left_behind(request, live)?, live)));
    if let Some((config, live)) = &left
        && let Some(allowed) = last_applied::still_its_own(request.schema, config, live)
    {
        conflicts.retain(|conflict| !allowed.has(&conflict.path));
    }
    if conflicts.is_empty() { Ok(()) } else { Err(conflict::status(&conflicts)) }
}

/// Gives the manager what it lists.
fn record<S>(
    request: &Request<'_, S>,
    entries: &mut Entries,
    applier: Manager,
    listed: String,
    changed: bool,
) {
    if listed == NOTHING {
        return entries.remove(&applier);
    }
    let before = entries.get(&applier).and_then(|entry| entry.time.clone());
    entries.put(Entry {
        manager: applier,
        api_version: request.api_version.to_owned(),
        time: if changed { request.time() } else { before },
        fields: listed,
    });
}
