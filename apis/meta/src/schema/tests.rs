//! Tests of the field table, and the small table that the tests of patches share.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::patch::tests::document;

/// A table with every sort of field.
pub(crate) const TABLE: &str = "\
# a comment
prefix c io.k8s.api.core.v1.
type c:Pod
 kind string
 spec c:PodSpec ={}
 status c:PodStatus ={}
type c:PodStatus
 startTime time
type c:PodSpec
 containers! []c:Container list=map:name patch=merge key=name
 volumes []c:Volume list=map:name patch=merge,retainKeys key=name
 finalizers []string list=set patch=merge
 args []string list=atomic
 selector {}string atomic
 strategy c:Strategy patch=retainKeys
 affinity c:Strategy patch=replace
 replicas int32 =1
 at micro-time
 limits {}quantity
 extra raw
type c:Strategy
 type string
 rollingUpdate c:Rolling
type c:Rolling
 maxSurge int-or-string
type c:Volume
 name! string
 emptyDir c:Rolling
 hostPath c:Rolling
type c:Container
 name! string =\"\"
 image string
 ports []c:Port list=map:containerPort,protocol patch=merge key=containerPort
 data bytes
 tty bool
type c:Port atomic
 containerPort! int32
 name string
 protocol string =\"TCP\"
";

pub(crate) const POD: &str = "io.k8s.api.core.v1.Pod";

pub(crate) fn schemas() -> Schemas {
    Schemas::parse(TABLE).expect("the table of the tests")
}

#[test]
fn the_table_is_read() {
    let schemas = schemas();
    let spec = schemas.get("io.k8s.api.core.v1.PodSpec").expect("a type");
    let volumes = spec.field("volumes").expect("a field");
    assert_eq!(volumes.list_type, Some(ListType::Map));
    assert_eq!(volumes.map_keys, ["name"]);
    assert_eq!(volumes.merge_key.as_deref(), Some("name"));
    assert!(volumes.patch.merge && volumes.patch.retain_keys);
    let element = volumes.type_.element_ref().map(|name| &**name);
    assert_eq!(element, Some("io.k8s.api.core.v1.Volume"));
    assert!(spec.field("containers").expect("a field").required);
    assert!(schemas.get("io.k8s.api.core.v1.Port").expect("a type").atomic);
    assert!(spec.field("nothing").is_none());
    for (bad, want) in [
        (" a string", "line 1: a field of no type"),
        ("type c:A", "line 1: no prefix c"),
        ("prefix c x.\ntype c:A\n a c:B", "x.A.a: no type x.B"),
        ("prefix c x.\ntype c:A\n a string =}", "line 3: }: expected value at line 1 column 1"),
        ("prefix c x.\ntype c:A\ntype c:A", "x.A is defined twice"),
        ("what", "line 1: neither a prefix nor a type: what"),
    ] {
        assert_eq!(Schemas::parse(bad).err().as_deref(), Some(want), "{bad}");
    }
}

