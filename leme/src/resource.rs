//! A kind as its server tells of it: the names that people and paths use, and what can be done with its objects.
//!
//! Knows: what discovery says. Refuses to know: any kind by name.

use std::sync::Arc;

use leme_meta::gvk;

/// A kind of some server. Commands share it.
pub type Kind = Arc<Resource>;

/// What is known of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind, such as `Pod`.
    pub kind: String,
    /// Plural resource, such as `pods`.
    pub plural: String,
    /// Singular, such as `pod`.
    pub singular: String,
    /// Short names, such as `po`.
    pub short_names: Vec<String>,
    /// Categories, such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// What can be done with its objects.
    pub verbs: Vec<String>,
    /// What hangs below an object's path.
    pub subresources: Vec<String>,
}

impl Resource {
    /// `apiVersion` of its objects.
    pub fn api_version(&self) -> String {
        gvk::api_version(&self.group, &self.version)
    }

    /// Whether its objects can be handled so.
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == verb)
    }

    /// Whether its objects have a subresource.
    pub fn has(&self, subresource: &str) -> bool {
        self.subresources.iter().any(|known| known == subresource)
    }

    /// `pod`, or `route.route.openshift.io`, as kubectl prints it.
    pub fn word(&self) -> String {
        let kind = self.kind.to_lowercase();
        if self.group.is_empty() { kind } else { format!("{kind}.{}", self.group) }
    }

    /// `pod/web`, or `route.route.openshift.io/web`.
    pub fn shown(&self, name: &str) -> String {
        format!("{}/{name}", self.word())
    }

    /// `pods`, or `routes.route.openshift.io`, as errors name it.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Its type in the field table; empty for kinds that this program was not built with.
    pub fn schema(&self) -> &'static str {
        leme_kinds::by_kind(&self.group, &self.version, &self.kind).map_or("", |row| &*row.schema)
    }

    /// Whether both are of one group and plural, whatever their versions.
    pub fn is(&self, other: &Resource) -> bool {
        self.group == other.group && self.plural == other.plural
    }
}

impl From<&leme_kinds::Kind> for Resource {
    fn from(row: &leme_kinds::Kind) -> Resource {
        let texts =
            |names: &[leme_kinds::Name]| names.iter().map(|name| name.to_string()).collect();
        Resource {
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
}
