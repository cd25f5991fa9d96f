//! Answers in the Kubernetes protobuf encoding, made from JSON as Go makes them from its structs.
//!
//! Knows: the envelope, what Go writes of a field that is not there: nothing of a pointer, a list or a map, the zero of
//! everything else. Refuses to know: what is asked for. Values that do not fit their type are written as absent: what
//! is stored was checked against the same table.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leme_meta::schema::{FieldType, Schemas, TypeDef};
use serde_json::{Map, Value};

use super::table::{self, Message, Numbered};
use super::{MAGIC, MAX_DEPTH, schema_of};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// An object, a Status, or a list of objects; `None` for what has no such encoding.
pub(crate) fn encode(value: &Value) -> Option<Vec<u8>> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or("");
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let raw = content(value, api_version, kind)?;
    let mut type_meta = Vec::new();
    put_bytes(&mut type_meta, 1, api_version.as_bytes());
    put_bytes(&mut type_meta, 2, kind.as_bytes());
    let mut out = Vec::with_capacity(raw.len() + type_meta.len() + 32);
    out.extend_from_slice(MAGIC);
    put_bytes(&mut out, 1, &type_meta);
    put_bytes(&mut out, 2, &raw);
    // Neither encoding nor type of the content is said, which Go says.
    put_bytes(&mut out, 3, b"");
    put_bytes(&mut out, 4, b"");
    Some(out)
}

/// An event of a watch, behind its length.
pub(crate) fn frame(word: &str, object: &Value) -> Option<Vec<u8>> {
    let mut raw = Vec::new();
    put_bytes(&mut raw, 1, &encode(object)?);
    let mut event = Vec::with_capacity(raw.len() + 16);
    put_bytes(&mut event, 1, word.as_bytes());
    put_bytes(&mut event, 2, &raw);
    let length = u32::try_from(event.len()).ok()?;
    Some([&length.to_be_bytes()[..], &event].concat())
}

fn content(value: &Value, api_version: &str, kind: &str) -> Option<Vec<u8>> {
    let encoder = Encoder { schemas: leme_kinds::schemas() };
    let mut out = Vec::new();
    if let Some(items) = value.get("items").and_then(Value::as_array) {
        let item = kind.strip_suffix("List")?;
        let empty = Map::new();
        let metadata = value.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
        put_bytes(&mut out, 1, &encoder.message(LIST_META, metadata, 0)?);
        for object in items {
            put_bytes(&mut out, 2, &encoder.object(object, api_version, item)?);
        }
        return Some(out);
    }
    encoder.object(value, api_version, kind)
}

struct Encoder {
    schemas: &'static Schemas,
}

impl Encoder {
    fn object(&self, value: &Value, api_version: &str, kind: &str) -> Option<Vec<u8>> {
        let fields = value.as_object()?;
        if kind == "PartialObjectMetadata" {
            let mut out = Vec::new();
            let metadata = fields.get("metadata").and_then(Value::as_object)?;
            put_bytes(&mut out, 1, &self.message(OBJECT_META, metadata, 0)?);
            return Some(out);
        }
        self.message(schema_of(api_version, kind)?, fields, 0)
    }

    fn message(&self, name: &str, fields: &Map<String, Value>, depth: usize) -> Option<Vec<u8>> {
        let schema = self.schemas.get(name)?;
        match table::message(name) {
            Some(message) => self.fields(schema, message, fields, depth),
            // A struct without fields has no numbers, and is there or not.
            None => schema.fields.is_empty().then(Vec::new),
        }
    }

