//! URLs, taken apart as Go does.

use leme_meta::quote;
use std::collections::BTreeMap;
use std::sync::Arc;

use leme_meta::url;

use super::{Made, Row, T, TEXTS, run};
use crate::meter::{Fault, Meter};
use crate::value::{Key, List, Map, Value};

/// The parts of a URL that rules ask for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url {
    scheme: String,
    user: Option<String>,
    host: String,
    path: String,
    query: String,
}

macro_rules! row {
    ($name:literal, $member:literal, $arg:expr, $gives:expr, $run:expr) => {
        Row { name: $name, member: $member, args: &[$arg], gives: $gives, run: $run }
    };
}

pub(super) static ROWS: &[Row] = &[
    row!(
        "url",
        false,
        T::Text,
        T::Url,
        run!(Value::Text(text) => meter, {
            meter.letters(text.len())?;
            let url = parse(text).map_err(|why| {
                Fault::said(format!("URL parse error during conversion from string: parse {}: {why}", quote(&**text)))
            })?;
            Ok(Value::Url(Arc::new(url)))
        })
    ),
    row!(
        "isURL",
        false,
        T::Text,
        T::Bool,
        run!(Value::Text(text) => meter, {
            meter.letters(text.len())?;
            Ok(Value::Bool(parse(text).is_ok()))
        })
    ),
    row!(
        "getScheme",
        true,
        T::Url,
        T::Text,
        run!(Value::Url(url) => _meter, Ok(Value::text(url.scheme.as_str())))
    ),
    row!(
        "getHost",
        true,
        T::Url,
        T::Text,
        run!(Value::Url(url) => _meter, Ok(Value::text(url.host.as_str())))
    ),
    row!(
        "getHostname",
        true,
        T::Url,
        T::Text,
        run!(Value::Url(url) => _meter, Ok(Value::text(split(&url.host).0)))
    ),
    row!(
        "getPort",
        true,
        T::Url,
        T::Text,
        run!(Value::Url(url) => _meter, Ok(Value::text(split(&url.host).1)))
    ),
    row!(
        "getEscapedPath",
        true,
        T::Url,
        T::Text,
        run!(Value::Url(url) => meter, {
            meter.letters(url.path.len())?;
            Ok(Value::text(escaped(&url.path)))
        })
    ),
    row!(
        "getQuery",
        true,
        T::Url,
        T::Map(&T::Text, &TEXTS),
        run!(Value::Url(url) => meter, query(&url.query, meter))
    ),
];

/// What is wrong with a text that is to be a URL, if something is.
pub(super) fn wrong(text: &str) -> Option<String> {
    parse(text).err().map(|why| format!("parse {text}: {why}", text = quote(&text)))
}

fn parse(text: &str) -> Result<Url, String> {
    if text.is_empty() {
        return Err("empty url".to_owned());
    }
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let (rest, _) = text.split_once('#').unwrap_or((text, ""));
    let (scheme, rest) = url::scheme(rest)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, query) = (scheme.to_ascii_lowercase(), query.to_owned());
    let nothing = |path: &str| Url {
        scheme: scheme.clone(),
        user: None,
        host: String::new(),
        path: path.to_owned(),
        query: query.clone(),
    };
    if !rest.starts_with('/') {
        return match scheme.as_str() {
            "" => Err("invalid URI for request".to_owned()),
            _ => Ok(nothing("")),
        };
    }
    let authority =
        rest.strip_prefix("//").filter(|_| !scheme.is_empty() || !rest.starts_with("///"));
    let (url, path) = match authority {
        // A request's path may begin with two slashes.
        Some(_) if scheme.is_empty() => (nothing(rest), rest),
        Some(after) => {
            let (user, host, path) = url::authority(after);
            check_host(host)?;
            let user = user.map(str::to_owned);
            (Url { user, host: host.to_owned(), ..nothing(path) }, path)
        }
        None => (nothing(rest), rest),
    };
    check_escapes(path)?;
    Ok(url)
}

fn check_host(host: &str) -> Result<(), String> {
    let port = match host.strip_prefix('[') {
        Some(inside) => inside.rsplit_once(']').ok_or("missing ']' in host")?.1,
        None => host.find(':').map_or("", |at| &host[at..]),
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(digits) {
        return Err(format!("invalid port {port} after host", port = quote(&port)));
    }
    match host.chars().find(|letter| " \"<>\\^`{|}".contains(*letter)) {
        Some(bad) => Err(format!("invalid character {} in host name", quote(&bad.to_string()))),
        None => check_escapes(host),
    }
}

fn check_escapes(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        rest = &rest[at..];
        let hex = |byte: &u8| byte.is_ascii_hexdigit();
        if !rest.as_bytes().get(1..3).is_some_and(|digits| digits.iter().all(hex)) {
            let shown: String = rest.chars().take(3).collect();
            return Err(format!("invalid URL escape {shown}", shown = quote(&shown)));
        }
        rest = &rest[1..];
    }
    Ok(())
}

/// Name and port.
fn split(host: &str) -> (&str, &str) {
    let (name, port) = match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => (&host[..at], &host[at + 1..]),
        _ => (host, ""),
    };
    let inside = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    (inside.unwrap_or(name), port)
}

fn escaped(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@/[]%".contains(&byte);
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match plain(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn unescaped(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

fn query<'a>(text: &str, meter: &mut Meter) -> Made<'a> {
    meter.letters(text.len())?;
    let mut all: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        meter.spend(1)?;
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(key), Some(value)) = (unescaped(key), unescaped(value)) {
            all.entry(key).or_default().push(Value::text(value));
        }
    }
    let entry = |(key, values): (String, Vec<Value<'a>>)| {
        (Key::Text(key.as_str().into()), (Value::text(key), List::own(values)))
    };
    Ok(Value::Map(Map::Own(Arc::new(all.into_iter().map(entry).collect()))))
}
