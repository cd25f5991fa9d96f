//! Objects as upstream works with them itself, told apart in its messages: in Go's names, with all that is not set.
//!
//! Knows: the table of those types. Refuses to know: what may change.

use std::collections::HashMap;
use std::sync::LazyLock;

use leme_meta::{diff, json_string};
use leme_registry::json;
use serde_json::Value;

/// Made by `cargo xtask codegen --internal`.
const TABLE: &str = include_str!("internal.txt");

/// A field, or a struct that is inlined.
enum Part {
    /// Its name in Go, its name in the API and its type.
    Field(&'static str, &'static str, &'static str),
    Inline(&'static str),
}

static TYPES: LazyLock<HashMap<&'static str, Vec<Part>>> = LazyLock::new(|| {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &'static str| {
        let (name, parts) = line.split_once(' ').unwrap_or((line, ""));
        (name, parts.split_ascii_whitespace().filter_map(part).collect())
    };
    lines.map(read).collect()
});

fn part(word: &'static str) -> Option<Part> {
    if let Some(inlined) = word.strip_prefix('+') {
        return Some(Part::Inline(inlined));
    }
    let (go, rest) = word.split_once('=')?;
    let (json, type_) = rest.split_once(':')?;
    Some(Part::Field(go, json, type_))
}

/// What changes from one value of a type to another, as upstream appends it to a message; empty if it is nothing.
pub(crate) fn changes(type_: &str, old: &Value, new: &Value) -> String {
    diff::unified(&text(type_, old), &text(type_, new))
}

fn text(type_: &str, value: &Value) -> String {
    let mut out = String::new();
    if type_ == "PodSpec" {
        put(type_, &with_own_context(value.clone()), 0, &mut out);
    } else {
        put(type_, value, 0, &mut out);
    }
    out
}

/// A pod's spec with what upstream has in its security context.
fn with_own_context(mut spec: Value) -> Value {
    for field in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"] {
        if let Some(value) = json::at(&spec, &[field]).cloned() {
            json::set(json::child(&mut spec, "securityContext"), field, value);
        }
    }
    spec
}

/// Writes a value as Go writes it indented.
fn put(type_: &str, value: &Value, depth: usize, out: &mut String) {
    let known = !value.is_null();
    match type_.split_at_checked(1) {
        Some(("*", _)) if !known => return out.push_str("null"),
        Some(("*", target)) => return put(target, value, depth, out),
        _ => {}
    }
    if let Some(element) = type_.strip_prefix("[]") {
        return match value.as_array() {
            Some(items) => {
                let items = items.iter().map(|item| (None, element, item)).collect();
                enclosed(('[', ']'), items, depth, out);
            }
            None => out.push_str("null"),
        };
    }
    if let Some(element) = type_.strip_prefix("{}") {
        return match value.as_object() {
            Some(map) => {
                let entries = map.iter().map(|(key, item)| (Some(&**key), element, item));
                enclosed(('{', '}'), entries.collect(), depth, out);
            }
            None => out.push_str("null"),
        };
    }
    match type_ {
        "bytes" if !known => out.push_str("null"),
        "string" | "bytes" => out.push_str(&json_string(value.as_str().unwrap_or_default())),
        "quantity" => out.push_str(&json_string(value.as_str().unwrap_or("0"))),
        "int" | "int-or-string" if !known => out.push('0'),
        "bool" if !known => out.push_str("false"),
        "int-or-string" if value.is_string() => {
            out.push_str(&json_string(value.as_str().unwrap_or_default()));
        }
        "int" | "int-or-string" | "bool" => out.push_str(&value.to_string()),
        name => {
            let mut fields = Vec::new();
            collect(name, value, &mut fields);
            enclosed(('{', '}'), fields, depth, out);
        }
    }
}

type Entry<'a> = (Option<&'a str>, &'a str, &'a Value);

