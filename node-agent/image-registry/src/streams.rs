//! Tags are those of ImageStreams.
//!
//! Knows: where a stream says which image a tag means, and how it is told of one that was pushed. Refuses to know: content.

use http::StatusCode;
use leme_client::{Client, Error};
use leme_host::images::Repository;
use serde_json::{Value, json};

use crate::Registry;
use crate::answer::{Code, Refusal};
use crate::auth::Who;

const GROUP: &str = "/apis/image.openshift.io/v1";

/// What a stream says of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its digest.
    pub image: String,
    /// Where it is.
    pub reference: String,
}

/// The tags of a stream that mean an image, in order.
pub(crate) fn tags(stream: &Value) -> Vec<String> {
    let all = stream["status"]["tags"].as_array().into_iter().flatten();
    let named = all.filter(|tag| tag["items"].as_array().is_some_and(|items| !items.is_empty()));
    let mut tags: Vec<String> =
        named.filter_map(|tag| tag["tag"].as_str()).map(str::to_owned).collect();
    tags.sort_unstable();
    tags
}

/// What a tag of a stream means now.
pub(crate) fn of_tag(stream: &Value, tag: &str) -> Option<Event> {
    let mut all = stream["status"]["tags"].as_array()?.iter();
    event(all.find(|one| one["tag"] == tag)?["items"].as_array()?.first()?)
}

/// What a stream says of an image that one of its tags means or has meant.
pub(crate) fn of_image(stream: &Value, digest: &str) -> Option<Event> {
    let tags = stream["status"]["tags"].as_array()?.iter();
    let mut items = tags.filter_map(|tag| tag["items"].as_array()).flatten();
    event(items.find(|item| item["image"] == digest)?)
}

fn event(item: &Value) -> Option<Event> {
    let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
    let event = Event { image: text("image"), reference: text("dockerImageReference") };
    // A tag that is a mere reference means what the other registry says.
    (!event.image.is_empty() || !event.reference.is_empty()).then_some(event)
}

fn streams(of: &Repository) -> String {
    format!("{GROUP}/namespaces/{}/imagestreams", of.namespace)
}

impl Registry {
    /// The stream of a repository.
    pub(crate) async fn stream(&self, of: &Repository) -> Result<Option<Value>, Refusal> {
        let found = self.client.find(&format!("{}/{}", streams(of), of.name)).await;
        found.map_err(|error| Refusal::own("read the image stream", error.message()))
    }

    /// The same, if there must be one.
    pub(crate) async fn known_stream(&self, of: &Repository) -> Result<Value, Refusal> {
        let unknown = || Refusal::new(Code::NameUnknown, format!("there is no image stream {of}"));
        self.stream(of).await?.ok_or_else(unknown)
    }

    /// Has a tag of a stream mean an image that was pushed, as the registry may; a stream that is missing is made by who pushes.
    pub(crate) async fn map(
        &self,
        of: &Repository,
        who: &Who,
        tag: &str,
        image: Value,
    ) -> Result<(), Refusal> {
        let mapping = json!({
            "apiVersion": "image.openshift.io/v1", "kind": "ImageStreamMapping",
            "metadata": { "namespace": of.namespace, "name": of.name },
            "image": image, "tag": tag,
        });
        let path = format!("{GROUP}/namespaces/{}/imagestreammappings", of.namespace);
        match self.client.post(&path, &mapping).await {
            Err(error) if error.is_not_found() => {
                let pusher = who.token.as_deref().and_then(|token| (self.pushers)(token));
                let pusher = pusher.ok_or_else(|| {
                    let why = "an image stream is made by somebody: authentication required";
                    Refusal::new(Code::Unauthorized, why)
                })?;
                self.make_stream(&pusher, of).await?;
                self.client.post(&path, &mapping).await.map(drop).map_err(refused)
            }
            other => other.map(drop).map_err(refused),
        }
    }

    async fn make_stream(&self, client: &Client, of: &Repository) -> Result<(), Refusal> {
        let stream = json!({
            "apiVersion": "image.openshift.io/v1", "kind": "ImageStream",
            "metadata": { "namespace": of.namespace, "name": of.name },
        });
        match client.post(&streams(of), &stream).await {
            // Somebody else was quicker.
            Err(error) if error.is_conflict() => Ok(()),
            other => other.map(drop).map_err(refused),
        }
    }

    /// Has the API know of an image that was pushed without a tag.
    pub(crate) async fn tell_of(&self, image: &Value) -> Result<(), Refusal> {
        match self.client.post(&format!("{GROUP}/images"), image).await {
            Err(error) if error.is_conflict() => Ok(()),
            other => other.map(drop).map_err(refused),
        }
    }

    /// Pull secrets of a repository's namespace, as `.dockerconfigjson` or `.dockercfg` say them.
    pub(crate) async fn secrets(&self, of: &Repository) -> Result<Value, Refusal> {
        let path = format!("{}/{}/secrets", streams(of), of.name);
        let found = self.client.get(&path).await;
        found.map_err(|error| Refusal::own("read pull secrets", error.message()))
    }
}

/// What the API server says to a push.
fn refused(error: Error) -> Refusal {
    let message = error.message().to_owned();
    match error {
        Error::Status { code: 401, .. } => Refusal::new(Code::Unauthorized, message),
        Error::Status { code: 403, .. } => Refusal::new(Code::Denied, message),
        Error::Status { code: 404, .. } => Refusal::new(Code::NameUnknown, message),
        Error::Status { code: 422 | 400, .. } => Refusal::new(Code::ManifestInvalid, message),
        Error::Status { code: 429, .. } => Refusal::new(Code::TooManyRequests, message),
        _ => Refusal::own("write the tag", message).with_status(StatusCode::SERVICE_UNAVAILABLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_says_what_its_tags_mean() {
        let stream = json!({ "status": { "tags": [
            { "tag": "v2", "items": [{ "image": "sha256:b", "dockerImageReference": "r/b" }, { "image": "sha256:a", "dockerImageReference": "r/a" }] },
            { "tag": "none", "items": [] }, { "tag": "bad" },
            { "tag": "mere", "items": [{ "dockerImageReference": "docker.io/library/x:1", "image": "" }] },
        ] } });
        assert_eq!(tags(&stream), ["mere", "v2"]);
        assert_eq!(of_tag(&stream, "v2").unwrap().image, "sha256:b");
        assert_eq!(of_image(&stream, "sha256:a").unwrap().reference, "r/a");
        assert_eq!(of_tag(&stream, "mere").unwrap().reference, "docker.io/library/x:1");
        assert_eq!((of_tag(&stream, "none"), of_image(&stream, "sha256:c")), (None, None));
        assert_eq!(of_tag(&json!({}), "v1"), None);
    }
}
