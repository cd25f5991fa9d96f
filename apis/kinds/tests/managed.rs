//! Ownership of fields over the real field table: the lists that a cluster of Kubernetes writes for such objects.

use leme_kinds::schemas;
use leme_meta::managed::{FieldSet, Request, Typed, apply, compare, update};
use serde_json::{Value, json};

const CORE: &str = "io.k8s.api.core.v1.";
const APPS: &str = "io.k8s.api.apps.v1.";

fn request<'a>(
    prefix: &str,
    api_version: &'a str,
    kind: &'a str,
    manager: &'a str,
) -> Request<'a, Typed<'static>> {
    Request {
        schema: Typed::new(schemas(), &format!("{prefix}{kind}")),
        manager,
        api_version,
        kind,
        subresource: "",
        now: "2026-01-01T00:00:00Z".parse().ok(),
        reset: &[&["status"]],
        only: &[],
    }
}

fn fields_of(object: &Value, manager: &str) -> Value {
    let list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let entry = list.iter().find(|entry| entry["manager"] == manager);
    let text = entry.map_or("null", |entry| entry["fieldsV1"].as_str().expect("text"));
    serde_json::from_str(text).expect("a document")
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "nginx", "namespace": "default", "labels": {"app": "nginx"}},
        "spec": {
            "progressDeadlineSeconds": 600, "replicas": 1, "revisionHistoryLimit": 10,
            "selector": {"matchLabels": {"app": "nginx"}},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
            },
            "template": {
                "metadata": {"labels": {"app": "nginx"}},
                "spec": {
                    "containers": [{
                        "image": "nginx", "imagePullPolicy": "Always", "name": "nginx", "resources": {},
                        "terminationMessagePath": "/dev/termination-log",
                        "terminationMessagePolicy": "File",
                    }],
                    "dnsPolicy": "ClusterFirst", "restartPolicy": "Always",
                    "schedulerName": "default-scheduler", "securityContext": {},
                    "terminationGracePeriodSeconds": 30,
                },
            },
        },
        "status": {},
    })
}

#[test]
fn a_deployment_as_kubectl_creates_it() {
    let mut object = deployment();
    update(&request(APPS, "apps/v1", "Deployment", "kubectl-create"), None, &mut object);
    let wanted = json!({
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {
            "f:progressDeadlineSeconds": {}, "f:replicas": {}, "f:revisionHistoryLimit": {},
            "f:selector": {},
            "f:strategy": {
                "f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}},
                "f:type": {},
            },
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:containers": {
                        "k:{\"name\":\"nginx\"}": {
                            ".": {}, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {},
                            "f:resources": {}, "f:terminationMessagePath": {},
                            "f:terminationMessagePolicy": {},
                        },
                    },
                    "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {},
                    "f:securityContext": {}, "f:terminationGracePeriodSeconds": {},
                },
            },
        },
    });
    assert_eq!(fields_of(&object, "kubectl-create"), wanted);
}

#[test]
fn other_objects_as_they_are_created() {
    let cases = [
        (
            "Service",
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"},
                "spec": {
                    "internalTrafficPolicy": "Cluster", "selector": {"app": "a"},
                    "ports": [
                        {"port": 443, "protocol": "TCP", "targetPort": 8443},
                        {"port": 80, "protocol": "TCP", "targetPort": "web"},
                    ],
                    "sessionAffinity": "None", "type": "ClusterIP",
                },
                "status": {"loadBalancer": {}},
            }),
            r#"{"f:spec":{"f:internalTrafficPolicy":{},"f:ports":{".":{},"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{},"f:protocol":{},"f:targetPort":{}},"k:{\"port\":443,\"protocol\":\"TCP\"}":{".":{},"f:port":{},"f:protocol":{},"f:targetPort":{}}},"f:selector":{},"f:sessionAffinity":{},"f:type":{}}}"#,
        ),
        (
            "ConfigMap",
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "a", "annotations": {"b": "c"}, "finalizers": ["x.y/z"]},
                "data": {"key": "v"}, "immutable": false,
            }),
            r#"{"f:data":{".":{},"f:key":{}},"f:immutable":{},"f:metadata":{"f:annotations":{".":{},"f:b":{}},"f:finalizers":{".":{},"v:\"x.y/z\"":{}}}}"#,
        ),
        (
            "Secret",
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"},
                "data": {"key": "dg=="}, "type": "Opaque",
            }),
            r#"{"f:data":{".":{},"f:key":{}},"f:type":{}}"#,
        ),
        (
            "Namespace",
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}},
                "spec": {}, "status": {},
            }),
            r#"{"f:metadata":{"f:labels":{".":{},"f:kubernetes.io/metadata.name":{}}}}"#,
        ),
        (
            "Endpoints",
            json!({
                "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "a"},
                "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}],
            }),
            r#"{"f:subsets":{}}"#,
        ),
    ];
    for (kind, object, wanted) in cases {
        let mut new = object;
        update(&request(CORE, "v1", kind, "m"), None, &mut new);
        let fields = fields_of(&new, "m");
        assert_eq!(FieldSet::from_value(&fields).unwrap().to_json(), wanted);
    }
}

