//! The rules of a role: what each allows, and whether some rules hold all that others hold.
//!
//! Knows: how verbs, groups, resources, names and paths are read, `*` among them. Refuses to know: who has the rules.

use std::collections::BTreeMap;

use leme_meta::quote;
use serde_json::Value;

use crate::authorize::Attributes;

/// Something that may be done to some resources, or some paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyRule {
    /// Verbs; `*` is every verb.
    pub verbs: Box<[Box<str>]>,
    /// API groups; `*` is every group.
    pub groups: Box<[Box<str>]>,
    /// Resources as `pods` or `pods/log`; `*` is everything, `*/scale` that subresource of everything.
    pub resources: Box<[Box<str>]>,
    /// Names of objects; all if there is none.
    pub names: Box<[Box<str>]>,
    /// Paths that name no resource; a `*` at the end covers all below.
    pub paths: Box<[Box<str>]>,
}

/// Single things that a role is taken apart into at most; one that holds more is refused to whoever does not hold it whole.
const PARTS: usize = 100_000;

impl PolicyRule {
    /// The rules of a Role or ClusterRole.
    pub fn all(object: &Value) -> Box<[PolicyRule]> {
        let rules = object.get("rules").and_then(Value::as_array);
        rules.into_iter().flatten().map(PolicyRule::read).collect()
    }

    fn read(rule: &Value) -> PolicyRule {
        let list = |field: &str| -> Box<[Box<str>]> {
            let list = rule.get(field).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect()
        };
        PolicyRule {
            verbs: list("verbs"),
            groups: list("apiGroups"),
            resources: list("resources"),
            names: list("resourceNames"),
            paths: list("nonResourceURLs"),
        }
    }

    /// Everything.
    pub fn everything() -> [PolicyRule; 2] {
        let all = || -> Box<[Box<str>]> { Box::new(["*".into()]) };
        let none = PolicyRule::default;
        [
            PolicyRule { verbs: all(), groups: all(), resources: all(), ..none() },
            PolicyRule { verbs: all(), paths: all(), ..none() },
        ]
    }

    /// Whether a request is allowed by it.
    pub fn allows(&self, what: &Attributes) -> bool {
        if !holds(&self.verbs, &what.verb) {
            return false;
        }
        if what.resource.is_empty() {
            return self.paths.iter().any(|path| covers_path(path, &what.path));
        }
        holds(&self.groups, &what.group)
            && self.resources.iter().any(|own| names_resource(own, what))
            && (self.names.is_empty() || has(&self.names, &what.name))
    }

    /// Whether all that another rule holds is in this one.
    fn covers(&self, other: &PolicyRule) -> bool {
        let all = |own: &[Box<str>], others: &[Box<str>]| {
            has(own, "*") || others.iter().all(|one| has(own, one))
        };
        let resource = |one: &str| {
            let below = one.split_once('/').map(|(_, sub)| format!("*/{sub}"));
            has(&self.resources, "*")
                || has(&self.resources, one)
                || below.is_some_and(|any| has(&self.resources, &any))
        };
        let named = match other.names.is_empty() {
            true => self.names.is_empty(),
            false => self.names.is_empty() || other.names.iter().all(|one| has(&self.names, one)),
        };
        all(&self.verbs, &other.verbs)
            && all(&self.groups, &other.groups)
            && other.resources.iter().all(|one| resource(one))
            && named
            && other.paths.iter().all(|one| self.paths.iter().any(|own| covers_path(own, one)))
    }

    /// The rule taken apart into rules of one verb on one thing each; none if they are too many.
    fn apart(&self) -> Option<Vec<PolicyRule>> {
        let one = |text: &str| -> Box<[Box<str>]> { Box::new([text.into()]) };
        let names: Vec<Box<[Box<str>]>> = match self.names.is_empty() {
            true => vec![Box::default()],
            false => self.names.iter().map(|name| one(name)).collect(),
        };
        let things = [self.groups.len(), self.resources.len(), names.len()];
        let things = things.into_iter().fold(1, usize::saturating_mul) + self.paths.len();
        if things.saturating_mul(self.verbs.len()) > PARTS {
            return None;
        }
        let mut parts = Vec::new();
        for verb in &self.verbs {
            for path in &self.paths {
                let paths = one(path);
                parts.push(PolicyRule { verbs: one(verb), paths, ..PolicyRule::default() });
            }
            for group in &self.groups {
                for resource in &self.resources {
                    parts.extend(names.iter().map(|names| PolicyRule {
                        verbs: one(verb),
                        groups: one(group),
                        resources: one(resource),
                        names: names.clone(),
                        paths: Box::default(),
                    }));
                }
            }
        }
        Some(parts)
    }

    /// As a refusal shows it.
    fn shown(&self) -> String {
        let part = |name: &str, list: &[Box<str>]| {
            let quoted: Vec<String> = list.iter().map(quote).collect();
            (!list.is_empty()).then(|| format!("{name}:[{}]", quoted.join(" ")))
        };
        let parts = [
            part("APIGroups", &self.groups),
            part("Resources", &self.resources),
            part("NonResourceURLs", &self.paths),
            part("ResourceNames", &self.names),
            part("Verbs", &self.verbs),
        ];
        format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// What of some rules is not in others, as a refusal shows it: a line for each thing, with all its verbs.
pub fn missing(own: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<String> {
    let covered = |rule: &PolicyRule| own.iter().any(|own| own.covers(rule));
    // What is the same but for its verb.
    let mut things: BTreeMap<String, PolicyRule> = BTreeMap::new();
    for rule in wanted.iter().filter(|rule| !covered(rule)) {
        let Some(parts) = rule.apart() else { return vec![rule.shown()] };
        for part in parts.into_iter().filter(|part| !covered(part)) {
            let PolicyRule { verbs, .. } = part.clone();
            let thing = PolicyRule { verbs: Box::default(), ..part };
            // Paths are told one by one.
            let key = match thing.paths.is_empty() {
                true => thing.shown(),
                false => format!("{}{}", thing.shown(), verbs.concat()),
            };
            let known = things.entry(key).or_insert(thing);
            let new = verbs.into_iter().filter(|verb| !has(&known.verbs, verb));
            known.verbs = known.verbs.iter().cloned().chain(new.collect::<Vec<_>>()).collect();
        }
    }
    let mut lines: Vec<String> = things.values().map(PolicyRule::shown).collect();
    lines.sort();
    lines
}

fn has(list: &[Box<str>], text: &str) -> bool {
    list.iter().any(|own| **own == *text)
}

fn holds(list: &[Box<str>], text: &str) -> bool {
    list.iter().any(|own| **own == *"*" || **own == *text)
}

fn names_resource(own: &str, what: &Attributes) -> bool {
    if own == "*" {
        return true;
    }
    match (own.split_once('/'), what.subresource.as_str()) {
        (None, sub) => sub.is_empty() && own == what.resource,
        (Some(_), "") => false,
        (Some((resource, sub)), asked) => {
            sub == asked && (resource == "*" || resource == what.resource)
        }
    }
}

fn covers_path(own: &str, path: &str) -> bool {
    own == path
        || own
            .strip_suffix('*')
            .is_some_and(|prefix| path.starts_with(prefix.trim_end_matches('*')))
}
