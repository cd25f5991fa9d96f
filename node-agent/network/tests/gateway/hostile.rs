//! What neighbours try: hosts, listeners and ports that are somebody else's.

use super::cluster::{foreign, gatewayed, put_service};
use super::writing::*;
use serde_json::{Value, json};

fn aged(object: Put, second: u8) -> Put {
    let mut object = object;
    object.1["metadata"]["creationTimestamp"] = format!("2026-01-03T00:00:{second:02}Z").into();
    object
}

fn host_route(name: &str, second: u8, host: &str) -> Put {
    (
        "routes",
        json!({"metadata": {"namespace": "other", "name": name, "uid": name,
        "creationTimestamp": format!("2026-01-03T00:00:{second:02}Z")},
        "spec": {"host": host, "to": {"name": "v1"}}}),
    )
}

/// Red when a younger claim takes a host, whatever kinds of objects make the two.
#[test]
fn a_host_is_its_oldest_claimants() {
    gatewayed(|bench| async move {
        let parent = |gateway: &str| json!([{"name": gateway}]);
        let spec = |gateway: &str, host: &str| json!({"parentRefs": parent(gateway), "hostnames": [host], "rules": [rule(&[], "v1")]});
        bench.put(aged(
            gateway(
                "g",
                json!([http("exact", "shop.test"), http("domain", "*.shop.test"), http("any", "")]),
            ),
            1,
        ));
        bench.put(aged(to("g/exact", "shop", &[], json!([rule(&["/a"], "v1")])), 1));
        bench.put(aged(to("g/any", "own", &["own.test"], json!([rule(&[], "v1")])), 2));
        // A Gateway of another namespace: its listener, its route at a listener for all hosts, and a host below a domain.
        bench.put(aged(
            foreign("web", "thief", json!([http("shop", "shop.test"), http("any", "")])),
            3,
        ));
        for (name, second, host) in [
            ("t1", 4, "shop.test"),
            ("t2", 4, "own.test"),
            ("t3", 4, "new.shop.test"),
            ("t4", 4, "free.test"),
        ] {
            bench.put(aged(within("web", "httproutes", name, spec("thief", host)), second));
        }
        bench
            .told(
                "thief",
                "gateways web/thief shop",
                "!Accepted/HostnameConflict Conflicted/HostnameConflict !Programmed",
            )
            .await;
        for name in ["t1", "t2", "t3"] {
            bench
                .told(name, &format!("httproutes web/{name}"), "!Accepted/HostAlreadyClaimed")
                .await;
        }
        bench.told("t4", "httproutes web/t4", "Accepted").await;
        for (request, expected) in [
            ("http://shop.test/a", "v1"),
            // What is left open of a host is nobody else's.
            ("http://shop.test/b", "404"),
            ("http://own.test/", "v1"),
            ("http://new.shop.test/", "404"),
            ("http://free.test/", "web-v1"),
        ] {
            bench.asked("hosts", request, expected).await;
        }
        // Routes and HTTPRoutes: the older one holds the host.
        bench.put(host_route("younger", 5, "own.test"));
        bench.put(host_route("below", 5, "deep.shop.test"));
        bench.put(host_route("older", 5, "route.test"));
        bench.put(aged(to("g/any", "late", &["route.test"], json!([rule(&[], "v2")])), 6));
        bench.told("late", "httproutes late", "!Accepted/HostAlreadyClaimed").await;
        let admitted = |name: &str| {
            bench.api.get("routes", "other", name)["status"]["ingress"][0]["conditions"][0]["status"]
                == "True"
        };
        bench.asked("route", "http://route.test/", "503").await;
        for (name, expected) in [("older", true), ("younger", false), ("below", false)] {
            super::support::netns::eventually(|| admitted(name), expected);
        }
        bench.asked("own", "http://own.test/", "v1").await;
        // Once the older claim is gone the younger holds.
        bench.api.delete("routes", "other", "older");
        bench.told("late", "httproutes late", "Accepted").await;
        bench.asked("late", "http://route.test/", "v2").await;
    });
}

