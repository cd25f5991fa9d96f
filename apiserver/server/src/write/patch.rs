//! PATCH: a JSON patch, merge patch or strategic merge patch applied to whatever is stored at the moment of the write;
//! a configuration goes to `apply`.
//!
//! Knows: the media types, and that a patch is applied again when somebody was faster. Refuses to know: how patches
//! work, and which fields may change.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;
use leme_kinds::Kind;
use leme_meta::{FieldError, Gvk, Path, Status, decode, managed, patch};
use leme_registry::{Target, json};
use serde_json::Value;

use super::options::{PatchKind, Validation};
use super::update::shape_of;
use super::{Input, Stored, WriteOptions, create, target, written};
use crate::answer::Answer;
use crate::api::Api;
use crate::body;
use crate::request::ResourceRequest;
use crate::schema::{self, Mistyped, Shape};

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
/// What objects of built-in kinds take, those of defined ones, of which nothing says how strategic patches merge, and
/// views that are kept nowhere.
const MEDIA: &[&str] = &[JSON, MERGE, STRATEGIC, APPLY];
const MEDIA_OF_DEFINED: &[&str] = &[JSON, MERGE, APPLY];
const MEDIA_OF_VIEWS: &[&str] = &[JSON, MERGE, STRATEGIC];

/// What upstream's library says of a merge patch that is none.
const NO_PATCH: &str = "Invalid JSON Patch";

/// How the patch is to be read.
enum Patch {
    /// Kept as text: its operations have an order and rules of their own.
    Json(Bytes),
    Merge(Value),
    Strategic(Value),
}

impl Patch {
    /// Reads a patch, with what is odd about it. What is none is refused in the words of the decoder that meets it first.
    fn read(
        media: &str,
        bytes: Bytes,
        validation: Validation,
    ) -> Result<(Patch, Vec<String>), Status> {
        let strict = validation != Validation::Ignore;
        match media {
            JSON if strict => {
                let odd = patch::oddities(&bytes).map_err(|why| undecodable(&why))?;
                Ok((Patch::Json(bytes), odd))
            }
            JSON => Ok((Patch::Json(bytes), Vec::new())),
            STRATEGIC => {
                let document = decode::document(&bytes).map_err(Status::bad_request)?;
                Ok((Patch::Strategic(document.value), document.duplicates))
            }
            _ => {
                let document = match decode::document(&bytes) {
                    Ok(document) => document,
                    Err(why) if strict => return Err(undecodable(&why)),
                    Err(_) => return Err(Status::bad_request(NO_PATCH)),
                };
                match &document.value {
                    Value::Object(_) => {}
                    Value::Array(_) if !strict => {}
                    Value::Null => return Err(Status::bad_request(NO_PATCH)),
                    other if strict => return Err(undecodable(&patch::no_map(other))),
                    _ => return Err(Status::bad_request(NO_PATCH)),
                }
                Ok((Patch::Merge(document.value), document.duplicates))
            }
        }
    }

    fn apply(&self, request: &ResourceRequest, base: &Value) -> Result<Value, Status> {
        match self {
            Patch::Json(operations) if reaches_owners(operations) => {
                let mut base = base.clone();
                managed::show(&mut base);
                patch::json(&base, operations)
            }
            Patch::Json(operations) => patch::json(base, operations),
            Patch::Merge(changes) => Ok(patch::merge(base, changes)),
            Patch::Strategic(changes) => {
                patch::strategic(leme_kinds::schemas(), &request.kind.schema, base, changes)
            }
        }
    }
}

impl Patch {
    /// The patch as invalid by itself: shown is what it made, or of a strategic one what a client wrote.
    fn refused(&self, patched: &Value, why: &str) -> Status {
        let shown = match self {
            Patch::Json(_) | Patch::Merge(_) => shown(patched),
            Patch::Strategic(changes) => patch::shown(changes),
        };
        Status::invalid(
            &Gvk::default(),
            "",
            &[FieldError::invalid(&Path::new("patch"), &shown, why)],
        )
    }

    /// Whether what was made of an object of a defined kind still says that it is one.
    fn check_type(&self, kind: &Kind, patched: &Value) -> Result<(), Status> {
        if json::text(patched, &["kind"]).is_empty() {
            let why = format!("Object 'Kind' is missing in '{}'", shown(patched));
            return Err(self.refused(patched, &why));
        }
        leme_registry::check_custom_type(kind, patched)
    }

    /// The patch as one that gives something a wrong type.
    fn mistyped(&self, wrong: &Mistyped) -> Status {
        let why = match self {
            Patch::Json(_) | Patch::Merge(_) => &wrong.error.decoded,
            Patch::Strategic(_) => &wrong.error.converted,
        };
        self.refused(&wrong.value, why)
    }
}

