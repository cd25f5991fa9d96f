//! What is done with images besides tagging and importing them: read as a stream's, pushed, signed.
//!
//! Knows: which objects each request reads and writes. Refuses to know: registries; nothing is fetched from one.

use leme_meta::quote;
use leme_meta::{FieldError, Path, Status};
use leme_registry::{Target, json};
use leme_strategy::image_tag::{self, IMAGES, STREAMS};
use serde_json::{Value, json};

use super::{kind, put, success};
use crate::answer::Answer;
use crate::api::Api;
use crate::negotiate::Representation;
use crate::present;
use crate::request::{ResourceRequest, Verb};
use crate::write::{Input, WriteOptions, Written, options, written};

const GROUP: &str = "image.openshift.io";
/// Secrets that hold credentials for registries, and those of them that are for nobody's images.
const PULL_SECRETS: [&str; 2] = ["kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"];
const EXCLUDED: &str = "openshift.io/image.excludeSecret";
const MANAGED: &str = "openshift.io/image.managed";

impl Api {
    /// The blobs of a stream's images.
    pub(super) fn layers(
        &self,
        request: &ResourceRequest,
        wanted: Representation,
    ) -> Result<Answer, Status> {
        let stream = self.must(&request.kind, &request.namespace, &request.name)?;
        let shown = self.layers_of(&stream)?;
        present::object(request, wanted, 200, shown)
    }

    fn layers_of(&self, stream: &Value) -> Result<Value, Status> {
        let images = kind(GROUP, IMAGES)?;
        Ok(image_tag::layers(stream, &|name| self.known(images, "", name).ok().flatten()))
    }

    /// The secrets by which images of a namespace are pulled; which stream is asked for makes no difference.
    pub(super) fn pull_secrets(
        &self,
        request: &ResourceRequest,
        wanted: Representation,
    ) -> Result<Answer, Status> {
        let (items, revision) = self.secrets_for_pulls(&request.namespace)?;
        let list = json!({
            "kind": "SecretList", "apiVersion": "image.openshift.io/v1", "items": items,
            "metadata": { "resourceVersion": revision },
        });
        present::object(request, wanted, 200, list)
    }

    /// Those secrets, and as of when.
    pub(super) fn secrets_for_pulls(
        &self,
        namespace: &str,
    ) -> Result<(Vec<Value>, String), Status> {
        let secrets = kind("", "secrets")?;
        let snapshot =
            self.cache.snapshot(&secrets.prefix(None)).ok_or_else(Status::no_such_path)?;
        let mut items = Vec::new();
        for object in snapshot.range(&secrets.prefix(Some(namespace)), "") {
            let mut secret = crate::table::decoded(object)?;
            let excluded = json::text(&secret, &["metadata", "annotations", EXCLUDED]) == "true";
            if !excluded && PULL_SECRETS.contains(&json::text(&secret, &["type"])) {
                json::remove(&mut secret, "kind");
                json::remove(&mut secret, "apiVersion");
                items.push(secret);
            }
        }
        Ok((items, snapshot.revision().to_string()))
    }

    /// An image as one of a stream.
    pub(super) fn image_of_stream(
        &self,
        request: &ResourceRequest,
        wanted: Representation,
    ) -> Result<Answer, Status> {
        let (name, id) = image_tag::stream_and_image(&request.name)?;
        let stream = self.must(kind(GROUP, STREAMS)?, &request.namespace, name)?;
        let layers = self.layers_of(&stream)?;
        let is_it = |name: &&str| image_tag::is_image(name, id);
        let found = json::entries(&layers, &["images"]).map(|(name, _)| name).filter(is_it).last();
        let Some(found) = found else {
            let mut resource = request.gvr();
            resource.resource = "imagestreamimage".to_owned();
            return Err(Status::not_found(&resource, &request.name));
        };
        let image = self.must(kind(GROUP, IMAGES)?, "", found)?;
        let shown = image_tag::image_of_stream(&stream, id, &image);
        present::object(request, wanted, 200, shown)
    }

