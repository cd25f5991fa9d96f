//! The JSONPath templates of `-o jsonpath=`: text, `{.a.b[0]['c']}`, `[*]`, `[0,2]`, `[0:4:2]`, `..`, `[?(@.a>1)]`,
//! `{range}`, as kubectl reads them; and the single paths of columns and selectable fields.
//!
//! Refuses to know: what the values are.

mod parse;

use std::cmp::Ordering;

use serde_json::Value;

pub use parse::parse;

/// What is wrong with a template or a value, in kubectl's words.
pub type Result<T> = std::result::Result<T, String>;

/// How many values a step may lead to: more is hostile.
const MAX_FOUND: usize = 100_000;

/// A parsed template.
#[derive(Clone, Debug)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Path(Vec<Step>),
    Range(Vec<Step>, Vec<Part>),
}

#[derive(Clone, Debug)]
enum Step {
    Field(String),
    Index(i64),
    /// From, up to, and by how many.
    Slice(Option<i64>, Option<i64>, usize),
    All,
    Descend(String),
    /// What each of the paths leads to, one path after the other.
    Union(Vec<Vec<Step>>),
    /// Those that have the path, or for which the comparison holds.
    Filter {
        left: Operand,
        test: Option<(Test, Operand)>,
    },
}

#[derive(Clone, Debug)]
enum Operand {
    Path(Vec<Step>),
    Literal(Value),
}

type Test = fn(Ordering) -> bool;

impl Template {
    /// The text for a value.
    ///
    /// # Errors
    /// An index beyond a list, or a comparison of what cannot be compared, in kubectl's words.
    pub fn render(&self, value: &Value) -> Result<String> {
        let mut out = String::new();
        render(&self.0, value, &mut out)?;
        Ok(out)
    }

    /// Every value that the template's path leads to; none if it is no single path.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn all<'a>(&self, value: &'a Value) -> Result<Vec<&'a Value>> {
        match self.0.as_slice() {
            [Part::Path(steps)] => find(value, steps),
            _ => Ok(Vec::new()),
        }
    }

    /// The first value that the template's path leads to, if it is a path and leads anywhere.
    pub fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match self.0.as_slice() {
            [Part::Path(steps)] => find(value, steps).ok()?.first().copied(),
            _ => None,
        }
    }
}

fn render(parts: &[Part], here: &Value, out: &mut String) -> Result<()> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Path(steps) => {
                let found: Vec<String> = find(here, steps)?.into_iter().map(shown).collect();
                out.push_str(&found.join(" "));
            }
            Part::Range(steps, inner) => {
                for value in find(here, steps)? {
                    render(inner, value, out)?;
                }
            }
        }
    }
    Ok(())
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn find<'a>(value: &'a Value, steps: &[Step]) -> Result<Vec<&'a Value>> {
    find_from(vec![value], steps)
}

fn find_from<'a>(mut found: Vec<&'a Value>, steps: &[Step]) -> Result<Vec<&'a Value>> {
    for step in steps {
        let mut next = Vec::new();
        if let Step::Union(paths) = step {
            for path in paths {
                next.extend(find_from(found.clone(), path)?);
            }
        } else {
            for value in found {
                one(value, step, &mut next)?;
            }
        }
        if next.len() > MAX_FOUND {
            return Err("the path leads to too many values".to_owned());
        }
        found = next;
    }
    Ok(found)
}

/// Adds what a step leads to from a value.
fn one<'a>(value: &'a Value, step: &Step, found: &mut Vec<&'a Value>) -> Result<()> {
    match step {
        Step::Field(name) => found.extend(value.get(name)),
        Step::Index(index) => {
            let Some(list) = value.as_array() else { return Ok(()) };
            let item = place(*index, list.len()).and_then(|at| list.get(at));
            found.push(item.ok_or_else(|| {
                format!("array index out of bounds: index {index}, length {}", list.len())
            })?);
        }
        Step::Slice(from, to, by) => {
            let Some(list) = value.as_array() else { return Ok(()) };
            let within = |index: i64| place(index, list.len()).unwrap_or(0).min(list.len());
            let to = to.map_or(list.len(), within);
            let from = from.map_or(0, within).min(to);
            found.extend(list[from..to].iter().step_by(*by));
        }
        Step::All => found.extend(children(value)),
        Step::Union(paths) => {
            for path in paths {
                found.extend(find(value, path)?);
            }
        }
        Step::Descend(name) => {
            found.extend(value.get(name));
            for child in children(value) {
                one(child, step, found)?;
            }
        }
        Step::Filter { left, test } => {
            for child in children(value) {
                if keeps(child, left, test.as_ref())? {
                    found.push(child);
                }
            }
        }
    }
    Ok(())
}

fn keeps(item: &Value, left: &Operand, test: Option<&(Test, Operand)>) -> Result<bool> {
    let left = values(item, left)?;
    let Some((test, right)) = test else { return Ok(!left.is_empty()) };
    let right = values(item, right)?;
    if left.len() > 1 || right.len() > 1 {
        return Err("can only compare one element at a time".to_owned());
    }
    match (left.first(), right.first()) {
        (Some(left), Some(right)) => compare(left, right).map(|order| order.is_some_and(test)),
        _ => Ok(false),
    }
}

