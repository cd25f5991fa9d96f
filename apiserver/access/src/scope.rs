//! Scopes of OAuth: a token that carries some lets do what they say at most, whoever has it.
//!
//! Knows: how a scope is written and which rules it stands for. Refuses to know: who was given which.

use std::sync::LazyLock;

use leme_meta::quote;
use serde_json::json;

use crate::authorize::Attributes;
use crate::identity::Identity;
use crate::policy::Policy;
use crate::role::PolicyRule;

/// Under which key an identity says what scopes it has.
pub const SCOPES: &str = "scopes.authorization.openshift.io";

/// What a scope stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// All that the user may do.
    Full,
    /// One of a few things that everybody may do.
    User(Own),
    /// What a cluster role says, in a namespace or, with `*`, in all.
    Role {
        /// The cluster role.
        role: &'a str,
        /// The namespace.
        namespace: &'a str,
        /// Whether it goes for what gives more rights as well, such as secrets.
        escalating: bool,
    },
}

/// What a user may do about what concerns them alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// See who they are.
    Info,
    /// Ask what they may do.
    CheckAccess,
    /// List the projects that the token can see.
    ListScopedProjects,
    /// List the projects that they can see.
    ListProjects,
}

/// The scopes of users by their names, in order, and what a person is told of each.
pub const OF_USERS: [(&str, &str); 5] = [
    (
        "user:check-access",
        "Read-only access to view your privileges (for example, \"can I create builds?\")",
    ),
    ("user:full", "Full read/write access with all of your permissions"),
    (
        "user:info",
        "Read-only access to your user information (including username, identities, and group membership)",
    ),
    (
        "user:list-projects",
        "Read-only access to list your projects and view their metadata (display name, description, etc.)",
    ),
    (
        "user:list-scoped-projects",
        "Read-only access to list your projects viewable with this token and view their metadata (display name, description, etc.)",
    ),
];

impl<'a> Scope<'a> {
    /// What a text stands for.
    ///
    /// # Errors
    /// Why it is no scope.
    pub fn parse(text: &'a str) -> Result<Scope<'a>, String> {
        let own = match text {
            "user:full" => return Ok(Scope::Full),
            "user:info" => Own::Info,
            "user:check-access" => Own::CheckAccess,
            "user:list-scoped-projects" => Own::ListScopedProjects,
            "user:list-projects" => Own::ListProjects,
            text => return role(text),
        };
        Ok(Scope::User(own))
    }

    /// What a person is told of it.
    pub fn told(text: &'a str) -> Result<String, String> {
        let Scope::Role { role, namespace, escalating } = Scope::parse(text)? else {
            let told = OF_USERS.iter().find(|(name, _)| *name == text);
            return Ok(told.map_or("", |(_, told)| told).to_owned());
        };
        let place = match namespace {
            "*" => "server-wide".to_owned(),
            other => format!("in project {}", quote(other)),
        };
        let but = if escalating { "" } else { ", except access escalating resources like secrets" };
        Ok(format!(
            "Anything you can do {place} that is also allowed by the {} role{but}",
            quote(role)
        ))
    }

    fn rules(self, namespace: &str, policy: &Policy) -> Vec<PolicyRule> {
        match self {
            Scope::Full => PolicyRule::everything().to_vec(),
            Scope::User(own) => OWN[own as usize].to_vec(),
            Scope::Role { namespace: of, .. } if of != "*" && of != namespace => Vec::new(),
            Scope::Role { .. } => self.of_role(policy),
        }
    }

    /// The rules of a role, wherever they are to hold. A role that is not there has none.
    fn of_role(self, policy: &Policy) -> Vec<PolicyRule> {
        let Scope::Role { role, escalating, .. } = self else { return Vec::new() };
        let rules = policy.role("", "ClusterRole", role).unwrap_or_default();
        match escalating {
            true => rules,
            false => rules.into_iter().filter_map(tamed).collect(),
        }
    }
}

fn role(text: &str) -> Result<Scope<'_>, String> {
    let Some(rest) = text.strip_prefix("role:") else {
        return Err("no scope handler found".to_owned());
    };
    let plain = rest.strip_suffix(":!");
    match plain.unwrap_or(rest).rsplit_once(':') {
        Some((role, namespace)) if !role.is_empty() && !namespace.is_empty() => {
            Ok(Scope::Role { role, namespace, escalating: plain.is_some() })
        }
        _ => Err(format!("bad format for scope {}", text.strip_suffix(":!").unwrap_or(text))),
    }
}

fn rules(rules: serde_json::Value) -> Box<[PolicyRule]> {
    PolicyRule::all(&json!({ "rules": rules }))
}

