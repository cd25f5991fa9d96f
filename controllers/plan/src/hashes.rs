//! Names that follow from content. Knows the hashes and the letters of generated names; refuses to know what is named.

use leme_meta::names::SUFFIX_ALPHABET;

const START: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

/// FNV-1: multiplied first.
pub fn fnv1(bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(START, |hash, byte| hash.wrapping_mul(PRIME) ^ u32::from(byte))
}

/// FNV-1a: multiplied last.
pub fn fnv1a(bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(START, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME))
}

/// The digits of a hash in letters that make no words.
pub fn letters(hash: u32) -> String {
    let letters = SUFFIX_ALPHABET;
    let letter = |digit: u8| char::from(letters[usize::from(digit) % letters.len()]);
    hash.to_string().bytes().map(letter).collect()
}

/// The letters of a template, given as text, and of how often the name that it makes was taken.
pub fn of_template(text: &str, collisions: Option<i32>) -> String {
    let salt = collisions.map(i32::to_le_bytes);
    letters(fnv1a(text.bytes().chain(salt.into_iter().flatten())))
}
