//! ImageStreamImports: what registries have is looked at, and a stream's tags name it.
//!
//! Knows: which images an import asks for, what each answer says, and what is stored of it. Refuses to know: how a registry is
//! asked (`fetch`), and what becomes of the stream (the strategy).

mod fetch;

use std::collections::HashMap;

use leme_distribution::Credentials;
use leme_meta::Status;
use leme_registry::json;
use leme_strategy::image_tag::{self, IMAGES, STREAMS, content};
use serde_json::{Value, json};

pub(crate) use fetch::Importer;
use fetch::{Fetched, Wish};

use super::{kind, tags::new_stream};
use crate::answer::Answer;
use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::write::{Input, WriteOptions, options, written};

const GROUP: &str = "image.openshift.io";
/// Of a repository so many images are imported at once; the other tags are named.
const MOST: usize = 50;
/// Tags of a repository that are looked at.
const TAGS: usize = 10_000;
/// Annotations of a tag that say which image of a list is meant.
const ARCHITECTURE: &str = "importer.image.openshift.io/prefer-arch";
const SYSTEM: &str = "importer.image.openshift.io/prefer-os";

impl Api {
    /// POST of an import.
    pub(super) async fn import_images(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let row = &request.kind;
        let mut decoded = options::object(row, &input.headers, input.body, options)?;
        let of = |field: &str| json::text(&decoded.value, &["metadata", field]).to_owned();
        let (version, uid) = (of("resourceVersion"), of("uid"));
        json::remove(json::child(&mut decoded.value, "metadata"), "resourceVersion");
        let mut import = self.new_view(request, decoded.value, options)?;
        let name = json::text(&import, &["metadata", "name"]).to_owned();
        let streams = kind(GROUP, STREAMS)?;
        self.catch_up(None).await?;
        let known = self.known(streams, &request.namespace, &name)?;
        super::image::stream_meant(known.as_ref(), &name, &version, &uid)?;
        let stream = known.unwrap_or_else(|| new_stream(&request.namespace, &name));
        let credentials = self.credentials(&request.namespace)?;
        let status = self.importer.answer(&import, &stream, &credentials).await?;
        json::set(&mut import, "status", status);
        if json::flag(&import, &["spec", "import"]) {
            self.keep_images(&import, options).await?;
            let now = leme_meta::time::seconds(jiff::Timestamp::now());
            let make = |stream: &Value| Ok(image_tag::import_recorded(stream, &import, &now));
            let stream = self.write_stream(&request.namespace, &name, options, make).await?;
            json::set(json::child(&mut import, "status"), "import", stream);
        }
        without_manifests(&mut import);
        written(request, input.wanted, 201, import.into(), &decoded.warnings)
    }

