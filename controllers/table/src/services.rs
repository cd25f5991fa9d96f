//! Endpoints and EndpointSlices: woken by services, by pods that a selector matches, and by what they write themselves.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use leme_lister::key_of;
use leme_plan::common::matches;
use leme_plan::{endpoints, endpointslice, mirroring, pods};

use crate::cache::{SERVICE, of_service};
use crate::controller::Controller;
use crate::watch::Watch;

/// Wakes the service that a slice names.
fn by_slices() -> Watch {
    Watch::on::<EndpointSlice>(|change, wake| {
        for slice in change.both() {
            let labels = slice.metadata.labels.as_ref();
            if let Some(service) = labels.and_then(|labels| labels.get(endpointslice::SERVICE_NAME))
            {
                wake((change.key.0.clone(), service.clone()));
            }
        }
    })
}

/// Wakes the services that select a pod, by its labels before and now.
fn by_pods() -> Watch {
    Watch::on::<Pod>(|change, wake| {
        for service in change.cache.services.in_namespace(&change.key.0) {
            let Some(selector) = endpoints::selector(&service) else { continue };
            if change.both().any(|pod| matches(selector, pod.metadata.labels.as_ref())) {
                wake(key_of(&service.metadata));
            }
        }
    })
}

pub(crate) fn endpoints() -> Controller {
    let watches = vec![by_pods(), Watch::itself::<Service>(), Watch::itself::<Endpoints>()];
    Controller::new("endpoint-controller", watches, |view, key| {
        let seen = endpoints::Observed {
            service: view.cache.services.get(&key.0, &key.1),
            pods: view.cache.pods.in_namespace(&key.0),
            endpoints: view.cache.endpoints.get(&key.0, &key.1),
        };
        Ok(endpoints::plan(&seen, view.now))
    })
}

pub(crate) fn slices() -> Controller {
    let watches = vec![by_pods(), Watch::itself::<Service>(), by_slices()];
    Controller::new("endpoint-slice-controller", watches, |view, key| {
        let cache = view.cache;
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
        Ok(endpointslice::plan(&seen, view.now))
    })
}

pub(crate) fn mirroring() -> Controller {
    let watches = vec![by_slices(), Watch::itself::<Endpoints>(), Watch::itself::<Service>()];
    Controller::new("endpoint-slice-mirroring-controller", watches, |view, key| {
        let cache = view.cache;
        let seen = mirroring::Observed {
            service: cache.services.get(&key.0, &key.1),
            endpoints: cache.endpoints.get(&key.0, &key.1),
            slices: cache.slices.found_by(SERVICE, &of_service(&key.0, &key.1)),
        };
        Ok(mirroring::plan(&seen, view.now))
    })
}
