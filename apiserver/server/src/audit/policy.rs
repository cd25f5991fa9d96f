//! An audit Policy: how much is told of which requests.
//!
//! Knows: upstream's file (`audit.k8s.io/v1`), and that the first rule that fits decides. Refuses to know: how it is told.

use leme_access::{Attributes, Identity};
use serde::Deserialize;
use serde_json::Value;

/// How much is told of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) enum Level {
    /// Nothing.
    None,
    /// Who, what, when, and what came of it.
    Metadata,
    /// That, and what was sent.
    Request,
    /// That, and what was answered.
    RequestResponse,
}

impl Level {
    /// The word of the file and of events.
    pub fn word(self) -> &'static str {
        match self {
            Level::None => "None",
            Level::Metadata => "Metadata",
            Level::Request => "Request",
            Level::RequestResponse => "RequestResponse",
        }
    }
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Stage {
    /// It has come.
    RequestReceived,
    /// Its answer goes on: a watch, a stream.
    ResponseStarted,
    /// It is over.
    ResponseComplete,
    /// The server failed at it.
    Panic,
}

impl Stage {
    /// The word of the file and of events.
    pub fn word(self) -> &'static str {
        match self {
            Stage::RequestReceived => "RequestReceived",
            Stage::ResponseStarted => "ResponseStarted",
            Stage::ResponseComplete => "ResponseComplete",
            Stage::Panic => "Panic",
        }
    }
}

/// What is told of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub level: Level,
    pub omit_stages: Vec<Stage>,
    pub omit_managed_fields: bool,
    /// Whether what is refused may quote what nobody else shall read.
    pub holds_secrets: bool,
}

/// The rules, in their order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Policy {
    api_version: String,
    kind: String,
    #[serde(default)]
    #[allow(dead_code)]
    metadata: Value,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<GroupResources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    urls: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GroupResources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

/// What holds secrets in its bodies: of these no more than metadata is told, whatever a policy says.
const SECRET: &[(&str, &str, &str)] = &[
    ("", "secrets", ""),
    ("", "configmaps", ""),
    ("", "serviceaccounts", "token"),
    ("authentication.k8s.io", "tokenreviews", ""),
    ("oauth.openshift.io", "oauthaccesstokens", ""),
    ("oauth.openshift.io", "oauthauthorizetokens", ""),
    ("oauth.openshift.io", "useroauthaccesstokens", ""),
    ("oauth.openshift.io", "oauthclients", ""),
    ("template.openshift.io", "processedtemplates", ""),
    ("template.openshift.io", "templates", ""),
    ("template.openshift.io", "templateinstances", ""),
    ("template.openshift.io", "brokertemplateinstances", ""),
    ("route.openshift.io", "routes", ""),
    ("build.openshift.io", "buildconfigs", ""),
];

/// Kinds whose objects hold secrets, wherever they are sent.
pub(super) fn is_of_secrets(kind: &str) -> bool {
    const KINDS: [&str; 9] = [
        "BuildConfig",
        "ConfigMap",
        "List",
        "OAuthClient",
        "ProcessedTemplate",
        "Route",
        "Secret",
        "Template",
        "TemplateInstance",
    ];
    KINDS.contains(&kind)
}

impl Policy {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, by the path of the field.
    pub fn read(document: &Value) -> Result<Policy, String> {
        let policy = Policy::deserialize(document).map_err(|error| error.to_string())?;
        if (&*policy.api_version, &*policy.kind) != ("audit.k8s.io/v1", "Policy") {
            return Err(format!(
                "expected a Policy of audit.k8s.io/v1, not a {} of {}",
                policy.kind, policy.api_version
            ));
        }
        if policy.rules.is_empty() {
            return Err("rules: Required value: a policy without rules tells nothing".to_owned());
        }
        for (at, rule) in policy.rules.iter().enumerate() {
            rule.check(&format!("rules[{at}]"))?;
        }
        Ok(policy)
    }

