//! Behaviour of the write path, with a kind that adds nothing.

mod owners;

use leme_kinds::{Kind, by_resource};
use leme_meta::{FieldError, Path, Status};
use serde_json::{Value, json};

use crate::{
    AdmitAll, Allocator, Context, DeleteOptions, Deletion, Propagation, Scale, Strategy, Target,
    Write, Writer, create, delete, json as read, patched, scale_of, update,
};

struct NoNumbers;

impl Allocator for NoNumbers {
    fn cluster_ip(&mut self, _: Option<&str>) -> Result<String, String> {
        Err("none".to_owned())
    }
    fn node_port(&mut self, _: Option<i64>) -> Result<i64, String> {
        Err("none".to_owned())
    }
}

static PLAIN: Strategy = Strategy { generation: Some(Strategy::spec_changed), ..Strategy::PLAIN };

fn kind() -> &'static Kind {
    by_resource("", "v1", "replicationcontrollers").expect("row")
}

fn context<'a>(strategy: &'a Strategy, name: &'a str) -> Context<'a> {
    Context {
        kind: kind(),
        strategy,
        namespace: "ns",
        name,
        user: None,
        now: "2026-01-02T03:04:05.678Z".parse().expect("time"),
        uid: "fresh".to_owned(),
        suffix: "abcde".to_owned(),
        dry_run: false,
        route_domain: "apps.test",
        registry_host: None,
        service_network: ([10, 96, 0, 0].into(), 16),
        admission: &AdmitAll,
    }
}

/// An object without the list of who owns its fields.
fn unowned(mut object: Value) -> Value {
    read::remove(read::child(&mut object, "metadata"), "managedFields");
    object
}

const TESTER: Writer = Writer::Manager("tester");

fn created(body: Value) -> Result<Value, Status> {
    create(&context(&PLAIN, ""), TESTER, body, &mut NoNumbers).map(unowned)
}

fn stored() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ReplicationController",
        "metadata": {
            "name": "x", "namespace": "ns", "uid": "u1", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "7",
        },
        "spec": { "replicas": 1 },
        "status": { "replicas": 1 },
    })
}

fn with(mut object: Value, change: impl FnOnce(&mut Value)) -> Value {
    change(&mut object);
    object
}

fn updated_with(
    strategy: &Strategy,
    target: Target,
    body: Value,
    old: &Value,
) -> Result<Write, Status> {
    update(&context(strategy, "x"), target, TESTER, body, (old, 7), &mut NoNumbers)
}

fn updated(body: Value) -> Result<Write, Status> {
    updated_with(&PLAIN, Target::Main, body, &stored())
}

#[track_caller]
fn check<T: std::fmt::Debug>(result: Result<T, Status>, code: u16, message: &str) {
    let status = result.expect_err("refused");
    assert_eq!((status.code, status.message.as_str()), (code, message));
}

#[track_caller]
fn put(write: Result<Write, Status>) -> Value {
    match write.expect("accepted") {
        Write::Put(value) => value,
        other => panic!("not a put: {other:?}"),
    }
}

#[test]
fn create_sets_what_the_server_decides() {
    let body = json!({
        "metadata": { "name": "x", "creationTimestamp": null, "uid": "mine", "generation": 9, "labels": {},
                      "managedFields": [{}], "deletionTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "replicas": 2 }, "status": { "replicas": 5 },
    });
    let expected = json!({
        "apiVersion": "v1", "kind": "ReplicationController",
        "metadata": { "name": "x", "namespace": "ns", "uid": "fresh", "generation": 1,
                      "creationTimestamp": "2026-01-02T03:04:05Z" },
        "spec": { "replicas": 2 },
        // What Go writes of a status that was never set.
        "status": { "replicas": 0 },
    });
    assert_eq!(created(body), Ok(expected));
}

#[test]
fn create_completes_generated_names() {
    let long = "a".repeat(70);
    let name = |body| created(body).map(|new| new["metadata"]["name"].clone());
    assert_eq!(name(json!({ "metadata": { "generateName": "web-" } })), Ok(json!("web-abcde")));
    let cut = name(json!({ "metadata": { "generateName": long } })).expect("accepted");
    assert_eq!(cut.as_str().map(str::len), Some(63));
    check(
        created(json!({ "metadata": {} })),
        422,
        "ReplicationController \"\" is invalid: metadata.name: Required value: name or generateName is required",
    );
}

#[test]
fn create_refuses_what_does_not_belong_to_the_path() {
    let elsewhere = json!({ "metadata": { "name": "x", "namespace": "other" } });
    check(
        created(elsewhere),
        400,
        "the namespace of the provided object does not match the namespace sent on the request",
    );
    check(
        created(json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "x" } })),
        400,
        "Pod in version \"v1\" cannot be handled as a ReplicationController: converting (v1.Pod) to (core.ReplicationController): unknown conversion",
    );
    check(
        created(
            json!({ "apiVersion": "apps/v1", "kind": "ReplicationController", "metadata": { "name": "x" } }),
        ),
        400,
        "the API version in the data (apps/v1) does not match the expected API version (v1)",
    );
    check(
        created(json!({ "metadata": { "name": "x", "resourceVersion": "3" } })),
        500,
        "resourceVersion should not be set on objects to be created",
    );
    assert_eq!(created(json!([])).map_err(|status| status.code), Err(400));
}

