//! What `oc import-image`, `oc tag --source=docker` and `oc new-app --image` ask for, with docker's own registry.

mod common;

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use common::*;
use leme_distribution::reference::digest_of;
use leme_distribution::{Client, Content, Error, Login, Registries};
use serde_json::{Value, json};

const GROUP: &str = "/apis/image.openshift.io/v1";
const IMPORTS: &str = "/apis/image.openshift.io/v1/namespaces/default/imagestreamimports";
const STREAM: &str = "/apis/image.openshift.io/v1/namespaces/default/imagestreams/app";
/// `let-in:let-me-in`, as htpasswd has it.
const PASSWORDS: &str = "let-in:$2y$05$abcdefghijklmnopqrstuu3Jd./u/rH1RxB6auX5v7gLP6uWhKCgG\n";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Debian's registry, which lets one user in.
struct Registry {
    child: Child,
    name: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    async fn start() -> Registry {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let name = format!("127.0.0.1:{port}");
        fs::write(folder.path().join("passwords"), PASSWORDS).unwrap();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {0}/data}}}}\n\
             http: {{addr: \"{name}\"}}\nauth: {{htpasswd: {{realm: test, path: {0}/passwords}}}}\n",
            folder.path().display()
        );
        fs::write(folder.path().join("config.yml"), config).unwrap();
        let child = Command::new(program())
            .arg("serve")
            .arg(folder.path().join("config.yml"))
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Registry { child, name, _folder: folder };
        while let Err(Error::Unreachable { .. }) = registry.client().check().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        registry
    }

    fn client(&self) -> Client {
        let login = Login { user: "let-in".to_owned(), password: "let-me-in".to_owned() };
        Client::new(&Registries::default().registry(&self.name)).unwrap().for_login(Some(login))
    }

    /// Pushes an image for a platform; returns its digest and the bytes of its manifest.
    async fn push(&self, tags: &[&str], architecture: &str) -> (String, usize) {
        let client = self.client();
        let layer = Bytes::from(format!("layer of {architecture}"));
        let config = Bytes::from(
            json!({"architecture": architecture, "os": "linux", "created": "2024-01-02T03:04:05Z",
                "config": {"Env": ["A=b"], "ExposedPorts": {"8080/tcp": {}}}})
            .to_string(),
        );
        for blob in [&layer, &config] {
            let content = Content::Bytes(blob.clone());
            client
                .push_blob("team/app", &digest_of(blob), blob.len() as u64, &content)
                .await
                .unwrap();
        }
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(&config), "size": config.len()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest_of(&layer), "size": layer.len()}]});
        let manifest = Bytes::from(manifest.to_string());
        let digest = digest_of(&manifest);
        for tag in tags.iter().copied().chain([digest.as_str()]) {
            client.push_manifest("team/app", tag, MANIFEST, manifest.clone()).await.unwrap();
        }
        (digest, manifest.len())
    }

    /// Pushes a list of images.
    async fn push_list(&self, tag: &str, images: &[(&str, &(String, usize))]) -> String {
        let of = |(architecture, (digest, size)): &(&str, &(String, usize))| {
            json!({"mediaType": MANIFEST, "digest": digest, "size": size,
                "platform": {"architecture": architecture, "os": "linux"}})
        };
        let manifests: Vec<Value> = images.iter().map(of).collect();
        let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        let list = Bytes::from(list.to_string());
        let digest = digest_of(&list);
        self.client().push_manifest("team/app", tag, INDEX, list).await.unwrap();
        digest
    }

    fn image(&self, tag: &str) -> Value {
        json!({ "kind": "DockerImage", "name": format!("{}/team/app:{tag}", self.name) })
    }

    async fn log_in(&self, api: &Harness) {
        let entry = json!({ "username": "let-in", "password": "let-me-in" });
        let text = json!({ "auths": { self.name.clone(): entry } }).to_string();
        let data = base64::engine::general_purpose::STANDARD.encode(text);
        let secret = json!({
            "metadata": { "name": "pull" }, "type": "kubernetes.io/dockerconfigjson",
            "data": { ".dockerconfigjson": data },
        });
        api.post("/api/v1/namespaces/default/secrets", &secret).await.ok();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("docker-registry"));
    found.into_iter().find(|path| path.exists()).expect("apt-get install docker-registry")
}

/// What `oc import-image` sends.
fn import(stores: bool, images: &[Value]) -> Value {
    json!({
        "apiVersion": "image.openshift.io/v1", "kind": "ImageStreamImport",
        "metadata": { "name": "app", "namespace": "default" },
        "spec": { "import": stores, "images": images },
    })
}

async fn asked(api: &Harness, import: &Value) -> Value {
    let answer = api.post(IMPORTS, import).await;
    assert_eq!(answer.code, 201, "{:?}", answer.body);
    answer.ok()
}

