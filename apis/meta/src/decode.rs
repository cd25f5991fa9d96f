//! Reading JSON from outside: bounded depth, duplicate keys named by path, errors in the words of Go's decoder.
//!
//! Refuses to know: what the document should hold; `schema` does.

use crate::quote;
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::{self, Write};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::status::Status;

/// How many duplicates are named.
const MAX_DUPLICATES: usize = 100;

/// A document and what was odd about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The document; of a key given twice, the last value.
    pub value: Value,
    /// `duplicate field "spec.replicas"`, in order.
    pub duplicates: Vec<String>,
}

/// Decodes the object of a request. The error is a 400 in the words that precede any kind; [`unrecognized`] adds the
/// kind that was wanted.
pub fn json(body: &[u8]) -> Result<Decoded, Status> {
    let unread = |error: String| {
        Status::bad_request(format!("couldn't get version/kind; json parse error: {error}"))
    };
    let decoded = document(body).map_err(unread)?;
    says_what_it_is(&decoded.value).map_err(unread)?;
    match decoded.value.get("apiVersion").and_then(Value::as_str) {
        Some(said) if said.matches('/').count() > 1 => {
            Err(Status::bad_request(format!("unexpected GroupVersion string: {said}")))
        }
        _ => Ok(decoded),
    }
}

/// What Go's decoder says of a document that cannot say what it is, as the struct that it reads for that has it.
fn says_what_it_is(document: &Value) -> Result<(), String> {
    const STRUCT: &str = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    if !document.is_object() && !document.is_null() {
        let found = go_name(document);
        return Err(format!("json: cannot unmarshal {found} into Go value of type {STRUCT}"));
    }
    for field in ["apiVersion", "kind"] {
        match document.get(field) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(other) => {
                let found = go_name(other);
                return Err(format!(
                    "json: cannot unmarshal {found} into Go struct field .{field} of type string"
                ));
            }
        }
    }
    Ok(())
}

/// Decodes any JSON document, such as a patch. The error is what Go's decoder says.
pub fn document(body: &[u8]) -> Result<Decoded, String> {
    // Go puts U+FFFD for what is not UTF-8 and for half a surrogate pair, and so do we.
    let text = paired(String::from_utf8_lossy(body));
    let state = State::default();
    let mut reader = serde_json::Deserializer::from_str(&text);
    let decoded = Node { state: &state }.deserialize(&mut reader).and_then(|value| {
        reader.end()?;
        Ok(value)
    });
    match decoded {
        Ok(value) => Ok(Decoded { value, duplicates: state.duplicates.into_inner() }),
        Err(error) => Err(go_error(&error, &text)),
    }
}

/// The text with an escaped U+FFFD in the place of each escaped surrogate that has no other half. Positions stay.
fn paired(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains("\\u") {
        return text;
    }
    let mut out = String::new();
    let (mut kept, mut at) = (0, 0);
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('\\')) {
        let start = at + found;
        at = match (code_unit(&text, start), code_unit(&text, start + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => start + 12,
            (Some(0xd800..=0xdfff), _) => {
                out.push_str(&text[kept..start]);
                out.push_str("\\ufffd");
                kept = start + 6;
                kept
            }
            (Some(_), _) => start + 6,
            // Another escape: what it escapes begins none. The reader refuses one that is not ASCII.
            (None, _) => start + 1 + text[start + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    if kept == 0 {
        return text;
    }
    out.push_str(&text[kept..]);
    Cow::Owned(out)
}

/// The number of the `\u` escape at a position.
fn code_unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at.checked_add(6)?)?.strip_prefix("\\u")?;
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

/// The message for a body that is not an object of the kind wanted, with the head of the body for people to recognise.
pub fn unrecognized(kind: &str, error: &Status, body: &[u8]) -> Status {
    const SHOWN: usize = 30;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let looks_binary = body.first() != Some(&b'{');
    let head = &body[..body.len().min(SHOWN)];
    let more = if body.len() > SHOWN { " ..." } else { "" };
    let summary = match body {
        [] => "<empty>".to_owned(),
        _ if looks_binary => hex(head) + more,
        _ => String::from_utf8_lossy(head).into_owned() + more,
    };
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {} ({summary})",
        error.message
    ))
}

