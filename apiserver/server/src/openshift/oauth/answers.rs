//! How the OAuth server answers: pages, documents, ways to go on; none of them kept, framed or guessed at by browsers.
//!
//! Refuses to know: what is answered.

use http::{HeaderName, HeaderValue, header};
use leme_oauth::Failure;

use super::SESSION;
use crate::answer::{self, Answer};
use crate::body::Body;

/// What every answer says, as upstream's does, and that a page loads nothing.
const STANDARD: [(&str, &str); 9] = [
    ("cache-control", "no-cache, no-store, max-age=0, must-revalidate"),
    ("pragma", "no-cache"),
    ("expires", "0"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("x-dns-prefetch-control", "off"),
    ("x-xss-protection", "1; mode=block"),
    (
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    ),
];

/// An answer with what every one says.
pub(super) fn guarded(mut answer: Answer) -> Answer {
    for (name, value) in STANDARD {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

pub(super) fn page(code: u16, page: String) -> Answer {
    answer::with_body(code, "text/html; charset=UTF-8", Body::whole(page))
}

/// Somewhere else.
pub(super) fn redirect(to: &str) -> Answer {
    let Ok(location) = HeaderValue::from_str(to) else {
        return answer::text(400, "the address to go on to cannot be written\n");
    };
    let mut answer = answer::text(302, "");
    answer.headers_mut().insert(header::LOCATION, location);
    answer
}

/// A client is given nothing, and is told where it asked.
pub(super) fn refused(failure: &Failure, state: &str) -> Answer {
    answer::json(400, format!("{}\n", failure.document(state)))
}

/// With a cookie that scripts do not see, and that goes to this server alone.
pub(super) fn with_cookie(mut answer: Answer, name: &str, value: &str) -> Answer {
    let gone = if value.is_empty() { "; Max-Age=0" } else { "" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; Secure; SameSite=Lax{gone}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    answer
}

/// Who waits is told how long.
pub(super) fn too_many(seconds: u64) -> Answer {
    let mut answer = answer::text(429, "Too many failed logins, please try again later.\n");
    answer.headers_mut().insert(header::RETRY_AFTER, seconds.max(1).min(SESSION as u64).into());
    answer
}
