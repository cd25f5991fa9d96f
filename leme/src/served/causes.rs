//! What an object that does not work depends on: where its trouble may come from.
//!
//! Knows: who needs whom, by name or by label. Refuses to know: whether those work; what cannot be seen is not told of.

use leme_meta::{Object, gvk};
use serde_json::Value;

use super::{network, storage, workloads};
use crate::follow::Lister;

/// Where a trouble may come from.
#[derive(Debug, PartialEq)]
pub enum Cause<'a> {
    /// Another object, with how it is shown.
    Object(String, &'a Object),
    /// What can be said in words alone.
    Said(String),
}

type Rule = for<'a> fn(&Object, &'a Lister, &mut Vec<Cause<'a>>);

/// The kinds that depend on objects which they have not made.
const RULES: &[(&str, &str, Rule)] = &[
    ("", "Pod", pod),
    ("", "PersistentVolumeClaim", claim),
    ("", "Service", service),
    ("apps.openshift.io", "DeploymentConfig", config),
    ("networking.k8s.io", "Ingress", ingress),
    ("route.openshift.io", "Route", route),
];

/// Volumes that are told of at most.
const VOLUMES: usize = 5;
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Where the trouble of an object may come from.
pub fn causes<'a>(object: &Object, lister: &'a Lister) -> Vec<Cause<'a>> {
    let (group, _) = gvk::split_api_version(object.api_version());
    let rule = RULES.iter().find(|(known, kind, _)| *known == group && *kind == object.kind());
    let mut found = Vec::new();
    if let Some((.., rule)) = rule {
        rule(object, lister, &mut found);
    }
    found
}

/// An object by its name, or that there is none.
fn named<'a>(
    (group, plural, word): (&str, &str, &str),
    namespace: &str,
    name: &str,
    lister: &'a Lister,
    found: &mut Vec<Cause<'a>>,
) {
    let is = |object: &&Object| object.name() == name && object.namespace() == namespace;
    match lister.all(group, plural).find(is) {
        Some(object) => found.push(Cause::Object(format!("{word}/{name}"), object)),
        None if lister.knows(group, plural) => {
            found.push(Cause::Said(format!("{word}/{name} does not exist")));
        }
        None => {}
    }
}

/// A pod needs its claims and its node.
fn pod<'a>(object: &Object, lister: &'a Lister, found: &mut Vec<Cause<'a>>) {
    let volumes = object.at(&["spec", "volumes"]).and_then(Value::as_array);
    for volume in volumes.into_iter().flatten() {
        let made = || Some(format!("{}-{}", object.name(), volume["name"].as_str()?));
        let claim = match volume["persistentVolumeClaim"]["claimName"].as_str() {
            Some(claim) => Some(claim.to_owned()),
            None => made().filter(|_| volume["ephemeral"].is_object()),
        };
        if let Some(claim) = claim {
            const CLAIM: (&str, &str, &str) =
                ("", "persistentvolumeclaims", "persistentvolumeclaim");
            named(CLAIM, object.namespace(), &claim, lister, found);
        }
    }
    let node = object.text(&["spec", "nodeName"]);
    if !node.is_empty() {
        named(("", "nodes", "node"), "", node, lister, found);
    }
}

/// A claim needs a volume that fits, or somebody who makes one.
fn claim<'a>(object: &Object, lister: &'a Lister, found: &mut Vec<Cause<'a>>) {
    const CLASS: (&str, &str, &str) =
        ("storage.k8s.io", "storageclasses", "storageclass.storage.k8s.io");
    match storage::class(object) {
        "" if lister.knows(CLASS.0, CLASS.1) => {
            let is_default =
                |class: &Object| class.annotations().any(|pair| pair == (DEFAULT_CLASS, "true"));
            let word = match lister.all(CLASS.0, CLASS.1).any(is_default) {
                true => "it asks for no storage class",
                false => "it asks for no storage class, and none is the default",
            };
            found.push(Cause::Said(word.to_owned()));
        }
        "" => {}
        class => named(CLASS, "", class, lister, found),
    }
    if !lister.knows("", "persistentvolumes") {
        return;
    }
    let wanted = object.text(&["spec", "volumeName"]);
    let is = |volume: &&Object| wanted.is_empty() || volume.name() == wanted;
    let mut volumes: Vec<&Object> = lister.all("", "persistentvolumes").filter(is).collect();
    volumes.sort_by_key(|volume| volume.name());
    for volume in volumes.iter().take(VOLUMES) {
        if let Some(why) = storage::misfit(volume, object) {
            let name = volume.name();
            found.push(Cause::Said(format!("persistentvolume/{name} does not fit: {why}")));
        }
    }
    match volumes.len() {
        0 if wanted.is_empty() => {
            found.push(Cause::Said("there is no persistentvolume".to_owned()));
        }
        0 => found.push(Cause::Said(format!("persistentvolume/{wanted} does not exist"))),
        count if count > VOLUMES => {
            let more = count - VOLUMES;
            found.push(Cause::Said(format!("{more} more persistentvolumes were not looked at")));
        }
        _ => {}
    }
}

/// A DeploymentConfig needs the pods of its hooks and strategies.
fn config<'a>(object: &Object, lister: &'a Lister, found: &mut Vec<Cause<'a>>) {
    let pods = workloads::helpers(object, lister).into_iter();
    found.extend(pods.map(|pod| Cause::Object(format!("pod/{}", pod.name()), pod)));
}

/// A Service needs its pods. That it has none, it says itself.
fn service<'a>(object: &Object, lister: &'a Lister, found: &mut Vec<Cause<'a>>) {
    let pods = network::selected(object, lister).into_iter();
    found.extend(pods.map(|pod| Cause::Object(format!("pod/{}", pod.name()), pod)));
}

/// An Ingress needs its Services.
fn ingress<'a>(object: &Object, lister: &'a Lister, found: &mut Vec<Cause<'a>>) {
    for name in network::backends(object) {
        named(("", "services", "service"), object.namespace(), name, lister, found);
    }
}

/// A Route needs its Services.
fn route<'a>(object: &Object, lister: &'a Lister, found: &mut Vec<Cause<'a>>) {
    let others = object.at(&["spec", "alternateBackends"]).and_then(Value::as_array);
    let all = object.at(&["spec", "to"]).into_iter().chain(others.into_iter().flatten());
    for name in all.filter_map(|backend| backend["name"].as_str()) {
        named(("", "services", "service"), object.namespace(), name, lister, found);
    }
}
