//! The scale subresource: an object seen as a number of replicas.
//!
//! Knows: where replicas and selectors stand. Refuses to know: which kinds can be scaled.

use leme_kinds::{Kind, schemas};
use leme_meta::managed::{self, Element, Entries, FieldSet, Request, Typed};
use leme_meta::quote;
use leme_meta::selector::LabelSelector;
use leme_meta::{FieldError, Gvk, Path, Status};
use serde_json::{Map, Value, json};

use crate::{Context, custom, json};

/// How a kind shows its scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// `apiVersion` of the Scale document.
    pub api_version: &'static str,
    /// A label that the pods carry besides the selector, its value being the object's name.
    pub implicit_label: Option<&'static str>,
    /// Whether the document has the older form: `selector` as a map beside `targetSelector`.
    pub selector_map: bool,
    /// Whether `spec.selector` is a `metav1.LabelSelector` and not a map of labels.
    pub label_selector: bool,
}

impl Scale {
    /// The form that all newer kinds have, of an object that selects by a map of labels.
    pub const AUTOSCALING: Scale = Scale {
        api_version: "autoscaling/v1",
        implicit_label: None,
        selector_map: false,
        label_selector: false,
    };
    /// The same of an object that selects by a `metav1.LabelSelector`.
    pub const BY_SELECTOR: Scale = Scale { label_selector: true, ..Scale::AUTOSCALING };
}

/// The Scale document of an object of a kind: of a defined one by the paths that its definition states.
///
/// # Errors
/// The object of a defined kind has no number where its replicas should stand.
pub fn scale_shown(kind: &Kind, scale: &Scale, stored: &Value) -> Result<Value, Status> {
    match kind.custom.as_ref().and_then(|custom| custom.scale.as_ref()) {
        None => Ok(scale_of(scale, stored)),
        Some(paths) => {
            let (spec, status) = custom::scale_of(paths, stored)?;
            Ok(document(scale, stored, spec, status))
        }
    }
}

/// The Scale document of an object of a built-in kind.
pub fn scale_of(scale: &Scale, stored: &Value) -> Value {
    let name = json::text(stored, &["metadata", "name"]);
    let mut labels = selector_labels(stored);
    if let Some(label) = scale.implicit_label {
        labels.insert(label.to_owned(), name.into());
    }
    let text = if scale.label_selector {
        let selector = LabelSelector::from_json(&stored["spec"]["selector"]);
        selector.map(|selector| selector.to_string()).unwrap_or_default()
    } else {
        LabelSelector::from_map(json::pairs(&Value::Object(labels.clone()))).to_string()
    };
    let mut status = json!({ "replicas": json::int(stored, &["status", "replicas"]).unwrap_or(0) });
    if scale.selector_map && !labels.is_empty() {
        status["selector"] = Value::Object(labels);
        status["targetSelector"] = text.into();
    } else if !text.is_empty() {
        status["selector"] = text.into();
    }
    let mut spec = Map::new();
    if let Some(replicas) =
        json::int(stored, &["spec", "replicas"]).filter(|replicas| *replicas != 0)
    {
        spec.insert("replicas".to_owned(), replicas.into());
    }
    document(scale, stored, Value::Object(spec), status)
}

fn document(scale: &Scale, stored: &Value, spec: Value, status: Value) -> Value {
    let mut shown = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(content) = json::at(stored, &["metadata", field]) {
            shown.insert(field.to_owned(), content.clone());
        }
    }
    json!({
        "kind": "Scale", "apiVersion": scale.api_version, "metadata": shown, "spec": spec, "status": status,
    })
}

fn selector_labels(stored: &Value) -> Map<String, Value> {
    let selector = json::at(stored, &["spec", "selector"]);
    selector.and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The object with the replicas of a Scale document, and the document's own preconditions in its metadata.
pub(crate) fn apply(
    kind: &Kind,
    scale: &Scale,
    name: &str,
    document: &Value,
    stored: &Value,
) -> Result<Value, Status> {
    let (group, version) = leme_meta::gvk::split_api_version(scale.api_version);
    let gvk =
        Gvk { group: group.to_owned(), version: version.to_owned(), kind: "Scale".to_owned() };
    let path = Path::new("spec").child("replicas");
    let replicas = match json::at(document, &["spec", "replicas"]) {
        None => 0,
        Some(value) => value.as_i64().ok_or_else(|| {
            Status::bad_request(format!(
                "Scale in version {version} cannot be handled as a Scale of {}: spec.replicas is not a whole number",
                kind.plural, version = quote(&version)))
        })?,
    };
    let paths = kind.custom.as_ref().and_then(|custom| custom.scale.as_ref());
    // What is wrong with the replicas of a defined kind is told of the object, once it has them.
    if replicas < 0 && paths.is_none() {
        let error = FieldError::invalid(&path, replicas, "must be greater than or equal to 0");
        return Err(Status::invalid(&gvk, name, &[error]));
    }
    let mut new = stored.clone();
    match paths {
        Some(paths) => custom::set_replicas(paths, &mut new, replicas),
        None => json::set(json::child(&mut new, "spec"), "replicas", replicas),
    }
    let metadata = json::child(&mut new, "metadata");
    for field in ["uid", "resourceVersion"] {
        match json::at(document, &["metadata", field]) {
            Some(content) => json::set(metadata, field, content.clone()),
            None => json::remove(metadata, field),
        }
    }
    Ok(new)
}

/// The steps from an object to the replicas that its Scale states.
fn replicas(kind: &Kind) -> Vec<&str> {
    match kind.custom.as_ref().and_then(|custom| custom.scale.as_ref()) {
        Some(paths) => paths.spec.iter().map(String::as_str).collect(),
        None => REPLICAS.to_vec(),
    }
}

/// The steps from a Scale to its replicas.
const REPLICAS: &[&str] = &["spec", "replicas"];

/// A list of owners on the way between an object and its Scale; each step leads to one field only.
fn set_of(path: &[&str]) -> FieldSet<'static> {
    let steps: Vec<Element> = path.iter().map(|step| Element::field((*step).to_owned())).collect();
    let mut set = FieldSet::default();
    set.insert(&steps);
    set
}

