//! The verdict on a request before anything of it is read.
//!
//! Knows: the order of the rules and the words of a refusal. Refuses to know: what the object holds.

use leme_meta::quote;
use leme_meta::status::Details;
use leme_meta::{Gvr, Status};

use crate::identity::{Identity, MASTERS};
use crate::node;
use crate::policy::{Grant, Policy};
use crate::scope;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; for paths that name no resource
    /// the lower-case HTTP method.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural resource; empty for paths that name none.
    pub resource: String,
    /// Subresource, often empty.
    pub subresource: String,
    /// Namespace; empty for cluster-scoped resources and for all namespaces.
    pub namespace: String,
    /// Name; empty for collections.
    pub name: String,
    /// Path of a request that names no resource.
    pub path: String,
    /// Of a collection: the fields that its objects must have, and their values.
    pub fields: Vec<(String, String)>,
    /// Of a collection: the labels that its objects must have, and their values.
    pub labels: Vec<(String, String)>,
}

/// The answer.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Go on; what a binding allows says which it is.
    Allow(Option<Grant>),
    /// Stop; the reason is appended to the refusal and may be empty.
    Deny(String),
}

impl Verdict {
    /// Whether it is yes.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Verdict::Allow(_))
    }
}

/// Whether somebody may do something.
pub fn authorize(who: &Identity, what: &Attributes, policy: &Policy) -> Verdict {
    match scope::prevented(who, what, policy) {
        Some(why) => Verdict::Deny(why),
        None => by_rights(who, what, policy),
    }
}

/// Whether somebody sees an object in a list of what they may get; `what` is to get it.
pub fn sees(who: &Identity, what: &Attributes, policy: &Policy) -> bool {
    by_rights(who, what, policy).is_allowed() && scope::shows(who, what, policy)
}

/// The account of the router, whose credential is on each node: of Secrets it may see certificates alone, which no role can say.
const ROUTER: &str = "system:serviceaccount:openshift-ingress:router";

fn reads_certificates(what: &Attributes) -> bool {
    let is_tls = |(path, value): &(String, String)| {
        (path.as_str(), value.as_str()) == ("type", "kubernetes.io/tls")
    };
    what.group.is_empty()
        && what.resource == "secrets"
        && what.subresource.is_empty()
        && matches!(&*what.verb, "list" | "watch")
        && what.fields.iter().any(is_tls)
}

/// The same without a look at scopes.
fn by_rights(who: &Identity, what: &Attributes, policy: &Policy) -> Verdict {
    if who.in_group(MASTERS) {
        return Verdict::Allow(None);
    }
    if who.user == ROUTER && reads_certificates(what) {
        return Verdict::Allow(None);
    }
    let of_node = match who.node().map(|name| node::authorize(name, what, &policy.graph)) {
        Some(Verdict::Allow(_)) => return Verdict::Allow(None),
        Some(Verdict::Deny(why)) => why,
        None => String::new(),
    };
    match policy.allows(who, what) {
        Ok(grant) => Verdict::Allow(Some(grant)),
        Err(why) if of_node.is_empty() => Verdict::Deny(why),
        Err(why) if why.is_empty() => Verdict::Deny(of_node),
        Err(why) => Verdict::Deny(format!("{of_node}\n{why}")),
    }
}

/// The 403 for a denied request, in upstream's words.
pub fn forbidden(who: &Identity, what: &Attributes, reason: &str) -> Status {
    let user = &who.user;
    if what.resource.is_empty() {
        let mut message = format!(
            "forbidden: User {user} cannot {} path {}",
            what.verb,
            quote(&what.path),
            user = quote(&user)
        );
        append(&mut message, reason);
        let mut status = Status::new(403, "Forbidden", message);
        status.details = Some(Box::new(Details::default()));
        return status;
    }
    let mut resource = what.resource.clone();
    if !what.subresource.is_empty() {
        resource = format!("{resource}/{}", what.subresource);
    }
    let place = if what.namespace.is_empty() {
        " at the cluster scope".to_owned()
    } else {
        format!(" in the namespace {}", quote(&what.namespace))
    };
    let mut message = format!(
        "User {user} cannot {} resource {resource} in API group {}{place}",
        what.verb,
        quote(&what.group),
        user = quote(&user),
        resource = quote(&resource)
    );
    append(&mut message, reason);
    let gvr =
        Gvr { group: what.group.clone(), version: String::new(), resource: what.resource.clone() };
    Status::forbidden(&gvr, &what.name, &message)
}

fn append(message: &mut String, reason: &str) {
    if !reason.is_empty() {
        message.push_str(": ");
        message.push_str(reason);
    }
}
