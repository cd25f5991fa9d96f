//! Tests of strategic merge patches, over the small field table of the schema tests.

use proptest::prelude::*;
use serde_json::json;

use super::super::tests::document;
use super::*;
use crate::schema::tests::{POD, schemas};

fn patched(current: Value, patch: Value) -> Result<Value, (u16, String)> {
    strategic(&schemas(), POD, &current, &patch).map_err(|status| (status.code, status.message))
}

/// Patches `spec`.
fn check(current: Value, patch: Value, want: Value) {
    let found = patched(json!({"spec": current}), json!({"spec": patch.clone()}));
    assert_eq!(found, Ok(json!({"spec": want})), "{patch}");
}

#[test]
fn lists_merge_by_key_and_keep_their_order() {
    let current =
        || json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]});
    check(
        current(),
        json!({"containers": [{"name": "b", "image": "3"}]}),
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "3"}]}),
    );
    check(
        current(),
        json!({"containers": [{"name": "c", "image": "4"}]}),
        json!({"containers": [
            {"name": "c", "image": "4"},
            {"name": "a", "image": "1"},
            {"name": "b", "image": "2"},
        ]}),
    );
    check(
        current(),
        json!({"containers": [{"name": "a", "image": null, "tty": true}]}),
        json!({"containers": [{"name": "a", "tty": true}, {"name": "b", "image": "2"}]}),
    );
    check(
        json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "x"}]}]}),
        json!({"containers": [{"name": "a", "ports": [
            {"containerPort": 80, "name": "y"}, {"containerPort": 81}]}]}),
        json!({"containers": [{"name": "a", "ports": [
            {"containerPort": 80, "name": "y"}, {"containerPort": 81}]}]}),
    );
}

#[test]
fn lists_of_scalars_merge_only_where_the_table_says() {
    check(
        json!({"finalizers": ["a", "b"], "args": ["a", "b"]}),
        json!({"finalizers": ["b", "c"], "args": ["c"]}),
        json!({"finalizers": ["a", "b", "c"], "args": ["c"]}),
    );
    check(
        json!({"finalizers": ["a", "b", "c"]}),
        json!({"$deleteFromPrimitiveList/finalizers": ["b", "x"]}),
        json!({"finalizers": ["a", "c"]}),
    );
    check(
        json!({"finalizers": ["a"]}),
        json!({"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["b"]}),
        json!({"finalizers": ["b"]}),
    );
}

#[test]
fn directives_in_lists() {
    let current = || json!({"containers": [{"name": "a"}, {"name": "b"}]});
    check(
        current(),
        json!({"containers": [{"$patch": "delete", "name": "a"}]}),
        json!({"containers": [{"name": "b"}]}),
    );
    check(
        current(),
        json!({"containers": [{"$patch": "replace"}, {"name": "c"}]}),
        json!({"containers": [{"name": "c"}]}),
    );
    check(
        json!({}),
        json!({"containers": [{"name": "a", "$retainKeys": ["name"]}, {"$patch": "delete", "name": "b"}]}),
        json!({"containers": [{"name": "a"}]}),
    );
}

#[test]
fn directives_in_objects() {
    let current = || json!({"strategy": {"type": "R", "rollingUpdate": {"maxSurge": 1}}});
    check(
        current(),
        json!({"strategy": {"$patch": "replace", "type": "X"}}),
        json!({"strategy": {"type": "X"}}),
    );
    check(current(), json!({"strategy": {"$patch": "delete"}}), json!({"strategy": {}}));
    check(
        current(),
        json!({"strategy": {"$retainKeys": ["type"], "type": "X"}}),
        json!({"strategy": {"type": "X"}}),
    );
    check(
        json!({"affinity": {"type": "R", "rollingUpdate": {}}}),
        json!({"affinity": {"type": "X"}}),
        json!({"affinity": {"type": "X"}}),
    );
    check(
        json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
        json!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {}}]}),
        json!({"volumes": [{"name": "v", "hostPath": {}}]}),
    );
    check(
        json!({"selector": {"a": "1", "b": "2"}}),
        json!({"selector": {"a": null, "c": "3"}}),
        json!({"selector": {"b": "2", "c": "3"}}),
    );
    check(
        json!({}),
        json!({"strategy": {"type": null, "rollingUpdate": {}}}),
        json!({"strategy": {"rollingUpdate": {}}}),
    );
}

