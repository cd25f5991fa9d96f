//! What happens to requests and answers on their way. Pure: filters as they are written, in a form that costs nothing to apply.

use super::super::actions::Action;
use super::cors::CorsRules;
use super::kinds::Reference;
use super::written::{Filter, HeaderModifier, Mirror, PathModifier, Redirect};
use http::StatusCode;

/// What is in place of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::router) enum PathChange {
    /// This, whatever was asked for.
    Whole(String),
    /// This in place of the prefix that the rule asks for.
    Prefix(String),
}

impl PathChange {
    fn read(written: PathModifier) -> Result<PathChange, String> {
        let (full, prefix) = (written.replace_full_path, written.replace_prefix_match);
        let change = match (written.r#type.as_str(), full, prefix) {
            ("ReplaceFullPath", Some(path), None) => PathChange::Whole(path),
            ("ReplacePrefixMatch", None, Some(path)) => PathChange::Prefix(path),
            (other, ..) => {
                return Err(format!(
                    "path.type: {other:?} is not known, or what it needs is not there"
                ));
            }
        };
        let (PathChange::Whole(path) | PathChange::Prefix(path)) = &change;
        let is_path = path.is_empty() || path.starts_with('/');
        if !is_path || path.contains(|c: char| c == '?' || c == '#' || c == ' ' || c.is_control()) {
            return Err(format!("path: {path:?} is not a path"));
        }
        Ok(change)
    }

    /// Where a path leads, of a rule with this prefix.
    pub(in crate::router) fn apply(&self, path: &str, prefix: Option<&str>) -> String {
        let changed = match self {
            PathChange::Whole(path) => path.clone(),
            PathChange::Prefix(target) => {
                let rest = path.strip_prefix(prefix.unwrap_or_default()).unwrap_or(path);
                format!("{}{rest}", target.trim_end_matches('/'))
            }
        };
        if changed.starts_with('/') { changed } else { format!("/{changed}") }
    }
}

/// Where clients are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::router) struct RedirectTo {
    pub(in crate::router) scheme: Option<String>,
    pub(in crate::router) host: Option<String>,
    pub(in crate::router) port: Option<u16>,
    pub(in crate::router) path: Option<PathChange>,
    pub(in crate::router) code: StatusCode,
}

impl RedirectTo {
    fn read(written: Redirect) -> Result<RedirectTo, String> {
        let scheme = written.scheme.map(|scheme| scheme.to_ascii_lowercase());
        if let Some(scheme) = scheme.as_deref().filter(|scheme| !["http", "https"].contains(scheme))
        {
            return Err(format!("requestRedirect.scheme: {scheme:?} is not known"));
        }
        let code = written.status_code.unwrap_or(302);
        if ![301, 302, 303, 307, 308].contains(&code) {
            return Err(format!("requestRedirect.statusCode: {code} is not known"));
        }
        let path = written.path.map(PathChange::read).transpose();
        Ok(RedirectTo {
            scheme,
            host: written.hostname.filter(|host| !host.is_empty()),
            port: written.port,
            path: path.map_err(|why| format!("requestRedirect.{why}"))?,
            code: StatusCode::from_u16(code).unwrap_or(StatusCode::FOUND),
        })
    }

    /// The address that clients are sent to, who came by `scheme` to `host` and `port`.
    pub(in crate::router) fn location(
        &self,
        (scheme, host, port): (&str, &str, u16),
        path: &str,
        query: Option<&str>,
        prefix: Option<&str>,
    ) -> String {
        let usual = |scheme: &str| if scheme == "https" { 443 } else { 80 };
        // Who is sent to another scheme comes to its own port.
        let port = self.port.unwrap_or_else(|| self.scheme.as_deref().map_or(port, usual));
        let scheme = self.scheme.as_deref().unwrap_or(scheme);
        let host = self.host.as_deref().unwrap_or(host);
        let changed = self.path.as_ref().map(|change| change.apply(path, prefix));
        let same = if path.starts_with('/') { path } else { "/" };
        let path = changed.as_deref().unwrap_or(same);
        let port = if port == usual(scheme) { String::new() } else { format!(":{port}") };
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        format!("{scheme}://{host}{port}{path}{query}")
    }
}

