//! Tables as aligned columns: those that servers make, and those for servers that make none.

use jiff::Timestamp;
use leme_meta::time;
use serde_json::{Value, json};

/// The narrowest column, with the space behind it; and that space.
const NARROWEST: usize = 6;
const SPACE: usize = 3;

/// How a table is printed.
#[derive(Debug, Default)]
pub struct Style {
    /// A first column with the namespace.
    pub namespace: bool,
    /// Columns of every priority.
    pub wide: bool,
    /// Put before each name, such as `pod/`.
    pub prefix: Option<String>,
    /// A column for each of these labels.
    pub label_columns: Vec<String>,
    /// A last column with all labels.
    pub show_labels: bool,
}

impl Style {
    /// The headings of a `meta.k8s.io/v1` Table.
    pub fn heads(&self, table: &Value) -> Vec<String> {
        let columns = columns(table);
        let own = self.shown(columns).map(|index| columns[index]["name"].as_str().unwrap_or(""));
        let labels = self.label_columns.iter().map(|key| key.rsplit('/').next().unwrap_or(key));
        let first = self.namespace.then_some("NAMESPACE");
        let last = self.show_labels.then_some("LABELS");
        let all = first.into_iter().chain(own).chain(labels).chain(last);
        all.map(str::to_uppercase).collect()
    }

    /// The rows of a Table.
    pub fn rows(&self, table: &Value) -> Vec<Vec<String>> {
        let columns = columns(table);
        let rows = table["rows"].as_array().map_or(&[][..], Vec::as_slice);
        rows.iter().map(|row| self.row(columns, row)).collect()
    }

    fn row(&self, columns: &[Value], row: &Value) -> Vec<String> {
        let metadata = &row["object"]["metadata"];
        let mut line = Vec::new();
        if self.namespace {
            line.push(metadata["namespace"].as_str().unwrap_or("").to_owned());
        }
        for (position, index) in self.shown(columns).enumerate() {
            let text = cell(&row["cells"][index]);
            match &self.prefix {
                Some(prefix) if position == 0 => line.push(format!("{prefix}{text}")),
                _ => line.push(text),
            }
        }
        let labels = &metadata["labels"];
        let label = |key: &String| labels[key].as_str().unwrap_or("").to_owned();
        line.extend(self.label_columns.iter().map(label));
        if self.show_labels {
            let pairs = labels.as_object().into_iter().flatten();
            let pairs: Vec<String> = pairs
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")))
                .collect();
            line.push(if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") });
        }
        line
    }

    fn shown<'a>(&'a self, columns: &'a [Value]) -> impl Iterator<Item = usize> + 'a {
        let low = |index: &usize| columns[*index]["priority"].as_i64().unwrap_or(0) == 0;
        (0..columns.len()).filter(move |index| self.wide || low(index))
    }
}

fn columns(table: &Value) -> &[Value] {
    table["columnDefinitions"].as_array().map_or(&[], Vec::as_slice)
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => match text.split_once(['\n', '\r', '\u{c}']) {
            Some((first, _)) => format!("{first}..."),
            None => text.clone(),
        },
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A Table of names and ages, for what a server gives as it is.
pub fn plain(answer: &Value) -> Value {
    let now = Timestamp::now();
    let row = |object: &Value| {
        let metadata = &object["metadata"];
        let created = metadata["creationTimestamp"].as_str().and_then(|text| text.parse().ok());
        let age = created.map_or_else(|| "<unknown>".to_owned(), |at| time::age(at, now));
        json!({"cells": [metadata["name"], age], "object": object})
    };
    let objects = answer["items"].as_array().map_or(std::slice::from_ref(answer), Vec::as_slice);
    let rows: Vec<Value> = objects.iter().map(row).collect();
    json!({
        "kind": "Table",
        "metadata": answer["metadata"],
        "columnDefinitions": [{"name": "Name"}, {"name": "Age"}],
        "rows": rows,
    })
}

/// Lines in columns that never become narrower, so that what is printed later lines up.
#[derive(Debug, Default)]
pub struct Aligned {
    widths: Vec<usize>,
}

impl Aligned {
    /// Lines of cells as text.
    pub fn lines(&mut self, lines: &[Vec<String>]) -> String {
        for line in lines {
            // The last cell of a line has nothing behind it to line up.
            for (column, cell) in line.iter().take(line.len().saturating_sub(1)).enumerate() {
                if self.widths.len() <= column {
                    self.widths.push(NARROWEST);
                }
                self.widths[column] = self.widths[column].max(cell.chars().count() + SPACE);
            }
        }
        let mut text = String::new();
        for line in lines {
            let mut out = String::new();
            for (column, cell) in line.iter().enumerate() {
                out.push_str(cell);
                let width = self.widths.get(column).copied().unwrap_or(0);
                out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
            text.push_str(out.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Lines of cells in columns three spaces apart.
pub fn align(lines: &[Vec<String>]) -> String {
    Aligned::default().lines(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &Value, style: &Style) -> String {
        let lines: Vec<Vec<String>> =
            std::iter::once(style.heads(source)).chain(style.rows(source)).collect();
        align(&lines)
    }

    #[test]
    fn tables_hide_low_priorities() {
        let source = json!({
            "columnDefinitions": [{"name": "Name"}, {"name": "IP", "priority": 1}, {"name": "Age"}],
            "rows": [{"cells": ["a", "10.0.0.1", "3s"], "object": {"metadata": {"namespace": "x"}}}],
        });
        assert_eq!(text(&source, &Style::default()), "NAME   AGE\na      3s\n");
        let wide = Style { wide: true, namespace: true, ..Style::default() };
        assert_eq!(
            text(&source, &wide),
            "NAMESPACE   NAME   IP         AGE\nx           a      10.0.0.1   3s\n"
        );
    }

    #[test]
    fn labels_are_the_last_columns() {
        let labels = json!({"app.io/tier": "front", "b": "c"});
        let source = json!({
            "columnDefinitions": [{"name": "Name"}],
            "rows": [{"cells": ["a\nb"], "object": {"metadata": {"labels": labels}}}, {"cells": [null]}],
        });
        let style = Style {
            label_columns: vec!["app.io/tier".to_owned()],
            show_labels: true,
            prefix: Some("pod/".to_owned()),
            ..Style::default()
        };
        assert_eq!(
            text(&source, &style),
            "NAME       TIER    LABELS\npod/a...   front   app.io/tier=front,b=c\npod/               <none>\n"
        );
    }

    #[test]
    fn what_no_server_made_a_table_of_has_names_and_ages() {
        let list = json!({"items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]});
        assert_eq!(
            text(&plain(&list), &Style::default()),
            "NAME   AGE\na      <unknown>\nb      <unknown>\n"
        );
        assert_eq!(plain(&json!({"metadata": {"name": "a"}}))["rows"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn later_lines_keep_to_the_columns() {
        let mut aligned = Aligned::default();
        let line = |a: &str, b: &str| vec![vec![a.to_owned(), b.to_owned()]];
        assert_eq!(aligned.lines(&line("a-long-name", "x")), "a-long-name   x\n");
        assert_eq!(aligned.lines(&line("b", "y")), "b             y\n");
    }
}