/// How Go names a JSON value.
pub(crate) fn go_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[derive(Default)]
struct State {
    path: RefCell<String>,
    duplicates: RefCell<Vec<String>>,
}

/// A value on the way in. The recursion is bounded by the reader, which stops at 128 levels.
struct Node<'s> {
    state: &'s State,
}

impl State {
    /// Runs `inner` with the path longer by a key.
    fn below<T>(&self, key: &str, inner: impl FnOnce() -> T) -> T {
        let length = self.path.borrow().len();
        {
            let mut path = self.path.borrow_mut();
            if length > 0 && !key.starts_with('[') {
                path.push('.');
            }
            path.push_str(key);
        }
        let out = inner();
        self.path.borrow_mut().truncate(length);
        out
    }

    /// Runs `inner` with the path longer by an index.
    fn within<T>(&self, index: usize, inner: impl FnOnce() -> T) -> T {
        let length = self.path.borrow().len();
        // Text takes all that is written to it.
        let _ = write!(self.path.borrow_mut(), "[{index}]");
        let out = inner();
        self.path.borrow_mut().truncate(length);
        out
    }

    fn duplicate(&self, key: &str) {
        let mut duplicates = self.duplicates.borrow_mut();
        if duplicates.len() < MAX_DUPLICATES {
            let path = self.path.borrow();
            let dot = if path.is_empty() { "" } else { "." };
            let field = format!("{path}{dot}{key}");
            duplicates.push(format!("duplicate field {field}", field = quote(&field)));
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let state = self.state;
            match state.within(list.len(), || items.next_element_seed(Node { state }))? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let state = self.state;
            let entry = map.entry(key);
            if let Entry::Occupied(entry) = &entry {
                state.duplicate(entry.key());
            }
            let value = state.below(entry.key(), || entries.next_value_seed(Node { state }))?;
            match entry {
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                Entry::Occupied(mut entry) => {
                    entry.insert(value);
                }
            }
        }
        Ok(Value::Object(map))
    }
}

/// What serde_json says, and what Go says in its place after naming the character.
const PHRASES: &[(&str, &str)] = &[
    ("expected value", "looking for beginning of value"),
    ("expected ident", "in literal"),
    ("key must be a string", "looking for beginning of object key string"),
    ("trailing comma", "looking for beginning of value"),
    ("expected `:`", "after object key"),
    ("expected `,` or `}`", "after object key:value pair"),
    ("expected `,` or `]`", "after array element"),
    ("trailing characters", "after top-level value"),
    ("invalid escape", "in string escape code"),
    ("control character", "in string literal"),
    ("invalid number", "in numeric literal"),
];

fn go_error(error: &serde_json::Error, text: &str) -> String {
    let said = error.to_string();
    if error.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    if said.starts_with("recursion limit exceeded") {
        return "exceeded max depth".to_owned();
    }
    let phrase = PHRASES.iter().find(|(start, _)| said.starts_with(start));
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or("");
    let at = error.column().saturating_sub(1);
    let found = (at..line.len()).find_map(|at| line.get(at..)?.chars().next());
    let phrase = phrase.map(|(_, phrase)| match *phrase {
        "in literal" => format!("in literal{}", literal(line.get(..at).unwrap_or(""))),
        phrase => phrase.to_owned(),
    });
    match (phrase, found) {
        (Some(phrase), Some('\'')) => format!("invalid character '\\'' {phrase}"),
        (Some(phrase), Some('"')) => format!("invalid character '\"' {phrase}"),
        (Some(phrase), found) => {
            format!("invalid character '{}' {phrase}", found.unwrap_or('\n').escape_debug())
        }
        (None, _) => said,
    }
}

