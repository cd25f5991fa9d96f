//! Gateways, their listeners and what they are told.

use super::super::writing::*;
use super::{Row, pairs, row};
use serde_json::{Value, json};

const KINDS: &str = "supportedKinds.0.kind=HTTPRoute";

fn secret(fields: Value) -> Value {
    json!([https("https", "", fields)])
}

pub fn rows() -> Vec<Row> {
    let mut all = vec![
        classes(),
        isolation(),
        row(
            "GatewayInvalidParametersRef",
            vec![object("gateways", "g", json!({"gatewayClassName": "leme", "listeners": [http("http", "")],
                "infrastructure": {"parametersRef": {"group": "x.io", "kind": "X", "name": "x"}}}))],
            &[("gateways g", "!Accepted/InvalidParameters")],
            &[],
        ),
        row(
            "GatewayInvalidRouteKind",
            vec![
                gateway("one", json!([with(http("http", ""), only(&["OtherRoute"]))])),
                gateway("two", json!([with(http("http", ""), only(&["OtherRoute", "HTTPRoute"]))])),
            ],
            &[
                ("gateways one http", "!ResolvedRefs/InvalidRouteKinds supportedKinds=[]"),
                ("gateways two http", &format!("!ResolvedRefs/InvalidRouteKinds {KINDS}")),
            ],
            &[],
        ),
        row(
            "GatewayInvalidTLSConfiguration",
            vec![
                gateway("absent", secret(json!({"name": "none"}))),
                gateway("group", secret(json!({"name": "certificate", "group": "x.io"}))),
                gateway("kind", secret(json!({"name": "certificate", "kind": "Other"}))),
                gateway("malformed", secret(json!({"name": "malformed"}))),
            ],
            &["absent", "group", "kind", "malformed"].map(|name| {
                let name: &'static str = Box::leak(format!("gateways {name} https").into_boxed_str());
                (name, "!ResolvedRefs/InvalidCertificateRef !Programmed supportedKinds.0.kind=HTTPRoute")
            }),
            &[],
        ),
        row(
            "GatewayListenerUnsupportedProtocol",
            vec![
                gateway("none", json!([at("odd", 1111, "ODD", "")])),
                gateway("some", json!([http("http", ""), at("odd", 1111, "ODD", "")])),
            ],
            &[
                ("gateways none", "!Accepted/ListenersNotValid"),
                ("gateways none odd", "!Accepted/UnsupportedProtocol supportedKinds=[]"),
                ("gateways some", "Accepted/ListenersNotValid"),
                ("gateways some http", "Accepted/Accepted supportedKinds.0.kind=HTTPRoute"),
            ],
            &[],
        ),
        modified(),
        generations(),
        row(
            "GatewayOptionalAddressValue",
            vec![object("gateways", "g", json!({"gatewayClassName": "leme", "listeners": [http("http", "")],
                "addresses": [{"type": "IPAddress"}]}))],
            &[("gateways g", "Accepted Programmed addresses.0.value=127.0.0.1")],
            &[],
        ),
        addresses(),
        attached(),
        row(
            "GatewayWithAttachedRoutesWithPort8080",
            vec![
                gateway("g", json!([at("free", 8080, "HTTP", ""), http("http", "")])),
                to("g/http", "r", &[], json!([rule(&["/attached"], "v1")])),
            ],
            &[
                ("gateways g free", "Accepted ResolvedRefs attachedRoutes=0"),
                ("gateways g http", "Accepted ResolvedRefs attachedRoutes=1"),
            ],
            &[("http://x.test/attached", "v1"), ("http://x.test:8080/attached", "404")],
        ),
    ];
    all.extend(secrets());
    all
}

fn classes() -> Row {
    let class = (
        "gatewayclasses",
        json!({"metadata": {"name": "second", "generation": 1},
        "spec": {"controllerName": "leme.dev/gateway-controller"}}),
    );
    let bumped = json!({"metadata": {"name": "second", "generation": 2}});
    Row {
        put: vec![class.clone()],
        told: pairs(&[("gatewayclasses second", "Accepted conditions.0.observedGeneration=1")]),
        then: vec![(
            class,
            bumped,
            pairs(&[("gatewayclasses second", "Accepted conditions.0.observedGeneration=2")]),
        )],
        ..row("GatewayClassObservedGenerationBump", vec![], &[], &[])
    }
}

