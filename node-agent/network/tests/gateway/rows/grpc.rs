//! Applications that speak HTTP/2, and GRPCRoutes, whose applications all do.

use super::super::writing::*;
use super::{Row, row};
use serde_json::{Value, json};

fn grpc(parent: &str, name: &str, rules: Value) -> Put {
    let parent = match parent.split_once('/') {
        Some((gateway, section)) => json!({"name": gateway, "sectionName": section}),
        None => json!({ "name": parent }),
    };
    object("grpcroutes", name, json!({"parentRefs": [parent], "rules": rules}))
}

fn method(service: &str, method: &str, to: &str) -> Value {
    json!({"matches": [{"method": {"service": service, "method": method}}], "backendRefs": backends(to)})
}

fn headers(all: &[&str], to: &str) -> Value {
    let one = |text: &&str| {
        let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
        let pairs: Vec<Value> =
            pairs.map(|(name, value)| json!({"name": name, "value": value})).collect();
        json!({ "headers": pairs })
    };
    json!({"matches": all.iter().map(one).collect::<Vec<_>>(), "backendRefs": backends(to)})
}

pub fn rows() -> Vec<Row> {
    let named = with(method("echo.Echo", "One", "g1"), json!({"name": "first"}));
    vec![
        row(
            "HTTPRouteBackendProtocolH2C",
            vec![route("r", json!([rule(&[], "h2c")]))],
            &[("httproutes r", "Accepted ResolvedRefs")],
            &[("http://x.test/", "g1")],
        ),
        row(
            "GRPCExactMethodMatching",
            vec![grpc(
                "same",
                "r",
                json!([
                    method("echo.Echo", "One", "g1"),
                    method("echo.Echo", "Two", "g2"),
                    json!({"matches": [{"method": {"service": "other.Echo"}}], "backendRefs": backends("g3")}),
                ]),
            )],
            &[
                ("grpcroutes r", "Accepted ResolvedRefs"),
                ("gateways same http", "attachedRoutes=1"),
            ],
            &[
                ("POST http://x.test/echo.Echo/One", "g1 path=/echo.echo/one"),
                ("POST http://x.test/echo.Echo/Two", "g2"),
                ("POST http://x.test/other.Echo/Any", "g3"),
                ("POST http://x.test/echo.Echo/Three", "404"),
                ("POST http://x.test/echo.EchoOne/One", "404"),
            ],
        ),
        row(
            "GRPCRouteHeaderMatching",
            vec![grpc(
                "same",
                "r",
                json!([
                    headers(&["version=one"], "g1"),
                    headers(&["version=two"], "g2"),
                    headers(&["version=two color=orange"], "g1"),
                    headers(&["color=blue", "color=green"], "g3"),
                ]),
            )],
            &[],
            &[
                ("POST http://x.test/a.A/A @Version=one", "g1"),
                ("POST http://x.test/a.A/A @Version=two", "g2"),
                ("POST http://x.test/a.A/A @Version=two @Color=orange", "g1"),
                ("POST http://x.test/a.A/A @Color=green", "g3"),
                ("POST http://x.test/a.A/A @Color=orange", "404"),
            ],
        ),
        row(
            "GRPCRouteListenerHostnameMatching",
            vec![
                gateway(
                    "g",
                    json!([
                        http("one", "bar.test"),
                        http("two", "foo.bar.test"),
                        http("three", "*.bar.test")
                    ]),
                ),
                grpc("g/one", "r1", json!([{"backendRefs": backends("g1")}])),
                grpc("g/two", "r2", json!([{"backendRefs": backends("g2")}])),
                grpc("g/three", "r3", json!([{"backendRefs": backends("g3")}])),
            ],
            &[],
            &[
                ("POST http://bar.test/a.A/A", "g1"),
                ("POST http://foo.bar.test/a.A/A", "g2"),
                ("POST http://two.labels.bar.test/a.A/A", "g3"),
                ("POST http://foo.test/a.A/A", "404"),
            ],
        ),
        row(
            "GRPCRouteNamedRule",
            vec![grpc("same", "r", json!([named, method("echo.Echo", "Two", "g2")]))],
            &[],
            &[
                ("POST http://x.test/echo.Echo/One", "g1"),
                ("POST http://x.test/echo.Echo/Two", "g2"),
            ],
        ),
        row(
            "GRPCRouteWeight",
            vec![grpc("same", "r", json!([{"backendRefs": backends("g1*70 g2*30 g3*0")}]))],
            &[],
            &[("100x http://x.test/a.A/A", "g1*70 g2*30 g3*0")],
        ),
    ]
}
