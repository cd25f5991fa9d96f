//! `leme get`: tables as the server prints them, objects as YAML, JSON, names or a JSONPath.

use std::time::Duration;

use anyhow::{Result, bail};
use futures::StreamExt;
use leme_kinds::Kind;
use serde_json::{Value, json};

use crate::api::{self, Api, JSON, TABLE};
use crate::args::GetArgs;
use crate::print::{self, Format};
use crate::targets::{self, Target};
use crate::{connect, documents, say};

/// Runs the command.
pub async fn run(args: &GetArgs) -> Result<()> {
    let format = Format::parse(args.output.as_deref())?;
    let targets = targets::parse(&args.what)?;
    let api = connect::connect(&args.connect).await?;
    if args.watch {
        return watch(&api, args, &targets, &format).await;
    }
    match format {
        Format::Table { .. } => tables(&api, args, &targets, &format).await,
        _ => objects(&api, args, &targets, &format).await,
    }
}

fn namespace<'a>(api: &'a Api, args: &GetArgs) -> Option<&'a str> {
    (!args.all_namespaces).then_some(api.namespace.as_str())
}

fn target_path(
    api: &Api,
    args: &GetArgs,
    target: &Target,
    more: &[(&str, Option<&str>)],
) -> String {
    let mut pairs = vec![
        ("labelSelector", args.selector.as_deref()),
        ("fieldSelector", args.field_selector.as_deref()),
    ];
    pairs.extend_from_slice(more);
    let path = api::path(target.kind, namespace(api, args), target.name.as_deref(), None);
    format!("{path}{}", api::query(&pairs))
}

async fn tables(api: &Api, args: &GetArgs, targets: &[Target], format: &Format) -> Result<()> {
    let several = targets.iter().any(|target| target.kind.plural != targets[0].kind.plural);
    let (mut shown, mut failures) = (0, Vec::new());
    let mut index = 0;
    while index < targets.len() {
        let kind = targets[index].kind;
        let mut rows: Option<Value> = None;
        while let Some(target) =
            targets.get(index).filter(|target| target.kind.plural == kind.plural)
        {
            match api.get(&target_path(api, args, target, &[]), TABLE).await {
                Ok(table) => merge_table(&mut rows, table),
                Err(error) => failures.push(error.to_string()),
            }
            index += 1;
        }
        let Some(table) = rows.filter(|table| !table["rows"].as_array().is_none_or(Vec::is_empty))
        else {
            continue;
        };
        if shown > 0 {
            say::line("")?;
        }
        shown += 1;
        let style = print::TableStyle {
            namespace: args.all_namespaces && kind.namespaced(),
            headers: !args.no_headers,
            wide: matches!(format, Format::Table { wide: true }),
            prefix: several.then(|| documents::shown(kind, "")),
        };
        say::result(print::table(&table, &style))?;
    }
    if shown == 0 && failures.is_empty() {
        match namespace(api, args).filter(|_| targets.iter().any(|target| target.kind.namespaced()))
        {
            Some(namespace) => {
                say::note(format_args!("No resources found in {namespace} namespace."))
            }
            None => say::note("No resources found"),
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
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

async fn objects(api: &Api, args: &GetArgs, targets: &[Target], format: &Format) -> Result<()> {
    let single = targets.len() == 1 && targets[0].name.is_some();
    let mut items = Vec::new();
    for target in targets {
        match &target.name {
            Some(_) => items.push(api.get(&target_path(api, args, target, &[]), JSON).await?),
            None => {
                let query = api::query(&[
                    ("labelSelector", args.selector.as_deref()),
                    ("fieldSelector", args.field_selector.as_deref()),
                ]);
                items.extend(api.list(target.kind, namespace(api, args), &query).await?.0);
            }
        }
    }
    let whole = match items.pop() {
        Some(only) if single => only,
        last => {
            items.extend(last);
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
        }
    };
    say::result(print::object(&whole, format)?)
}

async fn watch(api: &Api, args: &GetArgs, targets: &[Target], format: &Format) -> Result<()> {
    let [target] = targets else { bail!("watch one kind, or one object") };
    let kind: &Kind = target.kind;
    let field = target.name.as_ref().map(|name| format!("metadata.name={name}"));
    let selector = field.as_deref().or(args.field_selector.as_deref());
    let table = matches!(format, Format::Table { .. });
    let accept = if table { TABLE } else { JSON };
    let mut headers = !args.no_headers;
    // Only the first event of a watch says what the columns are.
    let mut columns = Value::Null;
    let mut version = String::from("0");
    loop {
        let query = api::query(&[
            ("watch", Some("1")),
            ("resourceVersion", Some(&version)),
            ("allowWatchBookmarks", Some("true")),
            ("labelSelector", args.selector.as_deref()),
            ("fieldSelector", selector),
        ]);
        let path = format!("{}{query}", api::path(kind, namespace(api, args), None, None));
        let mut events = api.watch(&path, accept).await?;
        while let Some(event) = events.next().await {
            let (type_, mut object) = event?;
            let seen = if table && type_ != "BOOKMARK" {
                &object["rows"][0]["object"]["metadata"]["resourceVersion"]
            } else {
                &object["metadata"]["resourceVersion"]
            };
            if let Some(seen) = seen.as_str() {
                seen.clone_into(&mut version);
            }
            if type_ == "BOOKMARK" {
                continue;
            }
            if table {
                if object["columnDefinitions"].as_array().is_some_and(|list| !list.is_empty()) {
                    columns = object["columnDefinitions"].take();
                }
                object["columnDefinitions"].clone_from(&columns);
                let style = print::TableStyle {
                    namespace: args.all_namespaces && kind.namespaced(),
                    headers,
                    wide: matches!(format, Format::Table { wide: true }),
                    prefix: None,
                };
                say::result(print::table(&object, &style))?;
                headers = false;
            } else {
                say::result(print::object(&object, format)?)?;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