/// The set of an entry, as text.
fn fields_of(entry: &Value) -> &str {
    match entry.get("fieldsV1").and_then(Value::as_str) {
        Some(text) => text,
        None => "{}",
    }
}

/// Whether an entry has a field.
fn owns(entry: &Value, path: &[&str]) -> bool {
    let steps: Vec<Element> = path.iter().map(|step| Element::field(*step)).collect();
    FieldSet::parse(fields_of(entry)).is_ok_and(|set| set.has(&steps))
}

fn with_fields(entry: &Value, api_version: &str, fields: String) -> Value {
    let mut entry = entry.clone();
    json::set(&mut entry, "apiVersion", api_version);
    json::set(&mut entry, "fieldsV1", fields);
    entry
}

/// The Scale that a configuration makes of an object's, with the list of the object as it is then.
pub(crate) fn applied(
    ctx: &Context,
    config: &Value,
    live: Option<&Value>,
    (manager, force): (&str, bool),
) -> Result<Value, Status> {
    let scale = ctx.strategy.scale.ok_or_else(Status::no_such_path)?;
    let live = live.ok_or_else(|| Status::not_found(&ctx.kind.gvr(), ctx.name))?;
    let mut shown = scale_shown(ctx.kind, &scale, live)?;
    let list = json::list(live, &["metadata", "managedFields"]);
    let path = replicas(ctx.kind);
    let of_scale = set_of(REPLICAS).to_json();
    let seen = list.iter().filter(|entry| owns(entry, &path));
    let seen: Vec<Value> =
        seen.map(|entry| with_fields(entry, scale.api_version, of_scale.clone())).collect();
    json::set(json::child(&mut shown, "metadata"), "managedFields", seen);
    let (group, version) = leme_meta::gvk::split_api_version(scale.api_version);
    let request = Request {
        schema: Typed::new(schemas(), &format!("io.k8s.api.{group}.{version}.Scale")),
        manager,
        api_version: scale.api_version,
        kind: "Scale",
        subresource: "scale",
        now: Some(ctx.now),
        reset: &[],
        only: &[],
    };
    let mut merged = managed::apply(&request, Some(&shown), config, force)?;
    let list = of_object(list, json::list(&merged, &["metadata", "managedFields"]), &path, ctx);
    let list = list.map_err(|why| Status::new(500, "", why))?;
    let metadata = json::child(&mut merged, "metadata");
    match list {
        Some(list) => json::set(metadata, "managedFields", list),
        None => json::remove(metadata, "managedFields"),
    }
    Ok(merged)
}

/// The list of an object after that of its Scale: who has lost the replicas there has lost them here.
fn of_object(
    list: &[Value],
    scales: &[Value],
    path: &[&str],
    ctx: &Context,
) -> Result<Option<Value>, String> {
    let is_one = |one: &Value, other: &Value| {
        ["manager", "operation", "subresource"]
            .iter()
            .all(|field| one.get(field) == other.get(field))
    };
    let replicas = set_of(path);
    let mut all = Vec::with_capacity(list.len() + 1);
    for entry in list {
        if !owns(entry, path) || scales.iter().any(|scale| is_one(scale, entry)) {
            all.push(entry.clone());
            continue;
        }
        let left = FieldSet::parse(fields_of(entry))?.difference(&replicas);
        if !left.is_empty() {
            let left = left.to_json();
            all.push(with_fields(entry, json::text(entry, &["apiVersion"]), left));
        }
    }
    for scale in scales.iter().filter(|scale| owns(scale, REPLICAS)) {
        if !list.iter().any(|entry| owns(entry, path) && is_one(scale, entry)) {
            // Upstream knows no time of an entry that is not the object's.
            let mut entry = with_fields(scale, &ctx.kind.api_version(), replicas.to_json());
            json::remove(&mut entry, "time");
            all.push(entry);
        }
    }
    Ok(Entries::stored(Value::Array(all))?.write())
}