#[test]
fn unknown_fields_and_wrong_types_are_found() {
    let document = json!({
        "kind": null,
        "foo": 1,
        "spec": {
            "bar": {"deep": 1},
            "containers": [{"name": "a"}, {"name": 1, "baz": 2, "ports": [{"containerPort": "x"}]}],
            "args": "no list",
            "selector": {"a": 5},
            "limits": {"cpu": "1x"},
            "replicas": 1.5,
            "extra": {"anything": [null]},
            "strategy": {"rollingUpdate": {"maxSurge": true}},
        },
        "status": {"startTime": "yesterday"},
    });
    let findings = check(&schemas(), POD, &document);
    assert_eq!(
        findings.unknown,
        [
            r#"unknown field "foo""#,
            r#"unknown field "spec.bar""#,
            r#"unknown field "spec.containers[1].baz""#,
        ]
    );
    let decoded = |findings: &Findings| -> Vec<String> {
        findings.type_errors.iter().map(|error| error.decoded.clone()).collect()
    };
    let converted: Vec<&str> =
        findings.type_errors.iter().map(|error| error.converted.as_str()).collect();
    assert_eq!(
        converted[..3],
        [
            "cannot restore slice from string",
            "cannot convert int64 to string",
            "unrecognized type: int32"
        ]
    );
    assert_eq!(converted[4], "cannot convert float64 to int32");
    assert_eq!(
        decoded(&findings),
        [
            "json: cannot unmarshal string into Go struct field PodSpec.spec.args of type []string",
            "json: cannot unmarshal number into Go struct field Container.spec.containers.name of \
             type string",
            "json: cannot unmarshal string into Go struct field \
             Port.spec.containers.ports.containerPort of type int32",
            "quantities must match the regular expression \
             '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.replicas of type \
             int32",
            "json: cannot unmarshal number into Go struct field PodSpec.spec.selector of type \
             string",
            "json: cannot unmarshal bool into Go value of type int32",
            "parsing time \"yesterday\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \
             \"yesterday\" as \"2006\"",
        ]
    );
    let wrong_root = check(&schemas(), POD, &json!([]));
    assert_eq!(decoded(&wrong_root), ["json: cannot unmarshal array into Go value of type v1.Pod"]);
}

#[test]
fn base64_is_checked() {
    let error = |data: &str| {
        let document = json!({"spec": {"containers": [{"data": data}]}});
        check(&schemas(), POD, &document).type_errors.pop().map(|error| error.decoded)
    };
    for good in ["", "YQ==", "YWI=", "YWJj", "YW\nJj"] {
        assert_eq!(error(good), None, "{good}");
    }
    for (bad, at) in [("a", 0), ("YQ=", 3), ("YQ", 0), ("=", 0), ("YW*j", 2), ("YQ==a", 4)] {
        assert_eq!(error(bad), Some(format!("illegal base64 data at input byte {at}")), "{bad}");
    }
}

// Red when prune leaves bytes as they came: line breaks were stored.
#[test]
fn bytes_are_written_as_go_writes_them() {
    for (given, want) in [
        (json!("AAEC\nAwQF\r\nBg==\n"), "AAECAwQFBg=="),
        (json!("YR=="), "YQ=="),
        (json!("YWJ="), "YWI="),
        (json!(""), ""),
        (json!([]), ""),
        (json!([0]), "AA=="),
        (json!([1, 255]), "Af8="),
        (json!([104, 105, 33]), "aGkh"),
    ] {
        let mut document = json!({"spec": {"containers": [{"data": given}]}});
        assert_eq!(check(&schemas(), POD, &document).type_errors, []);
        prune(&schemas(), POD, &mut document);
        assert_eq!(document["spec"]["containers"][0]["data"], want, "{given}");
    }
    for bad in [json!([256]), json!([-1]), json!(["a"]), json!([0.5])] {
        let document = json!({"spec": {"containers": [{"data": bad}]}});
        assert_eq!(check(&schemas(), POD, &document).type_errors.len(), 1, "{bad}");
    }
}

#[test]
fn documents_are_pruned_as_a_typed_decode_would() {
    let mut document = json!({
        "foo": 1,
        "spec": {
            "bar": 1,
            "containers": [{"name": "a", "image": null, "x": 1}, null],
            "selector": {"a": null, "b": "c"},
            "args": [null, "b"],
            "limits": {"cpu": 0.5, "memory": "1024Mi", "x": null},
            "at": "2026-01-01T00:00:00Z",
            "extra": {"keep": null},
        },
        "status": {"startTime": "2026-01-01T01:00:00.5+01:00"},
    });
    prune(&schemas(), POD, &mut document);
    let want = json!({
        "spec": {
            "containers": [{"name": "a"}, {}],
            "selector": {"a": "", "b": "c"},
            "args": ["", "b"],
            "limits": {"cpu": "500m", "memory": "1Gi", "x": "0"},
            "at": "2026-01-01T00:00:00.000000Z",
            "extra": {"keep": null},
        },
        "status": {"startTime": "2026-01-01T00:00:00Z"},
    });
    assert_eq!(document, want);
    prune(&schemas(), POD, &mut document);
    assert_eq!(document, want);
}

