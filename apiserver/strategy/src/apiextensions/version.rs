//! What holds for one version of a definition, or for all of them together: schema, subresources, columns, selectable
//! fields, deprecation.
//!
//! Refuses to know: other versions.

use std::collections::HashSet;

use leme_meta::structural::{self, Additional, Place, Structural, Type};
use leme_meta::{FieldError, Path};
use leme_registry::json;
use serde_json::Value;

use super::view::View;
use crate::check::{self, Errors};

/// Most fields of a version that can be selected by.
const MAX_SELECTABLE: usize = 8;

const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const FORMATS: [&str; 8] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

/// All that is wrong with the parts of versions.
pub(super) fn parts(view: &View, errors: &mut Errors) {
    let preserved = json::flag(view.spec, &["preserveUnknownFields"]);
    let mut defaults = false;
    for (version, path, schema) in view.parts("schema") {
        let Some(schema) = json::at(schema, &["openAPIV3Schema"]) else { continue };
        let place = Place { status: has_status(view, version) };
        let at = path.child("openAPIV3Schema");
        let wrong = structural::check(schema, &at, &place);
        // What rules see is told by a schema in which nothing is wrong.
        errors.extend(if wrong.is_empty() { leme_cel::check(schema, &at) } else { wrong });
        defaults |= preserved && has_default(&Structural::read(schema));
    }
    if defaults {
        let at = Path::new("spec").child("preserveUnknownFields");
        let why = "must be false in order to use defaults in the schema";
        errors.push(FieldError::invalid(&at, &Value::Bool(true), why));
    }
    for (_, path, subresources) in view.parts("subresources") {
        if let Some(scale) = json::at(subresources, &["scale"]) {
            scaled(scale, &path, errors);
        }
    }
    for (_, path, columns) in view.parts("additionalPrinterColumns") {
        for (index, stated) in json::list(columns, &[]).iter().enumerate() {
            column(stated, &path.index(index), errors);
        }
    }
    for (version, path, fields) in view.parts("selectableFields") {
        selectable(view, version, json::list(fields, &[]), &path, errors);
    }
}

fn has_default(schema: &Structural) -> bool {
    schema.default.is_some()
        || schema.properties.values().chain(schema.items.as_deref()).any(has_default)
        || matches!(&schema.additional, Some(Additional::Schema(schema)) if has_default(schema))
}

/// Whether a version's objects have a status of their own; without one, whether those of any have.
fn has_status(view: &View, version: Option<&Value>) -> bool {
    let has = |version: &Value| json::at(version, &["subresources", "status"]).is_some();
    version.map_or_else(|| view.versions.iter().any(has), has)
}

/// All that is wrong with what is said of a version that will go.
pub(super) fn deprecation(version: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("deprecationWarning");
    let Some(said) = json::at(version, &["deprecationWarning"]).and_then(Value::as_str) else {
        return;
    };
    let mut wrong = |why: &str| errors.push(FieldError::invalid(&at, said, why));
    if !json::flag(version, &["deprecated"]) {
        wrong("can only be set for deprecated versions");
        return;
    }
    if said.len() > 256 {
        wrong("must be <= 256 characters long");
    }
    if said.is_empty() {
        wrong("must not be an empty string");
    }
    let hidden = |c: &char| c.is_control() || (c.is_whitespace() && *c != ' ');
    if let Some((at, _)) = said.char_indices().find(|(_, c)| hidden(c)) {
        wrong(&format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {at}"
        ));
    }
}

fn scaled(scale: &Value, path: &Path, errors: &mut Errors) {
    for (field, below, required) in [
        ("specReplicasPath", &[".spec."][..], true),
        ("statusReplicasPath", &[".status."], true),
        ("labelSelectorPath", &[".spec.", ".status."], false),
    ] {
        let at = path.child("scale").child(field);
        let stated = json::text(scale, &[field]);
        if stated.is_empty() {
            if required {
                errors.push(FieldError::required(&at, ""));
            }
        } else if !simple(stated, &at, errors) || below.iter().any(|root| stated.starts_with(root))
        {
        } else {
            let why = match below {
                [only] => format!("should be a json path under {}", only.trim_end_matches('.')),
                _ => "should be a json path under either .spec or .status".to_owned(),
            };
            errors.push(FieldError::invalid(&at, stated, &why));
        }
    }
}

