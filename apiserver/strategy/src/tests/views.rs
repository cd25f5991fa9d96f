//! Kinds whose objects are kept as those of another: namespaces as projects, events by their newer names.

use super::*;

fn project(annotations: Value) -> Value {
    json!({ "apiVersion": "project.openshift.io/v1", "kind": "Project",
        "metadata": { "name": "pp", "annotations": annotations } })
}

/// An update of a project by what it is kept as.
fn update_project(old: &Value, change: impl FnOnce(&mut Value)) -> Result<Write, Status> {
    update_as(kind("project.openshift.io/v1", "Project"), Target::Main, old, change)
}

#[test]
fn a_project_is_kept_as_a_namespace() {
    let asked = with(project(json!({})), &[("status", json!({ "phase": "Terminating" }))]);
    let old = created(asked);
    assert_eq!((&old["apiVersion"], &old["kind"]), (&json!("v1"), &json!("Namespace")));
    assert_eq!(old["metadata"]["labels"], json!({ "kubernetes.io/metadata.name": "pp" }));
    assert_eq!(old["spec"], json!({ "finalizers": ["kubernetes"] }));
    assert_eq!(old["status"], json!({ "phase": "Active" }));
    let none = update_project(&old, |new| {
        new["spec"]["finalizers"] = json!([]);
        new["status"]["phase"] = "Terminating".into();
    });
    assert_eq!(none, Ok(Write::Unchanged));
}

#[test]
fn a_project_goes_when_what_is_in_it_has_gone() {
    let old = created(project(json!({})));
    let of = kind("project.openshift.io/v1", "Project");
    let Deletion::Mark(marked) = delete_as(of, &old, None) else { panic!("not marked") };
    assert_eq!(marked["status"]["phase"], "Terminating");
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-02T03:04:05Z");
    assert_eq!(marked["metadata"].get("deletionGracePeriodSeconds"), None);
}

#[test]
fn what_a_project_says_of_itself_is_checked() {
    let name = json!({ "openshift.io/display-name": "a\nb", "openshift.io/node-selector": "=b" });
    let errors = [
        "metadata.annotations[openshift.io/display-name]: Invalid value: \"a\\nb\": may not contain a new line or tab",
        "nodeSelector: Invalid value: \"=b\": must be a valid label selector",
    ];
    check(create(project(name.clone())), &errors);
    check(create(with(project(name), &[("kind", json!("ProjectRequest"))])), &errors);
    let fine = json!({ "openshift.io/display-name": "A b", "openshift.io/node-selector": "a=b" });
    created(project(fine));
}

#[test]
fn of_a_project_its_names_alone_may_change() {
    let old = created(project(json!({ "openshift.io/description": "d", "a": "b" })));
    let named = update_project(&old, |new| {
        let annotations = &mut new["metadata"]["annotations"];
        annotations["openshift.io/display-name"] = "A".into();
        annotations["openshift.io/description"] = "D".into();
    });
    assert!(matches!(named, Ok(Write::Put(_))));
    let why = "field is immutable, try updating the namespace";
    check(
        update_project(&old, |new| {
            new["metadata"]["annotations"]["a"] = "c".into();
            new["metadata"]["labels"]["x"] = "y".into();
        }),
        &[
            &format!("metadata.annotations[a]: Invalid value: \"c\": {why}"),
            &format!("metadata.labels[x]: Invalid value: \"y\": {why}"),
        ],
    );
}

fn event(fields: Value) -> Value {
    let mut event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": "e" },
        "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal", "note": "n",
        "reportingController": "example.com/c", "reportingInstance": "i", "action": "a", "reason": "r",
        "regarding": { "kind": "Pod", "namespace": "ns", "name": "p" },
    });
    event.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    event
}

const NAME_PART: &str = "reportingController: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

#[test]
fn the_newer_events_have_stricter_rules() {
    let old = created(event(json!({})));
    assert_eq!(
        (&old["message"], &old["reportingComponent"]),
        (&json!("n"), &json!("example.com/c"))
    );
    let needs = "Invalid value: \"\": needs to be unset";
    for (fields, errors) in [
        (
            json!({ "action": "", "reportingController": "" }),
            &[
                "reportingController: Required value",
                "reportingController: Invalid value: \"\": name part must be non-empty",
                NAME_PART,
                "action: Required value",
            ][..],
        ),
        (
            json!({ "deprecatedCount": 3, "deprecatedSource": { "host": "h" }, "type": "Odd" }),
            &[
                "type: Invalid value: \"\": has invalid value: Odd",
                &format!("count: {needs}"),
                &format!("source: {needs}"),
            ],
        ),
    ] {
        check(create(event(fields)), errors);
    }
    let of = kind("events.k8s.io/v1", "Event");
    let series = json!({ "count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z" });
    let repeated = update_as(of, Target::Main, &old, |new| new["series"] = series);
    assert!(matches!(repeated, Ok(Write::Put(_))));
    check(
        update_as(of, Target::Main, &old, |new| new["note"] = "other".into()),
        &["message: Invalid value: \"other\": field is immutable"],
    );
}
