//! Nothing that a client sends brings the write path down, whatever stands where something else is expected.

use super::*;

/// Objects with something in most fields that are looked at.
fn samples() -> Vec<Value> {
    let template = json!({
        "metadata": { "labels": { "a": "b" } },
        "spec": {
            "volumes": [
                { "name": "v", "projected": { "sources": [{ "downwardAPI": { "items": [
                    { "path": "p", "fieldRef": { "fieldPath": "metadata.labels['a']" } },
                ] } }] } },
                { "name": "t", "projected": { "sources": [
                    { "clusterTrustBundle": { "name": "n", "path": "b" } },
                    { "podCertificate": { "signerName": "a.b/c", "keyType": "ED25519", "keyPath": "k",
                        "userAnnotations": { "a.b/c": "d" }, "maxExpirationSeconds": 3600 } },
                ] } },
                { "name": "f", "fc": { "targetWWNs": ["a"], "lun": 1 } },
                { "name": "q", "quobyte": { "registry": "a:1,b:2", "volume": "v" } },
                { "name": "i", "iscsi": { "targetPortal": "a", "iqn": "iqn.2015-02.a.b:c", "initiatorName": "eui.0123456789ABCDEF" } },
                { "name": "h", "hostPath": { "path": "/x" } },
                { "name": "s", "secret": { "secretName": "s", "items": [{ "key": "k", "path": "p" }] } },
            ],
            "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "k", "operator": "In", "values": ["v"] }] }],
            } } },
            "topologySpreadConstraints": [{ "topologyKey": "k", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": { "matchLabels": { "x": "y" } }, "matchLabelKeys": ["a"] }],
            "resources": { "limits": { "cpu": "2" }, "requests": { "memory": "1Mi" } },
            "resourceClaims": [{ "name": "a", "resourceClaimName": "x" }],
            "securityContext": { "windowsOptions": { "runAsUserName": "a\\b" } },
            "hostnameOverride": "h",
            "tolerations": [{ "key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule" }],
            "containers": [{
                "name": "c", "image": "i:1",
                "ports": [{ "containerPort": 80, "name": "http" }],
                "env": [{ "name": "E", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } }],
                "envFrom": [{ "configMapRef": { "name": "m" } }],
                "resources": { "limits": { "cpu": "1" }, "requests": { "cpu": "500m" },
                    "claims": [{ "name": "a", "request": "r" }] },
                "restartPolicy": "Never",
                "restartPolicyRules": [{ "action": "Restart", "exitCodes": { "operator": "In", "values": [1] } }],
                "volumeMounts": [{ "name": "v", "mountPath": "/v" }],
                "readinessProbe": { "httpGet": { "port": "http" } },
                "lifecycle": { "preStop": { "exec": { "command": ["x"] } } },
                "securityContext": { "runAsUser": 1 },
            }],
        },
    });
    let mut ended = template.clone();
    ended["spec"]["restartPolicy"] = "Never".into();
    let object = |api_version: &str, kind: &str, fields: Value| {
        let mut object = json!({ "apiVersion": api_version, "kind": kind, "metadata": {
            "name": "x", "labels": { "a": "b" }, "annotations": { "a": "b" }, "finalizers": ["a.b/c"],
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1" }],
        } });
        object.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        object
    };
    let devices = json!({
        "requests": [
            { "name": "r", "exactly": { "deviceClassName": "c", "selectors": [{ "cel": { "expression": "true" } }],
              "tolerations": [{ "key": "k", "operator": "Exists" }], "capacity": { "requests": { "m": "1" } } } },
            { "name": "s", "firstAvailable": [{ "name": "t", "deviceClassName": "c" }] },
        ],
        "constraints": [{ "requests": ["r"], "matchAttribute": "a.b/c" }],
        "config": [{ "requests": ["r"], "opaque": { "driver": "d", "parameters": { "a": 1 } } }],
    });
    let slice = json!({
        "driver": "d", "pool": { "name": "p", "resourceSliceCount": 1 }, "perDeviceNodeSelection": true,
        "devices": [{
            "name": "x", "nodeName": "n", "allowMultipleAllocations": true,
            "attributes": { "a": { "strings": ["x"] }, "b": { "version": "1.2.3" } },
            "capacity": { "m": { "value": "4", "requestPolicy": { "default": "2", "validRange": { "min": "2", "step": "2" } } } },
            "taints": [{ "key": "k", "effect": "NoSchedule" }],
            "bindingConditions": ["a"], "bindingFailureConditions": ["b"],
            "consumesCounters": [{ "counterSet": "c", "counters": { "a": { "value": "1" } } }],
        }],
    });
    vec![
        object(
            "certificates.k8s.io/v1",
            "CertificateSigningRequest",
            super::certificates::spec("kubernetes.io/kube-apiserver-client"),
        ),
        object("resource.k8s.io/v1", "ResourceClaim", json!({ "spec": { "devices": devices } })),
        object("resource.k8s.io/v1", "ResourceSlice", json!({ "spec": slice })),
        object("config.openshift.io/v1", "ClusterVersion", json!({ "spec": { "clusterID": "x" } })),
        object("v1", "Pod", json!({ "spec": template["spec"] })),
        object(
            "v1",
            "ReplicationController",
            json!({ "spec": { "replicas": 1, "template": template } }),
        ),
        object(
            "v1",
            "Service",
            json!({ "spec": {
            "type": "NodePort", "selector": { "a": "b" }, "sessionAffinity": "ClientIP",
            "ports": [{ "name": "a", "port": 1, "targetPort": "http", "nodePort": 30001 }],
        } }),
        ),
        object("v1", "ConfigMap", json!({ "data": { "a": "b" }, "binaryData": { "c": "eA==" } })),
        object(
            "v1",
            "Secret",
            json!({ "data": { ".dockerconfigjson": "e30=" }, "stringData": { "a": "b" },
            "type": "kubernetes.io/dockerconfigjson" }),
        ),
        object("v1", "Namespace", json!({})),
        object(
            "v1",
            "Node",
            json!({ "spec": { "podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"],
            "taints": [{ "key": "a", "effect": "NoSchedule" }] }, "status": { "capacity": { "cpu": "1" } } }),
        ),
        object(
            "v1",
            "PersistentVolume",
            json!({ "spec": { "capacity": { "storage": "1Gi" },
            "accessModes": ["ReadWriteOnce"], "csi": { "driver": "d", "volumeHandle": "h",
                "nodePublishSecretRef": { "name": "s", "namespace": "n" } },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [
                { "matchExpressions": [{ "key": "k", "operator": "In", "values": ["x"] }] }] } } } }),
        ),
        object(
            "v1",
            "PersistentVolumeClaim",
            json!({ "spec": { "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Gi" } }, "selector": { "matchLabels": { "a": "b" } },
            "dataSource": { "kind": "PersistentVolumeClaim", "name": "d" } } }),
        ),
        object(
            "v1",
            "Endpoints",
            json!({ "subsets": [{ "addresses": [{ "ip": "10.0.0.1" }], "ports": [{ "port": 1 }] }] }),
        ),
        object(
            "v1",
            "Event",
            json!({ "involvedObject": { "namespace": "ns" }, "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingComponent": "c", "reportingInstance": "i", "action": "a", "reason": "r" }),
        ),
        object(
            "coordination.k8s.io/v1",
            "Lease",
            json!({ "spec": { "holderIdentity": "a", "leaseDurationSeconds": 1 } }),
        ),
        object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            json!({ "addressType": "IPv4",
            "endpoints": [{ "addresses": ["10.0.0.1"] }], "ports": [{ "port": 1 }] }),
        ),
        object("apps/v1", "ControllerRevision", json!({ "data": { "a": 1 }, "revision": 1 })),
        object(
            "apps/v1",
            "DaemonSet",
            json!({ "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": template,
            "updateStrategy": { "rollingUpdate": { "maxUnavailable": "10%" } } } }),
        ),
        object(
            "apps/v1",
            "Deployment",
            json!({ "spec": { "selector": { "matchExpressions": [{ "key": "a", "operator": "In", "values": ["b"] }] },
            "template": template, "strategy": { "rollingUpdate": { "maxSurge": 1 } } } }),
        ),
        object(
            "apps/v1",
            "ReplicaSet",
            json!({ "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": template } }),
        ),
        object(
            "apps/v1",
            "StatefulSet",
            json!({ "spec": { "selector": { "matchLabels": { "a": "b" } }, "template": template,
            "ordinals": { "start": 1 }, "updateStrategy": { "rollingUpdate": { "partition": 1 } },
            "volumeClaimTemplates": [{ "metadata": { "name": "d" }, "spec": { "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": "1Gi" } } } }] } }),
        ),
        object(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({ "spec": { "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "w" }, "maxReplicas": 5,
            "behavior": { "scaleUp": { "tolerance": "1" } },
            "metrics": [{ "type": "Object", "object": { "describedObject": { "apiVersion": "v1", "kind": "A", "name": "a" },
                "metric": { "name": "m" }, "target": { "type": "Value", "value": "1" } } }] } }),
        ),
        object(
            "policy/v1",
            "PodDisruptionBudget",
            json!({ "spec": { "minAvailable": "50%", "selector": { "matchLabels": { "a": "b" } } } }),
        ),
        object(
            "batch/v1",
            "CronJob",
            json!({ "spec": { "schedule": "0 0 * * *", "timeZone": "UTC", "jobTemplate": { "spec": { "template": ended } } } }),
        ),
        object(
            "batch/v1",
            "Job",
            json!({ "spec": { "completionMode": "Indexed", "completions": 3, "backoffLimitPerIndex": 1, "managedBy": "a.io/b",
            "podFailurePolicy": { "rules": [
                { "action": "FailIndex", "onExitCodes": { "operator": "In", "values": [1], "containerName": "c" } },
                { "action": "Ignore", "onPodConditions": [{ "type": "A" }] } ] },
            "successPolicy": { "rules": [{ "succeededIndexes": "0-1", "succeededCount": 1 }] }, "template": ended },
            "status": { "completedIndexes": "1", "failedIndexes": "2", "uncountedTerminatedPods": { "succeeded": ["a"] },
                "conditions": [{ "type": "Complete", "status": "True" }] } }),
        ),
        object(
            "route.openshift.io/v1",
            "Route",
            json!({ "spec": { "to": { "name": "s" }, "port": { "targetPort": 1 },
            "alternateBackends": [{ "name": "t" }], "tls": { "termination": "edge", "key": "k" },
            "httpHeaders": { "actions": { "request": [{ "name": "X", "action": { "type": "Delete" } }] } } } }),
        ),
        object(
            "apps.openshift.io/v1",
            "DeploymentConfig",
            json!({ "spec": { "template": template,
            "strategy": { "type": "Recreate", "recreateParams": { "pre": { "failurePolicy": "Abort",
                "tagImages": [{ "to": { "kind": "ImageStreamTag", "name": "a:b" } }] } } },
            "triggers": [{ "type": "ImageChange", "imageChangeParams": { "containerNames": ["c"], "from": { "name": "a:b" } } }] } }),
        ),
        object(
            "build.openshift.io/v1",
            "BuildConfig",
            json!({ "spec": {
            "source": { "images": [{ "from": { "kind": "DockerImage", "name": "i" }, "as": ["a"] }] },
            "strategy": { "dockerStrategy": { "from": { "name": "a:b" }, "env": [{ "name": "E", "value": "v" }] } },
            "output": { "to": { "kind": "ImageStreamTag", "name": "a:b" } },
            "triggers": [{ "type": "GitHub", "github": { "secret": "s" } }, { "type": "ImageChange", "imageChange": {} }] } }),
        ),
        super::extensions::definition(),
        object(
            "image.openshift.io/v1",
            "ImageStream",
            json!({ "spec": { "tags": [{ "name": "a", "from": { "name": "i" } }] } }),
        ),
    ]
    .into_iter()
    .chain(flowcontrol::samples())
    .chain(limits::samples())
    .chain(networking::samples())
    .chain(rbac::samples())
    .chain(admission::samples())
    .chain(mutating_policies::samples())
    .chain(storage::samples())
    .chain(template::samples())
    .chain(people::samples())
    .chain(security::samples())
    .collect()
}

