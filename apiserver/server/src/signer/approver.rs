//! Approves the certificates that nodes ask for, if who asks may have them.
//!
//! Knows: the two requests that upstream recognises, and what one must be allowed to for each. Refuses to know: who is.

use jiff::Timestamp;
use leme_access::{Attributes, Policy, Verdict};
use leme_registry::json;
use serde_json::{Value, json};

use super::{SIGNERS, is, read};
use crate::write::review::told;

/// Signer of the certificates by which agents show who they are.
const OF_AGENTS: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// Whether a request waits for somebody to approve it.
pub(super) fn waits(request: &Value) -> bool {
    json::text(request, &["spec", "signerName"]) == OF_AGENTS
        && !is(request, "Approved")
        && !is(request, "Denied")
        && json::text(request, &["status", "certificate"]).is_empty()
}

/// What is said of the approval, if this is approved: it is what its signer signs, and who asks may have it.
pub(super) fn approves(request: &Value, policy: &Policy) -> Option<&'static str> {
    let signer = SIGNERS.iter().find(|known| known.name == OF_AGENTS)?;
    let (asked, usages) = read(request).ok()?;
    signer.refuses(&usages, &asked).ok()?;
    // As the server wrote it down when it was asked.
    let who = told(request, "username");
    let own = (
        "selfnodeclient",
        "Auto approving self kubelet client certificate after SubjectAccessReview.",
    );
    let new =
        ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.");
    let recognised = [own, new];
    let skipped = usize::from(who.user != asked.common_name);
    let may = |subresource: &str| {
        let attributes = Attributes {
            verb: "create".to_owned(),
            group: "certificates.k8s.io".to_owned(),
            resource: "certificatesigningrequests".to_owned(),
            subresource: subresource.to_owned(),
            ..Attributes::default()
        };
        matches!(leme_access::authorize(&who, &attributes, policy), Verdict::Allow(_))
    };
    recognised[skipped..].iter().find(|(subresource, _)| may(subresource)).map(|(_, what)| *what)
}

/// Adds the approval.
pub(super) fn approve(request: &mut Value, message: &str) {
    let now = leme_meta::time::seconds(Timestamp::now());
    let mut conditions = json::list(request, &["status", "conditions"]).to_vec();
    conditions.push(json!({
        "type": "Approved", "status": "True", "reason": "AutoApproved", "message": message,
        "lastUpdateTime": now, "lastTransitionTime": now,
    }));
    json::set(json::child(request, "status"), "conditions", conditions);
}
