//! What in a document the table does not know, and what has the wrong type, in the words of upstream's decoder.

use crate::quote;
use serde_json::{Map, Value};

use super::value::{self, Wrong};
use super::{FieldType, Schemas, TypeDef, shape};
use crate::decode;

/// How many findings of each sort are kept.
const MAX_FINDINGS: usize = 100;

/// What is wrong with a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// `unknown field "spec.foo"`, as strict decoding says.
    pub unknown: Vec<String>,
    /// The errors of decoding; upstream stops at the first.
    pub type_errors: Vec<TypeError>,
    /// Whether pruning may change the document. Most are as they are to be.
    pub loose: bool,
}

/// A value of the wrong type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeError {
    /// In the words of upstream's decoder of JSON.
    pub decoded: String,
    /// In those of its converter, which takes what a strategic merge patch has made.
    pub converted: String,
}

/// Checks a document against a type. A type that the table does not have finds nothing.
pub fn check(schemas: &Schemas, type_name: &str, document: &Value) -> Findings {
    let mut walk = Walk { schemas, findings: Findings::default(), steps: Vec::new() };
    if let Some(def) = schemas.get(type_name) {
        match document {
            Value::Object(map) => walk.object(def, map),
            Value::Null => {}
            other => {
                let type_ = FieldType::Ref(def.name.as_str().into());
                let (found, name) = (decode::go_name(other), value::go_name(&type_));
                walk.findings.type_errors.push(TypeError {
                    decoded: format!("json: cannot unmarshal {found} into Go value of type {name}"),
                    converted: value::not_converted(&type_, other),
                });
            }
        }
    }
    walk.findings
}

/// One step down a document.
enum Step<'a> {
    Field(&'a str),
    Key(&'a str),
    Index(usize),
}

struct Walk<'a> {
    schemas: &'a Schemas,
    findings: Findings,
    steps: Vec<Step<'a>>,
}

impl<'a> Walk<'a> {
    fn object(&mut self, def: &'a TypeDef, map: &'a Map<String, Value>) {
        for (name, value) in map {
            match def.field(name) {
                None => {
                    self.findings.loose = true;
                    self.unknown(name);
                }
                Some(field) => {
                    self.findings.loose |= !shape::stays(Some(field), value);
                    self.steps.push(Step::Field(name));
                    self.value(def, &field.type_, value);
                    self.steps.pop();
                }
            }
        }
    }

    fn value(&mut self, owner: &'a TypeDef, type_: &'a FieldType, value: &'a Value) {
        match (type_, value) {
            (_, Value::Null) => self.findings.loose = true,
            (FieldType::Ref(name), Value::Object(map)) => {
                if let Some(def) = self.schemas.of(name) {
                    self.object(def, map);
                }
            }
            (FieldType::List(element), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.steps.push(Step::Index(index));
                    self.value(owner, element, item);
                    self.steps.pop();
                }
            }
            (FieldType::Map(element), Value::Object(map)) => {
                for (key, item) in map {
                    self.steps.push(Step::Key(key));
                    self.value(owner, element, item);
                    self.steps.pop();
                }
            }
            (FieldType::Ref(_) | FieldType::List(_) | FieldType::Map(_), other) => {
                let found = Wrong::Json(decode::go_name(other).to_owned());
                self.wrong(owner, type_, other, found);
            }
            (scalar, value) => {
                if let Some(wrong) = value::wrong(scalar, value) {
                    self.wrong(owner, scalar, value, wrong);
                }
                self.findings.loose |= !shape::is_canonical(scalar, value);
            }
        }
    }

    fn wrong(&mut self, owner: &TypeDef, type_: &FieldType, value: &Value, wrong: Wrong) {
        if self.findings.type_errors.len() >= MAX_FINDINGS {
            return;
        }
        let converted = match &wrong {
            Wrong::Text(text) => text.clone(),
            Wrong::Json(_) => value::not_converted(type_, value),
        };
        let decoded = match wrong {
            Wrong::Text(text) => text,
            Wrong::Json(found) => {
                // Go names the fields on the way, but neither indexes nor keys.
                let fields: Vec<&str> = self
                    .steps
                    .iter()
                    .filter_map(|step| match step {
                        Step::Field(name) => Some(*name),
                        Step::Key(_) | Step::Index(_) => None,
                    })
                    .collect();
                let owner = owner.name.rsplit('.').next().unwrap_or("");
                format!(
                    "json: cannot unmarshal {found} into Go struct field {owner}.{} of type {}",
                    fields.join("."),
                    value::go_name(type_)
                )
            }
        };
        self.findings.type_errors.push(TypeError { decoded, converted });
    }

    fn unknown(&mut self, name: &str) {
        if self.findings.unknown.len() >= MAX_FINDINGS {
            return;
        }
        let mut path = String::new();
        for step in &self.steps {
            match step {
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Field(name) | Step::Key(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
            }
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        self.findings.unknown.push(format!("unknown field {path}", path = quote(&path)));
    }
}
