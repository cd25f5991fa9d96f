//! The kind table: one row per kind and version.
//!
//! Knows: names, scope, verbs, subresources, columns, selectable fields and the schema of every kind. Refuses to know:
//! how objects are defaulted or validated (strategy), stored (store) or reconciled (plan).
#![forbid(unsafe_code)]

mod columns;
pub mod custom;
mod idle;
pub mod naming;
pub mod openapi;
mod reading;
mod rows;
mod selectable;
mod subresource;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

pub use idle::{UNENFORCED, UNUSED, idle};
use leme_meta::Gvr;
use leme_meta::schema::Schemas;
use leme_meta::structural::Structural;
pub use reading::{Cell, Column, Reading, SelectableField};
pub use subresource::{BINDING, EVICTION, POSTED, Posted, Subresource, TOKEN_REQUEST};

/// Whether objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One set of names for the whole cluster.
    Cluster,
    /// A set of names per namespace.
    Namespaced,
}

/// Where the objects of a kind are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Kept as they are served.
    Own,
    /// Kept as objects of another kind, of which this one is a view: its group, version and plural resource.
    As(&'static str, &'static str, &'static str),
    /// Nowhere: what is sent is answered at once.
    Virtual,
}

/// A text of a kind: of the program, or of whoever defined the kind.
pub type Name = Cow<'static, str>;

/// Everything that can be done with objects and their collection.
pub const VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The same, but objects are deleted one at a time.
pub const SINGLY: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

/// Everything about a kind that is the same for all who handle it.
#[derive(Debug)]
pub struct Kind {
    /// API group; empty for core.
    pub group: Name,
    /// Version.
    pub version: Name,
    /// Kind, such as `Pod`.
    pub kind: Name,
    /// Plural resource, such as `pods`.
    pub plural: Name,
    /// Singular, such as `pod`.
    pub singular: Name,
    /// Short names for command lines.
    pub short_names: Vec<Name>,
    /// Categories, such as `all`.
    pub categories: Vec<Name>,
    /// Scope.
    pub scope: Scope,
    /// Where its objects are.
    pub storage: Storage,
    /// What can be done with objects and their collection, in the words of discovery; [`VERBS`] as a rule.
    pub verbs: &'static [&'static str],
    /// Subresources served.
    pub subresources: Cow<'static, [Subresource]>,
    /// Table columns after `Name`; [`Kind::table_columns`] has them all. Those of a view are cells of the object as it is
    /// kept.
    pub columns: Cow<'static, [Column]>,
    /// Fields that field selectors may name.
    pub selectable: Cow<'static, [SelectableField]>,
    /// Name of the kind's type in the field table; empty for defined kinds.
    pub schema: Name,
    /// What only kinds have that a CustomResourceDefinition defines.
    pub custom: Option<custom::Custom>,
}

impl Kind {
    /// The schema of a defined kind's objects; none for built-in kinds.
    pub fn structural(&self) -> Option<&Structural> {
        self.custom.as_ref().map(|custom| &*custom.structural)
    }

    /// `apiVersion` of the kind.
    pub fn api_version(&self) -> String {
        leme_meta::gvk::api_version(&self.group, &self.version)
    }

    /// The resource as errors and requests name it.
    pub fn gvr(&self) -> Gvr {
        Gvr {
            group: self.group.to_string(),
            version: self.version.to_string(),
            resource: self.plural.to_string(),
        }
    }

