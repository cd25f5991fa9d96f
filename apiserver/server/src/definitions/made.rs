//! The kinds of a definition as the server holds them.
//!
//! Knows: where a kind looks its schema up. Refuses to know: what a definition says.

use std::sync::{Arc, Weak};

use leme_kinds::Kind;
use leme_kinds::custom::{self, Stated};
use leme_store::cache::{Cache, Cached};
use serde_json::Value;

use super::own_prefix;

/// The kinds of a definition, which know where to look its schema up.
pub(super) fn made(cache: &Weak<Cache>, object: &Cached, kinds: Vec<Kind>) -> Vec<Arc<Kind>> {
    let with = |mut kind: Kind| {
        if let Some(custom) = &mut kind.custom {
            let (cache, key) = (Weak::clone(cache), Arc::clone(&object.key));
            let version = kind.version.clone();
            custom.stated = Stated(Some(Arc::new(move || {
                let definition = cache.upgrade()?.get(&own_prefix(), &key)?;
                let definition: Value = serde_json::from_slice(&definition.json).ok()?;
                custom::stated(&definition, &version).cloned()
            })));
        }
        Arc::new(kind)
    };
    kinds.into_iter().map(with).collect()
}
