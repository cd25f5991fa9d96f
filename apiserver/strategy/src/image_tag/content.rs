//! Images out of what a registry holds: manifests, configurations, lists of manifests, names of tags.
//!
//! Knows: which fields of docker's and OCI's documents an Image shows, and which of several is meant. Refuses to know: registries.

use leme_registry::json;
use serde_json::{Map, Value, json};

/// What a manifest is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An image, with its configuration under this digest.
    Image(String),
    /// A list of images.
    List(Vec<Listed>),
}

/// An image of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Its manifest's digest.
    pub digest: String,
    /// `amd64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
}

/// Fields of a configuration that are shown, by what they are; what is empty is not.
const TEXTS: &[&str] =
    &["Hostname", "Domainname", "User", "Cpuset", "Image", "VolumesFrom", "WorkingDir"];
const NUMBERS: &[&str] = &["Memory", "MemorySwap", "CpuShares"];
const FLAGS: &[&str] = &[
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "NetworkDisabled",
];
const LISTS: &[&str] = &["PortSpecs", "Env", "Cmd", "Dns", "Entrypoint", "SecurityOpts", "OnBuild"];
const MAPS: &[&str] = &["ExposedPorts", "Volumes", "Labels"];

/// Reads a manifest.
///
/// # Errors
/// What it is, if it is none that is known.
pub fn read(media_type: &str, bytes: &[u8]) -> Result<Content, String> {
    let document: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let unsupported = || format!("unsupported image manifest type: {media_type}");
    if json::int(&document, &["schemaVersion"]) != Some(2) {
        return Err(unsupported());
    }
    if let Some(Value::Array(all)) = document.get("manifests") {
        let listed = |one: &Value| Listed {
            digest: json::text(one, &["digest"]).to_owned(),
            architecture: json::text(one, &["platform", "architecture"]).to_owned(),
            os: json::text(one, &["platform", "os"]).to_owned(),
        };
        return Ok(Content::List(all.iter().map(listed).collect()));
    }
    match json::text(&document, &["config", "digest"]) {
        "" => Err(unsupported()),
        digest => Ok(Content::Image(digest.to_owned())),
    }
}

/// The image of a list that is for a platform, else for `amd64` and `linux`, else the first.
pub fn chosen<'a>(list: &'a [Listed], architecture: &str, os: &str) -> Option<&'a Listed> {
    let of = |architecture: &str, os: &str| {
        list.iter().find(|one| one.architecture == architecture && one.os == os)
    };
    of(architecture, os).or_else(|| of("amd64", "linux")).or_else(|| list.first())
}

/// The Image of a manifest and its configuration.
///
/// # Errors
/// When one of them is no document.
pub fn image(
    name: &str,
    media_type: &str,
    manifest: &[u8],
    config: &[u8],
) -> Result<Value, String> {
    let document: Value = serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
    let said: Value = serde_json::from_slice(config).map_err(|error| error.to_string())?;
    let id = json::text(&document, &["config", "digest"]);
    let mut size = config.len() as i64;
    let mut counted = vec![id];
    let mut layers = Vec::new();
    for layer in json::list(&document, &["layers"]) {
        let (digest, bytes) =
            (json::text(layer, &["digest"]), json::int(layer, &["size"]).unwrap_or(0));
        layers.push(
            json!({ "name": digest, "size": bytes, "mediaType": json::text(layer, &["mediaType"]) }),
        );
        if !counted.contains(&digest) {
            counted.push(digest);
            size = size.saturating_add(bytes);
        }
    }
    let mut metadata = described(&said);
    json::set(&mut metadata, "Id", id);
    json::set(&mut metadata, "Size", size);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(json!({
        "metadata": { "name": name },
        "dockerImageMetadata": metadata,
        "dockerImageMetadataVersion": "1.0",
        "dockerImageManifest": text(manifest),
        "dockerImageManifestMediaType": media_type,
        "dockerImageConfig": text(config),
        "dockerImageLayers": layers,
    }))
}

