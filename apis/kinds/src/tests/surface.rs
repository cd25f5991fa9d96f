//! What the table offers to clients, held against a list of it as text: whoever drops or bends a line of a row meets a
//! line of the list.

use std::collections::BTreeSet;

use super::*;

/// A paragraph for each kind: its names; its verbs and subresources; its columns, wide ones in brackets; the fields that
/// selectors may name.
const SURFACE: &str = include_str!("surface.txt");

fn words(what: &str, words: impl IntoIterator<Item = String>) -> Option<String> {
    let all: Vec<String> = words.into_iter().collect();
    (!all.is_empty()).then(|| format!("    {what}: {}", all.join(", ")))
}

fn lines(kind: &Kind) -> Vec<String> {
    let names = [&kind.short_names, &kind.categories].map(|names| names.join(","));
    let scope = if kind.namespaced() { "namespaced" } else { "cluster" };
    let head = format!(
        "{} {} {} {scope} short={} in={} {:?}",
        kind.api_version(),
        kind.plural,
        kind.kind,
        names[0],
        names[1],
        kind.storage
    );
    let columns = kind.table_columns().map(|column| match column.priority {
        0 => format!("{} {}", column.name, column.type_),
        _ => format!("[{} {}]", column.name, column.type_),
    });
    let parts = [
        words("verbs", kind.verbs.iter().map(|verb| (*verb).to_owned())),
        words("subresources", kind.subresources.iter().map(|sub| sub.name().to_owned())),
        words("columns", columns),
        words("fields", kind.selectable.iter().map(|field| field.path.to_string())),
    ];
    let head = std::iter::once(head);
    head.chain(parts.into_iter().flatten()).collect()
}

/// Each line with the head of its paragraph, so that it says which kind it is of.
fn placed(lines: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let mut head = String::new();
    let mut placed = BTreeSet::new();
    for line in lines {
        match line.strip_prefix("    ") {
            None => {
                head = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
                placed.insert(line);
            }
            Some(part) => {
                placed.insert(format!("{head} > {part}"));
            }
        }
    }
    placed
}

#[test]
fn the_table_is_what_the_list_says() {
    let older: Vec<Kind> = rows::older().collect();
    let made = placed(builtin().map(|kind| &**kind).chain(&older).flat_map(lines));
    let listed = placed(SURFACE.lines().map(str::to_owned));
    let missing: Vec<_> = made.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&made).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "surface.txt and the rows differ.\nIn the rows only: {missing:#?}\nIn surface.txt only: {gone:#?}"
    );
}
