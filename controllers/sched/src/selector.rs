//! Which pods a label selector or a term of affinity means, in a form that compares and hashes.
//!
//! Knows: labels, namespaces and their labels. Refuses to know: where pods are.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::PodAffinityTerm;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use leme_plan::common::Labels;

/// One thing that labels have to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Need {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
    /// Nothing can be it.
    Never,
}

impl Need {
    fn holds(&self, labels: &Labels) -> bool {
        let listed = |key: &String, values: &[String]| {
            labels.get(key).is_some_and(|value| values.contains(value))
        };
        match self {
            Need::In(key, values) => listed(key, values),
            Need::NotIn(key, values) => !listed(key, values),
            Need::Exists(key) => labels.contains_key(key),
            Need::Missing(key) => !labels.contains_key(key),
            Need::Never => false,
        }
    }
}

/// A label selector; without any need it selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector(Vec<Need>);

impl Selector {
    /// Reads a selector; one that is not there selects nothing, and neither does one that makes no sense.
    pub fn read(selector: Option<&LabelSelector>) -> Selector {
        let Some(selector) = selector else { return Selector(vec![Need::Never]) };
        let pairs = selector.match_labels.iter().flatten();
        let mut needs: Vec<Need> =
            pairs.map(|(key, value)| Need::In(key.clone(), vec![value.clone()])).collect();
        for one in selector.match_expressions.iter().flatten() {
            let (key, mut values) = (one.key.clone(), one.values.clone().unwrap_or_default());
            values.sort();
            values.dedup();
            needs.push(match one.operator.as_str() {
                "In" if !values.is_empty() => Need::In(key, values),
                "NotIn" if !values.is_empty() => Need::NotIn(key, values),
                "Exists" => Need::Exists(key),
                "DoesNotExist" => Need::Missing(key),
                _ => Need::Never,
            });
        }
        Selector::of(needs)
    }

    /// What has all of these labels.
    pub fn pairs(labels: &Labels) -> Selector {
        let needs = labels.iter().map(|(key, value)| Need::In(key.clone(), vec![value.clone()]));
        Selector::of(needs.collect())
    }

    /// What both select.
    pub fn and(mut self, other: &Selector) -> Selector {
        self.0.extend(other.0.iter().cloned());
        Selector::of(self.0)
    }

    /// What the pods of these labels have in common for those who care for them: the Services that select them, and their
    /// owner, given what that selects.
    pub fn in_common<'a>(
        labels: &Labels,
        services: impl Iterator<Item = &'a Labels>,
        owner: Option<Selector>,
    ) -> Selector {
        let serving = services
            .filter(|pairs| pairs.iter().all(|(key, value)| labels.get(key) == Some(value)));
        let pairs: Labels =
            serving.flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
        Selector::pairs(&pairs).and(&owner.unwrap_or_default())
    }

    fn of(mut needs: Vec<Need>) -> Selector {
        needs.sort();
        needs.dedup();
        Selector(needs)
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it selects `labels`.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.0.iter().all(|need| need.holds(labels))
    }

    /// A label that all have that it selects, if there is one: what an index can find it by.
    pub(crate) fn pair(&self) -> Option<(String, String)> {
        self.0.iter().find_map(|need| match need {
            Need::In(key, values) if values.len() == 1 => Some((key.clone(), values[0].clone())),
            _ => None,
        })
    }

    /// The same, of those that have or have not the values that `labels` have for these keys.
    fn with_keys(mut self, keys: Option<&Vec<String>>, labels: &Labels, wanted: bool) -> Selector {
        for key in keys.into_iter().flatten() {
            if let Some(value) = labels.get(key) {
                let (key, values) = (key.clone(), vec![value.clone()]);
                self.0.push(if wanted { Need::In(key, values) } else { Need::NotIn(key, values) });
            }
        }
        Selector::of(self.0)
    }

    /// A selector with the keys whose values are taken from the pod's labels.
    pub(crate) fn with_match_keys(
        selector: Option<&LabelSelector>,
        keys: Option<&Vec<String>>,
        labels: &Labels,
    ) -> Selector {
        Selector::read(selector).with_keys(keys, labels, true)
    }
}

/// The labels of namespaces.
pub(crate) type Namespaces = HashMap<String, Labels>;

/// Pods by namespace and labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Who {
    pub(crate) namespaces: Vec<String>,
    /// Namespaces by their labels, besides those that are named.
    pub(crate) of_namespaces: Option<Selector>,
    pub(crate) pods: Selector,
}

impl Who {
    /// Pods of one namespace.
    pub(crate) fn within(namespace: &str, pods: Selector) -> Who {
        Who { namespaces: vec![namespace.to_owned()], of_namespaces: None, pods }
    }

