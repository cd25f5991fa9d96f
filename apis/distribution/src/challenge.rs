//! What a registry asks for that does not know who asks.
//!
//! Knows: the header `WWW-Authenticate` as registries write it. Refuses to know: answers to it.

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Name and password.
    Basic,
    /// A token, which is had elsewhere.
    Bearer {
        /// Where.
        realm: String,
        /// For whom, if that is said.
        service: String,
        /// What for, if that is said.
        scope: String,
    },
}

/// Reads the header; nothing if it asks for what is not known here.
pub(crate) fn read(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (String::new(), String::new(), String::new());
    let mut rest = rest;
    while let Some((name, value, left)) = parameter(rest) {
        match name.to_ascii_lowercase().as_str() {
            "realm" => realm = value,
            "service" => service = value,
            "scope" => scope = value,
            _ => {}
        }
        rest = left;
    }
    (!realm.is_empty()).then_some(Challenge::Bearer { realm, service, scope })
}

/// The first of `name="value", ...`, and what is left.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([' ', ',']);
    let (name, rest) = text.split_once('=')?;
    let Some(quoted) = rest.strip_prefix('"') else {
        let (value, left) = rest.split_once(',').unwrap_or((rest, ""));
        return Some((name.trim(), value.trim().to_owned(), left));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((name.trim(), value, &quoted[at + 1..])),
            '\\' => value.extend(chars.next().map(|(_, char)| char)),
            char => value.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_registries_write_is_read() {
        let bearer = |realm: &str, service: &str, scope: &str| {
            let [realm, service, scope] = [realm, service, scope].map(str::to_owned);
            Some(Challenge::Bearer { realm, service, scope })
        };
        let cases = [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:a/b:pull,push\"",
                bearer(
                    "https://auth.docker.io/token",
                    "registry.docker.io",
                    "repository:a/b:pull,push",
                ),
            ),
            ("bearer  realm=https://a/t, error=\"x\\\"y\"", bearer("https://a/t", "", "")),
            ("Bearer service=\"x\"", None),
            ("Negotiate", None),
            ("", None),
            ("Bearer realm=\"unended", None),
        ];
        for (header, expected) in cases {
            assert_eq!(read(header), expected, "{header}");
        }
    }
}
