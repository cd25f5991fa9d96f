//! Kinds that CustomResourceDefinitions define: one for each version that is served, made of the definition as JSON.
//!
//! Knows: what a definition says of names, columns and subresources. Refuses to know: whether the definition is valid
//! (strategy), and whether its names are taken (`naming`).

use leme_meta::quote;
use std::fmt;
use std::sync::Arc;

use leme_meta::structural::{self, Structural};
use leme_meta::{FieldError, Path, gvk, jsonpath, schema};
use serde_json::Value;

use crate::{Cell, Column, Kind, Name, Reading, Scope, SelectableField, Storage, Subresource};

/// Everything that can be done with objects, in upstream's order.
const VERBS: &[&str] =
    &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// The same of a kind that is going: its objects may lose their finalizers, but none comes.
const GOING: &[&str] = &["delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Where an object keeps what its `scale` subresource shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// The replicas wanted, such as `["spec", "replicas"]`.
    pub spec: Vec<String>,
    /// The replicas there are.
    pub status: Vec<String>,
    /// The selector of the pods as text.
    pub selector: Option<Vec<String>>,
}

/// What a defined kind has and a built-in one does not.
#[derive(Clone, Debug)]
pub struct Custom {
    /// The schema of its objects.
    pub structural: Arc<Structural>,
    /// Where its scale stands, if it has one.
    pub scale: Option<ScalePaths>,
    /// Whether there may be objects of the API inside its objects.
    pub embeds: bool,
    /// The warning that every request for a deprecated version is answered with.
    pub deprecated: Option<String>,
    /// The version that its objects are kept in.
    pub kept_version: Name,
    /// The name of its definition.
    pub definition: Name,
    /// What the text of an object of this very kind and version begins with.
    pub head: Box<str>,
    /// What the schema's rules in CEL say of its objects, if it has any.
    pub rules: Option<Arc<dyn Validator>>,
    /// Where the schema is to be had as its definition states it, descriptions and all.
    pub stated: Stated,
}

/// Rules that objects are held against, besides their schema.
pub trait Validator: fmt::Debug + Send + Sync {
    /// All that is wrong with an object, given what it was before, if it was.
    fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError>;
}

/// Where something that few ask for is to be had, so that nobody keeps it twice.
#[derive(Clone, Default)]
pub struct Stated(pub Option<Arc<dyn Fn() -> Option<Value> + Send + Sync>>);

impl Stated {
    /// It, if it is to be had.
    pub fn get(&self) -> Option<Value> {
        self.0.as_ref()?()
    }
}

impl fmt::Debug for Stated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stated")
    }
}

/// How the objects of a definition are kept, whatever versions are served.
#[derive(Clone, Debug)]
pub struct Objects {
    /// Where their keys lie.
    pub prefix: String,
    /// The schema of the version that they are kept in.
    pub structural: Arc<Structural>,
    /// What they can be selected by, in one version or another.
    pub selectable: Vec<SelectableField>,
}

impl Objects {
    /// Gives an object that was kept the shape that it is read in: what the schema has come to drop goes, what it has come
    /// to fill in is there.
    pub fn read(&self, object: &mut Value) {
        structural::prune(&self.structural, object);
        self.structural.complete(object);
    }
}

/// How the objects of a definition are kept, given the kinds that it serves; none if it is not established.
pub fn objects<'a>(
    definition: &Value,
    kinds: impl IntoIterator<Item = &'a Kind>,
) -> Option<Objects> {
    let spec = definition.get("spec").unwrap_or(&Value::Null);
    let names = names(definition, spec);
    if !established(definition) || text(names, "plural").is_empty() {
        return None;
    }
    let kept = kept_version(spec)?;
    let served = kinds.into_iter().find(|kind| kind.version == text(kept, "name"));
    let custom = served.and_then(|kind| kind.custom.as_ref());
    let mut selectable: Vec<SelectableField> = Vec::new();
    for version in list(spec, "versions") {
        for field in list(version, "selectableFields").filter_map(self::selectable) {
            if !selectable.iter().any(|known| known.path == field.path) {
                selectable.push(field);
            }
        }
    }
    Some(Objects {
        prefix: format!("/registry/{}/{}/", text(spec, "group"), text(names, "plural")),
        structural: custom
            .map_or_else(|| Arc::new(structural(kept)), |custom| Arc::clone(&custom.structural)),
        selectable,
    })
}

/// The schema of a version as its definition states it.
pub fn stated<'a>(definition: &'a Value, version: &str) -> Option<&'a Value> {
    let mut versions = list(definition.get("spec")?, "versions");
    versions.find(|stated| text(stated, "name") == version)?.pointer("/schema/openAPIV3Schema")
}

