//! POST: a new object, or a Binding carried out on an old one.
//!
//! Knows: generated names are tried again, doubled ones refused. Refuses to know: what makes an object valid.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use leme_kinds::{Kind, Storage, Subresource};
use leme_meta::{Gvr, Status};
use leme_registry::{Asked, Context, Operation, Target, Writer};
use leme_store::{Class, Expect, Outcome};
use serde_json::{Value, json};

use super::{Input, PATIENCE, WriteOptions, options, stored_as, suffix, too_late, written};
use crate::admit;
use crate::allocate::{Number, Reservation, has_numbers};
use crate::answer::{Answer, read_failed};
use crate::api::Api;
use crate::charges::Charge;
use crate::negotiate::Representation;
use crate::present::{self, Object};
use crate::request::{ResourceRequest, Verb, none_comes};
use crate::served::Served;

/// Generated names are random: that so many in a row are taken does not happen by chance.
const NAME_TRIES: usize = 8;

impl Api {
    /// POST of an object to its collection, or of a Binding to an object.
    pub(crate) async fn create(
        &self,
        request: &ResourceRequest,
        input: Input,
    ) -> Result<Answer, Status> {
        let options = WriteOptions::of(request, &input.headers)?;
        if request.kind.storage == Storage::Virtual {
            if *request.kind.kind == *"Binding" {
                return self.bind_named(request, input, &options).await;
            }
            return self.review(request, input, &options).await;
        }
        match request.subresource {
            Some(Subresource::Binding) => return self.bind(request, input, &options).await,
            Some(Subresource::Eviction) => return self.evict(request, input, &options).await,
            Some(Subresource::Token) => return self.issue_token(request, input, &options).await,
            _ => {}
        }
        let Input { headers, body, wanted, .. } = input;
        let decoded = options::object(&request.kind, &headers, body, &options)?;
        let body = kept(request, Target::Main, decoded.value)?;
        let (object, mut warnings) =
            self.create_object(request, options.writer(), body, &options).await?;
        warnings.splice(0..0, decoded.warnings);
        written(request, wanted, 201, object, &warnings)
    }

    /// Creates an object from its decoded body, as it is kept; the answer carries its resourceVersion.
    pub(crate) async fn create_object(
        &self,
        request: &ResourceRequest,
        writer: Writer<'_>,
        mut body: Value,
        options: &WriteOptions,
    ) -> Result<(Object, Vec<String>), Status> {
        admit::wait(self, request, &body).await;
        self.allot_users(request, &mut body, options.dry_run).await?;
        // As long as somebody holds the set of kinds, a kind that is going has not gone.
        let _served = self.comes(&request.kind)?;
        let given = leme_registry::json::text(&body, &["metadata", "name"]).to_owned();
        let generated = given.is_empty() && request.name.is_empty();
        let tries = if generated { NAME_TRIES } else { 1 };
        let (taken, mut names) = (taken(&body), Vec::new());
        let key = request.kind.key(&request.namespace, &given);
        let repeats = generated || has_numbers(&key);
        let (mut lost, mut certain, began) = (Vec::new(), false, Instant::now());
        while names.len() < tries && began.elapsed() < PATIENCE {
            let suffix = if generated { suffix() } else { String::new() };
            let attempt = if repeats { body.clone() } else { std::mem::take(&mut body) };
            let mut reservation = self.pools.reserve(&self.cache, &key, &lost);
            let tried =
                self.create_once(request, (writer, attempt, suffix), options, &mut reservation);
            match tried.await {
                Ok(Tried::Done(object, warnings)) => return Ok((*object, warnings)),
                Ok(Tried::Name(name)) => names.push(name),
                Ok(Tried::Number(number)) => lost.push(number),
                Err(_) if reservation.is_doubtful() && !certain => {
                    certain = true;
                    self.cache.fresh().await.map_err(read_failed)?;
                }
                Err(status) => return Err(status),
            }
        }
        Err(match names.last() {
            Some(last) if names.len() == tries => taken(&request.gvr(), last),
            _ => too_late(),
        })
    }