#[tokio::test]
async fn an_image_is_imported_by_who_may_have_it() {
    let (registry, api) = (Registry::start().await, Harness::start().await);
    let (digest, _) = registry.push(&["v1"], "amd64").await;
    let full = format!("{}/team/app:v1", registry.name);
    let wish = json!({ "from": registry.image("v1"), "to": { "name": "latest" } });

    // Nobody is let in.
    let refused = asked(&api, &import(true, std::slice::from_ref(&wish))).await;
    let why = format!("you may not have access to the container image \"{full}\"");
    let status = &refused["status"]["images"][0]["status"];
    assert_eq!((&status["reason"], &status["message"]), (&json!("Unauthorized"), &json!(why)));
    let stream = api.get(STREAM).await.ok();
    let condition = &stream["status"]["tags"][0]["conditions"][0];
    assert_eq!(
        (&condition["reason"], &condition["message"]),
        (&json!("Unauthorized"), &json!(why))
    );
    assert_eq!(stream["spec"]["tags"][0]["from"]["name"], full);

    // `oc new-app` looks, and stores nothing.
    registry.log_in(&api).await;
    let looked = asked(&api, &import(false, std::slice::from_ref(&wish))).await;
    let image = &looked["status"]["images"][0]["image"];
    assert_eq!(image["metadata"]["name"], digest);
    assert_eq!(image["dockerImageMetadata"]["Config"]["ExposedPorts"], json!({ "8080/tcp": {} }));
    assert_eq!(image.get("dockerImageManifest"), None);
    assert_eq!(looked["status"]["images"][0]["tag"], "v1");
    assert_eq!(api.get(&format!("{GROUP}/images/{digest}")).await.code, 404);

    let done = asked(&api, &import(true, std::slice::from_ref(&wish))).await;
    assert_eq!(done["status"]["images"][0]["status"]["status"], "Success");
    let stream = api.get(STREAM).await.ok();
    let tag = &stream["status"]["tags"][0];
    let pinned = format!("{}/team/app@{digest}", registry.name);
    assert_eq!(
        (&tag["tag"], &tag["items"][0]["image"], &tag["items"][0]["dockerImageReference"]),
        (&json!("latest"), &json!(digest), &json!(pinned))
    );
    assert_eq!(tag.get("conditions"), None);
    let generation = &stream["spec"]["tags"][0]["generation"];
    assert_eq!(
        (generation, &tag["items"][0]["generation"]),
        (&stream["metadata"]["generation"], generation)
    );
    assert!(
        stream["metadata"]["annotations"]["openshift.io/image.dockerRepositoryCheck"].is_string()
    );
    let image = api.get(&format!("{GROUP}/images/{digest}")).await.ok();
    assert_eq!(image["dockerImageReference"], pinned);
    assert_eq!(image["dockerImageManifestMediaType"], MANIFEST);
    assert_eq!(image["dockerImageLayers"].as_array().unwrap().len(), 1);
    assert_eq!(image["dockerImageMetadata"]["Architecture"], "amd64");
    assert!(
        image["dockerImageManifest"]
            .as_str()
            .is_some_and(|text| digest_of(text.as_bytes()) == digest)
    );

    // The same again changes nothing; what is not there is told.
    asked(&api, &import(true, &[wish])).await;
    let again = api.get(STREAM).await.ok();
    assert_eq!(again["metadata"]["resourceVersion"], stream["metadata"]["resourceVersion"]);
    let none = json!({ "from": registry.image("none"), "to": { "name": "none" } });
    let none = asked(&api, &import(false, &[none])).await;
    let status = &none["status"]["images"][0]["status"];
    let why =
        format!("dockerimage.image.openshift.io \"{}/team/app:none\" not found", registry.name);
    assert_eq!((&status["reason"], &status["message"]), (&json!("NotFound"), &json!(why)));
}

#[tokio::test]
async fn a_repository_and_lists_of_images_are_imported() {
    let (registry, api) = (Registry::start().await, Harness::start().await);
    registry.log_in(&api).await;
    let amd = registry.push(&["1.0", "latest"], "amd64").await;
    let arm = registry.push(&["beta"], "arm64").await;
    let list = registry.push_list("multi", &[("arm64", &arm), ("amd64", &amd)]).await;
    let mut whole = import(true, &[]);
    whole["spec"] = json!({ "import": true, "repository": {
        "from": { "kind": "DockerImage", "name": format!("{}/team/app", registry.name) } } });
    let done = asked(&api, &whole).await;
    let repository = &done["status"]["repository"];
    assert_eq!(repository["status"]["status"], "Success", "{repository}");
    let tags: Vec<&str> = repository["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["tag"].as_str().unwrap())
        .collect();
    assert_eq!(tags, ["latest", "1.0", "beta", "multi"]);
    let stream = api.get(STREAM).await.ok();
    let shown: Vec<(&str, &str)> = stream["status"]["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["tag"].as_str().unwrap(), one["items"][0]["image"].as_str().unwrap()))
        .collect();
    let own = if cfg!(target_arch = "aarch64") { &arm.0 } else { &amd.0 };
    let want = [("1.0", &amd.0), ("beta", &arm.0), ("latest", &amd.0), ("multi", own)];
    assert_eq!(shown, want.map(|(tag, digest)| (tag, digest.as_str())));
    assert_eq!(
        stream["spec"]["tags"][0]["from"]["name"],
        format!("{}/team/app:1.0", registry.name)
    );

    // A list as it is, with its images.
    let wish = json!({ "from": registry.image("multi"), "to": { "name": "all" },
        "importPolicy": { "importMode": "PreserveOriginal" } });
    let done = asked(&api, &import(true, &[wish])).await;
    let answer = &done["status"]["images"][0];
    assert_eq!(answer["image"]["metadata"]["name"], list, "{answer}");
    assert_eq!(answer["manifests"].as_array().unwrap().len(), 2);
    let image = api.get(&format!("{GROUP}/images/{list}")).await.ok();
    assert_eq!(image["dockerImageManifests"][0]["architecture"], "arm64");
    assert_eq!(image["dockerImageManifestMediaType"], INDEX);
    api.get(&format!("{GROUP}/images/{}", arm.0)).await.ok();
}
