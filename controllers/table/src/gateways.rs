//! What has to be there for Gateways.

use k8s_openapi::api::core::v1::{Namespace, Node};
use leme_lister::{AnyLister, Key};
use leme_plan::gateway::{self, GatewayClass, SetupObserved};

use crate::controller::Controller;
use crate::provisioner::SYSTEM;
use crate::watch::Watch;

const DEFINITIONS: (&str, &str) = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");

/// The kinds and the class of Gateways. It has one key.
pub(crate) fn setup() -> Controller {
    fn key() -> Key {
        (String::new(), String::new())
    }
    let watches = vec![
        Watch::on::<Node>(|change, wake| {
            if change.old.is_some() != change.new.is_some() {
                wake(key());
            }
        }),
        Watch::on::<Namespace>(|change, wake| {
            if change.key.1 == SYSTEM {
                wake(key());
            }
        }),
        Watch::on_meta(DEFINITIONS.0, DEFINITIONS.1, |_, wake| wake(key())),
        Watch::on::<GatewayClass>(|_, wake| wake(key())),
        Watch::on_kinds(|wake| wake(key())),
    ];
    Controller::new("gateway-setup", watches, |view, _| {
        let cache = view.cache;
        let names = |keys: Vec<Key>| keys.into_iter().map(|(_, name)| name).collect();
        let defined = cache.other(DEFINITIONS.0, DEFINITIONS.1).map(|one| one.keys());
        let seen = SetupObserved {
            nodes: !cache.nodes.keys().is_empty(),
            system: cache.namespaces.get("", SYSTEM),
            defined: names(defined.unwrap_or_default()),
            served: cache.foreign.resolve(gateway::API_VERSION, "GatewayClass").is_some(),
            classes: names(cache.gateway_classes.keys()),
        };
        Ok(gateway::plan_setup(&seen, view.now))
    })
}
