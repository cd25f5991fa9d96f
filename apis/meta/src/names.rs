//! The shapes of names: which texts are DNS labels, qualified names, label values and the like.
//!
//! Every function answers with messages in apimachinery's words, none if the text is fine. Refuses to know: fields.

use std::net::IpAddr;

const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1035_LABEL: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED_NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_NAME_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and \
                                   must start and end with an alphanumeric character";
const LABEL_VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric \
                                characters, '-', '_' or '.', and must start and end with an \
                                alphanumeric character";
const DNS1123_LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case \
                                  alphanumeric characters or '-', and must start and end with an \
                                  alphanumeric character";
const DNS1123_SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case \
                                      alphanumeric characters, '-' or '.', and must start and end \
                                      with an alphanumeric character";
const DNS1035_LABEL_RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric \
                                  characters or '-', start with an alphabetic character, and end \
                                  with an alphanumeric character";
const NON_EMPTY: &str = "must be non-empty";

/// Longest DNS label, label value and name part of a qualified name.
const LABEL_MAX: usize = 63;
/// Longest DNS subdomain and config map key.
const SUBDOMAIN_MAX: usize = 253;
/// Longest name of a port.
const PORT_NAME_MAX: usize = 15;

/// The message for a text longer than `max` bytes.
pub fn max_len_error(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

/// The message for a text that a pattern rejects.
pub fn regex_error(rule: &str, pattern: &str, examples: &[&str]) -> String {
    let shown: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    match shown.as_slice() {
        [] => format!("{rule} (regex used for validation is '{pattern}')"),
        shown => {
            format!("{rule} (e.g. {}regex used for validation is '{pattern}')", shown.join(" or "))
        }
    }
}

/// Whether a text is a run of `inner` bytes that starts and ends with `outer` ones.
fn framed(text: &str, outer: fn(u8) -> bool, inner: fn(u8) -> bool) -> bool {
    match text.as_bytes() {
        [] => false,
        [only] => outer(*only),
        [first, middle @ .., last] => {
            outer(*first) && outer(*last) && middle.iter().all(|byte| inner(*byte))
        }
    }
}

fn lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn lower_or_dash(byte: u8) -> bool {
    lower(byte) || byte == b'-'
}

fn alnum(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn qualified_byte(byte: u8) -> bool {
    alnum(byte) || matches!(byte, b'-' | b'_' | b'.')
}

fn is_label(text: &str) -> bool {
    framed(text, lower, lower_or_dash)
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn too_long(text: &str, max: usize) -> Vec<String> {
    if text.len() > max { vec![max_len_error(max)] } else { Vec::new() }
}

/// The characters of names that are made by chance or from a hash: none makes a word, and none is taken for another.
pub const SUFFIX_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The beginning of a name as one that can be checked: it may end in a dash, for more follows.
pub fn of_prefix(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => format!("{rest}a"),
        _ => text.to_owned(),
    }
}

/// A label of RFC 1123, such as a namespace.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut errors = too_long(text, LABEL_MAX);
    if !is_label(text) {
        errors.push(if is_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            regex_error(DNS1123_LABEL_RULE, DNS1123_LABEL, &["my-name", "123-abc"])
        });
    }
    errors
}

/// A subdomain of RFC 1123: the name of most objects.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = too_long(text, SUBDOMAIN_MAX);
    if !is_subdomain(text) {
        errors.push(regex_error(DNS1123_SUBDOMAIN_RULE, DNS1123_SUBDOMAIN, &["example.com"]));
    }
    errors
}

const WILDCARD_RULE: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, \
                             which must consist of lower case alphanumeric characters, '-' or '.' and end with an \
                             alphanumeric character";

/// `*.` and a subdomain of RFC 1123: all hosts of a domain.
pub fn wildcard_subdomain(text: &str) -> Vec<String> {
    let mut errors = too_long(text, SUBDOMAIN_MAX);
    if !text.strip_prefix("*.").is_some_and(is_subdomain) {
        let pattern = format!(r"\*\.{DNS1123_SUBDOMAIN}");
        errors.push(regex_error(WILDCARD_RULE, &pattern, &["*.example.com"]));
    }
    errors
}

/// A label of RFC 1035: the name of a service.
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut errors = too_long(text, LABEL_MAX);
    let fits = is_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase());
    if !fits {
        errors.push(regex_error(DNS1035_LABEL_RULE, DNS1035_LABEL, &["my-name", "abc-123"]));
    }
    errors
}

/// `[prefix/]name`: the key of a label or annotation, a finalizer, a resource.
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let examples = ["MyName", "my.name", "123-abc"];
    let mut parts = text.split('/');
    let name = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => name,
        (Some(prefix), Some(name), None) => {
            if prefix.is_empty() {
                errors.push(format!("prefix part {NON_EMPTY}"));
            } else {
                let found = dns1123_subdomain(prefix);
                errors.extend(found.into_iter().map(|message| format!("prefix part {message}")));
            }
            name
        }
        _ => {
            return vec![format!(
                "a qualified name {} with an optional DNS subdomain prefix and '/' (e.g. \
                 'example.com/MyName')",
                regex_error(QUALIFIED_NAME_RULE, QUALIFIED_NAME, &examples)
            )];
        }
    };
    if name.is_empty() {
        errors.push(format!("name part {NON_EMPTY}"));
    } else if name.len() > LABEL_MAX {
        errors.push(format!("name part {}", max_len_error(LABEL_MAX)));
    }
    if !framed(name, alnum, qualified_byte) {
        let rule = regex_error(QUALIFIED_NAME_RULE, QUALIFIED_NAME, &examples);
        errors.push(format!("name part {rule}"));
    }
    errors
}

