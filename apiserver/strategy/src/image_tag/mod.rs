//! Tags and images of ImageStreams as objects of their own: ImageStreamTags, ImageTags, ImageStreamImages, signatures, and
//! what puts an image into a stream.
//!
//! Knows: what each must say, and what of it may change. Refuses to know: where streams and images are kept.

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, meta};
use serde_json::{Value, json};

use crate::check;
use crate::image_stream::{default_tag, tag as check_tag};
use crate::{image, image_reference, image_stream};

pub mod content;
mod import;
mod imported;
mod layers;
mod names;
mod view;
mod write;

pub use crate::image_stream::history::is_image;
pub use imported::recorded as import_recorded;
pub use layers::layers;
pub use names::{image_and_signature, stream_and_image, stream_and_tag};
pub use view::{
    IMAGES, STREAM_TAGS, STREAMS, TAGS, image_of_stream, stream_tag, tag, tagged_image,
};
pub use write::{created, deleted, pushed, updated};

pub(crate) static STREAM_TAG: Strategy = Strategy {
    name: meta::segment_name,
    default: |object| {
        if let Some(tag) = json::at_mut(object, &["tag"]) {
            default_tag(tag);
        }
    },
    prepare_create: |new, _: &Context| {
        name_tag(new, "tag");
        json::remove(new, "conditions");
        json::set(new, "image", json!({}));
    },
    prepare_update: |new, old, _| {
        let annotations = json::at(new, &["metadata", "annotations"]).cloned();
        if let Some(tag) = json::at_mut(new, &["tag"]) {
            json::remove(tag, "annotations");
            if let Some(annotations) = annotations {
                json::set(tag, "annotations", annotations);
            }
        }
        for field in ["conditions", "image"] {
            json::keep(new, old, field);
        }
    },
    validate: |object| {
        let mut errors = Vec::new();
        let Some(tag) = json::at(object, &["tag"]) else { return errors };
        check_tag(tag, &Path::new("tag"), &mut errors);
        let said = |own: &&Value| own.as_object().is_some_and(|own| !own.is_empty());
        let own = json::at(tag, &["annotations"]).filter(said);
        if own.is_some_and(|own| Some(own) != json::at(object, &["metadata", "annotations"])) {
            let at = Path::new("tag").child("annotations");
            let why = "tag annotations must not be provided or must be equal to the object meta annotations";
            errors.push(FieldError::invalid(&at, "<map>", why));
        }
        errors
    },
    validate_update: |new, old| {
        let why = "may not update fields other than metadata.annotations";
        let free = |object: &Value| {
            let mut object = without(object, &["tag", "lookupPolicy", "generation"]);
            json::remove(json::child(&mut object, "metadata"), "annotations");
            object
        };
        let changed = free(new) != free(old);
        let error = || FieldError::invalid(&Path::new("metadata"), "", why);
        changed.then(error).into_iter().collect()
    },
    ..Strategy::PLAIN
};

pub(crate) static TAG: Strategy = Strategy {
    name: meta::segment_name,
    default: |object| {
        if let Some(spec) = json::at_mut(object, &["spec"]) {
            default_tag(spec);
        }
    },
    prepare_create: |new, _: &Context| {
        name_tag(new, "spec");
        json::remove(new, "status");
        json::remove(new, "image");
    },
    prepare_update: |new, old, _| json::keep(new, old, "image"),
    validate: |object| {
        let mut errors = Vec::new();
        let Some(spec) = json::at(object, &["spec"]) else { return errors };
        let name = json::text(object, &["metadata", "name"]);
        let own = json::text(spec, &["name"]);
        if name.split_once(':').is_none_or(|(_, tag)| own != tag) {
            let at = Path::new("spec").child("name");
            errors.push(FieldError::invalid(&at, own, "must match image tag name"));
        }
        check_tag(spec, &Path::new("spec"), &mut errors);
        errors
    },
    validate_create: |object| {
        let why = "spec is a required field during creation";
        let error = || FieldError::required(&Path::new("spec"), why);
        json::at(object, &["spec"]).is_none().then(error).into_iter().collect()
    },
    validate_update: |new, old| {
        let why = "may not update fields other than spec";
        let bare = |object: &Value| without(object, &[]).get("metadata").cloned();
        let cases = [
            ("metadata", bare(new) != bare(old)),
            ("status", json::at(new, &["status"]) != json::at(old, &["status"])),
        ];
        let wrong = cases.iter().filter(|(_, changed)| *changed);
        wrong.map(|(field, _)| FieldError::invalid(&Path::new(field), "", why)).collect()
    },
    ..Strategy::PLAIN
};

pub(crate) static MAPPING: Strategy = Strategy {
    name: meta::segment_name,
    prepare_create: |mapping, _: &Context| {
        json::remove(json::child(mapping, "image"), "signatures");
    },
    validate: |mapping| {
        let mut errors = Vec::new();
        let repository = json::text(mapping, &["dockerImageRepository"]);
        if let Err(why) = image_reference::parse(repository)
            && !repository.is_empty()
        {
            let at = Path::new("dockerImageRepository");
            errors.push(FieldError::invalid(&at, repository, why));
        }
        check::required(mapping, "tag", &Path::default(), &mut errors);
        let at = Path::new("image");
        let image = mapping.get("image").unwrap_or(&Value::Null);
        let name = json::text(image, &["metadata", "name"]);
        if name.is_empty() {
            let why = "name or generateName is required";
            errors.push(FieldError::required(&at.child("metadata").child("name"), why));
        }
        errors.extend((image::STRATEGY.validate)(image).into_iter().map(|mut error| {
            error.field = format!("image.{}", error.field);
            error
        }));
        errors
    },
    ..Strategy::PLAIN
};

pub(crate) static SIGNATURE: Strategy = Strategy {
    name: meta::segment_name,
    prepare_create: |signature, _: &Context| {
        for field in
            ["conditions", "imageIdentity", "signedClaims", "created", "issuedBy", "issuedTo"]
        {
            json::remove(signature, field);
        }
    },
    validate: |signature| {
        let mut errors = Vec::new();
        image::signature(signature, &Path::default(), &mut errors);
        // What is wrong with the name by itself has been said.
        let said = |error: &FieldError| {
            error.field == "metadata.name" && !error.body.contains("<imageName>@<signatureName>")
        };
        errors.retain(|error| !said(error));
        errors
    },
    ..Strategy::PLAIN
};

pub(crate) static IMPORT: Strategy = Strategy {
    name: image_stream::name,
    default: import::default,
    validate: import::validate,
    ..Strategy::PLAIN
};

/// Names the tag of an object after the object.
fn name_tag(object: &mut Value, field: &str) {
    let name = json::text(object, &["metadata", "name"]);
    let tag = name.split_once(':').map_or("", |(_, tag)| tag).to_owned();
    if let Some(own) = json::at_mut(object, &[field]) {
        json::default(own, "name", tag);
    }
}

/// An object without some of its fields, and without what says who wrote it.
fn without(object: &Value, fields: &[&str]) -> Value {
    let mut object = object.clone();
    fields.iter().for_each(|field| json::remove(&mut object, field));
    let metadata = json::child(&mut object, "metadata");
    for field in ["managedFields", "resourceVersion"] {
        json::remove(metadata, field);
    }
    object
}
