//! Kinds as commands share them, and those that the program itself brings along.

use std::sync::Arc;

pub use leme_client::ApiResource;

/// A kind of some server. Commands share it.
pub type Kind = Arc<ApiResource>;

/// A kind of the program's own table, as a server of it would tell.
pub fn of_row(row: &leme_kinds::Kind) -> ApiResource {
    let texts = |names: &[leme_kinds::Name]| names.iter().map(|name| name.to_string()).collect();
    ApiResource {
        group: row.group.to_string(),
        version: row.version.to_string(),
        kind: row.kind.to_string(),
        plural: row.plural.to_string(),
        singular: row.singular.to_string(),
        short_names: texts(&row.short_names),
        categories: texts(&row.categories),
        namespaced: row.namespaced(),
        verbs: row.verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        subresources: row.subresources.iter().map(|sub| sub.name().to_owned()).collect(),
    }
}

/// The type of a kind in the field table; empty for kinds that this program was not built with.
pub fn schema(kind: &ApiResource) -> &'static str {
    leme_kinds::by_kind(&kind.group, &kind.version, &kind.kind).map_or("", |row| &*row.schema)
}
