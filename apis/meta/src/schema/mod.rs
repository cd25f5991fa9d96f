//! The field table: which fields each type has, how lists and maps merge, what is filled in; and the walk over it that
//! checks, prunes and completes a document.
//!
//! Knows: the text form of the table. Refuses to know: any type by name.

mod base64;
mod check;
mod parse;
mod shape;
mod value;

use std::collections::HashMap;
use std::ops::Deref;

use serde_json::Value;

pub use check::{Findings, TypeError, check};
pub use shape::{apply_defaults, empty_to_null, prune};

/// The name of a type, which knows its place in the table that it is from: walks ask for types all the time.
#[derive(Clone, Debug)]
pub struct TypeName {
    name: Box<str>,
    at: usize,
}

impl From<&str> for TypeName {
    /// A name that is looked up each time.
    fn from(name: &str) -> TypeName {
        TypeName { name: name.into(), at: usize::MAX }
    }
}

impl Deref for TypeName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl PartialEq for TypeName {
    fn eq(&self, other: &TypeName) -> bool {
        self.name == other.name
    }
}

impl Eq for TypeName {}

/// The type of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Text.
    String,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// Any number.
    Number,
    /// True or false.
    Bool,
    /// A quantity, as text or number.
    Quantity,
    /// A whole number or text.
    IntOrString,
    /// A time with seconds.
    Time,
    /// A time with microseconds.
    MicroTime,
    /// Bytes in base64.
    Bytes,
    /// Anything.
    Raw,
    /// An object of the named type.
    Ref(TypeName),
    /// A list.
    List(Box<FieldType>),
    /// A map from text.
    Map(Box<FieldType>),
}

impl FieldType {
    /// The type of the objects in it: its own, or that of its elements.
    pub fn element_ref(&self) -> Option<&TypeName> {
        match self {
            FieldType::Ref(name) => Some(name),
            FieldType::List(element) | FieldType::Map(element) => element.element_ref(),
            _ => None,
        }
    }
}

/// How a list is owned and merged by server-side apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    /// As a whole.
    Atomic,
    /// By value.
    Set,
    /// By the keys of its elements.
    Map,
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// Lists are merged, not replaced.
    pub merge: bool,
    /// Objects may be merged with `$retainKeys`.
    pub retain_keys: bool,
    /// Objects are replaced, not merged.
    pub replace: bool,
}

/// A field of a type.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name in JSON.
    pub name: String,
    /// Its type.
    pub type_: FieldType,
    /// Whether it must be given.
    pub required: bool,
    /// Whether an empty value is as if it had not been given: the zero of its type, a list or map of nothing.
    pub omit_empty: bool,
    /// What is filled in where it is absent.
    pub default: Option<Value>,
    /// How a list is owned.
    pub list_type: Option<ListType>,
    /// The keys of a list of [`ListType::Map`].
    pub map_keys: Vec<String>,
    /// Whether a map is owned as a whole.
    pub atomic_map: bool,
    /// How a strategic merge patch treats it.
    pub patch: PatchStrategy,
    /// The key by which such a patch merges a list of objects.
    pub merge_key: Option<String>,
}

/// A type of objects.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeDef {
    /// Its name in OpenAPI.
    pub name: String,
    /// Whether it is owned as a whole by server-side apply.
    pub atomic: bool,
    /// Its fields, sorted by name.
    pub fields: Vec<Field>,
    /// Which of them are filled in where they are absent.
    filled: Vec<usize>,
}

impl TypeDef {
    /// The field of a name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(self.place(name)?)
    }

    /// Where among the fields that of a name is.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.fields.binary_search_by(|field| field.name.as_str().cmp(name)).ok()
    }

    /// The fields that are filled in where they are absent, with what.
    pub(crate) fn filled(&self) -> impl Iterator<Item = (&str, &Value)> {
        let fields = self.filled.iter().filter_map(|at| self.fields.get(*at));
        fields.filter_map(|field| Some((field.name.as_str(), field.default.as_ref()?)))
    }
}

/// All types.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    types: Vec<TypeDef>,
    names: HashMap<String, usize>,
}

impl Schemas {
    /// Reads the text form of the table; the error names the line.
    pub fn parse(text: &str) -> Result<Schemas, String> {
        parse::table(text)
    }

    /// The type of a name.
    pub fn get(&self, name: &str) -> Option<&TypeDef> {
        self.place(name).and_then(|at| self.types.get(at))
    }

    /// Where among the types that of a name is.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The type that a field of this table names.
    pub fn of(&self, name: &TypeName) -> Option<&TypeDef> {
        self.types.get(self.place_of(name)?)
    }

    /// Where among the types that is which a field of this table names.
    pub fn place_of(&self, name: &TypeName) -> Option<usize> {
        if name.at < self.types.len() { Some(name.at) } else { self.place(name) }
    }

    /// Every type, in order.
    pub fn types(&self) -> impl Iterator<Item = &TypeDef> {
        self.types.iter()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
pub(crate) mod tests;
