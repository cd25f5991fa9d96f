//! The JSONPath templates of `-o jsonpath=`: text, `{.a.b[0]['c']}`, `[*]`, `..`, `[?(@.a=="b")]`, `{range}`, as kubectl
//! reads them.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// Deepest nesting of ranges.
const MAX_RANGES: usize = 16;

/// A parsed template.
#[derive(Debug)]
pub struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Path(Vec<Step>),
    Range(Vec<Step>, Vec<Part>),
}

#[derive(Debug)]
enum Step {
    Field(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    All,
    Descend(String),
    Filter { path: Vec<Step>, test: Option<(bool, String)> },
}

/// Reads a template.
pub fn parse(text: &str) -> Result<Template> {
    let mut rest = text;
    let parts = parts(&mut rest, 0)?;
    ensure!(rest.is_empty(), "{{end}} without {{range}} in {text:?}");
    Ok(Template(parts))
}

fn parts(rest: &mut &str, depth: usize) -> Result<Vec<Part>> {
    ensure!(depth <= MAX_RANGES, "more than {MAX_RANGES} ranges inside each other");
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let Some(open) = rest.find('{') else {
            parts.push(Part::Text(std::mem::take(rest).to_owned()));
            break;
        };
        if open > 0 {
            parts.push(Part::Text(rest[..open].to_owned()));
        }
        let close =
            closing(&rest[open..]).with_context(|| format!("unclosed action in {rest:?}"))? + open;
        let action = rest[open + 1..close].trim().to_owned();
        *rest = &rest[close + 1..];
        if action == "end" {
            if depth == 0 {
                bail!("{{end}} without {{range}}");
            }
            return Ok(parts);
        }
        if let Some(path) = action.strip_prefix("range ") {
            let path = steps(path.trim())?;
            parts.push(Part::Range(path, self::parts(rest, depth + 1)?));
        } else if let Some(text) = action.strip_prefix('"').and_then(|text| text.strip_suffix('"'))
        {
            parts.push(Part::Text(text.replace("\\n", "\n").replace("\\t", "\t")));
        } else {
            parts.push(Part::Path(steps(&action)?));
        }
    }
    ensure!(depth == 0, "{{range}} without {{end}}");
    Ok(parts)
}

/// Where the brace that opens `text` is closed, outside quotes.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, '}') => return Some(at),
            _ => {}
        }
    }
    None
}

fn steps(text: &str) -> Result<Vec<Step>> {
    let mut rest = text.strip_prefix(['$', '@']).unwrap_or(text);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("..") {
            let (name, after) = name(after);
            steps.push(Step::Descend(name));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('.') {
            let (name, after) = name(after);
            match name.as_str() {
                "" => {}
                "*" => steps.push(Step::All),
                _ => steps.push(Step::Field(name)),
            }
            rest = after;
        } else if rest.starts_with('[') {
            let end = bracket_end(rest).with_context(|| format!("unclosed [ in {text:?}"))?;
            steps.push(bracket(&rest[1..end])?);
            rest = &rest[end + 1..];
        } else {
            let (name, after) = name(rest);
            ensure!(!name.is_empty(), "{text:?} is not a path");
            steps.push(Step::Field(name));
            rest = after;
        }
    }
    Ok(steps)
}

/// A field name up to the next step; a backslash takes the next character as it is.
fn name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '.' | '[' => return (name, &text[at..]),
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            c => name.push(c),
        }
    }
    (name, "")
}

