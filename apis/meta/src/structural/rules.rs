//! The rules of a schema for a value by itself: type, length, choice, count.

use crate::quote;
use std::collections::HashSet;

use serde_json::Value;

use super::validate::{Fault, Outcome};
use super::{GoJson, Rules, Structural, Type, format, go, number};
use crate::field::{FieldErrorKind, Shown};

/// The types that a schema allows.
#[derive(Clone, Copy)]
pub(super) struct Kinds {
    type_: Type,
    int_or_string: bool,
}

impl Kinds {
    pub(super) fn of(schema: &Structural) -> Kinds {
        Kinds { type_: schema.type_, int_or_string: schema.int_or_string }
    }

    /// Whether there is a choice at all.
    pub(super) fn stated(self) -> bool {
        self.int_or_string || self.type_ != Type::Any
    }

    /// The type, if there is only one.
    pub(super) fn single(self) -> Option<Type> {
        (!self.int_or_string && self.type_ != Type::Any).then_some(self.type_)
    }

    fn has(self, type_: Type) -> bool {
        if self.int_or_string {
            matches!(type_, Type::Integer | Type::String)
        } else {
            type_ != Type::Any && self.type_ == type_
        }
    }

    fn name(self) -> &'static str {
        if self.int_or_string { "integer,string" } else { self.type_.name() }
    }
}

/// The type of a value, and the format that goes with it.
fn found(value: &Value) -> (Type, &'static str) {
    match value {
        Value::Null => (Type::Any, ""),
        Value::Bool(_) => (Type::Boolean, ""),
        Value::Number(number) if number::is_int(number) => (Type::Integer, "int64"),
        Value::Number(_) => (Type::Number, "float64"),
        Value::String(_) => (Type::String, ""),
        Value::Array(_) => (Type::Array, ""),
        Value::Object(_) => (Type::Object, ""),
    }
}

fn mistyped(path: &str, wanted: &str, found: &str) -> Outcome {
    let why = format!("{path} in body must be of type {wanted}: {found}", found = quote(&found));
    let fault = Fault::of(FieldErrorKind::TypeInvalid, path, Some(quote(&found)), &why);
    Outcome { faults: vec![fault], matches: 0 }
}

/// Whether a value has one of the types.
pub(super) fn type_of(
    path: &str,
    value: &Value,
    kinds: Kinds,
    nullable: bool,
    format: &str,
) -> Outcome {
    let fine = Outcome { faults: Vec::new(), matches: 1 };
    let (type_, of_format) = found(value);
    if value.is_null() {
        let fits = !kinds.stated() || nullable;
        return if fits { fine } else { mistyped(path, kinds.name(), "null") };
    }
    let whole = || value.as_f64().is_some_and(number::is_whole);
    let fits = kinds.has(type_)
        || (type_ == Type::Number && kinds.has(Type::Integer) && whole())
        || (type_ == Type::Integer && kinds.has(Type::Number));
    let texts = matches!(type_, Type::String | Type::Array);
    let formed = fits || of_format == format;
    if !texts && !format.is_empty() && !formed {
        return mistyped(path, format, of_format);
    }
    let numeric = kinds.has(Type::Number) || kinds.has(Type::Integer);
    if (!numeric && !format.is_empty() && texts) || fits {
        return fine;
    }
    mistyped(path, kinds.name(), type_.name())
}

/// The first thing wrong with the length or shape of a text.
pub(super) fn text(path: &str, text: &str, rules: &Rules) -> Option<Fault> {
    let length = || i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if let Some(most) = rules.max_length.filter(|most| length() > *most) {
        let unit = if most == 1 { "byte" } else { "bytes" };
        let why = match most {
            0.. => format!("may not be more than {most} {unit}"),
            _ => "value is too long".to_owned(),
        };
        return Some(Fault::of(FieldErrorKind::TooLong, path, None, &why));
    }
    let value = Value::from(text);
    if let Some(least) = rules.min_length.filter(|least| length() < *least) {
        let why = format!("{path} in body should be at least {least} chars long");
        return Some(Fault::invalid(path, &value, &why));
    }
    let pattern = rules.pattern.as_ref().filter(|pattern| !pattern.matches(text))?;
    let why = format!("{path} in body should match '{}'", pattern.as_str());
    Some(Fault::invalid(path, &value, &why))
}