/// Whether a path begins as one.
fn simple(path: &str, at: &Path, errors: &mut Errors) -> bool {
    let fine = path.starts_with('.');
    if !fine {
        let why = "must be a simple json path starting with .";
        errors.push(FieldError::invalid(at, path, why));
    }
    fine
}

fn column(stated: &Value, path: &Path, errors: &mut Errors) {
    check::required(stated, "name", path, errors);
    let type_ = json::text(stated, &["type"]);
    let why = format!("must be one of {}", TYPES.join(","));
    if type_.is_empty() {
        errors.push(FieldError::required(&path.child("type"), &why));
    } else if !TYPES.contains(&type_) {
        errors.push(FieldError::invalid(&path.child("type"), type_, &why));
    }
    let format = json::text(stated, &["format"]);
    if !format.is_empty() && !FORMATS.contains(&format) {
        let why = format!("must be one of {}", FORMATS.join(","));
        errors.push(FieldError::invalid(&path.child("format"), format, &why));
    }
    let at = path.child("JSONPath");
    match json::text(stated, &["jsonPath"]) {
        "" => errors.push(FieldError::required(&at, "")),
        stated => drop(simple(stated, &at, errors)),
    }
}

fn selectable(
    view: &View,
    version: Option<&Value>,
    fields: &[Value],
    path: &Path,
    errors: &mut Errors,
) {
    let of = version.or(view.versions.first().filter(|_| view.common("schema")));
    let Some(schema) = of.and_then(|version| json::at(version, &["schema", "openAPIV3Schema"]))
    else {
        let why = match version {
            Some(_) => "may only be set when `version.schema.openAPIV3Schema` is not included",
            None => "may only be set when validations.schema is included",
        };
        errors.push(FieldError::invalid(path, "", why));
        return;
    };
    let schema = Structural::read(schema);
    let mut seen = HashSet::new();
    for (index, field) in fields.iter().enumerate() {
        let at = path.index(index).child("jsonPath");
        let stated = json::text(field, &["jsonPath"]);
        if stated.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        let found = match found(stated, &schema) {
            Ok(found) => found,
            Err(why) => {
                let why = format!("is an invalid path: {why}");
                errors.push(FieldError::invalid(&at, stated, &why));
                continue;
            }
        };
        if stated == ".metadata" || stated.starts_with(".metadata.") {
            errors.push(FieldError::invalid(&at, stated, "must not point to fields in metadata"));
        }
        if !matches!(found.type_, Type::String | Type::Boolean | Type::Integer) {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(FieldError::invalid(&at, stated, why));
        }
        if !seen.insert(stated) {
            errors.push(FieldError::duplicate(&at, stated));
        }
    }
    if seen.len() > MAX_SELECTABLE {
        errors.push(FieldError::too_many(path, seen.len(), MAX_SELECTABLE));
    }
}

/// The schema of what a path of fields leads to.
fn found<'a>(path: &str, schema: &'a Structural) -> Result<&'a Structural, String> {
    if path.contains('[') {
        return Err("array notation is not allowed".to_owned());
    }
    let Some(steps) = path.strip_prefix('.') else {
        let first = path.split('.').next().unwrap_or("");
        return Err(format!("expected [ or . but got: {first}"));
    };
    let mut schema = schema;
    for step in steps.split('.') {
        if step.is_empty() {
            return Err("unexpected end of JSON path".to_owned());
        }
        let known = if schema.properties.is_empty() {
            schema.property(step)
        } else {
            schema.properties.get(step)
        };
        schema = known.ok_or("does not refer to a valid field")?;
    }
    Ok(schema)
}