    /// What is told of a request.
    pub fn of(&self, who: &Identity, what: &Attributes) -> Told {
        let Some(rule) = self.rules.iter().find(|rule| rule.fits(who, what)) else {
            return Told {
                level: Level::None,
                omit_stages: Vec::new(),
                omit_managed_fields: false,
                holds_secrets: false,
            };
        };
        let holds_secrets = SECRET.iter().any(|(group, resource, subresource)| {
            (what.group.as_str(), what.resource.as_str()) == (*group, *resource)
                && (subresource.is_empty() || what.subresource == *subresource)
        });
        let most = if holds_secrets { Level::Metadata } else { Level::RequestResponse };
        Told {
            level: rule.level.min(most),
            omit_stages: [&self.omit_stages[..], &rule.omit_stages].concat(),
            omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
            holds_secrets,
        }
    }
}

impl Rule {
    fn check(&self, path: &str) -> Result<(), String> {
        let of_resources = !self.resources.is_empty() || !self.namespaces.is_empty();
        if !self.urls.is_empty() && of_resources {
            return Err(format!(
                "{path}.nonResourceURLs: Invalid value: rules cannot apply to both regular resources and non-resource URLs"
            ));
        }
        for (at, url) in self.urls.iter().enumerate() {
            let path = format!("{path}.nonResourceURLs[{at}]");
            if url == "*" {
                continue;
            }
            if !url.starts_with('/') {
                return Err(format!(
                    "{path}: Invalid value: {url:?}: non-resource URL rules must begin with a '/' character"
                ));
            }
            if url.strip_suffix('*').unwrap_or(url).contains('*') {
                return Err(format!(
                    "{path}: Invalid value: {url:?}: non-resource URL wildcards '*' must be the final character of the rule"
                ));
            }
        }
        for (at, of) in self.resources.iter().enumerate() {
            if !of.resource_names.is_empty() && of.resources.is_empty() {
                return Err(format!(
                    "{path}.resources[{at}].resourceNames: Invalid value: using resourceNames requires at least one resource"
                ));
            }
        }
        Ok(())
    }

    fn fits(&self, who: &Identity, what: &Attributes) -> bool {
        let any = |list: &[String], one: &str| list.is_empty() || list.iter().any(|own| own == one);
        let in_groups =
            self.user_groups.is_empty() || self.user_groups.iter().any(|group| who.in_group(group));
        if !any(&self.users, &who.user) || !in_groups || !any(&self.verbs, &what.verb) {
            return false;
        }
        let of_resource = !what.resource.is_empty();
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return of_resource
                && any(&self.namespaces, &what.namespace)
                && (self.resources.is_empty() || self.resources.iter().any(|of| of.fits(what)));
        }
        let is_url = |url: &String| match url.strip_suffix('*') {
            Some(start) => what.path.starts_with(start),
            None => what.path == *url,
        };
        self.urls.is_empty() || (!of_resource && self.urls.iter().any(is_url))
    }
}

