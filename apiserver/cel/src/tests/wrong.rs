//! What keeps an expression from being taken.

use serde_json::json;

use super::{refused, schema};

/// The whole message of a rule that is refused.
fn refusal(rule: &str) -> String {
    let found = refused(&schema(rule));
    let shown = json!(rule).to_string();
    let before = format!(
        "schema.x-kubernetes-validations[0].rule: Invalid value: {{\"Rule\":{shown},\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}}: "
    );
    let [found] = &found[..] else { panic!("{rule}: {found:?}") };
    found.strip_prefix(&before).unwrap_or(found).to_owned()
}

#[test]
fn messages_are_upstreams() {
    for (rule, why) in [
        ("self.gone == 1", "1:5: undefined field 'gone'\n | self.gone == 1\n | ....^"),
        (
            "self.int == 'x'",
            "1:10: found no matching overload for '_==_' applied to '(int, string)'\n | self.int == 'x'\n | .........^",
        ),
        (
            "self.int + 1.5 > 2.0",
            "1:10: found no matching overload for '_+_' applied to '(int, double)'\n | self.int + 1.5 > 2.0\n | .........^",
        ),
        (
            "self.int.startsWith('a')",
            "1:20: found no matching overload for 'startsWith' applied to 'int.(string)'\n | self.int.startsWith('a')\n | ...................^",
        ),
        (
            "selfish == 1",
            "1:1: undeclared reference to 'selfish' (in container '')\n | selfish == 1\n | ^",
        ),
        (
            "ipp(self.text)",
            "1:4: undeclared reference to 'ipp' (in container '')\n | ipp(self.text)\n | ...^",
        ),
        (
            "self.int.all(x, true)",
            "1:5: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)\n | self.int.all(x, true)\n | ....^",
        ),
        (
            "self.text.x == 1",
            "1:10: type 'string' does not support field selection\n | self.text.x == 1\n | .........^",
        ),
        (
            "self.object == self.other",
            "1:13: found no matching overload for '_==_' applied to '(object, object)'\n | self.object == self.other\n | ............^",
        ),
        (
            "[1, 'a'].size() == 2",
            "1:5: expected type 'int' but found 'string'\n | [1, 'a'].size() == 2\n | ....^",
        ),
        (
            "self.text == null",
            "1:11: found no matching overload for '_==_' applied to '(string, null)'\n | self.text == null\n | ..........^",
        ),
        (
            "self.flag && self.int",
            "1:11: found no matching overload for '_&&_' applied to '(bool, int)'\n | self.flag && self.int\n | ..........^",
        ),
        (
            "self.flag ? 1 : 'a'",
            "1:11: found no matching overload for '_?_:_' applied to '(bool, int, string)'\n | self.flag ? 1 : 'a'\n | ..........^",
        ),
        (
            "self.list.all(x, x)",
            "1:18: found no matching overload for '_&&_' applied to '(bool, int)'\n | self.list.all(x, x)\n | .................^",
        ),
        (
            "this does not compile",
            "1:6: Syntax error: mismatched input 'does' expecting <EOF>\n | this does not compile\n | .....^",
        ),
        (
            "self.int ==",
            "1:12: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | self.int ==\n | ...........^",
        ),
        ("'abc", "1:1: Syntax error: token recognition error at: ''abc'\n | 'abc\n | ^"),
        ("for == 1", "1:1: reserved identifier: for\n | for == 1\n | ^"),
        ("has(self)", "1:4: invalid argument to has() macro\n | has(self)\n | ...^"),
        (
            "self.text.matches('(')",
            "1:18: invalid matches argument: error parsing regexp: unclosed group\n | self.text.matches('(')\n | .................^",
        ),
        (
            "self.span > duration('1x')",
            "1:22: invalid duration argument\n | self.span > duration('1x')\n | .....................^",
        ),
        (
            "Thing{a: 1} == 1",
            "1:6: undeclared reference to 'Thing' (in container '')\n | Thing{a: 1} == 1\n | .....^",
        ),
        ("true &&\n  self.gone", "2:7: undefined field 'gone'\n |   self.gone\n | ......^"),
    ] {
        assert_eq!(refusal(rule), format!("compilation failed: ERROR: <input>:{why}"), "{rule}");
    }
    assert_eq!(refusal("self.int"), "must evaluate to a bool");
    let both = refusal("self.gone == self.lost");
    assert!(
        both.contains("1:5: undefined field 'gone'")
            && both.contains("\nERROR: <input>:1:18: undefined field 'lost'"),
        "{both}"
    );
}

#[test]
fn rules_say_only_what_they_can() {
    let about = |rule: serde_json::Value| {
        let mut schema = schema("true");
        schema["x-kubernetes-validations"] = json!([rule]);
        refused(&schema)
    };
    let told = about(json!({ "rule": "true", "messageExpression": "'a' +" }));
    assert!(
        told[0]
            .starts_with("schema.x-kubernetes-validations[0].messageExpression: Invalid value: {"),
        "{told:?}"
    );
    assert!(
        told[0]
            .contains("messageExpression compilation failed: ERROR: <input>:1:6: Syntax error: "),
        "{told:?}"
    );
    let told = about(json!({ "rule": "true", "messageExpression": "42" }));
    assert!(told[0].ends_with(": messageExpression must evaluate to a string"), "{told:?}");
    let told = about(json!({ "rule": "true", "fieldPath": ".gone" }));
    let wanted = r#"schema.x-kubernetes-validations[0].fieldPath: Invalid value: ".gone": fieldPath must be a valid path"#;
    assert_eq!(told, [wanted]);
    assert_eq!(about(json!({ "rule": "true", "fieldPath": ".object.a" })), Vec::<String>::new());
    let told = about(json!({ "rule": "true", "optionalOldSelf": true }));
    let wanted = "schema.x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule";
    assert_eq!(told, [wanted]);
}
