//! How a line falls into an instruction, its flags and its arguments.
//!
//! Knows: blanks, quotes, escapes, lists in JSON. Refuses to know: variables, which instructions there are.

/// An instruction's name, its flags, and the rest of it.
pub(crate) fn split_command(line: &str, escape: char) -> (String, Vec<String>, String) {
    let line = line.trim();
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let (flags, rest) = split_flags(rest.trim_start(), escape);
    (name.to_owned(), flags, rest.trim().to_owned())
}

fn split_flags(text: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if !rest.starts_with("--") {
            return (flags, rest);
        }
        let (word, after) = flag_word(rest, escape);
        rest = after;
        if word == "--" {
            return (flags, rest);
        }
        flags.push(word);
    }
}

/// A flag without its quotes and escapes, and what follows it.
fn flag_word(text: &str, escape: char) -> (String, &str) {
    let (mut word, mut quote) = (String::new(), None);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, &text[at..]),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape => word.extend(chars.next().map(|(_, c)| c)),
            _ => word.push(c),
        }
    }
    (word, "")
}

/// Words between blanks with their quotes and escapes still in them.
pub(crate) fn raw_words(text: &str, escape: char) -> Vec<String> {
    let (mut words, mut word, mut quote, mut blank_ok) = (Vec::new(), String::new(), None, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if blank_ok || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                blank_ok = false;
                continue;
            }
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                blank_ok = true;
            }
            Some(open) if c == open => quote = None,
            _ => {}
        }
        if c == escape && quote != Some('\'') {
            // At the end it is left out.
            if let Some(next) = chars.next() {
                word.extend([c, next]);
            }
            continue;
        }
        word.push(c);
    }
    if blank_ok || !word.is_empty() {
        words.push(word);
    }
    words
}

/// What may be a list in JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// It is one, of texts.
    Strings(Vec<String>),
    /// It is one, and not of texts alone.
    Others,
    /// It is none.
    No,
}

/// Reads arguments that may be a list in JSON.
pub(crate) fn json(text: &str) -> Json {
    if !text.trim_start().starts_with('[') {
        return Json::No;
    }
    match serde_json::from_str::<Vec<serde_json::Value>>(text) {
        Err(_) => Json::No,
        Ok(values) => {
            let text = |value: serde_json::Value| match value {
                serde_json::Value::String(text) => Some(text),
                _ => None,
            };
            values.into_iter().map(text).collect::<Option<_>>().map_or(Json::Others, Json::Strings)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_words() {
        let (name, flags, rest) = split_command("COPY --from=x --chown='a b' -- --y z", '\\');
        assert_eq!((name.as_str(), rest.as_str()), ("COPY", "--y z"));
        assert_eq!(flags, ["--from=x", "--chown=a b"]);
        assert_eq!(raw_words(r#"a="b c" d\ e='f' g"#, '\\'), [r#"a="b c""#, r"d\ e='f'", "g"]);
        assert_eq!(json(r#" ["a", "b"]"#), Json::Strings(vec!["a".into(), "b".into()]));
        assert_eq!(json("[1]"), Json::Others);
        assert_eq!(json("[a]"), Json::No);
    }
}
