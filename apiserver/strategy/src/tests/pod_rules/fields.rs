//! Claims to devices, names of hosts, variables out of files, accounts of Windows, rules by which containers start again.

use super::*;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

// Red when any claim is taken.
#[test]
fn claims_of_a_pod_are_named_and_come_from_somewhere() {
    let claims = |claims: Value| pod_of(&json!({ "resourceClaims": claims }));
    created(claims(json!([
        { "name": "a", "resourceClaimName": "x" }, { "name": "b", "resourceClaimTemplateName": "y" },
    ])));
    for (list, errors) in [
        (
            json!([{ "resourceClaimName": "x" }]),
            vec!["spec.resourceClaims[0].name: Required value".to_owned()],
        ),
        (
            json!([{ "name": "A", "resourceClaimName": "x" }]),
            vec![format!("spec.resourceClaims[0].name: Invalid value: \"A\": {LABEL}")],
        ),
        (
            json!([{ "name": "a", "resourceClaimName": "x" }, { "name": "a", "resourceClaimName": "x" }]),
            vec!["spec.resourceClaims[1].name: Duplicate value: \"a\"".to_owned()],
        ),
        (
            json!([{ "name": "a", "resourceClaimName": "X" }]),
            vec![format!(
                "spec.resourceClaims[0].resourceClaimName: Invalid value: \"X\": {SUBDOMAIN}"
            )],
        ),
        (
            json!([{ "name": "a" }]),
            vec!["spec.resourceClaims[0]: Invalid value: {\"Name\":\"a\",\"ResourceClaimName\":null,\"ResourceClaimTemplateName\":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`".to_owned()],
        ),
        (
            json!([{ "name": "a", "resourceClaimName": "x", "resourceClaimTemplateName": "y" }]),
            vec!["spec.resourceClaims[0]: Invalid value: {\"Name\":\"a\",\"ResourceClaimName\":\"x\",\"ResourceClaimTemplateName\":\"y\"}: at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified".to_owned()],
        ),
    ] {
        let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
        check(create(claims(list)), &errors);
    }
    let mut mirror = claims(json!([{ "name": "a", "resourceClaimName": "x" }]));
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "m" });
    mirror["spec"]["nodeName"] = "n".into();
    check(create(mirror), &["[]: Forbidden: static pods do not support resource claims"]);
}

#[test]
fn containers_name_claims_of_their_pod() {
    let named = |claims: Value| {
        let mut pod = pod_of(&json!({ "resourceClaims": [
            { "name": "a", "resourceClaimName": "x" }, { "name": "b", "resourceClaimName": "x" }] }));
        pod["spec"]["containers"][0]["resources"] = json!({ "claims": claims });
        create(pod)
    };
    let at = "spec.containers[0].resources.claims";
    assert!(named(json!([{ "name": "a" }, { "name": "b", "request": "r" }, { "name": "b", "request": "s" }])).is_ok());
    for (claims, error) in [
        (json!([{ "name": "" }]), format!("{at}[0]: Required value")),
        (
            json!([{ "name": "c" }]),
            format!(
                "{at}[0]: Not found: \"c\": must be one of the names in pod.spec.resourceClaims: a, b"
            ),
        ),
        (json!([{ "name": "a" }, { "name": "a" }]), format!("{at}[1]: Duplicate value: \"a\"")),
        (
            json!([{ "name": "a", "request": "r" }, { "name": "a", "request": "r" }]),
            format!("{at}[1]: Duplicate value: \"a/r\""),
        ),
        (
            json!([{ "name": "a", "request": "r" }, { "name": "a" }]),
            format!("{at}[1]: Duplicate value: \"a\""),
        ),
        (
            json!([{ "name": "a", "request": "R" }]),
            format!("{at}[0].request: Invalid value: \"R\": {LABEL}"),
        ),
    ] {
        check(named(claims), &[&error]);
    }
}

