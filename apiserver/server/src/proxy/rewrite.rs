//! References in answers, so that they lead through the proxy again.
//!
//! Knows: which references mean the backend. Refuses to know: where they stand.

/// The place that a backend is reached at.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// Path of the proxy, before the backend's own.
    pub(super) prepend: String,
    /// Host and port of the backend.
    pub(super) backend: String,
    /// Host that the client asked for.
    pub(super) host: String,
}

/// A reference in its parts.
struct Reference<'a> {
    scheme: &'a str,
    host: &'a str,
    path: &'a str,
    /// Query and fragment, with their marks.
    tail: &'a str,
}

impl<'a> Reference<'a> {
    fn of(text: &'a str) -> Reference<'a> {
        let (scheme, rest) = scheme(text);
        let (host, rest) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None => ("", rest),
        };
        let (path, tail) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
        Reference { scheme, host, path, tail }
    }
}

/// The scheme, without its colon, and what follows.
fn scheme(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
    match end {
        Some(end)
            if text[end..].starts_with(':')
                && text.starts_with(|c: char| c.is_ascii_alphabetic()) =>
        {
            (&text[..end], &text[end + 1..])
        }
        _ => ("", text),
    }
}

impl Site {
    /// The reference as the client shall see it. Relative ones, and those to other hosts, stay as they are.
    pub(super) fn rewritten(&self, text: &str) -> String {
        let reference = Reference::of(text);
        let Reference { scheme, host, path, tail } = reference;
        let elsewhere = !host.is_empty() && host != self.backend && host != self.host;
        if elsewhere || !path.starts_with('/') {
            return text.to_owned();
        }
        // What names the client's own host keeps it; what names the backend becomes a path.
        let before = match (host.is_empty() || host != self.host, scheme) {
            (true, _) => String::new(),
            (false, "") => format!("//{host}"),
            (false, scheme) => format!("{scheme}://{host}"),
        };
        if path.starts_with(&self.prepend) {
            return format!("{before}{path}{tail}");
        }
        format!("{before}{}{tail}", joined(&self.prepend, path))
    }
}

/// The paths one after the other, without empty and dotted segments in the second.
fn joined(prepend: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut out = prepend.trim_end_matches('/').to_owned();
    for part in &parts {
        out.push('/');
        out.push_str(part);
    }
    if path.ends_with('/') {
        out.push('/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_to_the_backend_lead_through_the_proxy() {
        let site = Site {
            prepend: "/api/v1/namespaces/n/services/s/proxy".into(),
            backend: "10.0.0.7:8080".into(),
            host: "localhost:8001".into(),
        };
        let there = |rest: &str| format!("/api/v1/namespaces/n/services/s/proxy{rest}");
        for (text, expected) in [
            ("/", there("/")),
            ("/a/b?c=d#e", there("/a/b?c=d#e")),
            ("/a//b/../c/", there("/a/c/")),
            ("/../../../etc", there("/etc")),
            ("http://10.0.0.7:8080/a", there("/a")),
            ("//10.0.0.7:8080/a", there("/a")),
            ("http://localhost:8001/a", format!("http://localhost:8001{}", there("/a"))),
            ("a/b", "a/b".into()),
            ("?q=/x", "?q=/x".into()),
            ("#top", "#top".into()),
            ("mailto:a@b", "mailto:a@b".into()),
            ("http://10.0.0.7:8080", "http://10.0.0.7:8080".into()),
            ("https://example.org/a", "https://example.org/a".into()),
            ("//example.org/a", "//example.org/a".into()),
            ("/api/v1/namespaces/n/services/s/proxy/x", there("/x")),
        ] {
            assert_eq!(site.rewritten(text), expected, "{text}");
        }
    }
}
