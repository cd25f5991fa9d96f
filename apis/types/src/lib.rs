//! The OpenShift API groups as typed structs, a module per group and version.
//!
//! Knows: every field of these kinds, so that nothing is lost when a controller writes back what it read. Refuses to
//! know: defaults and validation (strategy), and the Kubernetes kinds, which come from `k8s-openapi`.
#![forbid(unsafe_code)]

pub mod apps;
pub mod build;
pub mod image;
mod kind;
pub mod route;

#[cfg(test)]
mod tests {
    use k8s_openapi::Resource;
    use serde_json::{Value, json};

    use crate::apps::v1::DeploymentConfig;
    use crate::build::v1::{Build, BuildConfig};
    use crate::image::v1::ImageStream;
    use crate::route::v1::Route;

    /// Reads a document and writes it again: nothing may be lost.
    fn check<T>(document: Value)
    where
        T: Resource + serde::Serialize + serde::de::DeserializeOwned,
    {
        let typed: T = serde_json::from_value(document.clone()).expect("a typed object");
        let mut written = serde_json::to_value(&typed).expect("JSON");
        assert_eq!(written["apiVersion"], T::API_VERSION);
        assert_eq!(written["kind"], T::KIND);
        let map = written.as_object_mut().expect("an object");
        map.remove("apiVersion");
        map.remove("kind");
        assert_eq!(written, document);
    }

    #[test]
    fn routes_survive() {
        check::<Route>(json!({
            "metadata": {"name": "r", "namespace": "n"},
            "spec": {
                "host": "a.test", "path": "/p", "port": {"targetPort": "http"},
                "to": {"kind": "Service", "name": "s", "weight": 100},
                "alternateBackends": [{"kind": "Service", "name": "t", "weight": 1}],
                "tls": {"termination": "edge", "caCertificate": "c",
                    "destinationCACertificate": "d", "insecureEdgeTerminationPolicy": "Redirect",
                    "externalCertificate": {"name": "x"}},
                "httpHeaders": {"actions": {"request": [
                    {"name": "h", "action": {"type": "Set", "set": {"value": "v"}}}]}},
                "wildcardPolicy": "None",
            },
            "status": {"ingress": [{"host": "a.test", "routerName": "default", "conditions": [
                {"type": "Admitted", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}]},
        }));
    }

    #[test]
    fn the_others_survive() {
        check::<DeploymentConfig>(json!({
            "metadata": {"name": "d"},
            "spec": {
                "replicas": 2, "test": false, "selector": {"a": "b"},
                "strategy": {"type": "Rolling", "resources": {},
                    "rollingParams": {"maxSurge": "25%", "maxUnavailable": 1}},
                "template": {"spec": {"containers": [{"name": "c"}]}},
                "triggers": [{"type": "ImageChange", "imageChangeParams": {
                    "automatic": true, "containerNames": ["c"],
                    "from": {"kind": "ImageStreamTag", "name": "i:1"}}}],
            },
            "status": {"latestVersion": 1, "observedGeneration": 1, "replicas": 2,
                "updatedReplicas": 2, "availableReplicas": 2, "unavailableReplicas": 0},
        }));
        let source = json!({"type": "Git", "git": {"uri": "https://a.test/x", "ref": "main"},
            "images": [{"from": {"kind": "DockerImage", "name": "i"}, "as": ["s"],
                "paths": [{"sourcePath": "a", "destinationDir": "b"}]}]});
        let strategy = json!({"type": "Docker", "dockerStrategy": {"noCache": true}});
        check::<BuildConfig>(json!({
            "metadata": {"name": "b"},
            "spec": {"source": source.clone(), "strategy": strategy.clone(), "output": {},
                "postCommit": {}, "resources": {}, "mountTrustedCA": true,
                "triggers": [{"type": "ConfigChange"}]},
            "status": {"lastVersion": 3},
        }));
        check::<Build>(json!({
            "metadata": {"name": "b-1"},
            "spec": {"source": source, "strategy": strategy, "output": {"to": {"name": "i:1"}},
                "postCommit": {}, "resources": {},
                "triggeredBy": [{"githubWebHook": {"secret": "s"}}]},
            "status": {"phase": "Running", "output": {}, "duration": 5,
                "startTimestamp": "2026-01-01T00:00:00Z"},
        }));
        check::<ImageStream>(json!({
            "metadata": {"name": "i"},
            "spec": {"lookupPolicy": {"local": true}, "tags": [{"name": "1",
                "from": {"kind": "DockerImage", "name": "x"}, "importPolicy": {"scheduled": true},
                "referencePolicy": {"type": "Source"}}]},
            "status": {"dockerImageRepository": "r", "tags": [{"tag": "1", "items": [
                {"created": "2026-01-01T00:00:00Z", "dockerImageReference": "x", "image": "sha256:1",
                    "generation": 1}]}]},
        }));
    }

    #[test]
    fn what_go_writes_as_null_is_read() {
        let stream: ImageStream =
            serde_json::from_value(json!({"status": {"tags": [{"tag": "1", "items": null}]}}))
                .expect("a stream");
        assert!(stream.status.tags[0].items.is_empty());
    }
}
