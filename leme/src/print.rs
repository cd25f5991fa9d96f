//! Tables and objects as text.

use anyhow::{Context, Result, bail};
use leme_meta::gvk::split_api_version;
use leme_meta::jsonpath;
use serde_json::Value;

use crate::documents;

/// The formats of `-o`.
#[derive(Debug)]
pub enum Format {
    /// Columns; all of them with `wide`.
    Table {
        /// `-o wide`.
        wide: bool,
    },
    /// `-o yaml`.
    Yaml,
    /// `-o json`.
    Json,
    /// `-o name`.
    Name,
    /// `-o jsonpath=TEMPLATE`.
    JsonPath(jsonpath::Template),
}

impl Format {
    /// Reads the argument of `-o`.
    pub fn parse(text: Option<&str>) -> Result<Format> {
        Ok(match text {
            None => Format::Table { wide: false },
            Some("wide") => Format::Table { wide: true },
            Some("yaml") => Format::Yaml,
            Some("json") => Format::Json,
            Some("name") => Format::Name,
            Some(other) => match other.strip_prefix("jsonpath=") {
                Some(template) => {
                    Format::JsonPath(jsonpath::parse(template).map_err(anyhow::Error::msg)?)
                }
                None => bail!(
                    "unknown format {other:?}: use yaml, json, name, wide or jsonpath=TEMPLATE"
                ),
            },
        })
    }
}

/// An object, or a `List` of them, in a format that is not a table.
pub fn object(object: &Value, format: &Format) -> Result<String> {
    Ok(match format {
        Format::Yaml => serde_yaml::to_string(object).context("write YAML")?,
        Format::Json => format!("{object:#}\n"),
        Format::JsonPath(template) => template.render(object).map_err(anyhow::Error::msg)?,
        Format::Name | Format::Table { .. } => names(object),
    })
}

fn names(object: &Value) -> String {
    match object["items"].as_array() {
        Some(items) => items.iter().map(names).collect(),
        None => {
            let (group, version) = split_api_version(object["apiVersion"].as_str().unwrap_or(""));
            let kind = object["kind"].as_str().unwrap_or("");
            let name = object["metadata"]["name"].as_str().unwrap_or("");
            match leme_kinds::by_kind(group, version, kind) {
                Some(row) => format!("{}\n", documents::shown(row, name)),
                None => format!("{}/{name}\n", kind.to_lowercase()),
            }
        }
    }
}

/// How a table is printed.
pub struct TableStyle {
    /// A first column with the namespace.
    pub namespace: bool,
    /// A first line with headings.
    pub headers: bool,
    /// Columns of every priority.
    pub wide: bool,
    /// Put before each name, such as `pod/`.
    pub prefix: Option<String>,
}

/// A `meta.k8s.io/v1` Table as aligned columns.
pub fn table(table: &Value, style: &TableStyle) -> String {
    let empty = Vec::new();
    let columns = table["columnDefinitions"].as_array().unwrap_or(&empty);
    let rows = table["rows"].as_array().unwrap_or(&empty);
    let shown: Vec<usize> = (0..columns.len())
        .filter(|index| style.wide || columns[*index]["priority"].as_i64().unwrap_or(0) == 0)
        .collect();
    let mut lines: Vec<Vec<String>> = Vec::new();
    if style.headers {
        let heads =
            shown.iter().map(|index| columns[*index]["name"].as_str().unwrap_or("").to_uppercase());
        lines.push(
            style.namespace.then(|| "NAMESPACE".to_owned()).into_iter().chain(heads).collect(),
        );
    }
    for row in rows {
        let mut line = Vec::new();
        if style.namespace {
            line.push(row["object"]["metadata"]["namespace"].as_str().unwrap_or("").to_owned());
        }
        for (position, index) in shown.iter().enumerate() {
            let text = cell(&row["cells"][*index]);
            match &style.prefix {
                Some(prefix) if position == 0 => line.push(format!("{prefix}{text}")),
                _ => line.push(text),
            }
        }
        lines.push(line);
    }
    align(&lines)
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.lines().next().unwrap_or("").to_owned(),
        Value::Null => "<none>".to_owned(),
        other => other.to_string(),
    }
}

/// Lines of cells in columns three spaces apart.
pub fn align(lines: &[Vec<String>]) -> String {
    let count = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut out = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', width + 3 - cell.chars().count()));
        }
        text.push_str(out.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_hide_low_priorities() {
        let source = json!({
            "columnDefinitions": [{"name": "Name"}, {"name": "IP", "priority": 1}, {"name": "Age"}],
            "rows": [{"cells": ["a", "10.0.0.1", "3s"], "object": {"metadata": {"namespace": "x"}}}],
        });
        let style = |wide, namespace| TableStyle { namespace, headers: true, wide, prefix: None };
        assert_eq!(table(&source, &style(false, false)), "NAME   AGE\na      3s\n");
        assert_eq!(
            table(&source, &style(true, true)),
            "NAMESPACE   NAME   IP         AGE\nx           a      10.0.0.1   3s\n"
        );
    }
}
