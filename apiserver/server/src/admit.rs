//! Who may pass: the verdicts of access, asked about one parsed request.
//!
//! Knows: how a request reads as attributes. Refuses to know: the rules.

use std::time::Duration;

use http::Method;
use leme_access::{Attributes, Grant, Identity, Policy, Verdict};
use leme_meta::Status;
use leme_meta::selector::{FieldSelector, LabelRequirement, LabelSelector, Operator};
use leme_registry::{Admission, Asked, Operation, User};
use serde_json::Value;

use crate::api::Api;
use crate::request::{ResourceRequest, Verb};

/// Refuses what the identity may not do to a resource: 401 for strangers, 403 for everybody else. The verb is the
/// request's, but where an update turns out to be a create.
pub(crate) fn authorize(
    policy: &Policy,
    identity: &Identity,
    request: &ResourceRequest,
    verb: Verb,
) -> Result<Option<Grant>, Status> {
    decide(policy, identity, &attributes(request, verb.name()))
}

/// Refuses what the identity may not do, once that is as true as the store: the agent of a node that has just heard of a pod
/// is not refused what the pod names.
pub(crate) async fn decide_now(
    api: &Api,
    identity: &Identity,
    what: &Attributes,
) -> Result<Option<Grant>, Status> {
    let decided = decide(&api.policies.load(), identity, what);
    if decided.is_ok() || identity.node().is_none() {
        return decided;
    }
    api.graph.catch_up(&api.cache).await;
    decide(&api.policies.load(), identity, what)
}

/// Refuses to remove an object that cannot be read, with all that may break, to whom that is not allowed besides.
pub(crate) fn authorize_unsafe_delete(
    policy: &Policy,
    identity: &Identity,
    request: &ResourceRequest,
) -> Result<(), Status> {
    let what = attributes(request, "unsafe-delete-ignore-read-errors");
    decide(policy, identity, &what).map(drop)
}

/// What a request is about.
pub(crate) fn attributes(request: &ResourceRequest, verb: &str) -> Attributes {
    let (fields, labels) = selected(request);
    let name = match request.name.as_str() {
        // A watch or list of one name is about that object.
        "" => fields.iter().find(|(path, _)| path == "metadata.name").map_or("", |(_, name)| name),
        name => name,
    };
    Attributes {
        verb: verb.to_owned(),
        group: request.kind.group.to_string(),
        resource: request.kind.plural.to_string(),
        subresource: request.subresource.map_or("", |sub| sub.name()).to_owned(),
        // A namespace is also in itself, and so is a project.
        namespace: match (&*request.kind.group, &*request.kind.plural) {
            ("", "namespaces") | ("project.openshift.io", "projects") => request.name.clone(),
            _ => request.namespace.clone(),
        },
        name: name.to_owned(),
        path: String::new(),
        fields,
        labels,
    }
}

/// What a request is about that names no resource.
pub(crate) fn of_path(method: &Method, path: &str) -> Attributes {
    Attributes {
        verb: method.as_str().to_ascii_lowercase(),
        path: path.to_owned(),
        ..Attributes::default()
    }
}

type Pairs = Vec<(String, String)>;

/// The fields and labels that the objects of a collection must have to be meant, with their values.
fn selected(request: &ResourceRequest) -> (Pairs, Pairs) {
    // What cannot be parsed is refused by who selects.
    let parsed = |name| request.query.get(name).filter(|_| request.name.is_empty());
    let fields = parsed("fieldSelector").and_then(|text| FieldSelector::parse(text).ok());
    let fields = fields.iter().flat_map(|all| all.requirements()).filter(|one| one.equal);
    let labels = parsed("labelSelector").and_then(|text| LabelSelector::parse(text).ok());
    let labels = labels.iter().flat_map(|all| all.requirements());
    let exact = |one: &LabelRequirement| {
        let value = one.values.iter().next().filter(|_| one.values.len() == 1)?;
        let is = matches!(one.operator, Operator::In | Operator::Equals | Operator::DoubleEquals);
        is.then(|| (one.key.clone(), value.clone()))
    };
    (
        fields.map(|one| (one.path.clone(), one.value.clone())).collect(),
        labels.filter_map(exact).collect(),
    )
}

