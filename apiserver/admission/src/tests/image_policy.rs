//! Short names that mean an ImageStream of their namespace.

use super::*;

fn stream(local: bool) -> Value {
    json!({
        "apiVersion": "image.openshift.io/v1", "kind": "ImageStream",
        "metadata": { "name": "web", "namespace": "ns" },
        "spec": { "lookupPolicy": { "local": local }, "tags": [] },
        "status": { "tags": [{ "tag": "latest", "items": [
            { "dockerImageReference": "r.test/web@sha256:2", "image": "sha256:2" },
            { "dockerImageReference": "r.test/web@sha256:1", "image": "sha256:1" },
        ] }] },
    })
}

fn image_of(objects: &[Value], image: &str, annotated: bool) -> String {
    let mut pod = pod();
    pod["spec"]["containers"][0]["image"] = image.into();
    if annotated {
        pod["metadata"]["annotations"] =
            json!({ "alpha.image.policy.openshift.io/resolve-names": "*" });
    }
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": "default", "namespace": "ns" } });
    let mut all = objects.to_vec();
    all.push(account);
    let made = create(&all, &pod).unwrap();
    made["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

#[test]
fn a_short_name_is_a_streams_where_that_is_wished() {
    let local = [stream(true)];
    assert_eq!(image_of(&local, "web", false), "r.test/web@sha256:2");
    assert_eq!(image_of(&local, "web:latest", false), "r.test/web@sha256:2");
    assert_eq!(image_of(&local, "web@sha256:1", false), "r.test/web@sha256:1");
    for other in ["web:old", "other", "docker.io/web", "team/web"] {
        assert_eq!(image_of(&local, other, false), other);
    }
    let plain = [stream(false)];
    assert_eq!(image_of(&plain, "web", false), "web");
    assert_eq!(image_of(&plain, "web", true), "r.test/web@sha256:2");
}

/// Red when a name that was looked up is looked up again by every write, or a new one is not.
#[test]
fn what_has_an_image_keeps_it() {
    let objects = Objects::of(&[namespace("ns"), stream(true)]);
    let chain = Chain::new(objects, &[]);
    let deployment = |image: &str| {
        let containers = json!([{ "name": "c", "image": image }]);
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d", "namespace": "ns" },
            "spec": { "template": { "spec": { "containers": containers } } } })
    };
    let image = |object: &Value| {
        object["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
    };
    let write = |image: &str, old: Option<&Value>| {
        let mut new = deployment(image);
        let operation = if old.is_some() { Operation::Update } else { Operation::Create };
        chain.mutate(&asked(operation, &new.clone()), &mut new, old).unwrap();
        new
    };
    assert_eq!(image(&write("web", None)), "r.test/web@sha256:2");
    let before = deployment("web");
    assert_eq!(image(&write("web", Some(&before))), "web");
    let before = deployment("r.test/web@sha256:1");
    assert_eq!(image(&write("web", Some(&before))), "r.test/web@sha256:2");
}
