//! Three-way apply over the real field table: the patch, applied, gives what the person wrote plus what others added.

use leme_kinds::{by_word, schemas};
use leme_meta::patch;
use serde_json::{Value, json};

/// Applies `modified` to `current` after `original`, and checks that a second apply has nothing to do.
fn check(kind: &str, original: Value, modified: Value, current: Value) -> Value {
    let schema = &by_word(kind).unwrap().schema;
    let change = patch::three_way(schemas(), schema, &original, &modified, &current);
    let result = patch::strategic(schemas(), schema, &current, &change).unwrap();
    let again = patch::three_way(schemas(), schema, &modified, &modified, &result);
    assert_eq!(again, json!({}), "a second apply changes nothing");
    result
}

#[test]
fn what_others_added_stays() {
    let result = check(
        "service",
        json!({"spec": {"ports": [{"port": 80}]}}),
        json!({"spec": {"ports": [{"port": 80, "name": "http"}]}}),
        json!({"spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 80, "nodePort": 30080}]}}),
    );
    let port = json!({"port": 80, "name": "http", "nodePort": 30080});
    assert_eq!(result, json!({"spec": {"clusterIP": "10.96.0.7", "ports": [port]}}));
}

#[test]
fn what_left_the_file_leaves_the_object() {
    let result = check(
        "configmap",
        json!({"data": {"a": "1", "b": "2"}}),
        json!({"data": {"a": "1"}}),
        json!({"data": {"a": "1", "b": "2", "c": "3"}}),
    );
    assert_eq!(result, json!({"data": {"a": "1", "c": "3"}}));
}

#[test]
fn list_elements_leave_by_key() {
    let container = |name: &str| json!({"name": name, "image": "x"});
    let pod = |names: &[&str]| {
        let list: Vec<Value> = names.iter().map(|name| container(name)).collect();
        json!({"spec": {"containers": list}})
    };
    let result = check("pod", pod(&["a", "b"]), pod(&["a"]), pod(&["a", "b", "injected"]));
    assert_eq!(result, pod(&["a", "injected"]));
}

#[test]
fn a_union_keeps_only_the_new_member() {
    let volume = |source: Value| json!({"spec": {"volumes": [source]}});
    let old = volume(json!({"name": "v", "emptyDir": {}}));
    let new = volume(json!({"name": "v", "configMap": {"name": "c"}}));
    assert_eq!(check("pod", old.clone(), new.clone(), old), new);
}

#[test]
fn sets_of_plain_values() {
    let with = |list: Value| json!({"metadata": {"finalizers": list}});
    let result =
        check("pod", with(json!(["a", "b"])), with(json!(["a"])), with(json!(["b", "other"])));
    assert_eq!(result, with(json!(["a", "other"])));
}
