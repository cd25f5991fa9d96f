//! What the agent of a node may do, given which node it is.
//!
//! Knows: that an agent writes no other Node and no other Lease than its own. Refuses to know: which pods are on which
//! node. So an agent may read, create and delete any pod, write any pod's status, and read every Secret and ConfigMap: its
//! certificate is worth as much as theirs.

use crate::authorize::{Attributes, Verdict};
use leme_meta::quote;

/// One thing that agents do.
struct Rule {
    verbs: &'static [&'static str],
    group: &'static str,
    /// As `pods` or `pods/status`.
    resource: &'static str,
    /// Which names: `own` ones are called like the node.
    names: Names,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Any,
    Own,
}

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["update", "patch"];

const GATEWAYS: &str = "gateway.networking.k8s.io";

const RULES: &[Rule] = &[
    Rule { verbs: READ, group: "", resource: "pods", names: Names::Any },
    Rule { verbs: &["create", "delete"], group: "", resource: "pods", names: Names::Any },
    Rule { verbs: WRITE, group: "", resource: "pods/status", names: Names::Any },
    Rule { verbs: &["create"], group: "", resource: "pods/eviction", names: Names::Any },
    Rule { verbs: READ, group: "", resource: "nodes", names: Names::Any },
    Rule { verbs: &["create"], group: "", resource: "nodes", names: Names::Any },
    Rule { verbs: WRITE, group: "", resource: "nodes", names: Names::Own },
    Rule { verbs: WRITE, group: "", resource: "nodes/status", names: Names::Own },
    Rule { verbs: READ, group: "", resource: "services", names: Names::Any },
    Rule { verbs: READ, group: "", resource: "endpoints", names: Names::Any },
    Rule { verbs: READ, group: "", resource: "namespaces", names: Names::Any },
    Rule { verbs: READ, group: "", resource: "secrets", names: Names::Any },
    Rule { verbs: READ, group: "", resource: "configmaps", names: Names::Any },
    Rule { verbs: READ, group: "", resource: "persistentvolumes", names: Names::Any },
    Rule { verbs: READ, group: "", resource: "persistentvolumeclaims", names: Names::Any },
    // Volumes that have grown.
    Rule { verbs: WRITE, group: "", resource: "persistentvolumeclaims/status", names: Names::Any },
    Rule { verbs: READ, group: "", resource: "serviceaccounts", names: Names::Any },
    Rule { verbs: &["create"], group: "", resource: "serviceaccounts/token", names: Names::Any },
    Rule {
        verbs: &["create", "update", "patch"],
        group: "",
        resource: "events",
        names: Names::Any,
    },
    Rule {
        verbs: &["create", "update", "patch"],
        group: "events.k8s.io",
        resource: "events",
        names: Names::Any,
    },
    Rule { verbs: READ, group: "discovery.k8s.io", resource: "endpointslices", names: Names::Any },
    Rule { verbs: READ, group: "networking.k8s.io", resource: "ingresses", names: Names::Any },
    Rule { verbs: READ, group: "networking.k8s.io", resource: "ingressclasses", names: Names::Any },
    Rule {
        verbs: WRITE,
        group: "networking.k8s.io",
        resource: "ingresses/status",
        names: Names::Any,
    },
    Rule { verbs: READ, group: "route.openshift.io", resource: "routes", names: Names::Any },
    Rule {
        verbs: WRITE,
        group: "route.openshift.io",
        resource: "routes/status",
        names: Names::Any,
    },
    // Gateways and their routes, for the router.
    Rule { verbs: READ, group: GATEWAYS, resource: "gatewayclasses", names: Names::Any },
    Rule { verbs: READ, group: GATEWAYS, resource: "gateways", names: Names::Any },
    Rule { verbs: READ, group: GATEWAYS, resource: "httproutes", names: Names::Any },
    Rule { verbs: READ, group: GATEWAYS, resource: "grpcroutes", names: Names::Any },
    Rule { verbs: READ, group: GATEWAYS, resource: "tlsroutes", names: Names::Any },
    Rule { verbs: READ, group: GATEWAYS, resource: "referencegrants", names: Names::Any },
    Rule { verbs: WRITE, group: GATEWAYS, resource: "gatewayclasses/status", names: Names::Any },
    Rule { verbs: WRITE, group: GATEWAYS, resource: "gateways/status", names: Names::Any },
    Rule { verbs: WRITE, group: GATEWAYS, resource: "httproutes/status", names: Names::Any },
    Rule { verbs: WRITE, group: GATEWAYS, resource: "grpcroutes/status", names: Names::Any },
    Rule { verbs: WRITE, group: GATEWAYS, resource: "tlsroutes/status", names: Names::Any },
    // Snapshots of its volumes; whether their kinds are there.
    Rule {
        verbs: READ,
        group: "apiextensions.k8s.io",
        resource: "customresourcedefinitions",
        names: Names::Any,
    },
    Rule {
        verbs: READ,
        group: "snapshot.storage.k8s.io",
        resource: "volumesnapshotcontents",
        names: Names::Any,
    },
    Rule {
        verbs: WRITE,
        group: "snapshot.storage.k8s.io",
        resource: "volumesnapshotcontents",
        names: Names::Any,
    },
    Rule {
        verbs: WRITE,
        group: "snapshot.storage.k8s.io",
        resource: "volumesnapshotcontents/status",
        names: Names::Any,
    },
    Rule { verbs: READ, group: "storage.k8s.io", resource: "csidrivers", names: Names::Any },
    Rule { verbs: &["create"], group: "storage.k8s.io", resource: "csinodes", names: Names::Any },
    Rule {
        verbs: &["get", "update", "patch", "delete"],
        group: "storage.k8s.io",
        resource: "csinodes",
        names: Names::Own,
    },
    Rule { verbs: READ, group: "storage.k8s.io", resource: "volumeattachments", names: Names::Any },
    Rule { verbs: READ, group: "image.openshift.io", resource: "imagestreams", names: Names::Any },
    Rule {
        verbs: &["create"],
        group: "authentication.k8s.io",
        resource: "tokenreviews",
        names: Names::Any,
    },
    Rule {
        verbs: &["create"],
        group: "authorization.k8s.io",
        resource: "subjectaccessreviews",
        names: Names::Any,
    },
];

