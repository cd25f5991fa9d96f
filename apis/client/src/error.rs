//! Why a request was not answered with what was asked for.

use std::fmt;

use http::StatusCode;
use serde_json::Value;

/// One of the reasons that a server gives for a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The field that it is about.
    pub field: String,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The server said no.
    Status {
        /// HTTP code.
        code: u16,
        /// Machine-readable reason.
        reason: String,
        /// What the server said.
        message: String,
        /// What it said in particular.
        causes: Vec<Cause>,
    },
    /// The server was not reached, or not understood.
    Transport(String),
}

/// What libraries put around the error that they pass on.
const PASSED_ON: [&str; 4] = [
    "client error (Connect)",
    "client error (SendRequest)",
    "tcp connect error",
    "connection error",
];

/// What an error means to whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is not there.
    NotFound,
    /// It exists already, or is not as it was.
    Conflict,
    /// The revision asked for is too old.
    Expired,
    /// The namespace is being deleted.
    Terminating,
    /// The same would be refused again: it is not allowed, or not served.
    Refused,
    /// Anything else; trying again may help.
    Other,
}

impl Error {
    /// What is wrong on this side of the wire.
    pub fn transport(error: &dyn std::error::Error) -> Error {
        let mut text = String::new();
        let mut next = Some(error);
        while let Some(error) = next {
            next = error.source();
            let words = error.to_string();
            let words = words.strip_prefix("ServiceError: ").unwrap_or(&words);
            // Which part of a library an error passed through tells nobody anything, and many repeat what is inside.
            if (next.is_some() && PASSED_ON.contains(&words)) || text.contains(words) {
                continue;
            }
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(words);
        }
        Error::Transport(text)
    }

    /// What an answer that is no success says.
    pub fn of_answer(status: StatusCode, body: &[u8]) -> Error {
        let said: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        if status == StatusCode::NOT_FOUND && !said.is_object() {
            // No API answers at this path, and so nobody says it as an API does.
            return Error::Status {
                code: 404,
                reason: "NotFound".to_owned(),
                message: "the server could not find the requested resource".to_owned(),
                causes: Vec::new(),
            };
        }
        let otherwise = format!("{status}: {}", String::from_utf8_lossy(body).trim());
        Error::said(status.as_u16(), &said, &otherwise)
    }

    /// What a Status says, if it is one.
    pub fn of_status(said: &Value) -> Option<Error> {
        said["message"].is_string().then(|| Error::said(500, said, ""))
    }