/// The Image of a list, as it is.
///
/// # Errors
/// When it is no document.
pub fn image_of_list(
    name: &str,
    media_type: &str,
    manifest: &[u8],
    now: &str,
) -> Result<Value, String> {
    let document: Value = serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
    let shown = |one: &Value| {
        let platform = |field: &str| json::text(one, &["platform", field]);
        let mut shown = json!({
            "digest": json::text(one, &["digest"]), "mediaType": json::text(one, &["mediaType"]),
            "manifestSize": json::int(one, &["size"]).unwrap_or(0),
            "architecture": platform("architecture"), "os": platform("os"),
        });
        if !platform("variant").is_empty() {
            json::set(&mut shown, "variant", platform("variant"));
        }
        shown
    };
    let manifests: Vec<Value> = json::list(&document, &["manifests"]).iter().map(shown).collect();
    Ok(json!({
        "metadata": { "name": name },
        "dockerImageMetadata": {
            "kind": "DockerImage", "apiVersion": "image.openshift.io/1.0", "Id": name, "Created": now,
            "ContainerConfig": {},
        },
        "dockerImageMetadataVersion": "1.0",
        "dockerImageManifestMediaType": media_type,
        "dockerImageManifests": manifests,
    }))
}

/// A configuration by the names that its fields have in an Image.
fn described(said: &Value) -> Value {
    let mut metadata = json!({ "kind": "DockerImage", "apiVersion": "image.openshift.io/1.0" });
    for (own, field) in [
        ("parent", "Parent"),
        ("comment", "Comment"),
        ("container", "Container"),
        ("docker_version", "DockerVersion"),
        ("author", "Author"),
        ("architecture", "Architecture"),
    ] {
        let text = json::text(said, &[own]);
        if !text.is_empty() {
            json::set(&mut metadata, field, text);
        }
    }
    if let Some(time) = leme_meta::time::parse(json::text(said, &["created"])) {
        json::set(&mut metadata, "Created", leme_meta::time::seconds(time));
    }
    json::set(&mut metadata, "ContainerConfig", settings(&said["container_config"]));
    if said.get("config").is_some_and(Value::is_object) {
        json::set(&mut metadata, "Config", settings(&said["config"]));
    }
    metadata
}

fn settings(said: &Value) -> Value {
    let mut shown = Map::new();
    let mut show = |names: &[&str], fits: &dyn Fn(&Value) -> bool| {
        for name in names {
            if let Some(value) = said.get(*name).filter(|value| fits(value)) {
                shown.insert((*name).to_owned(), value.clone());
            }
        }
    };
    show(TEXTS, &|value| value.as_str().is_some_and(|text| !text.is_empty()));
    show(NUMBERS, &|value| value.as_i64().is_some_and(|number| number != 0));
    show(FLAGS, &|value| value.as_bool() == Some(true));
    let texts = |all: &[Value]| !all.is_empty() && all.iter().all(Value::is_string);
    show(LISTS, &|value| value.as_array().is_some_and(|all| texts(all)));
    show(MAPS, &|value| value.as_object().is_some_and(|all| !all.is_empty()));
    Value::Object(shown)
}

/// Tags in the order in which they are imported: `latest`, versions of one number, of two, of three, each the highest first,
/// then the others.
pub fn prioritized(mut tags: Vec<String>) -> Vec<String> {
    // Some registries have a tag without a name.
    tags.iter_mut().filter(|tag| tag.is_empty()).for_each(|tag| "latest".clone_into(tag));
    tags.sort_unstable();
    tags.dedup();
    tags.sort_by_key(|tag| match (tag.as_str(), version(tag)) {
        ("latest", _) => (0, std::cmp::Reverse(Version::default())),
        (_, Some(version)) => (version.numbers.len(), std::cmp::Reverse(version)),
        _ => (4, std::cmp::Reverse(Version::default())),
    });
    tags
}

/// A version; one that is a release comes after its candidates.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    numbers: Vec<u64>,
    is_release: bool,
    rest: String,
}

fn version(tag: &str) -> Option<Version> {
    let text = tag.strip_prefix('v').unwrap_or(tag);
    let at = text.find(['-', '+']).unwrap_or(text.len());
    let (plain, rest) = text.split_at(at);
    let numbers: Option<Vec<u64>> = plain.split('.').map(|part| part.parse().ok()).collect();
    let numbers = numbers.filter(|numbers| numbers.len() <= 3)?;
    // What comes after a version is a part of a whole one only.
    let whole = rest.is_empty() || numbers.len() == 3;
    whole.then(|| Version { numbers, is_release: rest.is_empty(), rest: rest.to_owned() })
}