#[test]
fn a_host_may_have_another_name_than_its_pod() {
    let named = |name: &str| pod_of(&json!({ "hostnameOverride": name }));
    let at = "spec.hostnameOverride";
    created(named("a.test"));
    check(create(named("A")), &[&format!("{at}: Invalid value: \"A\": {SUBDOMAIN}")]);
    check(
        create(named(&"a".repeat(65))),
        &[&format!("{at}: Too long: may not be more than 64 bytes")],
    );
    for field in ["setHostnameAsFQDN", "hostNetwork"] {
        let mut pod = named("a");
        pod["spec"][field] = true.into();
        check(
            create(pod),
            &[&format!("{at}: Forbidden: may not be specified when {field} is true")],
        );
    }
}

#[test]
fn variables_come_out_of_files_of_the_pod() {
    let file = |volume: &str, key: &str, path: &str| {
        let mut pod = pod_of(&json!({ "volumes": [
            { "name": "v", "emptyDir": {} }, { "name": "w", "configMap": { "name": "m" } }] }));
        pod["spec"]["containers"][0]["env"] = json!([{ "name": "E", "valueFrom": { "fileKeyRef":
            { "volumeName": volume, "key": key, "path": path } } }]);
        create(pod)
    };
    let at = "spec.containers[0].env[0].valueFrom.fileKeyRef";
    assert!(file("v", "K", "p").is_ok());
    check(file("v", "", "p"), &[&format!("{at}.key: Required value")]);
    check(file("v", "K", ""), &[&format!("{at}.path: Required value")]);
    check(
        file("v", "K", "../p"),
        &[&format!("{at}.path: Invalid value: \"../p\": must not contain '..'")],
    );
    check(file("x", "K", "p"), &[&format!("{at}.volumeName: Not found: \"x\"")]);
    check(
        file("w", "K", "p"),
        &[&format!(
            "{at}.volumeName: Invalid value: \"w\": referenced volume must be of type emptyDir"
        )],
    );
}

#[test]
fn accounts_of_windows_are_checked() {
    let both = |options: Value| {
        let context = json!({ "windowsOptions": options });
        (
            pod_of(&json!({ "securityContext": context })),
            pod_with(&json!({ "securityContext": context })),
        )
    };
    let (at, own) = ("spec.securityContext", "spec.containers[0].securityContext");
    for name in ["a", "DOMAIN\\a", "a.test\\b"] {
        let (pod, container) = both(json!({ "runAsUserName": name }));
        created(pod);
        created(container);
    }
    let long = "u".repeat(105);
    let (spec, domain) = ("s".repeat(64 * 1024 + 1), "d".repeat(256));
    for (field, text, why) in [
        ("runAsUserName", "", "runAsUserName cannot be an empty string"),
        ("runAsUserName", "a\t", "runAsUserName cannot contain control characters"),
        ("runAsUserName", "a\\b\\c", "runAsUserName cannot contain more than one backslash"),
        (
            "runAsUserName",
            ".a\\b",
            "runAsUserName's Domain doesn't match the NetBios nor the DNS format",
        ),
        ("runAsUserName", "a\\", "runAsUserName's User cannot be empty"),
        (
            "runAsUserName",
            &long,
            "runAsUserName's User length must not be longer than 104 characters",
        ),
        ("runAsUserName", ". .", "runAsUserName's User cannot contain only periods or spaces"),
        (
            "runAsUserName",
            "a/b",
            "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]",
        ),
        ("gmsaCredentialSpecName", "A", SUBDOMAIN),
        ("gmsaCredentialSpec", "", "gmsaCredentialSpec cannot be an empty string"),
        ("gmsaCredentialSpec", &spec, "gmsaCredentialSpec size must be under 64 KiB"),
    ] {
        let (pod, container) = both(json!({ field: text }));
        let shown = Value::from(text);
        let error =
            |at: &str| format!("{at}.windowsOptions.{field}: Invalid value: {shown}: {why}");
        check(create(pod), &[&error(at)]);
        check(create(container), &[&error(own)]);
    }
    let (pod, _) = both(json!({ "runAsUserName": format!("{domain}\\a") }));
    let told = causes(&create(pod).expect_err("refused"));
    assert!(
        told[0].ends_with("runAsUserName's Domain length must be under 256 characters"),
        "{told:?}"
    );
}

