//! Patches: JSON patch (RFC 6902), merge patch (RFC 7386) and strategic merge patch, pure and bounded.
//!
//! Knows: what each does to a document, and the Status of what it cannot do. Refuses to know: media types, stored objects.

mod json;
mod list;
mod strategic;
mod three_way;

use serde_json::Value;

use crate::object::map_mut;
use crate::status::Status;

pub use json::{json, oddities};
pub use strategic::{shown, strategic};
pub use three_way::three_way;

/// Merge patch of RFC 7386: null removes, objects merge, all else replaces.
pub fn merge(current: &Value, patch: &Value) -> Value {
    let mut merged = current.clone();
    merge_into(&mut merged, patch);
    merged
}

fn merge_into(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    let merged = map_mut(target);
    for (key, value) in patch {
        if value.is_null() {
            merged.remove(key);
        } else {
            merge_into(merged.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// What Go's decoder says of a patch that is not an object.
pub fn no_map(patch: &Value) -> String {
    let found = crate::decode::go_name(patch);
    format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}")
}

/// 422, in the words that upstream has for every patch that is well formed but cannot be applied.
fn rejected() -> Status {
    let message = "the server rejected our request due to an error in our request";
    Status::generic(422, "Invalid", message)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Any small document.
    pub(crate) fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..4i64).prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-c]", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn merge_as_the_rfc_shows() {
        for (current, patch, want) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [1]}), json!({"a": [2]}), json!({"a": [2]})),
            (json!({"a": 1}), json!(null), json!(null)),
            (json!([1]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            assert_eq!(merge(&current, &patch), want, "{current} {patch}");
        }
    }

    proptest! {
        #[test]
        fn merging_twice_changes_nothing_more(current in document(), patch in document()) {
            let once = merge(&current, &patch);
            prop_assert_eq!(merge(&once, &patch), once);
        }
    }
}
