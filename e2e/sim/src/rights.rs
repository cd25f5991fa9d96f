//! What controllers may do: the roles of their accounts decide, as in a cluster.
//!
//! Knows: how an action reads as a request. Refuses to know: the roles.

use std::sync::LazyLock;

use leme_access::{Attributes, Identity, Policy, authorize, bootstrap};
use leme_controllers::{Controller, Question};
use leme_meta::gvk::split_api_version;
use leme_plan::{Action, ObjectRef};

use crate::kinds::by_kind;

/// What every cluster has.
static POLICY: LazyLock<Policy> = LazyLock::new(bootstrap::policy);

/// A verb, the plural resource with its subresource, and where.
type Asked<'a> = (&'a str, (String, String, &'a str), &'a str, &'a str);

fn plural(target: &ObjectRef) -> (String, String) {
    let (group, version) = split_api_version(&target.api_version);
    let plural = by_kind(group, version, &target.kind).map(|kind| kind.plural.to_string());
    (group.to_owned(), plural.unwrap_or_default())
}

fn of<'a>(verb: &'a str, target: &'a ObjectRef, subresource: &'a str) -> Asked<'a> {
    let (group, plural) = plural(target);
    (verb, (group, plural, subresource), &target.namespace, &target.name)
}

fn check(controller: &Controller, (verb, resource, namespace, name): Asked<'_>) {
    let (group, resource, subresource) = resource;
    let what = Attributes {
        verb: verb.to_owned(),
        group,
        resource,
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        ..Attributes::default()
    };
    let who = Identity::of_service_account("kube-system", controller.account(), "");
    let verdict = authorize(&who, &what, &POLICY);
    assert!(verdict.is_allowed(), "{} may not {what:?}", controller.account());
}

/// Whether a controller may do something; a test that has it do more fails.
pub(crate) fn judge(controller: &Controller, action: &Action) {
    let object;
    let asked = match action {
        // All are written by one who reports.
        Action::Event { .. } => return,
        Action::Create { object: made, .. } => {
            object = ObjectRef { name: String::new(), ..ObjectRef::of_value(&made.0) };
            of("create", &object, "")
        }
        Action::Update { object: new, .. } => {
            object = ObjectRef::of_value(&new.0);
            of("update", &object, "")
        }
        Action::Finalize { namespace } => {
            object = ObjectRef::of_value(&namespace.0);
            of("update", &object, "finalize")
        }
        Action::Patch { target, subresource, only_if, .. } => {
            if let Some(guard) = only_if {
                check(controller, of("get", guard, ""));
            }
            of("patch", target, subresource)
        }
        Action::Delete { target, .. } => of("delete", target, ""),
        Action::Bind { pod, .. } => of("create", pod, "binding"),
        Action::Post { target, subresource, .. } => of("create", target, subresource),
    };
    check(controller, asked);
}

/// Whether a controller may ask something.
pub(crate) fn judge_question(controller: &Controller, question: &Question) {
    let (verb, resource, namespace, name, subresource) = match question {
        Question::Object { resource, namespace, name, subresource } => {
            ("get", resource, namespace.as_str(), name.as_str(), *subresource)
        }
        Question::Objects { resource, namespace, .. } => {
            ("list", resource, namespace.as_str(), "", "")
        }
        Question::Certificate { .. } | Question::Kinds => return,
    };
    let (group, _) = split_api_version(&resource.api_version);
    let resource = (group.to_owned(), resource.plural.clone(), subresource);
    check(controller, (verb, resource, namespace, name));
}
