//! `leme describe`: everything about one object, in the order people ask, with its events.
//!
//! Generic on purpose: the same layout for every kind, so a new kind needs nothing here.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use leme_meta::{Object, time};
use serde_json::Value;

use crate::api::{self, Api};
use crate::args::DescribeArgs;
use crate::choose::{self, Alone, Chosen};
use crate::served::{event_time, in_order};
use crate::{connect, print, say};

/// Fields of metadata that say nothing to people.
const HIDDEN: &[&str] = &["managedFields", "selfLink"];
/// The annotation that only repeats the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Maps whose keys are people's own words, not names of fields.
const WORDS: &[&str] = &[
    "labels",
    "annotations",
    "matchLabels",
    "nodeSelector",
    "selector",
    "data",
    "binaryData",
    "stringData",
    "parameters",
    "requests",
    "limits",
    "capacity",
    "allocatable",
    "hard",
    "used",
];

/// Runs the command.
pub async fn run(args: &DescribeArgs) -> Result<()> {
    let api = connect::connect(&args.connect).await?;
    let flag = args.connect.namespace.as_deref();
    let chosen = choose::objects(&api, &args.chosen, flag, Alone::All).await?;
    if chosen.is_empty() {
        say::note(format_args!("No resources found in {} namespace.", api.namespace));
    }
    let mut first = true;
    choose::each(&chosen, async |one: &Chosen| {
        let object = Object(one.get(&api).await?);
        if !std::mem::take(&mut first) {
            say::line("")?;
        }
        say::result(render(&object))?;
        if args.show_events {
            say::result(events(&api, &object).await?)?;
        }
        Ok(())
    })
    .await
}

/// A value with all that is in it, a line each, below a heading.
pub fn section(key: &str, value: &Value) -> String {
    let mut out = String::new();
    field(&mut out, 0, key, value);
    out
}

fn render(object: &Object) -> String {
    let mut out = String::new();
    let metadata = object.at(&["metadata"]).and_then(Value::as_object);
    for (key, value) in
        metadata.into_iter().flatten().filter(|(key, _)| !HIDDEN.contains(&key.as_str()))
    {
        field(&mut out, 0, key, value);
    }
    for (key, value) in object.0.as_object().into_iter().flatten() {
        match key.as_str() {
            "apiVersion" | "kind" | "metadata" => {}
            "data" if object.kind() == "Secret" => field(&mut out, 0, key, &sizes(value)),
            _ => field(&mut out, 0, key, value),
        }
    }
    out
}

/// How long what is secret is, in place of it.
fn sizes(data: &Value) -> Value {
    let length = |content: &Value| {
        STANDARD.decode(content.as_str().unwrap_or_default()).map_or(0, |bytes| bytes.len())
    };
    let entries = data.as_object().into_iter().flatten();
    entries.map(|(key, content)| (key.clone(), format!("{} bytes", length(content)))).collect()
}

/// `resourceVersion` becomes `Resource Version`.
fn title(key: &str) -> String {
    if !key.chars().all(|c| c.is_ascii_alphanumeric()) {
        return key.to_owned();
    }
    let mut title = String::new();
    for (index, c) in key.chars().enumerate() {
        match c {
            c if index == 0 => title.push(c.to_ascii_uppercase()),
            c if c.is_ascii_uppercase() && !title.ends_with(|c: char| c.is_ascii_uppercase()) => {
                title.push(' ');
                title.push(c);
            }
            c => title.push(c),
        }
    }
    title
}

fn field(out: &mut String, depth: usize, key: &str, value: &Value) {
    entry(out, depth, (key, &title(key)), value);
}

