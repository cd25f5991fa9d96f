//! From a reference to an image: its manifest for this machine, its configuration, its layers.
//!
//! Knows: manifests and indices of OCI and docker, and that what is named by a digest is taken only if it has that. Refuses
//! to know: HTTP.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use leme_distribution::reference::{Reference, valid_digest};
use leme_distribution::{Client, Endpoint, IMAGES, Manifest};
use leme_host::images::{ImageStore, Pulling, for_this_machine, machine};
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};

use crate::layout;
use crate::{PullError, Pulled, Result};

/// Layers that are got at a time.
const AT_ONCE: usize = 3;
/// Layers of an image at most.
const LAYERS: usize = 512;

/// What a manifest is for: its bytes, and which digest it was asked for or answers by.
struct Found {
    manifest: Bytes,
    /// The digest that the image is known by: the index's, if there is one.
    digest: String,
}

/// Gets an image into the store, unless it is there.
pub(crate) async fn pull(
    client: &Client,
    store: &ImageStore,
    wanted: &Reference,
    (endpoint, mark): (&Endpoint, &str),
) -> Result<Pulled> {
    let mark = mark.to_owned();
    let (_, repository) = wanted.parts();
    let found = find(client, repository, wanted).await?;
    let known = format!("{}@{}", wanted.name, found.digest);
    let names = store.clone();
    let (tag, by_digest, by) = (wanted.full(), known.clone(), mark.clone());
    let there = blocking(move || Ok(names.know_as(&tag, &by_digest, &by)?)).await?;
    if let Some(id) = there {
        return Ok(Pulled { id, bytes: 0 });
    }
    let manifest: ImageManifest = read("manifest", endpoint, &found.manifest)?;
    if manifest.layers().len() > LAYERS {
        return Err(PullError::Image(format!("{}: the image has too many layers", endpoint.name)));
    }
    let sizes = manifest.layers().iter().map(Descriptor::size);
    let size = sizes.fold(manifest.config().size(), u64::saturating_add);
    let opened = store.clone();
    let pulling = blocking(move || Ok(opened.pulling(size)?)).await?;
    let bytes = content(client, repository, store, &pulling, &manifest).await?;
    // By its digest alone it gets no tag.
    let (store, tag) = (store.clone(), wanted.digest.is_none().then(|| wanted.full()));
    let id = blocking(move || {
        layout::describe(&pulling, &found.manifest, tag.as_deref())?;
        Ok(store.take_pulled(pulling, &known, &mark)?)
    })
    .await?;
    Ok(Pulled { id, bytes })
}

/// The manifest for this machine.
async fn find(client: &Client, repository: &str, wanted: &Reference) -> Result<Found> {
    let Manifest { media_type, bytes, digest } =
        client.manifest(repository, wanted.by(), IMAGES).await?;
    if !is_index(&media_type, &bytes) {
        return Ok(Found { manifest: bytes, digest });
    }
    let index: ImageIndex = serde_json::from_slice(&bytes)
        .map_err(|error| PullError::Image(format!("the index of {repository}: {error}")))?;
    let fitting = index.manifests().iter().filter(|one| for_this_machine(one));
    let fitting = fitting.max_by_key(|one| layout::variant(one));
    let Some(fitting) = fitting else {
        return Err(PullError::Image(format!(
            "no match for platform in manifest: there is no image of {repository} for this machine ({})",
            machine()
        )));
    };
    let own = fitting.digest().to_string();
    let own =
        valid_digest(&own).ok_or_else(|| PullError::Image(format!("unsupported digest {own}")))?;
    let found = client.manifest(repository, &own, IMAGES).await?;
    Ok(Found { manifest: found.bytes, digest })
}

fn is_index(type_: &str, bytes: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Any {
        #[serde(default)]
        manifests: Option<serde_json::Value>,
    }
    let names = ["index.v1+json", "manifest.list.v2+json"];
    names.iter().any(|name| type_.ends_with(name))
        || serde_json::from_slice::<Any>(bytes).is_ok_and(|any| any.manifests.is_some())
}

fn read<T: serde::de::DeserializeOwned>(what: &str, of: &Endpoint, bytes: &[u8]) -> Result<T> {
    let wrong = |error| PullError::Image(format!("{}: its {what}: {error}", of.name));
    serde_json::from_slice(bytes).map_err(wrong)
}

/// Gets what a manifest names and the store has not; the bytes of it.
async fn content(
    client: &Client,
    repository: &str,
    store: &ImageStore,
    pulling: &Pulling,
    manifest: &ImageManifest,
) -> Result<u64> {
    let all = manifest.layers().iter().chain([manifest.config()]);
    let wanted = |one: &Descriptor| {
        let digest = one.digest().to_string();
        let known = valid_digest(&digest);
        let known =
            known.ok_or_else(|| PullError::Image(format!("unsupported digest {digest}")))?;
        Ok((known, one.size()))
    };
    // The same layer may be there twice.
    let all: BTreeMap<String, u64> = all.map(wanted).collect::<Result<_>>()?;
    let got = all.into_iter().map(|(digest, size)| async move {
        let (there, into, known) = (store.clone(), pulling.blob(&digest), digest.clone());
        if blocking(move || Ok(there.lend_blob(&known, &into)?)).await? {
            return Ok(0);
        }
        layout::get(client, repository, &digest, size, &pulling.blob(&digest)).await
    });
    futures::stream::iter(got)
        .buffer_unordered(AT_ONCE)
        .try_fold(0, |all, one| async move { Ok(all + one) })
        .await
}

/// Runs file work on a thread that may wait.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(PullError::Image(error.to_string())),
    }
}
