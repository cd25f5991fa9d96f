//! URLs taken apart as Go does, and the rules for those that clients call.
//!
//! Knows: the parts of a URL, and what makes none of it. Refuses to know: what answers there.

use leme_meta::quote;
use leme_meta::{FieldError, Path, url};

use crate::check::Errors;

/// The parts of a URL that rules ask for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Url<'a> {
    /// What stands before the first colon.
    pub(crate) scheme: String,
    /// User and password.
    pub(crate) user: Option<&'a str>,
    /// Host and port.
    pub(crate) host: &'a str,
    /// What follows the question mark.
    pub(crate) query: &'a str,
    /// What follows the number sign.
    pub(crate) fragment: &'a str,
    /// What follows the host.
    pub(crate) path: &'a str,
}

/// The parts of a URL, or what Go's parser says of it.
pub(crate) fn parse(text: &str) -> Result<Url<'_>, String> {
    parts(text).map_err(|why| format!("parse {text}: {why}", text = quote(&text)))
}

fn parts(text: &str) -> Result<Url<'_>, String> {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let (scheme, rest) = url::scheme(rest)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut url = Url { scheme: scheme.to_lowercase(), query, fragment, ..Url::default() };
    if !rest.starts_with('/') {
        if scheme.is_empty() && rest.split('/').next().is_some_and(|first| first.contains(':')) {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
        url.path = if scheme.is_empty() { rest } else { "" };
        return Ok(url);
    }
    let with_host = !scheme.is_empty() || !rest.starts_with("///");
    let Some(after) = rest.strip_prefix("//").filter(|_| with_host) else {
        return Ok(Url { path: rest, ..url });
    };
    let (user, host, path) = url::authority(after);
    check_host(host)?;
    Ok(Url { user, host, path, ..url })
}

fn check_host(host: &str) -> Result<(), String> {
    let port = match host.strip_prefix('[') {
        Some(inside) => match inside.rsplit_once(']') {
            Some((_, port)) => port,
            None => return Err("missing ']' in host".to_owned()),
        },
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let valid = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    if !valid {
        return Err(format!("invalid port {port} after host", port = quote(&port)));
    }
    match host.chars().find(|char| matches!(char, ' ' | '\\' | '^' | '`' | '{' | '|' | '}')) {
        Some(bad) => Err(format!("invalid character {} in host name", quote(&bad.to_string()))),
        None => Ok(()),
    }
}

/// All that is wrong with the URL of a webhook.
pub(crate) fn webhook(text: &str, path: &Path, errors: &mut Errors) {
    const FORM: &str = "; desired format: https://host[/path]";
    let url = match parse(text) {
        Ok(url) => url,
        Err(why) => {
            let why = format!("url must be a valid URL: {why}{FORM}");
            errors.push(FieldError::required(path, &why));
            return;
        }
    };
    let scheme = format!("'https' is the only allowed URL scheme{FORM}");
    let host = format!("host must be specified{FORM}");
    let rules = [
        (url.scheme != "https", url.scheme.as_str(), scheme.as_str()),
        (url.host.is_empty(), url.host, &host),
        (
            url.user.is_some(),
            url.user.unwrap_or(""),
            "user information is not permitted in the URL",
        ),
        (!url.fragment.is_empty(), url.fragment, "fragments are not permitted in the URL"),
        (!url.query.is_empty(), url.query, "query parameters are not permitted in the URL"),
    ];
    for (_, value, why) in rules.into_iter().filter(|(wrong, ..)| *wrong) {
        errors.push(FieldError::invalid(path, value, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_fall_apart_as_in_go() {
        let url = parse("HTTPS://u:p@h.test:8/a/b?q=1#f").expect("a URL");
        let want = Url {
            scheme: "https".to_owned(),
            user: Some("u:p"),
            host: "h.test:8",
            query: "q=1",
            fragment: "f",
            path: "/a/b",
        };
        assert_eq!(url, want);
        assert_eq!(parse("/a").expect("a path").path, "/a");
        assert_eq!(parse("mailto:x").expect("opaque").host, "");
    }

    #[test]
    fn what_is_no_url_is_told_in_words_of_go() {
        for (text, why) in [
            (":a", r#"parse ":a": missing protocol scheme"#),
            ("1:a", r#"parse "1:a": first path segment in URL cannot contain colon"#),
            ("https://h:x/", r#"parse "https://h:x/": invalid port ":x" after host"#),
            ("https://[::1", r#"parse "https://[::1": missing ']' in host"#),
            ("https://a b/", r#"parse "https://a b/": invalid character " " in host name"#),
            ("a\tb", r#"parse "a\tb": net/url: invalid control character in URL"#),
        ] {
            assert_eq!(parse(text), Err(why.to_owned()));
        }
    }
}
