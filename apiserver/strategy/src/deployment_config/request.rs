//! What is asked of a DeploymentConfig by name: the next rollout, and what an earlier one was.
//!
//! Knows: when there is a next rollout and what its cause is, and what a rollback takes over. Refuses to know: how either
//! proceeds, and where streams and earlier rollouts are kept.

use leme_meta::quote;
use leme_meta::{FieldError, Gvk, Gvr, Path, Status, schema};
use leme_registry::{json, names};
use serde_json::{Value, json};

use super::default;
use crate::image_stream::history;

const ENCODED: &str = "openshift.io/encoded-deployment-config";

/// Finds another object by namespace and name.
pub type Find<'a> = &'a dyn Fn(&str, &str) -> Option<Value>;

fn kind(kind: &str) -> Gvk {
    Gvk { group: "apps.openshift.io".to_owned(), version: "v1".to_owned(), kind: kind.to_owned() }
}

/// The name of a rollout.
pub fn rollout_name(config: &Value, version: i64) -> String {
    format!("{}-{version}", json::text(config, &["metadata", "name"]))
}

/// The number of the newest rollout; 0 if there is none yet.
pub fn latest_version(config: &Value) -> i64 {
    json::int(config, &["status", "latestVersion"]).unwrap_or(0)
}

/// The configuration that a rollout was made of.
pub fn decoded(rollout: &Value) -> Result<Value, String> {
    let text = json::text(rollout, &["metadata", "annotations", ENCODED]);
    let mut config: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !config.is_object() {
        return Err("it is no object".to_owned());
    }
    default(&mut config);
    if let Some(kind) = leme_kinds::by_kind("apps.openshift.io", "v1", "DeploymentConfig") {
        schema::apply_defaults(leme_kinds::schemas(), &kind.schema, &mut config);
    }
    Ok(config)
}

/// The configuration with the next rollout asked for; nothing if there is no reason for one.
pub fn instantiate(
    config: &Value,
    request: &Value,
    streams: Find<'_>,
    rollouts: Find<'_>,
) -> Result<Option<Value>, Status> {
    let name = json::text(request, &["name"]);
    let mut errors = Vec::new();
    let at = Path::new("name");
    if name.is_empty() {
        let why = "name of the deployment config is missing";
        errors.push(FieldError::invalid(&at, name, why));
    } else if !names::dns1123_subdomain(name).is_empty() {
        let why = "name of the deployment config is invalid";
        errors.push(FieldError::invalid(&at, name, why));
    }
    if json::flag(config, &["spec", "paused"]) {
        let own = json::text(config, &["metadata", "name"]);
        let why = format!(
            "deployment config {own} is paused - unpause to request a new deployment",
            own = quote(&own)
        );
        let at = Path::new("spec").child("paused");
        errors.push(FieldError::invalid(&at, &Value::Bool(true), &why));
    }
    if !errors.is_empty() {
        return Err(Status::invalid(&kind("DeploymentRequest"), name, &errors));
    }
    let mut config = config.clone();
    let force = json::flag(request, &["force"]);
    if json::flag(request, &["latest"]) {
        let excluded = json::list(request, &["excludeTriggers"]);
        if !excluded.iter().any(|one| one == "ImageChange") {
            resolve(&mut config, force, streams);
        }
    }
    let Some((causes, message)) = causes(&config, force, rollouts)? else { return Ok(None) };
    let version = latest_version(&config).saturating_add(1);
    let status = json::child(&mut config, "status");
    json::set(status, "details", json!({ "message": message, "causes": causes }));
    json::set(status, "latestVersion", version);
    Ok(Some(config))
}

/// The image change triggers of a configuration.
fn image_triggers(config: &Value) -> impl Iterator<Item = &Value> {
    let image = |trigger: &&Value| json::text(trigger, &["type"]) == "ImageChange";
    json::list(config, &["spec", "triggers"])
        .iter()
        .filter(image)
        .filter_map(|trigger| json::at(trigger, &["imageChangeParams"]))
}

