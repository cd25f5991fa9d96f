//! Which requests a rule is for. Pure: a match as it is written, a request's head, and which of several matches goes first.

use super::written::{GrpcMatch, HttpMatch, Keyed};
use http::{HeaderMap, HeaderName, Method};
use regex::{Regex, RegexBuilder};
use std::borrow::Cow;
use std::cmp::Reverse;

/// The largest program of an expression, in bytes: its time is linear in what it reads.
const LARGEST: usize = 64 * 1024;

/// What is asked of a request to decide where it goes.
#[derive(Clone, Copy, Debug)]
pub(in crate::router) struct Head<'a> {
    pub(in crate::router) method: &'a Method,
    /// As most applications read it.
    pub(in crate::router) path: &'a str,
    pub(in crate::router) query: Option<&'a str>,
    pub(in crate::router) headers: &'a HeaderMap,
}

#[derive(Clone, Debug)]
enum Path {
    /// To the letter.
    Exact(String),
    /// By a whole expression.
    Expression(Regex),
    /// This or below it, without a slash at the end.
    Prefix(String),
    /// What is called so last.
    Last(String),
}

#[derive(Clone, Debug)]
enum Text {
    Exact(String),
    Expression(Regex),
}

impl Text {
    fn read(one: &Keyed) -> Result<Text, String> {
        match one.r#type.as_deref().unwrap_or("Exact") {
            "Exact" => Ok(Text::Exact(one.value.clone())),
            "RegularExpression" => expression(&one.value).map(Text::Expression),
            other => Err(format!("the type {other:?} is not known")),
        }
    }

    fn is(&self, text: &str) -> bool {
        match self {
            Text::Exact(wanted) => wanted == text,
            Text::Expression(expression) => expression.is_match(text),
        }
    }
}

/// An expression that has to fit a whole text.
fn expression(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(LARGEST).build();
    built.map_err(|_| format!("{text:?} is no regular expression, or too large a one"))
}

/// One match.
#[derive(Clone, Debug)]
pub(in crate::router) struct Match {
    path: Path,
    method: Option<Method>,
    headers: Vec<(HeaderName, Text)>,
    query: Vec<(String, Text)>,
}

/// The order of matches: the smallest goes first.
pub(in crate::router) type Rank =
    (u8, Reverse<usize>, Reverse<bool>, Reverse<usize>, Reverse<usize>);

impl Match {
    /// Reads a match of an HTTPRoute.
    ///
    /// # Errors
    /// What of it is not carried out.
    pub(in crate::router) fn of_http(written: &HttpMatch) -> Result<Match, String> {
        let (kind, value) = match &written.path {
            None => ("PathPrefix", "/"),
            Some(path) => (
                path.r#type.as_deref().unwrap_or("PathPrefix"),
                path.value.as_deref().unwrap_or("/"),
            ),
        };
        let path = match kind {
            "Exact" => Path::Exact(value.to_owned()),
            "PathPrefix" => Path::Prefix(value.trim_end_matches('/').to_owned()),
            "RegularExpression" => Path::Expression(expression(value)?),
            other => return Err(format!("matches.path.type: {other:?} is not known")),
        };
        let method = written.method.as_deref().map(|method| {
            method.parse().map_err(|_| format!("matches.method: {method:?} is no method"))
        });
        Ok(Match {
            path,
            method: method.transpose()?,
            headers: headers(written.headers.as_deref().unwrap_or_default())?,
            query: query(written.query_params.as_deref().unwrap_or_default())?,
        })
    }

