//! Tags of image streams: their history, what they follow, and the objects that stand for them.

use leme_registry::Context;

use super::*;
use crate::image_stream::history;
use crate::image_tag;

const SHA: &str = "sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";

fn stream(tags: Value, status: Value) -> Value {
    json!({
        "apiVersion": "image.openshift.io/v1", "kind": "ImageStream",
        "metadata": { "name": "s", "namespace": "ns", "generation": 3 },
        "spec": { "tags": tags, "lookupPolicy": { "local": false } }, "status": { "tags": status },
    })
}

fn event(reference: &str, image: &str, generation: i64) -> Value {
    json!({ "created": "2026-01-02T03:04:05Z", "dockerImageReference": reference, "image": image,
            "generation": generation })
}

#[test]
fn a_new_event_is_told_from_the_same_said_again() {
    let cases = [
        (event("r:1", "i1", 1), false, vec![("r:1", "i1", 1)]),
        (event("r:1", "i1", 2), true, vec![("r:1", "i1", 2)]),
        (event("r:1", "i2", 2), true, vec![("r:1", "i2", 2)]),
        (event("r:2", "i1", 2), true, vec![("r:2", "i1", 2)]),
        (event("r:2", "i2", 2), true, vec![("r:2", "i2", 2), ("r:1", "i1", 1)]),
    ];
    for (next, changed, items) in cases {
        let before = json!([{ "tag": "t", "items": [event("r:1", "i1", 1)], "conditions": [{}] }]);
        let mut stream = stream(json!([]), before);
        assert_eq!(history::add(&mut stream, "t", &next), changed, "{next}");
        let of = history::of(&stream, "t").expect("history");
        assert_eq!(of.get("conditions").is_none(), changed);
        let seen: Vec<(&str, &str, i64)> = of["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| {
                let text = |field: &str| item[field].as_str().expect("text");
                (
                    text("dockerImageReference"),
                    text("image"),
                    item["generation"].as_i64().expect("number"),
                )
            })
            .collect();
        assert_eq!(seen, items, "{next}");
    }
}

#[test]
fn images_are_found_by_the_beginning_of_their_id() {
    let other = SHA.replace("0a0a0a", "0a0b0b");
    let all = json!([{ "tag": "a", "items": [event("r", SHA, 1)] },
                     { "tag": "b", "items": [event("q", &other, 1), event("r", SHA, 1)] }]);
    let stream = stream(json!([]), all);
    for (id, found) in [
        (SHA, Ok("r")),
        ("0a0a", Ok("r")),
        ("sha256:0a0b", Ok("q")),
        ("ff", Err("imagestreamimage.image.openshift.io \"ff\" not found")),
    ] {
        let seen = history::by_id(&stream, id);
        let seen =
            seen.map(|event| event["dockerImageReference"].as_str().expect("text").to_owned());
        assert_eq!(seen.as_deref().map_err(String::as_str), found, "{id}");
    }
    let many = history::by_id(&stream, "0a0").expect_err("two");
    assert!(many.contains("multiple images match the prefix \"0a0\": sha256:0a0a"), "{many}");
}

#[test]
fn a_pull_goes_where_the_tag_wishes() {
    let spec = |policy: &str| json!([{ "name": "t", "referencePolicy": { "type": policy } }]);
    for (tags, repository, expected) in [
        (spec("Source"), "reg/ns/s", "r:1".to_owned()),
        (spec("Local"), "reg/ns/s", format!("reg/ns/s@{SHA}")),
        (spec("Local"), "", "r:1".to_owned()),
        (json!([]), "reg/ns/s", "r:1".to_owned()),
    ] {
        let mut stream = stream(tags, json!([]));
        stream["status"]["dockerImageRepository"] = repository.into();
        assert_eq!(history::pull_spec(&stream, "t", &event("r:1", SHA, 1)), expected);
    }
}

/// Knows one other stream.
struct Other;

