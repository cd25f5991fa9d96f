//! `-o custom-columns`: a column for each path.

use anyhow::{Context, Result, bail, ensure};
use leme_meta::jsonpath::Template;
use serde_json::Value;

use super::path;

/// What stands where a path leads nowhere.
const NONE: &str = "<none>";

/// Headings with the paths below them.
#[derive(Debug)]
pub struct Columns(Vec<(String, Template)>);

impl Columns {
    /// Reads `NAME:PATH,NAME:PATH`.
    ///
    /// # Errors
    /// What is wrong with it, in kubectl's words.
    pub fn parse(text: &str) -> Result<Columns> {
        ensure!(!text.is_empty(), "custom-columns format specified but no custom columns given");
        let column = |part: &str| {
            let Some((name, found)) = part.split_once(':') else {
                bail!("unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>");
            };
            Ok((name.to_owned(), path(found)?))
        };
        parts(text).into_iter().map(column).collect::<Result<_>>().map(Columns)
    }

    /// Reads two lines: the headings, and the paths below them.
    ///
    /// # Errors
    /// As [`Columns::parse`].
    pub fn of_file(text: &str) -> Result<Columns> {
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().unwrap_or("").split_whitespace().collect();
        let paths: Vec<&str> = lines.next().unwrap_or("").split_whitespace().collect();
        ensure!(
            names.len() == paths.len() && !names.is_empty(),
            "number of headers ({}) and field specifications ({}) don't match",
            names.len(),
            paths.len()
        );
        let columns = names.iter().zip(paths);
        let columns = columns.map(|(name, found)| Ok(((*name).to_owned(), path(found)?)));
        columns.collect::<Result<_>>().map(Columns)
    }

    /// The headings.
    pub fn heads(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The cells of an object.
    ///
    /// # Errors
    /// An index beyond a list.
    pub fn row(&self, object: &Value) -> Result<Vec<String>> {
        let cell = |(name, path): &(String, Template)| {
            let found = path.all(object).map_err(anyhow::Error::msg);
            let found = found.with_context(|| format!("column {name}"))?;
            let texts: Vec<String> = found.into_iter().map(go).collect();
            Ok(if texts.is_empty() { NONE.to_owned() } else { texts.join(",") })
        };
        self.0.iter().map(cell).collect()
    }
}

/// The parts between commas that are in no brackets and no quotes.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth, mut quote) = (Vec::new(), 0, 0i32, None);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('\'' | '"', None) => quote = Some(c),
            ('[' | '(', None) => depth += 1,
            (']' | ')', None) => depth -= 1,
            (',', None) if depth <= 0 => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// A value as Go prints it.
fn go(value: &Value) -> String {
    let all = |list: Vec<String>| list.join(" ");
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", all(list.iter().map(go).collect())),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{key}:{}", go(value)));
            format!("map[{}]", all(pairs.collect()))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cells_are_printed_as_go_prints_them() {
        let object = json!({"a": {"b": 1, "c": null}, "list": [{"n": "x"}, {"n": "y"}]});
        let check = |text: &str| match Columns::parse(text).and_then(|columns| columns.row(&object))
        {
            Ok(cells) => cells.join("|"),
            Err(error) => format!("{error:#}"),
        };
        assert_eq!(check("A:.a.b,B:a.c,C:{.none}"), "1|<nil>|<none>");
        assert_eq!(check("N:.list[*].n,L:.list"), "x,y|[map[n:x] map[n:y]]");
        assert_eq!(check("N:.list[?(@.n==\"y\")].n,U:.list[0,1].n"), "y|x,y");
        assert_eq!(
            check("A"),
            "unexpected custom-columns spec: A, expected <header>:<json-path-expr>"
        );
        assert_eq!(check(""), "custom-columns format specified but no custom columns given");
        assert!(check("A:.list[9]").starts_with("column A: array index out of bounds"));
    }

    #[test]
    fn a_file_has_two_lines() {
        let columns = Columns::of_file("NAME  DEPTH\n.a .b\n").unwrap();
        assert_eq!(columns.heads(), ["NAME", "DEPTH"]);
        assert!(Columns::of_file("A B\n.a\n").is_err());
        assert!(Columns::of_file("").is_err());
    }
}
