//! Where objects of a kind are found: the paths of the API, from names that the caller looked up.

/// A kind's names and scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// Plural resource.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// The path of all objects, or of those of one namespace.
    pub fn collection(&self, namespace: &str) -> String {
        let root = if self.api_version.contains('/') { "/apis" } else { "/api" };
        if self.namespaced && !namespace.is_empty() {
            format!("{root}/{}/namespaces/{namespace}/{}", self.api_version, self.plural)
        } else {
            format!("{root}/{}/{}", self.api_version, self.plural)
        }
    }

    /// The path of one object, or of a subresource of it.
    pub fn object(&self, namespace: &str, name: &str, subresource: &str) -> String {
        let path = format!("{}/{name}", self.collection(namespace));
        if subresource.is_empty() { path } else { format!("{path}/{subresource}") }
    }
}
