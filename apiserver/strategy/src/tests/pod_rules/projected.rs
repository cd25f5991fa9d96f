//! Volumes that hold files of several sources.

use super::*;

/// A pod with a volume of these sources.
fn sources(list: &Value) -> Value {
    pod_of(&json!({ "volumes": [{ "name": "v", "projected": { "sources": list } }] }))
}

#[track_caller]
fn refused(list: &Value, errors: &[&str]) {
    let told: Vec<String> =
        errors.iter().map(|error| format!("spec.volumes[0].projected{error}")).collect();
    check(create(sources(list)), &told.iter().map(String::as_str).collect::<Vec<_>>());
}

/// A template that has sources which are switched off, so that it may go on having some.
fn with_sources(list: &Value) -> Value {
    let mut template = json!({
        "apiVersion": "v1", "kind": "PodTemplate", "metadata": { "name": "t" },
        "template": { "metadata": { "labels": { "a": "b" } }, "spec": pod()["spec"] },
    });
    template = created(template);
    template["template"]["spec"]["volumes"] = sources(list)["spec"]["volumes"].clone();
    template
}

fn of_old(list: &Value) -> Result<Write, Status> {
    let old = with_sources(&json!([
        { "clusterTrustBundle": { "name": "old", "path": "old" } },
        { "podCertificate": { "signerName": "a.test/b", "keyType": "ED25519", "keyPath": "old" } },
    ]));
    let new = with_sources(list)["template"]["spec"]["volumes"].clone();
    update(Target::Main, &old, |template| template["template"]["spec"]["volumes"] = new)
}

#[track_caller]
fn refused_of_old(list: &Value, errors: &[&str]) {
    let told: Vec<String> =
        errors.iter().map(|error| format!("template.spec.volumes[0].projected{error}")).collect();
    check(of_old(list), &told.iter().map(String::as_str).collect::<Vec<_>>());
}

// Red when all that the API has is kept.
#[test]
fn what_is_switched_off_goes_unless_it_was_there() {
    let mut body = sources(&json!([
        { "clusterTrustBundle": { "name": "n", "path": "p" } },
        { "secret": { "name": "s" } },
        { "podCertificate": { "signerName": "a.test/b", "keyType": "ED25519", "keyPath": "k" } },
    ]));
    body["spec"]["schedulingGroup"] = json!({ "podGroupName": "g" });
    body["spec"]["containers"][0]["lifecycle"] = json!({ "stopSignal": "SIGUSR1" });
    let made = created(body.clone());
    assert_eq!(
        made["spec"]["volumes"][0]["projected"]["sources"],
        json!([{}, { "secret": { "name": "s" } }, {}])
    );
    assert_eq!(made["spec"].get("schedulingGroup"), None);
    assert_eq!(made["spec"]["containers"][0].get("lifecycle"), None);
    for (kind, api_version) in
        [("Deployment", "apps/v1"), ("Job", "batch/v1"), ("CronJob", "batch/v1")]
    {
        let mut template = json!({ "metadata": { "labels": { "a": "b" } }, "spec": body["spec"] });
        template["spec"]["restartPolicy"] =
            if kind == "Deployment" { "Always" } else { "Never" }.into();
        let spec = match kind {
            "Deployment" => {
                json!({ "selector": { "matchLabels": { "a": "b" } }, "template": template })
            }
            "Job" => json!({ "template": template }),
            _ => {
                json!({ "schedule": "* * * * *", "jobTemplate": { "spec": { "template": template } } })
            }
        };
        let made = created(json!({
            "apiVersion": api_version, "kind": kind, "metadata": { "name": "w" }, "spec": spec,
        }));
        let text = made.to_string();
        assert!(!text.contains("schedulingGroup") && !text.contains("stopSignal"), "{text}");
        assert!(!text.contains("podCertificate"), "{text}");
    }
    let kept = of_old(&json!([{ "clusterTrustBundle": { "name": "n", "path": "p" } }]));
    let Ok(Write::Put(kept)) = kept else { panic!("{kept:?}") };
    let source = &kept["template"]["spec"]["volumes"][0]["projected"]["sources"][0];
    assert_eq!(*source, json!({ "clusterTrustBundle": { "name": "n", "path": "p" } }));
}

// Red when each source is looked at by itself.
#[test]
fn no_two_sources_write_one_file() {
    let named = |kind: &str, path: &str| json!({ kind: { "name": "n", "items": [{ "key": "k", "path": path }] } });
    let downward = json!({ "downwardAPI": { "items": [{ "path": "a", "fieldRef": { "fieldPath": "metadata.name" } }] } });
    created(sources(&json!([named("secret", "a"), named("configMap", "b")])));
    refused(
        &json!([named("secret", "a"), named("configMap", "a")]),
        &[": Invalid value: \"n\": conflicting duplicate paths"],
    );
    refused(
        &json!([named("secret", "a"), downward]),
        &[": Invalid value: \"a\": conflicting duplicate paths"],
    );
    let mut two = named("secret", "a");
    two["configMap"] = named("configMap", "b")["configMap"].clone();
    refused(
        &json!([two]),
        &[".sources[0]: Forbidden: may not specify more than 1 volume type per source"],
    );
    refused(
        &json!([{ "secret": {} }, { "configMap": { "name": "n", "items": [{ "key": "", "path": "../x" }] } }]),
        &[
            ".sources[0].secret.name: Required value",
            ".sources[1].configMap.items[0].key: Required value",
            ".sources[1].configMap.items[0].path: Invalid value: \"../x\": must not contain '..'",
        ],
    );
}

