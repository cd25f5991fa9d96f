//! What an informer reads of the answers itself: the heads of objects, pages of lists. Objects stay text.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::queue::Key;

/// What the cache itself looks at of an object. The object stays text, which in a watch it can only where its type comes
/// first, as every server writes it.
#[derive(Default, Deserialize)]
pub(super) struct Head {
    #[serde(default)]
    pub(super) metadata: HeadMeta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HeadMeta {
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) resource_version: Option<String>,
    pub(super) deletion_timestamp: Option<IgnoredAny>,
}

impl Head {
    /// Of what has no such head, nothing is known.
    pub(super) fn of(object: &RawValue) -> HeadMeta {
        serde_json::from_str::<Head>(object.get()).unwrap_or_default().metadata
    }
}

impl HeadMeta {
    pub(super) fn key(&mut self) -> Key {
        (self.namespace.take().unwrap_or_default(), self.name.take().unwrap_or_default())
    }

    pub(super) fn revision(&self) -> String {
        self.resource_version.clone().unwrap_or_else(|| "0".to_owned())
    }
}

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) metadata: PageMeta,
    pub(super) items: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageMeta {
    pub(super) resource_version: Option<String>,
    pub(super) r#continue: Option<String>,
}
