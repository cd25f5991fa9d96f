//! What has to be there for Gateways.

use k8s_openapi::api::core::v1::Node;
use leme_lister::AnyLister;
use leme_plan::gateway::{self, GatewayClass, SetupObserved};

use crate::controller::Controller;
use crate::once::{self, SYSTEM};
use crate::watch::Watch;

/// The kinds and the class of Gateways.
pub(crate) fn setup() -> Controller {
    let by_nodes = Watch::on::<Node>(|change, wake| {
        if change.old.is_some() != change.new.is_some() {
            wake(once::key());
        }
    });
    let watches = once::watches::<GatewayClass>(by_nodes);
    Controller::new("gateway-setup", watches, |view, _| {
        let cache = view.cache;
        let seen = SetupObserved {
            nodes: !cache.nodes.keys().is_empty(),
            system: cache.namespaces.get("", SYSTEM),
            defined: once::defined(cache),
            served: cache.foreign.resolve(gateway::API_VERSION, "GatewayClass").is_some(),
            classes: cache.gateway_classes.keys().into_iter().map(|(_, name)| name).collect(),
        };
        Ok(gateway::plan_setup(&seen, view.now))
    })
}
