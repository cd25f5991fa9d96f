//! Labels of a pod that selectors of its own go by.

use super::*;

/// A term of an affinity, or a constraint.
fn term(fields: Value) -> Value {
    let mut term = json!({ "topologyKey": "k", "labelSelector": { "matchLabels": { "x": "y" } } });
    term.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    term
}

fn labelled(spec: Value) -> Value {
    let mut pod = pod_of(&spec);
    pod["metadata"]["labels"] = json!({ "a": "1", "b": "2" });
    pod
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

// Red when a selector stays as it was sent.
#[test]
fn selectors_of_a_new_pod_name_what_its_labels_are() {
    let keys = json!({ "matchLabelKeys": ["a", "none"], "mismatchLabelKeys": ["b"] });
    let affinity = json!({
        REQUIRED: [term(keys.clone())],
        PREFERRED: [{ "weight": 1, "podAffinityTerm": term(keys) }],
    });
    let spread = term(
        json!({ "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": ["b"] }),
    );
    let pod = created(labelled(json!({
        "affinity": { "podAffinity": affinity, "podAntiAffinity": affinity },
        "topologySpreadConstraints": [spread],
    })));
    let own = |key: &str, operator: &str, value: &str| json!({ "key": key, "operator": operator, "values": [value] });
    let both = json!({ "matchLabels": { "x": "y" },
        "matchExpressions": [own("a", "In", "1"), own("b", "NotIn", "2")] });
    let of = &pod["spec"]["affinity"];
    for which in ["podAffinity", "podAntiAffinity"] {
        assert_eq!(of[which][REQUIRED][0]["labelSelector"], both, "{which}");
        assert_eq!(of[which][PREFERRED][0]["podAffinityTerm"]["labelSelector"], both, "{which}");
    }
    let spread = &pod["spec"]["topologySpreadConstraints"][0];
    assert_eq!(spread["labelSelector"]["matchExpressions"], json!([own("b", "In", "2")]));
    assert_eq!(spread["matchLabelKeys"], json!(["b"]));
    // A template has no labels of a pod, and stays as it is.
    let template = json!({ "metadata": { "labels": { "a": "1" } }, "spec": {
        "containers": [{ "name": "c", "image": "i" }],
        "topologySpreadConstraints": [term(json!({ "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": ["a"] }))],
    } });
    let set = created(
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" },
        "spec": { "selector": { "matchLabels": { "a": "1" } }, "template": template } }),
    );
    let spread = &set["spec"]["template"]["spec"]["topologySpreadConstraints"][0];
    assert_eq!(spread["labelSelector"], json!({ "matchLabels": { "x": "y" } }));
}

#[test]
fn keys_are_not_in_the_selector_already() {
    let spread = |selector: Value, keys: Value| {
        labelled(json!({ "topologySpreadConstraints": [term(json!({
            "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector, "matchLabelKeys": keys,
        }))] }))
    };
    let spec = "spec.topologySpreadConstraints[0]";
    let at = format!("{spec}.matchLabelKeys");
    created(spread(json!({}), json!(["a"])));
    check(
        create(spread(json!({ "matchLabels": { "a": "1" } }), json!(["a"]))),
        &[&format!(
            "{spec}[0]: Invalid value: \"a\": exists in both matchLabelKeys and labelSelector"
        )],
    );
    check(
        create(spread(Value::Null, json!(["a"]))),
        &[&format!("{at}: Forbidden: must not be specified when labelSelector is not set")],
    );
    check(create(spread(json!({}), json!(["a b"]))), &[&format!("{at}[0]: {NO_NAME}")]);
    let affinity = |fields: Value| {
        labelled(json!({ "affinity": { "podAffinity": { REQUIRED: [term(fields)] } } }))
    };
    created(affinity(json!({ "matchLabelKeys": ["a"], "mismatchLabelKeys": ["b"] })));
}