#[test]
fn a_conflict_over_replicas() {
    let mut live = deployment();
    let client = request(APPS, "apps/v1", "Deployment", "kubectl-client-side-apply");
    update(&client, None, &mut live);
    let config = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "nginx"},
        "spec": {"replicas": 3},
    });
    let other = Request { manager: "other", ..client };
    let status = apply(&other, Some(&live), &config, false).unwrap_err();
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using apps/v1: .spec.replicas"
    );
    let new = apply(&other, Some(&live), &config, true).unwrap();
    assert_eq!(new["spec"]["replicas"], 3);
    assert_eq!(fields_of(&new, "other"), json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(fields_of(&new, "kubectl-client-side-apply")["f:spec"].get("f:replicas"), None);
    // Given up by its last owner, it goes, and defaults make it what it was.
    let nothing =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "nginx"}});
    let new = apply(&other, Some(&new), &nothing, false).unwrap();
    assert_eq!(new["spec"].get("replicas"), None);
    assert_eq!(fields_of(&new, "other"), Value::Null);
}

#[test]
fn a_container_beside_those_of_others() {
    let request = |manager| request(APPS, "apps/v1", "Deployment", manager);
    let container = |name: &str, image: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "nginx"},
            "spec": {"template": {"spec": {"containers": [{
                "name": name, "image": image, "ports": [{"containerPort": 80}],
            }]}}},
        })
    };
    let mut live = deployment();
    update(&request("kubectl-create"), None, &mut live);
    let new = apply(&request("sidecar"), Some(&live), &container("proxy", "envoy"), false).unwrap();
    let containers = new["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 2);
    assert_eq!(
        fields_of(&new, "sidecar")["f:spec"]["f:template"]["f:spec"]["f:containers"],
        json!({"k:{\"name\":\"proxy\"}": {
            ".": {}, "f:image": {}, "f:name": {},
            "f:ports": {
                "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}},
            },
        }})
    );
    // Defaults are nobody's; they go with what they were for.
    let mut defaulted = new.clone();
    defaulted["spec"]["template"]["spec"]["containers"][1]["imagePullPolicy"] = "Always".into();
    let next = apply(&request("sidecar"), Some(&defaulted), &container("mesh", "envoy"), false);
    let next = next.unwrap();
    let names: Vec<&Value> = next["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|container| &container["name"])
        .collect();
    assert_eq!(names, ["nginx", "mesh"]);
}

#[test]
fn what_a_list_of_conditions_is() {
    let status = Request {
        subresource: "status",
        reset: &[&["spec"]],
        ..request(APPS, "apps/v1", "Deployment", "kube-controller-manager")
    };
    let mut live = deployment();
    update(&request(APPS, "apps/v1", "Deployment", "kubectl-create"), None, &mut live);
    let mut new = live.clone();
    new["status"] = json!({
        "observedGeneration": 1, "replicas": 1,
        "conditions": [{"type": "Available", "status": "True", "reason": "r"}],
    });
    update(&status, Some(&live), &mut new);
    assert_eq!(
        fields_of(&new, "kube-controller-manager"),
        json!({"f:status": {
            "f:conditions": {".": {}, "k:{\"type\":\"Available\"}": {
                ".": {}, "f:reason": {}, "f:status": {}, "f:type": {},
            }},
            "f:observedGeneration": {}, "f:replicas": {},
        }})
    );
    assert_eq!(fields_of(&new, "kubectl-create"), fields_of(&live, "kubectl-create"));
}

#[test]
fn every_type_can_be_walked() {
    for def in schemas().types() {
        let schema = Typed::new(schemas(), &def.name);
        let mut object = json!({});
        for field in &def.fields {
            object[&field.name] = json!([{"a": null}, "b", 1]);
        }
        let empty = json!({});
        assert!(compare(schema, None, &empty).unwrap().is_empty(), "{}", def.name);
        let _ = compare(schema, None, &object);
        let _ = compare(schema, Some(&object), &empty);
    }
}
