//! What is asked by a path below an object in a kind of its own.
//!
//! Knows: the body of such a request. Refuses to know: what it asks for.

use leme_meta::Status;
use leme_meta::quote;
use leme_registry::json;
use serde_json::Value;

use crate::request::ResourceRequest;
use crate::schema::Shape;
use crate::write::options::{self, Decoded};
use crate::write::{Input, WriteOptions};

/// The body of a request, of the kind that its subresource speaks; it says no other, and names the object of the path.
pub(super) fn decoded(
    request: &ResourceRequest,
    input: &Input,
    options: &WriteOptions,
    named_by: &[&str],
) -> Result<Decoded, Status> {
    let row = &request.kind;
    let kind = request.subresource.and_then(|sub| sub.kind(row)).unwrap_or(&row.kind);
    let package = row.schema.strip_suffix(&*row.kind).unwrap_or("");
    let schema = format!("{package}{kind}");
    let decoded =
        options::shaped(row, Shape::Type(&schema), &input.headers, input.body.clone(), options)?;
    let said = json::text(&decoded.value, &["kind"]);
    let version = json::text(&decoded.value, &["apiVersion"]);
    if !said.is_empty() && said != kind || !version.is_empty() && version != row.api_version() {
        return Err(Status::bad_request(format!(
            "{said} in version {version} cannot be handled as a {kind}: it is of another kind or version",
            version = quote(&version)
        )));
    }
    let name = json::text(&decoded.value, named_by);
    if !name.is_empty() && name != request.name {
        let own = &request.name;
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({own})"
        )));
    }
    Ok(decoded)
}

/// Whether a text field at a path is absent or empty.
pub(super) fn is_unset(value: &Value, path: &[&str]) -> bool {
    json::text(value, path).is_empty()
}
