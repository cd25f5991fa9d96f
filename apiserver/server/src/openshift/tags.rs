//! ImageStreamTags and ImageTags: read and written as objects, kept in their streams.
//!
//! Knows: that each write is one of the stream, tried again when somebody was faster. Refuses to know: what a tag says and
//! what it names; the strategies do.

use leme_kinds::Kind;
use leme_meta::Status;
use leme_meta::quote;
use leme_registry::{Context, Target, json};
use leme_strategy::image_tag::{self, STREAM_TAGS, STREAMS};
use serde_json::{Value, json};

use super::{kind, list, made, put, success};
use crate::allocate::Reservation;
use crate::answer::Answer;
use crate::api::Api;
use crate::negotiate::Representation;
use crate::present;
use crate::request::{ResourceRequest, Verb};
use crate::write::delete::delete_options;
use crate::write::{Input, WriteOptions, options, patch, suffix, without_owners, written};

/// How often a stream is looked at again that somebody else makes at the same time.
const TRIES: usize = 10;

/// The request by which a stream is written with spec and status.
pub(super) fn of_stream(
    verb: Verb,
    namespace: &str,
    name: &str,
) -> Result<ResourceRequest, Status> {
    let streams = kind("image.openshift.io", STREAMS)?;
    let instead = Some(&leme_strategy::IMAGE_STREAM_INTERNAL);
    Ok(ResourceRequest { instead, ..ResourceRequest::of(verb, streams, namespace, name) })
}

/// A stream that is not there yet.
pub(super) fn new_stream(namespace: &str, name: &str) -> Value {
    json!({
        "kind": "ImageStream", "apiVersion": "image.openshift.io/v1",
        "metadata": { "name": name, "namespace": namespace }, "spec": {}, "status": {},
    })
}

/// What a write asks a tag to be, given what it is.
type Wish<'a> = Box<dyn Fn(&Value) -> Result<(Value, Vec<String>), Status> + Send + Sync + 'a>;

impl Api {
    fn tag_view(
        &self,
        request: &ResourceRequest,
        stream: &Value,
        tag: &str,
        written: bool,
    ) -> Result<Value, Status> {
        let images = kind("image.openshift.io", image_tag::IMAGES)?;
        let by_name = |name: &str| self.must(images, "", name);
        let image = image_tag::tagged_image(stream, tag, &request.kind).and_then(by_name);
        if &*request.kind.plural != STREAM_TAGS {
            return image_tag::tag(stream, tag, image.ok().as_ref(), written);
        }
        let image = if written { image.ok() } else { Some(image?) };
        image_tag::stream_tag(stream, tag, image.as_ref(), written)
    }

    /// GET of a tag.
    pub(super) fn get_tag(
        &self,
        request: &ResourceRequest,
        wanted: Representation,
    ) -> Result<Answer, Status> {
        let (name, tag) = image_tag::stream_and_tag(&request.kind.kind, &request.name)?;
        let streams = kind("image.openshift.io", STREAMS)?;
        let stream = self.must(streams, &request.namespace, name)?;
        let tag = self.tag_view(request, &stream, tag, false)?;
        present::object(request, wanted, 200, tag)
    }

    /// LIST of the tags of all streams; their images are named and not shown.
    pub(super) fn list_tags(
        &self,
        request: &ResourceRequest,
        wanted: Representation,
    ) -> Result<Answer, Status> {
        let streams = kind("image.openshift.io", STREAMS)?;
        let namespace = (!request.namespace.is_empty()).then_some(request.namespace.as_str());
        let snapshot =
            self.cache.snapshot(&streams.prefix(None)).ok_or_else(Status::no_such_path)?;
        let mut tags = Vec::new();
        for object in snapshot.range(&streams.prefix(namespace), "") {
            let stream = crate::table::decoded(object)?;
            let names = |part: &str, field: &str| -> Vec<String> {
                let list = json::list(&stream, &[part, "tags"]).iter();
                list.map(|one| json::text(one, &[field]).to_owned()).collect()
            };
            let mut all = names("status", "tag");
            if &*request.kind.plural == STREAM_TAGS {
                let shown = |tag: &String| image_tag::stream_tag(&stream, tag, None, false).ok();
                tags.extend(all.iter().filter_map(shown));
            } else {
                all.extend(names("spec", "name"));
                all.sort_unstable();
                all.dedup();
                let shown = |tag: &String| image_tag::tag(&stream, tag, None, false).ok();
                tags.extend(all.iter().filter_map(shown));
            }
        }
        list::shown(request, wanted, list::selected(request, tags)?)
    }

