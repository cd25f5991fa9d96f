//! Columns of clients of OAuth, of what they were granted, and of tokens.

use jiff::SignedDuration;
use leme_meta::time;
use serde_json::Value;

use super::super::{column, flag, int, shown, text};
use super::build::duration;
use super::joined;
use crate::Column;

pub(crate) const OAUTH_CLIENT: &[Column] = &[
    shown("Secret", |client, _| text(client, "/secret").into()),
    column("WWW-Challenge", "bool", 0, |client, _| flag(client, "/respondWithChallenges").into()),
    shown("Token-Max-Age", |client, _| max_age(client).into()),
    shown("Redirect URIs", |client, _| joined(client, "/redirectURIs", ",").into()),
];

pub(crate) const OAUTH_AUTHORIZATION: &[Column] = &[
    shown("User Name", |grant, _| text(grant, "/userName").into()),
    shown("Client Name", |grant, _| text(grant, "/clientName").into()),
    shown("Scopes", |grant, _| joined(grant, "/scopes", ",").into()),
];

pub(crate) const OAUTH_TOKEN: &[Column] = &[
    shown("User Name", |token, _| text(token, "/userName").into()),
    shown("Client Name", |token, _| text(token, "/clientName").into()),
    shown("Created", |token, _| text(token, "/metadata/creationTimestamp").into()),
    shown("Expires", |token, _| expires(token).into()),
    shown("Redirect URI", |token, _| text(token, "/redirectURI").into()),
    shown("Scopes", |token, _| joined(token, "/scopes", ",").into()),
];

pub(crate) const USER_OAUTH_TOKEN: &[Column] = {
    let [_, rest @ ..] = OAUTH_TOKEN else { panic!("a token has columns") };
    rest
};

fn max_age(client: &Value) -> String {
    match client.pointer("/accessTokenMaxAgeSeconds").and_then(Value::as_i64) {
        None => "default".to_owned(),
        Some(0) => "unexpiring".to_owned(),
        Some(seconds) => duration(seconds.saturating_mul(1_000_000_000)),
    }
}

/// The time as Go prints it.
fn expires(token: &Value) -> String {
    let seconds = int(token, "/expiresIn");
    if seconds <= 0 {
        return "never".to_owned();
    }
    let created = time::parse(text(token, "/metadata/creationTimestamp")).unwrap_or_default();
    match created.checked_add(SignedDuration::from_secs(seconds)) {
        Ok(end) => time::seconds(end).replace('T', " ").replace('Z', " +0000 UTC"),
        Err(_) => "never".to_owned(),
    }
}