/// Which of JSON's words a text ends in the middle of, as Go names it, and the letter that should follow.
fn literal(text: &str) -> String {
    let begun = text.trim_end_matches(|letter: char| letter.is_ascii_lowercase()).len();
    let begun = text.get(begun..).unwrap_or("");
    ["true", "false", "null"]
        .iter()
        .filter(|_| !begun.is_empty())
        .find_map(|word| Some((word, word.strip_prefix(begun)?.chars().next()?)))
        .map_or_else(String::new, |(word, next)| format!(" {word} (expecting '{next}')"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn error(body: &str) -> String {
        document(body.as_bytes()).expect_err(body)
    }

    #[test]
    fn duplicates_are_named_by_path() {
        let decoded =
            json(br#"{"a":1,"a":2,"b":{"c":[{"d":1},{"d":1,"d":{"e":1,"e":2}}]}}"#).expect("JSON");
        assert_eq!(
            decoded.duplicates,
            [
                r#"duplicate field "a""#,
                r#"duplicate field "b.c[1].d""#,
                r#"duplicate field "b.c[1].d.e""#
            ]
        );
        assert_eq!(decoded.value, json!({"a": 2, "b": {"c": [{"d": 1}, {"d": {"e": 2}}]}}));
    }

    #[test]
    fn depth_is_bounded() {
        for open in ["[", "{\"a\":"] {
            assert_eq!(error(&open.repeat(100_000)), "exceeded max depth");
        }
    }

    #[test]
    fn errors_are_worded_as_in_go() {
        for (body, want) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("{\"a\"", "unexpected end of JSON input"),
            ("abc", "invalid character 'a' looking for beginning of value"),
            ("{a: 1}", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("foo", "invalid character 'o' in literal false (expecting 'a')"),
            ("{\"a\":nuxl}", "invalid character 'x' in literal null (expecting 'l')"),
        ] {
            assert_eq!(error(body), want, "{body}");
        }
    }

    #[test]
    fn a_body_of_no_kind_is_shown_in_part() {
        let message = |body: &[u8]| {
            let error = json(body).expect_err("no JSON");
            unrecognized("Pod", &error, body).message
        };
        let start = "the object provided is unrecognized (must be of type Pod): couldn't get \
                     version/kind; json parse error: ";
        assert_eq!(message(b"{"), format!("{start}unexpected end of JSON input ({{)"));
        assert_eq!(message(b""), format!("{start}unexpected end of JSON input (<empty>)"));
        assert_eq!(
            message(b"ab"),
            format!("{start}invalid character 'a' looking for beginning of value (6162)")
        );
    }

    #[test]
    fn what_is_not_utf8_is_replaced() {
        let decoded = json(b"{\"a\":\"\xff\"}").expect("JSON");
        assert_eq!(decoded.value, json!({"a": "\u{fffd}"}));
    }

    // Red when `paired` is taken out: the reader knows no lone surrogates.
    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        for (body, want) in [
            (r#""\ud800""#, "\u{fffd}"),
            (r#""a\uDC00b""#, "a\u{fffd}b"),
            (r#""\ud83d\ude00""#, "\u{1f600}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\ud83dA""#, "\u{fffd}A"),
            (r#""\\ud800""#, "\\ud800"),
            (r#""\\\ud800""#, "\\\u{fffd}"),
            (r#""é\u0041\ud800é""#, "éA\u{fffd}é"),
        ] {
            assert_eq!(document(body.as_bytes()).expect(body).value, json!(want), "{body}");
        }
        assert!(document(r#""\ud8""#.as_bytes()).is_err());
        assert!(document(r#""\é""#.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn escapes_never_panic(text in r#"("|\\|u|d8|dc|00|é|x){0,24}"#) {
            let _ = json(text.as_bytes());
        }

        #[test]
        fn nothing_panics(body in prop::collection::vec(any::<u8>(), 0..64), text in "[\\[\\]{}:,\"a1é \n]{0,40}") {
            let _ = json(&body);
            let _ = json(text.as_bytes());
        }
    }
}
