//! A kind as its server tells of it: the names that people and paths use, and what can be done with its objects.
//!
//! Knows: what discovery says. Refuses to know: any kind by name.

use leme_meta::gvk;

use leme_meta::resource::Resource;

/// What is known of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiResource {
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

impl ApiResource {
    /// `apiVersion` of its objects.
    pub fn api_version(&self) -> String {
        gvk::api_version(&self.group, &self.version)
    }

    /// Where its objects are found.
    pub fn resource(&self) -> Resource {
        Resource {
            api_version: self.api_version(),
            kind: self.kind.clone(),
            plural: self.plural.clone(),
            namespaced: self.namespaced,
        }
    }

    /// The path of all objects, or of those of one namespace.
    pub fn collection(&self, namespace: &str) -> String {
        self.resource().collection(namespace)
    }

    /// The path of one object, or of a subresource of it.
    pub fn object(&self, namespace: &str, name: &str, subresource: &str) -> String {
        self.resource().object(namespace, name, subresource)
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

    /// Whether both are of one group and plural, whatever their versions.
    pub fn is(&self, other: &ApiResource) -> bool {
        self.group == other.group && self.plural == other.plural
    }
}
