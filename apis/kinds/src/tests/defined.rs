//! Kinds that definitions define, and the life of a definition.

use serde_json::{Value, json};

use super::now;
use crate::{Kinds, Scope, Subresource, custom, naming};

const NOW: &str = "2026-01-01T00:00:00Z";

fn definition(plural: &str, kind: &str) -> Value {
    json!({
        "metadata": { "name": format!("{plural}.example.com") },
        "spec": {
            "group": "example.com", "scope": "Cluster",
            "names": { "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"),
                       "shortNames": ["sh"], "categories": ["all"] },
            "versions": [
                { "name": "v1beta1", "served": true, "storage": false, "deprecated": true, "schema": { "openAPIV3Schema": { "type": "object" } } },
                { "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": { "type": "object" } },
                  "subresources": { "status": {} } },
                { "name": "v2", "served": false, "storage": false },
            ],
        },
        "status": { "storedVersions": ["v1"] },
    })
}

fn accepted(mut definition: Value, others: &[Value]) -> Value {
    let builtin = Kinds::builtin().iter().map(|kind| &**kind);
    if let Some(status) = naming::accepted(&definition, others, builtin, None, NOW) {
        definition["status"] = status;
    }
    definition
}

fn conditions(definition: &Value) -> Vec<[&str; 4]> {
    let list = definition["status"]["conditions"].as_array().expect("list");
    let fields = ["type", "status", "reason", "message"];
    list.iter().map(|one| fields.map(|field| one[field].as_str().expect("text"))).collect()
}

#[test]
fn served_versions_are_kinds() {
    assert!(custom::kinds(&definition("widgets", "Widget")).is_empty(), "not established");
    let kinds = custom::kinds(&accepted(definition("widgets", "Widget"), &[]));
    let [old, new] = &kinds[..] else { panic!("{kinds:?}") };
    assert_eq!(
        (old.api_version(), new.api_version()),
        ("example.com/v1beta1".to_owned(), "example.com/v1".to_owned())
    );
    assert_eq!((&*new.plural, &*new.singular, new.scope), ("widgets", "widget", Scope::Cluster));
    assert_eq!((&*new.subresources, &*old.subresources), (&[Subresource::Status][..], &[][..]));
    assert_eq!(new.prefix(None), "/registry/example.com/widgets/");
    let deprecated =
        |kind: &crate::Kind| kind.custom.as_ref().and_then(|custom| custom.deprecated.clone());
    assert_eq!(
        deprecated(old).as_deref(),
        Some("example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget")
    );
    assert_eq!(deprecated(new), None);
    // A kind without columns of its own shows its age.
    let object =
        json!({ "metadata": { "name": "w", "creationTimestamp": "2026-01-01T00:55:00Z" } });
    let cells: Vec<Value> = new.table_columns().map(|column| column.cell(&object, now())).collect();
    assert_eq!(cells, [json!("w"), json!("5m")]);
}

// Red with every version: objects would be shown in one that nobody converted them to.
#[test]
fn where_a_webhook_converts_only_the_version_kept_is_served() {
    let mut called = definition("widgets", "Widget");
    called["spec"]["conversion"] = json!({ "strategy": "Webhook" });
    let kinds = custom::kinds(&accepted(called, &[]));
    let versions: Vec<&str> = kinds.iter().map(|kind| &*kind.version).collect();
    assert_eq!(versions, ["v1"]);
}

#[test]
fn cells_are_of_the_type_that_is_stated() {
    let mut definition = accepted(definition("widgets", "Widget"), &[]);
    let column = |type_: &str, path: &str| json!({ "name": path, "type": type_, "jsonPath": path });
    definition["spec"]["versions"][1]["additionalPrinterColumns"] = json!([
        column("string", ".spec.list"),
        column("integer", ".spec.float"),
        column("integer", ".spec.text"),
        column("boolean", ".spec.flag"),
        column("date", ".spec.text"),
        column("string", ".spec.none"),
        column("string", ".status.conditions[?(@.type==\"Ready\")].status"),
        column("number", ".spec.float"),
        column("string", ".spec['text']"),
        column("string", ".spec.list[*]"),
        column("string", "["),
    ]);
    let kind = custom::kinds(&definition).remove(1);
    let object = json!({
        "spec": { "list": ["a", 1], "float": 1.5, "text": "x", "flag": true },
        "status": { "conditions": [{ "type": "A", "status": "False" }, { "type": "Ready", "status": "True" }] },
    });
    let cells: Vec<Value> = kind.columns.iter().map(|column| column.cell(&object, now())).collect();
    assert_eq!(
        cells,
        [
            json!("[\"a\",1]"),
            json!(1),
            json!(null),
            json!(true),
            json!("<invalid>"),
            json!(null),
            json!("True"),
            json!(1.5),
            json!("x"),
            json!("a")
        ]
    );
}