#[test]
fn defaults_are_filled_in() {
    let mut document =
        json!({"spec": {"containers": [{"ports": [{"containerPort": 1}, {"protocol": "UDP"}]}]}});
    apply_defaults(&schemas(), POD, &mut document);
    let want = json!({
        "spec": {
            "replicas": 1,
            "containers": [{
                "name": "",
                "ports": [{"containerPort": 1, "protocol": "TCP"}, {"protocol": "UDP"}],
            }],
        },
        "status": {},
    });
    assert_eq!(document, want);
    apply_defaults(&schemas(), POD, &mut document);
    assert_eq!(document, want);
}

/// One of a few scalars, some of which are not as they would be written.
fn scalar() -> impl Strategy<Value = Value> {
    let some = [
        json!(null),
        json!(""),
        json!("a"),
        json!(0),
        json!(1),
        json!(false),
        json!({}),
        json!([]),
        json!("1Gi"),
        json!("1024Mi"),
        json!("YWI="),
        json!("YWJ="),
        json!("YW\nJj"),
        json!("2026-01-01T00:00:00Z"),
        json!("2026-01-01T01:00:00+01:00"),
        json!("2026-01-01T00:00:00.000001Z"),
    ];
    prop::sample::select(some.to_vec())
}

proptest! {
    // Red when any of the things that pruning changes is not told.
    #[test]
    fn what_is_not_loose_is_as_it_is_pruned(
        values in prop::collection::vec((
            prop::sample::select(vec![
                "/spec/at", "/spec/limits/cpu", "/spec/selector/a", "/spec/extra", "/spec/args/0",
                "/spec/replicas", "/spec/containers/0/name", "/spec/containers/0/image",
                "/spec/containers/0/data", "/spec/containers/0/ports/0", "/status/startTime",
                "/status", "/spec/containers/0/none", "/metadata",
            ]),
            scalar(),
        ), 0..3),
    ) {
        let mut value = json!({
            "metadata": {}, "spec": {
                "at": "2026-01-01T00:00:00.000000Z", "limits": {"cpu": "1"}, "selector": {"a": "b"},
                "extra": {}, "args": ["a"], "replicas": 1,
                "containers": [{"name": "a", "image": "b", "data": "YQ==", "ports": [{"containerPort": 1}]}],
            },
            "status": {"startTime": "2026-01-01T00:00:00Z"},
        });
        for (at, scalar) in values {
            match (value.pointer_mut(at), at) {
                (Some(there), _) => *there = scalar,
                (None, "/spec/containers/0/none") => value["spec"]["containers"][0]["none"] = scalar,
                (None, _) => {}
            }
        }
        let found = check(&schemas(), POD, &value);
        let mut pruned = value.clone();
        prune(&schemas(), POD, &mut pruned);
        prop_assert!(found.loose || pruned == value, "{value} {pruned}");
    }

    #[test]
    fn what_is_pruned_and_completed_stays_so(spec in document(), inner in document()) {
        let mut value = json!({
            "spec": {"containers": [inner.clone(), spec.clone()], "limits": inner, "args": spec},
        });
        let _ = check(&schemas(), POD, &value);
        prune(&schemas(), POD, &mut value);
        let pruned = value.clone();
        apply_defaults(&schemas(), POD, &mut value);
        prop_assert_eq!(check(&schemas(), POD, &value).unknown, Vec::<String>::new());
        let mut again = value.clone();
        let found = check(&schemas(), POD, &pruned);
        prop_assert!(!found.loose || !found.type_errors.is_empty());
        prune(&schemas(), POD, &mut again);
        apply_defaults(&schemas(), POD, &mut again);
        prop_assert_eq!(again, value);
    }
}
