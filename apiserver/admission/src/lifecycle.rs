//! NamespaceLifecycle: nothing is made where there is no namespace or where it is going away, and some namespaces stay.
//!
//! Knows: the phases of a namespace. Refuses to know: who empties one.

use leme_meta::status::Details;
use leme_meta::{Cause, Gvr, Status};
use leme_registry::{Asked, Operation};

use crate::{Facts, PlugIn, Seen};

/// Namespaces that cannot be deleted.
const PROTECTED: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(crate) const NAMESPACES: Seen = Seen { group: "", version: "v1", plural: "namespaces" };

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "NamespaceLifecycle",
    about: |asked| match asked.operation {
        Operation::Create => !asked.namespace.is_empty() && !is_review(asked),
        Operation::Delete => asked.is_of("", "namespaces"),
        Operation::Update => false,
    },
    sees: &[NAMESPACES],
    mutate: |asked, _, _, facts| check(asked, facts),
    validate: |asked, _, _, _| {
        if asked.operation == Operation::Delete && PROTECTED.contains(&asked.name) {
            return Err(asked.forbidden("this namespace may not be deleted"));
        }
        Ok(())
    },
    ..PlugIn::NONE
};

/// Who may ask about access in a namespace may also learn that there is none.
fn is_review(asked: &Asked) -> bool {
    asked.kind.group == "authorization.k8s.io"
}

fn check(asked: &Asked, facts: &dyn Facts) -> Result<(), Status> {
    if asked.operation != Operation::Create {
        return Ok(());
    }
    match facts.is_going(&NAMESPACES, "", asked.namespace)? {
        Some(false) => Ok(()),
        Some(true) => Err(terminating(asked)),
        None => {
            let namespaces = Gvr {
                group: String::new(),
                version: "v1".to_owned(),
                resource: "namespaces".to_owned(),
            };
            Err(Status::not_found(&namespaces, asked.namespace))
        }
    }
}

fn terminating(asked: &Asked) -> Status {
    let namespace = asked.namespace;
    let mut status = asked.forbidden(&format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    ));
    let details = status.details.get_or_insert_with(|| Box::new(Details::default()));
    details.causes.push(Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".to_owned(),
    });
    status
}