impl GroupResources {
    fn fits(&self, what: &Attributes) -> bool {
        if self.group != what.group {
            return false;
        }
        let named = self.resource_names.is_empty() || self.resource_names.contains(&what.name);
        let is = |wanted: &String| match wanted.split_once('/') {
            None => wanted == "*" || (*wanted == what.resource && what.subresource.is_empty()),
            Some(("*", sub)) => !what.subresource.is_empty() && sub == what.subresource,
            Some((resource, "*")) => resource == what.resource,
            Some((resource, sub)) => resource == what.resource && sub == what.subresource,
        };
        self.resources.is_empty() || (named && self.resources.iter().any(is))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(rules: Value) -> Policy {
        let document = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules,
            "omitStages": ["RequestReceived"]});
        Policy::read(&document).unwrap()
    }

    fn of(resource: &str) -> Attributes {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Attributes {
            verb: "get".to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            ..Attributes::default()
        }
    }

    fn level(rules: Value, what: &Attributes) -> Level {
        policy(rules).of(&Identity::of_certificate("ana", ["dev".to_owned()]), what).level
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let path = Attributes {
            verb: "get".into(),
            path: "/healthz/etcd".into(),
            ..Attributes::default()
        };
        let cases = [
            (json!({}), of("pods"), true),
            (json!({"users": ["ana"]}), of("pods"), true),
            (json!({"users": ["rui"]}), of("pods"), false),
            (json!({"userGroups": ["ops", "dev"]}), of("pods"), true),
            (json!({"userGroups": ["ops"]}), of("pods"), false),
            (json!({"verbs": ["list"]}), of("pods"), false),
            (json!({"namespaces": ["shop"]}), of("pods"), true),
            (json!({"namespaces": ["", "kube-system"]}), of("pods"), false),
            (json!({"resources": [{"group": ""}]}), of("pods/log"), true),
            (json!({"resources": [{"group": "apps"}]}), of("pods"), false),
            (json!({"resources": [{"resources": ["pods"]}]}), of("pods"), true),
            (json!({"resources": [{"resources": ["pods"]}]}), of("pods/log"), false),
            (json!({"resources": [{"resources": ["pods/*"]}]}), of("pods/log"), true),
            (json!({"resources": [{"resources": ["pods/*"]}]}), of("pods"), true),
            (json!({"resources": [{"resources": ["*/log"]}]}), of("pods/log"), true),
            (json!({"resources": [{"resources": ["*"]}]}), of("pods/log"), true),
            (
                json!({"resources": [{"resources": ["pods"], "resourceNames": ["db"]}]}),
                of("pods"),
                false,
            ),
            (
                json!({"resources": [{"resources": ["pods"], "resourceNames": ["web"]}]}),
                of("pods"),
                true,
            ),
            (json!({"nonResourceURLs": ["/healthz*"]}), path.clone(), true),
            (json!({"nonResourceURLs": ["/healthz"]}), path.clone(), false),
            (json!({"nonResourceURLs": ["*"]}), of("pods"), false),
            (json!({"namespaces": ["shop"]}), path, false),
        ];
        for (rule, what, fits) in cases {
            let mut rule = rule;
            rule["level"] = "Request".into();
            let expected = if fits { Level::Request } else { Level::Metadata };
            assert_eq!(level(json!([rule, {"level": "Metadata"}]), &what), expected, "{rule}");
            assert_eq!(
                level(json!([rule]), &what),
                if fits { Level::Request } else { Level::None }
            );
        }
    }

    /// Red when a policy decides that alone: the log would hold what the store seals.
    #[test]
    fn of_what_holds_secrets_no_bodies_are_told() {
        let all = json!([{"level": "RequestResponse"}]);
        for resource in ["secrets", "configmaps", "serviceaccounts/token"] {
            assert_eq!(level(all.clone(), &of(resource)), Level::Metadata, "{resource}");
        }
        assert_eq!(level(all, &of("serviceaccounts")), Level::RequestResponse);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_path() {
        let read = |rules: Value| {
            let document =
                json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules});
            Policy::read(&document).err().unwrap()
        };
        let cases = [
            (json!([]), "rules: Required"),
            (json!([{"level": "All"}]), "unknown variant `All`"),
            (json!([{"level": "None", "verb": ["get"]}]), "unknown field `verb`"),
            (
                json!([{"level": "None", "namespaces": ["a"], "nonResourceURLs": ["/a"]}]),
                "rules[0].nonResourceURLs",
            ),
            (json!([{"level": "None", "nonResourceURLs": ["a"]}]), "rules[0].nonResourceURLs[0]"),
            (json!([{"level": "None", "nonResourceURLs": ["/a*b"]}]), "final character"),
            (
                json!([{"level": "None", "resources": [{"resourceNames": ["a"]}]}]),
                "rules[0].resources[0].resourceNames",
            ),
        ];
        for (rules, expected) in cases {
            let why = read(rules);
            assert!(why.contains(expected), "{why}");
        }
    }
}
