//! Requests for certificates: asked, approved, signed.

mod common;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::*;
use serde_json::{Value, json};
use x509_parser::pem::Pem;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

fn request(name: &str, signer: &str, organization: &str, common_name: &str) -> Value {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
    params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": { "name": name },
        "spec": { "request": STANDARD.encode(pem), "signerName": signer,
                  "usages": ["client auth", "digital signature"], "expirationSeconds": 3600 },
    })
}

/// Approves a request, and waits until something comes of it.
async fn approved(api: &Harness, name: &str) -> Value {
    let path = format!("{REQUESTS}/{name}");
    let mut request = api.get(&format!("{path}/approval")).await.ok();
    request["status"] =
        json!({ "conditions": [{ "type": "Approved", "status": "True", "reason": "Test" }] });
    let decided = api.put(&format!("{path}/approval"), &request).await.ok();
    assert_eq!(decided["status"]["conditions"][0]["type"], "Approved");
    for _ in 0..600 {
        let now = api.get(&path).await.ok();
        let conditions = now["status"]["conditions"].as_array().unwrap().len();
        if now["status"].get("certificate").is_some() || conditions > 1 {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing came of {name}");
}

#[tokio::test]
async fn an_approved_request_of_a_client_is_signed_for_what_was_asked() {
    let api = Harness::start().await;
    let body = request("jo", "kubernetes.io/kube-apiserver-client", "dev", "jo");
    let made = api.post(REQUESTS, &body).await.ok();
    assert_eq!(made["spec"]["username"], "kubernetes-admin");
    assert_eq!(made["spec"]["groups"], json!(["system:masters", "system:authenticated"]));
    let signed = approved(&api, "jo").await;
    let pem = STANDARD.decode(signed["status"]["certificate"].as_str().unwrap()).unwrap();
    let block = Pem::iter_from_buffer(&pem).next().unwrap().unwrap();
    let certificate = block.parse_x509().unwrap();
    let subject = certificate.subject();
    assert_eq!(subject.iter_common_name().next().unwrap().as_str().unwrap(), "jo");
    assert_eq!(subject.iter_organization().next().unwrap().as_str().unwrap(), "dev");
    let validity = certificate.validity();
    let left = validity.not_after.timestamp() - jiff::Timestamp::now().as_second();
    assert!((3000..=3600).contains(&left), "{left}");
    assert!(!certificate.is_ca());
    let usage = certificate.extended_key_usage().unwrap().unwrap();
    assert!(usage.value.client_auth && !usage.value.server_auth);

    let accept = [("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")];
    let shown = api.raw("GET", REQUESTS, &accept, b"").await.ok();
    let cells = shown["rows"][0]["cells"].as_array().unwrap();
    let signer = "kubernetes.io/kube-apiserver-client";
    assert_eq!(cells[2..], [signer, "kubernetes-admin", "60m", "Approved,Issued"]);
}

#[tokio::test]
async fn what_a_signer_does_not_sign_fails_and_says_why() {
    let api = Harness::start().await;
    let kubelet = "kubernetes.io/kube-apiserver-client-kubelet";
    api.post(REQUESTS, &request("good", kubelet, "system:nodes", "system:node:n")).await.ok();
    assert!(approved(&api, "good").await["status"].get("certificate").is_some());
    for (name, signer, organization, common_name, why) in [
        ("org", kubelet, "dev", "system:node:n", "organization must be system:nodes"),
        ("cn", kubelet, "system:nodes", "n", "common name must begin with system:node:"),
        (
            "use",
            "kubernetes.io/kubelet-serving",
            "system:nodes",
            "system:node:n",
            "invalid usages for this signer",
        ),
    ] {
        api.post(REQUESTS, &request(name, signer, organization, common_name)).await.ok();
        let failed = approved(&api, name).await;
        let last = &failed["status"]["conditions"][1];
        assert_eq!((&last["type"], &last["message"]), (&json!("Failed"), &json!(why)), "{name}");
        assert_eq!(last["reason"], "SignerValidationFailure");
    }
    // Somebody else's signer.
    api.post(REQUESTS, &request("other", "example.com/signer", "dev", "jo")).await.ok();
    let missing = api.get(&format!("{REQUESTS}/other")).await.ok();
    assert_eq!(missing["status"], json!({}));
}

fn who_may(resource: &str, group: &str) -> (Value, Value) {
    let role = json!({"metadata": {"name": resource}, "rules": [{"apiGroups": ["certificates.k8s.io"],
        "resources": [format!("certificatesigningrequests/{resource}")], "verbs": ["create"]}]});
    let binding = json!({"metadata": {"name": resource},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": resource},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}]});
    (role, binding)
}

/// Red when who asks is not looked at: the first to come would be any node.
#[tokio::test]
async fn what_nodes_ask_for_is_approved_if_they_may() {
    const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
    const ME: &str = "system:bootstrap:abcdef";
    let api = Harness::start().await;
    let kubelet = "kubernetes.io/kube-apiserver-client-kubelet";
    let asks = async |name: &str, who: &str, group: &str, common_name: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("impersonate-user", who),
            ("impersonate-group", group),
        ];
        let body = request(name, kubelet, "system:nodes", common_name).to_string();
        api.raw("POST", REQUESTS, &headers, body.as_bytes()).await.ok()
    };
    let (role, binding) = who_may("nodeclient", "system:bootstrappers");
    let asker = json!({"metadata": {"name": "asker"}, "rules": [{"apiGroups": ["certificates.k8s.io"],
        "resources": ["certificatesigningrequests"], "verbs": ["create"]}]});
    api.post(&format!("{RBAC}/clusterroles"), &asker).await.ok();
    let mut ask = binding.clone();
    ask["metadata"]["name"] = "asker".into();
    ask["roleRef"]["name"] = "asker".into();
    ask["subjects"][0]["name"] = "system:authenticated".into();
    api.post(&format!("{RBAC}/clusterrolebindings"), &ask).await.ok();
    asks("early", ME, "system:bootstrappers", "system:node:n").await;
    api.post(&format!("{RBAC}/clusterroles"), &role).await.ok();
    api.post(&format!("{RBAC}/clusterrolebindings"), &binding).await.ok();
    let (role, binding) = who_may("selfnodeclient", "system:nodes");
    api.post(&format!("{RBAC}/clusterroles"), &role).await.ok();
    api.post(&format!("{RBAC}/clusterrolebindings"), &binding).await.ok();

    asks("foreign", "mallory", "dev", "system:node:n").await;
    asks("other", "system:node:n", "system:nodes", "system:node:m").await;
    asks("no-node", ME, "system:bootstrappers", "n").await;
    asks("renewed", "system:node:n", "system:nodes", "system:node:n").await;
    asks("new", ME, "system:bootstrappers", "system:node:n").await;
    for (name, message) in [
        ("new", "Auto approving kubelet client certificate after SubjectAccessReview."),
        ("renewed", "Auto approving self kubelet client certificate after SubjectAccessReview."),
    ] {
        let path = format!("{REQUESTS}/{name}");
        let mut signed = Value::Null;
        for _ in 0..600 {
            signed = api.get(&path).await.ok()["status"].clone();
            if signed.get("certificate").is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(signed.get("certificate").is_some(), "{name}: {signed}");
        let condition = &signed["conditions"][0];
        assert_eq!(
            (&condition["reason"], &condition["message"]),
            (&json!("AutoApproved"), &json!(message))
        );
    }
    for name in ["foreign", "other", "no-node"] {
        let left = api.get(&format!("{REQUESTS}/{name}")).await.ok();
        assert_eq!(left["status"], json!({}), "{name}");
    }
}
