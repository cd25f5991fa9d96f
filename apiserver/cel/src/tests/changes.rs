//! Rules about what may change, and messages.

use serde_json::{Value as Json, json};

use super::{held, refused};

fn text(rule: Json) -> Json {
    json!({ "type": "string", "x-kubernetes-validations": [rule] })
}

fn with(field: &str, schema: Json) -> Json {
    json!({ "type": "object", "properties": { field: schema } })
}

#[test]
fn what_was_is_compared() {
    let schema = with("a", text(json!({ "rule": "self == oldSelf", "message": "a is immutable" })));
    let wrong = r#"a: Invalid value: "string": a is immutable"#;
    assert_eq!(held(&schema, &json!({ "a": "1" }), None), Vec::<String>::new());
    assert_eq!(held(&schema, &json!({ "a": "1" }), Some(&json!({}))), Vec::<String>::new());
    assert_eq!(
        held(&schema, &json!({ "a": "1" }), Some(&json!({ "a": "1" }))),
        Vec::<String>::new()
    );
    assert_eq!(held(&schema, &json!({ "a": "2" }), Some(&json!({ "a": "1" }))), [wrong]);
    assert_eq!(held(&schema, &json!({}), Some(&json!({ "a": "1" }))), Vec::<String>::new());
}

#[test]
fn what_was_may_be_optional() {
    let rule = "oldSelf.hasValue() ? self == oldSelf.value() : self == 'first'";
    let schema = with("a", text(json!({ "rule": rule, "optionalOldSelf": true })));
    assert_eq!(held(&schema, &json!({ "a": "first" }), None), Vec::<String>::new());
    let wrong = format!(r#"a: Invalid value: "string": failed rule: {rule}"#);
    assert_eq!(held(&schema, &json!({ "a": "second" }), None), std::slice::from_ref(&wrong));
    assert_eq!(
        held(&schema, &json!({ "a": "second" }), Some(&json!({ "a": "second" }))),
        Vec::<String>::new()
    );
    assert_eq!(held(&schema, &json!({ "a": "second" }), Some(&json!({ "a": "first" }))), [wrong]);
}

#[test]
fn elements_are_told_apart_by_their_keys() {
    let items = json!({
        "type": "object",
        "properties": { "name": { "type": "string" }, "n": { "type": "integer", "x-kubernetes-validations": [{ "rule": "self >= oldSelf" }] } },
    });
    let list = |type_: &str| {
        with(
            "l",
            json!({ "type": "array", "items": items, "x-kubernetes-list-type": type_, "x-kubernetes-list-map-keys": ["name"] }),
        )
    };
    let old = json!({ "l": [{ "name": "a", "n": 1 }, { "name": "b", "n": 5 }] });
    let new =
        json!({ "l": [{ "name": "b", "n": 4 }, { "name": "c", "n": 0 }, { "name": "a", "n": 2 }] });
    assert_eq!(
        held(&list("map"), &new, Some(&old)),
        [r#"l[0].n: Invalid value: "integer": failed rule: self >= oldSelf"#]
    );
    let why = r#"schema.properties[l].items.properties[n].x-kubernetes-validations[0].rule: Invalid value: "self >= oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within schema.properties[l]"#;
    assert_eq!(refused(&list("atomic")), [why]);
    assert_eq!(refused(&list("map")), Vec::<String>::new());
}

#[test]
fn what_is_as_it_was_may_stay() {
    let schema = with("a", text(json!({ "rule": "self != 'bad'" })));
    let wrong = r#"a: Invalid value: "string": failed rule: self != 'bad'"#;
    assert_eq!(held(&schema, &json!({ "a": "bad" }), None), [wrong]);
    assert_eq!(
        held(&schema, &json!({ "a": "bad", "b": 1 }), Some(&json!({ "a": "bad" }))),
        Vec::<String>::new()
    );
    assert_eq!(held(&schema, &json!({ "a": "bad" }), Some(&json!({ "a": "good" }))), [wrong]);
}

#[test]
fn messages_are_made() {
    let said = |rule: Json| held(&with("a", text(rule)), &json!({ "a": "v" }), None).join("; ");
    for (rule, wanted) in [
        (
            json!({ "rule": " self == 'x' " }),
            r#"a: Invalid value: "string": failed rule: self == 'x'"#,
        ),
        (json!({ "rule": "false", "message": " no " }), r#"a: Invalid value: "string": no"#),
        (
            json!({ "rule": "false", "message": "no", "messageExpression": "'not ' + self" }),
            r#"a: Invalid value: "string": not v"#,
        ),
        // What cannot be made, or cannot be shown, is as if it were not there.
        (
            json!({ "rule": "false", "message": "no", "messageExpression": "self.substring(9)" }),
            r#"a: Invalid value: "string": no"#,
        ),
        (
            json!({ "rule": "false", "message": "no", "messageExpression": r"'a\nb'" }),
            r#"a: Invalid value: "string": no"#,
        ),
        (
            json!({ "rule": "false", "message": "no", "messageExpression": "''" }),
            r#"a: Invalid value: "string": no"#,
        ),
        (
            json!({ "rule": "false", "message": "no", "reason": "FieldValueForbidden" }),
            "a: Forbidden: no",
        ),
        (
            json!({ "rule": "false", "message": "no", "reason": "FieldValueRequired" }),
            "a: Required value: no",
        ),
        (
            json!({ "rule": "false", "message": "no", "reason": "FieldValueDuplicate" }),
            r#"a: Duplicate value: "string""#,
        ),
        (
            json!({ "rule": "false", "message": "no", "reason": "FieldValueInvalid" }),
            r#"a: Invalid value: "string": no"#,
        ),
    ] {
        assert_eq!(said(rule), wanted);
    }
}

#[test]
fn errors_are_told_where_the_rule_says() {
    let mut schema = json!({ "type": "object", "properties": {
        "spec": { "type": "object", "properties": { "m": { "type": "object", "additionalProperties": { "type": "string" } } } },
    } });
    let rule = json!([{ "rule": "false", "message": "no", "fieldPath": ".m['k.x']" }]);
    schema["properties"]["spec"]["x-kubernetes-validations"] = rule;
    assert_eq!(refused(&schema), Vec::<String>::new());
    assert_eq!(
        held(&schema, &json!({ "spec": {} }), None),
        [r#"spec.m[k.x]: Invalid value: "object": no"#]
    );
    let root = json!({ "type": "object", "x-kubernetes-validations": [{ "rule": "false", "message": "no", "fieldPath": ".a" }], "properties": { "a": { "type": "string" } } });
    assert_eq!(held(&root, &json!({}), None), [r#"a: Invalid value: "object": no"#]);
}