#[test]
fn tokens_live_for_ten_minutes_at_least() {
    let token = |fields: Value| json!([{ "serviceAccountToken": fields }]);
    created(sources(&token(json!({ "path": "p", "expirationSeconds": 600 }))));
    refused(
        &token(json!({ "path": "p", "expirationSeconds": 599 })),
        &[
            ".sources[0].serviceAccountToken.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
        ],
    );
    refused(
        &token(json!({ "path": "p", "expirationSeconds": 4_294_967_297_i64 })),
        &[
            ".sources[0].serviceAccountToken.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds",
        ],
    );
    refused(&token(json!({})), &[".path: Required value"]);
    refused(
        &token(json!({ "path": "/p" })),
        &[".path: Invalid value: \"/p\": must be a relative path"],
    );
}

#[test]
fn bundles_have_a_name_or_a_signer() {
    let bundle = |fields: Value| json!([{ "clusterTrustBundle": fields }]);
    let at = ".sources[0].clusterTrustBundle";
    for fields in [
        json!({ "name": "n", "path": "p" }),
        json!({ "name": "a.test:b:n", "path": "p" }),
        json!({ "signerName": "a.test/b", "path": "p" }),
        json!({ "signerName": "a.test/b", "labelSelector": { "matchLabels": { "a": "b" } }, "path": "p" }),
    ] {
        of_old(&bundle(fields)).expect("accepted");
    }
    refused_of_old(
        &bundle(json!({ "path": "p" })),
        &[&format!("{at}: Required value: either name or signerName must be specified")],
    );
    refused_of_old(
        &bundle(json!({ "name": "n", "signerName": "a.test/b", "path": "p" })),
        &[&format!(
            "{at}: Invalid value: {{\"Name\":\"n\",\"SignerName\":\"a.test/b\",\"LabelSelector\":null,\"Optional\":null,\"Path\":\"p\"}}: only one of name and signerName may be used"
        )],
    );
    refused_of_old(
        &bundle(json!({ "name": "n", "labelSelector": {}, "path": "p" })),
        &[&format!(
            "{at}.labelSelector: Invalid value: {{}}: labelSelector must be unset if name is specified"
        )],
    );
    refused_of_old(
        &bundle(json!({ "name": ":n", "path": "p" })),
        &[&format!(
            "{at}.name: Invalid value: \":n\": not a valid clustertrustbundlename: ClusterTrustBundle without signer name must not have \":\" in its name"
        )],
    );
    refused_of_old(
        &bundle(json!({ "signerName": "b", "path": "p" })),
        &[&format!(
            "{at}.signerName: Invalid value: \"b\": must be a fully qualified domain and path of the form 'example.com/signer-name'"
        )],
    );
    refused_of_old(
        &bundle(json!({ "name": "n", "path": "" })),
        &[&format!("{at}.path: Required value")],
    );
}

#[test]
fn certificates_have_a_signer_a_kind_of_key_and_a_file() {
    let certificate = |fields: Value| {
        let mut all = json!({ "signerName": "a.test/b", "keyType": "ED25519", "keyPath": "k" });
        all.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        json!([{ "podCertificate": all }])
    };
    let at = ".sources[0].podCertificate";
    let own =
        |seconds: i64| json!({ "signerName": "kubernetes.io/x", "maxExpirationSeconds": seconds });
    of_old(&certificate(json!({ "userAnnotations": { "a.test/b": "c" } }))).expect("accepted");
    of_old(&certificate(own(86_400))).expect("accepted");
    for (fields, error) in [
        (
            own(86_401),
            ".maxExpirationSeconds: Invalid value: 86401: if provided, maxExpirationSeconds must be <= 86400",
        ),
        (
            json!({ "maxExpirationSeconds": 7_862_401 }),
            ".maxExpirationSeconds: Invalid value: 7862401: if provided, maxExpirationSeconds must be <= 7862400",
        ),
        (
            json!({ "maxExpirationSeconds": 3599 }),
            ".maxExpirationSeconds: Invalid value: 3599: if provided, maxExpirationSeconds must be >= 3600",
        ),
        (
            json!({ "keyType": "RSA1024" }),
            ".keyType: Unsupported value: \"RSA1024\": supported values: \"RSA3072\", \"RSA4096\", \"ECDSAP256\", \"ECDSAP384\", \"ECDSAP521\", \"ED25519\"",
        ),
        (
            json!({ "keyPath": "" }),
            ": Required value: specify at least one of credentialBundlePath, keyPath, and certificateChainPath",
        ),
        (
            json!({ "userAnnotations": { "b": "c" } }),
            ".userAnnotations[b]: Invalid value: \"b\": must be a domain-prefixed key (such as \"acme.io/foo\")",
        ),
        (
            json!({ "certificateChainPath": "../c" }),
            ".certificateChainPath: Invalid value: \"../c\": must not contain '..'",
        ),
    ] {
        refused_of_old(&certificate(fields), &[&format!("{at}{error}")]);
    }
    refused_of_old(
        &certificate(json!({ "certificateChainPath": "k" })),
        &[": Invalid value: \"k\": conflicting duplicate paths"],
    );
}
