//! The life of a CustomResourceDefinition: whether its names are free, when it is established, and how it goes.
//!
//! Knows: the conditions and their words. Refuses to know: when to look, and how objects are deleted.

use leme_meta::quote;
use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::Kind;
use crate::custom::condition;

/// What keeps a definition until its objects are gone.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// A condition that is about to be set.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Its type.
    pub type_: &'static str,
    /// Whether it is true.
    pub status: bool,
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
}

impl Condition {
    /// A condition of these words.
    pub fn new(type_: &'static str, status: bool, reason: &str, message: &str) -> Condition {
        Condition { type_, status, reason: reason.to_owned(), message: message.to_owned() }
    }
}

/// The status that a definition should have, given all definitions and the kinds that the program brings along: names
/// are accepted where nobody else in the group has them, and then the definition is established. None if it has that
/// status. `more` is what else is to be said of it, `now` the time as it is written.
pub fn accepted<'a>(
    definition: &Value,
    others: impl IntoIterator<Item = &'a Value>,
    builtin: impl IntoIterator<Item = &'a Kind>,
    more: Option<Condition>,
    now: &str,
) -> Option<Value> {
    let group = text(&definition["spec"], "group");
    let taken = Taken::of(definition, group, others, builtin);
    let (names, conflict) =
        taken.settle(&definition["spec"]["names"], &definition["status"]["acceptedNames"]);
    let fine = conflict.is_none();
    let named = conflict.unwrap_or_else(|| {
        Condition::new("NamesAccepted", true, "NoConflicts", "no conflicts found")
    });
    let established = if condition(definition, "Established") {
        None
    } else if fine {
        let why = "the initial names have been accepted";
        Some(Condition::new("Established", true, "InitialNamesAccepted", why))
    } else {
        let why = "not all names are accepted";
        Some(Condition::new("Established", false, "NotAccepted", why))
    };
    let mut status = object(&definition["status"]);
    status.insert("acceptedNames".to_owned(), names);
    set(&mut status, &named, now);
    for condition in established.into_iter().chain(more) {
        set(&mut status, &condition, now);
    }
    changed(definition, status)
}

/// The status of a definition whose objects are being deleted, if it does not say so yet.
pub fn deleting(definition: &Value, now: &str) -> Option<Value> {
    terminating(
        definition,
        true,
        "InstanceDeletionInProgress",
        "CustomResource deletion is in progress",
        now,
    )
}

/// The status of a definition whose objects could not be deleted.
pub fn deletion_failed(definition: &Value, why: &str, now: &str) -> Option<Value> {
    let message = format!("could not issue all deletes: {why}");
    terminating(definition, true, "InstanceDeletionFailed", &message, now)
}

/// The status of a definition of whose objects some cannot be read.
pub fn not_listed(definition: &Value, why: &str, now: &str) -> Option<Value> {
    let message = format!("could not list instances: {why}");
    terminating(definition, true, "InstanceDeletionFailed", &message, now)
}

/// The status of a definition whose objects take their time to go.
pub fn unconfirmed(definition: &Value, now: &str) -> Option<Value> {
    let message = "could not confirm zero CustomResources remaining: context deadline exceeded";
    terminating(definition, true, "InstanceDeletionCheck", message, now)
}

/// The status of a definition whose objects are gone, or that never had any.
pub fn gone(definition: &Value, now: &str) -> Option<Value> {
    if condition(definition, "Established") {
        terminating(definition, false, "InstanceDeletionCompleted", "removed all instances", now)
    } else {
        terminating(definition, false, "NeverEstablished", "resource was never established", now)
    }
}

/// Marks a definition that a client has deleted: its objects go first.
pub fn mark(definition: &mut Value, now: &str) {
    let why =
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    let status = terminating(definition, true, "InstanceDeletionPending", why, now);
    if let (Some(status), Some(map)) = (status, definition.as_object_mut()) {
        map.insert("status".to_owned(), status);
    }
}

/// Whether a definition has all the names that it asks for.
pub fn is_accepted(definition: &Value) -> bool {
    condition(definition, "NamesAccepted")
}

/// Whether a definition is going and still waits for its objects.
pub fn is_cleaning(definition: &Value) -> bool {
    let metadata = &definition["metadata"];
    let finalizers = metadata["finalizers"].as_array();
    !metadata["deletionTimestamp"].is_null()
        && finalizers.is_some_and(|list| list.iter().any(|name| name.as_str() == Some(CLEANUP)))
}