/// The pointers of all values inside one.
fn pointers(value: &Value, base: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, child)| (key.replace('~', "~0").replace('/', "~1"), child))
            .collect(),
        Value::Array(list) => {
            list.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect()
        }
        _ => Vec::new(),
    };
    for (key, child) in children {
        let pointer = format!("{base}/{key}");
        pointers(child, &pointer, found);
        found.push(pointer);
    }
}

/// What becomes of a value when something else stands in any one place of it.
pub(super) fn broken(whole: &Value) -> Vec<Value> {
    let wrong = [json!(null), json!(-5), json!("x"), json!([null, 1]), json!({ "a": 1 })];
    let mut found = vec![String::new()];
    pointers(whole, "", &mut found);
    let places = found.iter().flat_map(|pointer| wrong.iter().map(move |value| (pointer, value)));
    places
        .map(|(pointer, value)| {
            let mut broken = whole.clone();
            *broken.pointer_mut(pointer).expect("found") = value.clone();
            broken
        })
        .collect()
}

#[test]
fn the_samples_are_accepted_and_settle() {
    for sample in samples() {
        let kind = sample["kind"].clone();
        let stored = create(sample).unwrap_or_else(|status| panic!("{kind}: {status}"));
        assert_eq!(update(Target::Main, &stored, |_| {}), Ok(Write::Unchanged), "{kind}");
    }
}

