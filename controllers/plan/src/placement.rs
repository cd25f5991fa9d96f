//! Which nodes a pod asks for: node selectors and required node affinity.
//!
//! Knows: how terms and requirements match the labels and the name of a node. Refuses to know: taints, and what a node has
//! left.

use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec,
};

use crate::common::{Labels, matches};

/// The field that a term can ask for.
pub const NAME_FIELD: &str = "metadata.name";

/// A node as terms see it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: Option<&'a Labels>,
}

impl<'a> Place<'a> {
    /// The place that a node is.
    pub fn of(node: &'a Node) -> Place<'a> {
        let name = node.metadata.name.as_deref().unwrap_or("");
        Place { name, labels: node.metadata.labels.as_ref() }
    }

    fn label(&self, key: &str) -> Option<&'a str> {
        self.labels?.get(key).map(String::as_str)
    }
}

/// Whether a pod asks for this node or leaves it open.
pub fn admits(spec: &PodSpec, place: Place) -> bool {
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    spec.node_selector.as_ref().is_none_or(|selector| matches(selector, place.labels))
        && required.is_none_or(|selector| selects(selector, place))
}

/// Whether any term matches.
pub fn selects(selector: &NodeSelector, place: Place) -> bool {
    selector.node_selector_terms.iter().any(|term| term_matches(term, place))
}

/// Whether all requirements of a term match; a term without any matches nothing.
pub fn term_matches(term: &NodeSelectorTerm, place: Place) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|one| requirement_matches(one, place.label(&one.key)))
        && fields
            .iter()
            .all(|one| requirement_matches(one, (one.key == NAME_FIELD).then_some(place.name)))
}

fn requirement_matches(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|value| values.iter().any(|one| one == value));
    let numbers = || {
        let left: i64 = value?.parse().ok()?;
        let right: i64 = values.first()?.parse().ok()?;
        Some((left, right))
    };
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(left, right)| left > right),
        "Lt" => numbers().is_some_and(|(left, right)| left < right),
        _ => false,
    }
}
