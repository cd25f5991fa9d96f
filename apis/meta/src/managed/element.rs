//! One step of a path through an object: a field, or an element of a list by its keys, its value or its place.
//!
//! Knows: the order of steps, their text in FieldsV1 and in messages. Refuses to know: schemas.

use crate::quote;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value};

use super::go;

/// One step of a path. It borrows from the object or the text that it was read from.
#[derive(Clone, Debug)]
pub enum Element<'a> {
    /// A field of an object, or an entry of a map.
    Field(Cow<'a, str>),
    /// An element of a list by its keys, sorted by name.
    Key(Vec<(Cow<'a, str>, Cow<'a, Value>)>),
    /// An element of a set.
    Value(Cow<'a, Value>),
    /// An element of a list by its place.
    Index(i64),
}

/// Text that is no path element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAnElement {
    /// It is of a sort that a later version may know: to be ignored.
    Unknown,
    /// It is malformed.
    Wrong(String),
}

impl<'a> Element<'a> {
    /// The step to a field.
    pub fn field(name: impl Into<Cow<'a, str>>) -> Element<'a> {
        Element::Field(name.into())
    }

    /// Reads the text that FieldsV1 has for a step, such as `f:spec` or `k:{"name":"web"}`.
    pub fn parse(text: &'a str) -> Result<Element<'a>, NotAnElement> {
        let wrong = |why: String| NotAnElement::Wrong(why);
        let Some((sort, rest)) = text.split_at_checked(2) else {
            return Err(wrong("key must be 2 characters long:".to_owned()));
        };
        if !sort.ends_with(':') {
            return Err(wrong(format!("missing colon: {text}")));
        }
        match sort {
            "f:" => Ok(Element::Field(Cow::Borrowed(rest))),
            "v:" => match serde_json::from_str(rest) {
                Ok(value) => Ok(Element::Value(Cow::Owned(value))),
                Err(error) => Err(wrong(error.to_string())),
            },
            // A map is sorted by name, as keys are.
            "k:" => match serde_json::from_str::<Map<String, Value>>(rest) {
                Ok(keys) => {
                    let owned = |(name, value)| (Cow::Owned(name), Cow::Owned(value));
                    let mut keys: Vec<(Cow<str>, Cow<Value>)> =
                        keys.into_iter().map(owned).collect();
                    keys.sort_by(|(one, _), (other, _)| one.cmp(other));
                    Ok(Element::Key(keys))
                }
                Err(error) => Err(wrong(error.to_string())),
            },
            "i:" => rest.parse().map(Element::Index).map_err(|_| {
                wrong(format!("strconv.Atoi: parsing {}: invalid syntax", quote(rest)))
            }),
            _ => Err(NotAnElement::Unknown),
        }
    }

    /// The same step, borrowed from nothing.
    pub(super) fn into_owned(self) -> Element<'static> {
        match self {
            Element::Field(name) => Element::Field(Cow::Owned(name.into_owned())),
            Element::Key(keys) => {
                let owned = |(name, value): (Cow<str>, Cow<Value>)| {
                    (Cow::Owned(name.into_owned()), Cow::Owned(value.into_owned()))
                };
                Element::Key(keys.into_iter().map(owned).collect())
            }
            Element::Value(value) => Element::Value(Cow::Owned(value.into_owned())),
            Element::Index(index) => Element::Index(index),
        }
    }

    /// Writes the text of FieldsV1.
    pub fn write(&self, out: &mut String) {
        match self {
            Element::Field(name) => {
                out.reserve(2 + name.len());
                out.push_str("f:");
                out.push_str(name);
            }
            Element::Key(keys) => {
                out.push_str("k:{");
                for (index, (name, value)) in keys.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    crate::go::json_text(name, out);
                    out.push(':');
                    crate::go::json(value, out);
                }
                out.push('}');
            }
            Element::Value(value) => {
                out.push_str("v:");
                crate::go::json(value, out);
            }
            Element::Index(index) => {
                out.push_str("i:");
                out.push_str(&index.to_string());
            }
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Element::Field(_) => 0,
            Element::Key(_) => 1,
            Element::Value(_) => 2,
            Element::Index(_) => 3,
        }
    }
}

impl Ord for Element<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Element::Field(one), Element::Field(other)) => one.cmp(other),
            (Element::Key(one), Element::Key(other)) => keys(one, other),
            (Element::Value(one), Element::Value(other)) => compare(one, other),
            (Element::Index(one), Element::Index(other)) => one.cmp(other),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Element<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Element<'_> {}

type Keys<'a> = [(Cow<'a, str>, Cow<'a, Value>)];

fn keys(one: &Keys, other: &Keys) -> Ordering {
    for ((name, value), (other_name, other_value)) in one.iter().zip(other) {
        let order = name.cmp(other_name).then_with(|| compare(value, other_value));
        if order.is_ne() {
            return order;
        }
    }
    one.len().cmp(&other.len())
}

/// The order of values: numbers by size, then texts, truths, lists, maps, nulls.
pub(super) fn compare(one: &Value, other: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    };
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => {
                let float = |number: &serde_json::Number| number.as_f64().unwrap_or(f64::NAN);
                float(one).total_cmp(&float(other))
            }
        },
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::Array(one), Value::Array(other)) => one
            .iter()
            .zip(other)
            .map(|(one, other)| compare(one, other))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| one.len().cmp(&other.len())),
        (Value::Object(one), Value::Object(other)) => one
            .iter()
            .zip(other)
            .map(|((name, value), (other_name, other_value))| {
                name.cmp(other_name).then_with(|| compare(value, other_value))
            })
            .find(|order| order.is_ne())
            .unwrap_or_else(|| one.len().cmp(&other.len())),
        _ => rank(one).cmp(&rank(other)),
    }
}

/// Whether two values are the same, whole numbers and others compared by size.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => one == other || compare(one, other).is_eq(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

impl fmt::Display for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Field(name) => write!(f, ".{name}"),
            Element::Key(keys) => {
                let keys: Vec<String> = keys
                    .iter()
                    .map(|(name, value)| format!("{name}={}", go::shown(value)))
                    .collect();
                write!(f, "[{}]", keys.join(","))
            }
            Element::Value(value) => write!(f, "[={}]", go::shown(value)),
            Element::Index(index) => write!(f, "[{index}]"),
        }
    }
}
