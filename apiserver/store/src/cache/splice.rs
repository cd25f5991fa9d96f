//! The resourceVersion put into an object's bytes without decoding it.
//!
//! Knows: enough of JSON's grammar to step over values. Refuses to know: whether the text is valid; callers parse first.

/// The object with `metadata.resourceVersion` set to `revision`, whatever was there before. `None` if there is no
/// top-level object with a `metadata` object in it.
pub fn splice_resource_version(json: &[u8], revision: u64) -> Option<Vec<u8>> {
    splice_between(json, revision, true, [b"", b""])
}

/// The same of an object that has none: what comes behind its uid is not looked at.
pub fn insert_resource_version(json: &[u8], revision: u64) -> Option<Vec<u8>> {
    splice_between(json, revision, false, [b"", b""])
}

/// The same of one that may have one or not, with something before and behind it.
pub(super) fn splice_between(
    json: &[u8],
    revision: u64,
    may_have: bool,
    [first, last]: [&[u8]; 2],
) -> Option<Vec<u8>> {
    let metadata = find_value(json, skip_space(json, 0), "metadata")?;
    if json.get(metadata) != Some(&b'{') {
        return None;
    }
    let mut digits = [0u8; 20];
    let digits = decimal(revision, &mut digits);
    let found = |name| {
        let value = find_value(json, metadata, name)?;
        Some((value, skip_value(json, value)?))
    };
    if let Some((value, end)) = may_have.then(|| found("resourceVersion")).flatten() {
        let (before, after) = (&json[..value], &json[end..]);
        return Some([first, before, b"\"", digits, b"\"", after, last].concat());
    }
    // Where Go writes it: behind the uid.
    if let Some((_, end)) = found("uid") {
        let (before, after) = json.split_at(end);
        let name = b",\"resourceVersion\":\"";
        return Some([first, before, name, digits, b"\"", after, last].concat());
    }
    let (before, after) = json.split_at(metadata + 1);
    let more = after.get(skip_space(after, 0)) != Some(&b'}');
    let end: &[u8] = if more { b"\"," } else { b"\"" };
    Some([first, before, b"\"resourceVersion\":\"", digits, end, after, last].concat())
}

/// Where the value of a member starts of the object that starts at `at`.
fn find_value(json: &[u8], at: usize, name: &str) -> Option<usize> {
    if json.get(at) != Some(&b'{') {
        return None;
    }
    let mut at = skip_space(json, at + 1);
    while json.get(at) == Some(&b'"') {
        let key_end = skip_string(json, at)?;
        let colon = skip_space(json, key_end);
        if json.get(colon) != Some(&b':') {
            return None;
        }
        let value = skip_space(json, colon + 1);
        if key_is(&json[at..key_end], name) {
            return Some(value);
        }
        at = skip_space(json, skip_value(json, value)?);
        if json.get(at) != Some(&b',') {
            return None;
        }
        at = skip_space(json, at + 1);
    }
    None
}

fn key_is(quoted: &[u8], name: &str) -> bool {
    let raw = &quoted[1..quoted.len() - 1];
    if !raw.contains(&b'\\') {
        return raw == name.as_bytes();
    }
    serde_json::from_slice::<String>(quoted).is_ok_and(|key| key == name)
}

fn skip_space(json: &[u8], mut at: usize) -> usize {
    while matches!(json.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Just past the string that starts at `at`.
fn skip_string(json: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match json.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Just past the value that starts at `at`.
fn skip_value(json: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match json.get(at)? {
            b'"' => at = skip_string(json, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b',' | b':' if depth > 0 => {
                at += 1;
                continue;
            }
            b' ' | b'\t' | b'\n' | b'\r' if depth > 0 => {
                at += 1;
                continue;
            }
            _ => {
                let scalar = json[at..].iter().take_while(|b| is_scalar(**b)).count();
                if scalar == 0 {
                    return None;
                }
                at += scalar;
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

fn decimal(mut n: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return &buffer[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn check(before: &str, after: &str) {
        let spliced = splice_resource_version(before.as_bytes(), 42);
        assert_eq!(spliced.map(|s| String::from_utf8(s).unwrap()).as_deref(), Some(after));
    }

    #[test]
    fn sets_or_replaces_the_version() {
        check(r#"{"metadata":{}}"#, r#"{"metadata":{"resourceVersion":"42"}}"#);
        check(
            r#"{"a":[{"metadata":{"x":"]}"}}],"metadata":{"name":"n"}}"#,
            r#"{"a":[{"metadata":{"x":"]}"}}],"metadata":{"resourceVersion":"42","name":"n"}}"#,
        );
        check(
            r#"{"metadata": { "n":{"resourceVersion":"1"}, "resourceVersion" : null }, "z":1}"#,
            r#"{"metadata": { "n":{"resourceVersion":"1"}, "resourceVersion" : "42" }, "z":1}"#,
        );
        check(
            r#"{"k\"ey":"\\","meta\u0064ata":{"resourceVersion":"9999999"}}"#,
            r#"{"k\"ey":"\\","meta\u0064ata":{"resourceVersion":"42"}}"#,
        );
    }

    #[test]
    fn refuses_what_has_no_metadata() {
        for json in ["", "[]", "1", "{}", r#"{"metadata":null}"#, r#"{"x":{"metadata":{}}}"#, "{\""]
        {
            assert_eq!(splice_resource_version(json.as_bytes(), 1), None, "{json}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(
                    prop_oneof!["metadata", "resourceVersion", ".{0,4}"],
                    inner,
                    0..4
                )
                .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_a_decoded_edit(value in any_json(), revision in any::<u64>(), pretty: bool) {
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
            let text = text.unwrap();
            let spliced = splice_resource_version(&text, revision);
            // Decoded again, because not every number survives one decoding exactly.
            let mut expected: Value = serde_json::from_slice(&text).unwrap();
            let expected = match expected.get_mut("metadata").and_then(Value::as_object_mut) {
                Some(metadata) => {
                    metadata.insert("resourceVersion".into(), revision.to_string().into());
                    Some(expected)
                }
                None => None,
            };
            let decoded = |s: Vec<u8>| serde_json::from_slice::<Value>(&s).unwrap();
            prop_assert_eq!(spliced.map(decoded), expected.clone());
            if value.pointer("/metadata/resourceVersion").is_none() {
                let inserted = insert_resource_version(&text, revision);
                prop_assert_eq!(inserted.map(decoded), expected);
            }
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "[\\[\\]{}\",:\\\\a1 ]{0,40}") {
            let _ = splice_resource_version(&bytes, 1);
            let _ = insert_resource_version(&bytes, 1);
            let _ = splice_resource_version(text.as_bytes(), 1);
        }
    }
}
