//! Tables as the server makes them: the kind's own columns at the time now.

use jiff::Timestamp;
use leme_kinds::Kind;
use serde_json::Value;

/// The objects of a kind as a table.
pub(crate) fn table(kind: &Kind, objects: &[&Value], wide: bool, now: Timestamp) -> String {
    if objects.is_empty() {
        return "No resources found\n".to_owned();
    }
    let columns: Vec<_> =
        kind.columns.iter().filter(|column| wide || column.priority == 0).collect();
    let mut rows = vec![vec!["NAME".to_owned()]];
    rows[0].extend(columns.iter().map(|column| column.name.to_uppercase()));
    for object in objects {
        let mut row = vec![text(&object["metadata"]["name"])];
        row.extend(columns.iter().map(|column| text(&column.cell(object, now))));
        rows.push(row);
    }
    let width = |index: usize| rows.iter().map(|row| row[index].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("   ").trim_end());
        out.push('\n');
    }
    out
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
