//! The beginning of a URL as Go takes it apart.
//!
//! Knows: where schemes and authorities end. Refuses to know: which URLs are wanted, and what may stand in a host.

/// The scheme and what follows its colon; where there is none, it is empty.
///
/// # Errors
/// What Go's parser says of a text that begins with a colon.
pub fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

/// User, host and path of what follows two slashes.
pub fn authority(text: &str) -> (Option<&str>, &str, &str) {
    let (authority, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host, path),
        None => (None, authority, path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_begin_as_in_go() {
        assert_eq!(scheme("a+1:b"), Ok(("a+1", "b")));
        assert_eq!(scheme("/a:b"), Ok(("", "/a:b")));
        assert_eq!(scheme("1:b"), Ok(("", "1:b")));
        assert!(scheme(":b").is_err());
        assert_eq!(authority("u@v@h:1/a@b"), (Some("u@v"), "h:1", "/a@b"));
        assert_eq!(authority("h"), (None, "h", ""));
    }
}
