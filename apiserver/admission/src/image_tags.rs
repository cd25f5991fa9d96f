//! Tags that name images of another namespace: only whoever may pull there may have them here, for what a tag names is its
//! stream's from then on.
//!
//! Knows: where tags say what they name, and the right that it takes. Refuses to know: who has the right.

use leme_access::{Attributes, Verdict, authorize};
use leme_meta::{FieldError, Path, Status};
use leme_registry::{Asked, Operation, json};
use serde_json::Value;

use crate::PlugIn;
use crate::escalation::identity;

const GROUP: &str = "image.openshift.io";

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "image.openshift.io/TagVerifier",
    about: |asked: &Asked| {
        let kinds = ["imagestreams", "imagestreamtags", "imagetags"];
        asked.operation != Operation::Delete
            && *asked.kind.group == *GROUP
            && kinds.contains(&&*asked.kind.plural)
    },
    validate: |asked, new, old, facts| {
        let (Some(new), Some(who)) = (new, identity(asked)) else { return Ok(()) };
        let before = old.map(named).unwrap_or_default();
        let mut errors = Vec::new();
        for (at, from) in named(new) {
            let namespace = json::text(from, &["namespace"]);
            let is_elsewhere = !["", asked.namespace].contains(&namespace);
            let known = before.iter().any(|(place, known)| *place == at && *known == from);
            if !is_elsewhere || known || !json::text(from, &["kind"]).starts_with("ImageStream") {
                continue;
            }
            let name = json::text(from, &["name"]);
            let name = name.split([':', '@']).next().unwrap_or(name);
            let what = Attributes {
                verb: "get".to_owned(),
                group: GROUP.to_owned(),
                resource: "imagestreams".to_owned(),
                subresource: "layers".to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                ..Attributes::default()
            };
            if let Verdict::Deny(_) = authorize(&who, &what, &facts.policy()) {
                errors.push(FieldError::forbidden(&at, &format!("{namespace}/{name}")));
            }
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(Status::invalid(&asked.kind.gvk(), asked.name, &errors)),
        }
    },
    ..PlugIn::NONE
};

/// What each tag of an object names, and where that stands: a stream has several, a tag is one.
fn named(object: &Value) -> Vec<(Path, &Value)> {
    let mut all = Vec::new();
    for tag in json::list(object, &["spec", "tags"]) {
        let at = Path::new("spec").child("tags").key(json::text(tag, &["name"])).child("from");
        all.extend(json::at(tag, &["from"]).map(|from| (at, from)));
    }
    for part in ["tag", "spec"] {
        let at = Path::new(part).child("from");
        all.extend(json::at(object, &[part, "from"]).map(|from| (at, from)));
    }
    all
}
