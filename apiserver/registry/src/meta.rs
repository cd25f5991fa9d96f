//! What `metadata` must look like, in the words of apimachinery's object validation.
//!
//! Knows: names, labels, annotations, owners, finalizers. Refuses to know: kinds.

use leme_meta::quote;
use std::borrow::Cow;
use std::collections::HashSet;

use leme_meta::field::{self, Shown};
use leme_meta::{FieldError, Path, managed, names};
use serde_json::Value;

use crate::create::{deleting, finalizers};
use crate::{Context, json};

/// Greatest size of all annotations together.
const ANNOTATIONS: usize = 256 << 10;

/// Finalizers of the API itself, which stand without a domain.
pub const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

/// Gives the metadata of an object a field as it is in another's, or takes it away where that has none.
pub(crate) fn keep(new: &mut Value, old: &Value, field: &str) {
    json::keep(json::child(new, "metadata"), old.get("metadata").unwrap_or(&Value::Null), field);
}

/// Makes of metadata what it was all that clients decide on: a write of a part of the object may not touch it.
pub fn keep_metadata(new: &mut Value, old: &Value) {
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        keep(new, old, field);
    }
}

/// A value that is shown as it is in a message.
pub struct Raw<T>(pub T);

impl<T: ToString> Shown for Raw<T> {
    fn shown(&self) -> String {
        self.0.to_string()
    }
}

/// The rule for names that are DNS subdomains.
pub fn subdomain_name(name: &str, prefix: bool) -> Vec<String> {
    names::dns1123_subdomain(&masked(name, prefix))
}

/// The rule for names that are DNS labels.
pub fn label_name(name: &str, prefix: bool) -> Vec<String> {
    names::dns1123_label(&masked(name, prefix))
}

/// The rule for names that only have to be a segment of a path.
pub fn segment_name(name: &str, prefix: bool) -> Vec<String> {
    names::path_segment_name(&masked(name, prefix))
}

/// A prefix may end with a dash: what is generated follows it.
fn masked(name: &str, prefix: bool) -> Cow<'_, str> {
    if prefix { names::of_prefix(name).into() } else { name.into() }
}

/// All that is wrong with an object's metadata by itself.
pub(crate) fn validate(ctx: &Context, object: &Value) -> Vec<FieldError> {
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    let rule = ctx.strategy.name;
    let generate = json::text(object, &["metadata", "generateName"]);
    if !generate.is_empty() {
        let field = path.child("generateName");
        errors.extend(
            rule(generate, true).iter().map(|why| FieldError::invalid(&field, generate, why)),
        );
    }
    let name = json::text(object, &["metadata", "name"]);
    let field = path.child("name");
    if name.is_empty() {
        errors.push(FieldError::required(&field, "name or generateName is required"));
    } else {
        errors.extend(rule(name, false).iter().map(|why| FieldError::invalid(&field, name, why)));
        // No path names such an object: it could never be read or removed again.
        if errors.is_empty() && (name.contains('\\') || name.chars().any(char::is_control)) {
            let why = "may not contain '\\' or control characters";
            errors.push(FieldError::invalid(&field, name, why));
        }
    }
    if ctx.kind.namespaced() {
        let namespace = json::text(object, &["metadata", "namespace"]);
        let field = path.child("namespace");
        if namespace.is_empty() {
            errors.push(FieldError::required(&field, ""));
        } else {
            let wrong = names::dns1123_label(namespace);
            errors.extend(wrong.iter().map(|why| FieldError::invalid(&field, namespace, why)));
        }
    }
    // The finalizers of defined kinds may have any name.
    errors.extend(common(object, &path, ctx.kind.custom.is_none()));
    let list = json::list(object, &["metadata", "managedFields"]);
    errors.extend(managed::check_list(list, &path.child("managedFields")));
    errors
}

/// What holds for metadata of stored objects and of those inside them alike: labels, annotations, owners, finalizers,
/// which may have to be qualified.
pub(crate) fn common(object: &Value, path: &Path, qualified: bool) -> Vec<FieldError> {
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    let mut errors = labels(metadata.get("labels"), &path.child("labels"));
    errors.extend(annotations(metadata.get("annotations"), &path.child("annotations")));
    errors
        .extend(owners(json::list(metadata, &["ownerReferences"]), &path.child("ownerReferences")));
    errors.extend(finalizer_names(object, &path.child("finalizers"), qualified));
    errors
}

