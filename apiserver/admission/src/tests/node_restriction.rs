//! What agents may write.

use leme_registry::User;

use super::*;

fn pod_on(node: &str) -> Value {
    let mut pod = pod();
    pod["metadata"]["uid"] = "u".into();
    pod["spec"]["nodeName"] = node.into();
    pod["spec"]["serviceAccountName"] = "default".into();
    pod
}

fn node(labels: Value, taints: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "a", "labels": labels },
        "spec": { "taints": taints } })
}

/// What the agent of the node `a` is told that writes something, or posts it below an object.
fn told(
    (operation, subresource): (Operation, &str),
    (new, old): (Option<&Value>, Option<&Value>),
    posted: Option<(&str, Value)>,
) -> String {
    let groups = ["system:nodes".to_owned(), "system:authenticated".to_owned()];
    let extra = BTreeMap::new();
    let user = User { name: "system:node:a", uid: "", groups: &groups, extra: &extra };
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": "default", "namespace": "ns" } });
    let mut other = pod_on("b");
    other["metadata"]["name"] = "far".into();
    let objects = [namespace("ns"), account.clone(), pod_on("a"), other.clone()];
    let chain = Chain::new(Objects::of(&objects), &[]);
    let done = match posted {
        Some((of, mut body)) => {
            let of = if of == "default" { &account } else { &other };
            let asked = Asked { user: Some(user), subresource, ..asked(operation, of) };
            chain.mutate(&asked, &mut body, None)
        }
        None => {
            let object = new.or(old).unwrap();
            let asked = Asked { user: Some(user), subresource, ..asked(operation, object) };
            chain.validate(&asked, new, old)
        }
    };
    done.map_or_else(|status| status.message, |()| "yes".to_owned())
}

#[test]
fn an_agent_writes_what_is_of_its_node() {
    use Operation::{Create, Delete, Update};
    let (near, far) = (pod_on("a"), pod_on("b"));
    let status = |pod: &Value| told((Update, "status"), (Some(pod), Some(pod)), None);
    assert_eq!(status(&near), "yes");
    assert_eq!(
        status(&far),
        "pods \"p\" is forbidden: node \"a\" can only update pod status for pods with spec.nodeName set to itself"
    );
    let mut lured = near.clone();
    lured["metadata"]["labels"] = json!({ "app": "shop" });
    let labelled = told((Update, "status"), (Some(&lured), Some(&near)), None);
    assert!(labelled.contains("node \"a\" cannot update labels through pod status"), "{labelled}");
    for (version, kind) in [("coordination.k8s.io/v1", "Lease"), ("storage.k8s.io/v1", "CSINode")] {
        let named = |name: &str| json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name } });
        assert_eq!(told((Create, ""), (Some(&named("a")), None), None), "yes");
        let other = told((Create, ""), (Some(&named("b")), None), None);
        assert!(other.contains("with the same name as the requesting node"), "{other}");
    }
    let delete = |pod: &Value| told((Delete, ""), (None, Some(pod)), None);
    assert_eq!(delete(&near), "yes");
    assert!(delete(&far).contains("node \"a\" can only delete pods"));
    let evict = told((Create, "eviction"), (None, None), Some(("far", json!({}))));
    assert!(evict.contains("node \"a\" can only evict pods"), "{evict}");
    let create = |pod: &Value| told((Create, ""), (Some(pod), None), None);
    assert!(create(&near).contains("node \"a\" can only create mirror pods"));
}

/// Red when an agent gets the token of any account: whoever holds one node holds the cluster.
#[test]
fn an_agent_gets_tokens_of_its_pods_only() {
    let ask = |reference: Value| {
        let body = json!({ "spec": { "boundObjectRef": reference } });
        told((Operation::Create, "token"), (None, None), Some(("default", body)))
    };
    let pod = |name: &str, uid: &str| json!({ "apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid });
    assert_eq!(ask(pod("p", "u")), "yes");
    let body = json!({ "spec": { "audiences": ["vault"], "boundObjectRef": pod("p", "u") } });
    let other = told((Operation::Create, "token"), (None, None), Some(("default", body)));
    assert!(other.contains("audience \"vault\" not found in pod spec volume"), "{other}");
    for (reference, why) in [
        (Value::Null, "node requested token not bound to a pod"),
        (
            json!({ "apiVersion": "v1", "kind": "Secret", "name": "p", "uid": "u" }),
            "node requested token not bound to a pod",
        ),
        (pod("p", ""), "node requested token with a pod binding without a uid"),
        (pod("p", "other"), "does not match the UID in record"),
        (pod("far", "u"), "node requested token bound to a pod scheduled on a different node"),
    ] {
        assert!(ask(reference.clone()).contains(why), "{reference}");
    }
}

#[test]
fn a_node_does_not_say_whom_it_belongs_to() {
    let none = json!([]);
    let old = node(json!({ "kubernetes.io/os": "linux" }), none.clone());
    let update = |labels: Value, taints: Value| {
        told((Operation::Update, ""), (Some(&node(labels, taints)), Some(&old)), None)
    };
    let plain = json!({ "kubernetes.io/os": "linux", "zone": "x", "node.kubernetes.io/a": "" });
    assert_eq!(update(plain, none.clone()), "yes");
    let role = json!({ "kubernetes.io/os": "linux", "node-role.kubernetes.io/control-plane": "" });
    assert_eq!(
        update(role, none),
        "nodes \"a\" is forbidden: is not allowed to modify the following labels: node-role.kubernetes.io/control-plane"
    );
    // By an owner that is not there the garbage collector takes the node away, with its taints.
    let mut owned = old.clone();
    owned["metadata"]["ownerReferences"] = json!([{ "kind": "Node", "name": "z", "uid": "z" }]);
    let owned = told((Operation::Update, ""), (Some(&owned), Some(&old)), None);
    assert!(owned.contains("node \"a\" is not allowed to modify ownerReferences"), "{owned}");
    let free = json!([{ "key": "k", "effect": "NoSchedule" }]);
    let taints = update(json!({ "kubernetes.io/os": "linux" }), free);
    assert!(taints.contains("node \"a\" is not allowed to modify taints"), "{taints}");
}

/// Red when an agent may change any snapshot: what is in another node's would be whose it likes.
#[test]
fn an_agent_says_what_has_become_of_its_own_snapshots() {
    let content = |node: &str, handle: &str, policy: &str| {
        json!({ "metadata": { "labels": { "snapshot.storage.kubernetes.io/managed-by": node } },
            "spec": { "deletionPolicy": policy }, "status": { "snapshotHandle": handle } })
    };
    let (own, other) = (content("a", "h", "Delete"), content("b", "h", "Delete"));
    let refused = |subresource: &str, new: &Value, old: &Value| {
        crate::node_restriction::snapshot_refusal("a", subresource, new, old)
    };
    assert_eq!(refused("", &own, &own), None);
    assert_eq!(refused("status", &own, &content("a", "", "Delete")), None, "its first handle");
    assert!(refused("status", &content("a", "x", "Delete"), &own).is_some());
    assert!(refused("", &content("a", "h", "Retain"), &own).is_some());
    for subresource in ["", "status"] {
        assert!(refused(subresource, &other, &other).is_some(), "of another node");
        assert!(refused(subresource, &own, &other).is_some(), "taken");
        assert!(refused(subresource, &other, &own).is_some(), "given away");
    }
}