/// The rules of what concerns a user alone, in the order of [`Own`].
static OWN: LazyLock<[Box<[PolicyRule]>; 4]> = LazyLock::new(|| {
    let rule = |verbs: &[&str], group: &str, resource: &str| json!({ "verbs": verbs, "apiGroups": [group, ""], "resources": [resource] });
    let projects = rule(&["list", "watch"], "project.openshift.io", "projects");
    let mut myself = rule(&["get"], "user.openshift.io", "users");
    myself["resourceNames"] = json!(["~"]);
    [
        rules(json!([myself])),
        rules(json!([
            rule(&["create"], "authorization.k8s.io", "selfsubjectaccessreviews"),
            rule(&["create"], "authorization.openshift.io", "selfsubjectrulesreviews"),
        ])),
        rules(json!([projects])),
        rules(json!([projects, rule(&["get"], "", "namespaces")])),
    ]
});

/// What every token lets do: find out what is served.
static DISCOVERY: LazyLock<Box<[PolicyRule]>> = LazyLock::new(|| {
    let paths = [
        "/version",
        "/version/*",
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/openapi",
        "/openapi/*",
        "/.well-known",
        "/.well-known/*",
        "/",
    ];
    rules(json!([{ "verbs": ["get"], "nonResourceURLs": paths }]))
});

/// Groups with the resources of each through which one gets more rights than one has.
const ESCALATING: [(&str, &[&str]); 6] = [
    (
        "",
        &[
            "secrets",
            "serviceaccounts/token",
            "imagestreams/secrets",
            "oauthauthorizetokens",
            "oauthaccesstokens",
            "roles",
            "rolebindings",
            "clusterroles",
            "clusterrolebindings",
        ],
    ),
    ("authorization.openshift.io", ROLES),
    ("rbac.authorization.k8s.io", ROLES),
    ("image.openshift.io", &["imagestreams/secrets"]),
    ("network.openshift.io", &["service/externalips"]),
    ("oauth.openshift.io", &["oauthauthorizetokens", "oauthaccesstokens"]),
];
const ROLES: &[&str] = &["roles", "rolebindings", "clusterroles", "clusterrolebindings"];

/// A rule without what gives more rights; nothing of one that is for everything.
fn tamed(mut rule: PolicyRule) -> Option<PolicyRule> {
    let has = |list: &[Box<str>], text: &str| list.iter().any(|one| **one == *text);
    if has(&rule.verbs, "*") || has(&rule.groups, "*") || has(&rule.resources, "*") {
        return None;
    }
    let groups = ESCALATING.iter().filter(|(group, _)| has(&rule.groups, group));
    let gone: Vec<&str> = groups.flat_map(|(_, resources)| resources.iter().copied()).collect();
    rule.resources = rule.resources.into_iter().filter(|one| !gone.contains(&&**one)).collect();
    Some(rule)
}

fn of(who: &Identity) -> &[String] {
    who.extra.get(SCOPES).map_or(&[], Vec::as_slice)
}

/// Why the scopes of somebody do not go for something; nothing if they do, or if there are none.
pub(crate) fn prevented(who: &Identity, what: &Attributes, policy: &Policy) -> Option<String> {
    let scopes = of(who);
    if scopes.is_empty() {
        return None;
    }
    let allows = |rules: &[PolicyRule]| rules.iter().any(|rule| rule.allows(what));
    let mut wrong = Vec::new();
    let mut allowed = allows(&DISCOVERY);
    for scope in scopes {
        match Scope::parse(scope) {
            Ok(scope) => allowed |= allows(&scope.rules(&what.namespace, policy)),
            Err(why) => wrong.push(why),
        }
    }
    if allowed {
        return None;
    }
    let more = match wrong.as_slice() {
        [] => String::new(),
        [one] => format!(", additionally the following non-fatal errors were reported: {one}"),
        all => format!(
            ", additionally the following non-fatal errors were reported: [{}]",
            all.join(", ")
        ),
    };
    Some(format!("scopes [{}] prevent this action{more}", scopes.join(" ")))
}