    /// Reads a match of a GRPCRoute.
    ///
    /// # Errors
    /// What of it is not carried out.
    pub(in crate::router) fn of_grpc(written: &GrpcMatch) -> Result<Match, String> {
        let method = written.method.clone().unwrap_or_default();
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (service, name) = (given(method.service), given(method.method));
        let path = match (method.r#type.as_deref().unwrap_or("Exact"), service, name) {
            (_, None, None) => Path::Prefix(String::new()),
            ("Exact", Some(service), Some(name)) => Path::Exact(format!("/{service}/{name}")),
            ("Exact", Some(service), None) => Path::Prefix(format!("/{service}")),
            ("Exact", None, Some(name)) => Path::Last(name),
            ("RegularExpression", service, name) => {
                let any = || "[^/]+".to_owned();
                let (service, name) = (service.unwrap_or_else(any), name.unwrap_or_else(any));
                Path::Expression(expression(&format!("/(?:{service})/(?:{name})"))?)
            }
            (other, ..) => return Err(format!("matches.method.type: {other:?} is not known")),
        };
        let headers = headers(written.headers.as_deref().unwrap_or_default())?;
        Ok(Match { path, method: None, headers, query: Vec::new() })
    }

    /// What matches everything.
    pub(in crate::router) fn everything() -> Match {
        let path = Path::Prefix(String::new());
        Match { path, method: None, headers: Vec::new(), query: Vec::new() }
    }

    /// The prefix that it asks for, without a slash at the end, if it asks for one.
    pub(in crate::router) fn prefix(&self) -> Option<&str> {
        match &self.path {
            Path::Prefix(prefix) => Some(prefix),
            _ => None,
        }
    }

    /// Where it stands among others: exact paths, expressions, then the longest prefix; then who asks for more.
    pub(in crate::router) fn rank(&self) -> Rank {
        let (kind, length) = match &self.path {
            Path::Exact(path) => (0, path.len()),
            Path::Expression(expression) => (1, expression.as_str().len()),
            Path::Prefix(prefix) => (2, prefix.len()),
            Path::Last(name) => (2, name.len()),
        };
        let (headers, query) = (self.headers.len(), self.query.len());
        (kind, Reverse(length), Reverse(self.method.is_some()), Reverse(headers), Reverse(query))
    }

    /// Whether a request is meant.
    pub(in crate::router) fn is_for(&self, head: &Head<'_>) -> bool {
        self.is_path(head.path)
            && self.method.as_ref().is_none_or(|method| method == head.method)
            && self
                .headers
                .iter()
                .all(|(name, text)| header(head.headers, name).is_some_and(|value| text.is(&value)))
            && self.query.iter().all(|(name, text)| {
                parameter(head.query, name).is_some_and(|value| text.is(&value))
            })
    }

    fn is_path(&self, path: &str) -> bool {
        match &self.path {
            Path::Exact(wanted) => wanted == path,
            Path::Expression(expression) => expression.is_match(path),
            Path::Prefix(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Path::Last(name) => path.rsplit('/').next() == Some(name),
        }
    }
}

/// Of several conditions on one header only the first counts.
fn headers(written: &[Keyed]) -> Result<Vec<(HeaderName, Text)>, String> {
    let mut all: Vec<(HeaderName, Text)> = Vec::new();
    for one in written {
        let name: HeaderName =
            one.name.parse().map_err(|_| format!("{:?} is not a header name", one.name))?;
        if !all.iter().any(|(known, _)| *known == name) {
            let text = Text::read(one).map_err(|why| format!("matches.headers: {why}"))?;
            all.push((name, text));
        }
    }
    Ok(all)
}

fn query(written: &[Keyed]) -> Result<Vec<(String, Text)>, String> {
    let mut all: Vec<(String, Text)> = Vec::new();
    for one in written {
        if !all.iter().any(|(known, _)| *known == one.name) {
            let text = Text::read(one).map_err(|why| format!("matches.queryParams: {why}"))?;
            all.push((one.name.clone(), text));
        }
    }
    Ok(all)
}

/// A header's value; of one that is there more than once all, with commas between.
fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).iter().map(|value| value.to_str());
    let first = values.next()?.ok()?;
    let Some(second) = values.next() else { return Some(Cow::Borrowed(first)) };
    let mut all = format!("{first},{}", second.ok()?);
    for value in values {
        all.push(',');
        all.push_str(value.ok()?);
    }
    Some(Cow::Owned(all))
}