impl Allocator for Other {
    fn cluster_ip(&mut self, _: Option<&str>) -> Result<String, String> {
        Err(String::new())
    }

    fn node_port(&mut self, _: Option<i64>) -> Result<i64, String> {
        Err(String::new())
    }

    fn object(&self, kind: (&str, &str), namespace: &str, name: &str) -> Option<Value> {
        let known =
            (kind, namespace, name) == (("image.openshift.io", "imagestreams"), "far", "source");
        known.then(|| stream(json!([]), json!([{ "tag": "1", "items": [event("far:1", SHA, 7)] }])))
    }
}

fn made(tags: Value) -> Result<Value, Status> {
    let body = json!({ "apiVersion": "image.openshift.io/v1", "kind": "ImageStream",
                       "metadata": { "name": "s" }, "spec": { "tags": tags } });
    leme_registry::create(&context(row(&body), ""), TESTER, body, &mut Other).map(unowned)
}

#[test]
fn tags_name_what_they_point_to_as_they_are_written() {
    let from = |kind: &str, namespace: &str, name: &str| json!({ "name": "t", "from": { "kind": kind, "namespace": namespace, "name": name } });
    for tag in
        [from("ImageStreamTag", "far", "source:1"), from("ImageStreamImage", "far", "source@0a0a")]
    {
        let new =
            made(json!([tag, { "name": "u", "from": { "kind": "ImageStreamTag", "name": "t" } }]))
                .expect("made");
        for name in ["t", "u"] {
            let latest = history::latest(&new, name).expect("event");
            assert_eq!(
                (&latest["image"], &latest["generation"]),
                (&json!(SHA), &json!(1)),
                "{name}"
            );
        }
    }
    // A tag that is not there yet is waited for; an image to import is left to whoever imports.
    for tag in [
        from("ImageStreamTag", "far", "source:none"),
        json!({ "name": "t", "from": { "kind": "DockerImage", "name": "q.test/a:1" } }),
    ] {
        assert!(history::latest(&made(json!([tag])).expect("made"), "t").is_none());
    }
    for (tag, why) in [
        (from("ImageStreamTag", "far", "none:1"), "spec.tags[t].from.name: Not found: \"none:1\""),
        (
            from("ImageStreamTag", "", "a:b:c"),
            "spec.tags[t].from.name: Invalid value: \"a:b:c\": must be of the form <tag>, <repo>:<tag>, <id>, or <repo>@<id>",
        ),
        (
            from("ImageStreamImage", "far", "source@ff"),
            "spec.tags[t].from.name: Invalid value: \"source@ff\": error generating tag event: imagestreamimage.image.openshift.io \"ff\" not found",
        ),
    ] {
        check(
            made(json!([tag])),
            &[&format!(": Internal error: imagestreams \"s\" is invalid: {why}")],
        );
    }
}

#[test]
fn a_tag_is_imported_again_when_its_generation_is_set_to_nothing() {
    let docker = json!({ "name": "t", "from": { "kind": "DockerImage", "name": "a:1" } });
    let old = made(json!([docker.clone(), { "name": "u" }])).expect("made");
    let same = update(Target::Main, &old, |new| new["spec"]["tags"][0]["generation"] = 9.into());
    assert_eq!(same, Ok(Write::Unchanged));
    let again = updated(&old, |new| new["spec"]["tags"][0]["generation"] = 0.into());
    let generations = |stream: &Value| {
        (
            stream["metadata"]["generation"].as_i64(),
            stream["spec"]["tags"][0]["generation"].as_i64(),
            stream["spec"]["tags"][1]["generation"].as_i64(),
        )
    };
    assert_eq!(generations(&again), (Some(2), Some(2), Some(1)));
    // What only says more about a tag does not change what it names.
    let told = updated(&again, |new| new["spec"]["tags"][0]["annotations"] = json!({ "a": "b" }));
    assert_eq!(generations(&told), (Some(3), Some(2), Some(1)));
}

