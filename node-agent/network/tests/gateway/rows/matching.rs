//! Which requests an HTTPRoute's rules are for.

use super::super::writing::*;
use super::{Row, row};
use serde_json::json;

pub fn rows() -> Vec<Row> {
    vec![
        row(
            "HTTPRouteSimpleSameNamespace",
            vec![route("r", json!([rule(&[], "v1")]))],
            &[("httproutes r", "Accepted/Accepted ResolvedRefs/ResolvedRefs")],
            &[("http://any.test/", "v1")],
        ),
        row(
            "HTTPRouteExactPathMatching",
            vec![route("r", json!([rule(&["=/one"], "v1"), rule(&["=/two"], "v2")]))],
            &[],
            &[
                ("http://x.test/one", "v1"),
                ("http://x.test/two", "v2"),
                ("http://x.test/", "404"),
                ("http://x.test/one/example", "404"),
                ("http://x.test/two/", "404"),
            ],
        ),
        row(
            "HTTPRouteHeaderMatching",
            vec![route(
                "r",
                json!([
                    rule(&["@version=one"], "v1"),
                    rule(&["@version=two"], "v2"),
                    rule(&["@version=two @color=orange"], "v1"),
                    rule(&["@color=blue", "@color=green"], "v1"),
                    rule(&["@color=red", "@color=yellow"], "v2"),
                ]),
            )],
            &[],
            &[
                ("http://x.test/ @Version=one", "v1"),
                ("http://x.test/ @Version=two", "v2"),
                ("http://x.test/ @Version=two @Color=orange", "v1"),
                ("http://x.test/ @Version=two @Color=blue", "v2"),
                ("http://x.test/ @Color=orange", "404"),
                ("http://x.test/ @Other=one", "404"),
                ("http://x.test/ @Color=green", "v1"),
                ("http://x.test/ @Color=yellow", "v2"),
                ("http://x.test/ @Color=purple", "404"),
            ],
        ),
        row(
            "HTTPRouteMatching",
            vec![route(
                "r",
                json!([rule(&["/", "@version=one"], "v1"), rule(&["/v2", "@version=two"], "v2")]),
            )],
            &[],
            &[
                ("http://x.test/", "v1"),
                ("http://x.test/example", "v1"),
                ("http://x.test/ @Version=one", "v1"),
                ("http://x.test/v2", "v2"),
                ("http://x.test/v2/example", "v2"),
                ("http://x.test/ @Version=two", "v2"),
                ("http://x.test/v2/", "v2"),
                ("http://x.test/v2example", "v1"),
                ("http://x.test/foo/v2/example", "v1"),
            ],
        ),
        row(
            "HTTPRouteMatchingAcrossRoutes",
            vec![
                to(
                    "same",
                    "one",
                    &["a.test", "b.test"],
                    json!([rule(&["/", "@version=one"], "v1")]),
                ),
                to("same", "two", &["a.test"], json!([rule(&["/v2", "@version=two"], "v2")])),
            ],
            &[],
            &[
                ("http://a.test/", "v1"),
                ("http://a.test/example", "v1"),
                ("http://b.test/example", "v1"),
                ("http://a.test/example @Version=one", "v1"),
                ("http://a.test/v2", "v2"),
                ("http://b.test/v2", "v1"),
                ("http://a.test/v2/example", "v2"),
                ("http://a.test/ @Version=two", "v2"),
            ],
        ),
        row(
            "HTTPRoutePathMatchOrder",
            vec![route(
                "r",
                json!([
                    rule(&["=/match"], "v1"),
                    rule(&["=/match/exact"], "v2"),
                    rule(&["=/match/exact/one"], "v3"),
                    rule(&["/match/"], "v3"),
                    rule(&["/match/prefix/"], "v1"),
                    rule(&["/match/prefix/one"], "v2"),
                ]),
            )],
            &[],
            &[
                ("http://x.test/match/exact/one", "v3"),
                ("http://x.test/match/exact", "v2"),
                ("http://x.test/match", "v1"),
                ("http://x.test/match/prefix/one/any", "v2"),
                ("http://x.test/match/prefix/any", "v1"),
                ("http://x.test/match/any", "v3"),
            ],
        ),
        methods(),
        parameters(),
        row(
            "HTTPRouteNamedRule",
            vec![route(
                "r",
                json!([
                    with(rule(&["/named"], "v1"), json!({"name": "first"})),
                    rule(&["/unnamed"], "v2"),
                ]),
            )],
            &[],
            &[("http://x.test/named", "v1"), ("http://x.test/unnamed", "v2")],
        ),
        row(
            "HTTPRouteWeight",
            vec![route("r", json!([rule(&["/"], "v1*70 v2*30 v3*0")]))],
            &[],
            &[("100x http://x.test/", "v1*70 v2*30 v3*0")],
        ),
        hosts(),
        intersections(),
        row(
            "HTTPRouteListenerPortMatching",
            vec![
                gateway(
                    "g",
                    json!([
                        http("one", "foo.test"),
                        at("two", 8080, "HTTP", "foo.test"),
                        at("three", 8080, "HTTP", "bar.test"),
                        at("four", 8090, "HTTP", "foo.test"),
                        at("five", 8090, "HTTP", "bar.test"),
                    ]),
                ),
                object(
                    "httproutes",
                    "r1",
                    json!({"parentRefs": [{"name": "g", "port": 80}], "rules": [rule(&[], "v1")]}),
                ),
                object(
                    "httproutes",
                    "r2",
                    json!({"parentRefs": [{"name": "g", "port": 8080}], "rules": [rule(&[], "v2")]}),
                ),
                object(
                    "httproutes",
                    "r3",
                    json!({"parentRefs": [{"name": "g", "port": 8090, "sectionName": "four"}],
                    "rules": [rule(&[], "v3")]}),
                ),
            ],
            &[("gateways g", "Accepted Programmed")],
            &[
                ("http://foo.test/", "v1"),
                ("http://foo.test:8080/", "v2"),
                ("http://bar.test:8080/", "v2"),
                ("http://foo.test:8090/", "v3"),
                ("http://bar.test:8090/", "404"),
            ],
        ),
    ]
}

