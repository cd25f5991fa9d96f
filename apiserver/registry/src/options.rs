//! What a client asks of a delete.
//!
//! Knows: `metav1.DeleteOptions`, as a body and as query parameters. Refuses to know: what is deleted.

use leme_meta::quote;
use leme_meta::{FieldError, Gvk, Path, Status, query};
use serde_json::Value;

use crate::json;

/// What becomes of the objects that name the deleted one as owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// The client did not say: finalizers present, then the kind's habit, decide.
    #[default]
    Unset,
    /// Dependents go after the owner.
    Background,
    /// Dependents go first.
    Foreground,
    /// Dependents stay.
    Orphan,
}

/// What a client asks of a delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds of grace; 0 deletes at once.
    pub grace_period_seconds: Option<i64>,
    /// The uid that the object must have.
    pub uid: Option<String>,
    /// The resourceVersion that the object must have.
    pub resource_version: Option<String>,
    /// What becomes of dependents.
    pub propagation: Propagation,
    /// Whether nothing shall be stored.
    pub dry_run: bool,
    /// Whether an object that cannot be read shall be removed unseen.
    pub ignore_read_error: bool,
}

impl DeleteOptions {
    /// The options of a request body (`DeleteOptions`, or anything with its fields).
    pub fn from_json(body: &Value) -> Result<DeleteOptions, Status> {
        if !body.is_object() && !body.is_null() {
            return Err(Status::bad_request("DeleteOptions must be an object"));
        }
        let kind = json::text(body, &["kind"]);
        if !matches!(kind, "" | "DeleteOptions") {
            return Err(Status::bad_request(format!(
                "DeleteOptions expected, got kind {kind}",
                kind = quote(&kind)
            )));
        }
        let mut raw = Raw {
            policy: json::at(body, &["propagationPolicy"]).map(text_of).transpose()?,
            orphan: json::at(body, &["orphanDependents"]).and_then(Value::as_bool),
            options: DeleteOptions::default(),
        };
        if let Some(grace) = json::at(body, &["gracePeriodSeconds"]) {
            let grace = grace.as_i64().ok_or_else(|| {
                Status::bad_request("DeleteOptions.gracePeriodSeconds must be a whole number")
            })?;
            raw.options.grace_period_seconds = Some(grace);
        }
        raw.options.uid = json::at(body, &["preconditions", "uid"]).map(text_of).transpose()?;
        raw.options.resource_version =
            json::at(body, &["preconditions", "resourceVersion"]).map(text_of).transpose()?;
        raw.options.ignore_read_error =
            json::at(body, &[IGNORE_READ_ERROR]).and_then(Value::as_bool).unwrap_or(false);
        let dry_run = json::list(body, &["dryRun"]);
        raw.options.dry_run = dry_run_of(dry_run.iter().filter_map(Value::as_str))?;
        raw.checked()
    }

    /// The options of a request without a body.
    pub fn from_query<'q>(
        parameters: impl IntoIterator<Item = (&'q str, &'q str)>,
    ) -> Result<DeleteOptions, Status> {
        let mut raw = Raw { policy: None, orphan: None, options: DeleteOptions::default() };
        let mut dry_run = Vec::new();
        for (key, value) in parameters {
            match key {
                "gracePeriodSeconds" => {
                    let grace = query::int(value).map_err(Status::bad_request)?;
                    raw.options.grace_period_seconds = Some(grace);
                }
                "propagationPolicy" => raw.policy = Some(value.to_owned()),
                "orphanDependents" => raw.orphan = Some(query::flag(value)),
                "dryRun" => dry_run.push(value),
                IGNORE_READ_ERROR => {
                    raw.options.ignore_read_error = query::flag(value);
                }
                _ => {}
            }
        }
        raw.options.dry_run = dry_run_of(dry_run.into_iter())?;
        raw.checked()
    }
}

/// The option that removes what cannot be read.
const IGNORE_READ_ERROR: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";

struct Raw {
    policy: Option<String>,
    orphan: Option<bool>,
    options: DeleteOptions,
}

impl Raw {
    fn checked(self) -> Result<DeleteOptions, Status> {
        let path = Path::new("propagationPolicy");
        self.check_unsafe()?;
        let mut options = self.options;
        options.propagation = match (self.policy.as_deref(), self.orphan) {
            (Some(_), Some(_)) => {
                let detail = "orphanDependents and deletionPropagation cannot be both set";
                return Err(refused(&[FieldError::invalid(&path, "", detail)]));
            }
            (Some("Background"), None) | (None, Some(false)) => Propagation::Background,
            (Some("Foreground"), None) => Propagation::Foreground,
            (Some("Orphan"), None) | (None, Some(true)) => Propagation::Orphan,
            (None, None) => Propagation::Unset,
            (Some(other), None) => {
                let known = ["Foreground", "Background", "Orphan", "nil"];
                return Err(refused(&[FieldError::not_supported(&path, other, &known)]));
            }
        };
        Ok(options)
    }
}

impl Raw {
    /// An unsafe deletion looks at nothing, so nothing can be asked of it.
    fn check_unsafe(&self) -> Result<(), Status> {
        let options = &self.options;
        let others = [
            (".dryRun", options.dry_run),
            (".propagationPolicy", self.policy.is_some()),
            (".orphanDependents", self.orphan.is_some()),
            (".gracePeriodSeconds", options.grace_period_seconds.is_some()),
            (".preconditions", options.uid.is_some() || options.resource_version.is_some()),
        ];
        let path = Path::new(IGNORE_READ_ERROR);
        let wrong = |name: &str| {
            FieldError::invalid(
                &path,
                &Value::Bool(true),
                &format!("cannot be set together with {name}"),
            )
        };
        let set = others.iter().filter(|(_, set)| *set && options.ignore_read_error);
        let errors: Vec<FieldError> = set.map(|(name, _)| wrong(name)).collect();
        if errors.is_empty() { Ok(()) } else { Err(refused(&errors)) }
    }
}

fn text_of(value: &Value) -> Result<String, Status> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Status::bad_request("DeleteOptions: text expected"))
}

/// Whether `dryRun` values ask for a dry run; `All` is the only one there is.
fn dry_run_of<'v>(values: impl Iterator<Item = &'v str>) -> Result<bool, Status> {
    let mut asked = false;
    for value in values {
        if value != "All" {
            let error = FieldError::not_supported(&Path::new("dryRun"), value, &["All"]);
            return Err(refused(&[error]));
        }
        asked = true;
    }
    Ok(asked)
}

fn refused(errors: &[FieldError]) -> Status {
    let kind = Gvk {
        group: "meta.k8s.io".to_owned(),
        version: "v1".to_owned(),
        kind: "DeleteOptions".to_owned(),
    };
    Status::invalid(&kind, "", errors)
}
