//! Continue tokens: where a list goes on, and of which revision.
//!
//! Knows: the token. Refuses to know: snapshots. A token names a place relative to the collection that the request
//! itself names, so that a forged one leads nowhere else.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{DecodeError, Engine};
use leme_meta::{Status, decode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const FORM: &str = "meta.k8s.io/v1";
/// A revision that stands for "the newest": of tokens given out after an expiry.
const NEWEST: i64 = -1;

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// The list's revision; `None` for the newest.
    pub revision: Option<u64>,
    /// The last key given out, relative to the collection's prefix.
    pub after: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wire {
    v: String,
    rv: i64,
    start: String,
}

impl Token {
    /// The token as clients carry it.
    pub fn encode(&self) -> String {
        let rv =
            self.revision.map_or(NEWEST, |revision| i64::try_from(revision).unwrap_or(i64::MAX));
        let wire = Wire { v: FORM.to_owned(), rv, start: self.after.clone() };
        // Three fields of text and numbers always encode.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&wire).unwrap_or_default())
    }

    /// The token that a client brings back.
    pub fn decode(text: &str) -> Result<Token, Status> {
        let refused = |why: &str| {
            Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
        };
        let bytes =
            URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|error| match error {
                DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => {
                    refused(&format!("illegal base64 data at input byte {at}"))
                }
                _ => refused(&format!("illegal base64 data at input byte {}", text.len())),
            })?;
        let value = decode::document(&bytes).map_err(|why| refused(&why))?.value;
        let wire: Wire = serde_json::from_value(value).map_err(|why| refused(&why.to_string()))?;
        if wire.v != FORM {
            return Err(refused(&format!(
                "server does not recognize this encoded version {}",
                wire.v
            )));
        }
        let revision = match wire.rv {
            NEWEST => None,
            known => match u64::try_from(known) {
                Ok(0) | Err(_) => {
                    return Err(refused(
                        "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
                    ));
                }
                Ok(known) => Some(known),
            },
        };
        if wire.start.is_empty() {
            return Err(refused("encoded start key empty (version meta.k8s.io/v1)"));
        }
        let strange = wire.start.split('/').any(|part| matches!(part, "" | "." | ".."))
            || wire.start.chars().any(char::is_control);
        if strange {
            return Err(refused(&wire.start));
        }
        Ok(Token { revision, after: wire.start })
    }
}

/// The 410 for a token whose revision is gone, with a token that goes on at the newest revision.
pub(crate) fn expired(token: &Token) -> Value {
    let status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    let mut document = status.to_json();
    let again = Token { revision: None, after: token.after.clone() };
    document["metadata"]["continue"] = again.encode().into();
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_went() {
        for revision in [None, Some(7)] {
            let token = Token { revision, after: "ns/name".into() };
            assert_eq!(Token::decode(&token.encode()).unwrap(), token);
        }
    }

    #[test]
    fn forged_tokens_are_400() {
        let wire = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let forged = [
            "%%%".to_owned(),
            wire("{}"),
            wire(r#"{"v":"x","rv":1,"start":"a"}"#),
            wire(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#),
            wire(r#"{"v":"meta.k8s.io/v1","rv":-2,"start":"a"}"#),
            wire(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets/a"}"#),
            wire(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"/a"}"#),
            wire(r#"{"v":"meta.k8s.io/v1","rv":1,"start":""}"#),
        ];
        for token in forged {
            let status = Token::decode(&token).unwrap_err();
            assert_eq!(status.code, 400, "{token}");
            let start = "invalid continue token: continue key is not valid: ";
            assert!(status.message.starts_with(start), "{token}: {status}");
        }
    }
}