fn methods() -> Row {
    let rules = json!([
        rule(&["POST"], "v1"),
        rule(&["GET"], "v2"),
        rule(&["/path1 GET"], "v1"),
        rule(&["@version=one PUT"], "v2"),
        rule(&["/path2 @version=two POST"], "v3"),
        rule(&["/path3 PATCH", "/path4 @version=three DELETE"], "v1"),
        rule(&["/path5"], "v1"),
        rule(&["PATCH"], "v2"),
        rule(&["@version=four"], "v3"),
    ]);
    row(
        "HTTPRouteMethodMatching",
        vec![route("r", rules)],
        &[],
        &[
            ("POST http://x.test/", "v1"),
            ("GET http://x.test/", "v2"),
            ("HEAD http://x.test/", "404"),
            ("GET http://x.test/path1", "v1"),
            ("PUT http://x.test/ @version=one", "v2"),
            ("POST http://x.test/path2 @version=two", "v3"),
            ("PATCH http://x.test/path3", "v1"),
            ("DELETE http://x.test/path4 @version=three", "v1"),
            ("PUT http://x.test/", "404"),
            ("DELETE http://x.test/path4", "404"),
            ("PATCH http://x.test/path5", "v1"),
            ("PATCH http://x.test/ @version=four", "v2"),
        ],
    )
}

fn parameters() -> Row {
    let rules = json!([
        rule(&["?animal=whale"], "v1"),
        rule(&["?animal=dolphin"], "v2"),
        rule(&["?animal=dolphin ?color=blue", "?ANIMAL=Whale"], "v3"),
        rule(&["/path1 ?animal=whale"], "v1"),
        rule(&["@version=one ?animal=whale"], "v2"),
        rule(&["/path2 @version=two ?animal=whale"], "v3"),
        rule(&["/path3 ?animal=shark", "/path4 @version=three ?animal=kraken"], "v1"),
        rule(&["/path5"], "v1"),
        rule(&["?animal=hydra"], "v2"),
        rule(&["@version=four"], "v3"),
    ]);
    row(
        "HTTPRouteQueryParamMatching",
        vec![route("r", rules)],
        &[],
        &[
            ("http://x.test/?animal=whale", "v1"),
            ("http://x.test/?animal=dolphin", "v2"),
            ("http://x.test/?animal=dolphin&color=blue", "v3"),
            ("http://x.test/?ANIMAL=Whale", "v3"),
            ("http://x.test/?animal=whale&other=irrelevant", "v1"),
            ("http://x.test/?animal=dolphin&color=yellow", "v2"),
            ("http://x.test/?color=blue", "404"),
            ("http://x.test/?animal=whaledolphin", "404"),
            ("http://x.test/", "404"),
            ("http://x.test/path1?animal=whale", "v1"),
            ("http://x.test/?animal=whale @version=one", "v2"),
            ("http://x.test/path2?animal=whale @version=two", "v3"),
            ("http://x.test/path3?animal=shark", "v1"),
            ("http://x.test/path4?animal=kraken @version=three", "v1"),
            ("http://x.test/?animal=shark", "404"),
            ("http://x.test/path4?animal=kraken", "404"),
            ("http://x.test/path5?animal=hydra", "v1"),
            ("http://x.test/?animal=hydra @version=four", "v3"),
        ],
    )
}

