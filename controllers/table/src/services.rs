//! Endpoints, EndpointSlices and addresses of load balancers: woken by services, by pods that a selector matches, and by what they write themselves.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use leme_lister::key_of;
use leme_plan::Plan;
use leme_plan::common::matches;
use leme_plan::{balancer, endpoints, endpointslice, mirroring, pods};

use crate::cache::{Cache, SERVICE, of_service};
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

/// All services that are balanced here.
fn balanced(cache: &Cache) -> Vec<Arc<Service>> {
    let mut all = cache.services.list();
    all.retain(|service| balancer::is_balanced(service));
    all
}

/// A port that one has, or has no more, may be another's.
fn by_neighbours() -> Watch {
    Watch::on::<Service>(|change, wake| {
        if change.both().any(|service| balancer::is_balanced(service)) {
            balanced(change.cache).iter().for_each(|other| wake(key_of(&other.metadata)));
        }
    })
}

fn by_addresses() -> Watch {
    Watch::on::<Node>(|change, wake| {
        let [old, new] =
            [change.old, change.new].map(|node| node.map(|node| balancer::addresses(node)));
        if old.unwrap_or_default() != new.unwrap_or_default() {
            balanced(change.cache).iter().for_each(|one| wake(key_of(&one.metadata)));
        }
    })
}

pub(crate) fn balancers() -> Controller {
    let watches = vec![Watch::itself::<Service>(), by_neighbours(), by_addresses()];
    Controller::new("service-lb-controller", watches, |view, key| {
        let cache = view.cache;
        let service = cache.services.get(&key.0, &key.1);
        // Of most services there is nothing to be said.
        let concerned = service.as_ref().is_some_and(|service| {
            balancer::is_balanced(service)
                || service.status.as_ref().is_some_and(|status| status.load_balancer.is_some())
        });
        if !concerned {
            return Ok(Plan::default());
        }
        let seen = balancer::Observed {
            service,
            balanced: balanced(cache),
            nodes: cache.nodes.list(),
            api: cache.endpoints.get("default", "kubernetes"),
        };
        Ok(balancer::plan(&seen, view.now))
    })
}
