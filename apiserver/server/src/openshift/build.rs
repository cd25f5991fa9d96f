//! What is asked of BuildConfigs and builds by a path below them.
//!
//! Knows: that a configuration counts a build before it is made, and who may call a hook. Refuses to know: what a build
//! takes over, and how one is run.

use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leme_meta::Status;
use leme_registry::{Admission, Operation, Target, json};
use leme_strategy::build::{self, generate, hook};
use serde_json::{Value, json};

use super::{below, kind, put};
use crate::admit;
use crate::answer::{self, Answer};
use crate::api::Api;
use crate::body::Body;
use crate::present;
use crate::request::{ResourceRequest, Verb};
use crate::write::{Input, WriteOptions, written};

const GROUP: &str = "build.openshift.io";
/// The key of a Secret under which a hook's secret is kept.
const HOOK_KEY: &str = "WebHookSecretKey";

impl Api {
    /// POST of the request for the next build of a configuration.
    pub(super) async fn instantiate_build(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let mut decoded = below::decoded(request, &input, options, &["metadata", "name"])?;
        if json::list(&decoded.value, &["triggeredBy"]).is_empty() {
            let cause = json!([{ "message": "Manually triggered" }]);
            json::set(&mut decoded.value, "triggeredBy", cause);
        }
        self.catch_up(None).await?;
        if let Some(config) = self.known(&request.kind, &request.namespace, &request.name)? {
            self.may_build(request, &config)?;
        }
        let (build, warnings) = self.next_build(request, &decoded.value, options).await?;
        let warnings = [decoded.warnings, warnings].concat();
        written(request, input.wanted, 201, build.into(), &warnings)
    }

    /// Refuses whoever asks for a build by a strategy that is not allowed to them.
    pub(super) fn may_build(&self, request: &ResourceRequest, of: &Value) -> Result<(), Status> {
        let asked = admit::asked(request, Operation::Create, false);
        self.admission.validate(&asked, Some(of), None)
    }

    /// Counts and makes the next build of a configuration.
    pub(super) async fn next_build(
        &self,
        request: &ResourceRequest,
        asked: &Value,
        options: &WriteOptions,
    ) -> Result<(Value, Vec<String>), Status> {
        let config =
            ResourceRequest::of(Verb::Update, &request.kind, &request.namespace, &request.name);
        let context = self.context(&config, options);
        let made = Mutex::new(Value::Null);
        self.catch_up(None).await?;
        let now = leme_meta::time::seconds(jiff::Timestamp::now());
        self.change(&config, options.dry_run, |stored, reservation| {
            let streams = |namespace: &str, name: &str| self.stream(namespace, name);
            let next = generate::instantiate(&stored.value, asked, &streams, &now)?;
            *made.lock().unwrap_or_else(PoisonError::into_inner) = next.build;
            let new = next.config.unwrap_or_else(|| stored.value.clone());
            put(&context, (Target::Main, options.writer()), new, stored, reservation)
        })
        .await?
        .ok_or_else(|| Status::not_found(&config.gvr(), &config.name))?;
        let build = made.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.new_build(&request.namespace, build, options).await
    }

    async fn new_build(
        &self,
        namespace: &str,
        mut build: Value,
        options: &WriteOptions,
    ) -> Result<(Value, Vec<String>), Status> {
        let builds = ResourceRequest::of(Verb::Create, kind(GROUP, "builds")?, namespace, "");
        // As one that a client sends is read: later writes of its status leave out what is left out.
        leme_meta::schema::prune(leme_kinds::schemas(), &builds.kind.schema, &mut build);
        let (object, warnings) =
            self.create_object(&builds, options.writer(), build, options).await?;
        Ok((object.value, warnings))
    }

