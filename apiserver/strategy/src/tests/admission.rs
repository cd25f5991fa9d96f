//! Webhooks, admission policies, API services.

use super::*;

const API: &str = "admissionregistration.k8s.io/v1";

pub(super) fn samples() -> Vec<Value> {
    let named = |object: Value| with(object, &[("metadata.name", json!("x"))]);
    vec![
        named(hooks("MutatingWebhookConfiguration", json!([hook()]))),
        named(hooks("ValidatingWebhookConfiguration", json!([hook()]))),
        named(policy(json!({}))),
        named(binding(json!({}))),
        service(),
    ]
}

/// Real-world shape: the webhook of a certificate manager.
fn hook() -> Value {
    json!({
        "name": "webhook.cert-manager.io",
        "namespaceSelector": { "matchExpressions": [
            { "key": "cert-manager.io/disable-validation", "operator": "NotIn", "values": ["true"] }] },
        "rules": [{ "apiGroups": ["cert-manager.io"], "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE"], "resources": ["*/*"] }],
        "admissionReviewVersions": ["v1"],
        "matchPolicy": "Equivalent", "timeoutSeconds": 30, "failurePolicy": "Fail",
        "sideEffects": "None",
        "matchConditions": [{ "name": "not-leases", "expression": "request.resource.resource != 'leases'" }],
        "clientConfig": { "service": { "name": "cert-manager-webhook", "namespace": "cert-manager", "path": "/validate" } },
    })
}

fn hooks(kind: &str, hooks: Value) -> Value {
    json!({ "apiVersion": API, "kind": kind, "metadata": { "name": "h" }, "webhooks": hooks })
}

fn with_fields(mut object: Value, fields: Value) -> Value {
    object.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    object
}

/// What a validating webhook with these fields changed is told.
fn changed(fields: Value) -> Result<Value, Status> {
    create(hooks("ValidatingWebhookConfiguration", json!([with_fields(hook(), fields)])))
}

#[test]
fn webhooks_are_completed() {
    let bare = json!({ "name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["pods"] }],
        "clientConfig": { "service": { "name": "s", "namespace": "n" } } });
    let new = created(hooks("MutatingWebhookConfiguration", json!([bare.clone()])));
    assert_eq!(
        new["webhooks"][0],
        with_fields(
            bare.clone(),
            json!({ "failurePolicy": "Fail", "matchPolicy": "Equivalent", "namespaceSelector": {},
                "objectSelector": {}, "timeoutSeconds": 10, "reinvocationPolicy": "Never",
                "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"],
                    "resources": ["pods"], "scope": "*" }],
                "clientConfig": { "service": { "name": "s", "namespace": "n", "port": 443 } } }),
        )
    );
    let new = created(hooks("ValidatingWebhookConfiguration", json!([bare])));
    assert_eq!(new["webhooks"][0].get("reinvocationPolicy"), None);
    assert_eq!(new["metadata"]["generation"], 1);
    let next = updated(&new, |new| new["webhooks"][0]["timeoutSeconds"] = 3.into());
    assert_eq!(next["metadata"]["generation"], 2);
    let same = updated(&new, |new| new["metadata"]["labels"] = json!({ "a": "b" }));
    assert_eq!(same["metadata"]["generation"], 1);
}