/// Whether the scopes of somebody let see an object that they may get; `what` is to get it.
pub(crate) fn shows(who: &Identity, what: &Attributes, policy: &Policy) -> bool {
    let scopes = of(who);
    let shows = |scope: Scope<'_>| match scope {
        Scope::Full | Scope::User(Own::ListProjects) => true,
        Scope::User(_) => false,
        Scope::Role { .. } => {
            scope.rules(&what.namespace, policy).iter().any(|rule| rule.allows(what))
        }
    };
    scopes.is_empty() || scopes.iter().filter_map(|one| Scope::parse(one).ok()).any(shows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorize::{Verdict, authorize, sees};

    fn who(scopes: &[&str]) -> Identity {
        let mut who = Identity::of_certificate("ann", []);
        who.extra.insert(SCOPES.to_owned(), scopes.iter().map(|one| (*one).to_owned()).collect());
        who
    }

    fn what(verb: &str, resource: &str, namespace: &str) -> Attributes {
        let name = if resource == "namespaces" { namespace } else { "" };
        let text = str::to_owned;
        Attributes {
            verb: text(verb),
            resource: text(resource),
            namespace: text(namespace),
            name: text(name),
            ..Attributes::default()
        }
    }

    fn policy() -> Policy {
        let rule = |group: &str, resources: &[&str]| json!({ "verbs": ["get"], "apiGroups": [group], "resources": resources });
        let role = json!({ "rules": [
            rule("", &["pods", "secrets", "namespaces"]), rule("*", &["events"]), rule("", &["*"]),
        ] });
        let of = |role: &str| json!({ "roleRef": { "kind": "ClusterRole", "name": role }, "subjects": [{ "kind": "User", "name": "ann" }] });
        let all = json!({ "rules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }, { "verbs": ["*"], "nonResourceURLs": ["*"] }] });
        Policy::default()
            .with("ClusterRole", ("", "some"), Some(&role))
            .with("ClusterRole", ("", "all"), Some(&all))
            .with("ClusterRoleBinding", ("", "b"), Some(&of("all")))
    }

    fn denied(scopes: &[&str], what: &Attributes) -> Option<String> {
        match authorize(&who(scopes), what, &policy()) {
            Verdict::Allow(_) => None,
            Verdict::Deny(why) => Some(why),
        }
    }

    #[test]
    fn a_scope_is_written_in_one_way() {
        let of = |role, namespace, escalating| Ok(Scope::Role { role, namespace, escalating });
        assert_eq!(Scope::parse("role:a:b"), of("a", "b", false));
        assert_eq!(Scope::parse("role:system:a:*:!"), of("system:a", "*", true));
        assert_eq!(Scope::parse("user:full"), Ok(Scope::Full));
        for (text, why) in [
            ("", "no scope handler found"),
            ("user:", "no scope handler found"),
            ("User:full", "no scope handler found"),
            ("role:", "bad format for scope role:"),
            ("role:a", "bad format for scope role:a"),
            ("role:a:", "bad format for scope role:a:"),
            ("role::a", "bad format for scope role::a"),
            ("role:a:!", "bad format for scope role:a"),
        ] {
            assert_eq!(Scope::parse(text), Err(why.to_owned()), "{text}");
        }
        assert!(OF_USERS.iter().all(|(name, told)| Scope::told(name).as_deref() == Ok(told)));
        assert_eq!(
            Scope::told("role:edit:shop").unwrap(),
            "Anything you can do in project \"shop\" that is also allowed by the \"edit\" role, except access escalating resources like secrets"
        );
    }

    #[test]
    fn a_token_lets_do_what_its_scopes_say_and_no_more() {
        let pods = what("get", "pods", "shop");
        assert_eq!(denied(&[], &pods), None);
        assert_eq!(denied(&["user:full"], &pods), None);
        assert_eq!(denied(&["user:info", "role:some:shop"], &pods), None);
        assert_eq!(
            denied(&["user:info"], &pods).unwrap(),
            "scopes [user:info] prevent this action"
        );
        assert_eq!(
            denied(&["user:info", "x", "role:a"], &pods).unwrap(),
            "scopes [user:info x role:a] prevent this action, additionally the following non-fatal errors were reported: [no scope handler found, bad format for scope role:a]"
        );
        for scope in
            ["role:some:other", "role:gone:shop", "role:some:", "user:list-projects", "USER:FULL"]
        {
            assert!(denied(&[scope], &pods).is_some(), "{scope}");
        }
        assert!(denied(&["role:some:*"], &what("get", "pods", "")).is_none());
        assert!(denied(&["role:some:shop"], &what("get", "pods", "")).is_some());
        // What gives more rights, and what is for everything, is only for who says so.
        for resource in ["secrets", "configmaps", "events"] {
            let what = what("get", resource, "shop");
            assert!(denied(&["role:some:shop"], &what).is_some(), "{resource}");
            assert!(denied(&["role:some:shop:!"], &what).is_none(), "{resource}");
        }
        assert!(denied(&["role:all:*"], &pods).is_some());
        let path = |path: &str| Attributes {
            verb: "get".to_owned(),
            path: path.to_owned(),
            ..Attributes::default()
        };
        assert!(denied(&["user:info"], &path("/apis/apps")).is_none());
        assert!(denied(&["user:info"], &path("/metrics")).is_some());
        // Scopes bound also those who may do everything.
        let mut admin = who(&["user:info"]);
        admin.groups.push("system:masters".to_owned());
        assert!(!authorize(&admin, &pods, &policy()).is_allowed());
    }

    #[test]
    fn a_scope_shows_some_projects() {
        let seen = |scopes: &[&str]| {
            let of = |name: &&str| sees(&who(scopes), &what("get", "namespaces", name), &policy());
            ["shop", "other"].into_iter().filter(of).collect::<Vec<_>>()
        };
        for all in [&[][..], &["user:full"], &["user:list-projects"], &["user:info", "role:some:*"]]
        {
            assert_eq!(seen(all), ["shop", "other"], "{all:?}");
        }
        assert_eq!(seen(&["role:some:shop", "user:list-scoped-projects"]), ["shop"]);
        for none in [&["user:info"][..], &["x"], &["role:gone:*"], &["user:list-scoped-projects"]] {
            assert_eq!(seen(none), [""; 0], "{none:?}");
        }
    }
}
