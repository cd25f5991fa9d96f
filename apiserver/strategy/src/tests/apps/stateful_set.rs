//! What a StatefulSet must say.

use super::*;

#[test]
fn stateful_sets_are_checked() {
    let at = "spec.updateStrategy";
    let label = "must not contain dots";
    let claim = |spec: Value| json!([{ "metadata": { "name": "d" }, "spec": spec }]);
    let storage = json!({ "requests": { "storage": "1Gi" } });
    check_spec(
        "StatefulSet",
        &[
            ("podManagementPolicy", json!("Parallel"), &[]),
            (
                "podManagementPolicy",
                json!("Odd"),
                &[
                    "spec.podManagementPolicy: Invalid value: \"Odd\": must be 'OrderedReady' or 'Parallel'",
                ],
            ),
            ("updateStrategy", json!({ "type": "OnDelete" }), &[]),
            (
                "updateStrategy",
                json!({ "type": "OnDelete", "rollingUpdate": {} }),
                &[&format!(
                    "{at}.rollingUpdate: Invalid value: {{\"Partition\":0,\"MaxUnavailable\":null}}: only allowed for updateStrategy 'RollingUpdate'"
                )],
            ),
            (
                "updateStrategy",
                json!({ "rollingUpdate": { "partition": -1 } }),
                &[&format!(
                    "{at}.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0"
                )],
            ),
            (
                "updateStrategy",
                json!({ "rollingUpdate": { "maxUnavailable": "0%" } }),
                &[&format!(
                    "{at}.rollingUpdate.maxUnavailable: Invalid value: \"0%\": cannot be 0"
                )],
            ),
            (
                "updateStrategy",
                json!({ "type": "Blue" }),
                &[&format!(
                    "{at}: Invalid value: {{\"Type\":\"Blue\",\"RollingUpdate\":null}}: must be 'RollingUpdate' or 'OnDelete'"
                )],
            ),
            ("persistentVolumeClaimRetentionPolicy", json!({ "whenScaled": "Delete" }), &[]),
            (
                "persistentVolumeClaimRetentionPolicy",
                json!({ "whenDeleted": "Keep" }),
                &[
                    "spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: \"Keep\": supported values: \"Retain\", \"Delete\"",
                ],
            ),
            (
                "ordinals",
                json!({ "start": -1 }),
                &["spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0"],
            ),
            (
                "serviceName",
                json!("a.b"),
                &[&format!("spec.serviceName: Invalid value: \"a.b\": {label}")],
            ),
            (
                "volumeClaimTemplates",
                claim(json!({ "accessModes": ["ReadWriteOnce"], "resources": storage })),
                &[],
            ),
            (
                "volumeClaimTemplates",
                claim(json!({ "resources": storage })),
                &[
                    "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required",
                ],
            ),
            (
                "template.spec.containers.0.volumeMounts",
                json!([{ "name": "d", "mountPath": "/d" }]),
                &["spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"d\""],
            ),
        ],
    );
    check(
        create(with(workload("StatefulSet"), &[("metadata.name", json!("a.b"))])),
        &[&format!("metadata.name: Invalid value: \"a.b\": {label}")],
    );
}
