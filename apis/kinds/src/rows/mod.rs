//! The rows, a module per group, sorted by resource within a group as discovery lists them.

use crate::{Column, Kind, Scope, SelectableField, Storage, Subresource, VERBS};

/// The groups in the order of discovery, which is the order in which a word that several know is looked for.
macro_rules! groups {
    ($($group:ident)*) => {
        $(mod $group;)*
        const GROUPS: &[&[Row]] = &[$($group::ROWS),*];
    };
}

groups! {
    core
    apiregistration
    apps
    events
    authentication
    authorization
    autoscaling
    batch
    certificates
    networking
    policy
    rbac
    storage
    admissionregistration
    apiextensions
    scheduling
    coordination
    node
    discovery
    flowcontrol
    resource
    metrics
    openshift
    config
}

/// A built-in kind as its table states it. What follows from the rest is not stated: the singular is the kind in small
/// letters, the schema the package's type of that name.
pub(crate) struct Row {
    pub group: &'static str,
    pub version: &'static str,
    /// The package of its types in OpenAPI.
    pub package: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub scope: Scope,
    pub storage: Storage,
    pub verbs: &'static [&'static str],
    pub subresources: &'static [Subresource],
    pub columns: &'static [Column],
    pub selectable: &'static [SelectableField],
}

impl Row {
    /// What the rows of a group have in common: objects live in namespaces, and everything can be done with them.
    pub const fn of(group: &'static str, version: &'static str, package: &'static str) -> Row {
        Row {
            group,
            version,
            package,
            kind: "",
            plural: "",
            short_names: &[],
            categories: &[],
            scope: Scope::Namespaced,
            storage: Storage::Own,
            verbs: VERBS,
            subresources: &[],
            columns: &[],
            selectable: &[],
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        let names =
            |names: &'static [&'static str]| names.iter().map(|&name| name.into()).collect();
        Kind {
            group: self.group.into(),
            version: self.version.into(),
            kind: self.kind.into(),
            plural: self.plural.into(),
            singular: self.kind.to_ascii_lowercase().into(),
            short_names: names(self.short_names),
            categories: names(self.categories),
            scope: self.scope,
            storage: self.storage,
            verbs: self.verbs,
            subresources: self.subresources.into(),
            columns: self.columns.into(),
            selectable: self.selectable.into(),
            schema: format!("{}.{}", self.package, self.kind).into(),
            custom: None,
        }
    }
}

mod older;

/// A row as a kind; tests can leave a line of it out.
fn seen(row: &Row) -> Option<Kind> {
    #[cfg(test)]
    return crate::tests::mutants::seen(row);
    #[cfg(not(test))]
    Some(row.kind())
}

/// The kinds of older versions, which are served only where they are switched on.
pub(crate) fn older() -> impl Iterator<Item = Kind> {
    older::ROWS.iter().filter_map(seen)
}

/// Every built-in kind.
pub(crate) fn kinds() -> impl Iterator<Item = Kind> {
    GROUPS.iter().copied().flatten().filter_map(seen)
}

/// Every row, those of older versions among them.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    GROUPS.iter().copied().flatten().chain(older::ROWS)
}
