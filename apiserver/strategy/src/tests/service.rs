//! Services: defaults, numbers handed out and kept, validation.

use super::*;

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" },
        "spec": { "selector": { "a": "b" }, "ports": [{ "port": 80 }] },
    })
}

#[test]
fn a_bare_service_is_completed_as_upstream_completes_it() {
    assert_eq!(
        created(service())["spec"],
        json!({
            "selector": { "a": "b" }, "ports": [{ "port": 80, "protocol": "TCP", "targetPort": 80 }],
            "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
        })
    );
    assert_eq!(created(service())["status"], json!({ "loadBalancer": {} }));
}

#[test]
fn a_headless_service_gets_no_address() {
    let spec = created(with(service(), &[("spec.clusterIP", json!("None"))]))["spec"].clone();
    assert_eq!((&spec["clusterIP"], &spec["clusterIPs"]), (&json!("None"), &json!(["None"])));
}

#[test]
fn an_update_without_address_keeps_it_and_another_is_refused() {
    let old = created(service());
    let write = update(Target::Main, &old, |new| {
        new["spec"] = service()["spec"].clone();
    });
    assert_eq!(write, Ok(Write::Unchanged));
    check(
        update(Target::Main, &old, |new| new["spec"]["clusterIP"] = "10.96.0.7".into()),
        &["spec.clusterIPs[0]: Invalid value: [\"10.96.0.7\"]: may not change once set"],
    );
}

// Red with the port as it was sent.
#[test]
fn a_port_that_is_there_twice_is_shown_by_what_is_compared() {
    let ports = json!([{ "name": "a", "port": 80 }, { "name": "b", "port": 80, "targetPort": 81 }]);
    check(
        create(with(service(), &[("spec.ports", ports)])),
        &[
            "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\"TargetPort\":0,\"NodePort\":0}",
        ],
    );
}

#[test]
fn numbers_that_are_taken_are_refused() {
    check(
        create(with(service(), &[("spec.clusterIP", json!("10.96.0.9"))])),
        &[
            "spec.clusterIPs: Invalid value: [\"10.96.0.9\"]: failed to allocate IP 10.96.0.9: provided IP is already allocated",
        ],
    );
    let body = with(
        service(),
        &[
            ("spec.type", json!("NodePort")),
            ("spec.ports", json!([{ "port": 80, "nodePort": 30009 }])),
        ],
    );
    check(
        create(body),
        &["spec.ports[0].nodePort: Invalid value: 30009: provided port is already allocated"],
    );
}

#[test]
fn node_ports_come_and_go_with_the_type() {
    let old = created(with(service(), &[("spec.type", json!("NodePort"))]));
    let port = old["spec"]["ports"][0]["nodePort"].clone();
    assert_eq!(port, 30_002);
    assert_eq!(old["spec"]["externalTrafficPolicy"], "Cluster");
    let same = update(Target::Main, &old, |new| {
        new["spec"]["ports"] = json!([{ "port": 80 }]);
    });
    assert_eq!(same, Ok(Write::Unchanged));
    let plain = updated(&old, |new| new["spec"]["type"] = "ClusterIP".into());
    assert_eq!(plain["spec"]["ports"][0].get("nodePort"), None);
    assert_eq!(plain["spec"].get("externalTrafficPolicy"), None);
    assert_eq!(plain["spec"]["clusterIP"], old["spec"]["clusterIP"]);
}

