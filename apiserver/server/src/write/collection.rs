//! DELETE of a collection: each object that is selected, by the path of single deletes.
//!
//! Knows: selection, and that an object which is gone already is no error. Refuses to know: what holds an object.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use http::HeaderMap;
use leme_meta::Status;
use serde_json::{Value, json};

use super::Done;
use super::delete::delete_options;
use crate::answer::Answer;
use crate::api::Api;
use crate::read::shown;
use crate::request::ResourceRequest;
use crate::selection::{Selection, Version};

/// Deletes under way at a time: the store syncs them together.
const AT_ONCE: usize = 32;

impl Api {
    /// DELETE of a collection. The answer is the list of what was deleted or marked; the first failure ends it.
    pub(crate) async fn delete_collection(
        &self,
        request: &ResourceRequest,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Status> {
        let selection = Selection::of(request)?;
        let version = Version::of(request)?.check_list(false)?;
        let options = delete_options(request, headers, body)?;
        let snapshot = self.snapshot(request, version, false).await?;
        let selected =
            snapshot.range(selection.prefix(), "").filter(|object| selection.matches(object));
        let requests: Vec<ResourceRequest> = selected
            .map(|object| ResourceRequest {
                namespace: object.index.namespace.to_string(),
                name: object.index.name.to_string(),
                ..request.clone()
            })
            .collect();
        let deletes: Vec<BoxFuture<'_, _>> =
            requests.iter().map(|one| self.delete_object(one, &options).boxed()).collect();
        let done: Vec<Option<Done>> =
            futures::stream::iter(deletes).buffered(AT_ONCE).try_collect().await?;
        let items: Vec<Value> = done.into_iter().flatten().map(Done::value).collect();
        let metadata = json!({ "resourceVersion": snapshot.revision().to_string() });
        let list = json!({
            "kind": request.kind.list_kind(),
            "apiVersion": request.kind.api_version(),
            "metadata": metadata,
            "items": items,
        });
        Ok(shown(request, &list))
    }
}
