//! What is read of an object: the cells of its row in a Table, and the fields that can be selected by.
//!
//! Knows: where either comes from. Refuses to know: which a kind has.

use std::sync::Arc;

use leme_meta::jsonpath::Template;
use serde_json::Value;

use crate::{Name, columns};

/// One column of the server-side Table.
#[derive(Clone, Debug)]
pub struct Column {
    /// Heading.
    pub name: Name,
    /// OpenAPI type: `string`, `integer`, `boolean`, `date`.
    pub type_: Name,
    /// OpenAPI format, often empty.
    pub format: Name,
    /// 0 is always shown; greater ones with `-o wide`.
    pub priority: i32,
    /// Where the cell of an object comes from.
    pub cell: Cell,
}

/// Where the cell of an object comes from.
#[derive(Clone, Debug)]
pub enum Cell {
    /// A function of the object and the time now.
    Native(fn(&Value, jiff::Timestamp) -> Value),
    /// What a path leads to first.
    JsonPath(Arc<Template>),
}

impl Column {
    /// The cell of an object, given the time now.
    pub fn cell(&self, object: &Value, now: jiff::Timestamp) -> Value {
        match &self.cell {
            Cell::Native(read) => read(object, now),
            Cell::JsonPath(path) => path
                .first(object)
                .map_or(Value::Null, |value| columns::custom::cell(&self.type_, value, now)),
        }
    }
}

/// A field that field selectors may name, besides `metadata.name` and `metadata.namespace`.
#[derive(Clone, Debug)]
pub struct SelectableField {
    /// Path as the client writes it, such as `spec.nodeName`.
    pub path: Name,
    /// Where the text of the field comes from.
    pub read: Reading,
}

/// Where the text of a selectable field comes from.
#[derive(Clone, Debug)]
pub enum Reading {
    /// A function of the object.
    Native(fn(&Value) -> String),
    /// What a path leads to.
    JsonPath(Arc<Template>),
}

impl SelectableField {
    /// The text of the field.
    pub fn read(&self, object: &Value) -> String {
        match &self.read {
            Reading::Native(read) => read(object),
            Reading::JsonPath(path) => {
                path.first(object).map_or_else(String::new, columns::custom::text)
            }
        }
    }
}