/// Who gets a copy of some requests.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::router) struct MirrorTo {
    pub(in crate::router) to: Reference,
    /// Of so many requests,
    pub(in crate::router) of: u32,
    /// so many.
    pub(in crate::router) some: u32,
}

impl MirrorTo {
    fn read(written: Mirror) -> Result<MirrorTo, String> {
        let (some, of) = match (written.percent, written.fraction) {
            (None, None) => (1, 1),
            (Some(percent), None) => (percent, 100),
            (None, Some(fraction)) => (fraction.numerator, fraction.denominator.unwrap_or(100)),
            (Some(_), Some(_)) => return Err("requestMirror: percent and fraction".to_owned()),
        };
        if of == 0 || some > of {
            return Err(format!("requestMirror: {some} of {of} is no part"));
        }
        Ok(MirrorTo { to: written.backend_ref, of, some })
    }
}

/// Filters of a rule or of one of its backends.
#[derive(Clone, Debug, Default)]
pub(in crate::router) struct Filters {
    pub(in crate::router) request: Vec<Action>,
    pub(in crate::router) response: Vec<Action>,
    pub(in crate::router) redirect: Option<RedirectTo>,
    pub(in crate::router) host: Option<String>,
    pub(in crate::router) path: Option<PathChange>,
    pub(in crate::router) mirrors: Vec<MirrorTo>,
    pub(in crate::router) cors: Option<CorsRules>,
}

impl Filters {
    /// Reads filters.
    ///
    /// # Errors
    /// The first that is not carried out, and why.
    pub(super) fn read(written: Vec<Filter>) -> Result<Filters, String> {
        let mut filters = Filters::default();
        let mut seen: Vec<String> = Vec::new();
        for filter in written {
            let kind = filter.r#type.clone();
            if kind != "RequestMirror" && seen.contains(&kind) {
                return Err(format!("filters: {kind} is there twice"));
            }
            filters.take(filter).map_err(|why| format!("filters: {why}"))?;
            seen.push(kind);
        }
        if filters.redirect.is_some() && (filters.host.is_some() || filters.path.is_some()) {
            return Err("filters: RequestRedirect and URLRewrite exclude each other".to_owned());
        }
        Ok(filters)
    }

    fn take(&mut self, filter: Filter) -> Result<(), String> {
        let missing = || format!("what {} needs is not there", filter.r#type);
        match filter.r#type.as_str() {
            "RequestHeaderModifier" => {
                let modifier = filter.request_header_modifier.ok_or_else(missing)?;
                self.request.extend(actions(modifier)?);
            }
            "ResponseHeaderModifier" => {
                let modifier = filter.response_header_modifier.ok_or_else(missing)?;
                self.response.extend(actions(modifier)?);
            }
            "RequestMirror" => {
                let mirror = filter.request_mirror.ok_or_else(missing)?;
                self.mirrors.push(MirrorTo::read(mirror)?);
            }
            "RequestRedirect" => {
                let redirect = filter.request_redirect.ok_or_else(missing)?;
                self.redirect = Some(RedirectTo::read(redirect)?);
            }
            "URLRewrite" => {
                let rewrite = filter.url_rewrite.ok_or_else(missing)?;
                self.host = rewrite.hostname.filter(|host| !host.is_empty());
                let path = rewrite.path.map(PathChange::read).transpose();
                self.path = path.map_err(|why| format!("urlRewrite.{why}"))?;
            }
            "CORS" => self.cors = Some(CorsRules::read(filter.cors.ok_or_else(missing)?)?),
            other => return Err(format!("{other} is not carried out here")),
        }
        Ok(())
    }
}