#[test]
fn a_tag_is_seen_as_an_object() {
    let tags = json!([{ "name": "t", "annotations": { "a": "b" }, "generation": 2 }]);
    let stream = stream(tags, json!([{ "tag": "t", "items": [event("r:1", SHA, 2)] }]));
    let image = json!({ "kind": "Image", "metadata": { "name": SHA }, "dockerImageManifest": "x",
                        "dockerImageReference": "other" });
    let seen = image_tag::stream_tag(&stream, "t", Some(&image), false).expect("seen");
    assert_eq!(seen["metadata"]["name"], "s:t");
    assert_eq!(seen["metadata"]["annotations"], json!({ "a": "b" }));
    assert_eq!(
        (&seen["image"]["dockerImageReference"], seen["image"].get("dockerImageManifest")),
        (&json!("r:1"), None)
    );
    assert_eq!((&seen["generation"], &seen["tag"]["name"]), (&json!(2), &json!("t")));
    let gone = image_tag::stream_tag(&stream, "u", None, false).expect_err("gone");
    assert_eq!(
        (gone.code, gone.message.as_str()),
        (404, "imagestreamtags.image.openshift.io \"s:u\" not found")
    );
    let gone = image_tag::tag(&stream, "u", None, false).expect_err("gone");
    assert_eq!(gone.message, "imagetags.image.openshift.io \"s:u\" not found");
    let seen = image_tag::tag(&stream, "t", None, false).expect("seen");
    assert_eq!((&seen["status"]["tag"], &seen["image"]), (&json!("t"), &Value::Null));
    assert!(image_tag::deleted(&stream, "u").is_none());
    let without = image_tag::deleted(&stream, "t").expect("there");
    assert_eq!((&without["spec"]["tags"], &without["status"]["tags"]), (&json!([]), &json!([])));
}

#[test]
fn images_and_mappings_are_checked_like_what_they_make() {
    let object = |kind: &str, fields: Value| {
        let mut object = json!({ "apiVersion": "image.openshift.io/v1", "kind": kind, "metadata": { "name": "x" } });
        object.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        object
    };
    check(
        create(object("ImageStreamMapping", json!({ "image": {} }))),
        &[
            "tag: Required value",
            "image.metadata.name: Required value: name or generateName is required",
            "image.dockerImageReference: Required value",
        ],
    );
    check(
        create(object(
            "ImageStreamImport",
            json!({ "spec": { "images": [{ "from": { "kind": "ImageStreamTag", "name": "a" } }] } }),
        )),
        &[
            "spec.images[0].from.kind: Invalid value: \"ImageStreamTag\": only DockerImage is supported",
        ],
    );
    check(
        create(object(
            "ImageStreamImport",
            json!({ "spec": { "repository": { "from": { "kind": "DockerImage", "name": "a:1" } } } }),
        )),
        &[
            "spec.repository.from.name: Invalid value: \"a:1\": you must specify an image repository, not a tag or ID",
        ],
    );
    let fine = created(object(
        "ImageStreamImport",
        json!({ "spec": { "images": [{ "from": { "kind": "DockerImage", "name": "a:1" } }] } }),
    ));
    assert_eq!(fine["spec"]["images"][0]["to"], json!({ "name": "1" }));
    let signed =
        |fields: Value| with(object("ImageSignature", fields), &[("metadata.name", json!("a@b"))]);
    let claims = json!({ "type": "t", "content": "AA==", "imageIdentity": "a", "signedClaims": { "a": "b" },
        "created": "2026-01-01T00:00:00Z", "issuedBy": {}, "issuedTo": {},
        "conditions": [{ "type": "Trusted", "status": "True" }] });
    let new = created(signed(claims));
    let rest: Vec<&String> = new.as_object().expect("map").keys().collect();
    assert_eq!(rest, ["apiVersion", "content", "kind", "metadata", "type"]);
    let mapping = created(object(
        "ImageStreamMapping",
        json!({ "tag": "t", "image": { "metadata": { "name": "i" }, "dockerImageReference": "a:1",
            "signatures": [{ "type": "t", "content": "AA==" }] } }),
    ));
    assert_eq!(mapping["image"].get("signatures"), None);
    check(
        create(object("ImageSignature", json!({ "type": "t", "content": "AA==" }))),
        &[
            "metadata.name: Invalid value: \"x\": name must be of format <imageName>@<signatureName>",
        ],
    );
}

