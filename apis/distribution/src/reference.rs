//! Image references and what short ones mean, and digests.
//!
//! Knows: the grammar. Refuses to know: which images exist.

use sha2::{Digest, Sha256};

/// A reference in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `docker.io/library/hello`.
    pub name: String,
    /// Tag, `latest` when neither tag nor digest is given.
    pub tag: Option<String>,
    /// `sha256:...`; wins over the tag.
    pub digest: Option<String>,
}

impl Reference {
    /// Reads a reference: `hello`, `hello:v1`, `user/hello`, `host:5000/hello@sha256:...`. `None` if it is none.
    pub fn parse(text: &str) -> Option<Reference> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(valid_digest(digest)?)),
            None => (text, None),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(valid_tag(tag)?)),
            _ => (rest, None),
        };
        let (domain, path) = match path.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, rest.to_owned())
            }
            Some(_) => ("docker.io", path.to_owned()),
            None => ("docker.io", format!("library/{path}")),
        };
        let domain = if domain == "index.docker.io" { "docker.io" } else { domain };
        if !valid_domain(domain) || !path.split('/').all(valid_component) || path.len() > 255 {
            return None;
        }
        let tag = match (&tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            _ => tag,
        };
        Some(Reference { name: format!("{domain}/{path}"), tag, digest })
    }

    /// The registry, and the repository there: `docker.io` and `library/hello`.
    pub fn parts(&self) -> (&str, &str) {
        self.name.split_once('/').unwrap_or((&self.name, ""))
    }

    /// What it is asked for by: its digest, or its tag.
    pub fn by(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// `name:tag`, or `name@digest` if there is one.
    pub fn full(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("{}@{digest}", self.name),
            (None, tag) => format!("{}:{}", self.name, tag.as_deref().unwrap_or("latest")),
        }
    }
}

/// A `sha256:` digest with its 64 digits; nothing else names content here.
pub fn valid_digest(text: &str) -> Option<String> {
    let digits = text.strip_prefix("sha256:")?;
    let plain = digits.len() == 64
        && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    plain.then(|| text.to_owned())
}

/// `sha256:` of some bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    written(Sha256::new_with_prefix(bytes))
}

/// The digest that a hash comes to.
pub fn written(hash: Sha256) -> String {
    let mut digest = String::from("sha256:");
    for byte in hash.finalize() {
        digest.extend(
            [byte >> 4, byte & 15].map(|four| char::from_digit(four.into(), 16).unwrap_or('0')),
        );
    }
    digest
}

/// A tag as it may be written.
pub fn valid_tag(tag: &str) -> Option<String> {
    let mut bytes = tag.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let rest = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    (first && rest && tag.len() <= 128).then(|| tag.to_owned())
}

fn valid_domain(domain: &str) -> bool {
    let (host, port) = domain.rsplit_once(':').unwrap_or((domain, "0"));
    let label = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.split('.').all(label) && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

fn valid_component(part: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    edge(part.bytes().next())
        && edge(part.bytes().last())
        && part.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, full) in [
            ("hello", "docker.io/library/hello:latest".to_owned()),
            ("hello:v1", "docker.io/library/hello:v1".to_owned()),
            ("me/hello", "docker.io/me/hello:latest".to_owned()),
            ("docker.io/library/hello:latest", "docker.io/library/hello:latest".to_owned()),
            ("localhost/hello", "localhost/hello:latest".to_owned()),
            ("host:5000/a/b:t", "host:5000/a/b:t".to_owned()),
            ("index.docker.io/library/x", "docker.io/library/x:latest".to_owned()),
            (&format!("hello:v1@{digest}"), format!("docker.io/library/hello@{digest}")),
        ] {
            assert_eq!(Reference::parse(text).map(|r| r.full()), Some(full), "{text}");
        }
    }

    #[test]
    fn nonsense() {
        for bad in [
            "",
            "Hello",
            "a//b",
            "a:",
            "a:b:c/d",
            "../x",
            "a/../b",
            "x@sha256:12",
            "x@md5:aa",
            "-x",
            "a b",
            "host.:80/x",
        ] {
            assert_eq!(Reference::parse(bad), None, "{bad}");
        }
    }
}
