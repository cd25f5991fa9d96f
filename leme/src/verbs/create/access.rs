//! Roles and their bindings as `leme create` makes them.

use anyhow::{Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::pair;
use crate::args::{AccessArgs, BindingArgs};
use crate::discovery::Served;

const GROUP: &str = "rbac.authorization.k8s.io";

/// A Role or ClusterRole: a rule for each group of the kinds that are named.
pub fn role(kind: &str, args: &AccessArgs, served: &Served) -> Result<Value> {
    let mut object = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": {"name": args.name}, "rules": [],
    });
    if !args.aggregation_rule.is_empty() {
        ensure!(kind == "ClusterRole", "--aggregation-rule is for ClusterRoles");
        ensure!(
            args.verb.is_empty() && args.resource.is_empty() && args.non_resource_url.is_empty(),
            "aggregation rule must be specified without verb, resource and non-resource-url"
        );
        let pairs = args.aggregation_rule.iter().map(|text| pair(text));
        let pairs = pairs.map(|pair| pair.map(|(key, value)| (key.to_owned(), value.into())));
        let labels = pairs.collect::<Result<Map<String, Value>>>()?;
        object["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": labels}]});
        return Ok(object);
    }
    ensure!(!args.verb.is_empty(), "at least one verb must be specified");
    ensure!(
        kind == "ClusterRole" || args.non_resource_url.is_empty(),
        "--non-resource-url is for ClusterRoles"
    );
    ensure!(
        !args.resource.is_empty() || !args.non_resource_url.is_empty(),
        "one of resource or nonResourceURL must be specified"
    );
    let verbs: Vec<&str> = match args.verb.iter().any(|verb| verb == "*") {
        true => vec!["*"],
        false => args.verb.iter().map(String::as_str).collect(),
    };
    let mut rules = Vec::new();
    for (group, resources) in by_group(&args.resource, served)? {
        let mut rule = json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
        if !args.resource_name.is_empty() {
            rule["resourceNames"] = args.resource_name.clone().into();
        }
        rules.push(rule);
    }
    if !args.non_resource_url.is_empty() {
        rules.push(json!({"nonResourceURLs": args.non_resource_url, "verbs": verbs}));
    }
    object["rules"] = rules.into();
    Ok(object)
}

/// The groups of kinds, in the order in which they are first named, each with its resources.
fn by_group(words: &[String], served: &Served) -> Result<Vec<(String, Vec<String>)>> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for word in words {
        let (name, sub) = word.split_once('/').map_or((word.as_str(), None), |(n, s)| (n, Some(s)));
        let (group, mut resource) = match name {
            "*" => (String::new(), "*".to_owned()),
            name => {
                let kind = served.by_word(name)?;
                (kind.group.clone(), kind.plural.clone())
            }
        };
        if let Some(sub) = sub {
            resource = format!("{resource}/{sub}");
        }
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, list)) => list.push(resource),
            None => groups.push((group, vec![resource])),
        }
    }
    Ok(groups)
}

/// A RoleBinding or ClusterRoleBinding.
pub fn binding(kind: &str, args: &BindingArgs) -> Result<Value> {
    let (role, name) = match (&args.clusterrole, &args.role) {
        (Some(name), None) => ("ClusterRole", name),
        (None, Some(name)) if kind == "RoleBinding" => ("Role", name),
        (None, Some(_)) => bail!("--role is for RoleBindings: name a --clusterrole"),
        _ if kind == "RoleBinding" => bail!("exactly one of clusterrole or role must be specified"),
        _ => bail!("required flag(s) \"clusterrole\" not set"),
    };
    let mut subjects = Vec::new();
    for (kind, names) in [("User", &args.user), ("Group", &args.group)] {
        let of = |name: &String| json!({"apiGroup": GROUP, "kind": kind, "name": name});
        subjects.extend(names.iter().map(of));
    }
    for text in &args.serviceaccount {
        let Some((namespace, name)) =
            text.split_once(':').filter(|(a, b)| !a.is_empty() && !b.is_empty())
        else {
            bail!("serviceaccount must be <namespace>:<name>");
        };
        subjects.push(json!({"kind": "ServiceAccount", "namespace": namespace, "name": name}));
    }
    Ok(json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": {"name": args.name},
        "roleRef": {"apiGroup": GROUP, "kind": role, "name": name},
        "subjects": subjects,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn rules_are_by_group() {
        let made =
            check("role r --verb get,list --resource pods,deploy.apps,pods/log --resource-name a")
                .unwrap();
        assert_eq!(
            made["rules"],
            json!([{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"], "resourceNames": ["a"]},
                {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"], "resourceNames": ["a"]}])
        );
        let made = check("clusterrole r --verb get --non-resource-url /healthz").unwrap();
        assert_eq!(made["rules"], json!([{"nonResourceURLs": ["/healthz"], "verbs": ["get"]}]));
        let made = check("clusterrole r --aggregation-rule a=b").unwrap();
        assert_eq!(
            made["aggregationRule"]["clusterRoleSelectors"][0]["matchLabels"],
            json!({"a": "b"})
        );
        assert!(check("role r --resource pods").unwrap_err().contains("at least one verb"));
        assert!(check("role r --verb get").is_err());
        assert!(
            check("role r --verb get --resource cats")
                .unwrap_err()
                .contains("resource type \"cats\"")
        );
    }

    #[test]
    fn bindings() {
        let made = check("rolebinding b --role r --user u --group g --serviceaccount n:s").unwrap();
        assert_eq!(made["roleRef"], json!({"apiGroup": GROUP, "kind": "Role", "name": "r"}));
        assert_eq!(
            made["subjects"][2],
            json!({"kind": "ServiceAccount", "namespace": "n", "name": "s"})
        );
        assert_eq!(made["subjects"].as_array().unwrap().len(), 3);
        assert!(check("clusterrolebinding b --role r").is_err());
        assert!(check("clusterrolebinding b").is_err());
        assert!(check("rolebinding b --role r --serviceaccount s").is_err());
        assert!(check("clusterrolebinding b --clusterrole r --user u").is_ok());
    }
}
