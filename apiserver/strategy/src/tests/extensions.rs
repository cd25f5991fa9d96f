//! CustomResourceDefinitions, and objects of the kinds that they define.

use leme_kinds::{Cell, custom};

use super::*;

pub(super) fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "crontabs.stable.example.com" },
        "spec": {
            "group": "stable.example.com", "scope": "Namespaced",
            "names": { "plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"] },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                    "spec": { "type": "object", "required": ["cronSpec"], "properties": {
                        "cronSpec": { "type": "string", "pattern": "^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$" },
                        "image": { "type": "string", "default": "busybox" },
                        "replicas": { "type": "integer", "minimum": 1, "maximum": 10, "default": 1 },
                        "hint": { "type": "string", "nullable": true },
                    } },
                    "status": { "type": "object", "properties": {
                        "replicas": { "type": "integer" }, "labelSelector": { "type": "string" },
                    } },
                } } },
                "subresources": { "status": {}, "scale": {
                    "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                    "labelSelectorPath": ".status.labelSelector",
                } },
                "additionalPrinterColumns": [
                    { "name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec" },
                    { "name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1 },
                    { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
                ],
                "selectableFields": [{ "jsonPath": ".spec.image" }],
            }],
        },
    })
}

/// The definition with its first version changed.
fn versioned(changes: &[(&str, Value)]) -> Value {
    let mut definition = definition();
    let version = definition["spec"]["versions"][0].take();
    definition["spec"]["versions"][0] = with(version, changes);
    definition
}

fn established() -> Value {
    let mut stored = created(definition());
    let now = "2026-01-02T03:04:05Z";
    stored["status"] = leme_kinds::naming::accepted(&stored, [], [], None, now).expect("changed");
    stored
}

fn crontab() -> Value {
    json!({
        "apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": { "name": "x" },
        "spec": { "cronSpec": "* * * * */5" },
    })
}

/// A write path for objects of a definition.
struct Path {
    kind: Kind,
}

impl Path {
    fn of(definition: &Value) -> Path {
        Path { kind: custom::kinds(definition).remove(0) }
    }

    fn create(&self, body: Value) -> Result<Value, Status> {
        leme_registry::create(&context(&self.kind, ""), TESTER, body, &mut Numbers::default())
            .map(unowned)
    }

    fn write(&self, target: Target, old: &Value, body: Value) -> Result<Write, Status> {
        let mut body = body;
        body["metadata"]["resourceVersion"] = "7".into();
        let ctx = context(&self.kind, "x");
        leme_registry::update(&ctx, target, TESTER, body, (old, 7), &mut Numbers::default())
    }

    #[track_caller]
    fn put(&self, target: Target, old: &Value, body: Value) -> Value {
        match self.write(target, old, body) {
            Ok(Write::Put(new)) => new,
            other => panic!("not a put: {other:?}"),
        }
    }
}