fn collect<'a>(name: &str, value: &'a Value, fields: &mut Vec<Entry<'a>>) {
    const NULL: &Value = &Value::Null;
    for part in TYPES.get(name).into_iter().flatten() {
        match part {
            Part::Inline(inlined) => match inlined.split_once('.') {
                Some((at, inlined)) => collect(inlined, value.get(at).unwrap_or(NULL), fields),
                None => collect(inlined, value, fields),
            },
            Part::Field(go, json, type_) => {
                let found = value.get(json).unwrap_or(NULL);
                // What the API's own types leave out when it is empty.
                if !(go.ends_with('?') && found.is_null()) {
                    fields.push((Some(go.trim_end_matches('?')), type_, found));
                }
            }
        }
    }
}

fn enclosed((open, close): (char, char), entries: Vec<Entry>, depth: usize, out: &mut String) {
    out.push(open);
    for (index, (name, type_, value)) in entries.iter().enumerate() {
        out.push_str(if index > 0 { ",\n" } else { "\n" });
        out.push_str(&" ".repeat(depth + 1));
        if let Some(name) = name {
            out.push_str(&json_string(name));
            out.push_str(": ");
        }
        put(type_, value, depth + 1, out);
    }
    if !entries.is_empty() {
        out.push('\n');
        out.push_str(&" ".repeat(depth));
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_that_is_named_is_known() {
        let scalars = ["string", "bytes", "quantity", "int", "int-or-string", "bool"];
        for part in TYPES.values().flatten() {
            let name = match part {
                Part::Inline(name) => name.trim_start_matches("metadata."),
                Part::Field(_, _, type_) => type_.trim_start_matches(['*', '[', ']', '{', '}']),
            };
            assert!(scalars.contains(&name) || TYPES.contains_key(name), "{name}");
        }
        for root in
            ["EphemeralContainer", "PersistentVolumeClaimSpec", "PersistentVolumeSource", "PodSpec"]
        {
            assert!(TYPES.contains_key(root), "{root}");
        }
    }

    // Red with the message alone: it does not say what of the spec is another.
    #[test]
    fn what_changes_is_shown_line_by_line() {
        let spec = |seconds: i64| json!({ "restartPolicy": "Always", "terminationGracePeriodSeconds": seconds });
        assert_eq!(
            changes("PodSpec", &spec(30), &spec(5)),
            "@@ -4,7 +4,7 @@\n  \"Containers\": null,\n  \"EphemeralContainers\": null,\n  \"RestartPolicy\": \"Always\",\n\
             - \"TerminationGracePeriodSeconds\": 30,\n+ \"TerminationGracePeriodSeconds\": 5,\n\
             \u{20} \"ActiveDeadlineSeconds\": null,\n  \"DNSPolicy\": \"\",\n  \"NodeSelector\": null,\n"
        );
        assert_eq!(changes("PodSpec", &spec(30), &spec(30)), "");
    }

    #[test]
    fn a_spec_is_written_as_go_writes_it() {
        let claim = json!({ "resources": { "requests": { "storage": "1Gi" } }, "selector": { "matchLabels": { "a": "<b" } } });
        let wanted = "{\n \"AccessModes\": null,\n \"Selector\": {\n  \"matchLabels\": {\n   \"a\": \"\\u003cb\"\n  }\n },\n \"Resources\": {\n  \"Limits\": null,\n  \"Requests\": {\n   \"storage\": \"1Gi\"\n  }\n },\n \"VolumeName\": \"\",\n \"StorageClassName\": null,\n";
        let told = text("PersistentVolumeClaimSpec", &claim);
        assert!(told.starts_with(wanted), "{told}");
        let pod =
            text("PodSpec", &json!({ "hostNetwork": true, "containers": [], "nodeName": "n" }));
        assert!(pod.contains("\n \"SecurityContext\": {\n  \"HostNetwork\": true,\n"), "{pod}");
        assert!(
            pod.contains("\n \"Containers\": [],\n") && pod.contains("\n \"Volumes\": null,\n"),
            "{pod}"
        );
    }
}
