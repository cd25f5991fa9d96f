//! Where rules may stand.

use serde_json::json;

use super::{held, refused};
use crate::states_rules;

#[test]
fn rules_stand_anywhere() {
    let no = json!([{ "rule": "size(self) < 2", "message": "too long" }]);
    let text = json!({ "type": "string", "x-kubernetes-validations": no });
    let schema = json!({ "type": "object", "properties": {
        "list": { "type": "array", "items": text, "x-kubernetes-validations": no },
        "map": { "type": "object", "additionalProperties": text },
        "object": { "type": "object", "properties": { "a": text } },
    } });
    assert!(states_rules(&schema));
    assert_eq!(refused(&schema), Vec::<String>::new());
    let object = json!({ "list": ["a", "bb"], "map": { "k": "cc", "l": "" }, "object": { "a": "dd" }, "else": "ee" });
    let wanted = [
        r#"list: Invalid value: "array": too long"#,
        r#"list[1]: Invalid value: "string": too long"#,
        r#"map[k]: Invalid value: "string": too long"#,
        r#"object.a: Invalid value: "string": too long"#,
    ];
    assert_eq!(held(&schema, &object, None), wanted);
    // Nothing is held against what is null or not there.
    assert_eq!(held(&schema, &json!({ "list": null }), None), Vec::<String>::new());
}

#[test]
fn what_has_no_type_has_no_rules() {
    let schema = json!({ "type": "object", "properties": {
        "any": { "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-validations": [{ "rule": "true" }] },
    } });
    let why = "schema.properties[any].x-kubernetes-validations: Internal error: internal error: failed to retrieve type information for x-kubernetes-validations";
    assert_eq!(refused(&schema), [why]);
    // What a definition of before has is not let through.
    let wrong =
        r#"any: Invalid value: "": rule compile error: there is no type for what it is about"#;
    assert_eq!(held(&schema, &json!({ "any": 1 }), None), [wrong]);
}

#[test]
fn rules_of_before_that_cannot_be_compiled_hold_for_nothing() {
    let schema = json!({ "type": "object", "x-kubernetes-validations": [{ "rule": "self.gone" }] });
    let said = held(&schema, &json!({}), None);
    assert!(
        said[0].starts_with(
            r#"<nil>: Invalid value: "object": rule compile error: compilation failed: ERROR: "#
        ),
        "{said:?}"
    );
}

#[test]
fn defaults_are_held_against_rules() {
    let schema = json!({ "type": "object", "properties": {
        "n": { "type": "integer", "default": 3, "x-kubernetes-validations": [{ "rule": "self % 2 == 0", "message": "must be even" }] },
    } });
    assert_eq!(
        refused(&schema),
        [r#"schema.properties[n].default: Invalid value: "integer": must be even"#]
    );
}
