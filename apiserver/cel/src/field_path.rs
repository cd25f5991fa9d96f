//! The paths that rules say they are about.
//!
//! Refuses to know: rules.

use leme_meta::Path;
use serde_json::Value as Json;

/// A path below a schema as errors show it.
///
/// # Errors
/// Why it leads to no field.
pub(crate) fn normal(path: &str, schema: &Json) -> Result<String, String> {
    let mut at = Path::default();
    let mut schema = schema;
    let mut rest = path;
    while !rest.is_empty() {
        let (name, after) = match rest.strip_prefix('.') {
            Some(after) => {
                let end = after.find(['.', '[', ']']).unwrap_or(after.len());
                match after.split_at(end) {
                    ("", "") => return Err("unexpected end of JSON path".to_owned()),
                    // A sign is taken for a name, which no field has.
                    ("", _) => (after[..1].to_owned(), &after[1..]),
                    (name, after) => (name.to_owned(), after),
                }
            }
            None => quoted(rest)?,
        };
        let stated = |field: &str| schema.get(field).filter(|value| value.is_object());
        (at, schema) = match (stated("properties"), stated("additionalProperties")) {
            (Some(properties), _) => {
                let found = properties.get(&name).ok_or("does not refer to a valid field")?;
                (at.child(&name), found)
            }
            (None, Some(values)) => (at.key(&name), values),
            (None, None) => return Err("does not refer to a valid field".to_owned()),
        };
        rest = after;
    }
    Ok(at.to_string())
}

/// A name in brackets and quotes, and what follows it.
fn quoted(rest: &str) -> Result<(String, &str), String> {
    let token = |text: &str| text[..text.find(['.', '[', ']']).unwrap_or(text.len())].to_owned();
    let Some(inside) = rest.strip_prefix('[') else {
        let first = token(rest);
        let first = if first.is_empty() { rest.chars().take(1).collect() } else { first };
        return Err(format!("expected [ or . but got: {first}"));
    };
    if inside.is_empty() {
        return Err("unexpected end of JSON path".to_owned());
    }
    let Some(text) = inside.strip_prefix('\'') else {
        return Err(format!("expected single quoted string but got {}", token(inside)));
    };
    let mut name = String::new();
    let mut letters = text.char_indices();
    let end = loop {
        match letters.next() {
            Some((at, '\'')) => break at,
            Some((_, '\\')) => name.push(match letters.next() {
                Some((_, 'a')) => '\u{7}',
                Some((_, 'b')) => '\u{8}',
                Some((_, 'f')) => '\u{c}',
                Some((_, 'n')) => '\n',
                Some((_, 'r')) => '\r',
                Some((_, 't')) => '\t',
                Some((_, 'v')) => '\u{b}',
                Some((_, letter @ ('\'' | '\\'))) => letter,
                Some((_, letter)) => {
                    return Err(format!("invalid string literal: invalid escape char \\{letter}"));
                }
                None => return Err(format!("expected single quoted string but got {inside}")),
            }),
            Some((_, letter)) => name.push(letter),
            None => return Err(format!("expected single quoted string but got {inside}")),
        }
    };
    match &text[end + 1..] {
        "" => Err("unexpected end of JSON path".to_owned()),
        after => match after.strip_prefix(']') {
            Some(after) => Ok((name, after)),
            None => Err(format!("expected ] but got {}", token(after))),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::normal;

    #[test]
    fn paths_lead_to_fields() {
        let schema = json!({ "properties": {
            "a": { "properties": { "b.c": {}, "it's": {} } },
            "m": { "additionalProperties": { "properties": { "x": {} } } },
        } });
        for (path, found) in [
            (".a", Ok("a")),
            (".a['b.c']", Ok("a.b.c")),
            (r".a['it\'s']", Ok("a.it's")),
            (".m.k.x", Ok("m[k].x")),
            (".m['k'].x", Ok("m[k].x")),
            ("['a']", Ok("a")),
            ("a", Err("expected [ or . but got: a")),
            (".b", Err("does not refer to a valid field")),
            (".a.b.c", Err("does not refer to a valid field")),
            (".m.k.x.y", Err("does not refer to a valid field")),
            (".", Err("unexpected end of JSON path")),
            (".a[", Err("unexpected end of JSON path")),
            (".a[0]", Err("expected single quoted string but got 0")),
            (".a['b.c'", Err("unexpected end of JSON path")),
            (r".a['\q']", Err(r"invalid string literal: invalid escape char \q")),
        ] {
            assert_eq!(
                normal(path, &schema).as_deref().map_err(|why| why.as_str()),
                found,
                "{path}"
            );
        }
    }
}
