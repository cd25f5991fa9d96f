//! Imports of what ImageStreams name at remote registries: a tag that is new or another is looked at once, and a whole
//! repository when a stream first names it.
//!
//! Knows: which tags were not looked at since they are what they are. Refuses to know: registries; the API looks there, and
//! writes down what it finds.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::common::annotation;
use crate::image_stream::{ImageStream, Tag};
use crate::report::Report;

/// When a stream was looked at last.
const CHECKED: &str = "openshift.io/image.dockerRepositoryCheck";

fn is_importable(tag: &Tag) -> bool {
    let from = tag.from.as_ref().filter(|from| from.kind.as_deref() == Some("DockerImage"));
    from.is_some() && !tag.reference
}

/// Whether a tag was looked at since it is what it is.
fn is_new(stream: &ImageStream, tag: &Tag) -> bool {
    tag.generation.is_none_or(|wanted| wanted > stream.seen(&tag.name))
}

/// How often tags are looked at again that wish it.
pub const EVERY: Duration = Duration::from_secs(15 * 60);

fn wishes_again(tag: &Tag) -> bool {
    is_importable(tag) && tag.import_policy["scheduled"] == true
}

/// Whether a stream has tags that are looked at again and again.
pub fn is_scheduled(stream: &ImageStream) -> bool {
    stream.tags().iter().any(wishes_again)
}

/// What to do for one stream; `again` when those are to be looked at again that wish it.
pub fn plan(stream: Option<&Arc<ImageStream>>, again: bool) -> Plan {
    let mut plan = Plan::default();
    let Some(stream) = stream else { return plan };
    plan.report = Report::about(ObjectRef::to(stream.as_ref()));
    if stream.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let unseen = annotation(&stream.metadata, CHECKED).is_none_or(str::is_empty);
    let repository = stream.wanted_repository();
    let whole = unseen && !repository.is_empty();
    let wanted = stream.tags().iter().filter(|tag| is_importable(tag));
    let wanted: Vec<Value> = wanted
        .filter(|tag| unseen || is_new(stream, tag) || (again && wishes_again(tag)))
        .map(asked)
        .collect();
    if !whole && wanted.is_empty() {
        return plan;
    }
    let mut spec = json!({ "import": true });
    if whole {
        spec["repository"] = json!({ "from": { "kind": "DockerImage", "name": repository } });
    }
    if !wanted.is_empty() {
        spec["images"] = wanted.into();
    }
    let meta = &stream.metadata;
    let import = json!({
        "apiVersion": "image.openshift.io/v1", "kind": "ImageStreamImport",
        "metadata": { "name": meta.name, "namespace": meta.namespace }, "spec": spec,
    });
    plan.act(Action::Create { object: leme_meta::Object(import), told: None });
    plan
}

/// What is asked for a tag.
fn asked(tag: &Tag) -> Value {
    let mut image = json!({ "from": tag.from, "to": { "name": tag.name } });
    for (field, policy) in
        [("importPolicy", &tag.import_policy), ("referencePolicy", &tag.reference_policy)]
    {
        if !policy.is_null() {
            image[field] = policy.clone();
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use serde_json::from_value;

    use super::*;

    fn asked_of(stream: Value) -> Option<Value> {
        let stream = Arc::new(from_value(stream).unwrap());
        let mut actions = plan(Some(&stream), false).actions.into_iter();
        match actions.next() {
            Some(Action::Create { object, .. }) => Some(object.0["spec"].clone()),
            _ => None,
        }
    }

    fn stream(tag: Value, status: Value, checked: bool) -> Value {
        let mut stream = json!({
            "metadata": { "name": "s", "namespace": "n" },
            "spec": { "tags": [tag] }, "status": { "tags": [status] },
        });
        if checked {
            stream["metadata"]["annotations"] = json!({ CHECKED: "2026-01-01T00:00:00Z" });
        }
        stream
    }

    fn tag(generation: i64) -> Value {
        json!({ "name": "1", "generation": generation, "from": { "kind": "DockerImage", "name": "r.test/x:1" },
            "importPolicy": { "insecure": true } })
    }

    /// Red when a tag is looked at again and again, or not after it became another, or not after an import failed of what it was
    /// before.
    #[test]
    fn a_tag_is_looked_at_when_it_is_another() {
        let seen = |generation: i64| json!({ "tag": "1", "items": [{ "dockerImageReference": "r", "image": "i", "generation": generation }] });
        let failed = json!({ "tag": "1", "items": null, "conditions": [{ "type": "ImportSuccess", "status": "False", "generation": 3 }] });
        assert_eq!(asked_of(stream(tag(2), seen(2), true)), None);
        assert_eq!(asked_of(stream(tag(3), failed.clone(), true)), None);
        assert!(asked_of(stream(tag(4), failed, true)).is_some());
        let asked = asked_of(stream(tag(3), seen(2), true)).unwrap();
        assert_eq!(asked["images"][0]["to"]["name"], "1");
        assert_eq!(asked["images"][0]["importPolicy"]["insecure"], true);
        assert!(asked_of(stream(tag(2), seen(2), false)).is_some(), "the mark was taken away");
    }

    #[test]
    fn what_is_no_image_elsewhere_is_not_asked_for() {
        let none = json!({ "tag": "0", "items": null });
        let mut reference = tag(2);
        reference["reference"] = true.into();
        assert_eq!(asked_of(stream(reference, none.clone(), false)), None);
        let other = json!({ "name": "1", "generation": 2, "from": { "kind": "ImageStreamTag", "name": "x:1" } });
        assert_eq!(asked_of(stream(other, none, false)), None);
    }

    #[test]
    fn who_wishes_it_is_looked_at_again() {
        let seen = json!({ "tag": "1", "items": [{ "dockerImageReference": "r", "image": "i", "generation": 2 }] });
        let mut wishing = tag(2);
        let planned = |tag: &Value, again: bool| {
            let stream: ImageStream = from_value(stream(tag.clone(), seen.clone(), true)).unwrap();
            (is_scheduled(&stream), plan(Some(&Arc::new(stream)), again).actions.len())
        };
        assert_eq!(planned(&wishing, true), (false, 0));
        wishing["importPolicy"]["scheduled"] = true.into();
        assert_eq!(planned(&wishing, false), (true, 0));
        assert_eq!(planned(&wishing, true), (true, 1));
    }

    #[test]
    fn a_repository_is_looked_at_once() {
        let mut whole = json!({ "metadata": { "name": "s", "namespace": "n" },
            "spec": { "dockerImageRepository": "r.test/x" } });
        assert_eq!(asked_of(whole.clone()).unwrap()["repository"]["from"]["name"], "r.test/x");
        whole["metadata"]["annotations"] = json!({ CHECKED: "2026-01-01T00:00:00Z" });
        assert_eq!(asked_of(whole), None);
    }
}
