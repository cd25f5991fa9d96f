//! Objects in the Kubernetes protobuf encoding, as typed Go clients (`kubectl create namespace` among them) send them,
//! read as JSON; and answers for those who take nothing else (`encode`).
//!
//! Knows: the envelope, the wire format, Go's structs (`table`); what type a field has is the field table's. Refuses to
//! know: what an object means.
//!
//! Go writes the zero of every field that is no pointer, and leaves it out of JSON unless the field must be there. So it
//! is left out here: an object is the same however it was sent.

mod encode;
mod plan;
pub(crate) mod table;
mod wire;
mod write;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use leme_kinds::{Kind, POSTED};
use leme_meta::Status;
use leme_meta::schema::{Field, FieldType, Schemas, TypeDef};
use leme_store::cache::Cached;
use serde_json::{Map, Value};

use table::Numbered;
use wire::{Payload, Reader, Result, Wrong};

pub(crate) use encode::{
    TAIL, encode, enveloped, frame, framed, item_head, item_head_length, list_head,
};
pub(crate) use write::{put_bytes, put_number};

/// The media type.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

const MAGIC: &[u8] = b"k8s\0";
/// Objects nest far less; a hostile body must not exhaust the stack.
const MAX_DEPTH: usize = 64;

/// Kinds that are sent but not stored.
const PASSING: [(&str, &str); 3] = [
    ("DeleteOptions", "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"),
    ("Status", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
    ("Scale", "io.k8s.api.autoscaling.v1.Scale"),
];

/// The type of a kind in the field table.
pub(crate) fn schema_of(api_version: &str, kind: &str) -> Option<&'static str> {
    let (group, version) = leme_meta::gvk::split_api_version(api_version);
    let is = |row: &&Arc<Kind>| row.kind == kind && row.version == version && row.group == group;
    let known = leme_kinds::by_kind(group, version, kind);
    let known = known.or_else(|| leme_kinds::older().iter().find(is)).map(|row| &*row.schema);
    let posted = POSTED.iter().map(|posted| (posted.kind, posted.schema));
    let passing = || PASSING.into_iter().chain(posted).find(|(known, _)| *known == kind);
    known.or_else(|| passing().map(|(_, schema)| schema))
}

/// Whether objects of a type have this encoding.
pub(crate) fn has(schema: &str) -> bool {
    table::message(schema).is_some()
}

/// The 500 for a document that was promised in this encoding and has none.
pub(crate) fn not_encoded() -> Status {
    Status::internal("the document has no protobuf encoding")
}

/// The message of an object that is served as the cache has it; made by the first who asks, kept with the object.
pub(crate) fn kept(kind: &Kind, object: &Cached) -> Option<Bytes> {
    object.encoded(|json| encode::from_json(&kind.schema, json))
}

/// The object of a body, as JSON.
pub(crate) fn decode(body: &[u8]) -> std::result::Result<Value, Status> {
    object(body).map_err(|Wrong(why)| Status::bad_request(why))
}

const NO_PREFIX: &str =
    "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]";

fn object(body: &[u8]) -> Result<Value> {
    let envelope = match body.strip_prefix(MAGIC) {
        None if body.is_empty() => return Err(Wrong("empty data")),
        None => return Err(Wrong(NO_PREFIX)),
        Some([]) => return Err(Wrong("empty body")),
        Some(envelope) => envelope,
    };
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Reader::new(envelope) {
        match field? {
            (1, Payload::Bytes(type_meta)) => {
                for field in Reader::new(type_meta) {
                    match field? {
                        (1, payload) => api_version = payload.text()?.to_owned(),
                        (2, payload) => kind = payload.text()?.to_owned(),
                        _ => {}
                    }
                }
            }
            (2, payload) => raw = payload.bytes()?,
            (3, payload) if !payload.bytes()?.is_empty() => return Err(Wrong("encoded content")),
            _ => {}
        }
    }
    let schema = schema_of(&api_version, &kind).ok_or(Wrong("unknown kind"))?;
    let decoder = Decoder { schemas: leme_kinds::schemas() };
    let (mut fields, _) = decoder.message(schema, raw, 0)?;
    fields.insert("apiVersion".to_owned(), api_version.into());
    fields.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(fields))
}

struct Decoder {
    schemas: &'static Schemas,
}

impl Decoder {
    /// A struct, and whether anything is said in it: whether it is more than what Go's variables begin with.
    fn message(
        &self,
        name: &str,
        bytes: &[u8],
        depth: usize,
    ) -> Result<(Map<String, Value>, bool)> {
        let schema = self.schemas.get(name).ok_or(Wrong("a type that has no schema"))?;
        let mut out = Map::new();
        let said = self.fields(schema, name, bytes, depth, &mut out)?;
        Ok((out, said))
    }

    /// Reads the fields of the message `name` into an object of the type `schema`, which differs for inlined messages.
    fn fields(
        &self,
        schema: &TypeDef,
        name: &str,
        bytes: &[u8],
        depth: usize,
        out: &mut Map<String, Value>,
    ) -> Result<bool> {
        if depth > MAX_DEPTH {
            return Err(Wrong("exceeded max depth"));
        }
        let mut said = false;
        let message = table::message(name);
        for field in Reader::new(bytes) {
            let (number, payload) = field?;
            match message.and_then(|message| message.numbered(number)) {
                // A field of a newer version: dropped, as every protobuf decoder does.
                None => {}
                Some(Numbered::Inline(inline)) => {
                    said |= self.fields(schema, inline, payload.bytes()?, depth + 1, out)?;
                }
                Some(Numbered::Field { name, pointer }) => {
                    if let Some(known) = schema.field(name) {
                        said |= self.field(known, *pointer, payload, depth, out)?;
                    }
                }
            }
        }
        Ok(said)
    }