    /// What a registry does when an image was pushed: the image is kept, and a tag names it.
    pub(super) async fn map_image(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let row = &request.kind;
        let decoded = options::object(row, &input.headers, input.body, options)?;
        let mapping = self.mapping(request, decoded.value, options)?;
        let name = self.mapped_stream(request, &mapping)?;
        let tag = json::text(&mapping, &["tag"]);
        let mut image = mapping.get("image").cloned().unwrap_or_default();
        let image_name = json::text(&image, &["metadata", "name"]).to_owned();
        let mut reference = json::text(&image, &["dockerImageReference"]).to_owned();
        let managed = json::text(&image, &["metadata", "annotations", MANAGED]) == "true";
        for field in ["kind", "apiVersion"] {
            json::remove(&mut image, field);
        }
        let create = ResourceRequest::of(Verb::Create, kind(GROUP, IMAGES)?, "", "");
        let streams = kind(GROUP, STREAMS)?;
        let mut status = ResourceRequest::of(Verb::Update, streams, &request.namespace, &name);
        status.subresource = Some(leme_kinds::Subresource::Status);
        match self.create_object(&create, options.writer(), image, options).await {
            Ok(_) => {}
            Err(refused) if refused.reason == "AlreadyExists" => {
                let stream = self.must(streams, &request.namespace, &name)?;
                let repository = ["status", "spec"]
                    .map(|part| json::text(&stream, &[part, "dockerImageRepository"]));
                let own = repository.into_iter().find(|one| !one.is_empty());
                if let Some(own) = own.filter(|_| managed) {
                    reference = format!("{own}@{image_name}");
                }
            }
            Err(refused) => return Err(refused),
        }
        let context = self.context(&status, options);
        let now = leme_meta::time::seconds(jiff::Timestamp::now());
        self.change(&status, options.dry_run, |stored, reservation| {
            let new = image_tag::pushed(&stored.value, tag, &image_name, &reference, &now);
            put(&context, (Target::Status, options.writer()), new, stored, reservation)
        })
        .await?
        .ok_or_else(|| Status::not_found(&streams.gvr(), &name))?;
        written(request, input.wanted, 201, success(201).into(), &decoded.warnings)
    }

    /// A mapping that has been checked. One that names a repository in place of a stream needs no name.
    fn mapping(
        &self,
        request: &ResourceRequest,
        mut body: Value,
        options: &WriteOptions,
    ) -> Result<Value, Status> {
        let repository = json::text(&body, &["dockerImageRepository"]).to_owned();
        let nameless = json::text(&body, &["metadata", "name"]).is_empty();
        if nameless && !repository.is_empty() {
            // The name of a list entry is checked with all else; this one is looked up.
            json::set(json::child(&mut body, "metadata"), "name", "repository");
            let mut mapping = self.new_view(request, body, options)?;
            json::remove(json::child(&mut mapping, "metadata"), "name");
            return Ok(mapping);
        }
        self.new_view(request, body, options)
    }

    /// The name of the stream that a mapping is for.
    fn mapped_stream(&self, request: &ResourceRequest, mapping: &Value) -> Result<String, Status> {
        let streams = kind(GROUP, STREAMS)?;
        let name = json::text(mapping, &["metadata", "name"]);
        if !name.is_empty() {
            return self.must(streams, &request.namespace, name).map(|_| name.to_owned());
        }
        let wanted = json::text(mapping, &["dockerImageRepository"]);
        let snapshot =
            self.cache.snapshot(&streams.prefix(None)).ok_or_else(Status::no_such_path)?;
        for object in snapshot.range(&streams.prefix(Some(&request.namespace)), "") {
            let stream = crate::table::decoded(object)?;
            if json::text(&stream, &["spec", "dockerImageRepository"]) == wanted {
                return Ok(json::text(&stream, &["metadata", "name"]).to_owned());
            }
        }
        let error = FieldError::not_found(&Path::new("dockerImageStream"), wanted);
        Err(Status::invalid(&request.kind.gvk(), "", &[error]))
    }

