//! `leme get`: tables as the server prints them, columns of one's own, objects as YAML, JSON, names or a JSONPath.

mod watch;

use anyhow::{Result, bail};
use leme_client::Error;
use serde_json::{Value, json};

use crate::api::{self, Api, JSON, TABLE};
use crate::args::GetArgs;
use crate::print::{self, Aligned, Format, Order, Style};
use crate::resource::Kind;
use crate::verbs::apply;
use crate::{connect, documents, say, targets};

/// A kind, or one of its objects.
struct Wanted {
    kind: Kind,
    /// None for all.
    namespace: Option<String>,
    name: Option<String>,
}

/// What is asked for, and how it is shown.
struct Asked<'a> {
    api: &'a Api,
    args: &'a GetArgs,
    format: Format,
    order: Option<Order>,
}

/// Runs the command.
pub async fn run(args: &GetArgs) -> Result<()> {
    let format = Format::parse(args.output.as_deref())?;
    let order = args.sort_by.as_deref().map(Order::parse).transpose()?;
    let api = connect::connect(&args.connect).await?;
    if let Some(path) = &args.raw {
        return say::result(String::from_utf8_lossy(&api.raw(path).await?));
    }
    let wanted = wanted(&api, args).await?;
    let asked = Asked { api: &api, args, format, order };
    if args.watch || args.watch_only {
        return watch::run(&asked, &wanted).await;
    }
    match asked.format {
        Format::Table { .. } => tables(&asked, &wanted).await,
        _ => objects(&asked, &wanted).await,
    }
}

async fn wanted(api: &Api, args: &GetArgs) -> Result<Vec<Wanted>> {
    let served = api.served().await?;
    if !args.files.is_empty() {
        let mut found = documents::resolve(documents::read(&args.files)?, served)?;
        apply::settle_namespaces(api, &mut found, args.connect.namespace.as_deref())?;
        let one = |document: documents::Document| Wanted {
            kind: document.kind,
            namespace: Some(document.namespace),
            name: Some(document.name),
        };
        return Ok(found.into_iter().map(one).collect());
    }
    let targets = targets::parse(&args.what, served)?;
    if targets.iter().any(|target| target.name.is_some()) {
        if args.all_namespaces && targets.iter().any(|target| target.kind.namespaced) {
            bail!("a resource cannot be retrieved by name across all namespaces");
        }
        if args.selector.is_some() || args.field_selector.is_some() {
            bail!("name cannot be provided when a selector is specified");
        }
    }
    let namespace = (!args.all_namespaces).then(|| api.namespace.clone());
    let one = |target: targets::Target| Wanted {
        kind: target.kind,
        namespace: namespace.clone(),
        name: target.name,
    };
    Ok(targets.into_iter().map(one).collect())
}

impl Asked<'_> {
    fn path(&self, wanted: &Wanted, more: &[(&str, Option<&str>)]) -> String {
        let mut pairs = vec![
            ("labelSelector", self.args.selector.as_deref()),
            ("fieldSelector", self.args.field_selector.as_deref()),
        ];
        pairs.extend_from_slice(more);
        let namespace = wanted.namespace.as_deref().unwrap_or_default();
        let path = match &wanted.name {
            None => wanted.kind.collection(namespace),
            Some(name) => {
                let subresource = self.args.subresource.as_deref().unwrap_or_default();
                wanted.kind.object(namespace, name, subresource)
            }
        };
        format!("{path}{}", api::query(&pairs))
    }

    /// Whether an error is one to complain about.
    fn counts(&self, error: &Error) -> bool {
        !(self.args.ignore_not_found && error.is_not_found())
    }

    fn style(&self, kind: &Kind, several: bool) -> Style {
        Style {
            namespace: self.args.all_namespaces && kind.namespaced,
            wide: matches!(self.format, Format::Table { wide: true }),
            prefix: (several || self.args.show_kind).then(|| kind.shown("")),
            label_columns: self.args.label_columns.clone(),
            show_labels: self.args.show_labels,
        }
    }

    /// A Table of what is wanted, whatever the server makes of it.
    async fn table(&self, wanted: &Wanted) -> Result<Value, Error> {
        // What rows are sorted by is in the objects.
        let include = self.order.as_ref().map(|_| "Object");
        let answer = self.api.get(&self.path(wanted, &[("includeObject", include)]), TABLE).await?;
        Ok(if answer["kind"] == "Table" { answer } else { print::plain(&answer) })
    }

    /// What is said where there is nothing.
    fn nothing(&self, wanted: &[Wanted]) {
        let namespaced = wanted.iter().find(|wanted| wanted.kind.namespaced);
        match namespaced.and_then(|wanted| wanted.namespace.as_deref()) {
            _ if self.args.ignore_not_found => {}
            Some(namespace) => {
                say::note(format_args!("No resources found in {namespace} namespace."))
            }
            None => say::note("No resources found"),
        }
    }
}