/// Refuses a path that the identity may not read.
pub(crate) fn authorize_path(
    policy: &Policy,
    identity: &Identity,
    method: &Method,
    path: &str,
) -> Result<Option<Grant>, Status> {
    decide(policy, identity, &of_path(method, path))
}

/// Refuses what the identity may not do: 401 for strangers, 403 for everybody else. Gives the binding that allows it, if one
/// does.
pub(crate) fn decide(
    policy: &Policy,
    identity: &Identity,
    attributes: &Attributes,
) -> Result<Option<Grant>, Status> {
    match leme_access::authorize(identity, attributes, policy) {
        Verdict::Allow(grant) => Ok(grant),
        Verdict::Deny(_) if is_stranger(identity) => Err(Status::unauthorized()),
        Verdict::Deny(why) => Err(leme_access::forbidden(identity, attributes, &why)),
    }
}

/// Whether the identity is nobody's.
pub(crate) fn is_stranger(identity: &Identity) -> bool {
    identity.in_group("system:unauthenticated") || identity.user.is_empty()
}

impl ResourceRequest {
    /// Who asks, as objects tell of it.
    pub fn user(&self) -> Option<User<'_>> {
        self.who.as_ref().map(|who| User {
            name: &who.user,
            uid: &who.uid,
            groups: &who.groups,
            extra: &who.extra,
        })
    }
}

/// What admission is asked about a request before anybody looks at an object.
pub(crate) fn asked<'a>(
    request: &'a ResourceRequest,
    operation: Operation,
    dry_run: bool,
) -> Asked<'a> {
    Asked {
        operation,
        kind: &request.kept.kind,
        subresource: request.subresource.map_or("", |sub| sub.name()),
        namespace: &request.namespace,
        name: &request.name,
        dry_run,
        user: request.user(),
    }
}

/// Refuses what is posted to an object, before anybody looks at it.
pub(crate) fn post(
    api: &Api,
    request: &ResourceRequest,
    dry_run: bool,
    body: &mut Value,
) -> Result<(), Status> {
    let asked = asked(request, Operation::Create, dry_run);
    api.admission.mutate(&asked, body, None)?;
    api.admission.validate(&asked, Some(body), None)
}

/// Refuses the removal of an object that cannot be looked at.
pub(crate) fn removal(api: &Api, request: &ResourceRequest) -> Result<(), Status> {
    api.admission.validate(&asked(request, Operation::Delete, false), None, None)
}

/// How long a write waits for what controllers are about to make, as upstream has it.
const SOON: Duration = Duration::from_millis(1500);
/// Changes taken from the cache at a time.
const BATCH: usize = 64;

/// Waits a little while for what admission will look for in vain otherwise: the account of pods in a new namespace.
pub(crate) async fn wait(api: &Api, request: &ResourceRequest, body: &Value) {
    let asked = asked(request, Operation::Create, false);
    let awaited = || api.admission.awaited(&asked, body);
    let from = api.cache.revision();
    let Some((of, _)) = awaited() else { return };
    let Some(row) = leme_kinds::by_resource(of.group, of.version, of.plural) else { return };
    let Ok(mut changes) = api.cache.watch(&row.prefix(None), from) else { return };
    let came =
        async { while awaited().is_some() && !changes.next_batch(BATCH).await.is_empty() {} };
    // Whether it came is for admission to say.
    let _ = tokio::time::timeout(SOON, came).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{RequestInfo, parse};

    // Red when the verb of the request is asked for whatever it does: an update that creates passed as an update.
    #[test]
    fn an_update_that_creates_is_authorised_as_a_create() {
        let controllers =
            Identity::of_service_account("kube-system", "generic-garbage-collector", "");
        let path = "/api/v1/nodes/n".parse().unwrap();
        let Ok(RequestInfo::Resource(request)) =
            parse(&Method::PUT, &path, leme_kinds::Kinds::builtin())
        else {
            panic!()
        };
        let policy = leme_access::bootstrap::policy();
        assert!(authorize(&policy, &controllers, &request, request.verb).is_ok());
        let status = authorize(&policy, &controllers, &request, Verb::Create).unwrap_err();
        assert_eq!(status.code, 403);
        assert!(status.message.contains("cannot create resource \"nodes\""), "{status}");
    }
}
