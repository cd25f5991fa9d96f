//! Roles and bindings as they are at one moment, and what they say of a request.
//!
//! Knows: whom bindings name, which rules roles hold, how a rule reads. Refuses to know: where the objects come from, and
//! whether somebody may write them.

use std::ops::ControlFlow;
use std::sync::Arc;

use leme_meta::quote;
use rpds::HashTrieMapSync as Map;
use serde_json::Value;

use crate::authorize::Attributes;
use crate::graph::Graph;
use crate::identity::Identity;
use crate::role::PolicyRule;

/// Objects by namespace, which is empty for those of the whole cluster, and name.
type Scoped<T> = Map<Box<str>, Map<Box<str>, Arc<T>>>;

/// The group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// Whom a binding names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subject {
    kind: Box<str>,
    name: Box<str>,
    namespace: Box<str>,
    /// The user of that name, which an account has as well; or the group.
    key: Box<str>,
}

/// A binding of a role to subjects.
#[derive(Debug)]
pub struct Binding {
    namespace: Box<str>,
    name: Box<str>,
    role_kind: Box<str>,
    role: Box<str>,
    subjects: Box<[Subject]>,
}

/// What bindings give to somebody, by name.
type Granted = Map<Box<str>, Arc<[Grant]>>;

/// What the bindings of a namespace give, by those whom they name.
#[derive(Clone, Default)]
struct Bound {
    users: Granted,
    groups: Granted,
}

/// Roles and bindings of one moment. A copy costs nothing and does not change, but for what leads to nodes: that is shared.
#[derive(Clone, Default)]
pub struct Policy {
    /// What the agents of nodes may read.
    pub graph: Arc<Graph>,
    roles: Scoped<Box<[PolicyRule]>>,
    bindings: Scoped<Binding>,
    bound: Map<Box<str>, Bound>,
}

/// A binding, and which of its subjects it gives something to.
#[derive(Clone, Debug)]
pub struct Grant {
    binding: Arc<Binding>,
    subject: usize,
}

/// Says it as upstream does.
impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Binding { namespace, name, role_kind, role, subjects } = &*self.binding;
        let role = quote(role);
        let binding = match namespace.is_empty() {
            true => format!("ClusterRoleBinding {}", quote(name)),
            false => format!("RoleBinding {}", quote(&format!("{name}/{namespace}"))),
        };
        write!(f, "RBAC: allowed by {binding} of {role_kind} {role} to ")?;
        let Some(subject) = subjects.get(self.subject) else { return Ok(()) };
        let name = match subject.namespace.is_empty() {
            true => quote(&subject.name),
            false => quote(&format!("{}/{}", subject.name, subject.namespace)),
        };
        write!(f, "{} {name}", subject.kind)
    }
}

/// Those who may do something.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Names of users, service accounts among them.
    pub users: std::collections::BTreeSet<String>,
    /// Names of groups.
    pub groups: std::collections::BTreeSet<String>,
}

impl Policy {
    /// The policy after an object of the four kinds became this, or went away. Other kinds change nothing.
    pub fn with(
        &self,
        kind: &str,
        (namespace, name): (&str, &str),
        object: Option<&Value>,
    ) -> Policy {
        match kind {
            "Role" | "ClusterRole" => {
                let rules = object.map(|object| Arc::new(PolicyRule::all(object)));
                Policy { roles: put(&self.roles, namespace, name, rules), ..self.clone() }
            }
            "RoleBinding" | "ClusterRoleBinding" => {
                let binding = object.map(|object| Arc::new(Binding::read(namespace, name, object)));
                self.with_binding(namespace, name, binding)
            }
            _ => self.clone(),
        }
    }

