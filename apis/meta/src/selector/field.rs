//! Field selectors: `spec.nodeName=a,status.phase!=Running`, with `\` before `,`, `=` and `\` in values.

use std::fmt;

use crate::names;

/// Longest text that is parsed.
const MAX_LEN: usize = 64 * 1024;

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// Path as the client wrote it.
    pub path: String,
    /// Whether the field must be equal or must differ.
    pub equal: bool,
    /// The value.
    pub value: String,
}

/// A set of requirements that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Parses the text of a request; the empty text selects everything.
    pub fn parse(text: &str) -> Result<FieldSelector, String> {
        if text.len() > MAX_LEN {
            return Err(format!("a selector {}", names::max_len_error(MAX_LEN)));
        }
        let mut requirements = Vec::new();
        for term in terms(text).into_iter().filter(|term| !term.is_empty()) {
            let (path, equal, value) = split(term)
                .ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{term}'"))?;
            let value = unescape(value)?;
            requirements.push(FieldRequirement { path: path.to_owned(), equal, value });
        }
        Ok(FieldSelector { requirements })
    }

    /// The requirements, in the order written.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// Whether everything matches.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether all requirements hold of the fields that `get` looks up.
    pub fn matches(&self, get: impl Fn(&str) -> String) -> bool {
        self.requirements.iter().all(|one| (get(&one.path) == one.value) == one.equal)
    }
}

/// The parts between commas that no backslash precedes.
fn terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn split(term: &str) -> Option<(&str, bool, &str)> {
    term.char_indices().find_map(|(at, _)| {
        let rest = &term[at..];
        [("!=", false), ("==", true), ("=", true)]
            .into_iter()
            .find_map(|(operator, equal)| Some((&term[..at], equal, rest.strip_prefix(operator)?)))
    })
}

fn unescape(value: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(special @ ('\\' | ',' | '=')) => plain.push(special),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return Err(format!(
                        "invalid field selector: invalid escape sequence: \\{other}"
                    ));
                }
            },
            ',' | '=' => {
                let code = u32::from(letter);
                return Err(format!(
                    "invalid field selector: unescaped character in value: {code}"
                ));
            }
            plain_letter => plain.push(plain_letter),
        }
    }
    Ok(plain)
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.requirements.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let operator = if one.equal { "=" } else { "!=" };
            write!(f, "{comma}{}{operator}", one.path)?;
            for letter in one.value.chars() {
                if matches!(letter, '\\' | ',' | '=') {
                    f.write_str("\\")?;
                }
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn selectors_parse() {
        let selector = FieldSelector::parse("a.b=c,d!=e,f==,g=x\\,y\\=z\\\\").expect("a selector");
        let found: Vec<(&str, bool, &str)> = selector
            .requirements()
            .iter()
            .map(|one| (one.path.as_str(), one.equal, one.value.as_str()))
            .collect();
        assert_eq!(
            found,
            [("a.b", true, "c"), ("d", false, "e"), ("f", true, ""), ("g", true, "x,y=z\\")]
        );
        assert!(FieldSelector::parse("").expect("everything").is_empty());
        assert!(selector.matches(|path| match path {
            "a.b" => "c".to_owned(),
            "g" => "x,y=z\\".to_owned(),
            _ => String::new(),
        }));
        for (bad, want) in [
            ("abc", "invalid selector: 'abc'; can't understand 'abc'"),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
            ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
        ] {
            assert_eq!(FieldSelector::parse(bad), Err(want.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_parses_to_the_same(
            parts in prop::collection::vec(("[a-z.]{1,8}", any::<bool>(), ".{0,8}"), 0..4),
        ) {
            let requirements = parts.into_iter()
                .map(|(path, equal, value)| FieldRequirement { path, equal, value })
                .collect();
            let selector = FieldSelector { requirements };
            prop_assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
        }
    }
}
