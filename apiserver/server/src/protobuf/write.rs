//! The wire format, to be written.
//!
//! Knows: how each sort of value stands behind its number. Refuses to know: types and their fields.

/// A number, or a text.
pub(super) fn put_int_or_string(out: &mut Vec<u8>, number: u32, value: Result<&str, i64>) {
    let mut inner = Vec::with_capacity(16);
    put_number(&mut inner, 1, value.is_ok().into());
    put_number(&mut inner, 2, value.err().unwrap_or(0));
    put_bytes(&mut inner, 3, value.unwrap_or("").as_bytes());
    put_bytes(out, number, &inner);
}

/// A time; Go's zero time, which no text stands for, is an empty message.
pub(super) fn put_time(out: &mut Vec<u8>, number: u32, text: &str) {
    let mut inner = Vec::with_capacity(16);
    if let Some(time) = leme_meta::time::parse(text) {
        put_number(&mut inner, 1, time.as_second());
        put_number(&mut inner, 2, time.subsec_nanosecond().into());
    }
    put_bytes(out, number, &inner);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes a number takes.
pub(super) fn varint_length(value: u64) -> usize {
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

fn put_tag(out: &mut Vec<u8>, number: u32, wire: u64) {
    put_varint(out, u64::from(number) << 3 | wire);
}

pub(crate) fn put_number(out: &mut Vec<u8>, number: u32, value: i64) {
    put_tag(out, number, 0);
    put_varint(out, value.cast_unsigned());
}

pub(super) fn put_float(out: &mut Vec<u8>, number: u32, value: f64) {
    put_tag(out, number, 1);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

pub(super) fn put_length(out: &mut Vec<u8>, number: u32, length: usize) {
    put_tag(out, number, 2);
    put_varint(out, length as u64);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_length(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

/// A message that holds one text in its field 1.
pub(super) fn put_wrapped(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    let mut inner = Vec::with_capacity(bytes.len() + 4);
    put_bytes(&mut inner, 1, bytes);
    put_bytes(out, number, &inner);
}
