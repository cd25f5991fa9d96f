//! Server-side apply: who owns which fields of an object, and what a configuration makes of it.
//!
//! [`update`] says what a create, an update or another patch makes of `metadata.managedFields`; [`apply`] lays a
//! configuration over an object; [`settle`] keeps times still where nothing else changed. All three come after defaults
//! and before anything that the server itself sets: what it sets is nobody's.
//!
//! Knows: upstream's rules of ownership, the form of the list, its messages. Refuses to know: kinds; versions other
//! than that of the request (all sets are taken to be of one).

mod apply;
mod check;
mod compare;
mod conflict;
mod element;
mod entries;
mod go;
mod kept;
mod last_applied;
mod merge;
mod place;
mod schema;
mod set;
mod text;
mod walk;

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;

use crate::{object, time};

pub use apply::{apply, check};
pub use check::{check_list, check_manager, manager_of};
pub use compare::{Changes, compare};
pub use element::{Element, NotAnElement};
pub use entries::{Entries, Entry, MAX_UPDATE_MANAGERS, Manager, Operation, is_reset};
pub use kept::{read, show};
pub use merge::merge;
pub use place::{Defined, Place};
pub use schema::{Declared, Deduced, Scalar, Schema, Shape, Typed, Zero};
pub use set::{FieldSet, Node, path_text};
pub use walk::{fields, misfits, reconciled, without};

/// Where the list of an object is.
const LIST: &[&str] = &["metadata", "managedFields"];

/// Fields of any object that nobody owns.
const NOBODYS: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

fn forget_nobodys(set: &mut FieldSet) {
    for field in NOBODYS {
        set.forget(field, false);
    }
}

/// A write, as far as ownership goes.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a, S> {
    /// The schema of the kind.
    pub schema: S,
    /// Who writes: the `fieldManager` of the request, or what [`manager_of`] makes of its user agent.
    pub manager: &'a str,
    /// The version of the request, such as `apps/v1`.
    pub api_version: &'a str,
    /// The kind.
    pub kind: &'a str,
    /// The subresource that is written; empty for the object itself.
    pub subresource: &'a str,
    /// What becomes the time of an entry. A write of `scale` leaves none: so does upstream.
    pub now: Option<Timestamp>,
    /// The fields that a write of this subresource leaves as they are, with all below them: nobody comes to own them
    /// by it.
    pub reset: &'a [&'a [&'a str]],
    /// The only fields that a write of this subresource reaches, with all below them; `*` is any step. Empty where it
    /// reaches all.
    pub only: &'a [&'a [&'a str]],
}

impl<S> Request<'_, S> {
    fn manager(&self, name: &str, operation: Operation) -> Manager {
        Manager {
            name: if name.is_empty() { "unknown" } else { name }.to_owned(),
            operation,
            api_version: match operation {
                Operation::Apply => String::new(),
                Operation::Update => self.api_version.to_owned(),
            },
            subresource: self.subresource.to_owned(),
        }
    }

    /// What of a set such a write reaches.
    fn narrow(&self, set: &mut FieldSet) {
        for field in self.reset {
            set.forget(field, true);
        }
        if !self.only.is_empty() {
            set.narrow(self.only);
        }
    }

    fn time(&self) -> Option<String> {
        self.now.map(time::seconds)
    }
}

/// The list of an object.
fn list_of(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get("managedFields").filter(|list| !list.is_null())
}

/// Takes the list out of an object.
fn take_list(object: &mut Value) -> Option<Value> {
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    metadata.remove("managedFields").filter(|list| !list.is_null())
}

fn set_list(object: &mut Value, list: Option<Value>) {
    let Some(list) = list else { return };
    let metadata = object::map_mut(object).entry("metadata").or_insert(Value::Null);
    object::map_mut(metadata).insert("managedFields".to_owned(), list);
}

/// Makes the list of a new object what this create, update or patch makes of it: what the write changes is its
/// manager's and nobody else's. `live` is what is stored, none for a create.
pub fn update<'s, S: Schema<'s>>(request: &Request<'_, S>, live: Option<&Value>, new: &mut Value) {
    let given = take_list(new).map(kept::hidden);
    let stored = live.and_then(list_of).map(|list| match kept::is_shown(list) {
        true => Cow::Owned(kept::hidden(list.clone())),
        false => Cow::Borrowed(list),
    });
    let stored = stored.as_deref();
    let list = match updated(request, live, new, given, stored) {
        Ok(list) => list,
        // Two objects that cannot be compared leave all as it was.
        Err(_) => stored.cloned(),
    };
    set_list(new, list);
}

