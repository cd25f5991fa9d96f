//! What OCI's distribution specification and its conformance tests ask of a registry, one row each.

mod common;

use common::*;
use leme_distribution::reference::digest_of;

/// Who asks, what is asked, with what; the status, the code of an error, and headers with what must be in them.
type Row<'a> = (
    &'a str,
    &'a str,
    String,
    Vec<(&'a str, &'a str)>,
    &'a [u8],
    u16,
    &'a str,
    Vec<(&'a str, String)>,
);

async fn check(cluster: &Cluster, rows: Vec<Row<'_>>) {
    for (user, method, path, sent, body, status, code, headers) in rows {
        let what = format!("{user}: {method} {path} {sent:?}");
        let said = cluster.ask(user, method, &path, &sent, body).await;
        assert_eq!((said.status.as_u16(), &*said.code()), (status, code), "{what}: {said:?}");
        for (name, expected) in headers {
            assert!(said.header(name).contains(&expected), "{what}: {name} of {said:?}");
        }
    }
}

const BLOBS: &str = "/v2/shop/app/blobs";

#[tokio::test]
async fn blobs_are_pushed_and_pulled() {
    let cluster = Cluster::start().await;
    let (one, two) = (digest_of(b"content"), digest_of(b"0123456789"));
    let missing = digest_of(b"missing");
    let octets = || vec![("content-type", "application/octet-stream"), ("content-length", "7")];
    let to = format!("{BLOBS}/uploads/");
    // In one POST; not with the wrong digest, and not without being let in.
    check(
        &cluster,
        vec![
            ("ana", "HEAD", format!("{BLOBS}/{one}"), vec![], b"", 404, "BLOB_UNKNOWN", vec![]),
            (
                "ana",
                "POST",
                format!("{to}?digest={two}"),
                octets(),
                b"content",
                400,
                "DIGEST_INVALID",
                vec![],
            ),
            (
                "ana",
                "POST",
                format!("{to}?digest=sha256:12"),
                octets(),
                b"content",
                400,
                "DIGEST_INVALID",
                vec![],
            ),
            ("ana", "GET", format!("{BLOBS}/{one}"), vec![], b"", 404, "BLOB_UNKNOWN", vec![]),
            (
                "",
                "POST",
                format!("{to}?digest={one}"),
                octets(),
                b"content",
                401,
                "UNAUTHORIZED",
                vec![],
            ),
            (
                "rui",
                "POST",
                format!("{to}?digest={one}"),
                octets(),
                b"content",
                403,
                "DENIED",
                vec![],
            ),
            (
                "ana",
                "POST",
                format!("{to}?digest={one}"),
                octets(),
                b"content",
                201,
                "",
                vec![
                    ("location", format!("{BLOBS}/{one}")),
                    ("docker-content-digest", one.clone()),
                ],
            ),
            (
                "ana",
                "HEAD",
                format!("{BLOBS}/{one}"),
                vec![],
                b"",
                200,
                "",
                vec![("content-length", "7".into()), ("docker-content-digest", one.clone())],
            ),
            (
                "rui",
                "GET",
                format!("{BLOBS}/{one}"),
                vec![("range", "bytes=2-4")],
                b"",
                206,
                "",
                vec![("content-range", "bytes 2-4/7".into()), ("content-length", "3".into())],
            ),
            (
                "rui",
                "GET",
                format!("{BLOBS}/{one}"),
                vec![("range", "bytes=7-")],
                b"",
                416,
                "SIZE_INVALID",
                vec![("content-range", "bytes */7".into())],
            ),
            ("eva", "GET", format!("{BLOBS}/{one}"), vec![], b"", 403, "DENIED", vec![]),
            (
                "eva",
                "GET",
                format!("/v2/other/app/blobs/{one}"),
                vec![],
                b"",
                404,
                "BLOB_UNKNOWN",
                vec![],
            ),
            ("ana", "GET", format!("{BLOBS}/{missing}"), vec![], b"", 404, "BLOB_UNKNOWN", vec![]),
            (
                "ana",
                "PATCH",
                format!("{BLOBS}/uploads/none"),
                vec![],
                b"x",
                404,
                "BLOB_UPLOAD_UNKNOWN",
                vec![],
            ),
            (
                "ana",
                "PUT",
                format!("{BLOBS}/uploads/none?digest={one}"),
                vec![],
                b"x",
                404,
                "BLOB_UPLOAD_UNKNOWN",
                vec![],
            ),
            (
                "ana",
                "GET",
                format!("{BLOBS}/uploads/none"),
                vec![],
                b"",
                404,
                "BLOB_UPLOAD_UNKNOWN",
                vec![],
            ),
        ],
    )
    .await;
    assert_eq!(
        cluster
            .ask("rui", "GET", &format!("{BLOBS}/{one}"), &[("range", "bytes=2-4")], b"")
            .await
            .body,
        "nte"
    );
    // In chunks, of which one comes out of order.
    let begun = cluster.ask("ana", "POST", &to, &[("content-length", "0")], b"").await;
    assert_eq!((begun.status.as_u16(), begun.header("range")), (202, "0-0"));
    let at = begun.header("location").to_owned();
    assert!(at.starts_with(&to), "{at}");
    check(
        &cluster,
        vec![
            (
                "ana",
                "PATCH",
                at.clone(),
                vec![("content-range", "0-3"), ("content-length", "4")],
                b"0123",
                202,
                "",
                vec![("range", "0-3".into()), ("location", at.clone())],
            ),
            (
                "ana",
                "PATCH",
                at.clone(),
                vec![("content-range", "8-9"), ("content-length", "2")],
                b"89",
                416,
                "BLOB_UPLOAD_INVALID",
                vec![("range", "0-3".into()), ("location", at.clone())],
            ),
            (
                "ana",
                "PATCH",
                at.clone(),
                vec![("content-range", "4-9"), ("content-length", "2")],
                b"45",
                400,
                "SIZE_INVALID",
                vec![],
            ),
            (
                "ana",
                "GET",
                at.clone(),
                vec![],
                b"",
                204,
                "",
                vec![("range", "0-3".into()), ("location", at.clone())],
            ),
            // Of another repository it is none, and nobody else's.
            (
                "eva",
                "GET",
                at.replace("shop", "other"),
                vec![],
                b"",
                404,
                "BLOB_UPLOAD_UNKNOWN",
                vec![],
            ),
            ("rui", "GET", at.clone(), vec![], b"", 403, "DENIED", vec![]),
            (
                "ana",
                "PATCH",
                at.clone(),
                vec![("content-range", "4-6"), ("content-length", "3")],
                b"456",
                202,
                "",
                vec![("range", "0-6".into())],
            ),
            ("ana", "PUT", at.clone(), vec![], b"", 400, "DIGEST_INVALID", vec![]),
            (
                "ana",
                "PUT",
                format!("{at}?digest={two}"),
                vec![("content-range", "7-9"), ("content-length", "3")],
                b"789",
                201,
                "",
                vec![("location", format!("{BLOBS}/{two}"))],
            ),
            ("ana", "GET", at.clone(), vec![], b"", 404, "BLOB_UPLOAD_UNKNOWN", vec![]),
            ("ana", "GET", format!("{BLOBS}/{two}"), vec![], b"", 200, "", vec![]),
        ],
    )
    .await;
    // Given up, and once with a digest that is another's.
    for last in ["DELETE", "PUT"] {
        let at = cluster.ask("ana", "POST", &to, &[], b"").await.header("location").to_owned();
        let (path, status, code) = match last {
            "PUT" => (format!("{at}?digest={missing}"), 400, "DIGEST_INVALID"),
            _ => (at.clone(), 204, ""),
        };
        check(
            &cluster,
            vec![
                (
                    "ana",
                    "PATCH",
                    at.clone(),
                    vec![],
                    b"some",
                    202,
                    "",
                    vec![("range", "0-3".into())],
                ),
                ("ana", last, path, vec![], b"", status, code, vec![]),
                ("ana", "GET", at, vec![], b"", 404, "BLOB_UPLOAD_UNKNOWN", vec![]),
            ],
        )
        .await;
    }
    assert_eq!(std::fs::read_dir(cluster.store.uploads()).unwrap().count(), 0);
}

