//! What the schema of a defined kind adds to the write path.
//!
//! Knows: which of its checks a write goes through, and where its scale stands. Refuses to know: what the schema says,
//! and any definition.

use leme_kinds::Kind;
use leme_kinds::custom::{Custom, ScalePaths};
use leme_meta::field::{FieldErrorKind, Shown};
use leme_meta::quote;
use leme_meta::structural::{self, GoJson, Old};
use leme_meta::{FieldError, Path, Status};
use serde_json::{Value, json};

use crate::{Context, json as read};
use crate::{meta, opaque};

/// Drops what the schema does not know from a body, and nulls that stand for nothing.
pub(crate) fn decode(ctx: &Context, body: &mut Value) -> Result<(), Status> {
    let Some(custom) = &ctx.kind.custom else {
        opaque::drop_nulls(ctx.kind, body);
        return Ok(());
    };
    if let Some(metadata) = body.get_mut("metadata") {
        read::drop_nulls(metadata);
    }
    match custom.shape(body) {
        Ok(_) => Ok(()),
        Err(why) => {
            let (kind, version) = (&ctx.kind.kind, &ctx.kind.version);
            let why = format!(
                "{kind} in version {version} cannot be handled as a {kind}: {why}",
                version = quote(&version)
            );
            Err(Status::bad_request(why))
        }
    }
}

/// Fills in the defaults of the schema.
pub(crate) fn complete(ctx: &Context, new: &mut Value) {
    if let Some(schema) = ctx.kind.structural() {
        schema.complete(new);
    }
}

/// All that is wrong with an object by its schema; what an update leaves alone may stay as it is.
pub(crate) fn validate(ctx: &Context, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let Some(custom) = &ctx.kind.custom else { return Vec::new() };
    let schema = &*custom.structural;
    let root = Path::default();
    let before = old.map(|value| Old { value, schema });
    let mut errors = structural::validate(schema, new, before, &root);
    errors.extend(scale_spec(custom, new));
    errors.extend(scale_status(custom, new));
    errors.extend(embedded(custom, new));
    errors.extend(unique(custom, new, old));
    errors.extend(by_rules(custom, new, old, &errors));
    errors
}

/// What rules say of an object whose shape they can rely on.
fn by_rules(
    custom: &Custom,
    new: &Value,
    old: Option<&Value>,
    errors: &[FieldError],
) -> Vec<FieldError> {
    let Some(rules) = &custom.rules else { return Vec::new() };
    let blocks = |error: &FieldError| {
        matches!(
            error.kind,
            FieldErrorKind::NotSupported
                | FieldErrorKind::Required
                | FieldErrorKind::TooLong
                | FieldErrorKind::TooMany
                | FieldErrorKind::TypeInvalid
        )
    };
    if errors.iter().any(blocks) {
        let why = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
        return vec![FieldError::invalid(&Path::new("<nil>"), "null", why)];
    }
    rules.validate(new, old)
}

/// The same for a change of status.
pub(crate) fn validate_status(ctx: &Context, new: &Value, old: &Value) -> Vec<FieldError> {
    let Some(custom) = &ctx.kind.custom else { return Vec::new() };
    let mut errors = Vec::new();
    let schema = custom.structural.properties.get("status");
    if let (Some(schema), Some(status)) = (schema, new.get("status")) {
        let before = old.get("status").map(|value| Old { value, schema });
        errors.extend(structural::validate(schema, status, before, &Path::new("status")));
    }
    errors.extend(scale_status(custom, new));
    errors.extend(unique(custom, new, Some(old)));
    errors.extend(by_rules(custom, new, Some(old), &errors));
    errors
}

/// Elements that are there twice, unless they were before.
fn unique(custom: &Custom, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let twice = |object| structural::unique(&custom.structural, object, &Path::default());
    let errors = twice(new);
    let before = old.filter(|_| !errors.is_empty()).is_some_and(|old| !twice(old).is_empty());
    if before { Vec::new() } else { errors }
}

/// What is wrong with the objects inside an object.
fn embedded(custom: &Custom, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if custom.embeds {
        let schema = &custom.structural;
        schema.embedded_in(&Path::default(), &mut object.clone(), &mut |path, inner| {
            errors.extend(structural::type_meta(path, inner));
            errors.extend(meta::common(inner, &path.child("metadata"), false));
        });
    }
    errors
}

fn scale_spec(custom: &Custom, object: &Value) -> Option<FieldError> {
    count(object, &custom.scale.as_ref()?.spec)
}

