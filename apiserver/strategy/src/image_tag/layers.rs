//! The blobs that the images of a stream are made of.
//!
//! Knows: layers, configurations and the manifests of lists. Refuses to know: who reads them.

use leme_registry::json;
use serde_json::{Map, Value, json};

const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Manifests that have a configuration, each with the type of that.
const CONFIGURATIONS: [(&str, &str); 2] = [
    (DOCKER, "application/vnd.docker.container.image.v1+json"),
    ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json"),
];

/// The layers of all images of a stream; `image` finds an image by its name.
pub fn layers(stream: &Value, image: &dyn Fn(&str) -> Option<Value>) -> Value {
    let (mut blobs, mut images) = (Map::new(), Map::new());
    let items = json::list(stream, &["status", "tags"])
        .iter()
        .flat_map(|history| json::list(history, &["items"]))
        .map(|item| json::text(item, &["image"]));
    let mut wanted: Vec<String> =
        items.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    while let Some(name) = wanted.pop() {
        if images.get(&name).is_some_and(|known| known.get("imageMissing").is_none()) {
            continue;
        }
        let Some(found) = image(&name) else {
            images.entry(name).or_insert_with(|| json!({ "imageMissing": true }));
            continue;
        };
        let reference = references(&found, &name, &mut blobs);
        let manifests = json::list(&reference, &["manifests"]).iter().filter_map(Value::as_str);
        wanted.extend(manifests.map(str::to_owned));
        images.insert(name, reference);
    }
    let mut metadata = json::at(stream, &["metadata"]).cloned().unwrap_or(json!({}));
    json::remove(&mut metadata, "managedFields");
    json!({
        "kind": "ImageStreamLayers", "apiVersion": "image.openshift.io/v1",
        "metadata": metadata, "blobs": blobs, "images": images,
    })
}

/// What an image is made of, by name; the blobs themselves are added to those known.
fn references(image: &Value, name: &str, blobs: &mut Map<String, Value>) -> Value {
    let media_type = match json::text(image, &["dockerImageManifestMediaType"]) {
        "" => DOCKER,
        other => other,
    };
    let mut reference = json!({});
    let layers = json::list(image, &["dockerImageLayers"]);
    let names: Vec<&str> = layers.iter().map(|layer| json::text(layer, &["name"])).collect();
    if !names.is_empty() {
        reference["layers"] = json!(names);
    }
    for (layer, name) in layers.iter().zip(names) {
        let blob = json!({
            "size": json::int(layer, &["size"]).unwrap_or(0),
            "mediaType": json::text(layer, &["mediaType"]),
        });
        blobs.entry(name).or_insert(blob);
    }
    let declared = json::text(image, &["dockerImageManifestMediaType"]);
    if let Some((_, configuration)) = CONFIGURATIONS.iter().find(|(known, _)| *known == declared) {
        let id = ["Id", "id"]
            .into_iter()
            .map(|field| json::text(image, &["dockerImageMetadata", field]))
            .find(|id| !id.is_empty())
            .unwrap_or("");
        reference["config"] = id.into();
        blobs.entry(id).or_insert_with(|| json!({ "size": null, "mediaType": configuration }));
    }
    let manifests = json::list(image, &["dockerImageManifests"]);
    if !manifests.is_empty() {
        let digests: Vec<&str> = manifests.iter().map(|one| json::text(one, &["digest"])).collect();
        reference["manifests"] = json!(digests);
    }
    blobs.entry(name).or_insert_with(|| json!({ "size": null, "mediaType": media_type }));
    reference
}
