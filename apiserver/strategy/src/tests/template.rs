//! Templates and their processing.

use super::*;

const API: &str = "template.openshift.io/v1";

pub(super) fn samples() -> Vec<Value> {
    let metadata = json!({ "name": "x" });
    vec![
        with(redis(), &[("metadata", metadata.clone())]),
        with(instance(json!({ "secret": { "name": "s" } })), &[("metadata", metadata.clone())]),
        with(broker(), &[("metadata", metadata)]),
    ]
}

/// Real-world shape: a database of the sample templates.
fn redis() -> Value {
    json!({
        "apiVersion": API, "kind": "Template",
        "metadata": { "name": "redis-ephemeral", "annotations": { "description": "Redis", "tags": "database,redis" } },
        "message": "Password: ${REDIS_PASSWORD} of ${MISSING}",
        "labels": { "template": "${NAME}-template", "app.openshift.io/runtime": "redis" },
        "objects": [
            { "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "${NAME}", "namespace": "fixed" },
              "stringData": { "database-password": "${REDIS_PASSWORD}" } },
            { "apiVersion": "v1", "kind": "DeploymentConfig",
              "metadata": { "name": "${NAME}", "namespace": "${NAME}-ns", "labels": { "own": "1", "template": "x" } },
              "spec": { "replicas": "${{REPLICAS}}", "${NAME}-key": ["a-${NAME}-${NAME}", "${{NAME}}", "b${{NAME}}"],
                  "paused": "${{PAUSED}}", "gone": "${{NOTHING}}" } },
        ],
        "parameters": [
            { "name": "NAME", "value": "redis", "required": true },
            { "name": "REDIS_PASSWORD", "generate": "expression", "from": "[a-zA-Z0-9]{16}", "required": true },
            { "name": "REPLICAS", "value": "3" },
            { "name": "PAUSED", "value": "true" },
            { "name": "NOTHING", "value": "null" },
        ],
    })
}

