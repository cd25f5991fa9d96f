//! Bytes in JSON: standard base64 with padding, as Go's decoder takes it and its encoder writes it.
//!
//! Refuses to know: what the bytes are.

use serde_json::Value;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Where a text goes wrong, as Go counts it. Line breaks are skipped.
pub(super) fn wrong(text: &str) -> Option<usize> {
    let (mut digits, mut padding, mut last) = (0usize, 0usize, 0usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\r' | b'\n' => continue,
            b'=' if padding < 2 && (digits + padding) % 4 >= 2 => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => digits += 1,
            _ => return Some(at),
        }
        last = at + 1;
    }
    ((digits + padding) % 4 != 0).then(|| if padding > 0 { last } else { last - digits % 4 })
}

/// Makes the text what comes out of a decode and an encode: without line breaks, the bits that stand for nothing zero.
/// The text is one that [`wrong`] takes.
pub(super) fn canonical(text: &mut String) {
    if text.contains(['\r', '\n']) {
        text.retain(|c| !matches!(c, '\r' | '\n'));
    }
    let digits = text.trim_end_matches('=').len();
    let unused = match text.len() - digits {
        1 => 0b11,
        2 => 0b1111,
        _ => return,
    };
    let Some(last) = digits.checked_sub(1).and_then(|at| text.as_bytes().get(at)) else { return };
    let Some(value) = ALPHABET.iter().position(|digit| digit == last) else { return };
    if value & unused != 0 {
        let zeroed = char::from(ALPHABET[value & !unused]);
        text.replace_range(digits - 1..digits, zeroed.encode_utf8(&mut [0; 4]));
    }
}

/// The bytes of a list of numbers, which Go takes too.
pub(super) fn bytes_of(list: &Value) -> Option<Vec<u8>> {
    list.as_array()?.iter().map(|item| u8::try_from(item.as_u64()?).ok()).collect()
}

/// Bytes as text.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            out.push(if digit > chunk.len() {
                '='
            } else {
                char::from(ALPHABET[usize::try_from(value).unwrap_or(0)])
            });
        }
    }
    out
}
