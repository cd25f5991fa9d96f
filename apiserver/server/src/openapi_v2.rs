//! `/openapi/v2`: the document that kubectl before 1.27 reads, in JSON, and in the protobuf form that it asks for.
//!
//! Knows: the messages of gnostic's `openapi.v2.Document` by their numbers (OpenAPIv2.proto). Refuses to know: what the
//! document says.

use http::{HeaderMap, header};
use leme_kinds::Kinds;
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::openapi::Document;
use crate::protobuf::{put_bytes, put_number};

/// The media type of the protobuf form. Clients ask for it with an `@`, which is no media type that Go's own parser takes,
/// so the answer has the later spelling.
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The document in JSON and in protobuf.
pub(crate) fn documents(kinds: &Kinds) -> (Document, Document) {
    let document = leme_kinds::openapi::v2_document(kinds);
    (Document::of(document.to_string().into()), Document::of(encoded(&document).into()))
}

/// Answers in protobuf where the client lists it, else in JSON.
pub(crate) fn document((json, protobuf): &(Document, Document), headers: &HeaderMap) -> Answer {
    let accepted = headers.get_all(header::ACCEPT);
    let wanted = accepted.iter().any(|value| {
        value.to_str().is_ok_and(|value| value.contains("com.github.proto-openapi.spec.v2"))
    });
    match wanted {
        true => protobuf.answer_as(PROTOBUF, headers),
        false => json.answer_as("application/json", headers),
    }
}

/// One message, written field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn bytes(mut self, field: u32, bytes: &[u8]) -> Message {
        put_bytes(&mut self.0, field, bytes);
        self
    }

    /// A member that is a text, if it is there.
    fn text(self, field: u32, of: &Value, name: &str) -> Message {
        match of[name].as_str() {
            Some(text) => self.bytes(field, text.as_bytes()),
            None => self,
        }
    }

    fn flag(mut self, field: u32, of: &Value, name: &str) -> Message {
        if of[name] == true {
            put_number(&mut self.0, field, 1);
        }
        self
    }

    fn texts(self, field: u32, of: &Value, name: &str) -> Message {
        let texts = of[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.fold(self, |message, text| message.bytes(field, text.as_bytes()))
    }

    fn message(self, field: u32, message: Message) -> Message {
        self.bytes(field, &message.0)
    }

    /// A member that is an object, if it is there.
    fn member(self, field: u32, of: &Value, name: &str, write: fn(&Value) -> Message) -> Message {
        match of.get(name) {
            Some(value) => self.message(field, write(value)),
            None => self,
        }
    }

    /// Each member of an object with its name.
    fn named(self, field: u32, of: &Value, write: fn(&Value) -> Message) -> Message {
        let members = of.as_object().into_iter().flat_map(Map::iter);
        members
            .fold(self, |message, (name, value)| message.message(field, named(name, write(value))))
    }

    /// The members whose names begin with `x-`, as text that is YAML.
    fn extensions(self, field: u32, of: &Value) -> Message {
        let members = of.as_object().into_iter().flat_map(Map::iter);
        members
            .filter(|(name, _)| name.starts_with("x-"))
            .fold(self, |message, (name, value)| message.message(field, named(name, any(value))))
    }
}

fn named(name: &str, value: Message) -> Message {
    Message::default().bytes(1, name.as_bytes()).message(2, value)
}

/// JSON is YAML.
fn any(value: &Value) -> Message {
    Message::default().bytes(2, value.to_string().as_bytes())
}

fn encoded(document: &Value) -> Vec<u8> {
    let info = |info: &Value| Message::default().text(1, info, "title").text(2, info, "version");
    let paths = |paths: &Value| Message::default().named(2, paths, path_item);
    let definitions = |all: &Value| Message::default().named(1, all, schema);
    Message::default()
        .text(1, document, "swagger")
        .member(2, document, "info", info)
        .member(8, document, "paths", paths)
        .member(9, document, "definitions", definitions)
        .0
}

fn path_item(item: &Value) -> Message {
    const METHODS: [(&str, u32); 7] = [
        ("get", 2),
        ("put", 3),
        ("post", 4),
        ("delete", 5),
        ("options", 6),
        ("head", 7),
        ("patch", 8),
    ];
    let operations = METHODS.iter().fold(Message::default(), |message, (name, field)| {
        message.member(*field, item, name, operation)
    });
    parameters(operations, 9, item)
}

fn operation(operation: &Value) -> Message {
    let message = Message::default().texts(1, operation, "tags").text(5, operation, "operationId");
    parameters(message.texts(7, operation, "consumes"), 8, operation)
        .member(9, operation, "responses", |all| Message::default().named(1, all, response))
        .extensions(13, operation)
}

fn response(response: &Value) -> Message {
    let told =
        Message::default()
            .text(1, response, "description")
            .member(2, response, "schema", |of| Message::default().message(1, schema(of)));
    Message::default().message(1, told)
}

fn parameters(message: Message, field: u32, of: &Value) -> Message {
    let all = of["parameters"].as_array().into_iter().flatten();
    all.fold(message, |message, parameter| {
        message.message(field, Message::default().message(1, self::parameter(parameter)))
    })
}

fn parameter(parameter: &Value) -> Message {
    if parameter["in"] == "body" {
        let body = Message::default()
            .text(2, parameter, "name")
            .text(3, parameter, "in")
            .flag(4, parameter, "required")
            .member(5, parameter, "schema", schema);
        return Message::default().message(1, body);
    }
    let kind = if parameter["in"] == "path" { 4 } else { 3 };
    let named = Message::default()
        .flag(1, parameter, "required")
        .text(2, parameter, "in")
        .text(4, parameter, "name");
    // Only what stands in a query may be empty.
    let named = named.text(if kind == 4 { 5 } else { 6 }, parameter, "type");
    Message::default().message(2, Message::default().message(kind, named))
}

fn schema(schema: &Value) -> Message {
    let one = |of: &Value| Message::default().message(1, self::schema(of));
    let kind = |of: &Value| match of.as_str() {
        Some(kind) => Message::default().bytes(1, kind.as_bytes()),
        None => Message::default(),
    };
    let properties = |all: &Value| Message::default().named(1, all, self::schema);
    Message::default()
        .text(1, schema, "$ref")
        .text(2, schema, "format")
        .text(4, schema, "description")
        .member(5, schema, "default", any)
        .texts(19, schema, "required")
        .member(21, schema, "additionalProperties", one)
        .member(22, schema, "type", kind)
        .member(23, schema, "items", one)
        .member(25, schema, "properties", properties)
        .extensions(31, schema)
}
