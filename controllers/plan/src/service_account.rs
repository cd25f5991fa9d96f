//! What every active namespace gets: the `default` service account and, if the authority is known, `kube-root-ca.crt`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::namespace::is_ending;

/// Name of the config map that holds the authority's certificate.
pub const ROOT_CA: &str = "kube-root-ca.crt";

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The namespace; `None` once it is gone.
    pub namespace: Option<Arc<Namespace>>,
    /// Whether its `default` service account exists.
    pub has_default: bool,
    /// The authority's certificate, if it is to be published.
    pub root_ca: Option<String>,
    /// The published config map and whether its data is known and equals `root_ca`.
    pub published: Option<(ObjectRef, bool)>,
}

/// What to do for one namespace.
pub fn plan(seen: &Observed, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(namespace) = seen.namespace.as_ref().filter(|one| !is_ending(one)) else {
        return plan;
    };
    let meta = |name: &str| ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.metadata.name.clone(),
        ..ObjectMeta::default()
    };
    if !seen.has_default {
        let account = ServiceAccount { metadata: meta("default"), ..ServiceAccount::default() };
        plan.act(Action::create(&account));
    }
    let Some(authority) = &seen.root_ca else { return plan };
    let data = BTreeMap::from([("ca.crt".to_owned(), authority.clone())]);
    match &seen.published {
        None => {
            let mut map =
                ConfigMap { metadata: meta(ROOT_CA), data: Some(data), ..ConfigMap::default() };
            map.metadata.annotations = Some(BTreeMap::from([(
                "kubernetes.io/description".to_owned(),
                "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as \
                 the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions \
                 of Kubernetes clusters."
                    .to_owned(),
            )]));
            plan.act(Action::create(&map));
        }
        Some((target, false)) => {
            plan.act(Action::patch(target.clone().any_version(), json!({ "data": data })));
        }
        Some((_, true)) => {}
    }
    plan
}