fn updated<'s, S: Schema<'s>>(
    request: &Request<'_, S>,
    live: Option<&Value>,
    new: &Value,
    given: Option<Value>,
    stored: Option<&Value>,
) -> Result<Option<Value>, String> {
    let same = given.as_ref() == stored;
    let is_foreign = !same && request.subresource.is_empty() && given.is_some();
    let mut changes = compare(request.schema, live, new)?;
    // The earlier object has its list, the later one not.
    changes.removed.forget(LIST, true);
    let changes = changes.narrowed(|set| request.narrow(set));
    if changes.is_empty() && !is_foreign {
        return Ok(if same { given } else { stored.cloned() });
    }
    let of_stored = || Entries::stored(stored.cloned().unwrap_or_default()).unwrap_or_default();
    let mut entries = match given {
        Some(list) if same => Entries::stored(list).unwrap_or_default(),
        Some(list) if is_foreign && is_reset(&list) => Entries::default(),
        Some(list) if is_foreign => match Entries::foreign(list) {
            Ok(entries) if !entries.0.is_empty() => entries,
            _ => of_stored(),
        },
        _ => of_stored(),
    };
    // Who owned what before anybody kept a list is said by the first apply.
    if entries.0.is_empty() && live.is_some() {
        return Ok(None);
    }
    record(request, &mut entries, changes)?;
    entries.cap();
    Ok(entries.write())
}

/// Takes what changed from all others and gives it to the manager of the request.
fn record<'s, S: Schema<'s>>(
    request: &Request<'_, S>,
    entries: &mut Entries,
    mut changes: Changes,
) -> Result<(), String> {
    let removed = std::mem::take(&mut changes.removed);
    let mut own = changes.written();
    forget_nobodys(&mut own);
    let writer = request.manager(request.manager, Operation::Update);
    apply::follow_schema(request.schema, entries)?;
    for entry in &mut entries.0 {
        // What the writer has of its own already stays: most writes are of the same fields again.
        let keeps = entry.manager == writer && !text::lacks(&entry.fields, &own);
        let touches = |set: &FieldSet| text::touches(&entry.fields, set);
        if touches(&removed) || (!keeps && touches(&own)) {
            let mut left = entry.set()?;
            left.subtract(&removed);
            if !keeps {
                left.subtract(&own);
            }
            let left = left.to_json();
            entry.fields = left;
        }
    }
    entries.drop_empty();
    if own.is_empty() {
        return Ok(());
    }
    match entries.0.iter_mut().find(|entry| entry.manager == writer) {
        Some(entry) => {
            if text::lacks(&entry.fields, &own) {
                let fields = entry.set()?.union(&own).to_json();
                entry.fields = fields;
            }
            entry.time = request.time();
        }
        None => entries.0.push(Entry {
            manager: writer,
            api_version: request.api_version.to_owned(),
            time: request.time(),
            fields: own.to_json(),
        }),
    }
    Ok(())
}

/// Keeps the times of a list where nothing but they would change: call it on what is about to be stored.
pub fn settle(live: &Value, new: &mut Value) {
    let Some(Value::Array(before)) = list_of(live) else { return };
    let Some(Value::Array(after)) = list_of(new) else { return };
    let time = |entry: &Value| entry.get("time").cloned();
    if before.len() != after.len()
        || before.iter().zip(after).all(|(one, other)| time(one) == time(other))
        || !before.iter().zip(after).all(|(one, other)| equal_but(one, other, &["time"], Value::eq))
        || !equal_but(live, new, LIST, Value::eq)
    {
        return;
    }
    let before = before.clone();
    set_list(new, Some(Value::Array(before)));
}

/// How values are compared.
type Equal = fn(&Value, &Value) -> bool;

/// Whether two objects are equal but for the field at a path, which either may have.
fn equal_but(one: &Value, other: &Value, path: &[&str], equal: Equal) -> bool {
    let (Some((first, rest)), Value::Object(one), Value::Object(other)) =
        (path.split_first(), one, other)
    else {
        return equal(one, other);
    };
    let but = |(name, _): &(&String, &Value)| name.as_str() != *first;
    let (mut ours, mut theirs) = (one.iter().filter(but), other.iter().filter(but));
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => break,
            (Some((name, one)), Some((other_name, other)))
                if name == other_name && equal(one, other) => {}
            _ => return false,
        }
    }
    let [one, other] = [one, other].map(|map| map.get(*first).unwrap_or(&Value::Null));
    rest.is_empty() || equal_but(one, other, rest, equal)
}

#[cfg(test)]
mod tests;
