//! Headers that a Route sets or deletes on the way to the application and back. Pure: reads `spec.httpHeaders`, changes a header
//! map. Values are text in which `%%` is a percent sign and `%[req.hdr(NAME),lower,base64]` stands for a header that is there.
//!
//! Refuses to touch what frames a message: that is the router's own.

use base64::Engine;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

/// `spec.httpHeaders`.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HttpHeaders {
    actions: Option<Lists>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Lists {
    request: Option<Vec<Raw>>,
    response: Option<Vec<Raw>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    action: RawAction,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAction {
    r#type: String,
    set: Option<RawSet>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSet {
    value: String,
}

/// What happens to one header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action {
    name: HeaderName,
    /// The new value; none deletes the header.
    value: Option<Vec<Piece>>,
    /// Whether the value comes to those that are there.
    adds: bool,
}

impl Action {
    /// What gives a header this value, as it is written.
    pub(super) fn set(name: &str, value: &str) -> Result<Action, String> {
        let name = changeable(name)?;
        HeaderValue::from_str(value).map_err(|_| "the value is not one of a header".to_owned())?;
        Ok(Action { name, value: Some(vec![Piece::Text(value.to_owned())]), adds: false })
    }

    /// What gives a header this value besides those that it has.
    pub(super) fn add(name: &str, value: &str) -> Result<Action, String> {
        Action::set(name, value).map(|action| Action { adds: true, ..action })
    }

    /// What deletes a header.
    pub(super) fn remove(name: &str) -> Result<Action, String> {
        Ok(Action { name: changeable(name)?, value: None, adds: false })
    }
}

/// A header that may be changed.
fn changeable(name: &str) -> Result<HeaderName, String> {
    let name: HeaderName = name.parse().map_err(|_| format!("{name:?} is not a header name"))?;
    match FRAMING.contains(&name.as_str()) {
        true => Err(format!("the header {name} belongs to the connection and is not changed here")),
        false => Ok(name),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Sample(Sample),
}

/// A value taken from the message itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sample {
    /// The header; none for the client's certificate, which plain HTTP never has.
    header: Option<HeaderName>,
    converters: Vec<Converter>,
    quoted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Converter {
    Lower,
    Base64,
}

/// The actions on requests and on responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Actions {
    pub(super) request: Vec<Action>,
    pub(super) response: Vec<Action>,
}

impl Actions {
    /// Whether nothing happens to any header.
    pub(super) fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }
}

/// Where a message ends and who speaks to whom is not for a Route to say.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Actions {
    /// Reads the actions; the error names the first that this router does not carry out.
    pub(super) fn read(headers: HttpHeaders) -> Result<Actions, String> {
        let lists = headers.actions.unwrap_or_default();
        let read = |list: Option<Vec<Raw>>, side: &str, prefix: &str| {
            let all = list.unwrap_or_default().into_iter().enumerate();
            let one = |(index, raw): (usize, Raw)| {
                let at = format!("spec.httpHeaders.actions.{side}[{index}]");
                action(raw, prefix).map_err(|why| format!("{at}: {why}"))
            };
            all.map(one).collect::<Result<Vec<_>, _>>()
        };
        Ok(Actions {
            request: read(lists.request, "request", "req.hdr(")?,
            response: read(lists.response, "response", "res.hdr(")?,
        })
    }
}

fn action(raw: Raw, prefix: &str) -> Result<Action, String> {
    let name = changeable(&raw.name)?;
    let value = match (raw.action.r#type.as_str(), raw.action.set) {
        ("Delete", None) => None,
        ("Set", Some(set)) => Some(pieces(&set.value, prefix)?),
        (other, _) => {
            return Err(format!("the action {other:?} is not known, or `set` does not fit it"));
        }
    };
    Ok(Action { name, value, adds: false })
}

fn pieces(value: &str, prefix: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(plain) = after.strip_prefix('%') {
            text.push('%');
            rest = plain;
            continue;
        }
        let (sample, left) = sample(after, prefix).ok_or_else(|| {
            "a value uses a % expression that this router does not know".to_owned()
        })?;
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(Piece::Sample(sample));
        rest = left;
    }
    text.push_str(rest);
    if !text.is_empty() {
        HeaderValue::from_str(&text).map_err(|_| "the value is not one of a header".to_owned())?;
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// Reads `{+Q}[req.hdr(NAME),CONVERTER,...]` and gives what follows it.
fn sample<'a>(text: &'a str, prefix: &str) -> Option<(Sample, &'a str)> {
    let mut quoted = false;
    let mut rest = text;
    if let Some(flags) = rest.strip_prefix('{') {
        let (flags, after) = flags.split_once('}')?;
        for flag in flags.split(',') {
            quoted = match flag {
                "Q" | "+Q" => true,
                "-Q" => false,
                "-X" | "-E" => quoted,
                _ => return None,
            };
        }
        rest = after;
    }
    let (body, after) = rest.strip_prefix('[')?.split_once(']')?;
    let mut parts = body.split(',');
    let header = match parts.next()? {
        "ssl_c_der" => None,
        fetch => Some(fetch.strip_prefix(prefix)?.strip_suffix(')')?.parse().ok()?),
    };
    let converters = parts.map(|part| match part {
        "lower" => Some(Converter::Lower),
        "base64" => Some(Converter::Base64),
        _ => None,
    });
    Some((Sample { header, converters: converters.collect::<Option<_>>()?, quoted }, after))
}

