//! DELETE of a collection: each object that is selected, by the path of single deletes.
//!
//! Knows: that a page may be asked for as of a list, and that an object which is gone already is no error. Refuses to
//! know: what holds an object.

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use leme_meta::Status;

use super::Input;
use super::delete::delete_options;
use crate::answer::Answer;
use crate::api::Api;
use crate::request::ResourceRequest;

/// Deletes under way at a time: the store syncs them together.
const AT_ONCE: usize = 32;

impl Api {
    /// DELETE of a collection, or of as much of it as a list of the same parameters shows. The answer is that list: the
    /// objects as they were. The first failure ends it.
    pub(crate) async fn delete_collection(
        &self,
        request: &ResourceRequest,
        input: Input,
    ) -> Result<Answer, Status> {
        let options = delete_options(request, &input.headers, input.body)?;
        let page = match self.page(request).await? {
            Ok(page) => page,
            Err(expired) => return Ok(expired),
        };
        let requests: Vec<ResourceRequest> = page
            .objects()
            .map(|object| ResourceRequest {
                namespace: object.index.namespace.to_string(),
                name: object.index.name.to_string(),
                ..request.clone()
            })
            .collect();
        let deletes: Vec<BoxFuture<'_, _>> =
            requests.iter().map(|one| self.delete_object(one, &options).boxed()).collect();
        let done = futures::stream::iter(deletes).buffered(AT_ONCE);
        done.try_for_each(|_| futures::future::ready(Ok(()))).await?;
        page.shown(request, input.wanted)
    }
}
