//! OwnerReferencesPermissionEnforcement: who gives an object an owner may delete the object, and who lets it keep its owner
//! from going may change the owner's finalizers.
//!
//! Knows: which references are new, which rights they take. Refuses to know: who holds them. Off unless asked for.

use leme_access::{Attributes, Identity};
use leme_meta::{Status, gvk::split_api_version};
use leme_registry::{Asked, Operation, json};
use serde_json::Value;

use crate::escalation::identity;
use crate::{Facts, PlugIn, Seen};

const DEFINITIONS: Seen =
    Seen { group: "apiextensions.k8s.io", version: "v1", plural: "customresourcedefinitions" };

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "OwnerReferencesPermissionEnforcement",
    by_default: false,
    about: |asked| {
        // What nodes tell of their pods changes no owner.
        asked.operation != Operation::Delete && !asked.is_below("", "pods", "status")
    },
    sees: &[DEFINITIONS],
    validate: |asked, new, old, facts| {
        let (Some(new), Some(who)) = (new, identity(asked)) else { return Ok(()) };
        let (owners, before) = (owners(new), old.map_or(&[][..], owners));
        if owners == before {
            return Ok(());
        }
        let own = Attributes {
            verb: "delete".to_owned(),
            group: asked.kind.group.to_string(),
            resource: asked.kind.plural.to_string(),
            subresource: asked.subresource.to_owned(),
            namespace: asked.namespace.to_owned(),
            name: asked.name.to_owned(),
            ..Attributes::default()
        };
        require(asked, &who, &own, facts, "cannot set an ownerRef on a resource you can't delete")?;
        let blocking = owners.iter().filter(|owner| {
            let same = |old: &&Value| json::text(old, &["uid"]) == json::text(owner, &["uid"]);
            blocks(owner) && !before.iter().find(same).is_some_and(blocks)
        });
        blocking.into_iter().try_for_each(|owner| of_owner(asked, &who, owner, facts))
    },
    ..PlugIn::NONE
};

fn owners(object: &Value) -> &[Value] {
    json::list(object, &["metadata", "ownerReferences"])
}

fn blocks(owner: &Value) -> bool {
    json::flag(owner, &["blockOwnerDeletion"])
}

fn require(
    asked: &Asked,
    who: &Identity,
    what: &Attributes,
    facts: &dyn Facts,
    why: &str,
) -> Result<(), Status> {
    match leme_access::authorize(who, what, &facts.policy()) {
        leme_access::Verdict::Allow(_) => Ok(()),
        leme_access::Verdict::Deny(reason) => {
            Err(asked.forbidden(&format!("{why}: {reason}, <nil>")))
        }
    }
}

/// Who lets an object keep its owner from going may change the owner's finalizers.
fn of_owner(asked: &Asked, who: &Identity, owner: &Value, facts: &dyn Facts) -> Result<(), Status> {
    let (said, kind) = (json::text(owner, &["apiVersion"]), json::text(owner, &["kind"]));
    let (group, version) = split_api_version(said);
    let Some((resource, is_namespaced)) = resource(group, version, kind, facts)? else {
        return Err(asked.forbidden(&format!(
            "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {said} Kind {kind}: no matches for kind \"{kind}\" in version \"{said}\""
        )));
    };
    let what = Attributes {
        verb: "update".to_owned(),
        group: group.to_owned(),
        resource,
        subresource: "finalizers".to_owned(),
        namespace: if is_namespaced { asked.namespace.to_owned() } else { String::new() },
        name: json::text(owner, &["name"]).to_owned(),
        ..Attributes::default()
    };
    let why = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on";
    require(asked, who, &what, facts, why)
}

/// The resource of a kind, and whether its objects are in namespaces.
fn resource(
    group: &str,
    version: &str,
    kind: &str,
    facts: &dyn Facts,
) -> Result<Option<(String, bool)>, Status> {
    if let Some(row) = leme_kinds::by_kind(group, version, kind) {
        return Ok(Some((row.plural.to_string(), row.namespaced())));
    }
    let all = facts.list(&DEFINITIONS, "")?;
    let found = all.iter().map(|one| &one["spec"]).find(|spec| {
        json::text(spec, &["group"]) == group && json::text(spec, &["names", "kind"]) == kind
    });
    Ok(found.map(|spec| {
        let is_namespaced = json::text(spec, &["scope"]) == "Namespaced";
        (json::text(spec, &["names", "plural"]).to_owned(), is_namespaced)
    }))
}