#[test]
fn webhooks_are_checked() {
    assert!(changed(json!({})).is_ok());
    for (fields, errors) in [
        (
            json!({ "name": "a.b" }),
            &[
                "webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots",
            ][..],
        ),
        (json!({ "name": "" }), &["webhooks[0].name: Required value"]),
        (
            json!({ "failurePolicy": "", "matchPolicy": "Like", "sideEffects": "Some" }),
            &[
                "webhooks[0].failurePolicy: Unsupported value: \"\": supported values: \"Fail\", \"Ignore\"",
                "webhooks[0].matchPolicy: Unsupported value: \"Like\": supported values: \"Equivalent\", \"Exact\"",
                "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
            ],
        ),
        (
            json!({ "sideEffects": null, "timeoutSeconds": 31 }),
            &[
                "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
                "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
            ],
        ),
        (
            json!({ "clientConfig": {} }),
            &[
                "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
            ],
        ),
        (
            json!({ "clientConfig": { "service": { "name": "s", "port": 0, "path": "a//b" } } }),
            &[
                "webhooks[0].clientConfig.service.name: Required value",
                "webhooks[0].clientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
                "webhooks[0].clientConfig.service.path: Invalid value: \"a//b\": must start with a '/'",
                "webhooks[0].clientConfig.service.path: Invalid value: \"a//b\": segment[0] may not be empty",
                "webhooks[0].clientConfig.service.path: Invalid value: \"a//b\": segment[1] may not be empty",
            ],
        ),
        (
            json!({ "clientConfig": { "url": "http://u@/x?q#f" } }),
            &[
                "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
                "webhooks[0].clientConfig.url: Invalid value: \"\": host must be specified; desired format: https://host[/path]",
                "webhooks[0].clientConfig.url: Invalid value: \"u\": user information is not permitted in the URL",
                "webhooks[0].clientConfig.url: Invalid value: \"f\": fragments are not permitted in the URL",
                "webhooks[0].clientConfig.url: Invalid value: \"q\": query parameters are not permitted in the URL",
            ],
        ),
        (
            json!({ "clientConfig": { "url": ":" } }),
            &[
                "webhooks[0].clientConfig.url: Required value: url must be a valid URL: parse \":\": missing protocol scheme; desired format: https://host[/path]",
            ],
        ),
        (
            json!({ "matchConditions": [{ "expression": " " }, { "name": "a", "expression": "x" }, { "name": "a", "expression": "x" }] }),
            &[
                "webhooks[0].matchConditions[0].expression: Required value",
                "webhooks[0].matchConditions[0].name: Required value",
                "webhooks[0].matchConditions[2].name: Duplicate value: \"a\"",
            ],
        ),
        (
            json!({ "admissionReviewVersions": [] }),
            &[
                "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
            ],
        ),
        (
            json!({ "admissionReviewVersions": ["v2", "v2"] }),
            &[
                "webhooks[0].admissionReviewVersions[1]: Invalid value: \"v2\": duplicate version",
                "webhooks[0].admissionReviewVersions: Invalid value: [\"v2\",\"v2\"]: must include at least one of v1, v1beta1",
            ],
        ),
    ] {
        check(changed(fields), errors);
    }
    check(
        create(hooks(
            "MutatingWebhookConfiguration",
            json!([with_fields(hook(), json!({ "reinvocationPolicy": "x" })), hook()]),
        )),
        &[
            "webhooks[0].reinvocationPolicy: Unsupported value: \"x\": supported values: \"IfNeeded\", \"Never\"",
            "webhooks[1].name: Duplicate value: \"webhook.cert-manager.io\"",
        ],
    );
}

