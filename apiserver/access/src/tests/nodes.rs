//! What agents may do: what leads to their node, in upstream's words where it does not.

use serde_json::{Value, json};

use super::{allowed, denied, member, request};
use crate::graph::Change;
use crate::{Policy, Verdict, authorize, bootstrap};

#[test]
fn an_agent_writes_its_own_node_and_lease() {
    let agent = member("system:node:a", "system:nodes");
    allowed(
        &agent,
        &[
            "create -/nodes",
            "patch -/nodes/status -/a",
            "get -/nodes -/a",
            "patch -/pods/status ns/p",
            "delete -/pods ns/p",
            "create -/events ns/-",
            "watch -/services",
            "update coordination.k8s.io/leases kube-node-lease/a",
            "create coordination.k8s.io/leases kube-node-lease/-",
            "patch snapshot.storage.k8s.io/volumesnapshotcontents/status -/c",
            "patch storage.k8s.io/csinodes -/a",
            "watch storage.k8s.io/csidrivers",
            "list node.k8s.io/runtimeclasses",
            "get /api/v1",
            "get /healthz",
        ],
    );
    denied(
        &agent,
        &[
            "delete -/nodes -/a",
            "update -/pods ns/p",
            "update -/secrets ns/s",
            "create -/pods/binding ns/p",
            "update coordination.k8s.io/leases ns/a",
            "create snapshot.storage.k8s.io/volumesnapshotcontents -/c",
            "list networking.k8s.io/ingresses",
            "watch discovery.k8s.io/endpointslices",
            "list route.openshift.io/routes",
            "list -/namespaces",
            "post /api",
        ],
    );
}

#[test]
fn the_name_of_a_node_counts_only_in_its_group() {
    denied(&member("system:node:a", "people"), &["watch -/services"]);
    denied(&member("system:node:", "system:nodes"), &["watch -/services"]);
}

fn pod(name: &str, node: &str, spec: Value) -> Value {
    let mut pod = json!({ "metadata": { "namespace": "ns", "name": name, "uid": name },
        "spec": { "nodeName": node, "serviceAccountName": "bot" } });
    for (key, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][key] = value.clone();
    }
    pod
}

/// Puts an object into the graph of a policy, or takes it out.
fn put(policy: &Policy, plural: &str, object: &Value, there: bool) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or("");
    let place = (text("namespace"), text("name"));
    let object = there.then(|| object.clone());
    policy.graph.take([Change { plural, place, object }]);
}

/// What the agent of a node is told.
fn told(policy: &Policy, node: &str, text: &str) -> String {
    let agent = member(&format!("system:node:{node}"), "system:nodes");
    match authorize(&agent, &request(text), policy) {
        Verdict::Allow(_) => "yes".to_owned(),
        Verdict::Deny(why) => why,
    }
}

const NONE: &str = "no relationship found between node 'a' and this object";

/// Red when agents may read what no pod of theirs names, or may not what one does.
#[test]
fn an_agent_reads_what_its_pods_name() {
    let policy = bootstrap::policy();
    let container = |secret: &str| {
        json!({ "env": [
            { "valueFrom": { "secretKeyRef": { "name": secret } } },
            { "valueFrom": { "configMapKeyRef": { "name": "m1" } } } ],
            "envFrom": [{ "secretRef": { "name": "s2" } }, { "configMapRef": { "name": "m2" } }] })
    };
    let spec = json!({
        "imagePullSecrets": [{ "name": "pull" }],
        "initContainers": [container("s0")],
        "containers": [container("s1")],
        "ephemeralContainers": [container("s9")],
        "volumes": [
            { "name": "v", "secret": { "secretName": "s3" } },
            { "name": "w", "configMap": { "name": "m3" } },
            { "name": "x", "projected": { "sources": [
                { "secret": { "name": "s4" } }, { "configMap": { "name": "m4" } } ] } },
            { "name": "y", "csi": { "nodePublishSecretRef": { "name": "s5" } } },
            { "name": "z", "persistentVolumeClaim": { "claimName": "c1" } },
            { "name": "e", "ephemeral": {} },
        ],
        "resourceClaims": [
            { "name": "r", "resourceClaimName": "r1" },
            { "name": "t", "resourceClaimTemplateName": "x" },
        ],
    });
    let mut own = pod("p", "a", spec);
    own["status"] =
        json!({ "resourceClaimStatuses": [{ "name": "t", "resourceClaimName": "r2" }] });
    put(&policy, "pods", &own, true);
    put(&policy, "pods", &pod("q", "b", json!({})), true);
    let mut named =
        vec!["get -/pods ns/p".to_owned(), "create -/serviceaccounts/token ns/bot".to_owned()];
    for name in ["pull", "s0", "s1", "s2", "s3", "s4", "s5", "s9"] {
        named.extend(["get", "list", "watch"].map(|verb| format!("{verb} -/secrets ns/{name}")));
    }
    named.extend(["m1", "m2", "m3", "m4"].map(|name| format!("watch -/configmaps ns/{name}")));
    for name in ["c1", "p-e"] {
        named.push(format!("get -/persistentvolumeclaims ns/{name}"));
        named.push(format!("patch -/persistentvolumeclaims/status ns/{name}"));
    }
    named.extend(["r1", "r2"].map(|name| format!("get resource.k8s.io/resourceclaims ns/{name}")));
    for text in &named {
        assert_eq!(told(&policy, "a", text), "yes", "{text}");
        let other = told(&policy, "b", text);
        let shared = text.contains("serviceaccounts");
        assert_eq!(other == "yes", shared, "{text}: {other}");
    }
    for text in ["get -/secrets ns/m1", "get -/secrets other/s1", "get -/configmaps ns/s1"] {
        assert_eq!(told(&policy, "a", text), NONE, "{text}");
    }
    put(&policy, "pods", &own, false);
    for text in named.iter().filter(|text| !text.is_empty()) {
        assert_eq!(told(&policy, "a", text), NONE, "{text}");
    }
}

