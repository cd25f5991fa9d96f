//! Structural schemas: what a CustomResourceDefinition says of its objects, read once, and the walks over it that drop,
//! complete and check an object.
//!
//! Knows: the schema's own words and what each means. Refuses to know: definitions, kinds, the metadata of objects.
//! Every walk is bounded: schemas and objects come in through a reader of bounded depth, and checks by fuel.

mod check;
mod default;
mod embedded;
mod format;
mod go;
mod lists;
mod number;
mod pattern;
mod properties;
mod prune;
mod read;
mod rules;
mod validate;

use std::sync::Arc;

use serde_json::Value;

pub use crate::go::float;
pub use check::{Place, check, structure};
pub use embedded::type_meta;
pub use go::GoJson;
pub use lists::unique;
pub use pattern::Pattern;
pub use properties::Properties;
pub use prune::prune;
pub use validate::{Old, validate};

use crate::schema::ListType;
use crate::{FieldError, Path};

/// The type of a value, as `type` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Type {
    /// Not stated.
    #[default]
    Any,
    /// `array`.
    Array,
    /// `boolean`.
    Boolean,
    /// `integer`.
    Integer,
    /// `number`.
    Number,
    /// `object`.
    Object,
    /// `string`.
    String,
}

impl Type {
    const ALL: [(&'static str, Type); 6] = [
        ("array", Type::Array),
        ("boolean", Type::Boolean),
        ("integer", Type::Integer),
        ("number", Type::Number),
        ("object", Type::Object),
        ("string", Type::String),
    ];

    fn of(name: &str) -> Type {
        Type::ALL.iter().find(|(known, _)| *known == name).map_or(Type::Any, |(_, type_)| *type_)
    }

    /// The type's name, empty for [`Type::Any`].
    pub fn name(self) -> &'static str {
        Type::ALL.iter().find(|(_, type_)| *type_ == self).map_or("", |(name, _)| name)
    }
}

/// What `additionalProperties` says.
#[derive(Clone, Debug, PartialEq)]
pub enum Additional {
    /// Whether there may be others.
    Allowed(bool),
    /// What each of the others looks like.
    Schema(Box<Structural>),
}

/// A structural schema, or one that only checks values, nested under `allOf` and the like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Structural {
    /// `type`.
    pub type_: Type,
    /// `nullable`.
    pub nullable: bool,
    /// `x-kubernetes-int-or-string`.
    pub int_or_string: bool,
    /// `x-kubernetes-embedded-resource`.
    pub embedded: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub preserve_unknown: bool,
    /// `properties`.
    pub properties: Properties,
    /// `additionalProperties`.
    pub additional: Option<Additional>,
    /// `items`.
    pub items: Option<Box<Structural>>,
    /// `default`; null is none.
    pub default: Option<Box<Value>>,
    /// `x-kubernetes-list-type`.
    pub list_type: Option<ListType>,
    /// `x-kubernetes-list-map-keys`.
    pub map_keys: Box<[String]>,
    /// Whether `x-kubernetes-map-type` is `atomic`.
    pub atomic_map: bool,
    /// All that checks values, if there is anything.
    pub rules: Option<Box<Rules>>,
}

/// What a schema says of values besides their structure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// `format`; empty where it is none that upstream checks for the type.
    pub format: String,
    /// `pattern`.
    pub pattern: Option<Arc<Pattern>>,
    /// `maximum`.
    pub maximum: Option<f64>,
    /// `exclusiveMaximum`.
    pub exclusive_maximum: bool,
    /// `minimum`.
    pub minimum: Option<f64>,
    /// `exclusiveMinimum`.
    pub exclusive_minimum: bool,
    /// `multipleOf`.
    pub multiple_of: Option<f64>,
    /// `maxLength`.
    pub max_length: Option<i64>,
    /// `minLength`.
    pub min_length: Option<i64>,
    /// `maxItems`.
    pub max_items: Option<i64>,
    /// `minItems`.
    pub min_items: Option<i64>,
    /// `maxProperties`.
    pub max_properties: Option<i64>,
    /// `minProperties`.
    pub min_properties: Option<i64>,
    /// `uniqueItems`.
    pub unique_items: bool,
    /// `enum`.
    pub enumerated: Vec<Value>,
    /// `required`.
    pub required: Vec<String>,
    /// `allOf`.
    pub all_of: Vec<Structural>,
    /// `anyOf`.
    pub any_of: Vec<Structural>,
    /// `oneOf`.
    pub one_of: Vec<Structural>,
    /// `not`.
    pub not: Option<Box<Structural>>,
}

/// Whether a text has a format; one that is not known takes every text.
pub fn has_format(format: &str, text: &str) -> bool {
    format::fits(format, text)
}

/// Whether texts or numbers of a type are held against a format.
pub fn recognized_format(type_: &str, format: &str) -> bool {
    format::recognized(Some(Type::of(type_)), format)
}

impl Structural {
    /// The schema that a definition states as `openAPIV3Schema`, which stands at `path`, or all that keeps it from being
    /// a structural one.
    ///
    /// # Errors
    /// What is wrong, in upstream's words.
    pub fn parse(schema: &Value, path: &Path) -> Result<Structural, Vec<FieldError>> {
        let errors = check(schema, path, &Place::default());
        if errors.is_empty() { Ok(Structural::read(schema)) } else { Err(errors) }
    }

    /// The schema, taken for what it says where it is well formed: for one that has been checked before.
    pub fn read(schema: &Value) -> Structural {
        read::schema(schema)
    }

    /// The schema of a property, the one of all others included.
    pub fn property(&self, name: &str) -> Option<&Structural> {
        match (self.properties.get(name), &self.additional) {
            (Some(known), _) => Some(known),
            (None, Some(Additional::Schema(schema))) => Some(schema),
            (None, _) => None,
        }
    }
}

#[cfg(test)]
mod tests;
