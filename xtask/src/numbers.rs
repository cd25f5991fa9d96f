//! `codegen --protobuf`: makes the table of Go's structs from the `types.go` files one points it at: which fields, in which
//! order, by which protobuf numbers, and which of them are pointers.
//!
//! Knows: the shape of those files and their tags, which field stands for another struct's fields. Copies names and
//! numbers of fields, never comments. Which types and fields are wanted is the field table's; what is not in it is left
//! out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::packages::PACKAGES;

const HEADER: &str = "# The protobuf number of every field of the types in the field table, in Go's order; `*`: a pointer, which tells zero\n\
                      # from nothing; `+type` stands for its fields, inlined.\n";

/// Packages whose structs have no numbers: OpenShift defines those kinds by CustomResourceDefinitions.
const UNNUMBERED: &[&str] = &["og"];

/// The fields of a type, by the type's short name.
type Fields = BTreeMap<String, BTreeSet<String>>;

/// Go's structs with their fields, by the type's short name.
pub(crate) type Structs = BTreeMap<String, Vec<Field>>;

/// A field of a struct.
#[derive(Debug, PartialEq)]
pub(crate) struct Field {
    pointer: bool,
    omit: Omit,
    type_: String,
    /// In JSON; empty where the struct that is its type is inlined.
    name: String,
    number: u32,
}

/// When Go leaves a field out of JSON.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Omit {
    Never,
    /// When it is empty, which a struct never is.
    Empty,
    /// When it is the zero of its type.
    Zero,
}

/// Whether Go writes a field of a type that has the zero of its type; `object` for a field that holds an object. `None`
/// for a pointer, whose zero is nothing, and for what is not known.
pub(crate) fn writes_zero(
    structs: &Structs,
    type_: &str,
    field: &str,
    object: bool,
) -> Option<bool> {
    let found = found(structs, type_, field).filter(|found| !found.pointer)?;
    Some(found.omit == Omit::Never || (object && found.omit == Omit::Empty))
}

/// Whether Go leaves out a scalar, a list or a map of a type that is sent empty.
pub(crate) fn leaves_out(structs: &Structs, type_: &str, field: &str) -> bool {
    found(structs, type_, field).is_some_and(|found| !found.pointer && found.omit != Omit::Never)
}

fn found<'a>(structs: &'a Structs, type_: &str, field: &str) -> Option<&'a Field> {
    let fields = structs.get(type_)?;
    let inlined = |outer: &Field| {
        let (alias, _) = type_.split_once(':')?;
        structs.get(&format!("{alias}:{}", outer.type_))
    };
    let own = fields.iter().find(|known| known.name == field);
    own.or_else(|| {
        let outer = fields.iter().filter(|outer| outer.name.is_empty());
        outer.filter_map(inlined).flatten().find(|known| known.name == field)
    })
}

/// The table for the types of the field table `fields`, from the files under `directory`, which is laid out by import
/// path: `k8s.io/api/core/v1/types.go`.
pub(crate) fn table(fields: &str, directory: &Path) -> Result<String> {
    let mut wanted = wanted(fields);
    let mut structs = structs(directory)?;
    // What is not Kubernetes' has no client that sends it in protobuf, and what nodes use nobody sends.
    let other = |type_: &String| {
        PACKAGES.iter().any(|(alias, prefix, _)| {
            type_.split(':').next() == Some(alias)
                && ["com.github.", "io.k8s.metrics."].iter().any(|other| prefix.starts_with(other))
        })
    };
    structs.retain(|type_, _| !other(type_));
    add_inlined(&structs, &mut wanted);
    let prefixes = PACKAGES.iter().filter(|(alias, _, _)| !other(&format!("{alias}:")));
    let prefixes: String =
        prefixes.map(|(alias, prefix, _)| format!("prefix {alias} {prefix}\n")).collect();
    Ok(format!("{HEADER}{prefixes}{}", lines(&structs, &wanted)))
}

/// The structs of all packages, from the files under `directory`, which is laid out by import path.
pub(crate) fn structs(directory: &Path) -> Result<Structs> {
    let mut structs = Structs::new();
    for (alias, prefix, _) in PACKAGES.iter().filter(|(alias, ..)| !UNNUMBERED.contains(alias)) {
        let (host, package) = match prefix.strip_prefix("com.github.") {
            Some(package) => ("github.com", package),
            None => ("k8s.io", prefix.trim_start_matches("io.k8s.")),
        };
        let package = directory.join(host).join(package.replace('.', "/"));
        for file in ["types.go", "types_jsonschema.go"] {
            let path = package.join(file);
            let text = match std::fs::read_to_string(&path) {
                Err(error) if file != "types.go" && error.kind() == ErrorKind::NotFound => continue,
                read => read.with_context(|| format!("cannot read {}", path.display()))?,
            };
            structs.extend(of_text(alias, &text).with_context(|| path.display().to_string())?);
        }
    }
    Ok(structs)
}

/// The structs of a file of a package.
pub(crate) fn of_text(alias: &str, text: &str) -> Result<Structs> {
    let structs = read(text)?;
    Ok(structs.into_iter().map(|(name, fields)| (format!("{alias}:{name}"), fields)).collect())
}

