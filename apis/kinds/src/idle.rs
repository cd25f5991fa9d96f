//! Kinds that are served and kept while nobody in this cluster acts on their objects: the one table of them.
//!
//! Knows: what is missing, in the words in which it is told. Whoever makes a kind work deletes its row: the warnings of
//! writes and what the command line says go with it. The README's table of what is served tells of the same.

/// Nobody does what an object says.
pub const UNUSED: &str = "nothing in this cluster acts on it yet";
/// Nobody limits, forbids or protects as an object says: whoever writes one is warned.
pub const UNENFORCED: &str = "nothing in this cluster enforces it yet";

const NO_VOLUMES: &str = "nothing in this cluster makes volumes by it yet";
const NO_DEVICES: &str = "nothing in this cluster allocates devices yet";

const ADMISSION: &str = "admissionregistration.k8s.io";
const CONFIG: &str = "config.openshift.io";
const OLDER_RBAC: &str = "authorization.openshift.io";
const NETWORKING: &str = "networking.k8s.io";
const STORAGE: &str = "storage.k8s.io";
const TEMPLATE: &str = "template.openshift.io";

/// Group, kind, and what is missing, in the order of the first two.
static IDLE: &[(&str, &str, &str)] = &[
    (ADMISSION, "MutatingAdmissionPolicy", UNENFORCED),
    (ADMISSION, "MutatingAdmissionPolicyBinding", UNENFORCED),
    (ADMISSION, "MutatingWebhookConfiguration", UNENFORCED),
    (ADMISSION, "ValidatingAdmissionPolicy", UNENFORCED),
    (ADMISSION, "ValidatingAdmissionPolicyBinding", UNENFORCED),
    (ADMISSION, "ValidatingWebhookConfiguration", UNENFORCED),
    (
        "apiregistration.k8s.io",
        "APIService",
        "nothing in this cluster passes requests on to it yet",
    ),
    (OLDER_RBAC, "RoleBindingRestriction", UNENFORCED),
    (CONFIG, "APIServer", UNUSED),
    (CONFIG, "Authentication", UNUSED),
    (CONFIG, "Build", UNUSED),
    (CONFIG, "ClusterOperator", UNUSED),
    (CONFIG, "ClusterVersion", UNUSED),
    (CONFIG, "Console", UNUSED),
    (CONFIG, "DNS", UNUSED),
    (CONFIG, "FeatureGate", UNUSED),
    (CONFIG, "Image", UNUSED),
    (CONFIG, "ImageContentPolicy", UNUSED),
    (CONFIG, "ImageDigestMirrorSet", UNUSED),
    (CONFIG, "ImageTagMirrorSet", UNUSED),
    (CONFIG, "Infrastructure", UNUSED),
    (CONFIG, "Ingress", UNUSED),
    (CONFIG, "Network", UNUSED),
    (CONFIG, "Node", UNUSED),
    (CONFIG, "OAuth", "nothing in this cluster uses it, but for how long tokens are good"),
    (CONFIG, "OperatorHub", UNUSED),
    (CONFIG, "Proxy", UNUSED),
    (CONFIG, "Scheduler", UNUSED),
    (NETWORKING, "NetworkPolicy", UNENFORCED),
    (NETWORKING, "ServiceCIDR", "nothing in this cluster takes addresses from it yet"),
    ("node.k8s.io", "RuntimeClass", "no node of this cluster runs pods of it yet"),
    ("quota.openshift.io", "AppliedClusterResourceQuota", UNENFORCED),
    ("quota.openshift.io", "ClusterResourceQuota", UNENFORCED),
    ("resource.k8s.io", "DeviceClass", NO_DEVICES),
    ("resource.k8s.io", "ResourceClaim", NO_DEVICES),
    ("resource.k8s.io", "ResourceClaimTemplate", NO_DEVICES),
    ("resource.k8s.io", "ResourceSlice", NO_DEVICES),
    (STORAGE, "CSIStorageCapacity", NO_VOLUMES),
    (STORAGE, "VolumeAttributesClass", NO_VOLUMES),
    (TEMPLATE, "BrokerTemplateInstance", UNUSED),
    (TEMPLATE, "TemplateInstance", "nothing in this cluster makes objects of it yet"),
];

/// What nobody in this cluster does with the objects of a kind, where storing them is all that happens.
pub fn idle(group: &str, kind: &str) -> Option<&'static str> {
    // Every write asks.
    let at = IDLE.binary_search_by(|(known, name, _)| (*known, *name).cmp(&(group, kind)));
    at.ok().map(|at| IDLE[at].2)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Groups of the README's table of what is served, and what stands there in brackets.
    fn told() -> Vec<(String, String)> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let section = readme.split("## What is served").nth(1).unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let row = |line: &str| {
            let cells: Vec<&str> = line.split('|').collect();
            let version = cells[1].trim().trim_matches('`');
            let group = version.split_once('/').map_or("", |(group, _)| group);
            let words = cells[2].split_once('(').map_or("", |(_, words)| words);
            (group.to_owned(), words.to_owned())
        };
        rows.map(row).collect()
    }

    /// Red when a kind of the table is none, is there twice, or begins to work and the README is not told; and when the
    /// README says of a group that it is only kept, and the table does not know.
    #[test]
    fn the_table_and_the_readme_tell_of_the_same() {
        let rows: BTreeSet<(&str, &str)> =
            IDLE.iter().map(|(group, kind, _)| (*group, *kind)).collect();
        assert_eq!(rows.len(), IDLE.len(), "a kind is there twice");
        let sorted = IDLE.is_sorted_by_key(|(group, kind, _)| (*group, *kind));
        assert!(sorted, "a row is out of its place, and is not found");
        for (group, kind) in &rows {
            let known = crate::builtin().any(|row| row.group == *group && row.kind == *kind);
            assert!(known, "{kind} of {group:?} is no kind");
        }
        let told = told();
        assert!(told.len() > 20, "{told:?}");
        let idle: BTreeSet<&str> = rows.iter().map(|(group, _)| *group).collect();
        for group in &idle {
            let says = told.iter().any(|(known, words)| known == group && !words.is_empty());
            assert!(
                says,
                "the README does not say in brackets what nobody does by objects of {group}"
            );
        }
        for (group, words) in &told {
            let kept = words.starts_with("kept") || words.starts_with("roles are kept");
            assert!(!kept || idle.contains(&**group), "{group} is kept, and not in the table");
        }
    }
}
