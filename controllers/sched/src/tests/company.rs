//! Affinity between pods that must hold.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::testing::{cluster, info, merge, node, place};
use crate::volumes::VolumeFacts;

/// Zone x with the nodes a and b, zone y with c.
fn zones() -> Cluster {
    let zoned =
        |name: &str, zone: &str| node(name, "9", json!({"metadata": {"labels": {"zone": zone}}}));
    cluster(&[zoned("a", "x"), zoned("b", "x"), zoned("c", "y")])
}

fn app(name: &str) -> Value {
    json!({"metadata": {"labels": {"app": name}}})
}

fn term(key: &str, name: &str) -> Value {
    json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": name}}})
}

fn with(kind: &str, term: Value) -> Value {
    let mut pod = app("web");
    merge(
        &mut pod,
        json!({"spec": {"affinity": {kind:
        {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}}),
    );
    pod
}

fn check(cluster: &mut Cluster, pod: Value, expected: &str) {
    cluster.next = 0;
    let got = cluster.schedule(&info("p", pod), &VolumeFacts::default());
    cluster.forget(&("n".to_owned(), "p".to_owned()));
    match got {
        Ok(node) => assert_eq!(node, expected),
        Err(why) => assert!(why.to_string().contains(expected), "{why}"),
    }
}

#[test]
fn near() {
    const NOT: &str = "3 node(s) didn't match pod affinity rules";
    let mut all = zones();
    check(&mut all, with("podAffinity", term("zone", "db")), NOT);
    place(&mut all, "db", "c", app("db"));
    check(&mut all, with("podAffinity", term("zone", "db")), "c");
    check(&mut all, with("podAffinity", term("kubernetes.io/hostname", "db")), "c");
    check(&mut all, with("podAffinity", term("unheard-of", "db")), NOT);
    all.set_pod(&("n".to_owned(), "db".to_owned()), None);
    check(&mut all, with("podAffinity", term("zone", "db")), NOT);
}

/// Red when the first of pods that want to be together waits for ever for another.
#[test]
fn the_first_of_its_kind_goes_anywhere() {
    let mut all = zones();
    check(&mut all, with("podAffinity", term("zone", "web")), "a");
    place(&mut all, "w1", "c", app("web"));
    check(&mut all, with("podAffinity", term("zone", "web")), "c");
    check(
        &mut all,
        with("podAffinity", term("unheard-of", "web")),
        "didn't match pod affinity rules",
    );
}

#[test]
fn apart() {
    let mut all = zones();
    place(&mut all, "w1", "a", app("web"));
    check(&mut all, with("podAntiAffinity", term("zone", "web")), "c");
    check(&mut all, with("podAntiAffinity", term("kubernetes.io/hostname", "web")), "b");
    place(&mut all, "w2", "c", app("web"));
    check(
        &mut all,
        with("podAntiAffinity", term("zone", "web")),
        "3 node(s) didn't match pod anti-affinity rules",
    );
    check(&mut all, with("podAntiAffinity", term("zone", "db")), "b");
}

#[test]
fn pods_that_are_there_keep_others_off() {
    let mut all = zones();
    place(&mut all, "loner", "a", with("podAntiAffinity", term("zone", "db")));
    check(&mut all, app("db"), "c");
    check(&mut all, app("other"), "b");
    all.set_node("c", None);
    check(&mut all, app("db"), "2 node(s) didn't satisfy existing pods anti-affinity rules");
    all.set_pod(&("n".to_owned(), "loner".to_owned()), None);
    check(&mut all, app("db"), "a");
}

#[test]
fn namespaces() {
    let mut all = zones();
    all.set_namespace("n", Some(&[("team".to_owned(), "a".to_owned())].into()));
    place(&mut all, "w1", "a", app("web"));
    let of = |extra: Value| {
        let mut one = term("zone", "web");
        merge(&mut one, extra);
        let mut pod = with("podAntiAffinity", one);
        pod["metadata"]["namespace"] = "elsewhere".into();
        pod
    };
    let mut check_in = |extra: Value, expected: &str| {
        let got = all.schedule(&info("p", of(extra)), &VolumeFacts::default()).unwrap();
        all.forget(&("elsewhere".to_owned(), "p".to_owned()));
        assert_eq!(got == "c", expected == "c", "{got}");
    };
    // The next search starts behind the node that was taken: what is not kept off comes round to the others.
    check_in(json!({}), "a");
    check_in(json!({"namespaces": ["n"]}), "c");
    check_in(json!({"namespaceSelector": {"matchLabels": {"team": "a"}}}), "c");
    check_in(json!({"namespaceSelector": {"matchLabels": {"team": "b"}}}), "a");
}

/// Red when the labels that a namespace had when it was first asked about are kept.
#[test]
fn labels_of_namespaces_change() {
    let mut all = zones();
    place(&mut all, "w1", "a", app("web"));
    let mut one = term("zone", "web");
    merge(&mut one, json!({"namespaceSelector": {"matchLabels": {"team": "a"}}}));
    let pod = with("podAffinity", one);
    check(&mut all, pod.clone(), "didn't match pod affinity rules");
    assert!(all.set_namespace("n", Some(&[("team".to_owned(), "a".to_owned())].into())));
    check(&mut all, pod.clone(), "b");
    assert!(all.set_namespace("n", None));
    check(&mut all, pod, "didn't match pod affinity rules");
}
