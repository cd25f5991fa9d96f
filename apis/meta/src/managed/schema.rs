//! What ownership needs to know of a schema, and the schemas that say it: the field table, and none at all.
//!
//! Knows: how lists and maps are owned. Refuses to know: what else a schema says.

use serde_json::Value;

use crate::schema::{Field, FieldType, ListType, Schemas, TypeDef, TypeName};

/// What a scalar takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Numbers.
    Number,
    /// Text.
    Text,
    /// Truths.
    Bool,
    /// Any scalar.
    Any,
}

/// How a value is owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape<'a> {
    /// As a scalar.
    Scalar(Scalar),
    /// As an object or map: as a whole, or entry by entry.
    Map {
        /// As a whole.
        atomic: bool,
    },
    /// As a list, as a whole.
    List,
    /// As a set of scalars.
    Set,
    /// As a list of objects by these keys.
    Keyed(&'a [String]),
}

/// What stands in a field of an object that nobody has written yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Zero<'a> {
    /// Nothing.
    Absent,
    /// Null.
    Null,
    /// An object of which the same is asked.
    Object,
    /// This.
    Value(&'a Value),
}

/// A field that an object declares.
#[derive(Clone, Copy, Debug)]
pub struct Declared<'a, S> {
    /// What it takes.
    pub schema: S,
    /// What it is where it is not given.
    pub default: Option<&'a Value>,
    /// What stands in it before anybody writes it.
    pub zero: Zero<'a>,
}

/// A place in a schema: a handle that is copied.
pub trait Schema<'a>: Copy {
    /// How a value here is owned. It may depend on the value only where the schema leaves it open.
    fn shape(self, value: &Value) -> Shape<'a>;

    /// A field that objects here declare.
    fn field(self, name: &str) -> Option<Declared<'a, Self>>;

    /// What the entries of maps here are that are not declared; none where there can be none.
    fn entry(self) -> Option<Self>;

    /// What the elements of lists here are.
    fn element(self) -> Self;

    /// Whether the schema leaves open all that is here.
    fn is_open(self) -> bool;
}

/// Where there is no schema: objects are owned field by field, lists as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Deduced;

impl<'a> Schema<'a> for Deduced {
    fn shape(self, value: &Value) -> Shape<'a> {
        match value {
            Value::Object(_) => Shape::Map { atomic: false },
            Value::Array(_) => Shape::List,
            _ => Shape::Scalar(Scalar::Any),
        }
    }

    fn field(self, _: &str) -> Option<Declared<'a, Deduced>> {
        None
    }

    fn entry(self) -> Option<Deduced> {
        Some(Deduced)
    }

    fn element(self) -> Deduced {
        Deduced
    }

    fn is_open(self) -> bool {
        true
    }
}

/// A place in the field table.
#[derive(Clone, Copy, Debug)]
pub struct Typed<'a> {
    schemas: &'a Schemas,
    at: At<'a>,
}

#[derive(Clone, Copy, Debug)]
enum At<'a> {
    /// A field with all that is said of it.
    Field(&'a Field),
    /// A type that nothing more is said of.
    Type(&'a FieldType),
    /// An object; whether it is owned as a whole.
    Object(&'a TypeDef, bool),
    /// Anything.
    Open,
}

impl<'a> Typed<'a> {
    /// The type of a name; anything, if the table does not have it.
    pub fn new(schemas: &'a Schemas, type_name: &str) -> Typed<'a> {
        let at = schemas.get(type_name).map_or(At::Open, |def| At::Object(def, def.atomic));
        Typed { schemas, at }
    }

    fn at(self, at: At<'a>) -> Typed<'a> {
        let at = match at {
            At::Field(field) => match &field.type_ {
                FieldType::Ref(name) => self.object(name, field.atomic_map),
                _ => at,
            },
            At::Type(FieldType::Ref(name)) => self.object(name, false),
            _ => at,
        };
        Typed { schemas: self.schemas, at }
    }

    fn object(self, name: &TypeName, atomic: bool) -> At<'a> {
        self.schemas.of(name).map_or(At::Open, |def| At::Object(def, def.atomic || atomic))
    }

    fn type_(self) -> Option<&'a FieldType> {
        match self.at {
            At::Field(field) => Some(&field.type_),
            At::Type(type_) => Some(type_),
            At::Object(..) | At::Open => None,
        }
    }
}

/// How the table says that a list is owned: a list that patches merge is one of keys or a set.
fn list(field: &Field) -> Shape<'_> {
    match field.list_type {
        Some(ListType::Atomic) => Shape::List,
        Some(ListType::Set) => Shape::Set,
        Some(ListType::Map) => Shape::Keyed(&field.map_keys),
        None if field.patch.merge => match &field.merge_key {
            Some(key) => Shape::Keyed(std::slice::from_ref(key)),
            None => Shape::Set,
        },
        None => Shape::List,
    }
}

impl<'a> Schema<'a> for Typed<'a> {
    fn shape(self, value: &Value) -> Shape<'a> {
        let type_ = match self.at {
            At::Object(_, atomic) => return Shape::Map { atomic },
            At::Open => return Deduced.shape(value),
            At::Field(Field { type_: FieldType::Map(_), atomic_map, .. }) => {
                return Shape::Map { atomic: *atomic_map };
            }
            At::Field(field @ Field { type_: FieldType::List(_), .. }) => return list(field),
            At::Field(field) => &field.type_,
            At::Type(type_) => type_,
        };
        match type_ {
            FieldType::String | FieldType::Bytes => Shape::Scalar(Scalar::Text),
            FieldType::Int32 | FieldType::Int64 | FieldType::Number => {
                Shape::Scalar(Scalar::Number)
            }
            FieldType::Bool => Shape::Scalar(Scalar::Bool),
            FieldType::Quantity
            | FieldType::IntOrString
            | FieldType::Time
            | FieldType::MicroTime => Shape::Scalar(Scalar::Any),
            FieldType::Raw | FieldType::Ref(_) => Deduced.shape(value),
            FieldType::List(_) => Shape::List,
            FieldType::Map(_) => Shape::Map { atomic: false },
        }
    }

    fn field(self, name: &str) -> Option<Declared<'a, Typed<'a>>> {
        let At::Object(def, _) = self.at else { return None };
        let field = def.field(name)?;
        let zero = match &field.default {
            Some(Value::Object(map)) if map.is_empty() => Zero::Object,
            Some(Value::Null) => Zero::Null,
            Some(value) if field.required => Zero::Value(value),
            None if field.required => Zero::Null,
            _ => Zero::Absent,
        };
        let schema = self.at(At::Field(field));
        let default = field.default.as_ref().filter(|default| !default.is_null());
        Some(Declared { schema, default, zero })
    }

    fn entry(self) -> Option<Typed<'a>> {
        match self.type_() {
            Some(FieldType::Map(entry)) => Some(self.at(At::Type(entry))),
            // Objects of which the table has no field are of any content.
            None => match self.at {
                At::Object(def, _) if !def.fields.is_empty() => None,
                _ => Some(self.at(At::Open)),
            },
            Some(FieldType::Raw) => Some(self.at(At::Open)),
            _ => None,
        }
    }

    fn element(self) -> Typed<'a> {
        match self.type_() {
            Some(FieldType::List(element)) => self.at(At::Type(element)),
            _ => self.at(At::Open),
        }
    }

    fn is_open(self) -> bool {
        matches!(self.at, At::Open) || matches!(self.type_(), Some(FieldType::Raw))
    }
}