    /// POST of a request to make a build once more.
    pub(super) async fn clone_build(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let decoded = below::decoded(request, &input, options, &["metadata", "name"])?;
        self.catch_up(None).await?;
        let build = self.must(&request.kind, &request.namespace, &request.name)?;
        self.may_build(request, &build)?;
        let name = json::text(&build, &["status", "config", "name"]);
        let configs = kind(GROUP, "buildconfigs")?;
        let nanos = jiff::Timestamp::now().as_nanosecond().unsigned_abs() % 10_000_000_000;
        let stamp = format!("{nanos:010}");
        let made = Mutex::new(Value::Null);
        let mut known = None;
        if !name.is_empty() {
            let config = ResourceRequest::of(Verb::Update, configs, &request.namespace, name);
            let context = self.context(&config, options);
            known = self
                .change(&config, options.dry_run, |stored, reservation| {
                    let config = Some(&stored.value);
                    let next = generate::again(&build, config, &decoded.value, &stamp)?;
                    *made.lock().unwrap_or_else(PoisonError::into_inner) = next.build;
                    let new = next.config.unwrap_or_else(|| stored.value.clone());
                    put(&context, (Target::Main, options.writer()), new, stored, reservation)
                })
                .await?;
        }
        let made = match known {
            Some(_) => made.into_inner().unwrap_or_else(PoisonError::into_inner),
            None => generate::again(&build, None, &decoded.value, &stamp)?.build,
        };
        let (made, warnings) = self.new_build(&request.namespace, made, options).await?;
        let warnings = [decoded.warnings, warnings].concat();
        written(request, input.wanted, 201, made.into(), &warnings)
    }

    /// PUT of what a build says of itself.
    pub(super) async fn build_details(
        &self,
        request: &ResourceRequest,
        input: Input,
    ) -> Result<Answer, Status> {
        let request = ResourceRequest { instead: Some(&build::DETAILS), ..request.clone() };
        self.update(&request, input).await
    }

    /// POST by a service that keeps source. Whoever does not know the secret does not learn what there is.
    pub(super) async fn call_hook(
        &self,
        request: &ResourceRequest,
        input: Input,
    ) -> Result<Answer, Status> {
        let (secret, service) = hook::parts(&request.rest)?;
        self.catch_up(None).await?;
        let refused = || hook::refused(&request.name, service);
        let config = self.known(&request.kind, &request.namespace, &request.name)?;
        let config = config.ok_or_else(refused)?;
        let kept = |name: &str| self.hook_secret(&request.namespace, name);
        let trigger = hook::trigger(&config, service, secret, &kept).ok_or_else(refused)?;
        let hooked = hooked(&config, trigger, service, &input)?;
        match hooked {
            hook::Hooked::Nothing(why) if why.is_empty() => {
                Ok(answer::with_body(200, "text/plain", Body::empty()))
            }
            hook::Hooked::Nothing(why) => {
                let told = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                    "message": why, "code": 200,
                });
                present::object(request, input.wanted, 200, told)
            }
            hook::Hooked::Build(asked, warning) => {
                let options = WriteOptions::plain();
                let made = self.next_build(request, &asked, &options).await;
                let (build, _) = made.map_err(|why| {
                    Status::internal(format!("could not generate a build: {why}"))
                })?;
                let warnings: Vec<String> =
                    Some(warning).filter(|text| !text.is_empty()).into_iter().collect();
                written(request, input.wanted, 200, build.into(), &warnings)
            }
        }
    }

    fn hook_secret(&self, namespace: &str, name: &str) -> Option<Vec<u8>> {
        let secret = self.known(kind("", "secrets").ok()?, namespace, name).ok().flatten()?;
        STANDARD.decode(json::text(&secret, &["data", HOOK_KEY])).ok()
    }
}

/// What an event that arrived asks for.
fn hooked(
    config: &Value,
    trigger: &Value,
    service: &str,
    input: &Input,
) -> Result<hook::Hooked, Status> {
    let header = |name: &str| {
        let text = input.headers.get(name).and_then(|text| text.to_str().ok());
        text.unwrap_or("").to_owned()
    };
    let yaml = crate::body::media_type(&input.headers) == "application/yaml";
    let body = match yaml && !input.body.is_empty() {
        // What is none is told by the reader of JSON.
        true => crate::body::to_json("application/yaml", input.body.clone())
            .map_or_else(|_| input.body.clone(), Into::into),
        false => input.body.clone(),
    };
    let event = hook::Event { header: &header, body: &body };
    hook::extract(config, trigger, service, &event)
}
