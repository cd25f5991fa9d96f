//! Wakes Endpoints and EndpointSlices: by services, by pods that a selector matches, and by what they write themselves.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use leme_controller_runtime::Queue;
use leme_plan::common::matches;
use leme_plan::{endpoints, endpointslice, mirroring, pods};

use crate::cache::{SERVICE, of_service};
use crate::{Start, Wiring, controller};

/// Wakes the service that a slice names.
fn by_slices(wiring: &Wiring, queue: &Arc<Queue>) {
    let waker = queue.clone();
    wiring.cache.slices.on_change(Box::new(move |key, old, new| {
        for slice in [old, new].into_iter().flatten() {
            let labels = slice.metadata.labels.as_ref();
            if let Some(service) = labels.and_then(|labels| labels.get(endpointslice::SERVICE_NAME))
            {
                waker.add((key.0.clone(), service.clone()));
            }
        }
    }));
}

/// Wakes the services that select a pod, by its labels before and now.
fn by_pods(wiring: &Wiring, queue: &Arc<Queue>) {
    let (waker, services) = (queue.clone(), wiring.cache.services.clone());
    wiring.cache.pods.on_change(Box::new(move |key, old, new| {
        for service in services.in_namespace(&key.0) {
            let Some(selector) = endpoints::selector(&service) else { continue };
            let mut both = [old, new].into_iter().flatten();
            if both.any(|pod| matches(selector, pod.metadata.labels.as_ref())) {
                waker.add((key.0.clone(), service.metadata.name.clone().unwrap_or_default()));
            }
        }
    }));
    let waker = queue.clone();
    wiring.cache.services.on_change(Box::new(move |key, _, _| waker.add(key.clone())));
}

pub(crate) fn endpoints(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    by_pods(wiring, &queue);
    let waker = queue.clone();
    wiring.cache.endpoints.on_change(Box::new(move |key, _, _| waker.add(key.clone())));
    controller(wiring, "endpoint-controller", queue, None, |wiring, key, _| async move {
        let cache = &wiring.cache;
        let seen = endpoints::Observed {
            service: cache.services.get(&key.0, &key.1),
            pods: cache.pods.in_namespace(&key.0),
            endpoints: cache.endpoints.get(&key.0, &key.1),
        };
        Ok(endpoints::plan(&seen, Timestamp::now()))
    })
}

pub(crate) fn slices(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    by_pods(wiring, &queue);
    by_slices(wiring, &queue);
    controller(wiring, "endpoint-slice-controller", queue, None, |wiring, key, _| async move {
        let cache = &wiring.cache;
        let pods = cache.pods.in_namespace(&key.0);
        let used: BTreeSet<&str> = pods.iter().map(|pod| pods::node_name(pod)).collect();
        let nodes =
            used.into_iter().filter_map(|name| Some((name.to_owned(), cache.nodes.get("", name)?)));
        let seen = endpointslice::Observed {
            nodes: nodes.collect(),
            service: cache.services.get(&key.0, &key.1),
            slices: cache.slices.found_by(SERVICE, &of_service(&key.0, &key.1)),
            pods,
        };
        Ok(endpointslice::plan(&seen, Timestamp::now()))
    })
}

pub(crate) fn mirroring(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    by_slices(wiring, &queue);
    let waker = queue.clone();
    wiring.cache.endpoints.on_change(Box::new(move |key, _, _| waker.add(key.clone())));
    let waker = queue.clone();
    wiring.cache.services.on_change(Box::new(move |key, _, _| waker.add(key.clone())));
    let name = "endpoint-slice-mirroring-controller";
    controller(wiring, name, queue, None, |wiring, key, _| async move {
        let cache = &wiring.cache;
        let seen = mirroring::Observed {
            service: cache.services.get(&key.0, &key.1),
            endpoints: cache.endpoints.get(&key.0, &key.1),
            slices: cache.slices.found_by(SERVICE, &of_service(&key.0, &key.1)),
        };
        Ok(mirroring::plan(&seen, Timestamp::now()))
    })
}
