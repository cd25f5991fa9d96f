//! The image of builders: every node runs it as the root of its pod's own users, whatever else the pod says, so only who makes
//! the pods of builds may use it.
//!
//! Knows: the image's name, and the right to it. Refuses to know: who has that.

use leme_access::{Attributes, Verdict, authorize};
use leme_registry::{Asked, Operation, json};
use serde_json::Value;

use crate::PlugIn;
use crate::escalation::identity;

const NAME: &str = "leme.io/builder";
const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "leme.io/BuilderImage",
    about: |asked: &Asked| {
        let pods = *asked.kind.plural == *"pods" && asked.kind.group.is_empty();
        pods && asked.operation != Operation::Delete
            && ["", "ephemeralcontainers"].contains(&asked.subresource)
    },
    validate: |asked, new, old, facts| {
        let (Some(new), Some(who)) = (new, identity(asked)) else { return Ok(()) };
        if !uses(new) || old.is_some_and(uses) && asked.subresource.is_empty() && same(new, old) {
            return Ok(());
        }
        let what = Attributes {
            verb: "use".to_owned(),
            group: "build.openshift.io".to_owned(),
            resource: "builders".to_owned(),
            namespace: asked.namespace.to_owned(),
            ..Attributes::default()
        };
        match authorize(&who, &what, &facts.policy()) {
            Verdict::Allow(_) => Ok(()),
            Verdict::Deny(_) => {
                let why = format!("image {NAME} is for the pods of builds: make a Build");
                Err(asked.forbidden(&why))
            }
        }
    },
    ..PlugIn::NONE
};

fn images(pod: &Value) -> Vec<&str> {
    let lists = LISTS.iter().flat_map(|list| json::list(pod, &["spec", list]));
    let volumes = json::list(pod, &["spec", "volumes"]).iter();
    let volumes = volumes.map(|volume| json::text(volume, &["image", "reference"]));
    lists.map(|one| json::text(one, &["image"])).chain(volumes).collect()
}

/// Whether a pod has the image, by any tag or digest.
fn uses(pod: &Value) -> bool {
    images(pod).iter().any(|image| {
        let rest = image.trim().strip_prefix(NAME);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']))
    })
}

/// Whether no image is another.
fn same(new: &Value, old: Option<&Value>) -> bool {
    old.is_some_and(|old| images(old) == images(new))
}
