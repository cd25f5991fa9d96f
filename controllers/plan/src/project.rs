//! What every namespace gets of OpenShift: the service accounts of builds and rollouts, and what they and its pods may do
//! with its images.
//!
//! Knows: upstream's names and words. Refuses to know: what the roles allow. What is there stays as it is, so that
//! somebody can take the subjects out of a binding.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::Plan;
use crate::action::Action;
use crate::namespace::is_ending;

/// The names of the service accounts.
pub const ACCOUNTS: [&str; 2] = ["builder", "deployer"];

/// The names of the bindings, of which each is that of its role in the plural.
pub const BINDINGS: [&str; 3] =
    ["system:image-pullers", "system:image-builders", "system:deployers"];

const GROUP: &str = "rbac.authorization.k8s.io";

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The namespace; `None` once it is gone.
    pub namespace: Option<Arc<Namespace>>,
    /// Which of [`ACCOUNTS`] are there.
    pub accounts: Vec<&'static str>,
    /// Which of [`BINDINGS`] are there.
    pub bindings: Vec<&'static str>,
}

/// What to do for one namespace.
pub fn plan(seen: &Observed, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(namespace) = seen.namespace.as_ref().filter(|one| !is_ending(one)) else {
        return plan;
    };
    let space = namespace.metadata.name.as_deref().unwrap_or_default();
    let meta = |name: &str| ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(space.to_owned()),
        ..ObjectMeta::default()
    };
    for name in ACCOUNTS.into_iter().filter(|name| !seen.accounts.contains(name)) {
        plan.act(Action::create(&ServiceAccount {
            metadata: meta(name),
            ..ServiceAccount::default()
        }));
    }
    for name in BINDINGS.into_iter().filter(|name| !seen.bindings.contains(name)) {
        let (allows, subject) = of(name, space);
        let mut metadata = meta(name);
        let why = format!(
            "Allows {allows} this namespace.  It is auto-managed by a controller; remove subjects to disable."
        );
        metadata.annotations = Some(BTreeMap::from([("openshift.io/description".to_owned(), why)]));
        let role_ref = RoleRef {
            api_group: Some(GROUP.to_owned()),
            kind: "ClusterRole".to_owned(),
            name: name.trim_end_matches('s').to_owned(),
        };
        plan.act(Action::create(&RoleBinding {
            metadata,
            role_ref,
            subjects: Some(vec![subject]),
        }));
    }
    plan
}

/// What a binding allows, in upstream's words, and whom.
fn of(binding: &str, space: &str) -> (&'static str, Subject) {
    let account = |name: &str| Subject {
        kind: "ServiceAccount".to_owned(),
        name: name.to_owned(),
        namespace: Some(space.to_owned()),
        ..Subject::default()
    };
    match binding {
        "system:image-builders" => {
            ("builds in this namespace to push images to", account(ACCOUNTS[0]))
        }
        "system:deployers" => {
            ("deploymentconfigs in this namespace to rollout pods in", account(ACCOUNTS[1]))
        }
        _ => {
            let pods = Subject {
                kind: "Group".to_owned(),
                api_group: Some(GROUP.to_owned()),
                name: format!("system:serviceaccounts:{space}"),
                ..Subject::default()
            };
            ("all pods in this namespace to pull images from", pods)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn namespace(phase: &str) -> Observed {
        let found = json!({ "metadata": { "name": "shop" }, "status": { "phase": phase } });
        Observed {
            namespace: serde_json::from_value(found).ok().map(Arc::new),
            accounts: Vec::new(),
            bindings: Vec::new(),
        }
    }

    fn made(seen: &Observed) -> Vec<serde_json::Value> {
        let plan = plan(seen, Timestamp::UNIX_EPOCH);
        let made = plan.actions.into_iter().map(|action| match action {
            Action::Create { object, .. } => object.0,
            other => panic!("{other:?}"),
        });
        made.collect()
    }

    #[test]
    fn a_namespace_gets_accounts_and_what_they_may_do() {
        let all = made(&namespace("Active"));
        let names: Vec<_> =
            all.iter().map(|one| one["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, [&ACCOUNTS[..], &BINDINGS[..]].concat());
        assert_eq!(
            all[3],
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": { "name": "system:image-builders", "namespace": "shop", "annotations": {
                    "openshift.io/description": "Allows builds in this namespace to push images to this namespace.  It is auto-managed by a controller; remove subjects to disable.",
                } },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:image-builder" },
                "subjects": [{ "kind": "ServiceAccount", "name": "builder", "namespace": "shop" }],
            })
        );
        let pods =
            json!([{ "kind": "Group", "apiGroup": GROUP, "name": "system:serviceaccounts:shop" }]);
        assert_eq!(
            (&all[2]["subjects"], &all[2]["roleRef"]["name"]),
            (&pods, &json!("system:image-puller"))
        );
    }

    #[test]
    fn what_is_there_stays_and_an_end_is_no_beginning() {
        let mut seen = namespace("Active");
        (seen.accounts, seen.bindings) = (ACCOUNTS.to_vec(), BINDINGS[..2].to_vec());
        let all = made(&seen);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0]["metadata"]["name"], "system:deployers");
        assert_eq!(made(&namespace("Terminating")), [] as [serde_json::Value; 0]);
    }
}