fn terminating(
    definition: &Value,
    status: bool,
    reason: &str,
    message: &str,
    now: &str,
) -> Option<Value> {
    let mut map = object(&definition["status"]);
    set(&mut map, &Condition::new("Terminating", status, reason, message), now);
    changed(definition, map)
}

/// A status, if it is another than the definition's.
fn changed(definition: &Value, status: Map<String, Value>) -> Option<Value> {
    let status = Value::Object(status);
    (status != definition["status"]).then_some(status)
}

fn set(status: &mut Map<String, Value>, condition: &Condition, now: &str) {
    let list = status.entry("conditions").or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    let Some(list) = list.as_array_mut() else { return };
    let word = if condition.status { "True" } else { "False" };
    let mut fresh = json!({
        "type": condition.type_, "status": word, "lastTransitionTime": now,
        "reason": condition.reason, "message": condition.message,
    });
    match list.iter_mut().find(|old| text(old, "type") == condition.type_) {
        None => list.push(fresh),
        Some(old) => {
            if text(old, "status") == word && old["lastTransitionTime"].is_string() {
                fresh["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = fresh;
        }
    }
}

/// The names that others of a group have.
struct Taken<'a> {
    resources: HashSet<&'a str>,
    kinds: HashSet<&'a str>,
    lists: HashSet<String>,
}

impl<'a> Taken<'a> {
    fn of(
        definition: &Value,
        group: &str,
        others: impl IntoIterator<Item = &'a Value>,
        builtin: impl IntoIterator<Item = &'a Kind>,
    ) -> Taken<'a> {
        let mut taken =
            Taken { resources: HashSet::new(), kinds: HashSet::new(), lists: HashSet::new() };
        let own = text(&definition["metadata"], "name");
        for other in others {
            if text(&other["spec"], "group") != group || text(&other["metadata"], "name") == own {
                continue;
            }
            let names = &other["status"]["acceptedNames"];
            taken.resources.extend([text(names, "plural"), text(names, "singular")]);
            taken.resources.extend(texts(names, "shortNames"));
            taken.kinds.extend([text(names, "kind"), text(names, "listKind")]);
        }
        for kind in builtin.into_iter().filter(|kind| kind.group == group) {
            taken.resources.extend([&*kind.plural, &*kind.singular]);
            taken.resources.extend(kind.short_names.iter().map(|name| &**name));
            taken.kinds.insert(&kind.kind);
            taken.lists.insert(kind.list_kind());
        }
        taken
    }

    /// The names a definition has from now on, and why they are not all that it asks for.
    fn settle(&self, wanted: &Value, accepted: &Value) -> (Value, Option<Condition>) {
        let mut names = object(accepted);
        let mut conflict = None;
        let mut refuse = |reason: &str, message: &str| {
            conflict = Some(Condition::new("NamesAccepted", false, reason, message));
        };
        for (field, reason) in [
            ("plural", "PluralConflict"),
            ("singular", "SingularConflict"),
            ("shortNames", "ShortNamesConflict"),
            ("kind", "KindConflict"),
            ("listKind", "ListKindConflict"),
        ] {
            let stated: Vec<&str> = match field {
                "shortNames" => texts(wanted, field).collect(),
                _ => vec![text(wanted, field)],
            };
            let had: HashSet<&str> = match field {
                "shortNames" => texts(accepted, field).collect(),
                _ => [text(accepted, field)].into(),
            };
            let in_use =
                |name: &&&str| !name.is_empty() && !had.contains(**name) && self.has(field, name);
            let wrong: Vec<String> = stated
                .iter()
                .filter(in_use)
                .map(|name| format!("{name} is already in use", name = quote(&name)))
                .collect();
            match wrong.as_slice() {
                [] => match wanted.get(field) {
                    Some(content) => drop(names.insert(field.to_owned(), content.clone())),
                    None => drop(names.remove(field)),
                },
                [only] => refuse(reason, only),
                many => refuse(reason, &format!("[{}]", many.join(", "))),
            }
        }
        match wanted.get("categories") {
            Some(content) => names.insert("categories".to_owned(), content.clone()),
            None => names.remove("categories"),
        };
        (Value::Object(names), conflict)
    }

    fn has(&self, field: &str, name: &str) -> bool {
        match field {
            "kind" | "listKind" => self.kinds.contains(name) || self.lists.contains(name),
            _ => self.resources.contains(name),
        }
    }
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

fn texts<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    value.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}
