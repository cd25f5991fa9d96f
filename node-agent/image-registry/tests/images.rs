//! Images pushed, tagged and pulled as clients do it, over TLS.

mod common;

use std::process::Command;
use std::time::Duration;

use base64::Engine;
use common::*;
use leme_distribution::reference::digest_of;
use leme_distribution::{Client, Content, Error, IMAGES, Registries};
use leme_host::images::{Link, Repository};
use leme_image_registry::Limits;

async fn push(
    client: &Client,
    repository: &str,
    tag: &str,
    content: &str,
) -> Result<String, Error> {
    let (manifest, blobs) = image(content);
    for (digest, blob) in blobs {
        let size = blob.len() as u64;
        client.push_blob(repository, &digest, size, &Content::Bytes(blob)).await?;
    }
    client.push_manifest(repository, tag, MANIFEST, manifest).await
}

async fn blob(client: &Client, repository: &str, digest: &str) -> Result<Vec<u8>, Error> {
    let (mut blob, mut all) = (client.blob(repository, digest, None).await?, Vec::new());
    while let Some(piece) = blob.next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

#[tokio::test]
async fn who_may_push_pushes_and_who_may_pull_pulls() {
    let cluster = Cluster::start().await;
    let digest = push(&cluster.client("ana"), "shop/app", "v1", "one").await.unwrap();
    let rui = cluster.client("rui");
    assert_eq!(rui.manifest("shop/app", "v1", IMAGES).await.unwrap().digest, digest);
    let (_, blobs) = image("one");
    assert_eq!(blob(&rui, "shop/app", &blobs[1].0).await.unwrap(), blobs[1].1);
    assert_eq!(rui.tags("shop/app", 10).await.unwrap(), ["v1"]);
    let denied = push(&rui, "shop/app", "v1", "two").await;
    assert!(matches!(denied, Err(Error::Denied(_))), "{denied:?}");
    let eva = cluster.client("eva").manifest("shop/app", "v1", IMAGES).await;
    assert!(matches!(eva, Err(Error::Denied(_))), "{eva:?}");
    let nobody = cluster.client("").manifest("shop/app", "v1", IMAGES).await;
    assert!(matches!(nobody, Err(Error::Unauthorized(_))), "{nobody:?}");
    // Who may push and may not make streams needs one that is there.
    let missing = push(&cluster.client("eva"), "other/app", "v1", "one").await;
    assert!(matches!(missing, Err(Error::Denied(_))), "{missing:?}");
    cluster.world(|world| world.tag("other/app", "x", "", "r/x"));
    push(&cluster.client("eva"), "other/app", "v1", "one").await.unwrap();
}

/// Red when a tag means only what was pushed under it, or when what it means opens more than that.
#[tokio::test]
async fn a_tag_means_another_streams_image() {
    let cluster = Cluster::start().await;
    let digest = push(&cluster.client("ana"), "shop/app", "v1", "one").await.unwrap();
    push(&cluster.client("ana"), "shop/app", "v2", "two").await.unwrap();
    let reference = format!("{}/shop/app@{digest}", cluster.host);
    cluster.world(|world| world.tag("other/copy", "live", &digest, &reference));
    let eva = cluster.client("eva");
    let ((_, one), (_, two)) = (image("one"), image("two"));
    assert!(blob(&eva, "other/copy", &one[1].0).await.is_err());
    assert_eq!(eva.manifest("other/copy", "live", IMAGES).await.unwrap().digest, digest);
    assert_eq!(blob(&eva, "other/copy", &one[1].0).await.unwrap(), one[1].1);
    assert!(matches!(blob(&eva, "other/copy", &two[1].0).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn images_elsewhere_are_passed_on_and_kept() {
    let elsewhere = Cluster::start().await;
    let digest = push(&elsewhere.client("ana"), "shop/base", "v1", "one").await.unwrap();
    let mut registries = Registries::default();
    registries.believe(&elsewhere.host, &elsewhere.authority);
    let cluster = Cluster::with(Limits::default(), registries).await;
    let reference = format!("{}/shop/base@{digest}", elsewhere.host);
    cluster.world(|world| world.tag("shop/base", "v1", &digest, &reference));
    let rui = cluster.client("rui");
    let refused = rui.manifest("shop/base", "v1", IMAGES).await;
    assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    let secret = format!(
        r#"{{"auths": {{"{}": {{"username": "x", "password": "token-of-rui"}}}}}}"#,
        elsewhere.host
    );
    cluster.world(|world| {
        world.secrets.push(base64::engine::general_purpose::STANDARD.encode(secret))
    });
    assert_eq!(rui.manifest("shop/base", "v1", IMAGES).await.unwrap().digest, digest);
    let (_, blobs) = image("one");
    assert!(rui.has_blob("shop/base", &blobs[1].0).await.unwrap());
    assert_eq!(blob(&rui, "shop/base", &blobs[1].0).await.unwrap(), blobs[1].1);
    let of = Repository::parse("shop/base").unwrap();
    while cluster.store.linked(&of, Link::Blob, &blobs[1].0).unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // From now on it is here.
    elsewhere.world(|world| world.rights.clear());
    drop(elsewhere);
    assert_eq!(blob(&rui, "shop/base", &blobs[1].0).await.unwrap(), blobs[1].1);
    assert_eq!(rui.manifest("shop/base", "v1", IMAGES).await.unwrap().digest, digest);
    assert!(blob(&rui, "shop/base", &digest_of(b"other")).await.is_err());
}

/// Red when uploads have no bounds: whoever may push to one stream would take memory or disk from all.
#[tokio::test]
async fn uploads_are_bounded() {
    let limits = Limits {
        uploads: 3,
        of_one: 2,
        bytes: 8,
        rest: Duration::from_secs(3600),
        ..Limits::default()
    };
    let cluster = Cluster::with(limits, Registries::default()).await;
    let begin = async |user: &str, stream: &str| {
        cluster.ask(user, "POST", &format!("/v2/{stream}/blobs/uploads/"), &[], b"").await
    };
    let first = begin("ana", "shop/app").await.header("location").to_owned();
    assert_eq!(begin("ana", "shop/app").await.status.as_u16(), 202);
    let third = begin("ana", "shop/app").await;
    assert_eq!((third.status.as_u16(), &*third.code()), (429, "TOOMANYREQUESTS"));
    assert_eq!(begin("eva", "other/app").await.status.as_u16(), 202);
    assert_eq!(begin("eva", "other/app").await.status.as_u16(), 429);
    let large = cluster.ask("ana", "PATCH", &first, &[], b"123456789").await;
    assert_eq!((large.status.as_u16(), &*large.code()), (413, "SIZE_INVALID"));
    assert_eq!(cluster.ask("ana", "DELETE", &first, &[], b"").await.status.as_u16(), 204);
    assert_eq!(begin("ana", "shop/app").await.status.as_u16(), 202);
    // What rests for too long makes room.
    let limits = Limits { uploads: 1, rest: Duration::ZERO, ..Limits::default() };
    let cluster = Cluster::with(limits, Registries::default()).await;
    for _ in 0..3 {
        let begun = cluster.ask("ana", "POST", "/v2/shop/app/blobs/uploads/", &[], b"").await;
        assert_eq!(begun.status.as_u16(), 202);
    }
    assert_eq!(std::fs::read_dir(cluster.store.uploads()).unwrap().count(), 1);
}

/// buildah, which speaks as podman, skopeo and CRI-O do.
#[tokio::test]
async fn buildah_pushes_and_pulls() {
    let cluster = Cluster::start().await;
    let folder = cluster.folder.path().to_owned();
    let certificates = folder.join("certs");
    std::fs::create_dir_all(&certificates).unwrap();
    std::fs::write(certificates.join("ca.crt"), &cluster.authority).unwrap();
    let (manifest, blobs) = image("one");
    let layout = folder.join("layout");
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let digest = digest_of(&manifest);
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{MANIFEST}","digest":"{digest}","size":{}}}]}}"#,
        manifest.len()
    );
    std::fs::write(layout.join("index.json"), index).unwrap();
    for (digest, blob) in blobs.iter().cloned().chain([(digest.clone(), manifest)]) {
        std::fs::write(layout.join("blobs/sha256").join(&digest["sha256:".len()..]), blob).unwrap();
    }
    let _ = (layout, certificates);
    let host = cluster.host.clone();
    let outcome = tokio::task::spawn_blocking(move || {
        let buildah = |words: &[&str]| {
            let mut command = Command::new("buildah");
            command
                .arg("--root")
                .arg(folder.join("root"))
                .arg("--runroot")
                .arg(folder.join("run"))
                .args(["--storage-driver", "vfs"]);
            command.args(words);
            let done = command.output().expect("apt-get install buildah");
            (
                done.status.success(),
                String::from_utf8_lossy(&done.stdout).into_owned()
                    + &String::from_utf8_lossy(&done.stderr),
            )
        };
        let made = buildah(&["from", "--name", "one", "scratch"]);
        assert!(made.0, "{}", made.1);
        let made = buildah(&["commit", "one", "localhost/one"]);
        assert!(made.0, "{}", made.1);
        let to = format!("docker://{host}/shop/app:v1");
        let certs = format!("--cert-dir={}", folder.join("certs").display());
        let denied = buildah(&["push", &certs, "--creds", "x:token-of-rui", "localhost/one", &to]);
        assert!(!denied.0, "{}", denied.1);
        let pushed = buildah(&["push", &certs, "--creds", "x:token-of-ana", "localhost/one", &to]);
        assert!(pushed.0, "{}", pushed.1);
        let pulled = buildah(&["pull", &certs, "--creds", "x:token-of-rui", &to]);
        assert!(pulled.0, "{}", pulled.1);
    });
    outcome.await.unwrap();
    assert!(cluster.client("rui").manifest("shop/app", "v1", IMAGES).await.is_ok());
}
