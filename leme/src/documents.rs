//! YAML and JSON that people write: files, directories and standard input, read whole before anything is done with them.
//!
//! Knows: YAML 1.1's octal numbers and booleans, several documents in a file, lists. Refuses to know: what the documents
//! mean beyond `apiVersion`, `kind` and `metadata`.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use leme_meta::gvk::split_api_version;
use serde_json::Value;

use crate::discovery::{self, Served};
use crate::resource::Kind;

/// Largest file taken, bytes: many times the largest request that the server takes.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Most documents in one file.
const MAX_DOCUMENTS: usize = 100_000;

/// One object of one file, before anybody has said what kinds there are.
#[derive(Clone, Debug)]
pub struct Written {
    /// Where it stands, for messages: `app.yaml, document 2`.
    pub source: String,
    /// The object.
    pub object: Value,
}

/// One object of one file.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where it stands, for messages: `app.yaml, document 2`.
    pub source: String,
    /// Its kind.
    pub kind: Kind,
    /// `metadata.namespace`, empty if it says none.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// The object.
    pub object: Value,
}

impl Document {
    /// `pod/web`, or `route.route.openshift.io/web`, as kubectl prints it.
    pub fn shown(&self) -> String {
        self.kind.shown(&self.name)
    }
}

/// The one document of a file.
///
/// # Errors
/// When it cannot be read, or there is another number of them.
pub fn only(path: &Path, what: &str) -> Result<Value> {
    let shown = path.display().to_string();
    let mut written = read(std::slice::from_ref(&shown))?;
    ensure!(written.len() == 1, "{shown}: expected one {what}");
    Ok(written.remove(0).object)
}

/// What stands in a file that is no object.
///
/// # Errors
/// When it cannot be read, or is no YAML.
pub fn plain(path: &Path) -> Result<Value> {
    let shown = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("read {shown}"))?;
    serde_saphyr::from_str(&text)
        .map_err(|error| anyhow::anyhow!("{shown}: {}", in_one_line(&error)))
}

/// Finds the kind of each, among those that are served and those that the documents themselves define.
///
/// # Errors
/// The first whose kind is not served, or that has no name.
pub fn resolve(written: Vec<Written>, served: &Served) -> Result<Vec<Document>> {
    let mut known = served.clone();
    for kind in written.iter().flat_map(|written| discovery::defined(&written.object)) {
        known.and(kind);
    }
    written.into_iter().map(|written| document(written, &known)).collect()
}

/// Refuses what this program cannot serve whatever else is defined: kinds of its own groups that it does not have.
///
/// # Errors
/// The first of them.
pub fn check_own(written: &[Written]) -> Result<()> {
    let own = Served::builtin();
    let ours = |written: &&Written| {
        let version = written.object["apiVersion"].as_str().unwrap_or("");
        own.iter().any(|kind| kind.group == split_api_version(version).0)
    };
    let defines = written.iter().any(|written| !discovery::defined(&written.object).is_empty());
    let ours = written.iter().filter(ours).filter(|_| !defines).cloned();
    resolve(ours.collect(), &own).map(drop)
}

fn document(written: Written, served: &Served) -> Result<Document> {
    let Written { source, object } = written;
    let kind = object["kind"].as_str().unwrap_or("");
    let api_version = object["apiVersion"].as_str().unwrap_or("");
    let (group, version) = split_api_version(api_version);
    let Some(found) = served.by_kind(group, version, kind) else {
        bail!("{source}: no matches for kind {kind:?} in version {api_version:?}");
    };
    let name = object["metadata"]["name"].as_str().unwrap_or("").to_owned();
    let generated =
        object["metadata"]["generateName"].as_str().is_some_and(|name| !name.is_empty());
    ensure!(
        !name.is_empty() || generated || !found.can("get"),
        "{source}: metadata.name is not set"
    );
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("").to_owned();
    Ok(Document { source, kind: found.clone(), namespace, name, object })
}