/// Namespace of the leases that nodes hold.
const LEASES: &str = "kube-node-lease";

/// Whether the agent of a node may do something.
pub(crate) fn authorize(node: &str, what: &Attributes) -> Verdict {
    if what.group == "coordination.k8s.io" && what.resource == "leases" {
        return lease(node, what);
    }
    let full = match what.subresource.as_str() {
        "" => what.resource.clone(),
        subresource => format!("{}/{subresource}", what.resource),
    };
    let mut foreign = false;
    for rule in RULES.iter().filter(|rule| rule.group == what.group && rule.resource == full) {
        if !rule.verbs.contains(&what.verb.as_str()) {
            continue;
        }
        if rule.names == Names::Any || what.name == node {
            return Verdict::Allow(None);
        }
        foreign = true;
    }
    if foreign {
        return Verdict::Deny(format!(
            "node {node} is not allowed to modify node {}",
            quote(&what.name),
            node = quote(&node)
        ));
    }
    Verdict::Deny(String::new())
}

fn lease(node: &str, what: &Attributes) -> Verdict {
    if what.namespace != LEASES {
        return Verdict::Deny(format!("can only access leases in the {LEASES:?} system namespace"));
    }
    match what.verb.as_str() {
        "create" => Verdict::Allow(None),
        "get" | "update" | "patch" | "delete" | "watch" | "list" if what.name == node => {
            Verdict::Allow(None)
        }
        _ => Verdict::Deny(
            "can only access node lease with the same name as the requesting node".to_owned(),
        ),
    }
}
