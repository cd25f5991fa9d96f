//! The Gateway API with upstream's client: the kinds are there, a Gateway is opened, routes lead to pods, and upstream's own
//! definitions can be applied over those that were made.

use leme_live::{Host, tool, until};
use serde_json::{Value, json};

const GATEWAY: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: edge}
spec:
  gatewayClassName: leme
  listeners:
  - {name: other, protocol: HTTP, port: 8085}
  - name: https
    protocol: HTTPS
    port: 443
    hostname: tls.edge.localhost
    tls: {certificateRefs: [{name: tls}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: edge}
spec:
  parentRefs: [{name: web}]
  hostnames: [tls.edge.localhost]
  rules:
  - matches: [{path: {value: /old}}]
    filters:
    - type: RequestRedirect
      requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}, statusCode: 301}
  - backendRefs: [{name: edge, port: 80}]
"#;

/// What upstream's rules in CEL refuse.
const REFUSED: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: refused, namespace: edge}
spec:
  rules:
  - filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]
    backendRefs: [{name: edge, port: 80}]
"#;

fn secret(host: &Host) {
    let (key, certificate) = (host.folder().join("key"), host.folder().join("crt"));
    let make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=tls \
        -addext subjectAltName=DNS:tls.edge.localhost";
    let openssl = host.program(tool("openssl", "openssl")).words(make);
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).run().ok();
    let create = host.kubectl("create secret tls tls -n edge");
    let create = create.arg(format!("--key={}", key.display()));
    create.arg(format!("--cert={}", certificate.display())).run().ok();
}

/// Red when a Gateway does not open what it says, upstream's client sees something else, or upstream's definitions cannot be
/// applied.
#[test]
fn gateways_are_served_as_upstream_says() {
    let host = Host::new();
    host.load_sample();
    host.up(&format!("-f {}", Host::manifest("edge.yaml"))).ok();
    let curl = |words: &str| {
        let authority = host.folder().join("crt");
        let curl = host.program(tool("curl", "curl")).words("-sS -i --max-time 10 --cacert");
        curl.arg(authority).words(words).run().stdout
    };
    let resolve = "--resolve gateway.edge.localhost:80:127.0.0.1 --resolve tls.edge.localhost:443:127.0.0.1 \
        --resolve tls.edge.localhost:8085:127.0.0.1";
    let ask = |url: &str| curl(&format!("{resolve} {url}"));
    until("the HTTPRoute is served", || {
        ask("http://gateway.edge.localhost/").contains("pod: edge-")
    });
    assert!(ask("http://gateway.edge.localhost/").contains("x-served-by: gateway"));
    let class = host.kubectl("get gatewayclass leme --no-headers").run().ok();
    assert!(class.contains("leme.dev/gateway-controller") && class.contains(" True "), "{class}");
    host.kubectl("wait --for=condition=Programmed --timeout=20s -n edge gateway/edge").run().ok();
    let shown = host.kubectl("get gtw edge -n edge --no-headers").run().ok();
    assert!(shown.contains("127.0.0.1") && shown.contains(" True "), "{shown}");
    for object in ["gateway/edge", "httproute/edge"] {
        let why = host.leme(&format!("why {object} -n edge")).run().ok();
        assert!(why.contains("works"), "{why}");
    }

    // A port of its own, a certificate of its own, and a redirect.
    secret(&host);
    host.kubectl("apply -f -").run_with(GATEWAY).ok();
    host.kubectl("wait --for=condition=Programmed --timeout=20s -n edge gateway/web").run().ok();
    until("it answers at its port", || {
        ask("http://tls.edge.localhost:8085/").contains("pod: edge-")
    });
    until("it answers with TLS", || ask("https://tls.edge.localhost/").contains("pod: edge-"));
    let sent = ask("https://tls.edge.localhost/old/x?y");
    assert!(sent.contains("location: https://tls.edge.localhost/new/x?y"), "{sent}");
    let refused = host.kubectl("apply -f -").run_with(REFUSED).fails(1);
    assert!(
        refused.contains("RequestRedirect filter must not be used together with backendRefs"),
        "{refused}"
    );

    // A listener that cannot be, and a backend that is not there, are told and found.
    let odd = r#"[{"op":"replace","path":"/spec/listeners/0/port","value":10250}]"#;
    host.kubectl("patch gateway web -n edge --type=json -p").arg(odd).run().ok();
    until("it says why", || {
        let why = host.leme("why gateway/web -n edge").run().stdout;
        why.contains("port 10250: it is the nodes' own")
    });
    host.kubectl("delete service edge -n edge").run().ok();
    until("it says what is missing", || {
        let why = host.leme("why httproute/edge -n edge").run().stdout;
        why.contains("Service edge/edge does not exist")
    });
    assert!(ask("http://gateway.edge.localhost/").starts_with("HTTP/1.1 500"));

    // Definitions of upstream's make, as its release notes say to install them.
    let text = host.kubectl("get crd httproutes.gateway.networking.k8s.io -o json").run().ok();
    let mut theirs: Value = serde_json::from_str(&text).unwrap();
    theirs.as_object_mut().unwrap().remove("status");
    theirs["metadata"] = json!({"name": theirs["metadata"]["name"], "annotations": {
        "api-approved.kubernetes.io": theirs["metadata"]["annotations"]["api-approved.kubernetes.io"],
        "gateway.networking.k8s.io/bundle-version": "v1.9.9"}});
    theirs["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "Theirs.".into();
    host.kubectl("apply --server-side -f -").run_with(&theirs.to_string()).ok();
    let shown = host.kubectl("get httproute edge -n edge --no-headers").run().ok();
    assert!(shown.starts_with("edge"), "{shown}");
    host.kubectl("apply -f -").run_with(&theirs.to_string()).ok();
    host.leme("down").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}
