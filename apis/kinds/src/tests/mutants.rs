//! The lines of the rows, each of which can be taken out: `cargo xtask mutate` runs these tests once for each and asks
//! which of them fails.
//!
//! A mutant is `GROUP/VERSION PLURAL WHAT`; the environment names the one that these tests shall see.

use std::borrow::Cow;

use super::*;

/// The environment's name for the mutant.
const ASKED: &str = "LEME_MUTANT";

/// What is taken out of a row, and the row without it.
type Line = (String, Option<Kind>);

/// The row as it is, or without the line that the environment names.
pub(crate) fn seen(row: &rows::Row) -> Option<Kind> {
    let kind = row.kind();
    let Ok(asked) = std::env::var(ASKED) else { return Some(kind) };
    let mine = format!("{} {} ", kind.api_version(), kind.plural);
    let Some(what) = asked.strip_prefix(&mine) else { return Some(kind) };
    let line = lines(row).into_iter().find(|(line, _)| line == what);
    line.unwrap_or_else(|| panic!("{mine}has no {what}")).1
}

/// The lines of a row. What a field is without its line is what it is in a row that states nothing.
fn lines(row: &rows::Row) -> Vec<Line> {
    let whole = || row.kind();
    let (kind, bare) = (whole(), rows::Row::of(row.group, row.version, row.package).kind());
    let mut lines: Vec<Line> = vec![
        ("row".to_owned(), None),
        (
            "kind".to_owned(),
            Some(Kind { kind: "".into(), singular: "".into(), schema: bare.schema, ..whole() }),
        ),
        ("plural".to_owned(), Some(Kind { plural: "".into(), ..whole() })),
    ];
    let mut line = |what: &str, without: Kind| lines.push((what.to_owned(), Some(without)));
    if kind.scope != bare.scope {
        line("scope", Kind { scope: bare.scope, ..whole() });
    }
    if kind.storage != bare.storage {
        line("storage", Kind { storage: bare.storage, ..whole() });
    }
    if kind.verbs != bare.verbs {
        line("verbs", Kind { verbs: bare.verbs, ..whole() });
    }
    for (at, name) in kind.short_names.iter().enumerate() {
        line(
            &format!("short {name}"),
            Kind { short_names: without(&kind.short_names, at).into(), ..whole() },
        );
    }
    for (at, name) in kind.categories.iter().enumerate() {
        line(
            &format!("category {name}"),
            Kind { categories: without(&kind.categories, at).into(), ..whole() },
        );
    }
    for (at, sub) in kind.subresources.iter().enumerate() {
        let subresources = without(&kind.subresources, at);
        line(&format!("subresource {}", sub.name()), Kind { subresources, ..whole() });
    }
    for (at, column) in kind.columns.iter().enumerate() {
        line(
            &format!("column {}", column.name),
            Kind { columns: without(&kind.columns, at), ..whole() },
        );
    }
    for (at, field) in kind.selectable.iter().enumerate() {
        line(
            &format!("field {}", field.path),
            Kind { selectable: without(&kind.selectable, at), ..whole() },
        );
    }
    lines
}

/// A list without one of its elements.
fn without<T: Clone>(list: &[T], at: usize) -> Cow<'static, [T]> {
    [&list[..at], &list[at + 1..]].concat().into()
}

#[test]
#[ignore = "the list that cargo xtask mutate goes by"]
#[allow(clippy::disallowed_macros, reason = "what is printed is the point")]
fn mutants() {
    for row in rows::all() {
        for (what, _) in lines(row) {
            println!(
                "mutant {} {} {what}",
                leme_meta::gvk::api_version(row.group, row.version),
                row.plural
            );
        }
    }
}
