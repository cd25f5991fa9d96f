//! The kind table: one row per kind and version.
//!
//! Knows: names, scope, verbs, subresources, columns, selectable fields and the schema of every kind. Refuses to know:
//! how objects are defaulted or validated (strategy), stored (store) or reconciled (plan).
#![forbid(unsafe_code)]

mod columns;
pub mod openapi;
mod rows;
mod selectable;

use std::sync::LazyLock;

use leme_meta::Gvr;
use leme_meta::schema::Schemas;
use serde_json::Value;

/// Whether objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One set of names for the whole cluster.
    Cluster,
    /// A set of names per namespace.
    Namespaced,
}

/// What hangs below an object's own path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    /// `status`.
    Status,
    /// `scale`.
    Scale,
    /// `binding`.
    Binding,
    /// `log`.
    Log,
    /// `exec`, a connection.
    Exec,
    /// `attach`, a connection.
    Attach,
    /// `portforward`, a connection.
    PortForward,
    /// `proxy`, a connection by any method.
    Proxy,
    /// `eviction`.
    Eviction,
    /// `finalize` of a namespace.
    Finalize,
}

impl Subresource {
    /// The last segment of the path.
    pub fn name(self) -> &'static str {
        match self {
            Subresource::Status => "status",
            Subresource::Scale => "scale",
            Subresource::Binding => "binding",
            Subresource::Log => "log",
            Subresource::Exec => "exec",
            Subresource::Attach => "attach",
            Subresource::PortForward => "portforward",
            Subresource::Proxy => "proxy",
            Subresource::Eviction => "eviction",
            Subresource::Finalize => "finalize",
        }
    }

    /// What can be done with it, in the words of discovery.
    pub fn verbs(self) -> &'static [&'static str] {
        match self {
            Subresource::Status | Subresource::Scale => &["get", "patch", "update"],
            Subresource::Binding | Subresource::Eviction => &["create"],
            Subresource::Log => &["get"],
            Subresource::Exec | Subresource::Attach | Subresource::PortForward => {
                &["create", "get"]
            }
            Subresource::Proxy => &["create", "delete", "get", "patch", "update"],
            Subresource::Finalize => &["update"],
        }
    }

    /// The kind of the options of a subresource that is connected to.
    pub fn options(self, row: &Kind) -> Option<&'static str> {
        match (self, row.singular) {
            (Subresource::Exec, _) => Some("PodExecOptions"),
            (Subresource::Attach, _) => Some("PodAttachOptions"),
            (Subresource::PortForward, _) => Some("PodPortForwardOptions"),
            (Subresource::Proxy, "pod") => Some("PodProxyOptions"),
            (Subresource::Proxy, "service") => Some("ServiceProxyOptions"),
            (Subresource::Proxy, "node") => Some("NodeProxyOptions"),
            _ => None,
        }
    }
}

/// One column of the server-side Table.
#[derive(Debug)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// OpenAPI type: `string`, `integer`, `boolean`, `date`.
    pub type_: &'static str,
    /// OpenAPI format, often empty.
    pub format: &'static str,
    /// 0 is always shown; greater ones with `-o wide`.
    pub priority: i32,
    /// The cell of an object, given the time now.
    pub cell: fn(&Value, jiff::Timestamp) -> Value,
}

/// A field that field selectors may name, besides `metadata.name` and `metadata.namespace`.
#[derive(Debug)]
pub struct SelectableField {
    /// Path as the client writes it, such as `spec.nodeName`.
    pub path: &'static str,
    /// The text of the field.
    pub read: fn(&Value) -> String,
}

/// Everything that can be done with objects and their collection.
pub const VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The same, but objects are deleted one at a time.
pub const SINGLY: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