#[test]
fn a_wrong_value_anywhere_is_an_answer() {
    let wrong = [json!(null), json!(-5), json!("x"), json!([null, 1]), json!({ "a": 1 })];
    for sample in samples() {
        let row = row(&sample);
        let stored = created(sample.clone());
        let name = sample["metadata"]["name"].as_str().expect("name");
        let mut found = Vec::new();
        pointers(&stored, "", &mut found);
        for pointer in
            found.iter().filter(|pointer| !matches!(pointer.as_str(), "/kind" | "/apiVersion"))
        {
            for value in &wrong {
                let mut broken = stored.clone();
                *broken.pointer_mut(pointer).expect("found") = value.clone();
                let mut fresh = broken.clone();
                if let Some(metadata) = fresh["metadata"].as_object_mut() {
                    metadata.remove("resourceVersion");
                }
                let _ = leme_registry::create(
                    &context(row, ""),
                    TESTER,
                    fresh,
                    &mut Numbers::default(),
                );
                for target in [Target::Main, Target::Status] {
                    let ctx = context(row, name);
                    let numbers = &mut Numbers::default();
                    let _ = leme_registry::update(
                        &ctx,
                        target,
                        TESTER,
                        broken.clone(),
                        (&stored, 7),
                        numbers,
                    );
                }
                let ctx = context(row, name);
                let _ = leme_registry::delete(&ctx, &DeleteOptions::default(), &broken, 7);
                let _ = leme_registry::bind(&ctx, broken.clone(), &stored);
                let _ = (ctx.strategy.warn)(&broken, None);
            }
        }
    }
}

