//! What HTTPRoutes refer to: parents, and backends in their namespace and in others.

use super::super::writing::*;
use super::{Row, pairs, row};
use serde_json::{Value, json};

fn service(name: &str) -> Value {
    json!({"group": "", "kind": "Service", "name": name})
}

fn parent(name: &str, more: Value) -> super::super::writing::Put {
    object(
        "httproutes",
        name,
        json!({"parentRefs": [with(json!({"name": "same"}), more)], "rules": [rule(&[], "v1")]}),
    )
}

pub fn rows() -> Vec<Row> {
    let across = json!({"parentRefs": [{"name": "all", "namespace": "infra"}], "rules": [rule(&["/across"], "v1")]});
    let shut =
        json!({"parentRefs": [{"name": "same", "namespace": "infra"}], "rules": [rule(&[], "v1")]});
    let odd =
        json!([{"backendRefs": [{"group": "x.io", "kind": "Odd", "name": "v1", "port": 8080}]}]);
    vec![
        row(
            "HTTPRouteCrossNamespace",
            vec![within("web", "httproutes", "r", across)],
            &[("httproutes web/r", "Accepted ResolvedRefs")],
            &[("http://x.test/across", "web-v1")],
        ),
        row(
            "HTTPRouteDisallowedKind",
            vec![
                gateway("only", json!([with(at("http", 8081, "HTTP", ""), only(&["HTTPRoute"]))])),
                tls("only", "t", &["t.test"], "tls"),
            ],
            &[
                ("tlsroutes t", "!Accepted/NotAllowedByListeners"),
                ("gateways only http", "attachedRoutes=0"),
            ],
            &[],
        ),
        row(
            "HTTPRouteInvalidBackendRefUnknownKind",
            vec![route("r", odd)],
            &[("httproutes r", "Accepted !ResolvedRefs/InvalidKind")],
            &[("http://x.test/v2", "500")],
        ),
        row(
            "HTTPRouteInvalidCrossNamespaceBackendRef",
            vec![route("r", json!([rule(&[], "web/v1")]))],
            &[("httproutes r", "Accepted !ResolvedRefs/RefNotPermitted")],
            &[("http://x.test/", "500")],
        ),
        row(
            "HTTPRouteInvalidCrossNamespaceParentRef",
            vec![within("web", "httproutes", "r", shut)],
            &[
                ("httproutes web/r", "!Accepted/NotAllowedByListeners"),
                ("gateways same http", "attachedRoutes=0"),
            ],
            &[("http://x.test/", "404")],
        ),
        row(
            "HTTPRouteInvalidNonExistentBackendRef",
            vec![route("r", json!([rule(&[], "none")]))],
            &[("httproutes r", "Accepted !ResolvedRefs/BackendNotFound")],
            &[("http://x.test/", "500")],
        ),
        row(
            "HTTPRouteInvalidParentRefNotMatchingListenerPort",
            vec![parent("r", json!({"port": 81}))],
            &[
                ("httproutes r", "!Accepted/NoMatchingParent"),
                ("gateways same http", "attachedRoutes=0"),
            ],
            &[],
        ),
        row(
            "HTTPRouteInvalidParentRefNotMatchingSectionName",
            vec![parent("r", json!({"sectionName": "other"}))],
            &[
                ("httproutes r", "!Accepted/NoMatchingParent"),
                ("gateways same http", "attachedRoutes=0"),
            ],
            &[],
        ),
        row(
            "HTTPRouteInvalidParentRefSectionNameNotMatchingPort",
            vec![parent("r", json!({"sectionName": "http", "port": 81}))],
            &[
                ("httproutes r", "!Accepted/NoMatchingParent"),
                ("gateways same http", "attachedRoutes=0"),
            ],
            &[],
        ),
        wrong_grants(),
        row(
            "HTTPRouteReferenceGrant",
            vec![
                grant("whole", of("HTTPRoute", "infra"), json!({"group": "", "kind": "Service"})),
                route("r", json!([rule(&[], "web/v1")])),
            ],
            &[("httproutes r", "Accepted ResolvedRefs")],
            &[("http://x.test/", "web-v1")],
        ),
        row(
            "HTTPRoutePartiallyInvalidViaInvalidReferenceGrant",
            vec![
                grant("one", of("HTTPRoute", "infra"), service("v1")),
                route("r", json!([rule(&["/v2"], "web/v2"), rule(&[], "web/v1")])),
            ],
            &[("httproutes r", "Accepted !ResolvedRefs/RefNotPermitted")],
            &[("http://x.test/v2", "500"), ("http://x.test/", "web-v1")],
        ),
        row(
            "HTTPRouteNoBackendRefs",
            vec![route(
                "r",
                json!([
                    rule(&["=/omitted"], ""),
                    with(rule(&["=/empty"], ""), json!({"backendRefs": []})),
                    rule(&["/"], "v1"),
                ]),
            )],
            &[("httproutes r", "Accepted ResolvedRefs")],
            &[
                ("http://x.test/forward", "v1"),
                ("http://x.test/omitted", "500"),
                ("http://x.test/empty", "500"),
            ],
        ),
        generations(),
        // Services here have no selector and no cluster address; one has no endpoints.
        row(
            "HTTPRouteServiceTypes",
            vec![route("r", json!([rule(&["=/headless"], "v1"), rule(&["=/empty"], "empty")]))],
            &[("httproutes r", "Accepted ResolvedRefs")],
            &[("http://x.test/headless", "v1"), ("http://x.test/empty", "503")],
        ),
        row(
            "HTTPRouteBackendProtocolWebSocket",
            vec![route("r", json!([rule(&[], "v1:8082")]))],
            &[("httproutes r", "Accepted ResolvedRefs")],
            &[("http://x.test/ @Connection=Upgrade @Upgrade=websocket", "101 res:x-app=v1")],
        ),
    ]
}

fn wrong_grants() -> Row {
    let mut put = vec![route("r", json!([rule(&[], "web/v1")]))];
    for (name, from, to) in [
        (
            "from-group",
            json!({"group": "x.io", "kind": "HTTPRoute", "namespace": "infra"}),
            service("v1"),
        ),
        ("from-kind", of("Gateway", "infra"), service("v1")),
        ("from-namespace", of("HTTPRoute", "other"), service("v1")),
        (
            "to-group",
            of("HTTPRoute", "infra"),
            json!({"group": "x.io", "kind": "Service", "name": "v1"}),
        ),
        ("to-kind", of("HTTPRoute", "infra"), json!({"group": "", "kind": "Secret", "name": "v1"})),
        ("to-name", of("HTTPRoute", "infra"), service("v2")),
    ] {
        put.push(grant(name, from, to));
    }
    let told = [("httproutes r", "Accepted !ResolvedRefs/RefNotPermitted")];
    row("HTTPRouteInvalidReferenceGrant", put, &told, &[("http://x.test/", "500")])
}

fn generations() -> Row {
    let one = route("r", json!([rule(&[], "v1")]));
    let bumped = json!({"metadata": {"namespace": "infra", "name": "r", "generation": 2}});
    let told = pairs(&[(
        "httproutes r",
        "Accepted conditions.0.observedGeneration=2 conditions.1.observedGeneration=2",
    )]);
    Row {
        then: vec![(one.clone(), bumped, told)],
        ..row(
            "HTTPRouteObservedGenerationBump",
            vec![one],
            &[("httproutes r", "conditions.0.observedGeneration=1")],
            &[],
        )
    }
}