/// The first value of a parameter.
fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.into_iter().find_map(|(key, value)| (decoded(key) == name).then(|| decoded(value)))
}

/// A part of a query, read as forms write it.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match (byte, hex.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(written: Value) -> Match {
        Match::of_http(&serde_json::from_value(written).unwrap()).unwrap()
    }

    fn is_for(written: Value, method: &str, target: &str, headers: &[(&str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let method: Method = method.parse().unwrap();
        read(written).is_for(&Head { method: &method, path, query, headers: &map })
    }

    #[test]
    fn paths() {
        for (kind, value, path, expected) in [
            ("Exact", "/one", "/one", true),
            ("Exact", "/one", "/one/", false),
            ("Exact", "/one", "/ONE", false),
            ("PathPrefix", "/one", "/one", true),
            ("PathPrefix", "/one/", "/one", true),
            ("PathPrefix", "/one", "/one/two", true),
            ("PathPrefix", "/one", "/onetwo", false),
            ("PathPrefix", "/", "/any", true),
            ("RegularExpression", "/v[0-9]+/.*", "/v12/x", true),
            ("RegularExpression", "/v[0-9]+", "/v12/x", false),
        ] {
            let written = json!({"path": {"type": kind, "value": value}});
            assert_eq!(is_for(written, "GET", path, &[]), expected, "{kind} {value} {path}");
        }
        let large = json!({"path": {"type": "RegularExpression", "value": "(a{1000}){1000}"}});
        assert!(Match::of_http(&serde_json::from_value(large).unwrap()).is_err());
    }

    #[test]
    fn headers_parameters_and_methods() {
        let header = |kind: &str, value: &str| {
            json!({"headers": [
            {"type": kind, "name": "X-Color", "value": value}, {"name": "x-color", "value": "no"}]})
        };
        assert!(is_for(header("Exact", "blue"), "GET", "/", &[("x-color", "blue")]));
        assert!(!is_for(header("Exact", "blue"), "GET", "/", &[("x-color", "Blue")]));
        assert!(is_for(header("Exact", "a,b"), "GET", "/", &[("x-color", "a"), ("x-color", "b")]));
        assert!(is_for(header("RegularExpression", "b.*e"), "GET", "/", &[("x-color", "blue")]));
        assert!(!is_for(header("Exact", "blue"), "GET", "/", &[]));
        let query = json!({"queryParams": [{"name": "animal", "value": "a whale"}]});
        assert!(is_for(query.clone(), "GET", "/?x&animal=a+wh%61le&animal=b", &[]));
        assert!(!is_for(query, "GET", "/?Animal=a+whale", &[]));
        assert!(is_for(json!({"method": "PUT"}), "PUT", "/", &[]));
        assert!(!is_for(json!({"method": "PUT"}), "GET", "/", &[]));
    }

    /// Red when the order is another than upstream's.
    #[test]
    fn who_asks_for_more_goes_first() {
        let header = json!([{"name": "a", "value": "1"}]);
        let ordered = [
            json!({"path": {"type": "Exact", "value": "/a"}}),
            json!({"path": {"type": "RegularExpression", "value": "/a.*"}}),
            json!({"path": {"type": "PathPrefix", "value": "/a/b"}}),
            json!({"path": {"type": "PathPrefix", "value": "/a"}, "method": "GET"}),
            json!({"path": {"type": "PathPrefix", "value": "/a"}, "headers": header}),
            json!({"path": {"type": "PathPrefix", "value": "/a"}, "queryParams": header}),
            json!({"path": {"type": "PathPrefix", "value": "/a"}}),
            json!({}),
        ];
        assert!(ordered.map(|one| read(one).rank()).is_sorted());
    }
}
