//! Answers in the Kubernetes protobuf encoding, made from JSON as Go makes them from its structs.
//!
//! Knows: the envelope, how values are written; in one pass over the JSON, be it text or a value. Refuses to know: what
//! is asked for. Values that do not fit their type are written as absent: what is stored was checked against the same
//! table.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::plan::{self, Form, Plan, Span};
use super::write::{
    put_bytes, put_float, put_int_or_string, put_length, put_number, put_time, put_wrapped,
    varint_length,
};
use super::{MAGIC, MAX_DEPTH, schema_of};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// An object, a Status, or a list of objects; `None` for what has no such encoding.
pub(crate) fn encode(value: &Value) -> Option<Vec<u8>> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or("");
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    Some(enveloped(api_version, kind, &content(value, api_version, kind)?))
}

/// A message in its envelope.
pub(crate) fn enveloped(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut out = head(api_version, kind, raw.len(), raw.len());
    out.extend_from_slice(raw);
    out.extend_from_slice(&TAIL);
    out
}

/// What stands before a message of `length` bytes in its envelope, with `room` bytes left behind it.
fn head(api_version: &str, kind: &str, length: usize, room: usize) -> Vec<u8> {
    let mut type_meta = Vec::new();
    put_bytes(&mut type_meta, 1, api_version.as_bytes());
    put_bytes(&mut type_meta, 2, kind.as_bytes());
    let mut out = Vec::with_capacity(room + type_meta.len() + 32);
    out.extend_from_slice(MAGIC);
    put_bytes(&mut out, 1, &type_meta);
    put_length(&mut out, 2, length);
    out
}

/// What stands behind it: neither encoding nor type of the content is said, which Go says.
pub(crate) const TAIL: [u8; 4] = [3 << 3 | 2, 0, 4 << 3 | 2, 0];

/// What stands before the items of a list that come to `length` bytes with what is before each ([`item_head`]).
pub(crate) fn list_head(api_version: &str, kind: &str, metadata: &Value, length: usize) -> Vec<u8> {
    let metadata = message(LIST_META, metadata).unwrap_or_default();
    let mut field = Vec::new();
    put_bytes(&mut field, 1, &metadata);
    let mut out = head(api_version, kind, field.len() + length, field.len());
    out.extend_from_slice(&field);
    out
}

/// What stands before an item of this length in a list.
pub(crate) fn item_head(out: &mut Vec<u8>, length: usize) {
    put_length(out, 2, length);
}

/// How long that is.
pub(crate) fn item_head_length(length: usize) -> usize {
    1 + varint_length(length as u64)
}

/// An event of a watch, behind its length.
pub(crate) fn frame(word: &str, object: &Value) -> Option<Vec<u8>> {
    framed(word, &encode(object)?)
}

/// An event of a watch with an object in its envelope, behind its length.
pub(crate) fn framed(word: &str, enveloped: &[u8]) -> Option<Vec<u8>> {
    let mut event = Vec::with_capacity(enveloped.len() + word.len() + 32);
    event.extend_from_slice(&[0; 4]);
    put_bytes(&mut event, 1, word.as_bytes());
    let mut before = Vec::new();
    put_length(&mut before, 1, enveloped.len());
    put_length(&mut event, 2, before.len() + enveloped.len());
    event.extend_from_slice(&before);
    event.extend_from_slice(enveloped);
    let length = u32::try_from(event.len() - 4).ok()?;
    event[..4].copy_from_slice(&length.to_be_bytes());
    Some(event)
}

/// The message of an object of a type, from its JSON.
pub(crate) fn from_json(schema: &str, json: &[u8]) -> Option<Bytes> {
    message(schema, &mut serde_json::Deserializer::from_slice(json)).map(Bytes::from)
}

fn content(value: &Value, api_version: &str, kind: &str) -> Option<Vec<u8>> {
    let Some(items) = value.get("items").and_then(Value::as_array) else {
        return object(value, api_version, kind);
    };
    let item = kind.strip_suffix("List")?;
    let empty = Value::Object(Map::new());
    let mut out = Vec::new();
    put_bytes(&mut out, 1, &message(LIST_META, value.get("metadata").unwrap_or(&empty))?);
    for value in items {
        put_bytes(&mut out, 2, &object(value, api_version, item)?);
    }
    Some(out)
}

fn object(value: &Value, api_version: &str, kind: &str) -> Option<Vec<u8>> {
    if kind == "PartialObjectMetadata" {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, &message(OBJECT_META, value.get("metadata")?)?);
        return Some(out);
    }
    message(schema_of(api_version, kind)?, value)
}

fn message<'de>(schema: &str, json: impl Deserializer<'de>) -> Option<Vec<u8>> {
    let plan = plan::of(leme_kinds::schemas().place(schema)?)?;
    json.deserialize_map(Message { plan, depth: 0 }).ok()
}

/// Reads an object, and writes the message of it.
struct Message {
    plan: &'static Plan,
    depth: usize,
}