fn isolation() -> Row {
    let listeners = [
        ("any", ""),
        ("domain", "*.iso.test"),
        ("sub", "*.foo.iso.test"),
        ("exact", "abc.foo.iso.test"),
    ];
    let all: Vec<Value> = listeners.iter().map(|(name, host)| http(name, host)).collect();
    let mut put = vec![gateway("iso", all.into())];
    for (name, _) in listeners {
        let path = format!("/to-{name}");
        put.push(to(&format!("iso/{name}"), name, &[], json!([rule(&[&path], "v1")])));
    }
    let mut asked = Vec::new();
    for (host, mine) in [
        ("bar.test", "any"),
        ("bar.iso.test", "domain"),
        ("bar.foo.iso.test", "sub"),
        ("abc.foo.iso.test", "exact"),
    ] {
        for (name, _) in listeners {
            let expected = if name == mine { "v1" } else { "404" };
            asked.push((format!("http://{host}/to-{name}"), expected.to_owned()));
        }
    }
    Row { asked, ..row("GatewayHTTPListenerIsolation", put, &[], &[]) }
}

fn modified() -> Row {
    let one = gateway("g", json!([http("one", "one.test")]));
    let both = json!({"metadata": {"namespace": "infra", "name": "g", "generation": 2}, "spec": {
        "gatewayClassName": "leme", "listeners": [http("one", "one.test"), http("two", "two.test")]}});
    let left = json!({"metadata": {"namespace": "infra", "name": "g", "generation": 3}, "spec": {
        "gatewayClassName": "leme", "listeners": [http("two", "two.test")]}});
    let put = vec![one.clone(), to("g", "r", &[], json!([rule(&[], "v1")]))];
    let two = pairs(&[
        ("gateways g one", "Accepted ResolvedRefs attachedRoutes=1"),
        ("gateways g two", "Accepted ResolvedRefs attachedRoutes=1"),
    ]);
    let end =
        pairs(&[("gateways g", "Accepted conditions.0.observedGeneration=3 listeners.0.name=two")]);
    Row {
        then: vec![(one.clone(), both, two), (one, left, end)],
        ..row(
            "GatewayModifyListeners",
            put,
            &[("gateways g one", "attachedRoutes=1")],
            &[("http://one.test/", "v1")],
        )
    }
}

fn generations() -> Row {
    let one = gateway("g", json!([http("http", "g.test")]));
    let bumped = json!({"metadata": {"namespace": "infra", "name": "g", "generation": 2}});
    let told = pairs(&[
        (
            "gateways g",
            "Accepted conditions.0.observedGeneration=2 conditions.1.observedGeneration=2",
        ),
        ("gateways g http", "conditions.0.observedGeneration=2"),
    ]);
    Row {
        then: vec![(one.clone(), bumped, told)],
        ..row(
            "GatewayObservedGenerationBump",
            vec![one],
            &[("gateways g", "conditions.0.observedGeneration=1")],
            &[],
        )
    }
}

fn addresses() -> Row {
    let spec = |addresses: Value| json!({"gatewayClassName": "leme", "listeners": [http("http", "")], "addresses": addresses});
    let odd = json!({"type": "x.io/odd", "value": "odd"});
    let (foreign, own) = (json!({"value": "192.0.2.1"}), json!({"value": "127.0.0.1"}));
    let one = object("gateways", "g", spec(json!([odd, foreign, own])));
    let change = |addresses: Value, generation: i64| json!({"metadata": {"namespace": "infra", "name": "g", "generation": generation}, "spec": spec(addresses)});
    let unusable = pairs(&[("gateways g", "Accepted !Programmed/AddressNotUsable addresses=[]")]);
    let good = pairs(&[("gateways g", "Accepted Programmed addresses.0.value=127.0.0.1")]);
    Row {
        then: vec![
            (one.clone(), change(json!([foreign, own]), 2), unusable),
            (one.clone(), change(json!([own]), 3), good),
        ],
        ..row(
            "GatewayStaticAddresses",
            vec![one],
            &[("gateways g", "!Accepted/UnsupportedAddress")],
            &[],
        )
    }
}

