//! The resources that the watch cache keeps: those of the built-in kinds, and those of definitions.
//!
//! Knows: how the objects of either are read out of the store. Refuses to know: when the cache is told of them.

use std::sync::Arc;

use bytes::Bytes;
use leme_kinds::SelectableField;
use leme_kinds::custom::Objects;
use leme_store::cache::{Reader, Resource};
use serde_json::Value;

use crate::ordered;

/// The resources of all built-in kinds, and of what definitions define.
pub(crate) fn of<'a>(defined: impl IntoIterator<Item = &'a Objects>) -> Vec<Resource> {
    let mut all: Vec<Resource> = Vec::new();
    for kind in leme_kinds::builtin().filter(|kind| kind.is_kept()) {
        let prefix = kind.prefix(None);
        if !all.iter().any(|known| known.prefix == prefix) {
            all.push(Resource { prefix, reader: Arc::new(Fields::of(&kind.selectable)) });
        }
    }
    all.extend(defined.into_iter().map(resource));
    all
}

/// The resource of what a definition defines.
pub(crate) fn resource(objects: &Objects) -> Resource {
    let reader = Defined { fields: Fields::of(&objects.selectable), objects: objects.clone() };
    Resource { prefix: objects.prefix.clone(), reader: Arc::new(reader) }
}

/// The selectable fields of a resource, by their names.
struct Fields(Vec<(Arc<str>, SelectableField)>);

impl Fields {
    fn of(selectable: &[SelectableField]) -> Fields {
        Fields(selectable.iter().map(|field| (Arc::from(&*field.path), field.clone())).collect())
    }
}

impl Reader for Fields {
    fn has_fields(&self) -> bool {
        !self.0.is_empty()
    }

    fn index(&self, object: &Value) -> Vec<(Arc<str>, String)> {
        self.0.iter().map(|(name, field)| (Arc::clone(name), field.read(object))).collect()
    }
}

/// Objects of a definition, which are read by the schema of today, whatever it was when they were written.
struct Defined {
    fields: Fields,
    objects: Objects,
}

impl Reader for Defined {
    fn has_fields(&self) -> bool {
        self.fields.has_fields()
    }

    fn index(&self, object: &Value) -> Vec<(Arc<str>, String)> {
        self.fields.index(object)
    }

    fn shown(&self, written: &Bytes) -> Option<Bytes> {
        // What is no JSON is the cache's to tell of.
        let mut object: Value = serde_json::from_slice(written).ok()?;
        self.objects.read(&mut object);
        let shown = ordered::object("", &object);
        (shown != *written).then_some(shown)
    }
}
