//! What somebody may do, told to whoever asks for it as a whole.
//!
//! Knows: how the tables read as rules. Refuses to know: single requests.

use crate::authorize::Attributes;
use crate::identity::{AUTHENTICATED, Identity, MASTERS};
use crate::tables::{self, Rule};

/// Verbs that are allowed on resources of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Verbs; `*` is every verb.
    pub verbs: &'static [&'static str],
    /// Group; `*` is every group.
    pub group: &'static str,
    /// Resources; `*` is every resource.
    pub resources: &'static [&'static str],
}

/// All that somebody may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// On resources.
    pub resources: Vec<Allowed>,
    /// Paths that name no resource and may be read.
    pub paths: Vec<&'static str>,
    /// Whether there is more that depends on the names of objects.
    pub by_name: bool,
    /// Whether everything is allowed.
    pub everything: bool,
}

/// What an identity may do.
pub fn rules(who: &Identity) -> Rules {
    let authenticated = who.in_group(AUTHENTICATED);
    let everything = who.in_group(MASTERS);
    let all = Allowed { verbs: &["*"], group: "*", resources: &["*"] };
    let of =
        |rule: &Rule| Allowed { verbs: rule.verbs, group: rule.group, resources: rule.resources };
    let everybodys: &[Rule] = if authenticated { tables::AUTHENTICATED_RULES } else { &[] };
    let mut resources: Vec<Allowed> = everything.then_some(all).into_iter().collect();
    resources.extend(tables::of_user(&who.user).iter().chain(everybodys).map(of));
    let discovery: &[&str] = if authenticated { tables::DISCOVERY_PATHS } else { &[] };
    Rules {
        resources,
        paths: tables::PUBLIC_PATHS.iter().chain(discovery).copied().collect(),
        by_name: who.node().is_some() && !everything,
        everything,
    }
}

/// Those who may do something, as far as the tables name them: users, and groups. Nodes are not among them: what one may do
/// depends on which it is.
pub fn who_may(what: &Attributes) -> (Vec<&'static str>, Vec<&'static str>) {
    let by = |rules: &[Rule]| rules.iter().any(|rule| rule.allows(what));
    let users = tables::USERS.iter().filter(|(_, rules)| by(rules)).map(|(user, _)| *user);
    let mut groups = vec![MASTERS];
    if by(tables::AUTHENTICATED_RULES) {
        groups.insert(0, AUTHENTICATED);
    }
    (users.collect(), groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_may_are_named() {
        let asked = |verb: &str, group: &str, resource: &str| {
            who_may(&Attributes {
                verb: verb.to_owned(),
                group: group.to_owned(),
                resource: resource.to_owned(),
                ..Attributes::default()
            })
        };
        assert_eq!(asked("create", "route.openshift.io", "nothing"), (vec![], vec![MASTERS]));
        let everybody = asked("create", "authorization.k8s.io", "selfsubjectaccessreviews");
        assert_eq!(everybody.1, [AUTHENTICATED, MASTERS]);
        assert!(asked("list", "", "pods").0.contains(&"system:kube-scheduler"));
    }

    #[test]
    fn who_may_do_everything_is_told_so_and_who_may_not_is_told_what() {
        let admin = Identity::of_certificate("a", ["system:masters".to_owned()]);
        assert!(rules(&admin).everything);
        assert_eq!(rules(&admin).resources[0].verbs, ["*"]);
        let somebody = rules(&Identity::of_certificate("b", []));
        assert!(!somebody.everything && !somebody.by_name);
        assert_eq!(somebody.resources.len(), tables::AUTHENTICATED_RULES.len());
        let node = Identity::of_certificate("system:node:n", ["system:nodes".to_owned()]);
        assert!(rules(&node).by_name);
        assert!(rules(&Identity::anonymous()).resources.is_empty());
    }
}