#[test]
fn services_are_checked() {
    check(create(with(service(), &[("spec.ports", json!([]))])), &["spec.ports: Required value"]);
    let ports = json!([{ "port": 0 }, { "port": 80, "name": "a" }, { "port": 81, "name": "a", "targetPort": "x Y" }]);
    check(
        create(with(service(), &[("spec.ports", ports)])),
        &[
            "spec.ports[0].name: Required value",
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[2].name: Duplicate value: \"a\"",
            "spec.ports[2].targetPort: Invalid value: \"x Y\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ],
    );
    check(
        create(with(service(), &[("spec.ports", json!([{ "port": 80, "nodePort": 30001 }]))])),
        &["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    );
    check(
        create(with(service(), &[("spec.type", json!("Magic"))])),
        &[
            "spec.type: Unsupported value: \"Magic\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
        ],
    );
    check(
        create(with(service(), &[("spec.type", json!("ExternalName"))])),
        &["spec.externalName: Required value"],
    );
    // Red with labels that start with a letter: upstream's gate for other names is open since 1.36.
    let named = |name: &str| create(with(service(), &[("metadata.name", json!(name))]));
    assert!(named("1s").is_ok());
    check(named("s.t"), &["metadata.name: Invalid value: \"s.t\": must not contain dots"]);
}

#[test]
fn there_is_one_address_family() {
    check(
        create(with(service(), &[("spec.ipFamilyPolicy", json!("RequireDualStack"))])),
        &[
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
        ],
    );
    check(
        create(with(service(), &[("spec.ipFamilies", json!(["IPv6"]))])),
        &["spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"],
    );
    let outside = json!({ "clusterIP": "None", "ports": [{ "port": 1 }] });
    let spec = created(with(service(), &[("spec", outside)]))["spec"].clone();
    assert_eq!(spec["ipFamilies"], json!(["IPv4", "IPv6"]));
}

/// Red when each port is looked for among all ports of before: that takes minutes, this a moment.
#[test]
fn a_service_of_very_many_ports_costs_no_more_than_their_number() {
    let protocols = ["TCP", "UDP", "SCTP"];
    let ports: Vec<Value> = (1..=20_000)
        .flat_map(|port| protocols.map(|protocol| json!({ "port": port, "protocol": protocol, "name": format!("{protocol}-{port}").to_lowercase() })))
        .collect();
    let spec = json!({ "selector": { "a": "b" }, "ports": ports });
    let old = created(with(service(), &[("spec", spec)]));
    let new = updated(&old, |new| new["spec"]["ports"][59_999]["targetPort"] = "http".into());
    assert_eq!(new["spec"]["ports"][59_999]["targetPort"], "http");
    assert_eq!(new["spec"]["ports"][59_998], old["spec"]["ports"][59_998]);
}

// CVE-2020-8554. Red when the strategy has no `deny`: any address could be taken over.
#[test]
fn external_addresses_may_stay_and_none_may_be_added() {
    let outside = |list: Value| with(service(), &[("spec.externalIPs", list)]);
    let denied = "services \"s\" is forbidden: Use of external IPs is denied by admission control.";
    let status = create(outside(json!(["203.0.113.7"]))).expect_err("refused");
    assert_eq!((status.code, status.message.as_str()), (403, denied));
    // As an older server may have stored it.
    let old =
        with(created(service()), &[("spec.externalIPs", json!(["203.0.113.7", "203.0.113.8"]))]);
    updated(&old, |new| new["metadata"]["labels"] = json!({ "a": "b" }));
    updated(&old, |new| new["spec"]["externalIPs"] = json!(["203.0.113.8"]));
    let more =
        update(Target::Main, &old, |new| new["spec"]["externalIPs"] = json!(["203.0.113.9"]));
    assert_eq!(more.expect_err("refused").message, denied);
    check(
        create(outside(json!(["127.0.0.1"]))),
        &[
            "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
        ],
    );
}

#[test]
fn services_warn_of_what_does_nothing() {
    let warnings = |changes: &[(&str, Value)]| {
        let object = with(
            service(),
            &[("spec.type", json!("ClusterIP")), ("spec.sessionAffinity", json!("None"))],
        );
        let object = with(object, changes);
        (crate::of(row(&object)).warn)(&object, None)
    };
    assert_eq!(warnings(&[]), Vec::<String>::new());
    assert_eq!(
        warnings(&[
            ("spec.clusterIP", json!("None")),
            ("spec.loadBalancerIP", json!("192.0.2.1")),
            ("spec.sessionAffinity", json!("ClientIP")),
            ("spec.externalName", json!("a.test")),
            (
                "metadata.annotations",
                json!({ "service.kubernetes.io/topology-aware-hints": "auto" })
            ),
        ]),
        [
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead",
            "spec.loadBalancerIP is ignored for headless services",
            "spec.SessionAffinity is ignored for headless services",
            "spec.externalName is ignored when spec.type is not \"ExternalName\"",
        ]
    );
    assert_eq!(
        warnings(&[("spec.externalIPs", json!(["2001:DB8::1", "::ffff:192.0.2.1"]))]),
        [
            "spec.externalIPs[0]: IPv6 address \"2001:DB8::1\" should be in RFC 5952 canonical format (\"2001:db8::1\")",
            "spec.externalIPs[1]: non-standard IP address \"::ffff:192.0.2.1\" will be considered invalid in a future Kubernetes release: use \"192.0.2.1\"",
        ]
    );
}

/// A service of a type, with more fields.
fn of_type(type_: &str, fields: Value) -> Value {
    let mut body = with(service(), &[("spec.type", json!(type_))]);
    body["spec"].as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    body
}

#[test]
fn what_is_said_of_the_outside_must_fit_the_type() {
    let only = "may only be used when `type` is 'LoadBalancer'";
    let check_port =
        "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    let cidr = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let name = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    for (type_, fields, errors) in [
        (
            "ClusterIP",
            json!({ "externalTrafficPolicy": "Local" }),
            vec!["spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services".to_owned()],
        ),
        (
            "NodePort",
            json!({ "externalTrafficPolicy": "Foo" }),
            vec!["spec.externalTrafficPolicy: Unsupported value: \"Foo\": supported values: \"Cluster\", \"Local\"".to_owned()],
        ),
        (
            "ClusterIP",
            json!({ "loadBalancerSourceRanges": ["10.0.0.0/8"] }),
            vec![format!("spec.LoadBalancerSourceRanges: Forbidden: {only}")],
        ),
        (
            "LoadBalancer",
            json!({ "loadBalancerSourceRanges": [" 10.0.0.0/8", "x", "10.0.0.0/33", "::/129", "::/"] }),
            ["x", "10.0.0.0/33", "::/129", "::/"]
                .iter()
                .enumerate()
                .map(|(index, range)| {
                    let at = format!("spec.LoadBalancerSourceRanges[{}]", index + 1);
                    format!("{at}: Invalid value: {range:?}: {cidr}")
                })
                .collect(),
        ),
        (
            "ClusterIP",
            json!({ "healthCheckNodePort": 30000 }),
            vec![format!("spec.healthCheckNodePort: Invalid value: 30000: {check_port}")],
        ),
        (
            "LoadBalancer",
            json!({ "healthCheckNodePort": 30000, "externalTrafficPolicy": "Cluster" }),
            vec![format!("spec.healthCheckNodePort: Invalid value: 30000: {check_port}")],
        ),
        (
            "ClusterIP",
            json!({ "allocateLoadBalancerNodePorts": false }),
            vec![format!("spec.allocateLoadBalancerNodePorts: Forbidden: {only}")],
        ),
        (
            "ClusterIP",
            json!({ "loadBalancerClass": "a.test/b" }),
            vec![format!("spec.loadBalancerClass: Forbidden: {only}")],
        ),
        (
            "LoadBalancer",
            json!({ "loadBalancerClass": "A B" }),
            vec![format!("spec.loadBalancerClass: Invalid value: \"A B\": {name}")],
        ),
        (
            "ClusterIP",
            json!({ "trafficDistribution": "Foo" }),
            vec!["spec.trafficDistribution: Unsupported value: \"Foo\": supported values: \"PreferClose\", \"PreferSameNode\", \"PreferSameZone\"".to_owned()],
        ),
        (
            "ClusterIP",
            json!({ "ports": [{ "port": 80, "appProtocol": "a b" }] }),
            vec![format!("spec.ports[0].appProtocol: Invalid value: \"a b\": {name}")],
        ),
    ] {
        let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
        check(create(of_type(type_, fields)), &errors);
    }
    let annotation = |type_: &str, ranges: &str| {
        let key = "service.beta.kubernetes.io/load-balancer-source-ranges";
        with(of_type(type_, json!({})), &[("metadata.annotations", json!({ key: ranges }))])
    };
    let at = "metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]";
    check(
        create(annotation("ClusterIP", "x")),
        &[
            format!("{at}: Forbidden: {only}").as_str(),
            format!("{at}: Invalid value: \"x\": {cidr}").as_str(),
        ],
    );
    created(annotation("LoadBalancer", " 10.0.0.0/8, ::/0 "));
    created(of_type(
        "LoadBalancer",
        json!({
            "externalTrafficPolicy": "Local", "healthCheckNodePort": 30000, "loadBalancerClass": "a.test/b",
            "allocateLoadBalancerNodePorts": false, "loadBalancerSourceRanges": ["10.0.0.0/8"],
            "trafficDistribution": "PreferClose", "ports": [{ "port": 80, "appProtocol": "kubernetes.io/h2c" }],
        }),
    ));
}

#[test]
fn a_change_of_type_takes_along_what_only_the_old_one_may_say() {
    let old = created(of_type(
        "LoadBalancer",
        json!({ "externalTrafficPolicy": "Local", "healthCheckNodePort": 30000, "loadBalancerClass": "a.test/b" }),
    ));
    check(
        update(Target::Main, &old, |new| {
            new["spec"]["loadBalancerClass"] = "a.test/c".into();
            new["spec"]["healthCheckNodePort"] = 30002.into();
        }),
        &[
            "spec.loadBalancerClass: Invalid value: \"a.test/c\": may not change once set",
            "spec.healthCheckNodePort: Forbidden: field is immutable",
        ],
    );
    let plain = updated(&old, |new| new["spec"]["type"] = "ClusterIP".into());
    for field in [
        "allocateLoadBalancerNodePorts",
        "externalTrafficPolicy",
        "healthCheckNodePort",
        "loadBalancerClass",
    ] {
        assert_eq!(plain["spec"].get(field), None, "{field}");
    }
}

// Red when only the first of `clusterIPs` is looked at: the second was dropped without a word.
#[test]
fn addresses_and_families_must_agree() {
    let empty = "must be empty when `clusterIP` is not specified";
    let (first, second) = ("10.96.3.3", "10.96.3.4");
    for (fields, errors) in [
        (
            json!({ "clusterIPs": [first] }),
            vec![format!("spec.clusterIPs: Invalid value: [{first:?}]: {empty}")],
        ),
        (
            json!({ "clusterIP": first, "clusterIPs": [first, second] }),
            vec![format!("spec.clusterIPs: Invalid value: [{first:?},{second:?}]: may specify no more than one IP for each IP family")],
        ),
        (
            json!({ "clusterIP": first, "clusterIPs": [first, "fd00::1"] }),
            vec![format!("spec.clusterIPs[1]: Invalid value: [{first:?},\"fd00::1\"]: IPv6 is not configured on this cluster")],
        ),
        (
            json!({ "clusterIP": "None", "clusterIPs": ["None", second] }),
            vec![format!("spec.clusterIPs: Invalid value: [\"None\",{second:?}]: 'None' must be the first and only value")],
        ),
        (
            json!({ "clusterIP": "x" }),
            vec!["spec.clusterIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
        ),
        (
            json!({ "clusterIP": first, "ipFamilies": ["IPv6"] }),
            vec![format!("spec.clusterIPs[0]: Invalid value: {first:?}: expected an IPv6 value as indicated by `ipFamilies[0]`")],
        ),
        (
            json!({ "ipFamilies": ["IPv4", "IPv4"] }),
            vec!["spec.ipFamilies[1]: Duplicate value: \"IPv4\"".to_owned()],
        ),
        (
            json!({ "ipFamilies": ["IPv5"] }),
            vec!["spec.ipFamilies[0]: Unsupported value: \"IPv5\": supported values: \"IPv4\", \"IPv6\"".to_owned()],
        ),
        (
            json!({ "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "SingleStack" }),
            vec!["spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified".to_owned()],
        ),
    ] {
        let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
        check(create(of_type("ClusterIP", fields)), &errors);
    }
    check(
        create(of_type("ExternalName", json!({ "clusterIP": first }))),
        &[
            "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
            "spec.externalName: Required value",
        ],
    );
    let old = created(of_type(
        "ClusterIP",
        json!({ "clusterIP": first, "clusterIPs": [first], "ipFamilies": ["IPv4"] }),
    ));
    check(
        update(Target::Main, &old, |new| new["spec"]["clusterIP"] = Value::Null),
        &["spec.clusterIPs[0]: Invalid value: null: primary clusterIP can not be unset"],
    );
}
