//! Wakes autoscalers: by their own changes and by time. Asks the API for the scale of their target, whatever its kind.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use leme_controller_runtime::Queue;
use leme_plan::autoscaler;

use crate::wake::wake;
use crate::{Start, Wiring, controller};

async fn replicas(wiring: &Wiring, scaler: &HorizontalPodAutoscaler) -> Result<i32, String> {
    let target = &scaler.spec.scale_target_ref;
    let group = target.api_version.as_deref().unwrap_or("");
    let resource = wiring.executor.resource(group, &target.kind);
    let resource = resource
        .ok_or_else(|| format!("no matches for kind {:?} in group {group:?}", target.kind))?;
    let namespace = scaler.metadata.namespace.as_deref().unwrap_or("");
    let path = resource.object(namespace, &target.name, "scale");
    let scale = wiring.executor.client().get(&path).await;
    let scale = scale.map_err(|refused| refused.message().to_owned())?;
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    Ok(i32::try_from(replicas).unwrap_or(i32::MAX))
}

pub(crate) fn start(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    wake(&queue, &wiring.cache.autoscalers);
    controller(wiring, "horizontal-pod-autoscaler", queue, None, |wiring, key, _| async move {
        let found = wiring.cache.autoscalers.get(&key.0, &key.1);
        let replicas = match &found {
            Some(found) => replicas(&wiring, found).await,
            None => Ok(0),
        };
        let seen = autoscaler::Observed { scaler: found, replicas };
        Ok(autoscaler::plan(&seen, Timestamp::now()))
    })
}