/// Red when a port is taken that is another's, or one that nobody asks for stays open.
#[test]
fn ports_are_opened_and_refused() {
    gatewayed(|bench| async move {
        let taken = std::net::TcpListener::bind(("127.0.0.1", 7001)).unwrap();
        let balanced = json!({"type": "LoadBalancer", "clusterIP": "10.96.0.9", "ports": [{"port": 7002, "protocol": "TCP"}]});
        bench.api.put(
            "services",
            json!({"metadata": {"namespace": "infra", "name": "lb"}, "spec": balanced,
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}}),
        );
        let ports = [
            ("used", 7001),
            ("balanced", 7002),
            ("agent", 10250),
            ("nodes", 30080),
            ("names", 53),
            ("tls", 443),
        ];
        let mut listeners: Vec<Value> =
            ports.iter().map(|(name, port)| at(name, *port, "HTTP", "")).collect();
        listeners.push(at("free", 7003, "HTTP", ""));
        bench.put(gateway("g", listeners.into()));
        bench.put(to("g/free", "r", &[], json!([rule(&[], "v1")])));
        for (name, _) in ports {
            bench
                .told(name, &format!("gateways g {name}"), "!Accepted/PortUnavailable !Programmed")
                .await;
        }
        bench.told("free", "gateways g free", "Accepted Programmed").await;
        bench.asked("free", "http://x.test:7003/", "v1").await;
        // What is refused is opened once it is free, and a port that becomes a Service's is given up.
        bench.api.delete("services", "infra", "lb");
        bench.told("balanced", "gateways g balanced", "Accepted Programmed").await;
        put_service(&bench.api, "infra", "late", &[]);
        bench.api.put("services", json!({"metadata": {"namespace": "infra", "name": "late"},
            "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.8", "ports": [{"port": 7003, "protocol": "TCP"}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}}));
        bench.told("free", "gateways g free", "!Accepted/PortUnavailable").await;
        bench.asked("free", "http://x.test:7003/", "refused").await;
        bench.api.delete("gateways", "infra", "g");
        bench.asked("balanced", "http://x.test:7002/", "refused").await;
        drop(taken);
    });
}

/// Red when a header that a rule sets can be taken away by the client, or a copy holds up who asks.
#[test]
fn clients_do_not_undo_what_a_rule_does() {
    gatewayed(|bench| async move {
        let filters = json!([request(set("X-Tenant", "one")), mirror("empty", json!({}))]);
        bench.put(route("r", json!([filtered(&["/"], filters, "v1")])));
        bench.told("r", "httproutes r", "Accepted").await;
        let asked = "http://x.test/ @Connection=close,X-Tenant @X-Tenant=two";
        bench.asked("tenant", asked, "v1 req:x-tenant=one").await;
        // Another spelling of a path leads to no other rule.
        bench.put(route("secret", json!([rule(&["/secret"], "v2")])));
        bench.told("secret", "httproutes secret", "Accepted").await;
        for path in ["/secret", "//secret", "/a/../secret", "/%73ecret", "/secret/./x"] {
            bench.asked("path", &format!("http://x.test{path}"), "v2").await;
        }
    });
}

/// Red when nothing says that part of a route is not carried out, or that part is served all the same.
#[test]
fn what_is_not_carried_out_is_told() {
    gatewayed(|bench| async move {
        let retry = with(rule(&["/retry"], "v1"), json!({"retry": {"attempts": 2}}));
        bench.put(route("some", json!([retry, rule(&["/good"], "v1")])));
        bench.put(route("none", json!([retry])));
        bench.told("some", "httproutes some", "Accepted PartiallyInvalid/UnsupportedValue").await;
        bench.told("none", "httproutes none", "!Accepted/UnsupportedValue").await;
        bench.asked("good", "http://x.test/good", "v1").await;
        bench.asked("retry", "http://x.test/retry", "404").await;
    });
}
