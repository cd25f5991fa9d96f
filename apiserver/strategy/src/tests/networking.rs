//! Ingresses and their classes, network policies, addresses and networks of services.

use super::*;

/// An object of the group.
fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": kind, "metadata": { "name": name }, "spec": spec,
    })
}

fn backend() -> Value {
    json!({ "service": { "name": "web", "port": { "number": 80 } } })
}

fn ingress(spec: Value) -> Value {
    object("Ingress", "i", spec)
}

fn with_path(path: Value) -> Value {
    ingress(json!({ "rules": [{ "host": "a.example", "http": { "paths": [path] } }] }))
}

fn class(spec: Value) -> Value {
    object("IngressClass", "c", spec)
}

fn policy(spec: Value) -> Value {
    object("NetworkPolicy", "p", spec)
}

/// What people write.
pub(super) fn samples() -> Vec<Value> {
    vec![
        ingress(json!({
            "ingressClassName": "nginx",
            "defaultBackend": { "resource": { "apiGroup": "k8s.example.com", "kind": "Bucket", "name": "static" } },
            "tls": [{ "hosts": ["shop.example.com", "*.shop.example.com"], "secretName": "shop-tls" }],
            "rules": [
                { "host": "shop.example.com", "http": { "paths": [
                    { "path": "/", "pathType": "Prefix", "backend": backend() },
                    { "path": "/api", "pathType": "Exact",
                      "backend": { "service": { "name": "1-api", "port": { "name": "http" } } } },
                ] } },
                { "host": "*.shop.example.com", "http": { "paths": [
                    { "pathType": "ImplementationSpecific", "backend": backend() },
                ] } },
                { "http": { "paths": [{ "path": "/x(/|$)(.*)", "pathType": "ImplementationSpecific", "backend": backend() }] } },
            ],
        })),
        class(json!({ "controller": "k8s.io/ingress-nginx", "parameters": {
            "apiGroup": "k8s.example.com", "kind": "Parameters", "name": "external", "scope": "Namespace",
            "namespace": "ingress",
        } })),
        policy(json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] })),
        policy(json!({
            "podSelector": { "matchLabels": { "role": "db" } },
            "ingress": [{
                "from": [
                    { "ipBlock": { "cidr": "172.17.0.0/16", "except": ["172.17.1.0/24"] } },
                    { "namespaceSelector": { "matchLabels": { "project": "x" } }, "podSelector": {} },
                ],
                "ports": [{ "port": 6379 }, { "protocol": "UDP", "port": "dns" }],
            }],
            "egress": [{ "to": [{ "ipBlock": { "cidr": "2001:db8::/32" } }], "ports": [{ "port": 32000, "endPort": 32768 }] }, {}],
        })),
        object(
            "IPAddress",
            "10.96.0.7",
            json!({ "parentRef": {
            "resource": "services", "namespace": "ns", "name": "web",
        } }),
        ),
        object("ServiceCIDR", "extra", json!({ "cidrs": ["10.97.0.0/24", "2001:db8::/112"] })),
    ]
}

#[test]
fn an_ingress_needs_something_to_send_to() {
    check(
        create(ingress(json!({}))),
        &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
    );
    check(
        create(ingress(json!({ "rules": [{ "http": { "paths": [] } }] }))),
        &["spec.rules[0].http.paths: Required value"],
    );
    created(ingress(json!({ "rules": [{ "host": "only.a.host" }] })));
    for (backend, error) in [
        (json!({}), ": Invalid value: \"\": resource or service backend is required"),
        (
            json!({ "resource": { "kind": "K", "name": "n" }, "service": { "name": "web" } }),
            ": Invalid value: \"\": cannot set both resource and service backends",
        ),
        (
            json!({ "service": { "name": "web" } }),
            ": Required value: port name or number is required",
        ),
        (
            json!({ "service": { "name": "web", "port": { "name": "http", "number": 80 } } }),
            ": Invalid value: \"\": cannot set both port name & port number",
        ),
        (json!({ "service": { "port": { "number": 80 } } }), ".service.name: Required value"),
        (
            json!({ "service": { "name": "a.b", "port": { "number": 80 } } }),
            ".service.name: Invalid value: \"a.b\": must not contain dots",
        ),
        (
            json!({ "service": { "name": "web", "port": { "number": 65536 } } }),
            ".service.port.number: Invalid value: 65536: must be between 1 and 65535, inclusive",
        ),
        (
            json!({ "service": { "name": "web", "port": { "name": "a--b" } } }),
            ".service.port.name: Invalid value: \"a--b\": must not contain consecutive hyphens",
        ),
        (json!({ "resource": { "kind": "K" } }), ".resource.name: Required value"),
        (
            json!({ "resource": { "kind": "K/L", "name": "n" } }),
            ".resource.kind: Invalid value: \"K/L\": may not contain '/'",
        ),
    ] {
        let error = format!("spec.defaultBackend{error}");
        check(create(ingress(json!({ "defaultBackend": backend }))), &[&error]);
    }
}

