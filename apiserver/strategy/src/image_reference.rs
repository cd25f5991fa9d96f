//! Names of images as `docker pull` takes them: a repository, a tag, a digest.
//!
//! Knows: the grammar and the words for what does not fit it. Refuses to know: whether there is such an image.

/// Longest name of a repository.
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;
/// Shortest digest, in hexadecimal digits.
const DIGEST_MIN: usize = 32;

/// The parts of a reference that decide what may be done with it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    pub tag: Option<&'a str>,
    pub digest: Option<&'a str>,
}

/// Reads a reference; the error is its detail in a field error.
pub(crate) fn parse(text: &str) -> Result<Reference<'_>, &'static str> {
    if text.is_empty() {
        return Err("repository name must have at least one component");
    }
    let Some((name, tag, digest)) = split(text) else {
        let lower = text.to_lowercase();
        return Err(match split(&lower) {
            Some(_) => "repository name must be lowercase",
            None => "invalid reference format",
        });
    };
    if name.len() > NAME_MAX {
        return Err("repository name must not be more than 255 characters");
    }
    // A name without a path that looks like a host is one: what follows the colon is its port.
    let host = !name.contains('/') && (name.contains('.') || name.starts_with("localhost"));
    Ok(Reference { tag: tag.filter(|_| !host), digest })
}

type Split<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

fn split(text: &str) -> Option<Split<'_>> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) if is_digest(digest) => (rest, Some(digest)),
        Some(_) => return None,
        None => (text, None),
    };
    if is_name(rest) {
        return Some((rest, None, digest));
    }
    let (name, tag) = rest.rsplit_once(':')?;
    (is_name(name) && is_tag(tag)).then_some((name, Some(tag), digest))
}

/// `[host[:port]/]component[/component]...`
fn is_name(text: &str) -> bool {
    let components = |text: &str| text.split('/').all(is_component);
    components(text)
        || text.split_once('/').is_some_and(|(host, rest)| is_host(host) && components(rest))
}

/// Lower case letters and digits; between two of them one `.`, one or two `_`, or any number of `-`.
pub(crate) fn is_component(text: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let runs: Vec<&[u8]> =
        text.as_bytes().chunk_by(|one, other| plain(one) == plain(other)).collect();
    let ends = [runs.first(), runs.last()];
    ends.iter().all(|run| run.is_some_and(|run| plain(&run[0])))
        && runs
            .iter()
            .filter(|run| !plain(&run[0]))
            .all(|run| matches!(*run, b"." | b"_" | b"__") || run.iter().all(|byte| *byte == b'-'))
}

fn is_host(text: &str) -> bool {
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let number = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    name.split('.').all(label) && port.is_none_or(number)
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_MAX
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let part = |part: &str| {
        part.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(part)
        && hex.len() >= DIGEST_MIN
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let check = |text: &str, tag: Option<&str>, digest: Option<&str>| {
            assert_eq!(parse(text), Ok(Reference { tag, digest }), "{text}");
        };
        check("busybox", None, None);
        check("a/b_c/d__e.f---g", None, None);
        check("quay.example:5000/team/app:1.2", Some("1.2"), None);
        check("app:V_1", Some("V_1"), None);
        check("localhost:5000", None, None);
        check("Quay.Example/app", None, None);
        check(&format!("app@{digest}"), None, Some(&digest));
        check(&format!("q.test/app:1@{digest}"), Some("1"), Some(&digest));
    }

    #[test]
    fn what_is_none_is_told_why() {
        let long = "a".repeat(256);
        for (text, why) in [
            ("", "repository name must have at least one component"),
            ("App", "repository name must be lowercase"),
            ("a/B", "repository name must be lowercase"),
            ("a b", "invalid reference format"),
            ("http://a/b", "invalid reference format"),
            ("-a", "invalid reference format"),
            ("a___b", "invalid reference format"),
            ("a..b", "invalid reference format"),
            ("a:", "invalid reference format"),
            ("a:-1", "invalid reference format"),
            ("a@sha256:12", "invalid reference format"),
            (&long, "repository name must not be more than 255 characters"),
        ] {
            assert_eq!(parse(text), Err(why), "{text}");
        }
    }
}
