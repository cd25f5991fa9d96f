//! What controllers have in common that make definitions and a class once, when a node could serve them. Each has one key.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Namespace;
use leme_lister::{AnyLister, Key};

use crate::cache::{Cache, Kept};
use crate::watch::Watch;

/// The namespace that remembers what was made once.
pub(crate) const SYSTEM: &str = "kube-system";

const DEFINITIONS: (&str, &str) = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");

/// The key.
pub(crate) fn key() -> Key {
    (String::new(), String::new())
}

/// What wakes such a controller besides nodes: what remembers, definitions, kinds that are served, and classes.
pub(crate) fn watches<Class: Kept>(by_nodes: Watch) -> Vec<Watch> {
    vec![
        by_nodes,
        Watch::on::<Namespace>(|change, wake| {
            if change.key.1 == SYSTEM {
                wake(key());
            }
        }),
        Watch::on_meta(DEFINITIONS.0, DEFINITIONS.1, |_, wake| wake(key())),
        Watch::on::<Class>(|_, wake| wake(key())),
        Watch::on_kinds(|wake| wake(key())),
    ]
}

/// The names of all definitions.
pub(crate) fn defined(cache: &Cache) -> BTreeSet<String> {
    let keys = cache.other(DEFINITIONS.0, DEFINITIONS.1).map(|all| all.keys());
    keys.unwrap_or_default().into_iter().map(|(_, name)| name).collect()
}