fn values<'a>(item: &'a Value, operand: &'a Operand) -> Result<Vec<&'a Value>> {
    match operand {
        Operand::Path(steps) => find(item, steps),
        Operand::Literal(value) => Ok(vec![value]),
    }
}

/// The order of two values; none of null, which equals nothing.
fn compare(left: &Value, right: &Value) -> Result<Option<Ordering>> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Ok(None),
        (Value::String(left), Value::String(right)) => Ok(Some(left.cmp(right))),
        (Value::Bool(left), Value::Bool(right)) => Ok(Some(left.cmp(right))),
        (Value::Number(left), Value::Number(right)) => {
            let whole = left.as_i64().zip(right.as_i64()).map(|(left, right)| left.cmp(&right));
            let rough = || left.as_f64().zip(right.as_f64());
            Ok(whole.or_else(|| rough().and_then(|(left, right)| left.partial_cmp(&right))))
        }
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

/// Where an index points in a list; those below zero count from the end.
fn place(index: i64, length: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
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
            "ports": [{"n": "a", "p": 80}, {"n": "b,c", "p": 443}, {"n": "d", "p": 8080, "q": 8080}, {"n": "e"}],
        });
        match parse(template).and_then(|template| template.render(&value)) {
            Ok(text) => text,
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn paths() {
        assert_eq!(check("{.items[*].metadata.name}"), "a b");
        assert_eq!(check("{.items[-1].metadata.name}"), "b");
        assert_eq!(check("{.items[0:1].metadata.name}!"), "a!");
        assert_eq!(check(r"{.items[0].metadata.labels.x\.y/z}"), "1");
        assert_eq!(check(r"{.items[0].metadata.labels['x\.y/z']}"), "1");
        assert_eq!(check("{..name}"), "a b");
        assert_eq!(check("{.nothing}"), "");
    }

    #[test]
    fn all_that_a_path_leads_to() {
        let value = json!({"a": [1, 2]});
        let all = |template| parse(template).unwrap().all(&value).map(|found| found.len());
        assert_eq!(all("{.a[*]}"), Ok(2));
        assert_eq!(all("{.b}"), Ok(0));
        assert_eq!(all("text"), Ok(0));
    }

    #[test]
    fn filters_and_ranges() {
        assert_eq!(check("{.items[?(@.status.ok==true)].metadata.name}"), "a");
        assert_eq!(check(r#"{range .items[*]}{.metadata.name}{"\n"}{end}"#), "a\nb\n");
    }

    #[test]
    fn unions_and_steps() {
        assert_eq!(check("{.ports[0,2].p}"), "80 8080");
        assert_eq!(check("{.ports[0:3:2].n}"), "a d");
        assert_eq!(check("{.ports[-2:].n}"), "d e");
        assert_eq!(check("{.ports[0]['n','p']}"), "a 80");
        assert_eq!(
            check("{.items[*]['metadata.name', 'status.ok']}"),
            "a b true false",
            "a quoted name is a path"
        );
        assert_eq!(check("{.ports[9].n}"), "error: array index out of bounds: index 9, length 4");
        assert_eq!(check("{.ports[-9].n}"), "error: array index out of bounds: index -9, length 4");
        assert_eq!(check("{.ports[7:9].n}"), "");
    }

    #[test]
    fn comparisons() {
        assert_eq!(check("{.ports[?(@.p>80)].n}"), "b,c d");
        assert_eq!(check("{.ports[?(@.p>=80)].p}"), "80 443 8080");
        assert_eq!(check("{.ports[?(@.p<443)].n}"), "a");
        assert_eq!(check("{.ports[?(@.p<=442.5)].n}"), "a");
        assert_eq!(check("{.ports[?(@.p!=80)].n}"), "b,c d", "what has no port is not compared");
        assert_eq!(check(r#"{.ports[?(@.n=="b,c")].p}"#), "443");
        assert_eq!(check("{.ports[?(@.p==@.q)].n}"), "d");
        assert_eq!(check("{.ports[?(@.q)].n}"), "d");
        assert_eq!(
            check(r#"{.ports[?(@.p=="80")].n}"#),
            "error: incompatible types for comparison"
        );
    }

    #[test]
    fn hostile_paths_end() {
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!({ "a": deep, "b": 1 });
        }
        let template = parse(&format!("{{{}}}", "..a".repeat(8))).expect("a path");
        assert!(template.render(&deep).is_err_and(|why| why.contains("too many values")));
        assert!(parse(&format!("{{{}{}}}", "[?(@".repeat(1000), ")]".repeat(1000))).is_err());
    }

    #[test]
    fn what_is_wrong() {
        for template in
            ["{.a", "{range .a}", "{end}", "{.a[}", "{.a[x]}", "{.a[0:1:0]}", "{.a[1:2:3:4]}"]
        {
            assert!(check(template).starts_with("error: "), "{template}");
        }
    }
}