#[test]
fn what_a_webhook_wants_to_see_is_checked() {
    let rule = |fields: Value| {
        let rule = json!({ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods", "pods/status"] });
        changed(json!({ "rules": [with_fields(rule, fields)] }))
    };
    assert!(rule(json!({ "scope": "Namespaced", "resources": ["*", "*/scale"] })).is_ok());
    for (fields, errors) in [
        (
            json!({ "apiGroups": [], "apiVersions": [], "operations": [], "resources": [] }),
            &[
                "webhooks[0].rules[0].operations: Required value",
                "webhooks[0].rules[0].apiGroups: Required value",
                "webhooks[0].rules[0].apiVersions: Required value",
                "webhooks[0].rules[0].resources: Required value",
            ][..],
        ),
        (
            json!({ "apiGroups": ["*", "a"], "apiVersions": ["*", ""], "operations": ["*", "GET"], "scope": "x" }),
            &[
                "webhooks[0].rules[0].operations: Invalid value: [\"*\",\"GET\"]: if '*' is present, must not specify other operations",
                "webhooks[0].rules[0].operations[1]: Unsupported value: \"GET\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\"",
                "webhooks[0].rules[0].apiGroups: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other API groups",
                "webhooks[0].rules[0].apiVersions: Invalid value: [\"*\",\"\"]: if '*' is present, must not specify other API versions",
                "webhooks[0].rules[0].apiVersions[1]: Required value",
                "webhooks[0].rules[0].scope: Unsupported value: \"x\": supported values: \"*\", \"Cluster\", \"Namespaced\"",
            ],
        ),
        (
            json!({ "resources": ["pods/*", "pods/log", "*/scale", "a/scale", "", "*", "b"] }),
            &[
                "webhooks[0].rules[0].resources[1]: Invalid value: \"pods/log\": if 'pods/*' is present, must not specify pods/log",
                "webhooks[0].rules[0].resources[3]: Invalid value: \"a/scale\": if '*/scale' is present, must not specify a/scale",
                "webhooks[0].rules[0].resources[4]: Required value",
                "webhooks[0].rules[0].resources: Invalid value: [\"pods/*\",\"pods/log\",\"*/scale\",\"a/scale\",\"\",\"*\",\"b\"]: if '*' is present, must not specify other resources without subresources",
            ],
        ),
        (
            json!({ "resources": ["*/*", "b"] }),
            &[
                "webhooks[0].rules[0].resources: Invalid value: [\"*/*\",\"b\"]: if '*/*' is present, must not specify other resources",
            ],
        ),
    ] {
        check(rule(fields), errors);
    }
}

fn policy(fields: Value) -> Value {
    let spec = json!({
        "matchConstraints": { "resourceRules": [{ "apiGroups": ["apps"], "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE"], "resources": ["deployments"] }] },
        "validations": [{ "expression": "object.spec.replicas <= 5" }],
    });
    json!({ "apiVersion": API, "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "demo-policy.example.com" }, "spec": with_fields(spec, fields) })
}

#[test]
fn policies_are_completed_and_checked() {
    let new = created(policy(json!({})));
    let constraints = &new["spec"]["matchConstraints"];
    assert_eq!(new["spec"]["failurePolicy"], "Fail");
    assert_eq!(constraints["matchPolicy"], "Equivalent");
    assert_eq!(
        (&constraints["namespaceSelector"], &constraints["objectSelector"]),
        (&json!({}), &json!({}))
    );
    assert_eq!(constraints["resourceRules"][0]["scope"], "*");
    for (fields, errors) in [
        (
            json!({ "matchConstraints": null, "validations": [] }),
            &[
                "spec.matchConstraints: Required value",
                "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
                "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
            ][..],
        ),
        (
            json!({ "matchConstraints": {} }),
            &["spec.matchConstraints.resourceRules: Required value"],
        ),
        (
            json!({ "paramKind": { "apiVersion": "a/b/c", "kind": "-" } }),
            &[
                "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
                "spec.paramKind.kind: Invalid value: \"-\": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
            ],
        ),
        (
            json!({ "paramKind": { "apiVersion": "rules.example.com/" } }),
            &[
                "spec.paramKind.apiVersion: Invalid value: \"rules.example.com/\": version must be specified",
                "spec.paramKind.kind: Required value",
            ],
        ),
        (
            json!({ "variables": [{ "name": "while", "expression": "1" }, { "name": " ", "expression": "" }] }),
            &[
                "spec.variables[0].name: Invalid value: \"while\": name is not a valid CEL identifier",
                "spec.variables[1].name: Required value: name is not specified",
                "spec.variables[1].expression: Required value: expression is not specified",
            ],
        ),
        (
            json!({ "validations": [{ "expression": " ", "message": "a\nb", "messageExpression": " ", "reason": "Gone" }] }),
            &[
                "spec.validations[0].expression: Required value: expression is not specified",
                "spec.validations[0].messageExpression: Invalid value: \" \": must be non-empty if specified",
                "spec.validations[0].message: Invalid value: \"a\\nb\": message must not contain line breaks",
                "spec.validations[0].reason: Unsupported value: \"Gone\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\"",
            ],
        ),
        (
            json!({ "auditAnnotations": [{ "key": "a", "valueExpression": "'x'" }, { "key": "a" }] }),
            &[
                "spec.auditAnnotations[1].valueExpression: Required value: valueExpression is not specified",
                "spec.auditAnnotations[1].key: Duplicate value: \"a\"",
            ],
        ),
    ] {
        check(create(policy(fields)), errors);
    }
}

#[test]
fn the_status_of_a_policy_is_checked() {
    let old = created(policy(json!({})));
    check(
        update(Target::Status, &old, |new| {
            new["status"] = json!({
                "typeChecking": { "expressionWarnings": [{}] },
                "conditions": [{ "type": "A", "status": "Maybe", "reason": "x-", "observedGeneration": -1 },
                    { "type": "A", "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z" }],
            })
        }),
        &[
            "status.typeChecking.expressionWarnings[0].warning: Required value",
            "status.typeChecking.expressionWarnings[0].fieldRef: Required value",
            "status.conditions[0].status: Unsupported value: \"Maybe\": supported values: \"False\", \"True\", \"Unknown\"",
            "status.conditions[0].observedGeneration: Invalid value: -1: must be greater than or equal to zero",
            "status.conditions[0].lastTransitionTime: Required value",
            "status.conditions[0].reason: Invalid value: \"x-\": a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')",
            "status.conditions[1]: Duplicate value: \"A\"",
        ],
    );
}

fn binding(fields: Value) -> Value {
    let spec = json!({ "policyName": "demo-policy.example.com", "validationActions": ["Deny"],
        "matchResources": { "namespaceSelector": { "matchLabels": { "environment": "test" } } } });
    json!({ "apiVersion": API, "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "b" }, "spec": with_fields(spec, fields) })
}

#[test]
fn bindings_of_policies_are_checked() {
    let new =
        created(binding(json!({ "paramRef": { "name": "p", "parameterNotFoundAction": "Deny" } })));
    assert_eq!(new["spec"]["matchResources"]["matchPolicy"], "Equivalent");
    for (fields, errors) in [
        (
            json!({ "policyName": "", "validationActions": [] }),
            &[
                "spec.policyName: Required value",
                "spec.validationActions: Required value: at least one validation action is required",
            ][..],
        ),
        (
            json!({ "validationActions": ["Deny", "Warn", "Warn", "x"] }),
            &[
                "spec.validationActions[2]: Duplicate value: \"Warn\"",
                "spec.validationActions[3]: Unsupported value: \"x\": supported values: \"Audit\", \"Deny\", \"Warn\"",
                "spec.validationActions: Invalid value: [\"Deny\",\"Warn\",\"Warn\",\"x\"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
            ],
        ),
        (
            json!({ "paramRef": {} }),
            &[
                "spec.paramRef: Required value: one of name or selector must be specified",
                "spec.paramRef.parameterNotFoundAction: Required value",
            ],
        ),
        (
            json!({ "paramRef": { "name": "a", "selector": {}, "parameterNotFoundAction": "x" } }),
            &[
                "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
                "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
                "spec.paramRef.parameterNotFoundAction: Unsupported value: \"x\": supported values: \"Deny\", \"Allow\"",
            ],
        ),
        (
            json!({ "matchResources": { "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["a"], "resourceNames": ["x", "x"] }] } }),
            &["spec.matchResouces.resourceRules[0].resourceNames[1]: Duplicate value: \"x\""],
        ),
    ] {
        check(create(binding(fields)), errors);
    }
}

/// Real-world shape: the metrics server's.
fn service() -> Value {
    json!({ "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": { "name": "v1beta1.metrics.k8s.io" },
        "spec": { "group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100,
            "versionPriority": 100, "insecureSkipTLSVerify": true,
            "service": { "name": "metrics-server", "namespace": "kube-system" } } })
}

#[test]
fn api_services_are_checked() {
    let new = created(service());
    assert_eq!(new["spec"]["service"]["port"], 443);
    assert_eq!(new["status"], json!({}));
    let spec = |fields: Value| {
        let mut body = service();
        body["spec"] = with_fields(body["spec"].clone(), fields);
        create(body)
    };
    let local = spec(json!({ "service": null, "insecureSkipTLSVerify": false })).expect("accepted");
    assert_eq!(local["status"]["conditions"][0]["reason"], "Local");
    for (fields, errors) in [
        (
            json!({ "version": "v1" }),
            &[
                "metadata.name: Invalid value: \"v1beta1.metrics.k8s.io\": must be `spec.version+\".\"+spec.group`: \"v1.metrics.k8s.io\"",
            ][..],
        ),
        (
            json!({ "groupPriorityMinimum": 20001, "versionPriority": 0 }),
            &[
                "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
                "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
            ],
        ),
        (
            json!({ "service": {}, "caBundle": "eA==" }),
            &[
                "spec.service.namespace: Required value",
                "spec.service.name: Required value",
                "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
            ],
        ),
        (
            json!({ "service": null, "caBundle": "eA==" }),
            &[
                "spec.caBundle: Invalid value: \"1 bytes\": local APIServices may not have a caBundle",
                "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
            ],
        ),
    ] {
        check(spec(fields), errors);
    }
    check(
        update(Target::Status, &new, |new| {
            new["status"]["conditions"] = json!([{ "type": "Available" }])
        }),
        &[
            "status.conditions[0].status: Unsupported value: \"\": supported values: \"True\", \"False\", \"Unknown\"",
        ],
    );
}
