//! Secrets: how codes and tokens are made of chance, under which names their objects are kept, how secrets are compared.
//!
//! Refuses to know: where chance comes from.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Bytes of chance in a secret.
pub const RANDOM: usize = 32;

const PREFIX: &str = "sha256~";

/// A code or a token; nothing if the chance is one that makes a word hard to write on a command line.
pub fn token_of(chance: [u8; RANDOM]) -> Option<String> {
    let text = URL_SAFE_NO_PAD.encode(chance);
    (!text.starts_with('-')).then(|| format!("{PREFIX}{text}"))
}

/// The name of the object of a code or a token: who reads it does not have what lets in. Nothing of what is no token.
pub fn token_name(token: &str) -> Option<String> {
    let rest = token.strip_prefix(PREFIX).filter(|rest| !rest.is_empty())?;
    Some(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(Sha256::digest(rest))))
}

/// Whether two secrets are the same, in a time that does not tell how much of them is.
pub fn same(one: impl AsRef<[u8]>, other: impl AsRef<[u8]>) -> bool {
    Sha256::digest(one).ct_eq(&Sha256::digest(other)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_under_its_digest() {
        let token = token_of([7; RANDOM]).unwrap();
        assert_eq!(token.len(), PREFIX.len() + 43);
        let name = token_name(&token).unwrap();
        assert_eq!((name.len(), name == token), (token.len(), false));
        // As `printf abc | sha256sum` has it.
        assert_eq!(
            token_name("sha256~abc").unwrap(),
            "sha256~ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
        );
        assert_eq!((token_name("sha256~"), token_name("abc"), token_name("")), (None, None, None));
        assert_eq!(token_of([0xfb; RANDOM]), None);
        assert!(same("a", "a") && !same("a", "b") && !same("", "a") && same("", ""));
    }
}