fn kept_version(spec: &Value) -> Option<&Value> {
    list(spec, "versions").find(|version| version["storage"] == Value::Bool(true))
}

/// The names that have been accepted: these are served.
fn names<'a>(definition: &'a Value, spec: &'a Value) -> &'a Value {
    let accepted = definition
        .pointer("/status/acceptedNames")
        .filter(|names| !text(names, "plural").is_empty());
    accepted.or_else(|| spec.get("names")).unwrap_or(&Value::Null)
}

/// The type of the metadata of any object in the field table.
pub const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

impl Custom {
    /// Gives an object the shape that the schema knows: unknown fields go, and nulls that stand for nothing. Gives what
    /// strict decoding says of them, such as `unknown field "spec.x"`.
    ///
    /// # Errors
    /// What a decoder of metadata says of a value of the wrong type.
    pub fn shape(&self, object: &mut Value) -> Result<Vec<String>, String> {
        let mut unknown = Vec::new();
        shape_metadata(object, "metadata", &mut unknown)?;
        unknown.extend(structural::prune(&self.structural, object));
        let mut wrong = None;
        if self.embeds {
            self.structural.embedded_in(&Path::default(), object, &mut |path, inner| {
                let at = path.child("metadata").to_string();
                if let Err(why) = shape_metadata(inner, &at, &mut unknown) {
                    wrong.get_or_insert(format!("{at}: Invalid value: {why}"));
                }
            });
        }
        let said = unknown
            .into_iter()
            .map(|path| format!("unknown field {path}", path = quote(&path)))
            .collect();
        wrong.map_or(Ok(said), Err)
    }
}

/// Drops what no metadata has, and names it.
fn shape_metadata(object: &mut Value, at: &str, unknown: &mut Vec<String>) -> Result<(), String> {
    let Some(metadata) = object.get_mut("metadata") else { return Ok(()) };
    let findings = schema::check(crate::schemas(), METADATA, metadata);
    if let Some(error) = findings.type_errors.into_iter().next() {
        return Err(error.decoded);
    }
    let field = |said: String| {
        let path = said.strip_prefix("unknown field \"").and_then(|rest| rest.strip_suffix('"'));
        path.map(|path| format!("{at}.{path}"))
    };
    unknown.extend(findings.unknown.into_iter().filter_map(field));
    schema::prune(crate::schemas(), METADATA, metadata);
    Ok(())
}

/// The steps of a path in dot notation, as upstream splits it.
pub fn split(path: &str) -> Vec<String> {
    path.strip_prefix('.').unwrap_or(path).split('.').map(str::to_owned).collect()
}

/// The kinds that a definition serves, in its order of versions; none if it is not established.
pub fn kinds(definition: &Value) -> Vec<Kind> {
    let spec = definition.get("spec").unwrap_or(&Value::Null);
    if !established(definition) {
        return Vec::new();
    }
    // Nobody calls webhooks to convert objects: what is kept in another version cannot be shown in this one.
    let unconverted =
        spec.get("conversion").is_some_and(|conversion| text(conversion, "strategy") == "Webhook");
    let served = list(spec, "versions").filter(|version| {
        version["served"] == Value::Bool(true)
            && (!unconverted || version["storage"] == Value::Bool(true))
    });
    served.map(|version| kind(definition, spec, version)).collect()
}

/// The kind of the objects of a definition in the version that they are kept in, whether that is served or not.
pub fn kept_kind(definition: &Value) -> Option<Kind> {
    let spec = definition.get("spec")?;
    Some(kind(definition, spec, kept_version(spec)?))
}

/// Whether the kinds of a definition are served.
pub fn established(definition: &Value) -> bool {
    condition(definition, "Established")
}

/// Whether a condition of a definition is true.
pub(crate) fn condition(definition: &Value, type_: &str) -> bool {
    let status = definition.get("status").unwrap_or(&Value::Null);
    list(status, "conditions")
        .any(|condition| text(condition, "type") == type_ && text(condition, "status") == "True")
}