// Red when containers but init containers may have no policy.
#[test]
fn containers_start_again_by_rules_of_their_own() {
    let rule = |fields: Value| {
        let mut rule =
            json!({ "action": "Restart", "exitCodes": { "operator": "In", "values": [42] } });
        rule.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        rule
    };
    let ruled = |rules: Value| json!({ "restartPolicy": "Never", "restartPolicyRules": rules });
    let at = "spec.containers[0]";
    for accepted in [
        json!({ "restartPolicy": "OnFailure" }),
        ruled(json!([rule(json!({})), rule(json!({ "action": "RestartAllContainers" }))])),
    ] {
        created(pod_with(&accepted));
    }
    let values: Vec<i64> = (0..256).collect();
    for (container, errors) in [
        (
            json!({ "restartPolicy": "Foo" }),
            vec![
                ".restartPolicy: Unsupported value: \"Foo\": supported values: \"Always\", \"Never\", \"OnFailure\"",
            ],
        ),
        (
            json!({ "restartPolicyRules": [rule(json!({}))] }),
            vec![
                ".restartPolicy: Required value: must specify restartPolicy when restart rules are used",
            ],
        ),
        (
            ruled(json!(vec![rule(json!({})); 21])),
            vec![".restartPolicyRules: Too many: 21: must have at most 20 items"],
        ),
        (
            ruled(json!([rule(json!({ "action": "Foo" }))])),
            vec![
                ".restartPolicyRules[0].action: Unsupported value: \"Foo\": supported values: \"Restart\", \"RestartAllContainers\"",
            ],
        ),
        (
            ruled(json!([rule(json!({ "exitCodes": null }))])),
            vec![".restartPolicyRules[0].exitCodes: Required value: must be specified"],
        ),
        (
            ruled(json!([rule(json!({ "exitCodes": { "operator": "Foo", "values": [1] } }))])),
            vec![
                ".restartPolicyRules[0].exitCodes.operator: Unsupported value: \"Foo\": supported values: \"In\", \"NotIn\"",
            ],
        ),
        (
            ruled(json!([rule(json!({ "exitCodes": { "operator": "In", "values": values } }))])),
            vec![
                ".restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items",
            ],
        ),
    ] {
        let told: Vec<String> = errors.iter().map(|error| format!("{at}{error}")).collect();
        check(create(pod_with(&container)), &told.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let init = |policy: &str| {
        let init = json!({ "name": "i", "image": "i", "restartPolicy": policy });
        create(pod_of(&json!({ "initContainers": [init] })))
    };
    assert!(init("Never").is_ok());
    check(
        init("Foo"),
        &[
            "spec.initContainers[0].restartPolicy: Unsupported value: \"Foo\": supported values: \"Always\", \"Never\", \"OnFailure\"",
        ],
    );
}

// Red when init containers are looked at together, or not at all.
#[test]
fn init_containers_have_ports_and_ways_to_grow() {
    let init = |fields: Value| {
        let mut init = json!({ "name": "i", "image": "i" });
        init.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        init
    };
    let inits = |list: Value| create(pod_of(&json!({ "initContainers": list })));
    let ports = |count: usize| json!({ "ports": vec![json!({ "containerPort": 1, "hostPort": 1 }); count] });
    let mut other = init(ports(1));
    other["name"] = "j".into();
    assert!(inits(json!([init(ports(1)), other])).is_ok());
    check(
        inits(json!([init(ports(2))])),
        &["spec.initContainers[0].ports[1].hostPort: Duplicate value: \"TCP//1\""],
    );
    let grows = |policy: Value| {
        inits(json!([init(json!({ "restartPolicy": policy,
            "resizePolicy": [{ "resourceName": "cpu", "restartPolicy": "RestartContainer" }] }))]))
    };
    assert!(grows("Always".into()).is_ok());
    check(
        grows(Value::Null),
        &[
            "spec.initContainers[0].resizePolicy[0].restartPolicy: Invalid value: \"RestartContainer\": must not be set to 'RestartContainer' for non-sidecar initContainers",
        ],
    );
}
