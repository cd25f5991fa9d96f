//! CertificateApproval and CertificateSigning: who approves or signs for a signer may do that for it.
//!
//! Knows: which writes of requests for certificates that concerns. Refuses to know: what certificates say.

use leme_access::Attributes;
use leme_meta::{Status, quote};
use leme_registry::{Asked, Operation, json};
use serde_json::Value;

use crate::escalation::identity;
use crate::{Facts, PlugIn};

const GROUP: &str = "certificates.k8s.io";

pub(crate) const APPROVAL: PlugIn = PlugIn {
    name: "CertificateApproval",
    about: |asked| is_update(asked, "approval"),
    validate: |asked, new, _, facts| may(asked, new, facts, "approve"),
    ..PlugIn::NONE
};

pub(crate) const SIGNING: PlugIn = PlugIn {
    name: "CertificateSigning",
    about: |asked| is_update(asked, "status"),
    validate: |asked, new, old, facts| {
        let signed = |of: Option<&Value>| {
            let certificate = of.and_then(|of| json::at(of, &["status", "certificate"]).cloned());
            let conditions = of.map(|of| json::list(of, &["status", "conditions"]).to_vec());
            (certificate, conditions)
        };
        if signed(new) == signed(old) { Ok(()) } else { may(asked, new, facts, "sign") }
    },
    ..PlugIn::NONE
};

fn is_update(asked: &Asked, subresource: &str) -> bool {
    asked.operation == Operation::Update
        && asked.is_below(GROUP, "certificatesigningrequests", subresource)
}

/// Whether who asks may do it for the signer of a request, or for all signers of its domain. The server asks nobody.
fn may(
    asked: &Asked,
    request: Option<&Value>,
    facts: &dyn Facts,
    verb: &str,
) -> Result<(), Status> {
    let (Some(who), Some(request)) = (identity(asked), request) else { return Ok(()) };
    let signer = json::text(request, &["spec", "signerName"]);
    let domain = signer.split_once('/').map_or("", |(domain, _)| domain);
    let policy = facts.policy();
    let allowed = [signer.to_owned(), format!("{domain}/*")].into_iter().any(|name| {
        let what = Attributes {
            verb: verb.to_owned(),
            group: GROUP.to_owned(),
            resource: "signers".to_owned(),
            name,
            ..Attributes::default()
        };
        leme_access::authorize(&who, &what, &policy).is_allowed()
    });
    if allowed {
        return Ok(());
    }
    let signer = quote(signer);
    Err(asked.forbidden(&format!("user not permitted to {verb} requests with signerName {signer}")))
}
