//! Bodies held against the schema of their kind: what has the wrong type is refused, unknown fields are named and
//! dropped.
//!
//! Knows: which schema a kind has. Refuses to know: how the walk is done.

use leme_kinds::custom::Custom;
use leme_kinds::{Kind, Storage};
use leme_meta::quote;
use leme_meta::schema::TypeError;
use leme_meta::{Status, schema};
use leme_registry::json;
use serde_json::Value;

/// A body without what its schema does not have, and what was said about it.
pub(crate) struct Checked {
    pub value: Value,
    pub problems: Vec<String>,
}

/// A body with a value of the wrong type, as it came.
pub(crate) struct Mistyped {
    pub value: Value,
    pub error: TypeError,
}

impl Mistyped {
    /// The 400 for a request's own body.
    pub fn refused(&self, Kind { kind, version, .. }: &Kind) -> Status {
        Status::bad_request(format!(
            "{kind} in version {version} cannot be handled as a {kind}: {}",
            self.error.decoded,
            version = quote(&version)
        ))
    }
}

/// What a body is held against.
#[derive(Clone, Copy)]
pub(crate) enum Shape<'a> {
    /// A type of the field table.
    Type(&'a str),
    /// What a definition says of its objects.
    Defined(&'a Custom),
    /// Nothing: it is read by whoever knows it.
    Any,
}

impl<'a> Shape<'a> {
    /// The shape of a kind's objects.
    pub fn of(kind: &'a Kind) -> Shape<'a> {
        kind.custom.as_ref().map_or(Shape::Type(&kind.schema), Shape::Defined)
    }
}

/// Holds a body against its shape.
pub(crate) fn check(
    kind: &Kind,
    shape: Shape<'_>,
    mut value: Value,
) -> Result<Checked, Box<Mistyped>> {
    // A body of another kind is refused by the registry, for being that and not for its fields.
    if matches!(kind.storage, Storage::As(..))
        && let Some(view) = leme_strategy::view(kind)
    {
        (view.sent)(&mut value);
    }
    let claimed = json::text(&value, &["kind"]);
    let other = !(claimed.is_empty() || claimed == kind.kind);
    let name = match shape {
        _ if other => return Ok(Checked { value, problems: Vec::new() }),
        Shape::Type(name) => name,
        Shape::Defined(custom) => return defined(custom, value),
        Shape::Any => return Ok(Checked { value, problems: Vec::new() }),
    };
    let schemas = leme_kinds::schemas();
    let findings = schema::check(schemas, name, &value);
    if let Some(error) = findings.type_errors.into_iter().next() {
        return Err(Box::new(Mistyped { value, error }));
    }
    // Nulls, and quantities that are not canonical, go even where no field is unknown.
    if findings.loose {
        schema::prune(schemas, name, &mut value);
    }
    Ok(Checked { value, problems: findings.unknown })
}

fn defined(custom: &Custom, mut value: Value) -> Result<Checked, Box<Mistyped>> {
    match custom.shape(&mut value) {
        Ok(problems) => Ok(Checked { value, problems }),
        Err(why) => {
            let error = TypeError { decoded: why.clone(), converted: why };
            Err(Box::new(Mistyped { value, error }))
        }
    }
}