/// A row: everything about a kind that is the same for all who handle it.
#[derive(Debug)]
pub struct Kind {
    /// API group; empty for core.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Kind, such as `Pod`.
    pub kind: &'static str,
    /// Plural resource, such as `pods`.
    pub plural: &'static str,
    /// Singular, such as `pod`.
    pub singular: &'static str,
    /// Short names for command lines.
    pub short_names: &'static [&'static str],
    /// Categories, such as `all`.
    pub categories: &'static [&'static str],
    /// Scope.
    pub scope: Scope,
    /// What can be done with objects and their collection, in the words of discovery; [`VERBS`] as a rule.
    pub verbs: &'static [&'static str],
    /// Subresources served.
    pub subresources: &'static [Subresource],
    /// Table columns after `Name`; [`Kind::table_columns`] has them all.
    pub columns: &'static [Column],
    /// Fields that field selectors may name.
    pub selectable: &'static [SelectableField],
    /// Name of the kind's type in the field table.
    pub schema: &'static str,
}

impl Kind {
    /// `apiVersion` of the kind.
    pub fn api_version(&self) -> String {
        leme_meta::gvk::api_version(self.group, self.version)
    }

    /// The resource as errors and requests name it.
    pub fn gvr(&self) -> Gvr {
        Gvr {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            resource: self.plural.to_owned(),
        }
    }

    /// The kind as validation errors name it.
    pub fn gvk(&self) -> leme_meta::Gvk {
        leme_meta::Gvk {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            kind: self.kind.to_owned(),
        }
    }

    /// `<Kind>List`.
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// Whether objects live in a namespace.
    pub fn namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Every column of the Table, in order: `Name` leads unless the kind has it among its own columns.
    pub fn table_columns(&self) -> impl Iterator<Item = &'static Column> + use<> {
        let own = self.columns.iter().any(|column| column.name == columns::NAME.name);
        (!own).then_some(&columns::NAME).into_iter().chain(self.columns)
    }

    /// The same of what is shown in the object's place by a subresource.
    pub fn columns_of(
        &self,
        shown: Option<Subresource>,
    ) -> impl Iterator<Item = &'static Column> + use<> {
        let scale = shown == Some(Subresource::Scale);
        let own = (!scale).then(|| self.table_columns()).into_iter().flatten();
        let named = [&columns::NAME].into_iter().chain(columns::core::SCALE);
        own.chain(scale.then_some(named).into_iter().flatten())
    }

    /// Storage prefix of all objects (`/registry/pods/`, `/registry/route.openshift.io/routes/`), or of one namespace's.
    /// Always ends with a slash.
    pub fn prefix(&self, namespace: Option<&str>) -> String {
        let mut prefix = String::from("/registry/");
        for part in [self.group, self.plural].into_iter().filter(|part| !part.is_empty()) {
            prefix.push_str(part);
            prefix.push('/');
        }
        if let (Scope::Namespaced, Some(namespace)) = (self.scope, namespace) {
            prefix.push_str(namespace);
            prefix.push('/');
        }
        prefix
    }

    /// Storage key of one object. The caller has validated both names: neither holds a slash.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        let mut key = self.prefix(Some(namespace));
        key.push_str(name);
        key
    }
}

/// The table.
pub static KINDS: &[Kind] = rows::ALL;

/// The field table of all kinds, made by `cargo xtask codegen`.
pub fn schemas() -> &'static Schemas {
    static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
        Schemas::parse(include_str!("fields.txt")).expect("the table is checked in and tested")
    });
    &SCHEMAS
}

/// The row of a group, version and plural resource.
pub fn by_resource(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|row| row.plural == plural && row.group == group && row.version == version)
}

/// The row of a group, version and kind.
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|row| row.kind == kind && row.group == group && row.version == version)
}

/// The row that a person's word names: plural, singular, short name or kind, any case, optionally `word.group`.
pub fn by_word(word: &str) -> Option<&'static Kind> {
    let word = word.to_ascii_lowercase();
    let (name, group) = match word.split_once('.') {
        Some((name, group)) => (name, Some(group)),
        None => (word.as_str(), None),
    };
    KINDS.iter().find(|row| {
        group.is_none_or(|group| group == row.group)
            && (row.plural == name
                || row.singular == name
                || row.short_names.contains(&name)
                || row.kind.eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests;
