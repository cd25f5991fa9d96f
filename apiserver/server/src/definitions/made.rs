//! The kinds of a definition as the server holds them.
//!
//! Knows: where a kind looks its schema up, and that rules are compiled by the first write that they are for. Refuses to
//! know: what a definition says.

use std::sync::{Arc, OnceLock, Weak};

use leme_cel::Rules;
use leme_kinds::Kind;
use leme_kinds::custom::{self, Stated, Validator};
use leme_meta::{FieldError, Path};
use leme_store::cache::{Cache, Cached};
use serde_json::Value;

use super::own_prefix;

/// The kinds of a definition, which know where to look its schema up.
pub(super) fn made(
    cache: &Weak<Cache>,
    object: &Cached,
    definition: &Value,
    kinds: Vec<Kind>,
) -> Vec<Arc<Kind>> {
    let with = |mut kind: Kind| {
        if let Some(custom) = &mut kind.custom {
            let (cache, key) = (Weak::clone(cache), Arc::clone(&object.key));
            let version = kind.version.clone();
            let states = custom::stated(definition, &version).is_some_and(leme_cel::states_rules);
            custom.stated = Stated(Some(Arc::new(move || {
                let definition = cache.upgrade()?.get(&own_prefix(), &key)?;
                let definition: Value = serde_json::from_slice(&definition.json).ok()?;
                custom::stated(&definition, &version).cloned()
            })));
            let stated = custom.stated.clone();
            custom.rules =
                states.then(|| Arc::new(Later { stated, rules: OnceLock::new() }) as Arc<_>);
        }
        Arc::new(kind)
    };
    kinds.into_iter().map(with).collect()
}

/// Rules that take room only once somebody writes what they are for.
#[derive(Debug)]
struct Later {
    stated: Stated,
    /// What the schema says; none if there is no schema any more.
    rules: OnceLock<Option<Option<Rules>>>,
}

impl Validator for Later {
    fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let rules = self.rules.get_or_init(|| self.stated.get().map(|schema| Rules::of(&schema)));
        match rules {
            Some(rules) => rules.as_ref().map(|rules| rules.validate(new, old)).unwrap_or_default(),
            None => {
                let why = "the definition of the rules is gone";
                vec![FieldError::internal(&Path::new("<nil>"), why)]
            }
        }
    }
}