#[test]
fn the_context_of_views_is_that_of_their_kind() {
    let body = json!({ "apiVersion": "image.openshift.io/v1", "kind": "ImageTag",
                       "metadata": { "name": "s:t" }, "spec": { "name": "u" } });
    let context: Context = context(row(&body), "");
    check(
        leme_registry::create(&context, TESTER, body, &mut Other),
        &["spec.name: Invalid value: \"u\": must match image tag name"],
    );
}

fn view(kind: &str, fields: Value) -> Value {
    let mut view = json!({ "apiVersion": "image.openshift.io/v1", "kind": kind, "metadata": { "name": "s:t" } });
    view.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    view
}

#[test]
fn a_tag_of_a_stream_is_completed_and_checked() {
    let tag = |fields: Value| create(view("ImageStreamTag", fields));
    let asked = json!({ "tag": { "from": { "name": "a:1" } }, "image": { "dockerImageReference": "x:1" },
        "conditions": [{ "type": "T", "status": "True", "generation": 1 }] });
    let old = tag(asked).expect("accepted");
    assert_eq!(
        old["tag"],
        json!({ "name": "t", "annotations": null, "from": { "kind": "DockerImage", "name": "a:1" },
                "importPolicy": { "importMode": "Legacy" }, "referencePolicy": { "type": "Source" } })
    );
    assert_eq!((old["image"].get("dockerImageReference"), old.get("conditions")), (None, None));
    check(
        tag(
            json!({ "tag": { "from": { "kind": "Pod", "name": "a" }, "annotations": { "a": "b" } } }),
        ),
        &[
            "tag.from.kind: Required value: valid values are 'DockerImage', 'ImageStreamImage', 'ImageStreamTag'",
            "tag.annotations: Invalid value: \"<map>\": tag annotations must not be provided or must be equal to the object meta annotations",
        ],
    );
    let stored = with(old, &[("image", json!({ "dockerImageReference": "r:1" }))]);
    let named = updated(&stored, |new| {
        new["metadata"]["annotations"] = json!({ "a": "b" });
        new["tag"]["annotations"] = json!({ "x": "y" });
        new["image"] = json!({});
        new["conditions"] = json!([{ "type": "T", "status": "True", "generation": 1 }]);
    });
    assert_eq!(named["tag"]["annotations"], json!({ "a": "b" }));
    assert_eq!((&named["image"], named.get("conditions")), (&stored["image"], None));
    check(
        update(Target::Main, &stored, |new| new["metadata"]["labels"] = json!({ "a": "b" })),
        &["metadata: Invalid value: \"\": may not update fields other than metadata.annotations"],
    );
}

#[test]
fn a_tag_by_itself_is_completed_and_checked() {
    let tag = |fields: Value| create(view("ImageTag", fields));
    let status = json!({ "tag": "t", "items": [] });
    let asked = json!({ "spec": { "from": { "name": "a:1" } }, "status": status, "image": { "dockerImageReference": "x:1" } });
    let old = tag(asked).expect("accepted");
    assert_eq!(
        (&old["spec"]["name"], &old["status"], &old["image"]),
        (&json!("t"), &json!(null), &json!(null))
    );
    check(tag(json!({})), &["spec: Required value: spec is a required field during creation"]);
    let stored =
        with(old, &[("status", status), ("image", json!({ "dockerImageReference": "r:1" }))]);
    let next = updated(&stored, |new| {
        new["spec"]["from"]["name"] = "a:2".into();
        new["image"] = json!({});
    });
    assert_eq!(next["image"], stored["image"]);
    let why = "may not update fields other than spec";
    check(
        update(Target::Main, &stored, |new| {
            new["metadata"]["labels"] = json!({ "a": "b" });
            new["status"]["tag"] = "u".into();
        }),
        &[
            &format!("metadata: Invalid value: \"\": {why}"),
            &format!("status: Invalid value: \"\": {why}"),
        ],
    );
}

