//! Tags and images of streams, as `oc tag`, `oc import-image` and a registry write and read them.

mod common;

use common::*;
use serde_json::{Value, json};

const GROUP: &str = "/apis/image.openshift.io/v1";
const STREAMS: &str = "/apis/image.openshift.io/v1/namespaces/default/imagestreams";
const TAGS: &str = "/apis/image.openshift.io/v1/namespaces/default/imagestreamtags";
const ITAGS: &str = "/apis/image.openshift.io/v1/namespaces/default/imagetags";
const SHA: &str = "sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";

fn docker(name: &str) -> Value {
    json!({ "kind": "DockerImage", "name": name })
}

fn istag(name: &str, tag: Value) -> Value {
    json!({
        "apiVersion": "image.openshift.io/v1", "kind": "ImageStreamTag",
        "metadata": { "name": name }, "tag": tag,
    })
}

/// What a registry sends when an image was pushed.
fn mapping(stream: &str, tag: &str, image: &str) -> Value {
    json!({
        "apiVersion": "image.openshift.io/v1", "kind": "ImageStreamMapping",
        "metadata": { "name": stream }, "tag": tag,
        "image": {
            "metadata": { "name": image }, "dockerImageReference": format!("registry.test/{stream}@{image}"),
            "dockerImageManifestMediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "dockerImageMetadata": { "Id": "sha256:cfg", "kind": "DockerImage", "apiVersion": "1.0" },
            "dockerImageLayers": [{ "name": "sha256:l1", "size": 3, "mediaType": "m" }],
        },
    })
}

async fn pushed(api: &Harness) {
    api.post(STREAMS, &json!({ "metadata": { "name": "app" } })).await.ok();
    let done = api
        .post(
            &format!("{GROUP}/namespaces/default/imagestreammappings"),
            &mapping("app", "latest", SHA),
        )
        .await;
    assert_eq!((done.code, &done.ok()["status"]), (201, &json!("Success")));
}

#[tokio::test]
async fn discovery_names_what_is_served() {
    let api = Harness::start().await;
    let list = api.get(GROUP).await.ok();
    let of = |name: &str| {
        let all = list["resources"].as_array().unwrap();
        let one = all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}"));
        (one["kind"].clone(), one["verbs"].clone(), one["namespaced"].clone())
    };
    let tags = json!(["create", "delete", "get", "list", "patch", "update"]);
    for (name, kind, verbs, namespaced) in [
        ("imagesignatures", "ImageSignature", json!(["create", "delete"]), false),
        ("imagestreamimages", "ImageStreamImage", json!(["get"]), true),
        ("imagestreamimports", "ImageStreamImport", json!(["create"]), true),
        ("imagestreammappings", "ImageStreamMapping", json!(["create"]), true),
        ("imagestreamtags", "ImageStreamTag", tags.clone(), true),
        ("imagetags", "ImageTag", tags, true),
        ("imagestreams/layers", "ImageStreamLayers", json!(["get"]), true),
        ("imagestreams/secrets", "SecretList", json!(["get"]), true),
    ] {
        assert_eq!(of(name), (json!(kind), verbs, json!(namespaced)), "{name}");
    }
}

