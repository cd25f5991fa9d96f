//! What the API is told of a manifest: an Image.
//!
//! Knows: manifests and indices of OCI and docker, configurations, and the fields of an Image. Refuses to know: where they are.

use leme_distribution::reference::valid_digest;
use leme_host::images::Repository;
use serde_json::{Map, Value, json};

use crate::answer::{Code, Refusal};

/// Media types of what is no image, but several of them.
const INDICES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// Media types of manifests.
const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// Media types of configurations of images.
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
/// What is told of a configuration, of all that it may hold.
const TOLD: [&str; 12] = [
    "Hostname",
    "Domainname",
    "User",
    "ExposedPorts",
    "Env",
    "Cmd",
    "Image",
    "Volumes",
    "WorkingDir",
    "Entrypoint",
    "OnBuild",
    "Labels",
];
/// Things that a manifest names at most.
const NAMED: usize = 4096;

/// One thing that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub digest: String,
    pub size: u64,
    pub media_type: String,
    /// Whether it may be elsewhere: its descriptor says where.
    pub foreign: bool,
}

/// A manifest that has been read.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub media_type: String,
    pub document: Value,
    /// Its configuration, if it is no index.
    pub config: Option<Named>,
    /// Its layers.
    pub layers: Vec<Named>,
    /// What an index names.
    pub manifests: Vec<Named>,
    /// What it is about, if it is about something.
    pub subject: Option<String>,
}

impl Manifest {
    /// Reads what was sent as that media type.
    pub fn read(media_type: &str, bytes: &[u8]) -> Result<Manifest, Refusal> {
        let wrong = |why: String| Refusal::new(Code::ManifestInvalid, why);
        let document: Value = serde_json::from_slice(bytes)
            .map_err(|error| wrong(format!("no manifest: {error}")))?;
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        let own = document["mediaType"].as_str().unwrap_or_default();
        if !own.is_empty() && !media_type.is_empty() && own != media_type {
            return Err(wrong(format!(
                "it was sent as {media_type:?} and says that it is {own:?}"
            )));
        }
        let known = if media_type.is_empty() { own } else { media_type };
        let is_index = INDICES.contains(&known);
        if !is_index && !MANIFESTS.contains(&known) {
            return Err(wrong(format!("manifests of the type {known:?} are not taken")));
        }
        if document["schemaVersion"] != 2 {
            return Err(wrong("its schemaVersion must be 2".to_owned()));
        }
        let all = |field: &str| -> Result<Vec<Named>, Refusal> {
            let list = match &document[field] {
                Value::Null => return Ok(Vec::new()),
                Value::Array(list) if list.len() <= NAMED => list,
                _ => return Err(wrong(format!("its {field} are no list, or too many"))),
            };
            list.iter().map(named).collect::<Option<_>>().ok_or_else(|| {
                wrong(format!("its {field} are not all named by a sha256 digest and a size"))
            })
        };
        let config = named(&document["config"]);
        if !is_index && config.is_none() {
            return Err(wrong("it names no configuration".to_owned()));
        }
        let (layers, manifests) = match is_index {
            true => (Vec::new(), all("manifests")?),
            false => (all("layers")?, Vec::new()),
        };
        let subject = match &document["subject"] {
            Value::Null => None,
            about => {
                Some(named(about).ok_or_else(|| wrong("its subject has no digest".to_owned()))?)
            }
        };
        Ok(Manifest {
            media_type: known.to_owned(),
            config: config.filter(|_| !is_index),
            layers,
            manifests,
            subject: subject.map(|subject| subject.digest),
            document,
        })
    }

    /// Whether its configuration is an image's.
    pub fn is_image(&self) -> bool {
        self.config.as_ref().is_some_and(|config| CONFIGS.contains(&&*config.media_type))
    }

    /// What others are told of it who ask what is about its subject.
    pub fn descriptor(&self, digest: &str, size: usize) -> Value {
        let text =
            |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let of_config = self.config.as_ref().map(|config| config.media_type.clone());
        let kind = text(&self.document["artifactType"]).or(of_config);
        let mut told = json!({ "mediaType": self.media_type, "digest": digest, "size": size });
        if let Some(kind) = kind {
            told["artifactType"] = kind.into();
        }
        if self.document["annotations"].is_object() {
            told["annotations"] = self.document["annotations"].clone();
        }
        told
    }

    /// The Image of it, as `digest` of a repository at `host`.
    pub fn image(
        &self,
        host: &str,
        of: &Repository,
        digest: &str,
        config: Option<&Value>,
    ) -> Value {
        let mut image = json!({
            "metadata": { "name": digest, "annotations": {
                "openshift.io/image.managed": "true",
                "image.openshift.io/manifestBlobStored": "true",
                "image.openshift.io/dockerLayersOrder": "ascending",
            } },
            "dockerImageReference": format!("{host}/{of}@{digest}"),
            "dockerImageManifestMediaType": self.media_type,
            "dockerImageMetadataVersion": "1.0",
            "dockerImageMetadata": self.metadata(config),
        });
        let layer = |one: &Named| json!({ "name": one.digest, "size": one.size, "mediaType": one.media_type });
        match self.manifests.is_empty() {
            true => image["dockerImageLayers"] = self.layers.iter().map(layer).collect(),
            false => {
                let all = self.document["manifests"].as_array().into_iter().flatten();
                image["dockerImageManifests"] = all.map(of_index).collect();
            }
        }
        image
    }

