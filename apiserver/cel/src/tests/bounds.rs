//! What hostile rules and objects can ask for.

use serde_json::{Value as Json, json};

use super::{held, object, refused, schema};

fn numbers(count: usize) -> Json {
    json!({ "list": (0..count).collect::<Vec<_>>(), "text": "a".repeat(100_000), "texts": vec!["b"; count] })
}

#[test]
fn steps_are_counted() {
    for rule in [
        "self.list.all(a, self.list.all(b, self.list.all(c, a + b + c >= 0)))",
        "self.list.map(a, self.list.map(b, self.list)).size() > 0",
        "self.list.all(a, self.text.contains(self.text + 'x') == false)",
        "self.list.map(a, self.text + self.text).size() > 0",
        "self.list.all(a, self.text.matches('^(a*)*' + string(a) + '$') == false)",
        "self.list.all(a, self.text.replace('a', self.text).size() > 0)",
        "self.list.all(a, self.texts.join(self.text).size() > 0)",
        "self.list.all(a, self.list == self.list.map(x, x))",
        "sets.contains(self.list, self.list.map(x, x))",
        "self.list.all(a, '%.999f'.format([1.0]).size() > 0)",
    ] {
        let schema = schema(rule);
        assert_eq!(refused(&schema), Vec::<String>::new(), "{rule}");
        let said = held(&schema, &numbers(20_000), None);
        let wanted = format!(
            r#"<nil>: Invalid value: "object": 'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: {rule}"#
        );
        assert_eq!(said, [wanted]);
    }
}

#[test]
fn all_rules_of_an_object_have_one_budget() {
    let rule =
        "[1, 2, 3, 4, 5, 6, 7, 8, 9].all(a, [1, 2, 3, 4, 5, 6, 7, 8, 9].all(b, a + b + self >= 0))";
    let schema = json!({ "type": "object", "properties": { "list": { "type": "array", "items": {
        "type": "integer", "x-kubernetes-validations": [{ "rule": rule }],
    } } } });
    let said = held(&schema, &numbers(100_000), None);
    assert_eq!(said.len(), 1);
    assert!(said[0].ends_with("validation failed due to running out of cost budget, no further validation rules will be run"), "{said:?}");
}

#[test]
fn expressions_are_bounded() {
    for rule in [
        format!("{}true{}", "(".repeat(5000), ")".repeat(5000)),
        format!("{}self.flag", "!(".repeat(5000)),
        format!("{}1 == 1", "-(".repeat(5000)),
        format!("{}{}", "[".repeat(5000), "]".repeat(5000)),
        format!("1{} == 1", " + 1".repeat(5000)),
        format!("self{} == 1", ".x".repeat(5000)),
        "true ? ".repeat(5000),
        format!("'{}' == ''", "a".repeat(200_000)),
    ] {
        let said = refused(&schema(&rule));
        assert_eq!(said.len(), 1);
    }
    // Long ones that are flat are fine.
    let long = format!("true{}", " && self.int == 5".repeat(2000));
    assert_eq!(refused(&schema(&long)), Vec::<String>::new());
    assert_eq!(held(&schema(&long), &object(), None), Vec::<String>::new());
}

#[test]
fn types_do_not_grow_without_end() {
    let mut rule = String::from("true");
    for depth in 0..40 {
        rule = format!(
            "optional.of({{'k': v{depth}}}).optMap(v{next}, {rule}).orValue(true)",
            next = depth + 1
        );
    }
    let rule = rule.replace("v0", "self.int").replace("optMap(self.int", "optMap(v0");
    drop(refused(&schema(&rule)));
    let keys = "optional.of({self.map: self.map}).hasValue()";
    assert!(refused(&schema(keys))[0].contains("unsupported key type: map(string, int)"));
}
