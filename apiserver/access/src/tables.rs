//! What the system's own identities may do, as tables.
//!
//! Knows: each identity's needs. Refuses to know: nodes, whose rights depend on their name.

use crate::authorize::Attributes;

/// Some verbs on some resources of a group, in every namespace.
pub(crate) struct Rule {
    /// Verbs; `*` is every verb.
    pub(crate) verbs: &'static [&'static str],
    /// Group; `*` is every group.
    pub(crate) group: &'static str,
    /// Resources, as `pods` or `pods/status`; `*` is every resource and subresource, `*/scale` that subresource of all.
    pub(crate) resources: &'static [&'static str],
}

impl Rule {
    /// Whether the rule allows a request.
    pub(crate) fn allows(&self, what: &Attributes) -> bool {
        let named =
            |list: &[&str], text: &str| list.iter().any(|entry| *entry == "*" || *entry == text);
        let full = match what.subresource.as_str() {
            "" => what.resource.clone(),
            subresource => format!("{}/{subresource}", what.resource),
        };
        let any = self.resources.iter().filter_map(|entry| entry.strip_prefix("*/"));
        named(self.verbs, &what.verb)
            && (self.group == "*" || self.group == what.group)
            && (named(self.resources, &full)
                || any.into_iter().any(|entry| entry == what.subresource))
    }
}

const READ: &[&str] = &["get", "list", "watch"];
const KEEP: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete"];
const REPORT: &[&str] = &["create", "update", "patch"];

const CONTROLLERS: &[Rule] = &[
    Rule { verbs: READ, group: "*", resources: &["*"] },
    Rule {
        verbs: &["*"],
        group: "",
        resources: &[
            "pods",
            "replicationcontrollers",
            "services",
            "endpoints",
            "events",
            "configmaps",
            "secrets",
            "serviceaccounts",
            "persistentvolumes",
            "persistentvolumeclaims",
            "namespaces",
        ],
    },
    Rule {
        verbs: &["update", "patch"],
        group: "",
        resources: &[
            "pods/status",
            "replicationcontrollers/status",
            "nodes",
            "nodes/status",
            "namespaces/status",
            "namespaces/finalize",
            "persistentvolumes/status",
            "persistentvolumeclaims/status",
            "services/status",
        ],
    },
    Rule { verbs: &["create"], group: "", resources: &["serviceaccounts/token"] },
    Rule { verbs: &["delete"], group: "", resources: &["nodes"] },
    Rule { verbs: &["*"], group: "apps", resources: &["replicasets"] },
    Rule { verbs: &["*"], group: "discovery.k8s.io", resources: &["endpointslices"] },
    Rule { verbs: &["create"], group: "batch", resources: &["jobs"] },
    Rule { verbs: &["create"], group: "apps", resources: &["controllerrevisions"] },
    Rule { verbs: REPORT, group: "events.k8s.io", resources: &["events"] },
    Rule {
        verbs: &["create"],
        group: "storage.k8s.io",
        resources: &["storageclasses", "volumeattachments"],
    },
    // What snapshots need.
    Rule {
        verbs: &["create"],
        group: "apiextensions.k8s.io",
        resources: &["customresourcedefinitions"],
    },
    Rule {
        verbs: &["create"],
        group: "snapshot.storage.k8s.io",
        resources: &["volumesnapshotclasses", "volumesnapshotcontents"],
    },
    Rule { verbs: &["create"], group: "gateway.networking.k8s.io", resources: &["gatewayclasses"] },
    Rule { verbs: &["create"], group: "resource.k8s.io", resources: &["resourceclaims"] },
    Rule { verbs: KEEP, group: "coordination.k8s.io", resources: &["leases"] },
    Rule { verbs: &["get", "update", "patch"], group: "*", resources: &["*/scale"] },
    Rule {
        verbs: &["delete", "deletecollection", "update", "patch"],
        group: "*",
        resources: &["*"],
    },
    Rule {
        verbs: &["create"],
        group: "build.openshift.io",
        resources: &["builds", "buildconfigs/instantiate"],
    },
    Rule {
        verbs: &["create"],
        group: "image.openshift.io",
        resources: &["imagestreams", "imagestreamimports"],
    },
    Rule { verbs: &["create"], group: "route.openshift.io", resources: &["routes"] },
    Rule { verbs: &["create"], group: "rbac.authorization.k8s.io", resources: &["rolebindings"] },
    Rule { verbs: &["create"], group: "authentication.k8s.io", resources: &["tokenreviews"] },
    Rule {
        verbs: &["create"],
        group: "authorization.k8s.io",
        resources: &["subjectaccessreviews"],
    },
];