/// Reads everything that the arguments of `-f` name, in order.
///
/// # Errors
/// The first thing wrong, with file and document; nothing has been done with the others then.
pub fn read(arguments: &[String]) -> Result<Vec<Written>> {
    let mut documents = Vec::new();
    for argument in arguments {
        if argument == "-" {
            let mut text = String::new();
            std::io::stdin()
                .take(MAX_FILE)
                .read_to_string(&mut text)
                .context("read standard input")?;
            documents.extend(parse("standard input", &text)?);
            continue;
        }
        for path in files(Path::new(argument))? {
            let shown = path.display().to_string();
            let size = fs::metadata(&path).with_context(|| format!("read {shown}"))?.len();
            ensure!(
                size <= MAX_FILE,
                "{shown} has {size} bytes: more than {MAX_FILE} are not taken"
            );
            let text = fs::read_to_string(&path).with_context(|| format!("read {shown}"))?;
            documents.extend(parse(&shown, &text)?);
        }
    }
    ensure!(!documents.is_empty(), "no objects in {}", arguments.join(", "));
    Ok(documents)
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let shown = path.display();
    if !path.is_dir() {
        ensure!(path.exists(), "{shown} does not exist");
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(|| format!("read {shown}"))? {
        let path = entry.with_context(|| format!("read {shown}"))?.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
        if ["yaml", "yml", "json"].contains(&extension) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "{shown} holds no .yaml, .yml or .json file");
    Ok(files)
}

/// The objects of one text.
pub fn parse(source: &str, text: &str) -> Result<Vec<Written>> {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        budget: serde_saphyr::budget! { max_documents: MAX_DOCUMENTS },
    };
    let values: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| anyhow::anyhow!("{source}: {}", in_one_line(&error)))?;
    let mut documents = Vec::new();
    let several = values.len() > 1;
    for (index, value) in values.into_iter().enumerate() {
        let place =
            if several { format!("{source}, document {}", index + 1) } else { source.to_owned() };
        flatten(&place, value, &mut documents)?;
    }
    Ok(documents)
}

/// One line is enough to find the place; the rest is a drawing, or advice to programmers.
fn in_one_line(error: &serde_saphyr::Error) -> String {
    let mut inner = error;
    while let serde_saphyr::Error::WithSnippet { error, .. } = inner {
        inner = error;
    }
    if let serde_saphyr::Error::DuplicateMappingKey { key, location } = inner {
        let key = key.as_deref().unwrap_or("?");
        return format!("line {}: key {key:?} already set in map", location.line());
    }
    let text = error.to_string();
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("not YAML").to_owned()
}

/// Adds an object, or the items of a `List`.
fn flatten(place: &str, mut value: Value, documents: &mut Vec<Written>) -> Result<()> {
    ensure!(value.is_object(), "{place}: expected an object with apiVersion, kind and metadata");
    let kind = value["kind"].as_str().unwrap_or("").to_owned();
    if kind.ends_with("List") && value["items"].is_array() {
        let Value::Array(items) = value["items"].take() else { return Ok(()) };
        for (index, item) in items.into_iter().enumerate() {
            flatten(&format!("{place}, item {}", index + 1), item, documents)?;
        }
        return Ok(());
    }
    ensure!(
        value["apiVersion"].as_str().is_some_and(|version| !version.is_empty()),
        "{place}: apiVersion is not set"
    );
    ensure!(!kind.is_empty(), "{place}: kind is not set");
    documents.push(Written { source: place.to_owned(), object: value });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        let documents =
            parse("x.yaml", text).and_then(|written| resolve(written, &Served::builtin()));
        match documents {
            Ok(documents) => documents.iter().map(Document::shown).collect::<Vec<_>>().join(" "),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn documents_and_lists() {
        let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: a}}\n";
        let route =
            "---\napiVersion: route.openshift.io/v1\nkind: Route\nmetadata: {name: b}\n---\n";
        assert_eq!(check(&format!("{list}{route}")), "secret/a route.route.openshift.io/b");
    }

    #[test]
    fn a_definition_counts_for_what_follows_it() {
        let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: whales.sea.io}\n\
            spec: {group: sea.io, scope: Namespaced, names: {kind: Whale, plural: whales}, versions: [{name: v1, served: true}]}\n";
        let object = "---\napiVersion: sea.io/v1\nkind: Whale\nmetadata: {name: a}\n";
        let both = check(&format!("{definition}{object}"));
        assert!(both.ends_with(" whale.sea.io/a"), "{both}");
        assert!(check(object).contains("no matches for kind \"Whale\""));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        assert_eq!(check("kind: Pod"), "x.yaml: apiVersion is not set");
        assert_eq!(
            check(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Cat\n"
            ),
            "x.yaml, document 2: no matches for kind \"Cat\" in version \"v1\""
        );
        assert_eq!(check("- 1"), "x.yaml: expected an object with apiVersion, kind and metadata");
        assert!(check("a: [").starts_with("x.yaml: "));
    }

    /// Red when the parser's own words are passed on.
    #[test]
    fn a_key_that_stands_twice_is_said_with_its_line() {
        assert_eq!(
            check("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  name: b\n"),
            "x.yaml: line 5: key \"name\" already set in map"
        );
    }

    #[test]
    fn people_write_octal_modes() {
        let documents =
            parse("x", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nmode: 0644\n").unwrap();
        assert_eq!(documents[0].object["mode"], 420);
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let list = vec![format!("*a{}", level - 1); 9].join(",");
            text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        assert!(check(&text).starts_with("x: ") || check(&text).starts_with("x.yaml: "));
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert!(check(&"[".repeat(100_000)).starts_with("x.yaml: "));
        assert!(check(&"- ".repeat(100_000)).starts_with("x.yaml: "));
    }
}