#[tokio::test]
async fn blobs_are_mounted_by_who_may_read_them_there() {
    let cluster = Cluster::start().await;
    let one = digest_of(b"content");
    let mount = |to: &str, from: &str| format!("/v2/{to}/blobs/uploads/?mount={one}&from={from}");
    cluster.ask("ana", "POST", &format!("{BLOBS}/uploads/?digest={one}"), &[], b"content").await;
    cluster.world(|world| world.allow("ana update attic"));
    cluster.world(|world| world.allow("ana get attic"));
    check(
        &cluster,
        vec![
            (
                "ana",
                "POST",
                mount("attic/x", "shop/app"),
                vec![],
                b"",
                201,
                "",
                vec![("location", format!("/v2/attic/x/blobs/{one}"))],
            ),
            ("ana", "HEAD", format!("/v2/attic/x/blobs/{one}"), vec![], b"", 200, "", vec![]),
            // Who may not read it there begins an upload.
            (
                "eva",
                "POST",
                mount("other/x", "shop/app"),
                vec![],
                b"",
                202,
                "",
                vec![("location", "/v2/other/x/blobs/uploads/".into())],
            ),
            (
                "eva",
                "HEAD",
                format!("/v2/other/x/blobs/{one}"),
                vec![],
                b"",
                404,
                "BLOB_UNKNOWN",
                vec![],
            ),
            ("ana", "POST", mount("attic/y", "attic/nothing"), vec![], b"", 202, "", vec![]),
            ("ana", "POST", mount("attic/y", "../x"), vec![], b"", 202, "", vec![]),
            ("ana", "DELETE", format!("{BLOBS}/{one}"), vec![], b"", 403, "DENIED", vec![]),
            ("root", "DELETE", format!("{BLOBS}/{one}"), vec![], b"", 202, "", vec![]),
            ("root", "DELETE", format!("{BLOBS}/{one}"), vec![], b"", 404, "BLOB_UNKNOWN", vec![]),
            ("ana", "GET", format!("{BLOBS}/{one}"), vec![], b"", 404, "BLOB_UNKNOWN", vec![]),
            ("ana", "GET", format!("/v2/attic/x/blobs/{one}"), vec![], b"", 200, "", vec![]),
        ],
    )
    .await;
}