fn process(template: &Value) -> Result<Value, Vec<String>> {
    crate::process_template(template, &mut |_| 0)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn a_template_is_kept_as_it_is() {
    let new = created(redis());
    assert_eq!(
        (&new["objects"], &new["parameters"]),
        (&redis()["objects"], &redis()["parameters"])
    );
    check(
        create(with(redis(), &[("parameters", json!([{ "name": "A-B" }, {}]))])),
        &[
            "parameters[0].name: Invalid value: \"A-B\": does not match ^[a-zA-Z0-9\\_]+$",
            "parameters[1].name: Required value",
        ],
    );
}

#[test]
fn values_are_filled_in_everywhere() {
    let done = process(&redis()).expect("processed");
    let password = "a".repeat(16);
    let labels = json!({ "template": "redis-template", "app.openshift.io/runtime": "redis" });
    assert_eq!(done["parameters"][1]["value"], password.as_str());
    assert_eq!(done["message"], format!("Password: {password} of ${{MISSING}}"));
    assert_eq!(done["labels"], labels);
    assert_eq!(
        done["objects"],
        json!([
            { "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "redis", "labels": labels },
              "stringData": { "database-password": password } },
            { "apiVersion": "apps.openshift.io/v1", "kind": "DeploymentConfig",
              "metadata": { "name": "redis", "namespace": "redis-ns",
                  "labels": { "own": "1", "template": "redis-template", "app.openshift.io/runtime": "redis" } },
              "spec": { "replicas": 3, "redis-key": ["a-redis-redis", "redis", "b${{NAME}}"], "paused": true } },
        ])
    );
}

#[test]
fn what_cannot_be_processed_is_told() {
    let template = |parameters: Value| with(redis(), &[("parameters", parameters)]);
    for (template, errors) in [
        (
            template(
                json!([{ "name": "A", "required": true }, { "name": "B", "generate": "dice" },
                { "name": "C", "generate": "expression", "from": "[abc]{2}", "required": true }]),
            ),
            &[
                "template.parameters[0]: Required value: template.parameters[0]: parameter A is required and must be specified",
                "template.parameters[1]: Invalid value: \"dice\": Unknown generator name 'dice' for parameter B",
                "template.parameters[2]: Invalid value: {\"name\":\"C\",\"generate\":\"expression\",\"from\":\"[abc]{2}\",\"required\":true}: malformed expresion syntax: [abc]",
            ][..],
        ),
        (template(json!([{ "name": "" }])), &["parameters[0].name: Required value"]),
        (
            with(redis(), &[("objects", json!([{ "a": 1 }]))]),
            &[
                "item[0].objects: Invalid value: {\"a\":1}: unable to handle object: Object 'Kind' is missing in '{\"a\":1}'",
            ],
        ),
        (
            with(
                redis(),
                &[
                    ("objects", json!([{ "kind": "List", "items": [] }])),
                    ("labels", json!({ "a": "b" })),
                ],
            ),
            &[
                "item[0].labels: Invalid value: {\"a\":\"b\"}: label could not be applied: object does not implement the Object interfaces",
            ],
        ),
    ] {
        assert_eq!(
            process(&template),
            Err(errors.iter().map(|error| (*error).to_owned()).collect())
        );
    }
}

// Red when the places are filled without counting: this would be 20 GB.
#[test]
fn a_long_value_in_many_places_is_refused() {
    let places: Vec<&str> = vec!["${A}"; 20_000];
    let template = with(
        redis(),
        &[
            ("labels", json!({})),
            ("message", json!("")),
            ("objects", json!([{ "kind": "X", "data": places }])),
            ("parameters", json!([{ "name": "A", "value": "x".repeat(1 << 20) }])),
        ],
    );
    assert_eq!(
        process(&template),
        Err(vec!["item[0].parameters: Too long: may not be more than 16777216 bytes".to_owned()])
    );
}

#[test]
fn nothing_in_a_template_trips_the_processing() {
    for objects in [json!(null), json!([null, 1, "x", []]), json!([{ "kind": "A", "metadata": 1 }])]
    {
        let _ = process(&with(redis(), &[("objects", objects)]));
    }
    for labels in [json!(null), json!("x"), json!({ "a": 1 })] {
        let _ = process(&with(redis(), &[("labels", labels)]));
    }
    for parameters in [json!({}), json!([null, 1]), json!([{ "name": 1 }])] {
        let _ = process(&with(redis(), &[("parameters", parameters)]));
    }
}

fn instance(fields: Value) -> Value {
    let mut spec = json!({ "template": redis() });
    spec.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    json!({ "apiVersion": API, "kind": "TemplateInstance", "metadata": { "name": "i" }, "spec": spec })
}

#[test]
fn instances_are_checked_and_stay_as_they_are() {
    let old = created(instance(json!({ "requester": { "username": "u" } })));
    assert_eq!(old["status"], json!({}));
    let asker = json!({ "username": "jo", "uid": "7", "groups": ["dev"] });
    assert_eq!(old["spec"]["requester"], asker);
    check(
        update(Target::Main, &old, |new| new["spec"]["requester"]["username"] = "v".into()),
        &["spec: Forbidden: field is immutable"],
    );
    check(
        create(instance(json!({
            "template": { "metadata": { "name": "A" }, "parameters": [{}] },
            "secret": {},
        }))),
        &[
            "spec.template.metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            "spec.template.parameters[0].name: Required value",
            "spec.secret.name: Required value",
        ],
    );
}

fn broker() -> Value {
    json!({ "apiVersion": API, "kind": "BrokerTemplateInstance", "metadata": { "name": "b" }, "spec": {
        "templateInstance": { "kind": "TemplateInstance", "name": "i", "namespace": "n" },
        "secret": { "kind": "Secret", "name": "s", "namespace": "n" },
        "bindingIDs": ["0a1b2c3d-0000-4000-8000-00000000000F"],
    } })
}

#[test]
fn records_of_a_broker_are_checked() {
    created(broker());
    check(
        create(with(
            broker(),
            &[("spec", json!({ "secret": { "kind": "Pod", "name": "s" }, "bindingIDs": ["x"] }))],
        )),
        &[
            "spec.templateInstance.kind: Required value",
            "spec.templateInstance.name: Required value",
            "spec.templateInstance.namespace: Required value",
            "spec.secret.kind: Invalid value: \"Pod\": must be Secret",
            "spec.secret.namespace: Required value",
            "spec.bindingIDs: Invalid value: \"x\": is not a valid UUID",
        ],
    );
}