/// Whether a text has its format, if one is stated for texts.
pub(super) fn formatted(
    path: &str,
    text: &str,
    kinds: Kinds,
    rules: &Rules,
) -> Option<Option<Fault>> {
    let numeric = matches!(kinds.single(), Some(Type::Integer | Type::Number));
    let format = Some(&rules.format).filter(|format| !format.is_empty() && !numeric)?;
    Some((!format::fits(format, text)).then(|| {
        let why = format!("{path} in body must be of type {format}: {text}", text = quote(&text));
        Fault::of(FieldErrorKind::TypeInvalid, path, Some(quote(&text)), &why)
    }))
}

/// Whether a value is one of those listed.
pub(super) fn enumerated(path: &str, value: &Value, rules: &Rules) -> Option<Fault> {
    if rules.enumerated.is_empty() || rules.enumerated.iter().any(|known| same(value, known)) {
        return None;
    }
    let known = rules.enumerated.iter().map(|known| match known {
        Value::String(text) => quote(&text),
        other => quote(&go::json(other)),
    });
    let detail = format!("supported values: {}", known.collect::<Vec<_>>().join(", "));
    Some(Fault::of(FieldErrorKind::NotSupported, path, Some(GoJson(value).shown()), &detail))
}

/// Upstream makes a number of the type of the one it is compared with.
fn same(value: &Value, known: &Value) -> bool {
    match (value, known) {
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Number(number), Value::Number(other)) => match (other.as_i64(), number.as_i64()) {
            (Some(other), Some(number)) => other == number,
            (Some(other), None) => {
                number.as_f64().is_some_and(|float| float.trunc() == other as f64)
            }
            (None, _) => number.as_f64() == other.as_f64(),
        },
        (value, known) => value == known,
    }
}

/// What is wrong with how many elements a list has, or with their being twice.
pub(super) fn list(path: &str, list: &[Value], rules: &Rules) -> Vec<Fault> {
    let size = i64::try_from(list.len()).unwrap_or(i64::MAX);
    let mut faults = Vec::new();
    if let Some(least) = rules.min_items.filter(|least| size < *least) {
        let why = format!("{path} in body should have at least {least} items");
        faults.push(Fault::invalid(path, &size.into(), &why));
    }
    if let Some(most) = rules.max_items.filter(|most| size > *most) {
        faults.push(too_many(path, size, most));
    }
    if rules.unique_items {
        let mut seen = HashSet::new();
        if !list.iter().all(|item| seen.insert(go::json(item))) {
            let why = format!("{path} in body shouldn't contain duplicates");
            faults.push(Fault::invalid(path, &Value::from(""), &why));
        }
    }
    faults
}

/// What is wrong with how many fields an object has.
pub(super) fn count(path: &str, fields: usize, rules: &Rules) -> Vec<Fault> {
    let size = i64::try_from(fields).unwrap_or(i64::MAX);
    let mut faults = Vec::new();
    if let Some(least) = rules.min_properties.filter(|least| size < *least) {
        let why = format!("{path} in body should have at least {least} properties");
        faults.push(Fault::invalid(path, &size.into(), &why));
    }
    if let Some(most) = rules.max_properties.filter(|most| size > *most) {
        faults.push(too_many(path, size, most));
    }
    faults
}

fn too_many(path: &str, size: i64, most: i64) -> Fault {
    let unit = if most == 1 { "item" } else { "items" };
    let why = match most {
        0.. => format!("must have at most {most} {unit}"),
        _ => "has too many items".to_owned(),
    };
    Fault::of(FieldErrorKind::TooMany, path, Some(size.to_string()), &why)
}