    /// Tries to create an object under one name and with one choice of numbers.
    async fn create_once(
        &self,
        request: &ResourceRequest,
        (writer, body, suffix): (Writer<'_>, Value, String),
        options: &WriteOptions,
        reservation: &mut Reservation<'_>,
    ) -> Result<Tried, Status> {
        let uid = uuid::Uuid::new_v4().to_string();
        let context = Context { uid, suffix, ..self.context(request, options) };
        let strategy = request.strategy();
        let mut new = leme_registry::create(&context, writer, body, reservation)?;
        let name = leme_registry::json::text(&new, &["metadata", "name"]).to_owned();
        let key = request.kind.key(&request.namespace, &name);
        let mut warnings = leme_strategy::warnings(strategy, &request.kind, &new, None);
        let asked = Asked { name: &name, ..admit::asked(request, Operation::Create, false) };
        warnings.extend(self.admission.warnings(&asked, &new, None));
        if options.dry_run {
            return Ok(match self.stored(&key).await? {
                None => Tried::Done(Box::new(new.into()), warnings),
                Some(_) => Tried::Name(name),
            });
        }
        let charge = self.charge(&asked, &new, None).await?;
        let claims = match self.claim(reservation, (&request.namespace, &name)).await? {
            Ok(claims) => claims,
            Err(number) => return Ok(Tried::Number(number)),
        };
        if Charge::is_late(charge.as_ref()) {
            self.take_back(claims).await;
            return Err(too_late());
        }
        let class = if strategy.is_heartbeat { Class::Reserved } else { Class::Ordinary };
        let _pass = self.pass(request, None, Some(&new)).await?;
        let object = (&mut new, writer == Writer::Applied);
        // Where it is not known whether it happened, what was claimed stays until that shows.
        match self.write_object(request, class, &key, object, Expect::Absent).await? {
            (Outcome::Done(revision), bytes) => {
                Charge::used(charge);
                reservation.written(&self.cache, revision).await;
                self.seen(&request.kept.kind, revision).await;
                Ok(Tried::Done(Box::new(stored_as(new, &bytes, revision)), warnings))
            }
            (Outcome::Conflict(_), _) => {
                self.take_back(claims).await;
                Ok(Tried::Name(name))
            }
        }
    }

    /// The set of kinds in which objects of a kind may come to be; of a kind that the program brings along, always.
    fn comes(&self, kind: &Kind) -> Result<Option<Arc<Served>>, Status> {
        if kind.custom.is_none() {
            return Ok(None);
        }
        let served = self.served.load_full();
        match served.kinds.by_resource(&kind.group, &kind.version, &kind.plural) {
            None => Err(Status::no_such_path()),
            Some(now) if !now.verbs.contains(&"create") => Err(none_comes(now)),
            Some(_) => Ok(Some(served)),
        }
    }

    /// The older way to bind a pod: to the collection of Bindings, which names the pod itself.
    async fn bind_named(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let pods = leme_kinds::by_kind("", "v1", "Pod").ok_or_else(Status::no_such_path)?;
        let json = crate::body::to_json(&crate::body::media_type(&input.headers), input.body)?;
        let (binding, _) = options::parsed(&json)?;
        let name = leme_registry::json::text(&binding, &["metadata", "name"]);
        let of_pod = ResourceRequest {
            subresource: Some(Subresource::Binding),
            ..ResourceRequest::of(Verb::Create, pods, &request.namespace, name)
        };
        let input = Input { body: json, headers: HeaderMap::new(), ..input };
        self.bind(&of_pod, input, options).await
    }

    async fn bind(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let json = crate::body::to_json(&crate::body::media_type(&input.headers), input.body)?;
        let (mut binding, _) = options::parsed(&json)?;
        admit::post(self, request, options.dry_run, &mut binding)?;
        let context = self.context(request, options);
        self.change(request, options.dry_run, |stored, _| {
            leme_registry::bind(&context, binding.clone(), &stored.value).map(Into::into)
        })
        .await?
        .ok_or_else(|| Status::not_found(&request.gvr(), &request.name))?;
        carried_out(request, &input.wanted)
    }
}

/// What came of one attempt.
enum Tried {
    /// It is there, with what is said of it.
    Done(Box<Object>, Vec<String>),
    /// Another object has this name.
    Name(String),
    /// Another Service has this number.
    Number(Number),
}

/// What is said when the name of an object is taken: one with a beginning for its name may have another.
fn taken(body: &Value) -> fn(&Gvr, &str) -> Status {
    match leme_registry::json::text(body, &["metadata", "generateName"]) {
        "" => Status::already_exists,
        _ => Status::no_free_name,
    }
}

/// A decoded body as it is kept; a scale is the same of every kind. What says that it is of another kind is not converted,
/// but refused.
pub(crate) fn kept(
    request: &ResourceRequest,
    target: Target,
    body: Value,
) -> Result<Value, Status> {
    if !request.kept.is_view() || target == Target::Scale {
        return Ok(body);
    }
    leme_registry::check_type(&request.kind, &body)?;
    let mut body = body;
    let metadata = leme_registry::json::child(&mut body, "metadata");
    // What it says of its namespace is looked at while it is converted.
    if request.kind.namespaced() && leme_registry::json::unset(metadata, "namespace") {
        leme_registry::json::set(metadata, "namespace", &*request.namespace);
    }
    request.kept.to_kept(body)
}

/// The answer to what is only carried out.
pub(super) fn carried_out(
    request: &ResourceRequest,
    wanted: &Representation,
) -> Result<Answer, Status> {
    let done = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    present::object(request, *wanted, 201, done)
}
