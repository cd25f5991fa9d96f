//! `metav1.Status` as an error: code, reason, message and causes, worded as apimachinery's `api/errors` words them.

use crate::quote;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::field::{FieldError, told};
use crate::gvk::{Gvk, Gvr};

/// One cause of a Status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Machine-readable reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Which field, as a path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// What a Status is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Name of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Resource (most errors) or kind (`Invalid`), as upstream fills it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// UID of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Causes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// Seconds to wait before another try; 0 says nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// An answer of the API that is not an object: almost always an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// `reason`, empty for "unknown".
    pub reason: &'static str,
    /// The message for people.
    pub message: String,
    /// What it is about.
    pub details: Option<Box<Details>>,
}

/// The result of anything the API refuses with a Status.
pub type Result<T> = std::result::Result<T, Status>;

fn qualified(resource: &Gvr) -> String {
    if resource.group.is_empty() {
        resource.resource.clone()
    } else {
        format!("{}.{}", resource.resource, resource.group)
    }
}

impl Status {
    /// A Status with no details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Status {
        Status { code, reason, message: message.into(), details: None }
    }

    /// A Status about nothing that has a name. Its details are there and empty, as client libraries make them of an
    /// answer that is no Status: some read them without asking whether they are there.
    pub fn generic(code: u16, reason: &'static str, message: impl Into<String>) -> Status {
        Status { details: Some(Box::default()), ..Status::new(code, reason, message) }
    }

    fn about(mut self, resource: &Gvr, name: &str) -> Status {
        self.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: resource.group.clone(),
            kind: resource.resource.clone(),
            ..Details::default()
        }));
        self
    }

    /// 404: the object does not exist.
    pub fn not_found(resource: &Gvr, name: &str) -> Status {
        Status::new(
            404,
            "NotFound",
            format!("{} {name} not found", qualified(resource), name = quote(&name)),
        )
        .about(resource, name)
    }

    /// 404: the path names nothing served.
    pub fn no_such_path() -> Status {
        Status::generic(404, "NotFound", "the server could not find the requested resource")
    }

    /// 409: create of what exists.
    pub fn already_exists(resource: &Gvr, name: &str) -> Status {
        Status::new(
            409,
            "AlreadyExists",
            format!("{} {name} already exists", qualified(resource), name = quote(&name)),
        )
        .about(resource, name)
    }

    /// 409: no name that the server made up was free.
    pub fn no_free_name(resource: &Gvr, name: &str) -> Status {
        let message = format!(
            "{} {name} already exists, the server was not able to generate a unique name for the object",
            qualified(resource),
            name = quote(&name)
        );
        let mut status = Status::new(409, "AlreadyExists", message).about(resource, name);
        status.details.get_or_insert_default().retry_after_seconds = 1;
        status
    }

    /// 409: optimistic concurrency or a precondition failed.
    pub fn conflict(resource: &Gvr, name: &str, why: &str) -> Status {
        let message = format!(
            "Operation cannot be fulfilled on {} {name}: {why}",
            qualified(resource),
            name = quote(&name)
        );
        Status::new(409, "Conflict", message).about(resource, name)
    }

    /// 409 for a stale resourceVersion, in upstream's words.
    pub fn stale(resource: &Gvr, name: &str) -> Status {
        Status::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 422: the object is invalid; one cause per field.
    pub fn invalid(kind: &Gvk, name: &str, errors: &[FieldError]) -> Status {
        let errors = told(errors);
        let mut list: Vec<String> = Vec::with_capacity(errors.len());
        let mut said = std::collections::HashSet::new();
        // What is wrong twice in the same words is said once; its causes stay.
        list.extend(errors.iter().map(ToString::to_string).filter(|one| said.insert(one.clone())));
        let what = if kind.group.is_empty() {
            kind.kind.clone()
        } else {
            format!("{}.{}", kind.kind, kind.group)
        };
        let shown = match list.as_slice() {
            [] => String::new(),
            [one] => format!(": {one}"),
            many => format!(": [{}]", many.join(", ")),
        };
        let mut status = Status::new(
            422,
            "Invalid",
            format!("{what} {name} is invalid{shown}", name = quote(&name)),
        );
        status.details = Some(Box::new(Details {
            name: name.to_owned(),
            group: kind.group.clone(),
            kind: kind.kind.clone(),
            causes: errors.iter().map(FieldError::cause).collect(),
            ..Details::default()
        }));
        status
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::new(400, "BadRequest", message)
    }

    /// 401.
    pub fn unauthorized() -> Status {
        Status::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403 on an object.
    pub fn forbidden(resource: &Gvr, name: &str, why: &str) -> Status {
        let message = if name.is_empty() {
            format!("{} is forbidden: {why}", qualified(resource))
        } else {
            format!("{} {name} is forbidden: {why}", qualified(resource), name = quote(&name))
        };
        Status::new(403, "Forbidden", message).about(resource, name)
    }

    /// 405: the path is served, but not by this method.
    pub fn method_not_allowed() -> Status {
        let message = "the server does not allow this method on the requested resource";
        Status::generic(405, "MethodNotAllowed", message)
    }

    /// 406.
    pub fn not_acceptable(message: impl Into<String>) -> Status {
        Status::new(406, "NotAcceptable", message)
    }

    /// 410: the resourceVersion or continue token is too old.
    pub fn expired(message: impl Into<String>) -> Status {
        Status::new(410, "Expired", message)
    }

    /// 413.
    pub fn too_large(message: impl Into<String>) -> Status {
        Status::new(413, "RequestEntityTooLarge", message)
    }

    /// 415.
    pub fn unsupported_media_type(message: impl Into<String>) -> Status {
        Status::new(415, "UnsupportedMediaType", message)
    }

    /// 429, with a wait in seconds.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Status {
        let mut status = Status::new(429, "TooManyRequests", message);
        status.details = Some(Box::new(Details { retry_after_seconds, ..Details::default() }));
        status
    }

    /// 500, in the wording of `NewInternalError`.
    pub fn internal(error: impl fmt::Display) -> Status {
        let message = format!("Internal error occurred: {error}");
        let mut status = Status::new(500, "InternalError", message);
        status.details = Some(Box::new(Details {
            causes: vec![Cause { message: error.to_string(), ..Cause::default() }],
            ..Details::default()
        }));
        status
    }

    /// 503, worth another try.
    pub fn unavailable(message: impl Into<String>) -> Status {
        Status::new(503, "ServiceUnavailable", message)
    }

    /// 504, worth another try after the given seconds.
    pub fn timeout(message: impl Into<String>, retry_after_seconds: u32) -> Status {
        let mut status = Status::new(504, "Timeout", message);
        status.details = Some(Box::new(Details { retry_after_seconds, ..Details::default() }));
        status
    }

    /// The Status as the JSON document the API answers with.
    pub fn to_json(&self) -> Value {
        let mut document = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": if self.code < 400 { "Success" } else { "Failure" },
            "message": self.message,
            "code": self.code,
        });
        if !self.reason.is_empty() {
            document["reason"] = self.reason.into();
        }
        if let Some(details) = &self.details {
            document["details"] = serde_json::to_value(details).unwrap_or_default();
        }
        document
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Path;

    // Red with the same words twice in the message.
    #[test]
    fn what_is_wrong_twice_in_the_same_words_is_said_once() {
        let kind = Gvk { group: String::new(), version: "v1".into(), kind: "ResourceQuota".into() };
        let wrong = |name| FieldError::invalid(&Path::new(name), "x", "unsupported");
        let said = |errors: &[FieldError]| {
            let status = Status::invalid(&kind, "q", errors);
            (status.message.clone(), status.details.map_or(0, |details| details.causes.len()))
        };
        let one = "ResourceQuota \"q\" is invalid: a: Invalid value: \"x\": unsupported";
        assert_eq!(said(&[wrong("a"), wrong("a")]), (one.to_owned(), 2));
        let two = "ResourceQuota \"q\" is invalid: [a: Invalid value: \"x\": unsupported, b: Invalid value: \"x\": unsupported]";
        assert_eq!(said(&[wrong("a"), wrong("b"), wrong("a")]), (two.to_owned(), 3));
    }
}