#[tokio::test]
async fn manifests_are_pushed_found_listed_and_deleted() {
    let cluster = Cluster::start().await;
    let (manifest, blobs) = image("one");
    let digest = digest_of(&manifest);
    let at = |by: &str| format!("/v2/shop/app/manifests/{by}");
    let typed = || vec![("content-type", MANIFEST)];
    check(
        &cluster,
        vec![
            ("ana", "GET", at("v1"), vec![], b"", 404, "NAME_UNKNOWN", vec![]),
            (
                "ana",
                "GET",
                "/v2/shop/app/tags/list".into(),
                vec![],
                b"",
                404,
                "NAME_UNKNOWN",
                vec![],
            ),
            ("ana", "PUT", at("v1"), typed(), &manifest, 404, "MANIFEST_BLOB_UNKNOWN", vec![]),
            ("ana", "PUT", at("v1"), typed(), b"blablabla", 400, "MANIFEST_INVALID", vec![]),
            (
                "ana",
                "PUT",
                at("v1"),
                vec![("content-type", "text/plain")],
                &manifest,
                400,
                "MANIFEST_INVALID",
                vec![],
            ),
        ],
    )
    .await;
    for (digest, blob) in &blobs {
        cluster.ask("ana", "POST", &format!("{BLOBS}/uploads/?digest={digest}"), &[], blob).await;
    }
    let place = || vec![("location", at(&digest)), ("docker-content-digest", digest.clone())];
    check(
        &cluster,
        vec![
            ("rui", "PUT", at("v1"), typed(), &manifest, 403, "DENIED", vec![]),
            (
                "ana",
                "PUT",
                at(&digest_of(b"other")),
                typed(),
                &manifest,
                400,
                "DIGEST_INVALID",
                vec![],
            ),
            ("ana", "PUT", at("v1"), typed(), &manifest, 201, "", place()),
            ("ana", "PUT", at("v3"), typed(), &manifest, 201, "", place()),
            ("ana", "PUT", at("v2"), typed(), &manifest, 201, "", place()),
            (
                "rui",
                "GET",
                at("v1"),
                vec![("accept", MANIFEST)],
                b"",
                200,
                "",
                vec![("content-type", MANIFEST.into()), ("docker-content-digest", digest.clone())],
            ),
            (
                "rui",
                "HEAD",
                at(&digest),
                vec![],
                b"",
                200,
                "",
                vec![("content-length", manifest.len().to_string())],
            ),
            ("rui", "GET", at("v9"), vec![], b"", 404, "MANIFEST_UNKNOWN", vec![]),
            ("rui", "GET", at(".INVALID"), vec![], b"", 404, "MANIFEST_UNKNOWN", vec![]),
            ("rui", "GET", at(&digest_of(b"other")), vec![], b"", 404, "MANIFEST_UNKNOWN", vec![]),
            (
                "rui",
                "GET",
                "/v2/shop/app/tags/list?n=2".into(),
                vec![],
                b"",
                200,
                "",
                vec![("link", "</v2/shop/app/tags/list?n=2&last=v2>; rel=\"next\"".into())],
            ),
            (
                "rui",
                "GET",
                "/v2/shop/app/tags/list?n=x".into(),
                vec![],
                b"",
                400,
                "UNSUPPORTED",
                vec![],
            ),
            ("rui", "GET", "/v2/_catalog".into(), vec![], b"", 404, "UNSUPPORTED", vec![]),
            ("rui", "POST", at("v1"), vec![], b"", 405, "UNSUPPORTED", vec![]),
            ("ana", "DELETE", at(&digest), vec![], b"", 403, "DENIED", vec![]),
            // The stream still means it.
            ("root", "DELETE", at(&digest), vec![], b"", 403, "DENIED", vec![]),
            ("root", "DELETE", at("v1"), vec![], b"", 405, "UNSUPPORTED", vec![]),
        ],
    )
    .await;
    let list = async |query: &str| {
        let said =
            cluster.ask("rui", "GET", &format!("/v2/shop/app/tags/list{query}"), &[], b"").await;
        said.json()["tags"].to_string()
    };
    assert_eq!(list("").await, r#"["v1","v2","v3"]"#);
    assert_eq!(list("?n=2").await, r#"["v1","v2"]"#);
    assert_eq!(list("?n=0").await, "[]");
    assert_eq!(list("?n=2&last=v2").await, r#"["v3"]"#);
    // The registry tells what was pushed, once the stream was made by who pushed it.
    cluster.world(|world| {
        let (by, told) = &world.images[&digest];
        assert_eq!(by, "registry");
        assert_eq!(told["dockerImageMetadata"]["Config"]["Cmd"][0], "one");
        assert_eq!(told["dockerImageReference"], format!("{}/shop/app@{digest}", cluster.host));
        assert_eq!(told["metadata"]["annotations"]["openshift.io/image.managed"], "true");
        assert!(
            world
                .asked
                .iter()
                .any(|asked| asked.starts_with("POST") && asked.ends_with("imagestreams by ana"))
        );
        world.streams.clear();
    });
    check(
        &cluster,
        vec![
            ("root", "DELETE", at(&digest), vec![], b"", 202, "", vec![]),
            ("root", "DELETE", at(&digest), vec![], b"", 404, "MANIFEST_UNKNOWN", vec![]),
            ("root", "GET", at(&digest), vec![], b"", 404, "NAME_UNKNOWN", vec![]),
        ],
    )
    .await;
}

#[tokio::test]
async fn referrers_are_told_and_filtered() {
    let cluster = Cluster::start().await;
    let subject = digest_of(b"subject");
    let empty = digest_of(b"{}");
    cluster.ask("ana", "POST", &format!("{BLOBS}/uploads/?digest={empty}"), &[], b"{}").await;
    let about = |kind: &str| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"{kind}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{empty}","size":2}},"layers":[{{"mediaType":"x/y","digest":"{empty}","size":2}}],"subject":{{"mediaType":"{MANIFEST}","digest":"{subject}","size":7}},"annotations":{{"a":"b"}}}}"#
        )
    };
    let typed = || vec![("content-type", MANIFEST)];
    for kind in ["application/one", "application/two"] {
        let text = about(kind);
        let at = format!("/v2/shop/app/manifests/{}", digest_of(text.as_bytes()));
        check(
            &cluster,
            vec![(
                "ana",
                "PUT",
                at,
                typed(),
                text.as_bytes(),
                201,
                "",
                vec![("oci-subject", subject.clone())],
            )],
        )
        .await;
    }
    // Pushed by digest, it is told by the registry itself.
    cluster.world(|world| assert!(world.images.values().all(|(by, _)| by == "registry")));
    let at = format!("/v2/shop/app/referrers/{subject}");
    let said = cluster.ask("rui", "GET", &at, &[], b"").await;
    assert_eq!(
        (said.header("content-type"), said.json()["manifests"].as_array().unwrap().len()),
        (INDEX, 2)
    );
    let said =
        cluster.ask("rui", "GET", &format!("{at}?artifactType=application/two"), &[], b"").await;
    let all = said.json()["manifests"].clone();
    assert_eq!(
        (said.header("oci-filters-applied"), all.as_array().unwrap().len()),
        ("artifactType", 1)
    );
    assert_eq!(
        (&all[0]["artifactType"], &all[0]["annotations"]["a"]),
        (&"application/two".into(), &"b".into())
    );
    let none =
        cluster.ask("rui", "GET", &format!("/v2/shop/app/referrers/{empty}"), &[], b"").await;
    assert_eq!(
        (none.status.as_u16(), none.json()["manifests"].as_array().unwrap().len()),
        (200, 0)
    );
    check(
        &cluster,
        vec![
            (
                "rui",
                "GET",
                "/v2/shop/app/referrers/sha256:1".into(),
                vec![],
                b"",
                400,
                "DIGEST_INVALID",
                vec![],
            ),
            ("eva", "GET", at, vec![], b"", 403, "DENIED", vec![]),
        ],
    )
    .await;
}

