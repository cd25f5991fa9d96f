//! `codegen --protobuf`: makes the table of protobuf field numbers from the `generated.proto` files one points it at.
//!
//! Knows: the shape of those files, which field stands for another message's fields. Copies names and numbers of
//! fields, never comments. Which types and fields are wanted is the field table's; what is not in it is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::codegen::PREFIXES;

const HEADER: &str = "# The protobuf number of every field of the types in the field table; `+type` stands for its \
                      fields, inlined.\n";

/// The fields of a type, by the type's short name.
type Fields = BTreeMap<String, BTreeSet<String>>;

/// A field of a message.
#[derive(Debug, PartialEq)]
struct Field {
    repeated: bool,
    type_: String,
    name: String,
    number: u32,
}

/// The table for the types of the field table `fields`, from the files under `directory`, which is laid out by import
/// path: `k8s.io/api/core/v1/generated.proto`.
pub(crate) fn table(fields: &str, directory: &Path) -> Result<String> {
    let mut wanted = wanted(fields);
    let mut messages = BTreeMap::new();
    for (alias, prefix) in PREFIXES {
        // What is not Kubernetes' has no client that sends it in this encoding.
        let Some(package) = prefix.strip_prefix("io.k8s.") else { continue };
        let path = directory.join("k8s.io").join(package.replace('.', "/")).join("generated.proto");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        for (name, fields) in read(&text).with_context(|| path.display().to_string())? {
            messages.insert(format!("{alias}:{name}"), fields);
        }
    }
    add_inlined(&messages, &mut wanted);
    Ok(format!("{HEADER}{}", lines(&messages, &wanted)))
}

fn lines(messages: &BTreeMap<String, Vec<Field>>, wanted: &Fields) -> String {
    let mut out = String::new();
    for (message, fields) in messages {
        let Some(known) = wanted.get(message) else { continue };
        out.push_str(message);
        for field in fields {
            let Field { name, number, .. } = field;
            if known.contains(name) {
                out.push_str(&format!(" {name}={number}"));
            } else if let Some(inlined) = inlined(message, field, known, messages) {
                out.push_str(&format!(" +{inlined}={number}"));
            }
        }
        out.push('\n');
    }
    out
}

/// The types of the field table and their fields.
fn wanted(table: &str) -> Fields {
    let mut types = Fields::new();
    let mut current = String::new();
    for line in table.lines() {
        let mut words = line.split_ascii_whitespace();
        match (line.strip_prefix("type "), words.next()) {
            (Some(_), _) => {
                current = words.next().unwrap_or_default().to_owned();
                types.insert(current.clone(), BTreeSet::new());
            }
            (None, Some(field)) if line.starts_with(' ') => {
                let fields = types.entry(current.clone()).or_default();
                fields.insert(field.trim_end_matches('!').to_owned());
            }
            _ => {}
        }
    }
    types
}

/// Adds the types that are only ever inlined: the field table has their fields in the types that hold them.
fn add_inlined(messages: &BTreeMap<String, Vec<Field>>, wanted: &mut Fields) {
    let mut found = Fields::new();
    for (message, known) in wanted.iter() {
        for field in messages.get(message).into_iter().flatten() {
            let Some(inlined) = inlined(message, field, known, messages) else { continue };
            let names = messages[&inlined].iter().map(|field| field.name.clone());
            let names = names.filter(|name| known.contains(name));
            found.entry(inlined).or_default().extend(names);
        }
    }
    for (message, fields) in found {
        wanted.entry(message).or_insert(fields);
    }
}

/// The short name of the type whose fields a field stands for: one message of the same package that the field table
/// does not have under the name of the field, but some of whose fields it has in the type that holds it.
fn inlined(
    message: &str,
    field: &Field,
    known: &BTreeSet<String>,
    messages: &BTreeMap<String, Vec<Field>>,
) -> Option<String> {
    if field.repeated || known.contains(&field.name) {
        return None;
    }
    let (alias, _) = message.split_once(':')?;
    let inlined = format!("{alias}:{}", field.type_);
    messages.get(&inlined)?.iter().any(|field| known.contains(&field.name)).then_some(inlined)
}

/// The messages of a file with their fields, in the order of the file.
fn read(text: &str) -> Result<Vec<(String, Vec<Field>)>> {
    let mut messages: Vec<(String, Vec<Field>)> = Vec::new();
    let mut open = false;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("message ") {
            let name = rest.trim_end_matches(['{', ' ']);
            messages.push((name.to_owned(), Vec::new()));
            open = true;
        } else if line == "}" {
            open = false;
        } else if let Some((_, fields)) = messages.last_mut().filter(|_| open)
            && !line.is_empty()
            && !line.starts_with("//")
            && !line.starts_with("reserved ")
        {
            fields.push(field(line).with_context(|| format!("not a field: {line}"))?);
        }
    }
    if messages.is_empty() {
        bail!("no message");
    }
    Ok(messages)
}

/// `optional string name = 1;`, `map<string, string> data = 2;`.
fn field(line: &str) -> Option<Field> {
    let (left, right) = line.split_once('=')?;
    let number = right.trim().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    let (type_, name) = left.trim().rsplit_once(' ')?;
    let (label, type_) = type_.split_once(' ').unwrap_or(("", type_));
    Some(Field {
        repeated: label != "optional",
        type_: type_.to_owned(),
        name: name.to_owned(),
        number,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTO: &str = "
package k8s.io.api.core.v1;
// A comment = 1;
message Volume {
  // Its name; = 7
  optional string name = 1;

  optional VolumeSource volumeSource = 2;
  optional string tooNew = 3;
  repeated VolumeSource others = 6;
}

message VolumeSource {
  repeated k8s.io.api.core.v1.Other items = 4;
  map<string, string> data = 5 [deprecated = true];
}
";

    #[test]
    fn messages_are_read_and_inlined_as_the_field_table_has_them() {
        let messages: BTreeMap<_, _> = read(PROTO)
            .expect("a file")
            .into_iter()
            .map(|(name, fields)| (format!("c:{name}"), fields))
            .collect();
        let mut wanted = wanted("prefix c core.\ntype c:Volume\n name! string\n data {}string\n");
        add_inlined(&messages, &mut wanted);
        let out = lines(&messages, &wanted);
        assert_eq!(out, "c:Volume name=1 +c:VolumeSource=2\nc:VolumeSource data=5\n");
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        assert!(read("").is_err());
        assert!(read("message A {\n  optional string name;\n}\n").is_err());
    }
}
