//! What the structural schema of a defined kind says of ownership, and the objects of any kind: of the field table or
//! defined.
//!
//! Knows: that the metadata of a defined kind is that of all others. Refuses to know: where schemas come from.

use serde_json::Value;

use super::schema::{Declared, Deduced, Scalar, Schema, Shape, Typed, Zero};
use crate::schema::ListType;
use crate::structural::{Additional, Structural, Type};

/// A place in the objects of any kind: of one of the field table, or of a defined one, whose metadata is the table's.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// A place in the field table.
    Typed(Typed<'a>),
    /// A place in a structural schema.
    Defined(Defined<'a>),
}

/// A place in a structural schema.
#[derive(Clone, Copy, Debug)]
pub struct Defined<'a> {
    /// What the schema says here; where it says nothing, all is open.
    schema: Option<&'a Structural>,
    /// What the metadata of objects is.
    metadata: Typed<'a>,
    /// Whether this is an object of the API.
    object: bool,
}

impl<'a> Place<'a> {
    /// The objects of a structural schema, given what their metadata is.
    pub fn defined(schema: &'a Structural, metadata: Typed<'a>) -> Place<'a> {
        Place::Defined(Defined { schema: Some(schema), metadata, object: true })
    }
}

impl<'a> Defined<'a> {
    fn at(self, schema: Option<&'a Structural>) -> Place<'a> {
        let object = schema.is_some_and(|schema| schema.embedded);
        Place::Defined(Defined { schema, metadata: self.metadata, object })
    }

    fn shape(self, value: &Value) -> Shape<'a> {
        let Some(schema) = self.schema else { return Deduced.shape(value) };
        if schema.int_or_string {
            return Shape::Scalar(Scalar::Any);
        }
        match schema.type_ {
            Type::Any => Deduced.shape(value),
            Type::Array => match schema.list_type {
                Some(ListType::Set) => Shape::Set,
                Some(ListType::Map) => Shape::Keyed(&schema.map_keys),
                Some(ListType::Atomic) | None => Shape::List,
            },
            Type::Boolean => Shape::Scalar(Scalar::Bool),
            Type::Integer | Type::Number => Shape::Scalar(Scalar::Number),
            Type::Object => Shape::Map { atomic: schema.atomic_map },
            Type::String => {
                let format = schema.rules.as_ref().map_or("", |rules| rules.format.as_str());
                let text = matches!(format, "" | "byte");
                Shape::Scalar(if text { Scalar::Text } else { Scalar::Any })
            }
        }
    }

    fn field(self, name: &str) -> Option<Declared<'a, Place<'a>>> {
        let declared = |schema, default| Declared { schema, default, zero: Zero::Absent };
        match name {
            "metadata" if self.object => Some(declared(Place::Typed(self.metadata), None)),
            "apiVersion" | "kind" if self.object => Some(declared(self.at(None), None)),
            _ => {
                let field = self.schema?.properties.get(name)?;
                Some(declared(self.at(Some(field)), field.default.as_deref()))
            }
        }
    }

    fn entry(self) -> Option<Place<'a>> {
        let Some(schema) = self.schema else { return Some(self.at(None)) };
        match &schema.additional {
            Some(Additional::Schema(schema)) => Some(self.at(Some(schema))),
            Some(Additional::Allowed(true)) => Some(self.at(None)),
            _ if schema.preserve_unknown || schema.properties.is_empty() => Some(self.at(None)),
            _ => None,
        }
    }
}

impl<'a> Schema<'a> for Place<'a> {
    fn shape(self, value: &Value) -> Shape<'a> {
        match self {
            Place::Typed(typed) => typed.shape(value),
            Place::Defined(defined) => defined.shape(value),
        }
    }

    fn field(self, name: &str) -> Option<Declared<'a, Place<'a>>> {
        match self {
            Place::Typed(typed) => typed.field(name).map(|field| Declared {
                schema: Place::Typed(field.schema),
                default: field.default,
                zero: field.zero,
            }),
            Place::Defined(defined) => defined.field(name),
        }
    }

    fn entry(self) -> Option<Place<'a>> {
        match self {
            Place::Typed(typed) => typed.entry().map(Place::Typed),
            Place::Defined(defined) => defined.entry(),
        }
    }

    fn element(self) -> Place<'a> {
        match self {
            Place::Typed(typed) => Place::Typed(typed.element()),
            Place::Defined(defined) => {
                defined.at(defined.schema.and_then(|schema| schema.items.as_deref()))
            }
        }
    }

    fn is_open(self) -> bool {
        match self {
            Place::Typed(typed) => typed.is_open(),
            Place::Defined(defined) => {
                let untyped =
                    |schema: &Structural| schema.type_ == Type::Any && !schema.int_or_string;
                defined.schema.is_none_or(untyped)
            }
        }
    }
}