    fn metadata(&self, config: Option<&Value>) -> Value {
        let sizes = self.layers.iter().chain(&self.config).map(|one| one.size);
        let mut told = json!({
            "kind": "DockerImage", "apiVersion": "image.openshift.io/1.0",
            "Id": self.config.as_ref().map_or("", |config| &config.digest),
            "Size": sizes.fold(0_u64, u64::saturating_add),
        });
        let Some(config) = config else { return told };
        for (name, field) in
            [("Created", "created"), ("Author", "author"), ("Architecture", "architecture")]
        {
            if let Some(text) = config[field].as_str() {
                told[name] = text.into();
            }
        }
        let mut own = Map::new();
        for name in TOLD {
            if let Some(value) = config["config"].get(name).filter(|value| !value.is_null()) {
                own.insert(name.to_owned(), value.clone());
            }
        }
        told["Config"] = own.into();
        told
    }
}

/// What a descriptor names; none if it is none.
fn named(descriptor: &Value) -> Option<Named> {
    Some(Named {
        digest: valid_digest(descriptor["digest"].as_str()?)?,
        size: descriptor["size"].as_u64()?,
        media_type: descriptor["mediaType"].as_str().unwrap_or_default().to_owned(),
        foreign: descriptor["urls"].as_array().is_some_and(|urls| !urls.is_empty()),
    })
}

/// One image of an index, as an Image tells of it.
fn of_index(descriptor: &Value) -> Value {
    let platform = |field: &str| descriptor["platform"][field].as_str().unwrap_or("unknown");
    let mut told = json!({
        "digest": descriptor["digest"], "mediaType": descriptor["mediaType"],
        "manifestSize": descriptor["size"],
        "architecture": platform("architecture"), "os": platform("os"),
    });
    if let Some(variant) = descriptor["platform"]["variant"].as_str() {
        told["variant"] = variant.into();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(letter: &str) -> Value {
        json!({ "mediaType": "x/y", "size": 3, "digest": format!("sha256:{}", letter.repeat(64)) })
    }

    #[test]
    fn an_image_says_what_its_configuration_says() {
        let (mut config, layer) = (descriptor("a"), descriptor("b"));
        config["mediaType"] = CONFIGS[0].into();
        let text = json!({ "schemaVersion": 2, "config": config, "layers": [layer, layer] });
        let manifest = Manifest::read(MANIFESTS[0], text.to_string().as_bytes()).unwrap();
        assert!(manifest.is_image());
        let config = json!({ "architecture": "amd64", "created": "2026-01-01T00:00:00Z",
            "config": { "Cmd": ["run"], "Secret": "x", "ExposedPorts": { "80/tcp": {} } } });
        let of = Repository::parse("shop/app").unwrap();
        let digest = format!("sha256:{}", "c".repeat(64));
        let image = manifest.image("r.test:5000", &of, &digest, Some(&config));
        assert_eq!(image["dockerImageReference"], format!("r.test:5000/shop/app@{digest}"));
        let told = &image["dockerImageMetadata"];
        assert_eq!((&told["Size"], &told["Architecture"]), (&json!(9), &json!("amd64")));
        assert_eq!(told["Config"], json!({ "Cmd": ["run"], "ExposedPorts": { "80/tcp": {} } }));
        assert_eq!(image["dockerImageLayers"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn an_index_names_manifests_and_each_has_a_platform() {
        let mut one = descriptor("a");
        one["platform"] = json!({ "architecture": "arm64", "os": "linux", "variant": "v8" });
        let text = json!({ "schemaVersion": 2, "mediaType": INDICES[0], "manifests": [one, descriptor("b")] });
        let manifest = Manifest::read(INDICES[0], text.to_string().as_bytes()).unwrap();
        let image = manifest.image("r", &Repository::parse("a/b").unwrap(), "sha256:x", None);
        let all = image["dockerImageManifests"].as_array().unwrap();
        assert_eq!((&all[0]["variant"], &all[1]["os"]), (&json!("v8"), &json!("unknown")));
        assert!(image.get("dockerImageLayers").is_none());
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let good = json!({ "schemaVersion": 2, "mediaType": MANIFESTS[0], "config": descriptor("a"), "layers": [] });
        let changed = |field: &str, value: Value| {
            let mut bad = good.clone();
            bad[field] = value;
            bad.to_string()
        };
        let read = |type_: &str, text: &str| {
            Manifest::read(type_, text.as_bytes()).map_err(|refusal| refusal.code)
        };
        assert!(read(MANIFESTS[0], &good.to_string()).is_ok());
        assert!(read("", &good.to_string()).is_ok());
        for (type_, text) in [
            (MANIFESTS[0], "{".to_owned()),
            (MANIFESTS[1], good.to_string()),
            ("text/plain", changed("mediaType", Value::Null)),
            (MANIFESTS[0], changed("schemaVersion", json!(1))),
            (MANIFESTS[0], changed("config", Value::Null)),
            (MANIFESTS[0], changed("layers", json!([{ "digest": "sha256:../x", "size": 1 }]))),
            (MANIFESTS[0], changed("layers", json!("x"))),
            (MANIFESTS[0], changed("subject", json!({}))),
        ] {
            assert_eq!(read(type_, &text).err(), Some(Code::ManifestInvalid), "{text}");
        }
    }
}
