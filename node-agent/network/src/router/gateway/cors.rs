//! Which pages of other sites may read answers. Pure: what a rule says, asked for a request's headers.

use super::written::Cors;
use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// How long browsers may keep what they were told, in seconds, unless the rule says otherwise.
const KEPT: u32 = 5;

/// What a rule says.
#[derive(Clone, Debug)]
pub(in crate::router) struct CorsRules {
    origins: Vec<Origin>,
    credentials: bool,
    methods: Vec<String>,
    headers: Vec<String>,
    exposed: Vec<String>,
    kept: u32,
}

#[derive(Clone, Debug)]
enum Origin {
    Any,
    /// A scheme, a port, and a host with what may stand before it.
    Of {
        scheme: String,
        port: u16,
        before: String,
        after: Option<String>,
    },
}

/// Scheme, host and port, the last as the scheme has it unless it is said.
fn parts(origin: &str) -> Option<(String, String, u16)> {
    let (scheme, rest) = origin.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let (host, port) = match rest.rsplit_once(':').filter(|_| !rest.ends_with(']')) {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (rest, if scheme == "https" { 443 } else { 80 }),
    };
    let is_host = !host.is_empty() && !host.contains(['/', '?', '#', '@']);
    is_host.then(|| (scheme, host.to_ascii_lowercase(), port))
}

impl Origin {
    fn read(text: &str) -> Result<Origin, String> {
        if text == "*" {
            return Ok(Origin::Any);
        }
        let (scheme, host, port) =
            parts(text).ok_or_else(|| format!("cors.allowOrigins: {text:?} is no origin"))?;
        Ok(match host.split_once('*') {
            Some((before, after)) if before.is_empty() && !after.contains('*') => {
                Origin::Of { scheme, port, before: String::new(), after: Some(after.to_owned()) }
            }
            Some(_) => return Err(format!("cors.allowOrigins: {text:?} has a * in its midst")),
            None => Origin::Of { scheme, port, before: host, after: None },
        })
    }

    fn is(&self, origin: &str) -> bool {
        let Origin::Of { scheme, port, before, after } = self else { return true };
        let Some((theirs, host, number)) = parts(origin) else { return false };
        let is_host = match after {
            Some(after) => host.len() > after.len() && host.ends_with(after.as_str()),
            None => host == *before,
        };
        *scheme == theirs && *port == number && is_host
    }
}

impl CorsRules {
    /// Reads a filter.
    ///
    /// # Errors
    /// What of it is not carried out.
    pub(super) fn read(written: Cors) -> Result<CorsRules, String> {
        let origins = written.allow_origins.unwrap_or_default();
        let rules = CorsRules {
            origins: origins.iter().map(|one| Origin::read(one)).collect::<Result<_, _>>()?,
            credentials: written.allow_credentials.unwrap_or(false),
            methods: written.allow_methods.unwrap_or_default(),
            headers: written.allow_headers.unwrap_or_default(),
            exposed: written.expose_headers.unwrap_or_default(),
            kept: written.max_age.unwrap_or(KEPT),
        };
        for list in [&rules.methods, &rules.headers, &rules.exposed] {
            if let Some(bad) = list.iter().find(|one| HeaderValue::from_str(one).is_err()) {
                return Err(format!("cors: {bad:?} cannot stand in a header"));
            }
        }
        Ok(rules)
    }

    /// What a browser is told that asks before it sends a request; nothing if the request is another.
    pub(in crate::router) fn asked(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Option<HeaderMap> {
        let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let origin = headers.get(header::ORIGIN)?;
        if method != Method::OPTIONS {
            return None;
        }
        let mut told = HeaderMap::new();
        told.insert(header::VARY, HeaderValue::from_static("Origin"));
        if !self.allows(origin) {
            return Some(told);
        }
        self.tell(origin, &mut told);
        let named = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let lists = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, &self.methods, Some(wanted)),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, &self.headers, named),
        ];
        for (name, list, asked) in lists {
            match list.iter().any(|one| one == "*") {
                true => drop(asked.map(|asked| told.insert(name, asked.clone()))),
                false => put(&mut told, name, list),
            }
        }
        told.insert(header::ACCESS_CONTROL_MAX_AGE, self.kept.into());
        Some(told)
    }

    /// Says in an answer who may read it.
    pub(in crate::router) fn answer(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        for name in [
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
        ] {
            headers.remove(name);
        }
        if let Some(origin) = origin.filter(|origin| self.allows(origin)) {
            self.tell(origin, headers);
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.origins.iter().any(|one| one.is(origin)))
    }

    fn tell(&self, origin: &HeaderValue, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            let allowed = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
        }
        // With credentials a star would be a header's name.
        if !(self.credentials && self.exposed.iter().any(|one| one == "*")) {
            put(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, &self.exposed);
        }
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, list: &[String]) {
    if let Ok(value) = HeaderValue::from_str(&list.join(", "))
        && !list.is_empty()
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rules(written: Value) -> CorsRules {
        CorsRules::read(serde_json::from_value(written).unwrap()).unwrap()
    }

    #[test]
    fn origins() {
        let read = |origin: &str| Origin::read(origin).unwrap();
        for (allowed, origin, expected) in [
            ("https://a.test", "https://a.test", true),
            ("https://a.test", "https://A.test:443", true),
            ("https://a.test", "http://a.test", false),
            ("https://a.test", "https://a.test:8443", false),
            ("https://*.a.test", "https://x.y.a.test", true),
            ("https://*.a.test", "https://a.test", false),
            ("https://*.a.test", "https://xa.test", false),
            ("https://*.a.test", "https://evil.test/.a.test", false),
            ("*", "null", true),
            ("https://*", "https://any.test", true),
            ("https://*", "null", false),
        ] {
            assert_eq!(read(allowed).is(origin), expected, "{allowed} {origin}");
        }
        assert!(Origin::read("https://a*.test").is_err());
    }

    /// Red when a star is told beside credentials.
    #[test]
    fn what_is_asked_for_is_told_instead_of_a_star() {
        let rules =
            rules(json!({"allowOrigins": ["*"], "allowMethods": ["*"], "allowHeaders": ["*"],
            "exposeHeaders": ["*"], "allowCredentials": true}));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("origin", "https://x.test"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-a, x-b"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        assert!(rules.asked(&Method::GET, &headers).is_none());
        let told = rules.asked(&Method::OPTIONS, &headers).unwrap();
        let shown = |name: &str| told.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(shown("access-control-allow-origin"), Some("https://x.test"));
        assert_eq!(shown("access-control-allow-methods"), Some("PUT"));
        assert_eq!(shown("access-control-allow-headers"), Some("x-a, x-b"));
        assert_eq!(shown("access-control-allow-credentials"), Some("true"));
        assert_eq!(shown("access-control-expose-headers"), None);
        assert_eq!(shown("access-control-max-age"), Some("5"));
    }

    #[test]
    fn strangers_are_told_nothing() {
        let rules = rules(json!({"allowOrigins": ["https://a.test"], "exposeHeaders": ["x-a"]}));
        let stranger = HeaderValue::from_static("https://b.test");
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        rules.answer(Some(&stranger), &mut headers);
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        rules.answer(Some(&HeaderValue::from_static("https://a.test")), &mut headers);
        assert_eq!(headers.get(header::ACCESS_CONTROL_EXPOSE_HEADERS).unwrap(), "x-a");
    }
}