#[test]
fn order_is_set() {
    let named = |names: &[&str]| {
        let items: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        json!(items)
    };
    check(
        json!({"containers": named(&["a", "b", "c"])}),
        json!({"$setElementOrder/containers": named(&["c", "a"])}),
        json!({"containers": named(&["b", "c", "a"])}),
    );
    check(
        json!({"containers": named(&["a", "b"])}),
        json!({
            "$setElementOrder/containers": named(&["b", "c", "a"]),
            "containers": named(&["c"]),
        }),
        json!({"containers": named(&["b", "c", "a"])}),
    );
    check(
        json!({"containers": named(&["a", "server", "b"])}),
        json!({"$setElementOrder/containers": named(&["a", "b", "c"]), "containers": named(&["c"])}),
        json!({"containers": named(&["a", "server", "b", "c"])}),
    );
    check(
        json!({"finalizers": ["a", "b"]}),
        json!({"$setElementOrder/finalizers": ["b", "a"]}),
        json!({"finalizers": ["b", "a"]}),
    );
    check(json!({}), json!({"$setElementOrder/containers": named(&["a"])}), json!({}));
}

#[test]
fn bad_patches_are_answered_as_upstream_does() {
    let current = || json!({"spec": {"containers": [{"name": "a"}], "strategy": {}}});
    for (spec, code, message) in [
        (
            json!({"containers": [{"image": "x"}]}),
            400,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            json!({"containers": [{"$patch": "delete"}]}),
            400,
            "map: map[$patch:delete] does not contain declared merge key: name",
        ),
        (
            json!({"strategy": {"$patch": "explode"}}),
            400,
            "unknown patch type: explode in map: map[$patch:explode]",
        ),
        (json!({"$retainKeys": "a"}), 400, "invalid patch format of retainKeys"),
        (
            json!({"strategy": {"$retainKeys": ["x"], "type": "y"}}),
            422,
            "the server rejected our request due to an error in our request",
        ),
        (
            json!({"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}),
            400,
            "The order in patch list:\n[map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n",
        ),
        (
            json!({"containers": [[]]}),
            422,
            "the server rejected our request due to an error in our request",
        ),
        (json!({"containers": ["a"]}), 400, "list element types are not identical"),
    ] {
        let found = patched(current(), json!({"spec": spec.clone()}));
        assert_eq!(found, Err((code, message.to_owned())), "{spec}");
    }
    assert_eq!(patched(json!({}), json!([])).map_err(|(code, _)| code), Err(400));
}

/// A patch of the sort that clients make: lists of named containers, scalars, maps.
fn plain_patch() -> impl Strategy<Value = Value> {
    let container = ("[a-d]", prop::option::of("[x-z]"))
        .prop_map(|(name, image)| json!({"name": name, "image": image}));
    (
        prop::collection::vec(container, 0..4),
        prop::collection::vec("[a-d]", 0..4),
        prop::collection::btree_map("[a-c]", prop::option::of("[x-z]"), 0..3),
    )
        .prop_map(|(containers, finalizers, selector)| {
            let mut unique = std::collections::BTreeSet::new();
            let containers: Vec<Value> = containers
                .into_iter()
                .filter(|container| unique.insert(container["name"].to_string()))
                .collect();
            json!({"spec": {
                "containers": containers, "finalizers": finalizers, "selector": selector,
            }})
        })
}

proptest! {
    #[test]
    fn patching_twice_changes_nothing_more(first in plain_patch(), second in plain_patch()) {
        let current = patched(json!({}), first).expect("a plain patch");
        let once = patched(current, second.clone()).expect("a plain patch");
        prop_assert_eq!(patched(once.clone(), second), Ok(once));
    }

    #[test]
    fn nothing_panics(current in document(), patch in document(), spec in document()) {
        let _ = patched(json!({"spec": {"containers": current.clone(), "strategy": current}}), json!({
            "spec": {"containers": patch, "$setElementOrder/containers": spec.clone(), "strategy": spec},
        }));
    }
}
