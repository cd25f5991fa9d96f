//! What becomes of a stream when an import has come to something, or to nothing.
//!
//! Knows: the tags of spec and status that each image touches, and what conditions say. Refuses to know: registries.

use leme_registry::json;
use serde_json::{Value, json};

use super::content;
use super::write::set_tag;
use crate::image_stream::history;

const CHECKED: &str = "openshift.io/image.dockerRepositoryCheck";

/// The stream with what an import came to. One that changes nothing of it leaves it as it is.
pub fn recorded(stream: &Value, import: &Value, now: &str) -> Value {
    let mut new = stream.clone();
    let generation = json::int(stream, &["metadata", "generation"]).unwrap_or(0) + 1;
    if let Some(wish) = json::at(import, &["spec", "repository"]) {
        for answer in json::list(import, &["status", "repository", "images"]) {
            let tag = json::text(answer, &["tag"]);
            let from = content::tagged(json::text(wish, &["from", "name"]), tag);
            let at = At { tag, from: &from, wish, generation, now };
            match succeeded(answer) {
                Some(image) => at.success(&mut new, image),
                None => at.failure(&mut new, answer),
            }
        }
    }
    let wishes = json::list(import, &["spec", "images"]);
    for (wish, answer) in wishes.iter().zip(json::list(import, &["status", "images"])) {
        let Some(tag) = json::at(wish, &["to"]).map(|to| json::text(to, &["name"])) else {
            continue;
        };
        let at = At { tag, from: json::text(wish, &["from", "name"]), wish, generation, now };
        match succeeded(answer) {
            Some(image) => at.success(&mut new, image),
            None => {
                at.failure(&mut new, answer);
                if history::spec_tag(&new, tag).is_none() {
                    at.set_spec(&mut new);
                }
            }
        }
    }
    let known = json::at(stream, &["metadata", "annotations", CHECKED]).is_some();
    if !known || new != *stream {
        json::set(json::child(json::child(&mut new, "metadata"), "annotations"), CHECKED, now);
    }
    new
}

/// The image of an answer that says success.
fn succeeded(answer: &Value) -> Option<&Value> {
    let success = json::text(answer, &["status", "status"]) == "Success";
    answer.get("image").filter(|image| success && image.is_object())
}

/// Where one of the images goes.
struct At<'a> {
    tag: &'a str,
    from: &'a str,
    /// What was asked for, with its policies.
    wish: &'a Value,
    generation: i64,
    now: &'a str,
}

impl At<'_> {
    fn success(&self, stream: &mut Value, image: &Value) {
        let name = json::text(image, &["metadata", "name"]);
        let reference = content::pinned(json::text(image, &["dockerImageReference"]), name);
        let event = json!({
            "created": self.now, "dockerImageReference": reference, "image": name, "generation": self.generation,
        });
        let last = history::latest(stream, self.tag);
        let same = last.is_some_and(|last| {
            ["dockerImageReference", "image"]
                .iter()
                .all(|field| last.get(*field) == event.get(*field))
        });
        let seen = last.and_then(|last| json::int(last, &["generation"]));
        let wanted =
            history::spec_tag(stream, self.tag).and_then(|spec| json::int(spec, &["generation"]));
        let up_to_date = wanted.is_some_and(|wanted| seen.is_some_and(|seen| wanted <= seen));
        if !same || !up_to_date {
            self.set_spec(stream);
            if history::add(stream, self.tag, &event) {
                history::follow(stream, self.tag, &event);
            }
        }
        self.set_policy(stream);
        json::remove(history::of_mut(stream, self.tag), "conditions");
    }

    fn failure(&self, stream: &mut Value, answer: &Value) {
        let message = match json::text(answer, &["status", "message"]) {
            "" => "unknown error prevented import",
            message => message,
        };
        let condition = json!({
            "type": "ImportSuccess", "status": "False", "generation": self.generation,
            "reason": json::text(answer, &["status", "reason"]), "message": message,
            "lastTransitionTime": self.now,
        });
        let says_so = |one: &Value| {
            ["type", "status", "reason", "message"]
                .iter()
                .all(|field| one.get(*field) == condition.get(*field))
        };
        let known = history::of(stream, self.tag)
            .is_some_and(|of| json::list(of, &["conditions"]).iter().any(says_so));
        if known {
            return;
        }
        json::set(history::of_mut(stream, self.tag), "conditions", vec![condition]);
        for spec in json::list_mut(json::child(stream, "spec"), &["tags"]) {
            if json::text(spec, &["name"]) == self.tag {
                json::set(spec, "generation", 0);
            }
        }
    }

    /// The tag of the spec is what was imported. How images of it are named is not changed by that.
    fn set_spec(&self, stream: &mut Value) {
        let known = history::spec_tag(stream, self.tag).cloned();
        let mut spec = known.unwrap_or_else(|| json!({}));
        json::set(&mut spec, "from", json!({ "kind": "DockerImage", "name": self.from }));
        json::set(&mut spec, "generation", 0);
        json::keep(&mut spec, self.wish, "importPolicy");
        if json::text(&spec, &["referencePolicy", "type"]).is_empty() {
            json::keep(&mut spec, self.wish, "referencePolicy");
        }
        set_tag(stream, self.tag, Some(spec));
    }

    fn set_policy(&self, stream: &mut Value) {
        for spec in json::list_mut(json::child(stream, "spec"), &["tags"]) {
            if json::text(spec, &["name"]) == self.tag {
                json::keep(spec, self.wish, "importPolicy");
            }
        }
    }
}
