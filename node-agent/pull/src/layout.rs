//! What is got, as an OCI layout: blobs by their digests, and an index that names the image.
//!
//! Knows: files, digests, and which of several images is for this machine. Refuses to know: whose they are.

use std::fs;
use std::io;
use std::path::Path;

use leme_host::files::hex;
use leme_host::images::{Pulling, digest_of};
use oci_spec::image::Descriptor;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::client::Client;
use crate::{PullError, Result};

/// How often a blob is asked for again that came to an end too early.
const TRIES: usize = 5;

/// Of several that run here that is taken which asks for least: without a variant, or arm64's only one.
pub(crate) fn variant(one: &Descriptor) -> u8 {
    let variant = one.platform().as_ref().and_then(|platform| platform.variant().clone());
    match variant.as_deref() {
        None | Some("") | Some("v8") => 1,
        Some(_) => 0,
    }
}

/// Gets a blob of that many bytes into a file, goes on where it was cut off, and believes it when its digest is right.
pub(crate) async fn get(
    client: &Client,
    repository: &str,
    digest: &str,
    size: u64,
    into: &Path,
) -> Result<u64> {
    let path = format!("/v2/{repository}/blobs/{digest}");
    let (mut file, mut hash, mut got) = (File::create(into).await?, Sha256::new(), 0_u64);
    let mut tries = 0;
    loop {
        let cut = match more(client, &path, (&mut file, &mut hash, &mut got), size).await {
            Ok(()) if got == size => break,
            Ok(()) => {
                PullError::Answer(format!("{digest} has {got} bytes, and should have {size}"))
            }
            Err(error @ PullError::Unreachable { .. }) => error,
            Err(other) => return Err(other),
        };
        tries += 1;
        if tries == TRIES {
            return Err(cut);
        }
    }
    file.sync_data().await?;
    match format!("sha256:{}", hex(&hash.finalize())) == digest {
        true => Ok(got),
        false => {
            Err(PullError::Answer(format!("the content of {digest} does not match its digest")))
        }
    }
}

async fn more(
    client: &Client,
    path: &str,
    (file, hash, got): (&mut File, &mut Sha256, &mut u64),
    size: u64,
) -> Result<()> {
    let (mut body, begins_there) = client.content(path, *got).await?;
    // Who knows no ranges begins anew: what is there is not written again.
    let mut skip = if begins_there { 0 } else { *got };
    while let Some(piece) = client.piece(&mut body).await? {
        let known = skip.min(piece.len() as u64);
        skip -= known;
        let piece = &piece[known as usize..];
        if *got + piece.len() as u64 > size {
            return Err(PullError::Answer(format!(
                "{path} has more bytes than the {size} that it should have"
            )));
        }
        file.write_all(piece).await?;
        hash.update(piece);
        *got += piece.len() as u64;
    }
    Ok(())
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