    /// Reads a field, and tells whether it says anything.
    fn field(
        &self,
        field: &Field,
        pointer: bool,
        payload: Payload<'_>,
        depth: usize,
        out: &mut Map<String, Value>,
    ) -> Result<bool> {
        let name = field.name.as_str();
        match &field.type_ {
            FieldType::List(element) => {
                let value = self.value(element, payload, depth)?;
                if let Value::Array(list) =
                    out.entry(name).or_insert_with(|| Value::Array(Vec::new()))
                {
                    list.push(value);
                }
            }
            FieldType::Map(element) => {
                let (key, value) = self.entry(element, payload.bytes()?, depth)?;
                if let Value::Object(map) =
                    out.entry(name).or_insert_with(|| Value::Object(Map::new()))
                {
                    map.insert(key, value);
                }
            }
            type_ => {
                let (value, said) = match type_ {
                    FieldType::Ref(inner) => {
                        let (fields, said) = self.message(inner, payload.bytes()?, depth + 1)?;
                        (Value::Object(fields), said)
                    }
                    _ => {
                        let value = self.value(type_, payload, depth)?;
                        let said = !is_zero(type_, &value);
                        (value, said)
                    }
                };
                if (said || pointer || field.required) && !value.is_null() {
                    out.insert(name.to_owned(), value);
                }
                return Ok(said || pointer);
            }
        }
        Ok(true)
    }

    fn entry(&self, element: &FieldType, bytes: &[u8], depth: usize) -> Result<(String, Value)> {
        let (mut key, mut value) = (String::new(), None);
        for field in Reader::new(bytes) {
            match field? {
                (1, payload) => key = payload.text()?.to_owned(),
                (2, payload) => value = Some(self.value(element, payload, depth + 1)?),
                _ => {}
            }
        }
        let value = match (value, element) {
            (Some(value), _) => value,
            (None, FieldType::String | FieldType::Bytes) => "".into(),
            (None, _) => return Err(Wrong("a map entry without value")),
        };
        Ok((key, value))
    }

    fn value(&self, type_: &FieldType, payload: Payload<'_>, depth: usize) -> Result<Value> {
        Ok(match type_ {
            FieldType::String => payload.text()?.into(),
            FieldType::Int32 | FieldType::Int64 => payload.number()?.into(),
            FieldType::Number => payload.float()?.into(),
            FieldType::Bool => (payload.number()? != 0).into(),
            FieldType::Bytes => STANDARD.encode(payload.bytes()?).into(),
            FieldType::Quantity => wire::single_text(payload.bytes()?)?.into(),
            FieldType::IntOrString => int_or_string(payload.bytes()?)?,
            FieldType::Time => time(payload.bytes()?, leme_meta::time::seconds)?,
            FieldType::MicroTime => time(payload.bytes()?, leme_meta::time::micros)?,
            FieldType::Raw => raw(payload.bytes()?)?,
            FieldType::Ref(name) => {
                let (fields, _) = self.message(name, payload.bytes()?, depth + 1)?;
                Value::Object(fields)
            }
            // A list in a map has a name in Go, and is a message with its elements in field 1.
            FieldType::List(element) => {
                let mut items = Vec::new();
                for field in Reader::new(payload.bytes()?) {
                    if let (1, item) = field? {
                        items.push(self.value(element, item, depth + 1)?);
                    }
                }
                Value::Array(items)
            }
            FieldType::Map(_) => return Err(Wrong("a map of maps")),
        })
    }
}

/// Whether a value is what Go's variables begin with.
fn is_zero(type_: &FieldType, value: &Value) -> bool {
    match (type_, value) {
        (FieldType::Quantity, Value::String(text)) => matches!(text.as_str(), "" | "0"),
        (_, Value::String(text)) => text.is_empty(),
        (_, Value::Number(number)) => number.as_f64() == Some(0.0),
        (_, Value::Bool(flag)) => !flag,
        (_, Value::Null) => true,
        _ => false,
    }
}

fn int_or_string(bytes: &[u8]) -> Result<Value> {
    let (mut is_text, mut number, mut text) = (false, 0, "");
    for field in Reader::new(bytes) {
        match field? {
            (1, payload) => is_text = payload.number()? == 1,
            (2, payload) => number = payload.number()?,
            (3, payload) => text = payload.text()?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

/// A time; the empty message is Go's zero time, which is null in JSON.
fn time(bytes: &[u8], written: fn(jiff::Timestamp) -> String) -> Result<Value> {
    let (mut seconds, mut nanos) = (None, 0);
    for field in Reader::new(bytes) {
        match field? {
            (1, payload) => seconds = Some(payload.number()?),
            (2, payload) => {
                nanos = i32::try_from(payload.number()?).map_err(|_| Wrong("a time"))?
            }
            _ => {}
        }
    }
    let Some(seconds) = seconds else { return Ok(Value::Null) };
    let time = jiff::Timestamp::new(seconds, nanos).map_err(|_| Wrong("a time out of range"))?;
    Ok(written(time).into())
}

/// JSON inside protobuf.
fn raw(bytes: &[u8]) -> Result<Value> {
    for field in Reader::new(bytes) {
        if let (1, payload) = field? {
            return serde_json::from_slice(payload.bytes()?)
                .map_err(|_| Wrong("raw content that is not JSON"));
        }
    }
    Ok(Value::Null)
}

#[cfg(test)]
mod tests;
