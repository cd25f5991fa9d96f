//! PATCH that applies a configuration: server-side apply. It creates what is not there.
//!
//! Knows: how a configuration is read, that a create has to be allowed as one. Refuses to know: who owns what, and what
//! becomes of an object.

use bytes::Bytes;
use leme_meta::{Status, decode, patch, whole_numbers};
use leme_registry::{Context, Target, Writer, json};
use serde_json::{Map, Value};

use super::options::Validation;
use super::{Change, Input, WriteOptions, create, target, written};
use crate::admit;
use crate::answer::Answer;
use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::yaml::{self, UNCONVERTED};

/// How often an object is found to be neither there nor not there before that is given up.
const TRIES: usize = 5;

/// A configuration as it was sent.
struct Configuration {
    /// As it is kept.
    value: Value,
    /// What is said of keys that it has twice.
    twice: Vec<String>,
}

impl Configuration {
    fn read(bytes: &Bytes, validation: Validation) -> Result<Configuration, Status> {
        let wrong = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
        // Programs send JSON, which is read faster.
        if bytes.first() == Some(&b'{')
            && let Ok(mut document) = decode::document(bytes)
            && document.duplicates.is_empty()
        {
            whole_numbers(&mut document.value);
            return Ok(Configuration { value: document.value, twice: Vec::new() });
        }
        let value = match yaml::value(bytes) {
            Ok(Value::Null) => Value::Object(Map::new()),
            Ok(value) if value.is_object() => value,
            Ok(other) => {
                let why = patch::no_map(&other);
                return Err(wrong(format!("error unmarshaling JSON: while decoding JSON: {why}")));
            }
            Err(error) => return Err(wrong(format!("{UNCONVERTED}: {error}"))),
        };
        let twice = match validation {
            Validation::Ignore => Vec::new(),
            _ => yaml::doubled(bytes),
        };
        Ok(Configuration { value, twice })
    }

    /// The same as it is kept, of a kind that is kept as another.
    fn kept(self, request: &ResourceRequest, target: Target) -> Result<Configuration, Status> {
        if !request.kept.is_view() || target == Target::Scale {
            return Ok(self);
        }
        leme_registry::check_configuration(&request.kind, &self.value)?;
        Ok(Configuration { value: create::kept(request, target, self.value)?, ..self })
    }
}

/// What a configuration makes of what there is, and what is said of the configuration.
fn merged(
    context: &Context,
    target: Target,
    configuration: &Configuration,
    live: Option<&Value>,
    options: &WriteOptions,
) -> Result<Value, Status> {
    let asked = (options.manager.as_str(), options.force);
    let merged = leme_registry::apply(context, target, &configuration.value, live, asked)?;
    let twice = &configuration.twice;
    if options.validation != Validation::Strict || twice.is_empty() {
        return Ok(merged);
    }
    let why = yaml::error(twice);
    Err(Status::bad_request(format!("error strict decoding YAML: {UNCONVERTED}: {why}")))
}

impl Api {
    /// PATCH of an object or a subresource by a configuration.
    pub(super) async fn apply(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let Input { who, body, wanted, .. } = input;
        let target = target(request);
        let configuration =
            Configuration::read(&body, options.validation)?.kept(request, target)?;
        let context = self.context(request, options);
        let mut warnings: Vec<String> = configuration.twice.clone();
        for _ in 0..TRIES {
            let mut told = Vec::new();
            let changed = self
                .change(request, options.dry_run, |stored, numbers| {
                    let (live, revision) = (&stored.value, stored.revision);
                    let new = merged(&context, target, &configuration, Some(live), options)?;
                    let (writer, old) = (Writer::Applied, (live, revision));
                    let write =
                        leme_registry::patched(&context, target, writer, new, old, numbers)?;
                    told = self.warnings_about(request, target, &write, live);
                    Ok(Change::from(write).whole())
                })
                .await?;
            if let Some(done) = changed {
                let object = self.shown_target(request, target, done)?;
                warnings.extend(told);
                return written(request, wanted, 200, object, &warnings);
            }
            if target != Target::Main {
                return Err(Status::not_found(&request.gvr(), &request.name));
            }
            let mut new = merged(&context, target, &configuration, None, options)?;
            json::remove(json::child(&mut new, "metadata"), "resourceVersion");
            admit::authorize(&self.policies.load(), &who, request, Verb::Create)?;
            match self.create_object(request, Writer::Applied, new, options).await {
                // Somebody was faster: their object is applied to.
                Err(status) if status.reason == "AlreadyExists" => {}
                Err(status) => return Err(status),
                Ok((object, told)) => {
                    warnings.extend(told);
                    return written(request, wanted, 201, object, &warnings);
                }
            }
        }
        Err(Status::stale(&request.gvr(), &request.name))
    }
}
