//! ComponentStatus: how the parts of the control plane are, for clients that still ask so.
//!
//! Knows: the three components that everybody looks for, and what each is judged by. Refuses to know: how they work.

use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use leme_meta::selector::{FieldSelector, LabelSelector};
use leme_meta::{Status, time};
use leme_registry::json;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::api::Api;
use crate::present;
use crate::request::ResourceRequest;

/// In the order in which they are listed, with the lease that a component holds which is a process of its own.
const COMPONENTS: [(&str, Option<&str>); 3] = [
    ("controller-manager", Some("kube-controller-manager")),
    ("etcd-0", None),
    ("scheduler", Some("kube-scheduler")),
];

/// Namespace of those leases.
const LEASES_IN: &str = "kube-system";

impl Api {
    /// GET of a component.
    pub(crate) async fn component(
        &self,
        request: &ResourceRequest,
        headers: &HeaderMap,
    ) -> Result<Answer, Status> {
        let wanted = present::wanted(request, headers)?;
        let known = COMPONENTS.into_iter().find(|(name, _)| *name == request.name);
        let known = known.ok_or_else(|| Status::not_found(&request.gvr(), &request.name))?;
        let component = self.component_status(request, known).await;
        present::object(request, wanted, 200, component)
    }

    /// LIST of them.
    pub(crate) async fn components(
        &self,
        request: &ResourceRequest,
        headers: &HeaderMap,
    ) -> Result<Answer, Status> {
        let wanted = present::wanted(request, headers)?;
        let selector = |name| request.query.get(name).unwrap_or("");
        let labels =
            LabelSelector::parse(selector("labelSelector")).map_err(Status::bad_request)?;
        let fields =
            FieldSelector::parse(selector("fieldSelector")).map_err(Status::bad_request)?;
        let named = |name: &str| {
            let fits = |path: &str| if path == "metadata.name" { name } else { "" };
            let mut all = fields.requirements().iter();
            all.all(|one| (fits(&one.path) == one.value) == one.equal)
        };
        let mut shown = Vec::new();
        for one in COMPONENTS.into_iter().filter(|one| named(one.0) && labels.matches(|_| None)) {
            shown.push(Ok(self.component_status(request, one).await));
        }
        let list = present::list(request, wanted.shape, &json!({}), shown.into_iter())?;
        present::document(wanted.encoding, 200, &list)
    }

    async fn component_status(
        &self,
        request: &ResourceRequest,
        (name, lease): (&str, Option<&str>),
    ) -> Value {
        let found = match lease {
            None => self.store.revision().await.map(drop).map_err(|error| error.to_string()),
            Some(_) if self.within.contains(&name) => Ok(()),
            Some(lease) => self.is_held(lease, Timestamp::now()),
        };
        let condition = match found {
            Ok(()) => json!({ "type": "Healthy", "status": "True", "message": "ok" }),
            Err(why) => json!({ "type": "Healthy", "status": "False", "message": why }),
        };
        json!({
            "kind": request.kind.kind,
            "apiVersion": request.kind.api_version(),
            "metadata": { "name": name },
            "conditions": [condition],
        })
    }

    /// Whether somebody holds a lease.
    fn is_held(&self, name: &str, now: Timestamp) -> Result<(), String> {
        let namespace = LEASES_IN;
        let row = leme_kinds::by_resource("coordination.k8s.io", "v1", "leases");
        let lease = row.and_then(|row| {
            let kept = self.cache.get(&row.prefix(None), &row.key(namespace, name))?;
            serde_json::from_slice::<Value>(&kept.json).ok()
        });
        match lease.as_ref().and_then(good_until) {
            Some(until) if until > now => Ok(()),
            Some(_) => Err(format!("the lease {namespace}/{name} has run out")),
            None => Err(format!("nobody holds the lease {namespace}/{name}")),
        }
    }
}

/// Until when a lease lasts, if somebody holds it.
fn good_until(lease: &Value) -> Option<Timestamp> {
    let text = |field| json::text(lease, &["spec", field]);
    let renewed = time::parse(text("renewTime")).filter(|_| !text("holderIdentity").is_empty())?;
    let lasts = json::int(lease, &["spec", "leaseDurationSeconds"]).unwrap_or(0);
    renewed.checked_add(SignedDuration::from_secs(lasts)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lasts_from_its_renewal_while_it_is_held() {
        let lease = |holder: &str, renewed: &str, seconds: i64| json!({ "spec": { "holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": seconds } });
        let until = |lease: &Value| good_until(lease).map(|until| until.to_string());
        let good = lease("a", "2026-01-02T03:04:05.000000Z", 15);
        assert_eq!(until(&good).as_deref(), Some("2026-01-02T03:04:20Z"));
        assert_eq!(until(&lease("", "2026-01-02T03:04:05.000000Z", 15)), None);
        assert_eq!(until(&lease("a", "yesterday", 15)), None);
        assert_eq!(until(&lease("a", "2026-01-02T03:04:05.000000Z", i64::MAX)), None);
        assert_eq!(until(&Value::Null), None);
    }
}