/// The value of a label.
pub fn label_value(text: &str) -> Vec<String> {
    let mut errors = too_long(text, LABEL_MAX);
    if !text.is_empty() && !framed(text, alnum, qualified_byte) {
        let pattern = format!("({QUALIFIED_NAME})?");
        errors.push(regex_error(LABEL_VALUE_RULE, &pattern, &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// A name that is safe as one segment of a path.
pub fn path_segment_name(text: &str) -> Vec<String> {
    if let "." | ".." = text {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"]
        .into_iter()
        .filter(|illegal| text.contains(illegal))
        .map(|illegal| format!("may not contain '{illegal}'"))
        .collect()
}

/// The name of a port (RFC 6335 service name).
pub fn port_name(text: &str) -> Vec<String> {
    let mut errors = too_long(text, PORT_NAME_MAX);
    if text.is_empty() || !text.bytes().all(lower_or_dash) {
        errors.push(
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned(),
        );
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// The number of a port.
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) {
        Vec::new()
    } else {
        vec!["must be between 1 and 65535, inclusive".to_owned()]
    }
}

/// A key of a config map or secret: also the name of a file in a volume.
pub fn config_map_key(text: &str) -> Vec<String> {
    let mut errors = too_long(text, SUBDOMAIN_MAX);
    if text.is_empty() || !text.bytes().all(qualified_byte) {
        errors.push(regex_error(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match text {
        "." | ".." => errors.push(format!("must not be '{text}'")),
        _ if text.starts_with("..") => errors.push("must not start with '..'".to_owned()),
        _ => {}
    }
    errors
}

/// The name of an environment variable: anything printable but `=`.
pub fn env_var_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.is_empty() {
        errors.push(format!("environment variable name {NON_EMPTY}"));
    }
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=') {
        errors.push(
            "a valid environment variable name must consist only of printable ASCII characters \
             other than '='"
                .to_owned(),
        );
    }
    errors
}

const SYSCTL: &str = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/// Whether a text is the name of a kernel parameter: parts of lower case letters, digits, dashes and underscores,
/// with a dot or a slash between two.
pub fn is_sysctl(text: &str) -> bool {
    let inner = |byte| lower_or_dash(byte) || byte == b'_';
    text.len() <= SUBDOMAIN_MAX && text.split(['.', '/']).all(|part| framed(part, lower, inner))
}

/// What a text is told that is no such name.
pub fn sysctl_rule() -> String {
    format!("must have at most {SUBDOMAIN_MAX} characters and match regex {SYSCTL}")
}

/// An IP address, v4 or v6.
pub fn ip(text: &str) -> Vec<String> {
    if text.parse::<IpAddr>().is_ok() {
        Vec::new()
    } else {
        vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: fn(&str) -> Vec<String>, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(rule(text), Vec::<String>::new(), "{text:?}");
        }
        for text in bad {
            assert_ne!(rule(text), Vec::<String>::new(), "{text:?}");
        }
    }

    #[test]
    fn shapes() {
        let long = "a".repeat(64);
        check(dns1123_label, &["a", "0", "a-b", &long[..63]], &["", "A", "-a", "a-", "a.b", &long]);
        check(dns1123_subdomain, &["a", "a.b-c.0"], &["", ".", "a.", ".a", "a..b", "a_b", "ä"]);
        check(dns1035_label, &["a", "a-1"], &["", "1a", "a.b", "a-", &long]);
        check(
            qualified_name,
            &["a", "A_b.c-d", "example.com/x"],
            &["", "/a", "a/", "a/b/c", "-a", "Example.com/x", &long],
        );
        check(label_value, &["", "a", "A.b_c"], &["-", "a b", "a/b", &long]);
        check(path_segment_name, &["a", "a:b", "..."], &[".", "..", "a/b", "../a", "%2e"]);
        check(
            port_name,
            &["http", "a1-b"],
            &["", "8080", "a--b", "-a", "HTTP", "abcdefghijklmnop"],
        );
        check(config_map_key, &["a", ".hidden", "A_b-c.d"], &["", ".", "..", "..a", "a/b", "a b"]);
        check(env_var_name, &["A", "a.b-c", "1"], &["", "a=b", "é", "a\tb"]);
        let sysctl = |text: &str| {
            if is_sysctl(text) { Vec::new() } else { vec![sysctl_rule()] }
        };
        check(
            sysctl,
            &["net.ipv4.tcp_syncookies", "kernel.shm_rmid_forced", "net/ipv4/conf/eth0.1/x", "a-b"],
            &["", "foo-", "bar..", ".a", "a./b", "A", "a_", "net.ipv4.*"],
        );
        check(ip, &["10.0.0.1", "::1"], &["", "10.0.0", "10.0.0.256", "x"]);
    }

    #[test]
    fn messages() {
        assert_eq!(
            dns1123_label("Bad_Name"),
            ["a lowercase RFC 1123 label must consist of lower case alphanumeric characters or \
                 '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
                 '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"]
        );
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(
            qualified_name("a/b/c"),
            [
                "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must \
              start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
              '123-abc', regex used for validation is \
              '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix \
              and '/' (e.g. 'example.com/MyName')"
            ]
        );
    }
}
