//! Who may pass: the verdicts of access, asked about one parsed request.
//!
//! Knows: how a request reads as attributes, and where the state of a namespace is found. Refuses to know: the rules.

use http::Method;
use leme_access::{Admission, Attributes, Identity, NamespaceState, Verdict};
use leme_meta::Status;
use leme_registry::json;
use leme_store::cache::Index;

use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::write::Stored;

/// Refuses what the identity may not do to a resource: 401 for strangers, 403 for everybody else. The verb is the
/// request's, but where an update turns out to be a create.
pub(crate) fn authorize(
    identity: &Identity,
    request: &ResourceRequest,
    verb: Verb,
) -> Result<(), Status> {
    authorize_word(identity, request, verb.name())
}

/// Refuses to remove an object that cannot be read, with all that may break, to whom that is not allowed besides.
pub(crate) fn authorize_unsafe_delete(
    identity: &Identity,
    request: &ResourceRequest,
) -> Result<(), Status> {
    authorize_word(identity, request, "unsafe-delete-ignore-read-errors")
}

fn authorize_word(
    identity: &Identity,
    request: &ResourceRequest,
    verb: &str,
) -> Result<(), Status> {
    let name = match request.name.as_str() {
        // A watch or list of one name is about that object.
        "" => request
            .query
            .get("fieldSelector")
            .and_then(|text| text.strip_prefix("metadata.name="))
            .unwrap_or(""),
        name => name,
    };
    let attributes = Attributes {
        verb: verb.to_owned(),
        group: request.kind.group.to_string(),
        resource: request.kind.plural.to_string(),
        subresource: request.subresource.map_or("", |sub| sub.name()).to_owned(),
        // A namespace is also in itself.
        namespace: request.namespace.clone(),
        name: name.trim_start_matches('=').to_owned(),
        path: String::new(),
    };
    decide(identity, &attributes)
}

/// Refuses a path that the identity may not read.
pub(crate) fn authorize_path(
    identity: &Identity,
    method: &Method,
    path: &str,
) -> Result<(), Status> {
    let attributes = Attributes {
        verb: method.as_str().to_ascii_lowercase(),
        path: path.to_owned(),
        ..Attributes::default()
    };
    decide(identity, &attributes)
}

fn decide(identity: &Identity, attributes: &Attributes) -> Result<(), Status> {
    match leme_access::authorize(identity, attributes) {
        Verdict::Allow => Ok(()),
        Verdict::Deny(_) if is_stranger(identity) => Err(Status::unauthorized()),
        Verdict::Deny(why) => Err(leme_access::forbidden(identity, attributes, &why)),
    }
}

/// Whether the identity is nobody's.
pub(crate) fn is_stranger(identity: &Identity) -> bool {
    identity.in_group("system:unauthenticated") || identity.user.is_empty()
}

/// Refuses a create or delete of the object of a name that the state of its namespace, or its being one that stays, forbids.
pub(crate) async fn lifecycle(
    api: &Api,
    request: &ResourceRequest,
    verb: &str,
    name: &str,
) -> Result<(), Status> {
    let state = if request.namespace.is_empty() || verb != "create" {
        NamespaceState::Active
    } else {
        namespace(api, &request.namespace).await?
    };
    leme_access::admit(&Admission {
        verb,
        resource: &request.gvr(),
        subresource: request.subresource.map_or("", |sub| sub.name()),
        namespace: &request.namespace,
        name,
        state,
    })
}

/// The state of a namespace: the cache's, and if that has none the store's.
async fn namespace(api: &Api, name: &str) -> Result<NamespaceState, Status> {
    let row = leme_kinds::by_resource("", "v1", "namespaces").ok_or_else(Status::no_such_path)?;
    let key = row.key("", name);
    let state_of = |deleting: bool, phase: &str| match deleting || phase == "Terminating" {
        true => NamespaceState::Terminating,
        false => NamespaceState::Active,
    };
    if let Some(namespace) = api.cache.get(&row.prefix(None), &key) {
        let Index { deleting, .. } = *namespace.index;
        return Ok(state_of(deleting, namespace.index.field("status.phase").unwrap_or("")));
    }
    let Some(Stored { value, .. }) = api.stored(&key).await? else {
        return Ok(NamespaceState::Missing);
    };
    let deleting = json::at(&value, &["metadata", "deletionTimestamp"]).is_some();
    Ok(state_of(deleting, json::text(&value, &["status", "phase"])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{RequestInfo, parse};

    // Red when the verb of the request is asked for whatever it does: an update that creates passed as an update.
    #[test]
    fn an_update_that_creates_is_authorised_as_a_create() {
        let controllers = Identity::of_certificate("system:kube-controller-manager", []);
        let path = "/api/v1/nodes/n".parse().unwrap();
        let Ok(RequestInfo::Resource(request)) =
            parse(&Method::PUT, &path, leme_kinds::Kinds::builtin())
        else {
            panic!()
        };
        assert!(authorize(&controllers, &request, request.verb).is_ok());
        let status = authorize(&controllers, &request, Verb::Create).unwrap_err();
        assert_eq!(status.code, 403);
        assert!(status.message.contains("cannot create resource \"nodes\""), "{status}");
    }
}