    /// POST of a tag, into its stream or a new one.
    pub(super) async fn create_tag(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let kind = &request.kind;
        let decoded = options::object(kind, &input.headers, input.body, options)?;
        let object = self.new_view(request, decoded.value, options)?;
        let full = json::text(&object, &["metadata", "name"]).to_owned();
        let Some((name, tag)) = full.split_once(':') else {
            let why =
                format!("{full} must be of the form <stream_name>:<tag>", full = quote(&full));
            return Err(Status::new(500, "", why));
        };
        let tag = if tag.is_empty() { "latest" } else { tag };
        let (field, refused) = match &*kind.plural {
            STREAM_TAGS => ("tag", "imagestreamtag"),
            other => ("spec", other),
        };
        let spec = json::at(&object, &[field]).cloned();
        let make = |stream: &Value| image_tag::created(stream, tag, spec.as_ref(), refused);
        let stream = self.write_stream(&request.namespace, name, options, make).await?;
        let shown = self.tag_view(request, &stream, tag, true)?;
        written(request, input.wanted, 201, shown.into(), &decoded.warnings)
    }

    /// A view as a create makes it of a body.
    pub(super) fn new_view(
        &self,
        request: &ResourceRequest,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Value, Status> {
        let context = Context {
            uid: uuid::Uuid::new_v4().to_string(),
            suffix: suffix(),
            ..self.context(request, options)
        };
        let mut numbers = self.pools.reserve(&self.cache, "", &[]);
        let mut view = leme_registry::create(&context, options.writer(), body, &mut numbers)?;
        // Nobody owns what is kept nowhere.
        without_owners(&mut view);
        Ok(view)
    }

    /// Writes a stream as `make` says of what it is; one that is not there is made.
    pub(super) async fn write_stream(
        &self,
        namespace: &str,
        name: &str,
        options: &WriteOptions,
        make: impl Fn(&Value) -> Result<Value, Status> + Send + Sync,
    ) -> Result<Value, Status> {
        let request = of_stream(Verb::Update, namespace, name)?;
        let context = self.context(&request, options);
        for _ in 0..TRIES {
            let done = self
                .change(&request, options.dry_run, |stored, reservation| {
                    let new = make(&stored.value)?;
                    put(&context, (Target::Main, options.writer()), new, stored, reservation)
                })
                .await?;
            if let Some(done) = done {
                return Ok(done.object().value);
            }
            let body = make(&new_stream(namespace, name))?;
            let create = of_stream(Verb::Create, namespace, "")?;
            match self.create_object(&create, options.writer(), body, options).await {
                Ok((object, _)) => return Ok(object.value),
                Err(status) if status.reason == "AlreadyExists" => {}
                Err(status) => return Err(status),
            }
        }
        Err(Status::timeout("the image stream could not be written, please try again", 2))
    }

    /// PUT or PATCH of a tag; without a version it is what it shall be, whatever it was.
    pub(super) async fn update_tag(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let kind = &request.kind;
        let (name, tag) = image_tag::stream_and_tag(&kind.kind, &request.name)?;
        let wanted = input.wanted;
        let wish: Wish<'_> = if request.verb == Verb::Patch {
            let patch = patch::OfView::read(&input.headers, input.body, options)?;
            Box::new(move |old| patch.apply(request, old))
        } else {
            let decoded = options::object(kind, &input.headers, input.body, options)?;
            Box::new(move |_| Ok((decoded.value.clone(), decoded.warnings.clone())))
        };
        let (told, existed) = (std::sync::Mutex::new(Vec::new()), std::sync::Mutex::new(false));
        let make = |stream: &Value| {
            let old = self.empty_view(kind, stream, tag)?;
            let (body, warnings) = wish(&old)?;
            *told.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = warnings;
            let known = json::list(stream, &["spec", "tags"]);
            let exists = known.iter().any(|one| json::text(one, &["name"]) == tag);
            *existed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = exists;
            let object = self.updated_view(request, body, stream, old, options)?;
            image_tag::updated(stream, tag, &object)
        };
        let stream = self.write_stream(&request.namespace, name, options, make).await?;
        let shown = self.tag_view(request, &stream, tag, true)?;
        let code = if existed.into_inner().unwrap_or(true) { 200 } else { 201 };
        let warnings = told.into_inner().unwrap_or_default();
        written(request, wanted, code, shown.into(), &warnings)
    }