/// Gives the containers of image change triggers the images that the tags name now.
fn resolve(config: &mut Value, force: bool, streams: Find<'_>) {
    let paused = json::flag(config, &["spec", "paused"]);
    let own = json::text(config, &["metadata", "namespace"]).to_owned();
    let mut images: Vec<(Vec<Value>, String)> = Vec::new();
    let spec = json::child(config, "spec");
    for trigger in json::list_mut(spec, &["triggers"]) {
        if json::text(trigger, &["type"]) != "ImageChange" {
            continue;
        }
        let Some(params) = json::at_mut(trigger, &["imageChangeParams"]) else { continue };
        if !force && (paused || !json::flag(params, &["automatic"])) {
            continue;
        }
        let namespace = match json::text(params, &["from", "namespace"]) {
            "" => own.as_str(),
            other => other,
        };
        let from = json::text(params, &["from", "name"]);
        let (stream, tag) = from.split_once(':').unwrap_or((from, ""));
        let tag = if tag.is_empty() { history::DEFAULT_TAG } else { tag };
        let Some(stream) = streams(namespace, stream) else { continue };
        let Some(event) = history::latest(&stream, tag) else { continue };
        let image = history::pull_spec(&stream, tag, event);
        if image.is_empty() || image == json::text(params, &["lastTriggeredImage"]) {
            continue;
        }
        images.push((json::list(params, &["containerNames"]).to_vec(), image.clone()));
        json::set(params, "lastTriggeredImage", image);
    }
    for (names, image) in images {
        for list in ["containers", "initContainers"] {
            for container in json::list_mut(spec, &["template", "spec", list]) {
                if container.get("name").is_some_and(|name| names.contains(name)) {
                    json::set(container, "image", image.clone());
                }
            }
        }
    }
}

/// Why there is a next rollout, if there is a reason.
fn causes(
    config: &Value,
    force: bool,
    rollouts: Find<'_>,
) -> Result<Option<(Value, &'static str)>, Status> {
    let name = json::text(config, &["metadata", "name"]);
    let version = latest_version(config);
    let previous = match version {
        0 => config.clone(),
        version => {
            let latest = rollout_name(config, version);
            let namespace = json::text(config, &["metadata", "namespace"]);
            let rollout = rollouts(namespace, &latest).ok_or_else(|| {
                let resource = "replicationcontrollers".to_owned();
                let controllers = Gvr { group: String::new(), version: "v1".to_owned(), resource };
                Status::not_found(&controllers, &latest)
            })?;
            decoded(&rollout).map_err(Status::internal)?
        }
    };
    let (mut by_image, mut causes) = (false, Vec::new());
    for params in image_triggers(config) {
        if json::text(params, &["lastTriggeredImage"]).is_empty() {
            return Err(Status::bad_request(format!(
                "cannot trigger a deployment for {name} because it contains unresolved images",
                name = quote(&name)
            )));
        }
        if !json::flag(params, &["automatic"]) {
            continue;
        }
        by_image |=
            version == 0 || new_trigger(config, &previous) || other_image(params, &previous);
        if by_image {
            let text = |field: &str| json::text(params, &["from", field]);
            let from = json!({
                "kind": "ImageStreamTag", "name": text("name"), "namespace": text("namespace"),
            });
            causes.push(json!({ "type": "ImageChange", "imageTrigger": { "from": from } }));
        }
    }
    if force {
        return Ok(Some((json!([{ "type": "Manual" }]), "manual change")));
    }
    if !causes.is_empty() {
        return Ok(Some((causes.into(), "image change")));
    }
    let triggers = json::list(config, &["spec", "triggers"]);
    let wished = triggers.iter().any(|one| json::text(one, &["type"]) == "ConfigChange");
    let template = |config| json::at(config, &["spec", "template"]);
    let changed = version == 0 || template(config) != template(&previous);
    Ok((wished && changed).then(|| (json!([{ "type": "ConfigChange" }]), "config change")))
}

fn same_source(one: &Value, other: &Value) -> bool {
    ["name", "namespace"]
        .iter()
        .all(|field| json::text(one, &["from", field]) == json::text(other, &["from", field]))
}

/// Whether a configuration has an image change trigger that it had not before.
fn new_trigger(config: &Value, previous: &Value) -> bool {
    image_triggers(config)
        .any(|params| !image_triggers(previous).any(|before| same_source(params, before)))
}

/// Whether a trigger has seen another image than before.
fn other_image(params: &Value, previous: &Value) -> bool {
    let seen = |params| json::text(params, &["lastTriggeredImage"]);
    image_triggers(previous)
        .find(|before| same_source(params, before))
        .is_some_and(|before| seen(before) != seen(params))
}

