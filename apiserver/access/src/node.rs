//! What the agent of a node may do, given which node it is and what leads there.
//!
//! Knows: upstream's rules for single objects, in upstream's words. Refuses to know: what an agent may write into them; an
//! admission plug-in does.

use std::sync::LazyLock;

use leme_meta::local_path::NODE;

use crate::authorize::{Attributes, Verdict};
use crate::bootstrap;
use crate::graph::{Graph, Thing};
use crate::role::PolicyRule;

/// Namespace of the leases that nodes hold.
const LEASES: &str = "kube-node-lease";

/// What all agents may do alike, as far as nothing here is stricter.
static RULES: LazyLock<Vec<PolicyRule>> = LazyLock::new(|| {
    bootstrap::policy().role("", "ClusterRole", "system:node").unwrap_or_default()
});

const READ: &[&str] = &["get", "list", "watch"];
const OWN: &[&str] = &["get", "create", "update", "patch", "delete"];

/// Yes, or why not.
type Answer = Result<(), String>;

/// Whether the agent of a node may do something.
pub(crate) fn authorize(node: &str, what: &Attributes, graph: &Graph) -> Verdict {
    match answer(&Asking { node, what, graph }) {
        Ok(()) => Verdict::Allow(None),
        Err(why) => Verdict::Deny(why),
    }
}

/// Which agent asks, and for what.
struct Asking<'a> {
    node: &'a str,
    what: &'a Attributes,
    graph: &'a Graph,
}

fn answer(asking: &Asking<'_>) -> Answer {
    let what = asking.what;
    match (what.group.as_str(), what.resource.as_str(), what.subresource.as_str()) {
        ("", "secrets", _) => asking.read(Thing::Secret),
        ("", "configmaps", _) => asking.read(Thing::ConfigMap),
        ("", "persistentvolumeclaims", "status") => asking.update_status(Thing::Claim),
        ("", "persistentvolumeclaims", _) => asking.follow(Thing::Claim),
        ("", "persistentvolumes", _) if asking.selects_labelled() => Ok(()),
        ("", "persistentvolumes", _) => asking.follow(Thing::Volume),
        ("resource.k8s.io", "resourceclaims", _) => asking.follow(Thing::ResourceClaim),
        ("storage.k8s.io", "volumeattachments", _) if asking.selects("spec.nodeName") => Ok(()),
        ("storage.k8s.io", "volumeattachments", _) => asking.follow(Thing::Attachment),
        ("", "serviceaccounts", _) => asking.token(),
        ("coordination.k8s.io", "leases", _) => asking.lease(),
        ("storage.k8s.io", "csinodes", _) => asking.csi_node(),
        ("resource.k8s.io", "resourceslices", _) => asking.slice(),
        ("", "nodes", subresource) => asking.own(subresource),
        ("", "pods", subresource) => asking.pod(subresource),
        _ if RULES.iter().any(|rule| rule.allows(what)) => Ok(()),
        _ => Err(String::new()),
    }
}

fn no(why: &str) -> Answer {
    Err(why.to_owned())
}

