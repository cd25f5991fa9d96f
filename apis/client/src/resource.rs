//! Where objects of a kind are found: the paths of the API, from names that were looked up.

/// A kind's names and scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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
    /// A kind that lives in namespaces.
    pub fn namespaced(api_version: &str, kind: &str, plural: &str) -> Resource {
        let [api_version, kind, plural] = [api_version, kind, plural].map(str::to_owned);
        Resource { api_version, kind, plural, namespaced: true }
    }

    /// A kind of the whole cluster.
    pub fn cluster(api_version: &str, kind: &str, plural: &str) -> Resource {
        Resource { namespaced: false, ..Resource::namespaced(api_version, kind, plural) }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let pods = Resource::namespaced("v1", "Pod", "pods");
        assert_eq!(pods.collection(""), "/api/v1/pods");
        assert_eq!(pods.object("n", "a", "log"), "/api/v1/namespaces/n/pods/a/log");
        let roles =
            Resource::cluster("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles");
        assert_eq!(roles.object("n", "a", ""), "/apis/rbac.authorization.k8s.io/v1/clusterroles/a");
    }
}
