//! Objects as text, in the formats of `-o`.

mod columns;
mod sort;
mod table;

use anyhow::{Context, Result, bail};
use leme_meta::gvk::split_api_version;
use leme_meta::jsonpath;
use serde_json::Value;

pub use columns::Columns;
pub use sort::Order;
pub use table::{Aligned, Style, align, plain};

/// The formats of `-o`.
const FORMATS: &str =
    "custom-columns,custom-columns-file,json,jsonpath,jsonpath-file,name,wide,yaml";

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
    /// `-o custom-columns=NAME:PATH,..`.
    Columns(Columns),
}

impl Format {
    /// Reads the argument of `-o`.
    pub fn parse(text: Option<&str>) -> Result<Format> {
        let (word, rest) = match text.map(|text| text.split_once('=').unwrap_or((text, ""))) {
            None => return Ok(Format::Table { wide: false }),
            Some(parts) => parts,
        };
        let template = |text: &str| -> Result<Format> {
            Ok(Format::JsonPath(jsonpath::parse(text).map_err(anyhow::Error::msg)?))
        };
        let file = || std::fs::read_to_string(rest).with_context(|| format!("read {rest}"));
        Ok(match word {
            "wide" => Format::Table { wide: true },
            "yaml" => Format::Yaml,
            "json" => Format::Json,
            "name" => Format::Name,
            "jsonpath" => template(rest)?,
            "jsonpath-file" => template(&file()?)?,
            "custom-columns" => Format::Columns(Columns::parse(rest)?),
            "custom-columns-file" => Format::Columns(Columns::of_file(&file()?)?),
            other => bail!(
                "unable to match a printer suitable for the output format {other:?}, allowed formats are: {FORMATS}"
            ),
        })
    }
}

/// An object, or a `List` of them, in a format that has no columns.
pub fn object(object: &Value, format: &Format) -> Result<String> {
    Ok(match format {
        Format::Yaml => serde_yaml::to_string(object).context("write YAML")?,
        Format::Json => format!("{object:#}\n"),
        Format::JsonPath(template) => template.render(object).map_err(anyhow::Error::msg)?,
        Format::Name | Format::Table { .. } | Format::Columns(_) => names(object),
    })
}

fn names(object: &Value) -> String {
    match object["items"].as_array() {
        Some(items) => items.iter().map(names).collect(),
        None => {
            let (group, _) = split_api_version(object["apiVersion"].as_str().unwrap_or(""));
            let kind = object["kind"].as_str().unwrap_or("").to_lowercase();
            let name = object["metadata"]["name"].as_str().unwrap_or("");
            match group {
                "" => format!("{kind}/{name}\n"),
                group => format!("{kind}.{group}/{name}\n"),
            }
        }
    }
}

/// Takes out what servers note of who set which field: people who look at objects rarely ask for it.
pub fn without_managed_fields(object: &mut Value) {
    if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(without_managed_fields);
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

/// A path as people write it, `.a.b`, `a.b`, `{.a.b}` or `{a.b}`, as a template.
fn path(text: &str) -> Result<jsonpath::Template> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}'),
        None => Some(text),
    };
    let bare = inner.map(|inner| inner.strip_prefix('.').unwrap_or(inner));
    match bare.filter(|bare| !bare.is_empty() && !bare.contains(['{', '}'])) {
        Some(bare) => jsonpath::parse(&format!("{{.{bare}}}")).map_err(anyhow::Error::msg),
        None => bail!(
            "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{{name1.name2}}' or '{{.name1.name2}}'"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_have_their_group() {
        let list = json!({"items": [
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}},
            {"apiVersion": "sea.io/v1", "kind": "Whale", "metadata": {"name": "b"}}]});
        assert_eq!(object(&list, &Format::Name).unwrap(), "pod/a\nwhale.sea.io/b\n");
    }

    /// Red when looking for a field makes it.
    #[test]
    fn nothing_but_managed_fields_is_taken_out() {
        let mut list =
            json!({"items": [{"metadata": {"name": "a", "managedFields": []}}, {"spec": 1}]});
        without_managed_fields(&mut list);
        assert_eq!(list, json!({"items": [{"metadata": {"name": "a"}}, {"spec": 1}]}));
    }

    #[test]
    fn formats_that_are_none_are_refused() {
        let why = Format::parse(Some("xml")).unwrap_err().to_string();
        assert!(
            why.starts_with("unable to match a printer suitable for the output format \"xml\""),
            "{why}"
        );
        assert!(Format::parse(Some("jsonpath={.a")).is_err());
        assert!(Format::parse(Some("custom-columns=A")).is_err());
        assert!(matches!(
            Format::parse(Some("jsonpath={.a=='b'}")),
            Ok(Format::JsonPath(_)) | Err(_)
        ));
    }

    #[test]
    fn paths_are_read_in_four_forms() {
        let object = json!({"a": {"b": 1}});
        for text in ["a.b", ".a.b", "{a.b}", "{.a.b}"] {
            assert_eq!(path(text).unwrap().all(&object), Ok(vec![&json!(1)]), "{text}");
        }
        for text in ["", "{", "{}", ".", "{.a}{.b}"] {
            assert!(path(text).is_err(), "{text}");
        }
    }
}