#[test]
fn free_names_are_accepted() {
    let first = accepted(definition("widgets", "Widget"), &[]);
    assert_eq!(first["status"]["acceptedNames"], first["spec"]["names"]);
    assert_eq!(first["status"]["storedVersions"], json!(["v1"]));
    let fine = [
        ["NamesAccepted", "True", "NoConflicts", "no conflicts found"],
        ["Established", "True", "InitialNamesAccepted", "the initial names have been accepted"],
    ];
    assert_eq!(conditions(&first), fine);
    let builtin = || Kinds::builtin().iter().map(|kind| &**kind);
    assert_eq!(
        naming::accepted(&first, std::slice::from_ref(&first), builtin(), None, "later"),
        None,
        "settled"
    );

    let second = accepted(definition("gadgets", "Widget"), std::slice::from_ref(&first));
    assert_eq!(
        conditions(&second),
        [
            ["NamesAccepted", "False", "ListKindConflict", "\"WidgetList\" is already in use"],
            ["Established", "False", "NotAccepted", "not all names are accepted"],
        ]
    );
    assert_eq!(
        second["status"]["acceptedNames"],
        json!({ "plural": "gadgets", "categories": ["all"] })
    );
    assert!(custom::kinds(&second).is_empty());
    assert_eq!(conditions(&accepted(second, &[])), fine, "the other one is gone");

    let mut ours = definition("routes", "Route");
    ours["spec"]["group"] = "route.openshift.io".into();
    assert_eq!(conditions(&accepted(ours, &[]))[0][2], "ListKindConflict");
}

#[test]
fn a_definition_goes_after_its_objects() {
    let mut going = accepted(definition("widgets", "Widget"), &[]);
    assert!(!naming::is_cleaning(&going));
    going["metadata"]["deletionTimestamp"] = NOW.into();
    going["metadata"]["finalizers"] = json!([naming::CLEANUP]);
    assert!(naming::is_cleaning(&going));
    naming::mark(&mut going, NOW);
    let last =
        |definition: &Value| conditions(definition).pop().map(|last| last.map(str::to_owned));
    for (status, reason, word) in [
        (None, "InstanceDeletionPending", "True"),
        (naming::deleting(&going, NOW), "InstanceDeletionInProgress", "True"),
        (naming::deletion_failed(&going, "x", NOW), "InstanceDeletionFailed", "True"),
        (naming::gone(&going, NOW), "InstanceDeletionCompleted", "False"),
    ] {
        let mut now = going.clone();
        if let Some(status) = status {
            now["status"] = status;
        }
        let [type_, said, why, _] = last(&now).expect("a condition");
        assert_eq!((type_.as_str(), said.as_str(), why.as_str()), ("Terminating", word, reason));
    }
    let kinds = custom::kinds(&going);
    assert!(!kinds[0].verbs.contains(&"create") && kinds[0].verbs.contains(&"delete"));
    let never = json!({ "spec": {}, "status": {} });
    assert_eq!(
        naming::gone(&never, NOW).map(|status| status["conditions"][0]["reason"].clone()),
        Some(json!("NeverEstablished"))
    );
    for odd in [
        json!(null),
        json!([]),
        json!({ "spec": [], "status": "x", "metadata": 5 }),
        json!({ "status": { "conditions": 5, "acceptedNames": [] }, "spec": { "names": { "shortNames": 5 }, "versions": [5] } }),
    ] {
        let _ = (
            custom::kinds(&odd),
            naming::gone(&odd, NOW),
            naming::accepted(&odd, [&json!(null)], [], None, NOW),
        );
    }
}