fn lines(structs: &Structs, wanted: &Fields) -> String {
    let mut out = String::new();
    for (type_, fields) in structs {
        let Some(known) = wanted.get(type_) else { continue };
        out.push_str(type_);
        for field in fields {
            let Field { name, number, pointer, .. } = field;
            if known.contains(name) {
                let mark = if *pointer { "*" } else { "" };
                out.push_str(&format!(" {name}{mark}={number}"));
            } else if let Some(inlined) = inlined(type_, field, known, structs) {
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
                fields.insert(field.trim_end_matches(['!', '?']).to_owned());
            }
            _ => {}
        }
    }
    types
}

/// Adds the types that are only ever inlined: the field table has their fields in the types that hold them.
fn add_inlined(structs: &Structs, wanted: &mut Fields) {
    let mut found = Fields::new();
    for (type_, known) in wanted.iter() {
        for field in structs.get(type_).into_iter().flatten() {
            let Some(inlined) = inlined(type_, field, known, structs) else { continue };
            let names = structs[&inlined].iter().map(|field| field.name.clone());
            let names = names.filter(|name| known.contains(name));
            found.entry(inlined).or_default().extend(names);
        }
    }
    for (type_, fields) in found {
        wanted.entry(type_).or_insert(fields);
    }
}

/// The short name of the type whose fields a field stands for: a struct of the same package, inlined, some of whose
/// fields the field table has in the type that holds it.
fn inlined(
    type_: &str,
    field: &Field,
    known: &BTreeSet<String>,
    structs: &Structs,
) -> Option<String> {
    if !field.name.is_empty() {
        return None;
    }
    let (alias, _) = type_.split_once(':')?;
    let inlined = format!("{alias}:{}", field.type_);
    structs.get(&inlined)?.iter().any(|field| known.contains(&field.name)).then_some(inlined)
}

/// The structs of a file with their fields, in the order of the file.
fn read(text: &str) -> Result<Vec<(String, Vec<Field>)>> {
    let mut structs: Vec<(String, Vec<Field>)> = Vec::new();
    let mut open = false;
    for line in text.lines().map(str::trim) {
        let begun = line.strip_prefix("type ").and_then(|rest| rest.strip_suffix(" struct {"));
        if let Some(name) = begun {
            structs.push((name.to_owned(), Vec::new()));
            open = true;
        } else if line == "}" {
            open = false;
        } else if let Some((_, fields)) = structs.last_mut().filter(|_| open)
            && !line.starts_with("//")
        {
            fields.extend(field(line));
        }
    }
    if structs.iter().all(|(_, fields)| fields.is_empty()) {
        bail!("no struct with protobuf numbers");
    }
    Ok(structs)
}

/// ``Name *string `json:"name,omitempty" protobuf:"bytes,1,opt,name=name"` ``. A field without number has no place in the
/// encoding: the kind and version of an object.
fn field(line: &str) -> Option<Field> {
    let mut parts = line.split('`');
    let (left, tags) = (parts.next()?, parts.next()?);
    let type_ = left.split_ascii_whitespace().last()?;
    let number = tag(tags, "protobuf")?.split(',').nth(1)?.parse().ok()?;
    Some(Field {
        pointer: type_.starts_with('*'),
        omit: match tag(tags, "json")? {
            json if json.contains(",omitzero") => Omit::Zero,
            json if json.contains(",omitempty") => Omit::Empty,
            _ => Omit::Never,
        },
        type_: type_.trim_start_matches('*').to_owned(),
        name: tag(tags, "json")?.split(',').next()?.to_owned(),
        number,
    })
}

fn tag<'a>(tags: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tags.split_once(&format!("{name}:\""))?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: &str = "
package v1

// A comment.
type Volume struct {
	metav1.TypeMeta `json:\",inline\"`
	// Its name = 7
	Name string `json:\"name\" protobuf:\"bytes,1,opt,name=name\"`
	Mode *int32 `json:\"mode,omitempty\" protobuf:\"varint,9,opt,name=mode\"` // odd
	VolumeSource `json:\",inline\" protobuf:\"bytes,2,opt,name=volumeSource\"`
	TooNew string `json:\"tooNew\" protobuf:\"bytes,3,opt,name=tooNew\"`
}

type VolumeSource struct {
	Items []other.Item `json:\"items\" protobuf:\"bytes,4,rep,name=items\"`
	Data map[string]string `json:\"data\" protobuf:\"bytes,5,rep,name=data\"`
}

type Word string
";

    #[test]
    fn structs_are_read_and_inlined_as_the_field_table_has_them() {
        let structs = of_text("c", TYPES).expect("a file");
        let table = "prefix c core.\ntype c:Volume\n name! string\n data {}string\n mode int32\n";
        let mut wanted = wanted(table);
        add_inlined(&structs, &mut wanted);
        let out = lines(&structs, &wanted);
        assert_eq!(out, "c:Volume name=1 mode*=9 +c:VolumeSource=2\nc:VolumeSource data=5\n");
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        assert!(read("").is_err());
        assert!(read("type A struct {\n\tName string\n}\n").is_err());
    }
}
