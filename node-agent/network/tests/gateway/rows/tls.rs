//! TLS that ends here, and TLS that is passed through.

use super::super::writing::*;
use super::{Row, row};
use serde_json::{Value, json};

fn passing(name: &str, host: &str) -> Put {
    gateway(name, json!([through("tls", host)]))
}

pub fn rows() -> Vec<Row> {
    let odd: Value = json!([{"group": "x.io", "kind": "Odd", "name": "tls", "port": 8080}]);
    let odd = object(
        "tlsroutes",
        "r",
        json!({"parentRefs": [{"name": "g"}], "hostnames": ["p.test"],
        "rules": [{"backendRefs": odd}]}),
    );
    vec![
        row(
            "HTTPRouteHTTPSListener",
            vec![
                to("secure", "r1", &["x.test"], json!([rule(&[], "v1")])),
                to("secure/named", "r2", &[], json!([rule(&[], "v2")])),
            ],
            &[],
            &[
                ("https://x.test/", "v1 cert:x.test"),
                ("https://unknown.test/", "404"),
                ("https://second.test/", "v2 cert:x.test"),
                ("https://x.test/ sni:unknown.test", "v1"),
            ],
        ),
        misdirected(),
        row(
            "TLSRouteSimpleSameNamespace",
            vec![passing("g", ""), tls("g", "r", &["tls.test"], "tls")],
            &[
                ("tlsroutes r", "Accepted ResolvedRefs"),
                ("gateways g tls", "Accepted attachedRoutes=1"),
            ],
            &[("https://tls.test/", "tls host=tls.test cert:tls.test")],
        ),
        intersections(),
        row(
            "TLSRouteInvalidBackendRefNonexistent",
            vec![passing("g", ""), tls("g", "r", &["p.test"], "none")],
            &[("tlsroutes r", "Accepted !ResolvedRefs/BackendNotFound")],
            &[("https://p.test/", "refused")],
        ),
        row(
            "TLSRouteInvalidBackendRefUnknownKind",
            vec![passing("g", ""), odd],
            &[("tlsroutes r", "Accepted !ResolvedRefs/InvalidKind")],
            &[("https://p.test/", "refused")],
        ),
        row(
            "TLSRouteInvalidReferenceGrant",
            vec![
                passing("g", ""),
                grant("wrong", of("TLSRoute", "other"), json!({"group": "", "kind": "Service"})),
                tls("g", "r", &["p.test"], "web/v1"),
            ],
            &[("tlsroutes r", "Accepted !ResolvedRefs/RefNotPermitted")],
            &[("https://p.test/", "refused")],
        ),
        row(
            "TLSRouteInvalidNoMatchingListener",
            vec![
                passing("g", ""),
                tls("same", "http", &["p.test"], "tls"),
                tls("secure", "https", &["p.test"], "tls"),
                tls("g/none", "section", &["p.test"], "tls"),
            ],
            &[
                ("tlsroutes http", "!Accepted/NotAllowedByListeners"),
                ("tlsroutes https", "!Accepted/NotAllowedByListeners"),
                ("tlsroutes section", "!Accepted/NoMatchingParent"),
                ("gateways same http", "attachedRoutes=0"),
            ],
            &[],
        ),
        row(
            "TLSRouteInvalidNoMatchingListenerHostname",
            vec![
                passing("exact", "www.a.test"),
                passing("domain", "*.b.test"),
                tls("exact", "r1", &["www.c.test", "*.c.test"], "tls"),
                tls("domain", "r2", &["www.c.test", "*.c.test"], "tls"),
            ],
            &[
                ("tlsroutes r1", "!Accepted/NoMatchingListenerHostname"),
                ("tlsroutes r2", "!Accepted/NoMatchingListenerHostname"),
                ("gateways exact tls", "attachedRoutes=0"),
            ],
            &[],
        ),
        row(
            "TLSRouteListenerPassthroughSupportedKinds",
            vec![gateway(
                "g",
                json!([with(through("tls", "p.test"), only(&["TCPRoute", "TLSRoute"]))]),
            )],
            &[("gateways g tls", "!ResolvedRefs/InvalidRouteKinds supportedKinds.0.kind=TLSRoute")],
            &[],
        ),
        row(
            "TLSRouteListenerTerminateNotSupported",
            vec![gateway(
                "g",
                json!([with(
                    at("tls", 8443, "TLS", "t.test"),
                    json!({"tls": {"mode": "Terminate", "certificateRefs": [{"name": "certificate"}]}})
                )]),
            )],
            &[("gateways g tls", "!Accepted/UnsupportedValue attachedRoutes=0")],
            &[],
        ),
    ]
}

fn misdirected() -> Row {
    let cases = [
        ("x.test", "x.test", "v1"),
        ("x.test", "second.test", "421"),
        ("x.test", "unknown.test", "404"),
        ("second.test", "second.test", "v2"),
        ("second.test", "x.test", "421"),
        ("second.test", "unknown.test", "421"),
        ("third.wild.test", "third.wild.test", "v3"),
        ("third.wild.test", "fifth.wild.test", "v3"),
        ("third.wild.test", "fourth.wild.test", "421"),
        ("third.wild.test", "second.test", "421"),
        ("fourth.wild.test", "fourth.wild.test", "v1"),
        ("fourth.wild.test", "fifth.wild.test", "421"),
        ("unknown.test", "x.test", "v1"),
        ("unknown.test", "unknown.test", "404"),
    ];
    let asked = cases
        .map(|(sni, host, expected)| (format!("https://{host}/ sni:{sni}"), expected.to_owned()));
    let put = vec![
        to("secure/https", "r1", &["x.test"], json!([rule(&[], "v1")])),
        to("secure/named", "r2", &[], json!([rule(&[], "v2")])),
        to("secure/below", "r3", &[], json!([rule(&[], "v3")])),
        to("secure/within", "r4", &[], json!([rule(&[], "v1")])),
    ];
    Row {
        asked: asked.into(),
        ..row("HTTPRouteHTTPSListenerDetectMisdirectedRequests", put, &[], &[])
    }
}

fn intersections() -> Row {
    row(
        "TLSRouteHostnameIntersection",
        vec![
            passing("exact", "abc.p.test"),
            passing("domain", "*.q.test"),
            tls("exact", "r1", &["*.p.test"], "tls"),
            tls("domain", "r2", &["abc.q.test"], "tls"),
            tls("domain", "r3", &["*.test"], "none"),
        ],
        &[
            ("tlsroutes r1", "Accepted"),
            ("tlsroutes r2", "Accepted"),
            ("gateways domain tls", "attachedRoutes=2"),
        ],
        &[
            ("https://abc.p.test/", "tls host=abc.p.test"),
            ("https://abc.q.test/", "tls host=abc.q.test"),
            ("https://other.q.test/", "refused"),
        ],
    )
}
