//! The list of managers: times, order, how many there may be, what clients may write, what came before the first apply.

use serde_json::json;

use super::*;
use crate::field::Path;

fn at<'a>(request: Request<'a, Typed<'a>>, time: &str) -> Request<'a, Typed<'a>> {
    Request { now: time.parse().ok(), ..request }
}

fn root(fields: Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "Root", "metadata": {"name": "a"}});
    for (name, value) in fields.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

fn list(object: &Value) -> Vec<Value> {
    list_of(object).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn names(object: &Value) -> Vec<String> {
    list(object).iter().map(|entry| entry["manager"].as_str().unwrap().to_owned()).collect()
}

fn fields_of(object: &Value, manager: &str) -> Value {
    list(object)
        .iter()
        .find(|entry| entry["manager"] == manager)
        .map(|entry| serde_json::from_str(entry["fieldsV1"].as_str().unwrap()).unwrap())
        .unwrap_or_default()
}

fn created(schemas: &Schemas, manager: &str, fields: Value) -> Value {
    let mut object = root(fields);
    update(&request(schemas, manager), None, &mut object);
    object
}

#[test]
fn an_entry_as_it_is_written() {
    let schemas = table();
    let object = created(&schemas, "", json!({"string": "a", "map": {"b": "c"}}));
    assert_eq!(
        list(&object),
        [json!({
            "manager": "unknown",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": r#"{"f:map":{".":{},"f:b":{}},"f:string":{}}"#,
        })]
    );
    let config = root(json!({"string": "a"}));
    let status = Request { subresource: "status", ..request(&schemas, "b") };
    let object = apply(&status, None, &config, false).unwrap();
    assert_eq!(
        list(&object),
        [json!({
            "manager": "b",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": r#"{"f:string":{}}"#,
            "subresource": "status",
        })]
    );
}

#[test]
fn what_is_nobodys() {
    let schemas = table();
    let mut object = json!({
        "apiVersion": "v1", "kind": "Root",
        "metadata": {
            "name": "a", "namespace": "b", "uid": "c", "resourceVersion": "1", "generation": 2,
            "labels": {"d": "e"},
        },
    });
    update(&request(&schemas, "m"), None, &mut object);
    assert_eq!(fields_of(&object, "m"), json!({"f:metadata": {"f:labels": {".": {}, "f:d": {}}}}));
    // A manager of nothing else has no entry.
    let mut bare = json!({"apiVersion": "v1", "kind": "Root", "metadata": {"name": "a"}});
    update(&request(&schemas, "m"), None, &mut bare);
    assert_eq!(list_of(&bare), None);
    let applied = apply(&request(&schemas, "m"), None, &bare, false).unwrap();
    assert_eq!(list_of(&applied), None);
}

#[test]
fn a_manager_has_one_entry_and_a_time_of_its_last_change() {
    let schemas = table();
    let later = at(request(&schemas, "m"), "2026-01-02T00:00:00Z");
    let live = created(&schemas, "m", json!({"string": "a", "numeric": 1}));
    // Nothing changes: not even for one who has no entry yet.
    let mut same = root(json!({"string": "a", "numeric": 1}));
    update(&Request { manager: "n", ..later }, Some(&live), &mut same);
    assert_eq!(same, live);
    // A value of its own changes: only the time.
    let mut value = root(json!({"string": "b", "numeric": 1}));
    update(&later, Some(&live), &mut value);
    assert_eq!(fields_of(&value, "m"), fields_of(&live, "m"));
    assert_eq!(list(&value)[0]["time"], "2026-01-02T00:00:00Z");
    // It writes more: one entry with both.
    let mut more = root(json!({"string": "b", "numeric": 1, "bool": true}));
    update(&later, Some(&live), &mut more);
    assert_eq!(fields_of(&more, "m"), json!({"f:bool": {}, "f:numeric": {}, "f:string": {}}));
    // It writes less: the time stays.
    let mut less = root(json!({"string": "a"}));
    update(&later, Some(&live), &mut less);
    assert_eq!(fields_of(&less, "m"), json!({"f:string": {}}));
    assert_eq!(list(&less)[0]["time"], "2026-01-01T00:00:00Z");
    // Of another version or subresource it is another manager.
    for other in
        [Request { api_version: "v2", ..later }, Request { subresource: "status", ..later }]
    {
        let mut new = root(json!({"string": "b", "numeric": 1}));
        update(&other, Some(&live), &mut new);
        assert_eq!(list(&new).len(), 2);
    }
    // A write of a scale has no time.
    let mut scaled = root(json!({"string": "a", "numeric": 2}));
    let scale = Request { subresource: "scale", now: None, ..request(&schemas, "m") };
    update(&scale, Some(&live), &mut scaled);
    assert_eq!(list(&scaled)[0].get("time"), None);
    assert_eq!(list(&scaled)[0]["fieldsV1"], r#"{"f:numeric":{}}"#);
}

#[test]
fn the_order_of_entries() {
    let schemas = table();
    let mut live = created(&schemas, "c", json!({"string": "a"}));
    let write = |live: &Value, manager: &str, time: &str, fields: Value| {
        let mut new = root(fields);
        update(&at(request(&schemas, manager), time), Some(live), &mut new);
        new
    };
    live = write(&live, "a", "2026-01-01T00:00:05Z", json!({"string": "a", "numeric": 1}));
    live = write(
        &live,
        "b",
        "2026-01-01T00:00:00Z",
        json!({"string": "a", "numeric": 1, "bool": true}),
    );
    let config = root(json!({"color": {"R": 1}}));
    let live =
        apply(&at(request(&schemas, "z"), "2026-02-01T00:00:00Z"), Some(&live), &config, false);
    assert_eq!(names(&live.unwrap()), ["z", "b", "c", "a"]);
}

#[test]
fn old_updates_are_put_together() {
    let schemas = table();
    let mut live = created(&schemas, "m00", json!({"map": {"k00": "v"}}));
    for number in 1..25 {
        let mut new = live.clone();
        take_list(&mut new);
        new["map"][format!("k{number:02}")] = "v".into();
        let manager = format!("m{number:02}");
        let time = format!("2026-01-01T00:00:{number:02}Z");
        update(&at(request(&schemas, &manager), &time), Some(&live), &mut new);
        live = new;
        assert_eq!(list(&live).len(), MAX_UPDATE_MANAGERS.min(number + 1));
    }
    let found = names(&live);
    assert_eq!(found[0], "ancient-changes");
    assert_eq!(found[1..], (16..25).map(|number| format!("m{number}")).collect::<Vec<_>>());
    let ancient = fields_of(&live, "ancient-changes");
    // All sixteen that are no more, and the map.
    assert_eq!(ancient["f:map"].as_object().unwrap().len(), 17);
    assert_eq!(list(&live)[0]["time"], "2026-01-01T00:00:15Z");
    // Those that apply are not counted.
    for number in 0..12 {
        let manager = format!("a{number:02}");
        let config = root(json!({"color": {"R": 1}}));
        live = apply(&request(&schemas, &manager), Some(&live), &config, false).unwrap();
    }
    assert_eq!(list(&live).len(), 22);
}

#[test]
fn a_list_that_a_client_writes() {
    let schemas = table();
    let live = created(&schemas, "m", json!({"string": "a", "numeric": 1}));
    let written = |list: Value, subresource: &str| {
        let mut new = root(json!({"string": "a", "numeric": 2}));
        new["metadata"]["managedFields"] = list;
        let request = Request { subresource, ..request(&schemas, "n") };
        update(&request, Some(&live), &mut new);
        new
    };
    let kept = json!({"f:string": {}});
    let entry = |fields: Value| {
        json!([{
            "manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }])
    };
    // It says who owns what before the write.
    let new = written(entry(json!({"f:string": {}, "f:numeric": {}, "z:unknown": {}})), "");
    assert_eq!(names(&new), ["x", "n"]);
    assert_eq!(fields_of(&new, "x"), kept);
    // Steps are written anew.
    let text = "k:{\"protocol\": \"TCP\", \"port\": 80}";
    let new = written(entry(json!({"f:containerPorts": {text: {".": {}}}})), "");
    let wanted = json!({"f:containerPorts": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {}}});
    assert_eq!(fields_of(&new, "x"), wanted);
    // Through a subresource, or where it cannot be read, what is stored counts.
    let broken = json!({"manager": "x", "operation": "Get", "apiVersion": "v1"});
    for (list, subresource) in [
        (entry(json!({"f:string": {}})), "status"),
        (json!([{}]), "status"),
        (json!([broken]), ""),
        (entry(json!({"f:string": 1})), ""),
        (entry(json!({"k:nothing": {}})), ""),
        (json!(null), ""),
    ] {
        let new = written(list, subresource);
        assert_eq!(names(&new), ["m", "n"]);
        assert_eq!(fields_of(&new, "m"), kept);
    }
    // One that says nothing takes all ownership away, and it stays so until an apply.
    for list in [json!([]), json!([{}])] {
        assert!(is_reset(&list));
        let new = written(list, "");
        assert_eq!(list_of(&new), None);
        let mut next = root(json!({"string": "b"}));
        update(&request(&schemas, "n"), Some(&new), &mut next);
        assert_eq!(list_of(&next), None);
    }
    assert!(!is_reset(&json!([{"manager": "x"}])));
    assert!(!is_reset(&json!([{}, {}])));
}

#[test]
fn before_the_first_apply() {
    let schemas = table();
    let live = root(json!({"string": "a", "numeric": 1, "map": {"b": "c"}}));
    let config = root(json!({"string": "a", "bool": true}));
    let new = apply(&request(&schemas, "m"), Some(&live), &config, false).unwrap();
    assert_eq!(names(&new), ["m", "before-first-apply"]);
    assert_eq!(fields_of(&new, "m"), json!({"f:bool": {}, "f:string": {}}));
    assert_eq!(
        fields_of(&new, "before-first-apply"),
        json!({"f:map": {".": {}, "f:b": {}}, "f:numeric": {}, "f:string": {}})
    );
    let config = root(json!({"string": "b"}));
    let status = apply(&request(&schemas, "m"), Some(&live), &config, false).unwrap_err();
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .string"
    );
    let new = apply(&request(&schemas, "m"), Some(&live), &config, true).unwrap();
    assert_eq!(
        fields_of(&new, "before-first-apply"),
        json!({"f:map": {".": {}, "f:b": {}}, "f:numeric": {}})
    );
}

#[test]
fn applying_what_is_there_already() {
    let schemas = table();
    let live = created(&schemas, "m", json!({"string": "a"}));
    let config = root(json!({"string": "a"}));
    let new = apply(&request(&schemas, "n"), Some(&live), &config, false).unwrap();
    assert_eq!(names(&new), ["n", "m"]);
    // Nothing changed: the new entry has no time.
    assert_eq!(list(&new)[0].get("time"), None);
    // An applied field that another changes is that one's alone.
    let mut changed = root(json!({"string": "b"}));
    update(&request(&schemas, "o"), Some(&new), &mut changed);
    assert_eq!(names(&changed), ["o"]);
}

#[test]
fn fields_that_a_write_does_not_reach() {
    let schemas = table();
    let main = Request { reset: &[&["status"]], ..request(&schemas, "m") };
    let status = Request { reset: &[&["spec"]], subresource: "status", ..request(&schemas, "n") };
    let mut live = root(json!({"spec": {"name": "a"}, "status": {"name": "b"}}));
    update(&main, None, &mut live);
    assert_eq!(fields_of(&live, "m"), json!({"f:spec": {".": {}, "f:name": {}}}));
    let mut new = root(json!({"spec": {"name": "x"}, "status": {"name": "c"}}));
    update(&status, Some(&live), &mut new);
    assert_eq!(fields_of(&new, "m"), fields_of(&live, "m"));
    assert_eq!(fields_of(&new, "n"), json!({"f:status": {"f:name": {}}}));
    let config = root(json!({"spec": {"name": "x"}, "status": {"name": "d"}}));
    let status = Request { manager: "o", ..status };
    let error = apply(&status, Some(&new), &config, false).unwrap_err();
    assert_eq!(
        error.message,
        "Apply failed with 1 conflict: conflict with \"n\" with subresource \"status\" using v1: .status.name"
    );
    let applied = apply(&status, Some(&new), &config, true).unwrap();
    assert_eq!(fields_of(&applied, "o"), json!({"f:status": {"f:name": {}}}));
    assert_eq!(fields_of(&applied, "m"), fields_of(&live, "m"));
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object that client-side apply has made of a configuration.
fn client_side(schemas: &Schemas, config: &Value) -> Value {
    let mut live = config.clone();
    live["metadata"]["annotations"] = json!({LAST_APPLIED: config.to_string()});
    update(&request(schemas, "kubectl-client-side-apply"), None, &mut live);
    live
}

#[test]
fn kubectl_goes_on_from_client_side_apply() {
    let schemas = table();
    let first = root(json!({"string": "a", "numeric": 1}));
    let live = client_side(&schemas, &first);
    // What the annotation says is there may be changed by kubectl, and by nobody else.
    let config = root(json!({"string": "b", "numeric": 1}));
    assert_eq!(apply(&request(&schemas, "x"), Some(&live), &config, false).unwrap_err().code, 409);
    let new = apply(&request(&schemas, "kubectl"), Some(&live), &config, false).unwrap();
    assert_eq!(new["string"], "b");
    assert_eq!(names(&new), ["kubectl", "kubectl-client-side-apply"]);
    // The annotation follows, with the line end of Go's encoder.
    let annotation = new["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap();
    assert!(annotation.ends_with("}\n"));
    assert_eq!(serde_json::from_str::<Value>(annotation).unwrap(), config);
    // What another wrote since is a conflict still, the rest is not named.
    let mut scaled = live.clone();
    scaled["numeric"] = 5.into();
    update(&request(&schemas, "scaler"), Some(&live), &mut scaled);
    let config = root(json!({"string": "b", "numeric": 2}));
    let status = apply(&request(&schemas, "kubectl"), Some(&scaled), &config, false).unwrap_err();
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"scaler\" using v1: .numeric"
    );
    // An annotation of another version, or that is no JSON, helps nobody.
    for annotation in ["{\"apiVersion\":\"v2\",\"kind\":\"Root\",\"string\":\"a\"}", "{", "", "1"] {
        let mut other = live.clone();
        other["metadata"]["annotations"][LAST_APPLIED] = annotation.into();
        let status = apply(&request(&schemas, "kubectl"), Some(&other), &config, false);
        assert_eq!(status.unwrap_err().code, 409, "{annotation}");
    }
    // Where there is none, none comes to be.
    let plain = created(&schemas, "m", json!({"bool": true}));
    let new = apply(&request(&schemas, "kubectl"), Some(&plain), &config, false).unwrap();
    assert_eq!(new["metadata"].get("annotations"), None);
    // One that would be too long goes.
    let long = root(json!({"string": "b".repeat(256 * 1024)}));
    let new = apply(&request(&schemas, "kubectl"), Some(&live), &long, false).unwrap();
    assert_eq!(new["metadata"]["annotations"], json!({}));
}

#[test]
fn configurations_that_are_refused() {
    let schemas = table();
    let cases = [
        (
            json!({"apiVersion": "apps/v1", "kind": "Other"}),
            400,
            "invalid object type: apps/v1, Kind=Other",
        ),
        (json!({"kind": "Root"}), 400, "invalid object type: /, Kind=Root"),
        (
            json!({"apiVersion": "v1", "kind": "Root", "metadata": {"managedFields": []}}),
            400,
            "metadata.managedFields must be nil",
        ),
        (
            json!({
                "apiVersion": "v1", "kind": "Root", "metadata": {"name": "a", "namespace": "b"},
                "what": 1,
            }),
            500,
            "failed to create typed patch object (b/a; /v1, Kind=Root): .what: field not declared in schema",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Root", "what": 1, "string": 1}),
            500,
            "failed to create typed patch object (/; /v1, Kind=Root): errors:\n  .string: expected string, got &value.valueUnstructured{Value:1}\n  .what: field not declared in schema",
        ),
    ];
    for (config, code, message) in cases {
        let status = apply(&request(&schemas, "m"), None, &config, true).unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (code, message));
    }
}

#[test]
fn times_stay_where_nothing_else_changes() {
    let schemas = table();
    let live = created(&schemas, "m", json!({"string": "a"}));
    let moved = |object: &Value| {
        let mut object = object.clone();
        object["metadata"]["managedFields"][0]["time"] = "2026-05-05T00:00:00Z".into();
        object
    };
    let mut new = moved(&live);
    settle(&live, &mut new);
    assert_eq!(new, live);
    let mut changed = moved(&live);
    changed["string"] = "b".into();
    let before = changed.clone();
    settle(&live, &mut changed);
    assert_eq!(changed, before);
    let mut labelled = moved(&live);
    labelled["metadata"]["labels"] = json!({});
    let before = labelled.clone();
    settle(&live, &mut labelled);
    assert_eq!(labelled, before);
    let mut other = moved(&live);
    other["metadata"]["managedFields"][0]["fieldsV1"] = json!({});
    let before = other.clone();
    settle(&live, &mut other);
    assert_eq!(other, before);
}

#[test]
fn objects_that_cannot_be_compared_keep_their_list() {
    let schemas = table();
    let live = created(&schemas, "m", json!({"string": "a"}));
    let mut new = root(json!({"string": "b", "list": [{"nv": 1}]}));
    update(&request(&schemas, "n"), Some(&live), &mut new);
    assert_eq!(list(&new), list(&live));
}

#[test]
fn names_of_managers() {
    let path = Path::new("fieldManager");
    let said = |name: &str| -> Vec<String> {
        check_manager(name, &path).iter().map(ToString::to_string).collect()
    };
    assert_eq!(said("kubectl edit — ü'\"\\"), [""; 0]);
    assert_eq!(said(&"a".repeat(129)), ["fieldManager: Too long: may not be more than 128 bytes"]);
    assert_eq!(
        said("a\u{7}"),
        ["fieldManager: Invalid value: \"a\\a\": invalid character U+0007 (at position 1)"]
    );
    for (manager, agent, wanted) in [
        ("m", "kubectl/v1", "m"),
        ("", "kubectl/v1.36.0 (linux/amd64)", "kubectl"),
        ("", "Go-http-client", "Go-http-client"),
        ("", "a\u{7}b\n/c", "ab"),
        ("", "", ""),
    ] {
        assert_eq!(manager_of(manager, agent), wanted);
    }
    assert_eq!(manager_of("", &"ü".repeat(100)).len(), 128);
}

#[test]
fn what_is_wrong_with_a_list() {
    let list = json!([
        {"manager": "a", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {}},
        {"operation": "Get", "fieldsType": "FieldsV2", "subresource": "x".repeat(257)},
        {"manager": "x".repeat(129)},
    ]);
    let errors = check_list(list.as_array().unwrap(), &Path::new("managedFields"));
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "managedFields[1].operation: Unsupported value: \"Get\": supported values: \"Apply\", \"Update\"",
            "managedFields[1].fieldsType: Invalid value: \"FieldsV2\": must be `FieldsV1`",
            "managedFields[1].subresource: Too long: may not be more than 256 bytes",
            "managedFields[2].operation: Required value: must not be empty",
            "managedFields[2].manager: Too long: may not be more than 128 bytes",
        ]
    );
}
