//! The manifests that are shipped go through the write path.

use std::path::Path;

use serde::Deserialize;

use super::*;

/// Groups whose kinds are no strategy's: definitions make them, and the live tests apply what is shipped of them.
const DEFINED: [&str; 1] = ["gateway.networking.k8s.io"];

#[test]
fn every_shipped_manifest_is_accepted_and_settles() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests");
    let mut documents = 0;
    for entry in std::fs::read_dir(&directory).expect("manifests") {
        let path = entry.expect("entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        // Octal as YAML had it once, which this reader takes for text.
        let text = std::fs::read_to_string(&path).expect("text").replace(": 0400", ": 256");
        for document in serde_yaml::Deserializer::from_str(&text) {
            let body =
                Value::deserialize(document).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            let version = body["apiVersion"].as_str().expect("apiVersion");
            if DEFINED.contains(&split_api_version(version).0) {
                continue;
            }
            documents += 1;
            settles(&path, body);
        }
    }
    assert!(documents > 0);
}

/// Asserts that an object is accepted, and that writing what was stored changes nothing.
fn settles(path: &Path, mut body: Value) {
    let shown = format!("{path:?}: {}", body["kind"]);
    if row(&body).namespaced() {
        body["metadata"]["namespace"] = "ns".into();
    }
    let stored = create(body).unwrap_or_else(|status| panic!("{shown}: {status}"));
    assert_eq!(update(Target::Main, &stored, |_| {}), Ok(Write::Unchanged), "{shown}");
}
