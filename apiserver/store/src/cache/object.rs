//! One object in the cache: its bytes as clients see them, and the little that selectors ask for.
//!
//! Knows: `metadata`. Refuses to know: kinds; what else is selectable comes from the resource's own reader.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

use super::event::{Kind, around};
use super::outline::outline;
use super::splice::splice_between;
use crate::Entry;

/// How the objects of a resource are read.
pub trait Reader: Send + Sync + 'static {
    /// Whether there are selectable fields beyond name and namespace: most kinds have none.
    fn has_fields(&self) -> bool {
        false
    }

    /// Selectable fields of an object, beyond its name and namespace. It gets the object without the lists in its spec.
    fn index(&self, _object: &Value) -> Vec<(Arc<str>, String)> {
        Vec::new()
    }

    /// The object as it is to be read, if that is not how it was written.
    fn shown(&self, _written: &Bytes) -> Option<Bytes> {
        None
    }
}

/// Of what is read as it was written, and selected by name and namespace alone.
impl Reader for () {}

/// An object as of one revision.
#[derive(Debug)]
pub struct Cached {
    /// Its key in the store.
    pub key: Arc<str>,
    /// Its JSON with `metadata.resourceVersion` set to `mod_revision`.
    pub json: Bytes,
    /// The watch frame of the change to this state, if one brought it here: `json` is a part of these bytes.
    pub(super) frame: Option<(Kind, Bytes)>,
    /// What `json` is in another encoding, once somebody asked.
    other: OnceLock<Bytes>,
    /// Revision of its creation.
    pub create_revision: u64,
    /// Revision of this state.
    pub mod_revision: u64,
    /// What selectors ask for.
    pub index: Arc<Index>,
}

/// What selectors ask for, so that nobody decodes an object to filter it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.namespace`, empty for cluster-scoped objects.
    pub namespace: Box<str>,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// Whether it has a `metadata.deletionTimestamp`.
    pub deleting: bool,
    /// `metadata.labels`, sorted by key.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// Selectable fields in the order the resource's reader gave them.
    pub fields: Box<[(Arc<str>, Box<str>)]>,
}

impl Index {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        let at = self.labels.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        Some(&self.labels[at].1)
    }

    /// The value of a selectable field; `metadata.name` and `metadata.namespace` always exist.
    pub fn field(&self, path: &str) -> Option<&str> {
        match path {
            "metadata.name" => Some(&self.name),
            "metadata.namespace" => Some(&self.namespace),
            _ => self.fields.iter().find(|(p, _)| **p == *path).map(|(_, value)| &**value),
        }
    }
}

impl Cached {
    /// The object of a store entry, or why it is none; with the frame of the change that made it so, if there was one.
    pub(super) fn decode(
        entry: &Entry,
        reader: &dyn Reader,
        kind: Option<Kind>,
    ) -> Result<Self, String> {
        let other = reader.shown(&entry.value);
        let shown = other.as_ref().unwrap_or(&entry.value);
        let value = outline(shown, reader.has_fields()).map_err(|e| e.to_string())?;
        let has_one = value["metadata"].get("resourceVersion").is_some();
        let (json, frame) = framed(shown, (entry.mod_revision, has_one), kind)
            .ok_or("it is not an object with metadata")?;
        Ok(Self {
            key: entry.key.clone(),
            json,
            frame,
            other: OnceLock::new(),
            create_revision: entry.create_revision,
            mod_revision: entry.mod_revision,
            index: Arc::new(index_of(&value, reader)),
        })
    }

    /// The same state under a later revision: what the event of its deletion shows.
    pub fn at_revision(&self, revision: u64) -> Self {
        let (json, frame) = framed(&self.json, (revision, true), Some(Kind::Deleted))
            .unwrap_or_else(|| (self.json.clone(), None));
        Self {
            key: self.key.clone(),
            json,
            frame,
            other: OnceLock::new(),
            create_revision: self.create_revision,
            mod_revision: revision,
            index: self.index.clone(),
        }
    }

    /// The object in the one encoding beside JSON that is kept with it, made by the first who asks; `None` if it cannot
    /// be made.
    pub fn encoded(&self, make: impl FnOnce(&[u8]) -> Option<Bytes>) -> Option<Bytes> {
        match self.other.get() {
            Some(kept) => Some(kept.clone()),
            None => make(&self.json).map(|made| self.other.get_or_init(|| made).clone()),
        }
    }

    /// Whether it is kept in that encoding.
    pub fn is_encoded(&self) -> bool {
        self.other.get().is_some()
    }

    /// About how much memory it holds, but for what it is in another encoding.
    pub(super) fn weight(&self) -> usize {
        let selectable = self.index.labels.len() + self.index.fields.len();
        self.json.len() + self.key.len() + OBJECT + SELECTABLE * selectable
    }
}

/// About what an object takes in memory beside its bytes, and each label and field in its index, as the allocator counts.
const OBJECT: usize = 512;
const SELECTABLE: usize = 64;

/// An object's bytes with this revision, which may be there already, as a part of the watch frame of a change, if there
/// was one.
fn framed(
    json: &[u8],
    (revision, may_have): (u64, bool),
    kind: Option<Kind>,
) -> Option<(Bytes, Option<(Kind, Bytes)>)> {
    let Some(kind) = kind else {
        return Some((splice_between(json, revision, may_have, [b"", b""])?.into(), None));
    };
    let [first, last] = around(kind.word());
    let whole = splice_between(json, revision, may_have, [first.as_bytes(), last.as_bytes()])?;
    let whole = Bytes::from(whole);
    let json = whole.slice(first.len()..whole.len() - last.len());
    Some((json, Some((kind, whole))))
}

fn index_of(value: &Value, reader: &dyn Reader) -> Index {
    let metadata = &value["metadata"];
    let text = |key: &str| Box::from(metadata[key].as_str().unwrap_or_default());
    let mut labels: Vec<(Box<str>, Box<str>)> = metadata["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| (k.as_str().into(), v.as_str().unwrap_or_default().into()))
        .collect();
    labels.sort_unstable();
    Index {
        name: text("name"),
        namespace: text("namespace"),
        uid: text("uid"),
        deleting: !metadata["deletionTimestamp"].is_null(),
        labels: labels.into_boxed_slice(),
        fields: reader
            .index(value)
            .into_iter()
            .map(|(path, v)| (path, v.into_boxed_str()))
            .collect(),
    }
}