/// What whoever runs a pod says of it, with something in most fields.
fn status_of_a_pod() -> Value {
    let container = json!({
        "name": "c", "image": "i", "imageID": "d", "state": { "terminated": { "exitCode": 1 } },
        "allocatedResourcesStatus": [{ "name": "claim:a/r",
            "resources": [{ "resourceID": "d", "health": "Healthy", "message": "m" }] }],
        "user": { "linux": { "uid": 1, "gid": 1, "supplementalGroups": [1] } },
    });
    json!({
        "phase": "Running", "qosClass": "Burstable", "observedGeneration": 1, "nominatedNodeName": "n",
        "podIP": "10.0.0.1", "podIPs": [{ "ip": "10.0.0.1" }], "hostIP": "10.0.0.1", "hostIPs": [{ "ip": "10.0.0.1" }],
        "conditions": [{ "type": "a.b/c", "status": "True", "observedGeneration": 1 }],
        "containerStatuses": [container], "initContainerStatuses": [container], "ephemeralContainerStatuses": [container],
        "resourceClaimStatuses": [{ "name": "a", "resourceClaimName": "x" }],
        "extendedResourceClaimStatus": { "resourceClaimName": "x", "requestMappings": [
            { "containerName": "c", "resourceName": "a.b/c", "requestName": "r" }] },
        "nodeAllocatableResourceClaimStatuses": [{ "resourceClaimName": "x", "containers": ["c"], "resources": { "cpu": "1" } }],
    })
}