fn attached() -> Row {
    let selected = json!({"allowedRoutes": {"kinds": [{"kind": "HTTPRoute"}],
        "namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "infra"}}}}});
    let rules = || json!([rule(&["/attached"], "v1")]);
    row(
        "GatewayWithAttachedRoutes",
        vec![
            gateway("one", json!([with(http("http", ""), selected.clone())])),
            gateway("two", json!([with(http("http", "foo.test"), selected.clone())])),
            gateway("lost", json!([with(https("tls", "", json!({"name": "none"})), selected)])),
            to("one", "r1", &[], rules()),
            to("two", "r2", &[], rules()),
            to("two", "r3", &[], rules()),
            to("two", "stranger", &["bar.test"], rules()),
            to("lost/tls", "r4", &[], json!([rule(&[], "none")])),
        ],
        &[
            ("gateways one http", "Accepted ResolvedRefs attachedRoutes=1"),
            ("gateways two http", "Accepted ResolvedRefs attachedRoutes=2"),
            ("gateways lost tls", "!Programmed !ResolvedRefs attachedRoutes=1"),
            ("httproutes stranger", "!Accepted/NoMatchingListenerHostname"),
            ("httproutes r4", "!ResolvedRefs/BackendNotFound"),
        ],
        &[],
    )
}

fn secrets() -> Vec<Row> {
    let there = || gateway("g", secret(json!({"name": "certificate", "namespace": "web"})));
    let to = |name: Option<&str>| match name {
        Some(name) => json!({"group": "", "kind": "Secret", "name": name}),
        None => json!({"group": "", "kind": "Secret"}),
    };
    let refused = "!ResolvedRefs/RefNotPermitted supportedKinds.0.kind=HTTPRoute attachedRoutes=0";
    let granted = "Accepted ResolvedRefs Programmed";
    let mut wrong = vec![there()];
    let other_group = json!({"group": "x.io", "kind": "Gateway", "namespace": "infra"});
    for (name, from, to) in [
        ("from-group", other_group, to(Some("certificate"))),
        ("from-kind", of("HTTPRoute", "infra"), to(Some("certificate"))),
        ("from-namespace", of("Gateway", "other"), to(Some("certificate"))),
        (
            "to-group",
            of("Gateway", "infra"),
            json!({"group": "x.io", "kind": "Secret", "name": "certificate"}),
        ),
        (
            "to-kind",
            of("Gateway", "infra"),
            json!({"group": "", "kind": "Service", "name": "certificate"}),
        ),
        ("to-name", of("Gateway", "infra"), to(Some("another"))),
    ] {
        wrong.push(grant(name, from, to));
    }
    wrong.push(within(
        "other",
        "referencegrants",
        "elsewhere",
        json!({
        "from": [of("Gateway", "infra")], "to": [to(Some("certificate"))]}),
    ));
    let whole = grant("whole", of("Gateway", "infra"), to(None));
    let one = grant("one", of("Gateway", "infra"), to(Some("certificate")));
    vec![
        row("GatewaySecretInvalidReferenceGrant", wrong, &[("gateways g https", refused)], &[]),
        row(
            "GatewaySecretMissingReferenceGrant",
            vec![there()],
            &[("gateways g https", refused)],
            &[],
        ),
        row(
            "GatewaySecretReferenceGrantAllInNamespace",
            vec![there(), whole],
            &[("gateways g https", granted)],
            &[],
        ),
        row(
            "GatewaySecretReferenceGrantSpecific",
            vec![there(), one],
            &[("gateways g https", granted)],
            &[],
        ),
    ]
}
