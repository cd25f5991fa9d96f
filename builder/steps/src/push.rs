//! An image out of the builder's store, to its registry.
//!
//! Knows: what a manifest names, and the order in which a registry wants it. Refuses to know: the protocol.

use std::path::PathBuf;

use leme_distribution::{Client, Content, Credentials, Error, Reference, Registries};
use leme_executor::Built;
use leme_host::images::ImageStore;
use serde_json::Value;

use crate::say;

/// Pushes an image; the digest that it has there.
pub(crate) async fn push(
    store: &ImageStore,
    built: &Built,
    to: &Reference,
    registries: &Registries,
    credentials: &Credentials,
) -> Result<String, Error> {
    let endpoint = registries.registry(to.parts().0);
    let nobody = Client::new(&endpoint)?;
    let logins = credentials.of(&to.name).chain(endpoint.login.clone());
    let mut refused = None;
    for login in logins.map(Some).chain([None]) {
        let client = nobody.for_login(login);
        match push_as(&client, store, built, to).await {
            Err(error) if error.is_refusal() => {
                refused.get_or_insert(error);
            }
            other => return other,
        }
    }
    Err(refused.unwrap_or_else(|| Error::Denied("nobody may push it".to_owned())))
}

async fn push_as(
    client: &Client,
    store: &ImageStore,
    built: &Built,
    to: &Reference,
) -> Result<String, Error> {
    let (_, repository) = to.parts();
    let manifest = tokio::fs::read(blob(store, &built.manifest)).await?;
    let document: Value = serde_json::from_slice(&manifest)
        .map_err(|error| Error::Answer(format!("the manifest that was built: {error}")))?;
    let layers = document["layers"].as_array().map_or(&[][..], Vec::as_slice);
    for part in layers.iter().chain([&document["config"]]) {
        let digest = part["digest"].as_str().unwrap_or("");
        let size = part["size"].as_u64().unwrap_or(0);
        let short = digest.strip_prefix("sha256:").unwrap_or(digest);
        say(&format!("Copying blob sha256:{}", short.get(..12).unwrap_or(short)));
        client.push_blob(repository, digest, size, &Content::File(blob(store, digest))).await?;
    }
    say("Writing manifest to image destination");
    let type_ = document["mediaType"].as_str();
    let type_ = type_.unwrap_or("application/vnd.oci.image.manifest.v1+json");
    client.push_manifest(repository, to.by(), type_, manifest.into()).await
}

fn blob(store: &ImageStore, digest: &str) -> PathBuf {
    store.root().join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
}