/// Red when a shared thing goes with the first of those that name it.
#[test]
fn what_two_pods_name_stays_until_both_are_gone() {
    let policy = bootstrap::policy();
    let spec = json!({ "imagePullSecrets": [{ "name": "s" }, { "name": "s" }] });
    let (one, two) = (pod("p", "a", spec.clone()), pod("q", "a", spec.clone()));
    put(&policy, "pods", &one, true);
    put(&policy, "pods", &one, true);
    put(&policy, "pods", &two, true);
    put(&policy, "pods", &one, false);
    assert_eq!(told(&policy, "a", "get -/secrets ns/s"), "yes");
    put(&policy, "pods", &pod("q", "b", spec), true);
    assert_eq!(told(&policy, "a", "get -/secrets ns/s"), NONE);
    policy.graph.renew("pods", []);
    assert_ne!(told(&policy, "b", "get -/secrets ns/s"), "yes");
}

/// Red when volumes are reached without a pod, or in one order of events alone.
#[test]
fn volumes_and_their_secrets_are_reached_through_claims() {
    let volume = json!({ "metadata": { "name": "v" }, "spec": {
        "claimRef": { "namespace": "ns", "name": "c" },
        "csi": {
            "nodeStageSecretRef": { "name": "stage", "namespace": "drivers" },
            "nodePublishSecretRef": { "name": "publish", "namespace": "drivers" },
            "controllerExpandSecretRef": { "name": "controller", "namespace": "drivers" },
        } } });
    let claimed = json!({ "volumes": [{ "persistentVolumeClaim": { "claimName": "c" } }] });
    let user = pod("p", "a", claimed);
    let reached = [
        "get -/persistentvolumes -/v",
        "get -/secrets drivers/stage",
        "get -/secrets drivers/publish",
    ];
    for first in [true, false] {
        let policy = bootstrap::policy();
        if first {
            put(&policy, "persistentvolumes", &volume, true);
        }
        for text in reached {
            assert_eq!(told(&policy, "a", text), NONE, "{text}");
        }
        put(&policy, "pods", &user, true);
        put(&policy, "persistentvolumes", &volume, true);
        for text in reached {
            assert_eq!(told(&policy, "a", text), "yes", "{text}");
        }
        assert_eq!(told(&policy, "a", "get -/secrets drivers/controller"), NONE);
        let (plural, gone) = if first { ("pods", &user) } else { ("persistentvolumes", &volume) };
        put(&policy, plural, gone, false);
        for text in reached {
            assert_eq!(told(&policy, "a", text), NONE, "{text}");
        }
    }
}

#[test]
fn a_directory_of_a_node_is_its_own_whoever_has_it() {
    let policy = bootstrap::policy();
    let volume = |by: &str| {
        json!({ "metadata": { "name": "v", "annotations": { "pv.kubernetes.io/provisioned-by": by } },
            "spec": { "nodeAffinity": { "required": { "nodeSelectorTerms": [
                { "matchFields": [{ "key": "metadata.name", "values": ["a"] }] } ] } } } })
    };
    put(&policy, "persistentvolumes", &volume("x.y"), true);
    assert_eq!(told(&policy, "a", "get -/persistentvolumes -/v"), NONE);
    put(&policy, "persistentvolumes", &volume("leme.dev/local-path"), true);
    assert_eq!(told(&policy, "a", "get -/persistentvolumes -/v"), "yes");
    assert_ne!(told(&policy, "b", "get -/persistentvolumes -/v"), "yes");
}