    /// Who the namespace is to registries.
    fn credentials(&self, namespace: &str) -> Result<Credentials, Status> {
        let mut all = Credentials::default();
        for secret in self.secrets_for_pulls(namespace)?.0 {
            for key in [".dockerconfigjson", ".dockercfg"] {
                let data = json::text(&secret, &["data", key]);
                let text = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data);
                if let Some(read) = text.ok().and_then(|text| Credentials::read(&text)) {
                    all.and(read);
                }
            }
        }
        Ok(all)
    }

    /// Stores the images that an import has found; one that is there already stays as it is.
    async fn keep_images(&self, import: &Value, options: &WriteOptions) -> Result<(), Status> {
        let create = ResourceRequest::of(Verb::Create, kind(GROUP, IMAGES)?, "", "");
        let answers = json::list(import, &["status", "images"]).iter();
        let answers = answers.chain(json::list(import, &["status", "repository", "images"]));
        let mut images: Vec<Value> = Vec::new();
        for answer in answers {
            let all = answer.get("image").into_iter().chain(json::list(answer, &["manifests"]));
            images.extend(all.filter(|image| image.is_object()).cloned());
        }
        for image in images {
            match self.create_object(&create, options.writer(), image, options).await {
                Err(refused) if refused.reason != "AlreadyExists" => return Err(refused),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Takes away manifests and configurations that were not asked for.
fn without_manifests(import: &mut Value) {
    let spec = import["spec"].clone();
    let wanted =
        |wish: Option<&Value>| wish.is_some_and(|wish| json::flag(wish, &["includeManifest"]));
    let strip = |answer: &mut Value| {
        let image = json::at_mut(answer, &["image"]).into_iter();
        for image in image {
            for field in ["dockerImageManifest", "dockerImageConfig"] {
                json::remove(image, field);
            }
        }
        for image in json::list_mut(answer, &["manifests"]) {
            for field in ["dockerImageManifest", "dockerImageConfig"] {
                json::remove(image, field);
            }
        }
    };
    let status = json::child(import, "status");
    for (index, answer) in json::list_mut(status, &["images"]).iter_mut().enumerate() {
        if !wanted(json::list(&spec, &["images"]).get(index)) {
            strip(answer);
        }
    }
    if !wanted(json::at(&spec, &["repository"])) {
        json::list_mut(status, &["repository", "images"]).iter_mut().for_each(strip);
    }
}

impl Importer {
    /// What comes of each image that an import asks for.
    ///
    /// # Errors
    /// When too many imports are under way.
    async fn answer(
        &self,
        import: &Value,
        stream: &Value,
        credentials: &Credentials,
    ) -> Result<Value, Status> {
        let session =
            self.session(json::text(stream, &["metadata", "namespace"]), credentials).await?;
        let mut known: HashMap<Wish, Result<Fetched, Status>> = HashMap::new();
        let mut answers = Vec::new();
        for image in json::list(import, &["spec", "images"]) {
            let wish = wish_of(image, stream);
            if !known.contains_key(&wish) {
                known.insert(wish.clone(), session.fetch(&wish).await);
            }
            answers.push(answered(&wish, known.get(&wish)));
        }
        let mut status = json!({});
        if !answers.is_empty() {
            status["images"] = answers.into();
        }
        if let Some(repository) = json::at(import, &["spec", "repository"]) {
            status["repository"] = session.repository(repository, &mut known).await;
        }
        Ok(status)
    }
}

impl fetch::Session<'_> {
    async fn repository(
        &self,
        wish: &Value,
        known: &mut HashMap<Wish, Result<Fetched, Status>>,
    ) -> Value {
        let whole = wish_of(wish, &Value::Null);
        let tags = match self.tags(&whole, TAGS).await {
            Ok(tags) => content::prioritized(tags),
            Err(status) => return json!({ "status": status.to_json() }),
        };
        let (mut images, mut additional, mut failures) = (Vec::new(), Vec::new(), 0);
        for tag in tags {
            let wish = Wish { from: content::tagged(&whole.from, &tag), ..whole.clone() };
            if !known.contains_key(&wish) {
                if images.len() >= MOST {
                    additional.push(tag);
                    continue;
                }
                known.insert(wish.clone(), self.fetch(&wish).await);
            }
            let mut answer = answered(&wish, known.get(&wish));
            failures += usize::from(answer["image"].is_null());
            json::set(&mut answer, "tag", tag);
            images.push(answer);
        }
        let status = match failures {
            0 => success(),
            1 => failure("one of the images from this repository failed to import".to_owned()),
            many => failure(format!("{many} of the images from this repository failed to import")),
        };
        json!({ "status": status, "images": images, "additionalTags": additional })
    }
}

/// What an image or a repository of an import asks for.
fn wish_of(part: &Value, stream: &Value) -> Wish {
    let from = json::text(part, &["from", "name"]).to_owned();
    let to = json::text(part, &["to", "name"]);
    let mut tags = json::list(stream, &["spec", "tags"]).iter();
    let tag = tags.find(|tag| !to.is_empty() && json::text(tag, &["name"]) == to);
    let prefers = |annotation: &str| {
        tag.map_or("", |tag| json::text(tag, &["annotations", annotation])).to_owned()
    };
    Wish {
        insecure: json::flag(part, &["importPolicy", "insecure"]),
        whole_list: json::text(part, &["importPolicy", "importMode"]) == "PreserveOriginal",
        architecture: prefers(ARCHITECTURE),
        os: prefers(SYSTEM),
        from,
    }
}

fn answered(wish: &Wish, fetched: Option<&Result<Fetched, Status>>) -> Value {
    let tag = wish.tag();
    match fetched {
        Some(Ok(Fetched { image, manifests })) => {
            let mut answer = json!({ "status": success(), "image": image, "tag": tag });
            if !manifests.is_empty() {
                json::set(&mut answer, "manifests", manifests.clone());
            }
            answer
        }
        Some(Err(status)) => json!({ "status": status.to_json(), "image": null, "tag": tag }),
        None => json!({ "status": failure(String::new()), "image": null, "tag": tag }),
    }
}

fn success() -> Value {
    json!({ "metadata": {}, "status": "Success" })
}

fn failure(message: String) -> Value {
    json!({ "metadata": {}, "status": "Failure", "reason": "ImportFailed", "message": message })
}
