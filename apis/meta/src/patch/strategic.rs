//! Strategic merge patch: merge patch that knows the type, so that lists merge by key, with directives for the rest:
//! `$patch`, `$retainKeys`, `$setElementOrder/FIELD`, `$deleteFromPrimitiveList/FIELD`.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::list::{self, Identity};
use crate::decode;
use crate::schema::{Field, FieldType, Schemas, TypeDef};
use crate::status::Status;

pub(super) const MARKER: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";

/// Applies a strategic merge patch to an object of a type.
pub fn strategic(
    schemas: &Schemas,
    type_name: &str,
    current: &Value,
    patch: &Value,
) -> Result<Value, Status> {
    if patch.is_null() {
        return Ok(current.clone());
    }
    if !patch.is_object() {
        return Err(Status::bad_request(super::no_map(patch)));
    }
    let context = Context { schemas, place: schemas.get(type_name).map(Place::Type) };
    merge_object(current.clone(), patch.clone(), context).map_err(Status::from)
}

/// Why a patch cannot be applied.
#[derive(Debug)]
pub(super) enum Error {
    /// The patch is malformed.
    Bad(&'static str),
    /// `$retainKeys` leaves out what the patch sets.
    NotRetained,
    /// A list holds lists.
    ListOfLists,
    /// The patch does not fit the object.
    Other(String),
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        match error {
            Error::Bad(message) => Status::bad_request(message),
            Error::NotRetained | Error::ListOfLists => super::rejected(),
            // Upstream blames itself: 500 without a reason. It is the patch that is wrong all the same.
            Error::Other(message) => Status::bad_request(message),
        }
    }
}

/// Where in the types an object stands.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    schemas: &'a Schemas,
    place: Option<Place<'a>>,
}

#[derive(Clone, Copy)]
enum Place<'a> {
    /// An object of a type.
    Type(&'a TypeDef),
    /// A map to a type.
    MapTo(&'a FieldType),
}

impl<'a> Context<'a> {
    fn field(self, name: &str) -> Option<&'a Field> {
        match self.place {
            Some(Place::Type(def)) => def.field(name),
            _ => None,
        }
    }

    /// The context of the objects in a field, be they its value or the elements of it.
    fn below(self, name: &str) -> Context<'a> {
        let type_ = match self.place {
            Some(Place::MapTo(element)) => Some(element),
            _ => self.field(name).map(|field| &field.type_),
        };
        let type_ = match type_ {
            Some(FieldType::List(element)) => Some(element.as_ref()),
            other => other,
        };
        let place = match type_ {
            Some(FieldType::Ref(name)) => self.schemas.of(name).map(Place::Type),
            Some(FieldType::Map(element)) => Some(Place::MapTo(element)),
            _ => None,
        };
        Context { place, ..self }
    }

    pub(super) fn name(self) -> &'a str {
        match self.place {
            Some(Place::Type(def)) => def.name.rsplit('.').next().unwrap_or(""),
            _ => "",
        }
    }
}

/// Merges the object `patch` into the object `original`.
pub(super) fn merge_object(
    original: Value,
    patch: Value,
    context: Context<'_>,
) -> Result<Value, Error> {
    let (original, patch) = match (original, patch) {
        (Value::Object(original), Value::Object(patch)) => (original, patch),
        (_, Value::Object(patch)) => (Map::new(), patch),
        (_, other) => return Ok(other),
    };
    merge_map(original, patch, context).map(Value::Object)
}

type Object = Map<String, Value>;

fn merge_map(
    mut original: Object,
    mut patch: Object,
    context: Context<'_>,
) -> Result<Object, Error> {
    match patch.remove(MARKER) {
        None => {}
        Some(Value::String(directive)) if directive == "replace" => {
            return Ok(without_directives(patch));
        }
        Some(Value::String(directive)) if directive == "delete" => return Ok(Map::new()),
        Some(other) => {
            let directive = shown(&other);
            patch.insert(MARKER.to_owned(), other);
            let patch = shown(&Value::Object(patch));
            return Err(Error::Other(format!("unknown patch type: {directive} in map: {patch}")));
        }
    }
    retain_keys(&mut original, &mut patch)?;
    set_orders(&mut original, &mut patch, context)?;
    for (key, value) in patch {
        match key.strip_prefix(DELETE_FROM_LIST) {
            Some(field) => {
                if let (Some(Value::Array(items)), Value::Array(gone)) =
                    (original.get_mut(field), &value)
                {
                    *items = list::remove(std::mem::take(items), gone);
                }
            }
            None => merge_field(&mut original, key, value, context)?,
        }
    }
    Ok(original)
}

