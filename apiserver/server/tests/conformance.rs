//! The corpus of `e2e/conformance`: what is sent to each kind, and what upstream answers, through a whole server.
//!
//! Knows: the form of those files, which `e2e/conformance/README.md` tells. Refuses to know: any kind. Every difference is
//! told by the kind, the case and the field.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use common::*;
use leme_kinds::Kind;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What one kind is asked, and what it answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Objects that are there before.
    #[serde(default)]
    before: Vec<Value>,
    /// The object that is accepted, but for `apiVersion`, `kind` and a name.
    send: Map<String, Value>,
    /// What the answer holds besides.
    #[serde(default)]
    adds: Fields,
    /// The warnings that come along.
    #[serde(default)]
    warns: Vec<String>,
    /// The answer, where it is not the object.
    answer: Option<Value>,
    /// Objects that are accepted as well, each the first one with changes.
    #[serde(default)]
    more: Vec<Case>,
    /// Objects that are refused.
    #[serde(default)]
    refused: Vec<Case>,
    /// Changes of the object that was made first.
    #[serde(default)]
    changes: Vec<Case>,
}

/// Values by the paths of fields, such as `spec.containers[0].image`.
type Fields = BTreeMap<String, Value>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Fields that are set; null takes one away.
    with: Fields,
    #[serde(default)]
    adds: Fields,
    #[serde(default)]
    warns: Vec<String>,
    /// The subresource that is written, for changes.
    at: Option<String>,
    /// The causes of a 422, each `FIELD: MESSAGE`.
    #[serde(default)]
    causes: Vec<String>,
    /// Any other refusal.
    code: Option<u16>,
    reason: Option<String>,
    message: Option<String>,
}

/// The reason of a cause by the first words of its message.
const REASONS: &[(&str, &str)] = &[
    ("Required value", "FieldValueRequired"),
    ("Invalid value", "FieldValueInvalid"),
    ("Unsupported value", "FieldValueNotSupported"),
    ("Forbidden", "FieldValueForbidden"),
    ("Duplicate value", "FieldValueDuplicate"),
    ("Not found", "FieldValueNotFound"),
    ("Too long", "FieldValueTooLong"),
    ("Too many", "FieldValueTooMany"),
    ("Internal error", "InternalError"),
];

fn files() -> Vec<PathBuf> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../e2e/conformance");
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    files
}

/// The kinds of a file, by `GROUP/VERSION RESOURCE`. What begins with a dot is there to be pointed at.
fn entries(file: &PathBuf) -> Vec<(String, Entry)> {
    let text = std::fs::read_to_string(file).unwrap();
    let all: Map<String, Value> =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let kinds = all.into_iter().filter(|(name, _)| !name.starts_with('.'));
    kinds
        .map(|(name, value)| {
            let entry = serde_json::from_value(value);
            let entry = entry.unwrap_or_else(|error| panic!("{} {name}: {error}", file.display()));
            (name, entry)
        })
        .collect()
}

/// The steps of a path: names, and places in lists.
fn steps(path: &str) -> Vec<String> {
    path.replace('[', ".[").trim_start_matches('.').split('.').map(str::to_owned).collect()
}

/// The place of a path, made where it is not there.
fn place<'a>(object: &'a mut Value, path: &str) -> &'a mut Value {
    steps(path).iter().fold(object, |at, step| match step.strip_prefix('[') {
        Some(index) => {
            let index: usize = index.trim_end_matches(']').parse().unwrap();
            &mut at.as_array_mut().unwrap_or_else(|| panic!("{path}: no list"))[index]
        }
        None => {
            if at.is_null() {
                *at = json!({});
            }
            let map = at.as_object_mut().unwrap_or_else(|| panic!("{path}: no map"));
            map.entry(step).or_insert(Value::Null)
        }
    })
}

/// Sets fields as they stand.
fn set(object: &mut Value, fields: &Fields) {
    for (path, value) in fields {
        if !value.is_null() {
            *place(object, path) = value.clone();
            continue;
        }
        let (parent, name) = path.rsplit_once('.').map_or(("", path.as_str()), |split| split);
        let parent = if parent.is_empty() { &mut *object } else { place(object, parent) };
        parent.as_object_mut().unwrap().remove(name);
    }
}

/// Sets fields, those of maps one by one; of a list by `[INDEX]`.
fn add(object: &mut Value, fields: &Fields) {
    fn merge(into: &mut Value, from: &Value) {
        let Value::Object(fields) = from else { return *into = from.clone() };
        if into.is_null() {
            *into = json!({});
        }
        for (name, value) in fields {
            match into {
                Value::Object(map) if value.is_null() => _ = map.remove(name),
                Value::Array(_) => merge(place(into, name), value),
                _ => merge(into.as_object_mut().unwrap().entry(name).or_insert(Value::Null), value),
            }
        }
    }
    for (path, value) in fields {
        match value {
            Value::Null => set(object, &Fields::from([(path.clone(), Value::Null)])),
            _ => merge(place(object, path), value),
        }
    }
}

