//! The text form of the field table.
//!
//! ```text
//! prefix c io.k8s.api.core.v1.
//! type c:ServiceSpec
//!  ports []c:ServicePort list=map:port,protocol patch=merge key=port
//!  selector {}string atomic
//!  type! string ="ClusterIP"
//! ```
//! A field is its name (`!`: required, `?`: left out when it is empty), its type (`[]` list, `{}` map, `alias:Name` an object) and its attributes; the
//! default is last, as JSON up to the end of the line.

use std::collections::HashMap;

use super::{Field, FieldType, ListType, PatchStrategy, Schemas, TypeDef, TypeName};

const SCALARS: &[(&str, FieldType)] = &[
    ("string", FieldType::String),
    ("int32", FieldType::Int32),
    ("int64", FieldType::Int64),
    ("number", FieldType::Number),
    ("bool", FieldType::Bool),
    ("quantity", FieldType::Quantity),
    ("int-or-string", FieldType::IntOrString),
    ("time", FieldType::Time),
    ("micro-time", FieldType::MicroTime),
    ("bytes", FieldType::Bytes),
    ("raw", FieldType::Raw),
];

type Types = Vec<TypeDef>;

pub(super) fn table(text: &str) -> Result<Schemas, String> {
    let mut prefixes = HashMap::new();
    let mut types = Types::new();
    let mut open: Option<TypeDef> = None;
    for (index, line) in text.lines().enumerate() {
        let at = |error: String| format!("line {}: {error}", index + 1);
        if let Some(field) = line.strip_prefix(' ') {
            let open = open.as_mut().ok_or_else(|| at("a field of no type".to_owned()))?;
            open.fields.push(self::field(field, &prefixes).map_err(at)?);
            continue;
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["prefix", alias, prefix] => {
                prefixes.insert(*alias, *prefix);
            }
            ["type", name, flags @ ..] => {
                close(open.take(), &mut types);
                let name = full_name(name, &prefixes).map_err(at)?;
                let (atomic, fields, filled) = (flags.contains(&"atomic"), Vec::new(), Vec::new());
                open = Some(TypeDef { name, atomic, fields, filled });
            }
            [] => {}
            [word, ..] if word.starts_with('#') => {}
            _ => return Err(at(format!("neither a prefix nor a type: {line}"))),
        }
    }
    close(open, &mut types);
    let mut names = HashMap::with_capacity(types.len());
    for (at, def) in types.iter().enumerate() {
        if names.insert(def.name.clone(), at).is_some() {
            return Err(format!("{} is defined twice", def.name));
        }
    }
    for def in &mut types {
        for field in &mut def.fields {
            place(&mut field.type_, &names)
                .map_err(|target| format!("{}.{}: no type {target}", def.name, field.name))?;
        }
    }
    Ok(Schemas { types, names })
}

fn close(open: Option<TypeDef>, types: &mut Types) {
    let Some(mut open) = open else { return };
    open.fields.sort_by(|one, other| one.name.cmp(&other.name));
    let filled = open.fields.iter().enumerate().filter(|(_, field)| field.default.is_some());
    open.filled = filled.map(|(at, _)| at).collect();
    types.push(open);
}

/// Tells the names in a type where their types are; the error is a name that has none.
fn place(type_: &mut FieldType, names: &HashMap<String, usize>) -> Result<(), String> {
    match type_ {
        FieldType::Ref(name) => {
            name.at = *names.get(&**name).ok_or_else(|| name.to_string())?;
            Ok(())
        }
        FieldType::List(element) | FieldType::Map(element) => place(element, names),
        _ => Ok(()),
    }
}

fn full_name(name: &str, prefixes: &HashMap<&str, &str>) -> Result<String, String> {
    let (alias, rest) = name.split_once(':').ok_or_else(|| format!("{name} has no prefix"))?;
    let prefix = prefixes.get(alias).ok_or_else(|| format!("no prefix {alias}"))?;
    Ok(format!("{prefix}{rest}"))
}

fn field_type(text: &str, prefixes: &HashMap<&str, &str>) -> Result<FieldType, String> {
    if let Some(element) = text.strip_prefix("[]") {
        return Ok(FieldType::List(Box::new(field_type(element, prefixes)?)));
    }
    if let Some(element) = text.strip_prefix("{}") {
        return Ok(FieldType::Map(Box::new(field_type(element, prefixes)?)));
    }
    match SCALARS.iter().find(|(name, _)| *name == text) {
        Some((_, scalar)) => Ok(scalar.clone()),
        None => full_name(text, prefixes).map(|name| FieldType::Ref(TypeName::from(name.as_str()))),
    }
}

fn field(line: &str, prefixes: &HashMap<&str, &str>) -> Result<Field, String> {
    let (line, default) = match line.split_once(" =") {
        Some((line, json)) => {
            (line, Some(serde_json::from_str(json).map_err(|error| format!("{json}: {error}"))?))
        }
        None => (line, None),
    };
    let mut words = line.split_ascii_whitespace();
    let (Some(name), Some(type_)) = (words.next(), words.next()) else {
        return Err(format!("a field needs a name and a type: {line}"));
    };
    let mut field = Field {
        name: name.trim_end_matches(['!', '?']).to_owned(),
        type_: field_type(type_, prefixes)?,
        required: name.ends_with('!'),
        omit_empty: name.trim_end_matches('!').ends_with('?'),
        default,
        list_type: None,
        map_keys: Vec::new(),
        atomic_map: false,
        patch: PatchStrategy::default(),
        merge_key: None,
    };
    for word in words {
        attribute(&mut field, word)?;
    }
    Ok(field)
}

fn attribute(field: &mut Field, word: &str) -> Result<(), String> {
    match word.split_once('=') {
        None if word == "atomic" => field.atomic_map = true,
        Some(("list", "atomic")) => field.list_type = Some(ListType::Atomic),
        Some(("list", "set")) => field.list_type = Some(ListType::Set),
        Some(("list", keys)) => {
            let keys = keys.strip_prefix("map:").ok_or_else(|| format!("no list type {keys}"))?;
            field.list_type = Some(ListType::Map);
            field.map_keys = keys.split(',').map(str::to_owned).collect();
        }
        Some(("patch", strategies)) => {
            for strategy in strategies.split(',') {
                match strategy {
                    "merge" => field.patch.merge = true,
                    "retainKeys" => field.patch.retain_keys = true,
                    "replace" => field.patch.replace = true,
                    other => return Err(format!("no patch strategy {other}")),
                }
            }
        }
        Some(("key", key)) => field.merge_key = Some(key.to_owned()),
        _ => return Err(format!("no attribute {word}")),
    }
    Ok(())
}