// As `oc tag --source=docker nginx:1.14.2 is2:ref --reference` and `oc tag is2:ref is2:other`.
#[tokio::test]
async fn a_tag_is_put_into_its_stream() {
    let api = Harness::start().await;
    let tag = json!({ "from": docker("nginx:1.14.2"), "reference": true });
    let put = api.put(&format!("{TAGS}/is2:ref"), &istag("is2:ref", tag.clone())).await;
    assert_eq!(put.code, 201);
    let made = put.ok();
    assert_eq!(
        (&made["kind"], &made["metadata"]["name"], &made["tag"]["name"]),
        (&json!("ImageStreamTag"), &json!("is2:ref"), &json!("ref"))
    );
    let stream = api.get(&format!("{STREAMS}/is2")).await.ok();
    assert_eq!(made["metadata"]["resourceVersion"], stream["metadata"]["resourceVersion"]);
    assert_eq!(stream["spec"]["tags"][0]["generation"], 1);
    let item = &stream["status"]["tags"][0]["items"][0];
    assert_eq!(
        (&item["dockerImageReference"], &item["image"], &item["generation"]),
        (&json!("nginx:1.14.2"), &json!(""), &json!(1))
    );
    // A tag that names another of the stream follows it.
    let other = json!({ "from": { "kind": "ImageStreamTag", "name": "ref" } });
    let put = api.put(&format!("{TAGS}/is2:other"), &istag("is2:other", other)).await;
    assert_eq!(put.code, 201);
    let newer = json!({ "from": docker("nginx:1.15"), "reference": true });
    let put = api.put(&format!("{TAGS}/is2:ref"), &istag("is2:ref", newer)).await;
    assert_eq!(put.code, 200);
    let stream = api.get(&format!("{STREAMS}/is2")).await.ok();
    assert_eq!(stream["metadata"]["generation"], 3);
    // Of what no image is known, one event takes the place of another.
    for tag in stream["status"]["tags"].as_array().unwrap() {
        let items = tag["items"].as_array().unwrap();
        assert_eq!((items.len(), &items[0]["dockerImageReference"]), (1, &json!("nginx:1.15")));
    }
    // There is no image, so there is no tag to get; the other view has it.
    let (code, _, message) = api.get(&format!("{TAGS}/is2:ref")).await.refused();
    assert_eq!(
        (code, message.as_str()),
        (404, "imagestreamtags.image.openshift.io \"is2:ref\" not found")
    );
    let seen = api.get(&format!("{ITAGS}/is2:ref")).await.ok();
    assert_eq!(seen["spec"]["from"]["name"], "nginx:1.15");
    assert_eq!(seen["status"]["items"].as_array().unwrap().len(), 1);
    let list = api.get(ITAGS).await.ok();
    assert_eq!(list["kind"], "ImageTagList");
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_a_tag_cannot_be_is_refused() {
    let api = Harness::start().await;
    api.post(TAGS, &istag("is:a", json!({ "from": docker("nginx:1") }))).await.ok();
    let cases = [
        (
            api.get(&format!("{TAGS}/is")).await,
            400,
            "ImageStreamTags must be retrieved with <name>:<tag>",
        ),
        (
            api.get(&format!("{TAGS}/no:a")).await,
            404,
            "imagestreams.image.openshift.io \"no\" not found",
        ),
        (
            api.post(TAGS, &istag("is:a", json!({ "from": docker("nginx:1") }))).await,
            409,
            "imagestreamtag.image.openshift.io \"is:a\" already exists",
        ),
        (
            api.put(&format!("{TAGS}/is:b"), &istag("is:b", Value::Null)).await,
            400,
            "imagestreamtag b is not a spec tag in imagestream default/is, cannot be updated",
        ),
        (
            api.put(
                &format!("{TAGS}/is:b"),
                &istag("is:b", json!({ "from": { "kind": "Pod", "name": "x" } })),
            )
            .await,
            422,
            "ImageStreamTag.image.openshift.io \"is:b\" is invalid: tag.from.kind: Required value: valid values are 'DockerImage', 'ImageStreamImage', 'ImageStreamTag'",
        ),
        (
            api.put(
                &format!("{TAGS}/is:b"),
                &istag("is:b", json!({ "from": { "kind": "ImageStreamTag", "name": "gone:x" } })),
            )
            .await,
            422,
            "ImageStream.image.openshift.io \"is\" is invalid: Internal error: imagestreams \"is\" is invalid: spec.tags[b].from.name: Not found: \"gone:x\"",
        ),
        (
            api.delete(&format!("{TAGS}/is:b")).await,
            404,
            "imagestreamtags.image.openshift.io \"is:b\" not found",
        ),
        (
            api.post(ITAGS, &json!({ "metadata": { "name": "is:c" } })).await,
            422,
            "ImageTag.image.openshift.io \"is:c\" is invalid: spec: Required value: spec is a required field during creation",
        ),
        (
            api.post(TAGS, &json!({ "metadata": { "name": "plain" } })).await,
            500,
            "\"plain\" must be of the form <stream_name>:<tag>",
        ),
    ];
    for (answer, code, message) in cases {
        let (seen, _, text) = answer.refused();
        assert_eq!((seen, text.as_str()), (code, message));
    }
    let mut stale = istag("is:a", json!({ "from": docker("nginx:2") }));
    stale["metadata"]["resourceVersion"] = "1".into();
    let (code, _, message) = api.put(&format!("{TAGS}/is:a"), &stale).await.refused();
    assert_eq!(code, 409);
    assert!(message.contains("another caller has updated the resource version to "), "{message}");
}

#[tokio::test]
async fn an_image_that_was_pushed_has_a_tag_and_layers() {
    let api = Harness::start().await;
    pushed(&api).await;
    let tag = api.get(&format!("{TAGS}/app:latest")).await.ok();
    let reference = format!("registry.test/app@{SHA}");
    assert_eq!(tag["image"]["metadata"]["name"], SHA);
    assert_eq!(tag["image"]["dockerImageReference"], reference.as_str());
    assert_eq!((&tag["tag"], &tag["generation"]), (&Value::Null, &json!(1)));
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let rows = api.raw("GET", TAGS, &table, b"").await.ok();
    assert_eq!(rows["rows"][0]["cells"][0], "app:latest");
    assert_eq!(rows["rows"][0]["cells"][1], reference.as_str());
    assert_eq!(api.get(&format!("{TAGS}?labelSelector=a%3Db")).await.ok()["items"], json!([]));
    let image = format!("{GROUP}/namespaces/default/imagestreamimages/app@{}", &SHA[..12]);
    let image = api.get(&image).await.ok();
    assert_eq!(
        (&image["kind"], &image["image"]["metadata"]["name"]),
        (&json!("ImageStreamImage"), &json!(SHA))
    );
    let layers = api.get(&format!("{STREAMS}/app/layers")).await.ok();
    assert_eq!(layers["images"][SHA], json!({ "layers": ["sha256:l1"], "config": "sha256:cfg" }));
    assert_eq!(layers["blobs"]["sha256:l1"], json!({ "size": 3, "mediaType": "m" }));
    // Tagged by its id into another stream.
    let from = json!({ "kind": "ImageStreamImage", "name": format!("app@{SHA}") });
    let put = api.put(&format!("{TAGS}/copy:1"), &istag("copy:1", json!({ "from": from }))).await;
    assert_eq!(put.ok()["image"]["metadata"]["name"], SHA);
    let gone = api.delete(&format!("{TAGS}/copy:1")).await.ok();
    assert_eq!((&gone["kind"], &gone["status"]), (&json!("Status"), &json!("Success")));
    let copy = api.get(&format!("{STREAMS}/copy")).await.ok();
    assert_eq!(
        (copy["spec"].get("tags"), copy["status"].get("tags")),
        (Some(&json!([])), Some(&json!([])))
    );
    for (path, message) in [
        ("x", "ImageStreamImages must be retrieved with <name>@<id>"),
        ("app@sha256:ff", "imagestreamimage.image.openshift.io \"app@sha256:ff\" not found"),
    ] {
        let path = format!("{GROUP}/namespaces/default/imagestreamimages/{path}");
        assert_eq!(api.get(&path).await.refused().2, message);
    }
    let path = format!("{GROUP}/namespaces/default/imagestreammappings");
    let (code, _, message) = api.post(&path, &mapping("none", "latest", SHA)).await.refused();
    assert_eq!(
        (code, message.as_str()),
        (404, "imagestreams.image.openshift.io \"none\" not found")
    );
}

#[tokio::test]
async fn a_tag_is_patched_and_annotated() {
    let api = Harness::start().await;
    pushed(&api).await;
    let patch = json!({ "metadata": { "annotations": { "a": "b" } },
                        "tag": { "name": "latest", "from": docker("other:1") } });
    let patched = api.send("PATCH", &format!("{TAGS}/app:latest"), MERGE, &patch).await.ok();
    assert_eq!(patched["tag"]["annotations"], json!({ "a": "b" }));
    let stream = api.get(&format!("{STREAMS}/app")).await.ok();
    assert_eq!(stream["spec"]["tags"][0]["annotations"], json!({ "a": "b" }));
    assert_eq!(stream["spec"]["tags"][0]["generation"], 2);
    let wrong = json!({ "metadata": { "labels": { "x": "y" } } });
    let (code, _, message) =
        api.send("PATCH", &format!("{TAGS}/app:latest"), MERGE, &wrong).await.refused();
    assert_eq!(code, 422);
    assert!(message.contains("may not update fields other than metadata.annotations"), "{message}");
}

#[tokio::test]
async fn an_import_says_what_cannot_be_had() {
    let api = Harness::start().await;
    let path = format!("{GROUP}/namespaces/default/imagestreamimports");
    let import = |import: bool| {
        json!({
            "apiVersion": "image.openshift.io/v1", "kind": "ImageStreamImport", "metadata": { "name": "web" },
            "spec": { "import": import, "images": [{ "from": docker("127.0.0.1:1/nginx:1.25"), "to": { "name": "latest" } }] },
        })
    };
    let asked = api.post(&path, &import(false)).await;
    assert_eq!(asked.code, 201);
    let status = &asked.ok()["status"]["images"][0]["status"];
    assert_eq!(
        (&status["status"], &status["reason"]),
        (&json!("Failure"), &json!("InternalError"))
    );
    let why = "Internal error occurred: 127.0.0.1:1/nginx:1.25: cannot reach 127.0.0.1:1";
    assert!(status["message"].as_str().unwrap().contains(why), "{status}");
    assert_eq!(api.get(&format!("{STREAMS}/web")).await.code, 404);
    let done = api.post(&path, &import(true)).await.ok();
    let stream = api.get(&format!("{STREAMS}/web")).await.ok();
    assert_eq!(done["status"]["import"]["metadata"]["name"], "web");
    assert_eq!(stream["spec"]["tags"][0]["from"]["name"], "127.0.0.1:1/nginx:1.25");
    let condition = &stream["status"]["tags"][0]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["status"], &condition["generation"]),
        (&json!("ImportSuccess"), &json!("False"), &json!(1))
    );
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let rows = api.raw("GET", ITAGS, &table, b"").await.ok();
    assert_eq!(rows["rows"][0]["cells"][2], "ImportFailed (InternalError)");
    let nothing = json!({ "metadata": { "name": "web" }, "spec": { "import": true } });
    assert_eq!(
        api.post(&path, &nothing).await.refused().2,
        "ImageStreamImport.image.openshift.io \"web\" is invalid: spec.images: Invalid value: null: you must specify at least one image or a repository import"
    );
    let mut stale = import(true);
    stale["metadata"]["resourceVersion"] = "1".into();
    let (code, _, message) = api.post(&path, &stale).await.refused();
    assert_eq!(code, 409);
    assert!(message.starts_with("Operation cannot be fulfilled on imagestream.image.openshift.io \"web\": the image stream was updated from \"1\" to "), "{message}");
}