/// Where one value is not another; `*` stands for any, and a null is wanted as the word.
fn differences(wanted: &Value, got: &Value, path: &str, out: &mut Vec<String>) {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => {
            let names: BTreeSet<&String> = wanted.keys().chain(got.keys()).collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match (wanted.get(name), got.get(name)) {
                    (Some(wanted), Some(got)) => differences(wanted, got, &path, out),
                    (Some(wanted), None) => out.push(format!("{path}: {wanted} is missing")),
                    (None, Some(got)) => out.push(format!("{path}: {got} is there")),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
            for (at, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                differences(wanted, got, &format!("{path}[{at}]"), out);
            }
        }
        _ if wanted == got || *wanted == "*" || (*wanted == "null" && got.is_null()) => {}
        _ => out.push(format!("{path}: {got} instead of {wanted}")),
    }
}

/// Whether texts are those wanted; of one that ends in `*`, the beginning.
fn fit(got: &[String], wanted: &[String]) -> bool {
    let fits = |(got, wanted): (&String, &String)| match wanted.strip_suffix('*') {
        Some(beginning) => got.starts_with(beginning),
        None => got == wanted,
    };
    got.len() == wanted.len() && got.iter().zip(wanted).all(fits)
}

/// Takes out what every object gets and no two have alike.
fn unstamp(object: &mut Value, kind: &Kind) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["uid", "creationTimestamp", "resourceVersion", "managedFields"] {
            metadata.remove(field);
        }
        if metadata.get("namespace").is_some_and(|namespace| *namespace == *kind.plural) {
            metadata.remove("namespace");
        }
    }
}

/// The texts of the `Warning` headers.
fn warnings(answer: &Read) -> Vec<String> {
    let texts = answer.headers.get_all("warning").iter();
    let text = |value: &http::HeaderValue| {
        let text =
            value.to_str().unwrap().trim_start_matches("299 - ").trim_matches('"').to_owned();
        text.replace("\\\"", "\"").replace("\\\\", "\\")
    };
    texts.map(text).collect()
}

struct Run<'a> {
    api: &'a Harness,
    kind: &'a Kind,
    /// Where objects of the kind are made.
    path: String,
    /// What is not as it should be.
    wrong: Vec<String>,
}

impl Run<'_> {
    fn say(&mut self, case: &str, what: impl IntoIterator<Item = String>) {
        let kind = self.kind;
        let head = format!("{} {} {case}", kind.api_version(), kind.plural);
        self.wrong.extend(what.into_iter().map(|what| format!("{head}: {what}")));
    }

    /// An object of the kind: its fields, and a name if it has no metadata.
    fn object(&self, fields: &Map<String, Value>) -> Value {
        let mut object = json!({
            "apiVersion": self.kind.api_version(), "kind": self.kind.kind, "metadata": { "name": "a" },
        });
        object.as_object_mut().unwrap().extend(fields.clone());
        object
    }

    /// Whether an answer is a success that holds this, with these warnings.
    fn accepted(
        &mut self,
        case: &str,
        answer: &Read,
        code: u16,
        mut wanted: Value,
        warns: &[String],
    ) {
        let mut got = answer.json();
        if answer.code != code {
            return self.say(case, [format!("{} {got}", answer.code)]);
        }
        unstamp(&mut wanted, self.kind);
        unstamp(&mut got, self.kind);
        let mut out = Vec::new();
        differences(&wanted, &got, "", &mut out);
        if warnings(answer) != warns {
            out.push(format!("warnings {:?} instead of {warns:?}", warnings(answer)));
        }
        self.say(case, out);
    }

    /// Whether an answer is the refusal that is told.
    fn refused(&mut self, case: &str, answer: &Read, told: &Case) {
        let got = answer.json();
        let mut out = Vec::new();
        let code = told.code.unwrap_or(422);
        let reason = told.reason.as_deref().unwrap_or(if code == 422 { "Invalid" } else { "" });
        if answer.code != code || (!reason.is_empty() && got["reason"] != reason) {
            out.push(format!("{} instead of {code} {reason}: {got}", answer.code));
        }
        if told
            .message
            .as_ref()
            .is_some_and(|message| message != "*" && got["message"] != **message)
        {
            out.push(format!("{} instead of {:?}", got["message"], told.message));
        }
        let causes = got["details"]["causes"].as_array().cloned().unwrap_or_default();
        let text = |cause: &Value, field: &str| cause[field].as_str().unwrap_or("").to_owned();
        let shown: Vec<String> = causes
            .iter()
            .map(|cause| format!("{}: {}", text(cause, "field"), text(cause, "message")))
            .collect();
        if told.message.is_none() && !fit(&shown, &told.causes) {
            out.push(format!("causes {shown:#?} instead of {:#?}", told.causes));
        }
        for cause in &causes {
            let (reason, message) = (text(cause, "reason"), text(cause, "message"));
            let known = REASONS.iter().find(|(words, _)| message.starts_with(words));
            if known.is_some_and(|(_, known)| *known != reason) {
                out.push(format!("{message} has the reason {reason}"));
            }
        }
        self.say(case, out);
    }

    async fn entry(&mut self, entry: &Entry) {
        let first = self.object(&entry.send);
        let answer = self.api.post(&self.path, &first).await;
        let mut wanted = entry.answer.clone().unwrap_or_else(|| first.clone());
        add(&mut wanted, &entry.adds);
        self.accepted("send", &answer, 201, wanted.clone(), &entry.warns);
        for (at, case) in entry.more.iter().enumerate() {
            let (mut body, mut wanted) = (first.clone(), wanted.clone());
            set(&mut body, &case.with);
            set(&mut wanted, &case.with);
            add(&mut wanted, &case.adds);
            let path = format!("{}?dryRun=All", self.path);
            // Another name, unless the case is about names.
            for object in [&mut body, &mut wanted] {
                if object["metadata"]["name"] == first["metadata"]["name"] {
                    object["metadata"]["name"] = "more".into();
                }
            }
            let answer = self.api.post(&path, &body).await;
            self.accepted(&format!("more {at}"), &answer, 201, wanted, &case.warns);
        }
        for (at, case) in entry.refused.iter().enumerate() {
            let mut body = first.clone();
            set(&mut body, &case.with);
            let answer = self.api.post(&self.path, &body).await;
            self.refused(&format!("refused {at}"), &answer, case);
        }
        let name = first["metadata"]["name"].as_str().unwrap_or_default();
        for (at, case) in entry.changes.iter().enumerate() {
            let path = format!("{}/{name}", self.path);
            let stored = self.api.get(&path).await.ok();
            let mut body = stored.clone();
            set(&mut body, &case.with);
            let sub = case.at.as_ref().map(|sub| format!("/{sub}")).unwrap_or_default();
            let answer = self.api.put(&format!("{path}{sub}"), &body).await;
            let shown = format!("changes {at}");
            if case.causes.is_empty() && case.code.is_none() {
                let mut wanted = stored;
                set(&mut wanted, &case.with);
                add(&mut wanted, &case.adds);
                self.accepted(&shown, &answer, 200, wanted, &case.warns);
            } else {
                self.refused(&shown, &answer, case);
            }
        }
    }
}