fn hosts() -> Row {
    let listeners = json!([
        http("one", "bar.test"),
        http("two", "foo.bar.test"),
        http("three", "*.bar.test"),
        http("four", "*.foo.test"),
    ]);
    let both = json!({"parentRefs": [{"name": "g", "sectionName": "three"}, {"name": "g", "sectionName": "four"}],
        "rules": [rule(&[], "v3")]});
    row(
        "HTTPRouteListenerHostnameMatching",
        vec![
            gateway("g", listeners),
            to("g/one", "r1", &[], json!([rule(&[], "v1")])),
            to("g/two", "r2", &[], json!([rule(&[], "v2")])),
            object("httproutes", "r3", both),
        ],
        &[],
        &[
            ("http://bar.test/", "v1"),
            ("http://foo.bar.test/", "v2"),
            ("http://baz.bar.test/", "v3"),
            ("http://two.labels.bar.test/", "v3"),
            ("http://two.labels.foo.test/", "v3"),
            ("http://foo.test/", "404"),
            ("http://no.other.test/", "404"),
        ],
    )
}

fn intersections() -> Row {
    let listeners = json!([
        http("one", "very.exact.test"),
        http("two", "*.wild.test"),
        http("three", "*.tame.test")
    ]);
    row(
        "HTTPRouteHostnameIntersection",
        vec![
            gateway("g", listeners),
            to(
                "g",
                "s1",
                &["no.match.test", "*.no.test", "very.exact.test"],
                json!([rule(&["/s1"], "v1")]),
            ),
            to(
                "g",
                "s2",
                &["no.match.test", "wild.test", "foo.wild.test", "foo.bar.wild.test"],
                json!([rule(&["/s2"], "v2")]),
            ),
            to("g", "s3", &["no.match.test", "*.exact.test"], json!([rule(&["/s3"], "v3")])),
            to("g", "s4", &["*.tame.test"], json!([rule(&["/s4"], "v1")])),
            to("g", "s5", &["exact.but.wrong.test", "wild.test"], json!([rule(&["/s5"], "v2")])),
        ],
        &[
            ("httproutes s5", "!Accepted/NoMatchingListenerHostname"),
            ("gateways g one", "attachedRoutes=2"),
            ("gateways g two", "attachedRoutes=1"),
            ("gateways g three", "attachedRoutes=1"),
        ],
        &[
            ("http://very.exact.test/s1", "v1"),
            ("http://very.exact.test:1234/s1 at:80", "v1"),
            ("http://no.match.test/s1", "404"),
            ("http://foo.no.test/s1", "404"),
            ("http://foo.wild.test/s1", "404"),
            ("http://very.exact.test/other", "404"),
            ("http://foo.wild.test/s2", "v2"),
            ("http://foo.bar.wild.test/s2", "v2"),
            ("http://wild.test/s2", "404"),
            ("http://very.exact.test/s2", "404"),
            ("http://very.exact.test/s3", "v3"),
            ("http://foo.exact.test/s3", "404"),
            ("http://foo.tame.test/s4", "v1"),
            ("http://foo.bar.tame.test/s4", "v1"),
            ("http://tame.test/s4", "404"),
            ("http://exact.but.wrong.test/s5", "404"),
            ("http://wild.test/s5", "404"),
        ],
    )
}
