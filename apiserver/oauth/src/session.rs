//! That somebody has just shown their password on a page, as a cookie says it.
//!
//! Knows: how a cookie is signed and read. Refuses to know: the clock, and how long a session lasts.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// Signs what cookies say.
#[derive(Clone)]
pub struct Sessions([u8; 32]);

impl Sessions {
    /// By a key that nobody else has.
    pub fn new(key: [u8; 32]) -> Sessions {
        Sessions(key)
    }

    fn signed(&self, text: &str) -> Option<Hmac<Sha256>> {
        Hmac::<Sha256>::new_from_slice(&self.0).ok().map(|mac| mac.chain_update(text))
    }

    /// What a cookie says of a user by name and uid until an end, in seconds since 1970.
    pub fn cookie(&self, (name, uid): (&str, &str), end: i64) -> Option<String> {
        let text = URL_SAFE_NO_PAD.encode(json!([name, uid, end]).to_string());
        let signature = URL_SAFE_NO_PAD.encode(self.signed(&text)?.finalize().into_bytes());
        Some(format!("{text}.{signature}"))
    }

    /// The name and uid of the user that a cookie is about, if it is one of ours and not over.
    pub fn user(&self, cookie: &str, now: i64) -> Option<(String, String)> {
        let (text, signature) = cookie.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.signed(text)?.verify_slice(&signature).ok()?;
        let said: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let word = |at: usize| said.get(at)?.as_str().map(str::to_owned);
        let end = said.get(2)?.as_i64()?;
        Some((word(0)?, word(1)?)).filter(|(name, _)| now < end && !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_believed_if_it_is_ours() {
        let (ours, others) = (Sessions::new([1; 32]), Sessions::new([2; 32]));
        let cookie = ours.cookie(("ann", "u"), 100).unwrap();
        assert_eq!(ours.user(&cookie, 99), Some(("ann".to_owned(), "u".to_owned())));
        assert_eq!((ours.user(&cookie, 100), others.user(&cookie, 99)), (None, None));
        let (text, signature) = cookie.split_once('.').unwrap();
        let bob = URL_SAFE_NO_PAD.encode(r#"["bob","u",100]"#);
        for forged in [
            "",
            ".",
            text,
            &format!("{text}."),
            &format!("{bob}.{signature}"),
            &format!("{text}.{}", &signature[1..]),
        ] {
            assert_eq!(ours.user(forged, 0), None, "{forged}");
        }
    }
}