#[test]
fn paths_of_an_ingress_fit_their_type() {
    let at = "spec.rules[0].http.paths[0]";
    let path = |type_: &str, path: &str| {
        with_path(json!({ "path": path, "pathType": type_, "backend": backend() }))
    };
    for (type_, text, errors) in [
        ("Prefix", "a", vec!["must be an absolute path"]),
        ("Exact", "", vec!["must be an absolute path"]),
        ("Prefix", "/a//b", vec!["must not contain '//'"]),
        ("Exact", "/a/./b/../c", vec!["must not contain '/./'", "must not contain '/../'"]),
        ("Prefix", "/a%2Fb%2fc", vec!["must not contain '%2f'", "must not contain '%2F'"]),
        ("Prefix", "/a/..", vec!["cannot end with '/..'"]),
        ("Prefix", "/a/.", vec!["cannot end with '/.'"]),
        ("ImplementationSpecific", "a", vec!["must be an absolute path"]),
    ] {
        let full: Vec<String> =
            errors.iter().map(|why| format!("{at}.path: Invalid value: {text:?}: {why}")).collect();
        let full: Vec<&str> = full.iter().map(String::as_str).collect();
        check(create(path(type_, text)), &full);
    }
    created(path("ImplementationSpecific", ""));
    created(path("Prefix", "/a..b/"));
    check(
        create(path("Regex", "/")),
        &[&format!(
            "{at}.pathType: Unsupported value: \"Regex\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\""
        )],
    );
    check(
        create(with_path(json!({ "path": "x", "backend": {} }))),
        &[&format!("{at}.pathType: Required value: pathType must be specified")],
    );
}

#[test]
fn hosts_and_certificates_of_an_ingress_have_names() {
    let host =
        |host: &str| ingress(json!({ "rules": [{ "host": host }], "tls": [{ "hosts": [host] }] }));
    created(host("*.example.com"));
    let wildcard = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    check(
        create(host("a.*.com")),
        &[
            &format!("spec.rules[0].host: Invalid value: \"a.*.com\": {wildcard}"),
            &format!("spec.tls[0].hosts[0]: Invalid value: \"a.*.com\": {wildcard}"),
        ],
    );
    check(
        create(host("10.0.0.1")),
        &["spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address"],
    );
    let status = create(ingress(json!({
        "defaultBackend": backend(), "tls": [{ "secretName": "A" }], "ingressClassName": "",
    })));
    let causes = causes(&status.expect_err("refused"));
    assert!(causes[0].starts_with("spec.tls[0].secretName: Invalid value: \"A\": a lowercase RFC"));
    assert!(causes[1].starts_with("spec.ingressClassName: Invalid value: \"\": a lowercase RFC"));
}