fn kind(definition: &Value, spec: &Value, version: &Value) -> Kind {
    let names = names(definition, spec);
    let name = |field: &str| -> Name { text(names, field).to_owned().into() };
    let all = |field: &str| -> Vec<Name> {
        list(names, field).filter_map(|name| Some(name.as_str()?.to_owned().into())).collect()
    };
    let going =
        definition.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null());
    let subresources = version.get("subresources").unwrap_or(&Value::Null);
    let scale = subresources.get("scale").filter(|scale| scale.is_object());
    let status = subresources.get("status").filter(|status| status.is_object());
    let subresources = [status.map(|_| Subresource::Status), scale.map(|_| Subresource::Scale)];
    let structural = structural(version);
    let group_version = gvk::api_version(text(spec, "group"), text(version, "name"));
    let head = |field: &str, text: &str| format!("{}:{}", Value::from(field), Value::from(text));
    Kind {
        group: text(spec, "group").to_owned().into(),
        version: text(version, "name").to_owned().into(),
        kind: name("kind"),
        plural: name("plural"),
        singular: name("singular"),
        short_names: all("shortNames"),
        categories: all("categories"),
        scope: match text(spec, "scope") {
            "Cluster" => Scope::Cluster,
            _ => Scope::Namespaced,
        },
        storage: Storage::Own,
        verbs: if going { GOING } else { VERBS },
        subresources: subresources.into_iter().flatten().collect(),
        columns: columns(version).into(),
        selectable: list(version, "selectableFields").filter_map(selectable).collect(),
        schema: "".into(),
        custom: Some(Custom {
            embeds: structural.has_embedded(),
            structural: Arc::new(structural),
            scale: scale.map(|scale| ScalePaths {
                spec: split(text(scale, "specReplicasPath")),
                status: split(text(scale, "statusReplicasPath")),
                selector: Some(text(scale, "labelSelectorPath"))
                    .filter(|path| !path.is_empty())
                    .map(split),
            }),
            deprecated: deprecation(spec, version),
            kept_version: text(kept_version(spec).unwrap_or(version), "name").to_owned().into(),
            definition: format!("{}.{}", text(names, "plural"), text(spec, "group")).into(),
            head: format!(
                "{{{},{},",
                head("kind", text(names, "kind")),
                head("apiVersion", &group_version)
            )
            .into(),
            rules: None,
            stated: Stated::default(),
        }),
    }
}

fn structural(version: &Value) -> Structural {
    Structural::read(version.pointer("/schema/openAPIV3Schema").unwrap_or(&Value::Null))
}

fn columns(version: &Value) -> Vec<Column> {
    let mut columns: Vec<Column> =
        list(version, "additionalPrinterColumns").filter_map(column).collect();
    if list(version, "additionalPrinterColumns").next().is_none() {
        columns.extend(path_cell(".metadata.creationTimestamp").map(|cell| Column {
            name: "Age".into(),
            type_: "date".into(),
            format: "".into(),
            priority: 0,
            cell,
        }));
    }
    columns
}

fn column(stated: &Value) -> Option<Column> {
    Some(Column {
        name: text(stated, "name").to_owned().into(),
        type_: text(stated, "type").to_owned().into(),
        format: text(stated, "format").to_owned().into(),
        priority: stated
            .get("priority")
            .and_then(Value::as_i64)
            .and_then(|priority| i32::try_from(priority).ok())
            .unwrap_or(0),
        cell: path_cell(text(stated, "jsonPath"))?,
    })
}

fn path_cell(path: &str) -> Option<Cell> {
    jsonpath::parse(&format!("{{{path}}}")).ok().map(|path| Cell::JsonPath(Arc::new(path)))
}

fn selectable(stated: &Value) -> Option<SelectableField> {
    let path = text(stated, "jsonPath");
    let read = jsonpath::parse(&format!("{{{path}}}")).ok()?;
    Some(SelectableField {
        path: path.strip_prefix('.').unwrap_or(path).to_owned().into(),
        read: Reading::JsonPath(Arc::new(read)),
    })
}

/// What is said of a version that will go: the definition's own words, or the best of those that stay.
fn deprecation(spec: &Value, version: &Value) -> Option<String> {
    if version.get("deprecated") != Some(&Value::Bool(true)) {
        return None;
    }
    if let Some(stated) = version.get("deprecationWarning").and_then(Value::as_str) {
        return Some(stated.to_owned());
    }
    let (group, name) = (text(spec, "group"), text(version, "name"));
    let kind = spec.pointer("/names/kind").and_then(Value::as_str).unwrap_or("");
    let stays = |other: &&Value| {
        other["served"] == Value::Bool(true) && other.get("deprecated") != Some(&Value::Bool(true))
    };
    let better = list(spec, "versions")
        .filter(stays)
        .map(|other| text(other, "name"))
        .filter(|other| gvk::version_order(other, name).is_gt())
        .max_by(|one, other| gvk::version_order(one, other));
    let also = better.map(|other| format!("; use {group}/{other} {kind}")).unwrap_or_default();
    Some(format!("{group}/{name} {kind} is deprecated{also}"))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}