    /// A tag as it is before it is written: without its image, and also where there is none yet.
    fn empty_view(&self, kind: &Kind, stream: &Value, tag: &str) -> Result<Value, Status> {
        match &*kind.plural {
            STREAM_TAGS => image_tag::stream_tag(stream, tag, None, true),
            _ => image_tag::tag(stream, tag, None, true),
        }
    }

    /// What an update makes of a tag, given what is sent and the stream.
    fn updated_view(
        &self,
        request: &ResourceRequest,
        mut body: Value,
        stream: &Value,
        old: Value,
        options: &WriteOptions,
    ) -> Result<Value, Status> {
        let now = json::text(stream, &["metadata", "resourceVersion"]);
        let said = json::text(&body, &["metadata", "resourceVersion"]).to_owned();
        if !said.is_empty() && now.is_empty() {
            return Err(Status::not_found(&request.gvr(), &request.name));
        }
        if !said.is_empty() && said != now {
            let name = json::text(&body, &["metadata", "name"]);
            let why = format!("another caller has updated the resource version to {now}");
            return Err(Status::conflict(&request.gvr(), name, &why));
        }
        let metadata = json::child(&mut body, "metadata");
        json::remove(metadata, "resourceVersion");
        if json::unset(metadata, "labels")
            && let Some(labels) = json::at(stream, &["metadata", "labels"])
        {
            json::set(metadata, "labels", labels.clone());
        }
        if now.is_empty() {
            json::remove(metadata, "uid");
            return self.new_view(request, body, options);
        }
        let context = self.context(request, options);
        let mut reservation: Reservation<'_> = self.pools.reserve(&self.cache, "", &[]);
        let revision = now.parse().unwrap_or(0);
        let (writer, stored) = (options.writer(), (&old, revision));
        leme_registry::update(&context, Target::Main, writer, body, stored, &mut reservation)
            .map(|write| made(write, old))
    }

    /// DELETE of a tag, with its history.
    pub(super) async fn delete_tag(
        &self,
        request: &ResourceRequest,
        input: Input,
    ) -> Result<Answer, Status> {
        let options = delete_options(request, &input.headers, input.body)?;
        let (name, tag) = image_tag::stream_and_tag(&request.kind.kind, &request.name)?;
        let stream = of_stream(Verb::Update, &request.namespace, name)?;
        let write = WriteOptions { dry_run: options.dry_run, ..WriteOptions::plain() };
        let context = self.context(&stream, &write);
        self.change(&stream, options.dry_run, |stored, reservation| {
            let uid = json::text(&stored.value, &["metadata", "uid"]);
            if options.uid.as_deref().is_some_and(|wanted| wanted != uid) {
                let why = "the UID precondition was not met";
                return Err(Status::conflict(&request.gvr(), &request.name, why));
            }
            let new = image_tag::deleted(&stored.value, tag)
                .ok_or_else(|| Status::not_found(&request.gvr(), &request.name))?;
            put(&context, (Target::Main, write.writer()), new, stored, reservation)
        })
        .await?
        .ok_or_else(|| Status::not_found(&stream.gvr(), name))?;
        present::object(request, input.wanted, 200, success(200))
    }
}
