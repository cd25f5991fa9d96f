//! Namespaces, replication controllers, nodes, events, leases, endpoints.

use super::*;

fn object(api_version: &str, kind: &str, fields: Value) -> Value {
    let mut object =
        json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "x" } });
    object.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    object
}

#[test]
fn every_row_of_the_kind_table_has_a_strategy() {
    let kept = |row: &&std::sync::Arc<Kind>| row.storage != leme_kinds::Storage::Virtual;
    for row in leme_kinds::builtin().filter(kept) {
        let known =
            crate::TABLE.iter().any(|(group, kind, _)| *group == row.group && *kind == row.kind);
        assert!(known, "{} {}", row.group, row.kind);
    }
}

#[test]
fn a_namespace_goes_when_its_content_has() {
    let old = created(object("v1", "Namespace", json!({})));
    assert_eq!(old["metadata"]["labels"], json!({ "kubernetes.io/metadata.name": "x" }));
    assert_eq!(
        (&old["spec"], &old["status"]),
        (&json!({ "finalizers": ["kubernetes"] }), &json!({ "phase": "Active" }))
    );
    assert_eq!(update(Target::Main, &old, |new| new["spec"] = json!({})), Ok(Write::Unchanged));
    let Deletion::Mark(marked) = delete(&old, None) else { panic!("not marked") };
    assert_eq!(marked["status"]["phase"], "Terminating");
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-02T03:04:05Z");
    assert_eq!(marked["metadata"].get("deletionGracePeriodSeconds"), None);
    assert_eq!(delete(&marked, None), Deletion::AlreadyMarked);
    assert_eq!(update(Target::Finalize, &marked, |new| new["spec"] = json!({})), Ok(Write::Remove));
    check(
        update(Target::Status, &marked, |new| new["status"]["phase"] = "Active".into()),
        &[
            "status.Phase: Invalid value: \"Active\": may only be 'Terminating' if `deletionTimestamp` is not empty",
        ],
    );
    let status =
        create(with(object("v1", "Namespace", json!({})), &[("metadata.name", json!("a.b"))]));
    assert!(status.expect_err("refused").message.contains("must not contain dots"));
}

fn controller() -> Value {
    object(
        "v1",
        "ReplicationController",
        json!({ "spec": { "template": {
        "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i:1" }] },
    } } }),
    )
}