/// All that is wrong with a map of labels.
pub fn labels(map: Option<&Value>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in json::pairs(map.unwrap_or(&Value::Null)) {
        if field::enough(&errors) {
            break;
        }
        errors.extend(
            names::qualified_name(key).iter().map(|why| FieldError::invalid(path, key, why)),
        );
        errors.extend(
            names::label_value(value).iter().map(|why| FieldError::invalid(path, value, why)),
        );
    }
    errors
}

/// All that is wrong with a map of annotations.
pub fn annotations(map: Option<&Value>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in json::pairs(map.unwrap_or(&Value::Null)) {
        if field::enough(&errors) {
            break;
        }
        let wrong = names::qualified_name(&key.to_lowercase());
        errors.extend(wrong.iter().map(|why| FieldError::invalid(path, key, why)));
        size += key.len() + value.len();
    }
    if size > ANNOTATIONS {
        errors.push(FieldError::too_long(path, ANNOTATIONS));
    }
    errors
}

fn owners(list: &[Value], path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controller: Option<String> = None;
    for owner in list {
        if field::enough(&errors) {
            break;
        }
        let field = |name: &str| json::text(owner, &[name]).to_owned();
        let (api_version, kind, name) = (field("apiVersion"), field("kind"), field("name"));
        if api_version.is_empty() || api_version.ends_with('/') {
            errors.push(FieldError::invalid(
                &path.child("apiVersion"),
                &api_version,
                "version must not be empty",
            ));
        }
        for required in ["kind", "name", "uid"] {
            if field(required).is_empty() {
                errors.push(FieldError::invalid(&path.child(required), "", "must not be empty"));
            }
        }
        if api_version == "v1" && kind == "Event" {
            errors.push(FieldError::invalid(
                path,
                owner,
                "/v1, Kind=Event is disallowed from being an owner",
            ));
        }
        if json::flag(owner, &["controller"]) {
            let this = format!("{kind}/{name}");
            match &controller {
                None => controller = Some(this),
                Some(first) => {
                    let why = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    );
                    errors.push(FieldError::invalid(path, &Value::Array(list.to_vec()), &why));
                }
            }
        }
    }
    errors
}

fn finalizer_names(object: &Value, path: &Path, qualified: bool) -> Vec<FieldError> {
    let present = finalizers(object);
    let mut errors = Vec::new();
    for finalizer in &present {
        if field::enough(&errors) {
            break;
        }
        let wrong = names::qualified_name(finalizer);
        errors.extend(wrong.iter().map(|why| FieldError::invalid(path, *finalizer, why)));
    }
    if present.contains(&"orphan") && present.contains(&"foregroundDeletion") {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(path, &Value::from(present.clone()), why));
    }
    for (index, finalizer) in present.iter().enumerate().filter(|_| qualified) {
        if field::enough(&errors) {
            break;
        }
        if !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(finalizer) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(&path.index(index), *finalizer, why));
        }
    }
    errors
}

/// All that is wrong with the change of metadata from `old` to `new`.
pub(crate) fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    if deleting(old) {
        let before: HashSet<&str> = finalizers(old).into_iter().collect();
        let mut added = finalizers(new);
        added.retain(|finalizer| !before.contains(finalizer));
        added.sort_unstable();
        if !added.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers {}",
                go_strings(&added)
            );
            errors.push(FieldError::forbidden(&path.child("finalizers"), &why));
        }
    }
    for field in ["name", "namespace", "uid", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        errors.extend(immutable(new, old, &["metadata", field]));
    }
    errors
}

/// The error of a field that may not change, if it has.
pub fn immutable(new: &Value, old: &Value, path: &[&str]) -> Option<FieldError> {
    let (new, old) = (json::at(new, path), json::at(old, path));
    if new == old {
        return None;
    }
    let field = path.iter().fold(Path::default(), |parent, field| parent.child(field));
    Some(FieldError::invalid(&field, new.unwrap_or(&Value::Null), "field is immutable"))
}

/// A list of texts as Go's `%#v` shows it.
fn go_strings(list: &[impl AsRef<str>]) -> String {
    let shown: Vec<String> = list.iter().map(quote).collect();
    format!("[]string{{{}}}", shown.join(", "))
}