fn scale_status(custom: &Custom, object: &Value) -> Vec<FieldError> {
    let Some(scale) = &custom.scale else { return Vec::new() };
    let mut errors = Vec::from_iter(count(object, &scale.status));
    if let Some(path) = &scale.selector {
        let wrong = nested(object, path, "string", Value::is_string).err();
        errors.extend(wrong.map(|why| FieldError::invalid(&at(path), "", &why)));
    }
    errors
}

/// What is wrong with a number of replicas.
fn count(object: &Value, path: &[String]) -> Option<FieldError> {
    let found = match nested(object, path, "int64", Value::is_i64) {
        Ok(found) => found.and_then(Value::as_i64).unwrap_or(0),
        Err(why) => return Some(FieldError::invalid(&at(path), 0, &why)),
    };
    let why = match found {
        ..0 => "should be a non-negative integer".to_owned(),
        found if found > i64::from(i32::MAX) => {
            format!("should be less than or equal to {}", i32::MAX)
        }
        _ => return None,
    };
    Some(FieldError::invalid(&at(path), found, &why))
}

fn at(path: &[String]) -> Path {
    Path::new(&format!(".{}", path.join(".")))
}

/// What a path leads to, which must be of a type.
fn nested<'a>(
    object: &'a Value,
    path: &[String],
    wanted: &str,
    fits: fn(&Value) -> bool,
) -> Result<Option<&'a Value>, String> {
    let mut value = object;
    for (depth, step) in path.iter().enumerate() {
        let Some(map) = value.as_object() else {
            return Err(accessor(&path[..depth + 1], value, "map[string]interface{}"));
        };
        match map.get(step) {
            Some(next) => value = next,
            None => return Ok(None),
        }
    }
    if fits(value) { Ok(Some(value)) } else { Err(accessor(path, value, wanted)) }
}

/// What upstream's readers of nested fields say of a value of another type.
fn accessor(path: &[String], value: &Value, wanted: &str) -> String {
    let (shown, type_) = match value {
        Value::Null => ("<nil>".to_owned(), "<nil>"),
        Value::Bool(flag) => (flag.to_string(), "bool"),
        Value::Number(number) if number.is_i64() => (number.to_string(), "int64"),
        Value::Number(_) => (GoJson(value).shown(), "float64"),
        Value::String(text) => (text.clone(), "string"),
        Value::Array(_) => (value.to_string(), "[]interface {}"),
        Value::Object(_) => (value.to_string(), "map[string]interface {}"),
    };
    format!(".{} accessor error: {shown} is of the type {type_}, expected {wanted}", path.join("."))
}

/// The status, selector and replicas of a Scale document.
pub(crate) fn scale_of(paths: &ScalePaths, stored: &Value) -> Result<(Value, Value), Status> {
    let replicas = |path| -> Result<Option<i64>, Status> {
        let found = nested(stored, path, "int64", Value::is_i64).map_err(Status::internal)?;
        Ok(found.and_then(Value::as_i64))
    };
    let Some(wanted) = replicas(&paths.spec)? else {
        let path = at(&paths.spec).to_string();
        let why = format!("the spec replicas field {path} does not exist", path = quote(&path));
        return Err(Status::internal(why));
    };
    let mut status = json!({ "replicas": replicas(&paths.status)?.unwrap_or(0) });
    if let Some(path) = &paths.selector {
        let selector =
            nested(stored, path, "string", Value::is_string).map_err(Status::internal)?;
        if let Some(selector) = selector.filter(|selector| *selector != "") {
            status["selector"] = selector.clone();
        }
    }
    let spec = if wanted == 0 { json!({}) } else { json!({ "replicas": wanted }) };
    Ok((spec, status))
}

/// Sets the replicas of an object.
pub(crate) fn set_replicas(paths: &ScalePaths, object: &mut Value, replicas: i64) {
    let mut value = object;
    if let Some((last, steps)) = paths.spec.split_last() {
        for step in steps {
            value = read::child(value, step);
        }
        read::set(value, last, replicas);
    }
}

/// The 422 of an object that says it is of another kind or version, or of none.
pub fn check_type(row: &Kind, object: &Value) -> Result<(), Status> {
    let mut errors = Vec::new();
    for (field, wanted) in [("kind", row.kind.to_string()), ("apiVersion", row.api_version())] {
        let said = read::text(object, &[field]);
        if said != wanted {
            errors.push(FieldError::invalid(&Path::new(field), said, &format!("must be {wanted}")));
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&row.gvk(), read::text(object, &["metadata", "name"]), &errors))
}
