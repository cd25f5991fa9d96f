//! Fields that hold anything: what stands in them is nobody's but the writer's, null for null.
//!
//! Knows: which types have such fields, by the field table. Refuses to know: what is in them.

use std::collections::HashSet;
use std::sync::LazyLock;

use leme_kinds::Kind;
use leme_meta::schema::{FieldType, TypeDef};
use serde_json::Value;

use crate::json;

/// Every object has metadata, and what is opaque there (who owns fields) has no nulls.
const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The types in which there are such fields, at any depth.
static TYPES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let all = || leme_kinds::schemas().types().filter(|one| one.name != METADATA);
    let mut found: HashSet<&str> = HashSet::new();
    loop {
        let has = |field: &FieldType| {
            is_opaque(field) || field.element_ref().is_some_and(|name| found.contains(&**name))
        };
        let more = all().filter(|one| one.fields.iter().any(|field| has(&field.type_)));
        let more: HashSet<&str> = more.map(|one| one.name.as_str()).collect();
        if more.len() == found.len() {
            return found;
        }
        found = more;
    }
});

/// Anything, or a list or map of that.
fn is_opaque(field: &FieldType) -> bool {
    match field {
        FieldType::Raw => true,
        FieldType::List(element) | FieldType::Map(element) => is_opaque(element),
        _ => false,
    }
}

/// Removes null fields from every object of a built-in kind, but for what is inside a field that holds anything.
pub(crate) fn drop_nulls(kind: &Kind, body: &mut Value) {
    match TYPES.contains(&*kind.schema).then(|| leme_kinds::schemas().get(&kind.schema)).flatten() {
        Some(schema) => within(schema, body),
        // Most have none.
        None => json::drop_nulls(body),
    }
}

fn within(schema: &TypeDef, value: &mut Value) {
    let Value::Object(fields) = value else { return json::drop_nulls(value) };
    fields.retain(|_, content| !content.is_null());
    for (name, content) in fields {
        match schema.field(name).map(|field| &field.type_) {
            Some(type_) => of_type(type_, content),
            None => json::drop_nulls(content),
        }
    }
}

fn of_type(type_: &FieldType, value: &mut Value) {
    match (type_, value) {
        (FieldType::Raw, _) => {}
        (FieldType::Ref(name), value) => match leme_kinds::schemas().of(name) {
            Some(schema) if TYPES.contains(&**name) => within(schema, value),
            _ => json::drop_nulls(value),
        },
        (FieldType::List(element), Value::Array(items)) => {
            items.iter_mut().for_each(|item| of_type(element, item));
        }
        (FieldType::Map(element), Value::Object(entries)) => {
            entries.retain(|_, content| !content.is_null());
            entries.values_mut().for_each(|entry| of_type(element, entry));
        }
        (_, value) => json::drop_nulls(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Red when a null in such a field goes: controllers of Kubernetes compare a revision's data with what they have
    /// written, and make revisions for ever.
    #[test]
    fn what_is_opaque_stays_as_it_is() {
        let check = |group: &str, version: &str, kind: &str, given: Value, kept: Value| {
            let mut body = given;
            drop_nulls(leme_kinds::by_kind(group, version, kind).unwrap(), &mut body);
            assert_eq!(body, kept, "{kind}");
        };
        let data = json!({"spec": {"template": {"metadata": {"creationTimestamp": null}, "list": [null]}}});
        check(
            "apps",
            "v1",
            "ControllerRevision",
            json!({"metadata": {"creationTimestamp": null}, "data": data, "revision": null}),
            json!({"metadata": {}, "data": data}),
        );
        check("apps", "v1", "ControllerRevision", json!({"data": null}), json!({}));
        let object = json!({"kind": "ConfigMap", "data": null});
        check(
            "template.openshift.io",
            "v1",
            "Template",
            json!({"objects": [object], "labels": null}),
            json!({"objects": [object]}),
        );
        check(
            "",
            "v1",
            "ConfigMap",
            json!({"data": {"a": "b", "c": null}, "binaryData": null}),
            json!({"data": {"a": "b"}}),
        );
        let inner = json!({"default": {"a": null}, "title": null});
        let versions = json!([{"schema": {"openAPIV3Schema": {"properties": {"x": inner}}}}]);
        let mut kept = versions.clone();
        kept[0]["schema"]["openAPIV3Schema"]["properties"]["x"]
            .as_object_mut()
            .unwrap()
            .remove("title");
        check(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
            json!({"spec": {"versions": versions}}),
            json!({"spec": {"versions": kept}}),
        );
    }
}