    /// What a Status says; of what it does not say, `code` and `message` are taken.
    pub(crate) fn said(code: u16, said: &Value, message: &str) -> Error {
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let cause = |cause: &Value| Cause {
            reason: text(&cause["reason"]),
            message: text(&cause["message"]),
            field: text(&cause["field"]),
        };
        let causes = said["details"]["causes"].as_array();
        Error::Status {
            message: said["message"].as_str().unwrap_or(message).to_owned(),
            code: said["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(code),
            reason: text(&said["reason"]),
            causes: causes.into_iter().flatten().map(cause).collect(),
        }
    }

    /// What it means.
    pub fn meaning(&self) -> Meaning {
        let Error::Status { code, message, causes, .. } = self else { return Meaning::Other };
        let terminating = || {
            causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
                || message.contains("being terminated")
        };
        match code {
            404 => Meaning::NotFound,
            409 => Meaning::Conflict,
            410 => Meaning::Expired,
            403 if terminating() => Meaning::Terminating,
            401 | 403 | 405 => Meaning::Refused,
            _ => Meaning::Other,
        }
    }

    /// The words of the server, or of what kept it from being reached.
    pub fn message(&self) -> &str {
        match self {
            Error::Status { message, .. } | Error::Transport(message) => message,
        }
    }

    /// Whether the server said that it is not there.
    pub fn is_not_found(&self) -> bool {
        self.meaning() == Meaning::NotFound
    }

    /// Whether the object changed meanwhile, or already exists.
    pub fn is_conflict(&self) -> bool {
        self.meaning() == Meaning::Conflict
    }

    /// Whether the same request would be refused again: it is not allowed, or not served.
    pub fn is_final(&self) -> bool {
        matches!(self.meaning(), Meaning::NotFound | Meaning::Refused | Meaning::Terminating)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Status { reason, message, .. } if reason.is_empty() => f.write_str(message),
            Error::Status { reason, message, .. } => {
                write!(f, "Error from server ({reason}): {message}")
            }
            Error::Transport(message) => {
                write!(f, "the API server does not answer: {message}; is the cluster up?")
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Error {
        let kube::Error::Api(status) = error else { return Error::transport(&error) };
        Error::from(*status)
    }
}

impl From<kube::core::Status> for Error {
    fn from(status: kube::core::Status) -> Error {
        let causes = status.details.into_iter().flat_map(|details| details.causes);
        let cause = |cause: kube::core::response::StatusCause| Cause {
            reason: cause.reason,
            message: cause.message,
            field: cause.field,
        };
        Error::Status {
            code: status.code,
            reason: status.reason,
            message: status.message,
            causes: causes.map(cause).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_no_status_is_told_as_it_is() {
        let error = Error::of_answer(StatusCode::BAD_GATEWAY, b"no one home\n");
        assert_eq!(error.to_string(), "502 Bad Gateway: no one home");
        assert_eq!(error.meaning(), Meaning::Other);
        let body =
            br#"{"kind":"Status","reason":"NotFound","message":"pods \"a\" not found","code":404}"#;
        let error = Error::of_answer(StatusCode::NOT_FOUND, body);
        assert!(error.is_not_found());
        assert_eq!(error.to_string(), "Error from server (NotFound): pods \"a\" not found");
        let error = Error::of_answer(StatusCode::NOT_FOUND, b"404 page not found\n");
        let said = "the server could not find the requested resource";
        assert_eq!((error.meaning(), error.message()), (Meaning::NotFound, said));
    }

    #[derive(Debug)]
    struct Around(&'static str, Option<Box<Around>>);

    impl fmt::Display for Around {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Around {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.1.as_ref().map(|inner| &**inner as _)
        }
    }

    // Red where the parts of the libraries are named that it came through.
    #[test]
    fn who_is_not_reached_is_told_without_the_way_there() {
        let chain = |words: &[&'static str]| {
            words.iter().rev().fold(None, |inner, text| Some(Box::new(Around(text, inner))))
        };
        for (words, told) in [
            (
                &[
                    "ServiceError: client error (Connect)",
                    "client error (Connect)",
                    "tcp connect error",
                    "Connection refused (os error 111)",
                ][..],
                "Connection refused (os error 111)",
            ),
            (&["client error (Connect)"], "client error (Connect)"),
            (&["a: b", "b", "c"], "a: b: c"),
        ] {
            let error = chain(words).expect("an error");
            assert_eq!(Error::transport(&*error).message(), told);
        }
    }

    #[test]
    fn a_status_says_what_it_means() {
        let check = |code: u16, message: &str, causes: Value| {
            let said = json!({"kind": "Status", "code": code, "reason": "R", "message": message,
                "details": {"causes": causes}});
            Error::of_status(&said).map(|error| error.meaning())
        };
        assert_eq!(check(404, "", json!([])), Some(Meaning::NotFound));
        assert_eq!(check(409, "", json!([])), Some(Meaning::Conflict));
        assert_eq!(check(410, "", json!([])), Some(Meaning::Expired));
        assert_eq!(check(403, "no", Value::Null), Some(Meaning::Refused));
        let ending = json!([{"reason": "NamespaceTerminating", "message": "m", "field": "f"}]);
        assert_eq!(check(403, "no", ending), Some(Meaning::Terminating));
        assert_eq!(
            check(403, "namespace n is being terminated", Value::Null),
            Some(Meaning::Terminating)
        );
        assert_eq!(check(500, "", json!(7)), Some(Meaning::Other));
        assert_eq!(Error::of_status(&json!({"kind": "Pod"})), None);
    }
}
