//! Where objects of a kind are found: the paths of the API, from names that the caller looked up or that objects hold.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands for something else in a path, or for nothing.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

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
    /// Whether an object can have this name: what leads elsewhere in a path is none, and nothing is to be found there.
    pub fn is_name(text: &str) -> bool {
        !matches!(text, "" | "." | "..") && !text.contains(['/', '%'])
    }

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
            let namespace = utf8_percent_encode(namespace, ENCODED);
            format!("{root}/{}/namespaces/{namespace}/{}", self.api_version, self.plural)
        } else {
            format!("{root}/{}/{}", self.api_version, self.plural)
        }
    }

    /// The path of one object, or of a subresource of it; of no other, whatever its name is.
    pub fn object(&self, namespace: &str, name: &str, subresource: &str) -> String {
        let name = utf8_percent_encode(name, ENCODED);
        let path = format!("{}/{name}", self.collection(namespace));
        if subresource.is_empty() { path } else { format!("{path}/{subresource}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when names are put into a path as they are.
    #[test]
    fn a_name_leads_nowhere_else() {
        let pods = Resource::namespaced("v1", "Pod", "pods");
        assert_eq!(pods.object("n", "a?b#c", "log"), "/api/v1/namespaces/n/pods/a%3Fb%23c/log");
        assert_eq!(pods.object("n/x", "a/b", ""), "/api/v1/namespaces/n%2Fx/pods/a%2Fb");
        for text in ["", ".", "..", "a/b", "../a", "a%2fb"] {
            assert!(!Resource::is_name(text), "{text:?}");
        }
        for text in ["a", "...", "a.b", "system:a b", "a?b"] {
            assert!(Resource::is_name(text), "{text:?}");
        }
    }

    #[test]
    fn paths() {
        let pods = Resource::namespaced("v1", "Pod", "pods");
        assert_eq!(pods.collection(""), "/api/v1/pods");
        assert_eq!(pods.object("n", "a", "log"), "/api/v1/namespaces/n/pods/a/log");
        let roles =
            Resource::cluster("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles");
        assert_eq!(roles.object("n", "a", ""), "/apis/rbac.authorization.k8s.io/v1/clusterroles/a");
        assert_eq!(
            roles.object("", "system:a b", ""),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%20b"
        );
    }
}