/// An image's name with a digest in place of its tag: what it says of where it is stays as it was said.
pub fn pinned(from: &str, digest: &str) -> String {
    format!("{}@{digest}", bare(from))
}

/// An image's name with a tag.
pub fn tagged(from: &str, tag: &str) -> String {
    format!("{}:{tag}", bare(from))
}

fn bare(from: &str) -> &str {
    let name = from.split_once('@').map_or(from, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_and_its_configuration_are_an_image() {
        let manifest = br#"{"schemaVersion":2,"config":{"digest":"sha256:c","size":9},"layers":[
            {"digest":"sha256:a","size":3,"mediaType":"m"},{"digest":"sha256:a","size":3,"mediaType":"m"},{"digest":"sha256:b","size":5,"mediaType":"m"}]}"#;
        assert_eq!(read("t", manifest), Ok(Content::Image("sha256:c".to_owned())));
        let config = br#"{"architecture":"amd64","created":"2024-01-02T03:04:05.678Z","config":{"Env":["A=b"],"User":"","Cmd":["x"],
            "ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":[]},"Labels":null,"Memory":"no"}}"#;
        let image = image("sha256:m", "t", manifest, config).unwrap();
        let metadata = json!({
            "kind": "DockerImage", "apiVersion": "image.openshift.io/1.0", "Id": "sha256:c",
            "Size": config.len() + 8, "Architecture": "amd64", "Created": "2024-01-02T03:04:05Z", "ContainerConfig": {},
            "Config": { "Env": ["A=b"], "Cmd": ["x"], "ExposedPorts": { "80/tcp": {} } },
        });
        assert_eq!(image["dockerImageMetadata"], metadata);
        assert_eq!(image["dockerImageLayers"].as_array().unwrap().len(), 3);
        for (bad, why) in [
            (&b"{}"[..], "unsupported image manifest type: t"),
            (br#"{"schemaVersion":1}"#, "unsupported image manifest type: t"),
            (b"[", "EOF"),
        ] {
            assert!(read("t", bad).unwrap_err().contains(why));
        }
    }

    #[test]
    fn of_a_list_the_platforms_own_is_chosen() {
        let list = br#"{"schemaVersion":2,"manifests":[
            {"digest":"sha256:a","size":1,"mediaType":"m","platform":{"architecture":"s390x","os":"linux"}},
            {"digest":"sha256:b","size":2,"mediaType":"m","platform":{"architecture":"amd64","os":"linux"}},
            {"digest":"sha256:c","size":3,"mediaType":"m","platform":{"architecture":"arm","os":"linux","variant":"v7"}}]}"#;
        let Ok(Content::List(all)) = read("t", list) else { panic!("no list") };
        for (architecture, digest) in [("arm", "sha256:c"), ("riscv64", "sha256:b")] {
            assert_eq!(chosen(&all, architecture, "linux").unwrap().digest, digest);
        }
        assert_eq!(chosen(&all[..1], "arm", "linux").unwrap().digest, "sha256:a");
        let image = image_of_list("sha256:l", "t", list, "2024-01-02T03:04:05Z").unwrap();
        assert_eq!(image["dockerImageManifests"][2]["variant"], "v7");
        assert_eq!(image["dockerImageMetadata"]["Id"], "sha256:l");
    }

    #[test]
    fn tags_have_an_order_and_names_keep_what_was_said() {
        let tags = ["b", "1.2.3-rc1", "5", "", "1.2.3", "v6", "5.1", "a", "5.10", "1.2.3"];
        let want = ["latest", "v6", "5", "5.10", "5.1", "1.2.3", "1.2.3-rc1", "a", "b"];
        assert_eq!(prioritized(tags.map(str::to_owned).to_vec()), want);
        for (from, name) in [
            ("nginx:1", "nginx"),
            ("h:5000/a/b", "h:5000/a/b"),
            ("h:5000/a:t@sha256:0", "h:5000/a"),
        ] {
            assert_eq!(pinned(from, "sha256:1"), format!("{name}@sha256:1"));
            assert_eq!(tagged(from, "t"), format!("{name}:t"));
        }
    }
}
