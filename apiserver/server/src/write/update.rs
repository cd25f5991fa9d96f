//! PUT: an object, its status, its scale or its finalizers replaced.
//!
//! Knows: PUT of what is absent creates it where the kind allows and who asks may create. Refuses to know: which fields may change.

use std::borrow::Cow;
use std::sync::LazyLock;

use leme_kinds::{Kind, Scope, Storage, Subresource};
use leme_meta::Status;
use leme_registry::Target;

use super::{Input, WriteOptions, Written, create, options, written};
use crate::admit;
use crate::answer::Answer;
use crate::api::Api;
use crate::present::Object;
use crate::request::{ResourceRequest, Verb};
use crate::schema::Shape;

/// The part of an object that a request's subresource stands for.
pub(crate) fn target(request: &ResourceRequest) -> Target {
    match request.subresource {
        Some(Subresource::Status) => Target::Status,
        Some(Subresource::Scale) => Target::Scale,
        Some(Subresource::Finalize) => Target::Finalize,
        Some(Subresource::Approval) => Target::Approval,
        Some(Subresource::EphemeralContainers) => Target::EphemeralContainers,
        Some(Subresource::Resize) => Target::Resize,
        _ => Target::Main,
    }
}

/// What a body for a part of an object is, and what it is held against. The older Scale is read by whoever knows it.
pub(super) fn shape_of(request: &ResourceRequest, target: Target) -> (&Kind, Shape<'_>) {
    static SCALE: LazyLock<Kind> = LazyLock::new(|| Kind {
        group: "autoscaling".into(),
        version: "v1".into(),
        kind: "Scale".into(),
        plural: "scales".into(),
        singular: "scale".into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope: Scope::Namespaced,
        storage: Storage::Virtual,
        verbs: &[],
        subresources: Cow::Borrowed(&[]),
        columns: Cow::Borrowed(&[]),
        selectable: Cow::Borrowed(&[]),
        schema: "io.k8s.api.autoscaling.v1.Scale".into(),
        custom: None,
    });
    match (target, request.strategy().scale) {
        (Target::Scale, Some(scale)) if !scale.selector_map => (&SCALE, Shape::of(&SCALE)),
        (Target::Scale, _) => (&request.kind, Shape::Any),
        _ => (&request.kind, Shape::of(&request.kind)),
    }
}

impl Api {
    /// PUT of an object or a subresource.
    pub(crate) async fn update(
        &self,
        request: &ResourceRequest,
        input: Input,
    ) -> Result<Answer, Status> {
        let Input { who, headers, body, wanted } = input;
        let options = WriteOptions::of(request, &headers)?;
        let target = target(request);
        let (kind, shape) = shape_of(request, target);
        let decoded = options::shaped(kind, shape, &headers, body, &options)?;
        let body = create::kept(request, target, decoded.value)?;
        let strategy = request.strategy();
        let context = self.context(request, &options);
        let mut told = Vec::new();
        let changed = self
            .change(request, options.dry_run, |stored, reservation| {
                let body = body.clone();
                let write = leme_registry::update(
                    &context,
                    target,
                    options.writer(),
                    body,
                    (&stored.value, stored.revision),
                    reservation,
                )?;
                told = self.warnings_about(request, target, &write, &stored.value);
                Ok(write.into())
            })
            .await?;
        let mut warnings = decoded.warnings;
        match changed {
            Some(done) => {
                let object = self.shown_target(request, target, done)?;
                warnings.extend(told);
                written(request, wanted, 200, object, &warnings)
            }
            None if strategy.create_on_update && target == Target::Main => {
                admit::authorize(&self.policies.load(), &who, request, Verb::Create)?;
                let (object, more) =
                    self.create_object(request, options.writer(), body, &options).await?;
                warnings.extend(more);
                written(request, wanted, 201, object, &warnings)
            }
            None => Err(Status::not_found(&request.gvr(), &request.name)),
        }
    }

    /// What the client sees of the object it changed: a Scale, if it changed the scale.
    pub(super) fn shown_target(
        &self,
        request: &ResourceRequest,
        target: Target,
        done: Written,
    ) -> Result<Object, Status> {
        let object = done.object();
        match (target, request.strategy().scale) {
            (Target::Scale, Some(scale)) => {
                leme_registry::scale_shown(&request.kind, &scale, &object.value).map(Into::into)
            }
            (Target::Scale, None) => Err(Status::no_such_path()),
            _ => Ok(object),
        }
    }
}