    /// The policy without any object of one of the four kinds.
    pub fn without(&self, kind: &str) -> Policy {
        let of_cluster = kind.starts_with("Cluster");
        fn keep<T: Clone>(map: &Map<Box<str>, T>, of_cluster: bool) -> Map<Box<str>, T> {
            let kept = map.iter().filter(|(scope, _)| scope.is_empty() != of_cluster);
            kept.map(|(scope, one)| (scope.clone(), one.clone())).collect()
        }
        let mut policy = self.clone();
        if kind.ends_with("Role") {
            policy.roles = keep(&self.roles, of_cluster);
        } else {
            policy.bindings = keep(&self.bindings, of_cluster);
            policy.bound = keep(&self.bound, of_cluster);
        }
        policy
    }

    fn with_binding(&self, namespace: &str, name: &str, new: Option<Arc<Binding>>) -> Policy {
        let mut bound = self.bound.get(namespace).cloned().unwrap_or_default();
        let old = self.bindings.get(namespace).and_then(|all| all.get(name));
        for subject in old.iter().flat_map(|old| &old.subjects) {
            let of = bound.of(subject);
            let left = of.get(&subject.key).into_iter().flat_map(|all| all.iter());
            let left: Arc<[_]> = left.filter(|one| *one.binding.name != *name).cloned().collect();
            match left.is_empty() {
                true => of.remove_mut(&subject.key),
                false => {
                    of.insert_mut(subject.key.clone(), left);
                    true
                }
            };
        }
        for (at, subject) in new.iter().flat_map(|new| new.subjects.iter().enumerate()) {
            let Some(new) = &new else { continue };
            // Somebody who is named twice is bound once.
            if new.subjects.iter().take(at).any(|before| before.is_same(subject)) {
                continue;
            }
            let of = bound.of(subject);
            let all = of.get(&subject.key).into_iter().flat_map(|all| all.iter()).cloned();
            let all = all.chain([Grant { binding: Arc::clone(new), subject: at }]).collect();
            of.insert_mut(subject.key.clone(), all);
        }
        Policy {
            graph: Arc::clone(&self.graph),
            roles: self.roles.clone(),
            bindings: put(&self.bindings, namespace, name, new),
            bound: self.bound.insert(namespace.into(), bound),
        }
    }

    /// The rules of a role, by the kind and the name that a binding gives in a namespace.
    fn rules_of(&self, namespace: &str, kind: &str, name: &str) -> Result<&[PolicyRule], String> {
        let scope = if kind == "ClusterRole" { "" } else { namespace };
        let found = self.roles.get(scope).and_then(|all| all.get(name));
        let found = found.filter(|_| kind == "ClusterRole" || !scope.is_empty());
        found.map(|rules| &***rules).ok_or_else(|| {
            format!("{}.{GROUP} {} not found", kind.to_ascii_lowercase(), quote(name))
        })
    }

    /// The rules of a role that a binding refers to.
    ///
    /// # Errors
    /// When there is no such role.
    pub fn role(&self, namespace: &str, kind: &str, name: &str) -> Result<Vec<PolicyRule>, String> {
        self.rules_of(namespace, kind, name).map(<[PolicyRule]>::to_vec)
    }