async fn tables(asked: &Asked<'_>, wanted: &[Wanted]) -> Result<()> {
    let several = wanted.iter().any(|one| !one.kind.is(&wanted[0].kind));
    let (mut shown, mut failures) = (0, Vec::new());
    for same in wanted.chunk_by(|a, b| a.kind.is(&b.kind)) {
        let mut whole: Option<Value> = None;
        for one in same {
            match asked.table(one).await {
                Ok(table) => merge_table(&mut whole, table),
                Err(error) if asked.counts(&error) => failures.push(error.to_string()),
                Err(_) => {}
            }
        }
        let Some(table) = whole.filter(|table| !table["rows"].as_array().is_none_or(Vec::is_empty))
        else {
            continue;
        };
        if shown > 0 {
            say::line("")?;
        }
        shown += 1;
        say::result(text(asked, &same[0].kind, several, table)?)?;
    }
    if shown == 0 && failures.is_empty() {
        asked.nothing(wanted);
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
}

fn text(asked: &Asked<'_>, kind: &Kind, several: bool, mut table: Value) -> Result<String> {
    if let Some(order) = &asked.order
        && let Value::Array(rows) = table["rows"].take()
    {
        table["rows"] = order.sort(rows, |row| &row["object"])?.into();
    }
    let style = asked.style(kind, several);
    let heads = (!asked.args.no_headers).then(|| style.heads(&table));
    let lines: Vec<Vec<String>> = heads.into_iter().chain(style.rows(&table)).collect();
    Ok(print::align(&lines))
}

/// Adds the rows of another table of the same kind.
fn merge_table(whole: &mut Option<Value>, mut table: Value) {
    match whole {
        None => *whole = Some(table),
        Some(whole) => {
            if let (Some(rows), Value::Array(more)) =
                (whole["rows"].as_array_mut(), table["rows"].take())
            {
                rows.extend(more);
            }
        }
    }
}

async fn objects(asked: &Asked<'_>, wanted: &[Wanted]) -> Result<()> {
    let single = wanted.len() == 1 && wanted[0].name.is_some();
    let (mut items, mut failures) = (Vec::new(), Vec::new());
    for one in wanted {
        let found = match &one.name {
            Some(_) => asked.api.get(&asked.path(one, &[]), JSON).await.map(|item| vec![item]),
            None => asked.list(one).await.map(|(items, _)| items),
        };
        match found {
            Ok(found) => items.extend(found),
            Err(error) if asked.counts(&error) => failures.push(error.to_string()),
            Err(_) => {}
        }
    }
    if let Some(order) = &asked.order {
        items = order.sort(items, |item| item)?;
    }
    let nothing = items.is_empty() && (single || !failures.is_empty());
    if !nothing {
        show(asked, items, single)?;
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
}

impl Asked<'_> {
    /// The objects of a kind, and the version of the list.
    async fn list(&self, wanted: &Wanted) -> Result<(Vec<Value>, String), Error> {
        let query = api::query(&[
            ("labelSelector", self.args.selector.as_deref()),
            ("fieldSelector", self.args.field_selector.as_deref()),
        ]);
        self.api.list(&wanted.kind, wanted.namespace.as_deref(), &query).await
    }
}

/// Shows objects that are not in a table.
fn show(asked: &Asked<'_>, mut items: Vec<Value>, single: bool) -> Result<()> {
    if let Format::Columns(columns) = &asked.format {
        let heads = (!asked.args.no_headers).then(|| columns.heads());
        let rows = items.iter().map(|item| columns.row(item)).collect::<Result<Vec<_>>>()?;
        let lines: Vec<Vec<String>> = heads.into_iter().chain(rows).collect();
        return say::result(Aligned::default().lines(&lines));
    }
    let mut whole = match items.pop() {
        Some(only) if single => only,
        last => {
            items.extend(last);
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
        }
    };
    if matches!(asked.format, Format::Yaml | Format::Json) && !asked.args.show_managed_fields {
        print::without_managed_fields(&mut whole);
    }
    say::result(print::object(&whole, &asked.format)?)
}
