//! Which flow a request belongs to.
//!
//! Knows: FlowSchemas, and that the first by precedence and name that fits decides. Refuses to know: seats.

use leme_access::{Attributes, Identity};
use serde::Deserialize;
use serde_json::Value;

use crate::Metadata;

/// A FlowSchema, as far as requests are sorted by it.
#[derive(Debug)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Name of its priority level.
    pub level: String,
    precedence: i64,
    by: By,
    rules: Vec<Rule>,
}

/// What the flows of a schema are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Nothing,
    User,
    Namespace,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    priority_level_configuration: Metadata,
    #[serde(default)]
    matching_precedence: i64,
    #[serde(default)]
    distinguisher_method: Option<Distinguisher>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Distinguisher {
    #[serde(rename = "type")]
    type_: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    subjects: Vec<Subject>,
    #[serde(default)]
    resource_rules: Vec<ResourceRule>,
    #[serde(default)]
    non_resource_rules: Vec<PathRule>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind")]
enum Subject {
    User {
        user: Named,
    },
    Group {
        group: Named,
    },
    ServiceAccount {
        #[serde(rename = "serviceAccount")]
        account: Account,
    },
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Account {
    namespace: String,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceRule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    #[serde(default)]
    cluster_scope: bool,
    #[serde(default)]
    namespaces: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct PathRule {
    verbs: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    urls: Vec<String>,
}

impl Schema {
    /// Reads a FlowSchema; one that makes no sense sorts nothing.
    pub fn read(object: &Value) -> Option<Schema> {
        let Object { metadata, spec } = Object::deserialize(object).ok()?;
        let by = match spec.distinguisher_method.as_ref().map(|method| &*method.type_) {
            Some("ByUser") => By::User,
            Some("ByNamespace") => By::Namespace,
            _ => By::Nothing,
        };
        Some(Schema {
            name: metadata.name,
            uid: metadata.uid,
            level: spec.priority_level_configuration.name,
            precedence: spec.matching_precedence,
            by,
            rules: spec.rules,
        })
    }

    /// In the order in which they are asked.
    pub fn sort(schemas: &mut [Schema]) {
        schemas.sort_by(|one, other| {
            (one.precedence, &one.name).cmp(&(other.precedence, &other.name))
        });
    }

    /// Whether a request belongs to one of its flows.
    pub fn fits(&self, who: &Identity, what: &Attributes) -> bool {
        self.rules.iter().any(|rule| rule.fits(who, what))
    }

    /// What tells a request's flow from others of the schema.
    pub fn flow<'a>(&self, who: &'a Identity, what: &'a Attributes) -> &'a str {
        match self.by {
            By::Nothing => "",
            By::User => &who.user,
            By::Namespace => &what.namespace,
        }
    }
}

impl Rule {
    fn fits(&self, who: &Identity, what: &Attributes) -> bool {
        if !self.subjects.iter().any(|subject| subject.is(who)) {
            return false;
        }
        match what.resource.is_empty() {
            true => self.non_resource_rules.iter().any(|rule| rule.fits(what)),
            false => self.resource_rules.iter().any(|rule| rule.fits(what)),
        }
    }
}

impl Subject {
    fn is(&self, who: &Identity) -> bool {
        match self {
            Subject::User { user } => user.name == "*" || user.name == who.user,
            Subject::Group { group } => group.name == "*" || who.in_group(&group.name),
            Subject::ServiceAccount { account } => {
                let found = who.user.strip_prefix("system:serviceaccount:");
                found.and_then(|rest| rest.split_once(':')).is_some_and(|(namespace, name)| {
                    namespace == account.namespace && (account.name == "*" || name == account.name)
                })
            }
        }
    }
}

fn has(list: &[String], one: &str) -> bool {
    list.iter().any(|own| own == "*" || own == one)
}

impl ResourceRule {
    fn fits(&self, what: &Attributes) -> bool {
        let resource = |own: &String| match (own.split_once('/'), &*what.subresource) {
            _ if own == "*" => true,
            (None, "") => *own == what.resource,
            (Some((resource, sub)), own) => resource == what.resource && sub == own,
            (None, _) => false,
        };
        let place = match &*what.namespace {
            "" => self.cluster_scope,
            namespace => has(&self.namespaces, namespace),
        };
        place
            && has(&self.verbs, &what.verb)
            && has(&self.api_groups, &what.group)
            && self.resources.iter().any(resource)
    }
}

impl PathRule {
    fn fits(&self, what: &Attributes) -> bool {
        let url = |own: &String| match own.strip_suffix('*') {
            Some(start) => what.path.starts_with(start),
            None => what.path == *own,
        };
        has(&self.verbs, &what.verb) && self.urls.iter().any(url)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(subject: Value, rule: Value) -> Schema {
        let mut rule = rule;
        rule["subjects"] = json!([subject]);
        let object = json!({"metadata": {"name": "s", "uid": "u"}, "spec": {
            "priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 10,
            "distinguisherMethod": {"type": "ByNamespace"}, "rules": [rule]}});
        Schema::read(&object).unwrap()
    }

    fn of(verb: &str, resource: &str, namespace: &str) -> Attributes {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Attributes {
            verb: verb.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: namespace.into(),
            ..Attributes::default()
        }
    }

    #[test]
    fn subjects_are_users_groups_and_accounts() {
        let all = json!({"resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"],
            "clusterScope": true, "namespaces": ["*"]}]});
        let ana = Identity::of_certificate("ana", ["dev".to_owned()]);
        let bot = Identity::of_service_account("shop", "bot", "");
        let user = |name: &str| json!({"kind": "User", "user": {"name": name}});
        let group = |name: &str| json!({"kind": "Group", "group": {"name": name}});
        let account = |namespace: &str, name: &str| json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": name}});
        let cases = [
            (user("ana"), true, false),
            (user("*"), true, true),
            (group("dev"), true, false),
            (group("system:serviceaccounts:shop"), false, true),
            (account("shop", "*"), false, true),
            (account("shop", "bot"), false, true),
            (account("shop", "other"), false, false),
            (account("*", "bot"), false, false),
        ];
        for (subject, is_ana, is_bot) in cases {
            let schema = schema(subject.clone(), all.clone());
            let what = of("get", "pods", "shop");
            assert_eq!(
                (schema.fits(&ana, &what), schema.fits(&bot, &what)),
                (is_ana, is_bot),
                "{subject}"
            );
        }
    }

    #[test]
    fn rules_are_of_resources_or_of_paths() {
        let everybody = json!({"kind": "Group", "group": {"name": "*"}});
        let rule = json!({"resourceRules": [{"verbs": ["get", "list"], "apiGroups": [""],
            "resources": ["pods", "nodes/status"], "namespaces": ["shop"]}],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/logs/*"]}]});
        let schema = schema(everybody, rule);
        let path = |path: &str| Attributes {
            verb: "get".into(),
            path: path.into(),
            ..Attributes::default()
        };
        let cases = [
            (of("get", "pods", "shop"), true),
            (of("create", "pods", "shop"), false),
            (of("get", "pods/log", "shop"), false),
            (of("get", "nodes/status", "shop"), true),
            (of("get", "nodes", "shop"), false),
            (of("get", "pods", "other"), false),
            (of("list", "pods", ""), false),
            (Attributes { group: "apps".into(), ..of("get", "pods", "shop") }, false),
            (path("/healthz"), true),
            (path("/healthz/etcd"), false),
            (path("/logs/a"), true),
        ];
        let who = Identity::of_certificate("ana", []);
        for (what, fits) in cases {
            assert_eq!(schema.fits(&who, &what), fits, "{what:?}");
        }
        assert_eq!(schema.flow(&who, &of("get", "pods", "shop")), "shop");
    }

    #[test]
    fn the_first_by_precedence_and_name_is_asked_first() {
        let named = |name: &str, precedence: i64| {
            let object = json!({"metadata": {"name": name}, "spec": {
                "priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": precedence}});
            Schema::read(&object).unwrap()
        };
        let mut all = [named("c", 20), named("b", 10), named("a", 20)];
        Schema::sort(&mut all);
        assert_eq!(all.map(|schema| schema.name), ["b", "a", "c"]);
    }
}