fn merge_field(
    original: &mut Object,
    key: String,
    value: Value,
    context: Context<'_>,
) -> Result<(), Error> {
    if value.is_null() {
        original.remove(&key);
        return Ok(());
    }
    let field = context.field(&key);
    let replaced = field.is_some_and(|field| field.patch.replace);
    let merged = match (original.get_mut(&key).map(Value::take), value) {
        (Some(Value::Object(current)), Value::Object(value)) if !replaced => {
            Some(Value::Object(merge_map(current, value, context.below(&key))?))
        }
        (Some(Value::Array(current)), Value::Array(value)) => {
            Some(Value::Array(merge_list(current, value, field, context.below(&key))?))
        }
        (_, value) => drop_directives(value),
    };
    match merged {
        Some(merged) => original.insert(key, merged),
        None => original.remove(&key),
    };
    Ok(())
}

fn merge_list(
    current: Vec<Value>,
    patch: Vec<Value>,
    field: Option<&Field>,
    element: Context<'_>,
) -> Result<Vec<Value>, Error> {
    match field {
        Some(field) if field.patch.merge => {
            list::merge(current, patch, element, field.merge_key.as_deref())
        }
        _ => Ok(patch),
    }
}

/// `$retainKeys`: what it does not name goes.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), Error> {
    let Some(kept) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(kept) = kept else {
        return Err(Error::Bad("invalid patch format of retainKeys"));
    };
    let kept: HashSet<&str> = kept.iter().filter_map(Value::as_str).collect();
    let stray = patch.iter().any(|(key, value)| {
        let directive = key.starts_with(DELETE_FROM_LIST) || key.starts_with(SET_ORDER);
        !value.is_null() && !directive && !kept.contains(key.as_str())
    });
    if stray {
        return Err(Error::NotRetained);
    }
    original.retain(|key, _| kept.contains(key.as_str()));
    Ok(())
}

/// `$setElementOrder/FIELD`: merges the list of the field, if the patch has it, and puts it in order.
fn set_orders(
    original: &mut Object,
    patch: &mut Object,
    context: Context<'_>,
) -> Result<(), Error> {
    let directives: Vec<String> =
        patch.keys().filter(|key| key.starts_with(SET_ORDER)).cloned().collect();
    for directive in directives {
        let Some(Value::Array(order)) = patch.remove(&directive) else {
            return Err(Error::Bad("invalid patch format of setElementOrder list"));
        };
        let name = directive.trim_start_matches(SET_ORDER);
        let field = context.field(name);
        let key = field.and_then(|field| field.merge_key.as_deref());
        let identity = key.map_or(Identity::Value, Identity::Key);
        let current = as_list(original.get(name), name)?;
        let patched = as_list(patch.remove(name).as_ref(), name)?;
        check_order(patched.as_deref().unwrap_or(&[]), &order, identity)?;
        let before = current.clone().unwrap_or_default();
        let merged = match (current, patched) {
            (None, None) => continue,
            (Some(current), None) => current,
            (None, Some(patched)) => patched.into_iter().filter_map(drop_directives).collect(),
            (Some(current), Some(patched)) => {
                merge_list(current, patched, field, context.below(name))?
            }
        };
        let merged = list::in_order(merged, &order, &before, identity)?;
        original.insert(name.to_owned(), Value::Array(merged));
    }
    Ok(())
}

fn as_list(value: Option<&Value>, name: &str) -> Result<Option<Vec<Value>>, Error> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items.clone())),
        Some(other) => Err(Error::Other(format!(
            "{name}: expected a []interface {{}}, but received a {}",
            decode::go_name(other)
        ))),
    }
}

/// The elements of the patch must come in the order that the directive gives.
fn check_order(patch: &[Value], order: &[Value], identity: Identity<'_>) -> Result<(), Error> {
    let mut rest = identity.all(order)?.into_iter();
    for element in patch.iter().filter(|element| element.get(MARKER).is_none()) {
        let wanted = identity.of(element)?;
        if !rest.any(|found| found == wanted) {
            return Err(Error::Other(format!(
                "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                shown(&Value::Array(patch.to_vec())),
                shown(&Value::Array(order.to_vec()))
            )));
        }
    }
    Ok(())
}

/// The value of a patch that meets nothing to merge with: without directives and nulls; nothing if it says delete.
pub(super) fn drop_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(mut map) => match map.remove(MARKER) {
            Some(Value::String(directive)) if directive == "delete" => None,
            _ => Some(Value::Object(without_directives(map))),
        },
        Value::Array(items) => {
            Some(Value::Array(items.into_iter().filter_map(drop_directives).collect()))
        }
        other => Some(other),
    }
}

fn without_directives(map: Object) -> Object {
    map.into_iter()
        .filter(|(key, value)| {
            let directive = key == RETAIN_KEYS
                || key.starts_with(SET_ORDER)
                || key.starts_with(DELETE_FROM_LIST);
            !directive && !value.is_null()
        })
        .filter_map(|(key, value)| Some((key, drop_directives(value)?)))
        .collect()
}

/// A value as Go prints it with `%v`: `map[a:1 b:[x y]]`.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" "))
        }
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}:{}", shown(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
#[path = "strategic_tests.rs"]
mod tests;
