//! What is got, as an OCI layout: blobs by their digests, and an index that names the image.
//!
//! Knows: files, and which of several images is for this machine. Refuses to know: whose they are.

use std::fs;
use std::io;
use std::path::Path;

use leme_distribution::Client;
use leme_distribution::reference::digest_of;
use leme_host::images::Pulling;
use oci_spec::image::Descriptor;
use serde_json::json;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::Result;

/// Of several that run here that is taken which asks for least: without a variant, or arm64's only one.
pub(crate) fn variant(one: &Descriptor) -> u8 {
    let variant = one.platform().as_ref().and_then(|platform| platform.variant().clone());
    match variant.as_deref() {
        None | Some("") | Some("v8") => 1,
        Some(_) => 0,
    }
}

/// Gets a blob of that many bytes into a file; it is believed when this is done.
pub(crate) async fn get(
    client: &Client,
    repository: &str,
    digest: &str,
    size: u64,
    into: &Path,
) -> Result<u64> {
    let mut file = File::create(into).await?;
    let mut blob = client.blob(repository, digest, Some(size)).await?;
    while let Some(piece) = blob.next().await? {
        file.write_all(&piece).await?;
    }
    file.sync_data().await?;
    Ok(size)
}

/// Names the image in the layout.
pub(crate) fn describe(pulling: &Pulling, manifest: &[u8], name: Option<&str>) -> io::Result<()> {
    let digest = digest_of(manifest);
    fs::write(pulling.blob(&digest), manifest)?;
    let mut one = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest, "size": manifest.len(),
    });
    if let Some(name) = name {
        one["annotations"] = json!({ "io.containerd.image.name": name });
    }
    let index = json!({ "schemaVersion": 2, "manifests": [one] });
    fs::write(pulling.root().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    fs::write(pulling.root().join("index.json"), index.to_string())
}
