//! The ClusterResourceQuotas that apply to a namespace, as objects in it.
//!
//! Knows: how a quota selects namespaces. Refuses to know: what is used; nothing counts yet.

use leme_kinds::Kind;
use leme_meta::selector::LabelSelector;
use leme_meta::{Status, schema};
use leme_registry::json;
use serde_json::Value;

use super::{kind, list};
use crate::answer::Answer;
use crate::api::Api;
use crate::negotiate::Representation;
use crate::present;
use crate::request::{ResourceRequest, Verb};
use crate::table;

impl Api {
    /// GET and LIST of the quotas that apply to a namespace.
    pub(super) fn applied_quotas(
        &self,
        request: &ResourceRequest,
        wanted: Representation,
    ) -> Result<Answer, Status> {
        if request.namespace.is_empty() {
            return Err(Status::bad_request("namespace is required"));
        }
        let namespaces = kind("", "namespaces")?;
        let namespace = self.known(namespaces, "", &request.namespace)?.unwrap_or_default();
        let quotas = kind("quota.openshift.io", "clusterresourcequotas")?;
        let snapshot =
            self.cache.snapshot(&quotas.prefix(None)).ok_or_else(Status::no_such_path)?;
        let mut applied = Vec::new();
        for object in snapshot.range(&quotas.prefix(None), "") {
            let quota = table::decoded(object)?;
            if selects(&quota, &namespace) {
                applied.push(as_applied(&request.kind, quota));
            }
        }
        if request.verb == Verb::List {
            return list::shown(request, wanted, list::selected(request, applied)?);
        }
        let named = |quota: &Value| json::text(quota, &["metadata", "name"]) == request.name;
        let quota = applied.into_iter().find(named).ok_or_else(|| {
            let mut resource = request.gvr();
            resource.resource = "appliedclusterresourcequota".to_owned();
            Status::not_found(&resource, &request.name)
        })?;
        present::object(request, wanted, 200, quota)
    }
}

/// Whether a quota applies to a namespace: by its labels and its annotations, as far as the quota asks for either.
fn selects(quota: &Value, namespace: &Value) -> bool {
    let selector = json::at(quota, &["spec", "selector"]).unwrap_or(&Value::Null);
    let of = |map: &str, key: &str| json::text(namespace, &["metadata", map, key]).to_owned();
    let labels = json::at(selector, &["labels"]).is_none_or(|labels| {
        let has =
            |key: &str| json::at(namespace, &["metadata", "labels", key]).and_then(Value::as_str);
        LabelSelector::from_json(labels).is_ok_and(|labels| labels.matches(has))
    });
    let mut annotations = json::entries(selector, &["annotations"]);
    !namespace.is_null()
        && labels
        && annotations.all(|(key, text)| text.as_str() == Some(&of("annotations", key)))
}

fn as_applied(kind: &Kind, mut quota: Value) -> Value {
    json::set(&mut quota, "kind", &*kind.kind);
    json::set(&mut quota, "apiVersion", kind.api_version());
    schema::apply_defaults(leme_kinds::schemas(), &kind.schema, &mut quota);
    quota
}