impl<'de> Visitor<'de> for Message {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<u8>, A::Error> {
        if self.depth > MAX_DEPTH {
            return Err(A::Error::custom("exceeded max depth"));
        }
        let (mut body, mut spans) = (Vec::with_capacity(128), Vec::<Span>::with_capacity(16));
        while let Some(slot) = map.next_key_seed(Name(self.plan))? {
            let Some(at) = slot else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let (from, slot) = (body.len(), &self.plan.slots[at]);
            let one =
                One { number: slot.number, form: &slot.form, depth: self.depth, out: &mut body };
            if map.next_value_seed(one)? {
                spans.push((at, from..body.len()));
            }
        }
        spans.sort_by_key(|(slot, _)| *slot);
        spans.dedup_by_key(|(slot, _)| *slot);
        Ok(self.plan.assembled(&body, &spans))
    }
}

/// Reads the name of a field.
struct Name(&'static Plan);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.slot(name))
    }
}

/// Reads a value and writes it behind its number; tells whether there was one that fits.
struct One<'a> {
    number: u32,
    form: &'a Form,
    depth: usize,
    out: &'a mut Vec<u8>,
}

impl One<'_> {
    fn number<E>(self, value: i64, shown: impl fmt::Display) -> Result<bool, E> {
        match self.form {
            Form::Int => put_number(self.out, self.number, value),
            Form::Quantity => put_wrapped(self.out, self.number, shown.to_string().as_bytes()),
            Form::IntOrString => put_int_or_string(self.out, self.number, Err(value)),
            Form::Float => put_float(self.out, self.number, value as f64),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads one element behind `number`; one that does not fit is a zero.
    fn element<'out>(
        form: &'out Form,
        number: u32,
        depth: usize,
        out: &'out mut Vec<u8>,
    ) -> Element<'out> {
        Element(One { number, form, depth, out })
    }
}

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        if !matches!(self.form, Form::Raw) {
            return json.deserialize_any(self);
        }
        let raw = <Box<RawValue> as serde::Deserialize>::deserialize(json)?;
        let said = raw.get() != "null";
        if said {
            put_wrapped(self.out, self.number, as_written(raw.get()).as_bytes());
        }
        Ok(said)
    }
}

/// JSON that is passed on as it is, in Go's letters: programs compare it with what they have written, byte by byte.
fn as_written(json: &str) -> Cow<'_, str> {
    let differs = |byte: u8| matches!(byte, b'<' | b'>' | b'&') || byte > 0x7f;
    if !json.bytes().any(differs) {
        return Cow::Borrowed(json);
    }
    let Ok(value) = serde_json::from_str(json) else { return Cow::Borrowed(json) };
    let mut text = String::new();
    leme_meta::go_json(&value, &mut text);
    Cow::Owned(text)
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        let fits = matches!(self.form, Form::Bool);
        if fits {
            put_number(self.out, self.number, value.into());
        }
        Ok(fits)
    }

    fn visit_i64<E>(self, value: i64) -> Result<bool, E> {
        self.number(value, value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<bool, E> {
        self.number(i64::try_from(value).unwrap_or(0), value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<bool, E> {
        match self.form {
            Form::Float => put_float(self.out, self.number, value),
            Form::Quantity => put_wrapped(self.out, self.number, value.to_string().as_bytes()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        let (out, number) = (self.out, self.number);
        match self.form {
            Form::Text => put_bytes(out, number, text.as_bytes()),
            Form::Quantity => put_wrapped(out, number, text.as_bytes()),
            Form::Bytes => put_bytes(out, number, &STANDARD.decode(text).unwrap_or_default()),
            Form::IntOrString => put_int_or_string(out, number, Ok(text)),
            Form::Time => put_time(out, number, text),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let One { number, form, depth, out } = self;
        match form {
            Form::Repeated(element) => {
                while list.next_element_seed(One::element(element, number, depth, out))?.is_some() {
                }
            }
            Form::Wrapped(element) => {
                let mut items = Vec::new();
                while list
                    .next_element_seed(One::element(element, 1, depth + 1, &mut items))?
                    .is_some()
                {}
                put_bytes(out, number, &items);
            }
            _ => {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let One { number, form, depth, out } = self;
        match form {
            Form::Struct(place) => {
                let plan = place
                    .and_then(plan::of)
                    .ok_or_else(|| A::Error::custom("a type that has no such encoding"))?;
                let message = Message { plan, depth: depth + 1 }.visit_map(map)?;
                put_bytes(out, number, &message);
            }
            Form::Map(element) => {
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    let mut entry = Vec::with_capacity(64);
                    put_bytes(&mut entry, 1, key.as_bytes());
                    map.next_value_seed(One::element(element, 2, depth, &mut entry))?;
                    put_bytes(out, number, &entry);
                }
            }
            _ => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Reads an element of a list or a map: one that does not fit is a zero.
struct Element<'a>(One<'a>);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let One { number, form, depth, out } = self.0;
        if !(One { number, form, depth, out: &mut *out }).deserialize(json)? {
            out.extend_from_slice(&form.zero(number));
        }
        Ok(())
    }
}