/// What was made, as clients see it.
fn shown(patched: &Value) -> String {
    let mut patched = patched.clone();
    managed::show(&mut patched);
    patched.to_string()
}

/// Whether operations may look into the list of owners, or into what holds it: by its name, or escaped.
fn reaches_owners(operations: &[u8]) -> bool {
    let words: [&[u8]; 4] = [b"managedFields", b"\"/metadata\"", b"\"\"", b"\\"];
    words.iter().any(|word| operations.windows(word.len()).any(|part| part == *word))
}

/// The media type of a patch, of those that are taken.
fn media(headers: &HeaderMap, taken: &[&'static str]) -> Result<&'static str, Status> {
    let said = body::media_type(headers);
    taken.iter().copied().find(|media| *media == said).ok_or_else(|| {
        Status::unsupported_media_type(format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            taken.join(", ")
        ))
    })
}

fn undecodable(why: &str) -> Status {
    Status::bad_request(format!("error decoding patch: {why}"))
}

impl Api {
    /// PATCH of an object or a subresource.
    pub(crate) async fn patch(
        &self,
        request: &ResourceRequest,
        input: Input,
    ) -> Result<Answer, Status> {
        let defined = request.kind.custom.is_some();
        let media = media(&input.headers, if defined { MEDIA_OF_DEFINED } else { MEDIA })?;
        let kind = if media == APPLY { PatchKind::Apply } else { PatchKind::Change };
        let options = WriteOptions::of_patch(request, &input.headers, kind)?;
        if kind == PatchKind::Apply {
            return self.apply(request, input, &options).await;
        }
        let target = target(request);
        let (patch, odd) = Patch::read(media, input.body, options.validation)?;
        let context = self.context(request, &options);
        let (mut warnings, mut told) = (Vec::new(), Vec::new());
        let changed = self
            .change(request, options.dry_run, |stored, reservation| {
                let current = base(request, target, stored)?;
                let patched = patch.apply(request, &current)?;
                let (kind, shape) = shape_of(request, target);
                if let Shape::Defined(_) = shape {
                    patch.check_type(kind, &patched)?;
                }
                let checked =
                    schema::check(kind, shape, patched).map_err(|wrong| patch.mistyped(&wrong))?;
                warnings = options
                    .met(odd.iter().cloned().chain(checked.problems).collect())
                    .map_err(|error| patch.refused(&checked.value, &error))?;
                let patched = create::kept(request, target, checked.value)?;
                let write = leme_registry::patched(
                    &context,
                    target,
                    options.writer(),
                    patched,
                    (&stored.value, stored.revision),
                    reservation,
                )?;
                told = self.warnings_about(request, target, &write, &stored.value);
                Ok(write.into())
            })
            .await?
            .ok_or_else(|| Status::not_found(&request.gvr(), &request.name))?;
        let object = self.shown_target(request, target, changed)?;
        warnings.extend(told);
        written(request, input.wanted, 200, object, &warnings)
    }
}

/// A patch of what is no stored object.
pub(crate) struct OfView {
    patch: Patch,
    odd: Vec<String>,
    options: WriteOptions,
}

impl OfView {
    /// Reads the patch of a request.
    pub fn read(
        headers: &HeaderMap,
        body: Bytes,
        options: &WriteOptions,
    ) -> Result<OfView, Status> {
        let media = media(headers, MEDIA_OF_VIEWS)?;
        let (patch, odd) = Patch::read(media, body, options.validation)?;
        Ok(OfView { patch, odd, options: options.clone() })
    }

    /// Makes of what is there what shall be, with warnings.
    pub fn apply(
        &self,
        request: &ResourceRequest,
        base: &Value,
    ) -> Result<(Value, Vec<String>), Status> {
        let patched = self.patch.apply(request, base)?;
        let checked = schema::check(&request.kind, Shape::of(&request.kind), patched)
            .map_err(|wrong| self.patch.mistyped(&wrong))?;
        let odd = self.odd.iter().cloned().chain(checked.problems).collect();
        let refused = |error: String| self.patch.refused(&checked.value, &error);
        let warnings = self.options.met(odd).map_err(refused)?;
        Ok((checked.value, warnings))
    }
}

/// What the patch is applied to.
fn base<'a>(
    request: &ResourceRequest,
    target: Target,
    stored: &'a Stored,
) -> Result<Cow<'a, Value>, Status> {
    match (target, request.strategy().scale) {
        (Target::Scale, Some(scale)) => {
            leme_registry::scale_shown(&request.kind, &scale, &stored.value).map(Cow::Owned)
        }
        (Target::Scale, None) => Err(Status::no_such_path()),
        _ if !request.kept.is_view() => Ok(Cow::Borrowed(&stored.value)),
        _ => Ok(Cow::Owned(request.kept.to_served(stored.value.clone()))),
    }
}
