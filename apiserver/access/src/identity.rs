//! Who asks.
//!
//! Knows: the names and groups that certificates and tokens claim. Refuses to know: whether the claim is true.

use std::collections::BTreeMap;

/// Everybody whose claim was accepted.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// Those who may do everything.
pub const MASTERS: &str = "system:masters";
/// Those whose name says which node they are.
pub(crate) const NODES: &str = "system:nodes";

/// What the names of nodes' agents begin with; the node's own name follows.
pub const NODE_USER: &str = "system:node:";

/// Who asks, as the authenticator found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Name, such as `system:node:a` or `system:serviceaccount:default:builder`.
    pub user: String,
    /// Stable identifier, often empty.
    pub uid: String,
    /// Groups, `system:authenticated` or `system:unauthenticated` among them.
    pub groups: Vec<String>,
    /// What else the authenticator knows.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Identity {
    /// Somebody whose claim (a certificate's common name and organisations) was accepted.
    pub fn of_certificate(
        common_name: &str,
        organisations: impl IntoIterator<Item = String>,
    ) -> Identity {
        let mut groups: Vec<String> = organisations.into_iter().collect();
        groups.push(AUTHENTICATED.to_owned());
        Identity { user: common_name.to_owned(), groups, ..Identity::default() }
    }

    /// A service account whose token was accepted.
    pub fn of_service_account(namespace: &str, name: &str, uid: &str) -> Identity {
        Identity {
            user: format!("system:serviceaccount:{namespace}:{name}"),
            uid: uid.to_owned(),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                AUTHENTICATED.to_owned(),
            ],
            extra: BTreeMap::new(),
        }
    }

    /// Somebody who claimed nothing.
    pub fn anonymous() -> Identity {
        Identity {
            user: "system:anonymous".to_owned(),
            groups: vec!["system:unauthenticated".to_owned()],
            ..Identity::default()
        }
    }

    /// Whether this is a member of a group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    /// The node that this is the agent of.
    pub fn node(&self) -> Option<&str> {
        node_of(&self.user, &self.groups)
    }
}

/// The node that a user of these groups is the agent of.
pub fn node_of<'a>(user: &'a str, groups: &[String]) -> Option<&'a str> {
    let name = user.strip_prefix(NODE_USER).filter(|name| !name.is_empty())?;
    groups.iter().any(|group| group == NODES).then_some(name)
}
