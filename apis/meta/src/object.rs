//! An API object of any kind: a JSON object with `apiVersion`, `kind` and `metadata`.
//!
//! Reading never fails: a missing or mistyped field reads as absent, for what is stored has been validated and what has
//! not been validated must not panic.

use serde_json::{Map, Value};

/// An API object of any kind, held as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(pub Value);

impl Object {
    /// Text at a path of field names, or `""`.
    pub fn text(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or("")
    }

    /// The value at a path of field names.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.0, |value, field| value.get(field))
    }

    /// `apiVersion`, or `""`.
    pub fn api_version(&self) -> &str {
        self.text(&["apiVersion"])
    }

    /// `kind`, or `""`.
    pub fn kind(&self) -> &str {
        self.text(&["kind"])
    }

    /// `metadata.name`, or `""`.
    pub fn name(&self) -> &str {
        self.text(&["metadata", "name"])
    }

    /// `metadata.namespace`, or `""`.
    pub fn namespace(&self) -> &str {
        self.text(&["metadata", "namespace"])
    }

    /// `metadata.uid`, or `""`.
    pub fn uid(&self) -> &str {
        self.text(&["metadata", "uid"])
    }

    /// `metadata.resourceVersion`, or `""`.
    pub fn resource_version(&self) -> &str {
        self.text(&["metadata", "resourceVersion"])
    }

    /// `metadata.generation`, or 0.
    pub fn generation(&self) -> i64 {
        self.at(&["metadata", "generation"]).and_then(Value::as_i64).unwrap_or(0)
    }

    /// `metadata.labels`, pair by pair.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs(self.at(&["metadata", "labels"]))
    }

    /// `metadata.annotations`, pair by pair.
    pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs(self.at(&["metadata", "annotations"]))
    }

    /// Whether `metadata.deletionTimestamp` is set.
    pub fn is_deleting(&self) -> bool {
        self.at(&["metadata", "deletionTimestamp"]).is_some_and(|value| !value.is_null())
    }

    /// `metadata`, made an object if it was not one.
    pub fn metadata_mut(&mut self) -> &mut Map<String, Value> {
        map_mut(map_mut(&mut self.0).entry("metadata").or_insert(Value::Null))
    }
}

/// The value as an object, replaced by an empty one if it was something else.
pub fn map_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

fn pairs(map: Option<&Value>) -> impl Iterator<Item = (&str, &str)> {
    map.and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}
