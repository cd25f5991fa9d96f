//! Sets of the pods of an indexed job, as text: `1,3-5,7`.
//!
//! Knows: the form and the order. Refuses to know: how the pods of a set have ended.

use leme_meta::quote;

/// The first and the last index of one part, and whether they are of a job of so many pods.
fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let ends: Vec<&str> = text.split('-').collect();
    let index = |text: &str| -> Result<i64, String> {
        let number: i64 = text.parse().map_err(|_| {
            format!("cannot convert string to integer for index: {text}", text = quote(&text))
        })?;
        if number >= completions {
            return Err(format!("too large index: {text}", text = quote(&text)));
        }
        Ok(number)
    };
    match ends[..] {
        [only] => index(only).map(|only| (only, only)),
        [first, last] => {
            let (first, last) = (index(first)?, index(last)?);
            if first >= last {
                return Err(format!("non-increasing order, previous: {first}, current: {last}"));
            }
            Ok((first, last))
        }
        _ => Err(format!(
            "the fragment {text} violates the requirement that an index interval can have at most two parts separated by '-'",
            text = quote(&text)
        )),
    }
}

/// How many indexes a set has.
pub(super) fn count(text: &str, completions: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let mut before = None;
    let mut total = 0;
    for part in text.split(',') {
        let (first, last) = interval(part, completions)?;
        if let Some(before) = before.filter(|before| *before >= first) {
            return Err(format!("non-increasing order, previous: {before}, current: {first}"));
        }
        total += last - first + 1;
        before = Some(last);
    }
    Ok(total)
}

/// An index that is in two sets, each in order. Parts that cannot be read are passed over.
pub(super) fn overlap(one: &str, other: &str, completions: i64) -> Option<i64> {
    let read = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|part| interval(part, completions).ok()).collect()
    };
    let (ones, others) = (read(one), read(other));
    let (mut ones, mut others) = (ones.iter().peekable(), others.iter().peekable());
    while let (Some((a, b)), Some((c, d))) = (ones.peek(), others.peek()) {
        if a <= d && c <= b {
            return Some(*a.max(c));
        }
        if a <= c {
            ones.next();
        } else {
            others.next();
        }
    }
    None
}
