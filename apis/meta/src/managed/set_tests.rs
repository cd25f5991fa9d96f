//! The text of sets, and the operations on them.

use serde_json::json;

use super::*;
use crate::managed::element::compare;

fn set(fields: Value) -> String {
    FieldSet::from_value(&fields).unwrap().to_json()
}

#[test]
fn text_in_the_order_of_upstream() {
    for (fields, wanted) in [
        (json!({}), "{}"),
        (json!({".": {}}), "{}"),
        (json!({"f:a": {}}), r#"{"f:a":{}}"#),
        (json!({"f:a": {".": {}}}), r#"{"f:a":{}}"#),
        (json!({"f:a": {".": {}, "f:b": {}}}), r#"{"f:a":{".":{},"f:b":{}}}"#),
        (
            json!({"v:2": {}, "v:10": {}, "i:1": {}, "f:z": {}}),
            r#"{"f:z":{},"v:2":{},"v:10":{},"i:1":{}}"#,
        ),
        (
            json!({"k:{\"p\":443}": {}, "k:{\"p\":80}": {"f:p": {}}}),
            r#"{"k:{\"p\":80}":{"f:p":{}},"k:{\"p\":443}":{}}"#,
        ),
        (json!({"k:{ \"b\":1, \"a\":\"x\"}": {}}), r#"{"k:{\"a\":\"x\",\"b\":1}":{}}"#),
        // Sorts that nobody knows are dropped, with all below them.
        (json!({"q:a": {"f:b": {}}, "f:a": {"q:b": {}}}), r#"{"f:a":{}}"#),
        (json!({"f:": {}}), r#"{"f:":{}}"#),
        (
            json!({"v:true": {}, "v:null": {}, "v:\"a\"": {}}),
            r#"{"v:\"a\"":{},"v:true":{},"v:null":{}}"#,
        ),
        (json!({"v:\"<&>\"": {}}), r#"{"v:\"\\u003c\\u0026\\u003e\"":{}}"#),
    ] {
        assert_eq!(set(fields), wanted);
    }
}

#[test]
fn text_that_is_no_set() {
    for (fields, why) in [
        (json!([]), "expected an object of fields, got []interface {}"),
        (json!({"f:a": 1}), "expected an object, got float64"),
        (json!({"f": {}}), "parsing key as path element: key must be 2 characters long:"),
        (json!({"foo": {}}), "parsing key as path element: missing colon: foo"),
        (
            json!({"i:x": {}}),
            "parsing key as path element: strconv.Atoi: parsing \"x\": invalid syntax",
        ),
    ] {
        assert_eq!(FieldSet::from_value(&fields).unwrap_err(), why);
    }
    for fields in [json!({"v:": {}}), json!({"v:1 2": {}}), json!({"k:1": {}}), json!({"k:{": {}})]
    {
        assert!(FieldSet::from_value(&fields).is_err(), "{fields}");
    }
}

#[test]
fn differences() {
    let (a, ab) = (json!({"f:a": {}}), json!({"f:a": {"f:b": {}}}));
    let both = json!({"f:a": {".": {}, "f:b": {"f:c": {}}}, "f:d": {}});
    let of = |fields| FieldSet::from_value(fields).unwrap();
    let (a, ab, both) = (of(&a), of(&ab), of(&both));
    assert_eq!(a.difference(&ab), a);
    assert_eq!(ab.difference(&a), ab);
    for (path, all_below, wanted) in [
        (&["a"] as &[&str], false, r#"{"f:a":{"f:b":{"f:c":{}}},"f:d":{}}"#),
        (&["a"], true, r#"{"f:d":{}}"#),
        (&["a", "b"], true, r#"{"f:a":{},"f:d":{}}"#),
        (&["a", "b", "c"], false, r#"{"f:a":{},"f:d":{}}"#),
        (&["a", "x"], true, r#"{"f:a":{".":{},"f:b":{"f:c":{}}},"f:d":{}}"#),
        (&[], true, r#"{"f:a":{".":{},"f:b":{"f:c":{}}},"f:d":{}}"#),
    ] {
        let mut left = both.clone();
        left.forget(path, all_below);
        assert_eq!(left.to_json(), wanted);
    }
    assert_eq!(both.leaves().to_json(), r#"{"f:a":{"f:b":{"f:c":{}}},"f:d":{}}"#);
    assert_eq!(both.len(), 3);
    assert_eq!(both.to_string(), ".a\n.d\n.a.b.c");
}

#[test]
fn the_order_of_values() {
    let values = [
        json!(-1),
        json!(0.5),
        json!(1),
        json!(2),
        json!(10),
        json!(""),
        json!("a"),
        json!("b"),
        json!(false),
        json!(true),
        json!([]),
        json!([1]),
        json!([1, 2]),
        json!([2]),
        json!({}),
        json!({"a": 1}),
        json!({"a": 2}),
        json!({"b": 0}),
        json!(null),
    ];
    for (index, one) in values.iter().enumerate() {
        for (other_index, other) in values.iter().enumerate() {
            assert_eq!(compare(one, other), index.cmp(&other_index), "{one} {other}");
        }
    }
    assert!(compare(&json!(1), &json!(1.0)).is_eq());
}

#[test]
fn steps_in_words() {
    for (text, wanted) in [
        ("f:a", ".a"),
        ("k:{\"name\":\"web\",\"port\":80}", "[name=\"web\",port=80]"),
        ("v:\"x\"", "[=\"x\"]"),
        ("v:1.0", "[=1]"),
        ("v:2.5", "[=2.5]"),
        ("i:3", "[3]"),
    ] {
        assert_eq!(Element::parse(text).unwrap().to_string(), wanted);
    }
}

#[test]
fn what_is_not_on_a_path_is_left_out() {
    let narrowed = |fields: Value, paths: &[&[&str]]| {
        let mut set = FieldSet::from_value(&fields).unwrap();
        set.narrow(paths);
        set.to_value()
    };
    let fields = json!({
        "f:metadata": {"f:labels": {}},
        "f:spec": {
            "f:a": {},
            "f:list": {
                "k:{\"name\":\"x\"}": {".": {}, "f:image": {}, "f:resources": {"f:limits": {}}},
                "k:{\"name\":\"y\"}": {"f:image": {}},
            },
        },
    });
    assert_eq!(narrowed(fields.clone(), &[&["spec", "a"]]), json!({"f:spec": {"f:a": {}}}));
    assert_eq!(
        narrowed(fields.clone(), &[&["spec", "list", "*", "resources"], &["spec", "b"]]),
        json!({"f:spec": {"f:list": {
            "k:{\"name\":\"x\"}": {".": {}, "f:resources": {"f:limits": {}}},
        }}})
    );
    assert_eq!(narrowed(fields.clone(), &[&["spec"]]), json!({"f:spec": fields["f:spec"]}));
    assert_eq!(narrowed(fields, &[&["status"]]), json!({}));
}
