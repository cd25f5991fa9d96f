//! What a pod may not say of where its volumes come from.

use super::*;

#[test]
fn sources_of_volumes_are_checked() {
    let volume = |source: Value| {
        let mut volume = json!({ "name": "v" });
        volume.as_object_mut().expect("map").extend(source.as_object().expect("map").clone());
        json!({ "volumes": [volume] })
    };
    let template = |metadata: Value| {
        volume(json!({ "ephemeral": { "volumeClaimTemplate": {
            "metadata": metadata,
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
        } } }))
    };
    all(
        pod_of,
        &[
            (template(json!({ "labels": { "a": "b" } })), &[]),
            (
                template(json!({ "name": "n" })),
                &[
                    "spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
                ],
            ),
            (
                volume(json!({ "ephemeral": {} })),
                &["spec.volumes[0].ephemeral.volumeClaimTemplate: Required value"],
            ),
            (
                volume(json!({ "ephemeral": { "volumeClaimTemplate": { "spec": {} } } })),
                &[
                    "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required",
                    "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
                ],
            ),
            (volume(json!({ "rbd": { "monitors": ["m"], "image": "i" } })), &[]),
            (
                volume(json!({ "rbd": { "monitors": [], "image": "i" } })),
                &["spec.volumes[0].rbd.monitors: Required value"],
            ),
        ],
    );
}
