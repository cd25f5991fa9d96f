//! ClusterRoles that are made of others: the rules of all those whose labels they select.
//!
//! Knows: which roles are selected, and in what order their rules come. Refuses to know: what rules allow.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use serde_json::json;

use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::common::selects;

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The role; `None` once it is gone.
    pub role: Option<Arc<ClusterRole>>,
    /// Every role of the cluster, by name.
    pub all: Vec<Arc<ClusterRole>>,
}

/// Whether a role is made of others.
pub fn is_made_of_others(role: &ClusterRole) -> bool {
    role.aggregation_rule.is_some()
}

/// What to do for one role. Of rules that are equal one stays; that roles select each other in a circle ends there, as
/// does what a role would add to itself.
pub fn plan(seen: &Observed, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(role) = &seen.role else { return plan };
    let Some(aggregation) = &role.aggregation_rule else { return plan };
    let selectors = aggregation.cluster_role_selectors.iter().flatten();
    let mut rules: Vec<&PolicyRule> = Vec::new();
    for selector in selectors {
        for other in &seen.all {
            let own = other.metadata.name == role.metadata.name;
            if own || !selects(selector, other.metadata.labels.as_ref()) {
                continue;
            }
            for rule in other.rules.iter().flatten() {
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
    }
    if role.rules.iter().flatten().ne(rules.iter().copied()) {
        plan.act(Action::patch(ObjectRef::to(&**role), json!({ "rules": rules })));
    }
    plan
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn role(name: &str, part_of: &str, made_of: &str, rules: Value) -> Arc<ClusterRole> {
        let mut role = json!({
            "metadata": { "name": name, "labels": { part_of: "true" } }, "rules": rules,
        });
        if !made_of.is_empty() {
            role["aggregationRule"] =
                json!({ "clusterRoleSelectors": [{ "matchLabels": { made_of: "true" } }] });
        }
        Arc::new(serde_json::from_value(role).unwrap())
    }

    fn rule(verb: &str) -> Value {
        json!({ "verbs": [verb], "apiGroups": [""], "resources": ["pods"] })
    }

    fn patched(name: &str, all: &[Arc<ClusterRole>]) -> Option<Value> {
        let found = all.iter().find(|one| one.metadata.name.as_deref() == Some(name)).cloned();
        let plan = plan(&Observed { role: found, all: all.to_vec() }, Timestamp::UNIX_EPOCH);
        plan.actions.into_iter().next().map(|action| match action {
            Action::Patch { patch, .. } => patch,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_role_is_made_of_those_that_it_selects() {
        let all = [
            role("edit", "to-admin", "to-edit", Value::Null),
            role("one", "to-edit", "", json!([rule("get"), rule("list")])),
            role("two", "to-edit", "", json!([rule("list"), rule("watch")])),
            role("other", "to-view", "", json!([rule("delete")])),
        ];
        let rules = json!([rule("get"), rule("list"), rule("watch")]);
        assert_eq!(patched("edit", &all), Some(json!({ "rules": rules })));
        assert_eq!(patched("one", &all), None);
        let settled = role("edit", "to-admin", "to-edit", rules);
        let all = [&[settled][..], &all[1..]].concat();
        assert_eq!(patched("edit", &all), None);
    }

    /// Red when a role takes its own rules again: two that select each other never settle.
    #[test]
    fn a_circle_settles() {
        let mut all =
            [role("a", "x", "x", json!([rule("get")])), role("b", "x", "x", json!([rule("list")]))];
        for _ in 0..4 {
            for at in 0..2 {
                let name = all[at].metadata.name.clone().unwrap();
                if let Some(patch) = patched(&name, &all) {
                    all[at] = role(&name, "x", "x", patch["rules"].clone());
                }
            }
        }
        assert_eq!((patched("a", &all), patched("b", &all)), (None, None));
    }
}
