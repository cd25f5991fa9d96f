//! Apache's MD5 of passwords, `$apr1$`.
//!
//! Knows: its rounds and its alphabet. Refuses to know: files.

use md5::{Digest, Md5};

const MAGIC: &[u8] = b"$apr1$";
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Which bytes of the digest make four letters each, the highest first.
const GROUPS: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
const ROUNDS: usize = 1_000;

/// What follows the salt in a file.
pub(crate) fn hash(password: &[u8], salt: &[u8]) -> String {
    let salt = &salt[..salt.len().min(8)];
    let digest = |parts: &[&[u8]]| -> [u8; 16] {
        parts.iter().fold(Md5::new(), |hash, part| hash.chain_update(part)).finalize().into()
    };
    let mut last = digest(&[password, salt, password]);
    let mut first = Md5::new().chain_update(password).chain_update(MAGIC).chain_update(salt);
    for at in (0..password.len()).step_by(last.len()) {
        first.update(&last[..last.len().min(password.len() - at)]);
    }
    let mut bits = password.len();
    while bits > 0 {
        // The first letter stands for a bit that is not set.
        first.update(if bits & 1 == 1 { &[0][..] } else { &password[..1] });
        bits >>= 1;
    }
    last = first.finalize().into();
    for round in 0..ROUNDS {
        let (head, tail) = match round % 2 {
            0 => (&last[..], password),
            _ => (password, &last[..]),
        };
        let salted = if round % 3 == 0 { &[][..] } else { salt };
        let again = if round % 7 == 0 { &[][..] } else { password };
        last = digest(&[head, salted, again, tail]);
    }
    let mut text = String::with_capacity(22);
    let mut letters = |mut value: u32, count: usize| {
        for _ in 0..count {
            text.push(char::from(ALPHABET[(value & 63) as usize]));
            value >>= 6;
        }
    };
    for [high, middle, low] in GROUPS {
        let byte = |at: usize| u32::from(last[at]);
        letters(byte(high) << 16 | byte(middle) << 8 | byte(low), 4);
    }
    letters(u32::from(last[11]), 2);
    text
}
