//! The constraints of OpenShift's clusters.
//!
//! Knows: where they are kept. Refuses to know: what they say.

use leme_admission::scc::standard;

use super::{Keep, Wanted};

/// All of them: whoever changes one keeps it so, and what is deleted is made again.
pub(super) fn wanted() -> impl Iterator<Item = Wanted> {
    standard::all().map(|(name, object)| {
        let collection = "/apis/security.openshift.io/v1/securitycontextconstraints".into();
        Wanted { collection, name: name.into(), object, condition: None, keep: Keep::Existence }
    })
}
