//! Projects: namespaces as OpenShift shows them.
//!
//! Knows: both directions of the view, and what of a project may be changed. Refuses to know: who sees which.

use leme_meta::{FieldError, Path};
use leme_registry::{json, meta, names};
use serde_json::{Value, json};

const DISPLAY_NAME: &str = "openshift.io/display-name";
const DESCRIPTION: &str = "openshift.io/description";
const NODE_SELECTOR: &str = "openshift.io/node-selector";

/// Makes of a namespace the project that it is.
pub fn from_namespace(object: &mut Value) {
    turn(object, "project.openshift.io/v1", "Project");
}

/// Makes of a project the namespace that it is. It carries a display name, if only an empty one.
pub fn to_namespace(object: &mut Value) {
    turn(object, "v1", "Namespace");
    let annotations = json::child(json::child(object, "metadata"), "annotations");
    if json::text(annotations, &[DISPLAY_NAME]).is_empty() {
        json::set(annotations, DISPLAY_NAME, "");
    }
}

fn turn(object: &mut Value, api_version: &str, kind: &str) {
    let part = |of: &str, field: &str| json::at(object, &[of, field]).cloned();
    let mut spec = json!({});
    if let Some(finalizers) = part("spec", "finalizers") {
        json::set(&mut spec, "finalizers", finalizers);
    }
    let mut status = json!({});
    for field in ["phase", "conditions"] {
        if let Some(content) = part("status", field) {
            json::set(&mut status, field, content);
        }
    }
    json::set(object, "apiVersion", api_version);
    json::set(object, "kind", kind);
    json::set(object, "spec", spec);
    json::set(object, "status", status);
}

/// What is wrong with the name of a project: it is a namespace's of at least two characters.
pub fn name(name: &str, prefix: bool) -> Vec<String> {
    let wrong = meta::segment_name(name, prefix);
    match name.len() {
        _ if !wrong.is_empty() => wrong,
        0 | 1 => vec!["must be at least 2 characters long".to_owned()],
        _ => names::dns1123_label(name),
    }
}

/// All that is wrong with a project, metadata excepted.
pub fn validate(project: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let annotation = |key: &str| json::text(project, &["metadata", "annotations", key]);
    let shown = annotation(DISPLAY_NAME);
    if shown.contains(['\n', '\t']) {
        let at = Path::new("metadata").child("annotations").key(DISPLAY_NAME);
        errors.push(FieldError::invalid(&at, shown, "may not contain a new line or tab"));
    }
    let selector = annotation(NODE_SELECTOR);
    if !is_selector(selector) {
        let why = "must be a valid label selector";
        errors.push(FieldError::invalid(&Path::new("nodeSelector"), selector, why));
    }
    errors
}

/// Pairs of labels with commas between them.
fn is_selector(text: &str) -> bool {
    let pair = |text: &str| {
        text.split_once('=').is_some_and(|(key, value)| {
            names::qualified_name(key.trim()).is_empty()
                && names::label_value(value.trim()).is_empty()
        })
    };
    text.trim().is_empty() || text.split(',').all(pair)
}

/// All that is wrong with a change of a project: but for its display name and description, it is the namespace's.
pub fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["annotations", "labels"] {
        let (path, map) = (Path::new("metadata").child(field), ["metadata", field]);
        let free = |key: &str| field == "annotations" && [DISPLAY_NAME, DESCRIPTION].contains(&key);
        let of = |project, key: &str| json::at(project, &["metadata", field, key]).is_some();
        let gone = json::entries(old, &map).filter(|(key, _)| !of(new, key));
        let other = json::entries(new, &map)
            .filter(|(key, value)| json::at(old, &["metadata", field, key]) != Some(*value));
        for (key, value) in other.chain(gone).filter(|(key, _)| !free(key)) {
            let why = "field is immutable, try updating the namespace";
            errors.push(FieldError::invalid(&path.key(key), value, why));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(errors: Vec<FieldError>) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn project(annotations: Value, labels: Value) -> Value {
        json!({ "metadata": { "name": "p", "annotations": annotations, "labels": labels } })
    }

    #[test]
    fn a_namespace_is_a_project_and_back() {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": "n", "annotations": { DISPLAY_NAME: "N" } },
            "spec": { "finalizers": ["kubernetes"] },
            "status": { "phase": "Active", "conditions": [{ "type": "T" }] },
        });
        let mut object = namespace.clone();
        from_namespace(&mut object);
        assert_eq!(
            (&object["apiVersion"], &object["kind"]),
            (&json!("project.openshift.io/v1"), &json!("Project"))
        );
        assert_eq!(
            (&object["spec"], &object["status"]),
            (&namespace["spec"], &namespace["status"])
        );
        to_namespace(&mut object);
        assert_eq!(object, namespace);
        let mut bare = json!({ "metadata": { "name": "n" } });
        to_namespace(&mut bare);
        assert_eq!(
            bare,
            json!({ "apiVersion": "v1", "kind": "Namespace", "spec": {}, "status": {},
                "metadata": { "name": "n", "annotations": { DISPLAY_NAME: "" } } })
        );
        for mut shape in
            [json!(null), json!([]), json!({ "metadata": 1, "spec": "x", "status": [] })]
        {
            from_namespace(&mut shape);
            to_namespace(&mut shape);
            assert_eq!(validate(&shape), []);
        }
    }

    #[test]
    fn projects_are_checked() {
        for (text, why) in
            [("a", "must be at least 2 characters long"), ("a/", "may not contain '/'")]
        {
            assert_eq!(name(text, false), [why]);
        }
        assert!(name("Ab", false)[0].starts_with("a lowercase RFC 1123 label"));
        assert_eq!(name("ab", false), Vec::<String>::new());
        for selector in ["", " ", "a=b", "a.b/c=d, e="] {
            assert_eq!(
                validate(&project(json!({ NODE_SELECTOR: selector }), json!({}))),
                [],
                "{selector}"
            );
        }
        for selector in ["a", "a=b,", "a==b", "-=b", "a b=c"] {
            let errors = validate(&project(json!({ NODE_SELECTOR: selector }), json!({})));
            let want = format!(
                "nodeSelector: Invalid value: {selector:?}: must be a valid label selector"
            );
            assert_eq!(messages(errors), [want]);
        }
        assert_eq!(
            messages(validate(&project(json!({ DISPLAY_NAME: "a\nb" }), json!({})))),
            [
                "metadata.annotations[openshift.io/display-name]: Invalid value: \"a\\nb\": may not contain a new line or tab"
            ]
        );
    }

    #[test]
    fn a_project_is_changed_by_its_namespace() {
        let old = project(json!({ "a": "1", "b": "1", DESCRIPTION: "x" }), json!({ "l": "1" }));
        let new = project(json!({ "a": "2", DISPLAY_NAME: "y" }), json!({ "m": "1" }));
        let why = "field is immutable, try updating the namespace";
        assert_eq!(
            messages(validate_update(&new, &old)),
            [
                format!("metadata.annotations[a]: Invalid value: \"2\": {why}"),
                format!("metadata.annotations[b]: Invalid value: \"1\": {why}"),
                format!("metadata.labels[m]: Invalid value: \"1\": {why}"),
                format!("metadata.labels[l]: Invalid value: \"1\": {why}"),
            ]
        );
        assert_eq!(validate_update(&old, &old), []);
    }
}
