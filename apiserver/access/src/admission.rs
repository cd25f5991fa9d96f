//! The verdict on a write that depends on its namespace.
//!
//! Knows: that nothing is made where there is no namespace or where it is going away, and that some namespaces stay.
//! Refuses to know: where the state of the namespace comes from.

use leme_meta::status::Details;
use leme_meta::{Cause, Gvr, Status};

/// Namespaces that cannot be deleted.
const PROTECTED: [&str; 3] = ["default", "kube-system", "kube-public"];

/// What is known of the namespace of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceState {
    /// There is none of that name.
    Missing,
    /// It is there.
    Active,
    /// It is being deleted.
    Terminating,
}

/// A write that waits for admission.
#[derive(Clone, Debug)]
pub struct Admission<'a> {
    /// `create`, `update`, `delete`, ...
    pub verb: &'a str,
    /// Resource of the request.
    pub resource: &'a Gvr,
    /// Subresource, often empty.
    pub subresource: &'a str,
    /// Namespace, empty for cluster-scoped resources.
    pub namespace: &'a str,
    /// Name, empty for collections.
    pub name: &'a str,
    /// What is known of the namespace; not looked at for cluster-scoped resources.
    pub state: NamespaceState,
}

/// Whether a write may go on.
pub fn admit(request: &Admission) -> Result<(), Status> {
    let namespaces =
        Gvr { group: String::new(), version: "v1".to_owned(), resource: "namespaces".to_owned() };
    let on_namespace =
        request.resource.group.is_empty() && request.resource.resource == "namespaces";
    if on_namespace {
        let protected = request.verb == "delete"
            && request.subresource.is_empty()
            && PROTECTED.contains(&request.name);
        return if protected {
            Err(Status::forbidden(&namespaces, request.name, "this namespace may not be deleted"))
        } else {
            Ok(())
        };
    }
    if request.namespace.is_empty() || request.verb != "create" || !request.subresource.is_empty() {
        return Ok(());
    }
    match request.state {
        NamespaceState::Active => Ok(()),
        // Who may ask about access in a namespace may also learn that there is none.
        _ if request.resource.group == "authorization.k8s.io" => Ok(()),
        NamespaceState::Missing => Err(Status::not_found(&namespaces, request.namespace)),
        NamespaceState::Terminating => Err(terminating(request)),
    }
}

fn terminating(request: &Admission) -> Status {
    let namespace = request.namespace;
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let mut status = Status::forbidden(request.resource, request.name, &why);
    let details = status.details.get_or_insert_with(|| Box::new(Details::default()));
    details.causes.push(Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".to_owned(),
    });
    status
}