/// A pod that an agent has made gives it nothing.
#[test]
fn a_mirror_pod_leads_nowhere() {
    let policy = bootstrap::policy();
    let mut mirror = pod("p", "a", json!({ "imagePullSecrets": [{ "name": "s" }] }));
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "x" });
    put(&policy, "pods", &mirror, true);
    assert_eq!(told(&policy, "a", "get -/pods ns/p"), "yes");
    assert_eq!(told(&policy, "a", "get -/secrets ns/s"), NONE);
}

#[test]
fn what_is_of_a_node_by_its_name_is_its_own() {
    let policy = bootstrap::policy();
    let of = json!({ "metadata": { "name": "x" }, "spec": { "nodeName": "a" } });
    put(&policy, "volumeattachments", &of, true);
    put(&policy, "resourceslices", &of, true);
    for text in
        ["get storage.k8s.io/volumeattachments -/x", "delete resource.k8s.io/resourceslices -/x"]
    {
        assert_eq!(told(&policy, "a", text), "yes", "{text}");
        assert_ne!(told(&policy, "b", text), "yes", "{text}");
    }
}

/// Red when a list of more than the node's own is answered, or refused in other words than upstream's.
#[test]
fn what_is_selected_by_the_node_is_listed() {
    let policy = bootstrap::policy();
    let agent = member("system:node:a", "system:nodes");
    let ask = |text: &str, field: &str, label: &str| {
        let pairs = |text: &str| text.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        let mut what = request(text);
        what.fields.extend(pairs(field));
        what.labels.extend(pairs(label));
        authorize(&agent, &what, &policy).is_allowed()
    };
    for (text, field, label, yes) in [
        ("list -/pods", "spec.nodeName=a", "", true),
        ("watch -/pods", "spec.nodeName=a", "", true),
        ("watch -/pods", "spec.nodeName=b", "", false),
        ("watch -/pods", "status.phase=a", "", false),
        ("list -/pods/status", "spec.nodeName=a", "", false),
        ("deletecollection -/pods ns/-", "spec.nodeName=a", "", false),
        ("watch storage.k8s.io/volumeattachments", "spec.nodeName=a", "", true),
        ("watch storage.k8s.io/volumeattachments", "", "", false),
        ("deletecollection resource.k8s.io/resourceslices", "spec.nodeName=a", "", true),
        ("list resource.k8s.io/resourceslices", "", "", false),
        ("list -/persistentvolumes", "", "storage.leme.dev/node=a", true),
        ("list -/persistentvolumes", "", "storage.leme.dev/node=b", false),
        ("list -/persistentvolumes", "", "", false),
    ] {
        assert_eq!(ask(text, field, label), yes, "{text} {field} {label}");
    }
    for (text, why) in [
        ("list -/secrets", "can only read namespaced object of this type"),
        ("list -/secrets ns/-", "No Object name found"),
        ("create -/secrets ns/s", "can only read resources of this type"),
        ("list -/persistentvolumeclaims ns/-", "can only get individual resources of this type"),
        ("get -/persistentvolumeclaims/status ns/c", "can only get/update/patch this type"),
        ("list -/pods ns/-", "can only list/watch pods with spec.nodeName field selector"),
        ("list -/nodes", "node 'a' cannot read all nodes, only its own Node object"),
        ("get -/nodes -/b", "node 'a' cannot read 'b', only its own Node object"),
        ("get -/serviceaccounts ns/x", "can only create tokens for individual service accounts"),
        (
            "list coordination.k8s.io/leases kube-node-lease/-",
            "can only get, create, update, patch, or delete a node lease",
        ),
        (
            "update coordination.k8s.io/leases kube-node-lease/b",
            "can only access node lease with the same name as the requesting node",
        ),
        (
            "patch storage.k8s.io/csinodes -/b",
            "can only access CSINode with the same name as the requesting node",
        ),
        (
            "list resource.k8s.io/resourceslices",
            "can only list/watch/deletecollection resourceslices with nodeName field selector",
        ),
    ] {
        assert_eq!(told(&policy, "a", text), why, "{text}");
    }
}