#[tokio::test]
async fn whoever_shows_nothing_is_asked_in_both_ways() {
    let cluster = Cluster::start().await;
    let host = [("host", "r.test:5000")];
    let said = cluster.ask("", "GET", "/v2/", &host, b"").await;
    let asked: Vec<_> = said
        .headers
        .get_all("www-authenticate")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert_eq!(said.status.as_u16(), 401);
    assert_eq!(
        asked,
        ["Bearer realm=\"https://r.test:5000/openshift/token\"", "Basic realm=\"openshift\""]
    );
    assert_eq!(said.header("docker-distribution-api-version"), "registry/2.0");
    let said = cluster.ask("", "PUT", "/v2/shop/app/manifests/v1", &host, b"").await;
    assert!(said.header("www-authenticate").contains("scope=\"repository:shop/app:pull,push\""));
    // Nothing of what was sent is repeated where it would be something else.
    let said = cluster.ask("", "GET", "/v2/", &[("host", "r\",x=\"y")], b"").await;
    assert_eq!(said.header("www-authenticate"), "Basic realm=\"openshift\"");
    check(
        &cluster,
        vec![
            ("ana", "GET", "/v2/".into(), vec![], b"", 200, "", vec![]),
            (
                "",
                "GET",
                "/v2/".into(),
                vec![("authorization", "Bearer wrong")],
                b"",
                401,
                "UNAUTHORIZED",
                vec![],
            ),
            (
                "",
                "GET",
                "/v2/".into(),
                vec![("authorization", "Basic ***")],
                b"",
                401,
                "UNAUTHORIZED",
                vec![],
            ),
            (
                "",
                "GET",
                "/openshift/token".into(),
                vec![("authorization", "Bearer wrong")],
                b"",
                401,
                "UNAUTHORIZED",
                vec![],
            ),
            ("", "GET", "/healthz".into(), vec![], b"", 200, "", vec![]),
            (
                "",
                "GET",
                "/v2/shop/app/tags/list".into(),
                vec![("authorization", "Bearer anonymous")],
                b"",
                401,
                "UNAUTHORIZED",
                vec![],
            ),
            (
                "",
                "GET",
                "/v2/public/app/tags/list".into(),
                vec![("authorization", "Bearer anonymous")],
                b"",
                404,
                "NAME_UNKNOWN",
                vec![],
            ),
            (
                "ana",
                "GET",
                "/v2/Shop/app/tags/list".into(),
                vec![],
                b"",
                400,
                "NAME_INVALID",
                vec![],
            ),
            ("ana", "GET", "/v2/app/tags/list".into(), vec![], b"", 404, "NAME_UNKNOWN", vec![]),
        ],
    )
    .await;
    let given = cluster.ask("ana", "GET", "/openshift/token", &[], b"").await.json();
    assert_eq!(given["token"], "token-of-ana");
    let given = cluster.ask("", "GET", "/openshift/token", &[], b"").await.json();
    assert_eq!(given["token"], "anonymous");
}