/// Applies `actions` in their order; a value sees what those before it did.
pub(super) fn apply(actions: &[Action], headers: &mut HeaderMap) {
    for action in actions {
        // What a header brought along may not fit into another: then there is none, rather than the old one.
        let value = action.value.as_ref().and_then(|pieces| render(pieces, headers));
        match value {
            Some(value) if action.adds => drop(headers.append(action.name.clone(), value)),
            Some(value) => drop(headers.insert(action.name.clone(), value)),
            None => drop(headers.remove(&action.name)),
        }
    }
}

fn render(pieces: &[Piece], headers: &HeaderMap) -> Option<HeaderValue> {
    let mut bytes = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => bytes.extend_from_slice(text.as_bytes()),
            Piece::Sample(sample) => bytes.extend(sample.take(headers)),
        }
    }
    HeaderValue::from_bytes(&bytes).ok()
}

impl Sample {
    fn take(&self, headers: &HeaderMap) -> Vec<u8> {
        let last = self.header.as_ref().and_then(|name| headers.get_all(name).iter().next_back());
        let mut value =
            last.map(|value| last_element(value.as_bytes()).to_vec()).unwrap_or_default();
        for converter in &self.converters {
            match converter {
                Converter::Lower => value.make_ascii_lowercase(),
                Converter::Base64 => {
                    value = base64::engine::general_purpose::STANDARD.encode(&value).into_bytes();
                }
            }
        }
        if self.quoted {
            value.insert(0, b'"');
            value.push(b'"');
        }
        value
    }
}

/// The last element of a list with commas, of which those in quotes do not count.
fn last_element(value: &[u8]) -> &[u8] {
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (index, byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => start = index + 1,
            _ => {}
        }
    }
    value.get(start..).unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(request: Value) -> Result<Actions, String> {
        let headers = json!({"actions": {"request": request}});
        serde_json::from_value(headers).map_err(|e| e.to_string()).and_then(Actions::read)
    }

    fn set(name: &str, value: &str) -> Value {
        json!({"name": name, "action": {"type": "Set", "set": {"value": value}}})
    }

    #[test]
    fn set_and_delete_in_order() {
        let actions = read(json!([
            set("X-New", "100%% of %[req.hdr(X-Old),lower]"),
            {"name": "x-old", "action": {"type": "Delete"}},
            set("X-Gone", "<%[req.hdr(X-Old)]>"),
            set("X-Both", "%{+Q}[req.hdr(Accept),base64]%[ssl_c_der]"),
            set("X-Once", "1"),
        ]));
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("x-old", "A, B"), ("accept", "one, \"two, three\""), ("x-once", "2"), ("x-once", "3")]
        {
            headers.append(name, value.parse().unwrap());
        }
        apply(&actions.unwrap().request, &mut headers);
        let mut shown: Vec<_> =
            headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        shown.sort();
        assert_eq!(
            shown,
            [
                "accept: one, \"two, three\"",
                "x-both: \"InR3bywgdGhyZWUi\"",
                "x-gone: <>",
                "x-new: 100% of b",
                "x-once: 1"
            ]
        );
    }

    #[test]
    fn what_is_not_carried_out_is_named() {
        for (request, part) in [
            (
                json!([set("X-A", "1"), set("Content-Length", "5")]),
                "request[1]: the header content-length",
            ),
            (json!([set("X-A", "%{+E}[req.hdr(X)]")]), "request[0]: a value uses a % expression"),
            (json!([set("X-A", "%[res.hdr(X)]")]), "request[0]: a value uses a % expression"),
            (
                json!([{"name": "a", "action": {"type": "Append"}}]),
                "request[0]: the action \"Append\"",
            ),
            (json!([{"name": "a", "action": {"type": "Set"}}]), "request[0]: the action \"Set\""),
            (json!([{"name": "a b", "action": {"type": "Delete"}}]), "is not a header name"),
            (json!([{"name": "a", "if": 1, "action": {"type": "Delete"}}]), "unknown field `if`"),
        ] {
            let error = read(request).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