/// A value below a heading, which stands for its key.
fn entry(out: &mut String, depth: usize, (key, heading): (&str, &str), value: &Value) {
    let indent = "  ".repeat(depth);
    match value {
        _ if key == LAST_APPLIED => {}
        Value::Object(map) if map.is_empty() => {
            out.push_str(&format!("{indent}{heading}:  <none>\n"))
        }
        Value::Object(map) => {
            out.push_str(&format!("{indent}{heading}:\n"));
            for (inner, value) in map {
                match WORDS.contains(&key) {
                    true => entry(out, depth + 1, (inner, inner), value),
                    false => field(out, depth + 1, inner, value),
                }
            }
        }
        Value::Array(list) => {
            out.push_str(&format!("{indent}{heading}:\n"));
            for item in list {
                element(out, depth + 1, item);
            }
        }
        Value::String(text) if text.contains('\n') => {
            out.push_str(&format!("{indent}{heading}:\n"));
            for line in text.lines() {
                out.push_str(&format!("{indent}  {line}\n"));
            }
        }
        Value::String(text) => out.push_str(&format!("{indent}{heading}:  {text}\n")),
        other => out.push_str(&format!("{indent}{heading}:  {other}\n")),
    }
}

fn element(out: &mut String, depth: usize, item: &Value) {
    let indent = "  ".repeat(depth);
    match item {
        Value::Object(map) => {
            let start = out.len();
            for (key, value) in map {
                field(out, depth + 1, key, value);
            }
            // The first field stands on the line of the dash.
            if out.len() > start {
                out.replace_range(start..start + indent.len() + 2, &format!("{indent}- "));
            }
        }
        Value::String(text) => out.push_str(&format!("{indent}- {text}\n")),
        other => out.push_str(&format!("{indent}- {other}\n")),
    }
}

async fn events(api: &Api, object: &Object) -> Result<String> {
    let kind = api.served().await?.by_word("events")?;
    let selector = format!("involvedObject.uid={}", object.uid());
    let query = api::query(&[("fieldSelector", Some(&selector))]);
    let namespace = Some(object.namespace()).filter(|namespace| !namespace.is_empty());
    let (items, _) = api.list(kind, namespace, &query).await?;
    if items.is_empty() {
        return Ok("Events:  <none>\n".to_owned());
    }
    let now = Timestamp::now();
    let mut lines =
        vec![["  Type", "Reason", "Age", "From", "Message"].map(str::to_owned).to_vec()];
    for event in in_order(&items) {
        let text = |field: &str| event[field].as_str().unwrap_or("").to_owned();
        let age = event_time(event).map_or_else(|| "<unknown>".to_owned(), |at| time::age(at, now));
        let age = match event["count"].as_i64() {
            Some(count) if count > 1 => format!("{age} (x{count})"),
            _ => age,
        };
        let from = match event["source"]["component"].as_str() {
            Some(component) if !component.is_empty() => component.to_owned(),
            _ => text("reportingComponent"),
        };
        lines.push(vec![format!("  {}", text("type")), text("reason"), age, from, text("message")]);
    }
    Ok(format!("Events:\n{}", print::align(&lines)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_and_lists_line_up() {
        let object = Object(json!({
            "metadata": {"name": "a", "labels": {"app.x/y": "1"}},
            "spec": {"podIP": "1.2.3.4", "list": [{"a": 1, "b": "x"}, "s"], "none": {}},
        }));
        let expected = "Labels:\n  app.x/y:  1\nName:  a\nSpec:\n  List:\n    - A:  1\n      B:  x\n    - s\n  None:  <none>\n  Pod IP:  1.2.3.4\n";
        assert_eq!(render(&object), expected);
    }

    /// Red when keys are headings wherever they are, and what is secret is shown.
    #[test]
    fn keys_of_people_stay_and_secrets_are_counted() {
        let secret = json!({"kind": "Secret", "metadata": {"labels": {"app": "x"}},
            "data": {"token": "c2VjcmV0", "short": "YQ==", "none": ""}});
        let expected =
            "Labels:\n  app:  x\nData:\n  none:  0 bytes\n  short:  1 bytes\n  token:  6 bytes\n";
        assert_eq!(render(&Object(secret)), expected);
        let config = json!({"kind": "ConfigMap", "metadata": {}, "data": {"otherKey": "v"}});
        assert_eq!(render(&Object(config)), "Data:\n  otherKey:  v\n");
    }
}
