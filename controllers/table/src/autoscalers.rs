//! Autoscalers: woken by their own changes and by time. Ask the API for the scale of their target, whatever its kind.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use leme_meta::quote;
use leme_plan::autoscaler;

use crate::controller::Controller;
use crate::view::{Answer, Blocked, Question, View};
use crate::watch::Watch;

fn replicas(
    view: &View<'_>,
    scaler: &HorizontalPodAutoscaler,
) -> Result<Result<i32, String>, Blocked> {
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
        Ok(Answer::Object(scale)) => {
            let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
            Ok(i32::try_from(replicas).unwrap_or(i32::MAX))
        }
        Ok(Answer::Kinds(_)) => Err("the answer is no scale".to_owned()),
        Err(refusal) => Err(refusal.message.clone()),
    })
}

pub(crate) fn controller() -> Controller {
    let watches = vec![Watch::itself::<HorizontalPodAutoscaler>()];
    Controller::new("horizontal-pod-autoscaler", watches, |view, key| {
        let found = view.cache.autoscalers.get(&key.0, &key.1);
        let replicas = match &found {
            Some(found) => replicas(view, found)?,
            None => Ok(0),
        };
        let seen = autoscaler::Observed { scaler: found, replicas };
        Ok(autoscaler::plan(&seen, view.now))
    })
}