#[test]
fn a_wrong_value_anywhere_in_the_status_of_a_pod_is_an_answer() {
    let wrong = [json!(null), json!(-5), json!("x"), json!([null, 1]), json!({ "a": 1 })];
    let mut stored = created(pod());
    stored["status"] = status_of_a_pod();
    let mut found = Vec::new();
    pointers(&stored["status"], "/status", &mut found);
    for (pointer, value) in found.iter().flat_map(|at| wrong.iter().map(move |value| (at, value))) {
        let mut broken = stored.clone();
        *broken.pointer_mut(pointer).expect("found") = value.clone();
        // What is said, and what was known.
        let _ = update(Target::Status, &stored, |new| new["status"] = broken["status"].clone());
        let _ = update(Target::Status, &broken, |new| new["status"] = stored["status"].clone());
    }
}

/// A list of copies of one element: as much as a body of 64 KiB holds.
fn crowd(element: &Value) -> Value {
    let each = element.to_string().len() + 1;
    Value::Array(vec![element.clone(); (64 << 10) / each + 1])
}

// Red when each of many alike says which others it is like, or shows the whole list: a body of 100 KB brought a server
// down with an answer of hundreds of megabytes.
#[test]
fn what_is_said_does_not_grow_with_the_square_of_what_is_sent() {
    const MOST: usize = 16 << 20;
    let mut wrong = Vec::new();
    for sample in samples() {
        let row = row(&sample);
        let stored = created(sample);
        let mut found = Vec::new();
        pointers(&stored, "", &mut found);
        for pointer in found {
            let Some(first) = stored.pointer(&pointer).and_then(|list| list.get(0)) else {
                continue;
            };
            let mut crowded = stored.clone();
            *crowded.pointer_mut(&pointer).expect("found") = crowd(first);
            let ctx = context(row, "");
            let errors = (ctx.strategy.validate)(&crowded);
            let told: usize = errors.iter().map(|error| error.body.len() + error.field.len()).sum();
            let warnings: usize = (ctx.strategy.warn)(&crowded, None).iter().map(String::len).sum();
            if told.max(warnings) > MOST {
                wrong.push(format!(
                    "{} {pointer}: {told} bytes of errors, {warnings} of warnings",
                    row.kind
                ));
            }
        }
    }
    let owner =
        json!({ "apiVersion": "v1", "kind": "A", "name": "a", "uid": "u", "controller": true });
    let crowded = json!({ "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "a", "ownerReferences": crowd(&owner) } });
    let status = create(crowded).expect_err("many controllers");
    let said = status.message.len();
    assert!(said < MOST / 4, "{said} bytes");
}