#[test]
fn metadata_is_told_what_is_wrong_field_by_field() {
    let body = json!({ "metadata": {
        "name": "Bad_Name",
        "labels": { "a b": "ok", "k": "-bad" },
        "annotations": { "Big/Key": "x".repeat(1 << 18) },
        "finalizers": ["short"],
        "ownerReferences": [
            { "apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "1", "controller": true },
            { "apiVersion": "v1", "kind": "Pod", "name": "b", "uid": "", "controller": true },
        ],
    } });
    let status = created(body).expect_err("refused");
    let causes: Vec<(String, String)> = status
        .details
        .expect("details")
        .causes
        .into_iter()
        .map(|cause| (cause.field, cause.message.chars().take(60).collect()))
        .collect();
    let fields: Vec<&str> = causes.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "metadata.name",
            "metadata.labels",
            "metadata.labels",
            "metadata.annotations",
            "metadata.ownerReferences.uid",
            "metadata.ownerReferences",
            "metadata.finalizers[0]",
        ],
        "{causes:#?}"
    );
    assert_eq!(causes[3].1, "Too long: may not be more than 262144 bytes");
}

#[test]
fn update_keeps_what_the_server_decides_and_counts_changes() {
    let body = json!({ "metadata": { "name": "x", "labels": { "a": "b" } }, "spec": { "replicas": 2 }, "status": {} });
    let new = put(updated(body));
    let mut expected = stored();
    expected["metadata"] = json!({
        "name": "x", "namespace": "ns", "uid": "u1", "generation": 4, "labels": { "a": "b" },
        "creationTimestamp": "2026-01-01T00:00:00Z",
    });
    expected["spec"]["replicas"] = 2.into();
    assert_eq!(new, expected);
}

#[test]
fn update_that_changes_nothing_is_no_write() {
    assert_eq!(updated(stored()), Ok(Write::Unchanged));
    assert_eq!(
        updated(with(stored(), |new| new["metadata"]["labels"] = json!({}))),
        Ok(Write::Unchanged)
    );
}

#[test]
fn update_holds_its_preconditions() {
    check(
        updated(with(stored(), |new| new["metadata"]["resourceVersion"] = "6".into())),
        409,
        "Operation cannot be fulfilled on replicationcontrollers \"x\": the object has been modified; please apply your changes to the latest version and try again",
    );
    let uid =
        updated(with(stored(), |new| new["metadata"]["uid"] = "u2".into())).expect_err("refused");
    assert_eq!(uid.code, 409);
    assert!(
        uid.message
            .ends_with("Precondition failed: UID in precondition: u2, UID in object meta: u1"),
        "{uid}"
    );
    let strict = Strategy { unconditional_update: false, ..PLAIN };
    check(
        updated_with(&strict, Target::Main, json!({ "metadata": { "name": "x" } }), &stored()),
        422,
        "replicationcontrollers \"x\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update",
    );
    check(
        updated(json!({ "metadata": { "name": "y" } })),
        400,
        "the name of the object (y) does not match the name on the URL (x)",
    );
    check(
        updated(json!({ "metadata": {} })),
        400,
        "the name of the object (x based on URL) was undeterminable: name must be provided",
    );
    check(
        updated(json!({ "metadata": { "name": "x", "namespace": "other" } })),
        400,
        "the namespace of the object (other) does not match the namespace on the request (ns)",
    );
}

#[test]
fn status_update_touches_status_alone() {
    let body = with(stored(), |new| {
        new["spec"]["replicas"] = 9.into();
        new["status"]["replicas"] = 4.into();
    });
    let new = put(updated_with(&PLAIN, Target::Status, body, &stored()));
    assert_eq!((&new["spec"]["replicas"], &new["status"]["replicas"]), (&json!(1), &json!(4)));
    assert_eq!(new["metadata"]["generation"], 3);
}