fn bracket_end(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Result<Step> {
    let text = text.trim();
    if text == "*" {
        return Ok(Step::All);
    }
    if let Some(name) = unquote(text) {
        return Ok(Step::Field(name.to_owned()));
    }
    if let Some(test) = text.strip_prefix("?(").and_then(|test| test.strip_suffix(')')) {
        for (word, equal) in [("==", true), ("!=", false)] {
            if let Some((path, value)) = test.split_once(word) {
                let value = value.trim();
                let value = unquote(value).unwrap_or(value).to_owned();
                return Ok(Step::Filter { path: steps(path.trim())?, test: Some((equal, value)) });
            }
        }
        return Ok(Step::Filter { path: steps(test.trim())?, test: None });
    }
    let number = |text: &str| -> Result<Option<i64>> {
        if text.is_empty() {
            Ok(None)
        } else {
            Ok(Some(text.parse().with_context(|| format!("[{text}]"))?))
        }
    };
    match text.split_once(':') {
        Some((from, to)) => Ok(Step::Slice(number(from.trim())?, number(to.trim())?)),
        None => Ok(Step::Index(text.parse().with_context(|| format!("[{text}] is no index"))?)),
    }
}

fn unquote(text: &str) -> Option<&str> {
    ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
}

impl Template {
    /// The text for a value.
    pub fn render(&self, value: &Value) -> Result<String> {
        let mut out = String::new();
        render(&self.0, value, &mut out);
        Ok(out)
    }
}

fn render(parts: &[Part], here: &Value, out: &mut String) {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Path(steps) => {
                let found: Vec<String> = find(here, steps).into_iter().map(shown).collect();
                out.push_str(&found.join(" "));
            }
            Part::Range(steps, inner) => {
                for value in find(here, steps) {
                    render(inner, value, out);
                }
            }
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn find<'a>(value: &'a Value, steps: &[Step]) -> Vec<&'a Value> {
    let mut found = vec![value];
    for step in steps {
        found = found.into_iter().flat_map(|value| one(value, step)).collect();
    }
    found
}

fn one<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    match step {
        Step::Field(name) => value.get(name).into_iter().collect(),
        Step::Index(index) => {
            value.as_array().and_then(|list| list.get(at(*index, list.len()))).into_iter().collect()
        }
        Step::Slice(from, to) => {
            let Some(list) = value.as_array() else { return Vec::new() };
            let from = from.map_or(0, |from| at(from, list.len())).min(list.len());
            let to = to.map_or(list.len(), |to| at(to, list.len())).clamp(from, list.len());
            list[from..to].iter().collect()
        }
        Step::All => children(value),
        Step::Descend(name) => {
            let mut found: Vec<&Value> = value.get(name).into_iter().collect();
            found.extend(children(value).into_iter().flat_map(|child| one(child, step)));
            found
        }
        Step::Filter { path, test } => {
            let keeps = |item: &&Value| {
                let found = find(item, path);
                match test {
                    None => !found.is_empty(),
                    Some((equal, text)) => {
                        found.iter().any(|value| shown(value) == *text) == *equal
                    }
                }
            };
            children(value).into_iter().filter(keeps).collect()
        }
    }
}

fn at(index: i64, length: usize) -> usize {
    if index < 0 { length.saturating_sub(index.unsigned_abs() as usize) } else { index as usize }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(template: &str) -> String {
        let value = json!({
            "items": [
                {"metadata": {"name": "a", "labels": {"x.y/z": "1"}}, "status": {"ok": true}},
                {"metadata": {"name": "b"}, "status": {"ok": false}},
            ],
        });
        match parse(template) {
            Ok(template) => template.render(&value).unwrap(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn paths() {
        assert_eq!(check("{.items[*].metadata.name}"), "a b");
        assert_eq!(check("{.items[-1].metadata.name}"), "b");
        assert_eq!(check("{.items[0:1].metadata.name}!"), "a!");
        assert_eq!(check(r"{.items[0].metadata.labels.x\.y/z}"), "1");
        assert_eq!(check("{.items[0].metadata.labels['x.y/z']}"), "1");
        assert_eq!(check("{..name}"), "a b");
        assert_eq!(check("{.nothing}"), "");
    }

    #[test]
    fn filters_and_ranges() {
        assert_eq!(check("{.items[?(@.status.ok==true)].metadata.name}"), "a");
        assert_eq!(check(r#"{range .items[*]}{.metadata.name}{"\n"}{end}"#), "a\nb\n");
    }

    #[test]
    fn what_is_wrong() {
        for template in ["{.a", "{range .a}", "{end}", "{.a[}", "{.a[x]}"] {
            assert!(check(template).starts_with("error: "), "{template}");
        }
    }
}
