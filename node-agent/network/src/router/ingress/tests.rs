//! Whose an Ingress is, what rules it is, and what of it is refused.

use super::*;
use serde_json::{Value, json};

fn ingress(spec: Value) -> Ingress {
    serde_json::from_value(
        json!({"metadata": {"name": "i", "namespace": "n", "uid": "u"}, "spec": spec}),
    )
    .unwrap()
}

fn to(service: &str) -> Value {
    json!({"service": {"name": service, "port": {"number": 80}}})
}

fn read(spec: Value, references: &References) -> IngressInfo {
    IngressInfo::of(&ingress(spec), references)
}

#[test]
fn a_class_decides_whose_an_ingress_is() {
    let mut references = References::default();
    for (name, controller) in [("leme", CONTROLLER), ("nginx", "k8s.io/ingress-nginx")] {
        let class = serde_json::from_value(json!({"spec": {"controller": controller}})).unwrap();
        assert!(references.put_class(name.to_owned(), &class));
        assert!(!references.put_class(name.to_owned(), &class));
    }
    let annotated = |class: &str| {
        let mut one = ingress(json!({}));
        one.metadata.annotations = Some([(CLASS_ANNOTATION.to_owned(), class.to_owned())].into());
        one
    };
    for (class, expected) in [("leme", true), ("nginx", false), ("none", false)] {
        let named = ingress(json!({"ingressClassName": class}));
        assert_eq!(is_ours(&named, &references), expected, "{class}");
        assert_eq!(is_ours(&annotated(class), &references), expected, "{class}");
    }
    assert!(is_ours(&ingress(json!({})), &references));
}

#[test]
fn each_path_is_a_rule() {
    let spec = json!({"defaultBackend": to("rest"), "rules": [
        {"host": "A.test", "http": {"paths": [
            {"path": "/x/", "pathType": "Prefix", "backend": to("a")},
            {"path": "/y/", "pathType": "Exact", "backend": to("b")},
            {"path": "/", "pathType": "ImplementationSpecific", "backend": to("c")}]}},
        {"host": "*.b.test", "http": {"paths": [{"pathType": "Prefix", "backend": to("d")}]}},
        {"host": "c.test"}]});
    let info = read(spec, &References::default());
    let shown: Vec<(String, String, bool, bool, String)> = info
        .rules
        .unwrap()
        .into_iter()
        .map(|rule| {
            let exact = rule.origin == Origin::Ingress { exact: true };
            (rule.host, rule.path, exact, rule.wildcard, rule.services[0].0.clone())
        })
        .collect();
    let row = |host: &str, path: &str, exact, wildcard, service: &str| {
        (host.to_owned(), path.to_owned(), exact, wildcard, service.to_owned())
    };
    assert_eq!(
        shown,
        [
            row("a.test", "/x", false, false, "a"),
            row("a.test", "/y/", true, false, "b"),
            row("a.test", "", false, false, "c"),
            row("any.b.test", "", false, true, "d"),
            row("c.test", "", false, false, "rest"),
            row("", "", false, false, "rest"),
        ]
    );
}

#[test]
fn what_cannot_be_served_is_said() {
    let resource = json!({"resource": {"kind": "Bucket", "name": "b"}});
    let info = read(json!({"defaultBackend": resource}), &References::default());
    assert!(info.rules.unwrap_err().contains("only Services are served"));
    let mut with = ingress(json!({"defaultBackend": to("a")}));
    let name = "nginx.ingress.kubernetes.io/auth-url".to_owned();
    with.metadata.annotations = Some([(name.clone(), "x".to_owned())].into());
    let error = IngressInfo::of(&with, &References::default()).rules.unwrap_err();
    assert!(error.contains(&name), "{error}");
}

/// Red when a host is served without TLS whose TLS only lacks its Secret.
#[test]
fn tls_is_for_the_hosts_that_ask() {
    let spec = json!({"tls": [{"hosts": ["a.test", "*.b.test"], "secretName": "s"}], "rules": [
        {"host": "a.test", "http": {"paths": [{"pathType": "Prefix", "backend": to("a")}]}},
        {"host": "*.b.test", "http": {"paths": [{"pathType": "Prefix", "backend": to("a")}]}},
        {"host": "x.b.test", "http": {"paths": [{"pathType": "Prefix", "backend": to("a")}]}},
        {"host": "c.test", "http": {"paths": [{"pathType": "Prefix", "backend": to("a")}]}}]});
    let info = read(spec.clone(), &References::default());
    let tls: Vec<Option<Insecure>> =
        info.rules.unwrap().into_iter().map(|rule| rule.tls.map(|tls| tls.insecure)).collect();
    let redirect = Some(Insecure::Redirect);
    assert_eq!(tls, [redirect, redirect, redirect, None]);
    assert_eq!(info.remarks.len(), 1, "{:?}", info.remarks);
    let mut references = References::default();
    let secret = json!({"data": {"tls.crt": "QUJD"}});
    references.put_secret(("n".into(), "s".into()), &serde_json::from_value(secret).unwrap());
    let remarks = read(spec, &references).remarks;
    assert!(remarks[0].contains("it has no tls.key"), "{remarks:?}");
}
