//! FlowSchemas.
//!
//! Knows: subjects, verbs, what they ask for, and the two schemas that each cluster has. Refuses to know: requests.

use leme_meta::quote;
use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, names};
use serde_json::{Value, json};

use super::{CATCH_ALL, EXEMPT, status};
use crate::check::{self, Errors};

/// The last place in the order of schemas, and that of a schema that does not say.
const LAST: i64 = 10_000;
const USUAL: i64 = 1_000;

const METHODS: [&str; 2] = ["ByNamespace", "ByUser"];

const VERBS: [&str; 9] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

/// Kinds of subjects, and the field that each fills.
const SUBJECTS: [(&str, &str); 3] =
    [("Group", "group"), ("ServiceAccount", "serviceAccount"), ("User", "user")];

/// The order in which fields of other kinds are refused.
const FIELDS: [&str; 3] = ["serviceAccount", "user", "group"];

pub(crate) static STRATEGY: Strategy = Strategy {
    default: |schema| {
        json::default_number(json::child(schema, "spec"), "matchingPrecedence", USUAL);
    },
    validate,
    validate_status: |new, _| status(new),
    generation: Some(Strategy::spec_changed),
    ..check::STATUS_ALONE
};

fn validate(schema: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = schema.get("spec").unwrap_or(&Value::Null);
    let name = json::text(schema, &["metadata", "name"]);
    let mut errors = Vec::new();
    precedence(spec, name, &path.child("matchingPrecedence"), &mut errors);
    if let Some(method) = json::at(spec, &["distinguisherMethod"]) {
        let type_ = json::text(method, &["type"]);
        if !METHODS.contains(&type_) {
            let at = path.child("distinguisherMethod").child("type");
            let shown = check::go_struct(&[("Type", quote(&type_))]);
            errors.push(FieldError::not_supported(&at, shown, &METHODS));
        }
    }
    let at = path.child("priorityLevelConfiguration").child("name");
    match json::text(spec, &["priorityLevelConfiguration", "name"]) {
        "" => errors.push(FieldError::required(&at, "must reference a priority level")),
        level => check::named(&at, level, &names::dns1123_subdomain(level), &mut errors),
    }
    for (index, rule) in json::list(spec, &["rules"]).iter().enumerate() {
        self::rule(rule, &path.child("rules").index(index), &mut errors);
    }
    if fixed(name).is_some_and(|must| must != *spec) {
        let why = format!("spec of '{name}' must equal the fixed value");
        errors.push(FieldError::invalid(&path, spec, &why));
    }
    errors
}

fn precedence(spec: &Value, name: &str, at: &Path, errors: &mut Errors) {
    let place = json::int(spec, &["matchingPrecedence"]).unwrap_or(0);
    let mut refuse = |why: &str| errors.push(FieldError::invalid(at, place, why));
    if place <= 0 {
        refuse("must be a positive value");
    }
    if place > LAST {
        refuse(&format!("must not be greater than {LAST}"));
    }
    if place == 1 && name != EXEMPT {
        refuse("only the schema named 'exempt' may have matchingPrecedence 1");
    }
}

/// The spec of a schema that each cluster has.
fn fixed(name: &str) -> Option<Value> {
    let groups = |groups: &[&str]| -> Vec<Value> {
        groups.iter().map(|group| json!({ "kind": "Group", "group": { "name": group } })).collect()
    };
    let everything = |subjects: Vec<Value>| {
        json!([{
            "subjects": subjects,
            "resourceRules": [{
                "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"],
            }],
            "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
        }])
    };
    match name {
        EXEMPT => Some(json!({
            "priorityLevelConfiguration": { "name": EXEMPT }, "matchingPrecedence": 1,
            "rules": everything(groups(&["system:masters"])),
        })),
        CATCH_ALL => Some(json!({
            "priorityLevelConfiguration": { "name": CATCH_ALL }, "matchingPrecedence": LAST,
            "distinguisherMethod": { "type": "ByUser" },
            "rules": everything(groups(&["system:unauthenticated", "system:authenticated"])),
        })),
        _ => None,
    }
}

fn rule(rule: &Value, path: &Path, errors: &mut Errors) {
    let subjects = json::list(rule, &["subjects"]);
    if subjects.is_empty() {
        let why = "subjects must contain at least one value";
        errors.push(FieldError::required(&path.child("subjects"), why));
    }
    for (index, subject) in subjects.iter().enumerate() {
        self::subject(subject, &path.child("subjects").index(index), errors);
    }
    let resources = json::list(rule, &["resourceRules"]);
    let others = json::list(rule, &["nonResourceRules"]);
    if resources.is_empty() && others.is_empty() {
        let why = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, why));
    }
    for (index, rule) in resources.iter().enumerate() {
        of_resources(rule, &path.child("resourceRules").index(index), errors);
    }
    for (index, rule) in others.iter().enumerate() {
        of_others(rule, &path.child("nonResourceRules").index(index), errors);
    }
}