    /// POST of a signature of an image.
    pub(super) async fn create_signature(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let row = &request.kind;
        let decoded = options::object(row, &input.headers, input.body, options)?;
        let mut signature = self.new_view(request, decoded.value, options)?;
        for field in ["kind", "apiVersion"] {
            json::remove(&mut signature, field);
        }
        let name = json::text(&signature, &["metadata", "name"]).to_owned();
        let (image, _) = image_tag::image_and_signature(&name)?;
        let done = self
            .change_image(image, options, |image| {
                let same =
                    |one: &Value, path: &[&str]| json::at(one, path) == json::at(&signature, path);
                let known = json::list(image, &["signatures"]).iter().any(|one| {
                    same(one, &["metadata", "name"])
                        || same(one, &["type"]) && same(one, &["content"])
                });
                if known {
                    return Err(Status::already_exists(&signatures(request), &name));
                }
                let mut all = json::list(image, &["signatures"]).to_vec();
                all.push(signature.clone());
                Ok(all)
            })
            .await?;
        let image = done.object().value;
        let mut stored = json::list(&image, &["signatures"])
            .iter()
            .find(|one| json::text(one, &["metadata", "name"]) == name)
            .cloned()
            .ok_or_else(|| Status::internal("failed to store given signature"))?;
        json::set(&mut stored, "kind", "ImageSignature");
        json::set(&mut stored, "apiVersion", row.api_version());
        written(request, input.wanted, 201, stored.into(), &decoded.warnings)
    }

    /// DELETE of a signature of an image.
    pub(super) async fn delete_signature(
        &self,
        request: &ResourceRequest,
        input: Input,
    ) -> Result<Answer, Status> {
        let asked = crate::write::delete::delete_options(request, &input.headers, input.body)?;
        let (image, _) = image_tag::image_and_signature(&request.name)?;
        let options = WriteOptions { dry_run: asked.dry_run, ..WriteOptions::plain() };
        self.change_image(image, &options, |image| {
            let mut all = json::list(image, &["signatures"]).to_vec();
            let before = all.len();
            all.retain(|one| json::text(one, &["metadata", "name"]) != request.name);
            if all.len() == before {
                return Err(Status::not_found(&signatures(request), &request.name));
            }
            Ok(all)
        })
        .await?;
        present::object(request, input.wanted, 200, success(200))
    }

    /// Gives an image other signatures.
    async fn change_image(
        &self,
        name: &str,
        options: &WriteOptions,
        signatures: impl Fn(&Value) -> Result<Vec<Value>, Status> + Send + Sync,
    ) -> Result<Written, Status> {
        let request = ResourceRequest::of(Verb::Update, kind(GROUP, IMAGES)?, "", name);
        let context = self.context(&request, options);
        self.change(&request, options.dry_run, |stored, reservation| {
            let mut new = stored.value.clone();
            json::set(&mut new, "signatures", signatures(&stored.value)?);
            put(&context, (Target::Main, options.writer()), new, stored, reservation)
        })
        .await?
        .ok_or_else(|| Status::not_found(&request.gvr(), name))
    }
}

/// Signatures as errors name them.
fn signatures(request: &ResourceRequest) -> leme_meta::Gvr {
    leme_meta::Gvr { resource: "imageSignatures".to_owned(), ..request.gvr() }
}

/// Whether an import is for the stream that is there.
pub(super) fn stream_meant(
    known: Option<&Value>,
    name: &str,
    version: &str,
    uid: &str,
) -> Result<(), Status> {
    let mut resource = kind(GROUP, STREAMS)?.gvr();
    let Some(stream) = known else {
        let anything = version.is_empty() && uid.is_empty();
        return if anything { Ok(()) } else { Err(Status::not_found(&resource, name)) };
    };
    resource.resource = "imagestream".to_owned();
    let now = json::text(stream, &["metadata", "resourceVersion"]);
    if !version.is_empty() && version != now {
        let why = format!(
            "the image stream was updated from {version} to {now}",
            version = quote(&version),
            now = quote(&now)
        );
        return Err(Status::conflict(&resource, name, &why));
    }
    if !uid.is_empty() && uid != json::text(stream, &["metadata", "uid"]) {
        return Err(Status::not_found(&resource, name));
    }
    Ok(())
}
