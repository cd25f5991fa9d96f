//! Requests for certificates.

use super::*;

const REQUEST: &str = include_str!("certificates/request.b64");
const MASTERS: &str = include_str!("certificates/masters.b64");
const CERTIFICATE: &str = include_str!("certificates/certificate.b64");

/// What a request to a signer says besides its name.
pub(super) fn spec(signer: &str) -> Value {
    json!({ "spec": { "request": REQUEST, "signerName": signer, "usages": ["client auth"] } })
}

fn csr(changes: &[(&str, Value)]) -> Value {
    let mut object = spec("kubernetes.io/kube-apiserver-client");
    object["apiVersion"] = "certificates.k8s.io/v1".into();
    object["kind"] = "CertificateSigningRequest".into();
    object["metadata"] = json!({ "name": "Any Name?" });
    with(object, changes)
}

fn condition(kind: &str) -> Value {
    json!({ "type": kind, "status": "True", "reason": "R" })
}

#[test]
fn who_asks_is_the_servers_to_say() {
    let pretended = json!({ "request": REQUEST, "signerName": "a.b/c", "usages": ["any"],
        "username": "root", "groups": ["system:masters"], "extra": { "a": ["b"] } });
    let mut body =
        csr(&[("spec", pretended), ("status", json!({ "conditions": [condition("Approved")] }))]);
    body["metadata"]["name"] = "n".into();
    let made = created(body);
    let spec = &made["spec"];
    assert_eq!((&spec["username"], &spec["uid"]), (&json!("jo"), &json!("7")));
    assert_eq!((&spec["groups"], spec.get("extra")), (&json!(["dev"]), None));
    assert_eq!(made["status"], json!({}));
    // Nothing of it changes by an update of the object.
    let write = update(Target::Main, &made, |new| {
        new["spec"]["username"] = "root".into();
        new["status"] = json!({ "conditions": [condition("Approved")] });
    });
    assert_eq!(write, Ok(Write::Unchanged));
}

#[test]
fn requests_are_refused_for_what_is_wrong_with_them() {
    let supported = "supported values: \"any\", \"cert sign\", \"client auth\", \"code signing\", \"content commitment\", \"crl sign\", \"data encipherment\", \"decipher only\", \"digital signature\", \"email protection\", \"encipher only\", \"ipsec end system\", \"ipsec tunnel\", \"ipsec user\", \"key agreement\", \"key encipherment\", \"microsoft sgc\", \"netscape sgc\", \"ocsp signing\", \"s/mime\", \"server auth\", \"signing\", \"timestamping\"";
    for (changes, errors) in [
        (
            vec![("spec.request", json!(CERTIFICATE))],
            vec![format!("spec.request: Invalid value: {CERTIFICATE:?}: PEM block type must be CERTIFICATE REQUEST")],
        ),
        (vec![("spec.usages", json!([]))], vec!["spec.usages: Required value".to_owned()]),
        (
            vec![("spec.usages", json!(["any", "all", "any"]))],
            vec![
                format!("spec.usages[1]: Unsupported value: \"all\": {supported}"),
                "spec.usages[2]: Duplicate value: \"any\"".to_owned(),
            ],
        ),
        (vec![("spec.signerName", json!(""))], vec!["spec.signerName: Required value".to_owned()]),
        (
            vec![("spec.signerName", json!("kubernetes.io/legacy-unknown"))],
            vec!["spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via this API version".to_owned()],
        ),
        (
            vec![("spec.signerName", json!("signer"))],
            vec!["spec.signerName: Invalid value: \"signer\": must be a fully qualified domain and path of the form 'example.com/signer-name'".to_owned()],
        ),
        (
            vec![("spec.signerName", json!("local/signer"))],
            vec!["spec.signerName: Invalid value: \"local\": should be a domain with at least two segments separated by dots".to_owned()],
        ),
        (
            vec![("spec.expirationSeconds", json!(599))],
            vec!["spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)".to_owned()],
        ),
    ] {
        let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
        check(create(csr(&changes)), &errors);
    }
    let masters = create(csr(&[("spec.request", json!(MASTERS))])).unwrap_err();
    assert_eq!(masters.code, 403);
    let why = "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
    assert!(masters.message.ends_with(why), "{masters}");
    created(csr(&[("spec.request", json!(MASTERS)), ("spec.signerName", json!("a.b/c"))]));
}

#[test]
fn approvers_decide_and_signers_sign() {
    let made = created(csr(&[]));
    let put = |write: Result<Write, Status>| match write {
        Ok(Write::Put(new)) => new,
        other => panic!("{other:?}"),
    };
    let decide = |old: &Value, conditions: Value| {
        update(Target::Approval, old, |new| {
            new["spec"] = json!({});
            new["status"] = json!({ "conditions": conditions, "certificate": CERTIFICATE });
        })
    };
    let approved = put(decide(&made, json!([condition("Approved")])));
    assert_eq!((&approved["spec"], approved["status"].get("certificate")), (&made["spec"], None));
    let own = &approved["status"]["conditions"][0];
    assert_eq!(own["lastUpdateTime"], "2026-01-02T03:04:05Z");
    assert_eq!(own["lastTransitionTime"], "2026-01-02T03:04:05Z");
    check(
        decide(&approved, json!([own, condition("Denied")])),
        &[
            "status.conditions[1].type: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive",
        ],
    );
    check(
        decide(&approved, json!([])),
        &["status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""],
    );
    check(
        decide(&made, json!([{ "type": "Approved", "status": "False" }, {}])),
        &[
            "status.conditions[0].status: Unsupported value: \"False\": supported values: \"True\"",
            "status.conditions[1].type: Required value",
            "status.conditions[1].status: Required value",
        ],
    );
    check(
        update(Target::Status, &made, |new| {
            new["status"] = json!({ "conditions": [condition("Approved")] })
        }),
        &["status.conditions: Forbidden: updates may not add a condition of type \"Approved\""],
    );
    let sign = |old: &Value, certificate: &str| {
        update(Target::Status, old, |new| {
            new["status"]["certificate"] = certificate.into();
            new["status"]["conditions"][0]["reason"] = "Other".into();
        })
    };
    let signed = put(sign(&approved, CERTIFICATE));
    assert_eq!(signed["status"]["conditions"], approved["status"]["conditions"]);
    check(
        sign(&approved, REQUEST),
        &[
            "status.certificate: Invalid value: \"<certificate data>\": only CERTIFICATE PEM blocks are allowed, found \"CERTIFICATE REQUEST\"",
        ],
    );
    check(
        sign(&signed, ""),
        &["status.certificate: Forbidden: updates may not modify existing certificate content"],
    );
}