    /// Shows every rule that somebody has in a namespace, those of the whole cluster first, until that is enough. Tells
    /// which roles are bound and do not exist.
    fn visit<'a>(
        &'a self,
        who: &Identity,
        namespace: &str,
        mut see: impl FnMut(&'a Grant, &'a PolicyRule) -> ControlFlow<()>,
    ) -> Vec<String> {
        let mut missing = Vec::new();
        let scopes = if namespace.is_empty() { &[""][..] } else { &["", namespace] };
        for scope in scopes {
            let Some(bound) = self.bound.get(*scope) else { continue };
            let groups = who.groups.iter().filter_map(|group| bound.groups.get(&**group));
            let grants = bound.users.get(&*who.user).into_iter().chain(groups);
            for grant in grants.flat_map(|all| all.iter()) {
                let Binding { role_kind, role, .. } = &*grant.binding;
                let rules = match self.rules_of(scope, role_kind, role) {
                    Ok(rules) => rules,
                    Err(why) => {
                        missing.push(why);
                        continue;
                    }
                };
                for rule in rules {
                    if see(grant, rule).is_break() {
                        return missing;
                    }
                }
            }
        }
        missing
    }

    /// What allows somebody a request.
    ///
    /// # Errors
    /// The reason of a denial; empty if nobody ever said anything about it.
    pub fn allows(&self, who: &Identity, what: &Attributes) -> Result<Grant, String> {
        let mut grant = None;
        let missing = self.visit(who, &what.namespace, |found, rule| {
            if !rule.allows(what) {
                return ControlFlow::Continue(());
            }
            grant = Some(found.clone());
            ControlFlow::Break(())
        });
        grant.ok_or_else(|| match missing.as_slice() {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            all => format!("RBAC: [{}]", all.join(", ")),
        })
    }

    /// All that somebody may do in a namespace, and what is not told: by roles that are bound and do not exist, and by what
    /// the agent of a node may do besides.
    pub fn rules(&self, who: &Identity, namespace: &str) -> (Vec<PolicyRule>, Vec<String>) {
        let mut all = Vec::new();
        let missing = self.visit(who, namespace, |_, rule| {
            all.push(rule.clone());
            ControlFlow::Continue(())
        });
        let by_name = who.node().map(|_| "node authorizer does not support user rule resolution");
        (all, by_name.map(str::to_owned).into_iter().chain(missing).collect())
    }

    /// Those who may do something, as far as bindings name them.
    pub fn who_may(&self, what: &Attributes) -> Allowed {
        let mut allowed = Allowed::default();
        let scopes = if what.namespace.is_empty() { &[""][..] } else { &["", &what.namespace] };
        let bindings = scopes.iter().filter_map(|scope| self.bindings.get(*scope));
        for binding in bindings.flat_map(|all| all.values()) {
            let rules = self.rules_of(&binding.namespace, &binding.role_kind, &binding.role);
            if !rules.is_ok_and(|rules| rules.iter().any(|rule| rule.allows(what))) {
                continue;
            }
            for subject in &binding.subjects {
                let of = match subject.is_group() {
                    true => &mut allowed.groups,
                    false => &mut allowed.users,
                };
                of.insert(subject.key.to_string());
            }
        }
        allowed
    }
}

fn put<T>(map: &Scoped<T>, namespace: &str, name: &str, new: Option<Arc<T>>) -> Scoped<T> {
    let within = map.get(namespace).cloned().unwrap_or_default();
    let within = match new {
        Some(new) => within.insert(name.into(), new),
        None => within.remove(name),
    };
    match within.is_empty() {
        true => map.remove(namespace),
        false => map.insert(namespace.into(), within),
    }
}

impl Bound {
    fn of(&mut self, subject: &Subject) -> &mut Granted {
        if subject.is_group() { &mut self.groups } else { &mut self.users }
    }
}

impl Subject {
    fn is_group(&self) -> bool {
        &*self.kind == "Group"
    }

    fn is_same(&self, other: &Subject) -> bool {
        self.is_group() == other.is_group() && self.key == other.key
    }
}

impl Binding {
    fn read(namespace: &str, name: &str, object: &Value) -> Binding {
        let text = |of: &Value, field: &str| -> Box<str> {
            of.get(field).and_then(Value::as_str).unwrap_or("").into()
        };
        let role = object.get("roleRef").unwrap_or(&Value::Null);
        let subject = |one: &Value| {
            let (kind, name) = (text(one, "kind"), text(one, "name"));
            let own = text(one, "namespace");
            match &*kind {
                "User" | "Group" => {
                    Some(Subject { key: name.clone(), kind, name, namespace: "".into() })
                }
                "ServiceAccount" => {
                    let place = if own.is_empty() { namespace.into() } else { own };
                    let key = format!("system:serviceaccount:{place}:{name}").into();
                    (!place.is_empty()).then_some(Subject { kind, name, namespace: place, key })
                }
                _ => None,
            }
        };
        let subjects = object.get("subjects").and_then(Value::as_array);
        Binding {
            namespace: namespace.into(),
            name: name.into(),
            role_kind: text(role, "kind"),
            role: text(role, "name"),
            subjects: subjects.into_iter().flatten().filter_map(subject).collect(),
        }
    }
}
