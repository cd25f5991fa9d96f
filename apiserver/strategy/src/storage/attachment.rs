//! VolumeAttachments.
//!
//! Knows: that one names a volume, a node and who attaches, and says how it went. Refuses to know: whether it did.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, names};
use serde_json::Value;

use super::{MAX_SIZE, driver_name};
use crate::check::{self, Errors};
use crate::pod_spec::resources;
use crate::volume;

/// Longest message of an error.
const MAX_MESSAGE: usize = 1024;

const ONE_SOURCE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";

pub(crate) static STRATEGY: Strategy = Strategy {
    default: |attachment| {
        resources::round_up(attachment, &["spec", "source", "inlineVolumeSpec", "capacity"]);
    },
    validate: |attachment| {
        let mut errors = Vec::new();
        let spec = attachment.get("spec").unwrap_or(&Value::Null);
        let path = Path::new("spec");
        check::required(spec, "attacher", &path, &mut errors);
        source(spec.get("source").unwrap_or(&Value::Null), &path.child("source"), &mut errors);
        let node = json::text(spec, &["nodeName"]);
        let wrong = names::dns1123_subdomain(node);
        check::named(&path.child("nodeName"), node, &wrong, &mut errors);
        errors
    },
    validate_create: |attachment| {
        let mut errors = Vec::new();
        let path = Path::new("spec");
        let attacher = json::text(attachment, &["spec", "attacher"]);
        driver_name(attacher, &path.child("attacher"), &mut errors);
        let name = json::at(attachment, &["spec", "source", "persistentVolumeName"]);
        if let Some(name) = name.and_then(Value::as_str) {
            let at = path.child("source").child("persistentVolumeName");
            check::named(&at, name, &names::dns1123_subdomain(name), &mut errors);
        }
        errors
    },
    validate_update: |new, old| {
        let Some(now) = new.get("spec").filter(|now| Some(*now) != old.get("spec")) else {
            return Vec::new();
        };
        let source = check::go_struct(&[
            ("PersistentVolumeName", check::go_field(now, &["source", "persistentVolumeName"])),
            ("InlineVolumeSpec", check::go_field(now, &["source", "inlineVolumeSpec"])),
        ]);
        let shown = check::go_struct(&[
            ("Attacher", check::go_field(now, &["attacher"])),
            ("Source", source.0),
            ("NodeName", check::go_field(now, &["nodeName"])),
        ]);
        vec![FieldError::invalid(&Path::new("spec"), shown, "field is immutable")]
    },
    validate_status: |attachment, _| status(attachment),
    unconditional_update: false,
    returns_deleted: true,
    ..check::STATUS_ALONE
};

fn source(source: &Value, path: &Path, errors: &mut Errors) {
    let name = json::at(source, &["persistentVolumeName"]);
    match (name, json::at(source, &["inlineVolumeSpec"])) {
        (None, None) => errors.push(FieldError::required(path, ONE_SOURCE)),
        (Some(_), Some(_)) => errors.push(FieldError::forbidden(path, ONE_SOURCE)),
        (Some(name), None) if name == "" => {
            let why = "must specify non empty persistentVolumeName";
            errors.push(FieldError::required(&path.child("persistentVolumeName"), why));
        }
        (Some(_), None) => {}
        (None, Some(spec)) => {
            volume::volume_spec(spec, true, &path.child("inlineVolumeSpec"), errors);
        }
    }
}

fn status(attachment: &Value) -> Errors {
    let path = Path::new("status");
    let mut errors = Vec::new();
    let metadata = json::entries(attachment, &["status", "attachmentMetadata"]);
    let size: usize =
        metadata.map(|(key, value)| key.len() + value.as_str().unwrap_or("").len()).sum();
    if size > MAX_SIZE {
        errors.push(FieldError::too_long(&path.child("attachmentMetadata"), MAX_SIZE));
    }
    for field in ["attachError", "detachError"] {
        let Some(error) = json::at(attachment, &["status", field]) else { continue };
        let at = path.child(field);
        if json::text(error, &["message"]).len() > MAX_MESSAGE {
            // Upstream names the limit of another field.
            errors.push(FieldError::too_long(&at.child("message"), MAX_SIZE));
        }
        check::in_range(error, "errorCode", &at, 0, i64::from(i32::MAX), &mut errors);
    }
    errors
}