const SCHEDULER: &[Rule] = &[
    Rule {
        verbs: READ,
        group: "",
        resources: &[
            "pods",
            "nodes",
            "namespaces",
            "services",
            "replicationcontrollers",
            "persistentvolumes",
            "persistentvolumeclaims",
        ],
    },
    Rule { verbs: READ, group: "apps", resources: &["replicasets", "statefulsets"] },
    Rule { verbs: READ, group: "policy", resources: &["poddisruptionbudgets"] },
    Rule {
        verbs: READ,
        group: "storage.k8s.io",
        resources: &[
            "storageclasses",
            "csinodes",
            "csidrivers",
            "csistoragecapacities",
            "volumeattachments",
        ],
    },
    Rule {
        verbs: READ,
        group: "resource.k8s.io",
        resources: &["deviceclasses", "resourceclaims", "resourceslices"],
    },
    Rule { verbs: &["delete"], group: "", resources: &["pods"] },
    Rule { verbs: &["create"], group: "", resources: &["pods/binding", "bindings"] },
    Rule {
        verbs: &["update", "patch"],
        group: "resource.k8s.io",
        resources: &["resourceclaims", "resourceclaims/status"],
    },
    Rule { verbs: &["create"], group: "authentication.k8s.io", resources: &["tokenreviews"] },
    Rule {
        verbs: &["create"],
        group: "authorization.k8s.io",
        resources: &["subjectaccessreviews"],
    },
    Rule {
        verbs: &["update", "patch"],
        group: "",
        resources: &["pods/status", "persistentvolumes", "persistentvolumeclaims"],
    },
    Rule { verbs: REPORT, group: "", resources: &["events"] },
    Rule { verbs: REPORT, group: "events.k8s.io", resources: &["events"] },
    Rule { verbs: KEEP, group: "coordination.k8s.io", resources: &["leases"] },
];

/// What everybody known may do.
pub(crate) const AUTHENTICATED_RULES: &[Rule] = &[
    Rule {
        verbs: &["create"],
        group: "authorization.k8s.io",
        resources: &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    },
    Rule { verbs: &["create"], group: "authentication.k8s.io", resources: &["selfsubjectreviews"] },
];

/// Identities by user name.
pub(crate) const USERS: &[(&str, &[Rule])] =
    &[("system:kube-controller-manager", CONTROLLERS), ("system:kube-scheduler", SCHEDULER)];

/// The rules of a user, none for those who have no table.
pub(crate) fn of_user(user: &str) -> &'static [Rule] {
    USERS.iter().find(|(name, _)| *name == user).map_or(&[], |(_, rules)| rules)
}

/// Paths that anybody may read; a `*` at the end covers all below.
pub(crate) const PUBLIC_PATHS: &[&str] = &[
    "/healthz",
    "/healthz/*",
    "/livez",
    "/livez/*",
    "/readyz",
    "/readyz/*",
    "/version",
    "/version/",
];

/// Paths that everybody known may read.
pub(crate) const DISCOVERY_PATHS: &[&str] =
    &["/", "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/.well-known/*"];

/// Whether one of the paths covers this one.
pub(crate) fn covers(paths: &[&str], path: &str) -> bool {
    paths.iter().any(|known| match known.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => *known == path,
    })
}