fn actions(modifier: HeaderModifier) -> Result<Vec<Action>, String> {
    let set = modifier.set.unwrap_or_default();
    let add = modifier.add.unwrap_or_default();
    let remove = modifier.remove.unwrap_or_default();
    let names = set.iter().chain(&add).map(|header| &header.name).chain(&remove);
    if let Some(name) = names.into_iter().find(|name| name.eq_ignore_ascii_case("host")) {
        return Err(format!("the header {name} is changed by urlRewrite.hostname alone"));
    }
    let set = set.iter().map(|header| Action::set(&header.name, &header.value));
    let add = add.iter().map(|header| Action::add(&header.name, &header.value));
    let remove = remove.iter().map(|name| Action::remove(name));
    set.chain(add).chain(remove).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::actions::apply;
    use super::*;
    use http::HeaderMap;
    use serde_json::{Value, json};

    fn read(written: Value) -> Result<Filters, String> {
        serde_json::from_value(written).map_err(|error| error.to_string()).and_then(Filters::read)
    }

    #[test]
    fn prefixes_are_replaced() {
        for (path, prefix, target, expected) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo", "", "/xyz", "/xyz/foo"),
        ] {
            let changed = PathChange::Prefix(target.to_owned()).apply(path, Some(prefix));
            assert_eq!(changed, expected, "{path} {prefix} {target}");
        }
    }

    #[test]
    fn where_clients_are_sent() {
        for (written, from, expected) in [
            (json!({}), ("http", 80), "http://x.test/a?b"),
            (json!({}), ("http", 8080), "http://x.test:8080/a?b"),
            (json!({"port": 80}), ("http", 8080), "http://x.test/a?b"),
            (json!({"port": 8080}), ("http", 80), "http://x.test:8080/a?b"),
            (json!({"scheme": "https"}), ("http", 8080), "https://x.test/a?b"),
            (json!({"scheme": "https", "port": 8443}), ("http", 80), "https://x.test:8443/a?b"),
            (json!({"scheme": "http"}), ("https", 443), "http://x.test/a?b"),
            (json!({"hostname": "y.test"}), ("https", 443), "https://y.test/a?b"),
            (
                json!({"path": {"type": "ReplaceFullPath", "replaceFullPath": "/c"}}),
                ("http", 80),
                "http://x.test/c?b",
            ),
        ] {
            let filter = json!([{"type": "RequestRedirect", "requestRedirect": written}]);
            let redirect = read(filter).unwrap().redirect.unwrap();
            let shown = redirect.location((from.0, "x.test", from.1), "/a", Some("b"), None);
            assert_eq!(shown, expected, "{written}");
        }
    }

    #[test]
    fn headers_are_set_added_and_removed() {
        let filters = read(json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": {
            "set": [{"name": "X-Set", "value": "100%"}], "add": [{"name": "X-Add", "value": "b"}],
            "remove": ["X-Gone"]}}]));
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-set", "old"), ("x-add", "a"), ("x-gone", "1")] {
            headers.append(name, value.parse().unwrap());
        }
        apply(&filters.unwrap().request, &mut headers);
        let mut shown: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        shown.sort();
        assert_eq!(shown, ["x-add: a", "x-add: b", "x-set: 100%"]);
    }

    /// Red when a filter that nobody carries out is passed over.
    #[test]
    fn what_is_not_carried_out_is_named() {
        let modifier = |name: &str| {
            json!([{"type": "RequestHeaderModifier",
            "requestHeaderModifier": {"set": [{"name": name, "value": "1"}]}}])
        };
        for (written, part) in [
            (
                json!([{"type": "ExtensionRef", "extensionRef": {}}]),
                "ExtensionRef is not carried out",
            ),
            (json!([{"type": "ExternalAuth"}]), "ExternalAuth is not carried out"),
            (json!([{"type": "URLRewrite"}]), "what URLRewrite needs is not there"),
            (modifier("Host"), "urlRewrite.hostname"),
            (modifier("Content-Length"), "belongs to the connection"),
            (json!([{"type": "RequestRedirect", "requestRedirect": {"statusCode": 304}}]), "304"),
            (
                json!([{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "a"},
                    "fraction": {"numerator": 3, "denominator": 2}}}]),
                "3 of 2",
            ),
        ] {
            let error = read(written).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