    /// The fields of a struct whose types are those of `schema`, which differs for inlined structs.
    fn fields(
        &self,
        schema: &TypeDef,
        message: &Message,
        fields: &Map<String, Value>,
        depth: usize,
    ) -> Option<Vec<u8>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut numbered: Vec<(u32, &Numbered)> = message.in_order().collect();
        numbered.sort_unstable_by_key(|(number, _)| *number);
        let mut out = Vec::new();
        for (number, field) in numbered {
            match field {
                Numbered::Inline(inline) => {
                    let inner = self.fields(schema, table::message(inline)?, fields, depth + 1)?;
                    put_bytes(&mut out, number, &inner);
                }
                Numbered::Field { name, pointer } => {
                    let Some(known) = schema.field(name) else { continue };
                    let value = fields.get(name).filter(|value| !value.is_null());
                    if value.is_some() || !pointer {
                        self.field(&mut out, number, &known.type_, value, depth)?;
                    }
                }
            }
        }
        Some(out)
    }

    fn field(
        &self,
        out: &mut Vec<u8>,
        number: u32,
        type_: &FieldType,
        value: Option<&Value>,
        depth: usize,
    ) -> Option<()> {
        match (type_, value) {
            (FieldType::List(element), Some(Value::Array(items))) => {
                for item in items {
                    self.single(out, number, element, Some(item), depth)?;
                }
            }
            (FieldType::Map(element), Some(Value::Object(map))) => {
                for (key, item) in map {
                    let mut entry = Vec::new();
                    put_bytes(&mut entry, 1, key.as_bytes());
                    self.single(&mut entry, 2, element, Some(item), depth)?;
                    put_bytes(out, number, &entry);
                }
            }
            (FieldType::List(_) | FieldType::Map(_), _)
            | (FieldType::Bytes | FieldType::Raw, None) => {}
            _ => self.single(out, number, type_, value, depth)?,
        }
        Some(())
    }

    /// One value, or the zero of its type.
    fn single(
        &self,
        out: &mut Vec<u8>,
        number: u32,
        type_: &FieldType,
        value: Option<&Value>,
        depth: usize,
    ) -> Option<()> {
        let text = || value.and_then(Value::as_str).unwrap_or("");
        match type_ {
            FieldType::String => put_bytes(out, number, text().as_bytes()),
            FieldType::Int32 | FieldType::Int64 => {
                put_number(out, number, value.and_then(Value::as_i64).unwrap_or(0));
            }
            FieldType::Bool => {
                put_number(out, number, value.and_then(Value::as_bool).unwrap_or(false).into());
            }
            FieldType::Number => {
                put_tag(out, number, 1);
                let number = value.and_then(Value::as_f64).unwrap_or(0.0);
                out.extend_from_slice(&number.to_bits().to_le_bytes());
            }
            FieldType::Bytes => {
                put_bytes(out, number, &STANDARD.decode(text()).unwrap_or_default())
            }
            FieldType::Quantity => {
                let shown = match value {
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                    None => "0".to_owned(),
                };
                put_wrapped(out, number, shown.as_bytes());
            }
            FieldType::IntOrString => put_bytes(out, number, &int_or_string(value)),
            FieldType::Time | FieldType::MicroTime => put_bytes(out, number, &time(text())),
            FieldType::Raw => put_wrapped(out, number, value?.to_string().as_bytes()),
            FieldType::Ref(name) => {
                let empty = Map::new();
                let fields = value.and_then(Value::as_object).unwrap_or(&empty);
                put_bytes(out, number, &self.message(name, fields, depth + 1)?);
            }
            // A list in a map has a name in Go, and is a message with its elements in field 1.
            FieldType::List(_) => {
                let mut items = Vec::new();
                self.field(&mut items, 1, type_, value, depth + 1)?;
                put_bytes(out, number, &items);
            }
            FieldType::Map(_) => return None,
        }
        Some(())
    }
}

fn int_or_string(value: Option<&Value>) -> Vec<u8> {
    let text = value.and_then(Value::as_str);
    let mut out = Vec::new();
    put_number(&mut out, 1, text.is_some().into());
    put_number(&mut out, 2, value.and_then(Value::as_i64).unwrap_or(0));
    put_bytes(&mut out, 3, text.unwrap_or("").as_bytes());
    out
}

/// A time; Go's zero time, which no text stands for, is an empty message.
fn time(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(time) = leme_meta::time::parse(text) {
        put_number(&mut out, 1, time.as_second());
        put_number(&mut out, 2, time.subsec_nanosecond().into());
    }
    out
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_tag(out: &mut Vec<u8>, number: u32, wire: u64) {
    put_varint(out, u64::from(number) << 3 | wire);
}

pub(crate) fn put_number(out: &mut Vec<u8>, number: u32, value: i64) {
    put_tag(out, number, 0);
    put_varint(out, value.cast_unsigned());
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A message that holds one text in its field 1.
fn put_wrapped(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    let mut inner = Vec::new();
    put_bytes(&mut inner, 1, bytes);
    put_bytes(out, number, &inner);
}