fn subject(subject: &Value, path: &Path, errors: &mut Errors) {
    let kind = json::text(subject, &["kind"]);
    let Some((_, own)) = SUBJECTS.iter().find(|(known, _)| *known == kind) else {
        let known = SUBJECTS.map(|(kind, _)| kind);
        errors.push(FieldError::not_supported(&path.child("kind"), kind, &known));
        return;
    };
    let at = path.child(own);
    match json::at(subject, &[own]) {
        None => {
            let why = format!("{own} is required when subject kind is '{kind}'");
            errors.push(FieldError::required(&at, &why));
        }
        Some(named) => self::named(named, kind == "ServiceAccount", &at, errors),
    }
    for field in FIELDS.iter().filter(|field| *field != own) {
        let other = SUBJECTS.iter().find(|(_, of)| of == field).map_or("", |(kind, _)| *kind);
        if json::at(subject, &[field]).is_some() {
            let why = format!("{field} is forbidden when subject kind is not '{other}'");
            errors.push(FieldError::forbidden(&path.child(field), &why));
        }
    }
}

fn named(subject: &Value, account: bool, path: &Path, errors: &mut Errors) {
    let name = check::required(subject, "name", path, errors);
    if !account {
        return;
    }
    if !matches!(name, "" | "*") {
        check::named(&path.child("name"), name, &names::dns1123_subdomain(name), errors);
    }
    let at = path.child("namespace");
    match json::text(subject, &["namespace"]) {
        "" => {
            let why = "must specify namespace for service account";
            errors.push(FieldError::required(&at, why));
        }
        namespace => check::named(&at, namespace, &names::dns1123_label(namespace), errors),
    }
}

fn texts<'a>(rule: &'a Value, field: &str) -> Vec<&'a str> {
    json::list(rule, &[field]).iter().map(|text| text.as_str().unwrap_or("")).collect()
}

/// Checks a list that either names things or stands for all of them, and says whether it names some.
fn all_or_some(
    rule: &Value,
    (field, none, others): (&str, &str, &str),
    path: &Path,
    errors: &mut Errors,
) -> bool {
    let list = texts(rule, field);
    let at = path.child(field);
    if list.is_empty() {
        errors.push(FieldError::required(&at, none));
    } else if list.len() > 1 && list.contains(&"*") {
        let why = format!("if '*' is present, must not specify other {others}");
        errors.push(FieldError::invalid(&at, &rule[field], &why));
    }
    !list.is_empty() && !list.contains(&"*")
}

fn verbs(rule: &Value, path: &Path, errors: &mut Errors) {
    let words = ("verbs", "verbs must contain at least one value", "verbs");
    let some = all_or_some(rule, words, path, errors);
    if some && !texts(rule, "verbs").iter().all(|verb| VERBS.contains(verb)) {
        errors.push(FieldError::not_supported(&path.child("verbs"), &rule["verbs"], &VERBS));
    }
}

fn of_resources(rule: &Value, path: &Path, errors: &mut Errors) {
    verbs(rule, path, errors);
    let groups = ("apiGroups", "resource rules must supply at least one api group", "api groups");
    all_or_some(rule, groups, path, errors);
    let resources = ("resources", "resource rules must supply at least one resource", "resources");
    all_or_some(rule, resources, path, errors);
    let namespaces = texts(rule, "namespaces");
    if namespaces.is_empty() && json::flag(rule, &["clusterScope"]) {
        return;
    }
    let none = "resource rules that are not cluster scoped must supply at least one namespace";
    if !all_or_some(rule, ("namespaces", none, "namespaces"), path, errors) {
        return;
    }
    for (index, namespace) in namespaces.iter().enumerate() {
        for why in names::dns1123_label(namespace) {
            let why = format!("each member of this list must be '*' or a DNS-1123 label; {why}");
            let at = path.child("namespaces").index(index);
            errors.push(FieldError::invalid(&at, *namespace, &why));
        }
    }
}

fn of_others(rule: &Value, path: &Path, errors: &mut Errors) {
    verbs(rule, path, errors);
    let none = "nonResourceURLs must contain at least one value";
    let words = ("nonResourceURLs", none, "non-resource URLs");
    if !all_or_some(rule, words, path, errors) {
        return;
    }
    for (index, url) in texts(rule, "nonResourceURLs").into_iter().enumerate() {
        let wildcards = url.matches('*').count();
        let why = match url {
            "" => "must not be empty",
            "/" => continue,
            _ if !url.starts_with('/') => "must start with slash",
            _ if url.contains(' ') => "must not contain white-space",
            _ if url.contains("//") => "must not contain double slash",
            _ if wildcards > 1 || wildcards == 1 && !url.ends_with("/*") => {
                "wildcard can only do suffix matching"
            }
            _ => continue,
        };
        let at = path.child("nonResourceURLs").index(index);
        errors.push(FieldError::invalid(&at, url, why));
    }
}