#[tokio::test]
async fn signatures_are_kept_in_their_image_and_secrets_are_listed() {
    let api = Harness::start().await;
    pushed(&api).await;
    let path = format!("{GROUP}/imagesignatures");
    let name = format!("{SHA}@one");
    let signature = json!({ "metadata": { "name": name }, "type": "atomic", "content": "AAAA" });
    let made = api.post(&path, &signature).await;
    assert_eq!((made.code, &made.ok()["kind"]), (201, &json!("ImageSignature")));
    let image = api.get(&format!("{GROUP}/images/{SHA}")).await.ok();
    assert_eq!(image["signatures"][0]["metadata"]["name"], name.as_str());
    let (code, _, message) = api.post(&path, &signature).await.refused();
    assert_eq!(
        (code, message),
        (409, format!("imageSignatures.image.openshift.io {name:?} already exists"))
    );
    let bad = json!({ "metadata": { "name": "x" }, "type": "atomic", "content": "AAAA" });
    assert!(
        api.post(&path, &bad)
            .await
            .refused()
            .2
            .contains("name must be of format <imageName>@<signatureName>")
    );
    api.delete(&format!("{path}/{name}")).await.ok();
    assert_eq!(api.delete(&format!("{path}/{name}")).await.code, 404);
    let secret = |name: &str, kind: &str| json!({ "metadata": { "name": name }, "type": kind, "data": { ".dockerconfigjson": "e30=" } });
    let secrets = "/api/v1/namespaces/default/secrets";
    api.post(secrets, &secret("pull", "kubernetes.io/dockerconfigjson")).await.ok();
    api.post(secrets, &secret("other", "Opaque")).await.ok();
    let list = api.get(&format!("{STREAMS}/any/secrets")).await.ok();
    assert_eq!(list["kind"], "SecretList");
    let names: Vec<&Value> =
        list["items"].as_array().unwrap().iter().map(|one| &one["metadata"]["name"]).collect();
    assert_eq!(names, ["pull"]);
}
