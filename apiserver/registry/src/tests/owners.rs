//! Lists of owners on the write path.

use serde_json::{Value, json};

use super::{NoNumbers, context};
use crate::*;

static OWNED: Strategy = Strategy {
    generation: Some(Strategy::spec_changed),
    default: |object| {
        let spec = json::child(object, "spec");
        json::default_number(spec, "minReadySeconds", 5);
    },
    ..Strategy::PLAIN
};

fn body(replicas: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ReplicationController",
        "metadata": {"name": "x", "namespace": "ns"},
        "spec": {"replicas": replicas},
        "status": {"replicas": 7},
    })
}

fn owned(object: &Value, manager: &str) -> Value {
    let mut object = object.clone();
    leme_meta::managed::show(&mut object);
    let list = json::list(&object, &["metadata", "managedFields"]);
    let entry = list.iter().find(|entry| entry["manager"] == manager);
    entry.map(|entry| entry["fieldsV1"].clone()).unwrap_or_default()
}

fn created() -> Value {
    create(&context(&OWNED, ""), Writer::Manager("creator"), body(1), &mut NoNumbers).unwrap()
}

fn put(write: Result<Write, Status>) -> Value {
    match write.unwrap() {
        Write::Put(new) => new,
        other => panic!("{other:?}"),
    }
}

fn updated(target: Target, manager: &str, new: Value, old: &Value) -> Result<Write, Status> {
    let writer = Writer::Manager(manager);
    update(&context(&OWNED, "x"), target, writer, new, (old, 7), &mut NoNumbers)
}

#[test]
fn each_write_says_who_owns_what_it_changed() {
    let live = created();
    // What the server sets is nobody's, and so is what this write does not reach.
    let spec = json!({"f:spec": {"f:minReadySeconds": {}, "f:replicas": {}}});
    assert_eq!(owned(&live, "creator"), spec);
    let mut new = live.clone();
    new["spec"]["replicas"] = 2.into();
    let new = put(updated(Target::Main, "updater", new, &live));
    assert_eq!(owned(&new, "updater"), json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(owned(&new, "creator"), json!({"f:spec": {"f:minReadySeconds": {}}}));
    let mut status = new.clone();
    status["status"]["replicas"] = 2.into();
    status["spec"]["replicas"] = 9.into();
    let status = put(updated(Target::Status, "controller", status, &new));
    assert_eq!(owned(&status, "controller"), json!({"f:status": {"f:replicas": {}}}));
    assert_eq!(owned(&status, "updater"), owned(&new, "updater"));
    assert_eq!(status["spec"]["replicas"], 2);
}

#[test]
fn nothing_changes_without_a_change() {
    let live = created();
    for list in [None, Some(json!(null)), live["metadata"].get("managedFields").cloned()] {
        let mut new = live.clone();
        json::remove(json::child(&mut new, "metadata"), "managedFields");
        if let Some(list) = list {
            new["metadata"]["managedFields"] = list;
        }
        assert_eq!(updated(Target::Main, "updater", new, &live), Ok(Write::Unchanged));
    }
}

#[test]
fn a_configuration_is_created_and_written() {
    let config = json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "x"},
        "spec": {"replicas": 4}, "status": {"replicas": 4},
    });
    let ctx = context(&OWNED, "x");
    let merged = |config: &Value, live: Option<&Value>, manager, force| {
        apply(&ctx, Target::Main, config, live, (manager, force))
    };
    let written = |config: &Value, live: &Value, manager, force| {
        let merged = merged(config, Some(live), manager, force)?;
        patched(&ctx, Target::Main, Writer::Applied, merged, (live, 7), &mut NoNumbers)
    };
    let live = merged(&config, None, "applier", false).unwrap();
    let live = create(&ctx, Writer::Applied, live, &mut NoNumbers).unwrap();
    // Defaults are nobody's.
    assert_eq!(owned(&live, "applier"), json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(live["spec"]["minReadySeconds"], 5);
    assert_eq!(live["metadata"]["uid"], "fresh");
    assert_eq!(written(&config, &live, "applier", false), Ok(Write::Unchanged));
    let mut other = config.clone();
    other["spec"]["replicas"] = 5.into();
    let refused = written(&other, &live, "other", false).unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (409, "Apply failed with 1 conflict: conflict with \"applier\": .spec.replicas")
    );
    let new = put(written(&other, &live, "other", true));
    assert_eq!((&new["spec"]["replicas"], &new["metadata"]["generation"]), (&5.into(), &2.into()));
    assert_eq!(owned(&new, "applier"), Value::Null);
    let mut unknown = config.clone();
    unknown["metadata"]["uid"] = "other".into();
    assert_eq!(merged(&unknown, None, "applier", false).unwrap_err().code, 409);
}

#[test]
fn lists_that_are_no_lists_are_refused() {
    let mut new = body(1);
    new["metadata"]["managedFields"] = json!([{
        "manager": "m".repeat(129), "operation": "Apply", "apiVersion": "v1",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:paused": {}}},
    }]);
    let refused = updated(Target::Main, "m", new, &created()).unwrap_err();
    assert_eq!(refused.code, 422);
    assert!(refused.message.contains("metadata.managedFields[0].manager: Too long"));
}
