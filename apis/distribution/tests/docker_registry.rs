//! Docker's own registry, asked by the client.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use leme_distribution::reference::digest_of;
use leme_distribution::{Client, Content, Error, IMAGES, Login, Reference, Registries};

/// `let-in:let-me-in`, as htpasswd has it.
const PASSWORDS: &str = "let-in:$2y$05$abcdefghijklmnopqrstuu3Jd./u/rH1RxB6auX5v7gLP6uWhKCgG\n";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Debian's registry, which lets one user in.
struct Registry {
    child: Child,
    name: String,
    folder: tempfile::TempDir,
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
        let registry = Registry { child, name, folder };
        while let Err(Error::Unreachable { .. }) = registry.client("").check().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        registry
    }

    /// Who has this password.
    fn client(&self, password: &str) -> Client {
        let endpoint = Registries::default().registry(&self.name);
        let login = Login { user: "let-in".to_owned(), password: password.to_owned() };
        let nobody = Client::new(&endpoint).unwrap();
        nobody.for_login((!password.is_empty()).then_some(login))
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

#[tokio::test]
async fn what_is_pushed_is_what_is_got() {
    let registry = Registry::start().await;
    let client = registry.client("let-me-in");
    // A layer of several pieces, from a file, and a configuration from memory.
    let layer: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let file = registry.folder.path().join("layer");
    fs::write(&file, &layer).unwrap();
    let (of_layer, size) = (digest_of(&layer), layer.len() as u64);
    assert!(!client.has_blob("team/app", &of_layer).await.unwrap());
    for _ in 0..2 {
        client.push_blob("team/app", &of_layer, size, &Content::File(file.clone())).await.unwrap();
        assert!(client.has_blob("team/app", &of_layer).await.unwrap());
    }
    let config = Bytes::from_static(b"{}");
    let of_config = digest_of(&config);
    client.push_blob("team/app", &of_config, 2, &Content::Bytes(config)).await.unwrap();
    let empty = digest_of(b"");
    client.push_blob("team/app", &empty, 0, &Content::Bytes(Bytes::new())).await.unwrap();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{of_config}","size":2}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{of_layer}","size":{size}}}]}}"#
    );
    let manifest = Bytes::from(manifest);
    let mut tags = Vec::new();
    for tag in ["v1", "v2", "v3"] {
        let pushed = client.push_manifest("team/app", tag, MANIFEST, manifest.clone()).await;
        assert_eq!(pushed.unwrap(), digest_of(&manifest));
        tags.push(tag.to_owned());
    }
    let got = client.manifest("team/app", "v1", IMAGES).await.unwrap();
    assert_eq!((got.media_type.as_str(), &got.bytes), (MANIFEST, &manifest));
    let told = client.head_manifest("team/app", &got.digest, IMAGES).await.unwrap();
    assert_eq!((told.digest, told.size), (Some(got.digest), Some(manifest.len() as u64)));
    let mut blob = client.blob("team/app", &of_layer, None).await.unwrap();
    assert_eq!(blob.size(), Some(size));
    let mut all = Vec::new();
    while let Some(piece) = blob.next().await.unwrap() {
        all.extend_from_slice(&piece);
    }
    assert!(all == layer);
    assert_eq!(client.tags("team/app", 100).await.unwrap(), tags);
    assert_eq!(client.tags("team/app", 2).await.unwrap(), tags[..2]);
    // What one repository has another is given without sending it; what it has not, not.
    assert!(client.mount("team/other", &of_layer, "team/app").await.unwrap());
    assert!(client.has_blob("team/other", &of_layer).await.unwrap());
    assert!(!client.mount("team/other", &digest_of(b"nowhere"), "team/app").await.unwrap());
}

#[tokio::test]
async fn who_is_not_let_in_and_what_is_not_there_are_told_apart() {
    let registry = Registry::start().await;
    let nobody = registry.client("");
    assert!(matches!(nobody.check().await, Err(Error::Unauthorized(_))));
    let wrong = registry.client("wrong");
    assert!(matches!(wrong.check().await, Err(Error::Unauthorized(_))));
    let pushed = wrong.push_blob("a", &digest_of(b"x"), 1, &Content::Bytes("x".into())).await;
    assert!(matches!(pushed, Err(Error::Unauthorized(_))), "{pushed:?}");
    let known = registry.client("let-me-in");
    known.check().await.unwrap();
    assert!(matches!(known.manifest("a", "v1", IMAGES).await, Err(Error::NotFound(_))));
    assert!(matches!(known.tags("a", 10).await, Err(Error::NotFound(_))));
    let missing = known.blob("a", &digest_of(b"x"), None).await.err();
    assert!(matches!(missing, Some(Error::NotFound(_))));
    // Content that is not what it is said to be is not taken.
    let lied = known.push_blob("a", &digest_of(b"x"), 1, &Content::Bytes("y".into())).await;
    assert!(matches!(lied, Err(Error::Answer(_))), "{lied:?}");
    let gone = known.push_blob("a", &digest_of(b"x"), 1, &Content::File("/nowhere".into())).await;
    assert!(matches!(gone, Err(Error::Io(_))), "{gone:?}");
    let image = Reference::parse("127.0.0.1:1/a").unwrap();
    let endpoint = &Registries::default().endpoints(&image)[0];
    let away = Client::new(endpoint).unwrap().check().await;
    assert!(matches!(away, Err(Error::Unreachable { .. })), "{away:?}");
}
