//! AlwaysPullImages: no pod uses an image that lies on its node without asking for it again, so that who may not pull it may
//! not use it.
//!
//! Knows: where pods say when images are pulled. Refuses to know: who may pull which. Off unless asked for.

use leme_meta::field::{FieldError, Path};
use leme_registry::{Asked, Operation, json};
use serde_json::Value;

use crate::PlugIn;

const POLICY: &str = "imagePullPolicy";
const ALWAYS: &str = "Always";

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "AlwaysPullImages",
    by_default: false,
    about: |asked: &Asked| asked.operation != Operation::Delete && asked.is_of("", "pods"),
    mutate: |_, pod, old, _| {
        if old.is_some_and(|old| brings_none(pod, old)) {
            return Ok(());
        }
        for list in LISTS {
            for container in json::list_mut(pod, &["spec", list]) {
                json::set(container, POLICY, ALWAYS);
            }
        }
        for volume in json::list_mut(pod, &["spec", "volumes"]) {
            if let Some(image) = json::at_mut(volume, &["image"]) {
                json::set(image, "pullPolicy", ALWAYS);
            }
        }
        Ok(())
    },
    validate: |asked, pod, old, _| {
        let Some(pod) = pod else { return Ok(()) };
        if old.is_some_and(|old| brings_none(pod, old)) {
            return Ok(());
        }
        let spec = Path::new("spec");
        let containers = LISTS.iter().flat_map(|list| {
            let at = spec.child(list);
            json::list(pod, &["spec", list]).iter().enumerate().map(move |(index, container)| {
                (at.index(index).child(POLICY), json::text(container, &[POLICY]))
            })
        });
        let volumes = json::list(pod, &["spec", "volumes"]).iter().enumerate();
        let volumes = volumes.filter_map(|(index, volume)| {
            let at = spec.child("volumes").index(index).child("image").child("pullPolicy");
            json::at(volume, &["image"]).map(|image| (at, json::text(image, &["pullPolicy"])))
        });
        match containers.chain(volumes).find(|(_, policy)| *policy != ALWAYS) {
            None => Ok(()),
            Some((at, policy)) => {
                Err(asked.forbidden(&FieldError::not_supported(&at, policy, &[ALWAYS]).to_string()))
            }
        }
    },
    ..PlugIn::NONE
};

/// Whether a pod comes to no images that it had not before.
fn brings_none(new: &Value, old: &Value) -> bool {
    fn images(pod: &Value) -> Vec<&str> {
        let lists = LISTS.iter().flat_map(|list| json::list(pod, &["spec", list]));
        let volumes = json::list(pod, &["spec", "volumes"]).iter();
        let of_volumes = volumes.map(|volume| json::text(volume, &["image", "reference"]));
        lists.map(|one| json::text(one, &["image"])).chain(of_volumes).collect()
    }
    let before = images(old);
    images(new).iter().all(|image| before.contains(image))
}
