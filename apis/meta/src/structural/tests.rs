//! Schemas taken and refused, and objects held against them.

use serde_json::json;

use super::*;

fn shown(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn refused(schema: Value, errors: &[&str]) {
    let found = Structural::parse(&schema, &Path::new("s")).expect_err("refused");
    assert_eq!(shown(&found), errors);
}

#[track_caller]
fn parsed(schema: Value) -> Structural {
    Structural::parse(&schema, &Path::new("s"))
        .unwrap_or_else(|errors| panic!("{:?}", shown(&errors)))
}

/// The schema of an object whose spec is this.
fn with_spec(spec: Value) -> Value {
    json!({ "type": "object", "properties": { "spec": spec } })
}

#[track_caller]
fn checked(spec: Value, value: Value, errors: &[&str]) {
    let schema = parsed(with_spec(spec));
    let found = validate(&schema, &json!({ "spec": value }), None, &Path::default());
    assert_eq!(shown(&found), errors);
}

#[test]
fn every_part_has_a_type() {
    refused(json!({}), &["s.type: Required value: must not be empty at the root"]);
    refused(
        json!({ "type": "string" }),
        &["s.type: Invalid value: \"string\": must be object at the root"],
    );
    refused(
        with_spec(
            json!({ "properties": { "a": { "type": "array", "items": {} }, "b": { "type": "array" } } }),
        ),
        &[
            "s.properties[spec].properties[a].items.type: Required value: must not be empty for specified array items",
            "s.properties[spec].properties[b].items: Required value: must be specified",
            "s.properties[spec].type: Required value: must not be empty for specified object fields",
        ],
    );
    refused(
        json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        &["s.additionalProperties: Forbidden: must not be used at the root"],
    );
}

#[test]
fn values_are_checked_where_there_is_structure() {
    refused(
        json!({ "type": "object", "properties": { "a": { "type": "string" } }, "anyOf": [
            { "properties": { "a": { "type": "string", "nullable": true }, "b": { "minLength": 1 } } },
        ] }),
        &[
            "s.anyOf[0].properties[a].nullable: Forbidden: must be false to be structural",
            "s.anyOf[0].properties[a].type: Forbidden: must be empty to be structural",
            "s.properties[b]: Required value: because it is defined in s.anyOf[0].properties[b]",
        ],
    );
}

#[test]
fn metadata_is_known_and_extensions_exclude_each_other() {
    refused(
        json!({ "type": "object", "properties": { "metadata": { "type": "object", "description": "x" }, "kind": { "type": "integer" } } }),
        &[
            "s.properties[kind].type: Invalid value: \"integer\": must be string",
            "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
        ],
    );
    refused(
        with_spec(
            json!({ "x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true }),
        ),
        &[
            "s.properties[spec].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true",
        ],
    );
    refused(
        with_spec(json!({ "x-kubernetes-embedded-resource": true, "type": "object" })),
        &[
            "s.properties[spec].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ],
    );
    parsed(
        json!({ "type": "object", "properties": { "metadata": { "type": "object", "properties": { "name": { "type": "string", "maxLength": 10 } } } } }),
    );
    parsed(with_spec(
        json!({ "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] }),
    ));
}

#[test]
fn words_that_no_schema_may_say() {
    let at = "s.properties[spec]";
    for (spec, error) in [
        (json!({ "type": "object", "$ref": "x" }), "$ref: Forbidden: $ref is not supported"),
        (
            json!({ "type": "object", "definitions": { "a": {} } }),
            "definitions: Forbidden: definitions is not supported",
        ),
        (
            json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true }),
            "uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            json!({ "type": "object", "properties": { "a": { "type": "string" } }, "additionalProperties": false }),
            "additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            json!({ "type": "text" }),
            "type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
        ),
        (
            json!({ "type": "object", "x-kubernetes-map-type": "x" }),
            "x-kubernetes-map-type: Unsupported value: \"x\": supported values: \"atomic\", \"granular\"",
        ),
        (
            json!({ "type": "object", "x-kubernetes-list-type": "set" }),
            "type: Invalid value: \"object\": must be array if x-kubernetes-list-type is specified",
        ),
        (
            json!({ "type": "array", "items": { "type": "string" }, "x-kubernetes-list-map-keys": ["a"] }),
            "x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty",
        ),
        (
            json!({ "type": "array", "items": { "type": "object" }, "x-kubernetes-list-type": "set" }),
            "items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
        ),
        (
            json!({ "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"], "items": { "type": "object", "properties": { "a": { "type": "string" } } } }),
            "items.properties[a].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
        (
            json!({ "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["b"], "items": { "type": "object" } }),
            "x-kubernetes-list-map-keys: Invalid value: [\"b\"]: entries must all be names of item properties",
        ),
        (
            json!({ "type": "string", "x-kubernetes-validations": [{ "rule": " " }] }),
            "x-kubernetes-validations[0].rule: Required value: rule is not specified",
        ),
        (
            json!({ "type": "integer", "default": "x" }),
            "default: Invalid value: \"string\": s.properties[spec].default in body must be of type integer: \"string\"",
        ),
        (
            json!({ "type": "object", "default": { "a": 1 } }),
            "default: Invalid value: {\"a\":1}: must not have unknown fields",
        ),
    ] {
        let found = Structural::parse(&with_spec(spec), &Path::new("s")).expect_err("refused");
        assert_eq!(
            shown(&found)[0].replace("s.properties[spec].default in", " in").trim(),
            format!("{at}.{error}").replace("s.properties[spec].default in", " in")
        );
        assert_eq!(found.len(), 1, "{found:?}");
    }
    refused(
        json!({ "type": "object", "properties": { "metadata": { "type": "object", "default": {} } } }),
        &["s.properties[metadata].default: Forbidden: must not be set in top-level metadata"],
    );
    let place = Place { status: true };
    let found = check(&json!({ "type": "object", "oneOf": [{}] }), &Path::new("s"), &place);
    assert!(shown(&found)[0].starts_with(
        "s: Invalid value: {\"oneOf\":[{}],\"type\":\"object\"}: only [Description Type Format"
    ));
}

#[test]
fn values_are_told_what_is_wrong() {
    for (spec, value, errors) in [
        (
            json!({ "type": "integer" }),
            json!("x"),
            &["spec: Invalid value: \"string\": spec in body must be of type integer: \"string\""]
                [..],
        ),
        (
            json!({ "type": "integer" }),
            json!(null),
            &["spec: Invalid value: \"null\": spec in body must be of type integer: \"null\""],
        ),
        (json!({ "type": "integer", "nullable": true }), json!(null), &[]),
        (json!({ "type": "integer" }), json!(1.0), &[]),
        (
            json!({ "type": "integer" }),
            json!(1.5),
            &[
                "spec: Invalid value: \"number\": spec in body must be of type integer: \"number\"",
                "<nil>: Invalid value: \"\": Checked value must be of type integer (default format) in spec",
            ],
        ),
        (json!({ "type": "number" }), json!(1), &[]),
        (
            json!({ "type": "integer", "minimum": 1 }),
            json!(0),
            &["spec: Invalid value: 0: spec in body should be greater than or equal to 1"],
        ),
        (
            json!({ "type": "integer", "maximum": 5, "exclusiveMaximum": true }),
            json!(5),
            &["spec: Invalid value: 5: spec in body should be less than 5"],
        ),
        (
            json!({ "type": "number", "maximum": 1.5 }),
            json!(2.5),
            &["spec: Invalid value: 2.5: spec in body should be less than or equal to 1.5"],
        ),
        (
            json!({ "type": "integer", "multipleOf": 3 }),
            json!(4),
            &["spec: Invalid value: 4: spec in body should be a multiple of 3"],
        ),
        (json!({ "type": "number", "multipleOf": 0.1 }), json!(0.3), &[]),
        (
            json!({ "type": "integer", "format": "int32" }),
            json!(1i64 << 40),
            &[
                "<nil>: Invalid value: \"\": Checked value must be of type integer with format int32 in spec",
            ],
        ),
        (
            json!({ "type": "string", "enum": ["a", "b"] }),
            json!("c"),
            &["spec: Unsupported value: \"c\": supported values: \"a\", \"b\""],
        ),
        (
            json!({ "type": "string", "maxLength": 2 }),
            json!("abc"),
            &["spec: Too long: may not be more than 2 bytes"],
        ),
        (
            json!({ "type": "string", "minLength": 2 }),
            json!("é"),
            &["spec: Invalid value: \"é\": spec in body should be at least 2 chars long"],
        ),
        (
            json!({ "type": "string", "pattern": "^a+$" }),
            json!("b"),
            &["spec: Invalid value: \"b\": spec in body should match '^a+$'"],
        ),
        (
            json!({ "type": "string", "format": "uuid" }),
            json!("b"),
            &["spec: Invalid value: \"b\": spec in body must be of type uuid: \"b\""],
        ),
        (json!({ "type": "string", "format": "wish" }), json!("b"), &[]),
        (
            json!({ "type": "array", "items": { "type": "string" }, "maxItems": 1 }),
            json!(["a", "b"]),
            &["spec: Too many: 2: must have at most 1 item"],
        ),
        (
            json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
            json!([]),
            &["spec: Invalid value: 0: spec in body should have at least 1 items"],
        ),
        (
            json!({ "type": "array", "items": { "type": "string" } }),
            json!([1]),
            &[
                "spec[0]: Invalid value: \"integer\": spec[0] in body must be of type string: \"integer\"",
            ],
        ),
        (
            json!({ "type": "object", "maxProperties": 1, "additionalProperties": { "type": "string" } }),
            json!({ "a": "b", "c": 1 }),
            &[
                "spec: Too many: 2: must have at most 1 item",
                "spec.c: Invalid value: \"integer\": spec.c in body must be of type string: \"integer\"",
            ],
        ),
        (json!({ "type": "object", "required": ["a"] }), json!({}), &["spec.a: Required value"]),
        (
            json!({ "x-kubernetes-int-or-string": true }),
            json!(true),
            &[
                "spec: Invalid value: \"boolean\": spec in body must be of type integer,string: \"boolean\"",
            ],
        ),
    ] {
        checked(spec, value, errors);
    }
}

#[test]
fn alternatives_are_told_by_the_closest() {
    let spec = json!({ "type": "object", "properties": { "a": { "type": "string" }, "b": { "type": "string" } },
        "oneOf": [{ "required": ["a"] }, { "required": ["b"] }] });
    checked(spec.clone(), json!({ "a": "x" }), &[]);
    checked(
        spec.clone(),
        json!({}),
        &[
            "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found none valid",
            "spec.a: Required value",
        ],
    );
    checked(
        spec,
        json!({ "a": "x", "b": "x" }),
        &[
            "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ],
    );
    checked(
        json!({ "type": "string", "allOf": [{ "minLength": 2 }, { "maxLength": 3 }] }),
        json!("a"),
        &[
            "spec: Invalid value: \"a\": spec in body should be at least 2 chars long",
            "<nil>: Invalid value: \"\": \"spec\" must validate all the schemas (allOf)",
        ],
    );
    checked(
        json!({ "type": "string", "not": { "enum": ["a"] } }),
        json!("a"),
        &["<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)"],
    );
    checked(
        json!({ "type": "integer", "anyOf": [{ "minimum": 5 }, { "maximum": 1 }] }),
        json!(3),
        &[
            "<nil>: Invalid value: \"\": \"spec\" must validate at least one schema (anyOf)",
            "spec: Invalid value: 3: spec in body should be greater than or equal to 5",
        ],
    );
}

#[test]
fn what_was_there_before_may_stay() {
    let schema = parsed(with_spec(json!({ "type": "object", "properties": {
        "a": { "type": "string", "maxLength": 1 },
        "l": { "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
            "type": "object", "required": ["k"], "properties": { "k": { "type": "string" }, "v": { "type": "integer", "maximum": 1 } } } },
        "n": { "type": "integer" },
    } })));
    let old = json!({ "spec": { "a": "long", "l": [{ "k": "x", "v": 5 }], "n": 1 } });
    let after = |new: Value| {
        let old = Old { value: &old, schema: &schema };
        shown(&validate(&schema, &new, Some(old), &Path::default()))
    };
    assert_eq!(
        after(
            json!({ "spec": { "a": "long", "l": [{ "k": "y", "v": 1 }, { "k": "x", "v": 5 }], "n": 2 } })
        ),
        [""; 0]
    );
    assert_eq!(
        after(json!({ "spec": { "a": "longer", "l": [{ "k": "z", "v": 5 }], "n": 2 } })),
        [
            "spec.a: Too long: may not be more than 1 byte",
            "spec.l[0].v: Invalid value: 5: spec.l[0].v in body should be less than or equal to 1",
        ]
    );
}

#[test]
fn unknown_fields_are_dropped_and_named() {
    let schema = parsed(with_spec(json!({ "type": "object", "properties": {
        "known": { "type": "object", "properties": { "a": { "type": "string" } } },
        "open": { "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": { "p": { "type": "object" } } },
        "map": { "type": "object", "additionalProperties": { "type": "object" } },
        "list": { "type": "array", "items": { "type": "object", "properties": { "a": { "type": "string" } } } },
        "inner": { "type": "object", "x-kubernetes-embedded-resource": true, "properties": { "spec": { "type": "object" } } },
        "null": { "type": "string" }, "nullable": { "type": "string", "nullable": true },
    } })));
    let mut object = json!({
        "apiVersion": "a/v1", "kind": "K", "metadata": { "name": "x" }, "more": 1,
        "spec": {
            "known": { "a": "x", "b": 1 }, "open": { "q": { "r": 1 }, "p": { "s": 1 } },
            "map": { "k": { "v": 1 } }, "list": [{ "a": "b", "c": 1 }], "null": null, "nullable": null,
            "inner": { "apiVersion": "v1", "kind": "Pod", "metadata": { "x": 1 }, "spec": { "y": 1 }, "z": 1 },
        },
    });
    assert_eq!(
        prune(&schema, &mut object),
        [
            "more",
            "spec.inner.spec.y",
            "spec.inner.z",
            "spec.known.b",
            "spec.list[0].c",
            "spec.map.k.v",
            "spec.open.p.s"
        ]
    );
    assert_eq!(
        object,
        json!({
            "apiVersion": "a/v1", "kind": "K", "metadata": { "name": "x" },
            "spec": {
                "known": { "a": "x" }, "open": { "q": { "r": 1 }, "p": {} }, "map": { "k": {} },
                "list": [{ "a": "b" }], "nullable": null,
                "inner": { "apiVersion": "v1", "kind": "Pod", "metadata": { "x": 1 }, "spec": {} },
            },
        })
    );
}

#[test]
fn defaults_are_filled_in() {
    let schema = parsed(with_spec(json!({ "type": "object", "default": {}, "properties": {
        "a": { "type": "string", "default": "x" },
        "b": { "type": "string", "default": "x", "nullable": true },
        "l": { "type": "array", "items": { "type": "object", "properties": { "p": { "type": "integer", "default": 1 } } } },
    } })));
    let completed = |mut object: Value| {
        schema.complete(&mut object);
        object
    };
    assert_eq!(completed(json!({})), json!({ "spec": { "a": "x", "b": "x" } }));
    assert_eq!(
        completed(json!({ "spec": { "a": null, "b": null, "l": [{}] } })),
        json!({ "spec": { "a": "x", "b": null, "l": [{ "p": 1 }] } })
    );
}

#[test]
fn elements_are_there_once() {
    let schema = parsed(with_spec(json!({ "type": "object", "properties": {
        "set": { "type": "array", "x-kubernetes-list-type": "set", "items": { "type": "string" } },
        "map": { "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": { "type": "object", "required": ["k"], "properties": { "k": { "type": "string" } } } },
    } })));
    let object = json!({ "spec": { "set": ["a", "b", "a", "a"], "map": [{ "k": "x" }, { "k": "x", "v": 1 }] } });
    assert_eq!(
        shown(&unique(&schema, &object, &Path::default())),
        ["spec.map[1]: Duplicate value: {\"k\":\"x\"}", "spec.set[2]: Duplicate value: \"a\""]
    );
}

#[test]
fn hostile_schemas_end() {
    let branches: Vec<Value> = (0..5000).map(|i| json!({ "minimum": i, "maximum": i })).collect();
    let schema = parsed(with_spec(
        json!({ "type": "array", "items": { "type": "integer", "anyOf": branches } }),
    ));
    let object = json!({ "spec": vec![-1; 2_000] });
    let found = validate(&schema, &object, None, &Path::default());
    assert!(found.iter().any(|error| error.body.contains("takes too long")));
    for value in [
        json!(null),
        json!([]),
        json!("x"),
        json!({ "type": 5, "properties": [], "items": 3, "anyOf": {} }),
    ] {
        let _ = Structural::parse(&value, &Path::default());
        let _ = Structural::read(&value);
    }
}

/// Whatever stands where something else is expected, there is an answer.
#[test]
fn a_wrong_word_anywhere_is_an_answer() {
    let sample = with_spec(json!({
        "type": "object", "required": ["a"], "x-kubernetes-validations": [{ "rule": "true" }],
        "anyOf": [{ "required": ["a"] }, { "properties": { "a": { "minLength": 1 } } }],
        "properties": {
            "a": { "type": "string", "enum": ["x"], "pattern": "^x$", "format": "hostname", "default": "x" },
            "n": { "type": "integer", "minimum": 1, "multipleOf": 2, "nullable": true },
            "l": { "type": "array", "maxItems": 2, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": { "type": "object", "required": ["k"], "properties": { "k": { "type": "string" } } } },
            "m": { "type": "object", "additionalProperties": { "x-kubernetes-int-or-string": true } },
            "e": { "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true },
        },
    }));
    parsed(sample.clone());
    let object = json!({ "spec": {
        "a": "x", "n": 2, "l": [{ "k": "a" }, { "k": "b" }], "m": { "x": 1 },
        "e": { "apiVersion": "v1", "kind": "Pod", "metadata": {} },
    } });
    let wrong = [
        json!(null),
        json!(-5.5),
        json!("x"),
        json!([null, { "a": 1 }]),
        json!({ "a": [] }),
        json!(false),
    ];
    let pointers = |value: &Value| {
        let mut found = vec![String::new()];
        let mut at = 0;
        while let Some(base) = found.get(at).cloned() {
            at += 1;
            match value.pointer(&base) {
                Some(Value::Object(map)) => {
                    found.extend(map.keys().map(|key| format!("{base}/{key}")))
                }
                Some(Value::Array(list)) => {
                    found.extend((0..list.len()).map(|index| format!("{base}/{index}")))
                }
                _ => {}
            }
        }
        found
    };
    let walk = |schema: &Value, object: &Value| {
        let _ = check(schema, &Path::new("s"), &Place { status: true });
        let structural = Structural::read(schema);
        let mut object = object.clone();
        let _ = prune(&structural, &mut object);
        structural.complete(&mut object);
        let old = Old { value: &object, schema: &structural };
        let _ = validate(&structural, &object, Some(old), &Path::default());
        let _ = validate(&structural, &object, None, &Path::default());
        let _ = unique(&structural, &object, &Path::default());
        structural.embedded_in(&Path::default(), &mut object, &mut |path, inner| {
            drop(type_meta(path, inner))
        });
    };
    for value in &wrong {
        for pointer in pointers(&sample) {
            let mut schema = sample.clone();
            *schema.pointer_mut(&pointer).expect("found") = value.clone();
            walk(&schema, &object);
        }
        for pointer in pointers(&object) {
            let mut object = object.clone();
            *object.pointer_mut(&pointer).expect("found") = value.clone();
            walk(&sample, &object);
        }
    }
}

#[test]
fn go_shows_numbers_so() {
    for (number, shown) in [
        (1.0, "1"),
        (1.5, "1.5"),
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (1e-5, "1e-05"),
        (0.0001, "0.0001"),
        (0.0, "0"),
    ] {
        assert_eq!(float(number, -5), shown);
    }
}
