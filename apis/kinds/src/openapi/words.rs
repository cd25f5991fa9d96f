//! What types and fields are for, as `kubectl explain` shows it.
//!
//! Knows: the tables below `words/`: a package, its types at the margin, the fields of each below it, a line each. Refuses
//! to know: what is not in them; a type nobody has described is served without words.

use std::collections::HashMap;
use std::sync::LazyLock;

const TABLES: [&str; 5] = [
    include_str!("words/access.txt"),
    include_str!("words/core.txt"),
    include_str!("words/network.txt"),
    include_str!("words/openshift.txt"),
    include_str!("words/workloads.txt"),
];

/// What is said of a type.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub text: &'static str,
    fields: Vec<(&'static str, &'static str)>,
}

impl Words {
    /// What is said of a field.
    pub fn field(&self, name: &str) -> Option<&'static str> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, text)| *text)
    }
}

/// What is said of a type, by its name in OpenAPI.
pub(super) fn of(type_: &str) -> Option<&'static Words> {
    static ALL: LazyLock<HashMap<String, Words>> =
        LazyLock::new(|| TABLES.iter().flat_map(|table| parsed(table)).collect());
    ALL.get(type_)
}

/// What the fields are for that all kinds have.
pub(super) fn common(field: &str) -> Option<&'static str> {
    Some(match field {
        "apiVersion" => "APIVersion defines the group and version of the kind, such as apps/v1.",
        "kind" => "Kind says what the object is, such as Deployment.",
        "metadata" => {
            "Standard object's metadata: name, namespace, labels and annotations, and what the server keeps besides."
        }
        "spec" => "What is wanted.",
        "status" => "What is.",
        _ => return None,
    })
}

fn parsed(table: &'static str) -> Vec<(String, Words)> {
    let mut all: Vec<(String, Words)> = Vec::new();
    let mut package = "";
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("package ") {
            package = name;
            continue;
        }
        let (name, text) = line.split_once(": ").unwrap_or((line, ""));
        match (name.strip_prefix(' '), all.last_mut()) {
            (Some(field), Some((_, words))) => words.fields.push((field, text)),
            _ => all.push((format!("{package}{name}"), Words { text, fields: Vec::new() })),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kinds;

    #[test]
    fn every_kind_is_described() {
        let nameless: Vec<String> = Kinds::builtin()
            .iter()
            .filter(|kind| of(&kind.schema).is_none_or(|words| words.text.is_empty()))
            .map(|kind| kind.schema.to_string())
            .collect();
        assert_eq!(nameless, [] as [&str; 0]);
    }

    /// Red when a name is misspelt, or a type or field has gone.
    #[test]
    fn what_is_described_is_there() {
        for (name, words) in TABLES.iter().flat_map(|table| parsed(table)) {
            let def = crate::schemas().get(&name).unwrap_or_else(|| panic!("{name}"));
            assert!(!words.text.is_empty() || !words.fields.is_empty(), "{name}");
            for (field, text) in &words.fields {
                assert!(def.fields.iter().any(|known| known.name == *field), "{name} {field}");
                assert!(text.ends_with('.'), "{name} {field}: {text}");
            }
            assert!(words.text.ends_with('.'), "{name}: {}", words.text);
        }
    }

    #[test]
    fn nothing_is_described_twice() {
        let all: Vec<String> =
            TABLES.iter().flat_map(|table| parsed(table)).map(|(name, _)| name).collect();
        let mut once = all.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), all.len());
    }
}