#[test]
fn a_controller_takes_selector_and_labels_from_its_template() {
    let new = created(controller());
    assert_eq!(new["spec"]["selector"], json!({ "a": "b" }));
    assert_eq!(new["metadata"]["labels"], json!({ "a": "b" }));
    assert_eq!((&new["spec"]["replicas"], &new["status"]), (&json!(1), &json!({ "replicas": 0 })));
    let template = &new["spec"]["template"]["spec"];
    assert_eq!(template["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!((template.get("enableServiceLinks"), template.get("tolerations")), (None, None));
}

#[test]
fn a_controller_must_match_its_template() {
    let body =
        with(controller(), &[("spec.selector", json!({ "a": "c" })), ("spec.replicas", json!(-1))]);
    check(
        create(body),
        &[
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
        ],
    );
    check(
        create(with(controller(), &[("spec.template.spec.restartPolicy", json!("Never"))])),
        &[
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ],
    );
    check(
        create(object("v1", "ReplicationController", json!({}))),
        &["spec.selector: Required value", "spec.template: Required value"],
    );
}

#[test]
fn a_controller_counts_no_pods_that_are_not_there() {
    let old = created(controller());
    assert_eq!(old["status"], json!({ "replicas": 0 }));
    let status = |status: Value| update(Target::Status, &old, |new| new["status"] = status);
    assert!(status(json!({ "replicas": 2, "readyReplicas": 2, "observedGeneration": 1 })).is_ok());
    check(
        status(json!({ "replicas": -1, "observedGeneration": -1 })),
        &[
            "status.replicas: Invalid value: -1: must be greater than or equal to 0",
            "status.observedGeneration: Invalid value: -1: must be greater than or equal to 0",
            "status.fullyLabeledReplicas: Invalid value: 0: cannot be greater than status.replicas",
            "status.readyReplicas: Invalid value: 0: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 0: cannot be greater than status.replicas",
        ],
    );
    check(
        status(
            json!({ "replicas": 1, "fullyLabeledReplicas": 2, "readyReplicas": 3, "availableReplicas": 4 }),
        ),
        &[
            "status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas",
            "status.readyReplicas: Invalid value: 3: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 4: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 4: cannot be greater than readyReplicas",
        ],
    );
}

#[test]
fn a_controller_leaves_its_pods_unless_told() {
    let old = created(controller());
    let Deletion::Mark(marked) = delete(&old, None) else { panic!("not marked") };
    assert_eq!(marked["metadata"]["finalizers"], json!(["orphan"]));
}

#[test]
fn a_pod_template_is_a_pod_s_and_counts_its_changes() {
    let container = json!({ "name": "c", "image": "i" });
    let template = |policy: &str| {
        let spec = json!({ "containers": [container], "restartPolicy": policy });
        let body = json!({ "template": { "metadata": { "labels": { "a": "b" } }, "spec": spec } });
        object("v1", "PodTemplate", body)
    };
    let old = created(template("Never"));
    assert_eq!(old["metadata"]["generation"], 1);
    assert_eq!(old["template"]["spec"]["dnsPolicy"], "ClusterFirst");
    let labelled = updated(&old, |new| new["metadata"]["labels"] = json!({ "x": "y" }));
    assert_eq!(labelled["metadata"]["generation"], 1);
    let changed = updated(&old, |new| new["template"]["metadata"]["labels"] = json!({ "a": "c" }));
    assert_eq!(changed["metadata"]["generation"], 2);
    check(
        create(template("Sometimes")),
        &[
            "template.spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ],
    );
    check(
        create(object("v1", "PodTemplate", json!({}))),
        &["template.spec.containers: Required value"],
    );
}

#[test]
fn a_node_registers_with_its_status() {
    let old = created(object(
        "v1",
        "Node",
        json!({ "status": { "capacity": { "cpu": "2", "memory": "2048Ki" } } }),
    ));
    assert_eq!(old["status"]["allocatable"], json!({ "cpu": "2", "memory": "2Mi" }));
    let taint = json!({ "key": "k", "effect": "Sometimes" });
    check(
        update(Target::Main, &old, |new| new["spec"] = json!({ "taints": [taint] })),
        &[
            "spec.taints[0].effect: Unsupported value: \"Sometimes\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
        ],
    );
    let ranged = updated(&old, |new| {
        new["spec"] = json!({ "podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"] })
    });
    check(
        update(Target::Main, &ranged, |new| new["spec"]["podCIDRs"] = json!(["10.1.0.0/24"])),
        &[
            "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid",
        ],
    );
}

#[test]
fn an_event_lives_with_its_object() {
    let event = |namespace: &str| {
        object("v1", "Event", json!({ "involvedObject": { "namespace": namespace } }))
    };
    created(event("ns"));
    check(
        create(event("other")),
        &["involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"],
    );
}

#[test]
fn a_lease_is_written_by_version_alone() {
    let lease = |spec: Value| object("coordination.k8s.io/v1", "Lease", json!({ "spec": spec }));
    check(
        create(lease(json!({ "leaseDurationSeconds": 0, "holderIdentity": "" }))),
        &[
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
            "spec.holderIdentity: Invalid value: \"\": must not be empty",
        ],
    );
    // Coordinated elections are off: what asks for one is not kept, unless it is there already.
    let mut old = created(lease(json!({ "holderIdentity": "a", "preferredHolder": "b" })));
    assert_eq!(old["spec"].get("preferredHolder"), None);
    let asked = update(Target::Main, &old, |new| {
        new["spec"]["preferredHolder"] = "b".into();
        new["spec"]["strategy"] = "OldestEmulationVersion".into();
    });
    assert_eq!(asked, Ok(Write::Unchanged));
    old["spec"]["preferredHolder"] = "b".into();
    old["spec"]["strategy"] = "OldestEmulationVersion".into();
    updated(&old, |new| new["spec"]["strategy"] = "example.com/Youngest".into());
    check(
        update(Target::Main, &old, |new| new["spec"]["strategy"] = "Youngest".into()),
        &[
            "spec.strategy.strategy: Unsupported value: \"Youngest\": supported values: \"OldestEmulationVersion\"",
        ],
    );
    check(
        update(Target::Main, &old, |new| {
            new["spec"].as_object_mut().expect("map").remove("strategy");
        }),
        &["spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined"],
    );
    let blind = leme_registry::update(
        &context(row(&old), "x"),
        Target::Main,
        TESTER,
        old.clone(),
        (&old, 7),
        &mut Numbers::default(),
    );
    assert_eq!(blind.map_err(|status| status.code), Err(422));
}

#[test]
fn endpoints_are_checked() {
    let subsets = json!([
        { "ports": [{ "port": 80 }] },
        { "addresses": [{ "ip": "127.0.0.1" }, { "ip": "x" }], "ports": [{ "port": 80 }] },
    ]);
    check(
        create(object("v1", "Endpoints", json!({ "subsets": subsets }))),
        &[
            "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
            "subsets[1].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            "subsets[1].addresses[1].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            "subsets[1].addresses[1].ip: Invalid value: \"x\": must be a valid IP address",
        ],
    );
    let slice = json!({ "addressType": "IPv4", "endpoints": [{ "addresses": ["10.0.0.1"] }], "ports": [{ "port": 80 }] });
    let old = created(object("discovery.k8s.io/v1", "EndpointSlice", slice));
    assert_eq!(old["ports"], json!([{ "name": "", "port": 80, "protocol": "TCP" }]));
    let more = updated(&old, |new| new["endpoints"] = json!([{ "addresses": ["10.0.0.2"] }]));
    assert_eq!(more["metadata"]["generation"], 2);
    // What an earlier version of the kind could say stays until the endpoints change.
    let mut stored = old.clone();
    stored["endpoints"][0]["deprecatedTopology"] = json!({ "a": "b" });
    let renamed = updated(&stored, |new| new["ports"][0]["name"] = "web".into());
    assert_eq!(renamed["endpoints"], stored["endpoints"]);
    let ready = updated(&stored, |new| new["endpoints"][0]["hostname"] = "h".into());
    assert_eq!(ready["endpoints"][0].get("deprecatedTopology"), None);
    check(
        update(Target::Main, &old, |new| new["addressType"] = "FQDN".into()),
        &["addressType: Invalid value: \"FQDN\": field is immutable"],
    );
}

/// Endpoints and a slice of one address.
fn endpoints(ip: &str) -> [Value; 2] {
    let type_ = if ip.contains(':') { "IPv6" } else { "IPv4" };
    [
        object("v1", "Endpoints", json!({ "subsets": [{ "addresses": [{ "ip": ip }] }] })),
        object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            json!({ "addressType": type_, "endpoints": [{ "addresses": [ip] }] }),
        ),
    ]
}

// CVE-2021-25737. Red when `endpoint_ip` is not asked: all of them were taken, but for 127.0.0.1 and 169.254.0.1.
#[test]
fn endpoints_never_lead_to_this_host_this_link_or_everybody() {
    for (ip, why) in [
        ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
        ("::", "may not be unspecified (::)"),
        ("127.8.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        ("::1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        ("169.254.169.254", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        ("fe80::1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        ("224.0.0.9", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
        ("ff02::1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
        ("239.1.1.1", "may not be in the multicast range (224.0.0.0/4, ff00::/8)"),
        ("255.255.255.255", "may not be the broadcast address (255.255.255.255)"),
    ] {
        for (body, field) in endpoints(ip)
            .into_iter()
            .zip(["subsets[0].addresses[0].ip", "endpoints[0].addresses[0]"])
        {
            check(create(body), &[format!("{field}: Invalid value: {ip:?}: {why}").as_str()]);
        }
    }
    let [old, new] = endpoints("::ffff:127.0.0.1");
    let why = "may not be in the loopback range (127.0.0.0/8, ::1/128)";
    let field = "subsets[0].addresses[0].ip: Invalid value: \"::ffff:127.0.0.1\"";
    check(create(old), &[&format!("{field}: {why}")]);
    let why = "must not be an IPv4-mapped IPv6 address";
    let field = "endpoints[0].addresses[0]: Invalid value: \"::ffff:127.0.0.1\"";
    check(create(new), &[&format!("{field}: {why}")]);
    for ip in ["10.0.0.7", "192.0.2.1", "2001:db8::7"] {
        endpoints(ip).into_iter().for_each(|body| drop(created(body)));
    }
}

// Red when the strategies have no `deny`: what a Service leads to was anybody's Service.
#[test]
fn endpoints_never_lead_to_the_address_of_a_service() {
    for body in endpoints("10.96.3.4") {
        let status = create(body).expect_err("refused");
        assert_eq!((status.code, status.reason), (403, "Forbidden"));
        assert!(
            status
                .message
                .ends_with("\"x\" is forbidden: endpoint address 10.96.3.4 is not allowed"),
            "{status}"
        );
    }
    for mut old in endpoints("10.0.0.1").map(created) {
        // As an older server may have stored it: it may stay, but nothing may be added.
        let text = old.to_string().replace("10.0.0.1", "10.96.3.4");
        old = serde_json::from_str(&text).expect("JSON");
        updated(&old, |new| new["metadata"]["labels"] = json!({ "a": "b" }));
        let more = update(Target::Main, &old, |new| {
            let text = new.to_string().replace("10.96.3.4", "10.96.3.5");
            *new = serde_json::from_str(&text).expect("JSON");
        });
        assert_eq!(more.map_err(|status| status.code), Err(403));
    }
}

// Red when only `kubernetes` is known: the other two were told that they are not qualified.
#[test]
fn the_standard_finalizers_of_a_namespace_need_no_domain() {
    let namespace = |finalizers: Value| {
        object("v1", "Namespace", json!({ "spec": { "finalizers": finalizers } }))
    };
    let new = created(namespace(json!(["orphan", "foregroundDeletion", "team.example/x"])));
    assert_eq!(
        new["spec"]["finalizers"],
        json!(["orphan", "foregroundDeletion", "team.example/x", "kubernetes"])
    );
    check(
        create(namespace(json!(["mine"]))),
        &[
            "spec.finalizers[0]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified",
        ],
    );
}

#[test]
fn volumes_warn_of_what_is_gone() {
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": { "name": "v", "annotations": { "volume.beta.kubernetes.io/storage-class": "a" } },
        "spec": {
            "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"], "glusterfs": {},
            "persistentVolumeReclaimPolicy": "Recycle",
        },
    });
    assert_eq!(
        (crate::of(row(&volume)).warn)(&volume, None),
        [
            "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use \"storageClassName\" attribute instead",
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
            "spec.glusterfs: deprecated in v1.25, non-functional in v1.26+",
        ]
    );
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "c" },
        "spec": { "resources": { "requests": { "storage": "1500m" } } },
    });
    assert_eq!(
        (crate::of(row(&claim)).warn)(&claim, None),
        [
            "spec.resources.requests[storage]: fractional byte value \"1500m\" is invalid, must be an integer",
        ]
    );
}

