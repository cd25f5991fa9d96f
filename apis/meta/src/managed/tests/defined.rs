//! Objects of structural schemas.

use serde_json::json;

use super::*;
use crate::structural::Structural;

fn schema() -> Structural {
    Structural::read(&json!({
        "type": "object",
        "properties": { "spec": { "type": "object", "properties": {
            "number": { "type": "integer" },
            "port": { "x-kubernetes-int-or-string": true },
            "at": { "type": "string", "format": "date-time" },
            "names": { "type": "array", "x-kubernetes-list-type": "set", "items": { "type": "string" } },
            "list": { "type": "array", "items": { "type": "string" } },
            "whole": { "type": "object", "x-kubernetes-map-type": "atomic", "properties": { "a": { "type": "string" } } },
            "labels": { "type": "object", "additionalProperties": { "type": "string" } },
            "open": { "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": { "a": { "type": "string" } } },
            "any": { "x-kubernetes-preserve-unknown-fields": true },
            "inner": { "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true },
        } } },
    }))
}

fn with_place<T>(act: impl FnOnce(Place) -> T) -> T {
    let (schema, schemas) = (schema(), table());
    act(Place::defined(&schema, Typed::new(&schemas, "test.Meta")))
}

#[test]
fn each_sort_of_schema_says_how_it_is_owned() {
    let object = json!({
        "apiVersion": "x/v1", "kind": "X", "metadata": { "name": "n", "labels": { "a": "b" } },
        "spec": {
            "number": 1, "port": "x", "at": "2026-01-02T03:04:05Z", "names": ["a"], "list": ["a"],
            "whole": { "a": "b" }, "labels": { "a": "b" }, "open": { "a": "b", "c": { "d": [1] } },
            "any": { "a": [1] }, "inner": { "kind": "Y", "metadata": { "labels": { "c": "d" } }, "e": { "f": 1 } },
        },
    });
    with_place(|place| {
        assert_eq!(misfits(place, &object), Vec::<String>::new());
        let set = fields(place, &object).to_value();
        assert_eq!(set["f:metadata"], json!({ "f:name": {}, "f:labels": { "f:a": {} } }));
        assert_eq!(
            set["f:spec"],
            json!({
                "f:number": {}, "f:port": {}, "f:at": {}, "f:names": { "v:\"a\"": {} }, "f:list": {}, "f:whole": {},
                "f:labels": { "f:a": {} }, "f:open": { "f:a": {}, "f:c": { ".": {}, "f:d": {} } },
                "f:any": { "f:a": {} },
                "f:inner": {
                    "f:kind": {}, "f:metadata": { "f:labels": { "f:c": {} } }, "f:e": { ".": {}, "f:f": {} },
                },
            })
        );
    });
}

#[test]
fn what_does_not_fit_is_named() {
    for (spec, why) in [
        (json!({ "numbers": 1 }), ".spec: field not declared in schema"),
        (json!({ "number": "x" }), ".spec.number: expected numeric (int or float), got string"),
        (json!({ "names": ["a", "a"] }), ".spec.names: duplicate entries for key [=\"a\"]"),
        (json!({ "whole": [] }), ".spec.whole: expected map, got &{[]}"),
        (
            json!({ "inner": { "metadata": { "x": 1 } } }),
            ".spec.inner.metadata: field not declared in schema",
        ),
    ] {
        let object = json!({ "apiVersion": "x/v1", "kind": "X", "spec": spec });
        let found = with_place(|place| misfits(place, &object));
        assert_eq!(found.len(), 1, "{found:?}");
        let start = why.split(": ").next().unwrap();
        assert!(
            found[0].starts_with(start) && found[0].ends_with(&why[start.len()..]),
            "{found:?}, {why}"
        );
    }
}
