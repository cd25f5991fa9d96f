//! Why a client is given nothing, in the words of OAuth.
//!
//! Refuses to know: how it is answered.

use serde_json::{Value, json};

/// What is wrong, as RFC 6749 names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Something is missing or malformed.
    InvalidRequest,
    /// There is no such client, or it may not ask like this.
    UnauthorizedClient,
    /// The user or the server says no.
    AccessDenied,
    /// Another kind of answer is asked for than there is.
    UnsupportedResponseType,
    /// There is no such scope.
    InvalidScope,
    /// The server cannot.
    ServerError,
    /// Another kind of grant is shown than there is.
    UnsupportedGrantType,
    /// The code is not good, or not for this client.
    InvalidGrant,
}

impl Code {
    /// Its name, and what is said where there is nothing better to say.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Code::InvalidRequest => (
                "invalid_request",
                "The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed.",
            ),
            Code::UnauthorizedClient => (
                "unauthorized_client",
                "The client is not authorized to request a token using this method.",
            ),
            Code::AccessDenied => {
                ("access_denied", "The resource owner or authorization server denied the request.")
            }
            Code::UnsupportedResponseType => (
                "unsupported_response_type",
                "The authorization server does not support obtaining a token using this method.",
            ),
            Code::InvalidScope => {
                ("invalid_scope", "The requested scope is invalid, unknown, or malformed.")
            }
            Code::ServerError => (
                "server_error",
                "The authorization server encountered an unexpected condition that prevented it from fulfilling the request.",
            ),
            Code::UnsupportedGrantType => (
                "unsupported_grant_type",
                "The authorization grant type is not supported by the authorization server.",
            ),
            Code::InvalidGrant => (
                "invalid_grant",
                "The provided authorization grant (e.g., authorization code, resource owner credentials) or refresh token is invalid, expired, revoked, does not match the redirection URI used in the authorization request, or was issued to another client.",
            ),
        }
    }
}

/// Why a client is given nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is wrong.
    pub code: Code,
    /// More of it; empty for the usual words.
    pub why: String,
}

impl From<Code> for Failure {
    fn from(code: Code) -> Failure {
        Failure { code, why: String::new() }
    }
}

impl Failure {
    /// One that says more than usual.
    pub fn new(code: Code, why: impl Into<String>) -> Failure {
        Failure { code, why: why.into() }
    }

    /// As names and values, with what the client has sent to know its request again.
    pub fn pairs(&self, state: &str) -> Vec<(&'static str, String)> {
        let (name, usual) = self.code.words();
        let why = if self.why.is_empty() { usual } else { &self.why };
        let mut pairs = vec![("error", name.to_owned()), ("error_description", why.to_owned())];
        if !state.is_empty() {
            pairs.push(("state", state.to_owned()));
        }
        pairs
    }

    /// As a document.
    pub fn document(&self, state: &str) -> Value {
        let mut document = json!({});
        for (name, value) in self.pairs(state) {
            document[name] = value.into();
        }
        document
    }
}
