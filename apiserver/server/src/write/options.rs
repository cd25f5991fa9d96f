//! What a write's query asks for besides the write: dry run, how unknown fields are met.
//!
//! Knows: those parameters, and the decoding of bodies under them. Refuses to know: what the write does.

use bytes::Bytes;
use http::HeaderMap;
use leme_kinds::Kind;
use leme_meta::{FieldError, Gvk, Path, Status, decode};
use leme_registry::json;
use serde_json::Value;

use crate::body;
use crate::request::{ResourceRequest, Verb};
use crate::schema::{self, Shape};

/// How fields that the schema does not have are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validation {
    Ignore,
    Warn,
    Strict,
}

/// What a write's query asks for besides the write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteOptions {
    pub dry_run: bool,
    pub validation: Validation,
}

impl WriteOptions {
    /// A write of the server itself.
    pub fn plain() -> WriteOptions {
        WriteOptions { dry_run: false, validation: Validation::Ignore }
    }

    /// Reads the query. Of what is wrong with it, all is told.
    pub fn of(request: &ResourceRequest) -> Result<WriteOptions, Status> {
        let kind = match request.verb {
            Verb::Create => "CreateOptions",
            Verb::Patch => "PatchOptions",
            _ => "UpdateOptions",
        };
        let mut errors = Vec::new();
        manager(request.query.get("fieldManager").unwrap_or(""), &mut errors);
        let mut dry_run = false;
        for value in request.query.all("dryRun") {
            if value != "All" {
                errors.push(FieldError::not_supported(&Path::new("dryRun"), value, &["All"]));
            }
            dry_run = true;
        }
        let validation = match request.query.get("fieldValidation") {
            Some("Ignore") => Validation::Ignore,
            Some("Strict") => Validation::Strict,
            None | Some("" | "Warn") => Validation::Warn,
            Some(other) => {
                let known = ["", "Ignore", "Strict", "Warn"];
                errors.push(FieldError::not_supported(
                    &Path::new("fieldValidation"),
                    other,
                    &known,
                ));
                Validation::Warn
            }
        };
        if errors.is_empty() {
            return Ok(WriteOptions { dry_run, validation });
        }
        let kind = Gvk {
            group: "meta.k8s.io".to_owned(),
            version: "v1".to_owned(),
            kind: kind.to_owned(),
        };
        Err(Status::invalid(&kind, "", &errors))
    }

    /// Applies the mode to what is unknown or doubled: an error for the caller to put in its words, warnings, or nothing.
    pub fn met(&self, problems: Vec<String>) -> Result<Vec<String>, String> {
        match self.validation {
            _ if problems.is_empty() => Ok(Vec::new()),
            Validation::Ignore => Ok(Vec::new()),
            Validation::Warn => Ok(problems),
            Validation::Strict => Err(format!("strict decoding error: {}", problems.join(", "))),
        }
    }
}

/// Longest name of who manages fields.
const MAX_MANAGER: usize = 128;

/// Checks who says to manage fields, although nobody's are kept apart.
fn manager(name: &str, errors: &mut Vec<FieldError>) {
    let path = Path::new("fieldManager");
    if name.len() > MAX_MANAGER {
        errors.push(FieldError::too_long(&path, MAX_MANAGER));
    }
    let blank = |letter: char| letter.is_control() || letter.is_whitespace() && letter != ' ';
    for (at, letter) in name.char_indices().filter(|(_, letter)| blank(*letter)) {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(letter));
        errors.push(FieldError::invalid(&path, name, &why));
    }
}

/// A body decoded, with the warnings about it.
pub(crate) struct Decoded {
    pub value: Value,
    pub warnings: Vec<String>,
}

/// Decodes an object of a kind from a request body.
pub(crate) fn object(
    kind: &Kind,
    shape: Shape<'_>,
    headers: &HeaderMap,
    bytes: Bytes,
    options: &WriteOptions,
) -> Result<Decoded, Status> {
    let json = body::to_json(&body::media_type(headers), bytes)?;
    let (value, mut problems) =
        parsed(&json).map_err(|error| decode::unrecognized(&kind.kind, &error, &json))?;
    let checked = schema::check(kind, shape, value).map_err(|wrong| wrong.refused(kind))?;
    problems.extend(checked.problems);
    let warnings = options.met(problems).map_err(|error| {
        let Kind { kind, version, .. } = kind;
        Status::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: {error}"
        ))
    })?;
    Ok(Decoded { value: checked.value, warnings })
}

/// The same for a kind of which no object is kept: one that says what it is, for the answer is made of it.
pub(crate) fn question(
    kind: &Kind,
    headers: &HeaderMap,
    bytes: Bytes,
    options: &WriteOptions,
) -> Result<Decoded, Status> {
    let mut decoded = object(kind, Shape::of(kind), headers, bytes, options)?;
    leme_registry::check_type(kind, &decoded.value)?;
    json::set(&mut decoded.value, "kind", &*kind.kind);
    json::set(&mut decoded.value, "apiVersion", kind.api_version());
    Ok(decoded)
}

/// JSON as a value, with its doubled fields. Size is bounded by the body's limit, depth by the decoder.
pub(crate) fn parsed(json: &[u8]) -> Result<(Value, Vec<String>), Status> {
    let document = decode::json(json)?;
    Ok((document.value, document.duplicates))
}