/// The path of an object's collection.
fn collection(kind: &Kind, namespace: &str) -> String {
    let root = if kind.group.is_empty() {
        "/api/v1".to_owned()
    } else {
        format!("/apis/{}", kind.api_version())
    };
    let within = if kind.namespaced() { format!("/namespaces/{namespace}") } else { String::new() };
    format!("{root}{within}/{}", kind.plural)
}

/// What is there before: first what is in no namespace, which may be the one that is written to.
async fn prepare(api: &Harness, kind: &Kind, before: &[Value]) {
    let of = |object: &Value| {
        let text = |field: &str| object[field].as_str().unwrap();
        let (group, version) = leme_meta::gvk::split_api_version(text("apiVersion"));
        leme_kinds::by_kind(group, version, text("kind")).unwrap()
    };
    let (within, first): (Vec<&Value>, Vec<&Value>) =
        before.iter().partition(|object| of(object).namespaced());
    for object in first {
        api.post(&collection(of(object), ""), object).await.ok();
    }
    if kind.namespaced() {
        let space =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": kind.plural } });
        // The name of a resource may have been taken by another group's.
        let answer = api.post("/api/v1/namespaces", &space).await;
        assert!(matches!(answer.code, 201 | 409), "{:?}", answer.body);
    }
    for object in within {
        api.post(&collection(of(object), &kind.plural), object).await.ok();
    }
}

/// Every kind of one file, over a server of its own.
async fn file(path: &PathBuf, seen: &mut BTreeSet<String>) -> Vec<String> {
    let api = Harness::start().await;
    let mut wrong = Vec::new();
    for (name, entry) in entries(path) {
        let (version, plural) = name.split_once(' ').unwrap();
        let (group, version) = leme_meta::gvk::split_api_version(version);
        let kind = leme_kinds::by_resource(group, version, plural);
        let kind = kind.unwrap_or_else(|| panic!("{name} is not served"));
        prepare(&api, kind, &entry.before).await;
        let path = collection(kind, &kind.plural);
        let mut run = Run { api: &api, kind, path, wrong: Vec::new() };
        run.entry(&entry).await;
        wrong.append(&mut run.wrong);
        if entry.refused.is_empty() {
            wrong.push(format!("{name}: nothing is refused"));
        }
        assert!(seen.insert(name.clone()), "{name} twice");
    }
    wrong
}

#[tokio::test]
async fn every_kind_answers_as_upstream_does() {
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for path in files() {
        wrong.append(&mut file(&path, &mut seen).await);
    }
    for kind in leme_kinds::builtin().filter(|kind| kind.verbs.contains(&"create")) {
        let name = format!("{} {}", kind.api_version(), kind.plural);
        if !seen.contains(&name) {
            wrong.push(format!("{name}: is in no file"));
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
