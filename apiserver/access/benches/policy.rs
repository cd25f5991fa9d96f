//! What it costs to decide a request by 1,000 roles and 5,000 bindings, beside those of every cluster, and for an agent by
//! 20,000 pods: `cargo bench -p leme-access`.
//!
//! Knows: who asks for what. Refuses to know: how fast it should be.

use criterion::{Criterion, criterion_group, criterion_main};
use leme_access::graph::Change;
use leme_access::{Attributes, Identity, Policy, authorize, bootstrap};
use serde_json::json;

const NAMESPACES: usize = 100;
const ROLES: usize = 10;
const BINDINGS: usize = 50;
const PODS: usize = 20_000;

/// In each namespace ten roles of five rules, and fifty bindings of them to a user and a team each.
fn policy() -> Policy {
    let mut policy = bootstrap::policy();
    for space in 0..NAMESPACES {
        let namespace = format!("n{space}");
        for number in 0..ROLES {
            let kinds = ["pods", "services", "configmaps", "secrets", "events"];
            let rules: Vec<_> = kinds
                .map(|kind| {
                    json!({ "verbs": ["get", "list", "watch"], "apiGroups": ["", "apps"],
                    "resources": [kind, format!("own{number}")] })
                })
                .into();
            let (name, role) = (format!("r{number}"), json!({ "rules": rules }));
            policy = policy.with("Role", (&namespace, &name), Some(&role));
        }
        for number in 0..BINDINGS {
            let (name, role) = (format!("b{number}"), format!("r{}", number % ROLES));
            let binding = json!({
                "roleRef": { "kind": "Role", "name": role },
                "subjects": [
                    { "kind": "User", "name": format!("u{space}-{number}") },
                    { "kind": "Group", "name": format!("team{}", number % 5) },
                ],
            });
            policy = policy.with("RoleBinding", (&namespace, &name), Some(&binding));
        }
    }
    let names: Vec<String> = (0..PODS).map(|number| format!("p{number}")).collect();
    let pods = (0..PODS).map(|number| Change {
        plural: "pods",
        place: ("n0", &*names[number]),
        object: Some(json!({
            "metadata": { "namespace": "n0", "name": format!("p{number}"), "uid": number.to_string() },
            "spec": { "nodeName": format!("node{}", number % 100), "serviceAccountName": "default",
                "imagePullSecrets": [{ "name": format!("s{}", number % 1000) }] },
        })),
    });
    policy.graph.take(pods);
    policy
}

fn ask(verb: &str, resource: &str, namespace: &str, name: &str) -> Attributes {
    let [verb, resource, namespace, name] = [verb, resource, namespace, name].map(str::to_owned);
    Attributes { verb, resource, namespace, name, ..Attributes::default() }
}

fn decisions(c: &mut Criterion) {
    let policy = policy();
    let of = |user: &str, groups: &[&str]| {
        Identity::of_certificate(user, groups.iter().map(|group| (*group).to_owned()))
    };
    let read = ask("get", "pods", "n7", "p");
    let mut own = ask("get", "own9", "n7", "p");
    own.group = "apps".to_owned();
    let five = ["team0", "team1", "team2", "team3", "team4"];
    for (name, who, what) in [
        ("nobody is asked: masters", of("root", &["system:masters"]), &read),
        ("one binding", of("u7-3", &[]), &read),
        ("fifty bindings, the last one allows", of("u", &five), &own),
        ("fifty bindings, none allows", of("u", &five), &ask("delete", "pods", "n7", "p")),
        ("no binding", of("u", &[]), &read),
        ("the scheduler binds", of("system:kube-scheduler", &[]), &{
            let mut bind = ask("create", "pods", "n7", "p");
            bind.subresource = "binding".to_owned();
            bind
        }),
        (
            "an agent reads a secret of 20 pods",
            of("system:node:node1", &["system:nodes"]),
            &ask("get", "secrets", "n0", "s1"),
        ),
    ] {
        c.bench_function(name, |b| b.iter(|| authorize(&who, what, &policy)));
    }
}

fn changes(c: &mut Criterion) {
    let policy = policy();
    let binding = json!({ "roleRef": { "kind": "Role", "name": "r1" },
        "subjects": [{ "kind": "Group", "name": "team1" }] });
    c.bench_function("a binding is written", |b| {
        b.iter(|| policy.with("RoleBinding", ("n7", "b1"), Some(&binding)));
    });
}

criterion_group!(benches, decisions, changes);
criterion_main!(benches);