    /// Whether a pod is one of them.
    pub(crate) fn is(&self, namespace: &str, labels: &Labels, all: &Namespaces) -> bool {
        let named = self.namespaces.iter().any(|one| one == namespace);
        let none = Labels::new();
        let among = |selector: &Selector| selector.selects(all.get(namespace).unwrap_or(&none));
        (named || self.of_namespaces.as_ref().is_some_and(among)) && self.pods.selects(labels)
    }
}

/// A term of affinity between pods: whom it means, and what they share or do not share.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Term {
    pub(crate) who: Who,
    /// The label of nodes.
    pub(crate) key: String,
}

impl Term {
    /// Reads a term of a pod.
    pub(crate) fn read(term: &PodAffinityTerm, namespace: &str, labels: &Labels) -> Term {
        let of_namespaces =
            term.namespace_selector.as_ref().map(|selector| Selector::read(Some(selector)));
        let mut namespaces = term.namespaces.clone().unwrap_or_default();
        if namespaces.is_empty() && of_namespaces.is_none() {
            namespaces.push(namespace.to_owned());
        }
        namespaces.sort();
        let pods = Selector::read(term.label_selector.as_ref())
            .with_keys(term.match_label_keys.as_ref(), labels, true)
            .with_keys(term.mismatch_label_keys.as_ref(), labels, false);
        Term { who: Who { namespaces, of_namespaces, pods }, key: term.topology_key.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(selector: Value, labels: Value, expected: bool) {
        let selector: Option<LabelSelector> = serde_json::from_value(selector).unwrap();
        let labels: Labels = serde_json::from_value(labels).unwrap();
        assert_eq!(Selector::read(selector.as_ref()).selects(&labels), expected);
    }

    #[test]
    fn selectors_select_as_upstream_has_it() {
        check(Value::Null, json!({}), false);
        check(json!({}), json!({}), true);
        let both = json!({"matchLabels": {"a": "1"}, "matchExpressions": [
            {"key": "b", "operator": "In", "values": ["x", "y"]},
            {"key": "c", "operator": "NotIn", "values": ["z"]},
            {"key": "d", "operator": "Exists"}, {"key": "e", "operator": "DoesNotExist"}]});
        check(both.clone(), json!({"a": "1", "b": "y", "d": ""}), true);
        check(both.clone(), json!({"a": "1", "b": "y", "c": "z", "d": ""}), false);
        check(both, json!({"a": "1", "b": "y", "d": "", "e": ""}), false);
        check(json!({"matchExpressions": [{"key": "a", "operator": "Near"}]}), json!({}), false);
    }

    #[test]
    fn services_and_owners_say_what_pods_have_in_common() {
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let (own, web) = (labels(&[("app", "web"), ("hash", "1")]), labels(&[("app", "web")]));
        let (all, other) = (Labels::new(), labels(&[("app", "db")]));
        let owner = Selector::pairs(&labels(&[("hash", "1")]));
        let common = Selector::in_common(&own, [&all, &web, &other].into_iter(), Some(owner));
        assert_eq!(common, Selector::pairs(&own));
        assert!(Selector::in_common(&own, [&all, &other].into_iter(), None).is_empty());
    }

    #[test]
    fn a_term_means_its_own_namespace_unless_it_says_more() {
        let labels: Labels = [("hash".to_owned(), "1".to_owned())].into();
        let term = |value: Value| -> Term {
            Term::read(&serde_json::from_value(value).unwrap(), "own", &labels)
        };
        let all: Namespaces =
            [("team".to_owned(), [("team".to_owned(), "a".to_owned())].into())].into();
        let is = |term: &Term, namespace: &str| term.who.is(namespace, &labels, &all);
        let plain = term(json!({"topologyKey": "k", "labelSelector": {}}));
        assert!(is(&plain, "own") && !is(&plain, "other"));
        let named = term(json!({"topologyKey": "k", "labelSelector": {}, "namespaces": ["x"]}));
        assert!(is(&named, "x") && !is(&named, "own"));
        let chosen = json!({"topologyKey": "k", "labelSelector": {},
            "namespaceSelector": {"matchLabels": {"team": "a"}}});
        assert!(is(&term(chosen.clone()), "team") && !is(&term(chosen), "own"));
        let every = json!({"topologyKey": "k", "labelSelector": {}, "namespaceSelector": {}});
        assert!(is(&term(every), "unheard of"));
        let same = json!({"topologyKey": "k", "labelSelector": {}, "matchLabelKeys": ["hash"]});
        assert!(is(&term(same), "own"));
        let other = json!({"topologyKey": "k", "labelSelector": {}, "mismatchLabelKeys": ["hash"]});
        assert!(!is(&term(other), "own"));
    }
}
