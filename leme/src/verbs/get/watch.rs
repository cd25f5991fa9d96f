//! `leme get --watch`: what there is, then what changes, until somebody ends it.

use std::time::Duration;

use anyhow::{Result, bail};
use futures::StreamExt;
use leme_client::How;
use serde_json::Value;

use super::{Asked, Wanted};
use crate::api::{JSON, TABLE};
use crate::print::{self, Aligned, Format, Style};
use crate::say;

/// Pause before a watch that the server ended is begun again.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the command.
pub async fn run(asked: &Asked<'_>, wanted: &[Wanted]) -> Result<()> {
    let [one] = wanted else { bail!("you may only specify a single resource type, or one object") };
    let mut screen = Screen::new(asked, one);
    let mut version = first(asked, one, &mut screen).await?;
    let named = one.name.as_ref().map(|name| format!("metadata.name={name}"));
    let accept = if screen.table { TABLE } else { JSON };
    loop {
        let pairs = [
            ("labelSelector", asked.args.selector.as_deref()),
            ("fieldSelector", named.as_deref().or(asked.args.field_selector.as_deref())),
            ("resourceVersion", Some(version.as_str())),
        ];
        let path = one.kind.collection(one.namespace.as_deref().unwrap_or_default());
        let mut changes = asked.api.client.watch(&path, &pairs, accept).await?;
        while let Some(change) = changes.next().await {
            let change = change?;
            let object = change.value()?;
            let row = &object["rows"][0]["object"]["metadata"]["resourceVersion"];
            if let Some(seen) = row.as_str().or(object["metadata"]["resourceVersion"].as_str()) {
                seen.clone_into(&mut version);
            }
            if change.how != How::Bookmark {
                screen.show(object)?;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Shows what there is, unless only changes are wanted; the version to watch from.
async fn first(asked: &Asked<'_>, wanted: &Wanted, screen: &mut Screen<'_>) -> Result<String> {
    let version = |value: &Value| value["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    let shown = !asked.args.watch_only;
    if screen.table {
        let table = asked.table(wanted).await?;
        let row = || version(&table["rows"][0]["object"]);
        let version = version(&table).filter(|text| !text.is_empty()).or_else(row);
        if shown && table["rows"].as_array().is_some_and(|rows| !rows.is_empty()) {
            screen.show(table)?;
        }
        return Ok(version.unwrap_or_default());
    }
    if wanted.name.is_some() {
        let object = asked.api.get(&asked.path(wanted, &[]), JSON).await?;
        let version = version(&object).unwrap_or_default();
        if shown {
            screen.show(object)?;
        }
        return Ok(version);
    }
    let (items, version) = asked.list(wanted).await?;
    for item in items.into_iter().filter(|_| shown) {
        screen.show(item)?;
    }
    Ok(version)
}

/// What was shown so far: later lines have the same columns.
struct Screen<'a> {
    asked: &'a Asked<'a>,
    table: bool,
    style: Style,
    aligned: Aligned,
    headed: bool,
    /// Only the first event of a watch says what the columns are.
    columns: Value,
}

impl<'a> Screen<'a> {
    fn new(asked: &'a Asked<'a>, wanted: &Wanted) -> Screen<'a> {
        Screen {
            asked,
            table: matches!(asked.format, Format::Table { .. }),
            style: asked.style(&wanted.kind, false),
            aligned: Aligned::default(),
            headed: asked.args.no_headers,
            columns: Value::Null,
        }
    }

    fn show(&mut self, mut object: Value) -> Result<()> {
        let headed = std::mem::replace(&mut self.headed, true);
        let (heads, rows) = match &self.asked.format {
            Format::Table { .. } => {
                let mut table =
                    if object["kind"] == "Table" { object } else { print::plain(&object) };
                if table["columnDefinitions"].as_array().is_some_and(|list| !list.is_empty()) {
                    self.columns = table["columnDefinitions"].take();
                }
                table["columnDefinitions"].clone_from(&self.columns);
                (self.style.heads(&table), self.style.rows(&table))
            }
            Format::Columns(columns) => (columns.heads(), vec![columns.row(&object)?]),
            format => {
                if !self.asked.args.show_managed_fields {
                    print::without_managed_fields(&mut object);
                }
                let separator = if matches!(format, Format::Yaml) && headed { "---\n" } else { "" };
                return say::result(format_args!("{separator}{}", print::object(&object, format)?));
            }
        };
        let lines: Vec<Vec<String>> = (!headed).then_some(heads).into_iter().chain(rows).collect();
        say::result(self.aligned.lines(&lines))
    }
}
