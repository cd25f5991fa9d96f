//! Request bodies in the Kubernetes protobuf encoding, as typed Go clients (`kubectl create namespace` among them) send
//! them, read as JSON.
//!
//! Knows: the envelope, the wire format, the numbers of fields (`numbers.txt`); what a field is called and what type it
//! has is the field table's. Refuses to know: the other direction; every client that sends this accepts JSON.
//!
//! Go writes zero values of plain fields too. Empty text means absent there and is dropped; numbers and booleans are
//! kept, for optional ones mean what they say.

mod wire;

use std::collections::HashMap;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leme_meta::Status;
use leme_meta::schema::{FieldType, Schemas, TypeDef};
use serde_json::{Map, Value};

use wire::{Payload, Reader, Result, Wrong};

/// The media type.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

const MAGIC: &[u8] = b"k8s\0";
/// Objects nest far less; a hostile body must not exhaust the stack.
const MAX_DEPTH: usize = 64;
/// Optional text that means something when it is empty.
const KEEP_EMPTY: [&str; 1] = ["storageClassName"];

const PREFIXES: [(&str, &str); 6] = [
    ("c", "io.k8s.api.core.v1."),
    ("m", "io.k8s.apimachinery.pkg.apis.meta.v1."),
    ("as", "io.k8s.api.autoscaling.v1."),
    ("co", "io.k8s.api.coordination.v1."),
    ("di", "io.k8s.api.discovery.v1."),
    ("po", "io.k8s.api.policy.v1."),
];
/// Kinds that are sent but not stored.
const PASSING: [(&str, &str); 3] = [
    ("DeleteOptions", "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"),
    ("Binding", "io.k8s.api.core.v1.Binding"),
    ("Scale", "io.k8s.api.autoscaling.v1.Scale"),
];

/// What a number stands for.
enum Numbered {
    Field(String),
    /// The fields of another message, inlined.
    Inline(String),
}

type Numbers = HashMap<String, HashMap<u32, Numbered>>;

/// The table of numbers; it is part of the program and was checked by a test.
fn numbers() -> &'static Numbers {
    static NUMBERS: OnceLock<Numbers> = OnceLock::new();
    NUMBERS.get_or_init(|| parse_numbers(include_str!("numbers.txt")))
}

fn full_name(short: &str) -> String {
    let (prefix, name) = short.split_once(':').unwrap_or(("", short));
    let package =
        PREFIXES.iter().find(|(known, _)| *known == prefix).map_or("", |(_, package)| package);
    format!("{package}{name}")
}

fn parse_numbers(text: &str) -> Numbers {
    let mut table = Numbers::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_ascii_whitespace();
        let Some(message) = words.next() else { continue };
        let fields = words.filter_map(|word| {
            let (name, number) = word.split_once('=')?;
            let numbered = match name.strip_prefix('+') {
                Some(inline) => Numbered::Inline(full_name(inline)),
                None => Numbered::Field(name.to_owned()),
            };
            Some((number.parse().ok()?, numbered))
        });
        table.insert(full_name(message), fields.collect());
    }
    table
}

/// The object of a body, as JSON.
pub(crate) fn decode(body: &[u8]) -> std::result::Result<Value, Status> {
    object(body).map_err(|Wrong(why)| {
        Status::bad_request(format!("the object provided is unrecognized (protobuf): {why}"))
    })
}

fn object(body: &[u8]) -> Result<Value> {
    let envelope = body
        .strip_prefix(MAGIC)
        .ok_or(Wrong("provided data does not appear to be a protobuf message"))?;
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
    let (group, version) = leme_meta::gvk::split_api_version(&api_version);
    let schema = match PASSING.iter().find(|(passing, _)| *passing == kind) {
        Some((_, schema)) => *schema,
        None => leme_kinds::by_kind(group, version, &kind).ok_or(Wrong("unknown kind"))?.schema,
    };
    let decoder = Decoder { schemas: leme_kinds::schemas(), numbers: numbers() };
    let mut fields = decoder.message(schema, raw, 0)?;
    fields.insert("apiVersion".to_owned(), api_version.into());
    fields.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(fields))
}