#[test]
fn definitions_get_defaults_and_no_status() {
    let stored = created(with(definition(), &[("status", json!({ "storedVersions": ["v9"] }))]));
    assert_eq!(stored["spec"]["names"]["singular"], "crontab");
    assert_eq!(stored["spec"]["names"]["listKind"], "CronTabList");
    assert_eq!(stored["spec"]["conversion"], json!({ "strategy": "None" }));
    assert_eq!(stored["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(stored["metadata"]["generation"], 1);
}

#[test]
fn what_a_schema_holds_that_is_none_is_not_decoded() {
    let of = |property: Value| {
        let mut definition = definition();
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["x"] =
            property;
        create(definition)
    };
    for (property, why) in [
        (
            json!({ "type": "array", "items": { "type": 1 } }),
            "json: cannot unmarshal number into Go struct field JSONSchemaProps.type of type string",
        ),
        (
            json!({ "type": "object", "additionalProperties": "x" }),
            "boolean or JSON schema expected",
        ),
    ] {
        let status = of(property).expect_err("refused");
        let kind = "CustomResourceDefinition";
        let want = format!("{kind} in version \"v1\" cannot be handled as a {kind}: {why}");
        assert_eq!((status.code, status.message), (400, want));
    }
    assert!(of(json!({ "type": "object", "additionalProperties": { "type": "string" } })).is_ok());
}

#[test]
fn what_is_wrong_with_a_definition() {
    for (changed, errors) in [
        (
            with(definition(), &[("metadata.name", json!("x.stable.example.com"))]),
            &[
                "metadata.name: Invalid value: \"x.stable.example.com\": must be spec.names.plural+\".\"+spec.group",
            ][..],
        ),
        (
            with(
                definition(),
                &[("spec.group", json!("stable")), ("metadata.name", json!("crontabs.stable"))],
            ),
            &["spec.group: Invalid value: \"stable\": should be a domain with at least one dot"],
        ),
        (
            with(definition(), &[("spec.scope", json!("World"))]),
            &[
                "spec.scope: Unsupported value: \"World\": supported values: \"Cluster\", \"Namespaced\"",
            ],
        ),
        (
            with(definition(), &[("spec.names.listKind", json!("CronTab"))]),
            &[
                "spec.names.listKind: Invalid value: \"CronTab\": kind and listKind may not be the same",
            ],
        ),
        (
            with(definition(), &[("spec.preserveUnknownFields", json!(true))]),
            &[
                "spec.preserveUnknownFields: Invalid value: true: must be false in order to use defaults in the schema",
                "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
            ],
        ),
        (
            with(definition(), &[("spec.conversion", json!({ "strategy": "Webhook" }))]),
            &[
                "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
                "spec.conversion.conversionReviewVersions: Required value",
            ],
        ),
        (
            with(
                definition(),
                &[("spec.group", json!("x.k8s.io")), ("metadata.name", json!("crontabs.x.k8s.io"))],
            ),
            &[
                "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
            ],
        ),
        (
            versioned(&[("schema", json!({}))]),
            &[
                "spec.versions[0].schema.openAPIV3Schema: Required value",
                "spec.selectableFields: Invalid value: \"\": may only be set when validations.schema is included",
            ],
        ),
        (
            versioned(&[("storage", json!(false))]),
            &[
                "spec.versions: Invalid value: [{\"Name\":\"v1\",\"Served\":true,\"Storage\":false,\"Deprecated\":false,\"DeprecationWarning\":null,\"Schema\":null,\"Subresources\":null,\"AdditionalPrinterColumns\":null,\"SelectableFields\":null}]: must have exactly one version marked as storage version",
                "status.storedVersions: Invalid value: null: must have at least one stored version",
            ],
        ),
        (
            versioned(&[("deprecationWarning", json!("x"))]),
            &[
                "spec.versions[0].deprecationWarning: Invalid value: \"x\": can only be set for deprecated versions",
            ],
        ),
        (
            versioned(&[("subresources.scale.specReplicasPath", json!(".status.x"))]),
            &[
                "spec.subresources.scale.specReplicasPath: Invalid value: \".status.x\": should be a json path under .spec",
            ],
        ),
        (
            versioned(&[("subresources.scale.labelSelectorPath", json!("x"))]),
            &[
                "spec.subresources.scale.labelSelectorPath: Invalid value: \"x\": must be a simple json path starting with .",
            ],
        ),
        (
            versioned(&[(
                "additionalPrinterColumns",
                json!([{ "name": "a", "type": "text", "jsonPath": "x", "format": "y" }]),
            )]),
            &[
                "spec.additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of boolean,date,integer,number,string",
                "spec.additionalPrinterColumns[0].format: Invalid value: \"y\": must be one of byte,date,date-time,double,float,int32,int64,password",
                "spec.additionalPrinterColumns[0].JSONPath: Invalid value: \"x\": must be a simple json path starting with .",
            ],
        ),
        (
            versioned(&[(
                "selectableFields",
                json!([{ "jsonPath": ".spec" }, { "jsonPath": ".spec.x" }, { "jsonPath": ".a[0]" }, {}]),
            )]),
            &[
                "spec.selectableFields[0].jsonPath: Invalid value: \".spec\": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
                "spec.selectableFields[1].jsonPath: Invalid value: \".spec.x\": is an invalid path: does not refer to a valid field",
                "spec.selectableFields[2].jsonPath: Invalid value: \".a[0]\": is an invalid path: array notation is not allowed",
                "spec.selectableFields[3].jsonPath: Required value",
            ],
        ),
        (
            versioned(&[
                ("schema.openAPIV3Schema.properties.spec", json!({ "properties": {} })),
                ("selectableFields", json!([])),
            ]),
            &[
                "spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields",
            ],
        ),
    ] {
        check(create(changed), errors);
    }
}

#[test]
fn versions_are_told_apart() {
    let mut two = definition();
    let mut second = two["spec"]["versions"][0].clone();
    second["name"] = "v2".into();
    second["storage"] = false.into();
    second["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["image"] = json!({});
    two["spec"]["versions"].as_array_mut().expect("list").push(second);
    check(
        create(two.clone()),
        &[
            "spec.versions[1].schema.openAPIV3Schema.properties[spec].properties[image].type: Required value: must not be empty for specified object fields",
            "spec.selectableFields: Invalid value: \"\": may only be set when validations.schema is included",
        ],
    );
    two["spec"]["versions"][1]["schema"] = two["spec"]["versions"][0]["schema"].clone();
    created(two.clone());
    let webhook = json!({ "strategy": "Webhook", "webhook": {
        "clientConfig": { "service": { "name": "s", "namespace": "n" } }, "conversionReviewVersions": ["v1"],
    } });
    created(with(definition(), &[("spec.conversion", webhook.clone())]));
    // One version is served, and it stays the one that objects are kept in.
    let called = created(with(two, &[("spec.conversion", webhook)]));
    assert_eq!(
        (crate::of(row(&called)).warn)(&called, None),
        ["conversion webhooks are not called by this cluster yet: not served: v2"]
    );
    let mut kept = called;
    kept["status"]["storedVersions"] = json!(["v1"]);
    let other = |new: &mut Value| {
        new["spec"]["versions"][0]["storage"] = false.into();
        new["spec"]["versions"][1]["storage"] = true.into();
    };
    check(
        update(Target::Main, &kept, other),
        &[
            "spec.conversion.strategy: Invalid value: \"Webhook\": conversion webhooks are not called by this cluster yet, and there may be objects in version \"v1\"",
        ],
    );
}

#[test]
fn a_definition_keeps_what_objects_hang_on() {
    let stored = established();
    check(
        update(Target::Main, &stored, |new| new["spec"]["scope"] = "Cluster".into()),
        &["spec.scope: Invalid value: \"Cluster\": field is immutable"],
    );
    check(
        update(Target::Main, &stored, |new| new["spec"]["versions"][0]["name"] = "v2".into()),
        &[
            "status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from status.storedVersions",
        ],
    );
    let free = created(definition());
    check(
        update(Target::Main, &free, |new| new["spec"]["group"] = "other.example.com".into()),
        &["spec.group: Invalid value: \"other.example.com\": field is immutable"],
    );
    let new = updated(&stored, |new| new["spec"]["names"]["categories"] = json!(["all"]));
    assert_eq!(new["metadata"]["generation"], 2);
    check(
        update(Target::Status, &stored, |new| {
            new["status"]["acceptedNames"]["plural"] = "A".into()
        }),
        &[
            "status.acceptedNames.plural: Invalid value: \"A\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ],
    );
}

#[test]
fn a_deleted_definition_waits_for_its_objects() {
    let Deletion::Mark(marked) = delete(&established(), None) else { panic!("not marked") };
    assert_eq!(
        marked["metadata"]["finalizers"],
        json!(["customresourcecleanup.apiextensions.k8s.io"])
    );
    let last =
        marked["status"]["conditions"].as_array().and_then(|list| list.last()).expect("condition");
    assert_eq!(last["reason"], "InstanceDeletionPending");
    assert_eq!(last["lastTransitionTime"], "2026-01-02T03:04:05Z");
    assert_eq!(delete(&marked, None), Deletion::AlreadyMarked);
    let done = update(Target::Status, &marked, |new| {
        new["metadata"].as_object_mut().expect("map").remove("finalizers");
    });
    assert_eq!(done, Ok(Write::Remove));
}

#[test]
fn definitions_are_warned_of() {
    let warn = |definition: &Value, old| (crate::of(row(definition)).warn)(definition, old);
    let odd = versioned(&[(
        "schema.openAPIV3Schema.properties.spec.properties.image",
        json!({ "type": "string", "format": "image" }),
    )]);
    assert_eq!(warn(&odd, None), ["unrecognized format \"image\""]);
    assert!(warn(&odd, Some(&odd)).is_empty());
    assert!(warn(&definition(), None).is_empty());
}

#[test]
fn objects_are_completed_and_checked() {
    let path = Path::of(&established());
    let mut body = crontab();
    body["spec"]["hint"] = json!(null);
    body["spec"]["image"] = json!(null);
    body["spec"]["other"] = json!(1);
    body["status"] = json!({ "replicas": 5 });
    let stored = path.create(body).expect("accepted");
    assert_eq!(
        stored["spec"],
        json!({ "cronSpec": "* * * * */5", "hint": null, "image": "busybox", "replicas": 1 })
    );
    assert_eq!(stored.get("status"), None);
    assert_eq!(stored["metadata"]["generation"], 1);
    check(
        path.create(with(crontab(), &[("spec", json!({ "replicas": 11 }))])),
        &[
            "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10",
            "spec.cronSpec: Required value",
        ],
    );
    check(
        path.create(with(crontab(), &[("kind", json!("CronTable"))])),
        &["kind: Invalid value: \"CronTable\": must be CronTab"],
    );
    let mistyped = path.create(with(crontab(), &[("metadata.labels", json!({ "a": 1 }))]));
    assert_eq!(mistyped.map_err(|status| status.code), Err(400));
}

#[test]
fn status_and_scale_are_kept_apart() {
    let path = Path::of(&established());
    let stored = path.create(crontab()).expect("accepted");
    let new = path.put(
        Target::Status,
        &stored,
        with(
            stored.clone(),
            &[
                ("status", json!({ "replicas": 2 })),
                ("spec", json!({ "cronSpec": "bad" })),
                ("metadata.labels", json!({ "a": "b" })),
            ],
        ),
    );
    assert_eq!((&new["spec"], &new["metadata"]), (&stored["spec"], &stored["metadata"]));
    assert_eq!(new["status"], json!({ "replicas": 2 }));
    check(
        path.write(
            Target::Status,
            &stored,
            with(stored.clone(), &[("status", json!({ "replicas": "x" }))]),
        ),
        &[
            "status.replicas: Invalid value: \"string\": replicas in body must be of type integer: \"string\"",
            ".status.replicas: Invalid value: 0: .status.replicas accessor error: x is of the type string, expected int64",
        ],
    );
    let main = path.put(
        Target::Main,
        &new,
        with(new.clone(), &[("spec.image", json!("i")), ("status", json!({ "replicas": 9 }))]),
    );
    assert_eq!(
        (&main["status"], &main["metadata"]["generation"]),
        (&json!({ "replicas": 2 }), &json!(2))
    );

    let scale = crate::of(&path.kind).scale.expect("scalable");
    let shown = leme_registry::scale_shown(&path.kind, &scale, &new).expect("shown");
    assert_eq!(
        (&shown["spec"], &shown["status"]),
        (&json!({ "replicas": 1 }), &json!({ "replicas": 2 }))
    );
    let scaled = path.put(
        Target::Scale,
        &new,
        json!({ "metadata": { "name": "x" }, "spec": { "replicas": 3 } }),
    );
    assert_eq!(scaled["spec"]["replicas"], 3);
    check(
        path.write(
            Target::Scale,
            &new,
            json!({ "metadata": { "name": "x" }, "spec": { "replicas": -3 } }),
        ),
        &[
            "spec.replicas: Invalid value: -3: spec.replicas in body should be greater than or equal to 1",
            ".spec.replicas: Invalid value: -3: should be a non-negative integer",
        ],
    );
}

#[test]
fn without_subresources_status_is_like_the_rest() {
    let mut plain = established();
    plain["spec"]["versions"][0].as_object_mut().expect("map").remove("subresources");
    let path = Path::of(&plain);
    assert_eq!(path.kind.subresources.len(), 0);
    let stored =
        path.create(with(crontab(), &[("status", json!({ "replicas": 1 }))])).expect("accepted");
    assert_eq!(stored["status"], json!({ "replicas": 1 }));
    let new = path.put(
        Target::Main,
        &stored,
        with(stored.clone(), &[("status", json!({ "replicas": 2 }))]),
    );
    assert_eq!(new["metadata"]["generation"], 2);
}

#[test]
fn finalizers_of_objects_are_warned_of_and_taken() {
    let path = Path::of(&established());
    let body = with(crontab(), &[("metadata.finalizers", json!(["a.b/c", "mine", "a.b"]))]);
    let stored = path.create(body).expect("accepted");
    let end = "to avoid accidental conflicts with other finalizer writers";
    assert_eq!(
        (crate::of(&path.kind).warn)(&stored, None),
        [
            format!(
                "metadata.finalizers: \"a.b\": prefer a domain-qualified finalizer name including a path (/) {end}"
            ),
            format!(
                "metadata.finalizers: \"mine\": prefer a domain-qualified finalizer name {end}"
            ),
        ]
    );
}

#[test]
fn objects_inside_objects_say_what_they_are() {
    let inner = json!({ "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true });
    let mut with_inner = established();
    with_inner["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["inner"] = inner;
    let path = Path::of(&with_inner);
    check(
        path.create(with(
            crontab(),
            &[("inner", json!({ "kind": "P%", "metadata": { "labels": { "a b": "c" } } }))],
        )),
        &[
            "inner.apiVersion: Required value",
            "inner.kind: Invalid value: \"P%\": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
            "inner.metadata.labels: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ],
    );
    let fine = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "odd": 1 }, "spec": { "x": 1 } });
    let mut body = with(crontab(), &[("inner", fine)]);
    let custom = path.kind.custom.as_ref().expect("custom");
    assert_eq!(
        custom.shape(&mut body),
        Ok(vec!["unknown field \"inner.metadata.odd\"".to_owned()])
    );
    path.create(body).expect("accepted");
}

#[test]
fn columns_lead_where_the_definition_says() {
    let path = Path::of(&established());
    let stored = path.create(crontab()).expect("accepted");
    let now = "2026-01-02T03:09:05Z".parse().expect("time");
    let cells: Vec<Value> =
        path.kind.table_columns().map(|column| column.cell(&stored, now)).collect();
    assert_eq!(cells, [json!("x"), json!("* * * * */5"), json!(1), json!("5m")]);
    assert!(path.kind.columns.iter().all(|column| matches!(column.cell, Cell::JsonPath(_))));
    assert_eq!(path.kind.selectable[0].path, "spec.image");
    assert_eq!(path.kind.selectable[0].read(&stored), "busybox");
}

#[test]
fn who_owns_what_of_a_defined_kind_is_its_schemas_to_say() {
    let version = versioned(&[(
        "schema.openAPIV3Schema.properties.spec.properties.ports",
        json!({
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": { "type": "object", "required": ["name"], "properties": {
                "name": { "type": "string" }, "port": { "type": "integer" },
            } },
        }),
    )]);
    let mut stored = created(version);
    stored["status"] = leme_kinds::naming::accepted(&stored, [], [], None, "2026-01-02T03:04:05Z")
        .expect("changed");
    let kind = Path::of(&stored).kind;
    let ctx = context(&kind, "x");
    let apply = |target, manager, live: Option<&Value>, spec: Value| {
        let mut config = crontab();
        config["spec"] = spec;
        let numbers = &mut Numbers::default();
        let merged = leme_registry::apply(&ctx, target, &config, live, (manager, false))?;
        match live {
            None => leme_registry::create(&ctx, Writer::Applied, merged, numbers),
            Some(live) => {
                leme_registry::patched(&ctx, target, Writer::Applied, merged, (live, 7), numbers)
                    .map(|write| match write {
                        Write::Put(new) => new,
                        other => panic!("not a put: {other:?}"),
                    })
            }
        }
    };
    let port = |name: &str, port: u64| json!({ "name": name, "port": port });
    let cron = "* * * * */5";
    let spec = json!({ "cronSpec": cron, "ports": [port("a", 1)] });
    let mut live = apply(Target::Main, "one", None, spec).expect("created");
    live["metadata"]["resourceVersion"] = "7".into();
    let fields = live["metadata"]["managedFields"][0]["fieldsV1"].as_str().expect("text");
    assert_eq!(
        serde_json::from_str::<Value>(fields).expect("a document"),
        json!({ "f:spec": { "f:cronSpec": {}, "f:ports": {
            "k:{\"name\":\"a\"}": { ".": {}, "f:name": {}, "f:port": {} },
        } } })
    );
    assert_eq!(live["spec"]["image"], "busybox");
    let both = apply(Target::Main, "two", Some(&live), json!({ "ports": [port("b", 2)] }));
    let mut both = both.expect("merged");
    both["metadata"]["resourceVersion"] = "7".into();
    assert_eq!(both["spec"]["ports"], json!([port("a", 1), port("b", 2)]));
    let taken = apply(Target::Main, "two", Some(&both), json!({ "ports": [port("a", 3)] }));
    assert_eq!(
        taken.map_err(|status| status.message),
        Err("Apply failed with 1 conflict: conflict with \"one\": .spec.ports[name=\"a\"].port"
            .to_owned())
    );
    let unknown = apply(Target::Main, "two", Some(&both), json!({ "port": 1 }));
    assert_eq!(
        unknown.map_err(|status| status.message),
        Err("failed to create typed patch object (/x; stable.example.com/v1, Kind=CronTab): .spec.port: field not declared in schema".to_owned())
    );
}
