//! What a write's query asks for besides the write: dry run, how unknown fields are met, who comes to own what it writes.
//!
//! Knows: those parameters, and the decoding of bodies under them. Refuses to know: what the write does.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use leme_kinds::Kind;
use leme_meta::gvk::split_api_version;
use leme_meta::quote;
use leme_meta::{FieldError, Gvk, Path, Status, decode, managed};
use leme_registry::{Writer, json};
use serde_json::Value;

use crate::request::{ResourceRequest, Verb};
use crate::schema::{self, Shape};
use crate::{body, yaml};

/// How fields that the schema does not have are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validation {
    Ignore,
    Warn,
    Strict,
}

/// What a write's query asks for besides the write.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    pub dry_run: bool,
    pub validation: Validation,
    /// Who comes to own what is written.
    pub manager: String,
    /// Whether an apply takes fields from others.
    pub force: bool,
}

/// What a PATCH is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    /// A configuration to apply.
    Apply,
    /// Anything else.
    Change,
}

impl WriteOptions {
    /// A write of the server itself.
    pub fn plain() -> WriteOptions {
        WriteOptions {
            dry_run: false,
            validation: Validation::Ignore,
            manager: "kube-apiserver".to_owned(),
            force: false,
        }
    }

    /// Who writes, for what is no apply.
    pub fn writer(&self) -> Writer<'_> {
        Writer::Manager(&self.manager)
    }

    /// Reads the query of a create or an update. Of what is wrong with it, all is told.
    pub fn of(request: &ResourceRequest, headers: &HeaderMap) -> Result<WriteOptions, Status> {
        let kind = match request.verb {
            Verb::Create => "CreateOptions",
            _ => "UpdateOptions",
        };
        WriteOptions::read(request, headers, kind, Vec::new())
    }

    /// The same of a PATCH.
    pub fn of_patch(
        request: &ResourceRequest,
        headers: &HeaderMap,
        patch: PatchKind,
    ) -> Result<WriteOptions, Status> {
        let mut errors = Vec::new();
        let unnamed = request.query.get("fieldManager").is_none();
        match patch {
            PatchKind::Apply if unnamed => {
                let path = Path::new("fieldManager");
                errors.push(FieldError::required(&path, "is required for apply patch"));
            }
            PatchKind::Change if request.query.has("force") => {
                let why = "may not be specified for non-apply patch";
                errors.push(FieldError::forbidden(&Path::new("force"), why));
            }
            _ => {}
        }
        WriteOptions::read(request, headers, "PatchOptions", errors)
    }

    fn read(
        request: &ResourceRequest,
        headers: &HeaderMap,
        kind: &str,
        mut errors: Vec<FieldError>,
    ) -> Result<WriteOptions, Status> {
        let manager = request.query.get("fieldManager").unwrap_or("");
        errors.extend(managed::check_manager(manager, &Path::new("fieldManager")));
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
            let agent = headers.get(http::header::USER_AGENT).map(HeaderValue::as_bytes);
            let agent = String::from_utf8_lossy(agent.unwrap_or_default());
            let manager = managed::manager_of(manager, &agent);
            let force = request.query.flag("force");
            return Ok(WriteOptions { dry_run, validation, manager, force });
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

/// A body decoded, with the warnings about it.
pub(crate) struct Decoded {
    pub value: Value,
    pub warnings: Vec<String>,
}

/// Decodes an object of a kind from a request body.
pub(crate) fn object(
    kind: &Kind,
    headers: &HeaderMap,
    bytes: Bytes,
    options: &WriteOptions,
) -> Result<Decoded, Status> {
    shaped(kind, Shape::of(kind), headers, bytes, options)
}

/// The same of a body that has another shape than the kind.
pub(crate) fn shaped(
    kind: &Kind,
    shape: Shape<'_>,
    headers: &HeaderMap,
    bytes: Bytes,
    options: &WriteOptions,
) -> Result<Decoded, Status> {
    let media_type = body::media_type(headers);
    // What YAML says twice is not twice in the JSON that is made of it.
    let twice = match options.validation {
        Validation::Warn | Validation::Strict if media_type == body::YAML => yaml::doubled(&bytes),
        _ => Vec::new(),
    };
    let unrecognized = |error: Status| match error.code {
        400 => decode::unrecognized(&kind.kind, &error, &bytes),
        _ => error,
    };
    let json = body::to_json(&media_type, bytes.clone()).map_err(unrecognized)?;
    let (value, mut problems) = parsed(&json).map_err(unrecognized)?;
    if let Shape::Defined(_) = shape {
        check_said(kind, &value, (&bytes, &json), options.validation)?;
    }
    match options.validation {
        Validation::Strict if !twice.is_empty() => problems.insert(0, yaml::error(&twice)),
        _ => problems.splice(0..0, twice).for_each(drop),
    }
    let checked = schema::check(kind, shape, value).map_err(|wrong| wrong.refused(kind))?;
    problems.extend(checked.problems);
    let warnings = options.met(problems).map_err(|error| {
        let Kind { kind, version, .. } = kind;
        Status::bad_request(format!(
            "{kind} in version {version} cannot be handled as a {kind}: {error}",
            version = quote(&version)
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
    let mut decoded = object(kind, headers, bytes, options)?;
    leme_registry::check_type(kind, &decoded.value)?;
    json::set(&mut decoded.value, "kind", &*kind.kind);
    json::set(&mut decoded.value, "apiVersion", kind.api_version());
    Ok(decoded)
}

/// The 400 for an object of a defined kind that does not say what it is: its URL does not say it in its place. Which
/// decoder of upstream's meets it first is the validation's to say.
fn check_said(
    kind: &Kind,
    value: &Value,
    (sent, json): (&[u8], &[u8]),
    validation: Validation,
) -> Result<(), Status> {
    if !json::text(value, &["kind"]).is_empty() {
        return Ok(());
    }
    let missing =
        |text: &[u8]| format!("Object 'Kind' is missing in '{}'", String::from_utf8_lossy(text));
    if validation != Validation::Ignore {
        let error = Status::bad_request(missing(sent));
        return Err(decode::unrecognized(&kind.kind, &error, sent));
    }
    let version = match json::text(value, &["apiVersion"]) {
        "" => &*kind.version,
        said => split_api_version(said).1,
    };
    let (kind, why) = (&kind.kind, missing(json.trim_ascii()));
    Err(Status::bad_request(format!(
        "{kind} in version {version} cannot be handled as a {kind}: {why}",
        version = quote(&version)
    )))
}

/// JSON as a value, with its doubled fields. Size is bounded by the body's limit, depth by the decoder.
pub(crate) fn parsed(json: &[u8]) -> Result<(Value, Vec<String>), Status> {
    let document = decode::json(json)?;
    Ok((document.value, document.duplicates))
}
