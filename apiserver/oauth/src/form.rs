//! What requests carry: forms and queries, the user and password of a header, cookies, addresses to go on to.
//!
//! Refuses to know: what any of it means.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Names and values in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a query or a form.
    pub fn parse(text: &[u8]) -> Form {
        Form(form_urlencoded::parse(text).into_owned().collect())
    }

    /// With the pairs of another behind its own.
    pub fn and(mut self, other: Form) -> Form {
        self.0.extend(other.0);
        self
    }

    /// The first value of a name, empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or("")
    }

    /// Whether a name is there at all.
    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// All values of a name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// User and password of an `Authorization` header; nothing if it is no such header, or one of them is empty.
pub fn basic(header: &str) -> Option<(String, String)> {
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The first cookie of a name in a `Cookie` header.
pub fn cookie<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let each = header.split(';').filter_map(|one| one.trim().split_once('='));
    each.filter(|(own, _)| *own == name).map(|(_, value)| value).next()
}

/// Whether an address leads to a path of this server: what begins with two slashes, or with a slash that browsers take for
/// one, leads to another.
pub fn is_on_this_server(address: &str) -> bool {
    let fits = |c: char| !c.is_control() && c != '\\' && c != ' ';
    address.starts_with('/') && !address.starts_with("//") && address.chars().all(fits)
}

/// An address with names and values behind it: in its query, or behind `#` for who runs in a browser. Sorted by name.
pub fn with_query(address: &str, pairs: &[(&str, String)], fragment: bool) -> String {
    let mut pairs: Vec<_> = pairs.iter().collect();
    pairs.sort_by_key(|(name, _)| *name);
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs);
    let mark = match (fragment, address.contains('?')) {
        (true, _) => '#',
        (false, true) => '&',
        (false, false) => '?',
    };
    format!("{address}{mark}{}", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_others_are_not_ours() {
        for ours in
            ["/", "/oauth/authorize?client_id=x&redirect_uri=https%3A%2F%2Fe", "/a?then=//x"]
        {
            assert!(is_on_this_server(ours), "{ours}");
        }
        for others in [
            "",
            "//evil",
            "///evil",
            "/\\evil",
            "\\/evil",
            "https://evil",
            "javascript:alert(1)",
            "evil",
            "/\t/evil",
            " /x",
            "/x\r\nSet-Cookie: a=b",
            "?x",
            "#x",
        ] {
            assert!(!is_on_this_server(others), "{others}");
        }
    }

    #[test]
    fn headers_and_forms_are_read() {
        assert_eq!(basic("Basic YW5uOmE6Yg=="), Some(("ann".to_owned(), "a:b".to_owned())));
        for none in ["", "Basic", "Basic !", "Basic YW5u", "Bearer YW5uOmI=", "Basic //8="] {
            assert_eq!(basic(none), None, "{none}");
        }
        assert_eq!(cookie("a=1; ssn=x=y;b=2", "ssn"), Some("x=y"));
        assert_eq!(cookie("assn=1", "ssn"), None);
        let form = Form::parse(b"a=1&a=2&b=%26+c&d").and(Form::parse(b"e=3"));
        assert_eq!(
            (form.get("a"), form.get("b"), form.get("e"), form.get("x")),
            ("1", "& c", "3", "")
        );
        assert!(form.has("d") && !form.has("x"));
        let pairs = [("state", "a&b".to_owned()), ("code", "x".to_owned())];
        assert_eq!(with_query("https://e/", &pairs, false), "https://e/?code=x&state=a%26b");
        assert_eq!(with_query("https://e/?q", &pairs[..1], false), "https://e/?q&state=a%26b");
        assert_eq!(with_query("https://e/", &pairs[..1], true), "https://e/#state=a%26b");
    }
}
