//! Routes with TLS: a certificate that curl trusts after one file, and a way there for those who come without.

use leme_live::{Host, Program, tool, until};

fn curl(host: &Host, words: &str) -> Program {
    let authority = host.data().join("pki/ingress-ca.crt");
    host.program(tool("curl", "curl"))
        .words("-sS --max-time 10 --cacert")
        .arg(authority.display().to_string())
        .words(words)
}

#[test]
fn a_route_with_tls_is_served_and_its_router_is_known_again() {
    let host = Host::new();
    host.load_sample();
    let manifest = Host::manifest("edge.yaml");
    let told = host.up(&format!("-f {manifest}")).ok();
    let url = told.lines().find(|line| line.starts_with("https://")).expect("a URL").to_owned();
    assert_eq!(url, "https://edge-edge.apps.localhost");
    let resolve = "--resolve edge-edge.apps.localhost:443:127.0.0.1 --resolve edge-edge.apps.localhost:80:127.0.0.1";
    let answer = curl(&host, &format!("{resolve} -i {url}")).run().ok();
    assert!(
        answer.contains("pod: edge-") && answer.contains("strict-transport-security: max-age=3600"),
        "{answer}"
    );
    assert!(answer.starts_with("HTTP/2 200"), "{answer}");
    let sent = curl(
        &host,
        &format!(
            "{resolve} -o /dev/null -w %{{http_code}}_%{{redirect_url}} http://edge-edge.apps.localhost/x"
        ),
    );
    assert_eq!(sent.run().ok(), "302_https://edge-edge.apps.localhost/x");
    let routes = host.kubectl("get routes -n edge").run().ok();
    assert!(routes.contains("edge/Redirect"), "{routes}");
    let why = host.leme("why route/edge -n edge").run().ok();
    assert!(why.contains("works"), "{why}");
    let ingress = "--resolve ingress.edge.localhost:443:127.0.0.1 https://ingress.edge.localhost/";
    until("the Ingress is served", || curl(&host, ingress).run().stdout.contains("pod: edge-"));
    let shown = host.kubectl("get ingress edge -n edge --no-headers").run().ok();
    assert!(shown.contains(" <none> ") && shown.contains(" 127.0.0.1 "), "{shown}");
    assert!(host.leme("why ingress/edge -n edge").run().ok().contains("works"));
    // A certificate for a Service, and whom to trust for it.
    let asks =
        "annotate service edge -n edge service.beta.openshift.io/serving-cert-secret-name=edge-tls";
    host.kubectl(asks).run().ok();
    let made = || host.kubectl("get secret edge-tls -n edge -o jsonpath={.type}").run().stdout;
    until("it has a certificate", || made() == "kubernetes.io/tls");
    let bundle = "get cm openshift-service-ca.crt -n edge -o jsonpath={.data.service-ca\\.crt}";
    let authority = std::fs::read_to_string(host.data().join("pki/service-ca.crt")).unwrap();
    until("it is trusted", || host.kubectl(bundle).run().stdout.trim() == authority.trim());
    // A port of the node for whoever asks for a load balancer.
    let exposed = "expose deployment edge -n edge --type=LoadBalancer --name=out --port=8088 --target-port=8080";
    host.kubectl(exposed).run().ok();
    let outside = || {
        let ip = "get service out -n edge -o jsonpath={.status.loadBalancer.ingress[0].ip}";
        host.kubectl(ip).run().ok()
    };
    until("it has an address", || !outside().is_empty());
    let address = outside();
    let balanced = || curl(&host, &format!("http://{address}:8088/")).run().stdout;
    until("it answers there", || balanced().contains("pod: edge-"));
    host.kubectl("delete service out -n edge").run().ok();
    until("nobody answers there", || balanced().is_empty());
    // What keeps somebody out and is not carried out lets nobody in.
    host.kubectl("annotate ingress edge -n edge nginx.ingress.kubernetes.io/auth-type=basic")
        .run()
        .ok();
    until("it is served no more", || !curl(&host, ingress).run().stdout.contains("pod: edge-"));
    until("it says why", || {
        let why = host.leme("why ingress/edge -n edge").run().ok();
        why.contains(
            "annotation nginx.ingress.kubernetes.io/auth-type: not carried out by this router",
        )
    });
    // Nobody who trusts the router has to learn to do so again.
    host.leme("down").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
    host.up("").ok();
    until("it is served again", || {
        curl(&host, &format!("{resolve} {url}")).run().stdout.contains("pod: edge-")
    });
    host.leme("down").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}
