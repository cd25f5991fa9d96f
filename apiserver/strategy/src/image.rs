//! Images.
//!
//! Knows: what an image and its signatures must say, and what about an image stays. Refuses to know: what a manifest
//! means, and whether the name is its digest: what cannot be checked here is not changed.

use leme_meta::quote;
use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, meta, names};
use serde_json::Value;

use crate::check::{self, Errors};
use crate::image_reference;

pub(crate) static STRATEGY: Strategy = Strategy {
    name: meta::segment_name,
    prepare_create: |image, _: &Context| tidy(image),
    prepare_update: |new, old, _| {
        for field in KEPT {
            json::keep(new, old, field);
        }
        for field in ["dockerImageManifest", "dockerImageConfig"] {
            if !json::text(new, &[field]).is_empty() {
                json::keep(new, old, field);
            }
        }
        tidy(new);
    },
    validate,
    unconditional_update: false,
    ..Strategy::PLAIN
};

/// What is read out of a manifest, once.
const KEPT: [&str; 4] = [
    "dockerImageMetadata",
    "dockerImageMetadataVersion",
    "dockerImageLayers",
    "dockerImageSignatures",
];

const BLOB_STORED: &str = "image.openshift.io/manifestBlobStored";
const MANAGED_SIGNATURE: &str = "image.openshift.io/managed-signature";

/// Drops what the registry has, and an annotation that signatures once had.
fn tidy(image: &mut Value) {
    if json::text(image, &["metadata", "annotations", BLOB_STORED]) == "true" {
        json::remove(image, "dockerImageManifest");
        json::remove(image, "dockerImageConfig");
    }
    for signature in json::list_mut(image, &["signatures"]) {
        if let Some(annotations) = json::at_mut(signature, &["metadata", "annotations"]) {
            json::remove(annotations, MANAGED_SIGNATURE);
        }
    }
}

fn validate(image: &Value) -> Errors {
    let mut errors = Vec::new();
    let reference = check::required(image, "dockerImageReference", &Path::default(), &mut errors);
    if let Err(why) = image_reference::parse(reference)
        && !reference.is_empty()
    {
        errors.push(FieldError::invalid(&Path::new("dockerImageReference"), reference, why));
    }
    for (index, one) in json::list(image, &["signatures"]).iter().enumerate() {
        signature(one, &Path::new("signatures").index(index), &mut errors);
    }
    let manifests = json::list(image, &["dockerImageManifests"]);
    for (index, one) in manifests.iter().enumerate() {
        manifest(one, &Path::new("dockerImageManifests").index(index), &mut errors);
    }
    let layers = json::list(image, &["dockerImageLayers"]);
    if !manifests.is_empty() && !layers.is_empty() {
        let why = "dockerImageLayers should not be set when dockerImageManifests is set";
        let shown = meta::Raw(layers_in_go(layers));
        errors.push(FieldError::invalid(&Path::new("dockerImageLayers"), shown, why));
    }
    errors
}

/// Layers with the names that their fields have in Go.
fn layers_in_go(layers: &[Value]) -> String {
    let text = |layer, field| Value::from(json::text(layer, &[field]));
    let shown: Vec<String> = layers
        .iter()
        .map(|layer| {
            let size = json::int(layer, &["size"]).unwrap_or(0);
            let (name, media) = (text(layer, "name"), text(layer, "mediaType"));
            check::go_struct(&[
                ("Name", name.to_string()),
                ("LayerSize", size.to_string()),
                ("MediaType", media.to_string()),
            ])
            .0
        })
        .collect();
    format!("[{}]", shown.join(","))
}

fn manifest(manifest: &Value, path: &Path, errors: &mut Errors) {
    let digest = json::text(manifest, &["digest"]);
    if !has_digest(digest) {
        let why = "digest does not conform with OCI image specification";
        errors.push(FieldError::invalid(&path.child("digest"), digest, why));
    }
    let media_type = json::text(manifest, &["mediaType"]);
    if !is_media_type(media_type) {
        let why = "media type does not conform to RFC6838";
        errors.push(FieldError::invalid(&path.child("mediaType"), media_type, why));
    }
    for field in ["architecture", "os"] {
        check::required(manifest, field, path, errors);
    }
    if let Some(size) = json::int(manifest, &["manifestSize"]).filter(|size| *size < 0) {
        let why = "manifest size cannot be negative";
        errors.push(FieldError::invalid(&path.child("size"), size, why));
    }
}

/// An algorithm and at least 32 hexadecimal digits, anywhere in a text.
fn has_digest(text: &str) -> bool {
    text.match_indices(':').any(|(at, _)| {
        let algorithm = text[..at].bytes().rev().take_while(u8::is_ascii_alphanumeric);
        let digits = text[at + 1..].bytes().take_while(u8::is_ascii_hexdigit);
        algorithm.into_iter().any(|byte| byte.is_ascii_alphabetic()) && digits.count() >= 32
    })
}

fn is_media_type(text: &str) -> bool {
    let name = |text: &str, more: &[u8]| {
        (1..=127).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| {
                byte.is_ascii_alphanumeric() || b"!#$&^_-".contains(&byte) || more.contains(&byte)
            })
    };
    let parts = text.trim_matches(' ').split_once('/');
    parts.is_some_and(|(kind, subtype)| name(kind, b"") && name(subtype, b".+"))
}

/// All that is wrong with a signature.
pub(crate) fn signature(signature: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("metadata");
    let name = json::text(signature, &["metadata", "name"]);
    if name.is_empty() {
        let why = "name or generateName is required";
        errors.push(FieldError::required(&at.child("name"), why));
    }
    check::named(&at.child("name"), name, &names::path_segment_name(name), errors);
    for field in ["labels", "annotations"] {
        if json::entries(signature, &["metadata", field]).next().is_some() {
            let why = format!("signature {field} cannot be set");
            errors.push(FieldError::forbidden(&at.child(field), &why));
        }
    }
    match name.split('@').collect::<Vec<_>>()[..] {
        [image, own] if !image.is_empty() && !own.is_empty() => {}
        _ => {
            let why = "name must be of format <imageName>@<signatureName>";
            errors.push(FieldError::invalid(&at.child("name"), name, why));
        }
    }
    for field in ["type", "content"] {
        check::required(signature, field, path, errors);
    }
    trust(signature, path, errors);
}

/// What a signature says of itself stands only when somebody has looked at it.
fn trust(signature: &Value, path: &Path, errors: &mut Errors) {
    let conditions = json::list(signature, &["conditions"]);
    let of = |wanted: &str| {
        conditions.iter().rev().find(|condition| json::text(condition, &["type"]) == wanted)
    };
    let (trusted, for_image) = (of("Trusted"), of("ForImage"));
    let missing = match (trusted, for_image) {
        (Some(_), None) => Some("ForImage"),
        (None, Some(_)) => Some("Trusted"),
        _ => None,
    };
    if let Some(missing) = missing {
        let why = format!("missing {missing} condition type", missing = quote(&missing));
        let shown = &signature["conditions"];
        errors.push(FieldError::invalid(&path.child("conditions"), shown, &why));
    }
    if trusted.is_some_and(|condition| json::text(condition, &["status"]) != "Unknown") {
        return;
    }
    for field in ["imageIdentity", "signedClaims", "issuedBy", "issuedTo"] {
        if !json::unset(signature, field) {
            let why = "must be unset for unknown signature state";
            errors.push(FieldError::invalid(&path.child(field), &signature[field], why));
        }
    }
}