#[test]
fn the_class_of_an_ingress_is_named_once() {
    let annotated = |class: Option<&str>| {
        let mut ingress = ingress(json!({ "defaultBackend": backend() }));
        ingress["metadata"]["annotations"] = json!({ "kubernetes.io/ingress.class": "a" });
        if let Some(class) = class {
            ingress["spec"]["ingressClassName"] = class.into();
        }
        ingress
    };
    check(
        create(annotated(Some("b"))),
        &[
            "annotations.kubernetes.io/ingress.class: Invalid value: \"a\": must match `ingressClassName` when both are specified",
        ],
    );
    let warn = warned;
    let old = created(annotated(None));
    assert_eq!(
        warn(&old, None),
        [
            "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
        ]
    );
    assert!(warn(&old, Some(&old)).is_empty());
    assert!(warn(&created(annotated(Some("a"))), None).is_empty());
    // What comes apart later is taken: another than the client may have written the annotation.
    let new = updated(&old, |new| new["spec"]["ingressClassName"] = "b".into());
    assert_eq!(new["metadata"]["generation"], 2);
}

#[test]
fn the_status_of_an_ingress_names_points_that_exist() {
    let old = created(ingress(json!({ "defaultBackend": backend() })));
    let status = |point: Value| {
        update(Target::Status, &old, |new| {
            new["status"] = json!({ "loadBalancer": { "ingress": [point] } });
        })
    };
    assert!(status(json!({ "ip": "10.0.0.1", "hostname": "a.example" })).is_ok());
    let at = "status.loadBalancer.ingress[0]";
    for (ip, why) in [
        ("x", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        ("010.0.0.1", "must not have leading 0s"),
        ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
    ] {
        check(status(json!({ "ip": ip })), &[&format!("{at}.ip: Invalid value: {ip:?}: {why}")]);
    }
    check(
        status(json!({ "hostname": "10.0.0.1" })),
        &[&format!(
            "{at}.hostname: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address"
        )],
    );
}

#[test]
fn ingress_classes_name_a_controller_and_its_parameters() {
    let parameters = |parameters: Value| {
        create(class(json!({ "controller": "example.com/x", "parameters": parameters })))
    };
    let new = parameters(json!({ "kind": "K", "name": "n" })).expect("accepted");
    assert_eq!(new["spec"]["parameters"]["scope"], "Cluster");
    let at = "spec.parameters";
    for (fields, error) in [
        (json!({ "name": "n" }), "kind: Required value"),
        (json!({ "kind": "K", "name": ".." }), "name: Invalid value: \"..\": may not be '..'"),
        (
            json!({ "kind": "K", "name": "n", "scope": "All" }),
            "scope: Unsupported value: \"All\": supported values: \"Cluster\", \"Namespace\"",
        ),
        (
            json!({ "kind": "K", "name": "n", "scope": "Namespace" }),
            "namespace: Required value: `parameters.scope` is set to 'Namespace'",
        ),
        (
            json!({ "kind": "K", "name": "n", "namespace": "x" }),
            "namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
        ),
        (
            json!({ "kind": "K", "name": "n", "scope": "Namespace", "namespace": "a.b" }),
            "namespace: Invalid value: \"a.b\": must not contain dots",
        ),
    ] {
        check(parameters(fields), &[&format!("{at}.{error}")]);
    }
    let long = format!("example.com/{}", "x".repeat(239));
    for (controller, error) in [
        ("", "Required value".to_owned()),
        (
            "nginx",
            "Invalid value: \"nginx\": must be a domain-prefixed path (such as \"acme.io/foo\")"
                .to_owned(),
        ),
        (
            "a.b/c d",
            "Invalid value: \"c d\": Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"
                .to_owned(),
        ),
        (&long, "Too long: may not be more than 250 bytes".to_owned()),
    ] {
        let error = format!("spec.controller: {error}");
        check(create(class(json!({ "controller": controller }))), &[&error]);
    }
    let old = created(class(json!({ "controller": "example.com/x" })));
    check(
        update(Target::Main, &old, |new| new["spec"]["controller"] = "example.com/y".into()),
        &["spec.controller: Invalid value: \"example.com/y\": field is immutable"],
    );
}

#[test]
fn network_policies_are_completed() {
    let new = created(policy(json!({ "egress": [{ "ports": [{}] }] })));
    assert_eq!(new["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(new["spec"]["egress"][0]["ports"][0]["protocol"], "TCP");
    assert_eq!(created(policy(json!({})))["spec"]["policyTypes"], json!(["Ingress"]));
    let warn = |new: &Value, old| {
        let kind = row(new);
        crate::warnings(crate::of(kind), kind, new, old)
    };
    let unenforced = "NetworkPolicy is stored, but nothing in this cluster enforces it yet";
    assert_eq!(warn(&new, None), [unenforced]);
    let odd = created(policy(json!({ "ingress": [{ "from": [
        { "ipBlock": { "cidr": "2001:DB8::/32" } },
    ] }] })));
    assert_eq!(
        warn(&odd, Some(&odd)),
        [
            "spec.ingress[0].from[0].ipBlock.cidr: IPv6 CIDR value \"2001:DB8::/32\" should be in RFC 5952 canonical format (\"2001:db8::/32\")",
            unenforced,
        ]
    );
}

#[test]
fn network_policies_name_ports_and_peers() {
    let at = "spec.ingress[0]";
    for (port, error) in [
        (
            json!({ "protocol": "ICMP" }),
            "protocol: Unsupported value: \"ICMP\": supported values: \"TCP\", \"UDP\", \"SCTP\"",
        ),
        (json!({ "port": 0 }), "port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        (
            json!({ "port": "a_b" }),
            "port: Invalid value: \"a_b\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (
            json!({ "endPort": 9 }),
            "endPort: Invalid value: 9: may not be specified when `port` is not specified",
        ),
        (
            json!({ "port": "http", "endPort": 9 }),
            "endPort: Invalid value: 9: may not be specified when `port` is non-numeric",
        ),
        (
            json!({ "port": 10, "endPort": 9 }),
            "endPort: Invalid value: 9: must be greater than or equal to `port`",
        ),
        (
            json!({ "port": 10, "endPort": 65536 }),
            "endPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
        ),
    ] {
        let error = format!("{at}.ports[0].{error}");
        check(create(policy(json!({ "ingress": [{ "ports": [port] }] }))), &[&error]);
    }
    let block =
        |cidr: &str, except: Value| json!({ "ipBlock": { "cidr": cidr, "except": except } });
    let cidr = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    for (peer, error) in [
        (json!({}), ": Required value: must specify a peer".to_owned()),
        (
            json!({ "podSelector": {}, "ipBlock": { "cidr": "10.0.0.0/8" } }),
            ": Forbidden: may not specify both ipBlock and another peer".to_owned(),
        ),
        (block("", json!([])), ".ipBlock.cidr: Required value".to_owned()),
        (block("10.0.0.0", json!([])), format!(".ipBlock.cidr: Invalid value: \"10.0.0.0\": {cidr}")),
        (block("10.0.0.0/33", json!([])), format!(".ipBlock.cidr: Invalid value: \"10.0.0.0/33\": {cidr}")),
        (
            block("10.0.0.1/8", json!([])),
            ".ipBlock.cidr: Invalid value: \"10.0.0.1/8\": must not have bits set beyond the prefix length".to_owned(),
        ),
        (
            block("10.0.0.0/08", json!([])),
            ".ipBlock.cidr: Invalid value: \"10.0.0.0/08\": must not have leading 0s in IP or prefix length".to_owned(),
        ),
        (
            block("::ffff:10.0.0.0/104", json!([])),
            ".ipBlock.cidr: Invalid value: \"::ffff:10.0.0.0/104\": must not have an IPv4-mapped IPv6 address".to_owned(),
        ),
        (
            block("10.0.0.0/8", json!(["11.0.0.0/16"])),
            ".ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`".to_owned(),
        ),
        (
            block("10.0.0.0/8", json!(["10.0.0.0/8"])),
            ".ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`".to_owned(),
        ),
        (
            json!({ "podSelector": { "matchExpressions": [{ "key": "a", "operator": "Is" }] } }),
            ".podSelector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator".to_owned(),
        ),
    ] {
        let error = format!("{at}.from[0]{error}");
        check(create(policy(json!({ "ingress": [{ "from": [peer] }] }))), &[&error]);
    }
    check(
        create(policy(json!({ "policyTypes": ["Ingress", "Both"] }))),
        &[
            "spec.policyTypes[1]: Unsupported value: \"Both\": supported values: \"Ingress\", \"Egress\"",
        ],
    );
    check(
        create(policy(json!({ "policyTypes": ["a", "b", "c"] }))),
        &[
            "spec.policyTypes: Invalid value: [\"a\",\"b\",\"c\"]: may not specify more than two policyTypes",
        ],
    );
}

#[test]
fn a_network_that_is_stored_may_stay_in_a_policy() {
    let from = |cidr: &str| json!([{ "from": [{ "ipBlock": { "cidr": cidr } }] }]);
    let mut old = created(policy(json!({ "ingress": from("10.0.0.0/8") })));
    old["spec"]["ingress"] = from("10.0.0.1/8");
    updated(&old, |new| new["metadata"]["labels"] = json!({ "a": "b" }));
    check(
        update(Target::Main, &old, |new| new["spec"]["ingress"] = from("10.0.0.2/8")),
        &[
            "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"10.0.0.2/8\": must not have bits set beyond the prefix length",
        ],
    );
}

#[test]
fn addresses_are_named_after_themselves() {
    let address = |name: &str, parent: Value| {
        create(object("IPAddress", name, json!({ "parentRef": parent })))
    };
    let parent = json!({ "resource": "services", "name": "web" });
    for (name, why) in [
        ("web", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        ("10.0.0.01", "must not have leading 0s"),
        ("2001:DB8::1", "must be in canonical form (\"2001:db8::1\")"),
    ] {
        let error = format!("metadata.name: Invalid value: {name:?}: {why}");
        check(address(name, parent.clone()), &[&error]);
    }
    check(create(object("IPAddress", "10.0.0.1", json!({}))), &["spec.parentRef: Required value"]);
    check(
        address("10.0.0.1", json!({ "namespace": "a/b" })),
        &[
            "spec.parentRef.resource: Required value",
            "spec.parentRef.name: Required value",
            "spec.parentRef.namespace: Invalid value: \"a/b\": may not contain '/'",
        ],
    );
    let old = address("2001:db8::1", parent).expect("accepted");
    check(
        update(Target::Main, &old, |new| new["spec"]["parentRef"]["name"] = "x".into()),
        &[
            "spec.parentRef: Invalid value: {\"Group\":\"\",\"Resource\":\"services\",\"Namespace\":\"\",\"Name\":\"x\"}: field is immutable",
        ],
    );
}

#[test]
fn networks_of_services_only_grow_by_a_family() {
    let network = |list: Value| create(object("ServiceCIDR", "n", json!({ "cidrs": list })));
    for (list, error) in [
        (json!([]), ": Required value: at least one CIDR required"),
        (
            json!(["a", "b", "c"]),
            ": Invalid value: {\"CIDRs\":[\"a\",\"b\",\"c\"]}: may only hold up to 2 values",
        ),
        (
            json!(["10.0.0.0/16", "10.1.0.0/16"]),
            ": Invalid value: [\"10.0.0.0/16\",\"10.1.0.0/16\"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ),
        (
            json!(["2001:DB8::/64"]),
            "[0]: Invalid value: \"2001:DB8::/64\": must be in canonical form (\"2001:db8::/64\")",
        ),
        (
            json!(["10.0.0.1/16"]),
            "[0]: Invalid value: \"10.0.0.1/16\": must not have bits set beyond the prefix length",
        ),
    ] {
        check(network(list), &[&format!("spec.cidrs{error}")]);
    }
    let old = network(json!(["10.0.0.0/16"])).expect("accepted");
    let change = |list: Value| update(Target::Main, &old, |new| new["spec"]["cidrs"] = list);
    assert!(change(json!(["10.0.0.0/16", "2001:db8::/64"])).is_ok());
    check(
        change(json!(["10.1.0.0/16"])),
        &["spec.cidrs[0]: Invalid value: \"10.1.0.0/16\": field is immutable"],
    );
    let none = with(old.clone(), &[("spec.cidrs", json!([]))]);
    let told = (crate::of(row(&old)).validate_update)(&none, &old);
    assert_eq!(told[0].to_string(), "spec.cidrs: Invalid value: []: field is immutable");
    let status = update(Target::Status, &old, |new| {
        new["metadata"]["labels"] = json!({ "a": "b" });
    });
    assert_eq!(status, Ok(Write::Unchanged));
}