/// The refusal of a rollback.
fn refused(request: &Value, why: &str) -> Status {
    let name = json::text(request, &["name"]);
    let error = FieldError::invalid(&Path::new("name"), name, why);
    Status::invalid(&kind("DeploymentConfigRollback"), name, &[error])
}

/// What is wrong with the request for a rollback by itself.
pub fn check_rollback(request: &Value) -> Result<(), Status> {
    let name = json::text(request, &["name"]);
    let (at, mut errors) = (Path::new("name"), Vec::new());
    if name.is_empty() {
        errors.push(FieldError::required(&at, "name of the deployment config is missing"));
    } else if !names::dns1123_subdomain(name).is_empty() {
        errors.push(FieldError::invalid(&at, name, "name of the deployment config is invalid"));
    }
    let revision = json::int(request, &["spec", "revision"]).unwrap_or(0);
    if revision < 0 {
        let at = Path::new("spec").child("revision");
        errors.push(FieldError::invalid(&at, revision, "must be non-negative"));
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&kind("DeploymentConfigRollback"), name, &errors))
}

/// The configuration as a rollback would have it; nothing is written by that. `config` is absent if there is none.
pub fn rollback(
    config: Option<&Value>,
    request: &Value,
    rollouts: Find<'_>,
) -> Result<Value, Status> {
    check_rollback(request)?;
    let name = json::text(request, &["name"]);
    let Some(config) = config else {
        let gone =
            format!("deploymentconfigs.apps.openshift.io {name} not found", name = quote(&name));
        return Err(refused(
            request,
            &format!("cannot get deployment config {name}: {gone}", name = quote(&name)),
        ));
    };
    let latest = latest_version(config);
    let revision = json::int(request, &["spec", "revision"]).unwrap_or(0);
    let why = match latest {
        0 => Some("cannot rollback an undeployed config".to_owned()),
        1 => {
            let namespace = json::text(config, &["metadata", "namespace"]);
            Some(format!(
                "no previous deployment exists for {}",
                quote(&format!("{namespace}/{name}"))
            ))
        }
        latest if latest == revision => Some(format!("version {revision} is already the latest")),
        _ => None,
    };
    if let Some(why) = why {
        return Err(refused(request, &why));
    }
    let target = rollout_name(config, if revision > 0 { revision } else { latest - 1 });
    let namespace = json::text(config, &["metadata", "namespace"]);
    let rollout = rollouts(namespace, &target).ok_or_else(|| {
        refused(
            request,
            &format!("replicationcontrollers {target} not found", target = quote(&target)),
        )
    })?;
    let to = decoded(&rollout).map_err(|why| {
        refused(request, &format!("couldn't decode deployment config from deployment: {why}"))
    })?;
    Ok(rolled_back(config, &to, request))
}

/// The parts that a rollback takes over, by the flag that asks for them.
const PARTS: [(&str, &[&str]); 4] = [
    ("includeTemplate", &["template"]),
    ("includeReplicationMeta", &["replicas", "selector"]),
    ("includeTriggers", &["triggers"]),
    ("includeStrategy", &["strategy"]),
];

fn rolled_back(config: &Value, to: &Value, request: &Value) -> Value {
    let mut new = config.clone();
    let updated: Vec<(&str, &Value)> = json::entries(request, &["updatedAnnotations"]).collect();
    if !updated.is_empty() {
        let annotations = json::child(json::child(&mut new, "metadata"), "annotations");
        updated.iter().for_each(|(key, text)| json::set(annotations, key, (*text).clone()));
    }
    let before = to.get("spec").unwrap_or(&Value::Null);
    let spec = json::child(&mut new, "spec");
    for (flag, fields) in PARTS {
        if json::flag(request, &["spec", flag]) {
            fields.iter().for_each(|field| json::keep(spec, before, field));
        }
    }
    for trigger in json::list_mut(spec, &["triggers"]) {
        if json::text(trigger, &["type"]) == "ImageChange"
            && let Some(params) = json::at_mut(trigger, &["imageChangeParams"])
        {
            json::remove(params, "automatic");
        }
    }
    let version = latest_version(config).saturating_add(1);
    json::set(json::child(&mut new, "status"), "latestVersion", version);
    new
}
