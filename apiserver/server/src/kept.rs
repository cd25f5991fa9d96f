//! How the objects of a kind are kept, where that is not how they are served.
//!
//! Knows: that a view is kept as another kind, and a defined kind in one of its versions. Refuses to know: conversions.

use std::sync::Arc;

use bytes::Bytes;
use leme_access::Identity;
use leme_kinds::{Kind, Kinds, Storage};
use leme_meta::Status;
use leme_meta::gvk::{api_version, split_api_version};
use leme_registry::json;
use leme_store::cache::Cached;
use leme_strategy::{Seen, View};
use serde_json::Value;

use crate::ordered;

/// Whose objects alone are shown.
pub(crate) struct Owner {
    field: &'static str,
    prefix: &'static str,
    user: String,
}

impl Owner {
    /// Whether an object is theirs, and of those that are shown.
    pub fn owns(&self, object: &Cached) -> bool {
        !self.user.is_empty()
            && object.index.field(self.field) == Some(&self.user)
            && object.index.name.starts_with(self.prefix)
    }
}

/// How the objects of a kind are kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// As which kind; the served one itself, unless it is a view.
    pub kind: Arc<Kind>,
    view: Option<&'static View>,
}

impl Kept {
    pub fn of(kind: &Arc<Kind>, kinds: &Kinds) -> Kept {
        let is_view = matches!(kind.storage, Storage::As(..));
        let view = is_view.then(|| leme_strategy::view(kind)).flatten();
        Kept { kind: Arc::clone(kinds.kept(kind)), view }
    }

    /// Whether objects are kept as another kind than is served.
    pub fn is_view(&self) -> bool {
        self.view.is_some()
    }

    /// Whether the text of a kept object is what is served: objects of a defined kind are kept in one version or another.
    pub fn as_served(&self, kept: &[u8]) -> bool {
        match &self.kind.custom {
            Some(custom) => kept.starts_with(custom.head.as_bytes()),
            None => self.view.is_none(),
        }
    }

    /// An object of the store as one that is read: of a defined kind in the version asked for, whole by its schema.
    pub fn loaded(&self, mut kept: Value) -> Value {
        if let Some(custom) = &self.kind.custom {
            leme_meta::structural::prune(&custom.structural, &mut kept);
            custom.structural.complete(&mut kept);
            json::set(&mut kept, "apiVersion", self.kind.api_version());
        }
        kept
    }

    /// The text that is stored, in the order in which it is read: without resourceVersion, which is the store's own
    /// revision.
    pub fn text(&self, object: &Value) -> Bytes {
        match &self.kind.custom {
            Some(custom) if custom.kept_version != self.kind.version => {
                let mut kept = object.clone();
                let version = api_version(&self.kind.group, &custom.kept_version);
                json::set(&mut kept, "apiVersion", version);
                ordered::object("", &kept)
            }
            _ => ordered::object(&self.kind.schema, object),
        }
    }

    /// An object of a client as it is kept.
    pub fn to_kept(&self, mut served: Value) -> Result<Value, Status> {
        if let Some(view) = self.view {
            (view.to_kept)(&mut served).map_err(Status::bad_request)?;
        }
        Ok(served)
    }

    /// A kept object as it is served.
    pub fn to_served(&self, mut kept: Value) -> Value {
        if let Some(view) = self.view {
            (view.to_served)(&mut kept);
        } else if self.kind.custom.is_some() && self.is_of_group(&kept) {
            json::set(&mut kept, "apiVersion", self.kind.api_version());
        }
        kept
    }

    /// Whether it is an object of the kind's group, and not what a subresource shows in its place.
    fn is_of_group(&self, shown: &Value) -> bool {
        split_api_version(json::text(shown, &["apiVersion"])).0 == self.kind.group
    }

    /// Whose objects a user may see at most; `None` where all may be seen.
    pub fn owner(&self, who: Option<&Identity>) -> Option<Owner> {
        let Seen::Own { field, prefix } = self.view?.seen else { return None };
        let user = who.map(|who| who.user.clone()).unwrap_or_default();
        Some(Owner { field, prefix, user })
    }

    /// Whether a list shows to each but what they may get.
    pub fn is_by_right(&self) -> bool {
        self.view.is_some_and(|view| view.seen == Seen::Gettable)
    }

    /// Whether what is shown depends on who asks.
    pub fn is_personal(&self) -> bool {
        self.view.is_some_and(|view| view.seen != Seen::All)
    }

    /// The name under which a selectable field is kept.
    pub fn field<'a>(&self, served: &'a str) -> &'a str {
        let renamed = self.view.into_iter().flat_map(|view| view.fields);
        renamed.clone().find(|(name, _)| *name == served).map_or(served, |(_, kept)| kept)
    }
}