struct Decoder {
    schemas: &'static Schemas,
    numbers: &'static Numbers,
}

impl Decoder {
    fn message(&self, name: &str, bytes: &[u8], depth: usize) -> Result<Map<String, Value>> {
        let schema = self.schemas.get(name).ok_or(Wrong("a type that has no schema"))?;
        let mut out = Map::new();
        self.fields(schema, name, bytes, depth, &mut out)?;
        Ok(out)
    }

    /// Reads the fields of the message `name` into an object of the type `schema`, which differs for inlined messages.
    fn fields(
        &self,
        schema: &TypeDef,
        name: &str,
        bytes: &[u8],
        depth: usize,
        out: &mut Map<String, Value>,
    ) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Wrong("exceeded max depth"));
        }
        let numbers = self.numbers.get(name);
        for field in Reader::new(bytes) {
            let (number, payload) = field?;
            match numbers.and_then(|numbers| numbers.get(&number)) {
                // A field of a newer version: dropped, as every protobuf decoder does.
                None => {}
                Some(Numbered::Inline(inline)) => {
                    self.fields(schema, inline, payload.bytes()?, depth + 1, out)?;
                }
                Some(Numbered::Field(field)) => {
                    if let Some(known) = schema.field(field) {
                        self.field(field, &known.type_, payload, depth, out)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn field(
        &self,
        name: &str,
        type_: &FieldType,
        payload: Payload<'_>,
        depth: usize,
        out: &mut Map<String, Value>,
    ) -> Result<()> {
        match type_ {
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
            _ => {
                let value = self.value(type_, payload, depth)?;
                let absent = value.is_null() || (value == "" && !KEEP_EMPTY.contains(&name));
                if !absent {
                    out.insert(name.to_owned(), value);
                }
            }
        }
        Ok(())
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
                Value::Object(self.message(name, payload.bytes()?, depth + 1)?)
            }
            FieldType::List(_) | FieldType::Map(_) => return Err(Wrong("a list of lists")),
        })
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
mod tests {
    use serde_json::json;

    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend_from_slice(bytes);
        out
    }

    fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &type_meta), field(2, raw)].concat()
    }

    #[test]
    fn a_config_map_is_read() {
        let label = field(11, &[field(1, b"app"), field(2, b"x")].concat());
        let metadata = [field(1, b"web"), field(2, b""), field(8, b""), label].concat();
        let data = field(2, &[field(1, b"k"), field(2, b"v")].concat());
        let body = envelope("v1", "ConfigMap", &[field(1, &metadata), data].concat());
        assert_eq!(
            decode(&body).unwrap(),
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": { "name": "web", "labels": { "app": "x" } },
                "data": { "k": "v" },
            })
        );
    }

    #[test]
    fn every_number_names_a_field_of_the_table_and_every_stored_core_kind_has_numbers() {
        let schemas = leme_kinds::schemas();
        for (name, fields) in numbers() {
            let Some(schema) = schemas.get(name) else { continue };
            for numbered in fields.values() {
                match numbered {
                    Numbered::Field(field) => {
                        assert!(schema.field(field).is_some(), "{name}.{field}")
                    }
                    Numbered::Inline(inline) => {
                        assert!(numbers().contains_key(inline), "{name} {inline}")
                    }
                }
            }
        }
        for kind in leme_kinds::KINDS.iter().filter(|kind| !kind.group.contains("openshift")) {
            assert!(numbers().contains_key(kind.schema), "{}", kind.schema);
        }
    }

    #[test]
    fn garbage_is_refused_and_never_panics() {
        for body in [
            &b""[..],
            b"k8s",
            b"{}",
            b"k8s\0",
            b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(decode(body).unwrap_err().code, 400);
        }
        let body = envelope("v1", "Pod", &field(2, &field(7, &field(7, b"\x80"))));
        for cut in 0..body.len() {
            let _ = decode(&body[..cut]);
        }
        assert_eq!(decode(&envelope("v1", "Nope", b"")).unwrap_err().code, 400);
    }
}
