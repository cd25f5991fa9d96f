//! Nobody hands out rights that they have not: what is written to roles and bindings is in what the writer holds, or the
//! writer may `escalate` or `bind`.
//!
//! Knows: which writes hand out rights, and the words of a refusal. Refuses to know: how rules are compared.

use leme_access::{Attributes, GROUP, Identity, MASTERS, Policy, PolicyRule, missing};
use leme_meta::{Status, quote};
use leme_registry::{Asked, Operation, json, shown_name};
use serde_json::Value;

use crate::PlugIn;

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "RBACEscalation",
    about: |asked| {
        asked.kind.group == GROUP
            && asked.operation != Operation::Delete
            && asked.subresource.is_empty()
            && asked.user.is_some()
    },
    validate: |asked, new, old, facts| {
        let (Some(new), Some(who)) = (new, identity(asked)) else { return Ok(()) };
        if who.in_group(MASTERS) || only_for_its_end(new, old) {
            return Ok(());
        }
        let policy = facts.policy();
        let wanted = match &*asked.kind.kind {
            "Role" | "ClusterRole" => role(asked, (new, old), &who, &policy)?,
            _ => binding(asked, new, &who, &policy)?,
        };
        let Some(wanted) = wanted else { return Ok(()) };
        let (own, _) = policy.rules(&who, asked.namespace);
        let lines = missing(&own, &wanted);
        if lines.is_empty() {
            return Ok(());
        }
        let groups: Vec<String> = who.groups.iter().map(quote).collect();
        let why = format!(
            "user {} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
            quote(&who.user),
            groups.join(" "),
            lines.join("\n")
        );
        Err(Status::forbidden(&asked.kind.gvr(), shown_name(asked.name, new), &why))
    },
    ..PlugIn::NONE
};

/// Who asks.
pub(crate) fn identity(asked: &Asked) -> Option<Identity> {
    asked.user.map(|user| Identity {
        user: user.name.to_owned(),
        uid: user.uid.to_owned(),
        groups: user.groups.to_vec(),
        extra: user.extra.clone(),
    })
}

/// Whether nothing but what the garbage collector needs is changed: also a label hands out rights, for roles are gathered by
/// theirs.
pub(crate) fn only_for_its_end(new: &Value, old: Option<&Value>) -> bool {
    const OF_ITS_END: [&str; 5] =
        ["ownerReferences", "finalizers", "resourceVersion", "managedFields", "generation"];
    let rest = |object: &Value| {
        let mut rest = object.clone();
        if let Some(metadata) = rest.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|field, _| !OF_ITS_END.contains(&field.as_str()));
        }
        rest
    };
    old.is_some_and(|old| rest(old) == rest(new))
}

/// What somebody must hold who writes this role; nothing if they may write it without holding that.
fn role(
    asked: &Asked,
    (new, old): (&Value, Option<&Value>),
    who: &Identity,
    policy: &Policy,
) -> Result<Option<Vec<PolicyRule>>, Status> {
    let name = shown_name(asked.name, new);
    if may(policy, who, "escalate", asked, &asked.kind.plural, name) {
        return Ok(None);
    }
    let aggregates = |object: &Value| {
        !json::list(object, &["aggregationRule", "clusterRoleSelectors"]).is_empty()
    };
    if aggregates(new) || old.is_some_and(aggregates) {
        let (own, _) = policy.rules(who, "");
        if !missing(&own, &PolicyRule::everything()).is_empty() {
            let why = "must have cluster-admin privileges to use an aggregationRule";
            return Err(Status::forbidden(&asked.kind.gvr(), name, why));
        }
    }
    Ok(Some(PolicyRule::all(new).into_vec()))
}

/// What somebody must hold who writes this binding; nothing if they may bind the role without holding it.
fn binding(
    asked: &Asked,
    new: &Value,
    who: &Identity,
    policy: &Policy,
) -> Result<Option<Vec<PolicyRule>>, Status> {
    let kind = json::text(new, &["roleRef", "kind"]);
    let name = json::text(new, &["roleRef", "name"]);
    let plural = if kind == "ClusterRole" { "clusterroles" } else { "roles" };
    if may(policy, who, "bind", asked, plural, name) {
        return Ok(None);
    }
    match policy.role(asked.namespace, kind, name) {
        Ok(rules) => Ok(Some(rules)),
        Err(_) => {
            let gvr = leme_meta::Gvr {
                group: GROUP.to_owned(),
                version: "v1".to_owned(),
                resource: plural.to_owned(),
            };
            Err(Status::not_found(&gvr, name))
        }
    }
}

fn may(
    policy: &Policy,
    who: &Identity,
    verb: &str,
    asked: &Asked,
    plural: &str,
    name: &str,
) -> bool {
    let what = Attributes {
        verb: verb.to_owned(),
        group: GROUP.to_owned(),
        resource: plural.to_owned(),
        namespace: asked.namespace.to_owned(),
        name: name.to_owned(),
        ..Attributes::default()
    };
    leme_access::authorize(who, &what, policy).is_allowed()
}