#[test]
fn scale_is_read_and_written() {
    let scalable = Strategy { scale: Some(Scale::AUTOSCALING), ..PLAIN };
    let mut old = stored();
    old["spec"]["selector"] = json!({ "b": "2", "a": "1" });
    let scale = scale_of(&Scale::AUTOSCALING, &old);
    assert_eq!(scale["spec"], json!({ "replicas": 1 }));
    assert_eq!(scale["status"], json!({ "replicas": 1, "selector": "a=1,b=2" }));
    let change = |replicas: i64| {
        let body = json!({ "metadata": { "name": "x" }, "spec": { "replicas": replicas } });
        updated_with(&scalable, Target::Scale, body, &old)
    };
    let new = put(change(5));
    assert_eq!((&new["spec"]["replicas"], &new["metadata"]["generation"]), (&json!(5), &json!(4)));
    check(
        change(-1),
        422,
        "Scale.autoscaling \"x\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0",
    );
    assert_eq!(
        updated_with(&PLAIN, Target::Scale, json!({}), &old).map_err(|status| status.code),
        Err(404)
    );
}

#[test]
fn finalizers_keep_a_deleted_object_until_the_last_is_gone() {
    let held = with(stored(), |new| new["metadata"]["finalizers"] = json!(["a.b/c"]));
    let ctx = context(&PLAIN, "x");
    let Ok(Deletion::Mark(marked)) = delete(&ctx, &DeleteOptions::default(), &held, 7) else {
        panic!("not marked")
    };
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-02T03:04:05Z");
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(marked["metadata"]["generation"], 4);
    assert_eq!(delete(&ctx, &DeleteOptions::default(), &marked, 8), Ok(Deletion::AlreadyMarked));
    let more =
        with(marked.clone(), |new| new["metadata"]["finalizers"] = json!(["a.b/c", "d.e/f"]));
    check(
        updated_with(&PLAIN, Target::Main, more, &marked),
        422,
        "ReplicationController \"x\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"d.e/f\"}",
    );
    let free = with(marked.clone(), |new| new["metadata"]["finalizers"] = json!([]));
    assert_eq!(updated_with(&PLAIN, Target::Main, free, &marked), Ok(Write::Remove));
}

#[test]
fn propagation_is_written_into_finalizers() {
    let ctx = context(&PLAIN, "x");
    let finalizers = |propagation, old: &Value| {
        let options = DeleteOptions { propagation, ..DeleteOptions::default() };
        match delete(&ctx, &options, old, 7).expect("accepted") {
            Deletion::Mark(new) => new["metadata"]["finalizers"].clone(),
            other => json!(format!("{other:?}")),
        }
    };
    assert_eq!(finalizers(Propagation::Foreground, &stored()), json!(["foregroundDeletion"]));
    assert_eq!(finalizers(Propagation::Orphan, &stored()), json!(["orphan"]));
    assert_eq!(finalizers(Propagation::Background, &stored()), json!("Remove"));
    assert_eq!(finalizers(Propagation::Unset, &stored()), json!("Remove"));
    let waiting = with(stored(), |new| {
        new["metadata"]["finalizers"] = json!(["foregroundDeletion", "a.b/c"]);
    });
    assert_eq!(finalizers(Propagation::Unset, &waiting), json!(["foregroundDeletion", "a.b/c"]));
    assert_eq!(finalizers(Propagation::Background, &waiting), json!(["a.b/c"]));
}

#[test]
fn grace_is_given_shortened_and_never_prolonged() {
    let graceful = Strategy { grace: |_, asked| Some(asked.unwrap_or(30)), ..PLAIN };
    let ctx = context(&graceful, "x");
    let ask = |seconds: Option<i64>, old: &Value| {
        let options = DeleteOptions { grace_period_seconds: seconds, ..DeleteOptions::default() };
        delete(&ctx, &options, old, 7).expect("accepted")
    };
    let Deletion::Mark(marked) = ask(None, &stored()) else { panic!("not marked") };
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-02T03:04:35Z");
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(ask(None, &marked), Deletion::AlreadyMarked);
    assert_eq!(ask(Some(60), &marked), Deletion::AlreadyMarked);
    let Deletion::Mark(sooner) = ask(Some(5), &marked) else { panic!("not marked") };
    assert_eq!(sooner["metadata"]["deletionTimestamp"], "2026-01-02T03:04:10Z");
    assert_eq!(ask(Some(0), &marked), Deletion::Remove);
    assert_eq!(ask(Some(0), &stored()), Deletion::Remove);
}

#[test]
fn delete_holds_its_preconditions() {
    let ctx = context(&PLAIN, "x");
    let options = DeleteOptions { uid: Some("u2".to_owned()), ..DeleteOptions::default() };
    check(
        delete(&ctx, &options, &stored(), 7),
        409,
        "Operation cannot be fulfilled on ReplicationController \"x\": the UID in the precondition (u2) does not match the UID in record (u1). The object might have been deleted and then recreated",
    );
    let options =
        DeleteOptions { resource_version: Some("6".to_owned()), ..DeleteOptions::default() };
    check(
        delete(&ctx, &options, &stored(), 7),
        409,
        "Operation cannot be fulfilled on ReplicationController \"x\": the ResourceVersion in the precondition (6) does not match the ResourceVersion in record (7). The object might have been modified",
    );
}