    /// The kind as validation errors name it.
    pub fn gvk(&self) -> leme_meta::Gvk {
        leme_meta::Gvk {
            group: self.group.to_string(),
            version: self.version.to_string(),
            kind: self.kind.to_string(),
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

    /// Whether its objects are kept under its own names, neither a view's nor nowhere.
    pub fn is_kept(&self) -> bool {
        self.storage == Storage::Own
    }

    /// Every column of the Table, in order: `Name` leads unless the kind has it among its own columns.
    pub fn table_columns(&self) -> impl Iterator<Item = &Column> {
        let own = self.columns.iter().any(|column| column.name == columns::NAME.name);
        (!own).then_some(&columns::NAME).into_iter().chain(self.columns.iter())
    }

    /// The same of what is shown in the object's place by a subresource.
    pub fn columns_of(&self, shown: Option<Subresource>) -> impl Iterator<Item = &Column> {
        let scale = shown == Some(Subresource::Scale);
        let own = (!scale).then(|| self.table_columns()).into_iter().flatten();
        let named = [&columns::NAME].into_iter().chain(columns::core::SCALE);
        own.chain(scale.then_some(named).into_iter().flatten())
    }

    /// Storage prefix of all objects (`/registry/pods/`, `/registry/route.openshift.io/routes/`), or of one namespace's.
    /// Always ends with a slash. Kinds that are views of one another have the same.
    pub fn prefix(&self, namespace: Option<&str>) -> String {
        let mut prefix = String::from("/registry/");
        let (group, plural) = match self.storage {
            Storage::As(group, _, plural) => (group, plural),
            Storage::Own | Storage::Virtual => (&*self.group, &*self.plural),
        };
        for part in [group, plural].into_iter().filter(|part| !part.is_empty()) {
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

/// All kinds that are served at a time, indexed by their names. Never changed: another set takes its place.
#[derive(Debug, Default)]
pub struct Kinds {
    list: Vec<Arc<Kind>>,
    resources: Index,
    kinds: Index,
}

/// Places in the list, by group and version and the third name.
type Index = HashMap<[Name; 2], HashMap<Name, usize>>;

impl Kinds {
    /// The set of these kinds, in this order. Of two of one name the first counts, and one whose objects are somewhere
    /// before one that is answered at once.
    pub fn new(list: Vec<Arc<Kind>>) -> Kinds {
        let (mut resources, mut kinds) = (Index::new(), Index::new());
        for (at, kind) in list.iter().enumerate() {
            let version = [kind.group.clone(), kind.version.clone()];
            let names = resources.entry(version.clone()).or_default();
            names.entry(kind.plural.clone()).or_insert(at);
            let of_name = kinds.entry(version).or_default().entry(kind.kind.clone());
            of_name
                .and_modify(|known| {
                    if list[*known].storage == Storage::Virtual {
                        *known = at;
                    }
                })
                .or_insert(at);
        }
        Kinds { list, resources, kinds }
    }

    /// The kinds that the program brings along.
    pub fn builtin() -> &'static Arc<Kinds> {
        static BUILTIN: LazyLock<Arc<Kinds>> =
            LazyLock::new(|| Arc::new(Kinds::new(rows::kinds().map(Arc::new).collect())));
        &BUILTIN
    }

    /// The same and those of older versions, named as `group/version`; the error names one that there is not.
    pub fn with_older(versions: &[String]) -> Result<Arc<Kinds>, String> {
        let older = older();
        let known = |version: &String| older.iter().any(|kind| kind.api_version() == *version);
        if let Some(unknown) = versions.iter().find(|version| !known(version)) {
            let known: Vec<String> = older.iter().map(|kind| kind.api_version()).collect();
            return Err(format!("{unknown}: of older versions there are {}", known.join(", ")));
        }
        if versions.is_empty() {
            return Ok(Arc::clone(Kinds::builtin()));
        }
        let wanted = older.iter().filter(|kind| versions.contains(&kind.api_version()));
        Ok(Arc::new(Kinds::new(Kinds::builtin().iter().chain(wanted).cloned().collect())))
    }

    /// Every kind, in the order of discovery.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> + Clone {
        self.list.iter()
    }

    /// Whether a kind of this group is among them.
    pub fn has_group(&self, group: &str) -> bool {
        self.resources.keys().any(|[known, _]| known == group)
    }

    /// The kind of a group, version and plural resource.
    pub fn by_resource(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.find(&self.resources, group, version, plural)
    }

    /// The kind of a group, version and name.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.find(&self.kinds, group, version, kind)
    }

    /// The kind as which the objects of a kind are kept: itself, unless it is a view.
    pub fn kept<'a>(&'a self, kind: &'a Arc<Kind>) -> &'a Arc<Kind> {
        match kind.storage {
            Storage::As(group, version, plural) => {
                self.by_resource(group, version, plural).unwrap_or(kind)
            }
            Storage::Own | Storage::Virtual => kind,
        }
    }

    fn find(&self, index: &Index, group: &str, version: &str, name: &str) -> Option<&Arc<Kind>> {
        // The key borrows: nothing is copied to look it up.
        let version: [Cow<'_, str>; 2] = [group.into(), version.into()];
        self.list.get(*index.get(&version)?.get(name)?)
    }

    /// The kind that a person's word names: plural, singular, short name or kind, any case, optionally `word.group`.
    pub fn by_word(&self, word: &str) -> Option<&Arc<Kind>> {
        let word = word.to_ascii_lowercase();
        let (name, group) = match word.split_once('.') {
            Some((name, group)) => (name, Some(group)),
            None => (word.as_str(), None),
        };
        self.iter().find(|kind| {
            // What is answered at once shares its kind with what is kept, and has only its plural for itself.
            let by_kind = kind.storage != Storage::Virtual
                && (kind.singular == name || kind.kind.eq_ignore_ascii_case(name));
            group.is_none_or(|group| group == kind.group)
                && (kind.plural == name
                    || by_kind
                    || kind.short_names.iter().any(|short| short == name))
        })
    }
}

/// Every built-in kind, in the order of discovery.
pub fn builtin() -> impl Iterator<Item = &'static Arc<Kind>> + Clone {
    Kinds::builtin().iter()
}

/// The field table of all kinds, made by `cargo xtask codegen`.
pub fn schemas() -> &'static Schemas {
    static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
        Schemas::parse(include_str!("fields.txt")).expect("the table is checked in and tested")
    });
    &SCHEMAS
}

/// The built-in kind of a group, version and plural resource.
pub fn by_resource(group: &str, version: &str, plural: &str) -> Option<&'static Arc<Kind>> {
    Kinds::builtin().by_resource(group, version, plural)
}

/// The kinds of older versions, which are served only where they are switched on.
pub fn older() -> &'static [Arc<Kind>] {
    static OLDER: LazyLock<Vec<Arc<Kind>>> =
        LazyLock::new(|| rows::older().map(Arc::new).collect());
    &OLDER
}

/// The built-in kind of a group, version and name.
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Arc<Kind>> {
    Kinds::builtin().by_kind(group, version, kind)
}

/// The built-in kind that a person's word names: see [`Kinds::by_word`].
pub fn by_word(word: &str) -> Option<&'static Arc<Kind>> {
    Kinds::builtin().by_word(word)
}

#[cfg(test)]
mod tests;
