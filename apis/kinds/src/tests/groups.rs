//! Columns of the kinds of the smaller groups.

use super::*;

/// Asserts the cells of an object, but for its name and age.
#[track_caller]
fn shows(kind: &str, mut object: Value, cells: &[&str]) {
    object["metadata"]["name"] = "n".into();
    let all = row(kind, &object);
    let shown: Vec<&str> = all.iter().map(String::as_str).collect();
    let without =
        |name: &str| by_word(kind).expect(kind).table_columns().position(|c| c.name == name);
    let own: Vec<&str> = shown
        .iter()
        .enumerate()
        .filter(|(index, _)| ![without("Name"), without("Age")].contains(&Some(*index)))
        .map(|(_, cell)| *cell)
        .collect();
    assert_eq!(own, cells, "{kind}");
}

#[test]
fn ingresses_print_as_upstream_does() {
    let host = |host: &str| json!({ "host": host });
    shows("ing", json!({}), &["<none>", "*", "", "80"]);
    shows(
        "ing",
        json!({
            "spec": {
                "ingressClassName": "nginx", "tls": [{}],
                "rules": [host("a"), {}, host("b"), host("c"), host("d")],
            },
            "status": { "loadBalancer": { "ingress": [{ "hostname": "x" }, { "ip": "10.0.0.1" }, {}] } },
        }),
        &["nginx", "a,b,c + 2 more...", "10.0.0.1,x", "80, 443"],
    );
    shows(
        "ing",
        json!({ "spec": { "rules": [host("a"), host("b"), host("c")] } }),
        &["<none>", "a,b,c", "", "80"],
    );
    shows("ingressclass", json!({ "spec": { "controller": "a/b" } }), &["a/b", "<none>"]);
    let parameters = json!({ "apiGroup": "g", "kind": "K", "name": "p" });
    shows(
        "ingressclass",
        json!({ "spec": { "controller": "a/b", "parameters": parameters } }),
        &["a/b", "K.g/p"],
    );
}

#[test]
fn policies_and_addresses_print_as_upstream_does() {
    shows("netpol", json!({ "spec": { "podSelector": {} } }), &["<none>"]);
    let selector = json!({ "matchLabels": { "b": "c" }, "matchExpressions": [
        { "key": "a", "operator": "In", "values": ["y", "x"] },
    ] });
    shows("netpol", json!({ "spec": { "podSelector": selector } }), &["a in (x,y),b=c"]);
    let parent = |group: &str, namespace: &str| {
        let parent =
            json!({ "group": group, "resource": "Services", "namespace": namespace, "name": "w" });
        json!({ "spec": { "parentRef": parent } })
    };
    shows("ip", json!({}), &["<none>"]);
    shows("ip", parent("", "ns"), &["services/ns/w"]);
    shows("ip", parent("example.com", ""), &["services.example.com/w"]);
    shows(
        "servicecidr",
        json!({ "spec": { "cidrs": ["10.0.0.0/8", "2001:db8::/64"] } }),
        &["10.0.0.0/8,2001:db8::/64"],
    );
}

#[test]
fn storage_prints_as_upstream_does() {
    let class = json!({ "provisioner": "p", "metadata": { "annotations": {
        "storageclass.kubernetes.io/is-default-class": "true",
    } } });
    shows("sc", class.clone(), &["p", "Delete", "Immediate", "false"]);
    let mut named = class;
    named["metadata"]["name"] = "n".into();
    named["allowVolumeExpansion"] = true.into();
    assert_eq!(row("sc", &named)[..2], ["n (default)", "p"]);
    assert_eq!(row("sc", &named)[4], "true");
    shows("vac", json!({ "driverName": "d" }), &["d"]);
    shows("volumeattachment", json!({}), &["", "", "", "false"]);
    shows(
        "volumeattachment",
        json!({
            "spec": { "attacher": "a", "nodeName": "m", "source": { "persistentVolumeName": "v" } },
            "status": { "attached": true },
        }),
        &["a", "v", "m", "true"],
    );
    shows("csinode", json!({ "spec": { "drivers": [{}, {}] } }), &["2"]);
    shows("csidriver", json!({}), &["true", "false", "false", "<unset>", "false", "<none>"]);
    shows(
        "csidriver",
        json!({ "spec": {
            "attachRequired": false, "storageCapacity": true, "tokenRequests": [{ "audience": "a" }, { "audience": "b" }],
            "volumeLifecycleModes": ["Persistent", "Ephemeral"],
        } }),
        &["false", "false", "true", "a,b", "false", "Persistent,Ephemeral"],
    );
    shows("csistoragecapacity", json!({ "storageClassName": "s" }), &["s", "<unset>"]);
    shows(
        "csistoragecapacity",
        json!({ "storageClassName": "s", "capacity": "1Gi" }),
        &["s", "1Gi"],
    );
}

#[test]
fn limits_and_classes_print_as_upstream_does() {
    let priority = json!({ "value": -5, "globalDefault": true, "preemptionPolicy": "Never" });
    shows("pc", priority, &["-5", "true", "Never"]);
    shows("runtimeclass", json!({ "handler": "kata" }), &["kata"]);
    let made = json!({ "metadata": { "creationTimestamp": "2026-01-01T00:00:00Z" } });
    shows("limits", made, &["2026-01-01T00:00:00Z"]);
    shows("quota", json!({}), &["", ""]);
    shows(
        "quota",
        json!({ "status": {
            "hard": { "pods": "4", "limits.cpu": "2", "cpu": "1", "limits.memory": "1Gi" },
            "used": { "pods": "1", "limits.cpu": "500m" },
        } }),
        &["cpu: 0/1, pods: 1/4", "limits.cpu: 500m/2, limits.memory: 0/1Gi"],
    );
}

#[test]
fn flows_print_as_upstream_does() {
    shows("flowschema", json!({}), &["", "0", "<none>", "?"]);
    let spec = json!({
        "priorityLevelConfiguration": { "name": "low" }, "matchingPrecedence": 9,
        "distinguisherMethod": { "type": "ByUser" },
    });
    let status = json!({ "conditions": [{ "type": "Dangling", "status": "False" }] });
    shows(
        "flowschema",
        json!({ "spec": spec, "status": status }),
        &["low", "9", "ByUser", "False"],
    );
    let level = "prioritylevelconfiguration";
    let none = ["Exempt", "<none>", "<none>", "<none>", "<none>"];
    shows(level, json!({ "spec": { "type": "Exempt" } }), &none);
    let queuing = json!({ "queues": 64, "handSize": 8, "queueLengthLimit": 50 });
    let limited =
        json!({ "nominalConcurrencyShares": 30, "limitResponse": { "queuing": queuing } });
    let cells = ["Limited", "30", "64", "8", "50"];
    shows(level, json!({ "spec": { "type": "Limited", "limited": limited } }), &cells);
}
