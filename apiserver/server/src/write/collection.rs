//! DELETE of a collection: each object that is selected, by the path of single deletes.
//!
//! Knows: selection, and that an object which is gone already is no error. Refuses to know: what holds an object.

use bytes::Bytes;
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
        let mut items: Vec<Value> = Vec::new();
        for object in snapshot.range(selection.prefix(), "").filter(|object| selection.matches(object)) {
            let one = ResourceRequest {
                namespace: object.index.namespace.to_string(),
                name: object.index.name.to_string(),
                ..request.clone()
            };
            if let Some(done) = self.delete_object(&one, &options).await?.map(Done::value) {
                items.push(done);
            }
        }
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
