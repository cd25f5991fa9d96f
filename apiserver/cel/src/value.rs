//! Values while a rule is carried out. Parts of an object stay where they are and are looked at as rules ask for them.
//!
//! Knows: which type its schema gives a part, and when two values are equal. Refuses to know: functions.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use base64::Engine;
use jiff::Timestamp;
use leme_meta::quantity::Quantity;
use serde_json::Value as Json;

use crate::functions::{duration, formats::Named, net::Cidr, semver::Semver, urls::Url};
use crate::meter::{Fault, Meter};
use crate::types::{Object, Order, Type};

/// A text, of the object or made.
#[derive(Clone, Debug)]
pub(crate) enum Text<'a> {
    Borrowed(&'a str),
    Owned(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Owned(text) => text,
        }
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Text::Owned(text.into())
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Text<'a>),
    Bytes(Arc<[u8]>),
    /// In billionths of a second.
    Duration(i64),
    Timestamp(Timestamp),
    List(List<'a>),
    Map(Map<'a>),
    Optional(Option<Arc<Value<'a>>>),
    Type(&'static str),
    Quantity(Quantity),
    Ip(IpAddr),
    Cidr(Cidr),
    Url(Arc<Url>),
    Semver(Arc<Semver>),
    Format(&'static Named),
}

#[derive(Clone, Debug)]
pub(crate) enum List<'a> {
    Json(&'a [Json], &'a Type, &'a Order),
    Own(Arc<Vec<Value<'a>>>),
}

#[derive(Clone, Debug)]
pub(crate) enum Map<'a> {
    Json(&'a serde_json::Map<String, Json>, &'a Type),
    Object(&'a serde_json::Map<String, Json>, &'a Object),
    /// By keys that numbers of either kind share, with the key as it was made.
    Own(Arc<BTreeMap<Key, (Value<'a>, Value<'a>)>>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Bool(bool),
    Number(i128),
    Text(Arc<str>),
}

static PLACES: Order = Order::Places;
static DYN: Type = Type::Dyn;

impl<'a> List<'a> {
    pub fn own(items: Vec<Value<'a>>) -> Value<'a> {
        Value::List(List::Own(Arc::new(items)))
    }

    pub fn len(&self) -> usize {
        match self {
            List::Json(items, ..) => items.len(),
            List::Own(items) => items.len(),
        }
    }

    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            List::Json(items, of, _) => Some(Value::of(items.get(index)?, of)),
            List::Own(items) => items.get(index).cloned(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    pub fn order(&self) -> &Order {
        match self {
            List::Json(_, _, order) => order,
            List::Own(_) => &PLACES,
        }
    }
}

impl<'a> Map<'a> {
    pub fn len(&self) -> usize {
        match self {
            Map::Json(map, _) => map.len(),
            Map::Object(map, object) => {
                let known = |(name, field): &(&String, &crate::types::Field)| {
                    map.contains_key(field.name.as_ref().unwrap_or(name))
                };
                object.fields.iter().filter(known).count()
            }
            Map::Own(map) => map.len(),
        }
    }

    /// How many entries there may be.
    fn width(&self) -> usize {
        match self {
            Map::Object(_, object) => object.fields.len(),
            _ => self.len(),
        }
    }

    /// The entry of a text: a field, if it is an object.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Map::Json(map, of) => Some(Value::of(map.get(name)?, of)),
            Map::Object(map, object) => {
                let field = object.fields.get(name)?;
                let name = field.name.as_deref().unwrap_or(name);
                Some(Value::of(map.get(name)?, &field.type_))
            }
            Map::Own(map) => Some(map.get(&Key::Text(name.into()))?.1.clone()),
        }
    }

    pub fn get(&self, key: &Value<'a>) -> Option<Value<'a>> {
        match (self, key) {
            (_, Value::Text(name)) => self.field(name),
            (Map::Own(map), key) => Some(map.get(&Key::of(key)?)?.1.clone()),
            _ => None,
        }
    }

    pub fn entries(&self) -> Vec<(Value<'a>, Value<'a>)> {
        let text = |name: &'a str| Value::Text(Text::Borrowed(name));
        match self {
            Map::Json(map, of) => {
                map.iter().map(|(name, value)| (text(name), Value::of(value, of))).collect()
            }
            Map::Object(_, object) => {
                let field = |name: &'a String| Some((text(name), self.field(name)?));
                object.fields.keys().filter_map(field).collect()
            }
            Map::Own(map) => map.values().cloned().collect(),
        }
    }
}

impl Key {
    pub fn of(value: &Value<'_>) -> Option<Key> {
        Some(match value {
            Value::Bool(flag) => Key::Bool(*flag),
            Value::Int(number) => Key::Number((*number).into()),
            Value::Uint(number) => Key::Number((*number).into()),
            #[expect(clippy::cast_possible_truncation, reason = "only whole numbers in range")]
            Value::Double(number) if number.fract() == 0.0 && number.abs() < 1e19 => {
                Key::Number(*number as i128)
            }
            Value::Text(text) => Key::Text((**text).into()),
            _ => return None,
        })
    }
}

impl<'a> Value<'a> {
    pub fn text(text: impl Into<String>) -> Value<'a> {
        Value::Text(text.into().into())
    }

    pub fn some(value: Value<'a>) -> Value<'a> {
        Value::Optional(Some(Arc::new(value)))
    }

    /// A part of an object as its type has it seen.
    pub fn of(json: &'a Json, type_: &'a Type) -> Value<'a> {
        match (json, type_) {
            (Json::Null, _) => Value::Null,
            (Json::Bool(flag), _) => Value::Bool(*flag),
            (Json::Number(number), Type::Double) => {
                Value::Double(number.as_f64().unwrap_or(f64::NAN))
            }
            (Json::Number(number), _) => match (number.as_i64(), number.as_u64()) {
                (Some(whole), _) => Value::Int(whole),
                (None, Some(whole)) => Value::Uint(whole),
                _ => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            (Json::String(text), _) => {
                special(text, type_).unwrap_or(Value::Text(Text::Borrowed(text)))
            }
            (Json::Array(items), Type::List(of, order)) => {
                Value::List(List::Json(items, of, order))
            }
            (Json::Array(items), _) => Value::List(List::Json(items, &DYN, &PLACES)),
            (Json::Object(map), Type::Object(object)) => Value::Map(Map::Object(map, object)),
            (Json::Object(map), Type::Map(_, of)) => Value::Map(Map::Json(map, of)),
            (Json::Object(map), _) => Value::Map(Map::Json(map, &DYN)),
        }
    }

    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::Text(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::Duration(_) => "google.protobuf.Duration",
            Value::Timestamp(_) => "google.protobuf.Timestamp",
            Value::List(_) => "list",
            Value::Map(Map::Object(..)) => "object",
            Value::Map(_) => "map",
            Value::Optional(_) => "optional_type",
            Value::Type(_) => "type",
            Value::Quantity(_) => "kubernetes.Quantity",
            Value::Ip(_) => "net.IP",
            Value::Cidr(_) => "net.CIDR",
            Value::Url(_) => "kubernetes.URL",
            Value::Semver(_) => "kubernetes.Semver",
            Value::Format(_) => "kubernetes.NamedFormat",
        }
    }
}

/// A text whose format makes it something else.
fn special<'a>(text: &str, type_: &Type) -> Option<Value<'a>> {
    Some(match type_ {
        Type::Timestamp if text.len() == 10 => {
            Value::Timestamp(leme_meta::time::parse(&format!("{text}T00:00:00Z"))?)
        }
        Type::Timestamp => Value::Timestamp(leme_meta::time::parse(text)?),
        Type::Duration => Value::Duration(duration::lenient(text)?),
        Type::Bytes => {
            Value::Bytes(base64::engine::general_purpose::STANDARD.decode(text).ok()?.into())
        }
        _ => return None,
    })
}

/// How two numbers compare, whatever kinds they are; none if one is no number.
pub(crate) fn compared(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    #[expect(clippy::cast_precision_loss, reason = "as Go compares them")]
    let double = |value: &Value<'_>| match value {
        Value::Int(number) => Some(*number as f64),
        Value::Uint(number) => Some(*number as f64),
        Value::Double(number) => Some(*number),
        _ => None,
    };
    let whole = |value: &Value<'_>| match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::Uint(number) => Some(i128::from(*number)),
        _ => None,
    };
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => double(one)?.partial_cmp(&double(other)?),
    }
}

/// Whether two values are equal.
pub(crate) fn equal(one: &Value<'_>, other: &Value<'_>, meter: &mut Meter) -> Result<bool, Fault> {
    meter.spend(1)?;
    Ok(match (one, other) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => {
            meter.letters(a.len().min(b.len()))?;
            **a == **b
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            meter.letters(a.len().min(b.len()))?;
            a == b
        }
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a == b,
        (Value::Quantity(a), Value::Quantity(b)) => a.nanos() == b.nanos(),
        (Value::Ip(a), Value::Ip(b)) => a == b,
        (Value::Cidr(a), Value::Cidr(b)) => a == b,
        (Value::Url(a), Value::Url(b)) => a == b,
        (Value::Semver(a), Value::Semver(b)) => a.compare(b) == Ordering::Equal,
        (Value::Format(a), Value::Format(b)) => std::ptr::eq(*a, *b),
        (Value::Optional(None), Value::Optional(None)) => true,
        (Value::Optional(Some(a)), Value::Optional(Some(b))) => equal(a, b, meter)?,
        (Value::List(a), Value::List(b)) => lists(a, b, meter)?,
        (Value::Map(a), Value::Map(b)) => {
            meter.spend(a.width() as u64 / 4)?;
            if a.len() != b.len() {
                return Ok(false);
            }
            for (key, value) in a.entries() {
                let Some(other) = b.get(&key) else { return Ok(false) };
                if !equal(&value, &other, meter)? {
                    return Ok(false);
                }
            }
            true
        }
        _ => compared(one, other) == Some(Ordering::Equal),
    })
}

fn lists(a: &List<'_>, b: &List<'_>, meter: &mut Meter) -> Result<bool, Fault> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (index, item) in a.iter().enumerate() {
        let same = match a.order() {
            Order::Places => b.get(index).map_or(Ok(false), |other| equal(&item, &other, meter))?,
            Order::Set => position(b, &item, meter)?.is_some(),
            Order::Keys(keys) => match keyed(b, keys, &item, meter)? {
                Some(at) => b.get(at).map_or(Ok(false), |other| equal(&item, &other, meter))?,
                None => false,
            },
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Where a list has an element.
pub(crate) fn position(
    list: &List<'_>,
    item: &Value<'_>,
    meter: &mut Meter,
) -> Result<Option<usize>, Fault> {
    for (index, known) in list.iter().enumerate() {
        if equal(&known, item, meter)? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// Where a list has the element with the keys of another.
pub(crate) fn keyed(
    list: &List<'_>,
    keys: &[String],
    item: &Value<'_>,
    meter: &mut Meter,
) -> Result<Option<usize>, Fault> {
    fn of<'a>(value: &Value<'a>) -> Option<&'a serde_json::Map<String, Json>> {
        match value {
            Value::Map(Map::Object(map, _) | Map::Json(map, _)) => Some(map),
            _ => None,
        }
    }
    let Some(wanted) = of(item) else { return Ok(None) };
    for (index, known) in list.iter().enumerate() {
        meter.spend(keys.len() as u64)?;
        if of(&known).is_some_and(|known| keys.iter().all(|key| known.get(key) == wanted.get(key)))
        {
            return Ok(Some(index));
        }
    }
    Ok(None)
}
