//! Autoscalers: woken when they are changed by others than this controller, and by time, for nobody can watch metrics. Ask
//! the API for the scale of their target, whatever its kind, and for what its pods use. Keep, by a clock of their own process,
//! what they recommended of late: a restart begins anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use leme_kinds::by_resource;
use leme_lister::Key;
use leme_meta::quote;
use leme_meta::selector::LabelSelector;
use leme_plan::autoscaler::{self, Memory, NoPods, Scale, Target};

use crate::cache::{Cache, resource};
use crate::controller::Controller;
use crate::view::{Answer, Blocked, Question, View};
use crate::watch::Watch;

/// What is remembered of an autoscaler.
#[derive(Default)]
struct Known {
    memory: Memory,
    /// Which pods its target selects.
    selector: Option<LabelSelector>,
}

/// What is remembered of all.
#[derive(Clone, Default)]
struct All(Arc<Mutex<HashMap<Key, Known>>>);

impl All {
    fn of<R>(&self, act: impl FnOnce(&mut HashMap<Key, Known>) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The scale of the target, or why there is none.
fn scale(
    view: &View<'_>,
    scaler: &HorizontalPodAutoscaler,
) -> Result<Result<Scale, String>, Blocked> {
    let target = &scaler.spec.scale_target_ref;
    let group = target.api_version.as_deref().unwrap_or("");
    let Some(resource) = view.cache.resolve(group, &target.kind) else {
        let (kind, group) = (quote(&target.kind), quote(group));
        return Ok(Err(format!("no matches for kind {kind} in group {group}")));
    };
    let scale = Question::Object {
        resource,
        namespace: scaler.metadata.namespace.clone().unwrap_or_default(),
        name: target.name.clone(),
        subresource: "scale",
    };
    Ok(match view.ask(scale)? {
        Ok(Answer::Object(scale)) => Ok(Scale::of(scale)),
        Ok(Answer::Kinds(_) | Answer::Certificate(_)) => Err("the answer is no scale".to_owned()),
        Err(refusal) => Err(refusal.message.clone()),
    })
}

/// What pods use that have some labels, or why that cannot be told.
fn used(
    view: &View<'_>,
    namespace: &str,
    labels: &str,
) -> Result<Result<serde_json::Value, String>, Blocked> {
    let Some(kind) = by_resource("metrics.k8s.io", "v1beta1", "pods") else {
        return Ok(Err("the server could not find the requested resource".to_owned()));
    };
    let (namespace, labels) = (namespace.to_owned(), labels.to_owned());
    let list = Question::Objects { resource: resource(kind), namespace, labels };
    Ok(match view.ask(list)? {
        Ok(Answer::Object(list)) => Ok(list.clone()),
        Ok(Answer::Kinds(_) | Answer::Certificate(_)) => Err("the answer is no list".to_owned()),
        Err(refusal) => Err(refusal.message.clone()),
    })
}

/// The pods of a target, unless others scale them as well.
fn pods(
    cache: &Cache,
    (namespace, name): &Key,
    text: &str,
    all: &All,
) -> Result<Vec<Arc<Pod>>, NoPods> {
    if text.is_empty() {
        return Err(NoPods::Unselected);
    }
    let selector = LabelSelector::parse(text).map_err(NoPods::Unreadable)?;
    let has = |selector: &LabelSelector, pod: &Pod| {
        let labels = pod.metadata.labels.as_ref();
        selector.matches(|key| labels.and_then(|all| all.get(key)).map(String::as_str))
    };
    let mut pods = cache.pods.in_namespace(namespace);
    pods.retain(|pod| has(&selector, pod));
    let mut by = all.of(|all| {
        let key = (namespace.clone(), name.clone());
        all.entry(key).or_default().selector = Some(selector);
        let selects = |(key, known): (&Key, &Known)| {
            let one = known.selector.as_ref()?;
            let here = key.0 == *namespace && pods.iter().any(|pod| has(one, pod));
            here.then(|| format!("{}/{}", key.0, key.1))
        };
        all.iter().filter_map(selects).collect::<Vec<String>>()
    });
    by.sort();
    if by.len() > 1 { Err(NoPods::Shared(by)) } else { Ok(pods) }
}

fn target(
    view: &View<'_>,
    key: &Key,
    scaler: &HorizontalPodAutoscaler,
    all: &All,
) -> Result<Result<Target, String>, Blocked> {
    let scale = match scale(view, scaler)? {
        Ok(scale) => scale,
        Err(why) => return Ok(Err(why)),
    };
    let pods = pods(view.cache, key, &scale.selector, all);
    let wanted = pods.is_ok() && autoscaler::wants_usage(&scaler.spec, scale.replicas);
    let used = match wanted {
        true => used(view, &key.0, &scale.selector)?,
        false => Ok(serde_json::Value::Null),
    };
    Ok(Ok(Target { scale, pods, used }))
}

pub(crate) fn controller() -> Controller {
    let watches = vec![Watch::on::<HorizontalPodAutoscaler>(|change, wake| {
        let spec =
            |one: &Arc<HorizontalPodAutoscaler>| (one.spec.clone(), one.metadata.uid.clone());
        if change.old.map(spec) != change.new.map(spec) {
            wake(change.key.clone());
        }
    })];
    let all = All::default();
    Controller::new("horizontal-pod-autoscaler", watches, move |view, key| {
        let found = view.cache.autoscalers.get(&key.0, &key.1);
        let Some(scaler) = found else {
            all.of(|all| all.remove(key));
            return Ok(leme_plan::Plan::default());
        };
        let target = target(view, key, &scaler, &all)?;
        let (failure, uptime) = (view.failure, view.uptime);
        let seen = autoscaler::Observed { scaler: Some(scaler), target, failure, uptime };
        Ok(all.of(|all| {
            autoscaler::plan(&seen, &mut all.entry(key.clone()).or_default().memory, view.now)
        }))
    })
}