#[test]
fn delete_options_come_from_bodies_and_queries() {
    let body = json!({
        "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "propagationPolicy": "Orphan",
        "preconditions": { "uid": "u", "resourceVersion": "3" }, "dryRun": ["All"],
    });
    let expected = DeleteOptions {
        grace_period_seconds: Some(0),
        uid: Some("u".to_owned()),
        resource_version: Some("3".to_owned()),
        propagation: Propagation::Orphan,
        dry_run: true,
        ignore_read_error: false,
    };
    assert_eq!(DeleteOptions::from_json(&body), Ok(expected));
    let unsafe_one = json!({ "ignoreStoreReadErrorWithClusterBreakingPotential": true });
    assert!(DeleteOptions::from_json(&unsafe_one).unwrap().ignore_read_error);
    check(
        DeleteOptions::from_query([
            ("ignoreStoreReadErrorWithClusterBreakingPotential", "true"),
            ("gracePeriodSeconds", "0"),
        ]),
        422,
        "DeleteOptions.meta.k8s.io \"\" is invalid: ignoreStoreReadErrorWithClusterBreakingPotential: Invalid value: true: cannot be set together with .gracePeriodSeconds",
    );
    let query = [("gracePeriodSeconds", "5"), ("orphanDependents", "False"), ("pretty", "true")];
    let expected = DeleteOptions {
        grace_period_seconds: Some(5),
        propagation: Propagation::Background,
        ..DeleteOptions::default()
    };
    assert_eq!(DeleteOptions::from_query(query), Ok(expected));
    check(
        DeleteOptions::from_json(&json!({ "propagationPolicy": "Sideways" })),
        422,
        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Sideways\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
    );
    assert_eq!(
        DeleteOptions::from_query([("gracePeriodSeconds", "x")]).map_err(|status| status.code),
        Err(400)
    );
}

#[test]
fn a_kind_that_refuses_numbers_is_not_stored() {
    let strict = Strategy {
        allocate: |_, _, _, alloc| match alloc.node_port(Some(1)) {
            Ok(_) => Vec::new(),
            Err(why) => vec![FieldError::invalid(&Path::new("spec"), 1, &why)],
        },
        ..PLAIN
    };
    let body = json!({ "metadata": { "name": "x" } });
    check(
        create(&context(&strict, ""), TESTER, body, &mut NoNumbers),
        422,
        "ReplicationController \"x\" is invalid: spec: Invalid value: 1: none",
    );
}

#[test]
fn a_patch_changes_no_field_that_is_the_servers() {
    let patch = |old: &Value, change: fn(&mut Value)| {
        let new = with(old.clone(), |new| change(&mut new["metadata"]));
        patched(&context(&PLAIN, "x"), Target::Main, TESTER, new, (old, 7), &mut NoNumbers)
    };
    let refused = |old: &Value, change: fn(&mut Value)| {
        let status = patch(old, change).expect_err("refused");
        assert_eq!(status.code, 422);
        let causes = status.details.expect("details").causes;
        causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect::<Vec<_>>()
    };
    let old = stored();
    assert_eq!(
        refused(&old, |metadata| metadata["uid"] = "u2".into()),
        ["metadata.uid: Invalid value: \"u2\": field is immutable"]
    );
    assert_eq!(
        refused(&old, |metadata| {
            metadata["deletionTimestamp"] = "2026-01-02T05:04:05+02:00".into();
            metadata["deletionGracePeriodSeconds"] = 5.into();
        }),
        [
            "metadata.deletionGracePeriodSeconds: Invalid value: 5: field is immutable",
            "metadata.deletionTimestamp: Invalid value: \"2026-01-02T03:04:05Z\": field is immutable",
        ]
    );
    // What is left out stays, and these are not asked.
    for change in [
        (|metadata: &mut Value| metadata["uid"] = Value::Null) as fn(&mut Value),
        |metadata| metadata["uid"] = "".into(),
        |metadata| metadata["creationTimestamp"] = "2020-01-01T00:00:00Z".into(),
        |metadata| metadata["generation"] = 9.into(),
    ] {
        assert_eq!(patch(&old, change), Ok(Write::Unchanged));
    }
    let going = with(stored(), |old| {
        old["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z".into();
        old["metadata"]["deletionGracePeriodSeconds"] = 30.into();
        old["metadata"]["finalizers"] = json!(["a.test/b"]);
    });
    let later = |metadata: &mut Value| {
        metadata["deletionTimestamp"] = "2030-01-02T03:04:05Z".into();
        metadata["deletionGracePeriodSeconds"] = Value::Null;
    };
    assert_eq!(patch(&going, later), Ok(Write::Unchanged));
}