#[test]
fn what_a_status_says_of_a_tag_is_of_the_generation_that_asked_for_it() {
    let tag = json!({ "name": "t", "from": { "kind": "DockerImage", "name": "a:1" } });
    let mut old = made(json!([tag, { "name": "u" }])).expect("made");
    old["metadata"]["generation"] = 5.into();
    old["spec"]["tags"][0]["generation"] = 3.into();
    let before = json!([{ "tag": "t", "items": [event("r:1", "i1", 2)] }]);
    old["status"] = json!({ "dockerImageRepository": "", "tags": before });
    let seen = |tag: &str, reference: &str| {
        let new = update(Target::Status, &old, |new| {
            new["status"]["tags"] = json!([{ "tag": tag, "items": [event(reference, "i1", 0)] }]);
        });
        let Ok(Write::Put(new)) = new else { panic!("not a put: {new:?}") };
        new["status"]["tags"][0]["items"][0]["generation"].clone()
    };
    // Another image than before has come by what the tag asks for; of a tag without a history, nobody knows.
    assert_eq!((seen("t", "r:2"), seen("u", "r:2")), (json!(3), json!(5)));
}

#[test]
fn a_wrong_value_anywhere_in_a_stream_is_an_answer() {
    let tags = json!([{ "name": "t", "annotations": { "a": "b" }, "generation": 2,
        "referencePolicy": { "type": "Local" }, "from": { "kind": "ImageStreamTag", "name": "u" } }]);
    let status = json!([{ "tag": "t", "items": [event("r:1", SHA, 2)], "conditions": [{}] }]);
    let image = json!({ "metadata": { "name": SHA, "annotations": { "a": "b" } },
        "dockerImageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
        "dockerImageLayers": [{ "name": "l", "size": 1 }], "dockerImageManifests": [{ "digest": "d" }] });
    let import = json!({ "spec": { "import": true, "repository": { "from": { "name": "r" } },
        "images": [{ "from": { "kind": "DockerImage", "name": "a:1" }, "to": { "name": "t" } }] },
        "status": { "images": [{ "status": { "status": "Success" }, "image": {
            "metadata": { "name": SHA }, "dockerImageReference": "a:1" } }],
            "repository": { "images": [{ "status": { "status": "Failure" }, "tag": "u" }] } } });
    let whole = json!({ "stream": stream(tags, status), "image": image, "import": import });
    for broken in robust::broken(&whole) {
        let of = |part: &str| broken.get(part).cloned().unwrap_or_default();
        let (stream, image, import) = (of("stream"), of("image"), of("import"));
        for empty in [true, false] {
            let _ = image_tag::stream_tag(&stream, "t", Some(&image), empty);
            let _ = image_tag::tag(&stream, "t", Some(&image), empty);
        }
        let _ = image_tag::image_of_stream(&stream, "0a", &image);
        let _ = image_tag::layers(&stream, &|_| Some(image.clone()));
        let _ = image_tag::created(&stream, "u", Some(&image), "imagetags");
        let _ = image_tag::updated(&stream, "t", &image);
        let _ = image_tag::deleted(&stream, "t");
        let _ = image_tag::pushed(&stream, "u", SHA, "r", "now");
        let _ = image_tag::import_recorded(&stream, &import, "now");
        let _ = history::by_id(&stream, "0a");
    }
}