impl Asking<'_> {
    fn verb(&self) -> &str {
        &self.what.verb
    }

    /// Whether only objects are asked for that have the node in this field.
    fn selects(&self, field: &str) -> bool {
        matches!(self.verb(), "list" | "watch" | "deletecollection")
            && self.what.subresource.is_empty()
            && self.what.fields.iter().any(|(path, value)| path == field && value == self.node)
    }

    /// Whether only volumes are asked for that are directories of the node.
    fn selects_labelled(&self) -> bool {
        matches!(self.verb(), "list" | "watch")
            && self.what.subresource.is_empty()
            && self.what.labels.iter().any(|(label, value)| label == NODE && value == self.node)
    }

    fn related(&self, thing: Thing) -> Answer {
        let Attributes { namespace, name, .. } = self.what;
        if name.is_empty() {
            return no("No Object name found");
        }
        match self.graph.reaches(self.node, thing, namespace, name) {
            true => Ok(()),
            false => Err(self.unrelated()),
        }
    }

    fn unrelated(&self) -> String {
        format!("no relationship found between node '{}' and this object", self.node)
    }

    fn read(&self, thing: Thing) -> Answer {
        match () {
            () if !READ.contains(&self.verb()) => no("can only read resources of this type"),
            () if !self.what.subresource.is_empty() => no("cannot read subresource"),
            () if self.what.namespace.is_empty() => {
                no("can only read namespaced object of this type")
            }
            () => self.related(thing),
        }
    }

    /// A single object is not only got but followed as well: an agent of ours does not ask again and again.
    fn follow(&self, thing: Thing) -> Answer {
        let by_name = READ.contains(&self.verb()) && !self.what.name.is_empty();
        if self.verb() != "get" && !by_name {
            return no("can only get individual resources of this type");
        }
        if !self.what.subresource.is_empty() {
            return no("cannot get subresource");
        }
        self.related(thing)
    }

    fn update_status(&self, thing: Thing) -> Answer {
        match self.verb() {
            "update" | "patch" => self.related(thing),
            _ => no("can only get/update/patch this type"),
        }
    }

    fn token(&self) -> Answer {
        if self.verb() != "create" || self.what.name.is_empty() {
            return no("can only create tokens for individual service accounts");
        }
        if self.what.subresource != "token" {
            return no("can only create token subresource of serviceaccount");
        }
        self.related(Thing::Account)
    }

    fn lease(&self) -> Answer {
        if !OWN.contains(&self.verb()) {
            return no("can only get, create, update, patch, or delete a node lease");
        }
        if self.what.namespace != LEASES {
            return Err(format!("can only access leases in the {LEASES:?} system namespace"));
        }
        match self.verb() == "create" || self.what.name == self.node {
            true => Ok(()),
            false => no("can only access node lease with the same name as the requesting node"),
        }
    }

    fn csi_node(&self) -> Answer {
        if !OWN.contains(&self.verb()) {
            return no("can only get, create, update, patch, or delete a CSINode");
        }
        if !self.what.subresource.is_empty() {
            return no("cannot authorize CSINode subresources");
        }
        match self.verb() == "create" || self.what.name == self.node {
            true => Ok(()),
            false => no("can only access CSINode with the same name as the requesting node"),
        }
    }

    fn slice(&self) -> Answer {
        if !self.what.subresource.is_empty() {
            return no("cannot authorize ResourceSlice subresources");
        }
        match self.verb() {
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.related(Thing::Slice),
            "watch" | "list" | "deletecollection" if self.selects("spec.nodeName") => Ok(()),
            "watch" | "list" | "deletecollection" => no(
                "can only list/watch/deletecollection resourceslices with nodeName field selector",
            ),
            _ => no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, \
                 delete, deletecollection",
            ),
        }
    }

    /// The name is compared, for an agent reads its Node before there is one.
    fn own(&self, subresource: &str) -> Answer {
        let (node, name) = (self.node, &self.what.name);
        match (subresource, self.verb()) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
            ("", "get" | "list" | "watch") if name == node => Ok(()),
            ("", "get" | "list" | "watch") if name.is_empty() => {
                Err(format!("node '{node}' cannot read all nodes, only its own Node object"))
            }
            ("", "get" | "list" | "watch") => {
                Err(format!("node '{node}' cannot read '{name}', only its own Node object"))
            }
            _ => no(""),
        }
    }

    fn pod(&self, subresource: &str) -> Answer {
        match (subresource, self.verb()) {
            ("", "get") => self.related(Thing::Pod),
            ("", "list" | "watch") if self.selects("spec.nodeName") => Ok(()),
            ("", "list" | "watch") if !self.what.name.is_empty() => self.related(Thing::Pod),
            ("", "list" | "watch") => {
                no("can only list/watch pods with spec.nodeName field selector")
            }
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => {
                Ok(())
            }
            _ => no(""),
        }
    }
}
