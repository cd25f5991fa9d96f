//! The names that fields have in rules.

/// Words that are values and operators.
const MEANT: [&str; 4] = ["true", "false", "null", "in"];

/// Words that mean nothing, and are kept for when they do.
pub(crate) const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Whether nothing can be called by a word.
pub fn is_taken(word: &str) -> bool {
    MEANT.contains(&word) || RESERVED.contains(&word)
}

/// The name of a field in rules; none if it cannot be made one.
pub(crate) fn escaped(name: &str) -> Option<String> {
    if is_taken(name) {
        return Some(format!("__{name}__"));
    }
    let valid =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-' | '/');
    if name.is_empty()
        || name.starts_with(|letter: char| letter.is_ascii_digit())
        || !name.chars().all(valid)
    {
        return None;
    }
    let mut out = String::with_capacity(name.len());
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '_' if letters.next_if_eq(&'_').is_some() => out.push_str("__underscores__"),
            '.' => out.push_str("__dot__"),
            '-' => out.push_str("__dash__"),
            '/' => out.push_str("__slash__"),
            _ => out.push(letter),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn names_are_those_of_identifiers() {
        for (name, other) in [
            ("plain", Some("plain")),
            ("my_field", Some("my_field")),
            ("a__b", Some("a__underscores__b")),
            ("namespace", Some("__namespace__")),
            ("a-b.c/d", Some("a__dash__b__dot__c__slash__d")),
            ("ä", None),
            ("1a", None),
            ("", None),
        ] {
            assert_eq!(escaped(name).as_deref(), other, "{name}");
        }
    }
}
