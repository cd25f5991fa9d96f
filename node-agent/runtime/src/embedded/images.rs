//! The engine's images: found, pulled, shown to who may have them.
//!
//! Knows: the store and the registries. Refuses to know: containers.

use leme_distribution::Reference;
use leme_distribution::credentials::Credentials;
use leme_host::images::{ImageError, ImageRecord};
use leme_node_core::cri::Image;
use leme_pull::{PullError, Pulled};

use super::{EmbeddedRuntime, blocking};
use crate::{Result, RuntimeError};

impl EmbeddedRuntime {
    /// The image that a reference means here.
    pub(super) async fn find_image(&self, reference: &str) -> Result<Option<ImageRecord>> {
        if let Some(image) = self.builder.find(reference) {
            return Ok(Some(image.clone()));
        }
        let (store, reference) = (self.images.clone(), reference.to_owned());
        blocking("read image", move || store.resolve(&reference).map_err(image_error)).await
    }

    /// Whether who has these credentials may use an image that is here.
    pub(super) async fn was_shown(
        &self,
        reference: &str,
        credentials: &Credentials,
    ) -> Result<bool> {
        let Some(record) = self.find_image(reference).await? else { return Ok(false) };
        let Some(Reference { name, .. }) = Reference::parse(reference) else { return Ok(true) };
        if self.puller.is_own(reference) && record.came_from_registry(&name) {
            // Who cannot be asked has not said yes: the pull tells why.
            let may = self.puller.may_have(reference, credentials).await;
            return Ok(may.unwrap_or(false));
        }
        let marks = credentials.of(&name).map(|login| login.mark());
        Ok(!record.came_from_registry(&name) || record.was_shown(&name, marks))
    }

    /// Makes an image be here as its registry has it now.
    pub(super) async fn pull(&self, reference: &str, credentials: &Credentials) -> Result<Image> {
        if let Some(image) = self.builder.find(reference) {
            return Ok(to_image(image, reference));
        }
        let pulled = self.puller.pull(&self.images, reference, credentials).await;
        let Pulled { id, .. } = pulled.map_err(|error| match error {
            PullError::Reference(_) => RuntimeError::Invalid(error.to_string()),
            error => RuntimeError::Failed { operation: "pull", message: error.to_string() },
        })?;
        let record = self.find_image(&id).await?.ok_or(RuntimeError::NotFound(id))?;
        Ok(to_image(&record, reference))
    }
}

/// An image, as who asked for it by a reference sees it.
pub(super) fn to_image(record: &ImageRecord, reference: &str) -> Image {
    let name = Reference::parse(reference).map(|reference| reference.name);
    let user = record.config.config().as_ref().and_then(|c| c.user().clone()).unwrap_or_default();
    let user = user.split(':').next().unwrap_or_default().to_owned();
    let uid = if user.is_empty() { Some(0) } else { user.parse().ok() };
    Image {
        id: record.id.clone(),
        tags: record.tags.clone(),
        digests: record.digests.clone(),
        size: record.size,
        pulled: name.is_some_and(|name| record.came_from_registry(&name)),
        uid,
        username: if uid.is_some() { String::new() } else { user },
    }
}

/// What an error of the store is to callers.
pub(super) fn image_error(error: ImageError) -> RuntimeError {
    match error {
        ImageError::Invalid(message) => RuntimeError::Invalid(message),
        ImageError::Io(error) => {
            RuntimeError::Failed { operation: "image store", message: error.to_string() }
        }
    }
}