#[test]
fn slices_are_checked() {
    let endpoint = |type_: &str, endpoint: Value| {
        let slice = json!({ "addressType": type_, "endpoints": [endpoint] });
        create(object("discovery.k8s.io/v1", "EndpointSlice", slice))
    };
    let names = |count: usize| -> Vec<Value> {
        (0..count).map(|index| json!({ "name": format!("n{index}") })).collect()
    };
    let with = |fields: Value| {
        let mut endpoint = json!({ "addresses": ["10.0.0.1"] });
        endpoint.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        endpoint
    };
    let many: Vec<String> = (0..101).map(|index| format!("10.0.1.{index}")).collect();
    let all = json!({ "hints": { "forZones": names(8), "forNodes": names(8) }, "nodeName": "n", "hostname": "h" });
    assert!(endpoint("IPv4", with(all)).is_ok());
    let topology = with(json!({ "deprecatedTopology": { "a": "b" } }));
    let new = endpoint("IPv4", topology).expect("accepted");
    assert_eq!(new["endpoints"][0].get("deprecatedTopology"), None);
    assert!(endpoint("FQDN", json!({ "addresses": ["a.example."] })).is_ok());
    for (type_, one, error) in [
        (
            "IPv4",
            json!({ "addresses": ["2001:db8::1"] }),
            "addresses[0]: Invalid value: \"2001:db8::1\": must be an IPv4 address",
        ),
        (
            "IPv6",
            json!({ "addresses": ["10.0.0.1"] }),
            "addresses[0]: Invalid value: \"10.0.0.1\": must be an IPv6 address",
        ),
        (
            "IPv4",
            json!({ "addresses": ["010.0.0.1"] }),
            "addresses[0]: Invalid value: \"010.0.0.1\": must not have leading 0s",
        ),
        (
            "IPv4",
            json!({ "addresses": many }),
            "addresses: Too many: 101: must have at most 100 items",
        ),
        ("FQDN", json!({ "addresses": [""] }), "addresses[0]: Required value"),
        (
            "FQDN",
            json!({ "addresses": ["host"] }),
            "addresses[0]: Invalid value: \"host\": should be a domain with at least two segments separated by dots",
        ),
        (
            "IPv4",
            with(json!({ "hints": { "forZones": names(9), "forNodes": names(9) } })),
            "hints.forZones: Too many: 9: must have at most 8 items",
        ),
        (
            "IPv4",
            with(json!({ "hints": { "forNodes": names(9) } })),
            "hints.forNodes: Too many: 9: must have at most 8 items",
        ),
        (
            "IPv4",
            with(json!({ "hints": { "forNodes": [{ "name": "n" }, { "name": "n" }] } })),
            "hints.forNodes[1].name: Duplicate value: \"n\"",
        ),
    ] {
        check(endpoint(type_, one), &[&format!("endpoints[0].{error}")]);
    }
    let slice = json!({ "addressType": "IPv4", "endpoints": [], "ports": [{ "appProtocol": "kubernetes.io/h2c" }] });
    created(object("discovery.k8s.io/v1", "EndpointSlice", slice));
    let slice =
        json!({ "addressType": "IPv4", "endpoints": [], "ports": [{ "appProtocol": "/" }] });
    let status =
        create(object("discovery.k8s.io/v1", "EndpointSlice", slice)).expect_err("refused");
    assert!(
        causes(&status)[0].starts_with("ports[0].appProtocol: Invalid value: \"/\": prefix part")
    );
}

#[test]
fn a_claim_that_says_little_is_completed() {
    let claim =
        |spec: Value| created(object("v1", "PersistentVolumeClaim", json!({ "spec": spec })));
    let storage = json!({ "requests": { "storage": "1Gi" } });
    let modes = json!(["ReadWriteOnce"]);
    let new = claim(json!({ "accessModes": modes, "resources": storage }));
    assert_eq!(
        (&new["spec"]["volumeMode"], &new["status"]["phase"]),
        (&json!("Filesystem"), &json!("Pending"))
    );
    let block = claim(json!({ "accessModes": modes, "resources": storage, "volumeMode": "Block" }));
    assert_eq!(block["spec"]["volumeMode"], "Block");
}
