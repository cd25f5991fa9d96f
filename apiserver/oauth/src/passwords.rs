//! A file of passwords as `htpasswd` writes it.
//!
//! Knows: bcrypt, Apache's MD5 and SHA-1. Refuses to know: where the file is.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::apr1;
use crate::secret::same;

/// Bytes of a password at most: to look at one costs its length a thousand times.
pub const LONGEST: usize = 256;
/// A bcrypt that takes longer than a second on any machine is not looked at.
const HIGHEST_COST: u32 = 16;

/// How a password is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    Bcrypt(String),
    Md5 { salt: String, hash: String },
    Sha(String),
}

impl Kept {
    fn read(text: &str) -> Option<Kept> {
        if let Some(rest) = text.strip_prefix("$apr1$") {
            let (salt, hash) = rest.split_once('$')?;
            let fits = !salt.is_empty() && hash.len() == 22;
            return fits.then(|| Kept::Md5 { salt: salt.to_owned(), hash: hash.to_owned() });
        }
        if let Some(hash) = text.strip_prefix("{SHA}") {
            return STANDARD
                .decode(hash)
                .is_ok_and(|hash| hash.len() == 20)
                .then(|| Kept::Sha(hash.to_owned()));
        }
        let parts: bcrypt::HashParts = text.parse().ok()?;
        (parts.get_cost() <= HIGHEST_COST).then(|| Kept::Bcrypt(text.to_owned()))
    }

    fn is_of(&self, password: &str) -> bool {
        match self {
            Kept::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Kept::Md5 { salt, hash } => {
                same(apr1::hash(password.as_bytes(), salt.as_bytes()), hash)
            }
            Kept::Sha(hash) => same(STANDARD.encode(Sha1::digest(password)), hash),
        }
    }
}

/// Users and their passwords.
#[derive(Clone, Debug, Default)]
pub struct Passwords {
    kept: HashMap<String, Kept>,
    /// What is looked at for who is not there, so that it takes as long.
    other: Option<Kept>,
}

impl Passwords {
    /// Reads a file: of a user who is there twice the last line counts. Tells which lines (from 1) say nothing.
    pub fn read(text: &str) -> (Passwords, Vec<usize>) {
        let (mut passwords, mut wrong) = (Passwords::default(), Vec::new());
        for (at, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let read = line.split_once(':').and_then(|(user, hash)| {
                (!user.is_empty()).then_some((user, Kept::read(hash.trim_end())?))
            });
            match read {
                Some((user, kept)) => {
                    passwords.other.get_or_insert_with(|| kept.clone());
                    passwords.kept.insert(user.to_owned(), kept);
                }
                None => wrong.push(at + 1),
            }
        }
        (passwords, wrong)
    }

    /// Whether somebody's password is this. It takes its time, which does not tell whether there is such a user.
    pub fn knows(&self, user: &str, password: &str) -> bool {
        if password.is_empty() || password.len() > LONGEST || password.contains('\0') {
            return false;
        }
        let kept = self.kept.get(user);
        let same = kept.or(self.other.as_ref()).is_some_and(|kept| kept.is_of(password));
        kept.is_some() && same
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Apache's own documents show them, and as `openssl passwd -apr1` makes them.
    const FILE: &str = "\
# people
bcrypt:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC
md5:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/
sha:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=
twice:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA0

twice:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=
crypt:rqXexS6ZhobKA
plain:myPassword
nobody
:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=
costly:$2y$31$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC
";

    #[test]
    fn a_file_is_read_and_what_cannot_be_is_told() {
        let (passwords, wrong) = Passwords::read(FILE);
        assert_eq!((passwords.len(), wrong), (4, vec![8, 9, 10, 11, 12]));
        for user in ["bcrypt", "md5", "sha", "twice"] {
            assert!(passwords.knows(user, "myPassword"), "{user}");
            for wrong in ["", "mypassword", "myPassword ", "myPassword\0"] {
                assert!(!passwords.knows(user, wrong), "{user} {wrong:?}");
            }
        }
        for user in ["crypt", "plain", "nobody", "", "costly", "Bcrypt"] {
            assert!(!passwords.knows(user, "myPassword"), "{user}");
        }
        assert!(!Passwords::default().knows("", ""));
        let long = "x".repeat(LONGEST + 1);
        assert!(!passwords.knows("md5", &long));
    }

    // Each as `openssl passwd -apr1 -salt SALT PASSWORD` has it.
    #[test]
    fn apaches_md5_is_as_others_make_it() {
        for (password, salt, hash) in [
            ("a", "x", "16j9.5e7KiXmuYFAYpPJM/"),
            ("myPassword", "r31.....", "HqJZimcKQFAMYayBlzkrA/"),
            ("0123456789abcdef", "saltsalt", "noZiBycUL1t9WTQEO7/nr1"),
            ("0123456789abcdefg", "12345678", "CKLG1hUVwDnnbEmR9eB5r."),
            ("ünï", "ab", "CCOY4xreR83/Gqv/jQH0c."),
            (
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                "longsalt",
                "uzTfwHY4eLTHOIoOOewP3/",
            ),
        ] {
            assert_eq!(apr1::hash(password.as_bytes(), salt.as_bytes()), hash);
        }
    }
}
